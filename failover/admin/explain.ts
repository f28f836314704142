/**
 * What protects one connection, or why nothing does. The table of reasons is the only place that
 * names them; docs/reference/explain.md is generated from it.
 */
import { formatIPv4, parseIPv4 } from '../../lib/ipv4-address.js';
import { formatIPv6, parseIPv6 } from '../../lib/ipv6-address.js';
import { Relay } from '../../stack/relay/relay.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { stateName } from '../../stack/tcp/state.js';
import { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import { Word } from '../log/ring-header.js';
import type { Replica } from '../replica/replica.js';

/** Why a connection is protected, or is not. */
export interface ReasonSpec {
  readonly isProtected: boolean;
  /** Whole sentences. */
  readonly because: string;
  /** What would change it. */
  readonly action: string;
}

const NOTHING = 'Nothing is to be done.';

/** All reasons by name. */
export const REASONS = {
  replayed: {
    isProtected: true,
    because: "The backup's program repeats all of its events, and has the same state.",
    action: NOTHING,
  },
  state: {
    isProtected: true,
    because:
      'State mode: the log carries what the program wrote and saved. A new program is given the connection back.',
    action: NOTHING,
  },
  relayed: {
    isProtected: true,
    because: 'A gateway relays it: the backup holds the connections to both sides.',
    action: NOTHING,
  },
  'not-accepted': {
    isProtected: true,
    because: "The program has not accepted it yet. The successor's program will.",
    action: NOTHING,
  },
  history: {
    isProtected: true,
    because: 'It is older than the backup, which has replayed its history (an independent connection).',
    action: 'It stays so while the history is shorter than --history-limit.',
  },
  transferred: {
    isProtected: true,
    because: 'It is older than the backup, which was told what the program had saved of it.',
    action: NOTHING,
  },
  solo: {
    isProtected: false,
    because: 'The group runs with --solo: it has no log and no backup.',
    action: 'Start it without --solo.',
  },
  'no-backup': {
    isProtected: false,
    because: 'No backup follows the log.',
    action: 'Start one with the same command as the primary. If one ended: its standard error says why.',
  },
  joining: {
    isProtected: false,
    because: 'A backup joins, and has not caught up yet.',
    action: 'Wait for the event protected. If the lag does not fall, the backup lacks CPU.',
  },
  'nothing-saved': {
    isProtected: false,
    because: 'The program has given up what it had saved of it, so that no other program could go on with it.',
    action: 'Save again: socket.checkpoint(value).',
  },
  'program-opened': {
    isProtected: false,
    because: 'The program opened it before the backup joined, and has saved nothing of it.',
    action: 'Save it (socket.checkpoint) and take it back (process.on("restoreSocket")), or open it again.',
  },
  older: {
    isProtected: false,
    because:
      'It is older than the backup, and the backup could not be told of it: its server is not independent and does not ' +
      'restore, its history was longer than --history-limit, or the log had no room.',
    action:
      'Declare the server independent, or let it restore. Otherwise a new connection of this client is protected.',
  },
} as const satisfies Record<string, ReasonSpec>;

/** The name of a reason. */
export type Reason = keyof typeof REASONS;

/** One connection, and what protects it. */
export interface Explanation {
  /** Its number in the log. */
  number: number;
  local: string;
  remote: string;
  state: string;
  openedBy: 'client' | 'program';
  reason: Reason;
  isProtected: boolean;
  /** Smoothed round-trip time, milliseconds; 0: not measured. */
  rttMs: number;
  /** Bytes that the client has not acknowledged, or that the program has not sent on. */
  unacknowledgedBytes: number;
  /** Bytes that the program has not read. */
  unreadBytes: number;
}

/** The answer to `explain`. */
export interface ExplainAnswer {
  /** At most 16 connections of the client's address and port. */
  connections: Explanation[];
  /** All connections of the group. */
  total: number;
  /**
   * Connections whose history the backup could not replay. Which ones is not known: one of those
   * above may be among them.
   */
  replayFailures: number;
}

const MAX_CONNECTIONS = 16;

function reasonOf(replica: Replica, conn: TcpConnection): Reason {
  const { ring, writer, histories, firstProtected } = replica;
  if (ring === null) return 'solo';
  if (replica.joining) return 'joining';
  if (writer?.readerReady !== true) return 'no-backup';
  const { user } = conn;
  const endpoint = user instanceof ReplicaEndpoint ? user : null;
  if (!replica.protects(conn)) {
    if (endpoint?.unsaved === true && endpoint.policy.shipped) return 'nothing-saved';
    return conn.active ? 'program-opened' : 'older';
  }
  if (user instanceof Relay) return 'relayed';
  if (endpoint === null) return 'not-accepted';
  const { shipped, checksummed } = endpoint.policy;
  if (shipped && !checksummed) return 'state';
  if (conn.id >= firstProtected) return 'replayed';
  return histories.get(conn.id) === undefined ? 'transferred' : 'history';
}

/** One spelling of an address; undefined: it is none. */
function canonical(address: string): string | undefined {
  const four = parseIPv4(address);
  if (four !== undefined) return formatIPv4(four);
  const six = parseIPv6(address);
  return six === undefined ? undefined : formatIPv6(six);
}

/** What `explain` is asked for: a peer. */
export interface Peer {
  address: string;
  port: number;
}

/** Reads `ADDRESS:PORT`. Undefined: it is none. */
export function parsePeer(text: string): Peer | undefined {
  const [, six, four, digits] = /^(?:\[([^\]]{2,45})\]|([\d.]{7,15})):(\d{1,5})$/.exec(text) ?? [];
  const address = canonical(six ?? four ?? '');
  const port = Number(digits);
  return address !== undefined && port >= 1 && port <= 65_535 ? { address, port } : undefined;
}

/** Explains the connections of a client, or of a server that the program has connected to. */
export function explainPeer(replica: Replica, peer: Peer): ExplainAnswer {
  const { book, tcp } = replica.stack;
  const text = (address: number, port: number): string => {
    const host = book.format(address);
    return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  };
  const connections: Explanation[] = [];
  tcp.table.forEach((conn) => {
    // The book is not asked for the address: it would keep one that nobody uses.
    if (conn.remotePort !== peer.port || book.format(conn.remoteAddress) !== peer.address) return;
    if (connections.length >= MAX_CONNECTIONS) return;
    const reason = reasonOf(replica, conn);
    connections.push({
      number: conn.id,
      local: text(conn.localAddress, conn.localPort),
      remote: text(conn.remoteAddress, conn.remotePort),
      state: stateName(conn.state),
      openedBy: conn.active ? 'program' : 'client',
      reason,
      isProtected: REASONS[reason].isProtected,
      rttMs: Math.round(conn.rtt.srttUs) / 1000,
      unacknowledgedBytes: conn.sendBuffer.length,
      unreadBytes: conn.receiveQueued,
    });
  });
  const replayFailures = replica.ring?.load(Word.replayFailures) ?? 0;
  return { connections, total: tcp.table.size, replayFailures };
}
