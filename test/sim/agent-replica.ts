/**
 * The replica's process of a simulated machine, with the real log, standby, gate and failure
 * detector.
 */

import { RemoteFailureDetector } from '../../failover/backup/remote-failure-detector.js';
import type { GroupPlace } from '../../failover/host/group-directory.js';
import { GroupClock } from '../../failover/log/group-clock.js';
import { RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { ReaderState, RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { CommitGate } from '../../failover/primary/output-gate.js';
import { RemoteStandby } from '../../failover/primary/remote-standby.js';
import type { StandbyHost } from '../../failover/primary/standby.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { SimMachine } from './agent-types.js';

export const RING_BYTES = 32 * 1024;
const TURN_US = 4000;

export const native = {
  loadAcquire: (words: Int32Array, at: number) => words[at],
  storeRelease: (words: Int32Array, at: number, value: number) => {
    words[at] = value;
  },
  crc32c: () => 0,
} as unknown as NativeAddon;

/** The replica's process. Its program counts, and sends how far it has counted. */
export class Process {
  role: 'primary' | 'backup';
  ring: Ring | null = null;
  /** The value of each step since `skipped`. */
  values: number[] = [];
  /** Steps before it joined, which it has not seen. */
  skipped = 0;
  frozen = false;
  #writer: RingWriter | null = null;
  #reader: RingReader | null = null;
  #standby: RemoteStandby | null = null;
  #detector: RemoteFailureDetector | null = null;
  #isLeaderLost = false;
  #joined = false;
  readonly gate: CommitGate;
  readonly pid: number;

  constructor(
    readonly machine: SimMachine,
    role: 'primary' | 'backup',
  ) {
    this.role = role;
    this.pid = machine.world.pids++;
    this.gate = new (machine.world.mutant.parts?.CommitGate ?? CommitGate)('acked');
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
    // The log of a former process of this machine is resumed, if it is complete.
    if (left !== null && left.words[Word.truncated] === 0 && left.words[Word.ready] === 1) {
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
    ring.words[Word.shutdown] = 0;
    this.ring = ring;
    this.#write(ring);
    ring.words[Word.ready] = 1;
  }

  #follow(): void {
    const { ring } = this.machine;
    if (ring === null) throw new Error('a backup without a log');
    this.ring = ring;
    this.#detector = new RemoteFailureDetector(ring.writerPid, ring, () => {
      this.#isLeaderLost = true;
    });
    ring.words[Word.readerPid] = this.pid;
    ring.store(Word.readerState, ReaderState.Joining);
  }

  #write(ring: Ring): void {
    const { machine, gate } = this;
    const { words } = ring;
    for (const word of [Word.tail, Word.eventEnd]) words[word] = ring.load(Word.head);
    words[Word.shutdown] = 0;
    const host: StandbyHost = {
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
      transferState: () => true,
      onJoining: () => undefined,
      onProtected: () => undefined,
      onUnprotected: () => undefined,
      announce: () => undefined,
    };
    const standby = new RemoteStandby(ring, host, 1);
    const writer = new RingWriter(ring, standby.overrun);
    this.#standby = standby;
    this.#writer = writer;
    gate.writer = writer;
    const clock = new GroupClock(machine.clock, ring);
    gate.lease = () => ((ring.load(Word.leaseUntilMs) - Math.floor(clock.now() / 1000)) | 0) > 0;
    words[Word.writerPid] = this.pid;
    standby.start(writer);
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
    if (ring!.words[Word.shutdown] !== 0) return;
    if (!this.#standby!.overloaded()) {
      for (let n = random.u32() % 8; n > 0; n--) {
        const value = random.u32();
        this.values.push(value);
        this.#record(RecordType.Acked, value);
      }
    }
    writer.publish();
    ring!.words[Word.heartbeat] = (ring!.load(Word.heartbeat) + 1) | 0;
    this.#standby!.serve();
    if (machine.leaving && writer.readerReady && writer.lag === 0) {
      ring!.store(Word.shutdown, 1);
      machine.die(0);
      return;
    }
    if (!machine.leaving && this.gate.isOpen()) machine.world.sent(machine, this);
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
    this.#detector!.look();
    if (!this.#isLeaderLost || this.#reader === null) return;
    this.#reader.readAll();
    this.#read(this.#reader);
    this.#write(ring);
  }
}
