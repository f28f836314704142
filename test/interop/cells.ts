/**
 * The cells of the matrix: what may differ, the full product, and a subset in which every pair of
 * values meets.
 */
import { SeededRandom } from '../../lib/random.js';
import type { PathImpairment } from './impair.js';
import type { Direction } from './transfer.js';

/** Paths between the kernel and the stack, the same both ways. */
export const LINKS = {
  clean: {},
  loss: { loss: 0.01 },
  reorder: { delayUs: 1000, reorder: 0.02, reorderUs: 3000, duplicate: 0.005 },
  // Marks where there is somebody to understand it, before its queue is full.
  narrow: { delayUs: 3000, jitterUs: 200, bandwidth: 200e6, queueBytes: 262_144, markBytes: 65_536 },
} as const satisfies Record<string, PathImpairment>;
type LinkName = keyof typeof LINKS;

export interface Cell {
  /** Which side the kernel is; the stack is the other one. */
  role: 'kernel-client' | 'kernel-server';
  direction: Direction;
  family: 4 | 6;
  mtu: number;
  link: LinkName;
  /** Checksum and segmentation offload of the device. */
  offload: boolean;
  /** What the kernel is allowed to use. */
  sack: boolean;
  timestamps: boolean;
  scaling: boolean;
  /** Not at all, as in RFC 3168, or as in RFC 9768. */
  ecn: 'noecn' | 'ecn' | 'accecn';
}

const FLAGS = [true, false] as const;
const DIMENSIONS: { [Key in keyof Cell]: readonly Cell[Key][] } = {
  role: ['kernel-client', 'kernel-server'],
  direction: ['up', 'down', 'echo'],
  family: [4, 6],
  mtu: [576, 1500, 9000, 65_520],
  link: ['clean', 'loss', 'reorder', 'narrow'],
  offload: FLAGS,
  sack: FLAGS,
  timestamps: FLAGS,
  scaling: FLAGS,
  ecn: ['ecn', 'noecn', 'accecn'],
};
const KEYS = Object.keys(DIMENSIONS) as (keyof Cell)[];

/** Smallest MTU that IPv6 runs over (RFC 8200 section 5). */
const MTU6 = 1280;

function complete(values: Record<string, unknown>): Cell {
  const cell = values as unknown as Cell;
  return cell.family === 6 && cell.mtu < MTU6 ? { ...cell, mtu: MTU6 } : cell;
}

/** One word that names the cell and by parts of which it can be found. */
export function cellName(cell: Cell): string {
  const flag = (name: string, on: boolean): string => `${on ? '' : 'no'}${name}`;
  return [
    cell.role === 'kernel-client' ? 'client' : 'server',
    cell.direction,
    `v${cell.family}`,
    cell.mtu,
    cell.link,
    flag('offload', cell.offload),
    flag('sack', cell.sack),
    flag('ts', cell.timestamps),
    flag('ws', cell.scaling),
    cell.ecn,
  ].join('.');
}

/** Every combination of all values. */
export function allCells(): Cell[] {
  let rows: Record<string, unknown>[] = [{}];
  for (const key of KEYS) rows = rows.flatMap((row) => DIMENSIONS[key].map((value) => ({ ...row, [key]: value })));
  return unique(rows.map(complete));
}

/**
 * A subset in which every value of every dimension meets every value of every other one; always the
 * same.
 */
export function pairCells(): Cell[] {
  const open = new Set<string>();
  for (let a = 0; a < KEYS.length; a++) {
    for (let b = a + 1; b < KEYS.length; b++) {
      for (let i = 0; i < DIMENSIONS[KEYS[a]].length; i++) {
        for (let j = 0; j < DIMENSIONS[KEYS[b]].length; j++) open.add(`${a}=${i},${b}=${j}`);
      }
    }
  }
  const random = new SeededRandom('pairs');
  const rows: Record<string, unknown>[] = [];
  while (open.size > 0) {
    let best: number[] = [];
    let bestCount = -1;
    // A pair that is still open is in every candidate, so each row gets on.
    const [first] = open;
    const fixed = first.split(',').map((part) => part.split('=').map(Number));
    for (let tries = 0; tries < 200; tries++) {
      const row = KEYS.map((key) => random.u32() % DIMENSIONS[key].length);
      for (const [at, value] of fixed) row[at] = value;
      const count = pairsOf(row).filter((pair) => open.has(pair)).length;
      if (count > bestCount) [best, bestCount] = [row, count];
    }
    for (const pair of pairsOf(best)) open.delete(pair);
    rows.push(Object.fromEntries(KEYS.map((key, at) => [key, DIMENSIONS[key][best[at]]])));
  }
  return unique(rows.map(complete));
}

function pairsOf(row: number[]): string[] {
  return row.flatMap((i, a) => row.slice(a + 1).map((j, rest) => `${a}=${i},${a + 1 + rest}=${j}`));
}

function unique(cells: Cell[]): Cell[] {
  return [...new Map(cells.map((cell) => [cellName(cell), cell])).values()];
}

/** Bytes that an impaired path is given at most, so that a cell takes seconds. */
const CAPS: Record<LinkName, number> = {
  clean: Number.POSITIVE_INFINITY,
  loss: 10 * 2 ** 20,
  reorder: 10 * 2 ** 20,
  narrow: 10 * 2 ** 20,
};

export function cellBytes(cell: Cell, wanted: number): number {
  // Fewer, larger segments meet less misfortune; small ones need more time for the same bytes.
  const cap = cell.mtu < 1500 ? CAPS[cell.link] / 4 : CAPS[cell.link];
  return Math.min(wanted, cap);
}
