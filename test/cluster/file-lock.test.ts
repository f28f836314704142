/** The coordinator of nodes on one machine. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { FileLockConfig } from '../../failover/cluster/config/config.js';
import type { GroupState } from '../../failover/cluster/coordinator/coordinator.js';
import { FileLockCoordinator, startedAt } from '../../failover/cluster/coordinator/file-lock.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-lock-'));
t.teardown(() => rmSync(directory, { recursive: true }));
const config: FileLockConfig = { type: 'file-lock', directory, leaseMs: 100, stallTimeoutMs: 300 };

/** How long nodes waited, in milliseconds. */
const waits: number[] = [];

function node(name: string, group: string, pid = process.pid): FileLockCoordinator {
  const wait = async (us: number): Promise<void> => void waits.push(us / 1000);
  return new FileLockCoordinator(config, { group, node: name, pid, native: native(), clock: systemClock, wait });
}

const stateOf = (epoch: number, primary: string, inSync = [primary]): GroupState => ({
  epoch,
  primary,
  inSync,
  requiredBackups: inSync.length - 1,
});

t.test('one holder at a time; after a holder that died the next one waits for the lease', async (t) => {
  waits.length = 0;
  const [a, b] = [node('a', 'one'), node('b', 'one')];
  t.same(await a.read(), { state: null, holder: null });
  t.equal(a.leaseUntilUs, 0);
  t.ok(await a.claim(stateOf(1, 'a')));
  t.ok(a.leaseUntilUs > systemClock.now() && a.leaseUntilUs <= systemClock.now() + 100_000);
  t.same(await b.read(), { state: stateOf(1, 'a'), holder: 'a' });
  t.notOk(await b.claim(stateOf(2, 'b')));
  t.notOk(await b.update(stateOf(2, 'b')));
  t.notOk(await b.renew());
  t.ok(await a.update(stateOf(1, 'a', ['a', 'b'])));
  const before = a.leaseUntilUs;
  await new Promise((done) => setTimeout(done, 5));
  t.ok(await a.renew());
  t.ok(a.leaseUntilUs > before);
  await a.release();
  t.equal(a.leaseUntilUs, 0);
  t.same(await b.read(), { state: stateOf(1, 'a', ['a', 'b']), holder: null });
  t.ok(await b.claim(stateOf(2, 'b')));
  t.same(waits, [], 'the lease was given back');
  // As if its process had ended.
  b.close();
  t.equal(b.leaseUntilUs, 0);
  await a.read();
  t.ok(await a.claim(stateOf(3, 'a')));
  t.same(waits, [100], 'its primary may still have sent');
  await a.release();
});

t.test('a state that has changed since it was read is not claimed', async (t) => {
  const [a, b] = [node('a', 'two'), node('b', 'two')];
  await b.read();
  await a.read();
  t.ok(await a.claim(stateOf(1, 'a')));
  await a.release();
  t.notOk(await b.claim(stateOf(1, 'b')));
  t.same((await b.read()).state, stateOf(1, 'a'), 'and the lock is free');
  t.ok(await b.claim(stateOf(2, 'b')));
  await b.release();
});

