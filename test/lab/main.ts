/**
 * `npm run lab [-- --kills N] [--only NAME] [--fault KIND] [--commit acked] [--ballast MB] [--seed
 * S] [--json]`: real replicas on a real TAP, the kernel's TCP as client, and deaths of all kinds at
 * random moments. Each death is followed by a new replica, which joins while connections live; see
 * docs/internals/simulation.md.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { sendCommand } from '../../failover/admin/commands.js';
import { askStatus } from '../../failover/admin/status.js';
import { percentile } from '../../failover/demo/arrivals.js';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { makeTap, STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { type Breakdown, ReplicaProcess } from '../../failover/lab/replica-process.js';
import { requireTools } from '../../failover/lab/required-tools.js';
import type { CommitMode } from '../../failover/primary/output-gate.js';
import { native } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';
import { oneOf, readCommandLine, wholeNumber } from '../command-line.js';
import { LAB_SCENARIOS, type LabScenario } from './clients.js';
import { gapChart } from './gap-chart.js';
import { WireCheck } from './wire-check.js';

const APP = fileURLToPath(new URL('./app.js', import.meta.url));
const HOOK = new URL('./fault-hook.js', import.meta.url).href;
const PICTURE = fileURLToPath(new URL('../../../docs/internals/lab.svg', import.meta.url));
/** How the primary comes to its end. */
const KILLS = ['kill', 'stop', 'abort', 'throw', 'exit', 'busy', 'oom', 'switchover', 'full'] as const;
type Kill = (typeof KILLS)[number];
/**
 * What the file system has that the groups' files are on; one of the ways to die is when it is
 * full.
 */
const GROUP_BYTES = 1 << 30;
/** Kills after which a group is begun anew: its log is full. */
const KILLS_PER_GROUP = 10;
const HANG_MS = 500;
/** A scenario that does not end by then has failed. */
const PATIENCE_MS = 30_000;
/** What /proc counts in. */
const PAGE_BYTES = 4096;
/** Time that clients go on after a takeover. */
const AFTER_MS = 250;

export interface LabResult {
  scenario: string;
  kill: Kill;
  gapMs: number;
  /** From the fault to the first frame of the new primary. */
  firstFrameMs: number;
  /** Segments that the new primary had to send again before the client was done. */
  resent: number;
  /** Frames of which the wire's invariants were checked. */
  frames: number;
  problem: string;
}

class LabGroup {
  #replicas: ReplicaProcess[] = [];
  kills = 0;

  constructor(
    readonly directory: string,
    readonly name: string,
    readonly commit: CommitMode,
    /** Megabytes that a primary has before it dies, at least. */
    readonly ballast: number,
  ) {}

  get primary(): ReplicaProcess {
    return this.#replicas[0];
  }

