/** `--publish`: a host, its ports, and a client in another network namespace. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { ip } from '../../failover/lab/network.js';
import { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { FarClient } from './support/far-client.js';
import { CLIENT, CLIENT6, ftTcp, HOST, HOST6, inHostLab, machineState, run } from './support/host-lab.js';
import { sleep } from './support/lab.js';

const VISITOR = fileURLToPath(new URL('apps/visitor.js', import.meta.url));
const holder = await inHostLab(import.meta.url);
const clients = holder.pid ?? 0;
t.teardown(() => holder.kill('SIGKILL'));

const started: ReplicaProcess[] = [];

function start(...options: string[]): ReplicaProcess {
  const replica = new ReplicaProcess([...options, VISITOR]);
  started.push(replica);
  return replica;
}

async function pair(...options: string[]): Promise<[ReplicaProcess, ReplicaProcess]> {
  const primary = start(...options);
  await primary.event('ready');
  const backup = start(...options);
  await primary.event('protected');
  await backup.event('ready');
  return [primary, backup];
}

async function killAll(): Promise<void> {
  await Promise.all(started.splice(0).map((replica) => replica.close()));
}

/** One question over a connection of its own. */
async function ask(host: string, port = 80, netnsOf: number | null = clients): Promise<string> {
  const client = new FarClient(netnsOf, host, port);
  const answer = await client.ask();
  client.close();
  return answer;
}

/** The error of a replica that does not start. */
async function refusal(...options: string[]): Promise<string> {
  const replica = start(...options);
  const { code } = await replica.exited;
  await sleep(20);
  return `${code} ${replica.stderrLines.join('\n')}`;
}

t.afterEach(killAll);

t.test('the host serves the group, and a connection outlives kill -9', async (t) => {
  const before = machineState();
  const [primary, backup] = await pair('--group', 'web', '--publish', '80', '--publish', '8080:80/tcp');
  const client = new FarClient(clients, HOST, 80);
  const client6 = new FarClient(clients, HOST6, 8080);
  t.equal(await client.ask(), `${CLIENT} 1`, 'the program sees the address of the client');
  t.equal(await client6.ask(), `${CLIENT6} 1`);
  t.equal(await ask('127.0.0.1', 80, null), '10.77.0.1 1', 'a local client by the loopback address');
  t.equal(await ask(HOST, 8080, null), `${HOST} 1`, 'a local client by the address of the host');
  t.equal(await ask(HOST6, 80, null), `${HOST6} 1`);
  t.equal(await ask(HOST, 81), 'error ECONNREFUSED', 'another port is not published');

  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await client.ask(), `${CLIENT} 2`, 'the same connection goes on');
  t.equal(await client6.ask(), `${CLIENT6} 2`);
  const third = start('--group', 'web', '--publish', '80', '--publish', '8080:80');
  await backup.event('protected');
  await third.event('ready');
  backup.kill('SIGKILL');
  await third.event('takeover');
  t.equal(await client.ask(), `${CLIENT} 3`, 'and once more');

  await killAll();
  t.match(ftTcp('cleanup').out, 'may be resumed');
  t.match(ftTcp('net', 'show').out, /^web {2}80, 8080:80 -> 10\.77\.0\.2\/24, fd77::2\/64 on ft0 {2}left/m);
  const resumed = start('--group', 'web', '--publish', '80', '--publish', '8080:80');
  await resumed.event('takeover');
  t.equal(await client.ask(), `${CLIENT} 4`, 'a group that died as a whole is continued');
  await killAll();
  t.match(ftTcp('cleanup', '--group', 'web').out, 'network on ft0 removed');
  client.close();
  client6.close();
  const after = machineState();
  // The directory of the groups stays.
  t.same(after, { ...before, run: 'ft-tcp' }, 'nothing is left but the directory of the groups');
});

t.test('the last replica that ends removes everything', async (t) => {
  const before = machineState();
  const [primary, backup] = await pair('--group', 'web', '--publish', '80');
  primary.kill('SIGTERM');
  t.match(await primary.exited, { code: 0 });
  t.equal(await ask(HOST), `${CLIENT} 1`, 'the other one serves on');
  backup.kill('SIGTERM');
  await backup.exited;
  t.same({ ...machineState(), run: '' }, { ...before, run: '' });
  ftTcp('cleanup');
});

