/**
 * crypto.subtle and crypto.generateKeyPair: they compute on other threads, so each call is an
 * operation. A key that a call makes is in the log as JWK or DER; primary and backups import it in
 * the same way, so that they have the same microtasks.
 *
 * `importKey` computes at once, in Node, and stays Node's own. Results above 32 KiB do not fit into
 * the log: such calls stay Node's own, and are reported.
 */
import crypto, { KeyObject, type webcrypto } from 'node:crypto';
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { loggedCall } from './logged-call.js';

type CryptoKey = webcrypto.CryptoKey;
type ImportKey = (format: string, ...rest: unknown[]) => Promise<CryptoKey>;

/** Functions that compute on another thread. */
const THREADED = [
  'encrypt',
  'decrypt',
  'sign',
  'verify',
  'digest',
  'generateKey',
  'deriveKey',
  'deriveBits',
  'exportKey',
  'wrapKey',
  'unwrapKey',
] as const;
/** They make keys. The position of the new key's algorithm among the arguments. */
const MAKES_KEYS: ReadonlyMap<string, number> = new Map([
  ['generateKey', 0],
  ['deriveKey', 2],
  ['unwrapKey', 4],
]);
/** Algorithms whose keys can be exported as JWK and imported again. */
const PORTABLE = /^(?:RSA|EC|Ed|X25519|X448|AES|HMAC)/i;
/** Longest argument whose result surely fits into the log, bytes. */
const MAX_BYTES = 32 * 1024;

/** A result as it is logged. */
type Form =
  | { bytes: Uint8Array }
  | { value: unknown }
  | { failure: { name: string; message: string } }
  | { key: PortableKey }
  | { pair: [publicKey: PortableKey, privateKey: PortableKey] };

interface PortableKey {
  jwk: object;
  algorithm: object;
  extractable: boolean;
  usages: string[];
}

function portable(key: CryptoKey): PortableKey {
  const { algorithm, extractable, usages } = key;
  const plain = { ...algorithm } as Record<string, unknown>;
  if (plain['hash'] !== undefined) plain['hash'] = { ...(plain['hash'] as object) };
  const jwk = KeyObject.from(key).export({ format: 'jwk' });
  return { jwk, algorithm: plain, extractable, usages: [...usages] };
}

function isKey(value: unknown): value is CryptoKey {
  return typeof value === 'object' && value !== null && value.constructor?.name === 'CryptoKey';
}

function formOf(value: unknown): Form {
  if (value instanceof ArrayBuffer) return { bytes: new Uint8Array(value) };
  if (isKey(value)) return { key: portable(value) };
  const { publicKey, privateKey } = (value ?? {}) as { publicKey?: unknown; privateKey?: unknown };
  if (isKey(publicKey) && isKey(privateKey)) return { pair: [portable(publicKey), portable(privateKey)] };
  return { value };
}

/** Settles a promise of the program with a logged result. */
function settle(
  form: Form,
  importKey: ImportKey,
  { resolve, reject }: { resolve: (value: unknown) => void; reject: (error: Error) => void },
): void {
  const restored = ({ jwk, algorithm, extractable, usages }: PortableKey): Promise<CryptoKey> =>
    importKey('jwk', jwk, algorithm, extractable, usages);
  if ('bytes' in form) resolve(Uint8Array.from(form.bytes).buffer);
  else if ('failure' in form) reject(new DOMException(form.failure.message, form.failure.name));
  else if ('key' in form) resolve(restored(form.key));
  else if ('pair' in form)
    resolve(Promise.all(form.pair.map(restored)).then(([publicKey, privateKey]) => ({ publicKey, privateKey })));
  else resolve(form.value);
}

/** A copy of what the program may change while the call runs. */
function copied(value: unknown, depth = 2): unknown {
  if (ArrayBuffer.isView(value))
    return Uint8Array.from(new Uint8Array(value.buffer, value.byteOffset, value.byteLength));
  if (value instanceof ArrayBuffer) return value.slice(0);
  if (depth === 0 || typeof value !== 'object' || value === null || isKey(value) || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, copied(entry, depth - 1)]));
}

