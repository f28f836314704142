/**
 * Groups on several machines in virtual time: the real agents (failover/cluster), with the real log, keeper and gate, on machines
 * that die, stand still and lose sight of each other and of etcd, and whose clocks run fast or slow. The program is the simplest that
 * there is: it counts, and says how far it has come whenever it may speak.
 *
 * What must be so: who spoke last in the newest reign is the only one who speaks; whatever was said is in the log of
 * whoever speaks later; and when everything is well again, one speaks and all others could go on.
 */
import { AgentKeeper } from '../../failover/agent-keeper.js';
import type { KeeperHost } from '../../failover/backup-keeper.js';
import { Agent } from '../../failover/cluster/agent.js';
import type { AgentLinks, Member } from '../../failover/cluster/agent-host.js';
import type { Coordinator, GroupState, View } from '../../failover/cluster/coordinator.js';
import { encodeJson, MessageType, type Welcome } from '../../failover/cluster/message.js';
import { LogGate } from '../../failover/gate.js';
import type { GroupPlace, StartSnapshot } from '../../failover/group.js';
import { GroupClock } from '../../failover/group-clock.js';
import { RecordType } from '../../failover/log/record.js';
import {
  ReaderState,
  RING_HEADER,
  Ring,
  RingReader,
  RingWriter,
  SECRET_LENGTH,
  Word,
} from '../../failover/log/ring.js';
import { real } from '../../failover/replay/real.js';
import { rules } from '../../failover/rules.js';
import { StandIn } from '../../failover/stand-in.js';
import type { Clock } from '../../lib/clock.js';
import type { NativeAddon } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';

const RING_BYTES = 32 * 1024;
const TTL_US = 2_000_000;
const STEP_US = 10_000;
const TURN_US = 4000;
/** How long a run makes trouble, and how long it has to recover. */
const TROUBLE_US = 20_000_000;
const CALM_US = 25_000_000;

/** Ways to break what must hold, to see that the oracle notices. */
export type Broken = 'margin';

const native = {
  loadAcquire: (words: Int32Array, at: number) => words[at]!,
  storeRelease: (words: Int32Array, at: number, value: number) => {
    words[at] = value;
  },
  crc32c: () => 0,
} as unknown as NativeAddon;

class Queue {
  nowUs = 0;
  #items: { at: number; order: number; run: () => void }[] = [];
  #order = 0;

  in(us: number, run: () => void): void {
    this.#push({ at: this.nowUs + us, order: this.#order++, run });
  }

  /** Runs the next event. @returns false when there is none before `end`. */
  next(end: number): boolean {
    const first = this.#items[0];
    if (first === undefined || first.at > end) return false;
    this.#pop();
    this.nowUs = first.at;
    first.run();
    return true;
  }

  #push(item: { at: number; order: number; run: () => void }): void {
    const items = this.#items;
    let i = items.length;
    items.push(item);
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (!before(item, items[up]!)) break;
      items[i] = items[up]!;
      i = up;
    }
    items[i] = item;
  }

  #pop(): void {
    const items = this.#items;
    const last = items.pop()!;
    if (items.length === 0) return;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= items.length) break;
      if (down + 1 < items.length && before(items[down + 1]!, items[down]!)) down++;
      if (!before(items[down]!, last)) break;
      items[i] = items[down]!;
      i = down;
    }
    items[i] = last;
  }
}

function before(a: { at: number; order: number }, b: { at: number; order: number }): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}

/** etcd: one state, one holder, a lease that ends by its own clock. */
class Etcd {
  state: GroupState | null = null;
  revision = 0;
  holder: { node: string; id: number; untilUs: number } | null = null;
  down = false;
  #ids = 0;

  constructor(readonly queue: Queue) {}

  expire(): void {
    if (this.holder !== null && this.holder.untilUs <= this.queue.nowUs) this.holder = null;
  }

  grant(node: string): number {
    this.holder = { node, id: ++this.#ids, untilUs: this.queue.nowUs + TTL_US };
    return this.holder.id;
  }
}

class Client implements Coordinator {
  speakUntilUs = 0;
  readonly renewEveryUs = TTL_US / 4;
  #revision = 0;
  #lease = 0;

  constructor(
    readonly node: Machine,
    readonly etcd: Etcd,
  ) {}

