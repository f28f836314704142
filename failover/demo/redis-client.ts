/** redis-benchmark as a client of the demo: increments of one counter, which must be exact. */
import { spawn } from 'node:child_process';
import net from 'node:net';
import { CLIENT_ADDRESS } from '../lab/network.js';
import { Arrivals } from './arrivals.js';
import { BACKEND_PORT } from './backends.js';
import { type Client, type ClientOutcome, type ClientPlan, exitOf, monotonicMs } from './client.js';

/** The key that redis-benchmark increments. */
const COUNTER = 'counter:__rand_int__';
const POLL_MS = 5;
/** Increments for each of `--requests`. */
export const COMMANDS_PER_REQUEST = 10;

/** Asks the server past the gateway. */
class Probe {
  readonly #socket = net.connect(BACKEND_PORT, CLIENT_ADDRESS);
  #waiting: ((value: number) => void) | null = null;

  constructor() {
    this.#socket.on('error', () => this.#answer(Number.NaN));
    this.#socket.on('data', (part) => this.#answer(Number(part.toString().split('\r\n')[1])));
  }

  #answer(value: number): void {
    this.#waiting?.(value);
    this.#waiting = null;
  }

  /** The counter's value; NaN before the first increment. */
  counter(): Promise<number> {
    return new Promise((done) => {
      this.#waiting = done;
      this.#socket.write(`GET ${COUNTER}\r\n`);
    });
  }

  close(): void {
    this.#socket.destroy();
  }
}

/** Increments a counter by many connections; in the end it must be what was asked for. */
export function redisBenchmark({ options, address, onProgress }: ClientPlan): Client {
  const arrivals = new Arrivals();
  const total = options.requests * COMMANDS_PER_REQUEST;
  const args = ['-h', address, '-p', '80', '-n', String(total), '-c', String(options.connections), '-t', 'incr', '-q'];
  const child = spawn('redis-benchmark', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  const probe = new Probe();
  let done = 0;
  let asking = false;
  const look = async (): Promise<void> => {
    if (asking) return;
    asking = true;
    const now = await probe.counter();
    asking = false;
    if (now > done) {
      arrivals.add(now - done, monotonicMs());
      done = now;
    }
    onProgress(Math.min(0.99, done / total));
  };
  const timer = setInterval(() => void look(), POLL_MS);
  const finish = async (): Promise<ClientOutcome> => {
    const { exit, error } = await exitOf(child);
    clearInterval(timer);
    const after = new Probe();
    const last = await after.counter();
    after.close();
    probe.close();
    const wrong = last === total ? '' : `the counter is ${last} instead of ${total}`;
    const failedRequests = Math.abs(total - (last || 0));
    return { exit, sha256Equal: null, failedRequests, error: wrong || (exit === 0 ? '' : error) };
  };
  return { arrivals, progress: () => done / total, ended: finish(), kill: () => child.kill('SIGKILL') };
}
