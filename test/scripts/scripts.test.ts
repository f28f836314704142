import { readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { Script } from './interpreter.js';

const root = new URL('../../../test/scripts/', import.meta.url);

for (const folder of readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())) {
  t.test(folder.name, async (t) => {
    for (const file of readdirSync(new URL(`${folder.name}/`, root)).sort()) {
      if (!file.endsWith('.script')) continue;
      const source = readFileSync(new URL(`${folder.name}/${file}`, root), 'utf8');
      let problem = '';
      try {
        const script = new Script();
        script.run(source);
        script.finish();
      } catch (error) {
        problem = error instanceof Error ? error.message : String(error);
      }
      t.equal(problem, '', `${folder.name}/${file}`);
    }
  });
}

t.test('a script that expects something else fails, with its line', async (t) => {
  const source = 's = socket tcp 4\nlisten $s 5\nports 9 5000\n< S seq 0\n> SA seq 0 ack 1\n';
  t.throws(() => new Script().run(source), { message: /^line 5: .*\n.*the stack sent R?A|^line 5/ });
});
