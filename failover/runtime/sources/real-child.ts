/**
 * A child process on the live replica: what it says waits here, in order, until the program's
 * runtime takes it. Its streams are paused meanwhile.
 */
import type { ChildProcess, SendHandle, StdioOptions } from 'node:child_process';
import type { Readable } from 'node:stream';
import { originals } from '../core/originals.js';
import { decodeResult, encodeError } from '../core/result-codec.js';

/** What comes from a child. */
export type Item =
  | { kind: 'data'; fd: 1 | 2; bytes: Buffer }
  | { kind: 'end'; fd: 1 | 2 }
  | { kind: 'message'; value: unknown }
  | { kind: 'disconnect' }
  | { kind: 'error'; error: Error }
  | { kind: 'exit'; code: number | null; signal: NodeJS.Signals | null }
  | { kind: 'close' };

const KINDS = ['data', 'end', 'message', 'disconnect', 'error', 'exit', 'close'] as const;

/** An item as the log has it: its kind, its descriptor, and the rest. */
export function encodeItem(item: Item): Uint8Array {
  const head = Buffer.from([KINDS.indexOf(item.kind), 'fd' in item ? item.fd : 0]);
  switch (item.kind) {
    case 'data':
      return Buffer.concat([head, item.bytes]);
    case 'message':
      return Buffer.concat([head, Buffer.from(JSON.stringify(item.value ?? null))]);
    case 'exit':
      return Buffer.concat([head, Buffer.from(JSON.stringify([item.code, item.signal]))]);
    case 'error':
      return Buffer.concat([head, encodeError(item.error)]);
    default:
      return head;
  }
}

/** The reverse of {@link encodeItem}. */
export function decodeItem(result: Uint8Array): Item {
  const kind = KINDS[result[0]];
  const rest = Buffer.from(result.subarray(2));
  const fd = result[1] as 1 | 2;
  switch (kind) {
    case 'data':
      return { kind, fd, bytes: rest };
    case 'end':
      return { kind, fd };
    case 'message':
      return { kind, value: JSON.parse(rest.toString()) };
    case 'exit': {
      const [code, signal] = JSON.parse(rest.toString()) as [number | null, NodeJS.Signals | null];
      return { kind, code, signal };
    }
    case 'error': {
      const logged = decodeResult(rest);
      return { kind, error: logged.tag === 'error' ? logged.error : new Error('unknown') };
    }
    default:
      return { kind };
  }
}

/** The options of spawn, read. */
export interface SpawnOptions {
  /** As Node takes them, without a signal and a time limit. */
  readonly given: Record<string, unknown>;
  readonly stdio: readonly unknown[];
  readonly hasChannel: boolean;
  readonly signal: AbortSignal | undefined;
  readonly killSignal: NodeJS.Signals | number | undefined;
  /** Milliseconds; 0: none. */
  readonly timeout: number;
}

/** Reads the options of spawn. */
export function spawnOptions(options: Record<string, unknown>): SpawnOptions {
  const { signal, timeout, killSignal, ...given } = options;
  const { stdio = 'pipe' } = options;
  const list: unknown[] = Array.isArray(stdio) ? [...(stdio as unknown[])] : [stdio, stdio, stdio];
  for (let fd = 0; fd < 3; fd++) list[fd] = list[fd] ?? 'pipe';
  return {
    given: { ...given, stdio: list },
    stdio: list.map((entry) => (entry === 'overlapped' ? 'pipe' : entry)),
    hasChannel: list.includes('ipc'),
    signal: signal as AbortSignal | undefined,
    killSignal: killSignal as NodeJS.Signals | undefined,
    timeout: typeof timeout === 'number' ? timeout : 0,
  };
}

/** Starts a child. Throws what Node's spawn throws. */
export function spawnReal(file: string, args: readonly string[], options: SpawnOptions): RealChild {
  const stdio = options.given['stdio'] as StdioOptions;
  return new RealChild(originals.childProcess.spawn(file, args, { ...options.given, stdio }));
}

/** When a process started, in the kernel's ticks; '' if that is not known. */
export function startOf(pid: number): string {
  try {
    const stat = originals.fs.readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
  } catch {
    return '';
  }
}

type Callback = (error?: Error | null) => void;

/** A running child. */
export class RealChild {
  readonly pid: number | undefined;
  readonly started: string;
  readonly #child: ChildProcess;
  readonly #items: Item[] = [];
  #waiting: ((item: Item) => void) | null = null;

  constructor(child: ChildProcess) {
    this.#child = child;
    this.pid = child.pid;
    this.started = child.pid === undefined ? '' : startOf(child.pid);
    this.#listen(child.stdout, 1);
    this.#listen(child.stderr, 2);
    child.stdin?.on('error', () => undefined);
    child.on('error', (error) => this.#add({ kind: 'error', error }));
    child.on('message', (value) => this.#add({ kind: 'message', value }));
    child.on('disconnect', () => this.#add({ kind: 'disconnect' }));
    child.on('exit', (code, signal) => this.#add({ kind: 'exit', code, signal }));
    child.on('close', () => this.#add({ kind: 'close' }));
  }

  #listen(stream: Readable | null, fd: 1 | 2): void {
    stream?.on('data', (bytes: Buffer) => {
      stream.pause();
      this.#add({ kind: 'data', fd, bytes });
    });
    stream?.on('end', () => this.#add({ kind: 'end', fd }));
  }

  #add(item: Item): void {
    if (this.#waiting === null) {
      this.#items.push(item);
      return;
    }
    const waiting = this.#waiting;
    this.#waiting = null;
    this.#take(item, waiting);
  }

  /** Calls back once with the next item. */
  next(taken: (item: Item) => void): void {
    const item = this.#items.shift();
    if (item === undefined) this.#waiting = taken;
    else this.#take(item, taken);
  }

  #take(item: Item, taken: (item: Item) => void): void {
    if (item.kind === 'data') (item.fd === 1 ? this.#child.stdout : this.#child.stderr)?.resume();
    taken(item);
  }

  write(bytes: Buffer, done: Callback): void {
    const { stdin } = this.#child;
    if (stdin === null || !stdin.writable) done(Object.assign(new Error('write EPIPE'), { code: 'EPIPE' }));
    else stdin.write(bytes, done);
  }

  end(done: Callback): void {
    const { stdin } = this.#child;
    if (stdin === null || !stdin.writable) done();
    else stdin.end(() => done());
  }

  send(message: unknown, done: Callback): void {
    this.#child.send(message as string, undefined as unknown as SendHandle, {}, done);
  }

  disconnect(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  kill(signal?: NodeJS.Signals | number): boolean {
    return this.#child.kill(signal);
  }

  /** Kills it, and reads nothing more: its own children may hold its streams. */
  abandon(signal: NodeJS.Signals | number): boolean {
    this.#child.stdout?.destroy();
    this.#child.stderr?.destroy();
    return this.#child.kill(signal);
  }

  ref(): void {
    this.#child.ref();
  }

  unref(): void {
    this.#child.unref();
  }
}
