/** The options of `ft-tcp run`. */
import type { EventsTarget } from '../admin/event-log.js';
import type { MetricsAddress } from '../admin/metrics-port.js';
import { defaultBusyPollUs, severalCpus } from '../host/busy-poll.js';
import { defaultDirectory } from '../host/group-directory.js';
import { isPowerOfTwo } from '../log/ring.js';
import type { NetworkWish } from '../operate/publish/network.js';
import { MAX_PUBLISHED, overlap, publishedText } from '../operate/publish/ports.js';
import type { ReplicaOptions } from '../replica/replica.js';
import { GROUP_OPTIONS } from './group-options.js';
import {
  BUSY_POLL_OPTION,
  CREATE_OPTION,
  DEFAULT_ADDRESS,
  DEFAULT_TAP,
  GATEWAY_OPTION,
  IP_OPTION,
  MAC_OPTION,
  NO_OFFLOAD_OPTION,
  NO_SEND_THREAD_OPTION,
  PCAP_OPTION,
  PUBLISH_OPTION,
  TAP_OPTION,
} from './network-options.js';
import {
  type CommandSpec,
  type OptionTable,
  type OptionValues,
  parseOptions,
  programIndex,
  usageError,
} from './options.js';
import { choice, FILE, FILE_OR_FD, integer, LISTEN_ADDRESS, number, PORT, text } from './value-types.js';

const REPLICATION = 'Replication';
const MONITORING = 'Monitoring';
const CLUSTER = 'Several machines';

const MIN_LOG_MIB = 16;
const MAX_LOG_MIB = 4096;
const MAX_HISTORY_KIB = 16_384;
const MAX_GRACE_S = 3600;

const LOG_SIZE = {
  ...integer({ min: MIN_LOG_MIB, max: MAX_LOG_MIB, unit: 'MiB', placeholder: 'MIB' }),
  range: `a power of two, ${MIN_LOG_MIB} to ${MAX_LOG_MIB}`,
  expected: `a power of two (MiB), ${MIN_LOG_MIB} to ${MAX_LOG_MIB}`,
  read: (value: string): number | undefined => {
    const mib = /^\d+$/.test(value) ? Number(value) : Number.NaN;
    return isPowerOfTwo(mib) && mib >= MIN_LOG_MIB && mib <= MAX_LOG_MIB ? mib : undefined;
  },
};

