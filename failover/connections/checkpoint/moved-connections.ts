/** What became of connections at a takeover in state mode, for the report of a deploy. */

/** Kinds of connections that a program was given. */
export const MOVED_KINDS = {
  httpIdle: 'idle connections of http servers',
  httpUnanswered: 'connections of http servers whose request was given again',
  webSocket: 'WebSockets',
  net: 'connections of servers with `restore`',
  outgoing: 'connections that the old program had opened',
} as const;
/** One of them. */
export type MovedKind = keyof typeof MOVED_KINDS;

/** Why connections were reset. */
export const RESET_REASONS = {
  httpBusy: 'in the middle of an answer, pipelined, upgraded, or with a long request or message',
  webSocketRefused: 'WebSockets that the new version did not accept as the old one had',
  noRestore: 'their server does not listen for `restore`',
  outgoingUnsaved: 'the old program had opened them, and saved nothing of them',
} as const;
/** One of them. */
export type ResetReason = keyof typeof RESET_REASONS;

/** The counts of one takeover. */
export interface MovedConnections {
  readonly moved: Record<MovedKind, number>;
  readonly reset: Record<ResetReason, number>;
  /** Not accepted by the old program yet: they are new to this one. */
  readonly waiting: number;
  /** When the program was given the last one, µs of CLOCK_MONOTONIC; 0: none. */
  readonly lastUs: number;
}

/** Counts them. */
export class MovedCount implements MovedConnections {
  readonly moved: Record<MovedKind, number> = { httpIdle: 0, httpUnanswered: 0, webSocket: 0, net: 0, outgoing: 0 };
  readonly reset: Record<ResetReason, number> = { httpBusy: 0, webSocketRefused: 0, noRestore: 0, outgoingUnsaved: 0 };
  waiting = 0;
  lastUs = 0;
  readonly #nowUs: () => number;

  constructor(nowUs: () => number) {
    this.#nowUs = nowUs;
  }

  /** The program was given a connection. */
  gave(kind: MovedKind): void {
    this.moved[kind]++;
    this.lastUs = this.#nowUs();
  }

  /** The counts as they are sent. */
  toJSON(): MovedConnections {
    const { moved, reset, waiting, lastUs } = this;
    return { moved: { ...moved }, reset: { ...reset }, waiting, lastUs };
  }
}
