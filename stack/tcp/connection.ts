/**
 * The state of one TCP connection: the transmission control block (TCB) of RFC 9293 section 3.3.1,
 * under its names for the variables. Its larger parts are in tcb/. The user's calls are in
 * user-calls.ts, the processing of segments in receive/, their making in send/, loss recovery in
 * loss/, all as functions over this object.
 *
 * Sequence numbers are kept as *sequence offsets*: distance from our ISS (or the peer's IRS), as
 * doubles that never wrap. The SYN is offset 0, stream byte k is offset k + 1, the FIN follows the
 * last byte. Only the wire sees 32 bits: the number sent is (ISS + offset) mod 2^32, and an
 * arriving number becomes an offset by its signed distance from the one expected. That makes
 * comparisons plain `<`, wrap-around a non-event, and checkpoints plain byte counts.
 *
 * A frozen connection (on a backup) takes part in everything but the wire: it arms no timer and
 * sends nothing.
 */
import { TimerNode } from '../../lib/timer-wheel.js';
import type { TcpRoute } from '../core/tcp-route.js';
import type { CongestionController, CongestionFactory } from './congestion/controller.js';
import type { Context, NewConnection } from './context.js';
import type { ConnectionSettings } from './options.js';
import { TcpState } from './state.js';
import type { CommitLimit } from './tcb/commit-limit.js';
import { EventLog } from './tcb/event-log.js';
import { Reassembly } from './tcb/reassembly.js';
import { NO_CHUNKS, ReceiveQueue } from './tcb/receive-queue.js';
import { NO_RECOVERY, type Recovery } from './tcb/recovery-state.js';
import { RttEstimator } from './tcb/rtt.js';
import { EMPTY_SCOREBOARD, type Scoreboard } from './tcb/scoreboard.js';
import { SendBuffer } from './tcb/send-buffer.js';

/** TCP as a connection sees it. */
export type TcpContext = Context<TcpConnection>;

/** Indices into `TcpConnection.deadlines`. */
export const Timer = {
  Retransmit: 0,
  Persist: 1,
  DelayedAck: 2,
  Keepalive: 3,
  FinWait2: 4,
  Probe: 5,
  Reorder: 6,
  Cork: 7,
  Pace: 8,
} as const;
/** Number of deadlines of a connection. */
export const TIMER_COUNT = 9;
/** Receive window to begin with, in bytes, where it is tuned. */
const FIRST_LIMIT = 512 * 1024;

/**
 * The user of a connection. It is told what happened, and must not call back into the stack at
 * once.
 */
export interface TcpUser {
  /** Data, end, space, connect or close: the connection's fields show which. */
  onProgress(conn: TcpConnection): void;
  /** The peer has announced urgent data; see `urgentBytes` (RFC 9293 MUST-32). */
  onUrgent?(conn: TcpConnection): void;
  /**
   * ICMP reports a problem on the path, or retransmissions go unanswered; see `softError` (RFC 9293
   * MUST-47, SHLD-9).
   */
  onSoftError?(conn: TcpConnection): void;
}

/** What a connection needs of the listener that it came from (handshake/listener.ts). */
export interface ConnectionListener {
  /** Connections in SYN-RECEIVED. */
  halfOpen: number;
  /** Connections of Fast Open that the user has before their handshake is complete. */
  fastOpenPending: number;
  /** Connections that may be half open, or wait to be accepted. */
  readonly backlog: number;
  /** What its connections begin with. */
  readonly settings: ConnectionSettings;
  /** Established connections that nobody has accepted yet. */
  waiting(): number;
  /** Called for each SYN, which its user answers later; null: SYNs are answered at once. */
  readonly onSyn: ((conn: TcpConnection) => void) | null;
  /** Called when a connection is established (on a backup, when the log says so). */
  readonly onConnection: (conn: TcpConnection) => void;
}

/**
 * A plain array: a typed array of more than 64 bytes has memory outside V8's heap, which costs
 * more.
 */
const NEVER: readonly number[] = Array.from({ length: TIMER_COUNT }, () => Number.POSITIVE_INFINITY);
/** `sendTarget` is replicated in units of this many bytes. */
export const SEND_TARGET_UNIT = 65_536;

