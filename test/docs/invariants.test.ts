/** The failure model states the invariants in the sentences that the code has. */
import { readFileSync } from 'node:fs';
import t from 'tap';
import { INVARIANTS } from '../../failover/log/invariants.js';
import { MUTANTS } from '../sim/mutants.js';

t.test('the page has each invariant, the mutation check breaks each', async (t) => {
  const page = readFileSync(new URL('../../../docs/internals/failure-model.md', import.meta.url), 'utf8');
  const rows = new Map([...page.matchAll(/^\| (\w+) +\| (.*?) +\|$/gm)].map(([, name, sentence]) => [name, sentence]));
  for (const [name, sentence] of Object.entries(INVARIANTS)) t.equal(rows.get(name), sentence, name);
  t.same(Object.keys(MUTANTS), Object.keys(INVARIANTS));
});
