/** Servers on Unix sockets in the group's directory, which keep no process alive. */
import { rmSync } from 'node:fs';
import type { Server } from 'node:net';

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
