import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Script } from './interpreter.js';

const root = new URL('../../../test/scripts/', import.meta.url);

/** What is wrong, '' for nothing. */
function outcome(source: string, takeovers: boolean): string {
  try {
    const script = new Script(takeovers, source.startsWith('relay '));
    script.run(source);
    script.finish();
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

for (const folder of readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
  t.test(folder.name, async (t) => {
    for (const file of readdirSync(new URL(`${folder.name}/`, root)).sort()) {
      if (!file.endsWith('.script')) continue;
      const source = readFileSync(new URL(`${folder.name}/${file}`, root), 'utf8');
      t.equal(outcome(source, false), '', `${folder.name}/${file}`);
      // Counters of the stack begin anew in each replica.
      if (/^stat (?!connections|timeWaits|timers)|^# not across takeovers/m.test(source)) continue;
      t.equal(outcome(source, true), '', `${folder.name}/${file}, a takeover after each line`);
    }
  });
}

t.test('a script that expects something else fails, with its line', async (t) => {
  const source = 's = socket tcp 4\nlisten $s 5\nports 9 5000\n< S seq 0\n> SA seq 0 ack 1\n';
  t.throws(() => new Script().run(source), { message: /^line 5: .*\n.*the stack sent R?A|^line 5/ });
});
