/**
 * The world that the program sees, made deterministic: time, timers, randomness and asynchronous operations are a pure
 * function of the events that the runtime delivers.
 */
import { createHash } from 'node:crypto';
import type { Clock } from '../../lib/clock.js';
import type { NativeAddon } from '../../lib/native/native.js';
import type { SocketTimers } from '../../stack/sockets/endpoint.js';
import type { Divergence, RuntimeContext, RuntimeCounters, RuntimeEvent } from './core/context.js';
import type { EventKind } from './core/event-time.js';
import { Patcher } from './core/patcher.js';
import { installStdio } from './effects/stdio.js';
import { installFsCallbacks } from './fs/callbacks.js';
import { installFsPromises } from './fs/promises.js';
import { installFsSync } from './fs/sync.js';
import { VirtualFs } from './fs/virtual-fs.js';
import { AsyncOperations } from './operations/async-operations.js';
import { installCrypto } from './operations/crypto.js';
import { installZlib } from './operations/zlib.js';
import { installHttp } from './protocols/http.js';
import { installTls } from './protocols/tls.js';
import { installUnsupported } from './table/unsupported.js';
import { installClocks, LogicalTime, type Stamp } from './virtual/clocks.js';
import { installRandom } from './virtual/math-random.js';
import { installTimers } from './virtual/timers-module.js';
import { VirtualTimers } from './virtual/virtual-timers.js';

export type { Divergence, RuntimeCounters as WorldCounters, RuntimeEvent as WorldEvent } from './core/context.js';
export { originals as real } from './core/originals.js';

const EVENT_MODULUS = 2 ** 33;
const IDS_PER_EVENT = 2 ** 20;
const ID_WRAP = 2 ** 52;

export interface RuntimeOptions {
  /** The machine's clock. */
  clock: Clock;
  /** 32 bytes that all replicas share; the randomness of the program comes from it. */
  secret: Uint8Array;
  /** This replica is the primary. */
  live: boolean;
  native: NativeAddon | null;
  /**
   * Primary: an asynchronous operation has finished; log the event and deliver it in its turn. May be called while an event
   * runs. (Timers and immediates are asked for: {@link Runtime.takeDue}, {@link Runtime.takeImmediate}.)
   */
  request: (event: RuntimeEvent) => void;
  /** The program is given what another one has saved. */
  restore?: () => void;
  /** Something that replay cannot repeat is used; called once for each name. */
  onUndeclared?: (what: string) => void;
  /** Backup: a local result does not match the log. */
  onDivergence?: (divergence: Divergence) => void;
  /** The time of the group's first event, for a replica that joins later. */
  origin?: Stamp;
}

export class Runtime implements RuntimeContext {
  readonly native: NativeAddon | null;
  readonly time = new LogicalTime();
  readonly clockwork: VirtualTimers;
  readonly ops: AsyncOperations;
  readonly counters: RuntimeCounters = { suppressedEffects: 0, suppressedOutput: 0, redoneEffects: 0, divergences: 0 };
  readonly #options: RuntimeOptions;
  readonly #patcher = new Patcher();
  readonly #undeclared = new Set<string>();
  readonly #fs = new VirtualFs(this);
  readonly #randState = new Uint32Array(4);
  /** The program's standard output and error are swallowed: a backup, until it is live. */
  quiet: boolean;
  #installed = false;
  #active = false;
  #live: boolean;
  #event = 0;
  #nextId = 0;
  #kind: EventKind = 'usual';
  /** The independent connection whose event runs, 0 for none; what is begun in it belongs to it, too. */
  owner = 0;

  constructor(options: RuntimeOptions) {
    if (options.secret.length !== 32) throw new TypeError('The secret of a world has 32 bytes');
    this.#options = options;
    this.native = options.native;
    this.#live = options.live;
    this.quiet = !options.live;
    if (options.origin !== undefined) this.time.origin = { ...options.origin };
    this.clockwork = new VirtualTimers(
      { drawId: () => this.drawId(), peek: () => this.time.peek(), owner: () => this.owner },
      options.live,
    );
    this.ops = new AsyncOperations(
      {
        drawId: () => this.drawId(),
        owner: () => this.owner,
        request: (event) => options.request(event),
        suppressed: () => this.counters.suppressedEffects++,
        redone: () => this.counters.redoneEffects++,
      },
      options.live,
    );
  }

  /** An event is being run. */
  get active(): boolean {
    return this.#active;
  }

  get live(): boolean {
    return this.#live;
  }

  /** The event that runs belongs to a connection in state mode: backups do not repeat it, nor what comes of it. */
  get apart(): boolean {
    return this.#kind === 'apart';
  }

  get past(): boolean {
    return this.#kind === 'past';
  }

  get seenMonoUs(): number {
    return this.time.seenMonoUs;
  }

  get seenWallMs(): number {
    return this.time.seenWallMs;
  }

  get eventNo(): number {
    return this.#event;
  }

  /** Timers for sockets. */
  get timers(): SocketTimers {
    return this.clockwork;
  }

  /** The time of the first event; a replica that joins later needs it. */
  get origin(): Stamp | null {
    return this.time.origin;
  }

