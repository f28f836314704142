/**
 * The metrics of a group, as Prometheus reads them. This table is the only place that declares
 * them: the answer to a scrape, docs/reference/metrics.md and the tests all come from it. Each
 * value is computed from the status of the replicas, when somebody asks.
 */
import Registry, { type MetricValue } from 'prom-client/lib/registry.js';
import { RTT_BOUNDS_US } from '../../stack/tcp/rtt-histogram.js';
import type { ReplicaStatus } from './status.js';

/** What the metrics are computed from. */
export interface MetricsView {
  readonly group: string;
  /** The replicas that have answered, the primary first. */
  readonly replicas: readonly ReplicaStatus[];
  /** Processes of replicas that did not answer in time. */
  readonly unresponsive: readonly number[];
  /** The agent of this machine; null: there is none, or it does not answer. */
  readonly cluster: ClusterView | null;
}

/** What counts of an agent's status (cluster/agent/status.ts). */
export interface ClusterView {
  readonly node: string;
  readonly role: string;
  readonly inSync: readonly string[] | null;
  readonly leaseRemainingMs: number | null;
  readonly peers: Readonly<Record<string, { readonly up: boolean; readonly lagBytes: number | null }>>;
}

/** One value: its own labels, and the number. Null: it is not known now, and left out. */
export type Sample = readonly [labels: Readonly<Record<string, string>>, value: number | null, suffix?: string];

interface Spec {
  readonly type: 'gauge' | 'counter' | 'histogram';
  /** A whole sentence. */
  readonly help: string;
  /** Labels beside `group` and, of a replica's, `pid`; with their values. */
  readonly labels?: Readonly<Record<string, string>>;
}

/** A metric of the whole group: of its primary, or of its backup when only that one answers. */
export interface GroupMetric extends Spec {
  readonly of: 'group';
  read(replica: ReplicaStatus, view: MetricsView): readonly Sample[];
}

/** A metric that each replica has. */
export interface ReplicaMetric extends Spec {
  readonly of: 'replica';
  read(replica: ReplicaStatus): readonly Sample[];
}

/** A metric of what is seen from outside: also without any answer. */
export interface OutsideMetric extends Spec {
  readonly of: 'outside';
  read(view: MetricsView): readonly Sample[];
}

/** One metric. */
export type Metric = GroupMetric | ReplicaMetric | OutsideMetric;

const MS = 1e-3;
const US = 1e-6;

function one(value: number | null | undefined): readonly Sample[] {
  return [[{}, value ?? null]];
}

function flag(value: boolean): readonly Sample[] {
  return one(value ? 1 : 0);
}

function scaled(value: number | null, unit: number): number | null {
  return value === null ? null : value * unit;
}

/** Values of one label. */
function each(label: string, values: Readonly<Record<string, number | undefined>>): readonly Sample[] {
  return Object.entries(values).map(([name, value]): Sample => [{ [label]: name }, value ?? null]);
}

/** A counter of the status. */
function counter(part: string, name: string, help: string): ReplicaMetric {
  return { of: 'replica', type: 'counter', help, read: ({ counters }) => one(counters[part]?.[name]) };
}

/** The same of several ones, which a label tells apart. */
function counterBy(
  label: string,
  meaning: string,
  help: string,
  of: Readonly<Record<string, readonly [string, string]>>,
): ReplicaMetric {
  return {
    of: 'replica',
    type: 'counter',
    help,
    labels: { [label]: `${meaning}: ${Object.keys(of).join(', ')}` },
    read: ({ counters }) =>
      Object.entries(of).map(([value, [part, name]]): Sample => [{ [label]: value }, counters[part]?.[name] ?? null]),
  };
}

