/** Servers on Unix sockets in the group's directory, which keep no process alive; and questions to them. */
import { rmSync } from 'node:fs';
import net, { type Server } from 'node:net';
import { errorCode } from '../../lib/errors.js';

/** What a question has come to: the answer as JSON, or that nobody listens there, or that no answer came that could be read. */
export type Reply = { json: unknown } | 'gone' | 'silent';

/**
 * Connects, says a word if there is one, and takes what comes until the other side ends.
 * @param patienceMs milliseconds for all of it
 * @param mostBytes a longer answer counts as none
 */
export function askAt(path: string, patienceMs: number, mostBytes: number, word?: string): Promise<Reply> {
  return new Promise((done) => {
    const parts: Buffer[] = [];
    let length = 0;
    let reason: 'gone' | 'silent' = 'silent';
    const socket = net.connect({ path, allowHalfOpen: word !== undefined });
    const patience = setTimeout(() => socket.destroy(), patienceMs);
    if (word !== undefined) socket.on('connect', () => socket.end(word));
    socket.on('data', (part: Buffer) => {
      parts.push(part);
      length += part.length;
      if (length > mostBytes) socket.destroy();
    });
    socket.on('error', (error) => {
      const code = errorCode(error);
      if (code === 'ECONNREFUSED' || code === 'ENOENT') reason = 'gone';
    });
    socket.on('close', () => {
      clearTimeout(patience);
      try {
        done({ json: JSON.parse(Buffer.concat(parts).toString()) });
      } catch {
        done(reason);
      }
    });
  });
}

/** Listens at a path, in place of whoever was there before. Rejects when the path cannot be listened at. */
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
