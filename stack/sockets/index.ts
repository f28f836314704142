import type net from 'node:net';
import type { SocketHost } from '../core/endpoint.js';
import { connectArguments, type FtConnectOptions } from './connect-arguments.js';
import { FtServer } from './server.js';
import { FtSocket } from './socket.js';
import type { FtSocketOptions } from './socket-base.js';

export type {
  ConnectTarget,
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  Replication,
  SocketHost,
  SocketTimer,
  SocketTimers,
  StreamEndpoint,
  StreamEvents,
} from '../core/endpoint.js';
export { adoptSocket } from './adopt-socket.js';
export type { FtConnectOptions } from './connect-arguments.js';
export { createDgram, FtDgram, type FtDgramOptions } from './dgram.js';
export {
  attachListener,
  FtServer,
  type ListenArguments,
  listenArguments,
  listenOn,
} from './server.js';
export { FtSocket } from './socket.js';
export type { FtSocketOptions } from './socket-base.js';
export { COPY_BELOW } from './socket-writer.js';

/** `net.createServer` for a host: ([options][, listener]). */
export function createServer(
  host: SocketHost,
  options?: net.ServerOpts | ((socket: net.Socket) => void),
  listener?: (socket: net.Socket) => void,
): FtServer {
  return typeof options === 'function' ? new FtServer(host, {}, options) : new FtServer(host, options, listener);
}

/** `net.connect` for a host: (options[, listener]) or (port[, address][, listener]). */
export function connect(host: SocketHost, options: FtConnectOptions & FtSocketOptions, listener?: () => void): FtSocket;
export function connect(host: SocketHost, port: number, address: string, listener?: () => void): FtSocket;
export function connect(host: SocketHost, port: number, listener?: () => void): FtSocket;
export function connect(host: SocketHost, ...args: unknown[]): FtSocket {
  const { options } = connectArguments(args);
  const socket = new FtSocket(host, null, options as FtSocketOptions);
  if (options.timeout) socket.setTimeout(options.timeout);
  return socket.connect(...(args as [FtConnectOptions]));
}

/** The same as `connect`. */
export const createConnection = connect;
