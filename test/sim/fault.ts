/** One run of a scenario with a fault at one point, and what is wrong afterwards. */
import type { Client } from './clients.js';
import { Cluster, type Member } from './cluster.js';
import type { FaultKind } from './fault-kinds.js';
import type { Mutant } from './mutants.js';
import type { Scenario } from './scenarios.js';

/** A fault at one point; see {@link FaultKind}. */
export interface Fault {
  kind: FaultKind;
  at: number;
}

/** What a run came to. */
export interface Outcome {
  /** What is wrong; empty: nothing. */
  failures: string[];
  /** Calls of primary and backup, and turns, during the clients' time. */
  calls: number;
  backupCalls: number;
  /** Longest time that a client waited. */
  gapUs: number;
  takeovers: number;
  resentBytes: number;
  endedUs: number;
}

const START_US = 5e6;
const LIMIT_US = 60e6;
/** After its last client a replica holds nothing. */
const DRAIN_US = 10e6;
const HANG_US = 3e6;
/** Longer than the hang timeout; the primary wakes a little later than the backup. */
const PAUSE_US = 800_000;
const PAUSE_MORE_US = 50_000;
const PAUSE_APART_US = 6000;
const SLOW_US = 200_000;
const HOUR_MS = 3_600_000;
const CLOCK_US = 3000;
/** A supervisor's pause before it starts a process again. */
const RESTART_US = 100_000;
/** Longest wait of a client when a process dies; a retransmission timer of its own is 200 ms. */
const GAP_US = 450_000;
/** A hang is noticed after half a second. */
const HANG_GAP_US = 1_200_000;
/** Without any process frames are lost; a SYN is sent again after one second and two. */
const RESTART_GAP_US = 2_300_000;

/** Runs a scenario, with a fault or without. @param mutant a replica that is broken on purpose */
export function runFault(scenario: Scenario, seed: string, fault: Fault | null, mutant: Mutant = {}): Outcome {
  const cluster = new Cluster(scenario, seed, mutant);
  cluster.machine.copies = fault?.kind !== 'machine';
  try {
    return new FaultRun(cluster, fault).play();
  } finally {
    cluster.close();
  }
}

/** Longest wait of a client that some faults may cause. */
const GAPS_US: Partial<Record<FaultKind, number>> = {
  hang: HANG_GAP_US,
  pause: RESTART_GAP_US,
  restart: RESTART_GAP_US,
  machine: RESTART_GAP_US,
};

class FaultRun {
  readonly #cluster: Cluster;
  readonly #fault: Fault | null;
  readonly #first: Member;
  readonly #second: Member;
  readonly #clients: Client[];
  /** Calls of primary and backup before the clients started. */
  readonly #calls: [number, number];
  readonly #beganUs: number;
  /** The fault has been injected; for faults that are not a death at a call. */
  #injected = false;
  /** The backup stands still, too. */
  #hasPaused = false;
  #injectedUs = 0;
  /** A third replica has started. */
  #third = false;

  constructor(cluster: Cluster, fault: Fault | null) {
    this.#cluster = cluster;
    this.#fault = fault;
    this.#first = cluster.start('first')!;
    cluster.run(() => false, 10_000);
    this.#second = cluster.start('second')!;
    if (!cluster.run(() => cluster.protected, START_US)) cluster.failures.push('no backup has joined');
    this.#clients = cluster.clients();
    this.#calls = [this.#first.process.calls, this.#second.process.calls];
    this.#beganUs = cluster.machine.clock.now();
    if (fault !== null) this.#prepare(fault);
  }

  #prepare({ kind, at }: Fault): void {
    const [first, second] = [this.#first, this.#second];
    if (kind === 'kill' || kind === 'double' || kind === 'restart' || kind === 'machine')
      first.process.dieAt = this.#calls[0] + at;
    if (kind === 'machine') first.process.onDeath = () => this.#cluster.loseMemory(first);
    if (kind === 'kill-backup') second.process.dieAt = this.#calls[1] + at;
  }

