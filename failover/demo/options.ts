/** The words of `ft-tcp demo`. */
import { constants } from 'node:os';
import { parseArgs } from 'node:util';
import { FtError } from '../../lib/errors.js';

export const SCENARIOS = ['wget', 'upload', 'ab', 'ws-echo'] as const;
export type ScenarioName = (typeof SCENARIOS)[number];

export interface DemoOptions {
  scenario: ScenarioName;
  bytes: number;
  requests: number;
  connections: number;
  keepAlive: boolean;
  signal: NodeJS.Signals;
  /** Part of the way at which the primary is killed, 0 to 1; null: never. */
  at: number | null;
  runs: number;
  pcap: string | undefined;
  json: boolean;
  baseline: boolean;
  offload: boolean;
  hangTimeoutMs: number;
  commit: string;
  setup: boolean;
  verbose: boolean;
}

export const DEMO_HELP = `Usage: ft-tcp demo [options]

Builds a lab of its own (network namespace and TAP; without root in a user namespace), runs a Node http server as primary
and backup, lets a real client talk to it, kills the primary on the way, and says what the client saw.

  --scenario S       wget (default), upload (curl), ab (ApacheBench), ws-echo
  --bytes N          size of download or upload; K, M, G are powers of 1024 (default 1G)
  --requests N       ab: requests (default 20000); ws-echo: messages (default 20000)
  --connections N    ab: at once (default 100)
  --keep-alive       ab: with keep-alive
  --signal S         KILL (default), STOP, or any other
  --at F             where on the way, 0 to 1 (default 0.5), or "never"
  --runs N           times (default 1)
  --pcap FILE        capture at the client's side (the first 128 bytes of each frame; needs tcpdump)
  --baseline         wget's throughput with a backup, without one, and from Node's own http over the kernel's TCP
  --hang-timeout MS  as for ft-tcp run (default 500)
  --commit MODE      as for ft-tcp run: written (default) or acked
  --no-offload       no checksum and segmentation offload
  --setup            install programs that are missing (as root, with apt-get)
  --verbose          show what the replicas say
  --json             the result as one JSON object on the last line

Exit code 0 when every client was served as if nothing had happened.
`;

function bad(option: string, value: string, like: string): FtError {
  return new FtError('ERR_FT_USAGE', `--${option} ${value} is not right`, `Write it like --${option} ${like}`);
}

/** Reads "64", "10K", "1.5G". @returns NaN for anything else. */
export function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?)([KMGT]?)i?B?$/i.exec(text);
  if (match === null) return Number.NaN;
  const power = ['', 'K', 'M', 'G', 'T'].indexOf(match[2]!.toUpperCase());
  return Math.round(Number(match[1]) * 1024 ** power);
}

function whole(option: string, text: string, low: number, high: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < low || value > high) throw bad(option, text, `N (${low} to ${high})`);
  return value;
}

/** Throws FtError ERR_FT_USAGE. */
export function demoOptions(argv: string[]): DemoOptions {
  let values: ReturnType<typeof parse>['values'];
  try {
    values = parse(argv).values;
  } catch (error) {
    throw new FtError('ERR_FT_USAGE', error instanceof Error ? error.message : String(error), 'See ft-tcp demo --help');
  }
  const scenario = SCENARIOS.find((name) => name === values.scenario);
  if (scenario === undefined) throw bad('scenario', values.scenario, SCENARIOS.join(' | '));
  const bytes = parseSize(values.bytes);
  if (!(bytes >= 1 && bytes <= 2 ** 40)) throw bad('bytes', values.bytes, '1G (1 to 1T)');
  const name = values.signal.toUpperCase();
  const signal = (name.startsWith('SIG') ? name : `SIG${name}`) as NodeJS.Signals;
  if (constants.signals[signal] === undefined) throw bad('signal', values.signal, 'KILL | STOP | ABRT');
  if (values.commit !== 'written' && values.commit !== 'acked') throw bad('commit', values.commit, 'written | acked');
  const at = values.at === 'never' ? null : Number(values.at);
  if (at !== null && !(values.at !== '' && at >= 0 && at <= 1)) throw bad('at', values.at, '0.5 (0 to 1, or never)');
  return {
    scenario,
    bytes,
    requests: whole('requests', values.requests, 10, 10_000_000),
    connections: whole('connections', values.connections, 1, 20_000),
    keepAlive: values['keep-alive'] === true,
    signal,
    at,
    runs: whole('runs', values.runs, 1, 100_000),
    pcap: values.pcap,
    json: values.json === true,
    baseline: values.baseline === true,
    offload: values['no-offload'] !== true,
    hangTimeoutMs: whole('hang-timeout', values['hang-timeout'], 100, 600_000),
    commit: values.commit,
    setup: values.setup === true,
    verbose: values.verbose === true,
  };
}

function parse(args: string[]) {
  return parseArgs({
    args,
    options: {
      scenario: { type: 'string', default: 'wget' },
      bytes: { type: 'string', default: '1G' },
      requests: { type: 'string', default: '20000' },
      connections: { type: 'string', default: '100' },
      'keep-alive': { type: 'boolean' },
      signal: { type: 'string', default: 'KILL' },
      at: { type: 'string', default: '0.5' },
      runs: { type: 'string', default: '1' },
      pcap: { type: 'string' },
      json: { type: 'boolean' },
      baseline: { type: 'boolean' },
      'no-offload': { type: 'boolean' },
      'hang-timeout': { type: 'string', default: '500' },
      commit: { type: 'string', default: 'written' },
      setup: { type: 'boolean' },
      verbose: { type: 'boolean' },
    },
  });
}
