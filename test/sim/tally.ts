/**
 * A program whose connections share something: each question is given the next number, and none is
 * ever given twice, or left out.
 */
import type { Replica } from '../../failover/replica/replica.js';
import type { StreamEndpoint } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client } from './clients.js';
import { on, PORT } from './programs.js';
import { number, numberOf } from './state-programs.js';

const SIZE = 8;
/** A question is as long as that; most of it is there to fill the log. */
const QUESTION = 1000;

/** Answers a question with the tally, and with how many this connection has asked. */
export function tally(replica: Replica): void {
  let all = 0;
  replica.checkpoint.onRestore = (saved) => {
    all = saved('all') as number;
  };
  const serve = (endpoint: StreamEndpoint, before: number): void => {
    let seen = before;
    on(endpoint, {
      onData: (chunk) => {
        for (const last = seen + chunk.length; seen < last; ) {
          const next = Math.min(last, seen - (seen % QUESTION) + QUESTION);
          seen = next;
          if (next % QUESTION !== 0) continue;
          replica.checkpoint.save('all', ++all);
          const answer = Buffer.alloc(SIZE);
          answer.writeUInt32LE(all, 0);
          answer.writeUInt32LE(next / QUESTION, 4);
          endpoint.write(answer);
        }
        endpoint.checkpoint?.(number(seen));
      },
      onEnd: () => endpoint.close(),
    });
  };
  replica.listen(
    { port: PORT },
    {
      onConnection: (endpoint) => serve(endpoint, 0),
      onRestore: (endpoint, context) => serve(endpoint, numberOf(context)),
    },
  );
}

export class Asking extends Client {
  #asked = 0;
  #got = Buffer.alloc(0);

  constructor(
    host: StackHost,
    readonly questions: number,
    /** Of all of them. */
    readonly all: number,
    /** Numbers that were given to any of them. */
    readonly given: Set<number>,
  ) {
    super(host);
  }

  start(): void {
    this.#ask();
  }

  #ask(): void {
    this.rested();
    this.endpoint.write(Buffer.alloc(QUESTION, ++this.#asked));
  }

  take(chunk: Buffer): void {
    this.#got = Buffer.concat([this.#got, chunk]);
    if (this.#got.length < SIZE) return;
    const given = this.#got.readUInt32LE(0);
    if (this.given.has(given)) this.fail(`the number ${given} was given twice`);
    this.given.add(given);
    if (given > this.all) this.fail(`the number ${given} was given, and there are ${this.all} questions`);
    if (this.#got.readUInt32LE(4) !== this.#asked) this.fail(`question ${this.#asked} was counted as another one`);
    this.#got = this.#got.subarray(SIZE);
    if (this.#asked < this.questions) this.later(1 + (given % 3), () => this.#ask());
    else {
      this.done = true;
      this.endpoint.close();
    }
  }
}
