/**
 * `npm run perf [-- --quick] [--only WORD] [--rounds N] [--json]`: the same program and the same
 * clients in turn on the kernel's TCP across a veth, on the stack alone, and with a backup in both
 * commit modes; medians of one run, as ratios.
 */
import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { enterLab, labDirectory, runInLab } from '../failover/lab/namespace.js';
import { ip, makeTap, makeVeth, TAP } from '../failover/lab/network.js';
import { requireTools } from '../failover/lab/required-tools.js';
import { readCommandLine, wholeNumber } from '../test/command-line.js';
import { chart } from './chart.js';
import { compare } from './comparison.js';
import { measureGateway } from './gateway.js';
import { measureHttpWorkloads } from './http-workloads.js';
import { measureIdleConnections, SOURCES } from './idle-connections.js';
import { type Figures, measure, type Plan } from './measure.js';
import { segmentBytes } from './micro/segment-bytes.js';
import { recovery } from './recovery.js';
import { available, MODES, type Mode, makeDevices, OTHERS, startSetup } from './server-setups.js';
import { buildClient, PORTS, runClient } from './traffic-client.js';

const PICTURE = fileURLToPath(new URL('../../docs/performance.svg', import.meta.url));

/**
 * Thousands of connections a second use up a client's ports: more of them, and again after a second
 * (RFC 6191).
 */
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

/** All setups in turn, round after round. */
async function measureSetups(
  directory: string,
  client: string,
  holder: ChildProcess,
  plan: Plan,
): Promise<Map<Mode, Figures[]>> {
  const figures = new Map<Mode, Figures[]>();
  const others = 'bulk echo churn'.includes(plan.only.slice(0, 4));
  for (let round = 1; round <= plan.rounds; round++) {
    for (const mode of [...MODES, ...(others ? OTHERS : [])]) {
      if (!available(mode, directory)) continue;
      const setup = await startSetup(mode, directory, client, holder);
      // First the programs are compiled, then they are measured.
      for (const [way, port] of [
        ['in', PORTS.source],
        ['out', PORTS.sink],
      ] as const)
        if (way === 'in' || 'bulk in'.includes(plan.only)) await runClient(client, way, setup.address, port, 1, 0.4);
      figures.set(mode, [...(figures.get(mode) ?? []), await measure(mode, setup, client, plan)]);
      await setup.close();
    }
    process.stderr.write(`round ${round} of ${plan.rounds}\n`);
  }
  return figures;
}

async function inside(plan: Plan, json: boolean, picture: boolean): Promise<void> {
  const directory = enterLab();
  makeTap(true);
  // More addresses for clients than one has ports for, and room for their neighbours.
  for (let n = 1; n <= SOURCES; n++) ip(`addr add 10.77.1.${n}/32 dev ${TAP}`);
  morePorts();
  const client = buildClient(directory);
  const holder = await makeVeth();
  // The other machine's device, for its takeover.
  ip(`tuntap add dev ${TAP} mode tap multi_queue vnet_hdr`, holder.pid);
  ip(`link set ${TAP} up`, holder.pid);
  makeDevices();
  const figures =
    plan.only === 'gateway' ? new Map<Mode, Figures[]>() : await measureSetups(directory, client, holder, plan);
  const rows = compare(figures);
  if (plan.only === 'gateway' || (plan.only === '' && !plan.quick))
    rows.push(...(await measureGateway(directory, client, holder, plan)));
  holder.kill('SIGKILL');
  for (const count of plan.connectionCounts)
    if ('memory takeover'.includes(plan.only)) rows.push(...(await measureIdleConnections(directory, client, count)));
  if ('recovery gap'.includes(plan.only)) rows.push(...(await recovery(directory, plan.quick ? 1 : 3)));
  if (['work', 'zip', 'wrk'].includes(plan.only) || (plan.only === '' && !plan.quick))
    rows.push(...(await measureHttpWorkloads(directory, plan)));
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

const USAGE = `Usage: npm run perf -- [options]

Measures the same workloads on the kernel, on the stack, and with backups, in turn.

  --quick      five minutes instead of twenty: fewer counts, shorter measurements
  --only WORD  rows whose name contains WORD: bulk, echo, churn, ping, pages, memory, takeover, gap, segments, gateway
               (gateway and http workloads are left out with --quick, unless they are named)
  --rounds N   rounds, of which the medians are taken (default: 5, with --quick 3)
  --json       the last line is one JSON object
  --picture    writes docs/performance.svg
`;

const values = readCommandLine(USAGE, {
  quick: { type: 'boolean', default: false },
  only: { type: 'string', default: '' },
  rounds: { type: 'string' },
  json: { type: 'boolean', default: false },
  picture: { type: 'boolean', default: false },
});
const rounds = wholeNumber('--rounds', values.rounds ?? (values.quick ? '3' : '5'), 1, 100);
if (labDirectory() === undefined) {
  requireTools(['ip', 'unshare', 'mount', 'ab'], true);
  process.exit(await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2)));
}
const plan = values.quick
  ? { quick: true, rounds, seconds: 0.8, requests: 8000, connectionCounts: [10_000], only: values.only }
  : {
      quick: false,
      rounds,
      seconds: 3,
      requests: 30_000,
      connectionCounts: [1, 100, 1000, 10_000, 100_000],
      only: values.only,
    };
await inside(plan, values.json, values.picture);
process.exit(0);
