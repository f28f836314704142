/**
 * Real processes, a real TAP, the kernel's own TCP as the client. Runs inside of a lab of its own.
 */
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chunk, contentSha256 } from '../../failover/demo/content.js';
import { Client, get, inLab, KIT, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);

function certificate(): { cert: string; key: string } {
  const cert = join(directory, 'cert.pem');
  const key = join(directory, 'key.pem');
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=10.77.0.2', '-keyout', key, '-out', cert],
  ]);
  if (made.status !== 0) throw new Error(String(made.stderr));
  return { cert, key };
}

t.test('ticks continue in order, none lost, none twice', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  let linesAtKill = 0;
  const text = await get('/ticks/200', 20_000, (text) => {
    if (linesAtKill > 0 || text.split('\n').length <= 60) return;
    linesAtKill = text.split('\n').length - 1;
    primary.kill('SIGKILL');
  });
  t.ok(linesAtKill < 200, `killed in the middle, after ${linesAtKill} lines`);
  const lines = text.trim().split('\n');
  t.same(
    lines.map((line) => Number(line.split(' ')[0])),
    Array.from({ length: 200 }, (_, i) => i),
  );
  const times = lines.map((line) => Number(line.split(' ')[1]));
  t.ok(
    times.every((time, i) => i === 0 || time >= times[i - 1]),
    'time does not go back',
  );
  t.equal(new Set(lines.map((line) => line.split(' ')[2])).size, 200, 'every line has a random number of its own');
  t.equal(await get('/made'), text, 'the backup made the same lines, those before the kill by replay');
  t.match(await backup.event('takeover'), { breakdown: { reason: 'death', connections: 1 } });
  await group.close();
});

t.test('two hundred connections, half-closed and idle ones among them', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const clients = Array.from({ length: 200 }, (_, i) => new Client(i % 2 === 0 ? 8 : 7));
  for (const [i, client] of clients.entries()) client.socket.write(`hello from ${i};`);
  // Every fourth has ended its side and waits for the answer.
  for (const [i, client] of clients.entries()) if (i % 4 === 1) client.socket.end();
  await until('the echoes have come', () => clients.every(({ text }, i) => i % 2 === 1 || text === `hello from ${i};`));
  t.ok(
    clients.every(({ text }, i) => i % 2 === 0 || text === ''),
    'no answer to a half-closed connection yet',
  );
  primary.kill('SIGKILL');
  await backup.event('takeover');
  for (const [i, client] of clients.entries()) {
    if (i % 4 === 1) continue;
    client.socket.write('and again;');
    if (i % 2 === 1) client.socket.end();
  }
  for (const [i, client] of clients.entries()) {
    if (i % 2 === 1) await client.ended;
    else {
      await client.waitFor(`hello from ${i};and again;`.length);
      client.socket.end();
      await client.ended;
    }
  }
  const wrong = clients.filter((client, i) => {
    const sent = `hello from ${i};${i % 4 === 1 ? '' : 'and again;'}`;
    return client.error !== null || client.text !== (i % 2 === 1 ? sent.toUpperCase() : sent);
  });
  t.same(
    wrong.map((client) => [client.error, client.text]),
    [],
  );
  t.equal(await get('/count'), '0', 'the program saw all of them end');
  await group.close();
});

t.test('an outgoing connection survives a takeover', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const bytes = 64 * 1024 * 1024;
  let sent = 0;
  const server = net.createServer((socket) => {
    let n = 0;
    const send = (): void => {
      while (sent < bytes) {
        sent += 65_536;
        if (!socket.write(chunk(n++, 65_536))) {
          socket.once('drain', send);
          return;
        }
      }
      socket.end();
    };
    socket.on('error', () => undefined);
    send();
  });
  await new Promise<void>((done) => server.listen(0, '10.77.0.1', done));
  const { port } = server.address() as net.AddressInfo;
  const answer = get(`/outgoing/${port}`);
  while (sent < bytes / 2) await sleep(1);
  primary.kill('SIGKILL');
  t.equal(await answer, `${bytes} ${contentSha256(bytes)}`);
  t.match(await backup.event('takeover'), { breakdown: { connections: 2 } });
  server.close();
  await group.close();
});

