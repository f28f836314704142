import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

t.test('every pair of options, paths and roles against the kernel', { timeout: 300_000 }, async (t) => {
  const main = fileURLToPath(new URL('main.js', import.meta.url));
  const run = spawnSync(process.execPath, [main, '--quick', '--bytes', '1M'], { encoding: 'utf8', timeout: 280_000 });
  for (const line of run.stdout.split('\n')) if (/^(not )?ok /.test(line)) t.ok(line.startsWith('ok '), line);
  t.match(run.stdout, /^[1-9]\d* passed, 0 failed/m, run.stderr);
});