t.test('what cannot be published is refused, and the group goes on', async (t) => {
  const [primary] = await pair('--group', 'web', '--publish', '80');
  const client = new FarClient(clients, HOST, 80);
  t.equal(await client.ask(), `${CLIENT} 1`);
  const state = machineState();

  t.match(await refusal('--group', 'other', '--publish', '80'), /^1 ft-tcp: EADDRINUSE: .*the group web has it/);
  const listener = net.createServer().listen(8081, '0.0.0.0');
  await new Promise((done) => listener.once('listening', done));
  t.match(
    await refusal('--group', 'other', '--publish', '8081:80'),
    /^1 ft-tcp: EADDRINUSE: .*a process of this machine listens at 0\.0\.0\.0:8081.*ss -ltnp/,
  );
  listener.close();
  t.match(
    await refusal('--group', 'other', '--publish', '203.0.113.1:90'),
    /^1 ft-tcp: EADDRNOTAVAIL: .*no address of this/,
  );
  t.match(
    await refusal('--group', 'other', '--publish', '90', '--tap', 'ft0'),
    /^3 ft-tcp: EBUSY: .*belongs to the group web/,
  );
  t.match(
    await refusal('--group', 'other', '--publish', '90', '--tap', 'veth-client'),
    /^1 ft-tcp: EINVAL: .*is not a TAP device/,
  );
  t.match(await refusal('--group', 'web', '--publish', '90'), /^1 ft-tcp: ERR_FT_MISMATCH: The group web publishes/);
  t.match(
    await refusal('--group', 'x', '--publish', '90', '--publish', '90:1'),
    /^2 ft-tcp: ERR_FT_USAGE: .*published twice/,
  );
  t.match(
    await refusal('--group', 'x', '--publish', '70000'),
    /^2 ft-tcp: ERR_FT_USAGE: --publish 70000: invalid value/,
  );
  t.match(
    await refusal('--group', 'x', '--publish', '90', '--ip', '10.9.0.2/32'),
    /^1 ft-tcp: EADDRNOTAVAIL: .*shorter prefix/,
  );
  t.match(ftTcp('net', 'down', '--group', 'web').err, /^ft-tcp: EBUSY: Processes of the group web use the network/);
  t.match(ftTcp('net', 'down', '--group', 'none'), { code: 0, out: 'none: there is no network\n' });

  const weak = (...args: string[]): { code: number | null; err: string } =>
    run('setpriv', '--bounding-set', '-net_admin', '--inh-caps', '-net_admin', process.execPath, ...args);
  const cli = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
  t.match(weak(cli, 'run', '--group', 'weak', '--publish', '90', VISITOR), {
    code: 3,
    err: /^ft-tcp: EPERM: .*ft-tcp net up/,
  });
  run('mount', '--bind', '/dev/null', '/usr/sbin/nft');
  t.match(
    await refusal('--group', 'other', '--publish', '90'),
    /^3 ft-tcp: ERR_FT_TOOLS: Not installed: nft.*apt-get install -y nftables/,
  );
  t.match(ftTcp('doctor', '--publish', '90').out, /MISSING {2}publishing: nft: nft is not installed/);
  run('umount', '/usr/sbin/nft');

  const now = machineState();
  t.same({ ...now, run: '', shm: '' }, { ...state, run: '', shm: '' }, 'no refusal has changed anything');
  t.equal(await client.ask(), `${CLIENT} 2`, 'the group goes on');
  primary.kill('SIGKILL');
  t.equal(await client.ask(), `${CLIENT} 3`);
  client.close();
  await killAll();
  ftTcp('cleanup', '--group', 'web');
});

t.test('two groups have networks of their own; the host does not become a router', async (t) => {
  ip('tuntap add dev far mode tap');
  ip('address add 192.0.2.1/24 dev far');
  ip('link set far up');
  const before = machineState();
  const one = start('--group', 'one', '--publish', '80');
  const two = start('--group', 'two', '--publish', '81:80');
  await Promise.all([one.event('ready'), two.event('ready')]);
  t.equal(await ask(HOST, 80), `${CLIENT} 1`);
  t.equal(await ask(HOST, 81), `${CLIENT} 1`);
  run('nsenter', '-t', String(clients), '-n', 'ip', 'route', 'add', 'default', 'via', HOST);
  const inside = run('nsenter', '-t', String(clients), '-n', 'curl', '-sm', '1', 'http://10.77.0.2/');
  t.equal(inside.code, 28, 'no answer: the private address is closed to other machines');
  const through = run('nft', 'list', 'table', 'inet', 'ft-tcp').out;
  t.match(through, /iifname @closed-ipv4 oifname @closed-ipv4 drop/);
  t.match(through, /elements = \{[^}]*"far"/);
  one.kill('SIGTERM');
  await one.exited;
  t.equal(await ask(HOST, 81), `${CLIENT} 1`, 'the other group keeps its network');
  two.kill('SIGTERM');
  await two.exited;
  t.same({ ...machineState(), run: '' }, { ...before, run: '' });
  ip('link del far');
  ftTcp('cleanup');
});

