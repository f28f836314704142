/**
 * Poison: the event in which the primary died may be what killed it, and would kill its backup, too. If it throws there, it is set
 * aside: its connection is reset, and the rest goes on. A program that deals with its own exceptions is left alone.
 */

/** The program lives on after an exception that nothing caught. */
export function hasUncaughtHandler(): boolean {
  return process.listenerCount('uncaughtException') > 0 || process.hasUncaughtExceptionCaptureCallback();
}

export class Quarantine {
  /** Connection of the event that runs, 0 for none; -1: no such event runs. */
  #suspect = -1;
  #error: string | null = null;
  readonly #abort: (conn: number) => void;

  constructor(abort: (conn: number) => void) {
    this.#abort = abort;
  }

  /** The event is about to run. */
  watch(conn: number): void {
    if (hasUncaughtHandler()) return;
    this.#suspect = conn;
    process.setUncaughtExceptionCaptureCallback((error) => this.#quarantine(error));
  }

  #quarantine(error: unknown): void {
    // Told when the event is over: within it, a backup is silent.
    this.#error ??= error instanceof Error ? (error.stack ?? error.message) : String(error);
    this.#abort(this.#suspect);
  }

  /** The event is over. @returns what it threw, null for nothing. */
  over(): { conn: number; error: string } | null {
    if (this.#suspect < 0) return null;
    const [conn, error] = [this.#suspect, this.#error];
    this.#suspect = -1;
    this.#error = null;
    process.setUncaughtExceptionCaptureCallback(null);
    return error === null ? null : { conn, error };
  }
}
