/**
 * Every field of `ft-tcp status --json`. docs/reference/status.md is generated from this table, and
 * a test compares it with real answers in both directions. The types tie it to the counters'
 * declarations.
 */
import type { TapCounters } from '../../../lib/device/tap.js';
import type { Stack } from '../../../stack/index.js';
import type { TcpCounters } from '../../../stack/tcp/counters.js';
import { PROOFS } from '../../admin/events.js';
import type { ProcessUse, Protection } from '../../admin/observation.js';
import type { ReplicaStatus } from '../../admin/status.js';
import type { Replayer } from '../../backup/replayer.js';
import type { Agent } from '../../cluster/agent/agent.js';
import type { LogSender } from '../../cluster/agent/log-sender.js';
import type { ClusterStatus } from '../../cluster/agent/status.js';
import type { Links } from '../../cluster/transport/links.js';
import type { GatewayCounters } from '../../gateway/service.js';
import type { ConnectionHistories } from '../../log/connection-history.js';
import type { RingWriter } from '../../log/ring-writer.js';
import type { CommitGate } from '../../primary/output-gate.js';
import type { Replica, TakeoverReport } from '../../replica/replica.js';
import type { Runtime } from '../../runtime/runtime.js';
import type { GroupStatus } from '../status.js';
import { DROP_MEANINGS } from './drop-meanings.js';

/** One field of the answer. */
export interface StatusField {
  type: 'string' | 'integer' | 'boolean' | 'string[]' | 'integer[]' | 'object' | 'list' | 'map';
  unit?: string;
  /** The value may be null; `meaning` names the case. */
  nullable?: true;
  /** The field may be absent; `meaning` names the case. */
  optional?: true;
  /**
   * Without it the field is stable: a change of its meaning is announced. `evolving`: may change in
   * any version.
   */
  stability?: 'evolving';
  meaning: string;
  /** Fields of an object, of each element of a list, or of each value of a map. */
  fields?: StatusFields;
}

/** Fields by name. */
export type StatusFields = Readonly<Record<string, StatusField>>;

/** A field for each member of T, so that the compiler finds what the table lacks. */
type FieldsOf<T> = { readonly [K in keyof T]-?: StatusField };

/** A counter for each member of T: its meaning. */
type CountersOf<T> = { readonly [K in keyof T]-?: string };

const evolving = 'evolving' as const;

/**
 * Counters of one part. A replica without that part (no device, no log, not yet a backup) leaves
 * them out.
 */
function counters<T>(meaning: string, meanings: CountersOf<T>): StatusField {
  const fields: Record<string, StatusField> = {};
  for (const [name, text] of Object.entries<string>(meanings))
    fields[name] = { type: 'integer', optional: true, stability: evolving, meaning: text };
  return { type: 'object', stability: evolving, meaning, fields };
}

const TCP = counters<TcpCounters>('TCP, after RFC 4022 and Linux.', {
  activeOpens: 'Connections that the program opened.',
  passiveOpens: 'Connections that clients opened.',
  attemptFails: 'Connections that failed before they were established.',
  estabResets: 'Established connections that were reset.',
  inSegs: 'Segments received.',
  outSegs: 'Segments sent, without retransmissions.',
  retransSegs: 'Segments retransmitted.',
  outRsts: 'RST segments sent.',
  resetsReceived: 'RST segments received and accepted.',
  rtoTimeouts: 'Expired retransmission timers (RFC 6298).',
  fastRetransmits: 'Loss recoveries that began without a timer.',
  tailProbes: 'Tail loss probes (RFC 8985).',
  windowProbes: 'Probes of a zero window.',
  keepalives: 'Keep-alive probes.',
  delayedAcks: 'Acknowledgements sent by the delayed-ACK timer.',
  outOfOrder: 'Segments received out of order.',
  outOfWindow: 'Segments outside of the receive window.',
  pawsDropped: 'Segments with an old timestamp (PAWS, RFC 7323).',
  timestampsMissing: 'Segments dropped: no timestamp on a connection with timestamps (RFC 7323).',
  ackedUnsent: 'Acknowledgements of data that was not sent.',
  challengeAcks: 'Challenge ACKs (RFC 5961).',
  reassemblyFull: 'Segments dropped because the reassembly queue was full.',
  timeouts: 'Connections that ended because the peer did not answer.',
  listenOverflows: 'Connections refused because a backlog was full.',
  tableFull: 'Connections refused because the connection table was full.',
  noConnection: 'Segments for no connection and no listener.',
  silenced: 'RSTs that were not sent in the first seconds after a takeover.',
  dsacksSent: 'Duplicate SACKs sent (RFC 2883).',
  dsacksReceived: 'Duplicate SACKs received.',
  spuriousRecoveries: 'Recoveries and timeouts that were not necessary.',
  reorderingSeen: 'Segments that the network reordered.',
  sackReneging: 'Peers that discarded data which they had acknowledged selectively.',
  probeRepairs: 'Losses that a tail loss probe repaired.',
  ecnMarks: 'Congestion marks received (RFC 3168, RFC 9768).',
  ecnReductions: 'Reductions of the window because of congestion marks.',
  urgent: 'Segments with urgent data.',
  blackHoles: 'Reductions of the segment size because full segments were not answered.',
  mtuProbes: 'Probes of a larger segment size (RFC 8899).',
  mtuRaised: 'Probes that succeeded.',
  fastOpenPassive: 'SYNs whose data was accepted (RFC 7413).',
  fastOpenActive: 'SYNs with data that the peer accepted.',
  fastOpenRefused: 'Invalid Fast Open cookies, and requests above the limit.',
  syncookiesSent: 'SYN cookies sent (RFC 4987).',
  syncookiesReceived: 'SYN cookies accepted.',
  syncookiesFailed: 'SYN cookies refused.',
});