t.test('the backup dies: the primary continues unprotected, a third replica joins, and takes over', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const old = new Client(8);
  old.socket.write('before;');
  await old.waitFor(7);
  backup.kill('SIGKILL');
  t.match(await primary.event('unprotected'), { reason: 'the backup has ended' });
  t.match(await group.status(primary), { role: 'primary', protected: false, connections: { total: 1, protected: 0 } });
  old.socket.write('alone;');
  await old.waitFor(13);
  t.equal(old.text, 'before;alone;');

  const third = group.start();
  await third.event('ready');
  const status = await group.status(primary);
  t.match(status, { protected: true, logComplete: true, connections: { total: 1, protected: 1 } });
  const fresh = new Client(8);
  fresh.socket.write('fresh;');
  await fresh.waitFor(6);
  primary.kill('SIGKILL');
  await third.event('takeover');
  old.socket.write('after;');
  fresh.socket.write('after;');
  await old.waitFor(19);
  await fresh.waitFor(12);
  t.same([old.text, fresh.text], ['before;alone;after;', 'fresh;after;']);

  // And once more: the successor is a primary like any other.
  const fourth = group.start();
  await fourth.event('ready');
  t.match(await group.status(third), { role: 'primary', epoch: 2, protected: true });
  third.kill('SIGKILL');
  await fourth.event('takeover');
  old.socket.write('end');
  await old.waitFor(22);
  t.equal(old.text, 'before;alone;after;end');
  t.equal(old.error, null);
  old.socket.destroy();
  fresh.socket.destroy();
  await group.close();
});

t.test('a primary that hangs is killed, and sends nothing more', async (t) => {
  const group = new TestGroup(directory, ['--hang-timeout', '300']);
  const [primary, backup] = await group.pair();
  const client = new Client(8);
  client.socket.write('one;');
  await client.waitFor(4);
  primary.kill('SIGSTOP');
  client.socket.write('two;');
  t.match(await backup.event('takeover'), { breakdown: { reason: 'hang' } });
  primary.kill('SIGCONT');
  t.equal((await primary.exited).signal, 'SIGKILL');
  await client.waitFor(8);
  t.equal(client.text, 'one;two;');
  client.socket.destroy();
  await group.close();
});

t.test('a pause of 300 ms is no hang', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  for (let i = 0; i < 3; i++) {
    primary.kill('SIGSTOP');
    await sleep(300);
    primary.kill('SIGCONT');
    await sleep(100);
  }
  t.equal(await get('/'), 'hello');
  t.same(
    backup.events.filter((event) => event.event === 'takeover'),
    [],
  );
  await group.close();
});

t.test('a program that differs is detected, and the primary continues', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  t.match(await get('/different'), /\d/);
  t.match(await backup.event('diverged'), { reason: /./ });
  t.match(await primary.event('unprotected'), { reason: /diverged/ });
  t.same((await backup.exited).code, 1);
  t.ok(
    primary.events.some((event) => event.event === 'nondeterministic-api'),
    'and had been announced',
  );
  t.equal(await get('/'), 'hello');
  await group.close();
});

t.test('SIGTERM causes a switchover, too', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const hash = createHash('sha256');
  const bytes = 256 * 1024 * 1024;
  const done = new Promise<number>((resolve, reject) => {
    let got = 0;
    const socket = net.connect(80, '10.77.0.2', () => socket.write(`GET /bytes/${bytes} HTTP/1.0\r\n\r\n`));
    let body = false;
    socket.on('data', (part: Buffer) => {
      let rest = part;
      if (!body) {
        const at = part.indexOf('\r\n\r\n');
        if (at < 0) return;
        body = true;
        rest = part.subarray(at + 4);
      }
      if (got < bytes / 2 && got + rest.length >= bytes / 2) primary.kill('SIGTERM');
      got += rest.length;
      hash.update(rest);
    });
    socket.on('end', () => resolve(got));
    socket.on('error', reject);
  });
  t.equal(await done, bytes);
  t.equal(hash.digest('hex'), contentSha256(bytes));
  t.match(await backup.event('takeover'), { breakdown: { reason: 'switchover' } });
  t.same(await primary.exited, { code: 0, signal: null });
  await group.close();
});

t.test('TLS: curl over https, with the key exchange', async (t) => {
  const { cert, key } = certificate();
  const group = new TestGroup(directory, [], [KIT, cert, key]);
  const [primary, backup] = await group.pair();
  const bytes = 128 * 1024 * 1024;
  const hash = createHash('sha256');
  let got = 0;
  const curl = spawn('curl', ['-sSk', `https://10.77.0.2/bytes/${bytes}`], { stdio: ['ignore', 'pipe', 'inherit'] });
  curl.stdout.on('data', (part: Buffer) => {
    if (got < bytes / 2 && got + part.length >= bytes / 2) primary.kill('SIGKILL');
    got += part.length;
    hash.update(part);
  });
  t.equal(await new Promise((done) => curl.once('close', done)), 0);
  t.equal(hash.digest('hex'), contentSha256(bytes));
  t.match(await backup.event('takeover'), { breakdown: { connections: 1 } });
  await group.close();
});

