/**
 * How programs start, and how they end by themselves: the start is one event, and what comes later
 * is an event like any other.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { get, inLab, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
// The test runner's loaders are not the program's.
delete process.env['NODE_OPTIONS'];
t.setTimeout(120_000);

/** Writes the files of a program. @returns the path of the first one */
function program(name: string, files: Record<string, string>): string {
  const home = join(directory, name);
  mkdirSync(home);
  for (const [file, text] of Object.entries(files)) writeFileSync(join(home, file), text);
  return join(home, Object.keys(files)[0]);
}

/** Answers with what the program has found out while it started. */
const SERVE = `
const facts = [];
const serve = () => require('node:http').createServer((q, r) => r.end(facts.join(' '))).listen(80);
`;

/** Ways to begin to listen, each with what the server answers. */
const STARTS: Record<string, { files: Record<string, string>; answer: string | RegExp }> = {
  'in a tick': { files: { 'app.cjs': `${SERVE}facts.push('tick'); process.nextTick(serve);` }, answer: 'tick' },
  'after ten awaits': {
    files: {
      'app.cjs': `${SERVE}(async () => { for (let i = 0; i < 10; i++) facts.push(await i); serve(); })();`,
    },
    answer: '0 1 2 3 4 5 6 7 8 9',
  },
  'after top-level await of a timer and of a file': {
    files: {
      'app.mjs': `import fs from 'node:fs/promises'; import http from 'node:http'; import timers from 'node:timers/promises';
        await timers.setTimeout(20);
        const text = await fs.readFile(new URL('data.txt', import.meta.url), 'utf8');
        http.createServer((q, r) => r.end(text)).listen(80);`,
      'data.txt': 'from the file',
    },
    answer: 'from the file',
  },
  'after a chain of immediates': {
    files: {
      'app.cjs': `${SERVE}const next = (n) => n === 5 ? serve() : setImmediate(() => { facts.push(n); next(n + 1); }); next(0);`,
    },
    answer: '0 1 2 3 4',
  },
  'in imports that nobody awaits, in their order': {
    files: {
      'app.mjs': `import http from 'node:http';
        const facts = [];
        const big = import('./big.mjs').then((m) => facts.push(m.name));
        const small = import('./small.mjs').then((m) => facts.push(m.name));
        Promise.all([big, small]).then(() => http.createServer((q, r) => r.end(facts.join(' '))).listen(80));`,
      'big.mjs': `${'//'.padEnd(4_000_000, 'x')}\nexport * from './deep.mjs';`,
      'deep.mjs': `export const name = 'big';`,
      'small.mjs': `export const name = 'small';`,
    },
    answer: /^(small big|big small)$/,
  },
  'in the main module only': {
    files: { 'app.js': `${SERVE}facts.push(__filename.split('/').pop()); if (require.main === module) serve();` },
    answer: 'app.js',
  },
  'in a module with package type module': {
    files: {
      'app.js': `import http from 'node:http'; http.createServer((q, r) => r.end(typeof require)).listen(80);`,
      'package.json': '{"type":"module"}',
    },
    answer: 'undefined',
  },
  'with CommonJS that requires an ES module': {
    files: {
      'app.cjs': `${SERVE}facts.push(require('./m.mjs').hello); serve();`,
      'm.mjs': `import { deep } from './deep.mjs'; export const hello = 'hello ' + deep;`,
      'deep.mjs': `export const deep = 'deep';`,
    },
    answer: 'hello deep',
  },
  'with an ES module that imports CommonJS that requires': {
    files: {
      'app.mjs': `import { hello } from './a.cjs'; import http from 'node:http'; http.createServer((q, r) => r.end(hello)).listen(80);`,
      'a.cjs': `exports.hello = require('./b.cjs').hello + require('./data.json').more;`,
      'b.cjs': `exports.hello = 'hello';`,
      'data.json': '{"more":" more"}',
    },
    answer: 'hello more',
  },
};

for (const [way, { files, answer }] of Object.entries(STARTS))
  t.test(`a program that listens ${way}`, async (t) => {
    const group = new TestGroup(directory, [], [program(way.replaceAll(' ', '-'), files)]);
    const [primary, backup] = await group.pair();
    const first = await get('/');
    t.match(first, answer);
    primary.kill('SIGKILL');
    await backup.event('takeover');
    t.equal(await get('/'), first, 'the successor found out the same, in the same order');
    await group.close();
  });

t.test('a module that is imported in an event belongs to the event', async (t) => {
  const app = program('lazy', {
    'app.mjs': `import http from 'node:http';
      const seen = [];
      http.createServer(async (q, r) => {
        const before = Date.now();
        const [a, b] = await Promise.all([import('./a.mjs'), import('./b.cjs')]);
        seen.push(a.name, b.default.name, Date.now() - before < 2, Math.random());
        r.end(seen.join(' '));
      }).listen(80);`,
    'a.mjs': `export const name = 'a' + Math.random();`,
    'b.cjs': `exports.name = 'b' + Math.random();`,
  });
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  const first = await get('/');
  t.match(first, /^a0\.\d+ b0\.\d+ true 0\.\d+$/);
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.ok((await get('/')).startsWith(`${first} a0`), 'the successor has the same modules');
  await group.close();
});