const STACK = counters<Stack['counters'] & { timeWaits: number }>('IP and the stack as a whole.', {
  inPackets: 'Packets received.',
  notForUs: 'Packets for other hosts.',
  fragments: 'Fragments received.',
  badChecksum: 'Packets with a wrong checksum.',
  noRoute: 'Packets without a route.',
  timeWaits: 'Connections in TIME-WAIT now.',
});

const UDP = counters<Stack['udp']['counters']>('UDP, after RFC 4113.', {
  inDatagrams: 'Datagrams delivered.',
  noPorts: 'Datagrams for a port without a socket.',
  inErrors: 'Invalid datagrams.',
  outDatagrams: 'Datagrams sent.',
  outDropped: 'Datagrams that could not be sent.',
});

const ICMP = counters<Stack['icmp']['counters']>('ICMP over IPv4.', {
  inEchos: 'Echo requests received.',
  outEchoReps: 'Echo replies sent.',
  inErrors: 'Invalid messages received.',
  outErrors: 'Error messages sent.',
  rateLimited: 'Error messages not sent because of the rate limit.',
  outBusy: 'Messages not sent because the device was busy.',
});

const DEVICE = counters<TapCounters>('The TAP device.', {
  rxFrames: 'Frames received.',
  rxBytes: 'Bytes received.',
  rxBatches: 'Batches of frames received.',
  rxDirect: 'Frames whose payload was read directly into the log.',
  txFrames: 'Frames sent.',
  txBytes: 'Bytes sent.',
  txBusy: 'How often the device could not take a frame at once.',
  txCut: 'Super-segments of which the device took only a part.',
  txErrors: 'Frames that the kernel refused.',
});

const LOG = counters<RingWriter['counters']>('The shared log, on a primary.', {
  records: 'Records written.',
  bytes: 'Bytes written.',
  dropped: 'Backups that were dropped because they did not keep up.',
});

const HISTORIES = counters<ConnectionHistories['counters'] & { connections: number }>(
  'Histories of independent connections.',
  {
    connections: 'Histories that are kept now.',
    bytes: 'Their size now, in bytes.',
    tooLong: 'Histories discarded because of --history-limit.',
    crossConnection: 'Histories discarded because another connection had influenced them.',
  },
);

const REPLAY = counters<Replayer['counters'] & { replayFailures: number }>('Replay, on a backup.', {
  events: 'Events replayed.',
  skipped: 'Records skipped because they belong to connections that are not followed.',
  checks: 'Checksums of output compared.',
  replayFailures: 'Connections whose history could not be replayed.',
});

