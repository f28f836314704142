/**
 * The output gate: output may depend on what an observer has been told, and must then wait until
 * that is safe elsewhere.
 *
 * The gate counts in positions that only it understands: signed 32-bit numbers that wrap. `end` is
 * the position of all that has happened so far; a position is *reached* when everything before it
 * is safe. The stack asks before it builds a frame, and marks a frame whose position is reached
 * with `TxFrame.committed`; the gate's device checks every frame once more.
 */

/** What every outgoing frame passes. */
export interface OutputGate {
  /**
   * Whether everything may leave. If not, the stack keeps its work, and is flushed again after
   * `wait`.
   */
  isOpen(): boolean;
  /** Whether the gate can be open for a part of the output. Constant. */
  readonly partial: boolean;
  /** Whether committed output may leave: that whose position is reached. False stops all output. */
  isPartiallyOpen(): boolean;
  /** The position that everything which happens now depends on. */
  readonly end: number;
  /** Whether everything before `position` is safe. */
  reached(position: number): boolean;
  /**
   * Asks for a flush when `position` is reached. The caller checks `reached` once more afterwards,
   * as it may have been reached in the meantime.
   */
  wait(position: number): void;
}

/** The earlier of two positions of a gate; null stands for none. */
export function earlierPosition(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return ((one - other) | 0) < 0 ? one : other;
}
