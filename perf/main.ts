/**
 * `npm run perf [-- --quick] [--only WORD] [--rounds N] [--json]`: the same program and the same clients in turn on the kernel's
 * TCP across a veth, on the stack alone, and with a backup in both commit modes; medians of one run, as ratios.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { requireTools } from '../failover/cli/tools.js';
import { median } from '../failover/demo/arrivals.js';
import { monotonicMs } from '../failover/demo/clients.js';
import { APP } from '../failover/demo/run-once.js';
import { enterLab, labDirectory, runInLab } from '../failover/lab/namespace.js';
import {
  CLIENT_ADDRESS,
  ip,
  makeTap,
  makeVeth,
  STACK_ADDRESS,
  TAP,
  VETH_CLIENT,
  VETH_SERVER,
} from '../failover/lab/network.js';
import { type Breakdown, ReplicaProcess } from '../failover/lab/replica-process.js';
import { chart } from './chart.js';
import { type Row, row } from './goals.js';
import { segmentBytes } from './micro/segment-bytes.js';
import { buildPeer, IdleConnections, PORTS, peer, peerServer } from './peer.js';

const SERVER = fileURLToPath(new URL('./server.js', import.meta.url));
const PICTURE = fileURLToPath(new URL('../../docs/performance.svg', import.meta.url));
const MODES = ['kernel', 'alone', 'written', 'acked', 'machines'] as const;
type Mode = (typeof MODES)[number];
/** Sources that the client's connections come from, when one has not ports enough. */
const SOURCES = 8;

interface Plan {
  rounds: number;
  seconds: number;
  requests: number;
  /** Connections that are held for memory and takeover. */
  held: number[];
  only: string;
}

interface Served {
  address: string;
  /** Process that serves streams. */
  pid: number;
  replicas: ReplicaProcess[];
  /** Another replica of the group. */
  start: () => ReplicaProcess;
  close: () => Promise<void>;
}

let group = 0;

