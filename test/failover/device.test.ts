/** A group is ready only when its device and addresses can work. In a lab. */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { CLIENT_ADDRESS, ip } from '../../failover/lab/network.js';
import { get, inLab, KIT, STACK_ADDRESS, TAP, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
// As in a container: /sys shows the devices of this network namespace.
spawnSync('mount', ['-t', 'sysfs', 'sysfs', '/sys']);
const { default: t } = await import('tap');
t.setTimeout(120_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

function cli(...args: string[]): { status: number | null; stderr: string; stdout: string } {
  return spawnSync(process.execPath, [CLI, ...args], { encoding: 'utf8', timeout: 20_000 });
}

const run = (...words: string[]): ReturnType<typeof cli> =>
  cli('run', '--dir', directory, '--group', 'device', ...words, KIT);

t.test('what cannot work is refused, with the command that mends it', async (t) => {
  ip('tuntap add dev down0 mode tap multi_queue vnet_hdr');
  ip('tuntap add dev tun0 mode tun multi_queue');
  ip('tuntap add dev single0 mode tap');
  for (const name of ['tun0', 'single0']) ip(`link set ${name} up`);
  const cases: [string[], RegExp][] = [
    [
      ['--tap', 'ft9'],
      /ENODEV: There is no device ft9\. As root: ip tuntap add dev ft9 mode tap .*multi_queue vnet_hdr/,
    ],
    [['--tap', 'down0'], /ENETDOWN: The device down0 is down\. As root: ip link set down0 up/],
    [['--tap', 'tun0'], /EINVAL: 'tun0' is not a TAP device/],
    [['--tap', 'lo'], /EINVAL: 'lo' is not a TAP device/],
    [['--tap', 'single0'], /EINVAL: The device single0 has a single queue\. As root: ip link del single0 && ip tuntap/],
    [['--tap', TAP, '--ip', `${CLIENT_ADDRESS}/24`], /EADDRINUSE: 10\.77\.0\.1 is this machine's own address \(ft0\)/],
    [
      ['--tap', TAP, '--ip', '10.99.0.2/24'],
      /EADDRNOTAVAIL: 10\.99\.0\.2 is in no network of ft0 \(10\.77\.0\.1\/24\)/,
    ],
  ];
  for (const [words, says] of cases) {
    const ran = run(...words);
    t.not(ran.status, 0);
    t.match(ran.stderr, says);
    const doctor = cli('doctor', ...words);
    t.equal(doctor.status, 3, words.join(' '));
    t.match(
      doctor.stdout,
      new RegExp(says.source.split(': ')[1]?.split('\\.')[0] ?? '', 's'),
      'the doctor says the same',
    );
  }
  t.notMatch(spawnSync('ip', ['link'], { encoding: 'utf8' }).stdout, /ft9/, 'nothing was made');
  ip(`route add 10.99.0.2/32 dev ${TAP}`);
  t.match(cli('doctor', '--tap', TAP, '--ip', '10.99.0.2/24').stdout, /ok +addresses/, 'a route leads to it');
  ip(`route del 10.99.0.2/32 dev ${TAP}`);
});

t.test('--create makes the device', async (t) => {
  const group = new TestGroup(directory, ['--tap', 'made0', '--create']);
  const replica = group.start();
  await replica.event('ready');
  t.match(spawnSync('ip', ['link', 'show', 'made0'], { encoding: 'utf8' }).stdout, /[<,]UP[,>]/);
  await group.close();
  ip('link del made0');
});

t.test('an address that another host has', async (t) => {
  // The other host: a namespace across a bridge.
  const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(holder.stdout, 'data');
  for (const command of [
    'link add br0 type bridge',
    'tuntap add dev port0 mode tap multi_queue vnet_hdr',
    'link set port0 master br0',
    'link add outer type veth peer name inner',
    'link set outer master br0',
    `link set inner netns ${holder.pid}`,
    ...['br0', 'port0', 'outer'].map((name) => `link set ${name} up`),
  ])
    ip(command);
  ip('addr add 10.88.0.2/24 dev inner', holder.pid);
  ip('link set inner up', holder.pid);
  const taken = run('--tap', 'port0', '--ip', '10.88.0.2/24');
  t.equal(taken.status, 1);
  t.match(
    taken.stderr,
    /EADDRINUSE: Another host on port0 has one of the addresses 10\.88\.0\.2\/24\. Choose a free address/,
  );
  const group = new TestGroup(directory, []);
  const replica = group.start('--tap', 'port0', '--ip', '10.88.0.3/24');
  await replica.event('role');
  await group.close();
  holder.kill('SIGKILL');
  await once(holder, 'exit');
});

t.test('one group per device; the same group in another directory', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  for (const words of [
    ['--group', 'other', '--ip', '10.77.0.7/24'],
    ['--dir', `${directory}/elsewhere`, '--group', group.name],
  ]) {
    const ran = run('--tap', TAP, ...words);
    t.equal(ran.status, 3);
    t.match(ran.stderr, /EBUSY: Another ft-tcp process uses the device ft0.*ft-tcp list/);
  }
  primary.kill('SIGKILL');
  await backup.event('takeover');
  await new Promise((done) => setTimeout(done, 500));
  t.match(run('--tap', TAP, '--group', 'other').stderr, /EBUSY/, 'after a takeover, too');
  t.match(cli('doctor', '--tap', TAP).stdout, /MISSING +claim of ft0/);
  t.equal(await get('/'), 'hello');
  await group.close();
});

t.test('serve works on a device with several queues', async (t) => {
  const words = [CLI, 'serve', '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`, '--http', '80'];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(child.stdout, 'data');
  t.match(await get('/'), /ft-tcp serve/);
  child.kill('SIGTERM');
  t.same(await once(child, 'exit'), [0, null]);
  t.match(cli('serve', '--tap', 'ft9').stderr, /ENODEV/);
});