/** The options of `ft-tcp run`; other commands that run replicas have some of them. */
export const RUN_OPTIONS = {
  ...GROUP_OPTIONS,
  publish: PUBLISH_OPTION,
  tap: { ...TAP_OPTION, defaultText: 'ft0; with --publish the first free one' },
  create: CREATE_OPTION,
  ip: IP_OPTION,
  gateway: { ...GATEWAY_OPTION, defaultText: "with --publish this machine's address on the device" },
  mac: { ...MAC_OPTION, defaultText: 'chosen by the group' },
  'no-offload': NO_OFFLOAD_OPTION,
  pcap: PCAP_OPTION,
  commit: {
    value: choice('written', 'acked'),
    defaultText: 'written; acked with --cluster',
    meaning:
      'When output is sent. written = local durability (asynchronous replication): it survives the death of the process. ' +
      'acked = synchronous replication: output waits until the backup has processed the log.',
    section: REPLICATION,
    since: '0.1',
    example: '--commit acked',
  },
  mode: {
    value: choice('replay', 'state'),
    default: 'replay',
    meaning:
      'replay: the backup runs the program, too. state: the backup runs no program; the one that is started at a ' +
      'takeover gets the connections with what was saved of them (docs/guides/state-mode.md).',
    section: REPLICATION,
    since: '0.2',
  },
  warm: {
    meaning:
      "State mode: a backup's program is loaded and listens before it is needed, so that a takeover takes milliseconds. " +
      'It has no connections until then (docs/guides/state-mode.md).',
    section: REPLICATION,
    since: '0.2',
    example: '--mode state --warm',
  },
  hold: {
    meaning: 'From a deploy to its replica: the standby waits for a command before it takes its place.',
    since: '0.2',
    internal: true,
  },
  'state-port': {
    value: PORT,
    multiple: true,
    meaning: 'Servers at this port use state mode in a group in replay mode.',
    section: REPLICATION,
    since: '0.2',
    example: '--state-port 9000',
  },
  'independent-connections': {
    meaning:
      'Declares that no connection depends on another one. A backup that joins late then replays each by itself.',
    section: REPLICATION,
    since: '0.2',
    formerly: ['independent'],
  },
  'independent-port': {
    value: PORT,
    multiple: true,
    meaning: 'Declares the same for the servers at this port only.',
    section: REPLICATION,
    since: '0.2',
    example: '--independent-port 8080',
  },
  'history-limit': {
    value: integer({ min: 0, max: MAX_HISTORY_KIB, unit: 'KiB', placeholder: 'KIB' }),
    default: '256',
    meaning: 'Longest history of an independent connection; all together at most 64 MiB.',
    section: REPLICATION,
    since: '0.2',
    formerly: ['history'],
  },
  'log-size': {
    value: LOG_SIZE,
    default: '64',
    meaning: 'Size of the shared log.',
    section: REPLICATION,
    since: '0.1',
  },
  'hang-timeout': {
    value: number({ min: 100, unit: 'ms', placeholder: 'MS' }),
    default: '500',
    meaning: 'A primary whose event loop makes no progress for this long is killed.',
    section: REPLICATION,
    since: '0.1',
  },
  'load-timeout': {
    value: number({ min: 1, unit: 's', placeholder: 'S' }),
    default: '120',
    meaning: 'State mode: a primary whose program is not loaded after this time is killed.',
    section: REPLICATION,
    since: '0.2',
  },
  'restart-window': {
    value: number({ min: 0, unit: 's', placeholder: 'S' }),
    default: '60',
    meaning:
      'A group whose last process died less than this long ago is resumed from its log. 0: always start a new group.',
    section: REPLICATION,
    since: '0.2',
    formerly: ['resume-within'],
  },
  'allow-addon': {
    value: text('NAME', "a package's name, as better-sqlite3"),
    multiple: true,
    meaning:
      'Lets the program load a native addon that ft-tcp does not know. Its functions run on both replicas, and must ' +
      'compute only from their arguments.',
    section: REPLICATION,
    since: '0.2',
    example: '--allow-addon canvas',
  },
  'no-diverged-bytes': {
    meaning: 'Keeps what the program writes to clients out of the event diverged, where it may be secret.',
    section: REPLICATION,
    since: '0.2',
  },
  grace: {
    value: number({ min: 0, max: MAX_GRACE_S, unit: 's', placeholder: 'S' }),
    default: '5',
    meaning:
      'SIGTERM, SIGINT and SIGHUP without a backup: how long open connections have to close. Then they are reset.',
    section: REPLICATION,
    since: '0.2',
  },
  solo: { meaning: 'No log and no backup.', section: REPLICATION, since: '0.1' },
  'busy-poll': BUSY_POLL_OPTION,
  'no-send-thread': NO_SEND_THREAD_OPTION,
  metrics: {
    value: LISTEN_ADDRESS,
    meaning:
      'Serves metrics for Prometheus at /metrics of this address. All replicas of a group have the same address: one of ' +
      'them answers for all (docs/reference/metrics.md).',
    section: MONITORING,
    since: '0.2',
    example: '--metrics 127.0.0.1:9464',
  },
  events: {
    value: FILE_OR_FD,
    defaultText: 'standard error',
    meaning:
      'Where events go, as JSON lines: a file, to which they are added, or an open descriptor, as 3. Standard error gets ' +
      'text for people instead, where it is a terminal.',
    section: MONITORING,
    since: '0.2',
    example: '--events /var/log/ft-tcp.jsonl',
  },
  cluster: {
    value: FILE,
    meaning:
      'Replicas on several machines, which this file describes (docs/guides/cluster.md). Implies --commit acked.',
    section: CLUSTER,
    since: '0.2',
    example: '--cluster cluster.json',
  },
  node: {
    value: text('NAME', "a node's name in the cluster file"),
    defaultText: 'the host name',
    meaning: 'Which node of the cluster file this machine is.',
    section: CLUSTER,
    since: '0.2',
    example: '--node b',
  },
  member: {
    value: choice('primary', 'backup'),
    meaning: "From an agent to its replica: the replica's role.",
    since: '0.2',
    internal: true,
  },
  agent: {
    value: integer({ min: 1, placeholder: 'PID' }),
    meaning: "From an agent to its replica: the agent's process.",
    since: '0.2',
    internal: true,
  },
  supervisor: {
    value: integer({ min: 1, placeholder: 'PID' }),
    meaning: 'From ft-tcp up to its replicas: its process, with which they end.',
    since: '0.2',
    internal: true,
  },
} as const satisfies OptionTable;

