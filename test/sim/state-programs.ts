/** Programs in state mode: they save what they need, and get their connections back. */

import type { Replica } from '../../failover/replica/replica.js';
import type { ListenOptions, StreamEndpoint } from '../../stack/core/endpoint.js';
import { pattern } from './clients.js';
import { changed, echo, on, PORT, STAMP_BYTES, stamp } from './programs.js';
import { INNER_PORT } from './proxy-programs.js';

/** A number as an application checkpoint. */
export function number(value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeDoubleLE(value);
  return out;
}

/** The number in a checkpoint; 0 for none. */
export function numberOf(context: Uint8Array | null): number {
  return context === null ? 0 : Buffer.from(context).readDoubleLE(0);
}

/** A replayed echo at PORT, and one in state mode at PORT + 1. */
export function bothModes(replica: Replica): void {
  echo(replica);
  stateEcho(replica, { port: PORT + 1, replication: 'state' });
}

/** An echo in state mode: each connection saves its count. */
export function stateEcho(replica: Replica, where: ListenOptions = { port: PORT }): void {
  const serve = (endpoint: StreamEndpoint, from: number): void => {
    let seen = from;
    on(endpoint, {
      onData: (chunk) => {
        endpoint.write(changed(chunk, seen));
        seen += chunk.length;
        endpoint.checkpoint?.(number(seen));
      },
      onEnd: () => endpoint.close(),
    });
  };
  replica.listen(where, {
    onConnection: (endpoint) => serve(endpoint, 0),
    onRestore: (endpoint, context) => serve(endpoint, numberOf(context)),
  });
}

/**
 * A download in state mode. An event that was not finished has not happened, so its output may
 * differ when it is repeated.
 */
export function stateDownload(total: number, port = PORT): (replica: Replica) => void {
  const window = 48 * 1024;
  return (replica) => {
    const serve = (endpoint: StreamEndpoint, from: number): void => {
      let sent = from;
      const ask = (): void => {
        endpoint.checkpoint?.(number(sent));
        if (sent < total) endpoint.wantSpace(STAMP_BYTES + sent - window / 2);
        else endpoint.shutdown();
      };
      const fill = (acked: number): void => {
        while (sent < total && STAMP_BYTES + sent - acked < window) {
          const length = Math.min(total - sent, 1 + ((sent * 7919) % 9973));
          endpoint.write(pattern(endpoint.remotePort & 7, sent, length));
          sent += length;
        }
        ask();
      };
      on(endpoint, { onSpace: fill, onEnd: () => endpoint.close() });
      if (from > 0) ask();
      else {
        endpoint.write(stamp(replica));
        fill(0);
      }
    };
    replica.listen(
      { port },
      {
        onConnection: (endpoint) => serve(endpoint, 0),
        onRestore: (endpoint, context) => serve(endpoint, numberOf(context)),
      },
    );
  };
}

/** A client's connection, the proxy's own one for it, and the number that they are matched by. */
interface Pair {
  outer: StreamEndpoint;
  inner: StreamEndpoint;
  key: number;
  /** The inner connection is established. */
  connected: boolean;
  /** Data of the client that waits for that. */
  waiting: Buffer[];
}

function savePair(endpoint: StreamEndpoint, key: number, waiting: Buffer[] = []): void {
  endpoint.checkpoint?.(Buffer.concat([number(key), ...waiting]));
}

/**
 * Forwards in both directions. Data that waits for the inner connection is saved with the outer
 * one.
 */
function joinPair(pair: Pair): void {
  const { outer, inner, key, waiting } = pair;
  on(inner, {
    onConnect: () => {
      pair.connected = true;
      for (const chunk of waiting.splice(0)) inner.write(chunk);
      savePair(inner, key);
      savePair(outer, key);
    },
    onData: (chunk) => outer.write(Buffer.from(chunk)),
    onEnd: () => inner.close(),
  });
  on(outer, {
    onData: (chunk) => {
      if (pair.connected) inner.write(Buffer.from(chunk));
      else {
        waiting.push(Buffer.from(chunk));
        savePair(outer, key, waiting);
      }
    },
    onEnd: () => {
      inner.close();
      outer.close();
    },
  });
}

/**
 * A proxy in state mode: both sides of each pair are restored, outgoing ones first, and matched by
 * a number.
 */
export function stateProxy(replica: Replica, more: Partial<ListenOptions> = {}): void {
  const inners = new Map<number, StreamEndpoint>();
  let next = 0;
  const open = (outer: StreamEndpoint, key: number, waiting: Buffer[]): void => {
    const inner = replica.connect({ address: outer.remoteAddress, port: INNER_PORT });
    joinPair({ outer, inner, key, connected: false, waiting });
  };
  replica.checkpoint.onRestore = (saved) => {
    next = saved('next') as number;
  };
  replica.connections.restoreHandler = {
    onConnection: () => undefined,
    onRestore: (inner, context) => inners.set(numberOf(context), inner),
    restores: () => true,
  };
  replica.listen(
    { port: PORT, ...more },
    {
      onConnection: (outer) => {
        const key = ++next;
        replica.checkpoint.save('next', next);
        savePair(outer, key);
        open(outer, key, []);
      },
      onRestore: (outer, context) => {
        const key = numberOf(context);
        const inner = inners.get(key);
        inners.delete(key);
        if (inner !== undefined) joinPair({ outer, inner, key, connected: true, waiting: [] });
        // Only the connect had been called: nothing was sent on the inner connection.
        else open(outer, key, context === null ? [] : [Buffer.from(context.subarray(8))]);
      },
    },
  );
}
