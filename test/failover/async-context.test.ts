/**
 * AsyncLocalStorage and async_hooks in a program: what one connection enters is never seen by
 * another one, outgoing sockets keep their context, and resources end. Runs inside of a lab.
 */
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { Client, get, inLab, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(60_000);

const CONTEXT = fileURLToPath(new URL('apps/context.js', import.meta.url));

t.test('each connection has a context of its own, as in Node', async (t) => {
  const group = new TestGroup(directory, ['--solo'], [CONTEXT]);
  await group.start().event('ready');
  const peer = net.createServer((socket) => socket.pipe(socket));
  await new Promise<void>((done) => peer.listen(0, '10.77.0.1', done));
  for (let i = 0; i < 2; i++) {
    const client = new Client(8);
    for (const text of ['a', 'ab']) {
      client.socket.write('x');
      await client.waitFor(text.length);
    }
    client.socket.end();
    await client.ended;
  }
  await get(`/outgoing/${(peer.address() as net.AddressInfo).port}`);
  const lines = (await get('/log')).split('\n');
  const of = (what: string): string[] => lines.filter((line) => line.startsWith(what));
  t.same(of('connection'), ['connection 1 the server', 'connection 2 the server'], 'the context of listen()');
  for (const line of [...of('data'), ...of('end')]) {
    const [, id, ...store] = line.split(' ');
    t.ok(['undefined', `read ${id}`].includes(store.join(' ')), line);
  }
  t.equal(of('data').length, 4);
  t.same(
    [...of('connect '), ...of('outgoing data'), ...of('outgoing close')],
    ['connect outgoing', 'outgoing data outgoing', 'outgoing close outgoing'],
  );
  for (const line of of('request')) t.match(line, /undefined$/);
  peer.close();
  await group.close();
});

t.test('async_hooks see that resources end', async (t) => {
  const group = new TestGroup(directory, ['--solo'], [CONTEXT]);
  await group.start().event('ready');
  await get('/timers');
  await get('/timers');
  const { begun, ended } = JSON.parse(await get('/hooks')) as { begun: number; ended: number };
  t.ok(begun > 80, `${begun} have begun`);
  t.ok(ended > begun - 10, `${ended} have ended`);
  await group.close();
});