const GROUP_METRICS = {
  ft_tcp_protected: {
    of: 'group',
    type: 'gauge',
    help: '1: a backup has caught up, and could take over at once; 0: none could.',
    read: (replica) => flag(replica.protected),
  },
  ft_tcp_joining: {
    of: 'group',
    type: 'gauge',
    help: '1: a backup follows the log, and has not caught up yet.',
    read: (replica) => flag(replica.joining),
  },
  ft_tcp_loading: {
    of: 'group',
    type: 'gauge',
    help: '1: the program is being loaded, and serves nothing yet.',
    read: (replica) => flag(replica.loading),
  },
  ft_tcp_connections: {
    of: 'group',
    type: 'gauge',
    help: 'Open TCP connections.',
    labels: { protection: 'protected: they survive the death of the primary; unprotected: they do not' },
    read: ({ connections: { total, protected: safe }, protected: isSafe }) =>
      each('protection', { protected: isSafe ? safe : 0, unprotected: isSafe ? total - safe : total }),
  },
  ft_tcp_time_waits: {
    of: 'group',
    type: 'gauge',
    help: 'Connections in TIME-WAIT.',
    read: ({ counters }) => one(counters['stack']?.['timeWaits']),
  },
  ft_tcp_epoch: {
    of: 'group',
    type: 'gauge',
    help: 'Grows with every takeover.',
    read: ({ epoch }) => one(epoch),
  },
  ft_tcp_log_lag_bytes: {
    of: 'group',
    type: 'gauge',
    help: 'Log that the backup has not processed.',
    read: ({ lagBytes }) => one(lagBytes),
  },
  ft_tcp_log_size_bytes: {
    of: 'group',
    type: 'gauge',
    help: 'Size of the log; 0 with --solo.',
    read: ({ logBytes }) => one(logBytes),
  },
  ft_tcp_log_used_ratio: {
    of: 'group',
    type: 'gauge',
    help: 'Part of the log that waits for the backup, 0 to 1. A backup is dropped before it reaches 1.',
    read: ({ lagBytes, logBytes }) => one(logBytes === 0 ? null : lagBytes / logBytes),
  },
  ft_tcp_log_complete: {
    of: 'group',
    type: 'gauge',
    help: "1: the log has the program's start, so that a new backup can protect all connections.",
    read: ({ logComplete }) => flag(logComplete),
  },
  ft_tcp_takeovers_total: {
    of: 'group',
    type: 'counter',
    help: 'Takeovers of the group, also those of earlier processes.',
    labels: { reason: 'death, hang or switchover' },
    read: ({ role, protection: { takeovers } }) => (role === 'primary' ? each('reason', takeovers) : []),
  },
  ft_tcp_last_takeover_timestamp_seconds: {
    of: 'group',
    type: 'gauge',
    help: 'When this primary took over (Unix time). Absent while it has not.',
    read: ({ protection: { lastTakeoverMs } }) => one(scaled(lastTakeoverMs, MS)),
  },
  ft_tcp_last_takeover_phase_seconds: {
    of: 'group',
    type: 'gauge',
    help: 'How long the phases of the last takeover took. Absent while this primary has not taken over.',
    labels: { phase: 'fence, drain, attach, first_byte: in this order' },
    read: ({ takeover }) =>
      takeover === null || takeover.firstByteUs === 0
        ? []
        : each('phase', {
            fence: (takeover.fencedUs - takeover.atMonotonicUs) * US,
            drain: (takeover.drainedUs - takeover.fencedUs) * US,
            attach: (takeover.attachedUs - takeover.drainedUs) * US,
            first_byte: (takeover.firstByteUs - takeover.attachedUs) * US,
          }),
  },
  ft_tcp_unprotected_seconds_total: {
    of: 'group',
    type: 'counter',
    help: 'Seconds unprotected: time in which a primary was without a backup that could take over.',
    read: ({ role, protection: { unprotectedMs } }) => (role === 'primary' ? one(unprotectedMs * MS) : []),
  },
  ft_tcp_protected_again_seconds: {
    of: 'group',
    type: 'gauge',
    help: 'Time to protected again: how long it took last, from the loss until a backup could take over.',
    read: ({ protection: { restoredMs } }) => one(scaled(restoredMs, MS)),
  },
} as const satisfies Record<string, GroupMetric>;

const OUTSIDE_METRICS = {
  ft_tcp_replicas: {
    of: 'outside',
    type: 'gauge',
    help: 'Replicas of the group on this machine.',
    labels: { state: 'primary, backup, or unresponsive: it does not answer' },
    read: ({ replicas, unresponsive }) =>
      each('state', {
        primary: replicas.filter(({ role }) => role === 'primary').length,
        backup: replicas.filter(({ role }) => role === 'backup').length,
        unresponsive: unresponsive.length,
      }),
  },
  ft_tcp_replica_up: {
    of: 'outside',
    type: 'gauge',
    help: '1: the replica answers; 0: its process exists, and does not answer within half a second.',
    labels: { pid: "the replica's process" },
    read: ({ replicas, unresponsive }) => [
      ...replicas.map(({ pid }): Sample => [{ pid: `${pid}` }, 1]),
      ...unresponsive.map((pid): Sample => [{ pid: `${pid}` }, 0]),
    ],
  },
} as const satisfies Record<string, OutsideMetric>;

