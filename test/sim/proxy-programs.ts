/** A program that connects to another server for each of its clients. */

import type { Replica } from '../../failover/replica/replica.js';
import type { ListenOptions } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { changed, on, PORT } from './programs.js';

/** Where the inner server listens. */
export const INNER_PORT = 9000;

/** For each client, connects to the inner server and forwards in both directions. */
export function proxy(replica: Replica, more: Partial<ListenOptions> = {}): void {
  replica.listen(
    { port: PORT, ...more },
    {
      onConnection: (endpoint) => {
        const inner = replica.connect({ address: endpoint.remoteAddress, port: INNER_PORT });
        const waiting: Buffer[] = [];
        let connected = false;
        on(inner, {
          onConnect: () => {
            connected = true;
            for (const chunk of waiting) inner.write(chunk);
          },
          onData: (chunk) => endpoint.write(Buffer.from(chunk)),
          onEnd: () => inner.close(),
        });
        on(endpoint, {
          onData: (chunk) => {
            if (connected) inner.write(Buffer.from(chunk));
            else waiting.push(Buffer.from(chunk));
          },
          onEnd: () => {
            inner.close();
            endpoint.close();
          },
        });
      },
    },
  );
}

/** The inner server, in the clients' stack. */
export function innerServer(host: StackHost): void {
  host.listen(
    { port: INNER_PORT },
    {
      onConnection: (endpoint) => {
        let seen = 0;
        on(endpoint, {
          onData: (chunk) => {
            endpoint.write(changed(chunk, seen));
            seen += chunk.length;
          },
          onEnd: () => endpoint.close(),
        });
      },
    },
  );
}