function timerFires(this: TimerNode, nowUs: number): void {
  const conn = this.owner as TcpConnection;
  conn.tcp.timerDue(conn, nowUs);
}

/** The state of one connection. */
export class TcpConnection {
  readonly id: number;
  readonly localAddress: number;
  readonly localPort: number;
  readonly remoteAddress: number;
  readonly remotePort: number;
  readonly route: TcpRoute;
  state: TcpState = TcpState.Closed;
  /** We opened it (RFC 9293 section 3.10.1: an active OPEN). */
  active = false;
  /** Its latest events, with TcpOptions.eventLog. */
  readonly log: EventLog | null;
  loggedState: TcpState = TcpState.Closed;

  // Send side (offsets from ISS).
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  /**
   * After a takeover: the predecessor may have sent up to here, so acknowledgements up to here are
   * valid.
   */
  inheritedSndMax = 0;
  /** The predecessor's SND.NXT at a switchover; -1: unknown, because it died. */
  inheritedSndNxt = -1;
  /** Peer's window in bytes, scaled. */
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  maxSndWnd = 0;
  readonly sendBuffer = new SendBuffer();
  /**
   * Bytes that the user may have unacknowledged, in SEND_TARGET_UNITs; 0: the socket's own limit.
   */
  sendTarget = 0;
  /** The user has closed the sending half: a FIN follows the last byte. */
  finQueued = false;
  /** Largest payload per segment, options deducted. */
  sndMss = 536;
  /** The sending MSS before the path MTU became smaller, 0 if it did not (loss/mtu-probe.ts). */
  originalMss = 0;
  /** When the original size may be probed, and the end of the present probe, -1 for none. */
  mtuProbeUs = 0;
  mtuProbeEnd = -1;
  sndScale = 0;

  // Receive side (offsets from IRS).
  irs = 0;
  rcvNxt = 0;
  /** Right edge ever advertised; never moves left. */
  rcvAdv = 0;
  rcvScale = 0;
  rcvMss = 536;
  /** Largest segment received: a full one, when acknowledging. */
  maxSegmentReceived = 536;
  /**
   * In order, not yet read; a chunk that is no Buffer is borrowed (tcb/borrowed-buffers.ts).
   */
  receiveQueue = NO_CHUNKS;
  /**
   * Bytes of the receive buffer that are in use: in receiveQueue, or relayed, and not acknowledged
   * by the other peer.
   */
  receiveQueued = 0;
  /** The send buffer that a relay moves received bytes to; null: there is no relay. */
  relayedTo: SendBuffer | null = null;
  /** Its user only looked at the data that it read last, and kept nothing. */
  peeked = false;
  /** Size of the receive buffer; grows to `receiveMax` with the path and the reader. */
  receiveLimit: number;
  receiveMax: number;
  /** Round trip as the receiver sees it: the age of echoed timestamps; 0 before the first. */
  rcvRttUs = 0;
  /** Bytes read since `readSinceUs`. */
  readBytes = 0;
  readSinceUs = 0;
  readonly reassembly = new Reassembly();
  /** The peer's FIN has been received in order. */
  peerFin = false;
  /** Offset of the peer's FIN when it is known but not yet in order, else -1. */
  peerFinAt = -1;

  // Options agreed on.
  sackOk = false;
  tsOk = false;
  tsOffset = 0;
  tsRecent = 0;
  tsRecentAtUs = 0;
  lastAckSent = 0;

  /** A SYN or SYN-ACK could not leave yet. */
  synDue = false;
  /** The peer's SYN is answered when the user says so. */
  synHeld = false;
  /** The Fast Open option of our SYN or SYN-ACK (RFC 7413): a cookie, an empty request, or none. */
  fastOpenCookie: Uint8Array | null = null;
  /** Bytes of data that go with the SYN. */
  synData = 0;
  /**
   * The SYN's data was taken, and the user has the connection, before the handshake is complete.
   */
  fastOpened = false;

  // Acknowledging.
  /** When an unacceptable segment without data was last answered. */
  invalidAnsweredUs = Number.NEGATIVE_INFINITY;
  ackNow = false;
  ackPending = false;
  /** An acknowledgement is due, and ACK moderation delays it (send/ack-moderation.ts). */
  ackModerated = false;
  /**
   * Segments that arrived out of order since the last ACK: each is answered (RFC 5681 section 4.2).
   */
  dupAcksDue = 0;

