/** The group's directory, its locks, and the failure detector. */
import { type ChildProcess, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { FailureDetector } from '../../failover/backup/failure-detector.js';
import { defaultDirectory, Group, type StartSnapshot } from '../../failover/host/group-directory.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { native } from '../../lib/native/native.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-group-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const sleep = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

t.test('names and directories', async (t) => {
  for (const bad of ['', '.', '..', '../x', 'a/b', '-x', 'x'.repeat(65), 'a b', 'a\0b'])
    t.throws(() => new Group(native(), directory, bad), { code: 'ERR_FT_GROUP' }, JSON.stringify(bad));
  const file = join(directory, 'file');
  writeFileSync(file, '');
  t.throws(() => new Group(native(), file, 'x'), { message: /--dir/ });
  const group = new Group(native(), join(directory, 'deep/er'), 'web-1.a_b');
  t.equal(statSync(group.path).mode & 0o777, 0o700, 'private');
  t.equal(defaultDirectory({}, 0), '/run/ft-tcp');
  t.equal(defaultDirectory({ XDG_RUNTIME_DIR: directory }, 5), join(directory, 'ft-tcp'));
  t.equal(defaultDirectory({ XDG_RUNTIME_DIR: '/does/not/exist' }, 5), '/dev/shm/ft-tcp-5');
});

t.test('a directory that others may write to, or that is not ours, is refused', async (t) => {
  const group = new Group(native(), directory, 'open');
  chmodSync(group.path, 0o777);
  t.throws(() => new Group(native(), directory, 'open'), { code: 'EACCES', message: /chmod 700/ });
  chmodSync(group.path, 0o755);
  t.ok(new Group(native(), directory, 'open'));
  if (process.getuid?.() === 0) {
    chownSync(group.path, 65_534, 65_534);
    t.throws(() => new Group(native(), directory, 'open'), { code: 'EACCES', message: /user 65534.*--dir/s });
  }
  const file = join(directory, 'no-directory');
  writeFileSync(file, '');
  t.throws(() => new Group(native(), directory, 'no-directory'), { message: /--dir/ });
});

t.test('one primary, one backup; a lock ends with its holder', async (t) => {
  const first = new Group(native(), directory, 'locks');
  const second = new Group(native(), directory, 'locks');
  t.equal(first.lockPrimary(), true);
  t.equal(first.lockPrimary(), true, 'again by the same is fine');
  t.equal(second.lockPrimary(), false);
  t.equal(second.lockBackup(), true);
  t.equal(first.lockBackup(), false);
  second.unlockBackup();
  t.equal(first.lockBackup(), true);
});

t.test('a copy of the descriptor holds the lock when its holder has ended', async (t) => {
  const addon = native();
  const first = new Group(addon, directory, 'heirs');
  const heir = new Group(addon, directory, 'heirs');
  t.equal(first.primaryLock, -1);
  t.ok(first.lockPrimary());
  const pidfd = addon.pidfdOpen(process.pid);
  const copy = addon.pidfdGetfd(pidfd, first.primaryLock);
  const stranger = addon.pidfdGetfd(pidfd, pidfd);
  addon.closeFd(first.primaryLock);
  t.equal(heir.lockPrimary(), false, 'never free in between');
  t.equal(heir.inheritPrimary(stranger), false, 'a descriptor of something else');
  t.equal(heir.primaryLock, -1);
  t.equal(heir.inheritPrimary(copy), true);
  t.equal(heir.primaryLock, copy);
  t.ok(heir.lockPrimary());
  t.equal(new Group(addon, directory, 'heirs').lockPrimary(), false);
  rmSync(heir.file('primary.lock'));
  t.equal(heir.isPrimaryLock(copy), false, 'the lock of a directory that was emptied is worth nothing');
  for (const fd of [copy, stranger, pidfd]) addon.closeFd(fd);
});

t.test('files of an earlier group are removed; a damaged snapshot counts as none', async (t) => {
  const group = new Group(native(), directory, 'stale');
  t.equal(group.readSnapshot(), null);
  writeFileSync(group.file('start.json'), '{"format":');
  t.equal(group.readSnapshot(), null, 'half a file');
  const snapshot = { format: 1, node: 'v', program: 'p', argv: [], monoUs: 1, wallMs: 2, ringBytes: 3, writerPid: 4 };
  group.writeSnapshot(snapshot as unknown as StartSnapshot);
  t.match(group.readSnapshot(), snapshot);
  t.equal(statSync(group.file('start.json')).mode & 0o777, 0o600);
  new Uint8Array(group.createRing(RING_HEADER + 4096)).fill(1);
  t.equal(existsSync(group.file('log')), false, 'not visible before it is complete');
  group.publishRing();
  t.equal(readFileSync(group.file('log')).length, RING_HEADER + 4096);
  group.clearOld();
  t.equal(existsSync(group.file('log')), false);
  t.same(group.replicaPids(), []);
});

function log(name: string): Ring {
  const ring = new Ring(native(), native().shmMap(join(directory, name), RING_HEADER + 4096, true));
  ring.format(new Uint8Array(SECRET_LENGTH));
  ring.store(Word.ready, 1);
  return ring;
}

const watch = (child: ChildProcess, ring: Ring, onLost: (reason: string) => void): FailureDetector =>
  new FailureDetector({ native: native(), pid: child.pid!, ring, hangTimeoutUs: 500_000, onLost });

t.test('a death is detected, and the process is fenced', async (t) => {
  const child = spawn('sleep', ['60']);
  const exited = new Promise((done) => child.once('exit', done));
  const gone: string[] = [];
  const detector = watch(child, log('death'), (reason) => gone.push(reason));
  await sleep(50);
  t.same(gone, []);
  child.kill('SIGKILL');
  for (let i = 0; i < 1000 && gone.length === 0; i++) await sleep(10);
  t.same(gone, ['death']);
  t.equal(detector.fence(true), 'process', 'it has no page of threads');
  detector.close();
  // A dead process can be watched until its parent, here the test, has collected its status.
  await exited;
  t.throws(() => watch(child, log('none'), () => undefined), { code: 'ESRCH' });
});

t.test('a hang needs many looks without progress; a pause is no hang', async (t) => {
  const child = spawn('sleep', ['60']);
  const ring = log('hang');
  const gone: string[] = [];
  const detector = watch(child, ring, (reason) => gone.push(reason));
  let now = 1_000_000;
  const look = (us: number): void => {
    now += us;
    detector.look(now);
  };
  look(0);
  for (let i = 0; i < 150; i++) look(2000);
  t.same(gone, [], 'a collection of 300 ms is no hang');
  ring.words[Word.heartbeat]++;
  look(2000);
  for (let i = 0; i < 240; i++) look(2000);
  t.same(gone, []);
  // We ourselves stood still: one look after a long time says nothing.
  ring.words[Word.heartbeat]++;
  look(2000);
  look(5_000_000);
  t.same(gone, [], 'our own stall');
  ring.words[Word.heartbeat]++;
  for (let i = 0; i < 300; i++) look(2000);
  t.same(gone, ['hang']);
  child.kill('SIGSTOP');
  t.equal(detector.fence(false), 'process');
  const end = await new Promise((done) => child.once('exit', (_code, signal) => done(signal)));
  t.equal(end, 'SIGKILL', 'a stopped process is fenced, too');
  detector.close();
});

t.test('while a primary starts, its main loop may stand still', async (t) => {
  const child = spawn('sleep', ['60']);
  const ring = log('starting');
  ring.store(Word.ready, 0);
  const gone: string[] = [];
  const detector = watch(child, ring, (reason) => gone.push(reason));
  for (let i = 1; i < 100; i++) detector.look(i * 100_000);
  t.same(gone, []);
  detector.close();
  child.kill('SIGKILL');
});

t.test('the log does not fit into the directory', async (t) => {
  const group = new Group(native(), directory, 'large');
  const much = 2 ** 45;
  t.throws(() => group.createRing(much), { code: 'ENOSPC', message: /no room for \d+ MiB in .*--log-size/ });
  t.throws(() => group.createSlab(1, much), { code: 'ENOSPC' });
  t.notOk(existsSync(group.file('log.new')), 'nothing is left behind');
  t.notOk(existsSync(group.file('frames.1')));
});
