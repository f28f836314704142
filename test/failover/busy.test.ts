/** A program that always has something to do is not one that hangs. Inside of a lab. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Client, inLab, KIT, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(60_000);

t.test(
  'an endless chain of immediates: clients are answered, nobody is killed, a takeover finds its place',
  async (t) => {
    const file = join(directory, 'busy.mjs');
    writeFileSync(
      file,
      `import net from 'node:net';
     let n = 0;
     const chain = () => { n++; for (const end = performance.now() + 0.2; performance.now() < end; ); setImmediate(chain); };
     net.createServer((socket) => {
       socket.on('error', () => undefined);
       socket.on('data', () => socket.write(n + ';'));
       if (n === 0) chain();
     }).listen(9);
     await import(${JSON.stringify(KIT)});`,
    );
    const group = new TestGroup(directory, [], [file]);
    const [primary, backup] = await group.pair();
    const client = new Client(9);
    const ask = async (): Promise<number> => {
      const before = client.text.length;
      const at = Date.now();
      client.socket.write('?');
      await client.waitFor(before + 1, 5000);
      return Date.now() - at;
    };
    let longest = 0;
    for (let i = 0; i < 30; i++) {
      longest = Math.max(longest, await ask());
      await sleep(50);
    }
    t.ok(longest < 3000, `longest answer ${longest} ms`);
    t.same(
      backup.events.filter((event) => event.event === 'takeover'),
      [],
      'nobody was taken for dead',
    );
    t.match(await group.status(primary), { role: 'primary', protected: true });
    primary.kill('SIGKILL');
    await backup.event('takeover');
    for (let i = 0; i < 5; i++) await ask();
    const counts = client.text.split(';').slice(0, -1).map(Number);
    t.equal(counts.length, 35);
    t.ok(
      counts.every((count, i) => i === 0 || count >= counts[i - 1]),
      `the program counts on where it was: ${counts.join()}`,
    );
    client.socket.destroy();
    await group.close();
  },
);

t.test(
  'many timers that are due at once, long together, are no hang, and what the first ones write leaves',
  async (t) => {
    const file = join(directory, 'burst.mjs');
    writeFileSync(
      file,
      `import net from 'node:net';
     const cell = new Int32Array(new SharedArrayBuffer(4));
     const work = (ms) => Atomics.wait(cell, 0, 0, ms);
     net.createServer((socket) => {
       socket.on('error', () => undefined);
       socket.on('data', () => {
         for (let i = 0; i < 40; i++) setTimeout(() => { socket.write(i + ';'); work(40); }, 1);
         work(10);
       });
     }).listen(9);`,
    );
    const group = new TestGroup(directory, [], [file]);
    const [, backup] = await group.pair();
    const client = new Client(9);
    const start = Date.now();
    client.socket.write('?');
    await client.waitFor(2);
    const first = Date.now() - start;
    const all = Array.from({ length: 40 }, (_, i) => `${i};`).join('');
    await client.waitFor(all.length);
    const whole = Date.now() - start;
    t.ok(whole > 1500, `40 timers of 40 ms each take ${whole} ms`);
    t.ok(first < whole / 3, `the first answer after ${first} of ${whole} ms`);
    t.equal(client.text, all);
    await sleep(100);
    t.same(
      backup.events.filter((event) => event.event === 'takeover'),
      [],
      'nobody was taken for dead',
    );
    client.socket.destroy();
    await group.close();
  },
);
