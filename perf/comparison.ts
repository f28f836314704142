/** Which figures of which setups are compared, and the goals. */
import { median } from '../failover/demo/arrivals.js';
import { type Row, row } from './goals.js';
import type { Figures } from './measure.js';
import type { Mode } from './server-setups.js';

/** Names of the setups that others are compared with. */
const LABELS: Record<Mode, string> = {
  plain: 'stack alone, no offload',
  lwip: 'lwIP on a TAP',
  gvisor: 'gVisor on a TAP, MTU 65000',
  node: "Node's net on the kernel, veth",
  relay: "Node's net on the kernel behind a TAP",
  kernel: 'kernel, veth',
  alone: 'stack alone',
  written: 'with a backup, written',
  acked: 'with a backup, acked',
  machines: 'with a backup on another machine',
};

/** One figure of two setups. */
interface Comparison {
  /** Name of the row; the figure's if absent. */
  name?: string;
  mode: Mode;
  against: Mode;
  /** The figure. */
  key: string;
  what: string;
  /** Gbit/s figures are measured in bytes per second. */
  unit: string;
  goal: string;
}

const DIRECTIONS = ['out', 'in'] as const;

/** The stack alone against the kernel. */
function againstKernel(): Comparison[] {
  const base = { mode: 'alone', against: 'kernel' } as const;
  const out: Comparison[] = [];
  for (const way of DIRECTIONS) {
    for (const streams of [1, 10, 100]) {
      const goal = streams === 1 ? '>= 0.95' : '>= 0.9';
      const what = `${streams} stream(s) ${way}, stack alone`;
      out.push({ ...base, key: `bulk ${way}, ${streams}`, what, unit: 'Gbit/s', goal });
    }
    const what = `CPU of the serving process for one stream ${way}`;
    out.push({ ...base, key: `cpu ${way}`, what, unit: 's/GB', goal: '<= 1.0' });
  }
  const pages = { ...base, unit: 'requests/s' };
  const echo = { ...base, what: '64 bytes there and back', unit: 'us' };
  const churn = 'connect, one byte each way, close; 50 at once';
  out.push(
    { ...pages, key: 'pages', what: '10 KB page, 100 connections, a connection each', goal: '>= 1.3' },
    { ...pages, key: 'pages, keep-alive', what: '10 KB page, 100 connections, keep-alive', goal: '>= 1.0' },
    { ...base, key: 'churn', what: churn, unit: 'connections/s', goal: '>= 1.0' },
    { ...echo, key: 'echo p50', goal: '<= 1.1' },
    { ...echo, key: 'echo p99', goal: '<= 1.5' },
  );
  return out;
}

/** The cost of a backup. */
function withBackup(): Comparison[] {
  const out: Comparison[] = [];
  for (const [mode, bulk, pages, echo] of [
    ['written', '>= 0.95', '>= 0.9', '<= +20'],
    ['acked', '>= 0.85', '>= 0.85', '<= +150'],
    ['machines', '>= 0.85', '>= 0.85', '<= +150'],
  ] as const) {
    const add = (name: string, key: string, what: string, unit: string, goal: string): void =>
      void out.push({ name: `${mode}: ${name}`, mode, against: 'alone', key, what, unit, goal });
    for (const way of DIRECTIONS)
      add(`bulk ${way}, 1`, `bulk ${way}, 1`, `one stream ${way}, with a backup`, 'Gbit/s', bulk);
    add('pages', 'pages', '10 KB page, with a backup', 'requests/s', pages);
    const keepAlive = 'pages, keep-alive';
    add(keepAlive, keepAlive, '10 KB page, keep-alive, with a backup', 'requests/s', pages);
    add('echo p50', 'echo p50', '64 bytes there and back, with a backup', 'us', echo);
  }
  for (const mode of ['alone', 'written', 'acked', 'machines'] as const)
    for (const part of ['p50', 'p99', 'p99.9']) {
      const key = `ping ${part}`;
      const what = 'one byte there and back';
      out.push({ name: `${key}, ${mode}`, mode, against: 'kernel', key, what, unit: 'us', goal: '' });
    }
  return out;
}

/** The same program on Node's own sockets. */
function againstNode(): Comparison[] {
  const figures = [
    ['bulk out, 1', 'one stream out', 'Gbit/s'],
    ['bulk in, 1', 'one stream in', 'Gbit/s'],
    ['bulk in, listened to', 'one stream in that the program gets piece by piece', 'Gbit/s'],
    ['echo p50', '64 bytes there and back', 'us'],
    ['churn', 'connect, one byte each way, close; 50 at once', 'connections/s'],
  ] as const;
  const out: Comparison[] = [];
  for (const [against, where] of [
    ['node', ''],
    ['relay', ' behind a TAP'],
  ] as const)
    for (const [key, text, unit] of figures) {
      const name = `${key}, against Node${where}`;
      const what = `${text}; the same program on Node's own sockets${where}`;
      out.push({ name, mode: 'alone', against, key, what, unit, goal: '' });
    }
  return out;
}

/** Other userspace stacks. */
function againstOthers(): Comparison[] {
  const out: Comparison[] = [];
  const unit = 'Gbit/s';
  for (const against of ['lwip', 'gvisor'] as const)
    for (const way of DIRECTIONS) {
      const key = `bulk ${way}, 1`;
      const name = `${key}, against ${against === 'lwip' ? 'lwIP' : 'gVisor'}`;
      const what = `one stream ${way}, each at its best on a TAP`;
      out.push({ name, mode: 'alone', against, key, what, unit, goal: '>= 5' });
    }
  for (const way of DIRECTIONS) {
    const key = `bulk ${way}, 1`;
    const what = `one stream ${way}, frames of 1514 bytes, ours without offload`;
    out.push({ name: `offload off: ${key}`, mode: 'plain', against: 'lwip', key, what, unit, goal: '>= 0.9' });
  }
  return out;
}

/** The rows of all figures that were measured; medians of the rounds. */
export function compare(figures: Map<Mode, Figures[]>): Row[] {
  const medianOf = (mode: Mode, key: string): number =>
    median((figures.get(mode) ?? []).map((one) => one[key] ?? Number.NaN).filter((value) => !Number.isNaN(value)));
  const rows: Row[] = [];
  for (const one of [...againstKernel(), ...withBackup(), ...againstNode(), ...againstOthers()]) {
    const { mode, against, key, what, unit, goal } = one;
    const scale = unit === 'Gbit/s' ? 8 / 1e9 : 1;
    const [ours, other] = [scale * medianOf(mode, key), scale * medianOf(against, key)];
    if (Number.isNaN(ours) || Number.isNaN(other)) continue;
    const of = goal.includes('+') ? 'difference' : 'ratio';
    rows.push(row({ name: one.name ?? key, what, unit, ours, against: LABELS[against], other, goal, of }));
  }
  return rows;
}
