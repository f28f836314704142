/**
 * A node without a leader. It asks a leader for its log as soon as one is heard. While there is
 * none it reads the group's state, decides whether it may lead (election.ts), and claims the lease.
 */
import type { GroupView } from '../coordinator/coordinator.js';
import { type Follow, MessageType } from '../transport/messages.js';
import type { Decision, ElectionInput } from './election.js';
import { newestLeader } from './peers.js';
import { type Inheritance, Role, type RoleContext } from './role.js';

const FOLLOW_INTERVAL_US = 300_000;

/** What `Joining` and `Disconnected` share. */
export abstract class Candidate extends Role {
  readonly #sinceUs: number;
  #askedUs = Number.NEGATIVE_INFINITY;
  #readUs = Number.NEGATIVE_INFINITY;
  #view: GroupView | null = null;
  #viewAtUs = 0;

  constructor(
    context: RoleContext,
    /** Interval of reading the group's state, microseconds. */
    readonly readIntervalUs: number,
  ) {
    super(context);
    this.#sinceUs = context.host.clock.now();
  }

  /** The request to a leader: which log this node has. */
  protected abstract request(): Follow;

  /** Whether this node may lead, as far as it knows. */
  protected abstract decide(input: ElectionInput): Decision;

  /** The log that this node leads with. */
  protected abstract inheritance(): Inheritance | null;

  /** False while a leader's log is being set up here. */
  protected get isSearching(): boolean {
    return true;
  }

  step(nowUs: number): void {
    if (!this.isSearching) return;
    const { context } = this;
    const leader = newestLeader(context.peers, context.epoch);
    if (leader !== null) this.#ask(leader, nowUs);
    else if (!context.lease.isBusy) this.#campaign(nowUs);
  }

  #ask(leader: string, nowUs: number): void {
    if (nowUs - this.#askedUs < FOLLOW_INTERVAL_US) return;
    this.#askedUs = nowUs;
    this.context.host.links.send(leader, MessageType.Follow, this.request());
  }

  #campaign(nowUs: number): void {
    const { lease, host } = this.context;
    if (nowUs - this.#readUs >= this.readIntervalUs) {
      this.#readUs = nowUs;
      lease.ask(host.coordinator.read(), (view) => {
        this.#view = view;
        this.#viewAtUs = nowUs;
      });
      return;
    }
    const view = this.#view;
    if (view === null || view.holder !== null) return;
    const { options, peers, epoch } = this.context;
    const decision = this.decide({
      ...options,
      waitedUs: nowUs - this.#sinceUs,
      view,
      viewAtUs: this.#viewAtUs,
      peers,
      epoch,
    });
    if (decision.kind === 'claim') this.#claim(decision);
    else if (decision.kind === 'discard') this.context.discard();
  }

  #claim({ state, leaderGone, reason }: Decision & { kind: 'claim' }): void {
    const { context } = this;
    context.counters.claims++;
    this.#view = null;
    context.lease.ask(context.host.coordinator.claim(state, leaderGone), (isGranted) => {
      if (!isGranted) return;
      // The answer may come when a leader has been found meanwhile.
      if (!context.isCurrent(this) || !this.isSearching) context.lease.giveUp();
      else context.lead(state, reason, this.inheritance());
    });
  }
}