/** The table of `ft-tcp run`. */
export const RUN: CommandSpec<typeof RUN_OPTIONS> = {
  name: 'run',
  summary: 'run a Node.js program; the same command again starts its backup',
  usage: 'ft-tcp run [options] app.js [args]',
  description: [
    "Runs a Node.js program. Its http, https and net servers listen on ft-tcp's own TCP/IP stack.",
    'The first process of a group is the primary. The same command again starts the backup, which takes over when the ' +
      'primary dies or hangs.',
    'Events are written to standard error, one JSON object per line (docs/reference/events.md); on a terminal, as text.',
  ],
  options: RUN_OPTIONS,
  notes: ['Without --publish make the TAP device with: ip tuntap add dev ft0 mode tap user NAME multi_queue vnet_hdr'],
  exitCodes: {
    0: 'the group was drained, or this replica was switched over',
    1: 'the replica failed, was dropped or has diverged',
    2: 'invalid command line or cluster file',
    3: 'this machine lacks something; see ft-tcp doctor',
    129: 'SIGHUP, and there was no backup to switch over to',
    130: 'SIGINT, likewise',
    143: 'SIGTERM, likewise',
  },
  examples: [
    'ft-tcp run --group web server.js',
    'ft-tcp run --group web --publish 80 server.js',
    'ft-tcp run --ip 10.77.0.2/24 --gateway 10.77.0.1 --commit acked server.js 8080',
    'ft-tcp run --cluster cluster.json --node a server.js',
  ],
};

/** The arguments of `ft-tcp run`. */
export interface RunArguments {
  options: Omit<ReplicaOptions, 'group' | 'ringBytes'>;
  group: string;
  directory: string;
  /** Size of the shared log. */
  logBytes: number;
  /** The network that is made for published ports; undefined: there are none. */
  network: Omit<NetworkWish, 'group' | 'directory'> | undefined;
  program: string;
  programArgs: string[];
  /** The words of the command line before the program. */
  optionWords: string[];
  /** A deploy has started this replica, and says when it takes its place. */
  hold: boolean;
  /**
   * Seconds after the death of a group's last process in which a new process resumes the group; 0:
   * never.
   */
  restartWindow: number;
  /** Make the device when it does not exist. */
  create: boolean;
  /** Milliseconds that connections have to close when the last replica is told to end. */
  graceMs: number;
  /** Where metrics are served. */
  metrics: MetricsAddress | undefined;
  /** Where events go; undefined: to standard error. */
  events: EventsTarget | undefined;
  /** Several machines: the file that describes them. */
  cluster: string | undefined;
  /** Which node of that file this is; undefined: by the host name. */
  node: string | undefined;
  /** The process of `ft-tcp up` that has started this one. */
  supervisor: number | undefined;
  /** Set in the replica's process of an agent: its role. */
  member: 'primary' | 'backup' | undefined;
}

/** Options of replicas on several machines. */
type ClusterOptions = Pick<
  OptionValues<typeof RUN_OPTIONS>,
  'cluster' | 'commit' | 'solo' | 'node' | 'member' | 'agent' | 'events'
> & { mode?: string; warm?: boolean };

/** Options of published ports. */
type PublishOptions = Pick<
  OptionValues<typeof RUN_OPTIONS>,
  'publish' | 'tap' | 'ip' | 'gateway' | 'no-offload' | 'create' | 'cluster'
>;

