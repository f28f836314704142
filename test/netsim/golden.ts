/**
 * The golden file: a line per cell with what it measured. All is in virtual time and seeded, so the
 * numbers are exact.
 */
import { type Cell, type CellResult, cellKey } from './grid.js';
import { expectedRate, payloadRate } from './theory.js';

export function goldenLine(cell: Cell, result: CellResult): string {
  const { goodput, ofTheory, stallMs, retransmissions, needless, timeouts, spuriousTimeouts } = result;
  const numbers = `goodput ${goodput.toFixed(3)} theory ${ofTheory.toFixed(2)} stall ${stallMs.toFixed(0)} ms`;
  return `${cellKey(cell)}: ${numbers} resent ${retransmissions} needless ${needless} timeouts ${timeouts} spurious ${spuriousTimeouts}`;
}

/**
 * What is wrong with a cell, '' for nothing: 90 % of the bottleneck where nothing is lost and the
 * queue is deep enough, otherwise 60 % of what theory expects (which knows no timeouts); no stall
 * that timeouts do not explain.
 */
export function cellProblem(cell: Cell, result: CellResult): string {
  const allowed = expectedRate(cell.congestion, cell.mbit * 1e6, cell.rttMs, cell.loss) / payloadRate(cell.mbit * 1e6);
  const product = (cell.mbit * 1e6 * cell.rttMs) / 8000;
  // A queue much shorter than the product leaves the bottleneck idle after each loss (for Reno half
  // of the window).
  const deep = cell.buffer >= 1 || product < 20_000;
  const least = cell.loss === 0 && deep ? 0.9 : 0.6 * Math.min(1, allowed);
  if (result.goodput < least) return `goodput ${result.goodput.toFixed(3)}, expected ${least.toFixed(3)}`;
  if (result.stallMs > result.stallBoundMs)
    return `stall of ${result.stallMs.toFixed(0)} ms, expected ${result.stallBoundMs.toFixed(0)} at most`;
  return '';
}
