/** Servers in state mode beside replayed ones, and replicas that join when the log is truncated. */
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, inLab, STACK_ADDRESS, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const APP = fileURLToPath(new URL('apps/mixed.js', import.meta.url));

/** Asks, and returns the answer's line. */
async function ask(client: Client, text: string): Promise<string> {
  const before = client.text.length;
  client.socket.write(`${text}\n`);
  for (let i = 0; !client.text.slice(before).includes('\n') && client.error === null && i < 1000; i++) await sleep(5);
  return client.text.slice(before).trim();
}

function fill(bytes: number): Promise<void> {
  return new Promise((done, fail) => {
    const socket = net.connect(6, STACK_ADDRESS, () => socket.end(Buffer.alloc(bytes)));
    socket.on('error', fail);
    socket.on('close', () => done());
    socket.resume();
  });
}

const troubles = (...replicas: ReplicaProcess[]): string[] =>
  replicas.flatMap(({ events }) =>
    events.map(({ event }) => event).filter((name) => /nondeterministic|diverged|un.*ed$|failed/.test(name)),
  );

t.test(
  'a server in state mode beside others: its program runs already when it gets its connections back',
  async (t) => {
    const own = new TestGroup(directory, [], [APP]);
    const [primary, backup] = await own.pair();
    const [free, replayed] = [new Client(7), new Client(8)];
    t.equal(await ask(free, 'a'), '1 a');
    t.match(await ask(replayed, 'x'), /^1 \d+ x$/);
    t.equal(await ask(free, 'b'), '2 b');
    t.match(await ask(replayed, 'y'), /^2 \d+ y$/);
    primary.kill('SIGKILL');
    await backup.event('takeover');
    t.equal(await ask(free, 'c'), '3 c');
    t.match(await ask(replayed, 'z'), /^3 \d+ z$/);
    const other = new Client(7);
    t.equal(await ask(other, 'd'), '1 d');
    // The log has all of it: who comes now repeats the one, and keeps the other.
    const third = own.start();
    await third.event('ready');
    t.equal(await ask(free, 'e'), '4 e');
    backup.kill('SIGKILL');
    await third.event('takeover');
    t.equal(await ask(free, 'f'), '5 f');
    t.match(await ask(replayed, 'u'), /^4 \d+ u$/);
    free.socket.end();
    await free.ended;
    t.equal(free.error, null);
    t.same(troubles(primary, backup, third), []);
    for (const client of [replayed, other]) client.socket.destroy();
    await own.close();
  },
);

t.test('--state-port selects state mode for a program that does not', async (t) => {
  const own = new TestGroup(directory, ['--state-port', '5'], [APP]);
  const [primary, backup] = await own.pair();
  const client = new Client(5);
  t.equal(await ask(client, 'a'), '1 of 1 a');
  t.equal(await ask(client, 'b'), '2 of 2 b');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await ask(client, 'c'), '3 of 3 c');
  client.socket.destroy();
  await own.close();
});

t.test(
  'a replica that joins in the middle gets what the program offers, and protects those who want to be given back',
  async (t) => {
    const own = new TestGroup(directory, ['--log-size', '16'], [APP]);
    const [primary, backup] = await own.pair();
    const [counted, free, lost] = [new Client(5), new Client(7), new Client(8)];
    t.equal(await ask(counted, 'a'), '1 of 1 a');
    t.equal(await ask(free, 'a'), '1 a');
    t.match(await ask(lost, 'a'), /^2 /);
    await fill(24 << 20);
    backup.kill('SIGKILL');
    await primary.event('unprotected');
    t.equal((await own.status(primary))?.logComplete, false);
    const third = own.start();
    await third.event('ready');
    for (let i = 0; i < 400 && (await own.status(primary))?.protected !== true; i++) await sleep(5);
    t.match(await own.status(primary), { protected: true, connections: { total: 3, protected: 2 } });
    // Shared state is as it was: what is new is repeated.
    const fresh = new Client(5);
    t.equal(await ask(fresh, 'b'), '1 of 4 b');
    t.equal(await ask(counted, 'b'), '2 of 5 b');
    t.equal(await ask(free, 'b'), '2 b');
    primary.kill('SIGKILL');
    await third.event('takeover');
    t.equal(await ask(fresh, 'c'), '2 of 6 c');
    t.equal(await ask(counted, 'c'), '3 of 7 c');
    t.equal(await ask(free, 'c'), '3 c');
    t.equal(await ask(lost, 'c'), '', 'it is reset');
    t.equal(lost.error, 'ECONNRESET');
    t.same(troubles(third), []);
    for (const client of [counted, free, fresh, lost]) client.socket.destroy();
    await own.close();
  },
);

t.test('a group in state mode refuses a server that is to be replayed', async (t) => {
  const own = new TestGroup(
    directory,
    ['--mode', 'state'],
    [fileURLToPath(new URL('apps/wants-replay.js', import.meta.url))],
  );
  const primary = own.start();
  await primary.exited;
  t.match(primary.stderrLines.join('\n'), /ERR_FT_MODE/);
  await own.close();
});
