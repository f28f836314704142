/**
 * A replica as a process of its own: `ft-tcp run` or `ft-tcp gateway`, with its events read from
 * standard error.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FtError } from '../../lib/errors.js';

const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
/** Lines and events that are kept of each replica. */
const MAX_LINES = 200;

/** An event as the replica wrote it. */
export interface ReplicaEvent {
  event: string;
  [key: string]: unknown;
}

/** The phases of a takeover, as in the event `takeover`. Microseconds. */
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

/** Starts a replica, reads its events, and ends it. */
export class ReplicaProcess {
  readonly child: ChildProcess;
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** The last lines of standard error that are not events. */
  readonly stderrLines: string[] = [];
  #hasExited = false;
  readonly #seen: ReplicaEvent[] = [];
  readonly #waiting: { name: string; done: (event: ReplicaEvent) => void; fail: (error: Error) => void }[] = [];

  /**
   * Starts `ft-tcp run`, or another command, with these arguments, in the network namespace of a
   * process if one is given.
   */
  constructor(args: string[], netnsOf?: number, command: 'run' | 'gateway' = 'run') {
    const run = [CLI, command, ...args];
    const enter = ['-t', String(netnsOf), '-n', process.execPath];
    const stdio: ['ignore', 'ignore', 'pipe'] = ['ignore', 'ignore', 'pipe'];
    const child =
      netnsOf === undefined ? spawn(process.execPath, run, { stdio }) : spawn('nsenter', [...enter, ...run], { stdio });
    this.child = child;
    this.exited = new Promise((done) => {
      this.child.once('exit', (code, signal) => {
        this.#hasExited = true;
        // Its last lines may not have been read yet.
        setImmediate(() => this.#failAll(code, signal));
        done({ code, signal });
      });
    });
    createInterface({ input: child.stderr }).on('line', (line) => this.#line(line));
  }

  /** Its process id; 0 when it could not be started. */
  get pid(): number {
    return this.child.pid ?? 0;
  }

  /** Whether the process has ended. */
  get hasExited(): boolean {
    return this.#hasExited;
  }

  /** All events until now, at most 200. */
  get events(): readonly ReplicaEvent[] {
    return this.#seen;
  }

  /**
   * Resolves with the first event of this name. Rejects with FtError ERR_FT_REPLICA when the
   * process or the time ends.
   */
  event(name: string, timeoutMs = 10_000): Promise<ReplicaEvent> {
    const seen = this.#seen.find((event) => event.event === name);
    if (seen !== undefined) return Promise.resolve(seen);
    return new Promise((done, fail) => {
      const timer = setTimeout(() => fail(this.#error(`did not report "${name}" within ${timeoutMs} ms`)), timeoutMs);
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
      if (this.#hasExited) waiter.fail(this.#error(`ended before "${name}"`));
      else this.#waiting.push(waiter);
    });
  }

  /** Sends a signal, if the process has not ended. */
  kill(signal: NodeJS.Signals): void {
    if (!this.#hasExited) this.child.kill(signal);
  }

  /** Kills the process and waits until it has ended. */
  async close(): Promise<void> {
    this.kill('SIGKILL');
    await this.exited;
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
      this.stderrLines.push(line);
      if (this.stderrLines.length > MAX_LINES) this.stderrLines.shift();
      return;
    }
    if (this.#seen.length < MAX_LINES) this.#seen.push(event);
    for (const waiter of this.#waiting.splice(0)) {
      if (waiter.name === event.event) waiter.done(event);
      else this.#waiting.push(waiter);
    }
  }

  #failAll(code: number | null, signal: string | null): void {
    for (const waiter of this.#waiting.splice(0)) {
      waiter.fail(this.#error(`ended (${signal ?? code}) before "${waiter.name}"`));
    }
  }

  #error(what: string): FtError {
    const lines = this.stderrLines.map((line) => `\n${line}`).join('');
    return new FtError('ERR_FT_REPLICA', `Replica ${this.child.pid ?? '(not started)'} ${what}${lines}`);
  }
}
