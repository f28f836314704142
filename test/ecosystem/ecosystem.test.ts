/** Programs of the registry with living clients and two deaths: the quick part of the suite. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import type { EcosystemResult } from './run-program.js';

t.setTimeout(400_000);

const MAIN = fileURLToPath(new URL('main.js', import.meta.url));
/** A test runner's loaders are not the programs'. */
const { NODE_OPTIONS: _, ...env } = process.env;

t.test('no connection is lost, nothing is answered twice, and no effect happens twice', async (t) => {
  const { stdout } = await promisify(execFile)(process.execPath, [MAIN, '--quick', '--json'], { env }).catch(
    (error: { stdout: string }) => error,
  );
  const { programs } = JSON.parse(stdout.trim().split('\n').at(-1) ?? '{}') as { programs: EcosystemResult[] };
  t.ok(programs.length >= 5);
  for (const { name, ok, kills, steps, notes } of programs) {
    t.ok(ok, `${name}: ${notes.join('; ')}`);
    t.equal(kills, 2, name);
    t.ok(steps >= 400, `${name}: ${steps} steps`);
  }
});
