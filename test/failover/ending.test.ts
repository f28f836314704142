/** The end of a group's last replica, and what groups leave behind. In a lab. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Client, inLab, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

function cli(...args: string[]): { status: number | null; stderr: string; stdout: string } {
  return spawnSync(process.execPath, [CLI, ...args, '--dir', directory], { encoding: 'utf8', timeout: 20_000 });
}

const filesOf = (group: TestGroup): string[] => readdirSync(join(directory, group.name)).sort();

/** A client that has been answered, so that the program has its connection. */
async function connected(allowHalfOpen: boolean): Promise<Client> {
  const client = new Client(8, allowHalfOpen);
  client.socket.write('hello');
  await client.waitFor(5);
  return client;
}

t.test('a signal to a lone replica: its connections are closed with FIN, and its files are removed', async (t) => {
  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGINT', 130],
    ['SIGHUP', 129],
  ] as const) {
    for (const options of [[], ['--solo']]) {
      const group = new TestGroup(directory, options);
      const replica = group.start();
      await replica.event('ready');
      const client = await connected(false);
      const begun = Date.now();
      replica.kill(signal);
      await client.ended;
      t.equal(client.error, null, `${signal} ${options}: no reset`);
      t.same(await replica.exited, { code, signal: null });
      t.ok(Date.now() - begun < 2500, 'as soon as the connections are closed');
      t.match(await replica.event('ending'), { signal, connections: 1 });
      t.same(filesOf(group), options.length > 0 ? [] : ['ended', 'history.jsonl', 'primary.lock']);
    }
  }
});

t.test('what a client is still to get arrives; who does not close is reset after the grace time', async (t) => {
  const group = new TestGroup(directory, ['--grace', '1']);
  const replica = group.start();
  await replica.event('ready');
  const client = await connected(true);
  client.socket.pause();
  client.socket.write('x'.repeat(3_000_000));
  await new Promise((done) => setTimeout(done, 300));
  const begun = Date.now();
  replica.kill('SIGTERM');
  client.socket.resume();
  await replica.exited;
  t.ok(Date.now() - begun >= 900, 'it has waited');
  // After the end of the stream, the client sees the reset when it writes.
  client.socket.write('more');
  await until('the reset', () => client.error !== null, 5000);
  t.match(client.error, /^(EPIPE|ECONNRESET)$/);
  t.ok(client.text.length > 500_000, `${client.text.length} bytes had been echoed`);
  t.match(await replica.event('connections-reset'), { connections: 1 });
});

t.test('a program with a handler of its own closes its connections itself', async (t) => {
  const file = join(directory, 'handler.mjs');
  writeFileSync(
    file,
    `import net from 'node:net';
     const sockets = new Set();
     net.createServer((socket) => { sockets.add(socket); socket.on('data', (part) => socket.write(part)); }).listen(8);
     process.on('SIGTERM', () => setTimeout(() => { for (const socket of sockets) socket.end(' goodbye'); }, 200));
     process.on('SIGHUP', () => console.error('read the configuration again'));`,
  );
  const group = new TestGroup(directory, ['--grace', '4'], [file]);
  const replica = group.start();
  await replica.event('ready');
  const client = await connected(false);
  replica.kill('SIGHUP');
  await until('its own handler', () => replica.stderrLines.some((line) => line.includes('configuration')));
  replica.kill('SIGTERM');
  await client.ended;
  t.equal(client.text, 'hello goodbye');
  t.equal(client.error, null);
  t.same(await replica.exited, { code: 143, signal: null });
});

