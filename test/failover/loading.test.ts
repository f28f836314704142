/** State mode: a program that takes long to load after a takeover. In a lab. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Client, inLab, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(120_000);
const APP = fileURLToPath(new URL('apps/stateful.js', import.meta.url));

async function line(client: Client, text: string, expected: string): Promise<boolean> {
  const before = client.text.length;
  client.socket.write(`${text}\n`);
  await client.waitFor(before + expected.length + 1);
  return client.text.slice(before) === `${expected}\n`;
}

t.test('a program that loads for longer than the hang timeout is not killed by a new backup', async (t) => {
  const slow = join(directory, 'slow.mjs');
  writeFileSync(
    slow,
    `Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1500);
     await import(${JSON.stringify(APP)});`,
  );
  const own = new TestGroup(directory, ['--mode', 'state', '--hang-timeout', '300'], [slow, 'v1']);
  // After a failure, too: what is left would keep this process alive.
  t.teardown(() => own.close());
  const [primary, backup] = await own.pair();
  const client = new Client(7);
  t.teardown(() => client.socket.destroy());
  t.ok(await line(client, 'a', 'v1 1 a'));
  primary.kill('SIGKILL');
  const third = own.start();
  t.ok(await line(client, 'b', 'v1 2 b'), client.text);
  await backup.event('protected', 20_000);
  t.notOk(backup.hasExited, 'it was not killed');
  t.notOk(third.events.some(({ event }) => event === 'takeover'));
  t.equal((await own.status(backup))?.loading, false);
});

t.test('a program that does not end loading is killed after --load-timeout', async (t) => {
  const flag = join(directory, 'stuck');
  const stuck = join(directory, 'stuck.mjs');
  writeFileSync(
    stuck,
    `import { existsSync, rmSync } from 'node:fs';
     if (existsSync(${JSON.stringify(flag)})) {
       rmSync(${JSON.stringify(flag)});
       for (;;) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
     }
     await import(${JSON.stringify(APP)});`,
  );
  const own = new TestGroup(directory, ['--mode', 'state', '--load-timeout', '1.5'], [stuck, 'v1']);
  t.teardown(() => own.close());
  const [primary, backup] = await own.pair();
  const client = new Client(7);
  t.teardown(() => client.socket.destroy());
  t.ok(await line(client, 'a', 'v1 1 a'));
  writeFileSync(flag, '');
  primary.kill('SIGKILL');
  const third = own.start();
  t.same(await backup.exited, { code: null, signal: 'SIGKILL' });
  await third.event('takeover');
  t.ok(await line(client, 'b', 'v1 2 b'), client.text);
});
