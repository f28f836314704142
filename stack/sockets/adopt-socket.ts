/**
 * Makes a program's own net.Socket, which has not been connected, a socket of a host. It stays the
 * same object with the same listeners, and keeps the methods of the program's class.
 */
import type net from 'node:net';
import type { SocketHost } from '../core/endpoint.js';
import { FtSocket } from './socket.js';
import { type FtSocketOptions, madeOf, SocketBase } from './socket-base.js';

/** What Node keeps of options that were set before the connection is there, by symbols' names. */
const KEPT = {
  noDelay: 'kSetNoDelay',
  keepAlive: 'kSetKeepAlive',
  keepAliveInitialDelay: 'kSetKeepAliveInitialDelay',
  buffer: 'kBuffer',
  callback: 'kBufferCb',
  makeBuffer: 'kBufferGen',
} as const;

function keptOf(socket: object, name: string): unknown {
  const symbol = Object.getOwnPropertySymbols(socket).find(({ description }) => description === name);
  return symbol === undefined ? undefined : (socket as Record<symbol, unknown>)[symbol];
}

function optionsOf(socket: net.Socket): FtSocketOptions {
  const seconds = Number(keptOf(socket, KEPT.keepAliveInitialDelay) ?? 0);
  const buffer = keptOf(socket, KEPT.makeBuffer) ?? keptOf(socket, KEPT.buffer);
  const callback = keptOf(socket, KEPT.callback);
  return {
    allowHalfOpen: socket.allowHalfOpen,
    noDelay: keptOf(socket, KEPT.noDelay) === true,
    keepAlive: keptOf(socket, KEPT.keepAlive) === true,
    keepAliveInitialDelay: seconds * 1000,
    ...(buffer && callback ? { onread: { buffer, callback } as net.OnReadOpts } : {}),
  };
}

const mixed = new WeakMap<object, object>();

/** The prototype of a program's class, with the methods of {@link FtSocket} under its own ones. */
function mixedPrototype(prototype: object, base: object): object {
  if (prototype === base) return FtSocket.prototype;
  let made = mixed.get(prototype);
  if (made !== undefined) return made;
  made = Object.create(prototype) as object;
  mixed.set(prototype, made);
  const own = new Set<PropertyKey>(['constructor']);
  for (let at = prototype; at !== base && at !== null; at = Object.getPrototypeOf(at) as object)
    for (const key of Reflect.ownKeys(at)) own.add(key);
  for (const methods of [SocketBase.prototype, FtSocket.prototype])
    for (const key of Reflect.ownKeys(methods)) {
      const descriptor = Object.getOwnPropertyDescriptor(methods, key);
      if (!own.has(key) && descriptor !== undefined) Object.defineProperty(made, key, descriptor);
    }
  return made;
}

/** Adopts a socket. @returns the same object */
export function adoptSocket(host: SocketHost, socket: net.Socket): FtSocket {
  const options = optionsOf(socket);
  const { timeout } = socket;
  // Node's own timer runs on the real clock.
  if (timeout) socket.setTimeout(0);
  const base = Object.getPrototypeOf(SocketBase.prototype) as object;
  Object.setPrototypeOf(socket, mixedPrototype(Object.getPrototypeOf(socket) as object, base));
  const made = madeOf(socket, () => new FtSocket(host, null, options));
  if (timeout) made.setTimeout(timeout);
  return made;
}
