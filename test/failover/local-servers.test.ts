/**
 * Servers of a replicated program on loopback and on Unix sockets: the primary alone binds them.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { get, inLab, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
// The test runner's loaders are not the program's.
delete process.env['NODE_OPTIONS'];
t.setTimeout(120_000);

const PATH = join(directory, 'admin.sock');

function program(name: string, text: string): string {
  const home = join(directory, name);
  mkdirSync(home);
  writeFileSync(join(home, 'app.mjs'), `import http from 'node:http'; import net from 'node:net';\n${text}`);
  return join(home, 'app.mjs');
}

/** Asks one of the servers of this machine. */
function ask(where: http.RequestOptions): Promise<string> {
  return new Promise((done) => {
    http
      .get({ agent: false, ...where }, (response) => {
        let text = '';
        response.on('data', (part) => {
          text += part;
        });
        response.on('end', () => done(text));
      })
      .on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  });
}

t.test('metrics and administration beside a public server', async (t) => {
  const app = program(
    'beside',
    `let asked = 0;
     const seen = [];
     const answer = (name) => (q, r) => { seen.push(q.socket.remoteAddress ?? 'path'); r.end(name + ' ' + ++asked); };
     const metrics = http.createServer(answer('metrics'));
     metrics.listen(9090, '127.0.0.1', () => seen.push(metrics.address().port));
     const named = http.createServer(answer('named'));
     named.listen(9091, 'localhost');
     const free = http.createServer(answer('free'));
     free.listen(0, '127.0.0.1');
     const admin = http.createServer(answer('admin'));
     admin.listen({ path: ${JSON.stringify(PATH)} }, () => seen.push(admin.address()));
     const twice = net.createServer();
     twice.on('error', (error) => seen.push(error.code, error.message));
     metrics.once('listening', () => twice.listen(9090, '127.0.0.1'));
     http.createServer((q, r) => r.end(JSON.stringify([asked, free.address().port, ...seen]))).listen(80);`,
  );
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  t.equal(await ask({ port: 9090, host: '127.0.0.1' }), 'metrics 1');
  t.equal(await ask({ port: 9091, host: 'localhost' }), 'named 2');
  t.equal(await ask({ socketPath: PATH }), 'admin 3');
  const state = await get('/');
  const [asked, free, ...seen] = JSON.parse(state) as [number, number, ...unknown[]];
  t.equal(asked, 3);
  t.ok(free > 0);
  t.equal(await ask({ port: free, host: '127.0.0.1' }), 'free 4');
  t.ok(seen.includes(9090) && seen.includes(PATH) && seen.includes('EADDRINUSE'), state);
  t.ok(seen.includes('listen EADDRINUSE: address already in use 127.0.0.1:9090'), state);
  t.match(await primary.event('kernel-socket'), { what: /^server on/ });
  // One that is open at the takeover ends.
  const open = net.connect(9090, '127.0.0.1');
  let ended = '';
  open.on('error', (error: NodeJS.ErrnoException) => {
    ended = error.code ?? '';
  });
  open.on('close', () => {
    ended ||= 'closed';
  });
  await new Promise((done) => open.once('connect', done));
  const before = await get('/');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  await until('it ends', () => ended !== '');
  t.equal(await get('/'), before, 'the successor has the same state');
  const again = async (where: http.RequestOptions, expected: string): Promise<void> => {
    for (let i = 0; i < 50; i++) {
      const answer = await ask(where);
      // The dead primary's sockets, which the kernel resets, come before the successor's.
      if (answer !== 'ECONNREFUSED' && answer !== 'ECONNRESET') {
        t.equal(answer, expected);
        return;
      }
      await new Promise((done) => setTimeout(done, 20));
    }
    t.fail(`nobody listens for ${expected}`);
  };
  await again({ port: 9090, host: '127.0.0.1' }, 'metrics 5');
  await again({ port: free, host: '127.0.0.1' }, 'free 6');
  await again({ socketPath: PATH }, 'admin 7');
  const third = group.start();
  await third.event('ready');
  await backup.event('protected');
  backup.kill('SIGKILL');
  await third.event('takeover');
  await again({ port: 9091, host: 'localhost' }, 'named 8');
  await group.close();
});

t.test('a server that is closed gives its address back; one on a descriptor is refused', async (t) => {
  const app = program(
    'closes',
    `const seen = [];
     const server = net.createServer();
     server.listen(9100, '127.0.0.1', () => server.close(() => {
       const next = http.createServer((q, r) => r.end('next')).listen(9100, '127.0.0.1');
       next.on('listening', () => seen.push('again'));
     }));
     const never = net.createServer().listen(9101, '127.0.0.1', () => seen.push('never'));
     never.close();
     try { net.createServer().listen({ fd: 0 }); } catch (error) { seen.push(error.code); }
     http.createServer((q, r) => r.end(seen.join(' '))).listen(80);`,
  );
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  t.equal(await ask({ port: 9100, host: '127.0.0.1' }), 'next');
  t.equal(await get('/'), 'ERR_FT_UNSUPPORTED again');
  t.equal(await ask({ port: 9101, host: '127.0.0.1' }), 'ECONNREFUSED');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await get('/'), 'ERR_FT_UNSUPPORTED again');
  await group.close();
});

t.test('a program that signals itself reaches the process it runs in', async (t) => {
  const app = program(
    'signals',
    `process.on('SIGUSR2', () => process.stderr.write('signalled\\n'));
     http.createServer((q, r) => r.end(String([process.kill(process.pid, 'SIGUSR2'), process.kill(process.pid, 0)]))).listen(80);`,
  );
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  t.equal(await get('/'), 'true,true');
  await until('the signal', () => primary.stderrLines.includes('signalled'));
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.same(backup.stderrLines, [], 'the backup ran the same line, and signalled nobody');
  t.equal(await get('/'), 'true,true');
  await until('the signal', () => backup.stderrLines.includes('signalled'));
  t.equal(primary.stderrLines.length, 1);
  await group.close();
});
