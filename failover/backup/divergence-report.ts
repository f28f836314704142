/**
 * What is told when a backup's program is not where the primary's is: the first difference, the
 * bytes there, the event, the last events before it, and the likely cause.
 */
import type { GroupPlace } from '../host/group-directory.js';
import { type Difference, firstDifference, OUTPUT_WINDOW_BYTES, OutputWindow } from '../log/output-window.js';
import type { Ring } from '../log/ring.js';
import type { EventTrace } from './event-trace.js';

/** The fields of the event `diverged`. */
export interface DivergenceReport {
  reason: string;
  cause: string | null;
  eventNumber: number;
  eventKind: string;
  lastEvents: string[];
  /** Whose output differs; 0: none. */
  connection: number;
  /** Where it differs first, in bytes from the beginning of the stream. */
  offset: number | null;
  /** What was written there, escaped. */
  here: string | null;
  primary: string | null;
}

/** The replica whose outputs are kept. */
export interface OutputsHost {
  readonly options: { readonly group: GroupPlace; readonly divergedBytes?: boolean };
  readonly ring: Ring | null;
  readonly pid: number;
  readonly stateMode: boolean;
  readonly checks: { window: OutputWindow | null };
  readonly time: { readonly number: number };
  readonly runtime: { readonly lastUnrepeatable: { api: string; event: number } | null };
  readonly replayer: { readonly trace: EventTrace } | null;
}

/** What the programs of this replica and of its primary wrote last. */
export class ReplicaOutputs {
  readonly #host: OutputsHost;

  constructor(host: OutputsHost) {
    this.#host = host;
  }

  /** Begins to keep what this replica's program writes; on a primary, where its backup finds it. */
  open(role: 'primary' | 'backup'): void {
    const { options, ring, pid, stateMode, checks } = this.#host;
    if (ring === null || stateMode || options.divergedBytes === false) return;
    let memory: ArrayBuffer | undefined;
    if (role === 'primary') {
      try {
        memory = options.group.createOutputs(pid, OUTPUT_WINDOW_BYTES);
      } catch {
        // Without room for it, a divergence is reported without the primary's bytes.
      }
    }
    checks.window = new OutputWindow(memory);
  }

  /** Where the outputs to a connection differ first; null: that is not known. */
  difference(conn: number): Difference | null {
    const { options, ring, checks } = this.#host;
    if (conn === 0 || ring === null || checks.window === null) return null;
    const memory = options.group.mapOutputs(ring.writerPid, OUTPUT_WINDOW_BYTES);
    if (memory === null) return null;
    return firstDifference(checks.window.piecesOf(conn), new OutputWindow(memory).piecesOf(conn));
  }

  /** What is known where a difference is found. @param conn whose output differs; 0: none */
  report(reason: string, conn: number): DivergenceReport {
    const { runtime, replayer, time } = this.#host;
    const suspect = runtime.lastUnrepeatable;
    const difference = this.difference(conn);
    return {
      reason,
      cause: suspect === null ? null : `${suspect.api}, last called in event ${suspect.event}`,
      eventNumber: time.number,
      eventKind: replayer?.trace.last ?? '',
      lastEvents: replayer?.trace.lines() ?? [],
      connection: conn,
      offset: difference?.offset ?? null,
      here: difference?.here ?? null,
      primary: difference?.there ?? null,
    };
  }
}
