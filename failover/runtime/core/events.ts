/**
 * The runtime's events, and how the log has them: a kind, an id, and for a finished operation its
 * result. Events of sockets are not among them: the stack has those.
 */

/** Something that the runtime tells the program. `id` names the timer, immediate or operation. */
export type RuntimeEvent =
  | { kind: 'timer'; id: number }
  | { kind: 'immediate'; id: number }
  /** An operation has ended; `result` is encoded as for the log. */
  | { kind: 'async'; id: number; result: Uint8Array }
  /** The program is given what another process has saved. */
  | { kind: 'restore'; id: 0 }
  /** The program has nothing left to do. */
  | { kind: 'beforeExit'; id: 0 };

const KINDS = ['timer', 'immediate', 'async', 'restore', 'beforeExit'] as const;

/** Number of an event's kind in the log, from 1. */
export function runtimeEventKind(event: RuntimeEvent): number {
  return KINDS.indexOf(event.kind) + 1;
}

/** The bytes that go with an event; null for none. */
export function encodeRuntimeEvent(event: RuntimeEvent): Uint8Array | null {
  return event.kind === 'async' ? event.result : null;
}

/** The event that a log record describes; undefined for a kind that this version does not know. */
export function decodeRuntimeEvent(kind: number, id: number, result: Uint8Array | null): RuntimeEvent | undefined {
  switch (KINDS[kind - 1]) {
    case 'timer':
      return { kind: 'timer', id };
    case 'immediate':
      return { kind: 'immediate', id };
    case 'async':
      return { kind: 'async', id, result: result ?? new Uint8Array(0) };
    case 'restore':
    case 'beforeExit':
      return { kind: KINDS[kind - 1] as 'restore' | 'beforeExit', id: 0 };
    default:
      return undefined;
  }
}
