import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { runArguments } from '../../failover/cli/run-options.js';
import { parseClusterConfig, readClusterConfig } from '../../failover/cluster/config.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-config-'));
t.teardown(() => rmSync(directory, { recursive: true }));
writeFileSync(join(directory, 'psk'), `${'0f'.repeat(32)}\n`);
writeFileSync(join(directory, 'short'), '0f');
const path = join(directory, 'cluster.json');

const nodes = [
  { name: 'a', host: '10.0.0.1' },
  { name: 'b', host: '10.0.0.2', port: 7000 },
];
const etcd = { type: 'etcd', endpoints: ['http://10.0.0.9:2379/'] };
const good = { nodes, tls: { psk: 'psk' }, coordinator: etcd };

t.test('what is left away has a usual value', async (t) => {
  const config = parseClusterConfig(good, 'b', path);
  t.match(config, {
    self: { name: 'b', port: 7000 },
    listen: '10.0.0.2',
    stable: Number.POSITIVE_INFINITY,
    lostMs: 500,
    freshMs: 10_000,
    coordinator: { type: 'etcd', endpoints: ['http://10.0.0.9:2379'], ttl: 5, prefix: '/ft-tcp/' },
  });
  t.equal(config.nodes[0]!.port, 7946);
  const here = ['a', 'b', 'c'].map((name, i) => ({ name, host: '127.0.0.1', port: 7461 + i }));
  const locked = { ...good, nodes: here, coordinator: { type: 'lock', directory: '/run/lock' } };
  t.same(parseClusterConfig(locked, 'a', path).coordinator, {
    type: 'lock',
    directory: '/run/lock',
    leaseMs: 500,
    hungMs: 2000,
  });
  t.match(parseClusterConfig({ ...good, coordinator: { type: 'static', fence: './off' } }, 'a', path).coordinator, {
    fence: join(directory, 'off'),
    fenceTimeoutMs: 30_000,
  });
  t.equal(parseClusterConfig({ ...good, stable: 1 }, 'a', path).stable, 1);
});

t.test('each mistake is named', async (t) => {
  const wrong: [object | string, RegExp][] = [
    [[], /the file: has to be an object/],
    [{ ...good, node: 'a' }, /node: not known/],
    [{ ...good, nodes: [nodes[0]] }, /nodes: 2 to 7/],
    [{ ...good, nodes: [nodes[0], nodes[0]] }, /two have one name/],
    [{ ...good, nodes: [{ name: 'a/', host: 'x' }, nodes[1]] }, /nodes\[0\].name/],
    [{ ...good, nodes: [{ name: 'a', host: 'x', port: 0 }, nodes[1]] }, /nodes\[0\].port: has to be a whole number/],
    [{ ...good, tls: {} }, /tls.cert: has to be a text/],
    [{ ...good, tls: { psk: 'none' } }, /tls.psk: .* cannot be read \(ENOENT\)/],
    [{ ...good, tls: { psk: 'short' } }, /64 hexadecimal digits/],
    [{ ...good, tls: { psk: 'psk', cert: 'x' } }, /tls.cert: not known/],
    [{ ...good, coordinator: { type: 'zookeeper' } }, /"etcd", "static" or "lock"/],
    [{ ...good, coordinator: { type: 'lock' } }, /coordinator.directory/],
    [{ ...good, coordinator: { type: 'lock', directory: 'l' } }, /on one machine; give each host: 127.0.0.1/],
    [{ ...good, coordinator: { type: 'lock', directory: 'l', leaseMs: 1000, hungMs: 1000 } }, /from 2000 to/],
    [{ ...good, coordinator: { type: 'lock', directory: 'l', ttl: 1 } }, /ttl/],
    [{ ...good, coordinator: { ...etcd, endpoints: [] } }, /at least one/],
    [{ ...good, coordinator: { ...etcd, endpoints: ['10.0.0.9'] } }, /write it like/],
    [{ ...good, coordinator: { ...etcd, ttl: 1 } }, /from 2 to 300/],
    [{ ...good, coordinator: { type: 'static' } }, /coordinator.fence/],
    [
      { ...good, nodes: [...nodes, { name: 'c', host: 'x' }], coordinator: { type: 'static', fence: 'f' } },
      /static is for two nodes/,
    ],
    [{ ...good, stable: 2 }, /stable: has to be a whole number from 1 to 1/],
    [{ ...good, lostMs: 5 }, /lostMs/],
  ];
  for (const [json, message] of wrong)
    t.throws(() => parseClusterConfig(json, 'a', path), { code: 'ERR_FT_CONFIG', message });
  t.throws(() => parseClusterConfig(good, 'c', path), { message: /"c" is none of the nodes \(a, b\).*--node NAME/ });
});

t.test('files', async (t) => {
  t.throws(() => readClusterConfig(join(directory, 'none.json'), 'a'), { message: /cannot be read \(ENOENT\)/ });
  writeFileSync(path, '{');
  t.throws(() => readClusterConfig(path, 'a'), { code: 'ERR_FT_CONFIG' });
  writeFileSync(path, JSON.stringify(good));
  t.equal(readClusterConfig(path, 'a').self.name, 'a');
});

t.test('options of the command line', async (t) => {
  const args = runArguments(['--cluster', 'c.json', '--node', 'b', 'app.js', '--node', 'x']);
  t.match(args, { cluster: 'c.json', node: 'b', options: { commit: 'acked' }, programArgs: ['--node', 'x'] });
  t.equal(args.options.agentPid, undefined);
  t.equal(runArguments(['app.js']).options.commit, 'written');
  t.match(runArguments(['--member', 'backup', '--agent', '7', '--cluster', 'c', 'app.js']), {
    member: 'backup',
    options: { agentPid: 7, commit: 'acked' },
  });
  const wrong: [string[], RegExp][] = [
    [['--cluster', 'c', '--commit', 'written'], /does not survive the loss of a machine/],
    [['--cluster', 'c', '--solo'], /exclude each other/],
    [['--node', 'a'], /--node needs --cluster/],
    [['--member', 'x'], /--member x: invalid value/],
    [['--member', 'backup'], /--agent/],
  ];
  for (const [words, message] of wrong)
    t.throws(() => runArguments([...words, 'app.js']), { code: 'ERR_FT_USAGE', message }, words.join(' '));
});
