/** What is known of paths narrower than their first link (RFC 1191, RFC 8201). Bounded; forgotten after ten minutes. */

const MAX_PATHS = 4096;
/** RFC 1191 section 6.3, RFC 8201 section 4. */
const LIFETIME_US = 600_000_000;
/** What a router that does not tell its MTU may have (RFC 1191 table 7-1). */
const PLATEAUS = [32_000, 17_914, 8166, 4352, 2002, 1492, 1006, 508, 296, 68];

export class PathMtuCache {
  readonly counters = { learned: 0, evicted: 0 };
  readonly #paths = new Map<number, { mtu: number; untilUs: number }>();

  get size(): number {
    return this.#paths.size;
  }

  /** The path's MTU, or `linkMtu` when nothing smaller is known. */
  get(address: number, linkMtu: number, nowUs: number): number {
    const known = this.#paths.get(address);
    if (known === undefined) return linkMtu;
    if (known.untilUs <= nowUs) {
      this.#paths.delete(address);
      return linkMtu;
    }
    return Math.min(linkMtu, known.mtu);
  }

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

  /** What is known, for checkpoints. */
  entries(): { address: number; mtu: number; untilUs: number }[] {
    return [...this.#paths].map(([address, path]) => ({ address, ...path }));
  }

  keep(mark: (address: number) => void): void {
    for (const address of this.#paths.keys()) mark(address);
  }
}

/** The next size to try below `size`, when a router says only that that was too much. */
export function plateauBelow(size: number): number {
  return PLATEAUS.find((plateau) => plateau < size) ?? 68;
}
