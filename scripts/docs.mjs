// `npm run docs`: writes the pages of docs/reference that are generated from the tables of the
// code.
//   node scripts/docs.mjs          writes the pages
//   node scripts/docs.mjs --check  says which pages differ, exit code 1 when there are any
//
// `npm run docs:api` builds the API reference with typedoc into docs/reference/api. It is not
// committed: it has 230 files which change with every comment, and takes half a minute.
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const flags = new Set(process.argv.slice(2));
const { referencePages } = await import('../dist/failover/cli/reference/pages.js');

let differing = 0;
for (const { path, text } of referencePages()) {
  const file = join(root, 'docs/reference', path);
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue;
  differing++;
  console.log(`docs/reference/${path} ${flags.has('--check') ? 'differs' : 'written'}`);
  if (flags.has('--check')) continue;
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}
if (flags.has('--check')) process.exit(differing === 0 ? 0 : 1);
