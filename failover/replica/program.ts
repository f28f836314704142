/**
 * Runs an ordinary Node program on a replica. Its TCP servers listen on the stack; so do its
 * datagram sockets. Outgoing TCP connections go through the stack if it can reach the address.
 */
import dgram from 'node:dgram';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { deserialize } from 'node:v8';
import { FtError } from '../../lib/errors.js';
import { connectArguments } from '../../stack/sockets/connect-arguments.js';
import { connect } from '../../stack/sockets/index.js';
import { listenArguments, listenOn } from '../../stack/sockets/server.js';
import { FtSocket } from '../../stack/sockets/socket.js';
import { ProgramDgram } from '../runtime/sources/dgram.js';
import type { Replica } from './replica.js';

type Listen = (this: net.Server, ...args: unknown[]) => net.Server;

/** Checkpoints of the process, and outgoing connections that another program had opened. */
function patchProcess(replica: Replica): void {
  const { checkpoint: saved, connections } = replica;
  const emitter = process as NodeJS.EventEmitter;
  process.checkpoint = (name, value) => saved.save(name, value);
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
 * Puts the stack under node:net. Servers on paths, handles and descriptors stay with the kernel.
 */
export function patchNet(replica: Replica): void {
  const prototype = net.Server.prototype as unknown as { listen: Listen };
  const listen = prototype.listen;
  prototype.listen = function (this: net.Server, ...args: unknown[]): net.Server {
    if (!replica.runtime.active || !listenOn(this, replica, args)) return listen.apply(this, args);
    const { replication, port } = listenArguments(args)!;
    replica.connections.prepareServer(this, replication, port);
    return this;
  };
  const connectTo = (args: unknown[]): net.Socket | null => {
    if (!replica.runtime.active) return null;
    const { options } = connectArguments(args);
    const address = typeof options.host === 'string' ? replica.stack.book.parse(options.host) : undefined;
    if (address === undefined || replica.stack.sourceFor(address) === 0) {
      if ('port' in options)
        replica.runtime.reportNondeterministic('an outgoing connection that the stack has no route for');
      return null;
    }
    return connect(replica, ...(args as [number]));
  };
  const original = net.connect as (...args: unknown[]) => net.Socket;
  const patched = (...args: unknown[]): net.Socket => connectTo(args) ?? original(...args);
  Object.assign(net, { connect: patched, createConnection: patched });
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

/**
 * Loads the program's main file with its own arguments. Throws FtError ERR_FT_PROGRAM when it
 * cannot be found.
 */
export async function loadProgram(file: string, args: string[]): Promise<void> {
  const path = resolve(file);
  process.argv = [process.argv[0], path, ...args];
  try {
    await import(pathToFileURL(path).href);
  } catch (error) {
    if (
      error instanceof Error &&
      'code' in error &&
      error.code === 'ERR_MODULE_NOT_FOUND' &&
      error.message.includes(path)
    ) {
      throw new FtError('ERR_FT_PROGRAM', `The program ${file} cannot be found`, 'Give the path of its main file');
    }
    throw error;
  }
}
