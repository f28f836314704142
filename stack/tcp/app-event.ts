/**
 * Kinds of events that a socket is told of; their order on the primary is the order on a backup.
 */
export const AppEvent = {
  Accept: 1,
  Connect: 2,
  Data: 3,
  End: 4,
  Space: 5,
  Close: 6,
  /** A program gets back a connection that another program had. */
  Restore: 7,
} as const;
/** One of the values of `AppEvent`. */
export type AppEvent = (typeof AppEvent)[keyof typeof AppEvent];