  // Loss recovery.
  readonly rtt = new RttEstimator();
  scoreboard: Scoreboard = EMPTY_SCOREBOARD;
  recovery: Recovery = NO_RECOVERY;
  /** When the SYN was sent, if it was sent only once; -1 otherwise. */
  synSentUs = -1;
  /** When SND.UNA last moved, or something was first sent after a pause. */
  progressUs = 0;

  // Congestion marks (loss/ecn.ts).
  ecnOk = false;
  /** Accurate ECN was negotiated (RFC 9768). */
  accEcn = false;
  /** The path changes codepoints: we send no ECN-capable packets. */
  ectSuppressed = false;
  /**
   * The IP header's codepoint of the peer's SYN, until our answer to it has left or was answered;
   * -1 then.
   */
  synEcn = -1;
  /**
   * r.cep and s.cep of RFC 9768: marked packets received, and reported by the peer; -1: unknown
   * after a takeover.
   */
  rCep = 0;
  sCep = 0;
  /** Marked packets since we last sent anything. */
  cePending = 0;
  /** The last packet was marked. */
  lastCe = false;
  /** Counted for tcpInfo: marked packets received, and reported by the peer. */
  ceReceived = 0;
  ceReported = 0;
  /** ECE is sent until the peer answers with CWR. */
  ecnEcho = false;
  /** The next new data carries CWR. */
  cwrDue = false;

  // Urgent data (RFC 9293 section 3.8.5): offsets behind the last urgent byte, or -1.
  sndUp = -1;
  rcvUp = -1;

  /** The latest duplicate data, to be reported by DSACK (RFC 2883); start is -1 for none. */
  dsackStart = -1;
  dsackEnd = -1;
  cc!: CongestionController;
  lastSendUs = 0;
  /** With pacing: no new data before this time. */
  paceUs = 0;

  // Timers: one deadline each, one wheel node for all.
  readonly deadlines = NEVER.slice();
  readonly timerNode: TimerNode;

  // Settings.
  noDelay = false;
  /** Short segments wait for more data, at most 200 ms. */
  corked = false;
  /** Limit of the segments offered and sent, in bytes; 0 for none. */
  maxSegment = 0;
  /** Retransmissions of the SYN (TCP_SYNCNT); 0: the stack's. */
  synRetries = 0;
  /** How long FIN-WAIT-2 lasts without an owner, in microseconds. */
  finWait2Us: number;
  congestion: CongestionFactory;
  keepAlive = false;
  keepAliveUs = 7_200_000_000;
  keepAliveIntervalUs = 75_000_000;
  keepAliveCount = 9;
  /** User timeout (RFC 5482); 0: the connection ends after the usual number of retransmissions. */
  userTimeoutUs = 0;
  keepAliveProbes = 0;
  lastReceiveUs = 0;

  /** The user has given the connection up; TCP completes the close without an owner. */
  orphan = false;
  /** Why the connection ended: null while it lives or after an orderly close. */
  error: string | null = null;
  /** The last ICMP error; the reason when the connection times out (RFC 1122 section 4.2.3.9). */
  softError: string | null = null;
  removed = false;
  established = false;
  // Counted for tcpInfo.
  retransmissions = 0;
  bytesRetransmitted = 0;
  bytesSent = 0;
  segsIn = 0;
  segsOut = 0;
  dataSegsIn = 0;
  dataSegsOut = 0;
  dsackDups = 0;
  outOfOrder = 0;
  lastDataReceivedUs = 0;
  user: TcpUser | null = null;
  listener: ConnectionListener | null = null;
  /** In the stack's list of connections with something to send. */
  dirty = false;
  nextInBucket: TcpConnection | null = null;
  /**
   * How much of the output is committed, while some of it waits for the gate
   * (send/output-commit.ts).
   */
  commitLimit: CommitLimit | null = null;
  /** The observer has not been told of the latest acknowledgement. */
  ackHint = false;

