/**
 * The leader's lease, which the coordinator grants. It is renewed while this node leads, passed on
 * to the replica that sends under it, and claimed again when it has expired and no other node has
 * led since. Requests to the coordinator are made one at a time.
 */
import { bootTime } from '../../../lib/clock.js';
import type { Ring } from '../../log/ring.js';
import { Word } from '../../log/ring-header.js';
import type { AgentHost } from './host.js';

/**
 * Longest remaining time that is told to a replica: one hour, as the log's header counts in 32
 * bits.
 */
const MAX_REMAINING_US = 3600e6;
/** Of this many failures one is reported. */
const REPORT_EVERY = 50;
/** Shorter gaps of an agent are usual. */
const MIN_GAP_US = 250_000;

/** What renewal needs to know of the leader. */
export interface LeaseKeeper {
  /** Of the leader that keeps the lease. */
  epoch: number;
  /** Whether it still leads when an answer arrives. */
  isLeading(): boolean;
  /** Another node has led meanwhile. */
  onLost(): void;
}

/** The lease of one node, and its requests to the coordinator. */
export class Lease {
  /** A request is in progress. */
  isBusy = false;
  #renewedUs = Number.NEGATIVE_INFINITY;
  #isLost = false;
  /** When the lease was passed on last, microseconds; null: not since it was granted. */
  #publishedUs: number | null = null;
  /**
   * This agent stood still, and so did a virtual machine's clock perhaps. The replica may not send
   * before a renewal that began later.
   */
  #isDoubtful = false;
  #doubtfulSinceUs = 0;
  /** As the primary counted them last; null: not known yet. */
  #claims: number | null = null;

  constructor(
    readonly host: AgentHost,
    /** This node. */
    readonly self: string,
    readonly counters: { coordinatorErrors: number },
    /** Called after an answer. */
    readonly onAnswer: () => void,
  ) {}

  /** Waits for an answer. A failure is counted; the caller asks again. */
  ask<T>(question: Promise<T>, answered: (answer: T) => void): void {
    this.isBusy = true;
    question.then(
      (answer) => {
        this.isBusy = false;
        answered(answer);
        this.onAnswer();
      },
      (error: unknown) => {
        this.isBusy = false;
        if (this.counters.coordinatorErrors++ % REPORT_EVERY === 0)
          this.host.report('coordinator', { message: error instanceof Error ? error.message : String(error) });
      },
    );
  }

  /** The lease has been granted just now. */
  acquired(): void {
    this.#renewedUs = bootTime(this.host.clock);
    this.#publishedUs = null;
    this.#claims = null;
    this.#isDoubtful = false;
  }

  /**
   * Gives the lease back and calls `then`, also when the coordinator does not answer: the lease
   * then expires by itself.
   */
  release(then: () => void): void {
    this.isBusy = true;
    const done = (): void => {
      this.isBusy = false;
      then();
    };
    this.host.coordinator.release().then(done, done);
  }

  /** Gives the lease back; nothing waits for the answer. */
  giveUp(): void {
    void this.host.coordinator.release().catch(() => undefined);
  }

  /** Writes into the log's header until when the replica may send. */
  publish(ring: Ring, epoch: number): void {
    const nowUs = bootTime(this.host.clock);
    this.#detectGap(nowUs);
    const claims = this.#detectClaim(ring, nowUs, epoch);
    const grantedUs = this.#isDoubtful ? 0 : this.host.coordinator.leaseUntilUs - nowUs;
    const remainingUs = Math.min(grantedUs, MAX_REMAINING_US);
    // The replica goes by the group's clock.
    const [groupOffsetUs = 0] = ring.offsets;
    ring.store(Word.leaseUntilMs, Math.floor((nowUs + groupOffsetUs + remainingUs) / 1000) | 0);
    if (!this.#isDoubtful) ring.store(Word.addressClaimsAnswered, (claims + 1) | 0);
    const isLost = remainingUs <= 0;
    if (isLost === this.#isLost) return;
    this.#isLost = isLost;
    this.host.report(isLost ? 'lease-lost' : 'lease-acquired', { epoch });
  }

  /** After a gap in the agent's work the lease is renewed at once. */
  #detectGap(nowUs: number): void {
    const gapUs = this.#publishedUs === null ? 0 : nowUs - this.#publishedUs;
    this.#publishedUs = nowUs;
    if (gapUs <= Math.max(this.host.coordinator.renewIntervalUs, MIN_GAP_US)) return;
    this.#doubt(nowUs);
  }

  /** Another host claims an address of the primary: another node may lead. @returns all claims */
  #detectClaim(ring: Ring, nowUs: number, epoch: number): number {
    const claims = ring.load(Word.addressClaims);
    const isNew = this.#claims !== null && claims !== this.#claims;
    this.#claims = claims;
    if (isNew) {
      this.host.report('address-claimed', { epoch });
      this.#doubt(nowUs);
    }
    return claims;
  }

  #doubt(nowUs: number): void {
    this.#isDoubtful = true;
    this.#doubtfulSinceUs = nowUs;
    this.#renewedUs = Number.NEGATIVE_INFINITY;
  }

  /** Renews the lease in time, or claims it again after it has expired. */
  keep(keeper: LeaseKeeper): void {
    const { coordinator } = this.host;
    const nowUs = bootTime(this.host.clock);
    const { leaseUntilUs, renewIntervalUs } = coordinator;
    // Shortly before the end, and after it: more often.
    const intervalUs = leaseUntilUs - nowUs < renewIntervalUs * 2 ? renewIntervalUs / 4 : renewIntervalUs;
    if (this.isBusy || nowUs - this.#renewedUs < intervalUs) return;
    this.#renewedUs = nowUs;
    if (leaseUntilUs !== 0)
      this.ask(coordinator.renew(), (isOurs) => {
        // A renewal that began before the gap proves nothing.
        if (isOurs && nowUs >= this.#doubtfulSinceUs) this.#isDoubtful = false;
      });
    else
      this.ask(this.#reclaim(keeper), (isOurs) => {
        if (!isOurs) keeper.onLost();
        else if (coordinator.leaseUntilUs !== 0) this.#isDoubtful = false;
      });
  }

  /** @returns false when another node has led meanwhile. */
  async #reclaim({ epoch, isLeading }: LeaseKeeper): Promise<boolean> {
    const { coordinator } = this.host;
    const { state, holder } = await coordinator.read();
    if (state === null || state.epoch !== epoch || state.primary !== this.self) return false;
    if (holder === null && isLeading()) await coordinator.claim({ ...state }, true);
    return true;
  }
}
