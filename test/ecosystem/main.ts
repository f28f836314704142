/**
 * `npm run ecosystem -- [--quick] [--only NAME,NAME] [--json]`: programs of the registry, as they
 * come, with living clients, two deaths and a late joiner. See docs/internals/testing.md.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { makeTap } from '../../failover/lab/network.js';
import { readCommandLine, refuse } from '../command-line.js';
import { installPrograms } from './install.js';
import { type EcosystemProgram, PROGRAMS } from './programs.js';
import { type EcosystemResult, runProgram } from './run-program.js';

const USAGE = `Usage: npm run ecosystem -- [options]

Runs programs of npm's registry as replicas, with clients, in a network namespace: kill -9 of the
primary, a third replica joins, kill -9 again. Installs the packages on first use.

  --quick            a few programs
  --only NAME,NAME   these programs: ${PROGRAMS.map(({ name }) => name).join(', ')}
  --json             the last line is one JSON object
  --help             this text

Another version of Node.js: npx -y -p node@24 node dist/test/ecosystem/main.js
`;

const PROGRAMS_DIRECTORY = 'FT_TCP_ECOSYSTEM';

function chosen(only: string | undefined, isQuick: boolean): EcosystemProgram[] {
  if (only === undefined) return PROGRAMS.filter((program) => !isQuick || program.isQuick === true);
  return [...new Set(only.split(','))].map((name) => {
    const known = PROGRAMS.map((program) => program.name).join(', ');
    return PROGRAMS.find((program) => program.name === name) ?? refuse(`--only ${name}: expected one of ${known}`);
  });
}

function line(result: EcosystemResult): string {
  const { name, version, ok, kills, steps, longestGapMs, notes } = result;
  const what = `${name} ${version}: ${kills} deaths, ${steps} steps, longest ${longestGapMs} ms`;
  return `${ok ? 'ok' : 'not ok'} - ${what}${notes.map((note) => `\n  ${note}`).join('')}`;
}

const values = readCommandLine(USAGE, {
  quick: { type: 'boolean' },
  only: { type: 'string' },
  json: { type: 'boolean' },
});
const programs = chosen(values.only, values.quick === true);
if (labDirectory() === undefined) {
  process.env[PROGRAMS_DIRECTORY] = installPrograms();
  process.exit(await runInLab(fileURLToPath(import.meta.url), process.argv.slice(2)));
}
const lab = enterLab();
makeTap(true);
const results: EcosystemResult[] = [];
for (const program of programs) {
  const directory = join(lab, program.name);
  mkdirSync(directory, { mode: 0o700 });
  const result = await runProgram(program, process.env[PROGRAMS_DIRECTORY] as string, directory);
  results.push(result);
  console.log(line(result));
}
const failures = results.filter(({ ok }) => !ok).length;
if (values.json === true) console.log(JSON.stringify({ programs: results, failures }));
else console.log(`${results.length} programs, ${failures} failures`);
process.exit(failures === 0 ? 0 : 1);
