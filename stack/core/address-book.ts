/**
 * Addresses as numbers. IPv4 addresses are their 32 bits; IPv6 addresses are entries of this book,
 * numbered from 2^32 on. So tables, connections and comparisons are the same for both, and a
 * packet's addresses cost no allocation.
 *
 * The book is bounded. Packets from any host add entries, so a full book drops all entries that are
 * not in use: `keep` marks those in use. A number stays valid while its owner marks it, and
 * otherwise until control leaves the stack.
 */
import { formatIPv4, isMulticast4, parseIPv4 } from '../../lib/ipv4-address.js';
import { formatIPv6, parseIPv6 } from '../../lib/ipv6-address.js';

const BASE = 2 ** 32;
/** Texts of addresses in the cache. */
const TEXTS = 16;
const FIRST_SIZE = 256;
const DEFAULT_LIMIT = 2 ** 19;

/** Whether the number stands for an IPv6 address. */
export function isV6(address: number): boolean {
  return address >= BASE;
}

/** The numbers of IPv6 addresses in use. */
export class AddressBook {
  readonly counters = { sweeps: 0, refused: 0 };
  /** Calls its argument for every address in use; the stack sets it. */
  keep: (mark: (address: number) => void) => void = () => undefined;
  #words = new Uint32Array(4 * FIRST_SIZE);
  #next = new Int32Array(FIRST_SIZE);
  #buckets = new Int32Array(2 * FIRST_SIZE).fill(-1);
  /** Entries ever made; those given back are in #free. */
  #top = 0;
  #free: number[] = [];
  readonly #scratch = new Uint8Array(16);
  readonly #textOf: number[] = new Array<number>(TEXTS).fill(-1);
  readonly #texts: string[] = new Array<string>(TEXTS).fill('');

  /** @param seed makes the buckets unpredictable. */
  constructor(
    readonly seed: number,
    readonly limit = DEFAULT_LIMIT,
  ) {}

  /** Addresses in the book. */
  get size(): number {
    return this.#top - this.#free.length;
  }

