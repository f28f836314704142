/**
 * MTUs of paths that are narrower than their first link (RFC 1191, RFC 8201). Bounded; entries end
 * after ten minutes.
 */

const MAX_PATHS = 4096;
/** RFC 1191 section 6.3, RFC 8201 section 4. */
const LIFETIME_US = 600_000_000;
/** Likely MTUs of a router that does not report its own (RFC 1191 table 7-1), bytes. */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

/** MTU by destination. */
export class PathMtuCache {
  readonly counters = { learned: 0, evicted: 0 };
  readonly #paths = new Map<number, { mtu: number; untilUs: number }>();

  /** Paths in the cache. */
  get size(): number {
    return this.#paths.size;
  }

  /** The path's MTU in bytes, `linkMtu` when no smaller one is known. */
  get(address: number, linkMtu: number, nowUs: number): number {
    const known = this.#paths.get(address);
    if (known === undefined) return linkMtu;
    if (known.untilUs <= nowUs) {
      this.#paths.delete(address);
      return linkMtu;
    }
    return Math.min(linkMtu, known.mtu);
  }

  /** A router has reported an MTU; the oldest entry gives way when the cache is full. */
  learn(address: number, mtu: number, nowUs: number): void {
    this.counters.learned++;
    this.#paths.delete(address);
    if (this.#paths.size >= MAX_PATHS) {
      for (const oldest of this.#paths.keys()) {
        this.#paths.delete(oldest);
        this.counters.evicted++;
        break;
      }
    }
    this.#paths.set(address, { mtu, untilUs: nowUs + LIFETIME_US });
  }

  /** All entries, for checkpoints. */
  entries(): { address: number; mtu: number; untilUs: number }[] {
    return [...this.#paths].map(([address, path]) => ({ address, ...path }));
  }

  /** Marks the addresses that the address book must keep. */
  keep(mark: (address: number) => void): void {
    for (const address of this.#paths.keys()) mark(address);
  }
}

/** The next MTU to try below `size`, when a router does not report its own (RFC 1191 section 7). */
export function plateauBelow(size: number): number {
  return PLATEAUS.find((plateau) => plateau < size) ?? 68;
}
