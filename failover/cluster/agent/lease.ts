/**
 * The right to speak, as the coordinator gives it: it is kept while this node leads, told to the member that speaks, and claimed again when it
 * has run out and nobody has taken it. The coordinator is asked one thing at a time.
 */
import type { Ring } from '../../log/ring.js';
import { Word } from '../../log/ring-header.js';
import type { AgentHost } from './host.js';

/** Longest time that is told to a member at once. */
const MOST_US = 3600e6;
/** Every so many failures one is reported. */
const REPORT_EVERY = 50;

export class Lease {
  /** A question is on its way. */
  busy = false;
  #renewedUs = Number.NEGATIVE_INFINITY;
  #silent = false;

  constructor(
    readonly host: AgentHost,
    readonly self: string,
    readonly counters: { coordinatorErrors: number },
    /** Something has been answered. */
    readonly step: () => void,
  ) {}

  /** Asks; what the coordinator cannot answer is counted, and asked again by whoever needs it. */
  ask<T>(question: Promise<T>, answered: (answer: T) => void): void {
    this.busy = true;
    question.then(
      (answer) => {
        this.busy = false;
        answered(answer);
        this.step();
      },
      (error: unknown) => {
        this.busy = false;
        if (this.counters.coordinatorErrors++ % REPORT_EVERY === 0)
          this.host.note('coordinator', { message: error instanceof Error ? error.message : String(error) });
      },
    );
  }

  /** It was got just now. */
  begun(): void {
    this.#renewedUs = this.host.clock.now();
  }

  /** Gives it back, and goes on when that is known, or not to be known: then it runs out by itself. */
  release(then: () => void): void {
    this.busy = true;
    const done = (): void => {
      this.busy = false;
      then();
    };
    this.host.coordinator.release().then(done, done);
  }

  /** Gives it back; nobody waits for that. */
  drop(): void {
    void this.host.coordinator.release().catch(() => undefined);
  }

  /** Tells the member until when it may speak. */
  speak(ring: Ring, epoch: number): void {
    const now = this.host.clock.now();
    const left = Math.min(this.host.coordinator.speakUntilUs - now, MOST_US);
    // By the group's clock, which the member goes by.
    ring.store(Word.leaseUntilMs, Math.floor((now + ring.offsets[0]! + left) / 1000) | 0);
    const silent = left <= 0;
    if (silent === this.#silent) return;
    this.#silent = silent;
    this.host.note(silent ? 'silent' : 'speaks', { epoch });
  }

  /** Renews it in time. `leads`: whether this node still leads when the answer is there. `lost`: somebody else has led meanwhile. */
  keep(now: number, epoch: number, leads: () => boolean, lost: () => void): void {
    const { coordinator } = this.host;
    const ended = coordinator.speakUntilUs === 0;
    // When the right is about to end, or has: more often.
    const every =
      coordinator.speakUntilUs - now < coordinator.renewEveryUs * 2
        ? coordinator.renewEveryUs / 4
        : coordinator.renewEveryUs;
    if (this.busy || now - this.#renewedUs < every) return;
    this.#renewedUs = now;
    if (!ended) this.ask(coordinator.renew(), () => undefined);
    // It ran out, and nobody may have taken it: the state tells.
    else this.ask(this.#reclaim(epoch, leads), (still) => still || lost());
  }

  /** @returns false when somebody else has led meanwhile. */
  async #reclaim(epoch: number, leads: () => boolean): Promise<boolean> {
    const { coordinator } = this.host;
    const view = await coordinator.read();
    const { state } = view;
    if (state === null || state.epoch !== epoch || state.primary !== this.self) return false;
    if (view.holder === null && leads()) await coordinator.claim({ ...state }, true);
    return true;
  }
}
