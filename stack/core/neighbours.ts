/**
 * The neighbour cache of one Ethernet interface, for ARP (RFC 826, with the timing of RFC 1122
 * section 2.3.2) and for neighbour discovery (RFC 4861). It resolves addresses, keeps a few frames
 * while an address is unresolved, and drops entries that are not used. Entries in use stay usable
 * while they are refreshed.
 */
import type { TxFrame } from '../../lib/device/device.js';
import { copyFrame } from '../../lib/device/frame-copy.js';
import { TimerNode } from '../../lib/timer-wheel.js';

/** Frames kept per unresolved neighbour. */
const MAX_HELD_FRAMES = 16;
/** Entries of one cache; the least recently used one gives way. */
const MAX_NEIGHBOURS = 1024;
const REQUEST_INTERVAL_US = 1_000_000;
/** Requests without an answer after which a neighbour is unreachable. */
const MAX_REQUESTS = 3;
const REACHABLE_US = 60_000_000;

/** What the cache uses of its interface. */
interface NeighbourHost {
  /** Microseconds. */
  now(): number;
  schedule(node: TimerNode, deadlineUs: number): void;
  cancel(node: TimerNode): void;
  /** Broadcasts (or, with a MAC, unicasts) a request for the address. */
  request(address: number, mac: Uint8Array | null): void;
  /** Sends a frame that was kept, complete from its Ethernet header on. */
  release(frame: Uint8Array, mac: Uint8Array): void;
}

/** A host on the link. */
export class Neighbour {
  readonly mac = new Uint8Array(6);
  resolved = false;
  confirmedUs = 0;
  usedUs = 0;
  tries = 0;
  held: Uint8Array[] = [];
  readonly timer: TimerNode;

  constructor(
    readonly address: number,
    cache: NeighbourCache,
  ) {
    this.timer = new TimerNode(() => cache.timeout(this));
  }
}

/** The neighbours of one interface and IP version. */
export class NeighbourCache {
  readonly #entries = new Map<number, Neighbour>();
  readonly #host: NeighbourHost;
  readonly counters = { requests: 0, heldDropped: 0, unreachable: 0, evicted: 0, conflicts: 0 };

  constructor(host: NeighbourHost) {
    this.#host = host;
  }

  /** Entries in the cache. */
  get size(): number {
    return this.#entries.size;
  }

  /** The entry for an address, made (and asked for) if there is none. */
  lookup(address: number): Neighbour {
    let entry = this.#entries.get(address);
    if (entry === undefined) entry = this.#create(address);
    entry.usedUs = this.#host.now();
    if (!entry.resolved && !entry.timer.active) this.#ask(entry);
    return entry;
  }

  /** The entry if there is one, without asking for it. */
  peek(address: number): Neighbour | undefined {
    return this.#entries.get(address);
  }

  /**
   * Records a sender's link address, 6 bytes at `offset` of `source`. Without `create` only
   * existing entries change, so that unsolicited packets cannot fill the cache.
   */
  learn(address: number, source: Uint8Array, offset: number, create: boolean): void {
    let entry = this.#entries.get(address);
    if (entry === undefined) {
      if (!create) return;
      entry = this.#create(address);
    }
    for (let i = 0; i < 6; i++) entry.mac[i] = source[offset + i];
    entry.resolved = true;
    entry.tries = 0;
    entry.confirmedUs = this.#host.now();
    this.#host.schedule(entry.timer, entry.confirmedUs + REACHABLE_US);
    if (entry.held.length > 0) {
      const held = entry.held;
      entry.held = [];
      for (const frame of held) this.#host.release(frame, entry.mac);
    }
  }

  /**
   * Asks the whole link again, and uses the entry meanwhile: the neighbour may have moved without
   * an announcement.
   */
  suspect(address: number): void {
    if (this.#entries.get(address)?.resolved !== true) return;
    this.counters.requests++;
    this.#host.request(address, null);
  }

  /** Keeps a copy of a frame until the neighbour is resolved; the oldest copy gives way. */
  hold(entry: Neighbour, frame: TxFrame): void {
    if (entry.held.length >= MAX_HELD_FRAMES) {
      entry.held.shift();
      this.counters.heldDropped++;
    }
    entry.held.push(copyFrame(frame));
  }

  /** The entry's timer has fired: asks again, or drops the entry. */
  timeout(entry: Neighbour): void {
    const now = this.#host.now();
    if (entry.resolved) {
      if (now - entry.usedUs > REACHABLE_US) {
        this.#drop(entry);
        return;
      }
      // In use but old: asks the neighbour itself, and uses the entry meanwhile.
      if (entry.tries < MAX_REQUESTS) {
        entry.tries++;
        this.counters.requests++;
        this.#host.request(entry.address, entry.mac);
        this.#host.schedule(entry.timer, now + REQUEST_INTERVAL_US);
        return;
      }
      entry.resolved = false;
      entry.tries = 0;
      this.#ask(entry);
      return;
    }
    if (entry.tries >= MAX_REQUESTS) {
      this.counters.unreachable++;
      this.counters.heldDropped += entry.held.length;
      this.#drop(entry);
      return;
    }
    this.#ask(entry);
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const address of this.#entries.keys()) mark(address);
  }

  /** Drops all entries. */
  clear(): void {
    for (const entry of this.#entries.values()) this.#host.cancel(entry.timer);
    this.#entries.clear();
  }

  #ask(entry: Neighbour): void {
    entry.tries++;
    this.counters.requests++;
    this.#host.request(entry.address, null);
    this.#host.schedule(entry.timer, this.#host.now() + REQUEST_INTERVAL_US);
  }

  #create(address: number): Neighbour {
    if (this.#entries.size >= MAX_NEIGHBOURS) {
      let oldest: Neighbour | undefined;
      for (const other of this.#entries.values())
        if (oldest === undefined || other.usedUs < oldest.usedUs) oldest = other;
      if (oldest !== undefined) {
        this.counters.evicted++;
        this.#drop(oldest);
      }
    }
    const entry = new Neighbour(address, this);
    this.#entries.set(address, entry);
    return entry;
  }

  #drop(entry: Neighbour): void {
    this.#host.cancel(entry.timer);
    entry.held = [];
    this.#entries.delete(entry.address);
  }
}
