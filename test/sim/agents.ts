/**
 * Groups on several machines in virtual time: the real agents (failover/cluster) with the real log,
 * standby and gate. Machines die and stand still, connections between them and to etcd break, and
 * clocks run fast or slow. The program counts, and sends how far it has counted whenever it may.
 *
 * Invariants: after a primary has sent in one epoch, none sends in an older epoch. What was sent is
 * in the log of every later primary. When all faults are over, one primary sends, and all other
 * nodes are in sync.
 */
import { Agent } from '../../failover/cluster/agent/agent.js';
import type { AgentLinks, AgentReplica } from '../../failover/cluster/agent/host.js';
import { encodeJson, MessageType, type Welcome } from '../../failover/cluster/transport/messages.js';
import type { StartSnapshot } from '../../failover/host/group-directory.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, Word } from '../../failover/log/ring-header.js';
import { originals } from '../../failover/runtime/core/originals.js';
import type { Clock } from '../../lib/clock.js';
import { SeededRandom } from '../../lib/random.js';
import { Etcd, EtcdClient } from './agent-etcd.js';
import { Queue } from './agent-queue.js';
import { native, Process, RING_BYTES } from './agent-replica.js';
import type { Count, SimMachine, SimWorld } from './agent-types.js';
import type { Mutant } from './mutants.js';

const STEP_US = 10_000;
/** How long a run has faults, and how long it has to recover. */
const TROUBLE_US = 20_000_000;
const CALM_US = 25_000_000;

class Machine implements SimMachine {
  readonly clock: Clock;
  agent: Agent | null = null;
  process: Process | null = null;
  ring: Ring | null = null;
  on = false;
  /** Stands still until this virtual time. */
  pausedUntilUs = 0;
  cutEtcd = false;
  leaving = false;
  born = 0;
  #snapshot: StartSnapshot | null = null;

  constructor(
    readonly world: World,
    readonly name: string,
  ) {
    const { queue, random } = world;
    // Clocks with different origins, fast or slow by up to three per cent.
    const rate = 0.97 + random.float() * 0.06;
    const offset = Math.floor(random.float() * 1e9);
    this.clock = {
      now: () => Math.floor(offset + queue.nowUs * rate),
      wall: () => Math.floor((offset + queue.nowUs * rate) / 1000) + 1.6e12,
    };
  }

  /** After a time, if this machine is still on; a machine that stands still is waited for. */
  later(us: number, run: () => void): void {
    const born = this.born;
    this.world.queue.in(us, () => this.#when(born, run));
  }

  soon(run: () => void): void {
    this.later(20, run);
  }

  #when(born: number, run: () => void): void {
    const { queue } = this.world;
    if (!this.on || this.born !== born) return;
    if (this.pausedUntilUs > queue.nowUs) queue.in(this.pausedUntilUs - queue.nowUs, () => this.#when(born, run));
    else run();
  }

  start(): void {
    const { world } = this;
    this.born++;
    this.on = true;
    this.leaving = false;
    this.pausedUntilUs = 0;
    const client = new EtcdClient(this, world.etcd);
    const agent: Agent = new Agent(
      {
        self: this.name,
        nodes: world.machines.map(({ name }) => name),
        requiredBackups: world.stable,
        peerTimeoutMs: 300,
        newGroupDelayMs: 6000,
        hangTimeoutMs: 400,
        noStateStore: false,
      },
      {
        coordinator: client,
        clock: this.clock,
        links: world.linksOf(this),
        replica: this.#createReplica(),
        report: (event, more) => world.note(this, event, more),
        ...(world.mutant.LogSender === undefined ? {} : { LogSender: world.mutant.LogSender }),
        finished: () => this.off(),
      },
    );
    this.agent = agent;
    const step = (): void => {
      agent.step();
      this.later(STEP_US, step);
    };
    this.later(STEP_US, step);
    world.connect(this);
  }

  #createReplica(): AgentReplica {
    const machine = this;
    return {
      get pid() {
        return machine.process?.pid ?? 0;
      },
      clear: () => {
        this.ring = null;
      },
      start: (role) => {
        const own = this.born;
        // A process takes its time.
        this.process = null;
        const pending = { pid: 0 } as unknown as Process;
        this.process = pending;
        this.later(50_000 + this.world.random.float() * 200_000, () => {
          if (this.born !== own || this.process !== pending) return;
          if (role === 'backup' && this.ring === null) this.die(1);
          else this.process = new Process(this, role);
        });
      },
      terminate: () => {
        this.leaving = true;
        // Without a backup it ends as well.
        this.later(1_000_000, () => this.leaving && this.die(0));
      },
      kill: () => this.die(null),
      createLog: (welcome) => this.#create(welcome),
      openLog: () => (this.ring !== null && this.ring.writerPid === this.process?.pid ? this.ring : null),
      snapshot: () => this.#snapshot ?? ({ ringBytes: RING_BYTES } as StartSnapshot),
      wake: () => undefined,
    };
  }

