/** The demo's report: a table and a plot for people, one JSON object for programs. */
import { median } from './arrivals.js';
import type { DemoOptions } from './options.js';
import type { RunResult } from './run-once.js';

const PLOT_WIDTH = 72;
const STEPS = ['detect', 'fence', 'drain', 'attach', 'firstByte'] as const;

/** The report as JSON. Times in milliseconds, rates in Mbit/s; null: not measured. */
export interface DemoReport {
  scenario: string;
  /** gateway: the server behind it; null: another scenario. */
  backend: string | null;
  runs: number;
  ok: number;
  clientExit: number[];
  sha256Equal: boolean | null;
  failedRequests: number;
  connections: number;
  gapMs: { p50: number | null; max: number | null; all: number[] };
  breakdownMs: Record<(typeof STEPS)[number], number | null>;
  mbps: { before: number | null; after: number | null };
  /** gateway with redis, instead of `mbps`. */
  commandsPerSecond?: { before: number | null; after: number | null };
  signal: string;
  at: number | null;
  primaryExit: string[];
  problems: string[];
  capture?: { file: string; frames: number; connections: number };
  baseline?: { withBackup: number; alone: number; kernelVeth: number };
}

function rounded(value: number, digits: number): number | null {
  return Number.isFinite(value) ? Number(value.toFixed(digits)) : null;
}

function maximum(values: readonly number[]): number {
  return values.length === 0 ? Number.NaN : Math.max(...values);
}

const MBIT = 8 / 1e6;

/** Combines the results of all runs. */
export function summarize(options: DemoOptions, results: RunResult[]): DemoReport {
  const gaps = results.map((result) => result.gapMs).filter((gap) => Number.isFinite(gap));
  const step = (name: (typeof STEPS)[number]): number | null =>
    rounded(median(results.map((result) => result.breakdown?.[name] ?? Number.NaN)), 3);
  const commands = countsCommands(options);
  const rates = (unit: number): DemoReport['mbps'] => ({
    before: rounded(median(results.map((result) => result.before)) * unit, 0),
    after: rounded(median(results.map((result) => result.after)) * unit, 0),
  });
  const hashes = results.map((result) => result.outcome.sha256Equal);
  return {
    scenario: options.scenario,
    backend: options.scenario === 'gateway' ? options.backend : null,
    runs: results.length,
    ok: results.filter((result) => result.ok).length,
    clientExit: results.map((result) => result.outcome.exit),
    sha256Equal: hashes.every((equal) => equal === null) ? null : hashes.every((equal) => equal !== false),
    failedRequests: results.reduce((sum, result) => sum + result.outcome.failedRequests, 0),
    connections: maximum(results.map((result) => result.connections)),
    gapMs: {
      p50: rounded(median(gaps), 2),
      max: rounded(maximum(gaps), 2),
      all: gaps.map((gap) => Number(gap.toFixed(2))),
    },
    breakdownMs: {
      detect: step('detect'),
      fence: step('fence'),
      drain: step('drain'),
      attach: step('attach'),
      firstByte: step('firstByte'),
    },
    mbps: commands ? { before: null, after: null } : rates(MBIT),
    ...(commands ? { commandsPerSecond: rates(1) } : {}),
    signal: options.signal,
    at: options.at,
    primaryExit: results.map((result) => result.primaryExit),
    problems: [...new Set(results.map((result) => result.problem).filter((problem) => problem !== ''))],
  };
}

/** Whether what arrives is counted in commands, not in bytes. */
function countsCommands({ scenario, backend }: { scenario: string; backend: string | null }): boolean {
  return scenario === 'gateway' && backend === 'redis';
}

/** How a rate of the scenario is shown. */
export function rateText(what: { scenario: string; backend: string | null }): (perSecond: number) => string {
  return countsCommands(what) ? (perSecond) => `${Math.round(perSecond)} commands/s` : speed;
}

/** A rate of bytes as text. */
function speed(bytesPerSecond: number): string {
  const mbit = bytesPerSecond * MBIT;
  return mbit >= 1000 ? `${(mbit / 1000).toFixed(2)} Gbit/s` : `${mbit.toFixed(1)} Mbit/s`;
}

/** The report as text, with the plot of the last run. */
export function render(report: DemoReport, last: RunResult): string {
  const lines = [
    '',
    last.arrivals.plot(PLOT_WIDTH, last.killedMs, rateText(report)),
    '',
    `  ${report.ok} of ${report.runs} runs: the client noticed nothing but a pause` +
      (report.sha256Equal === true ? ', all data equal (SHA-256)' : ''),
    `  client exit ${[...new Set(report.clientExit)].join(', ')}, failed requests ${report.failedRequests}, TCP connections a run ${report.connections}`,
  ];
  if (report.gapMs.p50 !== null) {
    lines.push(`  longest pause: median ${report.gapMs.p50} ms, worst ${report.gapMs.max} ms`);
  }
  if (report.breakdownMs.detect !== null) {
    lines.push(`  phases (median, ms): ${STEPS.map((name) => `${name} ${report.breakdownMs[name]}`).join('  ')}`);
    lines.push(`  the primary ended by: ${[...new Set(report.primaryExit)].join(', ')}`);
  }
  const { before, after } = report.commandsPerSecond ?? report.mbps;
  const unit = report.commandsPerSecond === undefined ? 'Mbit/s' : 'commands/s';
  if (before !== null) {
    lines.push(`  throughput: ${before} ${unit} before${after === null ? '' : `, ${after} ${unit} after`}`);
  }
  const { capture, baseline } = report;
  if (capture !== undefined) {
    lines.push(`  capture ${capture.file}: ${capture.frames} frames, ${capture.connections} TCP connections opened`);
  }
  if (baseline !== undefined) {
    lines.push(
      `  wget's throughput (median, Mbit/s): with a backup ${baseline.withBackup}, without ${baseline.alone}, ` +
        `Node's http over the kernel and a veth ${baseline.kernelVeth}`,
    );
  }
  for (const problem of report.problems) lines.push(`  problem: ${problem}`);
  return `${lines.join('\n')}\n`;
}
