/**
 * `npm run cluster [-- --only NAME,NAME] [--rounds N] [--json]`: a group on several machines (network namespaces), with etcd or a
 * fence command; what can happen to machines and to what connects them, and who spoke when. See docs/guides/cluster.md.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { requireTools } from '../../failover/lab/required-tools.js';
import { download, echoes } from '../lab/clients.js';
import { ClusterLab, type Speech } from './lab.js';
import { CLUSTER_SCENARIOS, type ClusterScenario } from './scenarios.js';

/** A client that does not come to its end by then has failed. */
const PATIENCE_MS = 40_000;

export interface ClusterResult {
  scenario: string;
  /** What the client waited for longest. */
  gapMs: number;
  speeches: Speech[];
  reigns: number;
  problem: string;
}

async function once(directory: string, group: string, scenario: ClusterScenario): Promise<ClusterResult> {
  const result: ClusterResult = { scenario: scenario.name, gapMs: Number.NaN, speeches: [], reigns: 0, problem: '' };
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
      setTimeout(done, PATIENCE_MS, 'the client does not come to an end').unref(),
    );
    result.problem = over === '' ? await Promise.race([outcome, late]) : over;
    result.gapMs = running.pulse.longestMs;
  } catch (error) {
    result.problem = error instanceof Error ? error.message : String(error);
  }
  // What tcpdump has seen last.
  await new Promise((done) => setTimeout(done, 300));
  result.speeches = lab.speeches();
  result.reigns = lab.reigns;
  // Who begins to lead speaks in one piece: two at once would be cut into many.
  if (result.problem === '' && result.speeches.length > result.reigns)
    result.problem = `${result.reigns} reigns, but ${result.speeches.length} speeches: two spoke at once`;
  if (result.problem !== '' && process.env['FT_TCP_VERBOSE'] !== undefined) {
    for (const { name, agents } of lab.nodes)
      for (const { events, stderrLines: said } of agents)
        process.stderr.write(`${name}\n${events.map((e) => JSON.stringify(e)).join('\n')}\n${said.join('\n')}\n`);
  }
  await lab.close();
  return result;
}

function speech({ node, fromMs, toMs, frames, silences }: Speech): string {
  const span = (from: number, to: number): string => `${(from / 1000).toFixed(2)}–${(to / 1000).toFixed(2)}`;
  const quiet = silences.map((one) => `, silent ${span(one.fromMs, one.toMs)}`).join('');
  return `${node} ${span(fromMs, toMs)} s (${frames} frames${quiet})`;
}

interface Options {
  scenarios: ClusterScenario[];
  rounds: number;
  json: boolean;
}

function options(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      only: { type: 'string' },
      rounds: { type: 'string', default: '1' },
      json: { type: 'boolean', default: false },
    },
  });
  const rounds = Number(values.rounds);
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error(`--rounds ${values.rounds} is not a number`);
  const wanted = values.only?.split(',');
  const scenarios = CLUSTER_SCENARIOS.filter(({ name }) => wanted === undefined || wanted.includes(name));
  if (scenarios.length === 0)
    throw new Error(`--only is one of ${CLUSTER_SCENARIOS.map(({ name }) => name).join(', ')}`);
  return { scenarios, rounds, json: values.json };
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
      print(`  ${result.speeches.map(speech).join(', then ')}`);
    }
  }
  const failures = results.filter(({ problem }) => problem !== '');
  print(`${results.length} runs, ${failures.length} failures, ${Math.round((performance.now() - began) / 1000)} s`);
  if (json) process.stdout.write(`${JSON.stringify({ runs: results.length, failures: failures.length, results })}\n`);
  return failures.length === 0;
}

async function main(): Promise<number> {
  try {
    const chosen = options(process.argv.slice(2));
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
