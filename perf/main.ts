/**
 * `npm run perf [-- --quick] [--only WORD] [--rounds N] [--json]`: the same program and the same clients in turn on the kernel's
 * TCP across a veth, on the stack alone, and with a backup in both commit modes; medians of one run, as ratios.
 */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { median } from '../failover/demo/arrivals.js';
import { enterLab, labDirectory, runInLab } from '../failover/lab/namespace.js';
import { ip, makeTap, makeVeth, TAP } from '../failover/lab/network.js';
import { requireTools } from '../failover/lab/required-tools.js';
import { chart } from './chart.js';
import { type Row, row } from './goals.js';
import { held, SOURCES } from './idle-connections.js';
import { type Figures, measure, type Plan } from './measure.js';
import { segmentBytes } from './micro/segment-bytes.js';
import { buildPeer, PORTS, peer } from './peer.js';
import { recovery } from './recovery.js';
import { available, MODES, type Mode, makeDevices, OTHERS, serve } from './serve.js';
import { works } from './work.js';

const PICTURE = fileURLToPath(new URL('../../docs/performance.svg', import.meta.url));

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
      plain: 'stack alone, no offload',
      lwip: 'lwIP on a TAP',
      gvisor: 'gVisor on a TAP, MTU 65000',
      node: "Node's net on the kernel, veth",
      relay: "Node's net on the kernel behind a TAP",
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
  for (const mode of ['alone', 'written', 'acked', 'machines'] as const)
    for (const part of ['p50', 'p99', 'p99.9'])
      add(`ping ${part}, ${mode}`, mode, 'kernel', `ping ${part}`, 'one byte there and back', 'us', '');
  for (const [mode, where] of [
    ['node', ''],
    ['relay', ' behind a TAP'],
  ] as const)
    for (const [key, what, unit] of [
      ['bulk out, 1', 'one stream out', 'Gbit/s'],
      ['bulk in, 1', 'one stream in', 'Gbit/s'],
      ['bulk in, listened to', 'one stream in that the program gets piece by piece', 'Gbit/s'],
      ['echo p50', '64 bytes there and back', 'us'],
      ['churn', 'connect, one byte each way, close; 50 at once', 'connections/s'],
    ] as const)
      add(
        `${key}, against Node${where}`,
        'alone',
        mode,
        key,
        `${what}; the same program on Node's own sockets${where}`,
        unit,
        '',
        unit === 'Gbit/s' ? gbit : undefined,
      );
  for (const [mode, goal] of [
    ['lwip', '>= 5'],
    ['gvisor', '>= 5'],
  ] as const)
    for (const way of ['out', 'in'])
      add(
        `bulk ${way}, 1, against ${mode === 'lwip' ? 'lwIP' : 'gVisor'}`,
        'alone',
        mode,
        `bulk ${way}, 1`,
        `one stream ${way}, each at its best on a TAP`,
        'Gbit/s',
        goal,
        gbit,
      );
  for (const way of ['out', 'in'])
    add(
      `offload off: bulk ${way}, 1`,
      'plain',
      'lwip',
      `bulk ${way}, 1`,
      `one stream ${way}, frames of 1514 bytes, ours without offload`,
      'Gbit/s',
      '>= 0.9',
      gbit,
    );
  return rows;
}

/** Thousands of connections a second use up a client's ports: more of them, and again after a second (RFC 6191). */
function morePorts(): void {
  const settings = { ip_local_port_range: '10000 65535', tcp_tw_reuse: '1' };
  for (const [name, value] of Object.entries(settings)) {
    try {
      writeFileSync(`/proc/sys/net/ipv4/${name}`, value);
    } catch {
      process.stderr.write(`${name} cannot be set here: connections per second may be short of ports\n`);
    }
  }
}

async function inside(plan: Plan, json: boolean, picture: boolean): Promise<void> {
  const directory = enterLab();
  makeTap(true);
  // More addresses for clients than one has ports for, and room for their neighbours.
  for (let n = 1; n <= SOURCES; n++) ip(`addr add 10.77.1.${n}/32 dev ${TAP}`);
  morePorts();
  const client = buildPeer(directory);
  const holder = await makeVeth();
  // The other machine's device, for the day that it takes over.
  ip(`tuntap add dev ${TAP} mode tap multi_queue vnet_hdr`, holder.pid);
  ip(`link set ${TAP} up`, holder.pid);
  makeDevices();
  const figures = new Map<Mode, Figures[]>();
  for (let round = 1; round <= plan.rounds; round++) {
    for (const mode of [...MODES, ...OTHERS]) {
      if (
        !available(mode, directory) ||
        (OTHERS.includes(mode as never) && !'bulk echo churn'.includes(plan.only.slice(0, 4)))
      )
        continue;
      const served = await serve(mode, directory, client, holder);
      // Compiled code first, figures then.
      for (const [way, port] of [
        ['in', PORTS.source],
        ['out', PORTS.sink],
      ] as const)
        if (way === 'in' || 'bulk in'.includes(plan.only)) await peer(client, way, served.address, port, 1, 0.4);
      figures.set(mode, [...(figures.get(mode) ?? []), await measure(mode, served, client, plan)]);
      await served.close();
    }
    process.stderr.write(`round ${round} of ${plan.rounds}\n`);
  }
  holder.kill('SIGKILL');
  const rows = compare(figures);
  for (const count of plan.held)
    if ('memory takeover'.includes(plan.only)) rows.push(...(await held(directory, client, count)));
  if ('recovery gap'.includes(plan.only)) rows.push(...(await recovery(directory, plan.quick ? 1 : 3)));
  if (['work', 'zip', 'wrk'].includes(plan.only) || (plan.only === '' && !plan.quick))
    rows.push(...(await works(directory, plan)));
  if ('segments'.includes(plan.only)) rows.push(...segmentBytes());
  const print = (text: string): void => void (json ? process.stderr : process.stdout).write(`${text}\n`);
  print(`Node ${process.version}, Linux ${release()}, ${cpus().length} CPUs, ${plan.rounds} rounds, medians\n`);
  print('| | ours | other | | ratio | goal | |\n|---|---|---|---|---|---|---|');
  const shown = (value: number): string => (value >= 1000 ? String(Math.round(value)) : String(value));
  for (const one of rows)
    print(
      `| ${one.name} (${one.unit}) | ${shown(one.ours)} | ${shown(one.other)} | ${one.against} | ${one.ratio.toFixed(2)} | ${one.goal} | ${one.met === null ? '' : one.met ? 'met' : 'missed'} |`,
    );
  if (picture) writeFileSync(PICTURE, chart(rows.filter(({ met }) => met !== null)));
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
const rounds = Number(values.rounds ?? (values.quick ? 3 : 5));
if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100)) {
  process.stderr.write('perf: --rounds N, 1 to 100\n');
  process.exit(2);
}
if (labDirectory() === undefined) {
  requireTools(['ip', 'unshare', 'mount', 'ab'], true);
  process.exit(await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2)));
}
const plan = values.quick
  ? { quick: true, rounds, seconds: 0.8, requests: 8000, held: [10_000], only: values.only }
  : { quick: false, rounds, seconds: 3, requests: 30_000, held: [1, 100, 1000, 10_000, 100_000], only: values.only };
await inside(plan, values.json, values.picture);
process.exit(0);
