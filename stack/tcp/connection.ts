/**
 * One TCP connection's state (the TCB of RFC 9293 section 3.3.1) and the calls its user can make. What arrives is handled
 * in input.ts, what leaves in output.ts, both as functions over this object.
 *
 * Sequence numbers are kept as *sequence offsets*: distance from our ISS (or the peer's IRS), as doubles that never wrap.
 * The SYN is offset 0, stream byte k is offset k + 1, the FIN follows the last byte. Only the wire sees 32 bits: the
 * number sent is (ISS + offset) mod 2^32, and an arriving number becomes an offset by its signed distance from the one
 * expected. That makes comparisons plain `<`, wrap-around a non-event, and checkpoints plain byte counts.
 *
 * A frozen connection (on a backup) takes part in everything but the wire: it arms no timer and sends nothing.
 */
import { TimerNode } from '../../lib/timer-wheel.js';
import type { CongestionController, CongestionFactory } from './congestion/controller.js';
import { EventLog } from './event-log.js';
import type { TcpListener } from './handshake/listener.js';
import type { Recovery } from './loss/recovery-state.js';
import { RttEstimator } from './loss/rtt.js';
import { owned } from './receive/borrowed-buffers.js';
import { Reassembly } from './receive/reassembly.js';
import { NO_CHUNKS, ReceiveQueue } from './receive/receive-queue.js';
import type { CommitLimit } from './send/commit-limit.js';
import { CALM, NOTHING } from './send/in-flight.js';
import type { Scoreboard } from './send/scoreboard.js';
import { SendBuffer } from './send/send-buffer.js';
import { TcpState } from './state.js';
import type { Tcp } from './tcp.js';
import { connectionTimer, rearm } from './timers.js';

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
export const TIMER_COUNT = 9;
/** A user that holds back a short segment to add more to it may do so for so long. */
const CORK_US = 200_000;
/** Receive window to begin with, where it is tuned. */
const FIRST_LIMIT = 512 * 1024;
/** Timestamps are milliseconds: no round trip is told apart below that. */
const MIN_TUNE_US = 1000;

/** What a connection can be told before it begins; a listener's are those of its connections. */
export interface ConnectionSettings {
  /** Bytes of receive buffer. */
  receiveBuffer?: number;
  /** Largest segment that is offered and sent (TCP_MAXSEG), 88 to 65 495. */
  maxSegment?: number;
  /** Another congestion control than the stack's. */
  congestion?: CongestionFactory;
  /** Data for the SYN, if the peer has given us a cookie (RFC 7413); else it goes right after the handshake. */
  fastOpenData?: Uint8Array;
  /** IPv4 hosts to pass on the way, as numbers, at most 8; overrides the way that a SYN came (RFC 9293 MUST-51, MUST-52). */
  sourceRoute?: readonly number[];
}

/** What a path to a peer must be able to do for TCP; IP version and link are its own business. */
export interface TcpRoute {
  readonly mtu: number;
  /** Bytes of IP header. */
  readonly ipHeader: number;
  readonly canChecksum: boolean;
  readonly canSegment: boolean;
  /** 4 or 6. */
  readonly version: number;
  /** Sum of the pseudo-header's constant part (addresses and protocol), not folded. */
  readonly pseudoSum: number;
  /** Offset in a TxFrame's header where the TCP header begins. */
  readonly tcpOffset: number;
  /** Hosts to pass on the way; IPv4 only. */
  readonly via?: readonly number[];
  /** Time to live, or hop limit; 0 for the interface's own (RFC 9293 MUST-49). */
  ttl: number;
  /** Differentiated services field, six bits (RFC 9293 MUST-48). */
  dscp: number;
  /**
   * Writes link and IP headers around a TCP segment of `tcpLength` bytes and sends the frame; false: the device is busy.
   * `ecn` is the two bits of the IP header.
   */
  send(tcpLength: number, ecn: number): boolean;
  /** Nothing comes back this way: what is known of the next hop may be wrong. */
  suspect(): void;
}