  /** Asks; the answer may never come, although it happened. */
  #ask<T>(what: (etcd: Etcd) => T): Promise<T> {
    const { node, etcd } = this;
    const { queue, random } = node.world;
    return new Promise((done, fail) => {
      let answered = false;
      const lost = (): void => {
        if (answered) return;
        answered = true;
        fail(new Error('no answer'));
      };
      node.later(500_000, lost);
      // One in thirty is late, so late that nobody waits for it any more; as many answers are lost.
      const late = random.u32() % 30 === 0 ? random.float() * 1_500_000 : 0;
      const unheard = random.u32() % 30 === 0;
      queue.in(200 + random.float() * 3000 + late, () => {
        if (etcd.down || node.cutEtcd) return;
        etcd.expire();
        const answer = what(etcd);
        if (unheard) return;
        queue.in(200 + random.float() * 3000, () => {
          if (etcd.down || node.cutEtcd) return;
          node.soon(() => {
            if (answered) return;
            answered = true;
            done(answer);
          });
        });
      });
    });
  }

  async read(): Promise<View> {
    const view = await this.#ask((etcd) => ({
      state: etcd.state,
      holder: etcd.holder?.node ?? null,
      revision: etcd.revision,
    }));
    this.#revision = view.revision;
    return view;
  }

  async claim(state: GroupState): Promise<boolean> {
    const from = this.node.clock.now();
    const expected = this.#revision;
    const answer = await this.#ask((etcd) => {
      if (etcd.holder !== null || etcd.revision !== expected) return null;
      etcd.state = structuredClone(state);
      etcd.revision++;
      return { id: etcd.grant(this.node.name), revision: etcd.revision };
    });
    if (answer === null) return false;
    this.#lease = answer.id;
    this.#revision = answer.revision;
    this.#until(from);
    return true;
  }

  async update(state: GroupState): Promise<boolean> {
    const id = this.#lease;
    const expected = this.#revision;
    const { done, revision } = await this.#ask((etcd) => {
      if (etcd.holder?.id !== id) return { done: false, revision: 0 };
      if (etcd.revision !== expected) return { done: false, revision: etcd.revision };
      etcd.state = structuredClone(state);
      return { done: true, revision: ++etcd.revision };
    });
    if (revision > 0) this.#revision = revision;
    if (!done && revision > 0) throw new Error('a change of which nothing was heard had happened');
    return done;
  }

  async renew(): Promise<boolean> {
    const from = this.node.clock.now();
    const id = this.#lease;
    const kept = await this.#ask((etcd) => {
      if (etcd.holder?.id !== id) return false;
      etcd.holder.untilUs = etcd.queue.nowUs + TTL_US;
      return true;
    });
    if (kept && id === this.#lease && id !== 0) this.#until(from);
    else if (!kept) this.#forget();
    return kept;
  }

  async release(): Promise<void> {
    const id = this.#lease;
    this.#forget();
    await this.#ask((etcd) => {
      if (id !== 0 && etcd.holder?.id === id) etcd.holder = null;
    });
  }

  learn(): void {
    // etcd knows.
  }

  close(): void {
    // Nothing is held.
  }

  #forget(): void {
    this.#lease = 0;
    this.speakUntilUs = 0;
  }

  #until(from: number): void {
    const { broken } = this.node.world;
    const margin = broken === 'margin' ? -TTL_US / 4 : TTL_US / 10;
    this.speakUntilUs = from + TTL_US - margin;
  }
}

/** The replica's process: counts, and says how far it has come. */
class Process {
  role: 'primary' | 'backup';
  ring: Ring | null = null;
  /** What it has counted: the value of each step; index 0 is the value after the first. */
  values: number[] = [];
  /** Steps before its own beginning, which it has not seen. */
  skipped = 0;
  frozen = false;
  #writer: RingWriter | null = null;
  #reader: RingReader | null = null;
  #keeper: AgentKeeper | null = null;
  #watch: StandIn | null = null;
  #gone = false;
  #joined = false;
  readonly gate = new LogGate('acked');
  readonly pid: number;

  constructor(
    readonly machine: Machine,
    role: 'primary' | 'backup',
  ) {
    this.role = role;
    this.pid = machine.world.pids++;
    if (role === 'primary') this.#begin();
    else this.#follow();
    this.#turn();
  }

