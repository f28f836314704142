/**
 * Reassembly of IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5), bounded in datagrams,
 * bytes and fragments. Overlapping fragments are an attack or a bug: the datagram is dropped, with
 * every fragment of it that follows (RFC 5722; the same for IPv4). An exact copy of a fragment is a
 * duplicate made by the network, and ignored.
 */
import { Drop } from '../../lib/packet/drop.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import type { AddressBook } from '../core/address-book.js';
import type { IpPacket } from '../core/ip-packet.js';

const MAX_DATAGRAMS = 256;
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_PIECES = 256;
const MAX_PAYLOAD = 65_535;
/** Bytes of the first fragment that are kept for an ICMP error (RFC 4443 section 2.4 c). */
const MAX_QUOTE = 1232;

/** The payload of one fragment, and where it belongs in the datagram's, bytes. */
interface Piece {
  from: number;
  bytes: Uint8Array;
}

/** What reassembly uses of the stack. */
interface IpReassemblyHost {
  /** Microseconds. */
  now(): number;
  schedule(node: TimerNode, deadlineUs: number): void;
  cancel(node: TimerNode): void;
  /**
   * A datagram took too long; `quote` is the packet of its first fragment, up to 1232 bytes, or
   * null if that never came.
   */
  timedOut(source: number, destination: number, quote: Uint8Array | null): void;
}

function addressBytes(book: AddressBook, address: number): Uint8Array {
  const bytes = new Uint8Array(16);
  book.write(address, bytes, 0);
  return bytes;
}

class Datagram {
  pieces: Piece[] = [];
  bytes = 0;
  /** Length of the whole payload, bytes; -1 while the last fragment is missing. */
  total = -1;
  /** Fragments overlapped; everything of it is dropped. */
  poisoned = false;
  /** Protocol of the first fragment. */
  protocol = 0;
  quote: Uint8Array | null = null;
  readonly timer: TimerNode;

  constructor(
    readonly key: string,
    readonly source: number,
    readonly destination: number,
    expire: (datagram: Datagram) => void,
  ) {
    this.timer = new TimerNode(() => expire(this));
  }
}

/** An incomplete datagram as plain data; addresses have 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export interface SavedDatagram {
  source: Uint8Array;
  destination: Uint8Array;
  /** Protocol and identification, as the key of the datagram has them. */
  keyProtocol: number;
  id: number;
  pieces: Piece[];
  total: number;
  poisoned: boolean;
  protocol: number;
  quote: Uint8Array | null;
  /** When its time is over, microseconds. */
  deadlineUs: number;
}

/** The datagrams of one IP version that are incomplete. */
export class IpReassembly {
  readonly counters = { received: 0, reassembled: 0, overlaps: 0, timeouts: 0, refused: 0, evicted: 0 };
  readonly #datagrams = new Map<string, Datagram>();
  #bytes = 0;
  /** Why the last fragment was not taken; 0 when it was. */
  drop = 0;
  /** Protocol of the latest complete datagram, as its first fragment had it. */
  protocol = 0;

  /**
   * @param protocolInKey whether datagrams of different protocols are apart (IPv4), or the first
   * fragment's counts (IPv6)
   */
  constructor(
    readonly host: IpReassemblyHost,
    /** Time that a datagram may take, microseconds. */
    readonly timeoutUs: number,
    readonly protocolInKey: boolean,
  ) {}

  /** Incomplete datagrams. */
  get size(): number {
    return this.#datagrams.size;
  }