/** Told when something that a socket may want to know has happened; must only take note. */
export interface TcpUser {
  /** Data, end, space, connect or close: whatever `TcpConnection` now shows. */
  onProgress(conn: TcpConnection): void;
  /** The peer has announced urgent data, or more of it; see `urgentBytes` (RFC 9293 MUST-32). */
  onUrgent?(conn: TcpConnection): void;
  /** ICMP says that there is trouble on the path, or retransmissions go unanswered; see `softError` (RFC 9293 MUST-47, SHLD-9). */
  onSoftError?(conn: TcpConnection): void;
}

/** A plain array of numbers: a typed array of more than 64 bytes has memory of its own, which costs more than all the rest. */
const NEVER: readonly number[] = Array.from({ length: TIMER_COUNT }, () => Number.POSITIVE_INFINITY);
/** It is replicated in units of that. */
export const SEND_TARGET_UNIT = 65_536;

function connectionFires(this: TimerNode, nowUs: number): void {
  connectionTimer(this.owner as TcpConnection, nowUs);
}

export class TcpConnection {
  state: TcpState = TcpState.Closed;
  /** We opened it (RFC 9293 section 3.10.1: an active OPEN). */
  active = false;
  /** What happened to it, if anybody wants to know (TcpOptions.eventLog). */
  readonly log: EventLog | null;
  loggedState: TcpState = TcpState.Closed;

  // Send side (offsets from ISS).
  iss = 0;
  sndUna = 0;
  sndNxt = 0;
  /** After a takeover: another replica may have sent up to here, so acknowledgements up to here are right. */
  sentBefore = 0;
  /** How far another replica says that it has sent, before it handed over; -1: it did not live to say so. */
  handedNxt = -1;
  /** Peer's window in bytes, scaled. */
  sndWnd = 0;
  sndWl1 = 0;
  sndWl2 = 0;
  maxSndWnd = 0;
  readonly sendBuffer = new SendBuffer();
  /** Bytes that the user may have under way before he is held back, in whole units; 0: as many as his socket says. */
  sendTarget = 0;
  /** The user wants no more bytes sent: a FIN follows the last one. */
  finQueued = false;
  /** Largest payload per segment, options deducted. */
  sndMss = 536;
  /** What it was before the path became narrower, 0 if it did not; see mtu-probe.ts. */
  fullMss = 0;
  /** Not before that is the larger size tried; end of the segment that tries it, -1 for none. */
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
  /** Largest segment that has come; what counts as a full one when acknowledging. */
  peerSegment = 536;
  /** In order, not yet read; what is no Buffer is lent (loans.ts). */
  receiveQueue = NO_CHUNKS;
  /** Bytes in receiveQueue. */
  receiveQueued = 0;
  /** Its user has only looked at what it read last. */
  glanced = false;
  /** Bytes that we offer to hold; grows to `receiveMax` as the path and the reader can use it. */
  receiveLimit: number;
  receiveMax: number;
  /** Round trip as a receiver sees it: the age of the timestamps that are echoed. 0 before the first. */
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

  /** A SYN or SYN-ACK could not leave when it was made. */
  synDue = false;
  /** The Fast Open option of our SYN or SYN-ACK (RFC 7413): a cookie, an empty request, or none. */
  fastOpenCookie: Uint8Array | null = null;
  /** Bytes of data that go with the SYN. */
  synData = 0;
  /** The SYN's data was taken, and the user has the connection, before the handshake is complete. */
  fastOpened = false;

  // Acknowledging.
  /** When an unacceptable segment without data was last answered. */
  invalidAnsweredUs = Number.NEGATIVE_INFINITY;
  ackNow = false;
  ackPending = false;
  /** An acknowledgement is due, and waits for more to acknowledge (patience.ts). */
  ackWaits = false;
  /** Segments that arrived out of order since the last ACK: each is answered (RFC 5681 section 4.2). */
  dupAcksOwed = 0;