  get alive(): boolean {
    return this.machine.process === this;
  }

  #begin(): void {
    const { machine } = this;
    const left = machine.ring;
    // What a former process of this machine left behind is gone on with, as long as the log has it all.
    if (left !== null && left.words[Word.historyLost] === 0 && left.words[Word.ready] === 1) {
      this.ring = left;
      left.words[Word.startAt] = 0;
      const reader = new RingReader(left);
      reader.readAll();
      this.#read(reader);
      this.#write(left);
      return;
    }
    const ring = new Ring(native, new ArrayBuffer(RING_HEADER + RING_BYTES));
    ring.format(new Uint8Array(SECRET_LENGTH));
    machine.ring = ring;
    machine.world.generation++;
    ring.words[Word.planned] = 0;
    this.ring = ring;
    this.#write(ring);
    ring.words[Word.ready] = 1;
  }

  #follow(): void {
    const { ring } = this.machine;
    if (ring === null) throw new Error('a backup without a log');
    this.ring = ring;
    this.#watch = new StandIn(ring.writerPid, ring, () => {
      this.#gone = true;
    });
    ring.words[Word.readerPid] = this.pid;
    ring.store(Word.readerState, ReaderState.Joining);
  }

  #write(ring: Ring): void {
    const { machine, gate } = this;
    const { words } = ring;
    for (const word of [Word.tail, Word.complete]) words[word] = words[Word.head]!;
    words[Word.planned] = 0;
    const host: KeeperHost = {
      native,
      gate,
      group: null as unknown as GroupPlace,
      programLoaded: true,
      hangTimeoutUs: 500_000,
      nowUs: () => machine.clock.now(),
      wakeBackup: () => machine.soon(() => machine.agent?.pump()),
      holdInput: () => undefined,
      nextConnection: () => 1,
      recordJoin: () => this.#record(RecordType.Join, this.skipped + this.values.length),
      complete: true,
      onProtected: () => undefined,
      onUnprotected: () => undefined,
      announce: () => undefined,
    };
    const keeper = new AgentKeeper(ring, host, 1);
    const writer = new RingWriter(ring, keeper.overrun);
    this.#keeper = keeper;
    this.#writer = writer;
    gate.writer = writer;
    const clock = new GroupClock(machine.clock, ring);
    if (rules.L1) gate.lease = () => ((ring.load(Word.lease) - Math.floor(clock.now() / 1000)) | 0) > 0;
    words[Word.writerPid] = this.pid;
    keeper.start(writer);
    this.role = 'primary';
  }

  #record(type: RecordType, value: number): void {
    const writer = this.#writer!;
    const at = writer.begin(type, value, 8);
    if (at >= 0) writer.end();
  }

  #turn(): void {
    const { machine } = this;
    machine.later(TURN_US * (0.5 + machine.world.random.float()), () => {
      if (!this.alive) return;
      if (!this.frozen) {
        if (this.role === 'primary') this.#primary();
        else this.#backup();
      }
      this.#turn();
    });
  }

  #primary(): void {
    const { ring, machine } = this;
    const writer = this.#writer!;
    const { random } = machine.world;
    if (ring!.words[Word.planned] !== 0) return;
    if (!this.#keeper!.overloaded()) {
      for (let n = random.u32() % 8; n > 0; n--) {
        const value = random.u32();
        this.values.push(value);
        this.#record(RecordType.Acked, value);
      }
    }
    writer.publish();
    ring!.words[Word.heartbeat] = (ring!.words[Word.heartbeat]! + 1) | 0;
    this.#keeper!.serve();
    if (machine.leaving && writer.readerReady && writer.lag === 0) {
      ring!.store(Word.planned, 1);
      machine.die(0);
      return;
    }
    if (!machine.leaving && this.gate.isOpen()) machine.world.spoke(machine, this);
  }

  #read(reader: RingReader): void {
    while (reader.next()) {
      if (reader.type === RecordType.Acked) this.values.push(reader.conn);
      else if (reader.type === RecordType.Join && this.#joined) {
        this.#joined = false;
        this.values = [];
        this.skipped = reader.conn;
      }
    }
    reader.release();
  }

  #backup(): void {
    const ring = this.ring!;
    if (this.#reader === null) {
      if (ring.load(Word.readerState) === ReaderState.Live && ring.words[Word.readerPid] === this.pid) {
        this.#reader = new RingReader(ring);
        this.#joined = ring.words[Word.startAt] !== 0;
      }
    } else {
      this.#read(this.#reader);
      if (this.#reader.lag === 0) ring.store(Word.readerReady, 1);
    }
    this.#watch!.look();
    if (!this.#gone || this.#reader === null) return;
    this.#reader.readAll();
    this.#read(this.#reader);
    this.#write(ring);
  }
}

