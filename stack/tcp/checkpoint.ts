/**
 * A checkpoint is a connection as plain data. A second stack with the same addresses and the same
 * key can restore it in any state, and continue where the first stack was. FIELDS says for every
 * field of a connection how it is saved; a test compares FIELDS with a connection, so that no field
 * is forgotten.
 *
 * Times are those of the clock. Replicas on one machine share it; elsewhere `shiftUs` moves them.
 */
import { FtError } from '../../lib/errors.js';
import type { SavedRateLimit } from '../core/rate-limit.js';
import { type TcpConnection, TIMER_COUNT } from './connection.js';
import type { SavedFastOpen } from './fast-open-cookies.js';
import { attachLossState, releaseLossState } from './loss/loss-state.js';
import { TcpState } from './state.js';
import type { SavedReassembly } from './tcb/reassembly.js';
import { EMPTY_SCOREBOARD, type SavedScoreboard, Scoreboard } from './tcb/scoreboard.js';
import type { Tcp } from './tcp.js';
import type { TimeWaitCheckpoint, TimeWaitEntry } from './time-wait.js';

/**
 * How a field is saved: `copied` as it is; `time`, copied and moved to the other clock; `part`,
 * with a format of its own; `derived` from other fields; `local` to the process, not saved.
 */
export type FieldKind = 'copied' | 'time' | 'part' | 'derived' | 'local';

/** Every field of a connection, and how it is saved. */
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
  inheritedSndMax: 'copied',
  inheritedSndNxt: 'local',
  sndWnd: 'copied',
  sndWl1: 'copied',
  sndWl2: 'copied',
  maxSndWnd: 'copied',
  sendBuffer: 'part',
  sendTarget: 'copied',
  finQueued: 'copied',
  sndMss: 'copied',
  originalMss: 'copied',
  mtuProbeUs: 'time',
  mtuProbeEnd: 'copied',
  sndScale: 'copied',
  irs: 'copied',
  rcvNxt: 'copied',
  rcvAdv: 'copied',
  rcvScale: 'copied',
  rcvMss: 'copied',
  maxSegmentReceived: 'copied',
  receiveQueue: 'part',
  receiveQueued: 'derived',
  peeked: 'local',
  relayedTo: 'local',
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
  synHeld: 'copied',
  fastOpenCookie: 'part',
  synData: 'copied',
  fastOpened: 'copied',
  invalidAnsweredUs: 'time',
  ackNow: 'copied',
  ackPending: 'copied',
  ackModerated: 'local',
  commitLimit: 'local',
  dupAcksDue: 'copied',
  rtt: 'part',
  scoreboard: 'part',
  recovery: 'part',
  synSentUs: 'time',
  progressUs: 'time',
  ecnOk: 'copied',
  accEcn: 'copied',
  ectSuppressed: 'copied',
  synEcn: 'copied',
  rCep: 'copied',
  sCep: 'copied',
  cePending: 'copied',
  lastCe: 'copied',
  ceReceived: 'copied',
  ceReported: 'copied',
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
  /** The Fast Open option of its SYN or SYN-ACK; null or absent for none. */
  fastOpenCookie?: Uint8Array | null;
  /** Stream offset of the first unacknowledged byte, and the bytes from there. */
  sendStart: number;
  sendBytes: Uint8Array;
  received: Uint8Array[];
  reassembly: SavedReassembly;
  scoreboard: SavedScoreboard;
  rtt: Record<string, number>;
  recovery: Record<string, number | boolean>;
  congestion: { name: string; values: number[] };
  deadlines: number[];
  /** It belongs to the listener at its local address and port. */
  passive: boolean;
}

const COPIED = Object.keys(FIELDS).filter((name) => FIELDS[name] === 'copied' || FIELDS[name] === 'time');

/** The scoreboard, or an empty one of its own. */
function scoreboardOf(conn: TcpConnection): Scoreboard {
  if (conn.scoreboard !== EMPTY_SCOREBOARD) return conn.scoreboard;
  const scoreboard = new Scoreboard();
  scoreboard.begin(conn.sndUna);
  return scoreboard;
}

/** The checkpoint of a connection. */
export function checkpoint(conn: TcpConnection): ConnectionCheckpoint {
  releaseLossState(conn);
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
    fastOpenCookie: conn.fastOpenCookie,
    sendStart: conn.sendBuffer.start,
    sendBytes: conn.sendBuffer.toBytes(),
    received: Array.from({ length: conn.receiveQueue.length }, (_, i) => Uint8Array.from(conn.receiveQueue.viewAt(i))),
    reassembly: conn.reassembly.save(),
    scoreboard: scoreboardOf(conn).save(),
    rtt: { ...conn.rtt } as unknown as Record<string, number>,
    recovery: { ...conn.recovery } as unknown as Record<string, number | boolean>,
    congestion: { name: conn.cc.name, values: conn.cc.save() },
    deadlines: Array.from(conn.deadlines),
    passive: conn.listener !== null,
  };
}

