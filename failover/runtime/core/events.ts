/** The world's events as the log has them: a kind, an id, and for a finished operation its result. */
import type { RuntimeEvent } from './context.js';

const KINDS = ['timer', 'immediate', 'async', 'restore'] as const;

/** Number of an event's kind in the log. */
export function runtimeEventKind(event: RuntimeEvent): number {
  return KINDS.indexOf(event.kind) + 1;
}

/** The bytes that go with an event, null for none. */
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
      return { kind: 'restore', id: 0 };
    default:
      return undefined;
  }
}
