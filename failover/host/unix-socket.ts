/**
 * Servers on Unix sockets in the group's directory, and requests to them. A server keeps no process
 * alive.
 */
import { rmSync } from 'node:fs';
import net, { type Server } from 'node:net';
import { errorCode } from '../../lib/errors.js';

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

/** Listens at a path, and replaces a socket that is there. Rejects when listening fails. */
export function listenAt(server: Server, path: string): Promise<{ close(): void }> {
  rmSync(path, { force: true });
  server.unref();
  return new Promise((done, fail) => {
    server.once('error', fail);
    server.listen(path, () =>
      done({
        close: () => {
          server.close();
          rmSync(path, { force: true });
        },
      }),
    );
  });
}
