import type { ConnectionListener, TcpConnection, TcpContext } from '../connection.js';
import type { Arrival } from '../receive/unmatched.js';
import { TcpState } from '../state.js';

/** A connection of the listener in SYN-RECEIVED; null: there is no route to the peer. */
export function createHalfOpen(
  tcp: TcpContext,
  listener: ConnectionListener,
  arrival: Arrival,
  via?: readonly number[],
): TcpConnection | null {
  const { seg, localAddress, remoteAddress } = arrival;
  const route = tcp.host.tcpRoute(localAddress, remoteAddress, via);
  if (route === null) return null;
  const ports = { localPort: seg.dstPort, remotePort: seg.srcPort };
  const { settings } = listener;
  const conn = tcp.create({ id: tcp.takeId(), localAddress, remoteAddress, ...ports, route, settings });
  conn.listener = listener;
  listener.halfOpen++;
  conn.state = TcpState.SynRcvd;
  return conn;
}
