/**
 * What goes wrong in the field: damaged logs, slow backups, programs that throw, invalid command
 * lines. In a lab.
 */
import { spawnSync } from 'node:child_process';
import { closeSync, openSync, readSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { RING_HEADER, Word } from '../../failover/log/ring-header.js';
import { Client, get, inLab, KIT, sleep, TAP, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

function cli(...args: string[]): { status: number | null; stderr: string; stdout: string } {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout: 20_000 });
}

/** Flips a bit of the shared log, at a position that has not been read. */
function damage(file: string, change: (log: { word(n: number): number; size: number }) => number): void {
  const fd = openSync(file, 'r+');
  const word = (n: number): number => {
    const bytes = Buffer.alloc(4);
    readSync(fd, bytes, 0, 4, 4 * n);
    return bytes.readUInt32LE();
  };
  const at = change({ word, size: word(Word.units) * 8 });
  const byte = Buffer.alloc(1);
  readSync(fd, byte, 0, 1, at);
  byte.writeUInt8(byte.readUInt8() ^ 0x10);
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}

t.test('a damaged record ends protection with a typed error; the primary continues', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const client = new Client(8);
  client.socket.write('one;');
  await client.waitFor(4);
  // While the backup is stopped, records are added, and one of them is damaged.
  backup.kill('SIGSTOP');
  const file = join(directory, group.name, 'log');
  for (let i = 0; i < 50; i++) client.socket.write('x'.repeat(1000));
  await client.waitFor(50_004);
  damage(file, ({ word, size }) => RING_HEADER + ((word(Word.tail) * 8 + 4096) % size) + 40);
  backup.kill('SIGCONT');
  t.same((await backup.exited).code, 1);
  t.match(backup.stderrLines.join('\n'), /ERR_FT_LOG_CORRUPT.*restart it/);
  await primary.event('unprotected');
  client.socket.write('two;');
  await client.waitFor(50_008);
  t.ok(client.text.endsWith('two;'));
  const again = group.start();
  await again.exited;
  t.match(again.stderrLines.join('\n'), /ERR_FT_LOG_CORRUPT/, 'a replica that has to read the record refuses, too');
  t.equal(await get('/'), 'hello', 'the primary continues');
  client.socket.destroy();
  await group.close();
});

t.test('a stopped backup is dropped when the log is full; memory stays bounded', async (t) => {
  const group = new TestGroup(directory, ['--log-size', '16']);
  const [primary, backup] = await group.pair();
  backup.kill('SIGSTOP');
  const client = new Client(8);
  const piece = Buffer.alloc(65_536, 'a');
  let back = 0;
  client.socket.removeAllListeners('data');
  client.socket.on('data', (part: Buffer) => {
    back += part.length;
  });
  const total = 48 * 1024 * 1024;
  for (let sent = 0; sent < total; sent += piece.length) {
    if (!client.socket.write(piece)) await new Promise((done) => client.socket.once('drain', done));
  }
  t.match(await primary.event('unprotected', 20_000), { reason: /did not keep up|no progress/ });
  for (let i = 0; back < total && i < 2000; i++) await sleep(5);
  t.equal(back, total);
  backup.kill('SIGCONT');
  t.same((await backup.exited).code, 1, 'the dropped backup ends');
  const status = await group.status(primary);
  t.match(status, { protected: false, logComplete: false });
  // A new backup protects new connections.
  const third = group.start();
  await third.event('ready');
  const fresh = new Client(8);
  fresh.socket.write('fresh;');
  await fresh.waitFor(6);
  t.match(await group.status(primary), { protected: true, connections: { total: 2, protected: 1 } });
  primary.kill('SIGKILL');
  await third.event('takeover');
  fresh.socket.write('after;');
  await fresh.waitFor(12);
  t.equal(fresh.text, 'fresh;after;');
  client.socket.destroy();
  fresh.socket.destroy();
  await group.close();
});

