/**
 * Math.random as a pure function of (secret, event number, draw). The same on Node 20, 22, 24 and
 * 26.
 */
import type { RuntimeContext } from '../core/context.js';
import { originals } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';

const rotl = (x: number, n: number): number => (x << n) | (x >>> (32 - n));

/** HalfSipHash-2-4 with a 64-bit result: three words of input under a 64-bit key. */
function halfSip(k0: number, k1: number, words: readonly number[], out: Uint32Array, at: number): void {
  let v0 = k0;
  let v1 = k1 ^ 0xee;
  let v2 = k0 ^ 0x6c796765;
  let v3 = k1 ^ 0x74656462;
  const round = (): void => {
    v0 = (v0 + v1) | 0;
    v1 = rotl(v1, 5) ^ v0;
    v0 = rotl(v0, 16);
    v2 = (v2 + v3) | 0;
    v3 = rotl(v3, 8) ^ v2;
    v0 = (v0 + v3) | 0;
    v3 = rotl(v3, 7) ^ v0;
    v2 = (v2 + v1) | 0;
    v1 = rotl(v1, 13) ^ v2;
    v2 = rotl(v2, 16);
  };
  for (const word of [...words, (words.length * 4) << 24]) {
    v3 ^= word;
    round();
    round();
    v0 ^= word;
  }
  v2 ^= 0xee;
  for (let i = 0; i < 4; i++) round();
  out[at] = v1 ^ v3;
  v1 ^= 0xdd;
  for (let i = 0; i < 4; i++) round();
  out[at + 1] = v1 ^ v3;
}

/**
 * A generator (sfc32, by C. Doty-Humphrey) that gets a new key for every event, at the first draw.
 */
export class EventRandom {
  readonly #key: Uint32Array;
  readonly #state = new Uint32Array(4);
  #event = -1;

  /** @param secret 32 bytes */
  constructor(secret: Uint8Array) {
    const key = new Uint32Array(4);
    const view = new DataView(secret.buffer, secret.byteOffset, secret.byteLength);
    for (let i = 0; i < 4; i++) key[i] = view.getUint32(i * 4, true) ^ view.getUint32(16 + i * 4, true);
    this.#key = key;
  }

  #rekey(event: number): void {
    const key = this.#key;
    const words = [event | 0, Math.floor(event / 2 ** 32) | 0, 0x6d617468];
    halfSip(key[0] | 0, key[1] | 0, words, this.#state, 0);
    halfSip(key[2] | 0, key[3] | 0, words, this.#state, 2);
    this.#event = event;
    for (let i = 0; i < 12; i++) this.#next();
  }

  #next(): number {
    const s = this.#state;
    const b = s[1];
    const c = s[2];
    const t = (s[0] + b + s[3]) | 0;
    s[3] = s[3] + 1;
    s[0] = b ^ (b >>> 9);
    s[1] = c + (c << 3);
    s[2] = rotl(c, 21) + t;
    return t;
  }

  /** The next number in [0, 1) of this event. */
  draw(event: number): number {
    if (event !== this.#event) this.#rekey(event);
    const high = this.#next() >>> 5;
    const low = this.#next() >>> 6;
    return (high * 67108864 + low) / 9007199254740992;
  }
}

/** Patches Math.random. @param secret 32 bytes */
export function installRandom(runtime: RuntimeContext, patcher: Patcher, secret: Uint8Array): void {
  const generator = new EventRandom(secret);
  patcher.method(Math, 'random', () => () => (runtime.active ? generator.draw(runtime.eventNo) : originals.random()));
}
