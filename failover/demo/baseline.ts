/** wget's throughput from the stack with and without a backup, and from the same program on the kernel's TCP across a veth. */
import { type ChildProcess, spawn } from 'node:child_process';
import { makeVeth, STACK_ADDRESS, TAP, VETH_SERVER } from '../lab/network.js';
import { ReplicaProcess } from '../lab/replica-process.js';
import { median } from './arrivals.js';
import { startClient } from './clients.js';
import { contentSha256 } from './content.js';
import type { DemoOptions } from './options.js';
import { APP } from './run-once.js';

const ROUNDS = 5;

/** Medians in Mbit/s, the three taken in turn. */
export async function measureBaseline(
  options: DemoOptions,
  directory: string,
  say: (line: string) => void,
): Promise<{ withBackup: number; alone: number; kernelVeth: number }> {
  const plan: DemoOptions = { ...options, scenario: 'wget' };
  const sha256 = contentSha256(plan.bytes);
  const rates: Record<'withBackup' | 'alone' | 'kernelVeth', number[]> = { withBackup: [], alone: [], kernelVeth: [] };
  const holder = await makeVeth();
  try {
    for (let round = 1; round <= ROUNDS; round++) {
      rates.withBackup.push(await ours(plan, sha256, directory, `with${round}`, true));
      rates.alone.push(await ours(plan, sha256, directory, `alone${round}`, false));
      rates.kernelVeth.push(await kernels(plan, sha256, holder));
      say(
        `baseline ${round} of ${ROUNDS}: with a backup ${rates.withBackup.at(-1)!.toFixed(0)}, ` +
          `without ${rates.alone.at(-1)!.toFixed(0)}, kernel ${rates.kernelVeth.at(-1)!.toFixed(0)} Mbit/s`,
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

/** One whole download, in Mbit/s. */
async function download(options: DemoOptions, address: string, sha256: string): Promise<number> {
  const client = startClient({ options, address, sha256, onProgress: () => undefined });
  const outcome = await client.ended;
  if (outcome.exit !== 0 || outcome.sha256Equal !== true) return Number.NaN;
  const { arrivals } = client;
  return (arrivals.total * 8) / 1e3 / (arrivals.lastMs - arrivals.firstMs);
}

async function ours(
  options: DemoOptions,
  sha256: string,
  directory: string,
  group: string,
  backup: boolean,
): Promise<number> {
  const args = [
    ...['--group', group, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`],
    ...[...(backup ? [] : ['--solo']), ...(options.offload ? [] : ['--no-offload']), APP],
  ];
  const replicas = [new ReplicaProcess(args)];
  try {
    await replicas[0]!.event('ready');
    if (backup) {
      replicas.push(new ReplicaProcess(args));
      await replicas[0]!.event('protected');
      await replicas[1]!.event('ready');
    }
    return await download(options, STACK_ADDRESS, sha256);
  } finally {
    await Promise.all(replicas.map((replica) => replica.close()));
  }
}

async function kernels(options: DemoOptions, sha256: string, holder: ChildProcess): Promise<number> {
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
