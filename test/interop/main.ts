/**
 * `npm run interop -- [--quick] [--only NAME] [--bytes 100M] [--part I/N] [--json]`: our stack
 * against the kernel's TCP and against outside tools, on real devices in a network namespace of its
 * own. See docs/internals/interop.md.
 */
import { fileURLToPath } from 'node:url';
import { parseSize } from '../../failover/cli/value-types.js';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { ip } from '../../failover/lab/network.js';
import { requireTools } from '../../failover/lab/required-tools.js';
import { errorCode } from '../../lib/errors.js';
import { readCommandLine, refuse } from '../command-line.js';
import { allCells, type Cell, cellBytes, cellName, pairCells } from './cells.js';
import { CellRunner } from './run-cell.js';
import { type Check, toolChecks } from './tools.js';

const USAGE = `Usage: npm run interop -- [options]

Transfers between the stack and the kernel's TCP, and checks by outside tools.

  --quick            a few minutes: each pair of properties once
  --only NAME,NAME   cells and checks whose name has all of these parts
  --bytes SIZE       bytes per transfer (default: 100M, with --quick 4M)
  --part I/N         the I-th of N parts of the matrix
  --list             prints the names
  --json             the last line is one JSON object
`;

interface Options {
  cells: Cell[];
  checks: Check[];
  bytes: number;
  json: boolean;
  list: boolean;
}

function sizeOf(text: string): number {
  try {
    const bytes = parseSize(text);
    if (bytes >= 1 && bytes <= 2 ** 40) return bytes;
  } catch {
    // Said below.
  }
  return refuse(`--bytes ${text}: expected 1 to 1024G, as in 100M`);
}

function options(): Options {
  const values = readCommandLine(USAGE, {
    quick: { type: 'boolean' },
    only: { type: 'string' },
    bytes: { type: 'string' },
    part: { type: 'string', default: '1/1' },
    list: { type: 'boolean' },
    json: { type: 'boolean' },
  });
  const quick = values.quick === true;
  // Every word must be a part of the name: --only server,loss,nosack
  const words = (values.only ?? '').split(',').filter((word) => word !== '');
  // As whole parts of it: "sack" is not "nosack".
  const matches = (name: string): boolean => words.every((word) => `.${name}.`.includes(`.${word}.`));
  const part = /^([1-9]\d*)\/([1-9]\d*)$/.exec(values.part);
  if (part === null || Number(part[1]) > Number(part[2]))
    refuse(`--part ${values.part}: expected a part and their number, as in 1/4`);
  const mine = (at: number): boolean => at % Number(part[2]) === Number(part[1]) - 1;
  const bytes = sizeOf(values.bytes ?? (quick ? '4M' : '100M'));
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
  const chosen = options();
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
