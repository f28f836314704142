/**
 * `npm run sim`: failover in virtual time, with faults at every point; see
 * docs/internals/simulation.md.
 */
import { performance } from 'node:perf_hooks';
import { percentile } from '../../failover/demo/arrivals.js';
import { oneOf, positiveNumber, readCommandLine } from '../command-line.js';
import { runAgents } from './agents.js';
import { runDay } from './day.js';
import { type Explored, explore, exploreAgents, type Failure, runCase, search } from './explore.js';
import { FAULTS } from './fault-kinds.js';
import { keep, minimise } from './kept.js';
import { SCENARIOS } from './scenarios.js';

const SCENARIO_NAMES = [...SCENARIOS.map(({ name }) => name), 'agents', 'day'];

const USAGE = `Usage: npm run sim -- [options]

Runs every scenario with every fault at every point, in virtual time.

  --quick       every eighth to thirtieth point, in less than five minutes
  --seed S      another seed (default 1); the same seed gives the same run
  --only NAME   one scenario: ${SCENARIO_NAMES.join(', ')}
  --fault KIND  one kind of fault: ${FAULTS.join(', ')}
  --case NAME   repeats one case as it was reported: scenario/fault/point/seed, or agents/seed
  --hours H     searches with new seeds for so long
  --json        the last line is one JSON object
  --keep        writes what fails into test/sim/kept.json, which the tests repeat
`;
const QUICK = {
  kill: 8,
  'kill-backup': 14,
  hang: 20,
  pause: 30,
  double: 20,
  slow: 14,
  switchover: 20,
  restart: 14,
  clock: 20,
  machine: 14,
} as const;
/** The quick run stops by then, done or not. */
const QUICK_MS = 250_000;
/** Groups on several machines: seeds. */
const AGENTS = 1000;
const AGENTS_QUICK = 100;
const MOST_KEPT = 5;

function report(explored: Explored, began: number, json: boolean): number {
  const print = (text: string): void => void (json ? process.stderr : process.stdout).write(`${text}\n`);
  for (const [kind, gaps] of Object.entries(explored.gapsMs)) {
    const figures = [0.5, 0.99, 1].map((part) => percentile(gaps, part).toFixed(0));
    print(`${kind}: ${gaps.length} runs, clients waited ${figures.join(' / ')} ms (median / 99 % / longest)`);
  }
  const seconds = Math.round((performance.now() - began) / 1000);
  const { scenarios, faultPoints, failures } = explored;
  print(`${scenarios} scenarios, ${faultPoints} fault points, ${failures.length} failures, ${seconds} s`);
  if (json) process.stdout.write(`${JSON.stringify({ scenarios, faultPoints, failures: failures.length })}\n`);
  return failures.length === 0 && faultPoints > 0 ? 0 : 1;
}

async function main(): Promise<number> {
  const values = readCommandLine(USAGE, {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    seed: { type: 'string', default: '1' },
    only: { type: 'string' },
    fault: { type: 'string' },
    case: { type: 'string' },
    hours: { type: 'string' },
    keep: { type: 'boolean', default: false },
  });
  if (values.only !== undefined) oneOf('--only', values.only, SCENARIO_NAMES);
  const kinds = values.fault === undefined ? FAULTS : [oneOf('--fault', values.fault, FAULTS)];
  const began = performance.now();
  const failed: Failure[] = [];
  const complain = (failure: Failure): void => {
    failed.push(failure);
    process.stderr.write(`${failure.case}\n${failure.failures.map((text) => `  ${text}\n`).join('')}`);
  };
  /** The first ones are made smaller, and kept if that is wanted. */
  const finish = async (explored: Explored): Promise<number> => {
    for (const one of failed.slice(0, MOST_KEPT)) {
      const small = await minimise(one.case);
      process.stderr.write(`${one.case} is as small as ${small}\n`);
      if (values.keep) keep(small, one.failures[0] ?? '');
    }
    return report(explored, began, values.json);
  };
  if (values.case?.startsWith('agents/') === true) {
    const { failures, story } = await runAgents(values.case.slice('agents/'.length));
    process.stdout.write(`${[...story, ...failures].join('\n')}\n`);
    return failures.length === 0 ? 0 : 1;
  }
  if (values.case !== undefined) {
    const outcome = runCase(values.case);
    process.stdout.write(`${JSON.stringify(outcome, null, 2)}\n`);
    return outcome.failures.length === 0 ? 0 : 1;
  }
  const spent = (): number => performance.now() - began;
  if (values.hours !== undefined) {
    const limit = positiveNumber('--hours', values.hours) * 3_600_000;
    return report(await search(values.seed, () => spent() > limit, complain), began, values.json);
  }
  if (values.only === 'agents') {
    const explored: Explored = { scenarios: 0, faultPoints: 0, failures: [], gapsMs: {} };
    await exploreAgents(explored, values.seed, values.quick ? AGENTS_QUICK : AGENTS, complain);
    return finish(explored);
  }
  if (values.only === 'day') {
    for (const mode of ['replay', 'state'] as const) {
      const { failures, ...facts } = runDay(values.quick ? 7 : 24, mode, values.seed);
      process.stdout.write(`${mode}: ${JSON.stringify(facts)}\n`);
      if (failures.length > 0) {
        process.stderr.write(`${failures.join('\n')}\n`);
        return 1;
      }
    }
    return 0;
  }
  const scenarios = SCENARIOS.filter(({ name }) => values.only === undefined || name === values.only);
  const explored = await explore({
    scenarios,
    kinds,
    seed: values.seed,
    stride: values.quick ? QUICK : {},
    enough: () => values.quick && spent() > QUICK_MS,
    onFailure: complain,
  });
  if (explored.scenarios < scenarios.length) {
    const done = `${explored.scenarios} of ${scenarios.length} scenarios`;
    process.stderr.write(`sim: stopped for time after ${done}; the others were not run\n`);
  }
  if (values.only === undefined && values.fault === undefined)
    await exploreAgents(explored, values.seed, values.quick ? AGENTS_QUICK : AGENTS, complain);
  return finish(explored);
}

try {
  process.exitCode = await main();
} catch (error) {
  process.stderr.write(`sim: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 2;
}