/** Reads the command line of `ft-tcp run`. Throws FtError ERR_FT_USAGE. */
export function runArguments(argv: string[]): RunArguments {
  // What follows the program's name is the program's own.
  const split = programIndex(RUN_OPTIONS, argv);
  const values = parseOptions(
    RUN,
    argv.slice(0, split).filter((word) => word !== '--'),
  );
  const program = argv[split];
  if (program === undefined) throw usageError('run', 'No program given; expected ft-tcp run [options] app.js [args]');
  checkCombination('run', values);
  return {
    group: values.group,
    directory: values.dir ?? defaultDirectory(process.env, process.getuid?.() ?? 0),
    logBytes: values['log-size'] * 1024 * 1024,
    program,
    network: publishedNetwork('run', values),
    programArgs: argv.slice(split + 1),
    optionWords: argv.slice(0, split),
    hold: values.hold,
    restartWindow: values['restart-window'],
    create: values.create,
    graceMs: values.grace * 1000,
    metrics: values.metrics,
    events: values.events,
    cluster: values.cluster,
    node: values.node,
    supervisor: values.supervisor,
    member: values.member,
    options: replicaOptions(values),
  };
}

/** Options that exclude or need each other. Throws FtError ERR_FT_USAGE. */
export function checkCombination(
  command: string,
  { cluster, commit, solo, node, member, agent, events, mode, warm }: ClusterOptions,
): void {
  if (warm === true && mode !== 'state')
    throw usageError(command, '--warm needs --mode state; in replay mode the backup runs the program in any case');
  if (warm === true && (cluster !== undefined || solo))
    throw usageError(command, '--warm is for replicas on one machine; leave out --cluster and --solo');
  if (cluster !== undefined && commit === 'written')
    throw usageError(command, '--commit written does not survive the loss of a machine; leave it out with --cluster');
  if (cluster !== undefined && solo) throw usageError(command, '--solo and --cluster exclude each other');
  if (cluster !== undefined && events !== undefined && 'fd' in events && events.fd > 2)
    throw usageError(command, '--events FD and --cluster exclude each other: the agent has two processes; give a file');
  if (node !== undefined && cluster === undefined) throw usageError(command, '--node needs --cluster FILE');
  if (member !== undefined && agent === undefined) throw usageError(command, '--member needs --agent PID');
}

/** What `--publish` asks for. Throws FtError ERR_FT_USAGE. */
export function publishedNetwork(
  command: string,
  { publish, tap, ip, gateway, create, cluster, 'no-offload': plain }: PublishOptions,
): RunArguments['network'] {
  if (publish.length === 0) return undefined;
  if (cluster !== undefined)
    throw usageError(command, "--publish and --cluster exclude each other: this machine's address does not move");
  if (create) throw usageError(command, '--publish makes the device; leave --create out');
  if (publish.length > MAX_PUBLISHED) throw usageError(command, `--publish: at most ${MAX_PUBLISHED} ports`);
  const twice = publish.find((port, i) => publish.slice(0, i).some((other) => overlap(port, other)));
  if (twice !== undefined) throw usageError(command, `--publish ${publishedText(twice)}: the port is published twice`);
  return { ports: publish, device: tap, addresses: ip, gateways: gateway, offload: !plain };
}

function replicaOptions(values: OptionValues<typeof RUN_OPTIONS>): RunArguments['options'] {
  const { ip, gateway, mac, pcap, member, agent } = values;
  const statePorts = values['state-port'];
  return {
    tap: values.tap ?? DEFAULT_TAP,
    addresses: ip.length === 0 ? [DEFAULT_ADDRESS] : ip,
    ...(gateway.length === 0 ? {} : { gateway }),
    ...(mac === undefined ? {} : { mac }),
    ...(pcap === undefined ? {} : { pcap }),
    offload: !values['no-offload'],
    commit: values.commit ?? (values.cluster === undefined ? 'written' : 'acked'),
    mode: values.mode,
    warm: values.warm,
    ...(statePorts.length === 0 ? {} : { statePorts }),
    independentPorts: values['independent-connections'] ? 'all' : values['independent-port'],
    historyLimit: values['history-limit'] * 1024,
    hangTimeoutMs: values['hang-timeout'],
    loadTimeoutMs: values['load-timeout'] * 1000,
    busyPollUs: values['busy-poll'] ?? defaultBusyPollUs(),
    sendThread: !values['no-send-thread'] && severalCpus(),
    solo: values.solo,
    ...(values['allow-addon'].length === 0 ? {} : { allowedAddons: values['allow-addon'] }),
    divergedBytes: !values['no-diverged-bytes'],
    ...(member === undefined || agent === undefined ? {} : { agentPid: agent }),
  };
}
