/**
 * One cell: network, settings, one transfer between the kernel and the stack, and everything that
 * must be true after it.
 */
import { once } from 'node:events';
import net from 'node:net';
import { type Cell, cellName, LINKS } from './cells.js';
import { ADDRESSES, kernelCounters, makeDevice, PORT, removeDevice, setting, TAP } from './network.js';
import type { Agreed, Outcome, StackState } from './server.js';
import { StackProcess } from './stack-process.js';
import { compareSides, request, type Side, serve } from './transfer.js';

export interface CellResult {
  name: string;
  bytes: number;
  ms: number;
  /** What is wrong; empty: passed. */
  wrong: string[];
  state: StackState | null;
}

/** What a kernel counts when a segment of ours is invalid. */
const KERNEL_ERRORS = ['Tcp.InErrs', 'Tcp.InCsumErrors', 'Ip.InHdrErrors', 'Ip.InDiscards', 'TcpExt.TCPAbortOnData'];

/** Keeps one process for many cells; a failed one gets another process. */
export class CellRunner {
  #process: StackProcess | null = null;

  async run(cell: Cell, bytes: number): Promise<CellResult> {
    const name = cellName(cell);
    const began = Date.now();
    const result: CellResult = { name, bytes, ms: 0, wrong: [], state: null };
    this.#process ??= new StackProcess();
    const stack = this.#process;
    const limitMs = 20_000 + bytes / 2000;
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_resolve, reject) => {
      timer = setTimeout(() => reject(new Error(`not done after ${limitMs / 1000} s`)), limitMs);
    });
    const kernel = new Set<net.Socket>();
    try {
      await Promise.race([late, attempt(cell, bytes, stack, kernel, result)]);
    } catch (error) {
      result.wrong.push(error instanceof Error ? error.message : String(error));
    }
    clearTimeout(timer);
    for (const socket of kernel) socket.destroy();
    if (result.wrong.length > 0) {
      if (stack.alive && result.state === null) {
        const asked = stack.state('state').catch(() => null);
        result.state = await Promise.race([asked, new Promise<null>((done) => setTimeout(() => done(null), 1000))]);
      }
      await this.close();
    }
    removeDevice();
    result.ms = Date.now() - began;
    return result;
  }

  async close(): Promise<void> {
    await this.#process?.kill();
    this.#process = null;
  }
}

async function attempt(
  cell: Cell,
  bytes: number,
  stack: StackProcess,
  kernel: Set<net.Socket>,
  result: CellResult,
): Promise<void> {
  setting('ipv4/tcp_sack', Number(cell.sack));
  setting('ipv4/tcp_timestamps', Number(cell.timestamps));
  setting('ipv4/tcp_window_scaling', Number(cell.scaling));
  const accurate = kernelEcn(cell.ecn);
  // Nothing of an earlier cell, such as a smaller threshold, is remembered.
  setting('ipv4/tcp_no_metrics_save', 1);
  makeDevice(cell.mtu, cell.offload);
  const { kernel: ours, stack: theirs, bits } = ADDRESSES[cell.family];
  await stack.run({
    op: 'start',
    tap: TAP,
    addresses: [`${theirs}/${bits}`],
    offload: cell.offload,
    impairment: LINKS[cell.link],
    seed: result.name,
    port: PORT,
    ecn: cell.ecn === 'noecn' ? 'off' : cell.ecn === 'ecn' ? 'ask' : 'accurate',
  });
  const before = kernelCounters();
  const [client, server, agreed] =
    cell.role === 'kernel-client'
      ? await kernelClient(cell, bytes, stack, kernel, theirs)
      : await kernelServer(cell, bytes, stack, kernel, ours);
  result.wrong.push(...compareSides(client, server, cell.direction, bytes));
  // A kernel whose SYN went unanswered asks without ECN the second time (RFC 3168 section 6.1.1.1).
  const again = (kernelCounters().get(SYN_AGAIN) ?? 0) > (before.get(SYN_AGAIN) ?? 0);
  result.wrong.push(...compareAgreed(cell, agreed, accurate, again));
  const settled = await stack.settled(5000);
  if (settled.connections !== 0) result.wrong.push(`${settled.connections} connections are left in the stack`);
  const state = (result.state = await stack.state('stop'));
  const after = kernelCounters();
  for (const name of KERNEL_ERRORS) {
    const more = (after.get(name) ?? 0) - (before.get(name) ?? 0);
    // A SYN that the path has doubled is an error to the kernel, though none of ours.
    const doubled = name === 'Tcp.InErrs' && 'duplicate' in LINKS[cell.link];
    if (more !== 0 && !doubled) result.wrong.push(`the kernel counted ${name} ${more}`);
  }
  if (state.badChecksum !== 0) result.wrong.push(`the stack counted ${state.badChecksum} bad checksums`);
  checkPath(cell, bytes, state, result.wrong);
}