const COUNTERS = {
  tcp: TCP,
  stack: STACK,
  udp: UDP,
  icmp: ICMP,
  device: DEVICE,
  loop: counters<Replica['busyPolls']>('Busy polling of the event loop.', {
    polls: 'How often the event loop polled before it slept.',
    found: 'How often it found something.',
  }),
  drops: counters<typeof DROP_MEANINGS>('Frames dropped on input, by reason.', DROP_MEANINGS),
  relays: counters<Replica['stack']['relays']['counters']>('Relays of a gateway.', {
    relays: 'Relays now.',
    relaysOpened: 'Relays so far, also those that were taken over.',
  }),
  gateway: counters<GatewayCounters>('Clients of a gateway, of all services. None on other replicas.', {
    services: 'Services now.',
    sessions: 'Clients without a server now.',
    waiting: 'Those of them that wait for a server.',
    clients: 'Clients that came.',
    paired: 'Clients that got a server.',
    refused: 'Clients that were reset without a server.',
    queued: 'Clients that had to wait for a server.',
    queueTimeouts: 'Clients that waited for too long.',
    queueOverflows: 'Clients that found the queue full.',
    retries: 'Further servers that were tried.',
    connectFailures: 'Connections to servers that could not be opened.',
    proxyErrors: 'Clients without a valid PROXY header.',
    idleTimeouts: 'Relays ended because a side was idle.',
    bytesFromClients: 'Bytes from clients, of relays that have ended.',
    bytesFromServers: 'Bytes from servers, of relays that have ended.',
  }),
  gate: counters<CommitGate['counters']>('Output commit.', {
    held: 'Frames that had to wait for the log.',
    passed: 'Frames that were sent.',
  }),
  log: LOG,
  connectionHistories: HISTORIES,
  replay: REPLAY,
  runtime: counters<Runtime['counters'] & Replica['counters']>("The program's deterministic runtime.", {
    samples: 'Values read at once by the program that were logged.',
    sampleBytes: 'Bytes of them.',
    replayedSamples: 'Values that a backup gave to its program from the log.',
    unloggedSamples: "Values that a backup read itself, beyond the end of its dead primary's log.",
    suppressedEffects: 'Effects outside of the process that a backup did not repeat.',
    kernelConnections: 'Kernel connections that the program has open.',
    refusedConnections: "Connections to the program's kernel servers that were reset because too many waited.",
    suppressedOutput: 'Bytes of standard output and error that a backup did not repeat.',
    redoneEffects: 'Effects carried out again after a takeover.',
    divergences: 'Differences from the primary.',
    droppedDatagrams: 'Datagrams dropped because the queue of the program was full.',
  }),
};

const TAKEOVER: FieldsOf<TakeoverReport> = {
  reason: { type: 'string', meaning: '`death`, `hang` or `switchover`.' },
  ...PROOFS,
  atMonotonicUs: {
    type: 'integer',
    unit: 'µs',
    meaning: 'When the loss of the primary was detected (CLOCK_MONOTONIC).',
  },
  fencedUs: {
    type: 'integer',
    unit: 'µs',
    meaning: 'When the primary was known to send nothing more, and the lock was held.',
  },
  drainedUs: { type: 'integer', unit: 'µs', meaning: 'When the rest of the log was processed.' },
  attachedUs: { type: 'integer', unit: 'µs', meaning: 'When the network device was attached.' },
  firstByteUs: { type: 'integer', unit: 'µs', meaning: 'When the first frame was sent.' },
  events: { type: 'integer', meaning: 'Log events processed during the takeover.' },
  connections: { type: 'integer', meaning: 'Connections taken over.' },
};

const TAKEOVERS: FieldsOf<Protection['takeovers']> = {
  death: { type: 'integer', meaning: 'Because the primary had died.' },
  hang: { type: 'integer', meaning: 'Because the primary hung.' },
  switchover: { type: 'integer', meaning: 'On purpose.' },
};

const PROTECTION: FieldsOf<Protection> = {
  takeovers: { type: 'object', meaning: 'Takeovers of the group.', fields: TAKEOVERS },
  unprotectedMs: {
    type: 'integer',
    unit: 'ms',
    meaning: 'Time in which a primary was without a backup that could take over.',
  },
  restoredMs: {
    type: 'integer',
    unit: 'ms',
    nullable: true,
    meaning: 'How long it took last until a backup could take over; null: none could since this primary began.',
  },
  lastTakeoverMs: {
    type: 'integer',
    unit: 'ms',
    nullable: true,
    meaning: 'When this replica took over, since 1970 (UTC); null: it did not.',
  },
};

const PROCESS: FieldsOf<ProcessUse> = {
  cpuUs: { type: 'integer', unit: 'µs', meaning: 'CPU time of all its threads.' },
  residentBytes: { type: 'integer', unit: 'bytes', meaning: 'Memory that it has now.' },
  loopActiveUs: { type: 'integer', unit: 'µs', meaning: "The event loop's time at work. Busy polling counts as work." },
  loopIdleUs: { type: 'integer', unit: 'µs', meaning: "The event loop's time asleep." },
};