  /** A replica; the first one that runs is the primary. */
  start(): ReplicaProcess {
    const words = ['--group', this.name, '--dir', this.directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
    const replica = new ReplicaProcess([
      ...words,
      ...['--commit', this.commit, '--hang-timeout', String(HANG_MS)],
      ...[APP, '8080'],
    ]);
    this.#replicas.push(replica);
    return replica;
  }

  /** Makes sure that a backup follows. */
  async protect(): Promise<ReplicaProcess> {
    if (this.#replicas.length === 0) await this.start().event('ready', 20_000);
    if (this.#replicas.length === 1) await this.start().event('ready', 20_000);
    return this.#replicas[1];
  }

  /** The primary has ended: its backup is the primary now. */
  succeed(): void {
    this.#replicas.shift();
    this.kills++;
  }

  async close(): Promise<void> {
    await Promise.all(this.#replicas.map((replica) => replica.close()));
    // The next group would resume its log, and it takes room.
    rmSync(join(this.directory, this.name), { recursive: true, force: true });
  }
}

const filler = (directory: string): string => join(directory, 'filler');

/**
 * Writes until the file system is full to the last byte; in another process, as the clients live in
 * this one.
 */
async function fill(path: string): Promise<void> {
  const child = spawn('sh', ['-c', 'cat /dev/zero > "$1"', 'fill', path], { stdio: 'ignore' });
  await new Promise((done) => child.once('close', done));
}

async function strike(replica: ReplicaProcess, kill: Kill, directory: string, group: string): Promise<void> {
  if (kill === 'switchover') {
    // As `ft-tcp switchover` does; what it says is seen in what follows.
    sendCommand(join(directory, group, `${replica.pid}.control`), kill, 10_000).catch(() => undefined);
  } else if (kill === 'kill') replica.kill('SIGKILL');
  else if (kill === 'stop') replica.kill('SIGSTOP');
  else if (kill === 'full') {
    await fill(filler(directory));
    replica.kill('SIGKILL');
  } else {
    writeFileSync(process.env['FT_TCP_LAB_FAULT']!, kill);
    replica.kill('SIGUSR2');
  }
}

/** Makes a process so large. Rejects when it does not grow. */
async function load(replica: ReplicaProcess, megabytes: number): Promise<void> {
  if (megabytes === 0) return;
  writeFileSync(process.env['FT_TCP_LAB_FAULT']!, `ballast ${megabytes}`);
  replica.kill('SIGUSR2');
  for (let waitedMs = 0; waitedMs < PATIENCE_MS; waitedMs += 20) {
    const [, pages] = readFileSync(`/proc/${replica.pid}/statm`, 'utf8').split(' ');
    if (Number(pages) * PAGE_BYTES >= megabytes * 2 ** 20) return;
    await pause(20);
  }
  throw new Error(`process ${replica.pid} did not grow to ${megabytes} MiB`);
}

async function once(group: LabGroup, scenario: LabScenario, kill: Kill, random: SeededRandom): Promise<LabResult> {
  const result: LabResult = {
    scenario: scenario.name,
    kill,
    gapMs: Number.NaN,
    firstFrameMs: Number.NaN,
    resent: Number.NaN,
    frames: 0,
    problem: '',
  };
  const backup = await group.protect();
  const { primary } = group;
  await load(primary, group.ballast);
  // Streams of hundreds of megabytes are compared by the clients alone.
  const check = scenario.bulk === true ? null : await WireCheck.start(join(dirname(group.directory), 'wire.pcap'));
  const running = scenario.start();
  const outcome = running.done.then(
    () => '',
    (error: Error) => error.message,
  );
  try {
    await pause(20 + random.float() * 200);
    await strike(primary, kill, group.directory, group.name);
    const struckUs = native().monotonicUs();
    const { breakdown } = await backup.event('takeover', 15_000);
    result.firstFrameMs = ((breakdown as Breakdown).firstByteAtUs - struckUs) / 1000;
    await pause(AFTER_MS);
    running.stop();
    const late = pause(PATIENCE_MS).then(() => 'the client does not come to an end');
    result.problem = await Promise.race([outcome, late]);
    result.gapMs = running.pulse.longestMs;
    const status = await askStatus(join(group.directory, group.name, `${backup.pid}.sock`));
    result.resent = status?.counters['tcp']?.['retransSegs'] ?? Number.NaN;
  } catch (error) {
    result.problem = error instanceof Error ? error.message : String(error);
  }
  if (check !== null) {
    const { frames, violations, whole } = await check.stop();
    result.frames = frames;
    if (result.problem === '' && violations.length > 0) result.problem = `on the wire: ${violations.join('; ')}`;
    if (result.problem === '' && frames === 0 && whole) result.problem = 'nothing was captured';
  }
  await primary.close();
  rmSync(filler(group.directory), { force: true });
  group.succeed();
  return result;
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms).unref());
}

function shown(ms: number): string {
  return ms.toFixed(ms < 20 ? 1 : 0);
}

/** Rows of the table: gaps by some property of the results. */
export function table(results: LabResult[], by: 'kill' | 'scenario'): string[] {
  const out = [
    `| ${by} | runs | failed | p50 | p99 | max | first frame p50 | p99 | segments sent again (median) |`,
    '| --- | --- | --- | --- | --- | --- | --- | --- | --- |',
  ];
  for (const name of new Set(results.map((result) => result[by]))) {
    const mine = results.filter((result) => result[by] === name);
    const gaps = mine.filter(({ problem }) => problem === '').map(({ gapMs }) => gapMs);
    const resent = mine.filter(({ problem }) => problem === '').map((result) => result.resent);
    const first = mine.filter(({ problem }) => problem === '').map(({ firstFrameMs }) => firstFrameMs);
    const figures = [
      ...[0.5, 0.99, 1].map((part) => percentile(gaps, part)),
      ...[0.5, 0.99].map((part) => percentile(first, part)),
    ].map((ms) => `${shown(ms)} ms`);
    out.push(
      `| ${name} | ${mine.length} | ${mine.length - gaps.length} | ${figures.join(' | ')} | ${percentile(resent, 0.5)} |`,
    );
  }
  return out;
}

interface Options {
  kills: number;
  scenarios: LabScenario[];
  faults: readonly Kill[];
  commit: CommitMode;
  ballast: number;
  seed: string;
  json: boolean;
  picture: boolean;
}

const SCENARIO_NAMES = LAB_SCENARIOS.map(({ name }) => name);

const USAGE = `Usage: npm run lab -- [options]

Ends primaries at random moments, in a network namespace, with the kernel's TCP as client.

  --kills N      how many (default: 63, every scenario with every fault)
  --only NAME    one scenario: ${SCENARIO_NAMES.join(', ')}
  --fault KIND   one way to end: ${KILLS.join(', ')}
  --commit MODE  written or acked (default: written)
  --ballast MB   how large a primary is before it ends, at least (default: 0)
  --seed S       another seed (default: 1)
  --json         the last line is one JSON object
  --picture      writes docs/internals/lab.svg
`;

function options(): Options {
  const values = readCommandLine(USAGE, {
    kills: { type: 'string', default: '63' },
    only: { type: 'string' },
    fault: { type: 'string' },
    commit: { type: 'string', default: 'written' },
    ballast: { type: 'string', default: '0' },
    seed: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    picture: { type: 'boolean', default: false },
  });
  const only = values.only === undefined ? undefined : oneOf('--only', values.only, SCENARIO_NAMES);
  return {
    kills: wholeNumber('--kills', values.kills, 1, 1e6),
    scenarios: LAB_SCENARIOS.filter(({ name }) => only === undefined || name === only),
    faults: values.fault === undefined ? KILLS : [oneOf('--fault', values.fault, KILLS)],
    commit: oneOf('--commit', values.commit, ['written', 'acked']),
    ballast: wholeNumber('--ballast', values.ballast, 0, 1e5),
    seed: values.seed,
    json: values.json,
    picture: values.picture,
  };
}

async function inside(chosen: Options): Promise<boolean> {
  const directory = enterLab();
  makeTap(true);
  process.env['FT_TCP_LAB_FAULT'] = `${directory}/fault`;
  process.env['NODE_OPTIONS'] = `--import ${HOOK} --max-old-space-size=256`;
  const print = (text: string): void => void (chosen.json ? process.stderr : process.stdout).write(`${text}\n`);
  const random = new SeededRandom(`lab ${chosen.seed}`);
  const results: LabResult[] = [];
  const began = performance.now();
  const groups = join(directory, 'groups');
  mkdirSync(groups);
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `mode=0700,size=${GROUP_BYTES}`, 'tmpfs', groups]);
  if (mounted.status !== 0) throw new Error(`mount: ${mounted.stderr}`);
  let group = new LabGroup(groups, 'lab0', chosen.commit, chosen.ballast);
  for (let n = 0; n < chosen.kills; n++) {
    const scenario = chosen.scenarios[n % chosen.scenarios.length];
    // Every scenario meets every fault.
    const round = Math.floor(n / chosen.scenarios.length);
    const kill = chosen.faults[(round + (n % chosen.scenarios.length)) % chosen.faults.length];
    if (group.kills >= KILLS_PER_GROUP) {
      await group.close();
      group = new LabGroup(groups, `lab${n}`, chosen.commit, chosen.ballast);
    }
    const result = await once(group, scenario, kill, random);
    results.push(result);
    const words = result.problem === '' ? `${shown(result.gapMs)} ms` : `FAILED: ${result.problem}`;
    print(`${n + 1} ${scenario.name} ${kill}: ${words}`);
    // Whatever went wrong must not make the next one fail, too.
    if (result.problem !== '') {
      await group.close();
      group = new LabGroup(groups, `lab${n}x`, chosen.commit, chosen.ballast);
    }
  }
  await group.close();
  for (const line of [...table(results, 'kill'), '', ...table(results, 'scenario')]) print(line);
  const failures = results.filter(({ problem }) => problem !== '');
  const looked = results.reduce((sum, { frames }) => sum + frames, 0);
  print(`${looked} frames looked at on the wire`);
  print(`${results.length} kills, ${failures.length} failures, ${Math.round((performance.now() - began) / 1000)} s`);
  if (chosen.picture) writeFileSync(PICTURE, gapChart(results));
  if (chosen.json)
    process.stdout.write(`${JSON.stringify({ kills: results.length, failures: failures.length, results })}\n`);
  return failures.length === 0;
}

async function main(): Promise<number> {
  try {
    const chosen = options();
    if (labDirectory() === undefined) {
      requireTools(['ip', 'unshare', 'mount', 'tcpdump'], true);
      return await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2));
    }
    return (await inside(chosen)) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`lab: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

process.exit(await main());