  /** Bytes of payload that are kept. */
  get bytes(): number {
    return this.#bytes;
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const datagram of this.#datagrams.values()) {
      mark(datagram.source);
      mark(datagram.destination);
    }
  }

  /**
   * Takes the fragment that is the packet's payload.
   * @param id the datagram's identification
   * @param more whether fragments follow it
   * @returns the whole payload when it was the last one missing, else null; see `drop`
   */
  add(packet: IpPacket, id: number, more: boolean): Uint8Array | null {
    const { src, dst, protocol, bytes, start, fragmentOffset, payloadOffset, payloadLength } = packet;
    this.counters.received++;
    this.drop = 0;
    if (payloadLength === 0 || fragmentOffset + payloadLength > MAX_PAYLOAD || (more && (payloadLength & 7) !== 0)) {
      this.drop = Drop.FragmentTooLong;
      return null;
    }
    const key = `${src} ${dst} ${this.protocolInKey ? protocol : -1} ${id}`;
    let datagram = this.#datagrams.get(key);
    if (datagram === undefined) {
      datagram = new Datagram(key, src, dst, (old) => this.#expire(old));
      this.#makeRoom();
      this.#datagrams.set(key, datagram);
      this.host.schedule(datagram.timer, this.host.now() + this.timeoutUs);
    }
    if (datagram.poisoned) {
      this.drop = Drop.FragmentOverlap;
      return null;
    }
    if (!this.#insert(datagram, packet, more)) return null;
    if (fragmentOffset === 0) {
      datagram.protocol = protocol;
      datagram.quote = bytes.slice(start, Math.min(payloadOffset + payloadLength, start + MAX_QUOTE));
    }
    if (datagram.total < 0 || datagram.bytes < datagram.total) return null;
    this.counters.reassembled++;
    this.protocol = datagram.protocol;
    const whole = new Uint8Array(datagram.total);
    for (const piece of datagram.pieces) whole.set(piece.bytes, piece.from);
    this.#remove(datagram);
    return whole;
  }

  /** All datagrams, the oldest first, for `load` in another process. */
  save(book: AddressBook): SavedDatagram[] {
    return [...this.#datagrams.values()].map(({ key, source, destination, timer, ...rest }) => {
      const [, , keyProtocol, id] = key.split(' ').map(Number);
      const { pieces, total, poisoned, protocol, quote } = rest;
      const addresses = { source: addressBytes(book, source), destination: addressBytes(book, destination) };
      return { ...addresses, keyProtocol, id, pieces, total, poisoned, protocol, quote, deadlineUs: timer.deadline };
    });
  }

  /** Continues with saved datagrams, each until its own time is over; `shiftUs` moves that time. */
  load(saved: readonly SavedDatagram[], book: AddressBook, shiftUs: number): void {
    for (const { keyProtocol, id, deadlineUs, pieces, ...one } of saved) {
      const source = book.fromBytes(one.source, 0);
      const destination = book.fromBytes(one.destination, 0);
      const key = `${source} ${destination} ${keyProtocol} ${id}`;
      const datagram = new Datagram(key, source, destination, (old) => this.#expire(old));
      datagram.pieces = [...pieces];
      datagram.bytes = pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
      datagram.total = one.total;
      datagram.poisoned = one.poisoned;
      datagram.protocol = one.protocol;
      datagram.quote = one.quote;
      this.#bytes += datagram.bytes;
      this.#datagrams.set(key, datagram);
      this.host.schedule(datagram.timer, deadlineUs + shiftUs);
    }
  }

  /** Gives up all datagrams. */
  clear(): void {
    for (const datagram of [...this.#datagrams.values()]) this.#remove(datagram);
  }

  #insert(datagram: Datagram, packet: IpPacket, more: boolean): boolean {
    const { bytes, fragmentOffset: offset, payloadOffset: at, payloadLength: length } = packet;
    const end = offset + length;
    const { pieces } = datagram;
    let index = 0;
    while (index < pieces.length && pieces[index].from < offset) index++;
    const before = pieces[index - 1];
    const after = pieces[index];
    if (after !== undefined && after.from === offset && after.bytes.length === length) return false;
    const overlaps =
      (before !== undefined && before.from + before.bytes.length > offset) ||
      (after !== undefined && after.from < end) ||
      (datagram.total >= 0 && (end > datagram.total || (!more && end !== datagram.total))) ||
      (!more && pieces.length > 0 && pieces.at(-1)!.from + pieces.at(-1)!.bytes.length > end);
    if (overlaps) {
      this.counters.overlaps++;
      this.#poison(datagram);
      this.drop = Drop.FragmentOverlap;
      return false;
    }
    if (pieces.length >= MAX_PIECES) {
      this.counters.refused++;
      this.#poison(datagram);
      this.drop = Drop.FragmentLimit;
      return false;
    }
    while (this.#bytes + length > MAX_BYTES && this.#evictOldest(datagram));
    pieces.splice(index, 0, { from: offset, bytes: bytes.slice(at, at + length) });
    datagram.bytes += length;
    this.#bytes += length;
    if (!more) datagram.total = end;
    return true;
  }

  /** Drops the datagram's fragments, also those that follow until its time is over. */
  #poison(datagram: Datagram): void {
    this.#bytes -= datagram.bytes;
    datagram.bytes = 0;
    datagram.pieces = [];
    datagram.quote = null;
    datagram.poisoned = true;
  }

  #makeRoom(): void {
    if (this.#datagrams.size >= MAX_DATAGRAMS) this.#evictOldest(null);
  }

  #evictOldest(except: Datagram | null): boolean {
    for (const datagram of this.#datagrams.values()) {
      if (datagram === except) continue;
      this.counters.evicted++;
      this.#remove(datagram);
      return true;
    }
    return false;
  }

  #expire(datagram: Datagram): void {
    this.counters.timeouts++;
    const { source, destination, quote, poisoned } = datagram;
    this.#remove(datagram);
    if (!poisoned) this.host.timedOut(source, destination, quote);
  }

  #remove(datagram: Datagram): void {
    this.host.cancel(datagram.timer);
    this.#bytes -= datagram.bytes;
    this.#datagrams.delete(datagram.key);
  }
}
