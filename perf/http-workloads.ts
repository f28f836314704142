/**
 * HTTP requests that cost CPU: a loop, compression, and many clients; and the log records that they
 * cause.
 */
import { join } from 'node:path';
import { askStatus } from '../failover/admin/status.js';
import { median } from '../failover/demo/arrivals.js';
import { findTool } from '../failover/lab/required-tools.js';
import { type Row, row } from './goals.js';
import { output, type Plan } from './measure.js';
import { type ServerSetup, startReplicas } from './server-setups.js';

/**
 * Rounds of the loop per request (FT-Linux, figure 6), and bytes to compress (its figures 4 and 5).
 */
const LOOPS = [0, 2 ** 12, 2 ** 16, 2 ** 20];
const BLOCKS = [4096, 65_536, 1_048_576];
const CLIENTS = [1, 100, 1000];
/** Duration of a run, seconds. */
const SECONDS = 4;

/** Requests per second and the 99th percentile in milliseconds, by ab. */
async function ab(
  served: ServerSetup,
  path: string,
  clients: number,
  keep: boolean,
): Promise<{ rate: number; p99: number }> {
  const words = ['-q', '-t', String(SECONDS), '-n', '1000000', '-c', String(clients), ...(keep ? ['-k'] : [])];
  const text = await output('ab', [...words, `http://${served.address}${path}`]);
  return {
    rate: Number(/Requests per second:\s+([\d.]+)/.exec(text)?.[1]),
    p99: Number(/^\s+99%\s+(\d+)/m.exec(text)?.[1]),
  };
}

/** Records and bytes that the log has had. */
async function logged(served: ServerSetup): Promise<{ records: number; bytes: number }> {
  const { directory, group } = served.place!;
  const status = await askStatus(join(directory, group, `${served.pid}.sock`));
  const log = status?.counters['log'] ?? {};
  return { records: log['records'] ?? Number.NaN, bytes: log['bytes'] ?? Number.NaN };
}

/** Figures by name, one value per round. */
class Samples {
  readonly #values = new Map<string, number[]>();

  add(key: string, value: number): void {
    this.#values.set(key, [...(this.#values.get(key) ?? []), value]);
  }

  has(key: string): boolean {
    return this.#values.has(key);
  }

  median(key: string): number {
    return median(this.#values.get(key) ?? [Number.NaN]);
  }
}

/** Requests that run a loop first; with a backup also the log that they cause. */
async function measureLoops(mode: 'alone' | 'written', setup: ServerSetup, samples: Samples): Promise<void> {
  for (const loop of LOOPS) {
    const before = mode === 'written' ? await logged(setup) : null;
    const { rate, p99 } = await ab(setup, `:9104/work/${loop}`, 100, true);
    samples.add(`${mode} work ${loop}`, rate);
    samples.add(`${mode} work p99 ${loop}`, p99);
    if (before === null) continue;
    const after = await logged(setup);
    samples.add(`records ${loop}`, (after.records - before.records) / SECONDS);
    samples.add(`bytes ${loop}`, (after.bytes - before.bytes) / SECONDS);
  }
}

/** A page for many clients, by wrk. */
async function measureClients(mode: string, setup: ServerSetup, samples: Samples, wrk: string): Promise<void> {
  for (const clients of CLIENTS) {
    const words = ['-t1', `-c${clients}`, `-d${SECONDS}s`, '--latency', `http://${setup.address}/page`];
    const text = await output(wrk, words);
    samples.add(`${mode} wrk ${clients}`, Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]));
  }
}

function rowsOf(samples: Samples): Row[] {
  const rows: Row[] = [];
  const of = (key: string): number => samples.median(key);
  const base = { against: 'stack alone', unit: 'requests/s', goal: '>= 0.9' };
  const compare = (name: string, what: string, key: string): void => {
    if (samples.has(`alone ${key}`))
      rows.push(row({ ...base, name, what, ours: of(`written ${key}`), other: of(`alone ${key}`) }));
  };
  for (const loop of LOOPS) {
    const key = `work ${loop}`;
    compare(`written: work, ${loop}`, `10 KB after ${loop} rounds of a loop, 100 connections, keep-alive`, key);
    if (!samples.has(`records ${loop}`)) continue;
    const [p99, alone] = [of(`written work p99 ${loop}`), of(`alone work p99 ${loop}`)];
    const log = { against: 'nothing', other: 0, goal: '' };
    const what = 'longest but one in a hundred';
    rows.push(
      row({
        name: `written: work, ${loop}, p99`,
        what,
        unit: 'ms',
        ours: p99,
        against: 'stack alone',
        other: alone,
        goal: '',
      }),
      row({ ...log, name: `records, ${key}`, what: 'log records', unit: '1/s', ours: of(`records ${loop}`) }),
      row({ ...log, name: `log bytes, ${key}`, what: 'bytes of the log', unit: 'bytes/s', ours: of(`bytes ${loop}`) }),
    );
  }
  for (const bytes of BLOCKS)
    compare(`written: zip, ${bytes}`, `${bytes} bytes compressed per request`, `zip ${bytes}`);
  for (const clients of CLIENTS)
    compare(`written: wrk, ${clients}`, `10 KB page, ${clients} connections, keep-alive, by wrk`, `wrk ${clients}`);
  return rows;
}

/** The workloads that `plan.only` asks for, on the stack alone and with a backup. */
export async function measureHttpWorkloads(directory: string, plan: Plan): Promise<Row[]> {
  const samples = new Samples();
  const wanted = (name: string): boolean => plan.only === '' || plan.only === name;
  const wrk = findTool('wrk');
  if (wrk === null) process.stderr.write('wrk is left out: it is not installed (Debian: apt-get install -y wrk)\n');
  for (let round = 0; round < Math.min(plan.rounds, 3); round++) {
    for (const mode of ['alone', 'written'] as const) {
      const setup = await startReplicas(directory, mode === 'alone' ? ['--solo'] : [], mode === 'written');
      if (wanted('work')) await measureLoops(mode, setup, samples);
      if (wanted('zip'))
        for (const bytes of BLOCKS)
          samples.add(`${mode} zip ${bytes}`, (await ab(setup, `:9104/zip/${bytes}`, 10, true)).rate);
      if (wanted('wrk') && wrk !== null) await measureClients(mode, setup, samples, wrk);
      await setup.close();
    }
  }
  return rowsOf(samples);
}
