/**
 * A disk of the simulated machine, a program that keeps a ledger on it, and its clients. Calls take
 * time and end in any order. The calls of a process that dies are carried out, by half, or not at
 * all. The disk can be full.
 */

import type { Replica } from '../../failover/replica/replica.js';
import type { Operation, Outcome } from '../../failover/runtime/core/async-operations.js';
import { SeededRandom } from '../../lib/random.js';
import type { StreamEndpoint } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client } from './clients.js';
import type { Process } from './process.js';
import { on, PORT, STAMP_BYTES, stamp } from './programs.js';

/** Longest time of a call. */
const MAX_CALL_US = 4000;

interface Call {
  process: Process;
  at: number;
  bytes: Uint8Array;
}

/** The disk. It reports writes that must not happen. */
export class Disk {
  readonly violations: string[] = [];
  readonly #bytes = new Uint8Array(1 << 20);
  readonly #random: SeededRandom;
  readonly #pending = new Set<Call>();
  readonly #watched = new Set<Process>();

  constructor(
    seed: string,
    /** Its size in bytes. */
    readonly room = Number.POSITIVE_INFINITY,
    /** Whether a process may write. */
    readonly mayWrite: (process: Process) => boolean = () => true,
  ) {
    this.#random = new SeededRandom(`${seed} disk`);
  }

