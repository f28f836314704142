/**
 * Programs and their clients. A program is ordinary code over the replica's sockets and timers; it runs on every replica. Programs put
 * the number and the time of the running event into what they say where the protocol has room for it: two replicas that had lived
 * through different events would say different things.
 */

import type { Replica } from '../../failover/replica/replica.js';
import type { ListenOptions, StreamEndpoint, StreamEvents } from '../../stack/sockets/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client, pattern, patternByte } from './clients.js';

export const PORT = 80;

/** Events of a socket, those that do not matter left out. */
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

/** Sixteen bytes that only this event can say. */
export function stamp(replica: Replica): Buffer {
  const out = Buffer.alloc(16);
  out.writeDoubleLE(replica.time.number, 0);
  out.writeDoubleLE(replica.time.monoUs, 8);
  return out;
}

export const STAMP = 16;

/** Sends a stream of so many bytes and closes; holds back as a socket does. */
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

// --- Download: the server says a stamp, a stream, and goodbye. ---

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

export class Downloader extends Client {
  constructor(
    host: StackHost,
    readonly total: number,
  ) {
    super(host);
  }
  start(): void {}
  take(chunk: Buffer, from: number): void {
    const skip = Math.max(0, STAMP - from);
    if (chunk.length > skip) this.expectPattern(this.endpoint.localPort & 7, chunk.subarray(skip), from + skip - STAMP);
  }
  override ended(): void {
    if (this.seen.received !== this.total + STAMP)
      this.fail(`${this.seen.received} bytes instead of ${this.total + STAMP}`);
    this.done = true;
    this.endpoint.close();
  }
}

/** A reader that stops reading for a while, so that the window closes. */
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

// --- Echo: each request is answered with its bytes, changed by a number that the program counts on. ---

/** What an echo says to bytes that come after so many others. */
function changed(chunk: Buffer, seen: number): Buffer {
  const answer = Buffer.from(chunk);
  for (let i = 0; i < answer.length; i++) answer[i] = answer[i]! ^ ((seen + i) & 255);
  return answer;
}

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

// --- State mode: the same two, by programs that save what they need and get their connections back ---

export function number(value: number): Buffer {
  const out = Buffer.alloc(8);
  out.writeDoubleLE(value);
  return out;
}

export function numberOf(context: Uint8Array | null): number {
  return context === null ? 0 : Buffer.from(context).readDoubleLE(0);
}

/** A program that is repeated, with one server that is not: echoes at PORT, in state mode at PORT + 1. */
export function mixed(replica: Replica): void {
  echo(replica);
  stateEcho(replica, { port: PORT + 1, replication: 'state' });
}

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

