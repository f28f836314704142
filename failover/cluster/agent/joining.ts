/**
 * Role: this node has no log. It follows a leader from the beginning, or starts or resumes a group
 * that has none.
 */
import { followClock } from '../../log/group-clock.js';
import type { Follow, Welcome } from '../transport/messages.js';
import { Candidate } from './candidate.js';
import { type Decision, type ElectionInput, mayStartGroup } from './election.js';
import { LogCopy } from './log-copy.js';
import type { Inheritance, RoleContext } from './role.js';

const READ_INTERVAL_US = 100_000;

/** The role of a node without a log. */
export class Joining extends Candidate {
  readonly name = 'joining';
  /** A leader's offer that waits for the end of the former replica's process. */
  #offer: { leader: string; welcome: Welcome } | null = null;

  constructor(context: RoleContext) {
    super(context, READ_INTERVAL_US);
  }

  override enter(): void {
    const { host, epoch } = this.context;
    host.report('joining', { epoch });
  }

  protected override get isSearching(): boolean {
    return this.#offer === null;
  }

  protected request(): Follow {
    return { epoch: 0, position: 0, applied: 0 };
  }

  protected decide(input: ElectionInput): Decision {
    return mayStartGroup(input);
  }

  protected inheritance(): Inheritance | null {
    return null;
  }

  /** A leader sends its log from the beginning of a new copy. */
  accept(leader: string, welcome: Welcome): void {
    this.#offer = { leader, welcome };
    if (this.context.supervisor.isRunning) this.context.host.replica.kill();
    else this.#begin(leader, welcome);
  }

  /** The former replica is gone: its place is created anew. */
  #begin(leader: string, welcome: Welcome): void {
    const { context } = this;
    const { replica, clock } = context.host;
    this.#offer = null;
    replica.clear();
    const ring = replica.createLog(welcome);
    ring.offsets.fill(Number.NEGATIVE_INFINITY);
    followClock(ring, clock, welcome.monoUs, welcome.wallMs);
    context.supervisor.newLog();
    context.follow(leader, welcome, new LogCopy(ring, welcome.epoch, welcome.position));
    context.supervisor.start('backup');
  }

  override peerDown(name: string): void {
    if (this.#offer?.leader === name) this.#offer = null;
  }

  override replicaExited(): void {
    if (this.#offer !== null) this.#begin(this.#offer.leader, this.#offer.welcome);
  }
}