class Machine {
  readonly clock: Clock;
  agent: Agent | null = null;
  process: Process | null = null;
  ring: Ring | null = null;
  on = false;
  /** Stands still until then. */
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
    // Clocks that began at other times, and run fast or slow by up to three per cent.
    const rate = 0.97 + random.float() * 0.06;
    const offset = Math.floor(random.float() * 1e9);
    this.clock = {
      now: () => Math.floor(offset + queue.nowUs * rate),
      wall: () => Math.floor((offset + queue.nowUs * rate) / 1000) + 1.6e12,
    };
  }

  /** After a time, if this machine is still on, and not before it goes on. */
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
    const client = new Client(this, world.etcd);
    const agent: Agent = new Agent(
      {
        self: this.name,
        nodes: world.machines.map(({ name }) => name),
        stable: world.stable,
        lostMs: 300,
        freshMs: 6000,
        hangMs: 400,
        unasked: false,
      },
      {
        coordinator: client,
        clock: this.clock,
        links: world.linksOf(this),
        member: this.#member(),
        note: (event, more) => world.note(this, event, more),
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

  #member(): Member {
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
      end: () => {
        this.leaving = true;
        // Nobody who could go on: it ends all the same.
        this.later(1_000_000, () => this.leaving && this.die(0));
      },
      kill: () => this.die(null),
      create: (welcome) => this.#create(welcome),
      open: () => (this.ring !== null && this.ring.writerPid === this.process?.pid ? this.ring : null),
      snapshot: () => this.#snapshot ?? ({ ringBytes: RING_BYTES } as StartSnapshot),
      wake: () => undefined,
    };
  }

  #create(welcome: Welcome): Ring {
    const ring = new Ring(native, new ArrayBuffer(RING_HEADER + welcome.snapshot.ringBytes));
    ring.format(Buffer.from(welcome.secret, 'hex'));
    const { words } = ring;
    words[Word.historyLost] = welcome.historyLost ? 1 : 0;
    words[Word.writerPid] = 1;
    for (const word of [Word.head, Word.complete, Word.tail, Word.startAt]) words[word] = welcome.position | 0;
    this.ring = ring;
    this.#snapshot = welcome.snapshot;
    return ring;
  }

  /** Its replica's process ends. */
  die(code: number | null): void {
    if (this.process === null) return;
    this.process = null;
    this.soon(() => this.agent?.memberEnded(code));
  }

  /** Power off: nothing of it is left. */
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
  /** Words about what happened, latest last. */
  story: string[];
  reigns: number;
  said: number;
  /** Things that went wrong with machines and their connections. */
  troubles: number;
}

class World {
  readonly queue = new Queue();
  readonly random: SeededRandom;
  readonly etcd = new Etcd(this.queue);
  readonly machines: Machine[] = [];
  readonly stable: number;
  readonly failures: string[] = [];
  readonly story: string[] = [];
  pids = 10;
  generation = 0;
  reigns = 0;
  troubles = 0;
  #drawn = 0;
  /** What was said: the values of all steps. */
  #said: number[] = [];
  #saidGeneration = 0;
  #epoch = 0;
  lastUs = 0;
  #up = new Set<string>();
  readonly cuts = new Set<string>();

  constructor(
    seed: string,
    readonly broken: Broken | null,
    /** Troubles that do not come to pass. */
    readonly without: ReadonlySet<number>,
  ) {
    this.random = new SeededRandom(`agents ${seed}`);
    const count = 2 + (this.random.u32() % 2);
    // Two of three: any one may be lost. All: any number.
    this.stable = count === 3 && this.random.u32() % 2 === 0 ? 1 : Number.POSITIVE_INFINITY;
    for (const name of ['a', 'b', 'c'].slice(0, count)) this.machines.push(new Machine(this, name));
  }

