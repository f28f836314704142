/** The words of `ft-tcp run`. */
import { parseArgs } from 'node:util';
import { FtError } from '../../lib/errors.js';
import { parseCidr4, parseIPv4, parseMac } from '../../lib/ipv4-address.js';
import { parseCidr6, parseIPv6 } from '../../lib/ipv6-address.js';
import { busyPollArgument, severalCpus } from '../host/busy-poll.js';
import { defaultDirectory } from '../host/group-directory.js';
import { isPowerOfTwo } from '../log/ring.js';
import type { ReplicaOptions } from '../replica/replica.js';

export interface RunArguments {
  options: Omit<ReplicaOptions, 'group' | 'ringBytes'>;
  group: string;
  directory: string;
  logBytes: number;
  program: string;
  programArgs: string[];
  /** Seconds after the death of a group's last process in which a new one goes on where it was; 0: never. */
  resumeWithin: number;
  /** Several machines: the file that describes them, and which one this is. */
  cluster: string | undefined;
  node: string | undefined;
  /** The replica's process of an agent, which says what it is to be. */
  member: 'primary' | 'backup' | undefined;
}

/** Reads the command line. Throws FtError ERR_FT_USAGE. */
export function runArguments(argv: string[]): RunArguments {
  // Everything behind the program's name is the program's own.
  const split = programIndex(argv);
  let values: ReturnType<typeof parse>['values'];
  try {
    values = parse(argv.slice(0, split)).values;
  } catch (error) {
    throw new FtError('ERR_FT_USAGE', error instanceof Error ? error.message : String(error), 'See ft-tcp run --help');
  }
  const program = argv[split];
  if (program === undefined)
    throw new FtError('ERR_FT_USAGE', 'No program given', 'Usage: ft-tcp run [options] app.js [args]');
  const usage = (option: string, value: string, like: string): FtError =>
    new FtError('ERR_FT_USAGE', `--${option} ${value} is not right`, `Write it like --${option} ${like}`);
  const addresses = values.ip ?? ['10.77.0.2/24'];
  for (const ip of addresses)
    if (parseCidr4(ip) === undefined && parseCidr6(ip) === undefined)
      throw usage('ip', ip, '10.0.0.2/24 or 2001:db8::2/64');
  for (const gateway of values.gateway ?? [])
    if (parseIPv4(gateway) === undefined && parseIPv6(gateway) === undefined)
      throw usage('gateway', gateway, '10.0.0.1 or 2001:db8::1');
  if (values.mac !== undefined && parseMac(values.mac) === undefined)
    throw usage('mac', values.mac, '02:00:00:00:00:02');
  const hang = Number(values['hang-timeout']);
  if (!(hang >= 100)) throw usage('hang-timeout', values['hang-timeout'], '500 (milliseconds, at least 100)');
  if (values.mode !== 'replay' && values.mode !== 'state') throw usage('mode', values.mode, 'replay (or state)');
  const ports = (option: 'state-port' | 'independent-port', like: string): number[] =>
    (values[option] ?? []).map((port) => {
      if (!/^\d{1,5}$/.test(port) || Number(port) < 1 || Number(port) > 65_535) throw usage(option, port, like);
      return Number(port);
    });
  const statePorts = ports('state-port', '9000');
  const independentPorts = ports('independent-port', '8080');
  const history = Number(values.history);
  if (!(Number.isInteger(history) && history >= 0 && history <= 16_384))
    throw usage('history', values.history, '256 (KiB, 0 to 16384)');
  const commit = values.commit ?? (values.cluster === undefined ? 'written' : 'acked');
  if (commit !== 'written' && commit !== 'acked') throw usage('commit', commit, 'written (or acked)');
  const megabytes = Number(values['log-size']);
  if (!(isPowerOfTwo(megabytes) && megabytes >= 16 && megabytes <= 4096))
    throw usage('log-size', values['log-size'], '64 (MiB, a power of two from 16 to 4096)');
  const { cluster, node, member } = values;
  if (cluster !== undefined && values.commit === 'written')
    throw new FtError(
      'ERR_FT_USAGE',
      '--commit written does not survive a machine',
      'With --cluster output waits for the other machines: leave --commit away',
    );
  if (cluster !== undefined && values.solo === true)
    throw new FtError('ERR_FT_USAGE', '--solo and --cluster exclude each other', 'Give one of them');
  if (node !== undefined && cluster === undefined)
    throw new FtError('ERR_FT_USAGE', '--node is for --cluster', 'Give --cluster FILE');
  if (member !== undefined && member !== 'primary' && member !== 'backup') throw usage('member', member, 'primary');
  if (member !== undefined && !/^\d+$/.test(values.agent ?? '')) throw usage('agent', values.agent ?? '', '4711');
  const resumeWithin = Number(values['resume-within']);
  if (!(resumeWithin >= 0)) throw usage('resume-within', values['resume-within'], '60 (seconds; 0: never)');
  return {
    group: values.group,
    directory: values.dir ?? defaultDirectory(process.env, process.getuid?.() ?? 0),
    logBytes: megabytes * 1024 * 1024,
    program,
    programArgs: argv.slice(split + 1),
    resumeWithin,
    cluster,
    node,
    member,
    options: {
      tap: values.tap,
      addresses,
      ...(values.gateway === undefined ? {} : { gateway: values.gateway }),
      ...(values.mac === undefined ? {} : { mac: values.mac }),
      ...(values.pcap === undefined ? {} : { pcap: values.pcap }),
      offload: values['no-offload'] !== true,
      commit,
      mode: values.mode,
      ...(statePorts.length === 0 ? {} : { statePorts }),
      independentPorts: values.independent === true ? 'all' : independentPorts,
      historyLimit: history * 1024,
      hangTimeoutMs: hang,
      busyPollUs: busyPollArgument(values['busy-poll']),
      sendThread: values['no-send-thread'] !== true && severalCpus(),
      solo: values.solo === true,
      ...(member === undefined ? {} : { agentPid: Number(values.agent) }),
    },
  };
}

const FLAGS = new Set(['--no-offload', '--no-send-thread', '--solo', '--independent']);

function programIndex(argv: string[]): number {
  let i = 0;
  while (i < argv.length) {
    const word = argv[i]!;
    if (word === '--') return i + 1;
    if (!word.startsWith('-')) return i;
    i += FLAGS.has(word) || word.includes('=') ? 1 : 2;
  }
  return i;
}

function parse(args: string[]) {
  return parseArgs({
    args: args.filter((word) => word !== '--'),
    options: {
      group: { type: 'string', default: 'default' },
      dir: { type: 'string' },
      tap: { type: 'string', default: 'ft0' },
      ip: { type: 'string', multiple: true },
      gateway: { type: 'string', multiple: true },
      mac: { type: 'string' },
      pcap: { type: 'string' },
      'no-offload': { type: 'boolean' },
      'hang-timeout': { type: 'string', default: '500' },
      'busy-poll': { type: 'string' },
      'no-send-thread': { type: 'boolean' },
      'log-size': { type: 'string', default: '64' },
      commit: { type: 'string' },
      cluster: { type: 'string' },
      node: { type: 'string' },
      member: { type: 'string' },
      agent: { type: 'string' },
      mode: { type: 'string', default: 'replay' },
      'state-port': { type: 'string', multiple: true },
      independent: { type: 'boolean' },
      'independent-port': { type: 'string', multiple: true },
      history: { type: 'string', default: '256' },
      'resume-within': { type: 'string', default: '60' },
      solo: { type: 'boolean' },
    },
  });
}