t.test('a program that ends the process in its handler: its clients are reset', async (t) => {
  const file = join(directory, 'exits.mjs');
  writeFileSync(
    file,
    `import net from 'node:net';
     net.createServer((socket) => socket.pipe(socket)).listen(8);
     process.on('SIGTERM', () => process.exit(7));`,
  );
  const group = new TestGroup(directory, [], [file]);
  const replica = group.start();
  await replica.event('ready');
  const client = await connected(false);
  replica.kill('SIGTERM');
  t.same(await replica.exited, { code: 7, signal: null });
  await until('the reset', () => client.socket.destroyed, 2000);
  t.equal(client.error, 'ECONNRESET');
  t.same(filesOf(group), ['ended', 'history.jsonl', 'primary.lock']);
});

t.test('a signal to both replicas: nobody is left, and no client hangs', async (t) => {
  for (const first of ['primary', 'backup', 'both'] as const) {
    const group = new TestGroup(directory);
    const [primary, backup] = await group.pair();
    const client = await connected(false);
    const [one, other] = first === 'backup' ? [backup, primary] : [primary, backup];
    one.kill('SIGTERM');
    if (first !== 'both') await new Promise((done) => setTimeout(done, 3));
    other.kill('SIGTERM');
    await Promise.all([primary.exited, backup.exited]);
    await until('the end of the connection', () => client.socket.destroyed, 3000);
    t.equal(client.error, null, `${first} first: closed, not reset`);
    t.same(filesOf(group), ['ended', 'history.jsonl', 'primary.lock'], first);
  }
});

t.test('a question makes no directory', async (t) => {
  t.equal(cli('status', '--group', 'nosuch').status, 1);
  t.equal(cli('switchover', '--group', 'nosuch').status, 1);
  t.equal(cli('drain', '--group', 'nosuch').status, 1);
  t.equal(cli('cleanup', '--group', 'nosuch').status, 1);
  t.notOk(existsSync(join(directory, 'nosuch')));
  t.match(cli('status', '--group', 'nosuch').stdout, /no replica runs/);
});

t.test('list, cleanup, and what dead processes leave', async (t) => {
  const running = new TestGroup(directory);
  const [primary, backup] = await running.pair();
  backup.kill('SIGKILL');
  await backup.exited;
  const dead = new TestGroup(directory);
  // The device belongs to one group at a time.
  await running.close();
  const left = dead.start();
  await left.event('ready');
  await left.close();
  const third = running.start();
  await third.event('takeover');
  await third.event('ready');
  const ownFiles = filesOf(running).filter((name) => /^\d+\./.test(name));
  t.same(ownFiles, [`${third.pid}.control`, `${third.pid}.sock`], 'sockets of the dead are swept at a start');
  t.notOk(filesOf(running).includes(`frames.${backup.pid}`));
  t.notOk(filesOf(running).includes(`frames.${primary.pid}`));

  const listed = JSON.parse(cli('list', '--json').stdout) as {
    groups: { group: string; bytes: number }[];
  };
  const info = (group: TestGroup): { bytes: number } | undefined =>
    listed.groups.find(({ group: name }) => name === group.name);
  t.match(info(running), { state: 'running', replicas: [{ role: 'primary', pid: third.pid, protected: false }] });
  t.match(info(dead), { state: 'left', replicas: [] });
  t.ok((info(dead)?.bytes ?? 0) > 60 * 1024 * 1024, 'its log');
  t.match(cli('list').stdout, new RegExp(`${dead.name}  left  died \\d+ s ago`));

  t.match(cli('cleanup').stdout, new RegExp(`${dead.name}: may be resumed`));
  t.match(cli('cleanup', '--group', dead.name, '--dry-run').stdout, /would be removed/);
  t.ok(existsSync(join(directory, dead.name)));
  t.equal(cli('cleanup', '--group', running.name).status, 1, 'a group that runs stays');
  t.match(cli('cleanup', '--restart-window', '0').stdout, new RegExp(`${dead.name}: removed`));
  t.notOk(existsSync(join(directory, dead.name)), 'all of it is gone');
  t.ok(existsSync(join(directory, running.name)));
  t.match(cli('list').stdout, new RegExp(`^${running.name}  running`));
  await running.close();
});