  note(machine: Machine, event: string, more: object): void {
    if (event === 'leading') this.reigns++;
    if (this.story.length < 400)
      this.story.push(`${(this.queue.nowUs / 1e6).toFixed(3)} ${machine.name} ${event} ${JSON.stringify(more)}`);
  }

  get said(): number {
    return this.#said.length;
  }

  fail(text: string): void {
    if (this.failures.length < 5) this.failures.push(`${(this.queue.nowUs / 1e6).toFixed(3)} ${text}`);
  }

  /** Somebody has said how far it is. */
  spoke(machine: Machine, process: Process): void {
    const epoch = machine.agent?.epoch ?? 0;
    if (epoch < this.#epoch) this.fail(`${machine.name} speaks in reign ${epoch}, after reign ${this.#epoch}`);
    this.lastUs = this.queue.nowUs;
    const steps = process.skipped + process.values.length;
    if (epoch > this.#epoch && steps < this.#said.length && this.#saidGeneration === this.generation)
      this.fail(`${machine.name} knows ${steps} steps, ${this.#said.length} were said`);
    if (this.#saidGeneration !== this.generation) {
      // A group that began anew knows nothing of what was.
      this.#saidGeneration = this.generation;
      this.#said = [];
    }
    this.#epoch = Math.max(this.#epoch, epoch);
    // What a snapshot had, and nobody ever said.
    while (this.#said.length < process.skipped) this.#said.push(Number.NaN);
    const from = Math.max(process.skipped, this.#said.length - 50);
    for (let i = from; i < steps; i++) {
      const value = process.values[i - process.skipped]!;
      if (i >= this.#said.length) this.#said.push(value);
      else if (this.#said[i] !== value && !Number.isNaN(this.#said[i])) {
        this.fail(`${machine.name} has another step ${i} than was said`);
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
      takes: () => this.random.u32() % 20 !== 0,
      connected: (peer) => this.#up.has(this.#key(machine.name, peer)),
      hold: (peer, on) => this.#hold(`${peer}>${machine.name}`, on),
      drop: (peer) => this.#down(machine.name, peer),
    };
  }

  #epochs = new Map<string, number>();

  /** In order, as TCP does; what is on its way when the link goes down never arrives. */
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

  /** What is on its way; where the way is cut it waits, as TCP would repeat it. */
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

  /** What is not read waits. */
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
    const machine = machines[random.u32() % machines.length]!;
    const other = machines[random.u32() % machines.length]!;
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

/** Runs one seed. "SEED~2.5" leaves the third and the sixth trouble away. */
export async function runAgents(name: string, broken: Broken | null = null): Promise<AgentsOutcome> {
  const [seed, without = ''] = name.split('~');
  const world = new World(seed!, broken, new Set(without.split('.').filter(Boolean).map(Number)));
  const { queue, random } = world;
  for (const machine of world.machines) queue.in(random.float() * 500_000, () => machine.start());
  for (let at = 4e6; at < TROUBLE_US; at += 200_000 + random.float() * 3_000_000) queue.in(at, () => world.trouble());
  const end = TROUBLE_US + CALM_US;
  // A machine that left late is started late.
  for (let s = 1; s < 10; s++)
    queue.in(TROUBLE_US + s * 1e6, () => {
      for (const machine of world.machines) if (!machine.on) machine.start();
    });
  try {
    while (queue.next(end)) await null;
  } catch (error) {
    world.fail(error instanceof Error ? (error.stack ?? error.message) : String(error));
  }
  // All is well: one speaks, and all others could go on.
  const leader = world.machines.filter(({ agent }) => agent?.role === 'leading');
  if (leader.length !== 1) world.fail(`${leader.length} lead in the end`);
  else if (leader[0]!.agent!.leader?.state.inSync.length !== world.machines.length)
    world.fail(`in sync in the end: ${leader[0]!.agent!.leader?.state.inSync.join()}`);
  if (queue.nowUs - world.lastUs > 2e6) world.fail('nobody speaks in the end');
  await new Promise((done) => real.setImmediate(done));
  const { failures, story, reigns } = world;
  return { failures, story, reigns, said: world.said, troubles: world.troubles };
}