  // Loss recovery.
  readonly rtt = new RttEstimator();
  sent: Scoreboard = NOTHING;
  recovery: Recovery = CALM;
  /** When the SYN was sent, if only once; -1 otherwise. */
  synSentUs = -1;
  /** When SND.UNA last moved, or something was first sent after a pause. */
  progressUs = 0;

  // Congestion marks (ecn.ts).
  ecnOk = false;
  /** They are counted (RFC 9768). */
  accEcn = false;
  /** The path meddles with the marks: we send none that could be. */
  ecnMute = false;
  /** The IP header's codepoint of the peer's SYN, until our answer to it has left or was answered; -1 then. */
  synEcn = -1;
  /** Marked packets that have come, and that the peer has reported; -1 after a takeover, when that is not known. */
  rCep = 0;
  sCep = 0;
  /** Marked packets since we last sent anything. */
  cePending = 0;
  /** The last packet was marked. */
  lastCe = false;
  /** Counted for tcpInfo: marked packets that came, and reports of the peer. */
  marksSeen = 0;
  marksHeard = 0;
  /** The peer hears of a mark until it says that it has slowed down. */
  ecnEcho = false;
  /** The next new data tells the peer that we have slowed down. */
  cwrDue = false;

  // Urgent data (RFC 9293 section 3.8.5): offsets behind the last urgent byte, or -1.
  sndUp = -1;
  rcvUp = -1;

  /** The last duplicate data that arrived, to be reported (RFC 2883); start is -1 for none. */
  dsackStart = -1;
  dsackEnd = -1;
  cc!: CongestionController;
  lastSendUs = 0;
  /** With pacing: nothing new before that. */
  paceUs = 0;

  // Timers: one deadline each, one wheel node for all.
  readonly deadlines = NEVER.slice();
  readonly timerNode: TimerNode;

  // Settings.
  noDelay = false;
  /** Short segments wait for more data, at most 200 ms. */
  corked = false;
  /** Segments larger than that are neither offered nor sent; 0 for no such limit. */
  maxSegment = 0;
  /** A SYN of its own count of retries, 0 for the stack's (TCP_SYNCNT). */
  synRetries = 0;
  /** How long FIN_WAIT_2 lasts without an owner. */
  finWait2Us: number;
  congestion: CongestionFactory;
  keepAlive = false;
  keepAliveUs = 7_200_000_000;
  keepAliveIntervalUs = 75_000_000;
  keepAliveCount = 9;
  /** Unanswered data ends the connection after so long (RFC 5482); 0: after the usual number of retransmissions. */
  userTimeoutUs = 0;
  keepAliveProbes = 0;
  lastReceiveUs = 0;

  /** The user has closed its end of the socket; what remains is between the peers. */
  orphan = false;
  /** Why the connection ended: null while it lives or after an orderly close. */
  error: string | null = null;
  /** What ICMP last said of the path; the reason given when the connection times out (RFC 1122 section 4.2.3.9). */
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
  listener: TcpListener | null = null;
  /** In the stack's list of connections with something to send. */
  dirty = false;
  nextInBucket: TcpConnection | null = null;
  /** How far it may speak, while something of it waits for the gate. */
  held: CommitLimit | null = null;
  ackHint = false;