async function replicas(directory: string, options: string[], backup: boolean): Promise<Served> {
  const words = ['--group', `perf${group++}`, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
  const all: ReplicaProcess[] = [];
  const start = (): ReplicaProcess => {
    const replica = new ReplicaProcess([...words, '--gateway', CLIENT_ADDRESS, ...options, SERVER]);
    all.push(replica);
    return replica;
  };
  start();
  await all[0]!.event('ready');
  if (backup) {
    await start().event('ready', 20_000);
  }
  return {
    address: STACK_ADDRESS,
    pid: all[0]!.pid,
    replicas: all,
    start,
    close: async () => void (await Promise.all(all.map((replica) => replica.close()))),
  };
}

/** Two agents: one in this namespace, one across the veth; the log goes over TLS 1.3. */
async function machines(directory: string, holder: ChildProcess): Promise<Served> {
  const place = `${directory}/machines${group++}`;
  mkdirSync(place);
  writeFileSync(`${place}/key`, 'ab'.repeat(32));
  const nodes = [
    { name: 'a', host: VETH_CLIENT },
    { name: 'b', host: VETH_SERVER },
  ];
  const coordinator = { type: 'static', fence: '/bin/true' };
  writeFileSync(`${place}/cluster.json`, JSON.stringify({ nodes, tls: { psk: 'key' }, coordinator, freshMs: 1000 }));
  const both = nodes.map(({ name }) => {
    const words = ['--cluster', `${place}/cluster.json`, '--node', name, '--dir', `${place}/${name}`];
    const net = ['--tap', TAP, '--ip', `${STACK_ADDRESS}/24`, '--gateway', CLIENT_ADDRESS];
    return new ReplicaProcess([...words, ...net, SERVER], name === 'a' ? undefined : holder.pid);
  });
  await both[0]!.event('in-sync', 30_000);
  return {
    address: STACK_ADDRESS,
    // The replica itself, not its agent.
    pid: Number((await both[0]!.event('ready')).pid),
    replicas: both,
    start: () => {
      throw new Error('agents start their replicas');
    },
    close: async () => void (await Promise.all(both.map((agent) => agent.close()))),
  };
}

async function serve(mode: Mode, directory: string, client: string, holder: ChildProcess): Promise<Served> {
  if (mode === 'machines') return machines(directory, holder);
  if (mode !== 'kernel')
    return replicas(directory, mode === 'alone' ? ['--solo'] : ['--commit', mode], mode !== 'alone');
  const streams = await peerServer(client, holder.pid!);
  const pages = spawn('nsenter', ['-t', String(holder.pid), '-n', process.execPath, APP], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await new Promise((done) => setTimeout(done, 500));
  return {
    address: VETH_SERVER,
    pid: streams.pid!,
    replicas: [],
    start: () => {
      throw new Error('the kernel has no replicas');
    },
    close: async () => {
      for (const child of [streams, pages]) {
        const ended = new Promise((done) => child.once('exit', done));
        child.kill('SIGKILL');
        await ended;
      }
    },
  };
}

function output(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  return new Promise((done) => child.once('close', () => done(text)));
}

/** Seconds of CPU that a process has used. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory in bytes. */
function resident(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

type Figures = Record<string, number>;

/** Everything that is measured of one way of serving. */
async function measure(served: Served, client: string, plan: Plan): Promise<Figures> {
  const { address, pid } = served;
  const { seconds, requests } = plan;
  const figures: Figures = {};
  const wanted = (name: string): boolean => name.includes(plan.only);
  for (const [way, port] of [
    ['out', PORTS.source],
    ['in', PORTS.sink],
  ] as const) {
    for (const streams of [1, 10, 100]) {
      const name = `bulk ${way}, ${streams}`;
      if (!wanted(name)) continue;
      const before = cpuSeconds(pid);
      // The client reads what the server sends out.
      const [rate] = await peer(client, way === 'out' ? 'in' : 'out', address, port, streams, seconds);
      figures[name] = rate!;
      if (streams === 1) figures[`cpu ${way}`] = (cpuSeconds(pid) - before) / ((rate! * seconds * 1.2) / 1e9);
    }
  }
  if (wanted('echo')) {
    const [p50, p99, p999] = await peer(client, 'ping', address, PORTS.echo, 64, seconds);
    Object.assign(figures, { 'echo p50': p50!, 'echo p99': p99!, 'echo p99.9': p999! });
  }
  if (wanted('churn')) [figures['churn']] = (await peer(client, 'churn', address, PORTS.echo, 50, seconds)) as [number];
  for (const [name, keep] of [
    ['pages', []],
    ['pages, keep-alive', ['-k']],
  ] as const) {
    if (!wanted(name)) continue;
    const words = ['-q', '-n', String(requests * (keep.length + 1)), '-c', '100', ...keep];
    const text = await output('ab', [...words, `http://${address}/page`]);
    figures[name] = Number(/Requests per second:\s+([\d.]+)/.exec(text)?.[1]);
  }
  return figures;
}

/** Frames that the kernel has got from the stack. */
function framesFromStack(): number {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((text) => text.trim().startsWith(`${TAP}:`));
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[1]);
}

/** Idle connections with a backup: memory, and a takeover. */
async function held(directory: string, client: string, count: number): Promise<Row[]> {
  const served = await replicas(directory, ['--log-size', '256'], true);
  const [primary, backup] = served.replicas as [ReplicaProcess, ReplicaProcess];
  await peer(client, 'ping', STACK_ADDRESS, PORTS.echo, 64, 0.3);
  const before = [resident(primary.pid), resident(backup.pid)];
  const idle = await IdleConnections.open(client, STACK_ADDRESS, PORTS.echo, count, SOURCES);
  await new Promise((done) => setTimeout(done, 1500));
  const [ours, theirs] = [primary, backup].map(({ pid }, n) => (resident(pid) - before[n]!) / count) as [
    number,
    number,
  ];
  const name = count.toLocaleString('en');
  const rows = [
    row(
      `memory, ${name} idle, primary`,
      'resident memory per connection, Node sockets included',
      'bytes',
      ours,
      'goal',
      4096,
      '<= 4096',
      'ours',
    ),
    row(
      `memory, ${name} idle, backup`,
      'resident memory per connection, Node sockets included',
      'bytes',
      theirs,
      'goal',
      4096,
      '<= 4096',
      'ours',
    ),
  ];
  const frames = framesFromStack();
  const killed = monotonicMs();
  primary.kill('SIGKILL');
  let kickedMs = Number.NaN;
  while (monotonicMs() - killed < 10_000) {
    await new Promise((done) => setTimeout(done, 1));
    if (framesFromStack() - frames < count) continue;
    kickedMs = monotonicMs() - killed;
    break;
  }
  const { breakdown } = (await backup.event('takeover')) as unknown as { breakdown: Breakdown };
  const firstMs = breakdown.firstByteAtUs / 1000 - killed;
  const echoed = await idle.ping();
  const restarted = monotonicMs();
  await served.start().event('ready', 60_000);
  const protectedMs = monotonicMs() - restarted;
  rows.push(
    row(
      `takeover, ${name}, first byte`,
      'from SIGKILL to the first frame of the new primary',
      'ms',
      firstMs,
      'goal',
      20,
      '<= 20',
      'ours',
    ),
    row(
      `takeover, ${name}, all`,
      `from SIGKILL until every connection has heard of it; all echo again: ${echoed >= 0}`,
      'ms',
      kickedMs,
      'goal',
      250,
      '<= 250',
      'ours',
    ),
  );
  rows.push(
    row(
      `protected again, ${name}`,
      'from the start of a new replica until it follows, all connections known',
      'ms',
      protectedMs,
      'goal',
      3000,
      '<= 3000',
      'ours',
    ),
  );
  idle.close();
  await served.close();
  return rows;
}

function compare(figures: Map<Mode, Figures[]>): Row[] {
  const of = (mode: Mode, name: string): number =>
    median((figures.get(mode) ?? []).map((one) => one[name] ?? Number.NaN).filter((value) => !Number.isNaN(value)));
  const rows: Row[] = [];
  const gbit = (rate: number): number => (rate * 8) / 1e9;
  const add = (
    name: string,
    mode: Mode,
    against: Mode,
    key: string,
    what: string,
    unit: string,
    goal: string,
    as = (v: number): number => v,
  ): void => {
    const [ours, other] = [as(of(mode, key)), as(of(against, key))];
    if (Number.isNaN(ours) || Number.isNaN(other)) return;
    const label = {
      kernel: 'kernel, veth',
      alone: 'stack alone',
      written: 'with a backup, written',
      acked: 'with a backup, acked',
      machines: 'with a backup on another machine',
    }[against];
    rows.push(row(name, what, unit, ours, label, other, goal, goal.includes('+') ? 'difference' : 'ratio'));
  };
  for (const way of ['out', 'in']) {
    for (const streams of [1, 10, 100])
      add(
        `bulk ${way}, ${streams}`,
        'alone',
        'kernel',
        `bulk ${way}, ${streams}`,
        `${streams} stream(s) ${way}, stack alone`,
        'Gbit/s',
        streams === 1 ? '>= 0.95' : '>= 0.9',
        gbit,
      );
    add(
      `cpu ${way}`,
      'alone',
      'kernel',
      `cpu ${way}`,
      `CPU of the serving process for one stream ${way}`,
      's/GB',
      '<= 1.0',
    );
  }
  add('pages', 'alone', 'kernel', 'pages', '10 KB page, 100 connections, a connection each', 'requests/s', '>= 1.3');
  add(
    'pages, keep-alive',
    'alone',
    'kernel',
    'pages, keep-alive',
    '10 KB page, 100 connections, keep-alive',
    'requests/s',
    '>= 1.0',
  );
  add('churn', 'alone', 'kernel', 'churn', 'connect, one byte each way, close; 50 at once', 'connections/s', '>= 1.0');
  add('echo p50', 'alone', 'kernel', 'echo p50', '64 bytes there and back', 'us', '<= 1.1');
  add('echo p99', 'alone', 'kernel', 'echo p99', '64 bytes there and back', 'us', '<= 1.5');
  for (const [mode, bulk, pages, echo] of [
    ['written', '>= 0.95', '>= 0.9', '<= +20'],
    ['acked', '>= 0.85', '>= 0.85', '<= +150'],
    ['machines', '>= 0.85', '>= 0.85', '<= +150'],
  ] as const) {
    for (const way of ['out', 'in'])
      add(
        `${mode}: bulk ${way}, 1`,
        mode,
        'alone',
        `bulk ${way}, 1`,
        `one stream ${way}, with a backup`,
        'Gbit/s',
        bulk,
        gbit,
      );
    add(`${mode}: pages`, mode, 'alone', 'pages', '10 KB page, with a backup', 'requests/s', pages);
    add(
      `${mode}: pages, keep-alive`,
      mode,
      'alone',
      'pages, keep-alive',
      '10 KB page, keep-alive, with a backup',
      'requests/s',
      pages,
    );
    add(`${mode}: echo p50`, mode, 'alone', 'echo p50', '64 bytes there and back, with a backup', 'us', echo);
  }
  return rows;
}

async function inside(plan: Plan, json: boolean, picture: boolean): Promise<void> {
  const directory = enterLab();
  makeTap(true);
  // More addresses for clients than one has ports for, and room for their neighbours.
  for (let n = 1; n <= SOURCES; n++) ip(`addr add 10.77.1.${n}/32 dev ${TAP}`);
  const client = buildPeer(directory);
  const holder = await makeVeth();
  // The other machine's device, for the day that it takes over.
  ip(`tuntap add dev ${TAP} mode tap multi_queue vnet_hdr`, holder.pid);
  ip(`link set ${TAP} up`, holder.pid);
  const figures = new Map<Mode, Figures[]>();
  for (let round = 1; round <= plan.rounds; round++) {
    for (const mode of MODES) {
      const served = await serve(mode, directory, client, holder);
      // Compiled code first, figures then.
      if (round === 1) await peer(client, 'in', served.address, PORTS.source, 1, 0.3);
      figures.set(mode, [...(figures.get(mode) ?? []), await measure(served, client, plan)]);
      await served.close();
    }
    process.stderr.write(`round ${round} of ${plan.rounds}\n`);
  }
  holder.kill('SIGKILL');
  const rows = compare(figures);
  for (const count of plan.held)
    if ('memory takeover'.includes(plan.only)) rows.push(...(await held(directory, client, count)));
  if ('segments'.includes(plan.only)) rows.push(...segmentBytes());
  const print = (text: string): void => void (json ? process.stderr : process.stdout).write(`${text}\n`);
  print(`Node ${process.version}, Linux ${release()}, ${cpus().length} CPUs, ${plan.rounds} rounds, medians\n`);
  print('| | ours | other | | ratio | goal | |\n|---|---|---|---|---|---|---|');
  const shown = (value: number): string => (value >= 1000 ? String(Math.round(value)) : String(value));
  for (const one of rows)
    print(
      `| ${one.name} (${one.unit}) | ${shown(one.ours)} | ${shown(one.other)} | ${one.against} | ${one.ratio.toFixed(2)} | ${one.goal} | ${one.met ? 'met' : 'missed'} |`,
    );
  if (picture) writeFileSync(PICTURE, chart(rows));
  if (json) process.stdout.write(`${JSON.stringify({ rows })}\n`);
}

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    only: { type: 'string', default: '' },
    rounds: { type: 'string' },
    json: { type: 'boolean', default: false },
    picture: { type: 'boolean', default: false },
  },
});
const rounds = Number(values.rounds ?? (values.quick ? 2 : 5));
if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100)) {
  process.stderr.write('perf: --rounds N, 1 to 100\n');
  process.exit(2);
}
if (labDirectory() === undefined) {
  requireTools(['ip', 'unshare', 'mount', 'ab'], true);
  process.exit(await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2)));
}
const plan = values.quick
  ? { rounds, seconds: 1, requests: 10_000, held: [10_000], only: values.only }
  : { rounds, seconds: 3, requests: 30_000, held: [10_000, 100_000], only: values.only };
await inside(plan, values.json, values.picture);
process.exit(0);
