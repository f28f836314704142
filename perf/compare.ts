/**
 * `npm run perf [-- --rounds N] [--json]`: the stack alone, with a backup in both commit modes, and Node on the kernel's TCP across a
 * veth: the same program, the same clients, in turn (A B C D A B C D …) in one run. Medians; ratios are what counts.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { requireTools } from '../failover/cli/tools.js';
import { median } from '../failover/demo/arrivals.js';
import { APP } from '../failover/demo/run-once.js';
import { enterLab, labDirectory, runInLab } from '../failover/lab/namespace.js';
import { makeTap, makeVeth, STACK_ADDRESS, TAP, VETH_SERVER } from '../failover/lab/network.js';
import { ReplicaProcess } from '../failover/lab/replica-process.js';

const MODES = ['kernel', 'alone', 'written', 'acked'] as const;
type Mode = (typeof MODES)[number];

interface Row {
  name: string;
  unit: string;
  /** More is better, unless `less`. */
  less: boolean;
  run(address: string): Promise<number>;
}

function output(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  return new Promise((done) => child.once('close', () => done(text)));
}

const ab =
  (field: RegExp, keepAlive: boolean, requests: number, connections: number) =>
  async (address: string): Promise<number> => {
    const words = ['-q', '-n', String(requests), '-c', String(connections), ...(keepAlive ? ['-k'] : [])];
    return Number(field.exec(await output('ab', [...words, `http://${address}/page`]))?.[1]);
  };

const RATE = /Requests per second:\s+([\d.]+)/;
const ROWS: Row[] = [
  {
    name: 'download, one stream',
    unit: 'Gbit/s',
    less: false,
    run: async (address) => {
      const words = ['-sS', '-o', '/dev/null', '-w', '%{speed_download}', `http://${address}/bytes/2000000000`];
      return (Number(await output('curl', words)) * 8) / 1e9;
    },
  },
  { name: '10 KB page, 100 connections', unit: 'requests/s', less: false, run: ab(RATE, false, 20_000, 100) },
  {
    name: '10 KB page, 100 connections, keep-alive',
    unit: 'requests/s',
    less: false,
    run: ab(RATE, true, 40_000, 100),
  },
  { name: '10 KB page, 1 connection, keep-alive', unit: 'requests/s', less: false, run: ab(RATE, true, 8000, 1) },
];

/** Starts the program in one of the ways. @returns where it is, and how to end it. */
async function serve(
  mode: Mode,
  directory: string,
  holder: ChildProcess,
  number: number,
): Promise<[string, () => Promise<void>]> {
  if (mode === 'kernel') {
    const words = ['-t', String(holder.pid), '-n', process.execPath, APP];
    const server = spawn('nsenter', words, { stdio: ['ignore', 'ignore', 'inherit'] });
    await new Promise((done) => setTimeout(done, 500));
    const ended = new Promise<void>((done) => server.once('exit', () => done()));
    return [
      VETH_SERVER,
      () => {
        server.kill('SIGKILL');
        return ended;
      },
    ];
  }
  const options = mode === 'alone' ? ['--solo'] : ['--commit', mode];
  const words = [
    '--group',
    `perf${number}`,
    '--dir',
    directory,
    '--tap',
    TAP,
    '--ip',
    `${STACK_ADDRESS}/24`,
    ...options,
    APP,
  ];
  const replicas = [new ReplicaProcess(words)];
  await replicas[0]!.event('ready');
  if (mode !== 'alone') {
    replicas.push(new ReplicaProcess(words));
    await replicas[0]!.event('protected');
    await replicas[1]!.event('ready');
  }
  return [STACK_ADDRESS, async () => void (await Promise.all(replicas.map((replica) => replica.close())))];
}

async function inside(rounds: number, json: boolean): Promise<void> {
  const directory = enterLab();
  makeTap(true);
  const holder = await makeVeth();
  const figures = new Map<string, number[]>();
  let number = 0;
  for (let round = 1; round <= rounds; round++) {
    for (const mode of MODES) {
      const [address, close] = await serve(mode, directory, holder, number++);
      // Compiled code first, figures then.
      for (const row of ROWS.slice(0, 2)) await row.run(address);
      for (const row of ROWS) {
        const key = `${row.name} ${mode}`;
        figures.set(key, [...(figures.get(key) ?? []), await row.run(address)]);
      }
      await close();
    }
    process.stderr.write(`round ${round} of ${rounds}\n`);
  }
  holder.kill('SIGKILL');
  const of = (row: Row, mode: Mode): number => median(figures.get(`${row.name} ${mode}`) ?? []);
  const rows = ROWS.map((row) => ({
    name: row.name,
    unit: row.unit,
    ...(Object.fromEntries(MODES.map((mode) => [mode, of(row, mode)])) as Record<Mode, number>),
    aloneToKernel: of(row, 'alone') / of(row, 'kernel'),
    writtenToAlone: of(row, 'written') / of(row, 'alone'),
    ackedToAlone: of(row, 'acked') / of(row, 'alone'),
  }));
  if (json) {
    process.stdout.write(
      `${JSON.stringify({ node: process.version, kernel: release(), cpus: cpus().length, rounds, rows })}\n`,
    );
    return;
  }
  const shown = (value: number): string => (value >= 1000 ? String(Math.round(value)) : value.toFixed(1));
  process.stdout.write(
    `Node ${process.version}, Linux ${release()}, ${cpus().length} CPUs, ${rounds} rounds, medians\n\n`,
  );
  process.stdout.write(
    '| | kernel, veth | stack alone | ratio | with backup, written | ratio | acked | ratio |\n|---|---|---|---|---|---|---|---|\n',
  );
  for (const row of rows) {
    const cells = [
      `${row.name} (${row.unit})`,
      shown(row.kernel),
      shown(row.alone),
      row.aloneToKernel.toFixed(2),
      shown(row.written),
      row.writtenToAlone.toFixed(2),
      shown(row.acked),
      row.ackedToAlone.toFixed(2),
    ];
    process.stdout.write(`| ${cells.join(' | ')} |\n`);
  }
}

const { values } = parseArgs({ options: { rounds: { type: 'string', default: '5' }, json: { type: 'boolean' } } });
const rounds = Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 100)) {
  process.stderr.write('perf: --rounds N, 1 to 100\n');
  process.exit(2);
}
if (labDirectory() === undefined) {
  requireTools(['ip', 'unshare', 'mount', 'curl', 'ab'], true);
  process.exit(await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2)));
}
await inside(rounds, values.json === true);
process.exit(0);
