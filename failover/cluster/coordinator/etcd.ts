/**
 * Coordinator on etcd. Two keys: `state` stays, `holder` is bound to the etcd lease of the node
 * that leads.
 *
 * The end of the lease is counted from before the request that renewed it, and a margin is
 * subtracted. etcd counts from later, so its lease ends later. Clocks need not agree, but must run
 * alike to within the margin (a tenth of the lease's time).
 */
import { bootTime, type Clock } from '../../../lib/clock.js';
import { FtError } from '../../../lib/errors.js';
import type { EtcdConfig } from '../config/config.js';
import { type Coordinator, type GroupState, type GroupView, parseState } from './coordinator.js';
import { EtcdClient } from './etcd-client.js';

/** Part of the lease's time by which two clocks may differ at its end. */
const MARGIN = 0.1;
const MIN_MARGIN_US = 200_000;

/** Coordinator type "etcd". */
export class EtcdCoordinator implements Coordinator {
  leaseUntilUs = 0;
  readonly renewIntervalUs: number;
  readonly #client: EtcdClient;
  readonly #stateKey: string;
  readonly #holderKey: string;
  #lease: string | null = null;
  /** Revision of `state` that was read last; "0": there is no such key. */
  #stateRevision = '0';
  /** Revision in which this node created `holder`. */
  #holderRevision: string | null = null;

  constructor(
    readonly config: EtcdConfig,
    group: string,
    readonly node: string,
    readonly clock: Clock,
  ) {
    this.renewIntervalUs = (config.ttl * 1e6) / 4;
    this.#client = new EtcdClient(config, Math.max(500, (config.ttl * 1000) / 4));
    this.#stateKey = `${config.prefix}${group}/state`;
    this.#holderKey = `${config.prefix}${group}/holder`;
  }

  async read(): Promise<GroupView> {
    const { values } = await this.#client.txn([], [{ get: this.#stateKey }, { get: this.#holderKey }], []);
    const [state, holder] = values;
    this.#stateRevision = state?.modRevision ?? '0';
    return {
      state: state === undefined ? null : parseState(state.value, this.#stateKey),
      holder: holder?.value ?? null,
    };
  }

  async claim(state: GroupState): Promise<boolean> {
    const from = bootTime(this.clock);
    const lease = await this.#client.grant(this.config.ttl);
    const { succeeded, revision } = await this.#client.txn(
      [
        { key: this.#holderKey, what: 'create', revision: '0' },
        { key: this.#stateKey, what: 'mod', revision: this.#stateRevision },
      ],
      [
        { put: this.#holderKey, value: this.node, lease },
        { put: this.#stateKey, value: JSON.stringify(state) },
      ],
      [],
    );
    if (!succeeded) {
      await this.#client.revoke(lease);
      return false;
    }
    this.#lease = lease;
    this.#holderRevision = revision;
    this.#stateRevision = revision;
    this.#extend(from, this.config.ttl);
    return true;
  }

  async update(state: GroupState): Promise<boolean> {
    if (this.#holderRevision === null) return false;
    const holderRevision = this.#holderRevision;
    const { succeeded, revision, values } = await this.#client.txn(
      [
        { key: this.#holderKey, what: 'create', revision: holderRevision },
        // A late request that has been given up must not undo this one.
        { key: this.#stateKey, what: 'mod', revision: this.#stateRevision },
      ],
      [{ put: this.#stateKey, value: JSON.stringify(state) }],
      [{ get: this.#holderKey }, { get: this.#stateKey }],
    );
    if (succeeded) this.#stateRevision = revision;
    if (succeeded || values[0]?.createRevision !== holderRevision) return succeeded;
    // Only the holder writes the state: the answer to an earlier change of this node was lost.
    this.#stateRevision = values[1]?.modRevision ?? '0';
    throw new FtError(
      'ERR_FT_COORDINATOR',
      'An earlier change, whose answer was lost, is in force',
      'It is tried again',
    );
  }

  observe(): void {
    // The state is read from etcd.
  }

  async renew(): Promise<boolean> {
    const lease = this.#lease;
    if (lease === null) return false;
    const from = bootTime(this.clock);
    const ttl = await this.#client.keepAlive(lease);
    if (lease !== this.#lease) return false;
    if (ttl <= 0) {
      this.#forget();
      return false;
    }
    this.#extend(from, ttl);
    return true;
  }

  async release(): Promise<void> {
    const lease = this.#lease;
    this.#forget();
    if (lease !== null) await this.#client.revoke(lease);
  }

  close(): void {
    this.#client.close();
  }

  #forget(): void {
    this.#lease = null;
    this.#holderRevision = null;
    this.leaseUntilUs = 0;
  }

  #extend(from: number, ttl: number): void {
    const us = ttl * 1e6;
    this.leaseUntilUs = from + us - Math.max(MIN_MARGIN_US, us * MARGIN);
  }
}
