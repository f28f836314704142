import { spawn } from 'node:child_process';
import { readdirSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Client, get, inLab, STACK_ADDRESS, sleep, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

function command(...args: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [CLI, ...args, '--dir', directory], { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (part) => {
      output += part;
    });
  return new Promise((done) => child.once('close', (code) => done({ code, output })));
}

/** How an attempt to connect ends: 'connected', or the error's code. */
function attempt(port: number): Promise<string> {
  return new Promise((done) => {
    const socket = net.connect({ host: STACK_ADDRESS, port });
    socket.on('connect', () => {
      socket.destroy();
      done('connected');
    });
    socket.on('error', (error: NodeJS.ErrnoException) => done(error.code ?? error.message));
  });
}

t.test('switchover: the backup becomes primary, the primary ends with 0, and comes back as backup', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const client = new Client(8);
  client.socket.write('before ');
  await client.waitFor(7);
  const { code, output } = await command('switchover', '--group', group.name);
  t.equal(code, 0, output);
  t.match(output, /was switched over/);
  t.same(await primary.exited, { code: 0, signal: null });
  const { breakdown } = (await backup.event('takeover')) as unknown as { breakdown: { reason: string } };
  t.equal(breakdown.reason, 'switchover');
  client.socket.write('after');
  await client.waitFor(12);
  t.equal(client.text, 'before after');
  t.equal(client.error, null);
  // The old primary, started again, protects the connection that is older than itself.
  const third = group.start();
  await third.event('ready');
  t.equal((await command('switchover', '--group', group.name)).code, 0);
  client.socket.write(' and again');
  await client.waitFor(22);
  t.equal(client.text, 'before after and again');
  client.socket.end();
  await group.close();
});

t.test('switchover without a backup changes nothing', async (t) => {
  const group = new TestGroup(directory);
  const primary = group.start();
  await primary.event('ready');
  const { code, output } = await command('switchover', '--group', group.name);
  t.equal(code, 1);
  t.match(output, /ERR_FT_UNPROTECTED.*Start one/);
  t.equal(await get('/'), 'hello');
  t.equal(primary.hasExited, false);
  await group.close();
});

t.test('drain: open connections survive a death, new ones are refused, at the end all replicas end', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const client = new Client(8);
  client.socket.write('one ');
  await client.waitFor(4);
  const drained = command('drain', '--group', group.name, '--timeout', '20');
  let refused = '';
  for (let i = 0; i < 100 && refused !== 'ECONNREFUSED'; i++) {
    await sleep(20);
    refused = await attempt(8);
  }
  t.equal(refused, 'ECONNREFUSED');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  client.socket.write('two');
  await client.waitFor(7);
  t.equal(client.text, 'one two');
  t.equal(await attempt(8), 'ECONNREFUSED', 'after the death, too');
  // The first command was sent to the dead primary; the second one goes to the new one.
  t.equal((await drained).code, 1);
  const again = command('drain', '--group', group.name, '--timeout', '20');
  client.socket.end();
  t.equal((await again).code, 0);
  t.same(await backup.exited, { code: 0, signal: null });
  await group.close();
});

t.test('drain ends the backup, too', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  t.equal((await command('drain', '--group', group.name)).code, 0);
  t.same(await primary.exited, { code: 0, signal: null });
  t.same(await backup.exited, { code: 0, signal: null });
  const left = readdirSync(join(directory, group.name)).filter((name) => /^(log|start|frames)/.test(name));
  t.same(left, [], 'the log and the environment are removed');
  await group.close();
});

t.test('commands that are refused', async (t) => {
  const nobody = await command('switchover', '--group', 'nobody');
  t.equal(nobody.code, 1);
  t.match(nobody.output, /ERR_FT_NO_PRIMARY/);
  t.equal((await command('drain', '--timeout', 'soon')).code, 2);
  t.equal((await command('switchover', '--sideways')).code, 2);
});
