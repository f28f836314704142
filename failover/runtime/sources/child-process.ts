/**
 * Child processes of a program. Only the live replica starts them. What a child says, and its end,
 * arrives as events; what the program writes to it is an effect. A child does not outlive its
 * primary: after a takeover it has been killed, as the program hears.
 */
import childProcess from 'node:child_process';
import { Readable, Writable } from 'node:stream';
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import { encodeError } from '../core/result-codec.js';
import {
  decodeItem,
  encodeItem,
  type Item,
  type RealChild,
  type SpawnOptions,
  spawnReal,
  startOf,
} from './real-child.js';

type Callback = (error?: Error | null) => void;

/** What a child gives after its primary has died. */
const LOST: readonly Item[] = [
  { kind: 'exit', code: null, signal: 'SIGKILL' },
  { kind: 'end', fd: 1 },
  { kind: 'end', fd: 2 },
  { kind: 'close' },
];

/** A child process, as the program sees it; has the members of Node's ChildProcess. */
export class VirtualChild extends childProcess.ChildProcess {
  readonly #runtime: RuntimeContext;
  #real: RealChild | null = null;
  /** What is left to be told of a child whose primary has died. */
  readonly #lost = [...LOST];
  /** The program has not read what there is: nothing more is taken. */
  #stalled = false;
  #ended = false;
  #channel = false;
  /** When it started (real-child.ts). */
  #started = '';

