/** The options of `ft-tcp demo`. */
import { BACKENDS, type DemoOptions, SCENARIOS } from '../demo/options.js';
import { JSON_OPTION } from './group-options.js';
import { NO_OFFLOAD_OPTION } from './network-options.js';
import { type CommandSpec, type OptionTable, parseOptions, type ValueType } from './options.js';
import { choice, FILE, integer, SIGNAL, SIZE } from './value-types.js';

const FAULT = 'Fault';
const CLIENT = 'Client';

/** A part from 0 to 1; `never` is null. */
const PART: ValueType<number | null> = {
  placeholder: 'PART',
  kind: 'number',
  range: '0 to 1, or never',
  expected: 'a number from 0 to 1, or never',
  read: (text) => {
    if (text === 'never') return null;
    const part = text.trim() === '' ? Number.NaN : Number(text);
    return part >= 0 && part <= 1 ? part : undefined;
  },
};

const OPTIONS = {
  scenario: {
    value: choice(...SCENARIOS),
    default: 'wget',
    meaning:
      'Client and load: a download, an upload (curl), ApacheBench, messages on a WebSocket, or a server behind a gateway, ' +
      'whose successor is killed, too.',
    section: CLIENT,
    since: '0.1',
  },
  backend: {
    value: choice(...BACKENDS),
    default: 'nginx',
    meaning: 'gateway: the server. nginx is asked by wget, six times in one connection; redis by redis-benchmark.',
    section: CLIENT,
    since: '0.2',
  },
  bytes: {
    value: SIZE,
    default: '1G',
    meaning: 'Size of the download or upload; K, M, G and T are powers of 1024.',
    section: CLIENT,
    since: '0.1',
  },
  requests: {
    value: integer({ min: 10, max: 10_000_000 }),
    default: '20000',
    meaning: 'ab: requests. ws-echo: messages. gateway with redis: a tenth of the commands.',
    section: CLIENT,
    since: '0.1',
  },
  connections: {
    value: integer({ min: 1, max: 20_000 }),
    default: '100',
    meaning: 'ab, and gateway with redis: concurrent connections.',
    section: CLIENT,
    since: '0.1',
  },
  'keep-alive': { meaning: 'ab: several requests per connection.', section: CLIENT, since: '0.1' },
  signal: {
    value: SIGNAL,
    default: 'KILL',
    meaning: 'The signal that the primary is sent. STOP makes it hang.',
    section: FAULT,
    since: '0.1',
  },
  at: {
    value: PART,
    default: '0.5',
    meaning: 'Part of the transfer after which the primary is sent the signal.',
    section: FAULT,
    since: '0.1',
  },
  runs: {
    value: integer({ min: 1, max: 100_000 }),
    default: '1',
    meaning: 'Number of runs.',
    section: FAULT,
    since: '0.1',
  },
  'hang-timeout': {
    value: integer({ min: 100, max: 600_000, unit: 'ms', placeholder: 'MS' }),
    default: '500',
    meaning: 'As for ft-tcp run.',
    section: FAULT,
    since: '0.1',
  },
  commit: {
    value: choice('written', 'acked'),
    default: 'written',
    meaning: 'As for ft-tcp run.',
    section: FAULT,
    since: '0.1',
  },
  'no-offload': { ...NO_OFFLOAD_OPTION, section: FAULT },
  pcap: {
    value: FILE,
    meaning: "Capture at the client's side, the first 128 bytes of each frame. Needs tcpdump.",
    section: 'Output',
    since: '0.1',
    example: '--pcap /tmp/demo.pcap',
  },
  baseline: {
    meaning: "Measure wget's throughput with a backup, without one, and from Node.js over the kernel's TCP.",
    section: 'Output',
    since: '0.1',
  },
  verbose: { meaning: "Print the replicas' events and output.", section: 'Output', since: '0.1' },
  json: { ...JSON_OPTION, meaning: 'Print the report as one JSON object on the last line.', section: 'Output' },
  setup: { meaning: 'Install missing programs (as root, with apt-get).', section: 'Output', since: '0.1' },
} as const satisfies OptionTable;

/** The table of `ft-tcp demo`. */
export const DEMO: CommandSpec<typeof OPTIONS> = {
  name: 'demo',
  summary: 'a real client, kill -9 of its server, and what the client noticed',
  usage: 'ft-tcp demo [options]',
  description: [
    'Builds its own lab: a network namespace and a TAP device, without root in a user namespace.',
    'Runs a Node.js http server as primary and backup, and a real client. Kills the primary during the transfer, and ' +
      'reports what the client noticed.',
  ],
  options: OPTIONS,
  exitCodes: {
    0: 'the client noticed nothing but a pause, in every run',
    1: 'a client failed, or the primary could not be killed in time',
    3: 'this machine lacks something; see ft-tcp doctor',
  },
  examples: ['ft-tcp demo', 'ft-tcp demo --scenario ab --keep-alive --runs 10 --json'],
};

/** Reads the command line of `ft-tcp demo`. Throws FtError ERR_FT_USAGE. */
export function demoOptions(argv: string[]): DemoOptions {
  const values = parseOptions(DEMO, argv);
  const { scenario, backend, bytes, requests, connections, signal, at, runs, pcap, json, baseline, commit } = values;
  const { setup, verbose } = values;
  return {
    ...{
      scenario,
      backend,
      bytes,
      requests,
      connections,
      signal,
      at,
      runs,
      pcap,
      json,
      baseline,
      commit,
      setup,
      verbose,
    },
    keepAlive: values['keep-alive'],
    offload: !values['no-offload'],
    hangTimeoutMs: values['hang-timeout'],
  };
}
