/**
 * A stream whose server dies: the gap, and the time until it is as fast as before, by the bytes in
 * flight.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { median } from '../failover/demo/arrivals.js';
import { monotonicMs } from '../failover/demo/clients.js';
import { STACK_ADDRESS } from '../failover/lab/network.js';
import { type Row, row } from './goals.js';
import { startReplicas } from './server-setups.js';
import { PORTS } from './traffic-client.js';

const RMEM = '/proc/sys/net/ipv4/tcp_rmem';
/** Receive buffers of the client, KiB: they bound the bytes in flight. */
const BUFFERS = [64, 512, 4096];
const WINDOW_MS = 20;
const WARM_MS = 1500;
const AFTER_MS = 2500;
/** As fast as before: within a tenth. */
const AGAIN = 0.9;

interface Return {
  gapMs: number;
  againMs: number;
  gbit: number;
}

/** Reads from the source until some time after its server was killed. */
async function one(directory: string): Promise<Return> {
  const served = await startReplicas(directory, ['--commit', 'written'], true);
  const buffer = Buffer.allocUnsafe(1 << 20);
  // Bytes by window of time since the beginning.
  const windows: number[] = [];
  const began = monotonicMs();
  let last = began;
  let gapMs = 0;
  let killed = Number.POSITIVE_INFINITY;
  const socket = net.connect({
    host: STACK_ADDRESS,
    port: PORTS.source,
    onread: {
      buffer,
      callback: (length) => {
        const now = monotonicMs();
        const at = Math.floor((now - began) / WINDOW_MS);
        windows[at] = (windows[at] ?? 0) + length;
        if (now > killed) gapMs = Math.max(gapMs, now - Math.max(last, killed));
        last = now;
        return true;
      },
    },
  });
  socket.on('error', () => undefined);
  await new Promise((done) => setTimeout(done, WARM_MS));
  killed = monotonicMs();
  served.replicas[0].kill('SIGKILL');
  await new Promise((done) => setTimeout(done, AFTER_MS));
  socket.destroy();
  await served.close();
  const of = (n: number): number => windows[n] ?? 0;
  const mark = Math.floor((killed - began) / WINDOW_MS);
  // A server without a backup is faster than one with a backup: the lower of the two rates counts.
  const before = median(Array.from({ length: 25 }, (_, n) => of(mark - 26 + n)));
  const later = median(Array.from({ length: 25 }, (_, n) => of(mark + Math.floor(AFTER_MS / WINDOW_MS) - 30 + n)));
  const goal = AGAIN * Math.min(before, later);
  let n = mark + 1;
  // Three in a row: a burst is no return.
  while (n - mark < AFTER_MS / WINDOW_MS && !(of(n) >= goal && of(n + 1) >= goal && of(n + 2) >= goal)) n++;
  return { gapMs, againMs: (n - mark) * WINDOW_MS, gbit: (before * 8) / (WINDOW_MS * 1e6) };
}

export async function recovery(directory: string, rounds: number): Promise<Row[]> {
  const usual = readFileSync(RMEM, 'utf8');
  const rows: Row[] = [];
  try {
    for (const kib of BUFFERS) {
      writeFileSync(RMEM, `4096 ${kib * 1024} ${kib * 1024}`);
      const all: Return[] = [];
      for (let round = 0; round < rounds; round++) all.push(await one(directory));
      const rate = median(all.map(({ gbit }) => gbit)).toFixed(1);
      const name = `${kib} KiB under way`;
      const what = `a stream of ${rate} Gbit/s when its server is killed`;
      rows.push(
        row({
          name: `gap, ${name}`,
          what: `${what}: longest silence`,
          unit: 'ms',
          ours: median(all.map((r) => r.gapMs)),
          against: 'nothing',
          other: 0,
          goal: '',
          of: 'ours',
        }),
        row({
          name: `recovery, ${name}`,
          what: `${what}: until it is as fast as before`,
          unit: 'ms',
          ours: median(all.map((r) => r.againMs)),
          against: 'nothing',
          other: 0,
          goal: '',
          of: 'ours',
        }),
      );
    }
  } finally {
    writeFileSync(RMEM, usual);
  }
  return rows;
}
