/** The grid of paths, and the run of one flow over one of them. */
import type { CongestionFactory } from '../../stack/tcp/congestion/controller.js';
import { Cubic } from '../../stack/tcp/congestion/cubic.js';
import { NewReno } from '../../stack/tcp/congestion/new-reno.js';
import { FRAME, MSS, Network } from './network.js';
import { expectedRate, payloadRate } from './theory.js';

export type Congestion = 'cubic' | 'newreno';

export const CONGESTION: Record<Congestion, CongestionFactory> = {
  cubic: (mss) => new Cubic(mss),
  newreno: (mss) => new NewReno(mss),
};

export interface Cell {
  congestion: Congestion;
  mbit: number;
  rttMs: number;
  loss: number;
  reorder: number;
  /** Queue of the bottleneck in bandwidth-delay products. */
  buffer: number;
}

export interface CellResult {
  /** Part of the bottleneck's payload rate, after the warm-up. */
  goodput: number;
  /** The same of what the models allow (see theory.ts). */
  ofTheory: number;
  stallMs: number;
  retransmissions: number;
  needless: number;
  timeouts: number;
  spuriousTimeouts: number;
  /** Longest stall that retransmission timeouts explain. */
  stallBoundMs: number;
}

const MBITS = [1, 10, 100, 1000];
const RTTS = [1, 10, 50, 100, 200];
const LOSSES = [0, 0.001, 0.01, 0.03];
const REORDERS = [0, 0.01];
const BUFFERS = [0.25, 1, 4];
const CONGESTIONS: Congestion[] = ['cubic', 'newreno'];
/**
 * Frames that any queue holds: a path whose product is smaller than that still has a device with a
 * ring.
 */
const MIN_QUEUE_FRAMES = 6;
/** Segments delivered per cell at most. */
const MAX_SEGMENTS = 150_000;
const LIMIT_US = 7200e6;

/** All cells; or, of the quick grid, those that show most for their time. */
export function cells(quick: boolean): Cell[] {
  const out: Cell[] = [];
  for (const congestion of CONGESTIONS)
    for (const mbit of MBITS)
      for (const rttMs of RTTS)
        for (const loss of LOSSES)
          for (const reorder of REORDERS)
            for (const buffer of BUFFERS) {
              const cell = { congestion, mbit, rttMs, loss, reorder, buffer };
              if (!quick || isQuick(cell)) out.push(cell);
            }
  return out;
}

function isQuick(cell: Cell): boolean {
  const { mbit, rttMs, loss, reorder, buffer } = cell;
  if (buffer !== 1 && (mbit !== 10 || rttMs !== 50)) return false;
  if (reorder !== 0 && (mbit !== 100 || rttMs !== 10)) return false;
  if (mbit === 1000) return rttMs === 10 || (rttMs === 100 && loss > 0.001);
  if (mbit === 100) return rttMs === 10 || rttMs === 100;
  return rttMs === 1 || rttMs === 50 || rttMs === 200;
}

/** Names a cell in the golden file; its seed too. */
export function cellKey(cell: Cell): string {
  const { congestion, mbit, rttMs, loss, reorder, buffer } = cell;
  return `${congestion} ${mbit}Mbit ${rttMs}ms loss ${loss * 100}% reorder ${reorder * 100}% buffer ${buffer}`;
}

/** Bytes of the queue that a cell has. */
export function queueBytes(cell: Cell): number {
  const product = (cell.mbit * 1e6 * cell.rttMs) / 8000;
  return Math.max(MIN_QUEUE_FRAMES * FRAME, Math.round(product * cell.buffer));
}

/**
 * Segments to deliver: some round trips of a full path, or enough losses for a mean that means
 * something.
 */
function segmentsFor(cell: Cell): number {
  const full = ((cell.mbit * 1e6 * cell.rttMs) / 8000 + queueBytes(cell)) / FRAME;
  if (cell.loss === 0) return Math.min(MAX_SEGMENTS, Math.max(3000, Math.round(10 * full)));
  return cell.loss < 0.01 ? 30_000 : 15_000;
}

export function cellNetwork(cell: Cell): Network {
  const { rttMs, loss, reorder } = cell;
  return new Network({
    seed: cellKey(cell),
    rate: cell.mbit * 1e6,
    queueBytes: queueBytes(cell),
    flows: [{ rttMs, loss, reorder, congestion: CONGESTION[cell.congestion] }],
  });
}

export function runCell(cell: Cell, segments = segmentsFor(cell)): CellResult {
  const network = cellNetwork(cell);
  const { clock } = network;
  const flow = network.flows[0];
  const total = segments * MSS;
  // The first quarter is the slow start's.
  network.run(() => flow.received >= total / 4, LIMIT_US);
  const fromUs = clock.now();
  const fromBytes = flow.arrived;
  network.run(() => flow.received >= total, LIMIT_US);
  const seconds = (clock.now() - fromUs) / 1e6;
  const bits = seconds > 0 ? ((flow.arrived - fromBytes) * 8) / seconds : 0;
  const rate = cell.mbit * 1e6;
  return {
    goodput: bits / payloadRate(rate),
    ofTheory: bits / expectedRate(cell.congestion, rate, cell.rttMs, cell.loss),
    stallMs: flow.longestStallUs / 1000,
    retransmissions: flow.retransmissions,
    needless: flow.needless,
    timeouts: flow.timeouts,
    spuriousTimeouts: flow.spuriousTimeouts,
    stallBoundMs: (flow.rtoMaxUs * (2 ** flow.worstLosses - 1) + 2 * flow.srttMaxUs) / 1000,
  };
}
