/**
 * wget's throughput: the stack with and without a backup, and the same program on the kernel's TCP
 * across a veth.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { makeVeth, STACK_ADDRESS, TAP, VETH_SERVER } from '../lab/network.js';
import { ReplicaProcess } from '../lab/replica-process.js';
import { median } from './arrivals.js';
import { startClient } from './clients.js';
import { contentSha256 } from './content.js';
import type { DemoOptions } from './options.js';
import { APP } from './run-once.js';

const ROUNDS = 5;

/** Medians in Mbit/s. Each round measures all three. */
export async function measureBaseline(
  options: DemoOptions,
  directory: string,
  print: (line: string) => void,
): Promise<{ withBackup: number; alone: number; kernelVeth: number }> {
  const plan: DemoOptions = { ...options, scenario: 'wget' };
  const sha256 = contentSha256(plan.bytes);
  const rates: Record<'withBackup' | 'alone' | 'kernelVeth', number[]> = { withBackup: [], alone: [], kernelVeth: [] };
  const holder = await makeVeth();
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      rates.withBackup.push(await measureStack(plan, sha256, { directory, group: `with${round}`, backup: true }));
      rates.alone.push(await measureStack(plan, sha256, { directory, group: `alone${round}`, backup: false }));
      rates.kernelVeth.push(await measureKernel(plan, sha256, holder));
      const last = (values: number[]): string => (values.at(-1) ?? Number.NaN).toFixed(0);
      print(
        `baseline ${round} of ${ROUNDS}: with a backup ${last(rates.withBackup)}, ` +
          `without ${last(rates.alone)}, kernel ${last(rates.kernelVeth)} Mbit/s`,
      );
    }
  } finally {
    holder.kill('SIGKILL');
  }
  const middle = (values: number[]): number => Math.round(median(values));
  return {
    withBackup: middle(rates.withBackup),
    alone: middle(rates.alone),
    kernelVeth: middle(rates.kernelVeth),
  };
}

/** The throughput of one download in Mbit/s; NaN when it failed. */
async function download(options: DemoOptions, address: string, sha256: string): Promise<number> {
  const client = startClient({ options, address, sha256, onProgress: () => undefined });
  const outcome = await client.ended;
  if (outcome.exit !== 0 || outcome.sha256Equal !== true) return Number.NaN;
  const { arrivals } = client;
  return (arrivals.total * 8) / 1e3 / (arrivals.lastMs - arrivals.firstMs);
}

/** The throughput of ft-tcp, with a backup or without. */
async function measureStack(
  options: DemoOptions,
  sha256: string,
  { directory, group, backup }: { directory: string; group: string; backup: boolean },
): Promise<number> {
  const args = [
    ...['--group', group, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`],
    ...[...(backup ? [] : ['--solo']), ...(options.offload ? [] : ['--no-offload']), APP],
  ];
  const primary = new ReplicaProcess(args);
  const replicas = [primary];
  try {
    await primary.event('ready');
    if (backup) {
      const second = new ReplicaProcess(args);
      replicas.push(second);
      await primary.event('protected');
      await second.event('ready');
    }
    return await download(options, STACK_ADDRESS, sha256);
  } finally {
    await Promise.all(replicas.map((replica) => replica.close()));
  }
}

/** The throughput of Node's own http over the kernel's TCP. */
async function measureKernel(options: DemoOptions, sha256: string, holder: ChildProcess): Promise<number> {
  const server = spawn('nsenter', ['-t', String(holder.pid), '-n', process.execPath, APP], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  try {
    await new Promise((done) => setTimeout(done, 500));
    return await download(options, VETH_SERVER, sha256);
  } finally {
    const ended = new Promise((done) => server.once('exit', done));
    server.kill('SIGKILL');
    await ended;
  }
}
