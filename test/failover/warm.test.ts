/** Warm standbys: the backup's program is loaded and listens before it is needed. In a lab. */
import { once } from 'node:events';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Client, get, inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(120_000);
const APP = fileURLToPath(new URL('apps/warm.js', import.meta.url));
const LOAD_MS = 1500;
let number = 0;

function group(loadMs: number, ...options: string[]): { own: TestGroup; notes: () => string[] } {
  const file = join(directory, `notes${number++}`);
  return {
    own: new TestGroup(directory, ['--mode', 'state', '--warm', ...options], [APP, 'v1', String(loadMs), file]),
    notes: () => readFileSync(file, 'utf8').trim().split('\n'),
  };
}

/** Sends a line, and returns the answer. */
async function ask(client: Client, text: string): Promise<string> {
  const before = client.text.length;
  client.socket.write(`${text}\n`);
  await until(`an answer to ${text}`, () => client.text.indexOf('\n', before) >= 0 || client.error !== null);
  return client.error ?? client.text.slice(before).trim();
}

/** GET over an agent. */
function over(agent: http.Agent, path: string): Promise<string> {
  return new Promise((done, fail) => {
    const request = http.get({ host: STACK_ADDRESS, path, agent }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => {
        text += part;
      });
      response.on('end', () => done(text));
    });
    request.on('error', fail);
  });
}

t.test('kill -9: the program that takes over was loaded before', async (t) => {
  const { own, notes } = group(LOAD_MS);
  const [primary, backup] = await own.pair();
  t.same(notes(), ['v1 loaded false', 'v1 loaded true'], 'the second one stands by');
  t.match(await backup.event('standing-by'), { ports: '7 80' });
  const client = new Client(7);
  t.equal(await ask(client, 'a'), 'v1 1 a');
  await sleep(300);
  const begun = performance.now();
  primary.kill('SIGKILL');
  t.equal(await ask(client, 'b'), 'v1 2 b');
  const pauseMs = performance.now() - begun;
  t.ok(pauseMs < LOAD_MS / 3, `${pauseMs} ms, and loading takes ${LOAD_MS}`);
  t.comment(`answered ${Math.round(pauseMs)} ms after the kill`);
  t.same(notes().slice(2), ['v1 restore false', 'v1 takeover false', 'v1 server false'], 'in this order');
  t.equal(await ask(client, 'saved'), 'v1 saved 1', 'what the primary saved, not what the standby did');
  t.equal(await ask(client, 'ticks'), 'v1 ticks true', 'its timers have run while it stood by');
  client.socket.destroy();
  await own.close();
});

t.test('http: idle connections continue, and an unanswered request is answered by the standby', async (t) => {
  const { own } = group(LOAD_MS);
  const [primary] = await own.pair();
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  const [, , firstPid] = (await over(agent, '/a')).split(' ');
  const slow = get('/slow');
  await sleep(100);
  primary.kill('SIGKILL');
  const [, , nextPid] = (await over(agent, '/b')).split(' ');
  t.not(nextPid, firstPid, 'on the same connection, by another process');
  t.equal(await slow, `v1 /slow ${nextPid}`);
  agent.destroy();
  await own.close();
});

t.test('a planned move, and one takeover after another; a third standby has its program loaded', async (t) => {
  const { own, notes } = group(0);
  let [primary, backup] = await own.pair();
  const client = new Client(7);
  let count = 0;
  for (let round = 0; round < 6; round++) {
    t.equal(await ask(client, 'x'), `v1 ${++count} x`);
    const third = own.start();
    await third.event('standing-by');
    primary.kill(round % 2 === 0 ? 'SIGTERM' : 'SIGKILL');
    await backup.event('takeover');
    await backup.event('protected');
    [primary, backup] = [backup, third];
  }
  t.equal(await ask(client, 'y'), `v1 ${++count} y`);
  t.equal(notes().filter((line) => line === 'v1 loaded true').length, 7);
  client.socket.destroy();
  await own.close();
});

t.test('a standby whose program throws, exits or hangs does no harm', async (t) => {
  const { own } = group(0);
  const trigger = join(directory, 'trigger');
  const primary = own.start();
  await primary.event('ready');
  const client = new Client(7);
  let count = 0;
  for (const [word, reason] of [
    ['throws', /thrown while standing by/],
    ['exits', /code 9/],
  ] as const) {
    const other = new TestGroup(directory, own.options, [APP, word, '0', trigger]);
    Object.assign(other, { name: own.name });
    const standby = other.start();
    await standby.event('ready');
    t.equal(await ask(client, word), `v1 ${++count} ${word}`);
    writeFileSync(trigger, '');
    t.match(await standby.event('standby-failed'), { message: reason });
    t.not((await standby.exited).code, 0);
    t.equal(await ask(client, word), `v1 ${++count} ${word}`);
    rmSync(trigger);
  }
  const other = new TestGroup(directory, own.options, [APP, 'hangs', '0', trigger]);
  Object.assign(other, { name: own.name });
  const standby = other.start();
  await standby.event('ready');
  writeFileSync(trigger, '');
  // By its heartbeat or, if the log has something to read, by that: the one that looks first.
  const dropped = (): boolean =>
    primary.events.some(({ event, reason }) => event === 'unprotected' && /loop|no progress/.test(String(reason)));
  await until('the primary gives the hung standby up', dropped);
  t.equal(await ask(client, 'z'), `v1 ${++count} z`);
  await other.close();
  const good = own.start();
  await good.event('ready');
  primary.kill('SIGKILL');
  t.equal(await ask(client, 'z'), `v1 ${++count} z`);
  client.socket.destroy();
  await own.close();
});

t.test('what a standby opens is its own: no frame of it has the address of the group', async (t) => {
  const seen: string[] = [];
  const sockets: net.Socket[] = [];
  const database = net.createServer((socket) => {
    seen.push(socket.remoteAddress ?? '');
    sockets.push(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((done) => database.listen(0, '10.77.0.1', done));
  const { port } = database.address() as net.AddressInfo;
  const app = fileURLToPath(new URL('apps/warm-outside.js', import.meta.url));
  const path = join(directory, 'local.sock');
  const own = new TestGroup(directory, ['--mode', 'state', '--warm'], [app, String(port), path]);
  const [primary, backup] = await own.pair();
  await until('both have connected', () => seen.length === 2);
  t.same(seen, [STACK_ADDRESS, '10.77.0.1'], "the primary's by the stack, the standby's by the kernel");
  const client = new Client(7);
  t.equal(await ask(client, 'a'), 'a by the database');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await ask(client, 'b'), 'b by the database', 'over the connection that the standby had open');
  t.equal(seen.length, 2);
  await until('the path is bound', () => existsSync(path));
  const local = net.connect(path);
  local.on('error', () => undefined);
  const [hello] = (await once(local, 'data')) as [Buffer];
  t.equal(String(hello), `local ${backup.pid}`, 'the server on a path is bound by the one that serves');
  local.destroy();
  client.socket.destroy();
  await own.close();
  // Nobody says that the stack's connection has ended.
  for (const socket of sockets) socket.destroy();
  database.close();
});

t.test('words that do not fit together are refused', async (t) => {
  const replica = new TestGroup(directory, ['--warm'], [APP]).start();
  t.same(await replica.exited, { code: 2, signal: null });
  t.match(replica.stderrLines.join('\n'), /--warm needs --mode state/);
});
