import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import type { EtcdConfig } from '../../failover/cluster/config/config.js';
import { type GroupState, parseState } from '../../failover/cluster/coordinator/coordinator.js';
import { EtcdCoordinator } from '../../failover/cluster/coordinator/etcd.js';
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

const stateOf = (epoch: number, primary: string): GroupState => ({
  epoch,
  primary,
  inSync: [primary],
  requiredBackups: 0,
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

t.test('one of two gets the lease, the other one when it has expired', async (t) => {
  const a = new EtcdCoordinator(config, 'one', 'a', systemClock);
  const b = new EtcdCoordinator(config, 'one', 'b', systemClock);
  t.teardown(() => [a.close(), b.close()]);
  t.same(await a.read(), { state: null, holder: null });
  await b.read();
  const before = systemClock.now();
  t.ok(await a.claim(stateOf(1, 'a')));
  t.ok(a.leaseUntilUs > before && a.leaseUntilUs < before + 2e6 - 150_000, 'ends before the lease does');
  t.notOk(await b.claim(stateOf(1, 'b')), 'taken');
  t.equal(b.leaseUntilUs, 0);
  t.same(await b.read(), { state: stateOf(1, 'a'), holder: 'a' });
  t.ok(await a.update({ ...stateOf(1, 'a'), inSync: ['a', 'b'], requiredBackups: 1 }));
  t.notOk(await b.update(stateOf(1, 'b')), 'only the holder changes the state');
  const first = a.leaseUntilUs;
  t.ok(await a.renew());
  t.ok(a.leaseUntilUs >= first);
  // It does not renew any more.
  for (let i = 0; i < 100 && (await b.read()).holder !== null; i++) await new Promise((done) => setTimeout(done, 50));
  t.ok(systemClock.now() > a.leaseUntilUs, 'the lease of a had expired before');
  t.ok(await b.claim(stateOf(2, 'b')));
  t.notOk(await a.renew());
  t.equal(a.leaseUntilUs, 0);
  t.notOk(await a.update(stateOf(3, 'a')));
  await b.release();
  t.same(await a.read(), { state: stateOf(2, 'b'), holder: null });
});

t.test('a state that has changed since it was read is not claimed', async (t) => {
  const a = new EtcdCoordinator(config, 'two', 'a', systemClock);
  const b = new EtcdCoordinator(config, 'two', 'b', systemClock);
  t.teardown(() => [a.close(), b.close()]);
  await a.read();
  await b.read();
  t.ok(await a.claim(stateOf(1, 'a')));
  await a.release();
  t.notOk(await b.claim(stateOf(1, 'b')));
  await b.read();
  t.ok(await b.claim(stateOf(2, 'b')));
  await b.release();
});

t.test('an earlier change whose answer was lost', async (t) => {
  const a = new EtcdCoordinator(config, 'four', 'a', systemClock);
  t.teardown(() => a.close());
  await a.read();
  t.ok(await a.claim(stateOf(1, 'a')));
  // As if an earlier request had been executed late.
  const unanswered = { ...stateOf(1, 'a'), inSync: ['a', 'b'], requiredBackups: 1 };
  await put('four', JSON.stringify(unanswered));
  await t.rejects(a.update(stateOf(1, 'a')), { code: 'ERR_FT_COORDINATOR', message: /answer was lost/ });
  t.same((await a.read()).state, unanswered, 'the present change has not happened');
  t.ok(await a.update(stateOf(1, 'a')));
  t.same((await a.read()).state, stateOf(1, 'a'));
  await a.release();
});

t.test('etcd that does not answer, and an invalid state', async (t) => {
  const a = new EtcdCoordinator(config, 'three', 'a', systemClock);
  t.teardown(() => a.close());
  for (const value of ['{', '{"epoch":"x"}']) {
    await put('three', value);
    await t.rejects(a.read(), { code: 'ERR_FT_COORDINATOR', message: /was not written by ft-tcp/ });
  }
  etcd.kill('SIGKILL');
  await new Promise((done) => etcd.once('exit', done));
  await t.rejects(a.read(), { code: 'ERR_FT_COORDINATOR', message: /ECONNREFUSED/ });
  await start();
  await t.rejects(a.read(), { message: /was not written by ft-tcp/ }, 'it is asked again');
});

t.test('stored states', async (t) => {
  const state = { epoch: 3, primary: 'a', inSync: ['a', 'b'], requiredBackups: 1 };
  t.same(parseState(JSON.stringify(state), 'here'), state);
  const { requiredBackups: stable, ...rest } = state;
  t.same(parseState(JSON.stringify({ ...rest, stable }), 'here'), state, 'with the former name of a field');
  for (const text of ['', 'null', '7', '[]', '{', '{}', '{"epoch":1,"primary":"a","inSync":["a"]}'])
    t.throws(() => parseState(text, 'here'), { code: 'ERR_FT_COORDINATOR', message: /in here was not written/ }, text);
});
