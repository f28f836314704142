/**
 * What a page shows, runs: the shell blocks of a page in their order, in namespaces of their own,
 * beside the files that its named code blocks (```js NAME) make. A block that installs or tests the
 * package itself is left out.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { unshareFlags } from '../../failover/lab/namespace.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const LIMIT_MS = 120_000;
const NOT_HERE = /npm (install|run|test)/;
/** Groups of other processes of this machine must not be seen, so /run is the test's own. */
const BEFORE = 'set -e\nmount -t tmpfs tmpfs /run\nip link set lo up\n';

/** The commands that are not run here: they are what CI runs. */
const LEFT_OUT = ['README.md: npm install && npm run demo', 'README.md: npm install && npm test'];

interface Block {
  language: string;
  name: string;
  text: string;
}

function blocksOf(page: string): Block[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^```(\w+) ?(\S*)\n(.*?)^```$/gms)].map(([, language = '', name = '', body = '']) => ({
    language,
    name,
    text: body,
  }));
}

/** Runs a page. @returns what its commands wrote to standard output and standard error. */
function runPage(page: string): { status: number | null; out: string; errors: string } {
  const parent = join(ROOT, 'dist/pages');
  mkdirSync(parent, { recursive: true });
  // Below the package, so that its programs can import it by name.
  const directory = mkdtempSync(join(parent, 'page-'));
  try {
    const blocks = blocksOf(page);
    for (const { name, text } of blocks) if (name !== '') writeFileSync(join(directory, name), text);
    const commands = blocks.filter(({ language, text }) => language === 'sh' && !NOT_HERE.test(text));
    writeFileSync(join(directory, 'page.sh'), BEFORE + commands.map(({ text }) => text).join('\n'));
    // When this process is killed, the page's processes end with it. They start without the test
    // runner's loaders, as a reader's do.
    const node = ['env', '-u', 'NODE_OPTIONS'];
    const words = ['--pdeathsig', 'KILL', ...node, 'unshare', ...unshareFlags(), 'sh', 'page.sh'];
    const { status, stdout, stderr } = spawnSync('setpriv', words, {
      cwd: directory,
      encoding: 'utf8',
      timeout: LIMIT_MS,
    });
    return { status, out: stdout, errors: stderr };
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function testPage(page: string, expected: RegExp[]): void {
  t.test(`${page} runs as it is printed`, { timeout: LIMIT_MS + 10_000 }, async (t) => {
    const { status, out, errors } = runPage(page);
    t.equal(status, 0, 'all commands succeed');
    for (const pattern of expected) t.match(out, pattern);
    if (status !== 0) t.comment(errors);
  });
}

t.test('only installing and testing the package itself is left out', async (t) => {
  const leftOut = ['README.md', 'docs/guides/getting-started.md', 'docs/guides/embedding.md'].flatMap((page) =>
    blocksOf(page)
      .filter(({ language, text }) => language === 'sh' && NOT_HERE.test(text))
      .flatMap(({ text }) => text.trim().split('\n'))
      .map((line) => `${page}: ${line.replace(/ +#.*/, '')}`),
  );
  t.same(leftOut, LEFT_OUT);
});

testPage('README.md', [/^line 30$/m, /drained/, /^hello$/m]);
testPage('docs/guides/getting-started.md', [/can run here/, /^hello$/m, /drained/]);
testPage('docs/guides/embedding.md', [/^over TCP$/m, /^over UDP$/m, /^hello$/m]);
