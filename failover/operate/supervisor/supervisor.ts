/**
 * The supervisor of a group on one machine (`ft-tcp up`): it starts the replicas, starts again what
 * ended, and ends all in order. It is not needed for a takeover. The replicas die with it, and the
 * next supervisor continues the group from its log.
 */
import { type ChildEvent, type ChildListener, ReplicaChild } from './replica-child.js';
import { RestartPolicy } from './restart-policy.js';

/** What it reports. */
export interface SupervisorEvents {
  /** The first replica accepts connections. */
  serving(): void;
  /** A replica ended, and is started again after a time. */
  restarting(pid: number, how: string, delayMs: number): void;
  /** A place whose replicas ended too often stays empty. */
  givenUp(pid: number, how: string, failures: number): void;
  /** Roles or protection have changed. */
  changed(): void;
  /** All replicas have ended. @param code the exit code */
  finished(code: number): void;
}

/** Exit codes after which another start of the same command would end alike. */
const HOPELESS = new Set([2, 3]);

/** What it is told. */
export interface SupervisorOptions {
  readonly replicas: number;
  readonly command: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Early ends of one place in a row. */
  readonly restartLimit: number;
  /** Whether the group has ended on purpose. */
  hasEnded(): boolean;
  nowMs(): number;
}

interface Slot {
  child: ReplicaChild | null;
  timer: NodeJS.Timeout | null;
  readonly policy: RestartPolicy;
}

/** Lines and events of replicas, as they come. */
export type Output = Pick<ChildListener, 'event' | 'line'>;

/** Starts, watches and ends the replicas. */
export class Supervisor {
  readonly #slots: Slot[];
  #isServing = false;
  #isProtected = false;
  #isEnding = false;
  #code: number | null = null;
  #isFinished = false;

  constructor(
    readonly options: SupervisorOptions,
    readonly events: SupervisorEvents,
    readonly output: Output,
  ) {
    this.#slots = [...Array(options.replicas)].map(() => ({
      child: null,
      timer: null,
      policy: new RestartPolicy(options.restartLimit),
    }));
  }

  /** A replica has accepted connections since the start. */
  get isServing(): boolean {
    return this.#isServing;
  }

  /** A backup could take over. */
  get isProtected(): boolean {
    return this.#isProtected;
  }

  /** The processes that run. */
  get children(): ReplicaChild[] {
    return this.#slots.flatMap(({ child }) => (child === null ? [] : [child]));
  }

  /** A replica is being started, or is about to be. */
  get isStarting(): boolean {
    return this.#slots.some(({ child, timer }) => timer !== null || child?.isReady === false);
  }

  get primary(): ReplicaChild | null {
    return this.children.find(({ role }) => role === 'primary') ?? null;
  }

  /**
   * Starts the replicas.
   * @param meanwhile is called while the first one is loaded, before the others are started
   */
  start(meanwhile: () => void): void {
    this.#launch(0);
    meanwhile();
    for (let i = 1; i < this.#slots.length && !this.#isEnding; i++) this.#launch(i);
  }

  /**
   * Ends the group: first the backups, then the primary, which closes its connections. A second
   * call ends all at once.
   */
  end(signal: NodeJS.Signals): void {
    this.#cancelStarts();
    if (this.#isEnding) for (const child of this.children) child.kill('SIGTERM');
    this.#isEnding = true;
    this.#code ??= 0;
    this.#endNext(signal);
  }

  /** Ends all at once, before they have done anything. */
  abort(): void {
    this.#stopAll(1);
  }

  #cancelStarts(): void {
    for (const slot of this.#slots) {
      if (slot.timer !== null) clearTimeout(slot.timer);
      slot.timer = null;
    }
  }

  #endNext(signal: NodeJS.Signals): void {
    const { primary, children } = this;
    const backups = children.filter((child) => child !== primary);
    if (backups.length > 0) for (const child of backups) child.kill(signal);
    else primary?.kill(signal);
    this.#finishIfDone();
  }

  #launch(index: number): void {
    const slot = this.#slots[index];
    if (slot === undefined) return;
    slot.timer = null;
    const { command, env } = this.options;
    const listener: ChildListener = {
      line: (child, stream, line) => this.output.line(child, stream, line),
      event: (child, event, line) => this.#heard(child, event, line),
      ended: (child, code, signal) => this.#ended(slot, child, { code, signal }),
    };
    slot.child = new ReplicaChild({ command, env }, index, listener, this.options.nowMs());
  }

  #heard(child: ReplicaChild, event: ChildEvent, line: string): void {
    this.output.event(child, event, line);
    if (event.event === 'protected') this.#isProtected = true;
    // After a takeover nothing protects, until the new primary says so.
    if (event.event === 'unprotected' || event.event === 'takeover') this.#isProtected = false;
    if (!this.#isServing && child.role === 'primary' && ['ready', 'takeover'].includes(event.event)) {
      this.#isServing = true;
      this.events.serving();
    }
    this.events.changed();
  }

  #ended(slot: Slot, child: ReplicaChild, end: { code: number | null; signal: NodeJS.Signals | null }): void {
    slot.child = null;
    if (this.#isEnding) {
      this.#endNext('SIGTERM');
      return;
    }
    if (this.options.hasEnded() || this.#code !== null) {
      // The primary's code is the program's.
      if (child.role === 'primary' || this.#code === null) this.#code = end.code ?? 1;
      this.#cancelStarts();
      this.#finishIfDone();
      return;
    }
    if (!this.#isServing && end.code !== null && end.code !== 0) {
      this.#stopAll(end.code);
      return;
    }
    this.#restart(slot, child, end);
    this.events.changed();
  }

  #restart(
    slot: Slot,
    child: ReplicaChild,
    { code, signal }: { code: number | null; signal: NodeJS.Signals | null },
  ): void {
    const how = signal === null ? `exit code ${code}` : signal;
    const delayMs = slot.policy.ended(this.options.nowMs() - child.startedAtMs);
    if (delayMs === null || HOPELESS.has(code ?? 0)) {
      this.events.givenUp(child.pid, how, slot.policy.failures);
      if (this.#slots.every((one) => one.child === null && one.timer === null)) this.#stopAll(code ?? 1);
      return;
    }
    this.events.restarting(child.pid, how, delayMs);
    slot.timer = setTimeout(() => this.#launch(child.slot), delayMs);
  }

  /** Nothing can be served: what is left of the others ends, too. */
  #stopAll(code: number): void {
    this.#code = code;
    this.#isEnding = true;
    this.#cancelStarts();
    for (const child of this.children) child.kill('SIGKILL');
    this.#finishIfDone();
  }

  #finishIfDone(): void {
    if (this.#isFinished || this.children.length > 0) return;
    this.#isFinished = true;
    this.events.finished(this.#code ?? 0);
  }
}
