/**
 * A connection as plain data, and back: between two stacks with the same addresses and the same key, the second goes on as if
 * it were the first, whatever the state. FIELDS says of every field of a connection whether it goes along; a test compares
 * it with a connection, so that no field is forgotten.
 *
 * Times are the clock's. Replicas on one machine share it; elsewhere `shiftUs` moves them.
 */
import { FtError } from '../../lib/errors.js';
import { type TcpConnection, TIMER_COUNT } from './connection.js';
import type { SavedReassembly } from './receive/reassembly.js';
import { fly, land, NOTHING } from './send/in-flight.js';
import { type SavedScoreboard, Scoreboard } from './send/scoreboard.js';
import { TcpState } from './state.js';
import type { Tcp } from './tcp.js';
import type { TimeWaitEntry } from './time-wait.js';
import { rearm } from './timers.js';

/**
 * What becomes of a field: `copied` as it is; a `time` of the clock, copied and moved; a `part` with a shape of its own;
 * `derived` from others; `local` to the process.
 */
export type FieldKind = 'copied' | 'time' | 'part' | 'derived' | 'local';

export const FIELDS: Record<string, FieldKind> = {
  tcp: 'local',
  id: 'part',
  localAddress: 'part',
  localPort: 'part',
  remoteAddress: 'part',
  remotePort: 'part',
  route: 'part',
  log: 'local',
  loggedState: 'local',
  state: 'copied',
  active: 'copied',
  iss: 'copied',
  sndUna: 'copied',
  sndNxt: 'copied',
  sentBefore: 'copied',
  handedNxt: 'local',
  sndWnd: 'copied',
  sndWl1: 'copied',
  sndWl2: 'copied',
  maxSndWnd: 'copied',
  sendBuffer: 'part',
  sendTarget: 'copied',
  finQueued: 'copied',
  sndMss: 'copied',
  fullMss: 'copied',
  mtuProbeUs: 'time',
  mtuProbeEnd: 'copied',
  sndScale: 'copied',
  irs: 'copied',
  rcvNxt: 'copied',
  rcvAdv: 'copied',
  rcvScale: 'copied',
  rcvMss: 'copied',
  peerSegment: 'copied',
  receiveQueue: 'part',
  receiveQueued: 'derived',
  glanced: 'local',
  receiveLimit: 'copied',
  receiveMax: 'copied',
  rcvRttUs: 'copied',
  readBytes: 'copied',
  readSinceUs: 'time',
  reassembly: 'part',
  peerFin: 'copied',
  peerFinAt: 'copied',
  sackOk: 'copied',
  tsOk: 'copied',
  tsOffset: 'copied',
  tsRecent: 'copied',
  tsRecentAtUs: 'time',
  lastAckSent: 'copied',
  synDue: 'copied',
  fastOpenCookie: 'local',
  synData: 'copied',
  fastOpened: 'copied',
  invalidAnsweredUs: 'time',
  ackNow: 'copied',
  ackPending: 'copied',
  ackWaits: 'local',
  held: 'local',
  dupAcksOwed: 'copied',
  rtt: 'part',
  sent: 'part',
  recovery: 'part',
  synSentUs: 'time',
  progressUs: 'time',
  ecnOk: 'copied',
  accEcn: 'copied',
  ecnMute: 'copied',
  synEcn: 'copied',
  rCep: 'copied',
  sCep: 'copied',
  cePending: 'copied',
  lastCe: 'copied',
  marksSeen: 'copied',
  marksHeard: 'copied',
  ecnEcho: 'copied',
  cwrDue: 'copied',
  sndUp: 'copied',
  rcvUp: 'copied',
  dsackStart: 'copied',
  dsackEnd: 'copied',
  cc: 'part',
  lastSendUs: 'time',
  paceUs: 'time',
  deadlines: 'part',
  timerNode: 'derived',
  noDelay: 'copied',
  corked: 'copied',
  maxSegment: 'copied',
  synRetries: 'copied',
  finWait2Us: 'copied',
  congestion: 'local',
  keepAlive: 'copied',
  keepAliveUs: 'copied',
  keepAliveIntervalUs: 'copied',
  keepAliveCount: 'copied',
  userTimeoutUs: 'copied',
  keepAliveProbes: 'copied',
  lastReceiveUs: 'time',
  orphan: 'copied',
  error: 'copied',
  softError: 'copied',
  removed: 'local',
  established: 'copied',
  retransmissions: 'copied',
  bytesRetransmitted: 'copied',
  bytesSent: 'copied',
  segsIn: 'copied',
  segsOut: 'copied',
  dataSegsIn: 'copied',
  dataSegsOut: 'copied',
  dsackDups: 'copied',
  outOfOrder: 'copied',
  lastDataReceivedUs: 'time',
  user: 'local',
  listener: 'part',
  dirty: 'derived',
  nextInBucket: 'derived',
  ackHint: 'local',
};

type Plain = number | boolean | string | null;

/** A connection as data that can be cloned, stored and sent. */
export interface ConnectionCheckpoint {
  id: number;
  /** 16 bytes each; IPv4 as ::ffff:a.b.c.d. */
  localAddress: Uint8Array;
  remoteAddress: Uint8Array;
  localPort: number;
  remotePort: number;
  ttl: number;
  dscp: number;
  /** IPv4 hosts to pass on the way. */
  via: number[];
  fields: Record<string, Plain>;
  /** Stream offset of the first byte that is not acknowledged, and the bytes from there. */
  sendStart: number;
  sendBytes: Uint8Array;
  received: Uint8Array[];
  reassembly: SavedReassembly;
  sent: SavedScoreboard;
  rtt: Record<string, number>;
  recovery: Record<string, number | boolean>;
  congestion: { name: string; values: number[] };
  deadlines: number[];
  /** It belongs to a listener, which finds it by its address. */
  passive: boolean;
}