/** A metric of this machine's agent, with its node. */
function ofAgent(
  type: 'gauge',
  help: string,
  read: (agent: ClusterView) => readonly Sample[],
  labels: Readonly<Record<string, string>> = {},
): OutsideMetric {
  return {
    of: 'outside',
    type,
    help,
    labels: { node: 'this machine', ...labels },
    read: ({ cluster }) =>
      cluster === null ? [] : read(cluster).map(([own, value]): Sample => [{ node: cluster.node, ...own }, value]),
  };
}

const CLUSTER_METRICS = {
  ft_tcp_cluster_leader: ofAgent('gauge', '1: this machine leads: its replica is the primary.', ({ role }) =>
    flag(role === 'leader'),
  ),
  ft_tcp_cluster_in_sync_nodes: ofAgent(
    'gauge',
    'Machines that could take over at once, this one among them. Of a leader only.',
    ({ inSync }) => one(inSync?.length),
  ),
  ft_tcp_cluster_lease_remaining_seconds: ofAgent(
    'gauge',
    'How long the primary may send without renewing its lease; 0: it may not. Absent without a limit.',
    ({ leaseRemainingMs }) => one(scaled(leaseRemainingMs, MS)),
  ),
  ft_tcp_cluster_peer_up: ofAgent(
    'gauge',
    '1: there is a connection to the agent of the other machine.',
    ({ peers }) => Object.entries(peers).map(([peer, { up }]): Sample => [{ peer }, up ? 1 : 0]),
    { peer: 'the other machine' },
  ),
  ft_tcp_cluster_peer_lag_bytes: ofAgent(
    'gauge',
    'Log that the other machine does not hold. Of a leader only.',
    ({ peers }) => Object.entries(peers).map(([peer, { lagBytes }]): Sample => [{ peer }, lagBytes]),
    { peer: 'the other machine' },
  ),
} as const satisfies Record<string, OutsideMetric>;

/** Refusals of bounds: what each bound of the table guards. */
const BOUNDS = {
  connections: ['tcp', 'tableFull'],
  backlog: ['tcp', 'listenOverflows'],
  reassembly: ['tcp', 'reassemblyFull'],
  fast_open: ['tcp', 'fastOpenRefused'],
  fragments: ['drops', 'FragmentLimit'],
  icmp_errors: ['icmp', 'rateLimited'],
  datagrams: ['runtime', 'droppedDatagrams'],
  kernel_connections: ['runtime', 'refusedConnections'],
  history: ['connectionHistories', 'tooLong'],
  log: ['log', 'dropped'],
  gateway_queue: ['gateway', 'queueOverflows'],
} as const;

