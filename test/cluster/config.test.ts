import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { runArguments } from '../../failover/cli/run-options.js';
import { parseClusterConfig, readClusterConfig } from '../../failover/cluster/config/config.js';
import { renderClusterConfig } from '../../failover/cluster/config/reference.js';
import { FtError } from '../../lib/errors.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-config-'));
t.teardown(() => rmSync(directory, { recursive: true }));
writeFileSync(join(directory, 'psk'), `${'0f'.repeat(32)}\n`, { mode: 0o600 });
writeFileSync(join(directory, 'short'), '0f', { mode: 0o600 });
const path = join(directory, 'cluster.json');

const nodes = [
  { name: 'a', host: '10.0.0.1' },
  { name: 'b', host: '10.0.0.2', port: 7000 },
];
const etcd = { type: 'etcd', endpoints: ['http://10.0.0.9:2379/'] };
const good = { nodes, tls: { psk: 'psk' }, coordinator: etcd };

t.test('keys that are left out have default values', async (t) => {
  const config = parseClusterConfig(good, 'b', path);
  t.match(config, {
    self: { name: 'b', port: 7000 },
    listen: '10.0.0.2',
    requiredBackups: Number.POSITIVE_INFINITY,
    peerTimeoutMs: 500,
    newGroupDelayMs: 10_000,
    coordinator: { type: 'etcd', endpoints: ['http://10.0.0.9:2379'], ttl: 5, prefix: '/ft-tcp/' },
    credentials: { kind: 'psk', key: Buffer.from('0f'.repeat(32), 'hex') },
  });
  t.equal(config.nodes[0]?.port, 7946);
  const here = ['a', 'b', 'c'].map((name, i) => ({ name, host: '127.0.0.1', port: 7461 + i }));
  const locked = { ...good, nodes: here, coordinator: { type: 'file-lock', directory: '/run/lock' } };
  t.same(parseClusterConfig(locked, 'a', path).coordinator, {
    type: 'file-lock',
    directory: '/run/lock',
    leaseMs: 500,
    stallTimeoutMs: 2000,
  });
  const fenced = { ...good, coordinator: { type: 'fence-command', fence: './off' } };
  t.match(parseClusterConfig(fenced, 'a', path).coordinator, {
    fence: join(directory, 'off'),
    fenceTimeoutMs: 30_000,
  });
  t.equal(parseClusterConfig({ ...good, requiredBackups: 1 }, 'a', path).requiredBackups, 1);
  t.equal(parseClusterConfig({ ...good, requiredBackups: 'all' }, 'a', path).requiredBackups, Number.POSITIVE_INFINITY);
  t.equal(parseClusterConfig({ ...good, listen: '0.0.0.0' }, 'a', path).listen, '0.0.0.0');
});

t.test('a secret that others may read, or change, is refused', async (t) => {
  const file = join(directory, 'secret');
  writeFileSync(file, '0f'.repeat(32));
  const certificates = { ...good, tls: { cert: 'psk', key: 'secret', ca: 'psk' } };
  const client = { ...good, coordinator: { ...etcd, key: 'secret' } };
  for (const [config, key] of [
    [{ ...good, tls: { psk: 'secret' } }, 'tls.psk'],
    [certificates, 'tls.key'],
    [client, 'coordinator.key'],
  ] as const) {
    for (const mode of [0o644, 0o604, 0o660, 0o777]) {
      chmodSync(file, mode);
      const message = `${path}: ${key}: ${file} has mode 0${mode.toString(8)}; use chmod 600 ${file}`;
      t.throws(() => parseClusterConfig(config, 'a', path), { code: 'ERR_FT_CONFIG', message });
    }
    for (const mode of [0o400, 0o600, 0o640]) {
      chmodSync(file, mode);
      t.ok(parseClusterConfig(config, 'a', path), mode.toString(8));
    }
    if (process.getuid?.() !== 0) continue;
    chownSync(file, 12_345, 0);
    t.throws(() => parseClusterConfig(config, 'a', path), { message: /belongs to user 12345, who can change it/ });
    chownSync(file, 0, 0);
  }
});

t.test('certificates', async (t) => {
  const tls = { cert: 'psk', key: 'psk', ca: 'psk' };
  const content = Buffer.from(`${'0f'.repeat(32)}\n`);
  const expected = { kind: 'certificate', cert: content, key: content, ca: content };
  t.same(parseClusterConfig({ ...good, tls }, 'a', path).credentials, expected);
});

