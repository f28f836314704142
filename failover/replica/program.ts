/**
 * Puts a replica under an ordinary Node program. Its TCP servers listen on the stack; so do its
 * datagram sockets. outgoing.ts has its connections, load-program.ts its start.
 */
import dgram from 'node:dgram';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { deserialize } from 'node:v8';
import { FtError } from '../../lib/errors.js';
import { listenArguments, listenOn } from '../../stack/sockets/server.js';
import { FtSocket } from '../../stack/sockets/socket.js';
import { ProgramDgram } from '../runtime/sources/dgram.js';
import { patchOutgoing } from './outgoing.js';
import type { Replica } from './replica.js';

type Listen = (this: net.Server, ...args: unknown[]) => net.Server;

/** Checkpoints of the process, and outgoing connections that another program had opened. */
function patchProcess(replica: Replica): void {
  const { checkpoint: saved, connections } = replica;
  const emitter = process as NodeJS.EventEmitter;
  process.checkpoint = (name, value) => saved.save(name, value);
  Object.defineProperty(process, 'standby', { get: () => replica.standby !== null, configurable: true });
  if (replica.standby !== null) saved.onTakeover = () => void emitter.emit('takeover');
  saved.onRestore = (get) => void emitter.emit('restore', get);
  connections.restoreHandler = {
    onConnection: (endpoint) => endpoint.abort(),
    onRestore: (endpoint, context) => {
      const socket = new FtSocket(replica, endpoint);
      emitter.emit('restoreSocket', socket, context === null ? undefined : deserialize(context));
    },
    restores: () => emitter.listenerCount('restoreSocket') > 0,
  };
}

/**
 * Puts the stack under node:net. `listen` on a descriptor or handle throws FtError
 * ERR_FT_UNSUPPORTED.
 */
export function patchNet(replica: Replica): void {
  const prototype = net.Server.prototype as unknown as { listen: Listen };
  const listen = prototype.listen;
  prototype.listen = function (this: net.Server, ...args: unknown[]): net.Server {
    if (!replica.runtime.active) return listen.apply(this, args);
    const wanted = listenArguments(args);
    if (wanted === null || !listenOn(this, replica, args))
      throw new FtError(
        'ERR_FT_UNSUPPORTED',
        'A server cannot listen on a descriptor or handle that it was given',
        'Listen on a port or on a path',
      );
    replica.connections.prepareServer(this, wanted.replication, wanted.port);
    return this;
  };
  patchOutgoing(replica);
  patchDgram(replica);
  patchProcess(replica);
  syncBuiltinESMExports();
}

/** Puts the stack under node:dgram. */
function patchDgram(replica: Replica): void {
  const original = dgram.createSocket as (...args: unknown[]) => dgram.Socket;
  type Options = dgram.SocketOptions | 'udp4' | 'udp6';
  Object.assign(dgram, {
    createSocket(options: Options, listener?: (message: Buffer, info: dgram.RemoteInfo) => void): unknown {
      if (!replica.runtime.active) return original(options, listener);
      const socket = new ProgramDgram(replica, options, () => original(options));
      if (listener !== undefined) socket.on('message', listener);
      return socket;
    },
  });
}
