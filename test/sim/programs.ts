/**
 * Programs and their clients. A program is ordinary code over the replica's sockets and timers, and
 * runs on every replica. Where the protocol has room, programs send the number and the time of the
 * running event: two replicas that ran different events would send different bytes.
 */

import type { Replica } from '../../failover/replica/replica.js';
import type { ListenOptions, StreamEndpoint, StreamEvents } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client, pattern, patternByte } from './clients.js';

/** Where the programs listen. */
export const PORT = 80;

/** Sets the handlers of a socket, and starts reading; missing handlers do nothing. */
export function on(endpoint: StreamEndpoint, events: Partial<StreamEvents>): void {
  endpoint.events = {
    onConnect: () => undefined,
    onData: () => undefined,
    onEnd: () => undefined,
    onSpace: () => undefined,
    onClose: () => undefined,
    ...events,
  };
  endpoint.setReading(true);
}

/** Sixteen bytes that only this event can send: its number and its time. */
export function stamp(replica: Replica): Buffer {
  const out = Buffer.alloc(16);
  out.writeDoubleLE(replica.time.number, 0);
  out.writeDoubleLE(replica.time.monoUs, 8);
  return out;
}

/** Length of a stamp, in bytes. */
export const STAMP_BYTES = 16;

/** Sends `total` bytes of a stream, at most `window` unacknowledged, then calls `end`. */
export function sendAll(
  endpoint: StreamEndpoint,
  stream: number,
  total: number,
  window: number,
  end: () => void,
): void {
  let sent = 0;
  const fill = (acked: number): void => {
    while (sent < total && sent - acked < window) {
      const length = Math.min(total - sent, 1 + ((sent * 7919) % 9973));
      endpoint.write(pattern(stream, sent, length));
      sent += length;
    }
    if (sent < total) endpoint.wantSpace(sent - window / 2);
    else end();
  };
  endpoint.events!.onSpace = fill;
  fill(0);
}

// --- Download: the server sends a stamp and a stream, and closes. ---

/** Sends a stamp and a stream to each client, and closes. */
export function download(total: number, more: Partial<ListenOptions> = {}): (replica: Replica) => void {
  return (replica) => {
    replica.listen(
      { port: PORT, ...more },
      {
        onConnection: (endpoint) => {
          on(endpoint, { onEnd: () => endpoint.close() });
          endpoint.write(stamp(replica));
          sendAll(endpoint, endpoint.remotePort & 7, total, 48 * 1024, () => endpoint.shutdown());
        },
      },
    );
  };
}

/** Receives a download and checks it. */
export class Downloader extends Client {
  constructor(
    host: StackHost,
    readonly total: number,
  ) {
    super(host);
  }
  start(): void {}
  take(chunk: Buffer, from: number): void {
    const skip = Math.max(0, STAMP_BYTES - from);
    if (chunk.length > skip)
      this.expectPattern(this.endpoint.localPort & 7, chunk.subarray(skip), from + skip - STAMP_BYTES);
  }
  override ended(): void {
    if (this.seen.received !== this.total + STAMP_BYTES)
      this.fail(`${this.seen.received} bytes instead of ${this.total + STAMP_BYTES}`);
    this.done = true;
    this.endpoint.close();
  }
}

/** A client that stops reading for a while, so that the window closes. */
export class SlowReader extends Downloader {
  #paused = false;
  override take(chunk: Buffer, from: number): void {
    super.take(chunk, from);
    if (this.#paused || this.seen.received < 10_000) return;
    this.#paused = true;
    this.endpoint.setReading(false);
    this.later(400, () => {
      this.rested();
      this.endpoint.setReading(true);
    });
  }
}

// --- Echo ---

/** The echo's answer to bytes that come after `seen` others. */
export function changed(chunk: Buffer, seen: number): Buffer {
  const answer = Buffer.from(chunk);
  for (let i = 0; i < answer.length; i++) answer[i] = answer[i] ^ ((seen + i) & 255);
  return answer;
}

/** Answers bytes with the same bytes, changed by a count that the program keeps. */
export function echo(replica: Replica, backlog = 511, more: Partial<ListenOptions> = {}): void {
  replica.listen(
    { port: PORT, backlog, ...more },
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

/** Sends requests to an echo and checks the answers. */
export class Echoer extends Client {
  #round = 0;
  #sent = 0;
  constructor(
    host: StackHost,
    readonly stream: number,
    readonly rounds: number,
    readonly pauseMs: number,
  ) {
    super(host);
  }
  start(): void {
    this.#send();
  }
  #send(): void {
    this.rested();
    const length = 1 + ((this.#round * 977) % 3000);
    this.endpoint.write(pattern(this.stream, this.#sent, length));
    this.#sent += length;
    this.#round++;
  }
  take(chunk: Buffer, from: number): void {
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] === (patternByte(this.stream, from + i) ^ ((from + i) & 255))) continue;
      this.fail(`byte ${from + i} of the echo is wrong`);
      return;
    }
    if (this.seen.received < this.#sent) return;
    if (this.#round < this.rounds) {
      if (this.pauseMs > 0) this.later(this.pauseMs, () => this.#send());
      else this.#send();
    } else {
      this.done = true;
      this.endpoint.close();
    }
  }
}

// --- Resets ---

/** Aborts a connection at its third request. */
export function resetter(replica: Replica): void {
  replica.listen(
    { port: PORT },
    {
      onConnection: (endpoint) => {
        let requests = 0;
        on(endpoint, {
          onData: (chunk) => {
            if (++requests > 2) endpoint.abort();
            else endpoint.write(Buffer.from(chunk));
          },
        });
      },
    },
  );
}

/** Expects two answers and a reset. */
export class ResetClient extends Client {
  start(): void {
    this.endpoint.write(pattern(1, 0, 100));
  }
  take(_chunk: Buffer, from: number): void {
    if ((from + _chunk.length) % 100 === 0) this.later(5, () => this.endpoint.write(pattern(1, 0, 100)));
  }
  override closed(): void {
    if (this.seen.closed !== 'ECONNRESET') this.fail(`the connection ended with ${this.seen.closed}`);
    if (this.seen.received !== 200) this.fail(`${this.seen.received} bytes before the reset`);
    this.done = true;
  }
}

// --- A client that is idle for long. ---

/** Waits before it starts. */
export class Sleeper extends Echoer {
  override start(): void {
    this.later(900, () => super.start());
  }
}
