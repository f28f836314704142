/** A planned move, on the primary's side: everything that may leave leaves, input waits, the backup comes to the log's end. */
import { FtError } from '../../lib/errors.js';
import { type RingWriter, Word } from '../log/ring.js';

/** A backup that does not come to the log's end by then cannot be handed over to. */
const PATIENCE_US = 3_000_000;

/** What it needs of the replica. */
export interface SwitchoverHost {
  /** Sends what may leave, stops input, and says in the log how far each connection is. */
  beginning(): void;
  /** Publishes the log, wakes the backup, and comes back soon. */
  waiting(writer: RingWriter): void;
  /** The backup has all of it; this process has to end. */
  given(): void;
  /** It is not to be: input goes on. */
  refused(): void;
  kick(): void;
}

export class Switchover {
  /** The backup has all, and only waits for our end. */
  given = false;
  readonly #host: SwitchoverHost;
  #plan: { untilUs: number; told: boolean; done: () => void; fail: (error: FtError) => void } | null = null;

  constructor(host: SwitchoverHost) {
    this.#host = host;
  }

  get underWay(): boolean {
    return this.#plan !== null;
  }

  /** Rejects with FtError ERR_FT_UNPROTECTED, ERR_FT_STATE. */
  begin(writer: RingWriter | null, nowUs: number): Promise<void> {
    if (this.#plan !== null)
      return Promise.reject(new FtError('ERR_FT_STATE', 'It is handing over already', 'Wait for it'));
    if (writer?.readerReady !== true) {
      return Promise.reject(
        new FtError('ERR_FT_UNPROTECTED', 'There is no backup that could go on', 'Start one, and wait for "protected"'),
      );
    }
    return new Promise((done, fail) => {
      this.#plan = { untilUs: nowUs + PATIENCE_US, told: false, done, fail };
      this.#host.kick();
    });
  }

  /** In each turn, between two events. */
  step(writer: RingWriter, nowUs: number): void {
    const plan = this.#plan;
    if (plan === null || this.given) return;
    if (!plan.told) {
      plan.told = true;
      this.#host.beginning();
    }
    this.#host.waiting(writer);
    if (writer.readerAttached && writer.lag === 0) {
      writer.ring.store(Word.shutdown, 1);
      this.given = true;
      plan.done();
      this.#host.given();
      return;
    }
    if (writer.readerAttached && nowUs <= plan.untilUs) return;
    this.#plan = null;
    this.#host.refused();
    this.#host.kick();
    plan.fail(new FtError('ERR_FT_UNPROTECTED', 'The backup did not come to the end of the log', 'See ft-tcp status'));
  }
}
