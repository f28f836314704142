/**
 * The functions of node:child_process that start a child and do not wait for it: spawn, fork, and
 * exec and execFile, which collect its output. Their arguments and errors are Node's.
 */
import childProcess from 'node:child_process';
import { promisify } from 'node:util';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { VirtualChild } from './child-process.js';
import { spawnOptions } from './real-child.js';

type Bag = Record<string, unknown>;
type Collected = (error: Error | null, stdout: string | Buffer, stderr: string | Buffer) => void;

const MAX_BUFFER_BYTES = 1024 * 1024;

/** Arguments as (file, list, options): the list and the options may be left out. */
function spawnArguments([file, list, options]: readonly unknown[]): [file: string, list: string[], options: Bag] {
  if (Array.isArray(list)) return [file as string, list.map(String), { ...(options as Bag | undefined) }];
  return [file as string, [], { ...((list ?? options) as Bag | undefined) }];
}

function start(runtime: RuntimeContext, [file, list, options]: [string, string[], Bag]): VirtualChild {
  return new VirtualChild(runtime, file, list, spawnOptions(options));
}

/** The command line as Node's errors name it. */
function commandOf([file, list, options]: [string, string[], Bag]): string {
  return options['shell'] ? file : [file, ...list].join(' ');
}

/** One output of a child, up to a limit. */
class Output {
  readonly #parts: Buffer[] = [];
  #bytes = 0;

  constructor(
    readonly name: string,
    readonly limit: number,
    readonly onOverrun: (error: Error) => void,
  ) {}

  add(part: Buffer): void {
    const room = this.limit - this.#bytes;
    this.#bytes += part.length;
    this.#parts.push(part.length > room ? part.subarray(0, Math.max(0, room)) : part);
    if (part.length <= room) return;
    const error = new RangeError(`${this.name} maxBuffer length exceeded`);
    this.onOverrun(Object.assign(error, { code: 'ERR_CHILD_PROCESS_STDIO_MAXBUFFER' }));
  }

  value(encoding: unknown): string | Buffer {
    const all = Buffer.concat(this.#parts);
    return typeof encoding === 'string' && Buffer.isEncoding(encoding) ? all.toString(encoding) : all;
  }
}

/** Runs a child for its output. */
function collect(
  runtime: RuntimeContext,
  args: [string, string[], Bag],
  callback: Collected | undefined,
): VirtualChild {
  const [, , options] = args;
  const { encoding = 'utf8', maxBuffer = MAX_BUFFER_BYTES } = options;
  const { timeout, ...rest } = options;
  const child = start(runtime, [args[0], args[1], rest]);
  if (typeof timeout === 'number' && timeout > 0) {
    const timer = setTimeout(() => child.abandon(options['killSignal'] as NodeJS.Signals | undefined), timeout);
    child.once('exit', () => clearTimeout(timer));
  }
  let failure: Error | null = null;
  const overrun = (error: Error): void => {
    failure ??= error;
    child.abandon(options['killSignal'] as NodeJS.Signals | undefined);
  };
  const outputs = ['stdout', 'stderr'].map((name) => new Output(name, Number(maxBuffer), overrun));
  child.stdout?.on('data', (part: Buffer) => outputs[0].add(part));
  child.stderr?.on('data', (part: Buffer) => outputs[1].add(part));
  let isOver = false;
  const end = (error: Error | null): void => {
    if (isOver) return;
    isOver = true;
    const [stdout, stderr] = outputs.map((output) => output.value(encoding));
    callback?.(error, stdout, stderr);
  };
  child.on('close', (code: number | null, signal: string | null) => {
    const cmd = commandOf(args);
    if (failure !== null) end(Object.assign(failure, { cmd }));
    else if (code === 0 && signal === null) end(null);
    else {
      const error = new Error(`Command failed: ${cmd}\n${String(outputs[1].value('utf8'))}`);
      end(Object.assign(error, { code, killed: child.killed, signal, cmd }));
    }
  });
  child.on('error', (error: Error) => end(Object.assign(error, { cmd: commandOf(args) })));
  return child;
}

/** Splits a callback off the arguments. */
function withCallback(args: readonly unknown[]): [args: unknown[], callback: Collected | undefined] {
  const at = args.findIndex((arg) => typeof arg === 'function');
  return at < 0 ? [[...args], undefined] : [args.slice(0, at), args[at] as Collected];
}

/** The promise form: rejects with the output in the error, and has the child. */
function promised(run: (args: unknown[], callback: Collected) => VirtualChild): AnyFunction {
  return (...args) => {
    let child: VirtualChild | undefined;
    const promise = new Promise((resolve, reject) => {
      child = run(args, (error, stdout, stderr) => {
        if (error === null) resolve({ stdout, stderr });
        else reject(Object.assign(error, { stdout, stderr }));
      });
    });
    return Object.assign(promise, { child });
  };
}

function forkArguments(args: readonly unknown[]): [string, string[], Bag] {
  const [module, list, options] = spawnArguments(args);
  const { execPath = process.execPath, execArgv = process.execArgv, silent, stdio, ...rest } = options;
  const streams = silent === true ? 'pipe' : 'inherit';
  const shown = stdio ?? [streams, streams, streams, 'ipc'];
  return [execPath as string, [...(execArgv as string[]), module, ...list], { ...rest, stdio: shown, shell: false }];
}

/** Makes children sources of events. */
export function installChildCalls(runtime: RuntimeContext, patcher: Patcher): void {
  const exec = (args: readonly unknown[], callback: Collected | undefined): VirtualChild => {
    const [command, options] = args as [string, Bag | undefined];
    return collect(runtime, [command, [], { ...options, shell: options?.['shell'] ?? true }], callback);
  };
  const execFile = (args: readonly unknown[], callback: Collected | undefined): VirtualChild =>
    collect(runtime, spawnArguments(args), callback);
  for (const [name, run] of [
    ['exec', exec],
    ['execFile', execFile],
  ] as const) {
    patcher.method(childProcess, name, (original) => {
      const custom = promised((args, callback) => run(args, callback));
      const own = (original as unknown as Record<symbol, AnyFunction>)[promisify.custom];
      const wrapper: AnyFunction = (...args) => (runtime.active ? run(...withCallback(args)) : original(...args));
      return Object.defineProperty(wrapper, promisify.custom, {
        value: (...args: unknown[]) => (runtime.active ? custom(...args) : own(...args)),
      });
    });
  }
  patcher.method(childProcess, 'spawn', (original) => (...args: unknown[]) => {
    return runtime.active ? start(runtime, spawnArguments(args)) : original(...args);
  });
  patcher.method(childProcess, 'fork', (original) => (...args: unknown[]) => {
    return runtime.active ? start(runtime, forkArguments(args)) : original(...args);
  });
}