/**
 * Restores a connection. Its timers continue; pending output leaves at the next flush.
 * @throws FtError EADDRNOTAVAIL when the stack has no route from its address to its peer,
 * EADDRINUSE when it exists already
 */
export function restore(tcp: Tcp, saved: ConnectionCheckpoint, shiftUs = 0): TcpConnection {
  const { book } = tcp.host;
  const { id, localPort, remotePort } = saved;
  const localAddress = book.fromBytes(saved.localAddress, 0);
  const remoteAddress = book.fromBytes(saved.remoteAddress, 0);
  const route = tcp.host.tcpRoute(localAddress, remoteAddress, saved.via);
  if (route === null)
    throw new FtError(
      'EADDRNOTAVAIL',
      `The stack has no route from ${book.format(localAddress)} to ${book.format(remoteAddress)}`,
      'Give it the addresses and routes of the stack that the checkpoint is from',
    );
  if (tcp.find(localAddress, localPort, remoteAddress, remotePort) !== null)
    throw new FtError('EADDRINUSE', 'The connection exists already', 'Restore each checkpoint once');
  const conn = tcp.create({ id, localAddress, localPort, remoteAddress, remotePort, route });
  route.ttl = saved.ttl;
  route.dscp = saved.dscp;
  for (const name of COPIED) {
    const value = saved.fields[name];
    Reflect.set(conn, name, FIELDS[name] === 'time' && (value as number) > 0 ? (value as number) + shiftUs : value);
  }
  conn.fastOpenCookie = saved.fastOpenCookie ?? null;
  conn.sendBuffer.load(saved.sendStart, saved.sendBytes);
  for (const chunk of saved.received) {
    conn.enqueue(Buffer.from(chunk), 0, chunk.length);
  }
  conn.reassembly.load(saved.reassembly);
  Object.assign(conn.rtt, saved.rtt);
  attachLossState(conn).load(saved.scoreboard, shiftUs);
  Object.assign(conn.recovery, saved.recovery);
  if (conn.recovery.rackSentUs >= 0) conn.recovery.rackSentUs += shiftUs;
  releaseLossState(conn);
  conn.cc = conn.congestion(conn.sndMss);
  if (conn.cc.name === saved.congestion.name) conn.cc.load(saved.congestion.values, shiftUs);
  else {
    // Another algorithm continues from the same window.
    conn.cc.cwnd = saved.congestion.values[0];
    conn.cc.ssthresh = saved.congestion.values[1];
  }
  if (saved.passive) {
    conn.listener = tcp.findListener(localAddress, saved.localPort);
    if (conn.listener !== null && conn.state === TcpState.SynRcvd) {
      conn.listener.halfOpen++;
      if (conn.fastOpened) conn.listener.fastOpenPending++;
    }
  }
  for (let i = 0; i < TIMER_COUNT; i++) conn.deadlines[i] = (saved.deadlines[i] ?? Number.POSITIVE_INFINITY) + shiftUs;
  conn.rearm();
  tcp.markDirty(conn);
  return conn;
}

/** What TCP knows beside its connections, as plain data. */
export interface TcpCheckpoint {
  fastOpen: SavedFastOpen[];
  challenges: SavedRateLimit;
  /** Until then an ACK without a connection may answer a SYN cookie. */
  cookiesUntilUs: number;
}

/** The checkpoint of what TCP knows beside its connections. */
export function checkpointTcp(tcp: Tcp): TcpCheckpoint {
  return {
    fastOpen: tcp.fastOpen.save(),
    challenges: tcp.challengeLimit.save(),
    cookiesUntilUs: tcp.cookiesUntilUs,
  };
}

/** Takes over such a checkpoint; `shiftUs` moves its times to this clock. */
export function restoreTcp(tcp: Tcp, saved: TcpCheckpoint, shiftUs = 0): void {
  tcp.fastOpen.load(saved.fastOpen, shiftUs);
  tcp.challengeLimit.load(saved.challenges, shiftUs);
  tcp.cookiesUntilUs = saved.cookiesUntilUs + shiftUs;
}

/** The checkpoint of a connection in TIME-WAIT. */
export function checkpointTimeWait(tcp: Tcp, entry: TimeWaitEntry): TimeWaitCheckpoint {
  const { book } = tcp.host;
  const localAddress = new Uint8Array(16);
  const remoteAddress = new Uint8Array(16);
  book.write(entry.localAddress, localAddress, 0);
  book.write(entry.remoteAddress, remoteAddress, 0);
  return { ...entry, localAddress, remoteAddress };
}
