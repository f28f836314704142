/**
 * Fast Open (RFC 7413): data in the SYN, for peers that have shown by a cookie that they are where they say. A server makes
 * cookies from the peer's address and its own key, and remembers nothing; a client remembers what servers gave it.
 */
import type { SipHash } from '../../../lib/random.js';
import type { AddressBook } from '../../ip/address-book.js';

export const COOKIE_LENGTH = 8;
/** Servers whose cookies are remembered. */
const MAX_SERVERS = 1024;

export interface FastOpenCookie {
  cookie: Uint8Array;
  /** What the server offered when it gave the cookie, 0 for nothing: the SYN's data must fit (RFC 7413 section 4.2.1). */
  mss: number;
}

export class FastOpen {
  readonly #servers = new Map<number, FastOpenCookie>();
  readonly #input = new Uint8Array(17);

  constructor(
    readonly hash: SipHash,
    readonly book: AddressBook,
  ) {
    // Another purpose than the key's other uses.
    this.#input[16] = 0xf0;
  }

  /** The cookie of a client. */
  cookieFor(address: number): Uint8Array {
    this.book.write(address, this.#input, 0);
    const out = new Uint8Array(COOKIE_LENGTH);
    const view = new DataView(out.buffer);
    view.setUint32(0, this.hash.hash(this.#input, 17));
    view.setUint32(4, this.hash.hi);
    return out;
  }

  /** Whether the cookie at `at` is that of the client. */
  valid(address: number, bytes: Uint8Array, at: number, length: number): boolean {
    if (length !== COOKIE_LENGTH) return false;
    const right = this.cookieFor(address);
    let wrong = 0;
    for (let i = 0; i < COOKIE_LENGTH; i++) wrong |= right[i]! ^ bytes[at + i]!;
    return wrong === 0;
  }

  /** What a server gave us. */
  remembered(address: number): FastOpenCookie | undefined {
    return this.#servers.get(address);
  }

  remember(address: number, cookie: Uint8Array, mss: number): void {
    this.#servers.delete(address);
    if (this.#servers.size >= MAX_SERVERS) {
      for (const oldest of this.#servers.keys()) {
        this.#servers.delete(oldest);
        break;
      }
    }
    this.#servers.set(address, { cookie, mss });
  }

  keep(mark: (address: number) => void): void {
    for (const address of this.#servers.keys()) mark(address);
  }
}