const REPLICA: FieldsOf<ReplicaStatus> = {
  pid: { type: 'integer', meaning: 'Process id.' },
  role: { type: 'string', meaning: '`primary` or `backup`.' },
  peerPid: { type: 'integer', meaning: "The other replica's process id; 0: none." },
  protected: { type: 'boolean', meaning: 'Primary: a backup has caught up, and could take over. Backup: it follows.' },
  joining: {
    type: 'boolean',
    meaning: 'Primary: a backup follows, and has not caught up yet; `lagBytes` is what it has to apply.',
  },
  loading: { type: 'boolean', meaning: 'Primary: its program is being loaded, and serves nothing yet.' },
  epoch: { type: 'integer', meaning: 'Grows with every takeover.' },
  connections: {
    type: 'object',
    meaning: 'TCP connections.',
    fields: {
      total: { type: 'integer', meaning: 'All connections.' },
      protected: { type: 'integer', meaning: 'Connections that survive the death of the primary.' },
    },
  },
  lagBytes: { type: 'integer', unit: 'bytes', meaning: 'Log that the backup has not processed.' },
  logBytes: { type: 'integer', unit: 'bytes', meaning: 'Size of the log; 0 with --solo.' },
  logComplete: {
    type: 'boolean',
    meaning: "The log still has the program's start, so that a new backup can protect all connections.",
  },
  counters: {
    type: 'object',
    stability: evolving,
    meaning: 'Counters since the start of the process.',
    fields: COUNTERS,
  },
  takeover: {
    type: 'object',
    nullable: true,
    meaning: 'The takeover by which this replica became primary; null: none.',
    fields: TAKEOVER,
  },
  version: { type: 'string', meaning: 'Its version of ft-tcp.' },
  node: { type: 'string', meaning: 'Its version of Node.js.' },
  startedMs: { type: 'integer', unit: 'ms', meaning: 'When it became a replica, since 1970 (UTC).' },
  protection: {
    type: 'object',
    meaning: 'How the group was protected. On a backup: nothing but zeros.',
    fields: PROTECTION,
  },
  process: { type: 'object', meaning: 'What its process has used since its start.', fields: PROCESS },
  roundTrips: {
    type: 'object',
    meaning: 'Round-trip times that its stack has measured.',
    fields: {
      sumUs: { type: 'integer', unit: 'µs', meaning: 'All of them added up.' },
      counts: {
        type: 'integer[]',
        meaning: 'How many: up to 64 µs, then up to twice as much each; the last one has no limit.',
      },
    },
  },
};

const PEER: FieldsOf<ClusterStatus['peers'][string]> = {
  up: { type: 'boolean', meaning: 'The connection to it is established.' },
  role: { type: 'string', nullable: true, meaning: 'Its role; null: not known.' },
  epoch: { type: 'integer', meaning: 'Its epoch.' },
  ready: { type: 'boolean', meaning: 'Its replica has caught up with the log.' },
  lagBytes: {
    type: 'integer',
    unit: 'bytes',
    nullable: true,
    meaning: 'Log that it has not acknowledged; null: this node does not send it the log.',
  },
};

const CLUSTER: FieldsOf<ClusterStatus> = {
  node: { type: 'string', meaning: "This node's name." },
  pid: { type: 'integer', meaning: "The agent's process id." },
  role: { type: 'string', meaning: '`leader`, `follower`, `disconnected` or `joining`.' },
  epoch: { type: 'integer', meaning: 'The epoch of the log that this node has.' },
  inSync: { type: 'string[]', nullable: true, meaning: 'Leader: nodes that may take over; null: not the leader.' },
  requiredBackups: {
    type: 'integer',
    nullable: true,
    meaning: 'Leader: backups that must hold the log before output is sent; null: not the leader.',
  },
  leaseRemainingMs: {
    type: 'integer',
    unit: 'ms',
    nullable: true,
    meaning: 'How long the primary may still send without a renewal of the lease; 0: it may not; null: no limit.',
  },
  peers: { type: 'map', meaning: 'The other nodes by name.', fields: PEER },
  counters: {
    type: 'object',
    stability: evolving,
    meaning: 'Counters since the start of the agent.',
    fields: {
      agent: counters<Agent['counters']>('The agent.', {
        takeovers: 'How often this node became leader after another one.',
        claims: 'How often it asked for the lease.',
        refused: 'Requests to join that were refused.',
        coordinatorErrors: 'Questions that the coordinator did not answer.',
        badMessages: 'Invalid messages of other nodes.',
      }),
      links: counters<Links['counters']>('Connections between the nodes.', {
        dialled: 'Connections opened.',
        accepted: 'Connections accepted.',
        refused: 'Connections refused.',
        faults: 'Connections that ended with an error.',
        sent: 'Messages sent.',
        received: 'Messages received.',
      }),
      leader: counters<LogSender['counters']>('Log shipping, on the leader.', {
        messages: 'Messages with log sent.',
        bytes: 'Bytes of log sent.',
        joined: 'Nodes that joined.',
        refused: 'Requests for the log that were refused.',
      }),
    },
  },
};

/** The answer of `ft-tcp status --json`. */
export const STATUS_FIELDS: FieldsOf<GroupStatus> = {
  schema: { type: 'integer', meaning: 'Version of this format.' },
  group: { type: 'string', meaning: "The group's name." },
  replicas: { type: 'list', meaning: 'Replicas on this machine, the primary first.', fields: REPLICA },
  unresponsive: { type: 'integer[]', meaning: 'Process ids of replicas that did not answer within 2 s.' },
  cluster: {
    type: 'object',
    optional: true,
    meaning: 'The agent of this machine; absent without one.',
    fields: CLUSTER,
  },
};
