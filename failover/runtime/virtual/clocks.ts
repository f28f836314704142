/**
 * Puts logical time under Date, performance, process and Intl. Patches public functions only; the
 * same on Node 20, 22, 24 and 26.
 */
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

/** Makes the Date constructor that the program sees. Everything but "now" is Node's own. */
function virtualDate(runtime: RuntimeContext): DateConstructor {
  const OriginalDate = originals.Date;
  const now = (): number => (runtime.active ? runtime.time.wall() : OriginalDate.now());
  // A function, not a class: Date() without new is legal.
  function VirtualDate(this: unknown, ...args: unknown[]): unknown {
    if (new.target === undefined) return new OriginalDate(now()).toString();
    if (args.length === 0) args = [now()];
    return Reflect.construct(OriginalDate, args, new.target);
  }
  Object.defineProperties(VirtualDate, Object.getOwnPropertyDescriptors(OriginalDate));
  Object.defineProperty(VirtualDate, 'now', { value: now, writable: true, configurable: true, enumerable: false });
  Object.defineProperty(now, 'name', { value: 'now', configurable: true });
  return VirtualDate as unknown as DateConstructor;
}

/** Formatters take "now" when they are not given a date. */
function patchIntl(runtime: RuntimeContext, patcher: Patcher): void {
  const prototype = Intl.DateTimeFormat.prototype;
  const getter = Object.getOwnPropertyDescriptor(prototype, 'format')?.get;
  const bound = new WeakMap<object, (date?: Date | number) => string>();
  if (getter !== undefined) {
    patcher.getter(prototype, 'format', function format(this: Intl.DateTimeFormat) {
      const original = getter.call(this) as (date?: Date | number) => string;
      let patched = bound.get(this);
      if (patched === undefined) {
        patched = (date) => original(date === undefined && runtime.active ? runtime.time.wall() : date);
        bound.set(this, patched);
      }
      return patched;
    });
  }
  patcher.method(
    prototype,
    'formatToParts',
    (original) =>
      function formatToParts(this: unknown, date?: unknown) {
        return original.call(this, date === undefined && runtime.active ? runtime.time.wall() : date);
      },
  );
}

/** Puts logical time under Date, performance, process and Intl. */
export function installClocks(runtime: RuntimeContext, patcher: Patcher): void {
  const { time } = runtime;
  const VirtualDate = virtualDate(runtime);
  patcher.value(globalThis, 'Date', VirtualDate);
  patcher.value(originals.Date.prototype, 'constructor', VirtualDate);

  const { performance } = globalThis;
  patcher.method(
    performance,
    'now',
    () => () => (runtime.active ? time.sinceOrigin() / 1000 : originals.performanceNow()),
  );
  const timeOrigin = performance.timeOrigin;
  patcher.getter(performance, 'timeOrigin', () => (runtime.active ? (time.origin?.wallMs ?? timeOrigin) : timeOrigin));

  const bigint = (): bigint => (runtime.active ? BigInt(time.mono()) * 1000n : originals.hrtime.bigint());
  patcher.method(
    process,
    'hrtime',
    () =>
      function hrtime(before?: unknown) {
        if (!runtime.active) return originals.hrtime(before as [number, number] | undefined);
        // Node refuses an argument that is no pair.
        if (before !== undefined && !(Array.isArray(before) && before.length === 2))
          return originals.hrtime(before as never);
        const us = time.mono();
        let seconds = Math.floor(us / 1e6);
        let nanos = (us - seconds * 1e6) * 1000;
        if (before !== undefined) {
          seconds -= (before as number[])[0];
          nanos -= (before as number[])[1];
          if (nanos < 0) {
            seconds--;
            nanos += 1e9;
          }
        }
        return [seconds, nanos];
      },
  );
  patcher.value(process.hrtime, 'bigint', bigint);
  patcher.method(process, 'uptime', () => () => (runtime.active ? time.sinceOrigin() / 1e6 : originals.uptime()));
  patchIntl(runtime, patcher);
}
