/** A replica as a process of its own: `ft-tcp run` with its events read from standard error. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FtError } from '../../lib/errors.js';

const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
const KEPT_LINES = 200;

export interface ReplicaEvent {
  event: string;
  [key: string]: unknown;
}

/** Times of a takeover as `ft-tcp run` reports them. Microseconds. */
export interface Breakdown {
  reason: string;
  atMonotonicUs: number;
  fenceUs: number;
  drainUs: number;
  attachUs: number;
  firstByteUs: number;
  firstByteAtUs: number;
  connections: number;
}

export class ReplicaProcess {
  readonly child: ChildProcess;
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** The last lines on standard error that are no events. */
  readonly said: string[] = [];
  #over = false;
  readonly #seen: ReplicaEvent[] = [];
  readonly #waiting: { name: string; done: (event: ReplicaEvent) => void; fail: (error: Error) => void }[] = [];

  /** Starts `ft-tcp run` with these words, in the network namespace of a process if one is given. */
  constructor(args: string[], netnsOf?: number) {
    const words = [process.execPath, CLI, 'run', ...args];
    const enter = netnsOf === undefined ? [] : ['nsenter', '-t', String(netnsOf), '-n'];
    const [command, ...rest] = [...enter, ...words];
    this.child = spawn(command!, rest, { stdio: ['ignore', 'ignore', 'pipe'] });
    this.ended = new Promise((done) => {
      this.child.once('exit', (code, signal) => {
        this.#over = true;
        // What it said last may still be on its way.
        setImmediate(() => this.#failAll(code, signal));
        done({ code, signal });
      });
    });
    createInterface({ input: this.child.stderr! }).on('line', (line) => this.#line(line));
  }

  get pid(): number {
    return this.child.pid!;
  }

  get over(): boolean {
    return this.#over;
  }

  get events(): readonly ReplicaEvent[] {
    return this.#seen;
  }

  /** Waits for an event, or has had it. Rejects when the process ends or the time (milliseconds) is over. */
  event(name: string, timeoutMs = 10_000): Promise<ReplicaEvent> {
    const seen = this.#seen.find((event) => event.event === name);
    if (seen !== undefined) return Promise.resolve(seen);
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(this.#error(`did not come to "${name}" within ${timeoutMs} ms`)), timeoutMs);
      const waiter = {
        name,
        done: (event: ReplicaEvent) => {
          clearTimeout(timer);
          done(event);
        },
        fail: (error: Error) => {
          clearTimeout(timer);
          fail(error);
        },
      };
      if (this.#over) waiter.fail(this.#error(`ended before "${name}"`));
      else this.#waiting.push(waiter);
    });
  }

  /** Sends a signal; to a process that is gone, nothing. */
  kill(signal: NodeJS.Signals): void {
    if (!this.#over) this.child.kill(signal);
  }

  /** Ends it and waits for that. */
  async close(): Promise<void> {
    this.kill('SIGKILL');
    await this.ended;
  }

  #line(line: string): void {
    let event: ReplicaEvent | undefined;
    if (line.startsWith('{')) {
      try {
        event = JSON.parse(line) as ReplicaEvent;
      } catch {
        event = undefined;
      }
    }
    if (event === undefined || typeof event.event !== 'string') {
      this.said.push(line);
      if (this.said.length > KEPT_LINES) this.said.shift();
      return;
    }
    if (this.#seen.length < KEPT_LINES) this.#seen.push(event);
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      if (this.#waiting[i]!.name === event.event) this.#waiting.splice(i, 1)[0]!.done(event);
    }
  }

  #failAll(code: number | null, signal: string | null): void {
    for (const waiter of this.#waiting.splice(0)) {
      waiter.fail(this.#error(`ended (${signal ?? code}) before "${waiter.name}"`));
    }
  }

  #error(what: string): FtError {
    const said = this.said.length === 0 ? '' : `\n${this.said.join('\n')}`;
    return new FtError('ERR_FT_REPLICA', `Replica ${this.child.pid ?? '(not started)'} ${what}${said}`);
  }
}
