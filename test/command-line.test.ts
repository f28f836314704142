/** The development commands explain themselves, and refuse what they do not know. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));
const { scripts } = JSON.parse(readFileSync(`${root}package.json`, 'utf8')) as { scripts: Record<string, string> };
const COMMANDS = Object.entries(scripts)
  .map(([name, line]) => ({ name, file: /^node (dist\/(?:test|perf)\/(?!micro)\S+)$/.exec(line)?.[1] ?? '' }))
  .filter(({ file }) => file !== '');

function run(file: string, ...words: string[]): { code: number | null; out: string; error: string } {
  const { status, stdout, stderr } = spawnSync(process.execPath, [file, ...words], {
    cwd: root,
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, out: stdout, error: stderr };
}

t.test('every development command has --help', async (t) => {
  t.ok(COMMANDS.length >= 11, COMMANDS.map(({ name }) => name).join());
  for (const { name, file } of COMMANDS) {
    const help = run(file, '--help');
    t.equal(help.code, 0, name);
    t.match(help.out, `Usage: npm run ${name} -- `);
  }
});

t.test('a wrong value is named with what is allowed', async (t) => {
  for (const [file, words, says] of [
    ['dist/test/sim/main.js', ['--nonsense'], "Unknown option '--nonsense'"],
    ['dist/perf/main.js', ['--rounds', '0'], '--rounds 0: expected an integer from 1 to 100; see --help\n'],
    ['dist/perf/floods.js', ['--rate', 'x'], '--rate x: expected a number above 0; see --help\n'],
    ['dist/test/lab/main.js', ['--kills', ''], '--kills : expected an integer from 1 to 1000000; see --help\n'],
    ['dist/test/lab/main.js', ['--commit', 'no'], '--commit no: expected one of written, acked; see --help\n'],
    ['dist/test/interop/main.js', ['--part', '2/1'], '--part 2/1: expected a part and their number, as in 1/4; '],
    ['dist/test/interop/main.js', ['--bytes', 'x'], '--bytes x: expected 1 to 1024G, as in 100M; see --help\n'],
    ['dist/test/dut/server.js', [], '--listen PATH is missing; see --help\n'],
  ] as const) {
    const { code, error } = run(file, ...words);
    t.equal(code, 2, words.join(' '));
    t.ok(error.startsWith(says), error);
  }
  for (const file of ['sim', 'lab', 'cluster'])
    t.match(run(`dist/test/${file}/main.js`, '--only', 'nonsense').error, '--only nonsense: expected one of ');
});
