/**
 * TIME_WAIT as a small record instead of a connection: enough to acknowledge a retransmitted FIN, and to accept a new
 * connection on the same four-tuple safely (RFC 6191, RFC 9293 MAY-2). Bounded; the oldest entry gives way.
 */
export interface TimeWaitEntry {
  key: string;
  localAddress: number;
  remoteAddress: number;
  localPort: number;
  remotePort: number;
  /** Wire sequence numbers: our next one, and the peer's next one. */
  sndNxt: number;
  rcvNxt: number;
  tsOk: boolean;
  tsRecent: number;
  tsOffset: number;
  rcvWindow: number;
  expiresUs: number;
  /** When a segment that was no FIN was last answered. */
  answeredUs?: number;
}

export class TimeWaitTable {
  // A Map keeps insertion order, and all entries live equally long, so the first is the oldest.
  readonly #entries = new Map<string, TimeWaitEntry>();
  readonly #limit: number;
  /** Entries that gave way before their time. */
  evicted = 0;

  constructor(limit: number) {
    this.#limit = limit;
  }

  get size(): number {
    return this.#entries.size;
  }

  get(key: string): TimeWaitEntry | undefined {
    return this.#entries.get(key);
  }

  add(entry: TimeWaitEntry): void {
    this.#entries.delete(entry.key);
    if (this.#entries.size >= this.#limit) {
      for (const oldest of this.#entries.keys()) {
        this.#entries.delete(oldest);
        this.evicted++;
        break;
      }
    }
    this.#entries.set(entry.key, entry);
  }

  /** Starts the entry's 2 MSL anew. */
  renew(entry: TimeWaitEntry, expiresUs: number): void {
    this.#entries.delete(entry.key);
    entry.expiresUs = expiresUs;
    this.#entries.set(entry.key, entry);
  }

  delete(key: string): void {
    this.#entries.delete(key);
  }

  expire(nowUs: number): void {
    for (const [key, entry] of this.#entries) {
      if (entry.expiresUs > nowUs) return;
      this.#entries.delete(key);
    }
  }

  values(): IterableIterator<TimeWaitEntry> {
    return this.#entries.values();
  }

  clear(): void {
    this.#entries.clear();
  }
}