t.test('an agent that stands still with the lock is killed, and only that process', async (t) => {
  const script = `
    const { FileLockCoordinator } = await import(${JSON.stringify(new URL('../../failover/cluster/coordinator/file-lock.js', import.meta.url).href)});
    const { native } = await import(${JSON.stringify(new URL('../../lib/native/native.js', import.meta.url).href)});
    const { systemClock } = await import(${JSON.stringify(new URL('../../lib/native/system.js', import.meta.url).href)});
    const host = { group: 'three', node: 'c', pid: process.pid, native: native(), clock: systemClock, wait: async () => {} };
    const one = new FileLockCoordinator(${JSON.stringify(config)}, host);
    await one.read();
    if (await one.claim({ epoch: 1, primary: 'c', inSync: ['c'], requiredBackups: 0 })) console.log('claimed');
    setInterval(() => one.renew(), 20);`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const ended = once(child, 'exit');
  const a = node('a', 'three');
  for (let i = 0; i < 50; i++) {
    t.equal((await a.read()).holder, 'c');
    await new Promise((done) => setTimeout(done, 10));
  }
  t.equal(a.killedAgents, 0, 'not while it renews');
  child.kill('SIGSTOP');
  while ((await a.read()).holder !== null) await new Promise((done) => setTimeout(done, 10));
  t.same(await ended, [null, 'SIGKILL']);
  t.ok(a.killedAgents >= 1);
  t.ok(await a.claim(stateOf(2, 'a')));
  // The file names a process with the pid of a former holder.
  const innocent = spawn('sleep', ['100']);
  const path = join(directory, 'three.holder');
  const holder = { node: 'x', pid: innocent.pid, started: '1', atUs: 0, released: false };
  writeFileSync(path, JSON.stringify(holder));
  const b = node('b', 'three');
  t.equal((await b.read()).holder, 'x');
  t.equal(b.killedAgents, 0);
  t.equal(innocent.exitCode ?? innocent.signalCode, null);
  // It even names the time at which that process was started, which anybody can read.
  writeFileSync(path, JSON.stringify({ ...holder, started: startedAt(innocent.pid ?? 0) }));
  t.equal((await b.read()).holder, 'x');
  t.equal(b.killedAgents, 0, 'the process does not have the lock');
  t.equal(innocent.exitCode ?? innocent.signalCode, null);
  innocent.kill();
  await a.release();
});

t.test('a claim that fails half way leaves no lock behind', async (t) => {
  const [a, b] = [node('a', 'five'), node('b', 'five')];
  await a.read();
  // The state cannot be written.
  const path = join(directory, 'five.state.new');
  mkdirSync(path);
  await t.rejects(a.claim(stateOf(1, 'a')), { code: 'ERR_FT_COORDINATOR' });
  t.equal(a.leaseUntilUs, 0);
  rmSync(path, { recursive: true });
  t.same(await b.read(), { state: null, holder: null });
  t.ok(await b.claim(stateOf(1, 'b')));
  await b.release();
});

t.test('when a process was started', async (t) => {
  t.match(startedAt(process.pid), /^\d+$/);
  t.equal(startedAt(2 ** 30), undefined);
});

t.test('files that ft-tcp did not write, and a directory that does not exist', async (t) => {
  const a = node('a', 'four');
  writeFileSync(join(directory, 'four.state'), '{');
  await t.rejects(a.read(), { code: 'ERR_FT_COORDINATOR', message: /four.state was not written by ft-tcp/ });
  rmSync(join(directory, 'four.state'));
  waits.length = 0;
  writeFileSync(join(directory, 'four.holder'), 'rubbish');
  t.same(await a.read(), { state: null, holder: null });
  t.ok(await a.claim(stateOf(1, 'a')));
  t.same(waits, [100], 'the last holder cannot be known');
  t.match(JSON.parse(readFileSync(join(directory, 'four.holder'), 'utf8')), { node: 'a', pid: process.pid });
  await a.release();
  const open = (place: string): FileLockCoordinator =>
    new FileLockCoordinator(
      { ...config, directory: place },
      { group: 'g', node: 'a', pid: process.pid, native: native(), clock: systemClock, wait: async () => undefined },
    );
  const nowhere = open(join(directory, 'nowhere'));
  rmSync(join(directory, 'nowhere'), { recursive: true });
  await t.rejects(nowhere.read(), { code: 'ERR_FT_COORDINATOR', message: /nowhere/ });
  t.throws(() => open(join(directory, 'four.holder')), { code: 'ENOTDIR', message: /coordinator.directory/ });
  const shared = join(directory, 'shared');
  mkdirSync(shared);
  chmodSync(shared, 0o777);
  t.throws(() => open(shared), { code: 'EACCES', message: /written to by others/ });
});
