import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { EtcdConfig } from '../../failover/cluster/config.js';
import { EtcdCoordinator } from '../../failover/cluster/coordinator/etcd.js';
import { FenceCommandCoordinator } from '../../failover/cluster/coordinator/fence-command.js';
import { requireTools } from '../../failover/lab/required-tools.js';
import { systemClock } from '../../lib/native/system.js';

const PORT = 30_000 + (process.pid % 10_000) * 2;
const url = `http://127.0.0.1:${PORT}`;
const config: EtcdConfig = { type: 'etcd', endpoints: ['http://127.0.0.1:1', url], ttl: 2, prefix: '/test/' };
const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-etcd-'));
let etcd: ChildProcess;

async function start(): Promise<void> {
  const peer = [
    '--listen-peer-urls',
    `http://127.0.0.1:${PORT + 1}`,
    '--initial-advertise-peer-urls',
    `http://127.0.0.1:${PORT + 1}`,
  ];
  const cluster = ['--initial-cluster', `default=http://127.0.0.1:${PORT + 1}`, '--log-level', 'error'];
  etcd = spawn(
    'etcd',
    ['--data-dir', directory, '--listen-client-urls', url, '--advertise-client-urls', url, ...peer, ...cluster],
    {
      stdio: 'ignore',
    },
  );
  for (let i = 0; i < 200; i++) {
    if (
      await fetch(`${url}/health`).then(
        (r) => r.ok,
        () => false,
      )
    )
      return;
    await new Promise((done) => setTimeout(done, 50));
  }
  throw new Error('etcd does not answer');
}

t.before(async () => {
  requireTools(['etcd'], true);
  await start();
});
t.teardown(() => {
  etcd.kill('SIGKILL');
  rmSync(directory, { recursive: true });
});

const reign = (
  epoch: number,
  primary: string,
): { epoch: number; primary: string; inSync: string[]; stable: number } => ({
  epoch,
  primary,
  inSync: [primary],
  stable: 0,
});

/** Writes a group's state past its coordinators. */
function put(group: string, value: string): Promise<Response> {
  return fetch(`${url}/v3/kv/put`, {
    method: 'POST',
    body: JSON.stringify({
      key: Buffer.from(`/test/${group}/state`).toString('base64'),
      value: Buffer.from(value).toString('base64'),
    }),
  });
}

t.test('one of two gets the right; the other when it has ended', async (t) => {
  const a = new EtcdCoordinator(config, 'one', 'a', systemClock);
  const b = new EtcdCoordinator(config, 'one', 'b', systemClock);
  t.teardown(() => [a.close(), b.close()]);
  t.same(await a.read(), { state: null, holder: null });
  await b.read();
  const before = systemClock.now();
  t.ok(await a.claim(reign(1, 'a')));
  t.ok(a.speakUntilUs > before && a.speakUntilUs < before + 2e6 - 150_000, 'ends before the lease does');
  t.notOk(await b.claim(reign(1, 'b')), 'taken');
  t.equal(b.speakUntilUs, 0);
  t.same(await b.read(), { state: reign(1, 'a'), holder: 'a' });
  t.ok(await a.update({ ...reign(1, 'a'), inSync: ['a', 'b'], stable: 1 }));
  t.notOk(await b.update(reign(1, 'b')), 'only the primary changes the state');
  const first = a.speakUntilUs;
  t.ok(await a.renew());
  t.ok(a.speakUntilUs >= first);
  // It renews no more.
  for (let i = 0; i < 100 && (await b.read()).holder !== null; i++) await new Promise((done) => setTimeout(done, 50));
  t.ok(systemClock.now() > a.speakUntilUs, 'a was silent before');
  t.ok(await b.claim(reign(2, 'b')));
  t.notOk(await a.renew());
  t.equal(a.speakUntilUs, 0);
  t.notOk(await a.update(reign(3, 'a')));
  await b.release();
  t.same(await a.read(), { state: reign(2, 'b'), holder: null });
});

t.test('nobody claims what has changed since it was read', async (t) => {
  const a = new EtcdCoordinator(config, 'two', 'a', systemClock);
  const b = new EtcdCoordinator(config, 'two', 'b', systemClock);
  t.teardown(() => [a.close(), b.close()]);
  await a.read();
  await b.read();
  t.ok(await a.claim(reign(1, 'a')));
  await a.release();
  t.notOk(await b.claim(reign(1, 'b')));
  await b.read();
  t.ok(await b.claim(reign(2, 'b')));
  await b.release();
});

t.test('a change of our own of which nothing was heard', async (t) => {
  const a = new EtcdCoordinator(config, 'four', 'a', systemClock);
  t.teardown(() => a.close());
  await a.read();
  t.ok(await a.claim(reign(1, 'a')));
  // As if an earlier request of ours had come through after all.
  const unheard = { ...reign(1, 'a'), inSync: ['a', 'b'], stable: 1 };
  await put('four', JSON.stringify(unheard));
  await t.rejects(a.update(reign(1, 'a')), { code: 'ERR_FT_COORDINATOR', message: /nothing was heard/ });
  t.same((await a.read()).state, unheard, 'it is as it was');
  t.ok(await a.update(reign(1, 'a')));
  t.same((await a.read()).state, reign(1, 'a'));
  await a.release();
});

t.test('etcd that does not answer, and a state that is none', async (t) => {
  const a = new EtcdCoordinator(config, 'three', 'a', systemClock);
  t.teardown(() => a.close());
  for (const value of ['{', '{"epoch":"x"}']) {
    await put('three', value);
    await t.rejects(a.read(), { code: 'ERR_FT_COORDINATOR', message: /not one of ours/ });
  }
  etcd.kill('SIGKILL');
  await new Promise((done) => etcd.once('exit', done));
  await t.rejects(a.read(), { code: 'ERR_FT_COORDINATOR', message: /ECONNREFUSED/ });
  await start();
  await t.rejects(a.read(), { message: /not one of ours/ }, 'it is asked again');
});

t.test('without anybody to ask: the fence command decides', async (t) => {
  const fenced: string[] = [];
  let works = false;
  const one = new FenceCommandCoordinator('a', ['b'], async (node) => {
    fenced.push(node);
    return works;
  });
  t.same(await one.read(), { state: null, holder: null });
  t.notOk(await one.claim(reign(1, 'a'), false), 'b may be on');
  t.equal(one.speakUntilUs, 0);
  works = true;
  t.ok(await one.claim(reign(1, 'a'), false));
  t.equal(one.speakUntilUs, Number.POSITIVE_INFINITY);
  t.same(fenced, ['b', 'b']);
  const both = { ...reign(1, 'a'), inSync: ['a', 'b'], stable: 1 };
  t.ok(await one.update(both, []));
  works = false;
  t.notOk(await one.update(reign(1, 'a'), []), 'b is not off');
  t.ok(await one.update(reign(1, 'a'), ['b']), 'b has left by itself');
  t.equal(fenced.length, 3);
  await one.release();
  t.notOk(await one.renew());
  one.learn({ ...reign(2, 'b') });
  t.same((await one.read()).state, reign(2, 'b'));
  one.learn(reign(1, 'a'));
  t.same((await one.read()).state, reign(2, 'b'), 'old news');
  t.ok(await one.claim(reign(3, 'a'), true), 'it has said that it is gone');
});
