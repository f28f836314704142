/**
 * Directories that another user could change, and sockets in them. Other users need root to play.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { Group, type StartSnapshot } from '../../failover/host/group-directory.js';
import { PrivateDirectory } from '../../failover/host/private-directory.js';
import { askAt, listenAt, onlySameUser } from '../../failover/host/unix-socket.js';
import { native } from '../../lib/native/native.js';

const OTHER_USER = 12_345;
const isRoot = process.getuid?.() === 0;
const needsRoot = isRoot ? {} : { skip: 'another user can be played by root only' };
const top = mkdtempSync(join(tmpdir(), 'ft-private-'));
t.teardown(() => rmSync(top, { recursive: true, force: true }));

const use = { what: 'The directory', hint: 'Choose another one' };
const open = (...names: string[]): PrivateDirectory => new PrivateDirectory(join(top, ...names), use);

t.test('a directory is created with its parents, for this user only, also with umask 0', async (t) => {
  const mask = process.umask(0);
  const directory = open('deep', 'er');
  process.umask(mask);
  for (const path of ['deep', 'deep/er']) t.equal(statSync(join(top, path)).mode & 0o777, 0o700);
  writeFileSync(directory.file('x'), 'here');
  t.equal(readFileSync(join(top, 'deep/er/x'), 'utf8'), 'here');
  directory.close();
  t.throws(() => open('deep/er/x'), { code: 'ENOTDIR', message: /is not a directory.*Choose another one/s });
  t.throws(() => open('deep/er/x/y'), { code: 'ENOTDIR' });
  t.throws(() => new PrivateDirectory('/proc/none/of/these', use), { code: 'ENOENT' });
});

t.test('a directory that is renamed away is still the one in use', async (t) => {
  const directory = open('moved');
  renameSync(join(top, 'moved'), join(top, 'away'));
  mkdirSync(join(top, 'moved'));
  writeFileSync(directory.file('x'), '');
  t.same(readdirSync(join(top, 'away')), ['x']);
  t.same(readdirSync(join(top, 'moved')), []);
  directory.close();
});

t.test('each component is checked', async (t) => {
  mkdirSync(join(top, 'open/inner'), { recursive: true, mode: 0o700 });
  for (const mode of [0o770, 0o702, 0o777]) {
    chmodSync(join(top, 'open'), mode);
    const message = /others may write to \S+open, and could replace it/;
    t.throws(() => open('open/inner'), { code: 'EACCES', message }, mode.toString(8));
  }
  chmodSync(join(top, 'open'), 0o1777);
  open('open/inner').close();
  t.throws(() => open('open'), { code: 'EACCES', message: /chmod 700/ }, 'not even then');
});

t.test("another user's directory and link", needsRoot, async (t) => {
  mkdirSync(join(top, 'theirs/ours'), { recursive: true });
  chownSync(join(top, 'theirs'), OTHER_USER, OTHER_USER);
  t.throws(() => open('theirs/ours'), { code: 'EACCES', message: /theirs belongs to user 12345, who could replace/ });
  t.throws(() => open('theirs/new'), { code: 'EACCES' });
  t.same(readdirSync(join(top, 'theirs')), ['ours'], 'nothing is created in it');
  t.throws(() => open('theirs'), { code: 'EACCES', message: /belongs to user 12345/ });
  // In a directory like /tmp another user puts a link where ours is to be.
  mkdirSync(join(top, 'tmp'));
  chmodSync(join(top, 'tmp'), 0o1777);
  mkdirSync(join(top, 'target'));
  symlinkSync(join(top, 'target'), join(top, 'tmp/group'));
  const child = spawn('chown', ['-h', `${OTHER_USER}`, join(top, 'tmp/group')]);
  await once(child, 'exit');
  t.throws(() => open('tmp/group'), { code: 'EACCES', message: /symbolic link of user 12345/ });
  t.throws(() => open('tmp/group/inner'), { code: 'EACCES', message: /symbolic link of user 12345/ });
  t.same(readdirSync(join(top, 'target')), []);
});

t.test("root's links are followed, and their targets checked", needsRoot, async (t) => {
  mkdirSync(join(top, 'links'));
  mkdirSync(join(top, 'real/place'), { recursive: true, mode: 0o700 });
  symlinkSync(join(top, 'real'), join(top, 'links/absolute'));
  symlinkSync('../real/./place', join(top, 'links/relative'));
  symlinkSync('loop', join(top, 'links/loop'));
  for (const [path, place] of [
    ['links/absolute/place', 'a'],
    ['links/relative', 'b'],
  ] as const) {
    const directory = open(path);
    writeFileSync(directory.file(place), '');
    directory.close();
  }
  t.same(readdirSync(join(top, 'real/place')).sort(), ['a', 'b']);
  t.throws(() => open('links/loop'), { code: 'EACCES', message: /too many symbolic links/ });
  chmodSync(join(top, 'real'), 0o777);
  t.throws(() => open('links/absolute/place'), { code: 'EACCES', message: /others may write/ });
});

t.test('files that another user has put there are not used', needsRoot, async (t) => {
  const addon = native();
  const directory = open('files');
  const [lock, log, bell] = ['lock', 'log', 'bell'].map((name) => directory.file(name)) as [string, string, string];
  const victim = join(top, 'victim');
  writeFileSync(victim, 'precious');
  for (const path of [lock, log, bell]) symlinkSync(victim, path);
  t.throws(() => addon.lockFile(lock), { code: 'ELOOP' });
  t.throws(() => addon.shmMap(log, 4096, true), { code: 'ELOOP' });
  t.throws(() => addon.fifoOpen(bell), { code: 'ELOOP' });
  t.equal(readFileSync(victim, 'utf8'), 'precious');
  for (const path of [lock, log]) {
    rmSync(path);
    writeFileSync(path, '');
    chownSync(path, OTHER_USER, OTHER_USER);
  }
  t.throws(() => addon.lockFile(lock), { code: 'EPERM' });
  t.throws(() => addon.shmMap(log, 4096, true), { code: 'EPERM' });
  t.equal(statSync(log).size, 0, 'it is not touched');
  directory.close();
});

t.test('a mapped log is no part of a core dump', async (t) => {
  const directory = open('dump');
  const map = native().shmMap(directory.file('log'), 1 << 20, true);
  const maps = readFileSync('/proc/self/smaps', 'utf8').split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m);
  const own = maps.filter((text) => text.includes('/dump/log'));
  t.equal(own.length, 1);
  if (own[0]?.includes('VmFlags')) t.match(own[0], /VmFlags:.* dd\b/);
  else t.pass('this kernel shows no flags');
  t.equal(map.byteLength, 1 << 20);
  directory.close();
});

t.test('long paths: the sockets are used by the descriptor of their directory', async (t) => {
  const group = new Group(native(), join(top, 'x'.repeat(100), 'y'.repeat(100)), 'long');
  const server = net.createServer((socket) => void socket.end('{"a":1}'));
  const running = await listenAt(server, group.file('1.sock'));
  t.same(await askAt(group.file('1.sock'), 2000, 100), { json: { a: 1 } });
  t.same(readdirSync(group.path), ['1.sock']);
  running.close();
});

t.test('sockets: for this user only, whatever the masks and modes', async (t) => {
  const directory = open('sockets');
  const path = join(top, 'sockets/1.control');
  const mask = process.umask(0);
  let served = 0;
  const listener = onlySameUser((socket) => {
    served++;
    socket.end('{"ok":true}');
  });
  const opened = listenAt(net.createServer(listener), directory.file('1.control'));
  t.equal(statSync(path).mode & 0o777, 0o600, 'from the beginning');
  t.equal(process.umask(mask), 0, 'the mask of the process is as it was');
  const running = await opened;
  t.same(await askAt(path, 2000, 100), { json: { ok: true } });
  if (isRoot) {
    const connect = async (): Promise<string> => {
      // The program itself may be where only root can start it.
      const script = `
        process.setgroups([]);
        process.setgid(${OTHER_USER});
        process.setuid(${OTHER_USER});
        const socket = require('net').connect(${JSON.stringify(path)});
        let text = '';
        socket.on('data', (part) => { text += part; });
        socket.on('error', (error) => { text = error.code; });
        socket.on('close', () => console.log(JSON.stringify(text)));`;
      const child = spawn(process.execPath, ['-e', script], { cwd: '/' });
      let output = '';
      child.stdout.on('data', (part) => {
        output += part;
      });
      await once(child, 'close');
      return output.trim();
    };
    for (const open of [top, join(top, 'sockets')]) chmodSync(open, 0o755);
    t.equal(await connect(), '"EACCES"', "the socket's mode");
    chmodSync(path, 0o777);
    t.match(await connect(), /^"(ECONNRESET|EPIPE)?"$/, 'the user is checked, too');
  }
  t.equal(served, 1);
  running.close();
  directory.close();
});

t.test('a group that ended on purpose leaves no secrets', async (t) => {
  const group = new Group(native(), join(top, 'groups'), 'ended');
  const other = new Group(native(), join(top, 'groups'), 'ended');
  const mask = process.umask(0);
  writeFileSync(group.file('start.new'), '', { mode: 0o644 });
  group.writeSnapshot({ writerPid: 1, process: { env: { SECRET: 'x' } } } as unknown as StartSnapshot);
  process.umask(mask);
  t.equal(statSync(group.file('start.json')).mode & 0o777, 0o600);
  group.createRing(4096);
  group.publishRing();
  group.createSlab(7, 4096);
  t.ok(group.lockPrimary());
  other.removeEnded();
  t.ok(existsSync(group.file('start.json')), 'a group that runs is left alone');
  t.notOk(other.hasEnded);
  group.removeEnded();
  t.same(readdirSync(group.path).sort(), ['ended', 'primary.lock']);
  t.ok(other.hasEnded);
  group.clearOld();
  t.notOk(other.hasEnded);
});
