/**
 * Reassembly of IP fragments (RFC 791 section 3.2, RFC 8200 section 4.5), bounded in datagrams, bytes and pieces.
 * Overlapping fragments are an attack or a bug: the datagram is given up, and whatever else of it arrives (RFC 5722; the
 * same for IPv4). An exact copy of a piece is a duplicate of the network's, and ignored.
 */
import { Drop } from '../../lib/packet/drop.js';
import { TimerNode } from '../../lib/timer-wheel.js';

const MAX_DATAGRAMS = 256;
const MAX_BYTES = 4 * 1024 * 1024;
const MAX_PIECES = 256;
const MAX_PAYLOAD = 65_535;
/** Bytes of the first fragment that are kept for an ICMP error. */
const MAX_QUOTE = 1232;

interface Piece {
  from: number;
  bytes: Uint8Array;
}

export interface IpReassemblyHost {
  now(): number;
  schedule(node: TimerNode, deadlineUs: number): void;
  cancel(node: TimerNode): void;
  /** The time of a datagram is over; `quote` is its first fragment's packet, as far as kept, or null if that never came. */
  timedOut(source: number, destination: number, quote: Uint8Array | null): void;
}

class Datagram {
  pieces: Piece[] = [];
  bytes = 0;
  /** Length of the whole, -1 while the last fragment is missing. */
  total = -1;
  spoilt = false;
  /** The protocol that the first fragment names. */
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

export class IpReassembly {
  readonly counters = { received: 0, reassembled: 0, overlaps: 0, timeouts: 0, refused: 0, evicted: 0 };
  readonly #datagrams = new Map<string, Datagram>();
  #bytes = 0;
  /** Why the last fragment was not taken; 0 when it was. */
  drop = 0;
  /** Of the datagram that was made whole: what its first fragment said the payload is. */
  protocol = 0;

  constructor(
    readonly host: IpReassemblyHost,
    /** How long a datagram may take, in microseconds. */
    readonly timeoutUs: number,
  ) {}

  /** Datagrams of which something has come. */
  get size(): number {
    return this.#datagrams.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  keep(mark: (address: number) => void): void {
    for (const datagram of this.#datagrams.values()) {
      mark(datagram.source);
      mark(datagram.destination);
    }
  }

  /**
   * Takes the fragment at [at, at + length) of `bytes`; the packet begins at `start`. In IPv4 the protocol belongs to the
   * key, in IPv6 only the first fragment's counts: `keyed` says which.
   * @returns the whole payload when it was the last one missing, else null; see `drop`.
   */
  add(
    source: number,
    destination: number,
    protocol: number,
    keyed: boolean,
    id: number,
    offset: number,
    more: boolean,
    bytes: Uint8Array,
    start: number,
    at: number,
    length: number,
  ): Uint8Array | null {
    this.counters.received++;
    this.drop = 0;
    if (length === 0 || offset + length > MAX_PAYLOAD || (more && (length & 7) !== 0)) {
      this.drop = Drop.FragmentTooLong;
      return null;
    }
    const key = `${source} ${destination} ${keyed ? protocol : -1} ${id}`;
    let datagram = this.#datagrams.get(key);
    if (datagram === undefined) {
      datagram = new Datagram(key, source, destination, (old) => this.#expire(old));
      this.#makeRoom();
      this.#datagrams.set(key, datagram);
      this.host.schedule(datagram.timer, this.host.now() + this.timeoutUs);
    }
    if (datagram.spoilt) {
      this.drop = Drop.FragmentOverlap;
      return null;
    }
    if (!this.#insert(datagram, offset, more, bytes, at, length)) return null;
    if (offset === 0) {
      datagram.protocol = protocol;
      datagram.quote = bytes.slice(start, Math.min(at + length, start + MAX_QUOTE));
    }
    if (datagram.total < 0 || datagram.bytes < datagram.total) return null;
    this.counters.reassembled++;
    this.protocol = datagram.protocol;
    const whole = new Uint8Array(datagram.total);
    for (const piece of datagram.pieces) whole.set(piece.bytes, piece.from);
    this.#forget(datagram);
    return whole;
  }

  clear(): void {
    for (const datagram of [...this.#datagrams.values()]) this.#forget(datagram);
  }

  #insert(datagram: Datagram, offset: number, more: boolean, bytes: Uint8Array, at: number, length: number): boolean {
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
      this.#spoil(datagram);
      this.drop = Drop.FragmentOverlap;
      return false;
    }
    if (pieces.length >= MAX_PIECES) {
      this.counters.refused++;
      this.#spoil(datagram);
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

  /** Nothing more of it is taken until its time is over. */
  #spoil(datagram: Datagram): void {
    this.#bytes -= datagram.bytes;
    datagram.bytes = 0;
    datagram.pieces = [];
    datagram.quote = null;
    datagram.spoilt = true;
  }

  #makeRoom(): void {
    if (this.#datagrams.size >= MAX_DATAGRAMS) this.#evictOldest(null);
  }

  #evictOldest(except: Datagram | null): boolean {
    for (const datagram of this.#datagrams.values()) {
      if (datagram === except) continue;
      this.counters.evicted++;
      this.#forget(datagram);
      return true;
    }
    return false;
  }

  #expire(datagram: Datagram): void {
    this.counters.timeouts++;
    const { source, destination, quote, spoilt } = datagram;
    this.#forget(datagram);
    if (!spoilt) this.host.timedOut(source, destination, quote);
  }

  #forget(datagram: Datagram): void {
    this.host.cancel(datagram.timer);
    this.#bytes -= datagram.bytes;
    this.#datagrams.delete(datagram.key);
  }
}