const lock = { type: 'file-lock', directory: 'l' };
const fence = { type: 'fence-command', fence: 'f' };
/** Invalid configurations, and how the error begins behind the file's name. */
const INVALID: [object | string, string][] = [
  [[], 'invalid value []; expected an object'],
  [{ ...good, node: 'a' }, 'node: unknown key; expected one of nodes, listen, tls, coordinator, requiredBackups, peer'],
  [{ ...good, nodes: {} }, 'nodes: invalid value {}; expected a list of 2 to 7 nodes'],
  [{ ...good, nodes: [nodes[0]] }, 'nodes: 1 entries; expected a list of 2 to 7 nodes'],
  [{ ...good, nodes: [nodes[0], nodes[0]] }, 'nodes: "a" is there twice; the names of all nodes differ'],
  [{ ...good, nodes: [{ name: 'a/', host: 'x' }, nodes[1]] }, 'nodes[0].name: invalid value "a/"; expected a name of'],
  [{ ...good, nodes: [{ name: 'a' }, nodes[1]] }, 'nodes[0].host: missing; expected an address or a host name'],
  [
    { ...good, nodes: [{ name: 'a', host: 'x', port: 0 }, nodes[1]] },
    'nodes[0].port: invalid value 0; expected an integer from 1 to 65535',
  ],
  [{ nodes, coordinator: etcd }, 'tls: missing; expected an object'],
  [{ ...good, tls: {} }, 'tls.cert: missing; expected a PEM file'],
  [{ ...good, tls: { psk: 'none' } }, `tls.psk: ${join(directory, 'none')} cannot be read (ENOENT)`],
  [{ ...good, tls: { psk: 'short' } }, 'tls.psk: invalid content; expected a file with 64 hexadecimal digits'],
  [{ ...good, tls: { psk: 'psk', cert: 'x' } }, 'tls.cert: unknown key; expected one of psk'],
  [{ ...good, coordinator: {} }, 'coordinator.type: missing; expected one of "etcd", "fence-command", "file-lock"'],
  [{ ...good, coordinator: { type: 'zookeeper' } }, 'coordinator.type: invalid value "zookeeper"; expected one of'],
  [{ ...good, coordinator: { type: 'static' } }, 'coordinator.type: invalid value "static"; use "fence-command"'],
  [{ ...good, coordinator: { type: 'lock' } }, 'coordinator.type: invalid value "lock"; use "file-lock"'],
  [{ ...good, coordinator: { type: 'file-lock' } }, 'coordinator.directory: missing; expected the path of a directory'],
  [{ ...good, coordinator: lock }, 'coordinator "file-lock" is for nodes on one machine: host 127.0.0.1'],
  [{ ...good, coordinator: { ...lock, ttl: 1 } }, 'coordinator.ttl: unknown key; expected one of type, directory'],
  [{ ...good, coordinator: { ...lock, hungMs: 1 } }, 'coordinator.hungMs: unknown key; use stallTimeoutMs'],
  [{ ...good, coordinator: { ...etcd, endpoints: [] } }, 'coordinator.endpoints: 0 entries; expected a list of'],
  [
    { ...good, coordinator: { ...etcd, endpoints: ['10.0.0.9'] } },
    'coordinator.endpoints[0]: invalid value "10.0.0.9"; expected a URL like http://10.0.0.9:2379',
  ],
  [
    { ...good, coordinator: { ...etcd, endpoints: ['http://[::1'] } },
    'coordinator.endpoints[0]: invalid value "http://[::1"; expected a URL like http://10.0.0.9:2379',
  ],
  [
    { ...good, coordinator: { ...etcd, ttl: 1 } },
    'coordinator.ttl: invalid value 1; expected an integer from 2 to 300',
  ],
  [{ ...good, coordinator: { type: 'fence-command' } }, 'coordinator.fence: missing; expected the path of a program'],
  [
    { ...good, nodes: [...nodes, { name: 'c', host: 'x' }], coordinator: fence },
    'coordinator "fence-command" is for exactly two nodes',
  ],
  [{ ...good, requiredBackups: 2 }, 'requiredBackups: invalid value 2; expected "all", or an integer from 1 to 1'],
  [{ ...good, requiredBackups: 0 }, 'requiredBackups: invalid value 0; expected "all", or an integer from 1 to'],
  [{ ...good, stable: 1 }, 'stable: unknown key; use requiredBackups'],
  [{ ...good, lostMs: 500 }, 'lostMs: unknown key; use peerTimeoutMs'],
  [{ ...good, freshMs: 500 }, 'freshMs: unknown key; use newGroupDelayMs'],
  [{ ...good, peerTimeoutMs: 5 }, 'peerTimeoutMs: invalid value 5; expected an integer from 100 to 60000 (ms)'],
  [{ ...good, newGroupDelayMs: 2.5e3 + 0.5 }, 'newGroupDelayMs: invalid value 2500.5; expected an integer from 1000'],
];

t.test('an error names the place, the value and what is expected', async (t) => {
  for (const [json, message] of INVALID) {
    let caught: unknown;
    try {
      parseClusterConfig(json, 'a', path);
    } catch (error) {
      caught = error;
    }
    t.ok(caught instanceof FtError && caught.code === 'ERR_FT_CONFIG', message);
    t.ok(String(caught).includes(`${path}: ${message}`), `${caught} has ${message}`);
  }
  const here = nodes.map((node) => ({ ...node, host: '127.0.0.1' }));
  const short = { ...good, nodes: here, coordinator: { ...lock, leaseMs: 1000, stallTimeoutMs: 1000 } };
  t.throws(() => parseClusterConfig(short, 'a', path), {
    message: /stallTimeoutMs: invalid value 1000; .* at least 2000/,
  });
  t.throws(() => parseClusterConfig(good, 'c', path), { message: /"c" is none of the nodes \(a, b\).*--node NAME/ });
});

t.test('the reference page is generated from the tables', async (t) => {
  const page = fileURLToPath(new URL('../../../docs/reference/cluster-config.md', import.meta.url));
  t.equal(readFileSync(page, 'utf8'), renderClusterConfig(), 'otherwise: npm run docs');
  for (const key of ['peerTimeoutMs', 'stallTimeoutMs', 'endpoints', 'fenceTimeoutMs', 'port', 'psk', 'ca'])
    t.match(renderClusterConfig(), new RegExp(`\\| \`${key}\` +\\|`), key);
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
