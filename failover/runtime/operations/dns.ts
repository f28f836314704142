/**
 * Names: node:dns and node:dns/promises as operations. Only the live replica asks; its answer is an
 * event. What needs no question (an IP address, an empty name) and what Node refuses goes to Node's
 * own functions, which are the same on every replica. Patches public functions only; the same on
 * Node 20, 22, 24 and 26.
 */
import dns from 'node:dns';
import net from 'node:net';
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { decodeResult, encodeOutcome } from '../core/result-codec.js';

const RECORDS = ['A', 'AAAA', 'ANY', 'CAA', 'CNAME', 'MX', 'NAPTR', 'NS', 'PTR', 'SOA', 'SRV', 'TLSA', 'TXT'];
const RESOLVE = [
  'resolve',
  'resolve4',
  'resolve6',
  'resolveAny',
  'resolveCaa',
  'resolveCname',
  'resolveMx',
  'resolveNaptr',
  'resolveNs',
  'resolvePtr',
  'resolveSoa',
  'resolveSrv',
  'resolveTlsa',
  'resolveTxt',
  'reverse',
];

/** A name that is looked up needs no question if it is an address, or empty. */
function isQuestion(name: unknown): name is string {
  return typeof name === 'string' && name !== '' && net.isIP(name) === 0;
}

/** Whether Node takes a call; the callback is not among the arguments. */
function accepts(name: string, [target, second]: readonly unknown[]): boolean {
  if (name === 'lookup') return isQuestion(target);
  if (name === 'reverse') return typeof target === 'string' && net.isIP(target) !== 0;
  if (name === 'lookupService') {
    const port = typeof second === 'string' ? Number(second) : second;
    return typeof target === 'string' && net.isIP(target) !== 0 && Number.isInteger(port) && Number(port) >>> 16 === 0;
  }
  if (typeof target !== 'string') return false;
  return name !== 'resolve' || second === undefined || (typeof second === 'string' && RECORDS.includes(second));
}

function begin(
  runtime: RuntimeContext,
  name: string,
  start: (done: (outcome: Outcome) => void) => void,
  settle: (outcome: Outcome) => void,
): void {
  runtime.operations.begin({
    name: `dns.${name}`,
    effect: false,
    start: (done) => runtime.outside(() => start(done)),
    encode: (outcome) => encodeOutcome(runtime.native, outcome),
    decode: (result) => {
      const logged = decodeResult(result);
      if (logged.tag === 'error') return { error: logged.error, values: [] };
      return { error: null, values: logged.tag === 'values' ? logged.values : [] };
    },
    settle,
  });
}

/**
 * Node checks the options of a lookup also where it has nothing to ask. Throws what Node refuses.
 */
function checkLookup(original: AnyFunction, options: readonly unknown[]): void {
  original('127.0.0.1', ...options, () => undefined);
}

function callbackFace(runtime: RuntimeContext, name: string): (original: AnyFunction) => AnyFunction {
  return (original) =>
    function (this: unknown, ...args: unknown[]) {
      const callback = args[args.length - 1];
      const given = args.slice(0, -1);
      if (!runtime.active || typeof callback !== 'function' || !accepts(name, given)) return original.apply(this, args);
      if (name === 'lookup') checkLookup(original, given.slice(1));
      begin(
        runtime,
        name,
        (done) => {
          const told = (error: NodeJS.ErrnoException | null, ...values: unknown[]): void =>
            done({ error: error ?? null, values: error ? [] : values });
          original.apply(this, [...given, told]);
        },
        ({ error, values }) => (callback as AnyFunction)(error, ...values),
      );
      return name === 'lookup' ? {} : undefined;
    };
}

function promiseFace(runtime: RuntimeContext, name: string): (original: AnyFunction) => AnyFunction {
  return (original) =>
    function (this: unknown, ...args: unknown[]) {
      if (!runtime.active || !accepts(name, args)) return original.apply(this, args);
      if (name === 'lookup') original.call(this, '127.0.0.1', ...args.slice(1));
      return new Promise((resolve, reject) => {
        begin(
          runtime,
          name,
          (done) => {
            (original.apply(this, args) as Promise<unknown>).then(
              (value) => done({ error: null, values: [value] }),
              (error: NodeJS.ErrnoException) => done({ error, values: [] }),
            );
          },
          ({ error, values }) => (error === null ? resolve(values[0]) : reject(error)),
        );
      });
    };
}

/** Makes every question for a name an operation. */
export function installDns(runtime: RuntimeContext, patcher: Patcher): void {
  for (const name of ['lookup', 'lookupService', ...RESOLVE]) {
    patcher.method(dns, name, callbackFace(runtime, name));
    patcher.method(dns.promises, name, promiseFace(runtime, name));
  }
  for (const name of RESOLVE) {
    patcher.method(dns.Resolver.prototype, name, callbackFace(runtime, name));
    patcher.method(dns.promises.Resolver.prototype, name, promiseFace(runtime, name));
  }
}
