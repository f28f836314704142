/** What the table of events (events.ts) says of each event. */

/** What a field's value can be in JSON. */
export interface FieldTypes {
  string: string;
  integer: number;
  boolean: boolean;
  'integer | null': number | null;
  'string | null': string | null;
  'string[]': string[];
}

/** One field of an event. */
export interface EventField {
  type: keyof FieldTypes | 'object';
  /** Unit of a number. */
  unit?: string;
  /** Present only in the case that `meaning` names. */
  optional?: true;
  meaning: string;
  /** The fields of an object. */
  fields?: Record<string, EventField>;
}

/** One event: who writes it and when, its fields, and what the operator does. */
export interface EventSpec {
  /** `replica`: the process that runs the program. `supervisor`: `ft-tcp up`. `agent`:
   * `ft-tcp run --cluster`. */
  source: 'replica' | 'supervisor' | 'agent';
  when: string;
  action: string;
  fields: Record<string, EventField>;
  /** It stays in the history of the group (history.ts). */
  isHistory?: true;
  /** Clients have lost, or will lose, something: more than a warning. */
  isError?: true;
}

/** How much an event matters. */
export type EventLevel = 'info' | 'warning' | 'error';