  /**
   * The number of the IPv6 address at `offset`, or -1 when the book is full of addresses in use.
   */
  intern(bytes: Uint8Array, offset: number): number {
    const w0 = word(bytes, offset);
    const w1 = word(bytes, offset + 4);
    const w2 = word(bytes, offset + 8);
    const w3 = word(bytes, offset + 12);
    let bucket = this.#bucket(w0, w1, w2, w3);
    const words = this.#words;
    for (let i = this.#buckets[bucket]; i >= 0; i = this.#next[i]) {
      if (words[4 * i] === w0 && words[4 * i + 1] === w1 && words[4 * i + 2] === w2 && words[4 * i + 3] === w3) {
        return BASE + i;
      }
    }
    if (this.#free.length === 0 && this.#top >= this.limit) this.#sweep();
    let at = this.#free.pop();
    if (at === undefined) {
      if (this.#top >= this.limit) {
        this.counters.refused++;
        return -1;
      }
      if (this.#top === this.#next.length) {
        this.#grow();
        bucket = this.#bucket(w0, w1, w2, w3);
      }
      at = this.#top++;
    }
    this.#words.set([w0, w1, w2, w3], 4 * at);
    this.#next[at] = this.#buckets[bucket];
    this.#buckets[bucket] = at;
    return BASE + at;
  }

  /** The address that 16 bytes stand for; IPv4 as ::ffff:a.b.c.d. */
  fromBytes(bytes: Uint8Array, offset: number): number {
    if (word(bytes, offset) === 0 && word(bytes, offset + 4) === 0 && word(bytes, offset + 8) === 0xffff) {
      return word(bytes, offset + 12);
    }
    return this.intern(bytes, offset);
  }

  /** Writes an address as 16 bytes; IPv4 as ::ffff:a.b.c.d. */
  write(address: number, bytes: Uint8Array, offset: number): void {
    for (let i = 0; i < 4; i++) {
      const w = address >= BASE ? this.#words[4 * (address - BASE) + i] : i < 2 ? 0 : i === 2 ? 0xffff : address;
      bytes[offset + 4 * i] = w >>> 24;
      bytes[offset + 4 * i + 1] = (w >>> 16) & 255;
      bytes[offset + 4 * i + 2] = (w >>> 8) & 255;
      bytes[offset + 4 * i + 3] = w & 255;
    }
  }

  /** Sum of the 16-bit words of an address, for pseudo-headers; not folded. */
  sum(address: number): number {
    if (address < BASE) return (address >>> 16) + (address & 0xffff);
    let sum = 0;
    const at = 4 * (address - BASE);
    for (let i = at; i < at + 4; i++) sum += (this.#words[i] >>> 16) + (this.#words[i] & 0xffff);
    return sum;
  }

  /** One of the four 32-bit words of an IPv6 address. */
  word(address: number, index: number): number {
    return this.#words[4 * (address - BASE) + index];
  }

  /** Whether the first `prefix` bits of two IPv6 addresses are equal. */
  samePrefix(one: number, other: number, prefix: number): boolean {
    for (let i = 0; i < 4 && prefix > 32 * i; i++) {
      const bits = Math.min(32, prefix - 32 * i);
      const mask = bits === 32 ? 0xffffffff : ~(0xffffffff >>> bits) >>> 0;
      if ((this.word(one, i) & mask) !== (this.word(other, i) & mask)) return false;
    }
    return true;
  }

  /** Whether the address is a group's (RFC 5771, RFC 4291 section 2.7). */
  isMulticast(address: number): boolean {
    return address >= BASE ? this.word(address, 0) >>> 24 === 255 : isMulticast4(address);
  }

  /** Whether it is an IPv6 link-local address, fe80::/10 (RFC 4291 section 2.5.6). */
  isLinkLocal(address: number): boolean {
    return address >= BASE && this.word(address, 0) >>> 22 === 0x3fa;
  }

  /** Whether it is 0.0.0.0 or ::. */
  isUnspecified(address: number): boolean {
    if (address < BASE) return address === 0;
    for (let i = 0; i < 4; i++) if (this.word(address, i) !== 0) return false;
    return true;
  }

  /** The address as text (RFC 5952). */
  format(address: number): string {
    if (address < BASE) {
      // Thousands of connections have the same text of our address, and often of the peer's.
      const at = address & (TEXTS - 1);
      if (this.#textOf[at] !== address) {
        this.#textOf[at] = address;
        this.#texts[at] = formatIPv4(address);
      }
      return this.#texts[at];
    }
    this.write(address, this.#scratch, 0);
    return formatIPv6(this.#scratch);
  }

  /**
   * "192.0.2.1" or "2001:db8::1"; undefined for anything else, or when the book is full. An
   * IPv4-mapped one is IPv4.
   */
  parse(text: string): number | undefined {
    const four = parseIPv4(text);
    if (four !== undefined) return four;
    const six = parseIPv6(text);
    if (six === undefined) return undefined;
    const address = this.fromBytes(six, 0);
    return address < 0 ? undefined : address;
  }

  #bucket(w0: number, w1: number, w2: number, w3: number): number {
    let h = Math.imul(w0 ^ this.seed, 0x85ebca6b);
    h = Math.imul(h ^ (h >>> 15) ^ w1, 0xc2b2ae35);
    h = Math.imul(h ^ (h >>> 13) ^ w2, 0x27d4eb2f);
    h = Math.imul(h ^ (h >>> 16) ^ w3, 0x9e3779b1);
    return (h ^ (h >>> 15)) & (this.#buckets.length - 1);
  }

  #grow(): void {
    const size = this.#next.length * 2;
    const words = new Uint32Array(4 * size);
    words.set(this.#words);
    this.#words = words;
    const next = new Int32Array(size);
    next.set(this.#next);
    this.#next = next;
    this.#buckets = new Int32Array(2 * size).fill(-1);
    for (let i = 0; i < this.#top; i++) this.#link(i);
  }

  #link(i: number): void {
    const w = this.#words;
    const bucket = this.#bucket(w[4 * i], w[4 * i + 1], w[4 * i + 2], w[4 * i + 3]);
    this.#next[i] = this.#buckets[bucket];
    this.#buckets[bucket] = i;
  }

  /** Drops all entries that are not in use. */
  #sweep(): void {
    this.counters.sweeps++;
    const used = new Uint8Array(this.#top);
    this.keep((address) => {
      if (address >= BASE) used[address - BASE] = 1;
    });
    this.#buckets.fill(-1);
    this.#free = [];
    for (let i = 0; i < this.#top; i++) {
      if (used[i] === 1) this.#link(i);
      else this.#free.push(i);
    }
  }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
