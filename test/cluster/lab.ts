/**
 * Machines of a group as network namespaces. Each has its TAP on a bridge of its own, which a veth
 * connects to the clients' network, as a host on a LAN. A second veth carries the traffic between
 * agents and to etcd. Clients, etcd and the captures are in the namespace that the lab runs in.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { CLIENT_ADDRESS, ip, STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { tcpdump } from '../../failover/lab/tcpdump.js';

const APP = fileURLToPath(new URL('../lab/app.js', import.meta.url));
const ETCD = '10.79.0.9';
const SERVICE_MAC = '02:00:00:00:77:02';
export const TTL_S = 2;
const HANG_MS = 500;

export function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms).unref());
}

/** Waits for a condition. Rejects with its name. */
export async function until(what: string, so: () => boolean, ms = 15_000): Promise<void> {
  for (const end = Date.now() + ms; !so(); await pause(10))
    if (Date.now() > end) throw new Error(`not within ${ms} ms: ${what}`);
}

/** A time in which only one node sent frames. */
export interface SendPeriod {
  node: string;
  fromMs: number;
  toMs: number;
  frames: number;
  /** When it sent nothing for more than a second. */
  gaps: { fromMs: number; toMs: number }[];
}

export class Node {
  agent: ReplicaProcess | null = null;
  readonly frameTimesMs: number[] = [];
  readonly agents: ReplicaProcess[] = [];

  constructor(
    readonly name: string,
    readonly address: string,
    /** A process that holds the namespace. */
    readonly holder: ChildProcess,
    readonly capture: ChildProcess,
  ) {
    createInterface({ input: capture.stdout! }).on('line', (line) => {
      const at = Number.parseFloat(line);
      if (at > 0) this.frameTimesMs.push(at * 1000);
    });
  }

  get netns(): number {
    return this.holder.pid!;
  }

  ip(words: string): void {
    ip(words, this.netns);
  }

  /** The last event of this name, of the present agent or its replicas. */
  last(name: string): Record<string, unknown> | undefined {
    return this.agent?.events.filter(({ event }) => event === name).at(-1);
  }

  /** The agent's role. */
  get role(): string {
    const roles = ['joining', 'follower', 'disconnected', 'leader'];
    return this.agent?.events.filter(({ event }) => roles.includes(event)).at(-1)?.event ?? '';
  }

  /** The process of the replica that runs now. */
  get replicaPid(): number {
    return Number(this.last('role')?.['pid'] ?? 0);
  }
}

export class ClusterLab {
  readonly nodes: Node[] = [];
  etcd: ChildProcess | null = null;
  readonly #files: string;
  #config = '';

  constructor(readonly directory: string) {
    this.#files = directory;
  }

