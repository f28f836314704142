/**
 * Robust mutexes of another process's threads: their end is known before the kernel has freed the
 * process's memory, and not before all of them have ended.
 */
import { once } from 'node:events';
import { copyFileSync, readdirSync, statSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import t from 'tap';
import { native } from '../../lib/native/native.js';
import { codeOf, play, scratch } from './support/native-lab.js';

const addon = native();
const at = scratch(t);

/** A measurement that a busy machine can spoil is repeated at most this often. */
const MAX_TRIES = 5;
/** Of <linux/futex.h>: who holds a robust mutex, and the kernel's mark. */
const TID_MASK = 0x3fffffff;
const OWNER_DIED = 0x40000000;
/** Its memory takes the kernel tens of milliseconds. */
const MEGABYTES = '600';

t.test('the end of a loop is known before that of its process', async (t) => {
  let early = false;
  for (let n = 0; n < MAX_TRIES && !early; n++) {
    const path = at(`early${n}`);
    const role = play('threads', path, at('device'), MEGABYTES);
    t.equal(await role.line(), 'ready');
    t.equal(statSync(path).mode & 0o777, 0o600);
    const pid = role.child.pid!;
    const pidfd = addon.pidfdOpen(pid);
    const threads = addon.threadsOpen(path, pid);
    let calls = 0;
    const marked = new Promise<void>((resolve) => {
      addon.threadsWatch(threads, () => {
        calls++;
        resolve();
      });
    });
    t.equal(
      codeOf(() => addon.threadsWatch(threads, () => undefined)),
      'EALREADY',
    );
    await sleep(20);
    t.equal(calls, 0, 'it is alive');
    t.equal(addon.threadsWait(threads, pidfd, 5), false);
    role.child.kill('SIGKILL');
    await marked;
    t.equal(addon.threadsWait(threads, -1, 5000), true, 'its sender has ended, too');
    early = !addon.pidfdWait(pidfd, 0);
    t.equal(addon.pidfdWait(pidfd, 5000), true);
    t.equal(addon.threadsWait(threads, -1, 5000), true, 'nor is anything left of it');
    await sleep(5);
    t.equal(calls, 1, 'told once');
    addon.threadsClose(threads);
    addon.threadsClose(threads);
    t.equal(
      codeOf(() => addon.threadsWait(threads, pidfd, 0)),
      'EBADF',
    );
    addon.closeFd(pidfd);
  }
  t.ok(early, 'marked while the kernel still frees its memory');
});

t.test('a stopped process is not dead before it is killed', async (t) => {
  const role = play('threads', at('stopped'), at('device'), '1');
  t.equal(await role.line(), 'ready');
  const pid = role.child.pid!;
  const pidfd = addon.pidfdOpen(pid);
  const threads = addon.threadsOpen(at('stopped'), pid);
  role.child.kill('SIGSTOP');
  t.equal(addon.threadsWait(threads, pidfd, 50), false);
  addon.pidfdSignal(pidfd, 9);
  t.equal(addon.threadsWait(threads, pidfd, 5000), true);
  addon.threadsClose(threads);
  addon.closeFd(pidfd);
});

t.test('marks alone prove nothing: a living process with a forged page is not dead', async (t) => {
  const role = play('threads', at('forged'), at('device'), '1');
  t.equal(await role.line(), 'ready');
  const words = new Int32Array(addon.shmMap(at('forged'), 4096, false));
  const threads = addon.threadsOpen(at('forged'), role.child.pid!);
  const tids = new Set(readdirSync(`/proc/${role.child.pid}/task`).map(Number));
  let held: number[] = [];
  // The second thread takes its word when it first runs.
  for (const until = Date.now() + 5000; Date.now() < until; await sleep(5)) {
    held = [...words.keys()].filter((i) => i >= 8 && tids.has(words[i] & TID_MASK));
    if (new Set(held.map((i) => words[i] & TID_MASK)).size === 2) break;
  }
  t.equal(new Set(held.map((i) => words[i] & TID_MASK)).size, 2, 'the words of two threads');
  for (const i of held) words[i] |= OWNER_DIED;
  t.equal(addon.threadsWait(threads, -1, 50), false, '/proc shows threads that are not exiting');
  addon.threadsClose(threads);
  role.child.kill('SIGKILL');
  await once(role.child, 'exit');
});

t.test('only the page of the process that was asked for', async (t) => {
  const role = play('threads', at('own'), at('device'), '1');
  t.equal(await role.line(), 'ready');
  const pid = role.child.pid!;
  const open = (name: string, of = pid) => codeOf(() => addon.threadsClose(addon.threadsOpen(at(name), of)));
  t.equal(open('own'), undefined);
  t.equal(open('own', process.pid), 'ESRCH', 'another process');
  t.equal(open('none'), 'ENOENT');
  copyFileSync(at('own'), at('older'));
  const words = new Int32Array(addon.shmMap(at('older'), 4096, false));
  t.equal(open('older'), undefined, 'a copy is as good: the kernel marks the original only, and /proc decides');
  words[4]--;
  t.equal(open('older'), 'ESRCH', 'an earlier process with the same number');
  words[4]++;
  words[6]++;
  t.equal(open('older'), 'ESRCH', 'one of another PID namespace');
  words[6]--;
  words[1]++;
  t.equal(open('older'), 'ESRCH', 'another layout');
  writeFileSync(at('other'), Buffer.alloc(4096));
  t.equal(open('other'), 'ESRCH');
  truncateSync(at('other'), 100);
  t.equal(open('other'), 'EINVAL');
  symlinkSync(at('own'), at('link'));
  t.equal(open('link'), 'ELOOP');
  t.equal(
    codeOf(() => addon.threadsCreate(at('no/directory'))),
    'ENOENT',
  );
  role.child.kill('SIGKILL');
  await once(role.child, 'exit');
  t.equal(open('own'), 'ESRCH', 'it is gone');
});

t.test('a sender that was closed is not waited for', async (t) => {
  const role = play('passing', at('passing'), at('device'));
  t.equal(await role.line(), 'ready');
  await once(role.child, 'exit');
  const again = play('threads', at('passing'), at('device'), '1');
  t.equal(await again.line(), 'ready', 'what an earlier process has left is replaced');
  const threads = addon.threadsOpen(at('passing'), again.child.pid!);
  again.child.kill('SIGKILL');
  t.equal(addon.threadsWait(threads, -1, 5000), true);
  addon.threadsClose(threads);
});

t.test('a watch that is open ends with its thread, and its page outlives the thread', async (t) => {
  const role = play('threads', at('watched'), at('device'), '1');
  t.equal(await role.line(), 'ready');
  const source = `
    const { parentPort, workerData } = require('node:worker_threads');
    const addon = require(workerData.addon);
    addon.threadsWatch(addon.threadsOpen(workerData.path, workerData.pid), () => {});
    addon.threadsCreate(workerData.own);
    parentPort.postMessage('ready');`;
  const path = fileURLToPath(new URL('../../../build/Release/fttcp.node', import.meta.url));
  for (let i = 0; i < 5; i++) {
    const workerData = { addon: path, path: at('watched'), own: at('worker'), pid: role.child.pid };
    const worker = new Worker(source, { eval: true, workerData });
    await once(worker, 'message');
    const threads = addon.threadsOpen(at('worker'), process.pid);
    const ended = new Promise<void>((resolve) => addon.threadsWatch(threads, resolve));
    await worker.terminate();
    // Keeps this process alive: a watch does not.
    const alive = setTimeout(() => undefined, 10_000);
    await ended;
    clearTimeout(alive);
    addon.threadsClose(threads);
  }
  role.child.kill('SIGKILL');
});

t.test('a lock is held by every copy of its descriptor', async (t) => {
  const fd = addon.lockFile(at('lock'));
  const pidfd = addon.pidfdOpen(process.pid);
  const copy = addon.pidfdGetfd(pidfd, fd);
  t.equal(addon.lockAgain(copy, at('lock')), true);
  addon.closeFd(fd);
  t.equal(addon.lockFile(at('lock')), -1, 'the copy holds it');
  t.equal(addon.lockAgain(copy, at('lock')), true);
  const other = addon.lockFile(at('other-lock'));
  t.equal(addon.lockAgain(other, at('lock')), false, 'another file');
  t.equal(addon.lockAgain(other, at('no-lock')), false);
  t.equal(addon.lockAgain(9999, at('lock')), false);
  addon.closeFd(copy);
  const free = addon.lockFile(at('lock'));
  t.ok(free >= 0);
  for (const one of [free, other, pidfd]) addon.closeFd(one);
});