t.test('TLS 1.3: a backup replays handshakes of an earlier second', async (t) => {
  const { cert, key } = certificate();
  const group = new TestGroup(directory, [], [KIT, cert, key]);
  const primary = group.start();
  await primary.event('ready');
  const fetch = (bytes: number): Promise<string> =>
    new Promise((done) => {
      const hash = createHash('sha256');
      const curl = spawn('curl', ['-sSk', '--tlsv1.3', `https://10.77.0.2/bytes/${bytes}`], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      curl.stdout.on('data', (part: Buffer) => hash.update(part));
      curl.once('close', () => done(hash.digest('hex')));
    });
  t.equal(await fetch(1000), contentSha256(1000));
  // The tickets of a server that OpenSSL gives the time to would now be others.
  await new Promise((done) => setTimeout(done, 2100));
  const backup = group.start();
  await backup.event('ready');
  t.equal(await fetch(2000), contentSha256(2000));
  await new Promise((done) => setTimeout(done, 300));
  t.same(
    backup.events.filter((event) => event.event === 'diverged'),
    [],
    'did not diverge',
  );
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await fetch(3000), contentSha256(3000));
  await group.close();
});

t.test('IPv6: a download continues, and neighbours are told', async (t) => {
  for (const words of ['addr add fd77::1/64 dev ft0 nodad', 'route replace fd77::/64 dev ft0 congctl cubic'])
    spawnSync('ip', ['-6', ...words.split(' ')]);
  const group = new TestGroup(directory, ['--ip', 'fd77::2/64']);
  const [primary, backup] = await group.pair();
  const bytes = 128 * 1024 * 1024;
  const hash = createHash('sha256');
  let got = 0;
  const curl = spawn('curl', ['-sS', '-6', `http://[fd77::2]/bytes/${bytes}`], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  curl.stdout.on('data', (part: Buffer) => {
    if (got < bytes / 2 && got + part.length >= bytes / 2) primary.kill('SIGKILL');
    got += part.length;
    hash.update(part);
  });
  t.equal(await new Promise((done) => curl.once('close', done)), 0);
  t.equal(hash.digest('hex'), contentSha256(bytes));
  t.match(await backup.event('takeover'), { breakdown: { reason: 'death', connections: 1 } });
  await group.close();
});

t.test('clients that reset their connections do not end protection', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  for (let i = 0; i < 24; i++) {
    const socket = net.connect(i % 2 === 0 ? 7 : 8, '10.77.0.2');
    socket.on('error', () => undefined);
    await new Promise((done) => socket.once('connect', done));
    socket.write('x'.repeat(1 + 1000 * i));
    // Before the answer, in the midst of it, after it; some with an orderly end and data that
    // nobody has read yet.
    await sleep(i);
    if (i % 3 === 0) socket.destroy();
    else socket.resetAndDestroy();
  }
  for (let i = 0; i < 500 && (await group.status(primary))?.connections.total !== 0; i++) await sleep(10);
  await sleep(100);
  t.same(
    backup.events.filter((event) => event.event === 'diverged'),
    [],
  );
  t.equal((await group.status(primary))?.protected, true);
  t.equal((await group.status(primary))?.connections.total, 0);
  primary.kill('SIGKILL');
  t.match(await backup.event('takeover'), { breakdown: { connections: 0 } });
  t.match(await get('/ticks/1'), /^0 /);
  await group.close();
});

t.test('a program that catches its own exceptions continues, and so does its backup', async (t) => {
  const app = fileURLToPath(new URL('apps/thrower.js', import.meta.url));
  const group = new TestGroup(directory, [], [app]);
  const [primary, backup] = await group.pair();
  t.equal(await get('/'), '0 0');
  for (let i = 0; i < 3; i++) {
    const socket = net.connect(80, '10.77.0.2');
    socket.on('error', () => undefined);
    socket.write('GET /throw HTTP/1.1\r\nHost: x\r\n\r\n');
    await sleep(50);
    t.equal(await get('/'), `${i + 1} ${i + 1}`);
    socket.destroy();
  }
  t.equal(await get('/timer'), '3 3');
  await sleep(100);
  t.equal(await get('/'), '4 3');
  t.same(
    [...primary.events, ...backup.events].filter(({ event }) => event === 'diverged' || event === 'unprotected'),
    [],
  );
  primary.kill('SIGKILL');
  t.match(await backup.event('takeover'), { breakdown: { reason: 'death' } });
  t.equal(await get('/'), '4 3', 'the backup has caught as many');
  await group.close();
});

t.test('solo, without a log, time advances with every event of a connection', async (t) => {
  const app = fileURLToPath(new URL('apps/thrower.js', import.meta.url));
  const group = new TestGroup(directory, ['--solo'], [app]);
  const primary = group.start();
  await primary.event('ready');
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    times.push(Number(await get('/now')));
    await sleep(120);
  }
  for (let i = 1; i < 5; i++) t.ok(times[i] - times[i - 1] >= 100, `${times[i] - times[i - 1]} ms later`);
  await group.close();
});
