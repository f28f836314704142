/**
 * State mode for HTTP: connections outlive the program and its version, and the program does
 * nothing for it.
 */
import http from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const APP = fileURLToPath(new URL('apps/state-http.js', import.meta.url));

/** A client with one connection of its own. */
class Caller {
  readonly agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly ports = new Set<number>();
  /** What has come of the latest answer. */
  text = '';

  ask(path: string, method = 'GET', body = ''): Promise<string> {
    return new Promise((done) => {
      const options = { host: STACK_ADDRESS, path, method, agent: this.agent };
      const request = http.request(options, (response) => {
        this.ports.add(response.socket.localPort ?? 0);
        this.text = '';
        response.on('data', (part) => {
          this.text += part;
        });
        response.on('end', () => done(this.text));
        response.on('error', (error: NodeJS.ErrnoException) => done(`${error.code}`));
      });
      request.on('error', (error: NodeJS.ErrnoException) => done(`${error.code}`));
      request.end(body);
    });
  }
}

function group(word: string): TestGroup {
  return new TestGroup(directory, ['--mode', 'state'], [APP, word]);
}

t.test('idle connections survive, unanswered requests are given again, half an answer is reset', async (t) => {
  const own = group('v1');
  const [primary, backup] = await own.pair();
  const callers = Array.from({ length: 6 }, () => new Caller());
  const [idle, posted, slow, slowPost, half, big] = callers as [Caller, Caller, Caller, Caller, Caller, Caller];
  for (const [n, caller] of callers.entries()) t.equal(await caller.ask(`/${n}`), `v1 GET /${n} `);
  t.equal(await posted.ask('/p', 'POST', 'body'), 'v1 POST /p body');
  t.equal((await big.ask('/big/3000000')).length, 3_000_000);
  let answered = 0;
  const going = [slow.ask('/slow/1500'), slowPost.ask('/slow/1500', 'PUT', 'something'), half.ask('/half/1500')];
  for (const answer of going) void answer.then(() => answered++);
  await until('half an answer', () => half.text === 'v1 first half');
  t.equal(answered, 0, 'killed before the answers');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.same(await Promise.all(going), ['v1 slow ', 'v1 slow something', 'ECONNRESET']);
  t.equal(await idle.ask('/again'), 'v1 GET /again ');
  t.equal(await posted.ask('/again', 'POST', 'x'), 'v1 POST /again x');
  t.equal(await big.ask('/again'), 'v1 GET /again ');
  for (const caller of [idle, posted, slow, slowPost, big]) t.equal(caller.ports.size, 1, 'the same connection');
  for (const { agent } of callers) agent.destroy();
  await own.close();
});

t.test('new code takes over connections that it did not accept', async (t) => {
  const own = group('v1');
  const primary = own.start();
  await primary.event('ready');
  const callers = Array.from({ length: 20 }, () => new Caller());
  await Promise.all(callers.map((caller) => caller.ask('/')));
  own.program[1] = 'v2';
  const backup = own.start();
  await backup.event('ready');
  await primary.event('protected');
  let answered = 0;
  const going = callers.slice(10).map((caller) => caller.ask('/slow/2000', 'POST', 'y'));
  for (const answer of going) void answer.then(() => answered++);
  await sleep(50);
  t.equal(answered, 0, 'nothing has been answered');
  primary.kill('SIGTERM');
  await backup.event('takeover');
  t.same(await Promise.all(going), Array(10).fill('v2 slow y'), 'asked again of the new program');
  t.same(await Promise.all(callers.map((caller) => caller.ask('/z'))), Array(20).fill('v2 GET /z '));
  t.ok(
    callers.every(({ ports }) => ports.size === 1),
    'nobody had to connect again',
  );
  for (const { agent } of callers) agent.destroy();
  await own.close();
});

t.test('an upgrade that the program does not handle is a request', async (t) => {
  const own = group('v1');
  const only = own.start();
  await only.event('ready');
  const socket = net.connect(80, STACK_ADDRESS);
  socket.write('GET /up HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: something\r\n\r\n');
  const text = await new Promise<string>((done) => socket.once('data', (part) => done(part.toString())));
  t.match(text, /200 OK[\s\S]*v1 GET \/up/);
  socket.destroy();
  await own.close();
});

t.test('pipelined requests', async (t) => {
  const own = group('v1');
  const [primary, backup] = await own.pair();
  const socket = net.connect(80, STACK_ADDRESS);
  let text = '';
  socket.on('data', (part) => {
    text += part;
  });
  const ended = new Promise<string>((done) => socket.on('error', (error: NodeJS.ErrnoException) => done(error.code!)));
  socket.write('GET /1 HTTP/1.1\r\nHost: x\r\n\r\nGET /2 HTTP/1.1\r\nHost: x\r\n\r\nGET /3 HT');
  await until('two answers', () => /GET \/1[\s\S]*GET \/2/.test(text));
  primary.kill('SIGKILL');
  await backup.event('takeover');
  socket.write('TP/1.1\r\nHost: x\r\n\r\n');
  t.equal(await ended, 'ECONNRESET', 'nobody can know where the third one began');
  await own.close();
});

t.test(
  'a program that is replayed: who joins when the log has lost its beginning is given its connections, too',
  async (t) => {
    // One event answers 24 MiB at once, which a busy machine takes long for.
    const own = new TestGroup(directory, ['--log-size', '16', '--hang-timeout', '20000'], [APP, 'v1']);
    const [primary, backup] = await own.pair();
    const callers = Array.from({ length: 4 }, () => new Caller());
    const [idle, filler, busy, fresh] = callers as [Caller, Caller, Caller, Caller];
    t.equal(await idle.ask('/a'), 'v1 GET /a ');
    t.match(await filler.ask('/fill', 'POST', 'x'.repeat(24 << 20)), /^v1 POST \/fill x/);
    backup.kill('SIGKILL');
    await primary.event('unprotected');
    const answer = busy.ask('/slow/5000');
    await sleep(100);
    const third = own.start();
    await third.event('ready');
    t.match(await own.status(primary), { logComplete: false, connections: { total: 3, protected: 2 } });
    t.equal(await answer, 'v1 slow ');
    // One request more, and it is known where the next one begins.
    t.equal(await busy.ask('/b'), 'v1 GET /b ');
    t.equal(await fresh.ask('/c'), 'v1 GET /c ');
    const asked = fresh.ask('/slow/600', 'PUT', 'something');
    await sleep(100);
    primary.kill('SIGKILL');
    await third.event('takeover');
    t.equal(await asked, 'v1 slow something');
    for (const caller of [idle, filler, busy]) t.equal(await caller.ask('/d'), 'v1 GET /d ');
    for (const caller of callers) t.equal(caller.ports.size, 1, 'the same connection');
    t.notOk(third.events.some(({ event }) => event === 'diverged'));
    for (const { agent } of callers) agent.destroy();
    await own.close();
  },
);
