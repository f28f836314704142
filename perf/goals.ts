/** What is measured, against what, and what is aimed at. */
export interface Row {
  name: string;
  what: string;
  unit: string;
  ours: number;
  /** What ours is compared with, and its figure. */
  against: string;
  other: number;
  ratio: number;
  /** As ">= 0.95" or "<= 20"; the bound is for the ratio, or for `ours` where there is nothing to compare. "": none. */
  goal: string;
  /** Null where there is no goal. */
  met: boolean | null;
}

/** Makes a row; `of` says what the goal bounds. */
export function row(
  name: string,
  what: string,
  unit: string,
  ours: number,
  against: string,
  other: number,
  goal: string,
  of: 'ratio' | 'ours' | 'difference' = 'ratio',
): Row {
  const ratio = other === 0 ? 0 : ours / other;
  const value = of === 'ratio' ? ratio : of === 'ours' ? ours : ours - other;
  const [, sign, bound] = /^(>=|<=) \+?([\d.]+)/.exec(goal) ?? [];
  const met = sign === undefined ? null : sign === '>=' ? value >= Number(bound) : value <= Number(bound);
  const round = (number: number): number => Number(number.toPrecision(4));
  return { name, what, unit, ours: round(ours), against, other: round(other), ratio: round(ratio), goal, met };
}
