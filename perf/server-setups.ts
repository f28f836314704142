/** The server setups that are compared; each is started and ended in every round. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { APP } from '../failover/demo/run-once.js';
import { CLIENT_ADDRESS, ip, STACK_ADDRESS, TAP, VETH_CLIENT, VETH_SERVER } from '../failover/lab/network.js';
import { ReplicaProcess } from '../failover/lab/replica-process.js';
import { buildClient, buildGvisor, buildLwip, type ForeignPeer, kernelServer, PORTS } from './traffic-client.js';

const PROGRAM = fileURLToPath(new URL('./benchmark-program.js', import.meta.url));
/**
 * Setups: the kernel across a veth; the stack alone, with a backup in either commit mode, with one
 * on another machine.
 */
export const MODES = ['kernel', 'alone', 'written', 'acked', 'machines'] as const;
/**
 * Without offload; Node's net on the kernel, across the veth and behind a TAP; and other stacks,
 * where their packages are.
 */
export const OTHERS = ['plain', 'node', 'relay', 'lwip', 'gvisor'] as const;
export type Mode = (typeof MODES)[number] | (typeof OTHERS)[number];

/** A TAP without offload, for ours; and one for each other stack: device, network, MTU. */
const PLAIN = { device: 'ft1', network: '10.83.0', mtu: 1500 };
const LWIP = { device: 'lw0', network: '10.81.0', mtu: 1500 };
/** The kernel behind a TAP: one end here, one where its server is. */
const RELAY = { device: 'rl0', far: 'rl1', network: '10.84.0' };
/** At its best: frames as large as they can be, which a TAP allows. */
const GVISOR = { device: 'gv0', network: '10.82.0', mtu: 65_000 };

export interface ServerSetup {
  address: string;
  /** Process that serves streams. */
  pid: number;
  replicas: ReplicaProcess[];
  /** Another replica of the group. */
  start: () => ReplicaProcess;
  close: () => Promise<void>;
  /** Where the status sockets of its replicas are. */
  place?: { directory: string; group: string };
}

let group = 0;

