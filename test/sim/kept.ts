/**
 * Cases that failed once, with what they showed (kept.json); and how a case that fails is made
 * smaller before it is kept.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { runAgents } from './agents.js';
import { runCase } from './explore.js';
import type { Mutant } from './mutants.js';

export interface Kept {
  /** As `--case` takes it. */
  case: string;
  why: string;
}

const FILE = fileURLToPath(new URL('../../../test/sim/kept.json', import.meta.url));
const AGENTS = 'agents/';
/** Earlier points that are tried. */
const MOST_TRIES = 200;

export function readKept(): Kept[] {
  return JSON.parse(readFileSync(FILE, 'utf8')) as Kept[];
}

/** Keeps a case, unless it is kept already. */
export function keep(name: string, why: string): void {
  const kept = readKept();
  if (kept.some((one) => one.case === name)) return;
  writeFileSync(FILE, `${JSON.stringify([...kept, { case: name, why }], null, 2)}\n`);
}

/** What a case shows now. @param mutant a replica that is broken on purpose */
export async function failuresOf(name: string, mutant?: Mutant): Promise<string[]> {
  if (!name.startsWith(AGENTS)) return runCase(name, mutant).failures;
  return (await runAgents(name.slice(AGENTS.length), mutant)).failures;
}

/** The smallest case that is found to fail, too: fewer troubles, an earlier point. */
export async function minimise(name: string, mutant?: Mutant): Promise<string> {
  if ((await failuresOf(name, mutant)).length === 0) return name;
  return name.startsWith(AGENTS) ? await fewer(name, mutant) : earlier(name, mutant);
}

/** Leaves one trouble after the other away, as long as it fails without. */
async function fewer(name: string, mutant?: Mutant): Promise<string> {
  const [seed] = name.slice(AGENTS.length).split('~');
  const { troubles } = await runAgents(seed, mutant);
  const without: number[] = [];
  const called = (left: number[]): string => (left.length === 0 ? seed : `${seed}~${left.join('.')}`);
  for (let n = 0; n < troubles; n++) {
    const { failures } = await runAgents(called([...without, n]), mutant);
    if (failures.length > 0) without.push(n);
  }
  return `${AGENTS}${called(without)}`;
}

function earlier(name: string, mutant?: Mutant): string {
  const [scenario, kind, at, ...seed] = name.split('/');
  const last = Number(at);
  const step = Math.max(1, Math.floor(last / MOST_TRIES));
  for (let n = 0; n < last; n += step) {
    const other = [scenario, kind, n, ...seed].join('/');
    if (runCase(other, mutant).failures.length > 0) return other;
  }
  return name;
}