  #create(welcome: Welcome): Ring {
    const ring = new Ring(native, new ArrayBuffer(RING_HEADER + welcome.snapshot.ringBytes));
    ring.format(Buffer.from(welcome.secret, 'hex'));
    const { words } = ring;
    words[Word.truncated] = welcome.truncated ? 1 : 0;
    words[Word.writerPid] = 1;
    for (const word of [Word.head, Word.eventEnd, Word.tail, Word.startAt]) words[word] = welcome.position | 0;
    this.ring = ring;
    this.#snapshot = welcome.snapshot;
    return ring;
  }

  /** Its replica's process ends. */
  die(code: number | null): void {
    if (this.process === null) return;
    this.process = null;
    this.soon(() => this.agent?.replicaExited(code));
  }

  /** Power off: its memory is lost. */
  off(): void {
    if (!this.on) return;
    this.on = false;
    this.process = null;
    this.ring = null;
    this.agent = null;
    this.world.disconnect(this);
  }
}

export interface AgentsOutcome {
  failures: string[];
  /** Events and faults in the order of time. */
  story: string[];
  /** How often a node became leader. */
  leaderships: number;
  /** Steps that were sent. */
  said: number;
  /** Faults of machines and connections. */
  troubles: number;
}

class World implements SimWorld {
  readonly queue = new Queue();
  readonly random: SeededRandom;
  readonly etcd = new Etcd(this.queue);
  readonly machines: Machine[] = [];
  readonly stable: number;
  readonly failures: string[] = [];
  readonly story: string[] = [];
  pids = 10;
  generation = 0;
  leaderships = 0;
  troubles = 0;
  #drawn = 0;
  /** The values of all steps that were sent. */
  #said: number[] = [];
  #saidGeneration = 0;
  #epoch = 0;
  lastUs = 0;
  #up = new Set<string>();
  readonly cuts = new Set<string>();

  constructor(
    seed: string,
    readonly mutant: Mutant,
    /** Numbers of faults that are left out. */
    readonly without: ReadonlySet<number>,
  ) {
    this.random = new SeededRandom(`agents ${seed}`);
    const count = 2 + (this.random.u32() % 2);
    // Two of three: any one may be lost. All: any number.
    this.stable = count === 3 && this.random.u32() % 2 === 0 ? 1 : Number.POSITIVE_INFINITY;
    for (const name of ['a', 'b', 'c'].slice(0, count)) this.machines.push(new Machine(this, name));
  }

  note(machine: Machine, event: string, more: object): void {
    if (event === 'leader') this.leaderships++;
    if (this.story.length < 400)
      this.story.push(`${(this.queue.nowUs / 1e6).toFixed(3)} ${machine.name} ${event} ${JSON.stringify(more)}`);
  }

  get said(): number {
    return this.#said.length;
  }

  fail(text: string): void {
    if (this.failures.length < 5) this.failures.push(`${(this.queue.nowUs / 1e6).toFixed(3)} ${text}`);
  }

