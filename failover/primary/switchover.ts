/**
 * A switchover (planned failover), on the primary's side: everything that may leave leaves, input
 * waits in the device's queue, and the backup reads the log to its end. Then this process ends, and
 * the backup takes over.
 */
import { FtError } from '../../lib/errors.js';
import { ReaderFault, ShutdownKind, Word } from '../log/ring-header.js';
import type { RingWriter } from '../log/ring-writer.js';

/** A backup that has not reached the log's end after this time cannot take over. */
const TIMEOUT_US = 3_000_000;

/** What a {@link Switchover} needs of the primary. */
export interface SwitchoverHost {
  /** Sends what may leave, stops input, and records how far each connection has sent. */
  beginning(): void;
  /** Publishes the log, wakes the backup, and takes the next turn soon. */
  waiting(writer: RingWriter): void;
  /** The backup has the whole log; this process has to end. */
  completed(): void;
  /** It has failed: input continues. */
  refused(): void;
  kick(): void;
}

interface Plan {
  untilUs: number;
  begun: boolean;
  beganUs: number;
  resolve: (beganUs: number) => void;
  reject: (error: FtError) => void;
}

/** One switchover at a time. */
export class Switchover {
  readonly #host: SwitchoverHost;
  #plan: Plan | null = null;
  #completed = false;

  constructor(host: SwitchoverHost) {
    this.#host = host;
  }

  get underWay(): boolean {
    return this.#plan !== null;
  }

  /**
   * Resolves when the backup has the whole log.
   * @returns when input stopped, microseconds
   *
   * Rejects with FtError ERR_FT_UNPROTECTED, ERR_FT_STATE.
   */
  begin(writer: RingWriter | null, nowUs: number): Promise<number> {
    if (this.#plan !== null)
      return Promise.reject(new FtError('ERR_FT_STATE', 'A switchover is under way already', 'Wait for it'));
    if (writer?.readerReady !== true) {
      return Promise.reject(
        new FtError(
          'ERR_FT_UNPROTECTED',
          'There is no backup that could take over',
          'Start one, and wait for "protected"',
        ),
      );
    }
    return new Promise((resolve, reject) => {
      this.#plan = { untilUs: nowUs + TIMEOUT_US, begun: false, beganUs: nowUs, resolve, reject };
      this.#host.kick();
    });
  }

  /** Called in each turn, between two events. */
  step(writer: RingWriter, nowUs: number): void {
    const plan = this.#plan;
    if (plan === null || this.#completed) return;
    if (!plan.begun) {
      plan.begun = true;
      plan.beganUs = nowUs;
      this.#host.beginning();
    }
    this.#host.waiting(writer);
    if (writer.readerAttached && writer.lag === 0 && this.#handOver(writer)) {
      this.#completed = true;
      plan.resolve(plan.beganUs);
      this.#host.completed();
      return;
    }
    if (writer.readerAttached && nowUs <= plan.untilUs) return;
    this.#plan = null;
    this.#host.refused();
    this.#host.kick();
    plan.reject(new FtError('ERR_FT_UNPROTECTED', 'The backup did not reach the end of the log', 'See ft-tcp status'));
  }

  /** @returns false: the backup is about to end, and does not take over */
  #handOver({ ring, clustered }: RingWriter): boolean {
    ring.store(Word.shutdown, ShutdownKind.Switchover);
    if (clustered || ring.load(Word.readerFault) !== ReaderFault.Leaving) return true;
    ring.store(Word.shutdown, ShutdownKind.None);
    return false;
  }
}