t.test('a main file without its extension, and arguments behind it', async (t) => {
  const app = program('arguments', {
    'app.js': `${SERVE}facts.push(JSON.stringify(process.argv.slice(2)), process.argv[1].split('/').pop()); serve();`,
  });
  const group = new TestGroup(directory, [], [app.replace(/\.js$/, ''), '--tap', 'none', '-x', '--', '80']);
  const [primary, backup] = await group.pair();
  t.equal(await get('/'), '["--tap","none","-x","--","80"] app');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await get('/'), '["--tap","none","-x","--","80"] app');
  const lost = new TestGroup(directory, [], [join(directory, 'nowhere')]).start();
  t.same(await lost.exited, { code: 1, signal: null });
  t.match(lost.stderrLines.join('\n'), /ERR_FT_PROGRAM.*cannot be found/);
  await group.close();
});

const { typescript } = process.features as { typescript?: unknown };
t.test('TypeScript, where Node strips types', { skip: typescript ? false : 'this Node does not' }, async (t) => {
  const app = program('types', {
    'app.ts': `import http from 'node:http';
      interface Answer { text: string }
      const answer: Answer = { text: 'typed' };
      http.createServer((q, r) => r.end(answer.text)).listen(80);`,
    'package.json': '{"type":"module"}',
  });
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await get('/'), 'typed');
  await group.close();
});

t.test('a loader that the command line registers, as tsx does', async (t) => {
  const app = program('hooks', {
    'app.mjs': `import http from 'node:http'; import { name } from './made.mjs';
      const later = import('./later.mjs');
      http.createServer(async (q, r) => r.end(name + (await later).name)).listen(80);`,
    'later.mjs': `export const name = 'ORIGINAL';`,
    'made.mjs': `export const name = 'ORIGINAL';`,
    'register.mjs': `import { register } from 'node:module'; register('./hooks.mjs', import.meta.url);`,
    'hooks.mjs': `export async function load(url, context, next) {
        const loaded = await next(url, context);
        if (!/(made|later).mjs$/.test(url)) return loaded;
        await new Promise((done) => setTimeout(done, 100));
        return { ...loaded, source: String(loaded.source).replace('ORIGINAL', 'changed ') };
      }`,
  });
  const before = process.env['NODE_OPTIONS'];
  process.env['NODE_OPTIONS'] = `--import ${join(app, '../register.mjs')}`;
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  if (before === undefined) delete process.env['NODE_OPTIONS'];
  else process.env['NODE_OPTIONS'] = before;
  t.equal(await get('/'), 'changed changed ');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await get('/'), 'changed changed ');
  await group.close();
});

t.test('import.meta.main is what Node makes it', async (t) => {
  const app = program('main', {
    'app.mjs': `import http from 'node:http';
      http.createServer((q, r) => r.end(String(import.meta.main))).listen(80);`,
    'plain.mjs': 'process.stdout.write(String(import.meta.main))',
  });
  const group = new TestGroup(directory, [], [app]);
  await group.start().event('ready');
  const plain = spawnSync(process.execPath, [join(directory, 'main/plain.mjs')], { encoding: 'utf8' });
  t.equal(await get('/'), plain.stdout);
  await group.close();
});

t.test('a program that ends by itself ends its group, with beforeExit and its exit code', async (t) => {
  const app = program('ends', {
    'app.cjs': `let extended = 0;
      const say = (text) => process.stderr.write(text + '\\n');
      process.on('beforeExit', (code) => { say('before ' + code); if (++extended === 2) setTimeout(() => say('more'), 10); });
      process.on('exit', (code) => say('exit ' + code));
      const server = require('node:http').createServer((q, r) => { r.end('bye'); server.close(); server.closeAllConnections?.(); });
      server.listen(80);
      process.exitCode = 7;`,
  });
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  t.equal(await get('/'), 'bye');
  t.same(await primary.exited, { code: 7, signal: null });
  t.same(await backup.exited, { code: 0, signal: null });
  t.same(primary.stderrLines, ['before 7', 'exit 7']);
  t.same(backup.stderrLines, [], 'a backup is silent');
  t.match(await primary.event('program-ended'), { code: 7 });
  await group.close();
});

t.test('a program that fails in its start ends with the error', async (t) => {
  for (const [name, text] of [
    ['throws.cjs', `throw new Error('no start')`],
    ['rejects.mjs', `await null; throw new Error('no start')`],
  ]) {
    const replica = new TestGroup(directory, [], [program(name, { [name]: text })]).start();
    t.same(await replica.exited, { code: 1, signal: null });
    t.match(await replica.event('program-failed'), { message: 'no start' });
    t.match(replica.stderrLines.join('\n'), /no start/);
  }
});

t.test('nothing is delivered before the start is over', async (t) => {
  const app = program('late', {
    'app.mjs': `import http from 'node:http';
      const seen = [];
      http.createServer((q, r) => r.end(seen.join(' '))).listen(80, () => seen.push('listening'));
      setImmediate(() => seen.push('immediate'));
      setTimeout(() => seen.push('timer'), 0);
      seen.push((await import('./slow.mjs')).name, 'started');`,
    'slow.mjs': `import { readFileSync } from 'node:fs';
      for (let i = 0; i < 2000; i++) readFileSync(new URL(import.meta.url));
      export const name = 'slow';`,
  });
  const group = new TestGroup(directory, [], [app]);
  const primary = group.start();
  // Clients knock while it starts.
  await until('an answer', () => primary.events.some(({ event }) => event === 'ready'));
  const backup = group.start();
  await backup.event('ready');
  const first = await get('/');
  t.match(first, /listening.*|slow/);
  t.ok(first.indexOf('started') < first.indexOf('immediate'), first);
  t.ok(first.indexOf('started') < first.indexOf('timer'), first);
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await get('/'), first);
  await group.close();
});