const COPIED = Object.keys(FIELDS).filter((name) => FIELDS[name] === 'copied' || FIELDS[name] === 'time');

function sentOf(conn: TcpConnection): Scoreboard {
  if (conn.sent !== NOTHING) return conn.sent;
  const sent = new Scoreboard();
  sent.begin(conn.sndUna);
  return sent;
}

/** Takes down a connection. */
export function checkpoint(conn: TcpConnection): ConnectionCheckpoint {
  land(conn);
  const { book } = conn.tcp.host;
  const localAddress = new Uint8Array(16);
  const remoteAddress = new Uint8Array(16);
  book.write(conn.localAddress, localAddress, 0);
  book.write(conn.remoteAddress, remoteAddress, 0);
  const fields: Record<string, Plain> = {};
  for (const name of COPIED) fields[name] = Reflect.get(conn, name) as Plain;
  return {
    id: conn.id,
    localAddress,
    remoteAddress,
    localPort: conn.localPort,
    remotePort: conn.remotePort,
    ttl: conn.route.ttl,
    dscp: conn.route.dscp,
    via: [...(conn.route.via ?? [])],
    fields,
    sendStart: conn.sendBuffer.start,
    sendBytes: conn.sendBuffer.toBytes(),
    received: Array.from({ length: conn.receiveQueue.length }, (_, i) => Uint8Array.from(conn.receiveQueue.viewAt(i))),
    reassembly: conn.reassembly.save(),
    sent: sentOf(conn).save(),
    rtt: { ...conn.rtt } as unknown as Record<string, number>,
    recovery: { ...conn.recovery } as unknown as Record<string, number | boolean>,
    congestion: { name: conn.cc.name, values: conn.cc.save() },
    deadlines: Array.from(conn.deadlines),
    passive: conn.listener !== null,
  };
}

/**
 * Makes the connection again. Its timers run on; what it has to send goes with the next flush.
 * @throws FtError EADDRNOTAVAIL when the stack has no way from its address to its peer, EADDRINUSE when it is there already
 */
export function restore(tcp: Tcp, saved: ConnectionCheckpoint, shiftUs = 0): TcpConnection {
  const { book } = tcp.host;
  const localAddress = book.fromBytes(saved.localAddress, 0);
  const remoteAddress = book.fromBytes(saved.remoteAddress, 0);
  const route = tcp.host.tcpRoute(localAddress, remoteAddress, saved.via);
  if (route === null)
    throw new FtError(
      'EADDRNOTAVAIL',
      `The stack has no way from ${book.format(localAddress)} to ${book.format(remoteAddress)}`,
      'Give it the addresses and routes of the stack that the checkpoint is from',
    );
  if (tcp.table.find(localAddress, saved.localPort, remoteAddress, saved.remotePort) !== null)
    throw new FtError('EADDRINUSE', 'The connection is there already', 'Restore each checkpoint once');
  const conn = tcp.create(saved.id, localAddress, saved.localPort, remoteAddress, saved.remotePort, route);
  route.ttl = saved.ttl;
  route.dscp = saved.dscp;
  for (const name of COPIED) {
    const value = saved.fields[name]!;
    Reflect.set(conn, name, FIELDS[name] === 'time' && (value as number) > 0 ? (value as number) + shiftUs : value);
  }
  conn.sendBuffer.load(saved.sendStart, saved.sendBytes);
  for (const chunk of saved.received) {
    conn.enqueue(Buffer.from(chunk), 0, chunk.length);
  }
  conn.reassembly.load(saved.reassembly);
  Object.assign(conn.rtt, saved.rtt);
  fly(conn).load(saved.sent, shiftUs);
  Object.assign(conn.recovery, saved.recovery);
  if (conn.recovery.newestUs >= 0) conn.recovery.newestUs += shiftUs;
  land(conn);
  conn.cc = conn.congestion(conn.sndMss);
  if (conn.cc.name === saved.congestion.name) conn.cc.load(saved.congestion.values, shiftUs);
  else {
    // Another algorithm goes on from the same window.
    conn.cc.cwnd = saved.congestion.values[0]!;
    conn.cc.ssthresh = saved.congestion.values[1]!;
  }
  if (saved.passive) {
    conn.listener = tcp.findListener(localAddress, saved.localPort);
    if (conn.listener !== null && conn.state === TcpState.SynRcvd) conn.listener.halfOpen++;
  }
  for (let i = 0; i < TIMER_COUNT; i++) conn.deadlines[i] = (saved.deadlines[i] ?? Number.POSITIVE_INFINITY) + shiftUs;
  rearm(conn);
  tcp.markDirty(conn);
  return conn;
}

/** A connection in TIME-WAIT as data. */
export type TimeWaitCheckpoint = Omit<TimeWaitEntry, 'localAddress' | 'remoteAddress'> & {
  localAddress: Uint8Array;
  remoteAddress: Uint8Array;
};

/** Takes down a connection in TIME-WAIT. */
export function checkpointTimeWait(tcp: Tcp, entry: TimeWaitEntry): TimeWaitCheckpoint {
  const { book } = tcp.host;
  const localAddress = new Uint8Array(16);
  const remoteAddress = new Uint8Array(16);
  book.write(entry.localAddress, localAddress, 0);
  book.write(entry.remoteAddress, remoteAddress, 0);
  return { ...entry, localAddress, remoteAddress };
}