  constructor(runtime: RuntimeContext, file: string, args: readonly string[], options: SpawnOptions) {
    super();
    this.#runtime = runtime;
    const [pid, started] = this.#spawn(file, args, options);
    const streams = [this.#input(options, pid), this.#makeOutput(options, pid, 1), this.#makeOutput(options, pid, 2)];
    const [stdin, stdout, stderr] = streams;
    this.#channel = pid !== undefined && options.hasChannel;
    Object.assign(this, { pid, stdin, stdout, stderr, stdio: streams, connected: this.#channel });
    Object.assign(this, { spawnfile: file, spawnargs: [file, ...args] });
    if (pid !== undefined) process.nextTick(() => this.emit('spawn'));
    options.signal?.addEventListener('abort', () => this.kill(options.killSignal ?? 'SIGTERM'), { once: true });
    if (options.timeout > 0) {
      const timer = setTimeout(() => this.kill(options.killSignal ?? 'SIGTERM'), options.timeout);
      this.once('exit', () => clearTimeout(timer));
    }
    this.#started = started;
    this.#next();
  }

  /** Starts it on the live replica. @returns its number, and when it started */
  #spawn(file: string, args: readonly string[], options: SpawnOptions): [pid: number | undefined, started: string] {
    const take = (): unknown => {
      this.#real = spawnReal(file, args, options);
      return [this.#real.pid, this.#real.started];
    };
    const sample = { name: 'child_process.spawn', take, isEffect: true, withoutLog: () => [undefined, ''] };
    return this.#runtime.samples.take(sample, VirtualChild as never) as [number | undefined, string];
  }

  #input(options: SpawnOptions, pid: number | undefined): Writable | null {
    if (options.stdio[0] !== 'pipe') return null;
    const write = (name: string, run: (real: RealChild, done: Callback) => void, done: Callback): void =>
      this.#effect(`child_process.stdin.${name}`, run, done);
    if (pid === undefined) return new Writable({ write: (_chunk, _encoding, done) => done() });
    return new Writable({
      write: (chunk: Buffer, _encoding, done) => write('write', (real, ended) => real.write(chunk, ended), done),
      final: (done) => write('end', (real, ended) => real.end(ended), done),
    });
  }

  /** Something that goes to the child; its end is an event. */
  #effect(name: string, run: (real: RealChild, done: Callback) => void, done: Callback): void {
    const gone = (): NodeJS.ErrnoException =>
      Object.assign(new Error('write EPIPE'), { code: 'EPIPE', syscall: 'write', errno: -32 });
    this.#runtime.operations.begin({
      name,
      effect: true,
      start: (ended) => {
        const finish = (error?: Error | null): void => ended({ error: error ?? null, values: [] });
        if (this.#real === null) finish(gone());
        else run(this.#real, finish);
      },
      redo: (ended) => ended({ error: gone(), values: [] }),
      encode: ({ error }) => (error === null ? new Uint8Array(0) : encodeError(error)),
      decode: (result) => ({ error: result.length === 0 ? null : gone(), values: [] }),
      settle: ({ error }) => done(error),
    });
  }

  #makeOutput(options: SpawnOptions, pid: number | undefined, fd: 1 | 2): Readable | null {
    if (options.stdio[fd] !== 'pipe') return null;
    const stream = new Readable({
      read: () => {
        if (!this.#stalled) return;
        this.#stalled = false;
        if (!this.#ended) this.#next();
      },
    });
    if (pid === undefined) stream.push(null);
    return stream;
  }

  /** A stream that the program may still read. */
  #output(fd: 1 | 2): Readable | undefined {
    const stream = this.stdio[fd] as Readable | null;
    return stream === null || stream.destroyed ? undefined : stream;
  }

  /** Waits for what comes next; each is an event. */
  #next(): void {
    const lost = (done: (outcome: Outcome) => void): void => done({ error: null, values: [this.#lost.shift()] });
    this.#runtime.operations.begin({
      name: 'child_process',
      effect: false,
      start: (done) => {
        if (this.#real === null) lost(done);
        else this.#real.next((item) => done({ error: null, values: [item] }));
      },
      redo: (done) => {
        if (this.pid !== undefined) killOrphan(this.pid, this.#started);
        lost(done);
      },
      encode: ({ values }) => encodeItem(values[0] as Item),
      decode: (result) => ({ error: null, values: [decodeItem(result)] }),
      settle: ({ values }) => this.#tell(values[0] as Item),
    });
  }

  #tell(item: Item): void {
    this.#ended = item.kind === 'close' || (item.kind === 'error' && this.pid === undefined);
    const more = this.#show(item);
    this.#stalled = !more;
    if (more && !this.#ended) this.#next();
  }

  /** Gives an item to the program. @returns whether it takes more now */
  #show(item: Item): boolean {
    switch (item.kind) {
      case 'data':
        return this.#output(item.fd)?.push(item.bytes) ?? true;
      case 'end':
        this.#output(item.fd)?.push(null);
        return true;
      case 'message':
        this.emit('message', item.value, undefined);
        return true;
      case 'disconnect':
        this.#disconnected();
        return true;
      case 'error':
        this.emit('error', item.error);
        return true;
      case 'exit':
        Object.assign(this, { exitCode: item.code, signalCode: item.signal });
        this.stdin?.destroy();
        this.emit('exit', item.code, item.signal);
        return true;
      case 'close':
        this.#disconnected();
        this.emit('close', this.exitCode, this.signalCode);
        return true;
    }
  }

  #disconnected(): void {
    if (!this.#channel) return;
    this.#channel = false;
    Object.assign(this, { connected: false });
    this.emit('disconnect');
  }

  override kill(signal?: NodeJS.Signals | number): boolean {
    return this.#kill((real) => real.kill(signal));
  }

  /** Kills it, and hears nothing more of its output, as exec does. */
  abandon(signal: NodeJS.Signals | number = 'SIGTERM'): void {
    this.#kill((real) => real.abandon(signal));
    this.stdout?.destroy();
    this.stderr?.destroy();
    this.#stalled = false;
  }

  #kill(run: (real: RealChild) => boolean): boolean {
    if (this.pid === undefined || this.exitCode !== null || this.signalCode !== null) return false;
    const take = (): unknown => this.#real !== null && run(this.#real);
    const sample = { name: 'child_process.kill', take, isEffect: true, withoutLog: () => true };
    const sent = this.#runtime.samples.take(sample, this.kill) as boolean;
    if (sent) Object.assign(this, { killed: true });
    return sent;
  }

  override send(message: unknown, ...rest: unknown[]): boolean {
    const callback = rest.at(-1);
    const done: Callback = (error) => {
      if (typeof callback === 'function') (callback as Callback)(error ?? null);
      else if (error) this.emit('error', error);
    };
    this.#effect('child_process.send', (real, ended) => real.send(message, ended), done);
    return true;
  }

  override disconnect(): void {
    const take = (): unknown => this.#real?.disconnect();
    this.#runtime.samples.take({ name: 'child_process.disconnect', take, isEffect: true }, this.disconnect);
  }

  override ref(): void {
    this.#real?.ref();
  }

  override unref(): void {
    this.#real?.unref();
  }
}

/** Kills what a dead primary has started, if the number is still that child's. */
function killOrphan(pid: number, started: string): void {
  try {
    if (started === '' || startOf(pid) !== started) return;
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}
