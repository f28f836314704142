/**
 * Fast Open (RFC 7413): data in the SYN, for peers that have proved their address with a cookie. A
 * server derives the cookie from the peer's address and its own key, and stores nothing; a client
 * stores the cookies that servers gave it.
 */
import type { SipHash } from '../../lib/random.js';
import type { AddressBook } from '../core/address-book.js';

/** Bytes of a cookie that this stack gives. */
export const COOKIE_LENGTH = 8;
/** Servers whose cookies are stored; the oldest gives way. */
const MAX_SERVERS = 1024;

/** What a server gave us. */
export interface FastOpenCookie {
  cookie: Uint8Array;
  /**
   * The MSS that the server offered with it, 0 for none: the SYN's data must fit (RFC 7413 section
   * 4.2.1).
   */
  mss: number;
}

/** Cookies of one stack, as server and as client. */
export class FastOpen {
  readonly #servers = new Map<number, FastOpenCookie>();
  readonly #input = new Uint8Array(17);

  constructor(
    readonly hash: SipHash,
    readonly book: AddressBook,
  ) {
    // Separates this use of the key from its other uses.
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

  /** Whether the cookie at `at` is the client's; the comparison takes constant time. */
  valid(address: number, bytes: Uint8Array, at: number, length: number): boolean {
    if (length !== COOKIE_LENGTH) return false;
    const right = this.cookieFor(address);
    let wrong = 0;
    for (let i = 0; i < COOKIE_LENGTH; i++) wrong |= right[i] ^ bytes[at + i];
    return wrong === 0;
  }

  /** The cookie of a server, if we have one. */
  remembered(address: number): FastOpenCookie | undefined {
    return this.#servers.get(address);
  }

  /** Stores a server's cookie. */
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

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const address of this.#servers.keys()) mark(address);
  }
}
