/** Rows of the result: a figure, the figure that it is compared with, and the goal. */

/** One row. */
export interface Row {
  name: string;
  what: string;
  unit: string;
  ours: number;
  /** What `ours` is compared with; `other` is its figure. */
  against: string;
  other: number;
  ratio: number;
  /**
   * As ">= 0.95" or "<= 20"; the bound is for the ratio, or for `ours` where nothing is compared.
   * "": no goal.
   */
  goal: string;
  /** Null where there is no goal. */
  met: boolean | null;
}

/** A row before its ratio is known. */
interface RowInput {
  name: string;
  what: string;
  unit: string;
  ours: number;
  against: string;
  other: number;
  goal: string;
  /** What the goal bounds (default: the ratio). */
  of?: 'ratio' | 'ours' | 'difference';
}

/** Makes a row, with figures rounded to four digits. */
export function row({ name, what, unit, ours, against, other, goal, of = 'ratio' }: RowInput): Row {
  const ratio = other === 0 ? 0 : ours / other;
  const value = of === 'ratio' ? ratio : of === 'ours' ? ours : ours - other;
  const [, sign, bound] = /^(>=|<=) \+?([\d.]+)/.exec(goal) ?? [];
  const met = sign === undefined ? null : sign === '>=' ? value >= Number(bound) : value <= Number(bound);
  const round = (number: number): number => Number(number.toPrecision(4));
  return { name, what, unit, ours: round(ours), against, other: round(other), ratio: round(ratio), goal, met };
}