const REPLICA_METRICS = {
  ft_tcp_replica_info: {
    of: 'replica',
    type: 'gauge',
    help: 'Always 1. Its labels say what the replica is.',
    labels: { role: 'primary or backup', version: 'of ft-tcp', node: 'of Node.js' },
    read: ({ role, version, node }) => [[{ role, version, node }, 1]],
  },
  ft_tcp_replica_start_time_seconds: {
    of: 'replica',
    type: 'gauge',
    help: 'When the process became a replica (Unix time).',
    read: ({ startedMs }) => one(startedMs * MS),
  },
  ft_tcp_cpu_seconds_total: {
    of: 'replica',
    type: 'counter',
    help: 'CPU time of all threads of the process.',
    read: (status) => one(status.process.cpuUs * US),
  },
  ft_tcp_resident_memory_bytes: {
    of: 'replica',
    type: 'gauge',
    help: 'Memory of the process.',
    read: (status) => one(status.process.residentBytes),
  },
  ft_tcp_event_loop_seconds_total: {
    of: 'replica',
    type: 'counter',
    help: "The event loop's time. Busy polling counts as active.",
    labels: { state: 'active or idle' },
    read: ({ process: { loopActiveUs, loopIdleUs } }) =>
      each('state', { active: loopActiveUs * US, idle: loopIdleUs * US }),
  },
  ft_tcp_rtt_seconds: {
    of: 'replica',
    type: 'histogram',
    help: 'Round-trip times that the stack has measured, of all connections.',
    read: ({ roundTrips: { counts, sumUs } }) => {
      let count = 0;
      const samples = counts.map((own, i): Sample => {
        count += own;
        const bound = (RTT_BOUNDS_US[i] ?? Number.POSITIVE_INFINITY) * US;
        return [{ le: bound === Number.POSITIVE_INFINITY ? '+Inf' : `${bound}` }, count, '_bucket'];
      });
      return [...samples, [{}, sumUs * US, '_sum'], [{}, count, '_count']];
    },
  },
  ft_tcp_segments_total: counterBy('direction', 'which way', 'TCP segments, without retransmissions.', {
    in: ['tcp', 'inSegs'],
    out: ['tcp', 'outSegs'],
  }),
  ft_tcp_retransmitted_segments_total: counter('tcp', 'retransSegs', 'TCP segments that were sent again.'),
  ft_tcp_retransmission_timeouts_total: counter('tcp', 'rtoTimeouts', 'Expired retransmission timers (RFC 6298).'),
  ft_tcp_opened_connections_total: counterBy('by', 'who opened it', 'Connections that were opened.', {
    client: ['tcp', 'passiveOpens'],
    program: ['tcp', 'activeOpens'],
  }),
  ft_tcp_lost_connections_total: counterBy('cause', 'why', 'Connections that did not end in an orderly way.', {
    failed: ['tcp', 'attemptFails'],
    reset: ['tcp', 'estabResets'],
    timeout: ['tcp', 'timeouts'],
  }),
  ft_tcp_frames_total: counterBy('direction', 'which way', 'Frames of the network device.', {
    in: ['device', 'rxFrames'],
    out: ['device', 'txFrames'],
  }),
  ft_tcp_frame_bytes_total: counterBy('direction', 'which way', 'Bytes of frames of the network device.', {
    in: ['device', 'rxBytes'],
    out: ['device', 'txBytes'],
  }),
  ft_tcp_device_errors_total: counter('device', 'txErrors', 'Frames that the kernel refused.'),
  ft_tcp_drops_total: {
    of: 'replica',
    type: 'counter',
    help: 'Frames dropped on input.',
    labels: { reason: 'why: a name of the status (replicas[].counters.drops)' },
    read: ({ counters }) => each('reason', counters['drops'] ?? {}),
  },
  ft_tcp_refused_total: counterBy('bound', 'what was full', 'What was refused because a bound was reached.', BOUNDS),
  ft_tcp_log_written_bytes_total: counter('log', 'bytes', 'Bytes that this replica has written to the log.'),
  ft_tcp_log_records_total: counter('log', 'records', 'Records that this replica has written to the log.'),
  ft_tcp_output_frames_total: counter('gate', 'passed', 'Frames that the output commit let pass.'),
  ft_tcp_output_held_frames_total: counter('gate', 'held', 'Frames that had to wait for the log.'),
  ft_tcp_divergences_total: counter('runtime', 'divergences', 'Differences of this backup from its primary.'),
  ft_tcp_replay_failures_total: counter('replay', 'replayFailures', 'Connections whose history could not be replayed.'),
  ft_tcp_gateway_clients_total: counterBy('result', 'what became of it', 'Clients of a gateway.', {
    came: ['gateway', 'clients'],
    paired: ['gateway', 'paired'],
    refused: ['gateway', 'refused'],
  }),
} as const satisfies Record<string, ReplicaMetric>;

/** All metrics by name. */
export const METRICS: Readonly<Record<string, Metric>> = {
  ...OUTSIDE_METRICS,
  ...CLUSTER_METRICS,
  ...GROUP_METRICS,
  ...REPLICA_METRICS,
};

/** Media type of the text. */
export const METRICS_TYPE = Registry.PROMETHEUS_CONTENT_TYPE;

/** All values of one metric. A replica of another version may lack what a metric needs. */
function samplesOf(metric: Metric, view: MetricsView): Sample[] {
  const tried = (read: () => readonly Sample[], more: Readonly<Record<string, string>> = {}): Sample[] => {
    try {
      return read().map(([labels, value, suffix]): Sample => [{ ...more, ...labels }, value, suffix]);
    } catch {
      return [];
    }
  };
  if (metric.of === 'outside') return tried(() => metric.read(view));
  if (metric.of === 'replica')
    return view.replicas.flatMap((replica) => tried(() => metric.read(replica), { pid: `${replica.pid}` }));
  const [first] = view.replicas;
  return first === undefined ? [] : tried(() => metric.read(first, view));
}

/** The answer to a scrape. */
export async function metricsText(view: MetricsView): Promise<string> {
  const registry = new Registry();
  for (const [name, metric] of Object.entries(METRICS)) {
    const values: MetricValue[] = [];
    for (const [labels, value, suffix] of samplesOf(metric, view))
      if (value !== null && Number.isFinite(value))
        values.push({
          value,
          labels: { group: view.group, ...labels },
          ...(suffix === undefined ? {} : { metricName: name + suffix }),
        });
    // A metric without a value, such as the device of a backup, is left out.
    if (values.length === 0) continue;
    const { help, type } = metric;
    registry.registerMetric({ name, get: () => ({ name, help, type, values }) });
  }
  return await registry.metrics();
}
