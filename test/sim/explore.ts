/** All scenarios with a fault at every point, or at points drawn from a seed. */
import { originals } from '../../failover/runtime/core/originals.js';
import { SeededRandom } from '../../lib/random.js';
import { runAgents } from './agents.js';
import { type Fault, type Outcome, runFault } from './fault.js';
import { FAULTS } from './fault-kinds.js';
import type { Mutant } from './mutants.js';
import { SCENARIOS, type Scenario, survives } from './scenarios.js';

export interface Failure {
  /** What `--only` and `--seed` need to repeat it: "scenario/fault/at/seed". */
  case: string;
  failures: string[];
}

export interface Explored {
  scenarios: number;
  faultPoints: number;
  failures: Failure[];
  /** Longest waits of clients, by kind of fault, in milliseconds. */
  gapsMs: Record<string, number[]>;
}

export function caseName(scenario: Scenario, fault: Fault | null, seed: string): string {
  return fault === null ? `${scenario.name}/none/0/${seed}` : `${scenario.name}/${fault.kind}/${fault.at}/${seed}`;
}

/** Repeats a case by its name. @throws Error when there is no such scenario or fault. */
export function runCase(name: string, mutant?: Mutant): Outcome {
  const [wanted, kind, at, ...rest] = name.split('/');
  const scenario = SCENARIOS.find((one) => one.name === wanted);
  const fault = kind === 'none' ? null : FAULTS.find((one) => one === kind);
  if (scenario === undefined || fault === undefined || !/^\d+$/.test(at ?? '') || rest.length === 0)
    throw new Error(`${name} is not like download/kill/17/1`);
  return runFault(scenario, rest.join('/'), fault === null ? null : { kind: fault, at: Number(at) }, mutant);
}

/** How many points a fault has in a scenario, given a run without one. */
function points(kind: Fault['kind'], clean: Outcome): number {
  return (kind === 'kill-backup' || kind === 'slow' ? Math.min(clean.backupCalls, 400) : clean.calls) + 1;
}

export interface Plan {
  scenarios: Scenario[];
  kinds: readonly Fault['kind'][];
  seed: string;
  /** A replica that is broken on purpose. */
  mutant?: Mutant;
  /** Every n-th point; 1: all. */
  stride: Partial<Record<Fault['kind'], number>>;
  /** Ends early when this says so. */
  enough?: (explored: Explored) => boolean;
  onFailure?: (failure: Failure) => void;
}

/**
 * What a run leaves behind outside of the heap is only freed between two turns of the event loop.
 */
function breathe(): Promise<void> {
  return new Promise((done) => originals.setImmediate(done));
}

/** Runs the plan's cases, one after the other. */
export async function explore(plan: Plan): Promise<Explored> {
  const explored: Explored = { scenarios: 0, faultPoints: 0, failures: [], gapsMs: {} };
  const note = (name: string, kind: string, outcome: Outcome): void => {
    explored.faultPoints++;
    (explored.gapsMs[kind] ??= []).push(outcome.gapUs / 1000);
    if (outcome.failures.length === 0) return;
    const failure = { case: name, failures: outcome.failures };
    explored.failures.push(failure);
    plan.onFailure?.(failure);
  };
  for (const scenario of plan.scenarios) {
    if (plan.enough?.(explored) === true) return explored;
    explored.scenarios++;
    const clean = runFault(scenario, plan.seed, null, plan.mutant);
    note(caseName(scenario, null, plan.seed), 'none', clean);
    for (const kind of plan.kinds) {
      if (!survives(scenario, kind)) continue;
      const stride = (plan.stride[kind] ?? 1) * (scenario.sparse ?? 1);
      for (let at = 0; at < points(kind, clean); at += stride) {
        if (plan.enough?.(explored) === true) return explored;
        await breathe();
        const fault = { kind, at };
        note(caseName(scenario, fault, plan.seed), kind, runFault(scenario, plan.seed, fault, plan.mutant));
      }
    }
  }
  return explored;
}

/**
 * Groups on several machines (agents.ts), by a number of seeds; each counts as many points as
 * trouble was made.
 */
export async function exploreAgents(
  explored: Explored,
  seed: string,
  count: number,
  onFailure: (failure: Failure) => void,
): Promise<void> {
  explored.scenarios++;
  for (let n = 0; n < count; n++) await oneOfAgents(explored, `${seed}.${n}`, onFailure);
}

async function oneOfAgents(explored: Explored, seed: string, onFailure: (failure: Failure) => void): Promise<void> {
  const { failures, troubles } = await runAgents(seed);
  explored.faultPoints += troubles;
  if (failures.length === 0) return;
  const failure = { case: `agents/${seed}`, failures };
  explored.failures.push(failure);
  onFailure(failure);
}

/** Takes new seeds, a random point of a random scenario each, until told to stop. */
export async function search(
  seed: string,
  enough: (explored: Explored) => boolean,
  onFailure: (f: Failure) => void,
): Promise<Explored> {
  const random = new SeededRandom(`search ${seed}`);
  const explored: Explored = { scenarios: SCENARIOS.length, faultPoints: 0, failures: [], gapsMs: {} };
  for (let n = 0; !enough(explored); n++) {
    const scenario = SCENARIOS[random.u32() % SCENARIOS.length];
    const kind = FAULTS[random.u32() % FAULTS.length];
    if (!survives(scenario, kind)) continue;
    const own = `${seed}.${n}`;
    if (n % 4 === 3) {
      await oneOfAgents(explored, own, onFailure);
      continue;
    }
    const clean = runFault(scenario, own, null);
    const tries = [null, ...Array.from({ length: 8 }, () => ({ kind, at: random.u32() % points(kind, clean) }))];
    for (const fault of tries) {
      await breathe();
      const outcome = fault === null ? clean : runFault(scenario, own, fault);
      explored.faultPoints++;
      (explored.gapsMs[fault?.kind ?? 'none'] ??= []).push(outcome.gapUs / 1000);
      if (outcome.failures.length === 0) continue;
      const failure = { case: caseName(scenario, fault, own), failures: outcome.failures };
      explored.failures.push(failure);
      onFailure(failure);
    }
  }
  return explored;
}