  read(at: number, length: number): Buffer {
    return Buffer.from(this.#bytes.slice(at, at + length));
  }

  /** A process writes; `done` is called at the end. */
  write(process: Process, at: number, bytes: Uint8Array, done: (error: NodeJS.ErrnoException | null) => void): void {
    process.call();
    if (!this.mayWrite(process)) this.violations.push(`disk: ${process.name} writes, and is not the primary`);
    const old = this.#bytes.subarray(at, at + bytes.length);
    if (old.some((byte, i) => byte !== 0 && byte !== bytes[i]))
      this.violations.push(`disk: ${process.name} overwrites other data at ${at}`);
    if (at + bytes.length > this.room) {
      const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
      process.later(this.#slowness(), () => done(full));
      return;
    }
    this.#watch(process);
    const call = { process, at, bytes: bytes.slice() };
    this.#pending.add(call);
    process.later(this.#slowness(), () => {
      this.#pending.delete(call);
      this.#bytes.set(call.bytes, at);
      done(null);
    });
  }

  /** A process writes, and waits for it. @returns the number of bytes */
  put(process: Process, at: number, bytes: Uint8Array): number {
    process.call();
    if (!this.mayWrite(process)) this.violations.push(`disk: ${process.name} writes, and is not the primary`);
    const old = this.#bytes.subarray(at, at + bytes.length);
    if (old.some((byte, i) => byte !== 0 && byte !== bytes[i]))
      this.violations.push(`disk: ${process.name} overwrites other data at ${at}`);
    this.#bytes.set(bytes, at);
    // Here it is written, and nobody knows of it.
    process.call();
    return bytes.length;
  }

  /** A process reads; `done` gets the contents at the end of the call. */
  fetch(process: Process, at: number, length: number, done: (bytes: Buffer) => void): void {
    process.call();
    process.later(this.#slowness(), () => done(this.read(at, length)));
  }

  #slowness(): number {
    return 50 + this.#random.float() * MAX_CALL_US;
  }

  /** Each pending call of a process that dies is carried out up to a random part. */
  #watch(process: Process): void {
    if (this.#watched.has(process)) return;
    this.#watched.add(process);
    const before = process.onDeath;
    process.onDeath = () => {
      before();
      for (const call of [...this.#pending]) {
        if (call.process !== process) continue;
        this.#pending.delete(call);
        const length = Math.floor(this.#random.float() * 3) * Math.ceil(call.bytes.length / 2);
        this.#bytes.set(call.bytes.subarray(0, length), call.at);
      }
    };
  }
}

// --- The ledger: each request is written at a place of its own before it is answered. Every fourth
// --- request reads the last one back.

const RECORD = 64;
const REQUEST = 8;
const ANSWER = 16 + RECORD;
const Status = { Written: 1, Full: 2, Read: 3 } as const;

/**
 * The record of a request. It has no zero byte, so that a missing record can be told from a written
 * one.
 */
function recordOf(client: number, n: number): Buffer {
  const record = Buffer.alloc(RECORD);
  for (let i = 0; i < RECORD; i++) record[i] = 1 + ((client * 37 + n * 11 + i * 5) % 255);
  return record;
}

const NONE = Buffer.alloc(RECORD);
const CODES = ['', 'ENOSPC'];

function outcomeOf(error: NodeJS.ErrnoException | null, ...values: unknown[]): Outcome {
  return { error, values };
}

/** A write, as an operation of the runtime. */
function writing(process: Process, disk: Disk, at: number, bytes: Buffer, then: (full: boolean) => void): Operation {
  return {
    name: 'disk.write',
    effect: true,
    start: (done) => disk.write(process, at, bytes, (error) => done(outcomeOf(error))),
    encode: ({ error }) => Uint8Array.from([CODES.indexOf(error?.code ?? '')]),
    decode: ([code]) => outcomeOf(code === 0 ? null : Object.assign(new Error('as logged'), { code: CODES[code] })),
    settle: ({ error }) => then(error?.code === 'ENOSPC'),
  };
}

/** A read, likewise. */
function reading(process: Process, disk: Disk, at: number, then: (bytes: Buffer) => void): Operation {
  return {
    name: 'disk.read',
    effect: false,
    start: (done) => disk.fetch(process, at, RECORD, (bytes) => done(outcomeOf(null, bytes))),
    encode: ({ values }) => values[0] as Buffer,
    decode: (result) => outcomeOf(null, Buffer.from(result)),
    settle: ({ values }) => then(values[0] as Buffer),
  };
}

/** The program. */
export function ledger(replica: Replica, process: Process, disk: Disk): void {
  let end = 0;
  const serve = (endpoint: StreamEndpoint): void => {
    let last = -1;
    let got = Buffer.alloc(0);
    const answer = (n: number, status: number, at: number, bytes: Buffer): void => {
      const head = Buffer.alloc(16);
      head.writeUInt32LE(n, 0);
      head.writeUInt32LE(status, 4);
      head.writeDoubleLE(at, 8);
      endpoint.write(Buffer.concat([head, bytes, stamp(replica)]));
    };
    const request = (client: number, n: number): void => {
      const at = last;
      if (n % 4 === 3 && at >= 0) {
        replica.runtime.operations.begin(reading(process, disk, at, (bytes) => answer(n, Status.Read, at, bytes)));
        return;
      }
      const place = end;
      end += RECORD;
      replica.runtime.operations.begin(
        writing(process, disk, place, recordOf(client, n), (full) => {
          if (!full) last = place;
          answer(n, full ? Status.Full : Status.Written, place, NONE);
        }),
      );
    };
    on(endpoint, {
      onData: (chunk) => {
        got = Buffer.concat([got, chunk]);
        for (; got.length >= REQUEST; got = got.subarray(REQUEST)) request(got.readUInt32LE(0), got.readUInt32LE(4));
      },
      onEnd: () => endpoint.close(),
    });
  };
  replica.listen({ port: PORT }, { onConnection: serve });
}

/** A client: checks the answers, and that every answered record is on the disk. */
export class Scribe extends Client {
  #n = 0;
  #got: Buffer = Buffer.alloc(0);
  /** Where its records are. */
  readonly #places: { at: number; n: number }[] = [];

  constructor(
    host: StackHost,
    readonly number: number,
    readonly requests: number,
    readonly disk: Disk,
  ) {
    super(host);
  }

  start(): void {
    this.#ask();
  }

  #ask(): void {
    this.rested();
    const request = Buffer.alloc(REQUEST);
    request.writeUInt32LE(this.number, 0);
    request.writeUInt32LE(this.#n, 4);
    this.endpoint.write(request);
  }

  take(chunk: Buffer): void {
    this.#got = Buffer.concat([this.#got, chunk]);
    if (this.#got.length < ANSWER + STAMP_BYTES) return;
    if (this.#got.length > ANSWER + STAMP_BYTES) this.fail('more than requested');
    this.#judge(this.#got.readUInt32LE(0), this.#got.readUInt32LE(4), this.#got.readDoubleLE(8));
    this.#got = Buffer.alloc(0);
    if (++this.#n < this.requests) this.#ask();
    else {
      this.done = true;
      this.endpoint.close();
    }
  }

  #judge(n: number, status: number, at: number): void {
    if (n !== this.#n) this.fail(`an answer to ${n} instead of ${this.#n}`);
    const last = this.#places.at(-1);
    if (status === Status.Read) {
      const read = this.#got.subarray(16, ANSWER);
      if (last === undefined || at !== last.at || !read.equals(recordOf(this.number, last.n)))
        this.fail(`request ${n} has read something else than was written`);
      return;
    }
    const fits = at + RECORD <= this.disk.room;
    if (fits !== (status === Status.Written)) this.fail(`request ${n} at ${at} was answered with ${status}`);
    if (status === Status.Written) this.#places.push({ at, n });
    // Every answered record is there, now and later.
    for (const place of this.#places)
      if (!this.disk.read(place.at, RECORD).equals(recordOf(this.number, place.n)))
        this.fail(`request ${place.n} is not on the disk at ${place.at}, though it was answered`);
  }
}
