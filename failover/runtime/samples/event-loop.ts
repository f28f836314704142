/**
 * What Node measures of its event loop, as samples; marks and measures take the program's clock.
 */
import type perfHooks from 'node:perf_hooks';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import type { Sample } from './samples.js';

type Bag = Record<string, unknown>;

const HISTOGRAM_VALUES = [
  ...['count', 'min', 'max', 'mean', 'stddev', 'exceeds', 'percentiles'],
  ...['countBigInt', 'minBigInt', 'maxBigInt', 'exceedsBigInt', 'percentilesBigInt'],
];
const HISTOGRAM_CALLS = ['percentile', 'percentileBigInt', 'toJSON'];

/** A histogram whose values are samples; it records on each replica, and on each other values. */
function sampledHistogram(runtime: RuntimeContext, histogram: Bag): object {
  const take = (name: string, read: () => unknown, caller: AnyFunction): unknown => {
    const sample: Sample = { name: `monitorEventLoopDelay.${name}`, take: read };
    return runtime.samples.take(sample, caller);
  };
  const shown = Object.create(Object.getPrototypeOf(histogram) as object) as object;
  for (const name of HISTOGRAM_VALUES) {
    if (!(name in histogram)) continue;
    Object.defineProperty(shown, name, {
      get: function getter() {
        return take(name, () => histogram[name], getter);
      },
    });
  }
  for (const name of HISTOGRAM_CALLS) {
    if (typeof histogram[name] !== 'function') continue;
    const method = histogram[name] as AnyFunction;
    Object.defineProperty(shown, name, {
      value: function call(...args: unknown[]) {
        return take(name, () => method.apply(histogram, args), call);
      },
    });
  }
  for (const name of ['enable', 'disable', 'reset', Symbol.dispose]) {
    const method = Reflect.get(histogram, name) as AnyFunction | undefined;
    if (typeof method === 'function') Object.defineProperty(shown, name, { value: () => method.call(histogram) });
  }
  return shown;
}

/** Marks and measures without a time of their own get that of the event. */
function installMarks(runtime: RuntimeContext, patcher: Patcher): void {
  const { performance } = globalThis;
  patcher.method(
    performance,
    'mark',
    (original) =>
      function mark(this: unknown, ...args: unknown[]) {
        const [name, options] = args;
        if (!runtime.active || args.length === 0 || (options as Bag | null | undefined)?.['startTime'] !== undefined)
          return original.apply(performance, args);
        return original.call(performance, name, { ...(options as Bag | undefined), startTime: performance.now() });
      },
  );
  patcher.method(
    performance,
    'measure',
    (original) =>
      function measure(this: unknown, ...args: unknown[]) {
        const [name, from, to] = args;
        if (!runtime.active || args.length === 0 || to !== undefined) return original.apply(performance, args);
        const isOptions = typeof from === 'object' && from !== null;
        const options: Bag = isOptions ? { ...(from as Bag) } : from === undefined ? {} : { start: from };
        const hasEnd =
          options['end'] !== undefined || (options['start'] !== undefined && options['duration'] !== undefined);
        if (!hasEnd) options['end'] = performance.now();
        if (options['start'] === undefined && options['duration'] === undefined) options['start'] = 0;
        return original.call(performance, name, options);
      },
  );
}

/** Makes samples of what Node measures of its event loop. */
export function installEventLoopSamples(runtime: RuntimeContext, patcher: Patcher, hooks: typeof perfHooks): void {
  const { performance } = globalThis;
  const utilization = (original: AnyFunction): AnyFunction =>
    function eventLoopUtilization(...args: unknown[]): unknown {
      const take = (): unknown => original.apply(performance, args);
      return runtime.samples.take({ name: 'performance.eventLoopUtilization', take }, eventLoopUtilization);
    };
  patcher.method(performance, 'eventLoopUtilization', utilization);
  patcher.method(hooks, 'eventLoopUtilization', utilization);
  patcher.method(hooks, 'monitorEventLoopDelay', (original) => (...args: unknown[]) => {
    const histogram = original(...args) as Bag;
    return runtime.active ? sampledHistogram(runtime, histogram) : histogram;
  });
  const { nodeTiming } = performance;
  patcher.getter(performance, 'nodeTiming', function nodeTimingSample() {
    if (!runtime.active) return nodeTiming;
    return runtime.samples.take({ name: 'performance.nodeTiming', take: () => nodeTiming.toJSON() }, nodeTimingSample);
  });
  patcher.method(performance, 'toJSON', (original) => {
    return function toJSON(): unknown {
      // Plain: the parts of it that are objects of Node's look at their process.
      const take = (): unknown => JSON.parse(JSON.stringify(original.call(performance)));
      return runtime.samples.take({ name: 'performance.toJSON', take }, toJSON);
    };
  });
  installMarks(runtime, patcher);
}
