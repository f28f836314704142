/**
 * Quarantine of a poison event. The event in which the primary died may be what killed it, and
 * would kill its backup, too. If the event throws on the backup, its connection is reset and the
 * program continues. A program that handles uncaught exceptions itself is left alone.
 */

/** Whether the program survives an exception that nothing caught. */
export function hasUncaughtHandler(): boolean {
  return process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
}

/** Catches what a suspect event throws. One event at a time. */
export class Quarantine {
  /** Connection of the event that runs, 0 for an event of none; -1: no suspect event runs. */
  #suspect = -1;
  #error: string | null = null;
  readonly #abort: (conn: number) => void;

  /** @param abort resets a connection */
  constructor(abort: (conn: number) => void) {
    this.#abort = abort;
  }

  /** A suspect event is about to run. @param conn its connection, 0 for none */
  watch(conn: number): void {
    if (hasUncaughtHandler()) return;
    this.#suspect = conn;
    process.setUncaughtExceptionCaptureCallback((error) => this.#catch(error));
  }

  #catch(error: unknown): void {
    // Reported when the event has ended: during it, a backup's output is suppressed.
    this.#error ??= error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#abort(this.#suspect);
  }

  /** The event has ended. @returns its connection and what it threw; null when it threw nothing */
  end(): { conn: number; error: string } | null {
    if (this.#suspect < 0) return null;
    const [conn, error] = [this.#suspect, this.#error];
    this.#suspect = -1;
    this.#error = null;
    process.setUncaughtExceptionCaptureCallback(null);
    return error === null ? null : { conn, error };
  }
}
