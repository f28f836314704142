/**
 * Multicast groups of one interface: which it belongs to, and what their packets are called on the
 * link.
 */
import type { AddressBook } from '../core/address-book.js';
import { isV6 } from '../core/address-book.js';
import type { Address6 } from '../core/link-context.js';

/** 224.0.0.1 (RFC 1112 section 4). */
const ALL_HOSTS = 0xe0000001;
/** Groups that one interface can join. */
const MAX_GROUPS = 64;

/** The groups that one interface belongs to. */
export class Groups {
  readonly #book: AddressBook;
  readonly #addresses6: readonly Address6[];
  /** Groups joined, with how often. */
  readonly #joined = new Map<number, number>();
  readonly #scratch = new Uint8Array(16);
  readonly #mac = new Uint8Array(6);
  /** The group of all nodes of the link, ff02::1. */
  readonly #allNodes: number;

  /** @param addresses6 the interface's IPv6 addresses, as they are at any time */
  constructor(book: AddressBook, addresses6: readonly Address6[], allNodes: number) {
    this.#book = book;
    this.#addresses6 = addresses6;
    this.#allNodes = allNodes;
  }

  /** Whether packets to an IPv4 group are for us. */
  has4(address: number): boolean {
    return address === ALL_HOSTS || this.#joined.has(address);
  }

  /**
   * Whether packets to an IPv6 group are for us: all nodes, the solicited-node groups, those
   * joined.
   */
  has6(address: number): boolean {
    if (address === this.#allNodes || this.#joined.has(address)) return true;
    const book = this.#book;
    if (book.word(address, 0) === 0xff010000 && book.word(address, 3) === 1) return true;
    if (book.word(address, 0) !== 0xff020000 || book.word(address, 1) !== 0 || book.word(address, 2) !== 1)
      return false;
    const low = book.word(address, 3);
    if (low >>> 24 !== 255) return false;
    for (const own of this.#addresses6) if ((book.word(own.address, 3) | 0xff000000) >>> 0 === low) return true;
    return false;
  }

  /** IPv4 groups that were joined. */
  joined4(): number[] {
    return [...this.#joined.keys()].filter((group) => !isV6(group));
  }

  /**
   * IPv6 groups that MLD reports: those joined and the solicited-node groups, without all nodes
   * (RFC 3810 section 6).
   */
  reported6(): number[] {
    const solicited = this.#addresses6.map((own) => this.solicitedNode(own.address));
    return [...new Set([...this.#joined.keys(), ...solicited])].filter((group) => isV6(group));
  }

  /**
   * Counts a join.
   * @returns 'first' when the group is new, 'again' when it is not, null when there are too many
   */
  join(group: number): 'first' | 'again' | null {
    const count = this.#joined.get(group) ?? 0;
    if (count === 0 && this.#joined.size >= MAX_GROUPS) return null;
    this.#joined.set(group, count + 1);
    return count > 0 ? 'again' : 'first';
  }

  /** Takes one join back. @returns whether the interface has left the group */
  leave(group: number): boolean {
    const count = this.#joined.get(group) ?? 0;
    if (count > 1) this.#joined.set(group, count - 1);
    else if (count === 1) return this.#joined.delete(group);
    return false;
  }

  /** The group in which a neighbour is asked for its link address (RFC 4291 section 2.7.1). */
  solicitedNode(address: number): number {
    const bytes = this.#scratch;
    this.#book.write(address, bytes, 0);
    bytes.set([0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xff]);
    return this.#book.intern(bytes, 0);
  }

  /**
   * The Ethernet address of a group (RFC 1112 section 6.4, RFC 2464 section 7); valid until the
   * next call.
   */
  mac(group: number): Uint8Array {
    const mac = this.#mac;
    if (isV6(group)) {
      const low = this.#book.word(group, 3);
      mac.set([0x33, 0x33, low >>> 24, (low >>> 16) & 255, (low >>> 8) & 255, low & 255]);
    } else {
      const low = group & 0x7fffff;
      mac.set([1, 0, 0x5e, low >>> 16, (low >>> 8) & 255, low & 255]);
    }
    return mac;
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const own of this.#addresses6) mark(this.solicitedNode(own.address));
    for (const group of this.#joined.keys()) mark(group);
  }
}
