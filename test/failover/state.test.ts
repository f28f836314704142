/**
 * State mode: the backup runs no program; the one that starts after a takeover restores its
 * connections.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { CHUNK, contentSha256 } from '../../failover/demo/content.js';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const APP = fileURLToPath(new URL('apps/stateful.js', import.meta.url));
let number = 0;

function group(word = 'v1', ...options: string[]): { group: TestGroup; starts: () => string } {
  const file = join(directory, `starts${number++}`);
  return {
    group: new TestGroup(directory, ['--mode', 'state', ...options], [APP, word, file]),
    starts: () => readFileSync(file, 'utf8').trim().replaceAll('\n', ' '),
  };
}

async function line(client: Client, text: string, expected: string): Promise<boolean> {
  const before = client.text.length;
  client.socket.write(`${text}\n`);
  await client.waitFor(before + expected.length + 1);
  return client.text.slice(before) === `${expected}\n`;
}

function download(): { done: Promise<string>; got: () => number } {
  const hash = createHash('sha256');
  let bytes = 0;
  const socket = net.connect(8, STACK_ADDRESS);
  socket.on('data', (part) => {
    bytes += part.length;
    hash.update(part);
  });
  const done = new Promise<string>((resolve) => {
    socket.on('end', () => resolve(`${bytes} ${hash.digest('hex')}`));
    socket.on('error', (error) => resolve(error.message));
  });
  return { done, got: () => bytes };
}

const WHOLE = `${300 * CHUNK} ${contentSha256(300 * CHUNK)}`;

t.test('a count continues; the backup runs no program before its takeover', async (t) => {
  const { group: own, starts } = group();
  const [primary, backup] = await own.pair();
  const client = new Client(7);
  t.ok(await line(client, 'a', 'v1 1 a'));
  t.ok(await line(client, 'b', 'v1 2 b'));
  t.equal(starts(), 'v1', 'one program runs');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.ok(await line(client, 'c', 'v1 3 c'), client.text);
  t.equal(starts(), 'v1 v1');
  // A third one protects what is older than itself.
  const third = own.start();
  await third.event('ready');
  backup.kill('SIGKILL');
  await third.event('takeover');
  t.ok(await line(client, 'd', 'v1 4 d'), client.text);
  client.socket.end();
  await client.ended;
  t.equal(client.error, null);
  await own.close();
});

t.test('an outgoing connection is restored, too, and is not opened again', async (t) => {
  const feeds: net.Socket[] = [];
  const source = net.createServer((socket) => {
    feeds.push(socket);
    socket.on('error', () => undefined);
  });
  await new Promise<void>((done) => source.listen(0, '10.77.0.1', done));
  const { port } = source.address() as net.AddressInfo;
  const app = fileURLToPath(new URL('apps/feed.js', import.meta.url));
  const own = new TestGroup(directory, ['--mode', 'state'], [app, String(port)]);
  let [primary, backup] = await own.pair();
  while (feeds.length === 0) await sleep(5);
  const client = new Client(7);
  await until('connected', () => client.socket.readyState === 'open');
  await sleep(100);
  let expected = '';
  for (let n = 1; n <= 9; n++) {
    feeds[0].write(`line ${n}\nha`);
    await sleep(n % 3 === 0 ? 0 : 20);
    if (n % 3 === 0) {
      primary.kill(n === 6 ? 'SIGTERM' : 'SIGKILL');
      await backup.event('takeover');
      const next = own.start();
      await next.event('ready');
      [primary, backup] = [backup, next];
    }
    feeds[0].write('lf\n');
    expected += `${2 * n - 1} line ${n}\n${2 * n} half\n`;
  }
  await client.waitFor(expected.length);
  t.equal(client.text, expected);
  t.equal(feeds.length, 1);
  client.socket.destroy();
  await own.close();
  for (const feed of feeds) feed.destroy();
  source.close();
});

t.test('a stream continues at the byte where it was', async (t) => {
  const { group: own } = group();
  const [primary, backup] = await own.pair();
  const { done, got } = download();
  while (got() < 30 * CHUNK) await sleep(1);
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await done, WHOLE);
  await own.close();
});

t.test('a replica that joins when the log is truncated gets a snapshot', async (t) => {
  const { group: own } = group('v1', '--log-size', '16');
  const [primary, backup] = await own.pair();
  const client = new Client(7);
  t.ok(await line(client, 'a', 'v1 1 a'));
  // 19 MB of stream are in the log: it has wrapped.
  t.equal(await download().done, WHOLE);
  backup.kill('SIGKILL');
  await primary.event('unprotected');
  const running = download();
  while (running.got() < 20 * CHUNK) await sleep(1);
  const third: ReplicaProcess = own.start();
  await third.event('ready');
  t.ok(await line(client, 'b', 'v1 2 b'));
  primary.kill('SIGKILL');
  await third.event('takeover');
  t.ok(await line(client, 'c', 'v1 3 c'), client.text);
  t.equal(await running.done, WHOLE);
  client.socket.destroy();
  await own.close();
});

t.test('input that kills the program is quarantined with its connection', async (t) => {
  const { group: own } = group();
  const [primary, backup] = await own.pair();
  const [poison, other] = [new Client(7), new Client(7)];
  t.ok(await line(other, 'a', 'v1 1 a'));
  t.ok(await line(poison, 'a', 'v1 1 a'));
  poison.socket.write('boom\n');
  t.not((await primary.exited).code, 0);
  await backup.event('takeover');
  t.match(await backup.event('quarantined'), { error: /thrown by the program/ });
  t.ok(await line(other, 'b', 'v1 2 b'), other.text);
  for (let i = 0; poison.error === null && i < 400; i++) await sleep(5);
  t.equal(poison.error, 'ECONNRESET');
  t.notOk(backup.hasExited);
  other.socket.destroy();
  await own.close();
});

t.test('new code: the connections of one version are restored by the next', async (t) => {
  const { group: own } = group('v1');
  const primary = own.start();
  await primary.event('ready');
  const next = new TestGroup(directory, own.options, [APP, 'v2']);
  Object.assign(next, { name: own.name });
  const backup = next.start();
  await backup.event('ready');
  const client = new Client(7);
  t.ok(await line(client, 'a', 'v1 1 a'));
  primary.kill('SIGTERM');
  t.same(await primary.exited, { code: 0, signal: null });
  t.ok(await line(client, 'b', 'v2 2 b'), client.text);
  client.socket.destroy();
  await Promise.all([own.close(), next.close()]);
});

t.test('unclaimed connections are reset; a replica in another mode is refused', async (t) => {
  const { group: own } = group();
  const [primary, backup] = await own.pair();
  const client = new Client(9);
  await until('connected', () => client.socket.readyState === 'open');
  const other = new TestGroup(directory, ['--mode', 'replay'], own.program);
  Object.assign(other, { name: own.name });
  backup.kill('SIGKILL');
  await primary.event('unprotected');
  const wrong = other.start();
  t.same((await wrong.exited).code, 1);
  t.match(wrong.stderrLines.join('\n'), /ERR_FT_MISMATCH.*state mode/);
  const third = own.start();
  await third.event('ready');
  primary.kill('SIGKILL');
  await third.event('takeover');
  for (let i = 0; client.error === null && i < 400; i++) await sleep(5);
  t.equal(client.error, 'ECONNRESET');
  await Promise.all([own.close(), other.close()]);
});
