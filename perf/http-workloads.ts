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

export async function measureHttpWorkloads(directory: string, plan: Plan): Promise<Row[]> {
  const rows: Row[] = [];
  const wanted = (name: string): boolean => plan.only === '' || plan.only === name;
  const figures = new Map<string, number[]>();
  const note = (key: string, value: number): void => void figures.set(key, [...(figures.get(key) ?? []), value]);
  const wrk = findTool('wrk');
  if (wrk === null) process.stderr.write('wrk is left out: it is not installed (Debian: apt-get install -y wrk)\n');
  for (let round = 0; round < Math.min(plan.rounds, 3); round++) {
    for (const mode of ['alone', 'written'] as const) {
      const served = await startReplicas(directory, mode === 'alone' ? ['--solo'] : [], mode === 'written');
      if (wanted('work'))
        for (const loop of LOOPS) {
          const before = mode === 'written' ? await logged(served) : null;
          const { rate, p99 } = await ab(served, `:9104/work/${loop}`, 100, true);
          note(`${mode} work ${loop}`, rate);
          note(`${mode} work p99 ${loop}`, p99);
          if (before === null) continue;
          const after = await logged(served);
          note(`records ${loop}`, (after.records - before.records) / SECONDS);
          note(`bytes ${loop}`, (after.bytes - before.bytes) / SECONDS);
        }
      if (wanted('zip'))
        for (const bytes of BLOCKS)
          note(`${mode} zip ${bytes}`, (await ab(served, `:9104/zip/${bytes}`, 10, true)).rate);
      if (wanted('wrk') && wrk !== null)
        for (const clients of CLIENTS) {
          const text = await output(wrk, [
            '-t1',
            `-c${clients}`,
            `-d${SECONDS}s`,
            '--latency',
            `http://${served.address}/page`,
          ]);
          note(`${mode} wrk ${clients}`, Number(/Requests\/sec:\s+([\d.]+)/.exec(text)?.[1]));
        }
      await served.close();
    }
  }
  const of = (key: string): number => median(figures.get(key) ?? [Number.NaN]);
  const compare = (name: string, what: string, key: string): void => {
    if (figures.has(`alone ${key}`))
      rows.push(
        row({
          name,
          what,
          unit: 'requests/s',
          ours: of(`written ${key}`),
          against: 'stack alone',
          other: of(`alone ${key}`),
          goal: '>= 0.9',
        }),
      );
  };
  for (const loop of LOOPS) {
    compare(
      `written: work, ${loop}`,
      `10 KB after ${loop} rounds of a loop, 100 connections, keep-alive`,
      `work ${loop}`,
    );
    if (!figures.has(`records ${loop}`)) continue;
    const [p99, alone] = [of(`written work p99 ${loop}`), of(`alone work p99 ${loop}`)];
    rows.push(
      row({
        name: `written: work, ${loop}, p99`,
        what: 'longest but one in a hundred',
        unit: 'ms',
        ours: p99,
        against: 'stack alone',
        other: alone,
        goal: '',
      }),
      row({
        name: `records, work ${loop}`,
        what: 'log records',
        unit: '1/s',
        ours: of(`records ${loop}`),
        against: 'nothing',
        other: 0,
        goal: '',
      }),
      row({
        name: `log bytes, work ${loop}`,
        what: 'bytes of the log',
        unit: 'bytes/s',
        ours: of(`bytes ${loop}`),
        against: 'nothing',
        other: 0,
        goal: '',
      }),
    );
  }
  for (const bytes of BLOCKS)
    compare(`written: zip, ${bytes}`, `${bytes} bytes compressed per request`, `zip ${bytes}`);
  for (const clients of CLIENTS)
    compare(`written: wrk, ${clients}`, `10 KB page, ${clients} connections, keep-alive, by wrk`, `wrk ${clients}`);
  return rows;
}
