/**
 * A group of replicas on one machine, its clients, the wire between them, and one run of a scenario
 * with its faults.
 */

import { RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { Replica } from '../../failover/replica/replica.js';
import { MemoryLink } from '../../lib/device/emulation/memory.js';
import { RX_META_WORDS } from '../../lib/device/rx-batch.js';
import { SeededRandom } from '../../lib/random.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import { LogAudit } from './audit.js';
import type { Client } from './clients.js';
import { Disk } from './disk.js';
import { SimSamples } from './gauge.js';
import { Machine } from './machine.js';
import type { Mutant } from './mutants.js';
import { rewrite } from './old-log.js';
import { MAX_TURNS, type Process } from './process.js';
import type { Scenario } from './scenarios.js';
import { SimGroup } from './sim-group.js';
import { Wire } from './wire.js';

const LOG_BYTES = 1 << 20;
const ADDRESS = { 4: '10.0.0.1', 6: 'fd00::1' } as const;
const CLIENT = { 4: '10.0.0.2', 6: 'fd00::2' } as const;
const HANG_MS = 500;

export interface Member {
  process: Process;
  replica: Replica;
}

export class Cluster {
  readonly machine: Machine;
  readonly link: MemoryLink;
  readonly wire: Wire;
  readonly audit: LogAudit;
  readonly disk: Disk;
  readonly host: StackHost;
  readonly members: Member[] = [];
  readonly failures: string[] = [];
  /** Somebody wants to look again then, though nothing may happen until then. */
  alarmUs = Number.POSITIVE_INFINITY;
  /** Times of takeovers. */
  takeovers = 0;
  readonly #memory: ArrayBuffer;

  constructor(
    readonly scenario: Scenario,
    readonly seed: string,
    readonly mutant: Mutant = {},
  ) {
    this.#memory = new ArrayBuffer(RING_HEADER + (scenario.logBytes ?? LOG_BYTES));
    this.audit = new LogAudit(this.#memory, scenario.commit === 'acked');
    const random = new SeededRandom(seed);
    // Sequence numbers and timestamps that wrap are as likely as others.
    this.machine = new Machine(seed, 1_000_000 + (random.u32() % 4_000_000_000));
    this.machine.batch = scenario.batch ?? this.machine.batch;
    const { clock } = this.machine;
    this.disk = new Disk(seed, scenario.diskRoom, (process) => (this.primary?.process ?? process) === process);
    this.wire = new Wire(
      () => clock.now(),
      (port) => scenario.resets?.includes(port) === true,
      this.audit,
    );
    const impairment = { delayUs: 500, ...scenario.link };
    this.link = new MemoryLink({
      clock,
      random,
      forward: impairment,
      watch: (from, frame) => this.wire.frame(frame, from === this.link.b),
    });
    // The machine's side of the link is its TAP interface.
    this.link.b.start({
      onFrames: (batch) => {
        for (let i = 0; i < batch.count; i++) {
          const at = batch.meta[i * RX_META_WORDS];
          this.machine.receive(batch.bytes.slice(at, at + batch.meta[i * RX_META_WORDS + 1]));
        }
      },
      onWritable: () => undefined,
    });
    this.machine.transmit = (frame, from) => {
      this.wire.speaker(from.pid);
      this.link.b.inject(frame);
    };
    const stack = new Stack({ clock, random: new SeededRandom(`${seed} clients`) });
    stack.addInterface(this.link.a, { addresses: [`${CLIENT[4]}/24`, `${CLIENT[6]}/64`], mac: '02:00:00:00:00:02' });
    this.host = new StackHost(stack, null);
    const secret = new Uint8Array(SECRET_LENGTH);
    random.fill(secret);
    this.#secret = secret;
  }

  readonly #secret: Uint8Array;
  #origin = { monoUs: 0, wallMs: 0 };

  get address(): string {
    return ADDRESS[this.scenario.family ?? 4];
  }

  /** Starts a process of the group; which role it gets is found, as in reality. */
  start(name: string): Member | null {
    const { machine, scenario } = this;
    const process = machine.spawn(name);
    let member: Member | null = null;
    process.as(() => {
      const group = new SimGroup(machine, process);
      const ring = new Ring(process.environment.native, this.#memory);
      const locked = group.lockPrimary();
      // Everybody who was here before is dead: their log goes on.
      const dead = locked && this.members.length > 0 ? ring.words[Word.writerPid] : 0;
      const primary = locked && dead === 0;
      if (primary) {
        ring.format(this.#secret);
        this.#origin = { monoUs: machine.clock.now(), wallMs: machine.clock.wall() };
      } else if (dead === 0 && !group.lockBackup()) return;
      const replica = new Replica(
        {
          group,
          environment: process.environment,
          tap: 'sim0',
          addresses: [`${ADDRESS[4]}/24`, `${ADDRESS[6]}/64`],
          mac: '02:00:00:00:00:01',
          offload: false,
          commit: scenario.commit ?? 'written',
          hangTimeoutMs: HANG_MS,
          ringBytes: scenario.logBytes ?? LOG_BYTES,
          solo: scenario.solo ?? false,
          sendThread: scenario.sender ?? false,
          mode: scenario.mode ?? 'replay',
          warm: scenario.warm ?? false,
          ...(scenario.historyLimit === undefined ? {} : { historyLimit: scenario.historyLimit }),
          origin: this.#origin,
        },
        scenario.solo === true ? null : ring,
        primary ? 'primary' : 'backup',
        { Samples: SimSamples, ...this.mutant.parts },
      );
      const here: Member = { process, replica };
      replica.on('failed', (error) => {
        if (!process.dead) this.failures.push(`${name} failed: ${error.message}`);
      });
      replica.on('diverged', (reason) => {
        if (!process.dead) this.failures.push(`${name} diverged: ${reason}`);
      });
      if (primary && scenario.upgrade === true) this.#writesOld(process);
      if (!primary && dead === 0) Object.assign(process, scenario.laggard);
      replica.on('takeover', () => {
        this.takeovers++;
        process.turns = MAX_TURNS;
        process.restUs = 0;
      });
      scenario.prepare?.(replica);
      replica.open();
      if (dead > 0) {
        if (!replica.stateMode) replica.runtime.endEvent();
        replica.resume(dead);
      } else if (!primary) replica.watchPrimary(ring.words[Word.writerPid]);
      const run = (): void => {
        replica.beginStart();
        scenario.program(replica, process, this.disk);
        replica.programStarted();
      };
      if (replica.standby !== null) {
        run();
        void replica.takePlace();
      } else if (!primary && replica.stateMode) {
        replica.once('startProgram', run);
        replica.follow();
      } else run();
      member = here;
      this.members.push(here);
    });
    return member;
  }

  /** A process of the version before. */
  #writesOld(process: Process): void {
    process.onStore = (words, index, value) => {
      if (index !== Word.head || words.buffer !== this.#memory) return;
      const complaint = rewrite(this.#memory, words[Word.head], value);
      if (complaint !== '') this.failures.push(complaint);
    };
  }

  /** A member has died, and its machine with it: the others have what they have processed. */
  loseMemory({ process }: Member): void {
    const words = new Int32Array(this.#memory);
    this.machine.memory.delete(new SimGroup(this.machine, process).file(`frames.${process.pid}`));
    const reader = this.backup?.replica.reader;
    // It is in an event, of which it has read on already.
    const inEvent = reader != null && (reader.position | 0) !== words[Word.tail];
    words[Word.head] = words[Word.eventEnd] = inEvent ? this.#nextEvent(reader.position) : words[Word.tail];
  }

  /** Where the next event begins in the log, or the log ends. */
  #nextEvent(from: number): number {
    const words = new Int32Array(this.#memory);
    const view = new DataView(this.#memory, RING_HEADER);
    for (let units = from; ; ) {
      if ((units | 0) === words[Word.eventEnd]) return units | 0;
      const at = (units * 8) % view.byteLength;
      const type = view.getUint8(at + 4);
      if (type === RecordType.Event || type === RecordType.Runtime) return units | 0;
      units = (units + view.getUint32(at, true) / 8) >>> 0;
    }
  }

  /** The member that serves now, if there is one. */
  get primary(): Member | undefined {
    return this.members.find(({ process, replica }) => !process.dead && replica.role === 'primary');
  }

  get backup(): Member | undefined {
    return this.members.find(({ process, replica }) => !process.dead && replica.role === 'backup');
  }

  /** Connections that replicas remember, though both sides are done with them. */
  get kept(): number {
    let count = 0;
    for (const { process, replica } of this.members) {
      if (process.dead) continue;
      for (const { finished: settled, conn } of replica.endpoints.values()) if (settled && conn.removed) count++;
    }
    return count;
  }

  /** A backup follows, has read everything once, is waited for, and knows all connections. */
  get protected(): boolean {
    const { primary, backup } = this;
    if (primary?.replica.writer?.readerReady !== true || backup?.replica.reader == null) return false;
    return primary.replica.unprotected === 0;
  }

  /** Lets virtual time pass until something holds, or so much of it is over. */
  run(until: () => boolean, limitUs: number): boolean {
    const { machine, link, host } = this;
    const { clock } = machine;
    const end = clock.now() + limitUs;
    for (;;) {
      let busy = link.run() > 0;
      if (machine.run()) busy = true;
      while (host.turn()) busy = true;
      // A state transfer may be longer than the log, and sends no frame.
      this.audit.advance();
      if (until()) return true;
      if (this.alarmUs <= clock.now()) this.alarmUs = Number.POSITIVE_INFINITY;
      const next = Math.min(link.nextDeadline(), host.stack.nextDeadline(), machine.nextDeadline(), this.alarmUs);
      if (busy || next <= clock.now()) {
        // Something that is due for ever would stop the time.
        if (!busy) clock.advance(1);
        continue;
      }
      if (next > end) {
        clock.advance(end - clock.now());
        return until();
      }
      clock.advance(next - clock.now());
    }
  }

  /** Everything that a run leaves behind in this process. */
  close(): void {
    for (const { process, replica } of this.members) {
      process.kill();
      try {
        replica.stop();
      } catch {
        // It is dead.
      }
    }
  }

  clients(): Client[] {
    return this.scenario.clients(this.host, this.address, this.disk);
  }
}