  /** Something would keep a Node process alive: a timer, an immediate, an operation. */
  get alive(): boolean {
    return this.clockwork.refs > 0 || this.ops.size > 0;
  }

  /** Puts the world under the program. Outside of events everything behaves as Node's own. */
  install(): void {
    if (this.#installed) return;
    this.#installed = true;
    const patcher = this.#patcher;
    installClocks(this, patcher);
    installTimers(this, patcher);
    installRandom(this, patcher, this.#options.secret);
    installCrypto(this, patcher);
    installZlib(this, patcher);
    installHttp(this, patcher);
    installTls(this, patcher);
    installFsCallbacks(this.#fs, patcher);
    installFsSync(this.#fs, patcher);
    installFsPromises(this.#fs, patcher);
    installStdio(this, patcher, this);
    installUnsupported(this, patcher);
    const { native } = this;
    if (native !== null) {
      const key = createHash('sha256').update('ft-tcp openssl').update(this.#options.secret).digest();
      native.randInstall(key, this.#randState);
    }
    patcher.publish();
  }

  /** Puts Node's own back. */
  uninstall(): void {
    if (!this.#installed) return;
    this.#installed = false;
    this.endEvent();
    this.#patcher.restore();
    this.#fs.fds.closeAll();
  }

  /** Primary: the time for the next event, never before what the program has seen. */
  stamp(): Stamp {
    return this.time.stamp(this.#options.clock);
  }

  /** An event begins: the program sees its time and its randomness from here on. */
  beginEvent(eventNo: number, monoUs: number, wallMs: number, kind: EventKind = 'usual', owner = 0): void {
    this.#event = eventNo;
    this.#kind = kind;
    this.owner = owner;
    const base = (eventNo < EVENT_MODULUS ? eventNo : eventNo % EVENT_MODULUS) * IDS_PER_EVENT;
    // More than 2^20 ids in one event flow over into the next ones' range; a long way back is the modulus at work.
    if (base > this.#nextId || this.#nextId - base > ID_WRAP || kind === 'past') this.#nextId = base;
    this.time.begin(monoUs, wallMs, kind);
    const rand = this.#randState;
    rand[1] = eventNo;
    rand[2] = eventNo / 0x100000000;
    rand[3] = 0;
    rand[0] = 1;
    this.#active = true;
  }

  /** The event is over, its microtasks included. */
  endEvent(): void {
    this.#active = false;
    this.#randState[0] = 0;
  }

  /** Runs a timer, an immediate or a completion, between beginEvent and endEvent. False: the id is unknown, nothing ran. */
  deliver(event: RuntimeEvent): boolean {
    switch (event.kind) {
      case 'timer':
        return this.clockwork.fire(event.id);
      case 'immediate':
        return this.clockwork.fireImmediate(event.id);
      case 'async':
        return this.ops.deliver(event.id, event.result);
      case 'restore':
        this.#options.restore?.();
        return true;
    }
  }

  /** The independent connection that an event belongs to, 0 for none. */
  ownerOf({ kind, id }: RuntimeEvent): number {
    if (kind === 'async') return this.ops.ownerOf(id);
    return kind === 'restore' ? 0 : this.clockwork.ownerOf(id);
  }

  /** When the next timer is due (µs on the clock), or Infinity. Always Infinity on a backup. */
  nextDeadline(): number {
    return this.clockwork.nextDeadline();
  }

  /** Primary: the next due timer as an event, each one once. */
  takeDue(nowUs: number): RuntimeEvent | undefined {
    return this.clockwork.takeDue(nowUs);
  }

  /** Immediates that wait. */
  get pendingImmediates(): number {
    return this.clockwork.pendingImmediates;
  }

  /** Primary: the next immediate as an event; undefined once at the end of each pass, when timers and input are to have their turn. */
  takeImmediate(): RuntimeEvent | undefined {
    return this.clockwork.takeImmediate();
  }

  /**
   * The backup becomes primary. Call it after the last logged event has ended.
   * @param unfinished the primary died in that event, and may not have carried out what belongs to it
   */
  goLive(unfinished = true): void {
    if (this.#live) return;
    this.#live = true;
    this.quiet = false;
    this.clockwork.goLive();
    this.#fs.goLive(unfinished);
    this.ops.goLive();
  }

  /** What an event apart begins has a negative id, so that its end is known to be one, too. */
  drawId(): number {
    const id = this.#nextId++;
    return this.apart ? -id : id;
  }

  later(fn: () => void): void {
    this.clockwork.setImmediate(fn, []);
  }

  outside<T>(fn: () => T): T {
    const active = this.#active;
    this.#active = false;
    try {
      return fn();
    } finally {
      this.#active = active;
    }
  }

  undeclared(what: string): void {
    if (this.#active && !this.apart) this.mixed(what);
  }

  /** As `undeclared`, in an event apart. */
  mixed(what: string): void {
    if (this.#undeclared.has(what)) return;
    this.#undeclared.add(what);
    this.#options.onUndeclared?.(what);
  }

  diverged(divergence: Divergence): void {
    this.counters.divergences++;
    this.#options.onDivergence?.(divergence);
  }
}