  constructor(
    readonly tcp: Tcp,
    readonly id: number,
    readonly localAddress: number,
    readonly localPort: number,
    readonly remoteAddress: number,
    readonly remotePort: number,
    readonly route: TcpRoute,
    settings: ConnectionSettings = {},
  ) {
    this.log = tcp.options.eventLog > 0 ? new EventLog(tcp.options.eventLog) : null;
    this.receiveMax = settings.receiveBuffer ?? tcp.options.receiveBuffer;
    // A size that the user has chosen stays.
    const tuned = tcp.options.autoTune && settings.receiveBuffer === undefined;
    this.receiveLimit = tuned ? Math.min(this.receiveMax, FIRST_LIMIT) : this.receiveMax;
    this.maxSegment = settings.maxSegment ?? 0;
    this.congestion = settings.congestion ?? tcp.options.congestion;
    this.finWait2Us = tcp.options.finWait2Us;
    this.timerNode = new TimerNode(connectionFires, this);
  }

  /** Offset behind the last byte given to us (where the FIN goes). */
  get sndEnd(): number {
    return this.sendBuffer.end + 1;
  }

  /** Offset behind everything we may ever send: data and FIN. */
  get sndLimit(): number {
    return this.sendBuffer.end + (this.finQueued ? 2 : 1);
  }

  get flight(): number {
    return this.sndNxt - this.sndUna;
  }

  /** Bytes from the next one to be read to the end of what the peer calls urgent; 0 for none (RFC 9293 MUST-33). */
  get urgentBytes(): number {
    return Math.max(0, this.rcvUp - (this.rcvNxt - this.receiveQueued));
  }

  /** Stream bytes acknowledged by the peer. */
  get bytesAcked(): number {
    return Math.min(Math.max(0, this.sndUna - 1), this.sendBuffer.end);
  }

  get canSendData(): boolean {
    return this.state === TcpState.Established || this.state === TcpState.CloseWait;
  }

  // --- Calls of the user (RFC 9293 section 3.10) ---

  /** SEND. Bytes written after the connection has ended, or after `shutdown`, are dropped. */
  write(chunk: Uint8Array): void {
    if (this.finQueued || this.removed || this.orphan) return;
    this.sendBuffer.append(chunk);
    this.tcp.markDirty(this);
  }

  /** CLOSE of the sending half. */
  shutdown(): void {
    if (this.finQueued || this.removed) return;
    this.finQueued = true;
    if (this.state === TcpState.SynSent) {
      this.tcp.remove(this, null);
      return;
    }
    this.enterFinState();
    this.tcp.markDirty(this);
  }

  /** State change that queueing a FIN means once the handshake is done. */
  enterFinState(): void {
    if (this.state === TcpState.Established) this.state = TcpState.FinWait1;
    else if (this.state === TcpState.CloseWait) this.state = TcpState.LastAck;
  }

  /** CLOSE: the user is gone. Unread data makes it an abort (RFC 2525 section 2.17). */
  close(): void {
    if (this.removed || this.orphan) return;
    if (this.receiveQueued > 0 || this.state === TcpState.SynSent) {
      this.abort();
      return;
    }
    this.orphan = true;
    this.user = null;
    this.shutdown();
    if (this.state === TcpState.FinWait2) this.setTimer(Timer.FinWait2, this.tcp.now + this.finWait2Us);
  }

  /** ABORT: RST, and everything is forgotten. */
  abort(): void {
    if (this.removed) return;
    this.user = null;
    this.orphan = true;
    this.tcp.abort(this);
  }

  /** RECEIVE: takes the next chunk of in-order data. */
  read(): Buffer | undefined {
    const { receiveQueue } = this;
    if (receiveQueue.length === 0) return undefined;
    const chunk = owned(receiveQueue.sourceAt(0), receiveQueue.fromAt(0), receiveQueue.lengthAt(0));
    this.readFirst();
    return chunk;
  }

  /** Puts bytes behind what was not read yet. They stay where they are until somebody moves them (loans.ts). */
  enqueue(bytes: Uint8Array, from: number, length: number): void {
    if (this.receiveQueue === NO_CHUNKS) this.receiveQueue = new ReceiveQueue();
    this.receiveQueue.push(bytes, from, length);
    this.receiveQueued += length;
  }

