/**
 * Connection states (RFC 9293 section 3.3.2), in an order that makes "at least ESTABLISHED" one
 * comparison.
 */
export const TcpState = {
  Closed: 0,
  Listen: 1,
  SynSent: 2,
  SynRcvd: 3,
  Established: 4,
  FinWait1: 5,
  FinWait2: 6,
  CloseWait: 7,
  Closing: 8,
  LastAck: 9,
  TimeWait: 10,
} as const;
/** One of the values of `TcpState`. */
export type TcpState = (typeof TcpState)[keyof typeof TcpState];

const NAMES = [
  'CLOSED',
  'LISTEN',
  'SYN_SENT',
  'SYN_RCVD',
  'ESTABLISHED',
  'FIN_WAIT_1',
  'FIN_WAIT_2',
  'CLOSE_WAIT',
  'CLOSING',
  'LAST_ACK',
  'TIME_WAIT',
];

/** The state's name as RFC 9293 writes it. */
export function stateName(state: TcpState): string {
  return NAMES[state] ?? 'UNKNOWN';
}
