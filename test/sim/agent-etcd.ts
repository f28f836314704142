/**
 * The coordinator of the simulated machines: an etcd that fails, answers late, and whose answers
 * are lost.
 */
import type { Coordinator, GroupState, GroupView } from '../../failover/cluster/coordinator/coordinator.js';
import type { Queue } from './agent-queue.js';
import type { SimMachine } from './agent-types.js';

const TTL_US = 2_000_000;

/** etcd: one state, one holder, a lease that ends by its own clock. */
export class Etcd {
  state: GroupState | null = null;
  revision = 0;
  holder: { node: string; id: number; untilUs: number } | null = null;
  down = false;
  #ids = 0;

  constructor(readonly queue: Queue) {}

  expire(): void {
    if (this.holder !== null && this.holder.untilUs <= this.queue.nowUs) this.holder = null;
  }

  grant(node: string): number {
    this.holder = { node, id: ++this.#ids, untilUs: this.queue.nowUs + TTL_US };
    return this.holder.id;
  }
}

/** A machine's client, whose requests are delayed and whose answers are lost. */
export class EtcdClient implements Coordinator {
  leaseUntilUs = 0;
  readonly renewIntervalUs = TTL_US / 4;
  #revision = 0;
  #lease = 0;

  constructor(
    readonly node: SimMachine,
    readonly etcd: Etcd,
  ) {}

  /** Asks etcd. The request may be executed although the answer is lost. */
  #ask<T>(what: (etcd: Etcd) => T): Promise<T> {
    const { node, etcd } = this;
    const { queue, random } = node.world;
    return new Promise((done, fail) => {
      let answered = false;
      const lost = (): void => {
        if (answered) return;
        answered = true;
        fail(new Error('no answer'));
      };
      node.later(500_000, lost);
      // One request in thirty may arrive after its timeout; one answer in thirty is lost.
      const late = random.u32() % 30 === 0 ? random.float() * 1_500_000 : 0;
      const isLost = random.u32() % 30 === 0;
      queue.in(200 + random.float() * 3000 + late, () => {
        if (etcd.down || node.cutEtcd) return;
        etcd.expire();
        const answer = what(etcd);
        if (isLost) return;
        queue.in(200 + random.float() * 3000, () => {
          if (etcd.down || node.cutEtcd) return;
          node.soon(() => {
            if (answered) return;
            answered = true;
            done(answer);
          });
        });
      });
    });
  }

  async read(): Promise<GroupView> {
    const view = await this.#ask((etcd) => ({
      state: etcd.state,
      holder: etcd.holder?.node ?? null,
      revision: etcd.revision,
    }));
    this.#revision = view.revision;
    return view;
  }

  async claim(state: GroupState): Promise<boolean> {
    const from = this.node.clock.now();
    const expected = this.#revision;
    const answer = await this.#ask((etcd) => {
      if (etcd.holder !== null || etcd.revision !== expected) return null;
      etcd.state = structuredClone(state);
      etcd.revision++;
      return { id: etcd.grant(this.node.name), revision: etcd.revision };
    });
    if (answer === null) return false;
    this.#lease = answer.id;
    this.#revision = answer.revision;
    this.#until(from);
    return true;
  }

  async update(state: GroupState): Promise<boolean> {
    const id = this.#lease;
    const expected = this.#revision;
    const { done, revision } = await this.#ask((etcd) => {
      if (etcd.holder?.id !== id) return { done: false, revision: 0 };
      if (etcd.revision !== expected) return { done: false, revision: etcd.revision };
      etcd.state = structuredClone(state);
      return { done: true, revision: ++etcd.revision };
    });
    if (revision > 0) this.#revision = revision;
    if (!done && revision > 0) throw new Error('an earlier change, whose answer was lost, is in force');
    return done;
  }

  async renew(): Promise<boolean> {
    const from = this.node.clock.now();
    const id = this.#lease;
    const kept = await this.#ask((etcd) => {
      if (etcd.holder?.id !== id) return false;
      etcd.holder.untilUs = etcd.queue.nowUs + TTL_US;
      return true;
    });
    if (kept && id === this.#lease && id !== 0) this.#until(from);
    else if (!kept) this.#forget();
    return kept;
  }

  async release(): Promise<void> {
    const id = this.#lease;
    this.#forget();
    await this.#ask((etcd) => {
      if (id !== 0 && etcd.holder?.id === id) etcd.holder = null;
    });
  }

  observe(): void {
    // The state is read from etcd.
  }

  close(): void {
    // There is no connection.
  }

  #forget(): void {
    this.#lease = 0;
    this.leaseUntilUs = 0;
  }

  #until(from: number): void {
    const margin = this.node.world.mutant.leaseMarginUs ?? TTL_US / 10;
    this.leaseUntilUs = from + TTL_US - margin;
  }
}
