/**
 * Datagrams between a replicated program and this machine: sent once, and heard on every replica.
 */
import dgram from 'node:dgram';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { get, inLab, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
// The test runner's loaders are not the program's.
delete process.env['NODE_OPTIONS'];
t.setTimeout(60_000);

const APP = join(directory, 'app.mjs');
writeFileSync(
  APP,
  `import dgram from 'node:dgram'; import http from 'node:http';
   const heard = [];
   const socket = dgram.createSocket('udp4');
   socket.on('message', (m, from) => heard.push(m.toString(), from.port));
   const server = dgram.createSocket('udp4');
   server.on('message', (m, { port, address }) => server.send('echo ' + m, port, address));
   server.bind(5300, '127.0.0.1', () => heard.push(server.address().port));
   const ask = (q, r) => socket.send('metric ' + q.url, 5301, '127.0.0.1', (error, bytes) => {
     heard.push(error?.code ?? bytes);
     r.end(JSON.stringify(heard));
   });
   http.createServer(ask).listen(80);`,
);

/** A service that counts what it is sent. */
async function observer(): Promise<{ seen: string[]; ask(text: string): Promise<string>; close(): void }> {
  const socket = dgram.createSocket('udp4');
  const seen: string[] = [];
  let heard: ((text: string) => void) | undefined;
  socket.on('message', (message, { port, address }) => {
    const text = message.toString();
    if (text.startsWith('echo')) {
      heard?.(text);
      return;
    }
    seen.push(text);
    socket.send('thanks', port, address);
  });
  await new Promise<void>((done) => socket.bind(5301, '127.0.0.1', () => done()));
  // Datagrams of the moment of death are lost, so it asks again, as a client of UDP does.
  const ask = (text: string): Promise<string> =>
    new Promise((done) => {
      const send = (): void => socket.send(text, 5300, '127.0.0.1');
      const again = setInterval(send, 500);
      heard = (answer) => {
        clearInterval(again);
        done(answer);
      };
      send();
    });
  return { seen, ask, close: () => socket.close() };
}

t.test('kernel datagrams are the live replica’s alone, and their arrivals events', async (t) => {
  const { seen, ask, close } = await observer();
  const group = new TestGroup(directory, [], [APP]);
  // After a failure, too: what is left would keep this process alive.
  t.teardown(() => group.close());
  t.teardown(close);
  const [primary, backup] = await group.pair();
  t.match(await get('/1'), /^\[5300,9\]/);
  await until('the answer has come', () => seen.length === 1);
  t.equal(await ask('a'), 'echo a');
  t.match(await get('/2'), /^\[5300,9,"thanks",5301,9\]/);
  await until('the second has come', () => seen.length === 2);
  t.equal(await ask('a2'), 'echo a2', 'its answer, which was sent before, has come, too');
  t.match(await primary.event('kernel-socket'), { what: /^datagrams, (bind 5300 127|send 5301)/ });
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.match(await get('/3'), /^\[5300,9,"thanks",5301,9,"thanks",5301,9\]/);
  t.equal(await ask('b'), 'echo b', 'the successor is bound to the same port');
  const third = group.start();
  await third.event('ready');
  await backup.event('protected');
  backup.kill('SIGKILL');
  await third.event('takeover');
  t.match(await get('/4'), /^(\[5300,9(,"thanks",5301,9){3})/);
  t.same(seen, ['metric /1', 'metric /2', 'metric /3', 'metric /4'], 'each was sent once');
});