t.test('quarantine: the backup resets the connection whose input killed the primary; others continue', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const bystander = new Client(8);
  bystander.socket.write('before ');
  await bystander.waitFor(7);
  const poisoned = get('/throw', 5000).then(
    () => 'answered',
    (error: NodeJS.ErrnoException) => error.code,
  );
  t.not((await primary.exited).code, 0);
  t.match(primary.stderrLines.join('\n'), /thrown by the program/);
  t.match(await backup.event('quarantined'), { error: /thrown by the program/ });
  t.equal(await poisoned, 'ECONNRESET', 'its connection is reset');
  bystander.socket.write('after');
  await bystander.waitFor(12);
  t.equal(bystander.text, 'before after');
  t.equal(bystander.error, null);
  bystander.socket.destroy();
  t.equal(await get('/'), 'hello');
  // Without a backup the program ends as it would without ft-tcp.
  void get('/throw', 1000).catch(() => undefined);
  t.not((await backup.exited).code, 0);
  await group.close();
});

t.test('a program that throws while it is loaded', async (t) => {
  const broken = join(directory, 'broken.mjs');
  writeFileSync(broken, 'throw new Error("at the start");');
  const group2 = new TestGroup(directory, [], [broken]);
  const alone = group2.start();
  t.same((await alone.exited).code, 1);
  t.match(alone.stderrLines.join('\n'), /at the start/);
});

t.test('another program in the same group is refused', async (t) => {
  const group = new TestGroup(directory);
  const primary = group.start();
  await primary.event('ready');
  const other = join(directory, 'other.mjs');
  writeFileSync(other, 'setInterval(() => 0, 1000);');
  const result = cli('run', '--group', group.name, '--dir', directory, '--tap', TAP, other);
  t.equal(result.status, 1);
  t.match(result.stderr, /ERR_FT_MISMATCH.*same program/);
  t.equal(await get('/'), 'hello');
  await group.close();
});

t.test('addresses and ports of the program', async (t) => {
  const file = join(directory, 'listen.mjs');
  writeFileSync(
    file,
    `import net from 'node:net';
     const codes = [];
     const trial = (options) => new Promise((done) => {
       const server = net.createServer();
       server.on('error', (error) => { codes.push(error.code); done(); });
       server.listen(options, () => { codes.push('ok'); done(); });
     });
     await trial({ port: 80 });
     await trial({ port: 80 });
     await trial({ port: 81, host: '10.9.9.9' });
     await trial({ port: 0 });
     console.error('codes', codes.join());`,
  );
  const group = new TestGroup(directory, ['--solo'], [file]);
  const alone = group.start();
  await alone.event('ready');
  await until('the codes', () => alone.stderrLines.some((line) => line.startsWith('codes')));
  t.match(alone.stderrLines.join('\n'), /codes ok,EADDRINUSE,EADDRNOTAVAIL,ok/);
  await group.close();
});

