/**
 * The right to be primary as a lease in etcd. Two keys: `state` stays, `holder` is bound to the lease of whoever may speak.
 *
 * The time until which the primary may speak is counted from before the request that renewed the lease was sent, and ends a
 * margin before the lease can: etcd counts from later, so that it can only be longer there. Clocks need not agree, but
 * must run alike to within the margin (a tenth of the lease's time).
 */
import type { Clock } from '../../../lib/clock.js';
import { FtError } from '../../../lib/errors.js';
import type { EtcdConfig } from '../config.js';
import { type Coordinator, type GroupState, parseState, type View } from './coordinator.js';
import { EtcdClient } from './etcd-client.js';

/** Part of the lease's time that clocks may disagree by. */
const MARGIN = 0.1;
const LEAST_MARGIN_US = 200_000;

export class EtcdCoordinator implements Coordinator {
  speakUntilUs = 0;
  readonly renewEveryUs: number;
  readonly #client: EtcdClient;
  readonly #stateKey: string;
  readonly #holderKey: string;
  #lease: string | null = null;
  /** Revision of `state` that we know; "0": there is none. */
  #stateRevision = '0';
  /** Creation of our `holder`. */
  #holderRevision: string | null = null;

  constructor(
    readonly config: EtcdConfig,
    group: string,
    readonly node: string,
    readonly clock: Clock,
  ) {
    this.renewEveryUs = (config.ttl * 1e6) / 4;
    this.#client = new EtcdClient(config, Math.max(500, (config.ttl * 1000) / 4));
    this.#stateKey = `${config.prefix}${group}/state`;
    this.#holderKey = `${config.prefix}${group}/holder`;
  }

  async read(): Promise<View> {
    const { values } = await this.#client.txn([], [{ get: this.#stateKey }, { get: this.#holderKey }], []);
    const [state, holder] = values;
    this.#stateRevision = state?.modRevision ?? '0';
    return {
      state: state === undefined ? null : parseState(state.value, this.#stateKey),
      holder: holder?.value ?? null,
    };
  }

  async claim(state: GroupState): Promise<boolean> {
    const from = this.clock.now();
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
    this.#until(from, this.config.ttl);
    return true;
  }

  async update(state: GroupState): Promise<boolean> {
    if (this.#holderRevision === null) return false;
    const ours = this.#holderRevision;
    const { succeeded, revision, values } = await this.#client.txn(
      [
        { key: this.#holderKey, what: 'create', revision: ours },
        // One that nobody waits for any more must not come after this one, and undo it.
        { key: this.#stateKey, what: 'mod', revision: this.#stateRevision },
      ],
      [{ put: this.#stateKey, value: JSON.stringify(state) }],
      [{ get: this.#holderKey }, { get: this.#stateKey }],
    );
    if (succeeded) this.#stateRevision = revision;
    if (succeeded || values[0]?.createRevision !== ours) return succeeded;
    // Only the holder writes the state: what is there is our own, of which we have not heard.
    this.#stateRevision = values[1]?.modRevision ?? '0';
    throw new FtError('ERR_FT_COORDINATOR', 'A change of which nothing was heard had happened', 'It is tried again');
  }

  learn(): void {
    // etcd is asked instead.
  }

  async renew(): Promise<boolean> {
    const lease = this.#lease;
    if (lease === null) return false;
    const from = this.clock.now();
    const ttl = await this.#client.keepAlive(lease);
    if (lease !== this.#lease) return false;
    if (ttl <= 0) {
      this.#forget();
      return false;
    }
    this.#until(from, ttl);
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
    this.speakUntilUs = 0;
  }

  #until(from: number, ttl: number): void {
    const us = ttl * 1e6;
    this.speakUntilUs = from + us - Math.max(LEAST_MARGIN_US, us * MARGIN);
  }
}

/** Throws FtError ERR_FT_COORDINATOR for a state that is not one of ours. */
