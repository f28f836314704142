/**
 * `npm run mutation [-- --json]`: breaks the invariants of output commit
 * (failover/log/invariants.ts) one at a time (mutants.ts), and looks for a case of the simulation
 * that notices. Each case found runs once more with the product as it is, and has to pass then.
 */
import { INVARIANTS, type Invariant } from '../../failover/log/invariants.js';
import { readCommandLine } from '../command-line.js';
import { runAgents } from './agents.js';
import { explore, type Failure, runCase } from './explore.js';
import { FAULTS, type FaultKind } from './fault-kinds.js';
import { MUTANTS } from './mutants.js';
import { SCENARIOS } from './scenarios.js';

export interface Verdict {
  name: Invariant;
  caught: boolean;
  /** The case that noticed, and what it said. */
  by: string;
}

/** Faults that a rule is about, most telling first. */
const KINDS: Partial<Record<Invariant, FaultKind[]>> = { fence: ['hang'], threads: ['kill'], A3: ['kill', 'double'] };
/** Where to look first. */
const FIRST: Partial<Record<Invariant, string>> = {
  A1: 'upload',
  A2: 'upload-long',
  A3: 'upload-loss',
  P1: 'upload-loss',
  P2: 'outgoing',
  F2: 'reset',
  threads: 'download-sender',
  C1: 'upload-acked-busy',
  E1: 'disk',
  E2: 'disk',
  R1: 'gateway',
  R2: 'gateway-rejoin',
  E3: 'gauge',
};
const SEEDS = ['1', '2', '3'];

/** Rules of several machines. */
const OF_AGENTS: readonly Invariant[] = ['L1', 'S1'];
const AGENT_SEEDS = 400;
/** Where to look first. */
const TELLING: Partial<Record<Invariant, number>> = { L1: 135, S1: 152 };

/** Looks for a seed of the agents' simulation that notices. */
async function mutateAgents(rule: Invariant): Promise<Verdict> {
  for (const n of [TELLING[rule] ?? 0, ...Array(AGENT_SEEDS).keys()]) {
    const seed = `mutation.${n}`;
    const broken = await runAgents(seed, MUTANTS[rule]);
    if (broken.failures.length === 0) continue;
    const { failures } = await runAgents(seed);
    if (failures.length === 0) return { name: rule, caught: true, by: `sim agents/${seed}: ${broken.failures[0]}` };
  }
  return { name: rule, caught: false, by: '' };
}

/** Breaks one rule and looks for a case that notices. */
export async function mutate(rule: Invariant): Promise<Verdict> {
  if (OF_AGENTS.includes(rule)) return await mutateAgents(rule);
  let found: Failure | undefined;
  for (const seed of SEEDS) {
    await explore({
      scenarios: [...SCENARIOS].sort(
        (one, other) => Number(other.name === FIRST[rule]) - Number(one.name === FIRST[rule]),
      ),
      kinds: KINDS[rule] ?? FAULTS,
      seed,
      mutant: MUTANTS[rule],
      stride: { kill: 3, hang: 3, double: 5, slow: 5, 'kill-backup': 5 },
      enough: () => found !== undefined,
      onFailure: (failure) => {
        found ??= failure;
      },
    });
    if (found !== undefined) break;
  }
  if (found === undefined) return { name: rule, caught: false, by: '' };
  // What fails with the rule in force, too, is no witness.
  const innocent = runCase(found.case).failures.length === 0;
  return { name: rule, caught: innocent, by: `sim ${found.case}: ${found.failures[0]}` };
}

export async function mutateAll(tell: (verdict: Verdict) => void): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  for (const rule of Object.keys(INVARIANTS) as Invariant[]) {
    const verdict = await mutate(rule);
    tell(verdict);
    verdicts.push(verdict);
  }
  return verdicts;
}

const USAGE = `Usage: npm run mutation -- [options]

Breaks each invariant of output commit, and looks for a case of the simulation that notices.

  --json  the last line is one JSON object
`;

if (process.argv[1]?.endsWith('mutation.js')) {
  const values = readCommandLine(USAGE, { json: { type: 'boolean', default: false } });
  const print = (text: string): void => void (values.json ? process.stderr : process.stdout).write(`${text}\n`);
  const verdicts = await mutateAll(({ name, caught, by }) =>
    print(`${name} ${caught ? 'caught' : 'NOT caught'} by ${by}`),
  );
  if (values.json) process.stdout.write(`${JSON.stringify({ rules: verdicts })}\n`);
  else print(`${verdicts.filter(({ caught }) => caught).length} of ${verdicts.length} rules caught`);
  process.exitCode = verdicts.every(({ caught }) => caught) ? 0 : 1;
}
