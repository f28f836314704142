/**
 * Whether a replica of a cluster may send. The agent keeps the end of the lease in the log's
 * header. When another host claims an address of ours, another node may lead, e.g. after a pause in
 * which this machine's clocks stood still. Then nothing leaves before the agent has renewed the
 * lease.
 */
import { bootTime, type Clock } from '../../lib/clock.js';
import type { Ring } from '../log/ring.js';
import { Word } from '../log/ring-header.js';

/** A host that claims our address all the time must not silence us all the time. Microseconds. */
const CLAIM_INTERVAL_US = 1_000_000;

/** The lease, as the primary sees it. */
export class LeaseCheck {
  #claims: number;
  #claimedUs = Number.NEGATIVE_INFINITY;
  /** The lease has not been renewed since the last claim. */
  #isDoubtful = false;

  constructor(
    readonly ring: Ring,
    /** The group's clock. */
    readonly clock: Clock,
  ) {
    this.#claims = ring.load(Word.addressClaims);
  }

  /** Called before each frame. */
  get maySend(): boolean {
    if (this.#isDoubtful && !this.#isRenewed()) return false;
    // Milliseconds modulo 2^32 are compared by their difference.
    return ((this.ring.load(Word.leaseUntilMs) - Math.floor(bootTime(this.clock) / 1000)) | 0) > 0;
  }

  /** Another host claims an address of ours. */
  addressClaimed(): void {
    const nowUs = bootTime(this.clock);
    if (nowUs - this.#claimedUs < CLAIM_INTERVAL_US) return;
    this.#claimedUs = nowUs;
    this.#isDoubtful = true;
    this.#claims = (this.#claims + 1) | 0;
    this.ring.store(Word.addressClaims, this.#claims);
  }

  /** An agent that never answered, of an older version, is not waited for. */
  #isRenewed(): boolean {
    const answered = this.ring.load(Word.addressClaimsAnswered);
    if (answered !== 0 && answered !== this.#claims + 1) return false;
    this.#isDoubtful = false;
    return true;
  }
}