  /** Called often: injects what comes in the middle. @returns whether the clients are done */
  #watch(): boolean {
    switch (this.#fault?.kind) {
      case 'hang':
        this.#stop(this.#fault.at, this.#first, HANG_US);
        break;
      case 'pause':
        this.#pause(this.#fault.at);
        break;
      case 'slow':
        this.#stop(this.#fault.at, this.#second, SLOW_US);
        this.#killAfter(SLOW_US / 2);
        break;
      case 'switchover':
        if (this.#isDue(this.#fault.at, this.#first)) this.#switchover();
        break;
      case 'clock':
        if (this.#isDue(this.#fault.at, this.#first)) this.#jump(this.#fault.at);
        this.#killAfter(CLOCK_US);
        break;
      case 'double':
        this.#double();
        break;
      case 'restart':
        if (this.#first.process.dead) this.#restart();
        break;
      case 'kill-backup':
        if (this.#second.process.ended && !this.#third) this.#startThird();
        if (this.#third && this.#cluster.protected && !this.#first.process.dead) this.#first.process.kill();
        break;
    }
    return this.#clients.every(finished) && this.#cluster.host.stack.tcp.table.size === 0;
  }

  get #nowUs(): number {
    return this.#cluster.machine.clock.now();
  }

  #startThird(): void {
    this.#third = this.#cluster.start('third') !== null;
  }

  /**
   * Whether a member has made its calls, and nothing has been injected yet; then it is from here
   * on.
   */
  #isDue(at: number, member: Member): boolean {
    const before = member === this.#first ? this.#calls[0] : this.#calls[1];
    if (this.#injected || member.process.calls - before < at) return false;
    this.#injected = true;
    this.#injectedUs = this.#nowUs;
    return true;
  }

  #stop(at: number, member: Member, us: number): void {
    if (this.#isDue(at, member)) member.process.stoppedUntilUs = this.#nowUs + us;
  }

  /** As by the freezer of a cgroup, which stops the backup when it has seen the last heartbeat. */
  #pause(at: number): void {
    const [first, second] = [this.#first.process, this.#second.process];
    if (this.#isDue(at, this.#first)) {
      first.stoppedUntilUs = this.#nowUs + PAUSE_US + PAUSE_MORE_US;
      this.#cluster.alarmUs = this.#nowUs + PAUSE_APART_US;
    }
    if (!this.#injected || this.#hasPaused || this.#nowUs < this.#injectedUs + PAUSE_APART_US) return;
    this.#hasPaused = true;
    second.stoppedUntilUs = this.#injectedUs + PAUSE_US;
    // A thread or the output gate may hold frames meanwhile, and their timers expire.
    this.#cluster.wire.heldFrames = true;
  }

  /** The primary dies some time after what was injected. */
  #killAfter(us: number): void {
    const { process } = this.#first;
    if (this.#injected && this.#nowUs >= this.#injectedUs + us && !process.dead) process.kill();
  }

  #switchover(): void {
    const { process, replica } = this.#first;
    replica.once('switchedOver', () => process.kill());
    process.as(() => {
      replica.switchover().catch((error: Error) => this.#cluster.failures.push(error.message));
    });
  }

  /** An hour back, or forth; and in the middle of what follows the primary dies. */
  #jump(at: number): void {
    this.#cluster.machine.clock.setWall(at % 2 === 0 ? -HOUR_MS : HOUR_MS);
    this.#cluster.alarmUs = this.#nowUs + CLOCK_US;
  }

  #double(): void {
    const [first, second] = [this.#first, this.#second];
    if (first.process.dead && !this.#third && this.#cluster.primary === second) this.#startThird();
    if (this.#third && this.#cluster.protected && !second.process.dead) second.process.kill();
  }

  #restart(): void {
    // Before it can take over.
    if (!this.#second.process.dead) {
      this.#second.process.kill();
      this.#injectedUs = this.#nowUs;
      this.#cluster.alarmUs = this.#nowUs + RESTART_US;
    }
    if (!this.#third && this.#nowUs >= this.#injectedUs + RESTART_US) this.#startThird();
  }

  play(): Outcome {
    const cluster = this.#cluster;
    const { failures, wire } = cluster;
    const kind = this.#fault?.kind;
    const complete = cluster.run(() => this.#watch(), LIMIT_US);
    // It died when its clients were done.
    if (kind === 'restart' && this.#first.process.dead) cluster.run(() => this.#watch() && this.#third, RESTART_US * 2);
    const endedUs = this.#nowUs - this.#beganUs;
    if (!complete) failures.push(`not over after ${LIMIT_US / 1e6} s`);
    const gapUs = this.#judgeClients();
    if (kind === 'switchover') this.#judgeSwitchover();
    if (kind === 'pause' && cluster.takeovers > 0) failures.push('a healthy primary was taken over from');
    const calls = this.#first.process.calls - this.#calls[0];
    const backupCalls = this.#second.process.calls - this.#calls[1];
    if (this.#injected && kind === 'hang') cluster.run(() => false, HANG_US);
    this.#judgeRest();
    // What was heard from the peers is lost with the machine, and nothing has waited for it.
    if (cluster.scenario.link === undefined && kind !== 'machine') wire.judgeResent();
    failures.push(...wire.violations, ...cluster.disk.violations);
    const { takeovers } = cluster;
    return { failures, calls, backupCalls, gapUs, takeovers, resentBytes: wire.resentBytes, endedUs };
  }

  /** @returns the longest wait of any client, microseconds */
  #judgeClients(): number {
    const { failures, scenario } = this.#cluster;
    let gapUs = 0;
    for (const [n, client] of this.#clients.entries()) {
      const { seen } = client;
      if (seen.wrong !== '') failures.push(`client ${n}: ${seen.wrong}`);
      else if (!client.done)
        failures.push(`client ${n}: ended early, with ${seen.closed}, after ${seen.received} bytes`);
      if (seen.closed !== null && seen.closed !== undefined && scenario.resets === undefined)
        failures.push(`client ${n}: the connection ended with ${seen.closed}`);
      gapUs = Math.max(gapUs, client.longestGapUs);
    }
    const bound = Math.max(scenario.patienceUs ?? 0, (this.#fault && GAPS_US[this.#fault.kind]) ?? GAP_US);
    if (scenario.link === undefined && gapUs > bound) failures.push(`a client waited for ${gapUs / 1000} ms`);
    return gapUs;
  }

  #judgeSwitchover(): void {
    const cluster = this.#cluster;
    const { process } = this.#first;
    cluster.run(() => !this.#injected || process.dead, DRAIN_US);
    if (this.#injected && !process.dead) cluster.failures.push('it was not handed over');
    if (cluster.scenario.link === undefined && cluster.wire.resentBytes > 0)
      cluster.failures.push(`${cluster.wire.resentBytes} bytes were sent again`);
  }

  /** Nothing may be left of connections that have ended. */
  #judgeRest(): void {
    const cluster = this.#cluster;
    const { failures } = cluster;
    cluster.run(() => cluster.primary?.replica.stack.tcp.table.size === 0, DRAIN_US);
    const left = cluster.primary?.replica.stack.tcp.table.size ?? -1;
    if (left > 0) failures.push(`${left} connections are left`);
    if (left < 0) failures.push('no replica is primary');
    if (left !== 0) return;
    cluster.run(() => cluster.kept === 0, DRAIN_US);
    if (cluster.kept > 0) failures.push(`${cluster.kept} connections that have ended are kept`);
  }
}

/** It has what it came for, or never will. */
function finished(client: Client): boolean {
  return client.done || client.seen.closed !== undefined || client.seen.wrong !== '';
}
