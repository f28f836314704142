/**
 * A program that reads values at once, and writes at once: samples of the runtime. Each process has
 * a gauge of its own, so a backup that reads its own instead of the log's sends other bytes.
 */

import type { Replica } from '../../failover/replica/replica.js';
import type { Outcome } from '../../failover/runtime/core/async-operations.js';
import { Samples } from '../../failover/runtime/samples/samples.js';
import type { StreamEndpoint } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client } from './clients.js';
import type { Disk } from './disk.js';
import { Killed, type Process } from './process.js';
import { on, PORT, STAMP_BYTES, stamp } from './programs.js';

/** Samples of a process that may die while it asks the kernel. */
export class SimSamples extends Samples {
  protected override ask(fn: () => unknown): Outcome {
    const outcome = super.ask(fn);
    if (outcome.error instanceof Killed) throw outcome.error;
    return outcome;
  }
}

const REQUEST_BYTES = 8;
/** Number, gauge, sum of the gauges, place on the disk. */
const ANSWER_BYTES = 32;
const LINE_BYTES = 16;

/** The line that a request writes; no byte of it is zero. */
function lineOf(client: number, n: number): Buffer {
  return Buffer.from(Array.from({ length: LINE_BYTES }, (_, i) => 1 + ((client * 41 + n * 13 + i * 7) % 255)));
}

/** Reads the gauge, writes a line, and answers with both and with the sum of what it has read. */
export function gauge(replica: Replica, process: Process, disk: Disk): void {
  const { samples } = replica.runtime;
  let asked = 0;
  let end = 0;
  const read = (): number => {
    const take = (): number => {
      process.call();
      return process.pid * 1000 + asked++;
    };
    return samples.take({ name: 'sim.gauge', numbers: 'value', take }, read) as number;
  };
  const write = (place: number, line: Buffer): number => {
    const take = (): number => disk.put(process, place, line);
    return samples.take({ name: 'sim.write', numbers: 'value', isEffect: true, take }, write) as number;
  };
  const serve = (endpoint: StreamEndpoint): void => {
    let sum = 0;
    let got = Buffer.alloc(0);
    const answer = (client: number, n: number): void => {
      const value = read();
      sum += value;
      const place = end;
      end += write(place, lineOf(client, n));
      sum += read();
      const out = Buffer.alloc(ANSWER_BYTES);
      for (const [i, field] of [n, value, sum, place].entries()) out.writeDoubleLE(field, 8 * i);
      endpoint.write(Buffer.concat([out, stamp(replica)]));
    };
    on(endpoint, {
      onData: (chunk) => {
        got = Buffer.concat([got, chunk]);
        for (; got.length >= REQUEST_BYTES; got = got.subarray(REQUEST_BYTES))
          answer(got.readUInt32LE(0), got.readUInt32LE(4));
      },
      onEnd: () => endpoint.close(),
    });
  };
  replica.listen({ port: PORT }, { onConnection: serve });
}

/** Asks for the gauge, and checks the sum, and that each answered line is on the disk. */
export class GaugeReader extends Client {
  #n = 0;
  #sum = 0;
  #got: Buffer = Buffer.alloc(0);

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
    const request = Buffer.alloc(REQUEST_BYTES);
    request.writeUInt32LE(this.number, 0);
    request.writeUInt32LE(this.#n, 4);
    this.endpoint.write(request);
  }

  take(chunk: Buffer): void {
    this.#got = Buffer.concat([this.#got, chunk]);
    if (this.#got.length < ANSWER_BYTES + STAMP_BYTES) return;
    const [n, value, sum, place] = [0, 8, 16, 24].map((at) => this.#got.readDoubleLE(at));
    this.#got = this.#got.subarray(ANSWER_BYTES + STAMP_BYTES);
    if (n !== this.#n) this.fail(`an answer to ${n} instead of ${this.#n}`);
    // Two values of one process, the second one later.
    const second = sum - this.#sum - value;
    if (second <= value && Math.floor(second / 1000) === Math.floor(value / 1000))
      this.fail(`request ${n}: the gauge went from ${value} to ${second}`);
    this.#sum = sum;
    if (!this.disk.read(place, LINE_BYTES).equals(lineOf(this.number, n)))
      this.fail(`request ${n} is not on the disk at ${place}, though it was answered`);
    if (++this.#n < this.requests) this.#ask();
    else {
      this.done = true;
      this.endpoint.close();
    }
  }
}
