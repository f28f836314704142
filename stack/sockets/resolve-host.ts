import dns from 'node:dns';
import net from 'node:net';
import type { FtConnectOptions } from './connect-arguments.js';
import type { SocketBase } from './socket-base.js';
import { nodeError } from './socket-errors.js';

/**
 * Finds the address that a socket is to connect to, with Node's events; `start` is not called once
 * the socket gave up.
 */
export function resolveHost(socket: SocketBase, options: FtConnectOptions, start: (address: string) => void): void {
  const host = options.host || 'localhost';
  if (net.isIP(host)) {
    process.nextTick(() => {
      if (socket.connecting) start(host);
    });
    return;
  }
  socket._host = host;
  const lookup = options.lookup ?? (dns.lookup as unknown as net.LookupFunction);
  lookup(host, { family: options.family ?? 0, hints: options.hints ?? 0, all: false }, (error, found, family) => {
    const first = Array.isArray(found) ? found[0]?.address : found;
    socket.emit('lookup', error, first, family, host);
    if (!socket.connecting) return;
    if (error) process.nextTick(() => socket.destroy(error));
    else if (!first || !net.isIP(first)) {
      const invalid = nodeError('ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${first}`, TypeError);
      process.nextTick(() => socket.destroy(invalid));
    } else {
      socket._unrefTimer();
      start(first);
    }
  });
}