  constructor(
    readonly tcp: TcpContext,
    opening: NewConnection,
  ) {
    const { settings } = opening;
    this.id = opening.id;
    this.localAddress = opening.localAddress;
    this.localPort = opening.localPort;
    this.remoteAddress = opening.remoteAddress;
    this.remotePort = opening.remotePort;
    this.route = opening.route;
    const { options } = tcp;
    this.log = options.eventLog > 0 ? new EventLog(options.eventLog) : null;
    this.receiveMax = settings?.receiveBuffer ?? options.receiveBuffer;
    // A size that the user has chosen stays.
    const tuned = options.autoTune && settings?.receiveBuffer === undefined;
    this.receiveLimit = tuned ? Math.min(this.receiveMax, FIRST_LIMIT) : this.receiveMax;
    this.maxSegment = settings?.maxSegment ?? 0;
    this.congestion = settings?.congestion ?? options.congestion;
    this.finWait2Us = options.finWait2Us;
    this.timerNode = new TimerNode(timerFires, this);
  }

  /** Offset behind the last byte given to us (where the FIN goes). */
  get sndEnd(): number {
    return this.sendBuffer.end + 1;
  }

  /** Offset behind everything we may ever send: data and FIN. */
  get sndLimit(): number {
    return this.sendBuffer.end + (this.finQueued ? 2 : 1);
  }

  /** FlightSize (RFC 5681 section 2): SND.NXT - SND.UNA, in sequence numbers. */
  get flightSize(): number {
    return this.sndNxt - this.sndUna;
  }

  /**
   * Bytes from the next one to be read to the end of the urgent data; 0 for none (RFC 9293
   * MUST-33).
   */
  get urgentBytes(): number {
    return Math.max(0, this.rcvUp - (this.rcvNxt - this.receiveQueued));
  }

  /** Stream bytes acknowledged by the peer. */
  get bytesAcked(): number {
    return Math.min(Math.max(0, this.sndUna - 1), this.sendBuffer.end);
  }

  /** The state allows data to be sent. */
  get canSendData(): boolean {
    return this.state === TcpState.Established || this.state === TcpState.CloseWait;
  }

  // --- Transitions and queues ---

  /** The state change of a queued FIN, once the handshake is complete. */
  enterFinState(): void {
    if (this.state === TcpState.Established) this.state = TcpState.FinWait1;
    else if (this.state === TcpState.CloseWait) this.state = TcpState.LastAck;
  }

  /**
   * Adds bytes to the receive queue, without a copy; they may be borrowed
   * (tcb/borrowed-buffers.ts).
   */
  enqueue(bytes: Uint8Array, from: number, length: number): void {
    if (this.receiveQueue === NO_CHUNKS) this.receiveQueue = new ReceiveQueue();
    this.receiveQueue.push(bytes, from, length);
    this.receiveQueued += length;
  }

  /** Whether the next chunks add up to exactly `bytes`. */
  hasChunksOf(bytes: number): boolean {
    let sum = 0;
    for (let i = 0; sum < bytes && i < this.receiveQueue.length; i++) sum += this.receiveQueue.lengthAt(i);
    return sum === bytes;
  }

  /** Adds a change of state to the event log. */
  noteState(): void {
    if (this.log === null || this.loggedState === this.state) return;
    this.log.add(this.tcp.now, 'state', this.loggedState, this.state);
    this.loggedState = this.state;
  }

  // --- Timers ---

  /** Sets a deadline, in microseconds. */
  setTimer(index: number, deadlineUs: number): void {
    this.deadlines[index] = deadlineUs;
    this.rearm();
  }

  /** Removes a deadline. */
  clearTimer(index: number): void {
    // The wheel's node stays: an early firing that finds nothing due is cheaper than moving it.
    this.deadlines[index] = Number.POSITIVE_INFINITY;
  }
  /**
   * Moves the node of the timer wheel to the earliest deadline, if that is sooner than where it
   * stands.
   */
  rearm(): void {
    if (this.tcp.frozen || this.removed) return;
    let first = Number.POSITIVE_INFINITY;
    const { deadlines } = this;
    for (let i = 0; i < TIMER_COUNT; i++) if (deadlines[i] < first) first = deadlines[i];
    if (first === Number.POSITIVE_INFINITY) return;
    const node = this.timerNode;
    if (!node.active || first < node.deadline) this.tcp.wheel.schedule(node, first);
  }
}
