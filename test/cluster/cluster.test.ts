/** Real machines, as namespaces, with real etcd: some of `npm run cluster`. */
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { ClusterResult } from './main.js';

const MAIN = fileURLToPath(new URL('./main.js', import.meta.url));

for (const name of ['kill', 'cut-etcd', 'backup-off', 'deploy', 'fence-off']) {
  t.test(name, { timeout: 120_000 }, async (t) => {
    const run = spawnSync(process.execPath, [MAIN, '--json', '--only', name], {
      encoding: 'utf8',
      env: { ...process.env, FT_TCP_VERBOSE: '1' },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const last = run.stdout.trim().split('\n').at(-1) ?? '';
    const { results } = JSON.parse(last || '{"results":[]}') as { results: ClusterResult[] };
    t.equal(results.length, 1, run.stderr);
    t.equal(results[0]?.problem, '', run.stderr);
    t.ok((results[0]?.sendPeriods.length ?? 0) > 0, 'it was heard');
  });
}
