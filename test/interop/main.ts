/**
 * `npm run interop -- [--quick] [--only NAME] [--bytes 100M] [--part I/N] [--json]`: our stack
 * against the kernel's TCP and against outside tools, on real devices in a network namespace of its
 * own. See docs/internals/interop.md.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { parseSize } from '../../failover/cli/value-types.js';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { ip } from '../../failover/lab/network.js';
import { requireTools } from '../../failover/lab/required-tools.js';
import { errorCode } from '../../lib/errors.js';
import { allCells, type Cell, cellBytes, cellName, pairCells } from './cells.js';
import { CellRunner } from './run-cell.js';
import { type Check, toolChecks } from './tools.js';

const USAGE = 'interop: [--quick] [--only NAME[,NAME]] [--bytes 100M] [--part I/N] [--list] [--json]\n';

interface Options {
  cells: Cell[];
  checks: Check[];
  bytes: number;
  json: boolean;
  list: boolean;
}

function options(argv: string[]): Options {
  const { values } = parseArgs({
    args: argv,
    options: {
      quick: { type: 'boolean' },
      only: { type: 'string' },
      bytes: { type: 'string' },
      part: { type: 'string', default: '1/1' },
      list: { type: 'boolean' },
      json: { type: 'boolean' },
    },
  });
  const quick = values.quick === true;
  // Every word must be a part of the name: --only server,loss,nosack
  const words = (values.only ?? '').split(',').filter((word) => word !== '');
  // As whole parts of it: "sack" is not "nosack".
  const matches = (name: string): boolean => words.every((word) => `.${name}.`.includes(`.${word}.`));
  const part = /^([1-9]\d*)\/([1-9]\d*)$/.exec(values.part);
  if (part === null || Number(part[1]) > Number(part[2])) throw new Error(`--part ${values.part} is not like 1/4`);
  const mine = (at: number): boolean => at % Number(part[2]) === Number(part[1]) - 1;
  const bytes = parseSize(values.bytes ?? (quick ? '4M' : '100M'));
  if (!(bytes >= 1 && bytes <= 2 ** 40)) throw new Error(`--bytes ${values.bytes} is not like 100M`);
  return {
    cells: (quick ? pairCells() : allCells()).filter((cell) => matches(cellName(cell))).filter((_, at) => mine(at)),
    checks: toolChecks().filter((check) => matches(check.name) && mine(0)),
    bytes,
    json: values.json === true,
    list: values.list === true,
  };
}

async function inside({ cells, checks, bytes, json }: Options): Promise<boolean> {
  enterLab();
  ip('link set lo up');
  const print = (text: string): void => void (json ? process.stderr : process.stdout).write(`${text}\n`);
  const failures: { name: string; wrong: string[] }[] = [];
  const known: { name: string; why: string }[] = [];
  let passed = 0;
  const began = Date.now();
  const runner = new CellRunner();
  for (const cell of cells) {
    const result = await runner.run(cell, cellBytes(cell, bytes));
    const rate = ((result.bytes * 8) / 1e6 / (result.ms / 1000)).toFixed(0);
    const figures = `${(result.bytes / 2 ** 20).toFixed(1)} MiB, ${(result.ms / 1000).toFixed(1)} s, ${rate} Mbit/s`;
    if (result.wrong.length === 0) {
      passed++;
      print(`ok ${result.name} (${figures})`);
    } else {
      failures.push({ name: result.name, wrong: result.wrong });
      print(`not ok ${result.name} (${figures}): ${result.wrong.join('; ')}`);
      print(`  ${JSON.stringify(result.state)}`);
    }
  }
  await runner.close();
  for (const check of checks) {
    const start = Date.now();
    const { outcome, text } = await check.run();
    const time = `${((Date.now() - start) / 1000).toFixed(1)} s`;
    if (outcome === 'passed') passed++;
    else if (outcome === 'known') known.push({ name: check.name, why: text });
    else if (outcome === 'failed') failures.push({ name: check.name, wrong: [text] });
    const words = { passed: 'ok', failed: 'not ok', known: 'known', absent: 'absent' };
    print(`${words[outcome]} ${check.name} (${time})${text === '' ? '' : `: ${text}`}`);
  }
  const seconds = Math.round((Date.now() - began) / 1000);
  print(`${passed} passed, ${failures.length} failed, ${known.length} known, ${seconds} s`);
  const summary = { passed, failed: failures.length, known: known.length, seconds, failures, knownWhy: known };
  if (json) process.stdout.write(`${JSON.stringify(summary)}\n`);
  return failures.length === 0 && passed > 0;
}

async function main(): Promise<number> {
  let chosen: Options;
  try {
    chosen = options(process.argv.slice(2));
  } catch (error) {
    process.stderr.write(`interop: ${error instanceof Error ? error.message : String(error)}\n${USAGE}`);
    return 2;
  }
  if (chosen.list) {
    for (const cell of chosen.cells) process.stdout.write(`${cellName(cell)} ${cellBytes(cell, chosen.bytes)}\n`);
    for (const check of chosen.checks) process.stdout.write(`${check.name}\n`);
    return 0;
  }
  if (chosen.cells.length + chosen.checks.length === 0) {
    process.stderr.write('interop: --only names nothing; see --list\n');
    return 2;
  }
  try {
    if (labDirectory() === undefined) {
      requireTools(['ip', 'unshare', 'mount'], true);
      return await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2));
    }
    return (await inside(chosen)) ? 0 : 1;
  } catch (error) {
    const hint = (error as { hint?: string }).hint ?? '';
    process.stderr.write(
      `interop: ${errorCode(error) ?? ''} ${error instanceof Error ? error.message : error}\n${hint}\n`,
    );
    return 1;
  }
}

process.exit(await main());
