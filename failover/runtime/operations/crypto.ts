/**
 * Randomness of node:crypto. The addon makes OpenSSL draw from the event's generator. Here every
 * function that caches randomness across events, or works on another thread, is made synchronous,
 * with its callback as an immediate. Patches public functions only; the same on Node 20, 22, 24 and
 * 26.
 */
import crypto from 'node:crypto';
import type { RuntimeContext } from '../core/context.js';
import { type AnyFunction, originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { installSubtle } from './subtle.js';

const RAND_RANGE = 2 ** 48 - 1;
const RAND_BYTES = 6;

type NodeCallback = (error: Error | null | undefined, ...values: unknown[]) => void;

/** Splits a trailing callback off. */
function splitCallback(args: unknown[]): [unknown[], NodeCallback | undefined] {
  const last = args[args.length - 1];
  return typeof last === 'function' ? [args.slice(0, -1), last as NodeCallback] : [args, undefined];
}

/** An integer in [0, range), drawn without Node's cache; the method is Node's own. */
function drawBelow(range: number): number {
  const limit = RAND_RANGE - (RAND_RANGE % range);
  const bytes = Buffer.alloc(RAND_BYTES);
  for (;;) {
    originals.crypto.randomFillSync(bytes);
    const x = bytes.readUIntBE(0, RAND_BYTES);
    if (x < limit) return x % range;
  }
}

function randomInt(runtime: RuntimeContext, original: AnyFunction, args: unknown[]): unknown {
  const [numbers, callback] = splitCallback(args);
  const [min, max] = numbers.length < 2 || numbers[1] === undefined ? [0, numbers[0]] : numbers;
  const legal =
    Number.isSafeInteger(min) &&
    Number.isSafeInteger(max) &&
    (max as number) > (min as number) &&
    (max as number) - (min as number) <= RAND_RANGE;
  if (!legal) return original(...args);
  const result = (min as number) + drawBelow((max as number) - (min as number));
  if (callback === undefined) return result;
  runtime.later(() => callback(undefined, result));
  return undefined;
}

/** Patches a function with an optional callback: computed at once, the callback is an immediate. */
function syncThenLater(runtime: RuntimeContext, compute: AnyFunction) {
  return (original: AnyFunction) =>
    (...args: unknown[]): unknown => {
      if (!runtime.active) return original(...args);
      const [rest, callback] = splitCallback(args);
      if (callback === undefined) return original(...args);
      let result: unknown;
      let failure: unknown = null;
      try {
        result = compute(...rest);
      } catch (error) {
        // As Node: bad arguments are thrown to the caller, errors of OpenSSL go to the callback.
        const code = (error as { code?: unknown }).code;
        if (typeof code === 'string' && /^ERR_(INVALID_ARG|OUT_OF_RANGE|CRYPTO_INVALID)/.test(code)) throw error;
        failure = error;
      }
      runtime.later(() => {
        if (failure !== null) callback(failure as Error);
        else callback(null, result);
      });
      return undefined;
    };
}

const SYNC_TWINS: readonly [string, AnyFunction][] = [
  ['randomBytes', originals.crypto.randomBytes as AnyFunction],
  ['pseudoRandomBytes', originals.crypto.pseudoRandomBytes as AnyFunction],
  ['rng', originals.crypto.randomBytes as AnyFunction],
  ['prng', originals.crypto.randomBytes as AnyFunction],
  ['randomFill', originals.crypto.randomFillSync as unknown as AnyFunction],
  ['pbkdf2', originals.crypto.pbkdf2Sync as AnyFunction],
  ['scrypt', originals.crypto.scryptSync as AnyFunction],
  ['hkdf', originals.crypto.hkdfSync as AnyFunction],
  ['generatePrime', originals.crypto.generatePrimeSync as AnyFunction],
  ['checkPrime', originals.crypto.checkPrimeSync as AnyFunction],
  ['generateKey', originals.crypto.generateKeySync as unknown as AnyFunction],
  ['sign', originals.crypto.sign as AnyFunction],
  ['verify', originals.crypto.verify as AnyFunction],
];

/** Makes the randomness of node:crypto repeatable, and reports what cannot be. */
export function installCrypto(runtime: RuntimeContext, patcher: Patcher): void {
  for (const [name, compute] of SYNC_TWINS) {
    if (typeof Reflect.get(crypto, name) !== 'function') continue;
    // randomBytes and its aliases are getters on some versions; a plain value does for all.
    patcher.method(crypto, name, syncThenLater(runtime, compute));
  }
  patcher.method(crypto, 'randomInt', (original) => (...args: unknown[]) => {
    return runtime.active ? randomInt(runtime, original, args) : original(...args);
  });
  patcher.method(crypto, 'randomUUID', (original) => (options?: unknown) => {
    if (!runtime.active || (options !== undefined && (options === null || typeof options !== 'object'))) {
      return options === undefined ? original() : original(options);
    }
    return original({ ...(options as object | undefined), disableEntropyCache: true });
  });

  const { webcrypto } = crypto;
  const prototype = Object.getPrototypeOf(webcrypto) as object;
  patcher.method(
    prototype,
    'randomUUID',
    (original) =>
      function randomUUID(this: unknown) {
        return runtime.active && this === webcrypto ? crypto.randomUUID() : original.call(this);
      },
  );
  installSubtle(runtime, patcher);
}