t.test('invalid command lines', async (t) => {
  for (const [words, says] of [
    [['run'], /No program given/],
    [['run', '--ip', '10.0.0.1', KIT], /--ip 10\.0\.0\.1: invalid value; expected 10\.0\.0\.2\/24/],
    [['run', '--mac', 'xyz', KIT], /--mac/],
    [['run', '--gateway', '1.2.3', KIT], /--gateway/],
    [['run', '--hang-timeout', '5', KIT], /--hang-timeout/],
    [['run', '--busy-poll', '2000', KIT], /--busy-poll 2000: invalid value; expected an integer \(µs\), 0 to 1000/],
    [['run', '--commit', 'maybe', KIT], /--commit maybe: invalid value; expected written or acked/],
    [['run', '--log-size', '1', KIT], /16 to 4096/],
    [['run', '--log-size', '48', KIT], /power of two/],
    [['run', '--state-port', '70000', KIT], /--state-port 70000: invalid value; expected an integer, 1 to 65535/],
    [['run', '--independent-connections', '--independent-port', '0', KIT], /--independent-port 0: .*1 to 65535/],
    [['run', '--history-limit', 'all', KIT], /--history-limit all: .*\(KiB\), 0 to 16384/],
    [['run', '--independent', KIT], /--independent: renamed to --independent-connections/],
    [['run', '--resume-within', '5', KIT], /--resume-within: renamed to --restart-window/],
    [['run', '--no-such-thing', KIT], /no-such-thing/],
    [['status', '--nothing'], /nothing/],
    [['demo', '--bytes', 'many'], /--bytes many/],
    [['demo', '--at', '2'], /--at/],
    [['demo', '--signal', 'NOTHING'], /--signal/],
    [['demo', '--scenario', 'x'], /one of wget, upload, ab, ws-echo/],
    [['fly'], /no command "fly"/],
  ] as const) {
    const result = cli(...words);
    t.equal(result.status, 2, words.join(' '));
    t.match(result.stderr, /ERR_FT_USAGE/);
    t.match(result.stderr, says);
  }
  t.match(
    cli('run', '--dir', directory, '/no/such/program.js').stderr,
    /ERR_FT_PROGRAM: The program \/no\/such\/program\.js cannot be found/,
  );
  t.match(cli('run', '--dir', directory, '--group', '../x', KIT).stderr, /ERR_FT_GROUP/);
  t.match(cli('run', '--dir', '/proc/x', KIT).stderr, /--dir/);
  for (const help of [['--help'], ['run', '--help'], ['status', '--help'], ['demo', '--help'], ['help', 'doctor']]) {
    const result = cli(...help);
    t.equal(result.status, 0);
    t.match(result.stdout, /Usage/);
    t.equal(result.stderr, '');
  }
  t.match(cli('--version').stdout, /^\d+\.\d+\.\d+\n$/);
  t.equal(cli().status, 2);
});

t.test('devices that cannot be opened', async (t) => {
  const run = (...words: string[]) => cli('run', '--solo', '--dir', directory, ...words, KIT);
  const wrong = run('--tap', 'a name with spaces');
  t.equal(wrong.status, 1);
  t.match(wrong.stderr, /EINVAL.*not a name/);
  spawnSync('ip', ['tuntap', 'add', 'dev', 'single', 'mode', 'tap']);
  spawnSync('ip', ['link', 'set', 'single', 'up']);
  const kind = run('--tap', 'single');
  t.not(kind.status, 0);
  t.match(kind.stderr, /EINVAL|EBUSY/);
  const loopback = run('--tap', 'lo');
  t.not(loopback.status, 0);
  t.match(loopback.stderr, /'lo'/);
});

t.test('status without a group, and with one', async (t) => {
  const none = cli('status', '--dir', directory, '--group', 'nobody');
  t.equal(none.status, 1);
  t.match(none.stdout, /no replica runs/);
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const text = cli('status', '--dir', directory, '--group', group.name);
  t.equal(text.status, 0);
  t.match(text.stdout, new RegExp(`primary ${primary.pid} .*peer ${backup.pid} .*protected`));
  t.match(text.stdout, new RegExp(`backup ${backup.pid}`));
  const json = JSON.parse(cli('status', '--json', '--dir', directory, '--group', group.name).stdout) as object;
  t.match(json, { group: group.name, replicas: [{ role: 'primary', protected: true }, { role: 'backup' }] });
  backup.kill('SIGSTOP');
  const stopped = cli('status', '--dir', directory, '--group', group.name);
  t.match(stopped.stdout, new RegExp(`process ${backup.pid} does not answer\n.*primary ${primary.pid}`, 's'));
  backup.kill('SIGCONT');
  const again = JSON.parse(cli('status', '--json', '--dir', directory, '--group', group.name).stdout) as object;
  t.match(again, { replicas: [{ pid: primary.pid }, { pid: backup.pid }], unresponsive: [] });
  primary.kill('SIGKILL');
  await backup.event('takeover');
  const after = JSON.parse(cli('status', '--json', '--dir', directory, '--group', group.name).stdout) as object;
  t.match(after, { replicas: [{ role: 'primary', pid: backup.pid, protected: false, takeover: { reason: 'death' } }] });
  await group.close();
});
