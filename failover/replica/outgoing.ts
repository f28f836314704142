/**
 * Outgoing connections of a program, whatever API they are made with. They are sockets of the
 * replica, which decides once the address is known: on the stack if it reaches the address, else a
 * recorded kernel connection (connections/outside-sockets.ts).
 *
 * The interception stands at the module's functions, not at Node's TCP binding: TLS, http2 and the
 * http parser bind to a native handle in C++, below every JavaScript method that could be replaced.
 * A socket without a handle takes them through Node's own JSStreamSocket. All of Node's clients
 * come through four places: net.connect, Socket.prototype.connect, tls.connect, and the agent's
 * copy of net.createConnection.
 */
import diagnostics from 'node:diagnostics_channel';
import http from 'node:http';
import { syncBuiltinESMExports } from 'node:module';
import net from 'node:net';
import tls from 'node:tls';
import { FtError } from '../../lib/errors.js';
import { connectArguments, pick } from '../../stack/sockets/connect-arguments.js';
import { adoptSocket, connect, FtSocket } from '../../stack/sockets/index.js';
import type { AnyFunction } from '../runtime/core/originals.js';
import type { Replica } from './replica.js';

type Method<T> = (this: T, ...args: unknown[]) => unknown;
type Options = Record<string, unknown>;

const clientChannel = diagnostics.channel('net.client.socket');

/** Options of `tls.connect` that are the connection's below it. */
const CARRIER_OPTIONS = [
  'port',
  'host',
  'path',
  'localAddress',
  'localPort',
  'family',
  'hints',
  'lookup',
  'autoSelectFamily',
  'autoSelectFamilyAttemptTimeout',
  'noDelay',
  'keepAlive',
  'keepAliveInitialDelay',
];

/** Node's forms of `tls.connect`: (port[, host][, options][, listener]), (options[, listener]). */
function tlsArguments(args: unknown[]): { options: Options; listener: (() => void) | null } {
  const { options, listener } = connectArguments(args);
  const more = args.slice(1, 3).find((arg) => typeof arg === 'object' && arg !== null) as Options | undefined;
  return { options: { ...options, ...more }, listener };
}

/** `net.connect` for a program. */
function connectFor(replica: Replica, args: unknown[]): net.Socket {
  const socket = connect(replica, ...(args as [number]));
  if (clientChannel.hasSubscribers) clientChannel.publish({ socket });
  return socket;
}

function connectTls(replica: Replica, original: AnyFunction, args: unknown[]): unknown {
  const { options, listener } = tlsArguments(args);
  const given = options['socket'];
  if (given) {
    // One that is to be connected later: TLS over it has to know what it will be.
    if (isPlain(given)) adoptSocket(replica, given);
    return original(...args);
  }
  const socket = connectFor(replica, [pick(options, ...CARRIER_OPTIONS)]);
  // To resume a session OpenSSL sends its age on the real clock: each handshake is a full one.
  const secure = original(
    { ...options, session: undefined, socket },
    ...(listener === null ? [] : [listener]),
  ) as tls.TLSSocket;
  if (typeof options['timeout'] === 'number' && options['timeout'] > 0) secure.setTimeout(options['timeout']);
  return secure;
}

/** A program's own socket that has not been connected. */
function isPlain(socket: unknown): socket is net.Socket {
  return (
    socket instanceof net.Socket &&
    !FtSocket.isFtSocket(socket) &&
    !(socket instanceof tls.TLSSocket) &&
    !(socket as unknown as { _handle: unknown })._handle
  );
}

/** `connect` of a program's own socket. Throws FtError ERR_FT_UNSUPPORTED. */
function connectSocket(replica: Replica, socket: net.Socket, original: AnyFunction, args: unknown[]): unknown {
  if (isPlain(socket)) adoptSocket(replica, socket);
  if (FtSocket.isFtSocket(socket)) return FtSocket.prototype.connect.apply(socket, args as unknown as [string]);
  if (socket instanceof tls.TLSSocket)
    throw new FtError('ERR_FT_UNSUPPORTED', 'connect() of a TLSSocket cannot be replicated', 'Use tls.connect()');
  return original.apply(socket, args);
}

/** Puts the replica under node:net, node:tls and node:http as a client. */
export function patchOutgoing(replica: Replica): void {
  const { runtime } = replica;
  const original = net.connect as unknown as AnyFunction;
  const patched = (...args: unknown[]): unknown => (runtime.active ? connectFor(replica, args) : original(...args));
  Object.assign(net, { connect: patched, createConnection: patched });

  const sockets = net.Socket.prototype as unknown as { connect: Method<net.Socket> };
  const originalConnect = sockets.connect;
  sockets.connect = function (this: net.Socket, ...args: unknown[]): unknown {
    return runtime.active ? connectSocket(replica, this, originalConnect, args) : originalConnect.apply(this, args);
  };

  const agents = http.Agent.prototype as unknown as { createConnection: Method<http.Agent> };
  // From Node 24 on it is a function of its own, which calls net.createConnection.
  if ((agents.createConnection as unknown) === original) agents.createConnection = patched;

  const originalTls = tls.connect as unknown as AnyFunction;
  const patchedTls = (...args: unknown[]): unknown =>
    runtime.active ? connectTls(replica, originalTls, args) : originalTls(...args);
  Object.assign(tls, { connect: patchedTls });
  syncBuiltinESMExports();
}
