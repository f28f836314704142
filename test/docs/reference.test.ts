/** The generated pages of docs/reference are what the tables of the code say now. */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ERROR_CODES } from '../../failover/admin/error-codes.js';
import { EVENTS } from '../../failover/admin/events.js';
import { COMMANDS } from '../../failover/cli/commands.js';
import { table } from '../../failover/cli/reference/markdown.js';
import { referencePages } from '../../failover/cli/reference/pages.js';

const REFERENCE = fileURLToPath(new URL('../../../docs/reference/', import.meta.url));

t.test('every page is committed as it is generated', async (t) => {
  for (const { path, text } of referencePages()) {
    const file = join(REFERENCE, path);
    const committed = existsSync(file) ? readFileSync(file, 'utf8') : '';
    t.ok(committed === text, `docs/reference/${path} differs: run npm run build && npm run docs`);
  }
});

t.test('no command, event or code is left out', async (t) => {
  const page = (name: string): string => referencePages().find(({ path }) => path === name)?.text ?? '';
  for (const { spec } of COMMANDS) t.match(page('cli.md'), `\n## ft-tcp ${spec.name}\n`);
  t.notMatch(page('cli.md'), '--member', 'internal options are not documented');
  for (const name of Object.keys(EVENTS)) t.match(page('events.md'), `\n### ${name}\n`);
  for (const name of Object.keys(ERROR_CODES)) t.match(page('errors.md'), `\n## ${name}\n`);
  for (const place of ['replicas[].peerPid', 'cluster.peers.NAME.up', 'replicas[].takeover.reason'])
    t.match(page('status.md'), `\n| \`${place}\` |`);
});

t.test('tables: bars are escaped, empty columns left out', async (t) => {
  t.same(table(['a', 'b', 'c'], [['1', '', 'x|y']]), ['| a | c |', '| --- | --- |', '| 1 | x\\|y |', '']);
});
