/**
 * One broken replica for each invariant of output commit (failover/log/invariants.ts). A mutant
 * replaces classes of the product by subclasses that break the invariant, and nothing else. The
 * product itself has no switch for it.
 */
import { Follower } from '../../failover/backup/follower.js';
import type { FenceProof } from '../../failover/backup/primary-watch.js';
import { Replayer } from '../../failover/backup/replayer.js';
import { LogSender } from '../../failover/cluster/agent/log-sender.js';
import type { Invariant } from '../../failover/log/invariants.js';
import type { RecordType } from '../../failover/log/records.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { CommitGate } from '../../failover/primary/output-gate.js';
import { Primary, type PrimaryHost } from '../../failover/primary/primary.js';
import { Recorder } from '../../failover/primary/recorder.js';
import type { ReplicaParts } from '../../failover/replica/parts.js';
import { Takeover } from '../../failover/replica/takeover.js';
import { AsyncOperations, type Operation, type Outcome } from '../../failover/runtime/core/async-operations.js';
import type { Sample } from '../../failover/runtime/samples/samples.js';
import type { RxBatch } from '../../lib/device/rx-batch.js';
import { FtError } from '../../lib/errors.js';
import type { Relay, RelayStart } from '../../stack/relay/relay.js';
import type { Stack } from '../../stack/stack.js';
import type { AppEvent } from '../../stack/tcp/app-event.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { TcpState } from '../../stack/tcp/state.js';
import { SimSamples } from './gauge.js';

/** What a simulated replica, or a group of agents, has in place of the product's. */
export interface Mutant {
  readonly parts?: Partial<ReplicaParts>;
  readonly LogSender?: typeof LogSender;
  /** A lease ends this long before etcd's, microseconds. */
  readonly leaseMarginUs?: number;
}

// --- Records that come too late, or never ---

class LateRecorder extends Recorder {
  readonly #late: [TcpConnection, Uint8Array][] = [];

  override received(conn: TcpConnection, bytes: Uint8Array, from: number, length: number): void {
    this.#late.push([conn, bytes.slice(from, from + length)]);
  }

  #catchUp(): void {
    for (const [conn, bytes] of this.#late.splice(0)) super.received(conn, bytes, 0, bytes.length);
  }

  override deliver(conn: TcpConnection, event: AppEvent, n: number): void {
    this.#catchUp();
    super.deliver(conn, event, n);
  }

  override runtimeEvent(kind: number, id: number, result: Uint8Array | null, owner?: number): void {
    this.#catchUp();
    super.runtimeEvent(kind, id, result, owner);
  }
}

class InOrderRecorder extends Recorder {
  override outOfOrder(): void {
    // Not recorded.
  }
}

class LateOpenRecorder extends Recorder {
  override opened(conn: TcpConnection): void {
    if (conn.active) super.opened(conn);
  }

  override established(conn: TcpConnection): void {
    if (!conn.active) super.opened(conn);
    super.established(conn);
  }
}

// --- An event that is published after output that depends on it ---

class HeldWriter extends RingWriter {
  isHeld = false;

  override publish(): boolean {
    return !this.isHeld && super.publish();
  }

  /** Publishes what there is, and nothing after it. */
  hold(): void {
    this.isHeld = false;
    this.publish();
    this.isHeld = true;
  }
}

class HoldingRecorder extends Recorder {
  /** A connection was removed in the current event. */
  hasRemoved = false;

  #hold(): void {
    this.hasRemoved = false;
    if (this.writer instanceof HeldWriter) this.writer.hold();
  }

  override deliver(conn: TcpConnection, event: AppEvent, n: number): void {
    this.#hold();
    super.deliver(conn, event, n);
  }

  override runtimeEvent(kind: number, id: number, result: Uint8Array | null, owner?: number): void {
    this.#hold();
    super.runtimeEvent(kind, id, result, owner);
  }

  override removed(conn: TcpConnection, code: string | null): void {
    this.hasRemoved = true;
    super.removed(conn, code);
  }
}

/** Whether an event, or a part of its effects, stays unpublished when it is over. */
type Holds = (host: PrimaryHost, recorder: HoldingRecorder) => boolean;