  /** Bridges and machines. */
  async build(names: string[]): Promise<void> {
    ip('link set lo up');
    for (const [bridge, address] of [
      ['service', CLIENT_ADDRESS],
      ['control', ETCD],
    ] as const) {
      ip(`link add ${bridge} type bridge forward_delay 0`);
      ip(`addr add ${address}/24 dev ${bridge}`);
      ip(`link set ${bridge} up`);
    }
    for (const [i, name] of names.entries()) this.nodes.push(await this.#machine(name, `10.79.0.${i + 1}`));
  }

  async #machine(name: string, address: string): Promise<Node> {
    const holder = spawn('unshare', ['--net', 'sh', '-c', 'echo ready; exec sleep 100000'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await new Promise<void>((done, fail) => {
      holder.stdout.once('data', () => done());
      holder.once('exit', () => fail(new Error('no network namespace')));
    });
    const { pid } = holder;
    for (const [bridge, inner] of [
      ['service', 'lan'],
      ['control', 'ctl'],
    ] as const) {
      ip(`link add ${bridge[0]}-${name} type veth peer name ${inner} netns ${pid}`);
      ip(`link set ${bridge[0]}-${name} master ${bridge} up`);
    }
    for (const words of [
      'link set lo up',
      `addr add ${address}/24 dev ctl`,
      'link set ctl up',
      'link add host type bridge forward_delay 0',
      'link set host up',
      'link set lan master host up',
      `tuntap add dev ${TAP} mode tap multi_queue vnet_hdr`,
      `link set ${TAP} master host up`,
    ])
      ip(words, pid!);
    const filter = ['ether', 'src', SERVICE_MAC];
    const capture = await tcpdump(['-tt', '-l', '-s', '64', '-Q', 'in', '-i', `s-${name}`, ...filter]);
    return new Node(name, address, holder, capture);
  }

  node(name: string): Node {
    return this.nodes.find((one) => one.name === name)!;
  }

  /** The node that leads; throws when there is none. */
  get leader(): Node {
    const leader = this.nodes.find(({ role, agent }) => role === 'leader' && agent?.hasExited === false);
    if (leader === undefined) throw new Error('no node leads');
    return leader;
  }

  other(node: Node): Node {
    return this.nodes.find((one) => one !== node)!;
  }

  async startEtcd(): Promise<void> {
    const url = `http://${ETCD}:2379`;
    const args = ['--data-dir', join(this.#files, 'etcd'), '--listen-client-urls', url, '--advertise-client-urls', url];
    const peer = ['--listen-peer-urls', 'http://127.0.0.1:2380', '--log-level', 'error'];
    this.etcd = spawn('etcd', [...args, ...peer], { stdio: 'ignore' });
    await untilAnswers(`${url}/health`);
  }

  async stopEtcd(): Promise<void> {
    const { etcd } = this;
    if (etcd === null) return;
    const ended = new Promise((done) => etcd.once('exit', done));
    etcd.kill('SIGKILL');
    await ended;
    this.etcd = null;
  }

  configure(coordinator: object, more: object = {}): void {
    writeFileSync(join(this.#files, 'key'), 'ab'.repeat(32), { mode: 0o600 });
    this.#config = join(this.#files, 'cluster.json');
    const nodes = this.nodes.map(({ name, address }) => ({ name, host: address }));
    writeFileSync(
      this.#config,
      JSON.stringify({ nodes, tls: { psk: 'key' }, coordinator, newGroupDelayMs: 4000, ...more }),
    );
  }

  useEtcd(more: object = {}): void {
    this.configure({ type: 'etcd', endpoints: [`http://${ETCD}:2379`], ttl: TTL_S }, more);
  }

  start(node: Node, group: string): void {
    const words = [
      '--cluster',
      this.#config,
      '--node',
      node.name,
      '--group',
      group,
      '--dir',
      join(this.#files, node.name),
    ];
    const where = [
      '--tap',
      TAP,
      '--ip',
      `${STACK_ADDRESS}/24`,
      '--mac',
      SERVICE_MAC,
      '--hang-timeout',
      String(HANG_MS),
    ];
    node.agent = new ReplicaProcess([...words, ...where, APP, '8080'], node.netns);
    node.agents.push(node.agent);
  }

  /** Starts all; resolves when all are in sync. */
  async up(group: string): Promise<void> {
    for (const node of this.nodes) this.start(node, group);
    await this.inSync(this.nodes.length, 30_000);
  }

  /** Waits until a number of nodes are in sync. */
  async inSync(count: number, ms = 20_000): Promise<void> {
    const size = (): number => {
      const leader = this.nodes.find(({ role, agent }) => role === 'leader' && agent?.hasExited === false);
      const nodes = leader?.last('in-sync')?.['nodes'];
      return Array.isArray(nodes) ? nodes.length : 0;
    };
    await until(`${count} nodes in sync`, () => size() === count, ms);
  }

  /** Cuts or mends the way from one machine to an address. */
  cut(node: Node, address: string, on: boolean): void {
    node.ip(`route ${on ? 'add' : 'del'} blackhole ${address}/32`);
  }

  cutEtcd(node: Node, on: boolean): void {
    this.cut(node, ETCD, on);
  }

  cutPeers(one: Node, other: Node, on: boolean): void {
    this.cut(one, other.address, on);
    this.cut(other, one.address, on);
  }

  /** The machine is off: agent and replica are no more. */
  off(node: Node): void {
    node.agent?.kill('SIGKILL');
  }

  async close(): Promise<void> {
    await Promise.all(this.nodes.flatMap(({ agents }) => agents.map((agent) => agent.close())));
    await this.stopEtcd();
    for (const { capture, holder } of this.nodes) {
      capture.kill('SIGKILL');
      holder.kill('SIGKILL');
    }
    // A namespace takes its time to go; the next lab wants the names.
    for (const { name } of this.nodes) for (const first of ['s', 'c']) gone(`${first}-${name}`);
    for (const bridge of ['service', 'control']) ip(`link del ${bridge}`);
  }

  /** The frames of all nodes, split where another node begins to send. */
  sendPeriods(): SendPeriod[] {
    const all = this.nodes.flatMap(({ name, frameTimesMs: heard }) => heard.map((at) => ({ node: name, at })));
    all.sort((a, b) => a.at - b.at);
    const begin = all[0]?.at ?? 0;
    const out: SendPeriod[] = [];
    for (const { node, at } of all) {
      const ms = at - begin;
      const last = out.at(-1);
      if (last?.node === node) {
        if (ms - last.toMs > 1000) last.gaps.push({ fromMs: last.toMs, toMs: ms });
        last.toMs = ms;
        last.frames++;
      } else out.push({ node, fromMs: ms, toMs: ms, frames: 1, gaps: [] });
    }
    return out;
  }

  /** How often a node became leader. */
  get leaderships(): number {
    return this.nodes
      .flatMap(({ agents }) => agents)
      .flatMap(({ events }) => events.filter(({ event }) => event === 'leader')).length;
  }
}

function gone(device: string): void {
  try {
    ip(`link del ${device}`);
  } catch {
    // It went with its namespace.
  }
}

async function untilAnswers(url: string): Promise<void> {
  for (let i = 0; i < 200; i++) {
    try {
      if ((await fetch(url)).ok) return;
    } catch {
      // Not yet.
    }
    await pause(50);
  }
  throw new Error(`${url} does not answer`);
}
