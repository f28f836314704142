/**
 * What a replica's process sees of itself and of its group's protection over time: what the status
 * needs beside the replica's own state. Everything is read when somebody asks.
 */
import type { Clock } from '../../lib/clock.js';
import { systemClock } from '../../lib/native/system.js';
import type { Replica, TakeoverReport } from '../replica/replica.js';
import { originals } from '../runtime/core/originals.js';

/** What a group adds up over its primaries. */
export interface GroupTotals {
  /** Takeovers by their reason. */
  takeovers: Record<TakeoverReport['reason'], number>;
  /** Time that a primary was without a backup that could take over, milliseconds. */
  unprotectedMs: number;
}

/** How a group was protected until now, as its primary knows it. */
export interface Protection extends GroupTotals {
  /** How long it took last until a backup could take over again, milliseconds; null: not yet. */
  restoredMs: number | null;
  /** The last takeover, milliseconds since 1970; null: none is known. */
  lastTakeoverMs: number | null;
}

/** What a process uses of its machine. */
export interface ProcessUse {
  /** CPU time of all threads, microseconds. */
  cpuUs: number;
  /** Memory, bytes. */
  residentBytes: number;
  /** The event loop's time at work, microseconds. Busy polling counts as work. */
  loopActiveUs: number;
  /** The event loop's time asleep, microseconds. */
  loopIdleUs: number;
}

/** @returns totals of a group that begins */
export function noTotals(): GroupTotals {
  return { takeovers: { death: 0, hang: 0, switchover: 0 }, unprotectedMs: 0 };
}

/** Adds up how long a group's primary is without protection. Times are microseconds. */
export class ProtectionTime {
  readonly #takeovers: GroupTotals['takeovers'];
  #unprotectedUs: number;
  #restoredMs: number | null = null;
  #lastTakeoverMs: number | null = null;
  /** Since when nothing protects the group; null: a backup does, or this is no primary. */
  #sinceUs: number | null = null;

  /** @param before what earlier primaries have added up */
  constructor(before: GroupTotals = noTotals()) {
    this.#takeovers = { ...before.takeovers };
    this.#unprotectedUs = before.unprotectedMs * 1000;
  }

  /** Nothing protects the primary from now on. */
  lost(nowUs: number): void {
    this.#sinceUs ??= nowUs;
  }

  /** A backup can take over. */
  gained(nowUs: number): void {
    if (this.#sinceUs === null) return;
    const tookUs = Math.max(0, nowUs - this.#sinceUs);
    this.#restoredMs = Math.round(tookUs / 1000);
    this.#unprotectedUs += tookUs;
    this.#sinceUs = null;
  }

  /**
   * This process has become the primary. @param at when the old one was lost, by both clocks
   * @param before what earlier primaries have added up, where that is known
   */
  takenOver(reason: TakeoverReport['reason'], at: { us: number; wallMs: number }, before?: GroupTotals): void {
    if (before !== undefined) {
      Object.assign(this.#takeovers, before.takeovers);
      this.#unprotectedUs = before.unprotectedMs * 1000;
    }
    this.#takeovers[reason]++;
    this.#lastTakeoverMs = Math.round(at.wallMs);
    this.lost(at.us);
  }

  /** Until now. */
  at(nowUs: number): Protection {
    const openUs = this.#sinceUs === null ? 0 : Math.max(0, nowUs - this.#sinceUs);
    return {
      takeovers: { ...this.#takeovers },
      unprotectedMs: Math.round((this.#unprotectedUs + openUs) / 1000),
      restoredMs: this.#restoredMs,
      lastTakeoverMs: this.#lastTakeoverMs,
    };
  }
}

/** Watches one replica. */
export class Observation {
  readonly startedMs: number;
  static readonly #all = new WeakMap<Replica, Observation>();
  readonly #time: ProtectionTime;
  readonly #clock: Clock;

  /**
   * The observation of a replica, which begins with the first call.
   * @param totals asks what earlier primaries of the group have added up
   */
  static of(replica: Replica, totals: () => GroupTotals = noTotals): Observation {
    const known = Observation.#all.get(replica);
    if (known !== undefined) return known;
    const begun = new Observation(replica, systemClock, totals);
    Observation.#all.set(replica, begun);
    return begun;
  }

  private constructor(replica: Replica, clock: Clock, totals: () => GroupTotals) {
    this.#clock = clock;
    this.startedMs = Math.round(clock.wall());
    this.#time = new ProtectionTime(totals());
    if (replica.role === 'primary') this.#time.lost(clock.now());
    replica.on('protected', () => this.#time.gained(clock.now()));
    replica.on('unprotected', () => this.#time.lost(clock.now()));
    replica.on('takeover', ({ reason, atMonotonicUs }) => {
      // On several machines the report has the group's time, which is another machine's.
      const agoUs = Math.max(0, replica.clock.now() - atMonotonicUs);
      const at = { us: clock.now() - agoUs, wallMs: clock.wall() - agoUs / 1000 };
      this.#time.takenOver(reason, at, totals());
    });
  }

  /** What the primaries have added up, this one among them. */
  get totals(): GroupTotals {
    const { takeovers, unprotectedMs } = this.protection;
    return { takeovers, unprotectedMs };
  }

  /** How the group was protected until now. */
  get protection(): Protection {
    return this.#time.at(this.#clock.now());
  }

  /** What this process has used until now. */
  get use(): ProcessUse {
    const { user, system } = originals.cpuUsage();
    const { active, idle } = originals.eventLoopUtilization();
    return {
      cpuUs: user + system,
      residentBytes: originals.residentBytes(),
      loopActiveUs: Math.round(active * 1000),
      loopIdleUs: Math.round(idle * 1000),
    };
  }
}