function holding(holds: Holds): Partial<ReplicaParts> {
  class HoldingPrimary extends Primary {
    readonly #host: PrimaryHost;

    constructor(host: PrimaryHost) {
      super(host);
      this.#host = host;
    }

    override eventEnded(): void {
      const { recorder, writer } = this;
      if (recorder instanceof HoldingRecorder && writer instanceof HeldWriter && !holds(this.#host, recorder))
        writer.isHeld = false;
      super.eventEnded();
    }
  }
  return { Primary: HoldingPrimary, Recorder: HoldingRecorder, RingWriter: HeldWriter };
}

/** Connections whose program has been seen to close them. */
const closed = new WeakSet<TcpConnection>();

/** Whether the program has closed a connection since the last call. */
function hasClosed(host: PrimaryHost): boolean {
  let found = false;
  host.stack.tcp.table.forEach((conn) => {
    if (!conn.finQueued || closed.has(conn)) return;
    closed.add(conn);
    found = true;
  });
  return found;
}

// --- A log that is read or written in the wrong way ---

class NarrowReplayer extends Replayer {
  protected override opened(at: number): void {
    const { byId } = this.host.stack.tcp;
    const before = byId.get(this.reader.conn)?.receiveLimit ?? FIRST_RECEIVE_LIMIT;
    super.opened(at);
    const conn = byId.get(this.reader.conn);
    if (conn !== undefined) conn.receiveLimit = Math.min(before, conn.receiveMax);
  }
}

/** A connection's receive limit before it has grown, bytes. */
const FIRST_RECEIVE_LIMIT = 512 * 1024;

class ClocklessReplayer extends Replayer {
  protected override opened(at: number): void {
    super.opened(at);
    const conn = this.host.stack.tcp.byId.get(this.reader.conn);
    if (conn !== undefined) conn.tsOffset = 0;
  }
}

class OverwritingWriter extends RingWriter {
  override begin(type: RecordType, conn: number, bodyLength: number): number {
    const { placement } = this;
    const { placed } = placement;
    placement.placed = null;
    const at = super.begin(type, conn, bodyLength);
    placement.placed = placed;
    return at;
  }
}

// --- Relays that a backup is not told of ---

class UnpairedRecorder extends Recorder {
  override paired(): void {
    // Not recorded.
  }
}

class ForgetfulPairRecorder extends Recorder {
  override paired(relay: Relay, start: RelayStart): void {
    // Pairs that a backup which joins is told of have passed something.
    if (start.client === 1 && start.server === 1) super.paired(relay, start);
  }
}

// --- Takeovers that leave out a step ---

class UnfencedFollower extends Follower {
  override fence(): FenceProof {
    this.assertFollowing();
    return 'process';
  }

  override lock(): void {
    try {
      super.lock();
    } catch (error) {
      if (!(error instanceof FtError)) throw error;
    }
  }
}

class HastyFollower extends Follower {
  override fence(): FenceProof {
    this.assertFollowing();
    // The event loop's thread is dead. Others are not asked about.
    return this.detector.detectedBy === 'futex' ? 'threads' : super.fence();
  }
}

class LateFramesTakeover extends Takeover {
  protected override saveFrames(): void {
    // Not before the log is written.
  }

  protected override savedFrames(): RxBatch | undefined {
    super.saveFrames();
    return super.savedFrames();
  }
}

class NothingSentTakeover extends Takeover {
  protected override thawStack(stack: Stack): void {
    stack.tcp.table.forEach((conn) => {
      if (conn.state >= TcpState.Established && conn.inheritedSndNxt < 0) conn.inheritedSndNxt = conn.sndUna;
    });
    super.thawStack(stack, true);
  }
}

class AnsweringTakeover extends Takeover {
  protected override thawStack(stack: Stack, isPlanned: boolean): void {
    stack.thaw(0, isPlanned);
  }
}

// --- Effects twice, or never ---

class EagerOperations extends AsyncOperations {
  protected override suppress(operation: Operation): void {
    super.suppress(operation);
    operation.start(() => undefined);
  }
}

class ForgetfulOperations extends AsyncOperations {
  protected override redo(operation: Operation, done: (outcome: Outcome) => void): void {
    if (operation.effect) done({ error: null, values: [] });
    else super.redo(operation, done);
  }
}

// --- Values of the replica's own ---

class OwnSamples extends SimSamples {
  protected override replayed(sample: Sample): Outcome {
    const logged = super.replayed(sample);
    return sample.isEffect === true ? logged : this.ask(() => sample.take());
  }
}

// --- Output that waits for nobody ---

class ImpatientGate extends CommitGate {
  override reached(): boolean {
    return true;
  }
}

class LeaselessGate extends CommitGate {
  protected override get stopped(): boolean {
    return this.shut;
  }
}

class HastyLogSender extends LogSender {
  protected override backupSets(eligible: string[]): string[][] {
    return [eligible];
  }
}

/** For each invariant the replica that breaks it. */
export const MUTANTS: Readonly<Record<Invariant, Mutant>> = {
  A1: { parts: { Recorder: LateRecorder } },
  A2: { parts: { Replayer: NarrowReplayer } },
  A3: { parts: { Recorder: InOrderRecorder } },
  D1: { parts: holding(() => true) },
  D2: { parts: { Takeover: NothingSentTakeover } },
  F1: { parts: holding((host) => hasClosed(host)) },
  F2: { parts: { ...holding((_host, { hasRemoved }) => hasRemoved), Takeover: AnsweringTakeover } },
  T1: { parts: { Replayer: ClocklessReplayer } },
  H1: { parts: { Recorder: LateOpenRecorder } },
  fence: { parts: { Follower: UnfencedFollower } },
  threads: { parts: { Follower: HastyFollower } },
  C1: { parts: { CommitGate: ImpatientGate } },
  E1: { parts: { Operations: EagerOperations } },
  E2: { parts: { Operations: ForgetfulOperations } },
  E3: { parts: { Samples: OwnSamples } },
  P1: { parts: { RingWriter: OverwritingWriter } },
  P2: { parts: { Takeover: LateFramesTakeover } },
  R1: { parts: { Recorder: UnpairedRecorder } },
  R2: { parts: { Recorder: ForgetfulPairRecorder } },
  L1: { parts: { CommitGate: LeaselessGate } },
  S1: { LogSender: HastyLogSender },
};