/** In state mode an event that was not finished has not happened: what the program says may depend on when it runs again. */
export function stateDownload(total: number, port = PORT): (replica: Replica) => void {
  const window = 48 * 1024;
  return (replica) => {
    const serve = (endpoint: StreamEndpoint, from: number): void => {
      let sent = from;
      const ask = (): void => {
        endpoint.checkpoint?.(number(sent));
        if (sent < total) endpoint.wantSpace(STAMP + sent - window / 2);
        else endpoint.shutdown();
      };
      const fill = (acked: number): void => {
        while (sent < total && STAMP + sent - acked < window) {
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

// --- Upload: the server counts and sums, and says so at the end. ---

export function upload(replica: Replica): void {
  let uploads = 0;
  replica.listen(
    { port: PORT },
    {
      onConnection: (endpoint) => {
        let sum = 0;
        let count = 0;
        on(endpoint, {
          onData: (chunk) => {
            for (const byte of chunk) sum = (Math.imul(sum, 31) + byte) >>> 0;
            count += chunk.length;
          },
          onEnd: () => {
            const answer = Buffer.alloc(12);
            answer.writeUInt32LE(sum, 0);
            answer.writeUInt32LE(count, 4);
            answer.writeUInt32LE(++uploads, 8);
            endpoint.write(answer);
            endpoint.close();
          },
        });
      },
    },
  );
}

/** Keeps what it is told. */
abstract class Listener extends Client {
  protected answer: Buffer = Buffer.alloc(0);

  take(chunk: Buffer): void {
    this.answer = Buffer.concat([this.answer, chunk]);
  }
}

export class Uploader extends Listener {
  constructor(
    host: StackHost,
    readonly stream: number,
    readonly total: number,
    readonly window = 64 * 1024,
  ) {
    super(host);
  }
  start(): void {
    sendAll(this.endpoint, this.stream, this.total, this.window, () => {
      this.rested();
      this.endpoint.shutdown();
    });
  }
  override ended(): void {
    let sum = 0;
    for (let i = 0; i < this.total; i++) sum = (Math.imul(sum, 31) + patternByte(this.stream, i)) >>> 0;
    if (this.answer.length !== 12) this.fail(`an answer of ${this.answer.length} bytes`);
    else if (this.answer.readUInt32LE(4) !== this.total || this.answer.readUInt32LE(0) !== sum)
      this.fail(`the server got ${this.answer.readUInt32LE(4)} bytes, or others`);
    this.done = true;
    this.endpoint.close();
  }
}

// --- Half-closed: the server says its part and FIN first; the client goes on sending. ---

export function halfClosed(replica: Replica): void {
  let total = 0;
  replica.listen(
    { port: PORT },
    {
      onConnection: (endpoint) => {
        endpoint.write(stamp(replica));
        endpoint.shutdown();
        on(endpoint, {
          onData: (chunk) => {
            total += chunk.length;
          },
          onEnd: () => endpoint.close(),
        });
      },
    },
  );
  // Asked afterwards: what the program remembers of the other connections.
  replica.listen(
    { port: PORT + 1 },
    {
      onConnection: (endpoint) => {
        on(endpoint, { onEnd: () => endpoint.close() });
        const answer = Buffer.alloc(4);
        answer.writeUInt32LE(total, 0);
        endpoint.write(answer);
        endpoint.shutdown();
      },
    },
  );
}

export class HalfCloser extends Client {
  #parts = 0;
  constructor(
    host: StackHost,
    readonly stream: number,
    readonly asker: Client & { open(address: string, port: number): Client },
    readonly address: string,
  ) {
    super(host);
  }
  start(): void {}
  take(): void {}
  override ended(): void {
    if (this.seen.received !== STAMP) this.fail(`${this.seen.received} bytes of greeting`);
    this.#send();
  }
  #send(): void {
    this.rested();
    if (this.#parts === 12) {
      this.endpoint.close();
      this.done = true;
      // The program is told of all that was sent, sooner or later.
      this.later(1500, () => this.asker.open(this.address, PORT + 1));
      return;
    }
    this.endpoint.write(pattern(this.stream, this.#parts * 2000, 2000));
    this.#parts++;
    this.later(7, () => this.#send());
  }
}

export class Asker extends Listener {
  constructor(
    host: StackHost,
    readonly expected: number,
  ) {
    super(host);
  }
  start(): void {}
  override ended(): void {
    const got = this.answer.length === 4 ? this.answer.readUInt32LE(0) : -1;
    if (got !== this.expected) this.fail(`the program has counted ${got} bytes, not ${this.expected}`);
    this.done = true;
    this.endpoint.close();
  }
}

// --- Requests with timers: the answer comes after a pause of the program. ---

export function delayed(replica: Replica, more: Partial<ListenOptions> = {}): void {
  let all = 0;
  replica.listen(
    { port: PORT, ...more },
    {
      onConnection: (endpoint) => {
        let own = 0;
        delay(replica, endpoint, () => (more.independent === true ? own++ : all++));
      },
    },
  );
}

/** One connection; each answer has a number. */
export function delay(replica: Replica, endpoint: StreamEndpoint, next: () => number): void {
  on(endpoint, {
    onData: (chunk) => {
      const number = chunk[0]!;
      replica.timers.set(3 + (number % 5), () => {
        const body = pattern(number, 0, 500 + number * 37);
        const head = Buffer.alloc(8);
        head.writeUInt32LE(body.length, 0);
        head.writeUInt32LE(next(), 4);
        endpoint.write(head);
        endpoint.write(stamp(replica));
        endpoint.write(body);
      });
    },
    onEnd: () => endpoint.close(),
  });
}

export class Requester extends Client {
  #number = 0;
  #got: Buffer = Buffer.alloc(0);
  constructor(
    host: StackHost,
    readonly first: number,
    readonly requests: number,
  ) {
    super(host);
  }
  start(): void {
    this.#ask();
  }
  #ask(): void {
    this.rested();
    this.#got = Buffer.alloc(0);
    this.endpoint.write(Buffer.from([this.first + this.#number]));
  }
  take(chunk: Buffer): void {
    this.#got = Buffer.concat([this.#got, chunk]);
    if (this.#got.length < 8) return;
    const length = this.#got.readUInt32LE(0);
    const number = this.first + this.#number;
    if (length !== 500 + number * 37) this.fail(`an answer of ${length} bytes to request ${number}`);
    if (this.#got.length < 8 + STAMP + length) return;
    if (this.#got.length > 8 + STAMP + length) this.fail('more than was asked for');
    this.expectPattern(number, this.#got.subarray(8 + STAMP), 0);
    if (++this.#number < this.requests) this.#ask();
    else {
      this.done = true;
      this.endpoint.close();
    }
  }
}

// --- Outgoing: for each client the program asks another server, and passes on what it says. ---

export const INNER_PORT = 9000;

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

/** The same in state mode: both sides of each pair come back, the outgoing ones first, and find each other by a number. */
export function stateProxy(replica: Replica, more: Partial<ListenOptions> = {}): void {
  const inners = new Map<number, StreamEndpoint>();
  let next = 0;
  const save = (endpoint: StreamEndpoint, key: number, waiting: Buffer[] = []): void =>
    endpoint.checkpoint?.(Buffer.concat([number(key), ...waiting]));
  /** Both sides; what came before the inner one stood is saved with the outer one. */
  const join = (
    outer: StreamEndpoint,
    inner: StreamEndpoint,
    key: number,
    connected: boolean,
    before: Buffer[],
  ): void => {
    const waiting = before;
    let stands = connected;
    on(inner, {
      onConnect: () => {
        stands = true;
        for (const chunk of waiting.splice(0)) inner.write(chunk);
        save(inner, key);
        save(outer, key);
      },
      onData: (chunk) => outer.write(Buffer.from(chunk)),
      onEnd: () => inner.close(),
    });
    on(outer, {
      onData: (chunk) => {
        if (stands) inner.write(Buffer.from(chunk));
        else {
          waiting.push(Buffer.from(chunk));
          save(outer, key, waiting);
        }
      },
      onEnd: () => {
        inner.close();
        outer.close();
      },
    });
  };
  const open = (outer: StreamEndpoint): StreamEndpoint =>
    replica.connect({ address: outer.remoteAddress, port: INNER_PORT });
  replica.saved.onRestore = (saved) => {
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
        replica.saved.save('next', next);
        save(outer, key);
        join(outer, open(outer), key, false, []);
      },
      onRestore: (outer, context) => {
        const key = numberOf(context);
        const inner = inners.get(key);
        inners.delete(key);
        // It had been asked for only: nothing was said on it.
        if (inner === undefined) join(outer, open(outer), key, false, [Buffer.from(context!.subarray(8))]);
        else join(outer, inner, key, true, []);
      },
    },
  );
}

/** The inner server, in the clients' own stack. */
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

// --- Resets: the program aborts after the second request. ---

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

// --- Says nothing for long, then speaks. ---

export class Sleeper extends Echoer {
  override start(): void {
    this.later(900, () => super.start());
  }
}
