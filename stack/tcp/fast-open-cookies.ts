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

/** A server that did not answer a SYN with the option gets none for this long, microseconds. */
const REFUSAL_US = 60_000_000;
/** Each further refusal in a row doubles that time, up to this many times: about an hour. */
const MAX_DOUBLINGS = 6;

/** In a SYN it asks for a cookie. */
export const NO_COOKIE = new Uint8Array(0);

/** What is known of a server. */
export interface FastOpenCookie {
  /** Empty for none. */
  cookie: Uint8Array;
  /**
   * The MSS that the server offered with it, 0 for none: the SYN's data must fit (RFC 7413 section
   * 4.2.1).
   */
  mss: number;
  /** Refusals in a row (RFC 7413 section 4.1.3.1), and until when no SYN carries the option. */
  refusals: number;
  untilUs: number;
}

/** What is known of a server as plain data; the address has 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export type SavedFastOpen = FastOpenCookie & { address: Uint8Array };

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

  /** What is known of a server. */
  remembered(address: number): FastOpenCookie | undefined {
    return this.#servers.get(address);
  }

  /** Stores a server's cookie. */
  remember(address: number, cookie: Uint8Array, mss: number): void {
    this.#store(address, { cookie, mss, refusals: 0, untilUs: 0 });
  }

  /** A SYN with the option and its data were answered: refusals before count no longer. */
  accepted(address: number): void {
    const known = this.#servers.get(address);
    if (known !== undefined) known.refusals = 0;
  }

  /**
   * A SYN with the option went unanswered, or its data was not taken and no cookie came: the next
   * ones go without (RFC 7413 section 4.1.3.1).
   */
  refused(address: number, nowUs: number): void {
    const { cookie, mss, refusals } = this.#servers.get(address) ?? { cookie: NO_COOKIE, mss: 0, refusals: 0 };
    const untilUs = nowUs + REFUSAL_US * 2 ** Math.min(refusals, MAX_DOUBLINGS);
    this.#store(address, { cookie, mss, refusals: refusals + 1, untilUs });
  }

  #store(address: number, entry: FastOpenCookie): void {
    this.#servers.delete(address);
    if (this.#servers.size >= MAX_SERVERS) {
      for (const oldest of this.#servers.keys()) {
        this.#servers.delete(oldest);
        break;
      }
    }
    this.#servers.set(address, entry);
  }

  /** What is known of all servers, the oldest first, for `load` in another process. */
  save(): SavedFastOpen[] {
    return [...this.#servers].map(([address, known]) => {
      const bytes = new Uint8Array(16);
      this.book.write(address, bytes, 0);
      return { ...known, address: bytes };
    });
  }

  /** Takes over what was saved; `shiftUs` moves its time to this clock. */
  load(saved: readonly SavedFastOpen[], shiftUs: number): void {
    for (const { address, cookie, mss, refusals, untilUs } of saved) {
      this.#store(this.book.fromBytes(address, 0), { cookie, mss, refusals, untilUs: untilUs + shiftUs });
    }
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const address of this.#servers.keys()) mark(address);
  }
}
