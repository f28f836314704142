/**
 * Servers on Unix sockets in the group's directory, and requests to them. A server keeps no process
 * alive. It answers root and the user that it runs as, whatever the mode of its socket or
 * directory.
 */

import net, { type Server, type Socket } from 'node:net';
import { errorCode } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { geteuid, rmSync } from '../../lib/own-node.js';
import { clearTimeout, setTimeout } from './own-timers.js';

/**
 * The answer as JSON; `gone`: nothing listens there; `unresponsive`: no answer came in time, or
 * none that can be read.
 */
export type Reply = { json: unknown } | 'gone' | 'unresponsive';

/**
 * Connects, sends the request if there is one, and reads the answer until the server ends the
 * connection.
 * @param timeoutMs milliseconds for all of it
 * @param maxBytes a longer answer counts as none
 */
export function askAt(path: string, timeoutMs: number, maxBytes: number, request?: string): Promise<Reply> {
  return new Promise((done) => {
    const parts: Buffer[] = [];
    let length = 0;
    let reason: 'gone' | 'unresponsive' = 'unresponsive';
    const socket = net.connect({ path, allowHalfOpen: request !== undefined });
    const timeout = setTimeout(() => socket.destroy(), timeoutMs);
    if (request !== undefined) socket.on('connect', () => socket.end(request));
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > maxBytes) socket.destroy();
    });
    socket.on('error', (error) => {
      const code = errorCode(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') reason = 'gone';
    });
    socket.on('close', () => {
      clearTimeout(timeout);
      try {
        done({ json: JSON.parse(Buffer.concat(parts).toString()) });
      } catch {
        done(reason);
      }
    });
  });
}

/** Clients at a time. */
const MAX_CLIENTS = 64;
/** No access for the group and others, whatever the process's own mask is. */
const SOCKET_UMASK = 0o177;

/** @returns a server's listener that closes connections of other users */
export function onlySameUser(listener: (socket: Socket) => void): (socket: Socket) => void {
  return (socket) => {
    const uid = peerUid(socket);
    if (uid === 0 || (uid !== undefined && uid === geteuid?.())) listener(socket);
    else socket.destroy();
  };
}

/** @returns undefined: the client cannot be identified, or is gone */
function peerUid(socket: Socket): number | undefined {
  const { _handle: handle } = socket as Socket & { _handle?: { fd?: number } | null };
  if (handle?.fd === undefined || handle.fd < 0) return undefined;
  try {
    return native().peerUid(handle.fd);
  } catch {
    return undefined;
  }
}

/** Listens at a path, and replaces a socket that is there. Rejects when listening fails. */
export function listenAt(server: Server, path: string): Promise<{ close(): void }> {
  rmSync(path, { force: true });
  server.unref();
  server.maxConnections = MAX_CLIENTS;
  return new Promise((done, fail) => {
    server.once('error', fail);
    // The socket is created before `listen` returns.
    const mask = process.umask(SOCKET_UMASK);
    server.listen(path, () =>
      done({
        close: () => {
          server.close();
          rmSync(path, { force: true });
        },
      }),
    );
    process.umask(mask);
  });
}
