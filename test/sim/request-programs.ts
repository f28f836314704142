/**
 * Programs that count: uploads, half-closed connections, and requests that are answered by timers.
 */

import type { Replica } from '../../failover/replica/replica.js';
import type { ListenOptions, StreamEndpoint } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client, pattern, patternByte } from './clients.js';
import { on, PORT, STAMP_BYTES, sendAll, stamp } from './programs.js';

// --- Upload ---

/** Counts and sums what a client sends, and answers at its end. */
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

/** A client that collects the answer. */
abstract class Collector extends Client {
  protected answer: Buffer = Buffer.alloc(0);

  take(chunk: Buffer): void {
    this.answer = Buffer.concat([this.answer, chunk]);
  }
}

/** Sends a stream, and checks the server's sum of it. */
export class Uploader extends Collector {
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

// --- Half-closed connections ---

/** The server sends its part and FIN first, and counts what clients send after that. */
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

/** Sends after the server's FIN. */
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
    if (this.seen.received !== STAMP_BYTES) this.fail(`${this.seen.received} bytes of greeting`);
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

/** Asks the program how many bytes it has counted. */
export class Asker extends Collector {
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

// --- Requests with timers ---

/** Answers each request after a timer of the program; answers are numbered. */
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

/** Serves one connection. @param next the number of the next answer */
export function delay(replica: Replica, endpoint: StreamEndpoint, next: () => number): void {
  on(endpoint, {
    onData: (chunk) => {
      const number = chunk[0];
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

/** Sends requests to a delayed server and checks the answers. */
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
    if (this.#got.length < 8 + STAMP_BYTES + length) return;
    if (this.#got.length > 8 + STAMP_BYTES + length) this.fail('more than was asked for');
    this.expectPattern(number, this.#got.subarray(8 + STAMP_BYTES), 0);
    if (++this.#number < this.requests) this.#ask();
    else {
      this.done = true;
      this.endpoint.close();
    }
  }
}
