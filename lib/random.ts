/**
 * Randomness is handed in, like time; and the keyed hash that initial sequence numbers are made of.
 */

export interface Random {
  /** 32 random bits. */
  u32(): number;
  /** Uniform in [0, 1). */
  float(): number;
  fill(bytes: Uint8Array): void;
}

/** A seeded generator (sfc32) for simulation: the same seed gives the same numbers everywhere. */
export class SeededRandom implements Random {
  #a: number;
  #b: number;
  #c: number;
  #d = 1;

  constructor(seed: number | string) {
    let h = 0x811c9dc5;
    for (const char of String(seed)) h = Math.imul(h ^ char.charCodeAt(0), 0x01000193);
    this.#a = h | 0;
    this.#b = Math.imul(h, 0x9e3779b9) | 0;
    this.#c = h ^ 0xdeadbeef;
    for (let i = 0; i < 16; i++) this.u32();
  }

  u32(): number {
    const t = (((this.#a + this.#b) | 0) + this.#d) | 0;
    this.#d = (this.#d + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (this.#c << 21) | (this.#c >>> 11);
    this.#c = (this.#c + t) | 0;
    return t >>> 0;
  }

  float(): number {
    return this.u32() / 0x100000000;
  }

  fill(bytes: Uint8Array): void {
    for (let i = 0; i < bytes.length; i++) bytes[i] = this.u32() & 0xff;
  }
}

/** SipHash-2-4 (Aumasson and Bernstein) on pairs of 32-bit words; allocates nothing per call. */
export class SipHash {
  /** High 32 bits of the last hash. */
  hi = 0;
  readonly #key = new Uint32Array(4);
  // v0..v3 as (high, low) pairs.
  readonly #v = new Int32Array(8);

  /** @param key 16 bytes. */
  constructor(key: Uint8Array) {
    if (key.length !== 16) throw new TypeError('A SipHash key has 16 bytes');
    const view = new DataView(key.buffer, key.byteOffset, 16);
    for (let i = 0; i < 4; i++) this.#key[i] = view.getUint32(4 * i, true);
  }

  /** Hashes the first `length` bytes. @returns the low 32 bits; the high ones are in `hi`. */
  hash(bytes: Uint8Array, length: number): number {
    const v = this.#v;
    const [k0l, k0h, k1l, k1h] = this.#key as unknown as [number, number, number, number];
    v[0] = k0h ^ 0x736f6d65;
    v[1] = k0l ^ 0x70736575;
    v[2] = k1h ^ 0x646f7261;
    v[3] = k1l ^ 0x6e646f6d;
    v[4] = k0h ^ 0x6c796765;
    v[5] = k0l ^ 0x6e657261;
    v[6] = k1h ^ 0x74656462;
    v[7] = k1l ^ 0x79746573;
    let at = 0;
    for (; at + 8 <= length; at += 8) {
      const low = bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24);
      const high = bytes[at + 4] | (bytes[at + 5] << 8) | (bytes[at + 6] << 16) | (bytes[at + 7] << 24);
      this.#block(high, low);
    }
    let low = 0;
    let high = length << 24;
    for (let i = 0; at + i < length; i++) {
      if (i < 4) low |= bytes[at + i] << (8 * i);
      else high |= bytes[at + i] << (8 * (i - 4));
    }
    this.#block(high, low);
    v[5] ^= 0xff;
    for (let i = 0; i < 4; i++) this.#round();
    this.hi = (v[0] ^ v[2] ^ v[4] ^ v[6]) >>> 0;
    return (v[1] ^ v[3] ^ v[5] ^ v[7]) >>> 0;
  }

  #block(high: number, low: number): void {
    const v = this.#v;
    v[6] ^= high;
    v[7] ^= low;
    this.#round();
    this.#round();
    v[0] ^= high;
    v[1] ^= low;
  }

  #round(): void {
    this.#add(0, 2);
    this.#rotate(2, 13);
    this.#xor(2, 0);
    this.#rotate(0, 32);
    this.#add(4, 6);
    this.#rotate(6, 16);
    this.#xor(6, 4);
    this.#add(0, 6);
    this.#rotate(6, 21);
    this.#xor(6, 0);
    this.#add(4, 2);
    this.#rotate(2, 17);
    this.#xor(2, 4);
    this.#rotate(4, 32);
  }

  #add(a: number, b: number): void {
    const v = this.#v;
    const low = (v[a + 1] >>> 0) + (v[b + 1] >>> 0);
    v[a] = v[a] + v[b] + (low > 0xffffffff ? 1 : 0);
    v[a + 1] = low;
  }

  #xor(a: number, b: number): void {
    const v = this.#v;
    v[a] ^= v[b];
    v[a + 1] ^= v[b + 1];
  }

  #rotate(a: number, bits: number): void {
    const v = this.#v;
    const high = v[a];
    const low = v[a + 1];
    if (bits === 32) {
      v[a] = low;
      v[a + 1] = high;
      return;
    }
    v[a] = (high << bits) | (low >>> (32 - bits));
    v[a + 1] = (low << bits) | (high >>> (32 - bits));
  }
}
