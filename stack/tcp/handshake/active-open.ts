/**
 * Active OPEN (RFC 9293 section 3.10.1): a connection in SYN-SENT, with data in the SYN when the
 * peer has given a cookie.
 */
import { FtError } from '../../../lib/errors.js';
import { isV6 } from '../../core/address-book.js';
import type { TcpConnection, TcpContext } from '../connection.js';
import { NO_COOKIE } from '../fast-open-cookies.js';
import type { ConnectionSettings } from '../options.js';
import { sendSyn } from '../send/segment.js';
import { TcpState } from '../state.js';
import type { EphemeralPorts } from './ephemeral-ports.js';

/** Hops that fit into the IPv4 header's options, without the destination. */
const MAX_VIA = 8;
/** Most bytes of options of a SYN (RFC 9293 section 3.1). */
const SYN_OPTIONS = 40;

/** Both ends; local address or port 0: the stack chooses. */
export interface ActiveOpen {
  remoteAddress: number;
  remotePort: number;
  localAddress: number;
  localPort: number;
  settings?: ConnectionSettings | undefined;
}

/**
 * Opens a connection.
 * @throws FtError EADDRNOTAVAIL (no free port), EHOSTUNREACH, EADDRINUSE, EINVAL, ENOBUFS
 */
export function activeOpen(tcp: TcpContext, ports: EphemeralPorts, open: ActiveOpen): TcpConnection {
  const { remoteAddress, remotePort, settings } = open;
  const { host } = tcp;
  checkPeer(tcp, open);
  const localAddress = open.localAddress !== 0 ? open.localAddress : host.sourceFor(remoteAddress);
  const route = localAddress === 0 ? null : host.tcpRoute(localAddress, remoteAddress, settings?.sourceRoute);
  if (route === null) {
    throw new FtError('EHOSTUNREACH', 'No route to the host', 'Give the stack an address in its network or a gateway');
  }
  if (tcp.connectionCount >= tcp.options.maxConnections) {
    throw new FtError('ENOBUFS', 'Too many connections', 'Raise maxConnections');
  }
  const localPort = open.localPort !== 0 ? open.localPort : ports.forPeer(tcp, localAddress, remoteAddress, remotePort);
  if (tcp.find(localAddress, localPort, remoteAddress, remotePort) !== null) {
    throw new FtError('EADDRINUSE', `Port ${localPort} is in use for that peer`, 'Choose another local port');
  }
  const id = tcp.takeId();
  const conn = tcp.create({ id, localAddress, localPort, remoteAddress, remotePort, route, settings });
  conn.state = TcpState.SynSent;
  conn.active = true;
  tcp.counters.activeOpens++;
  if (settings?.fastOpenData !== undefined) queueEarlyData(conn, settings.fastOpenData);
  tcp.observer?.opened(conn);
  if (!tcp.frozen) sendSyn(conn);
  return conn;
}

function checkPeer(tcp: TcpContext, open: ActiveOpen): void {
  if (!tcp.host.isUnicast(open.remoteAddress)) {
    throw new FtError('EINVAL', 'A connection has one peer', 'Connect to an address that is no broadcast and no group');
  }
  const via = open.settings?.sourceRoute;
  if (via !== undefined && (via.length > MAX_VIA || isV6(open.remoteAddress))) {
    throw new FtError('EINVAL', 'Not a source route', `Give at most ${MAX_VIA} IPv4 addresses, for an IPv4 peer`);
  }
}

/**
 * Fast Open (RFC 7413 section 4.1.3): what fits of the data goes with the SYN, the rest after the
 * handshake.
 */
function queueEarlyData(conn: TcpConnection, early: Uint8Array): void {
  const { tcp, route, remoteAddress } = conn;
  conn.sendBuffer.append(early);
  tcp.markDirty(conn);
  if (!tcp.options.fastOpenClient || tcp.observer !== null) return;
  const known = tcp.fastOpen.remembered(remoteAddress);
  if (known !== undefined && tcp.now < known.untilUs) return;
  const cookie = known?.cookie ?? NO_COOKIE;
  conn.fastOpenCookie = cookie;
  const max = Math.min(known?.mss || (route.version === 6 ? 1220 : 536), route.mtu - route.ipHeader - 20);
  conn.synData = cookie.length === 0 ? 0 : Math.min(early.length, max - SYN_OPTIONS);
}
