/**
 * The record Opened, applied to a backup's stack: it creates the connection, or completes what an
 * active open learned.
 */
import { Ipv4Route } from '../../stack/ip/ipv4-route.js';
import { Ipv6Route } from '../../stack/ip/ipv6-route.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { FIRST_MARKS_WORD, setMarksWord } from '../../stack/tcp/loss/ecn.js';
import { TcpState } from '../../stack/tcp/state.js';
import type { UnclaimedConnections } from '../connections/checkpoint/unclaimed-connections.js';
import { FOLLOW_MASK, Follow, OpenedBody, OpenedFlag, SYN_CODEPOINT_SHIFT, SYN_HELD_BIT } from '../log/records.js';
import type { RingReader } from '../log/ring-reader.js';
import type { ReplayHost } from './replay-host.js';

/** What the record needs of the replayer. */
export interface OpenedHost {
  readonly host: ReplayHost;
  readonly reader: RingReader;
  /** Connections that are kept without a program. */
  readonly kept: UnclaimedConnections;
  readonly stateMode: boolean;
  /** This replica did not see the beginning of the log. */
  readonly joinedLate: boolean;
  /** The log is in the state transfer of an older connection. */
  readonly transferring: boolean;
}

/** Applies the reader's record, whose body is `at`. */
export function applyOpened(replayer: OpenedHost, at: number): void {
  const { reader, host, kept } = replayer;
  const { view } = reader.ring;
  const follow = reader.version < 4 ? Follow.Replay : ((OpenedBody.follow.get(view, at) & FOLLOW_MASK) as Follow);
  if (follow === Follow.Not && !replayer.stateMode) return;
  // What this program has opened itself it goes on repeating.
  const unknown = replayer.joinedLate && !host.endpoints.has(reader.conn);
  const keep = replayer.stateMode || follow === Follow.State || (follow === Follow.Either && unknown);
  if (keep) kept.of(reader.conn);
  const known = host.stack.tcp.byId.get(reader.conn);
  if (known !== undefined) {
    load(known, replayer, at);
    return;
  }
  const outgoing = (OpenedBody.flags.get(view, at) & OpenedFlag.Outgoing) !== 0;
  if (keep || outgoing) {
    // The program of a replica that joined late never made the call that an outgoing connection
    // belongs to.
    if (keep) create(replayer, at, { keep, listening: false });
    return;
  }
  const localAddress = host.stack.book.fromBytes(reader.ring.bytes, at + OpenedBody.localAddress.offset);
  const localPort = OpenedBody.localPort.get(view, at);
  if (host.stack.tcp.findListener(localAddress, localPort) === null) {
    if (!replayer.joinedLate)
      host.diverged(`the primary accepted a connection on port ${localPort}, where this replica does not listen`);
    return;
  }
  create(replayer, at, { keep, listening: true });
}

function create(replayer: OpenedHost, at: number, { keep, listening }: { keep: boolean; listening: boolean }): void {
  const { reader, host } = replayer;
  const { tcp, book } = host.stack;
  const { view, bytes } = reader.ring;
  const localAddress = book.fromBytes(bytes, at + OpenedBody.localAddress.offset);
  const remoteAddress = book.fromBytes(bytes, at + OpenedBody.remoteAddress.offset);
  const localPort = OpenedBody.localPort.get(view, at);
  const remotePort = OpenedBody.remotePort.get(view, at);
  const route = tcp.host.tcpRoute(localAddress, remoteAddress);
  if (route === null) {
    host.diverged('the primary has a connection on an address that this replica does not have');
    return;
  }
  tcp.timeWaits.delete(localAddress, localPort, remoteAddress, remotePort);
  const conn = tcp.create({ id: reader.conn, localAddress, localPort, remoteAddress, remotePort, route });
  conn.active = (OpenedBody.flags.get(view, at) & OpenedFlag.Outgoing) !== 0;
  conn.listener = listening ? tcp.findListener(localAddress, localPort) : null;
  if (conn.listener !== null) conn.listener.halfOpen++;
  if (!keep && !replayer.transferring && reader.version >= 4) host.histories.begin(conn);
  load(conn, replayer, at);
}

/** Loads the connection's variables (RFC 9293 section 3.3.1) from the record. */
function load(conn: TcpConnection, { reader, host }: OpenedHost, at: number): void {
  const { tcp } = host.stack;
  const { view, bytes } = reader.ring;
  const B = OpenedBody;
  const flags = B.flags.get(view, at);
  conn.state = B.state.get(view, at) === TcpState.SynSent ? TcpState.SynSent : TcpState.SynRcvd;
  conn.iss = B.iss.get(view, at);
  conn.irs = B.irs.get(view, at);
  conn.sackOk = (flags & OpenedFlag.Sack) !== 0;
  conn.tsOk = (flags & OpenedFlag.Timestamps) !== 0;
  conn.ecnOk = (flags & OpenedFlag.Ecn) !== 0;
  conn.accEcn = (flags & OpenedFlag.AccurateEcn) !== 0;
  conn.synEcn = conn.listener !== null && conn.ecnOk ? flags >> SYN_CODEPOINT_SHIFT : -1;
  if (conn.accEcn) setMarksWord(conn, FIRST_MARKS_WORD);
  conn.sndScale = B.sndScale.get(view, at);
  conn.rcvScale = B.rcvScale.get(view, at);
  conn.receiveMax = B.receiveLimit.get(view, at);
  // The log does not say how far the window had grown, so it may have been advertised to its limit.
  conn.receiveLimit = conn.receiveMax;
  conn.tsOffset = B.tsOffset.get(view, at);
  conn.tsRecent = B.tsRecent.get(view, at);
  conn.tsRecentAtUs = tcp.now;
  conn.sndWnd = B.sndWnd.get(view, at);
  conn.maxSndWnd = Math.max(conn.maxSndWnd, conn.sndWnd);
  conn.rcvNxt = B.rcvNxt.get(view, at);
  conn.rcvAdv = conn.rcvNxt;
  conn.sndMss = B.sndMss.get(view, at);
  conn.cc = tcp.options.congestion(conn.sndMss);
  conn.sndNxt = 1;
  conn.synHeld = reader.version >= 4 && (B.follow.get(view, at) & SYN_HELD_BIT) !== 0;
  if ((flags & OpenedFlag.PeerMac) === 0) return;
  const { route } = conn;
  const mac = at + B.mac.offset;
  if (route instanceof Ipv4Route) route.net.neighbours.learn(route.nextHop, bytes, mac, true);
  else if (route instanceof Ipv6Route) route.net.neighbours6.learn(route.nextHop, bytes, mac, true);
}
