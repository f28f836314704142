/**
 * Functions of Node whose values differ between processes, as samples: memory, CPU time, the
 * machine, V8's statistics, the event loop. Public functions only; a name that the running Node
 * does not have is left out.
 */
import os from 'node:os';
import perfHooks from 'node:perf_hooks';
import v8 from 'node:v8';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { installEventLoopSamples } from './event-loop.js';
import type { Sample } from './samples.js';

/** What the value of a function is made of: a number, a list or a record of numbers, anything. */
type Shape = 'value' | 'list' | 'record' | 'any';

const PROCESS: Record<string, Shape> = {
  memoryUsage: 'record',
  cpuUsage: 'record',
  threadCpuUsage: 'record',
  resourceUsage: 'record',
  constrainedMemory: 'value',
  availableMemory: 'value',
  getActiveResourcesInfo: 'any',
  getuid: 'value',
  geteuid: 'value',
  getgid: 'value',
  getegid: 'value',
  getgroups: 'list',
};

const OS: Record<string, Shape> = {
  availableParallelism: 'value',
  cpus: 'any',
  freemem: 'value',
  getPriority: 'value',
  homedir: 'any',
  loadavg: 'list',
  machine: 'any',
  networkInterfaces: 'any',
  release: 'any',
  tmpdir: 'any',
  totalmem: 'value',
  uptime: 'value',
  userInfo: 'any',
  version: 'any',
};

const V8: Record<string, Shape> = {
  getHeapStatistics: 'record',
  getHeapCodeStatistics: 'record',
  getHeapSpaceStatistics: 'any',
  getCppHeapStatistics: 'any',
  queryObjects: 'any',
};

/** The names of a record's numbers; undefined: it has others, or cannot be had. */
function namesOf(original: AnyFunction, owner: object): readonly string[] | undefined {
  try {
    const value = original.call(owner) as object;
    return Object.values(value).every((entry) => typeof entry === 'number') ? Object.keys(value) : undefined;
  } catch {
    return undefined;
  }
}

function numbersOf(shape: Shape, original: AnyFunction, owner: object): Pick<Sample, 'numbers'> {
  if (shape === 'any') return {};
  const numbers = shape === 'record' ? namesOf(original, owner) : shape;
  return numbers === undefined ? {} : { numbers };
}

/** Makes a function of Node a sample. @returns what replaces it */
export function sampled(
  runtime: RuntimeContext,
  name: string,
  original: AnyFunction,
  shape: Shape = 'any',
): AnyFunction {
  let numbers: Pick<Sample, 'numbers'> | undefined;
  function wrapper(this: unknown, ...args: unknown[]): unknown {
    if (!runtime.active) return original.apply(this, args);
    // Not when it is patched: asking once costs some of these functions milliseconds.
    numbers ??= runtime.outside(() => numbersOf(shape, original, this as object));
    return runtime.samples.take({ name, take: () => original.apply(this, args), ...numbers }, wrapper);
  }
  return wrapper;
}

function install(
  runtime: RuntimeContext,
  patcher: Patcher,
  owner: object,
  prefix: string,
  names: Record<string, Shape>,
): void {
  for (const [name, shape] of Object.entries(names))
    patcher.method(owner, name, (original) => sampled(runtime, `${prefix}.${name}`, original, shape));
}

/** Effects of the live replica alone, whose value is logged: a diagnostic file is written once. */
function installReports(runtime: RuntimeContext, patcher: Patcher): void {
  const effect = (name: string) => (original: AnyFunction) =>
    function wrapper(this: unknown, ...args: unknown[]): unknown {
      const take = (): unknown => original.apply(this, args);
      return runtime.samples.take({ name, take, isEffect: true }, wrapper);
    };
  patcher.method(v8, 'writeHeapSnapshot', effect('v8.writeHeapSnapshot'));
  const { report } = process;
  if (report === undefined) return;
  patcher.method(report, 'writeReport', effect('process.report.writeReport'));
  patcher.method(report, 'getReport', (original) => sampled(runtime, 'process.report.getReport', original));
}

/** Makes the functions of the tables samples. */
export function installValues(runtime: RuntimeContext, patcher: Patcher): void {
  const rss = process.memoryUsage.rss as AnyFunction;
  install(runtime, patcher, process, 'process', PROCESS);
  patcher.value(process.memoryUsage, 'rss', sampled(runtime, 'process.memoryUsage.rss', rss, 'value'));
  install(runtime, patcher, os, 'os', OS);
  install(runtime, patcher, v8, 'v8', V8);
  installReports(runtime, patcher);
  installEventLoopSamples(runtime, patcher, perfHooks);
}