  /** Whether the chunks to be read next are so many bytes together. */
  hasChunksOf(bytes: number): boolean {
    let sum = 0;
    for (let i = 0; sum < bytes && i < this.receiveQueue.length; i++) sum += this.receiveQueue.lengthAt(i);
    return sum === bytes;
  }

  /** The first chunk, of which there is one, has been looked at; its bytes are valid until the event loop goes on. */
  readFirst(): void {
    const { receiveQueue } = this;
    const length = receiveQueue.lengthAt(0);
    receiveQueue.drop();
    this.receiveQueued -= length;
    this.#tune(length);
    this.considerWindowUpdate();
  }

  /** Notes a change of state since the last time. */
  noteState(): void {
    if (this.log === null || this.loggedState === this.state) return;
    this.log.add(this.tcp.now, 'state', this.loggedState, this.state);
    this.loggedState = this.state;
  }

  /** Who reads more than half of the window in a round trip could use a larger one. */
  #tune(bytes: number): void {
    if (this.receiveLimit >= this.receiveMax) return;
    const { now } = this.tcp;
    this.readBytes += bytes;
    if (now - this.readSinceUs < Math.max(MIN_TUNE_US, this.rcvRttUs, this.rtt.srttUs)) return;
    if (2 * this.readBytes > this.receiveLimit) this.receiveLimit = Math.min(this.receiveMax, 2 * this.receiveLimit);
    this.readBytes = 0;
    this.readSinceUs = now;
  }

  /** RECEIVE of at most `most` bytes. @returns undefined when there are none. */
  readSome(most: number): Buffer | undefined {
    const { receiveQueue } = this;
    if (receiveQueue.length === 0 || most <= 0) return undefined;
    const length = receiveQueue.lengthAt(0);
    if (length <= most) return this.read();
    // What is cut stays its own, whatever becomes of the rest.
    const whole = owned(receiveQueue.sourceAt(0), receiveQueue.fromAt(0), length);
    receiveQueue.move(0, whole);
    receiveQueue.cut(most);
    this.receiveQueued -= most;
    this.#tune(most);
    this.considerWindowUpdate();
    return whole.subarray(0, most);
  }

  /** Holds short segments back, or lets them go. */
  cork(on: boolean): void {
    this.corked = on;
    if (on) {
      if (this.deadlines[Timer.Cork] === Number.POSITIVE_INFINITY) this.setTimer(Timer.Cork, this.tcp.now + CORK_US);
    } else {
      this.clearTimer(Timer.Cork);
      this.tcp.markDirty(this);
    }
  }

  /** Window we could offer now: right edge as an offset, never left of what was offered (RFC 9293 SHLD-14). */
  rightEdge(): number {
    const room = Math.max(0, this.receiveLimit - this.receiveQueued);
    const edge = this.rcvNxt + room;
    // Silly window avoidance (RFC 1122 section 4.2.3.3): the edge moves in steps worth telling.
    if (edge - this.rcvAdv < Math.min(this.receiveLimit / 2, 2 * this.rcvMss)) return this.rcvAdv;
    return edge;
  }

  /** After a read: tell the peer when the window has opened by enough. */
  considerWindowUpdate(): void {
    if (this.state < TcpState.Established || this.peerFin) return;
    const edge = this.rightEdge();
    if (edge <= this.rcvAdv) return;
    const offered = this.rcvAdv - this.rcvNxt;
    if (edge - this.rcvAdv >= this.receiveLimit / 4 || offered < 2 * this.rcvMss) {
      this.ackNow = true;
      this.tcp.markDirty(this);
    }
  }

  // --- Timers ---

  setTimer(index: number, deadlineUs: number): void {
    this.deadlines[index] = deadlineUs;
    rearm(this);
  }

  clearTimer(index: number): void {
    // The wheel node stays where it is: firing early finds nothing due and sleeps again, which is cheaper than moving it.
    this.deadlines[index] = Number.POSITIVE_INFINITY;
  }
}
