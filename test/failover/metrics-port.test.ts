/** The address of `--metrics`: who listens, and what it answers to a scrape. Without replicas. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { METRICS, metricsText } from '../../failover/admin/metrics.js';
import { type MetricsAddress, MetricsPort, metricsAddressText } from '../../failover/admin/metrics-port.js';
import { noTotals, ProtectionTime } from '../../failover/admin/observation.js';
import { scrapeAnswer } from '../../failover/admin/scrape.js';
import { LISTEN_ADDRESS } from '../../failover/cli/value-types.js';
import { RTT_BOUNDS_US, RttHistogram } from '../../stack/tcp/rtt-histogram.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-metrics-'));
t.teardown(() => rmSync(directory, { recursive: true }));

function ask(address: MetricsAddress, request = 'GET /metrics HTTP/1.1\r\n\r\n'): Promise<string> {
  return new Promise((done) => {
    const socket = net.connect(address);
    let text = '';
    socket.on('error', (error) => done(error.message));
    socket.on('data', (part) => {
      text += part;
    });
    socket.on('close', () => done(text));
    socket.write(request);
  });
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await new Promise((done) => setTimeout(done, 5));
}

/** A port of a replica that is named `name`; `other` yields when it is asked. */
function portOf(name: string, address: MetricsAddress, other?: () => MetricsPort): [MetricsPort, string[]] {
  const reports: string[] = [];
  const host = {
    read: () => Promise.resolve(`${name}\n`),
    outside: <T>(fn: () => T): T => fn(),
    askToYield: () => Promise.resolve(other?.().close()),
    report: (where: string, message: string) => void reports.push(`${where} ${message}`),
  };
  return [new MetricsPort(host, address), reports];
}

t.test('the backup takes the address over, and gives it back by its end', async (t) => {
  for (const address of [{ host: '127.0.0.1', port: 19_464 }, { path: join(directory, 'one.sock') }]) {
    const [primary] = portOf('primary', address);
    const [backup] = portOf('backup', address, () => primary);
    primary.open();
    await until(() => primary.isServing);
    t.match(await ask(address), /^HTTP\/1.1 200 OK\r\n[\s\S]*\r\n\r\nprimary\n$/);
    backup.open();
    await until(() => backup.isServing);
    t.equal(primary.isServing, false);
    t.match(await ask(address), /backup\n$/);
    backup.close();
    primary.open();
    await until(() => primary.isServing);
    t.match(await ask(address), /primary\n$/);
    primary.close();
  }
});

t.test('an address of somebody else is reported once, and tried again', async (t) => {
  const address = { host: '127.0.0.1', port: 19_465 };
  const other = net.createServer().listen(address);
  await new Promise((done) => other.once('listening', done));
  const [port, reports] = portOf('mine', address);
  port.open();
  await until(() => reports.length > 0);
  t.match(reports, [/^127\.0\.0\.1:19465 .*EADDRINUSE/]);
  other.close();
  port.open();
  await until(() => port.isServing);
  port.close();
  t.equal(reports.length, 1);
  const [wrong, why] = portOf('wrong', { host: '192.0.2.1', port: 19_465 });
  wrong.open();
  await until(() => why.length > 0);
  t.match(why, [/EADDRNOTAVAIL/]);
  wrong.close();
});