t.test('net up, by root, for replicas without rights; a firewall stays as it is', async (t) => {
  const before = machineState();
  run('nft', 'add table inet site; add chain inet site forward { type filter hook forward priority 0; policy drop; }');
  const firewall = run('nft', 'list', 'table', 'inet', 'site').out;
  t.match(firewall, 'policy drop');
  const words = ['--group', 'web', '--dir', '/run/web', '--publish', '80'];
  t.match(ftTcp('net', 'up', ...words, '--user', 'nobody'), {
    code: 0,
    out: /^web {2}80 -> 10\.77\.0\.2\/24, fd77::2\/64 on ft0\n/,
  });
  const made = machineState();
  t.match(ftTcp('net', 'up', ...words, '--user', 'nobody').code, 0);
  t.same(machineState(), made, 'twice is as once');
  t.match(ftTcp('doctor', '--publish', '81').out, /MISSING {2}publishing: firewall: .*inet site forward drops/);
  t.match(ftTcp('net', 'show', '--json').out, /"blocked":\["the firewall's chain inet site forward/);
  t.match(ftTcp('doctor', '--publish', '80').out, /publishing: ports: .*the group web has it/);
  t.equal(run('nft', 'list', 'table', 'inet', 'site').out, firewall);
  run(
    'nft',
    'add rule inet site forward ct status dnat accept; add rule inet site forward ct state established accept',
  );
  t.match(ftTcp('cleanup', '--dir', '/run/web').out, 'made by ft-tcp net up, not removed');

  if (!/4294967295$/m.test(readFileSync('/proc/self/uid_map', 'utf8')))
    return void t.comment('no other user in this lab');
  run('mknod', '-m', '0666', '/run/tun', 'c', '10', '200');
  run('mount', '--bind', '/run/tun', '/dev/net/tun');
  run('mkdir', '-m', '0700', '/run/web');
  run('chown', 'nobody', '/run/web');
  const cli = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
  const weak = ['--reuid', 'nobody', '--clear-groups', '--bounding-set', '-net_admin', process.execPath];
  const replica = spawn('setpriv', [...weak, cli, 'run', ...words, VISITOR], { stdio: ['ignore', 'inherit', 'pipe'] });
  const exited = new Promise((done) => replica.once('exit', done));
  let said = '';
  replica.stderr.on('data', (part) => {
    said += part;
  });
  for (let i = 0; i < 500 && !said.includes('"event":"ready"'); i++) await sleep(20);
  t.match(said, '"event":"ready"');
  t.match(run('ip', '-d', 'link', 'show', 'ft0').out, 'user nobody');
  t.equal(await ask(HOST), `${CLIENT} 1`);
  replica.kill('SIGTERM');
  await exited;
  t.match(ftTcp('net', 'show').out, /^web .* kept$/m, 'it stays');
  run('nft', 'delete', 'table', 'inet', 'site');
  run('nft', 'flush', 'ruleset');
  t.match(ftTcp('net', 'show').out, /^web {2}no rules ->/m, 'a firewall that was loaded anew has removed the rules');
  t.equal(ftTcp('net', 'up', ...words, '--user', 'nobody').code, 0);
  t.match(ftTcp('net', 'show').out, /^web {2}80 ->/m, 'they are back');
  t.match(ftTcp('net', 'down', '--group', 'web', '--dir', '/run/web'), {
    code: 0,
    out: 'web: the network was removed\n',
  });
  run('umount', '/dev/net/tun');
  run('rm', '-rf', '/run/web', '/run/tun');
  run(
    'sysctl',
    '-w',
    'net.ipv4.ip_forward=0',
    'net.ipv6.conf.all.forwarding=0',
    'net.ipv6.conf.veth-client.accept_ra=1',
  );
  t.same({ ...machineState(), run: '' }, { ...before, run: '' });
});

t.test("the device has the uplink's MTU", async (t) => {
  ip('link set veth-client mtu 1400');
  const replica = start('--group', 'web', '--publish', '80', '--ip', '10.99.1.9/24');
  await replica.event('ready');
  t.match(run('ip', '-o', 'link', 'show', 'ft0').out, 'mtu 1400');
  t.match(run('ip', '-o', '-4', 'address', 'show', 'ft0').out, '10.99.1.1/24');
  t.equal(await ask(HOST), `${CLIENT} 1`);
  ip('link set veth-client mtu 1500');
});
