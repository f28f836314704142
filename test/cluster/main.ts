/**
 * `npm run cluster [-- --only NAME,NAME] [--rounds N] [--json]`: a group on several machines
 * (network namespaces), with etcd or a fence command; faults of machines and of the connections
 * between them, and which node sent when. See docs/guides/cluster.md.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { requireTools } from '../../failover/lab/required-tools.js';
import { oneOf, readCommandLine, wholeNumber } from '../command-line.js';
import { download, echoes } from '../lab/clients.js';
import { ClusterLab, type SendPeriod } from './lab.js';
import { CLUSTER_SCENARIOS, type ClusterScenario } from './scenarios.js';

/** A client that has not finished by then has failed. */
const CLIENT_TIMEOUT_MS = 40_000;

export interface ClusterResult {
  scenario: string;
  /** What the client waited for longest. */
  gapMs: number;
  sendPeriods: SendPeriod[];
  leaderships: number;
  problem: string;
}

async function once(directory: string, group: string, scenario: ClusterScenario): Promise<ClusterResult> {
  const result: ClusterResult = {
    scenario: scenario.name,
    gapMs: Number.NaN,
    sendPeriods: [],
    leaderships: 0,
    problem: '',
  };
  mkdirSync(directory);
  const lab = new ClusterLab(directory);
  try {
    await lab.build(scenario.nodes ?? ['a', 'b']);
    if (scenario.prepare === undefined) lab.useEtcd();
    else scenario.prepare(lab);
    await lab.startEtcd();
    await lab.up(group);
    const running = scenario.client === 'echo' ? echoes(20, 1, 5) : download();
    const outcome = running.done.then(
      () => '',
      (error: Error) => `client: ${error.message}`,
    );
    await new Promise((done) => setTimeout(done, 200));
    const failed = outcome.then((problem) => (problem === '' ? new Promise<never>(() => undefined) : problem));
    const over = await Promise.race([scenario.run(lab, group).then(() => ''), failed]);
    running.stop();
    const late = new Promise<string>((done) =>
      setTimeout(done, CLIENT_TIMEOUT_MS, 'the client does not come to an end').unref(),
    );
    result.problem = over === '' ? await Promise.race([outcome, late]) : over;
    result.gapMs = running.pulse.longestMs;
  } catch (error) {
    result.problem = error instanceof Error ? error.message : String(error);
  }
  // What tcpdump has seen last.
  await new Promise((done) => setTimeout(done, 300));
  result.sendPeriods = lab.sendPeriods();
  result.leaderships = lab.leaderships;
  // A leader sends without interruption: two senders at once would make more periods than leaders.
  if (result.problem === '' && result.sendPeriods.length > result.leaderships)
    result.problem = `${result.leaderships} leaders, but ${result.sendPeriods.length} send periods: two nodes sent at once`;
  if (result.problem !== '' && process.env['FT_TCP_VERBOSE'] !== undefined) {
    for (const { name, agents } of lab.nodes)
      for (const { events, stderrLines: said } of agents)
        process.stderr.write(`${name}\n${events.map((e) => JSON.stringify(e)).join('\n')}\n${said.join('\n')}\n`);
  }
  await lab.close();
  return result;
}

function describe({ node, fromMs, toMs, frames, gaps: silences }: SendPeriod): string {
  const span = (from: number, to: number): string => `${(from / 1000).toFixed(2)}–${(to / 1000).toFixed(2)}`;
  const quiet = silences.map((one) => `; nothing sent ${span(one.fromMs, one.toMs)}`).join('');
  return `${node} ${span(fromMs, toMs)} s (${frames} frames${quiet})`;
}

interface Options {
  scenarios: ClusterScenario[];
  rounds: number;
  json: boolean;
}

const USAGE = `Usage: npm run cluster -- [options]

Faults of a group on several machines, which are network namespaces on this one.

  --only NAME,NAME  these scenarios (default: all)
  --rounds N        how often each scenario runs (default: 1)
  --json            results as one JSON object on standard output

Scenarios:
${CLUSTER_SCENARIOS.map(({ name, what }) => `  ${name.padEnd(12)} ${what}`).join('\n')}
`;

function options(): Options {
  const values = readCommandLine(USAGE, {
    only: { type: 'string' },
    rounds: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
  });
  const names = CLUSTER_SCENARIOS.map(({ name }) => name);
  const wanted = values.only?.split(',').map((name) => oneOf('--only', name, names));
  return {
    scenarios: CLUSTER_SCENARIOS.filter(({ name }) => wanted === undefined || wanted.includes(name)),
    rounds: wholeNumber('--rounds', values.rounds, 1, 1e6),
    json: values.json,
  };
}

async function inside({ scenarios, rounds, json }: Options): Promise<boolean> {
  const directory = enterLab();
  const print = (text: string): void => void (json ? process.stderr : process.stdout).write(`${text}\n`);
  const began = performance.now();
  const results: ClusterResult[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const scenario of scenarios) {
      const name = `${scenario.name}${round}`;
      const result = await once(join(directory, name), name, scenario);
      results.push(result);
      print(`${scenario.name}: ${scenario.what}`);
      print(
        `  ${result.problem === '' ? `ok, the client waited ${result.gapMs.toFixed(0)} ms` : `FAILED: ${result.problem}`}`,
      );
      print(`  ${result.sendPeriods.map(describe).join(', then ')}`);
    }
  }
  const failures = results.filter(({ problem }) => problem !== '');
  print(`${results.length} runs, ${failures.length} failures, ${Math.round((performance.now() - began) / 1000)} s`);
  if (json) process.stdout.write(`${JSON.stringify({ runs: results.length, failures: failures.length, results })}\n`);
  return failures.length === 0;
}

async function main(): Promise<number> {
  try {
    const chosen = options();
    if (labDirectory() === undefined) {
      requireTools(['ip', 'unshare', 'mount', 'tcpdump', 'nsenter', 'etcd'], true);
      return await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2));
    }
    return (await inside(chosen)) ? 0 : 1;
  } catch (error) {
    process.stderr.write(`cluster: ${error instanceof Error ? error.message : String(error)}\n`);
    return 2;
  }
}

process.exit(await main());