async function kernelClient(
  cell: Cell,
  bytes: number,
  stack: StackProcess,
  kernel: Set<net.Socket>,
  host: string,
): Promise<[Side, Side, Agreed | null]> {
  const served = stack.transfer({ op: 'served' });
  const socket = net.connect({ host, port: PORT, allowHalfOpen: true });
  kernel.add(socket);
  const [outcome, side] = await Promise.all([served, request(socket, cell.direction, bytes)]);
  return [side, outcome.side, outcome.agreed];
}

async function kernelServer(
  cell: Cell,
  bytes: number,
  stack: StackProcess,
  kernel: Set<net.Socket>,
  host: string,
): Promise<[Side, Side, Agreed | null]> {
  const listener = net.createServer({ allowHalfOpen: true });
  try {
    listener.listen(PORT, host);
    await once(listener, 'listening');
    const accepted = once(listener, 'connection').then(([socket]: net.Socket[]) => {
      kernel.add(socket);
      return serve(socket);
    });
    const opened = stack.transfer({ op: 'open', address: host, port: PORT, direction: cell.direction, bytes });
    const [side, outcome]: [Side, Outcome] = await Promise.all([accepted, opened]);
    return [outcome.side, side, outcome.agreed];
  } finally {
    listener.close();
  }
}

/** A dimension that had no effect would be tested in name only. */
/**
 * @returns whether the kernel counts marks (Linux 6.19 and later); one that does not falls back to
 * the classic kind.
 */
function kernelEcn(ecn: Cell['ecn']): boolean {
  if (ecn === 'accecn') {
    try {
      setting('ipv4/tcp_ecn', 3);
      return true;
    } catch {
      // The value is not known to it.
    }
  }
  setting('ipv4/tcp_ecn', ecn === 'noecn' ? 0 : 1);
  return false;
}

const SYN_AGAIN = 'TcpExt.TCPSynRetrans';

function compareAgreed(cell: Cell, agreed: Agreed | null, accurate: boolean, again: boolean): string[] {
  if (agreed === null) return ['the connection was not found in the stack'];
  const wrong: string[] = [];
  if (agreed.sack !== cell.sack) wrong.push(`SACK is ${agreed.sack}`);
  if (agreed.timestamps !== cell.timestamps) wrong.push(`timestamps are ${agreed.timestamps}`);
  if (agreed.scales.every((scale) => scale > 0) !== cell.scaling) wrong.push(`scales are ${agreed.scales.join(', ')}`);
  const ecn = cell.ecn === 'accecn' && !accurate ? 'ecn' : cell.ecn;
  const plain = again && cell.role === 'kernel-client' && agreed.ecn === 'noecn';
  if (agreed.ecn !== ecn && !plain) wrong.push(`ECN is ${agreed.ecn}`);
  const ipHeader = cell.family === 4 ? 20 : 40;
  const mss = cell.mtu - ipHeader - 20 - (cell.timestamps ? 12 : 0);
  if (agreed.mss !== mss) wrong.push(`the MSS is ${agreed.mss}, not ${mss}`);
  return wrong;
}

function checkPath(cell: Cell, bytes: number, state: StackState, wrong: string[]): void {
  const { path } = state;
  const impaired = Object.keys(LINKS[cell.link]).length > 0;
  if ((path !== null) !== impaired) wrong.push(impaired ? 'the path was not impaired' : 'the path was impaired');
  if (path === null) return;
  const frames = path.inbound.frames + path.outbound.frames;
  if (frames < (2 * bytes) / cell.mtu / 2) wrong.push(`only ${frames} frames went over the path`);
  // It is unlikely that none of this number of frames was hit.
  if (frames < 1000) return;
  const lost = path.inbound.lost + path.outbound.lost;
  const late = path.inbound.reordered + path.outbound.reordered;
  if (cell.link === 'loss' && lost === 0) wrong.push('nothing was lost');
  const marked = path.inbound.marked + path.outbound.marked;
  if (cell.ecn === 'noecn' && marked > 0) wrong.push(`${marked} packets were marked, which nobody would understand`);
  if (cell.link === 'reorder' && late === 0) wrong.push('nothing was reordered');
}