export async function startReplicas(directory: string, options: string[], backup: boolean): Promise<ServerSetup> {
  const name = `perf${group++}`;
  const words = ['--group', name, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
  const all: ReplicaProcess[] = [];
  const start = (): ReplicaProcess => {
    const replica = new ReplicaProcess([...words, '--gateway', CLIENT_ADDRESS, ...options, PROGRAM]);
    all.push(replica);
    return replica;
  };
  start();
  await all[0].event('ready');
  if (backup) {
    await start().event('ready', 20_000);
  }
  return {
    address: STACK_ADDRESS,
    pid: all[0].pid,
    replicas: all,
    place: { directory, group: name },
    start,
    close: async () => void (await Promise.all(all.map((replica) => replica.close()))),
  };
}

/** Two agents: one in this namespace, one across the veth; the log goes over TLS 1.3. */
async function startMachines(directory: string, holder: ChildProcess): Promise<ServerSetup> {
  const place = `${directory}/machines${group++}`;
  mkdirSync(place);
  writeFileSync(`${place}/key`, 'ab'.repeat(32), { mode: 0o600 });
  const nodes = [
    { name: 'a', host: VETH_CLIENT },
    { name: 'b', host: VETH_SERVER },
  ];
  const coordinator = { type: 'fence-command', fence: '/bin/true' };
  writeFileSync(
    `${place}/cluster.json`,
    JSON.stringify({ nodes, tls: { psk: 'key' }, coordinator, newGroupDelayMs: 1000 }),
  );
  const both = nodes.map(({ name }) => {
    const words = ['--cluster', `${place}/cluster.json`, '--node', name, '--dir', `${place}/${name}`];
    const net = ['--tap', TAP, '--ip', `${STACK_ADDRESS}/24`, '--gateway', CLIENT_ADDRESS];
    return new ReplicaProcess([...words, ...net, PROGRAM], name === 'a' ? undefined : holder.pid);
  });
  await both[0].event('in-sync', 30_000);
  return {
    address: STACK_ADDRESS,
    // The replica itself, not its agent.
    pid: Number((await both[0].event('ready')).pid),
    replicas: both,
    start: () => {
      throw new Error('agents start their replicas');
    },
    close: async () => void (await Promise.all(both.map((agent) => agent.close()))),
  };
}

export async function startSetup(
  mode: Mode,
  directory: string,
  client: string,
  holder: ChildProcess,
): Promise<ServerSetup> {
  if (mode === 'machines') return startMachines(directory, holder);
  if (mode === 'plain') return startWithoutOffload(directory);
  if (mode === 'lwip' || mode === 'gvisor') return startOtherStack(mode);
  if (mode === 'node') return startOnKernel(VETH_SERVER, holder);
  if (mode === 'relay') return startBehindRelay(directory, holder);
  if (mode !== 'kernel')
    return startReplicas(directory, mode === 'alone' ? ['--solo'] : ['--commit', mode], mode !== 'alone');
  const streams = await kernelServer(client, holder.pid!);
  const pages = spawn('nsenter', ['-t', String(holder.pid), '-n', process.execPath, APP], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await new Promise((done) => setTimeout(done, 500));
  return {
    address: VETH_SERVER,
    pid: streams.pid!,
    replicas: [],
    start: () => {
      throw new Error('the kernel has no replicas');
    },
    close: async () => {
      for (const child of [streams, pages]) {
        const ended = new Promise((done) => child.once('exit', done));
        child.kill('SIGKILL');
        await ended;
      }
    },
  };
}

/** Makes the devices of the other setups. */
export function makeDevices(): void {
  for (const { device, network, mtu } of [PLAIN, LWIP, GVISOR]) {
    const queues = device === PLAIN.device ? ' multi_queue' : '';
    ip(`tuntap add dev ${device} mode tap${queues}`);
    ip(`addr add ${network}.1/24 dev ${device}`);
    ip(`link set ${device} mtu ${mtu} up`);
    ip(`route replace ${network}.0/24 dev ${device} congctl cubic`);
  }
}

/** The benchmarks' program on Node's own sockets, in the other namespace. */
async function startOnKernel(address: string, holder: ChildProcess, relay?: ChildProcess): Promise<ServerSetup> {
  const program = spawn('nsenter', ['-t', String(holder.pid), '-n', process.execPath, PROGRAM], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  await new Promise((done) => setTimeout(done, 700));
  return singleProcess(address, program.pid!, async () => {
    for (const child of [program, relay]) {
      if (child === undefined) continue;
      const ended = new Promise((done) => child.once('exit', done));
      child.kill('SIGKILL');
      await ended;
    }
  });
}

/** The same behind two TAPs, with a process between them that hands frames over. */
async function startBehindRelay(directory: string, holder: ChildProcess): Promise<ServerSetup> {
  const { device, far, network } = RELAY;
  const relay = spawn(`${directory}/relay`, [device, String(holder.pid), far], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await new Promise<void>((done, fail) => {
    relay.stdout.once('data', () => done());
    relay.once('exit', () => fail(new Error('the relay has ended')));
  });
  // The devices are the relay's, and new with it.
  for (const [name, host, pid] of [
    [device, 1, undefined],
    [far, 2, holder.pid],
  ] as const) {
    ip(`addr add ${network}.${host}/24 dev ${name}`, pid);
    ip(`link set ${name} up`, pid);
    ip(`route replace ${network}.0/24 dev ${name} congctl cubic`, pid);
  }
  return startOnKernel(`${network}.2`, holder, relay);
}

async function startWithoutOffload(directory: string): Promise<ServerSetup> {
  const words = [
    '--group',
    `plain${group++}`,
    '--dir',
    directory,
    '--tap',
    PLAIN.device,
    '--ip',
    `${PLAIN.network}.2/24`,
  ];
  const replica = new ReplicaProcess([...words, '--solo', '--no-offload', PROGRAM]);
  await replica.event('ready');
  return singleProcess(`${PLAIN.network}.2`, replica.pid, () => replica.close());
}

function singleProcess(address: string, pid: number, close: () => Promise<void>): ServerSetup {
  return {
    address,
    pid,
    replicas: [],
    start: () => {
      throw new Error('it has no replicas');
    },
    close,
  };
}

const built: Record<'lwip' | 'gvisor', ForeignPeer | null | undefined> = { lwip: undefined, gvisor: undefined };

/** Whether a setup can be measured here. Builds its programs; reports on stderr when that fails. */
export function available(mode: Mode, directory: string): boolean {
  if (mode === 'relay') return buildClient(directory, 'relay') !== '';
  if (mode === 'lwip') built.lwip ??= buildLwip(directory);
  else if (mode === 'gvisor') built.gvisor ??= buildGvisor(directory);
  else return true;
  return built[mode] !== null;
}

async function startOtherStack(mode: 'lwip' | 'gvisor'): Promise<ServerSetup> {
  const { device, network, mtu } = mode === 'lwip' ? LWIP : GVISOR;
  const ports = [PORTS.source, PORTS.sink, PORTS.echo].map(String);
  const address = `${network}.2`;
  const words = mode === 'lwip' ? [device, address] : [device, '02:00:00:00:82:02', address, String(mtu)];
  const child = spawn(built[mode]!.path, [...words, ...ports], { stdio: ['ignore', 'pipe', 'inherit'] });
  await new Promise<void>((done, fail) => {
    child.stdout.once('data', () => done());
    child.once('exit', () => fail(new Error(`${mode} has ended`)));
  });
  return singleProcess(address, child.pid!, async () => {
    const ended = new Promise((done) => child.once('exit', done));
    child.kill('SIGKILL');
    await ended;
  });
}
