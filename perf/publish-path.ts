/**
 * Published ports against the TAP device itself: the throughput of one download, in turns. Two
 * clients are on the host: one asks the stack's address, one the host's. A third one is far, over a
 * veth, whose way costs something, too.
 *
 *   node dist/perf/publish-path.js [--rounds 5] [--seconds 2]
 */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { enterLab, labDirectory, runInLab } from '../failover/lab/namespace.js';
import { ip, makeVeth, STACK_ADDRESS, VETH_CLIENT } from '../failover/lab/network.js';
import { ReplicaProcess } from '../failover/lab/replica-process.js';
import { requireTools } from '../failover/lab/required-tools.js';

const PROGRAM = fileURLToPath(new URL('benchmark-program.js', import.meta.url));
/** The program's source. */
const PORT = 9101;
const SELF = fileURLToPath(import.meta.url);

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '5' }, seconds: { type: 'string', default: '2' } },
});

/** Bytes that arrive within the time, as Gbit/s. */
function download(host: string, netnsOf?: number): number {
  const curl = ['curl', '--http0.9', '-s', '-m', values.seconds, '-o', '/dev/null'];
  const words = [...curl, '-w', '%{size_download} %{time_total}', `http://${host}:${PORT}/`];
  const all = netnsOf === undefined ? words : ['nsenter', '-t', String(netnsOf), '-n', ...words];
  const { stdout, status } = spawnSync(all[0] ?? '', all.slice(1), { encoding: 'utf8' });
  const [bytes = 0, seconds = 0] = stdout.split(' ').map(Number);
  if (bytes === 0) throw new Error(`nothing arrives from ${host}: curl ends with ${status}`);
  return (bytes * 8) / seconds / 1e9;
}

function median(list: readonly number[]): number {
  return [...list].sort((a, b) => a - b)[list.length >> 1] ?? Number.NaN;
}

async function measure(): Promise<void> {
  const directory = enterLab();
  ip('link set lo up');
  const clients = await makeVeth();
  // A machine that does other things, too, must not cause a takeover.
  const args = ['--group', 'perf', '--dir', directory, '--hang-timeout', '5000', '--publish', String(PORT), PROGRAM];
  const primary = new ReplicaProcess(args);
  await primary.event('ready');
  const backup = new ReplicaProcess(args);
  await primary.event('protected');
  const ways = {
    direct: () => download(STACK_ADDRESS),
    published: () => download(VETH_CLIENT),
    far: () => download(VETH_CLIENT, clients.pid),
  };
  const found: Record<keyof typeof ways, number[]> = { direct: [], published: [], far: [] };
  for (let round = 0; round <= Number(values.rounds); round++)
    for (const [way, run] of Object.entries(ways) as [keyof typeof ways, () => number][]) {
      const gbits = run();
      // The first round warms up.
      if (round > 0) found[way].push(gbits);
    }
  await Promise.all([primary.close(), backup.close()]);
  clients.kill('SIGKILL');
  for (const [way, list] of Object.entries(found)) {
    const [low, high] = [Math.min(...list), Math.max(...list)].map((one) => one.toFixed(2));
    process.stdout.write(`${way.padEnd(16)}${median(list).toFixed(2)} Gbit/s (${low} to ${high})\n`);
  }
  // Each round's own ratio: what else the machine does then counts for both.
  const ratio = (way: readonly number[], base: readonly number[]): string =>
    median(way.map((gbits, i) => gbits / (base[i] ?? Number.NaN))).toFixed(2);
  process.stdout.write(`published / direct ${ratio(found.published, found.direct)}\n`);
  process.stdout.write(`far / direct ${ratio(found.far, found.direct)}\n`);
}

if (labDirectory() === undefined) {
  requireTools(['ip', 'nft', 'curl', 'nsenter', 'unshare', 'mount'], false);
  process.exit(await runInLab(SELF, process.argv.slice(2)));
}
await measure();
process.exit(0);