function byteLength(value: unknown): number {
  return ArrayBuffer.isView(value) || value instanceof ArrayBuffer ? value.byteLength : 0;
}

function nameOf(algorithm: unknown): string {
  return String(typeof algorithm === 'object' && algorithm !== null ? Reflect.get(algorithm, 'name') : algorithm);
}

/** Why a call cannot be an operation; undefined: it can. */
function isUnportable(name: string, args: readonly unknown[]): boolean {
  const at = MAKES_KEYS.get(name);
  if (at !== undefined) return !PORTABLE.test(nameOf(args[at]));
  return name !== 'digest' && name !== 'verify' && args.some((arg) => byteLength(arg) > MAX_BYTES);
}

function subtleCall(runtime: RuntimeContext, name: string, importKey: ImportKey) {
  return (original: AnyFunction) =>
    function (this: unknown, ...args: unknown[]): unknown {
      if (!runtime.active) return original.apply(this, args);
      if (isUnportable(name, args)) {
        runtime.reportNondeterministic(`crypto.subtle.${name}`);
        return original.apply(this, args);
      }
      const given = args.map((arg) => copied(arg));
      const start = (done: (outcome: Outcome) => void): void => {
        (original.apply(this, given) as Promise<unknown>).then(
          (value) => done({ error: null, values: [formOf(value)] }),
          (error: Error) => {
            if (!(error instanceof DOMException)) done({ error, values: [] });
            else done({ error: null, values: [{ failure: { name: error.name, message: error.message } }] });
          },
        );
      };
      return new Promise((resolve, reject) => {
        loggedCall(runtime, `crypto.subtle.${name}`, start, (error, form) => {
          if (error !== null) reject(error);
          else settle(form as Form, importKey, { resolve, reject });
        });
      });
    };
}

/** A key of node:crypto as DER, for the log; strings, Buffers and JWKs are themselves. */
function exported(key: unknown): unknown {
  if (!(key instanceof KeyObject)) return { value: key };
  return key.type === 'public'
    ? { spki: key.export({ type: 'spki', format: 'der' }) }
    : { pkcs8: key.export({ type: 'pkcs8', format: 'der' }) };
}

function imported(form: unknown): unknown {
  const { spki, pkcs8, value } = form as { spki?: Uint8Array; pkcs8?: Uint8Array; value?: unknown };
  if (spki !== undefined) return crypto.createPublicKey({ key: Buffer.from(spki), type: 'spki', format: 'der' });
  if (pkcs8 !== undefined) return crypto.createPrivateKey({ key: Buffer.from(pkcs8), type: 'pkcs8', format: 'der' });
  return value;
}

function generateKeyPair(runtime: RuntimeContext, original: AnyFunction): AnyFunction {
  return (...args: unknown[]) => {
    const callback = args[args.length - 1];
    if (!runtime.active || typeof callback !== 'function') return original(...args);
    const given = args.slice(0, -1).map((arg) => copied(arg));
    const start = (done: (outcome: Outcome) => void): unknown =>
      original(...given, (error: Error | null, publicKey: unknown, privateKey: unknown) =>
        done({ error: error ?? null, values: error ? [] : [exported(publicKey), exported(privateKey)] }),
      );
    loggedCall(runtime, 'crypto.generateKeyPair', start, (error, publicKey, privateKey) => {
      if (error === null) (callback as AnyFunction)(null, imported(publicKey), imported(privateKey));
      else (callback as AnyFunction)(error);
    });
    return undefined;
  };
}

/** Makes crypto.subtle and crypto.generateKeyPair operations. */
export function installSubtle(runtime: RuntimeContext, patcher: Patcher): void {
  const { subtle } = crypto.webcrypto as unknown as { subtle: object };
  const prototype = Object.getPrototypeOf(subtle) as Record<string, AnyFunction>;
  const importKey = prototype['importKey'].bind(subtle) as ImportKey;
  for (const name of THREADED) patcher.method(prototype, name, subtleCall(runtime, name, importKey));
  patcher.method(crypto, 'generateKeyPair', (original) => generateKeyPair(runtime, original));
}