  sent(machine: SimMachine, { skipped, values }: Count): void {
    const epoch = machine.agent?.epoch ?? 0;
    if (epoch < this.#epoch) this.fail(`${machine.name} sends in epoch ${epoch}, after epoch ${this.#epoch}`);
    this.lastUs = this.queue.nowUs;
    const steps = skipped + values.length;
    if (epoch > this.#epoch && steps < this.#said.length && this.#saidGeneration === this.generation)
      this.fail(`${machine.name} has ${steps} steps, ${this.#said.length} were sent`);
    if (this.#saidGeneration !== this.generation) {
      // A new group has none of the old steps.
      this.#saidGeneration = this.generation;
      this.#said = [];
    }
    this.#epoch = Math.max(this.#epoch, epoch);
    // Steps of a snapshot that were never sent.
    while (this.#said.length < skipped) this.#said.push(Number.NaN);
    const from = Math.max(skipped, this.#said.length - 50);
    for (let i = from; i < steps; i++) {
      const value = values[i - skipped] ?? Number.NaN;
      if (i >= this.#said.length) this.#said.push(value);
      else if (this.#said[i] !== value && !Number.isNaN(this.#said[i])) {
        this.fail(`${machine.name} has another value of step ${i} than was sent`);
        return;
      }
    }
  }

  // --- Links ---

  #key(one: string, other: string): string {
    return one < other ? `${one}-${other}` : `${other}-${one}`;
  }

  #sequence = new Map<string, number>();

  linksOf(machine: Machine): AgentLinks {
    const send = (peer: string, type: MessageType, body: Uint8Array | object): boolean => {
      if (!this.#up.has(this.#key(machine.name, peer))) return false;
      this.#deliver(machine, peer, type, Buffer.from(body instanceof Uint8Array ? body : encodeJson(body)));
      return true;
    };
    return {
      send,
      sendData: (peer, position, bytes) => {
        const body = Buffer.alloc(8 + bytes.length);
        body.writeUInt32LE(position, 0);
        body.set(bytes, 8);
        return send(peer, MessageType.Data, body);
      },
      isWritable: () => this.random.u32() % 20 !== 0,
      connected: (peer) => this.#up.has(this.#key(machine.name, peer)),
      setPaused: (peer, on) => this.#hold(`${peer}>${machine.name}`, on),
      disconnect: (peer) => this.#down(machine.name, peer),
    };
  }

  #epochs = new Map<string, number>();

  /** In order, as TCP does; messages on their way are lost when the link goes down. */
  #deliver(from: Machine, to: string, type: MessageType, body: Buffer): void {
    const key = `${from.name}>${to}`;
    const link = this.#key(from.name, to);
    const life = this.#epochs.get(link) ?? 0;
    const at = Math.max(this.queue.nowUs + 100 + this.random.float() * 2000, this.#sequence.get(key) ?? 0);
    this.#sequence.set(key, at + 1);
    const target = this.machines.find(({ name }) => name === to)!;
    this.queue.in(at - this.queue.nowUs, () => {
      const read = (): void => {
        if ((this.#epochs.get(link) ?? 0) === life && this.#up.has(link)) target.agent?.message(from.name, type, body);
      };
      const pipe = this.#pipes.get(key) ?? [];
      this.#pipes.set(key, pipe);
      pipe.push(() => target.soon(() => this.#receive(key, read)));
      this.#flow(key, link);
    });
  }

  /** Messages on their way; on a cut link they wait, as TCP would retransmit them. */
  readonly #pipes = new Map<string, (() => void)[]>();

  #flow(key: string, link: string): void {
    if (this.cuts.has(link)) return;
    const pipe = this.#pipes.get(key) ?? [];
    this.#pipes.delete(key);
    for (const arrive of pipe) arrive();
  }

  mend(one: string, other: string): void {
    const link = this.#key(one, other);
    this.cuts.delete(link);
    this.#flow(`${one}>${other}`, link);
    this.#flow(`${other}>${one}`, link);
  }

  readonly #held = new Map<string, (() => void)[]>();

  /** Messages that are not read wait. */
  #receive(key: string, read: () => void): void {
    const held = this.#held.get(key);
    if (held === undefined) read();
    else held.push(read);
  }

  #hold(key: string, on: boolean): void {
    if (on) {
      if (!this.#held.has(key)) this.#held.set(key, []);
      return;
    }
    const waiting = this.#held.get(key) ?? [];
    this.#held.delete(key);
    for (const read of waiting) this.#receive(key, read);
  }

  connect(machine: Machine): void {
    for (const other of this.machines) if (other !== machine && other.on) this.#dial(machine, other);
  }

  #dial(one: Machine, other: Machine): void {
    const key = this.#key(one.name, other.name);
    this.queue.in(50_000 + this.random.float() * 100_000, () => {
      if (this.#up.has(key) || !one.on || !other.on) return;
      if (this.cuts.has(key) || one.pausedUntilUs > this.queue.nowUs || other.pausedUntilUs > this.queue.nowUs) {
        this.#dial(one, other);
        return;
      }
      this.#up.add(key);
      this.#epochs.set(key, (this.#epochs.get(key) ?? 0) + 1);
      for (const [a, b] of [
        [one, other],
        [other, one],
      ] as const)
        a.agent?.linkUp(b.name, `${b.name}${b.born}`);
    });
  }

  #down(one: string, other: string): void {
    const key = this.#key(one, other);
    if (!this.#up.delete(key)) return;
    this.#held.delete(`${one}>${other}`);
    this.#held.delete(`${other}>${one}`);
    this.#epochs.set(key, (this.#epochs.get(key) ?? 0) + 1);
    const [a, b] = [one, other].map((name) => this.machines.find((machine) => machine.name === name)!) as [
      Machine,
      Machine,
    ];
    a.soon(() => a.agent?.linkDown(b.name));
    b.soon(() => b.agent?.linkDown(a.name));
    if (a.on && b.on) this.#dial(a, b);
  }

  disconnect(machine: Machine): void {
    for (const other of this.machines) if (other !== machine) this.#down(other.name, machine.name);
  }

  // --- Trouble ---

  trouble(): void {
    const number = this.#drawn++;
    const { random, queue, machines } = this;
    const machine = pick(machines, random);
    const other = pick(machines, random);
    const long = 100_000 + random.float() * 5_000_000;
    const note = (what: string): void => this.note(machine, `TROUBLE ${what}`, { ms: Math.round(long / 1000) });
    const kind = random.u32() % 9;
    if (this.without.has(number)) return;
    this.troubles++;
    switch (kind) {
      case 0:
      case 1:
        note('kill');
        machine.die(null);
        break;
      case 2:
        note('hang');
        if (machine.process !== null) machine.process.frozen = true;
        break;
      case 3:
        note('off');
        machine.off();
        queue.in(long, () => machine.on || machine.start());
        break;
      case 4:
        note('pause');
        machine.pausedUntilUs = queue.nowUs + long;
        break;
      case 5: {
        if (machine === other) break;
        note(`cut from ${other.name}`);
        const key = this.#key(machine.name, other.name);
        this.cuts.add(key);
        queue.in(long, () => this.mend(machine.name, other.name));
        break;
      }
      case 6:
        note('cut from etcd');
        machine.cutEtcd = true;
        queue.in(long, () => {
          machine.cutEtcd = false;
        });
        break;
      case 7:
        note('etcd down');
        this.etcd.down = true;
        queue.in(long / 2, () => {
          this.etcd.down = false;
        });
        break;
      default:
        note('leave');
        machine.agent?.leave();
        queue.in(long + 1_500_000, () => machine.on || machine.start());
    }
  }
}

function pick<T>(all: readonly T[], random: SeededRandom): T {
  return all[random.u32() % all.length] as T;
}

/** Runs one seed. "SEED~2.5" leaves out the third and the sixth fault. */
export async function runAgents(name: string, mutant: Mutant = {}): Promise<AgentsOutcome> {
  const [seed = '', without = ''] = name.split('~');
  const world = new World(seed, mutant, new Set(without.split('.').filter(Boolean).map(Number)));
  const { queue, random } = world;
  for (const machine of world.machines) queue.in(random.float() * 500_000, () => machine.start());
  for (let at = 4e6; at < TROUBLE_US; at += 200_000 + random.float() * 3_000_000) queue.in(at, () => world.trouble());
  const end = TROUBLE_US + CALM_US;
  // Machines that left late are started again.
  for (let s = 1; s < 10; s++)
    queue.in(TROUBLE_US + s * 1e6, () => {
      for (const machine of world.machines) if (!machine.on) machine.start();
    });
  try {
    while (queue.next(end)) await null;
  } catch (error) {
    world.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  // All faults are over: one primary sends, and all other nodes are in sync.
  const leaders = world.machines.filter(({ agent }) => agent?.role === 'leader');
  const [leader] = leaders;
  const inSync = leader?.agent?.sender?.state.inSync ?? [];
  if (leaders.length !== 1) world.fail(`${leaders.length} nodes lead in the end`);
  else if (inSync.length !== world.machines.length) world.fail(`in sync in the end: ${inSync.join()}`);
  if (queue.nowUs - world.lastUs > 2e6) world.fail('no primary sends in the end');
  await new Promise((done) => originals.setImmediate(done));
  const { failures, story, leaderships } = world;
  return { failures, story, leaderships, said: world.said, troubles: world.troubles };
}