t.test('the socket of a process that was killed is replaced; a file is not', async (t) => {
  const path = join(directory, 'stale.sock');
  const { spawnSync } = await import('node:child_process');
  const script = `require('net').createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', script]);
  const [port] = portOf('new', { path });
  port.open();
  await until(() => port.isServing);
  t.match(await ask({ path }), /new\n$/);
  port.close();
  const file = join(directory, 'file');
  writeFileSync(file, 'kept');
  const [never, reports] = portOf('never', { path: file });
  never.open();
  await until(() => reports.length > 0);
  t.match(reports, [/EADDRINUSE/]);
  never.close();
  t.equal(readFileSync(file, 'utf8'), 'kept');
});

t.test('requests: bounded, and anything but a scrape is refused', async (t) => {
  const read = (): Promise<string> => Promise.resolve('text');
  t.equal(scrapeAnswer('GET /metrics HTTP/1.1\r\n', read), null, 'not complete');
  t.match(
    await scrapeAnswer('HEAD /metrics?x=1 HTTP/1.1\r\n\r\n', read),
    /^HTTP\/1.1 200 [\s\S]*Length: 4\r\n[\s\S]*\r\n\r\n$/,
  );
  t.match(await scrapeAnswer('GET / HTTP/1.1\r\n\r\n', read), /^HTTP\/1.1 404 /);
  t.match(await scrapeAnswer('POST /metrics HTTP/1.1\r\n\r\n', read), /^HTTP\/1.1 405 /);
  t.match(await scrapeAnswer(`GET /${'x'.repeat(9000)}`, read), /^HTTP\/1.1 431 /);
  t.match(
    await scrapeAnswer('GET /metrics HTTP/1.1\r\n\r\n', () => Promise.reject(new Error('no'))),
    /^HTTP\/1.1 500 /,
  );
  const address = { host: '127.0.0.1', port: 19_466 };
  const [port] = portOf('port', address);
  port.open();
  await until(() => port.isServing);
  t.equal(await ask(address, 'SSH-2.0-x\r\n'), '', 'another protocol is let go');
  port.close();
});

t.test('addresses', async (t) => {
  t.same(LISTEN_ADDRESS.read('127.0.0.1:9464'), { host: '127.0.0.1', port: 9464 });
  t.same(LISTEN_ADDRESS.read('[::1]:1'), { host: '::1', port: 1 });
  t.same(LISTEN_ADDRESS.read('/run/x'), { path: '/run/x' });
  for (const wrong of [
    '9464',
    ':9464',
    '127.0.0.1',
    '127.0.0.1:0',
    '127.0.0.1:65536',
    '[127.0.0.1]:1',
    'host:1',
    `/${'x'.repeat(120)}`,
  ])
    t.equal(LISTEN_ADDRESS.read(wrong), undefined, wrong);
  t.equal(metricsAddressText({ host: '::1', port: 1 }), '[::1]:1');
});

t.test('seconds unprotected, and the time to protected again', async (t) => {
  const time = new ProtectionTime();
  time.lost(1_000_000);
  t.match(time.at(3_000_000), { unprotectedMs: 2000, restoredMs: null });
  time.gained(4_000_000);
  t.match(time.at(9_000_000), { unprotectedMs: 3000, restoredMs: 3000 });
  time.lost(10_000_000);
  time.lost(11_000_000);
  time.gained(10_500_000);
  t.match(time.at(20_000_000), { unprotectedMs: 3500, restoredMs: 500 }, 'the loss counts once');
  const next = new ProtectionTime();
  const before = { ...noTotals(), unprotectedMs: 500 };
  next.takenOver('death', { us: 1_000_000, wallMs: 5 }, before);
  t.match(next.at(2_000_000), { unprotectedMs: 1500, lastTakeoverMs: 5, takeovers: { death: 1, hang: 0 } });
});

t.test('round-trip times: each in its bucket', async (t) => {
  const histogram = new RttHistogram();
  for (const us of [1, 64, 65, 128, 1000.5, 2 ** 26, 2 ** 26 + 1, 1e12]) histogram.add(us);
  const found = Object.fromEntries([...histogram.counts].map((count, i) => [RTT_BOUNDS_US[i], count]));
  t.match(found, { 64: 2, 128: 2, 1024: 1, [2 ** 26]: 1, Infinity: 2 });
});

t.test('without an answer only what is seen from outside is there', async (t) => {
  const text = await metricsText({ group: 'a"b', replicas: [], unresponsive: [7], cluster: null });
  t.match(text, 'ft_tcp_replica_up{group="a\\"b",pid="7"} 0\n');
  t.notMatch(text, 'ft_tcp_protected');
});

t.test('the agent of a machine', async (t) => {
  const peers = { b: { up: true, lagBytes: 9 }, c: { up: false, lagBytes: null } };
  const cluster = { node: 'a', role: 'leader', inSync: ['a', 'b'], leaseRemainingMs: 1500, peers };
  const text = await metricsText({ group: 'web', replicas: [], unresponsive: [], cluster });
  for (const line of [
    'ft_tcp_cluster_leader{group="web",node="a"} 1',
    'ft_tcp_cluster_in_sync_nodes{group="web",node="a"} 2',
    'ft_tcp_cluster_lease_remaining_seconds{group="web",node="a"} 1.5',
    'ft_tcp_cluster_peer_up{group="web",node="a",peer="c"} 0',
    'ft_tcp_cluster_peer_lag_bytes{group="web",node="a",peer="b"} 9',
  ])
    t.match(text, `${line}\n`);
  t.notMatch(text, /lag_bytes\{[^}]*peer="c"/, 'what is not known is left out');
});

t.test('names follow the conventions of Prometheus', async (t) => {
  for (const [name, { type, help }] of Object.entries(METRICS)) {
    t.match(name, /^ft_tcp_[a-z]+(_[a-z]+)*$/, name);
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a ${type}`);
    t.notMatch(name, /_(ms|us|milliseconds|microseconds|kib|mib)(_|$)/, `${name}: base units`);
    t.ok(help.endsWith('.'), `${name}: a whole sentence`);
  }
});
