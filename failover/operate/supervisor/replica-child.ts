/** A replica as a child process of its supervisor: its lines, its events, its end. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';

/** A line without an end is cut here. */
const MAX_LINE = 64 << 10;

/** An event that the replica wrote, as its line has it. */
export type ChildEvent = Readonly<Record<string, unknown>> & { readonly event: string };

/** What a child tells. */
export interface ChildListener {
  event(child: ReplicaChild, event: ChildEvent, line: string): void;
  /** A line that is no event. */
  line(child: ReplicaChild, stream: 'stdout' | 'stderr', line: string): void;
  ended(child: ReplicaChild, code: number | null, signal: NodeJS.Signals | null): void;
}

/** How a replica is started. */
export interface ChildStart {
  /** The program and its arguments. */
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
}

/** One process. */
export class ReplicaChild {
  readonly #child: ChildProcess;
  readonly startedAtMs: number;
  role: 'primary' | 'backup' | null = null;
  isReady = false;
  #hasEnded = false;

  constructor(
    { command, env }: ChildStart,
    readonly slot: number,
    listener: ChildListener,
    nowMs: number,
  ) {
    this.startedAtMs = nowMs;
    const [program = '', ...args] = command;
    // In a session of its own: the terminal's signals reach the supervisor, which ends it in order.
    this.#child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], detached: true, env });
    readLines(this.#child.stdout, (line) => listener.line(this, 'stdout', line));
    readLines(this.#child.stderr, (line) => this.#heard(line, listener));
    this.#child.on('error', () => this.#ended(listener, 1, null));
    this.#child.on('close', (code, signal) => this.#ended(listener, code, signal));
  }

  /** 0: it could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  get hasEnded(): boolean {
    return this.#hasEnded;
  }

  kill(signal: NodeJS.Signals): void {
    if (!this.#hasEnded) this.#child.kill(signal);
  }

  #heard(line: string, listener: ChildListener): void {
    const event = eventOf(line);
    if (event === null) {
      listener.line(this, 'stderr', line);
      return;
    }
    if (event.event === 'role') this.role = event['role'] === 'primary' ? 'primary' : 'backup';
    if (event.event === 'takeover') this.role = 'primary';
    if (event.event === 'ready') this.isReady = true;
    listener.event(this, event, line);
  }

  #ended(listener: ChildListener, code: number | null, signal: NodeJS.Signals | null): void {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    listener.ended(this, code, signal);
  }
}

function eventOf(line: string): ChildEvent | null {
  if (!line.startsWith('{"event":')) return null;
  try {
    return JSON.parse(line) as ChildEvent;
  } catch {
    return null;
  }
}

function readLines(stream: Readable | null, onLine: (line: string) => void): void {
  let rest = '';
  stream?.setEncoding('utf8');
  stream?.on('data', (text: string) => {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) onLine(line);
    if (rest.length < MAX_LINE) return;
    onLine(rest);
    rest = '';
  });
  stream?.on('end', () => {
    if (rest !== '') onLine(rest);
  });
}
