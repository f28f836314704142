/**
 * The runtime makes a program deterministic. Everything that Node tells the program is a function
 * of the events that the replica delivers, so a backup that gets the same events from the log ends
 * up in the same state and writes the same bytes.
 *
 * An event runs like this: the replica calls beginEvent with a number and a time, then calls the
 * program (a socket's callback, or {@link Runtime.deliver}), lets ticks and microtasks run, and
 * calls endEvent. Patched functions are virtual while an event runs (`active`), and Node's own
 * otherwise. The number of the event keys its randomness and its ids. The time stands still but for
 * one microsecond per read. The primary logs an event before the program gets it.
 *
 * There are six kinds of contact with Node, each with one mechanism:
 *
 *   kind       example           primary                backup                     room
 *   pure       parsing           runs                   runs                       none
 *   virtual    timers, Date      from the event         the same                   virtual/
 *   sample     os.freemem        real, result logged    the primary's result       samples/
 *   operation  fs.stat, scrypt   real, end is an event  ends with the log's event  operations/
 *   source     datagrams         arrivals are events    arrivals from the log      sources/
 *   effect     stdout            carried out            suppressed and counted     effects/
 *
 * fs/ has both operations and effects.
 * core/ has the mechanisms (logical time, virtual timers, asynchronous operations, the codec of
 * their results) and the patcher. protocols/ moves Node's HTTP and TLS from internal clocks and
 * immediates to the runtime's. table/ lists what cannot be repeated: it works, and is reported by
 * name.
 *
 * On a takeover {@link Runtime.goLive} makes the timers follow the clock, carries out again what
 * the dead primary may have left undone, and opens the program's files. Until then a backup neither
 * writes a file nor prints a byte.
 *
 * Supported Node versions: 20, 22, 24 and 26. A patch that depends on Node's internals says so.
 */
import { createHash } from 'node:crypto';
import type { NativeAddon } from '../../lib/native/native.js';
import { AsyncOperations } from './core/async-operations.js';
import type { RuntimeContext } from './core/context.js';
import type { Divergence, RuntimeCounters } from './core/counters.js';
import type { RuntimeEvent } from './core/events.js';
import { type EventKind, LogicalTime, type Stamp } from './core/logical-time.js';
import { Patcher } from './core/patcher.js';
import { VirtualTimers } from './core/virtual-timers.js';
import { installChildren } from './effects/children.js';
import { installSignals } from './effects/signals.js';
import { installSqlite } from './effects/sqlite.js';
import { installStdio } from './effects/stdio.js';
import { installFs } from './fs/faces.js';
import { VirtualFs } from './fs/virtual-fs.js';
import { installCrypto } from './operations/crypto.js';
import { installDns } from './operations/dns.js';
import { installWebAssembly } from './operations/webassembly.js';
import { installZlib } from './operations/zlib.js';
import { installHttp } from './protocols/http.js';
import { installHttpChecks } from './protocols/http-checks.js';
import { installHttp2 } from './protocols/http2.js';
import { installTls } from './protocols/tls.js';
import { NO_SAMPLE_LOG, type SampleLog, Samples } from './samples/samples.js';
import { installValues } from './samples/values.js';
import { installChildCalls } from './sources/child-calls.js';
import { type AllowedAddons, installAddons } from './table/addons.js';
import { installUnsupported } from './table/unsupported.js';
import { installClocks } from './virtual/clocks.js';
import { installRandom } from './virtual/math-random.js';
import { installTimers } from './virtual/timers-module.js';

/** Ids stay below 2^53: event numbers count modulo this. */
const EVENT_MODULUS = 2 ** 33;
const IDS_PER_EVENT = 2 ** 20;
/** A step back by more than this is the modulus at work. */
const ID_WRAP = 2 ** 52;
/** Length of the group's secret, in bytes. */
const SECRET_BYTES = 32;

/** What a replica gives to its {@link Runtime}. */
export interface RuntimeOptions {
  /** 32 bytes that all replicas share; the program's randomness comes from it. */
  secret: Uint8Array;
  /** This replica is the primary. */
  live: boolean;
  /** The native addon, which controls OpenSSL's randomness; null: `crypto` is not repeatable. */
  native: NativeAddon | null;
  /**
   * Primary: an operation has ended. Log the event and deliver it in its turn. May be called while
   * an event runs. The replica asks {@link Runtime.timers} itself for due timers and immediates.
   */
  request: (event: RuntimeEvent) => void;
  /** The program is given what another process has saved. */
  restore?: () => void;
  /** The program has used an API that replay cannot repeat; called once for each name. */
  onNondeterministicApi?: (api: string) => void;
  /** Backup: a local result does not match the log. */
  onDivergence?: (divergence: Divergence) => void;
  /** The time of the group's first event, for a replica that joins later. */
  origin?: Stamp;
  /** Native addons that the program may load; default: only those that are known. */
  allowedAddons?: AllowedAddons;
  /** Where samples are logged; default: nowhere. */
  samples?: SampleLog;
  /** The class of the samples; default {@link Samples}. */
  Samples?: typeof Samples;
  /** The class of the operations; default {@link AsyncOperations}. */
  Operations?: typeof AsyncOperations;
}

/**
 * The runtime of one replica's program. There is one per process, because it patches Node's
 * modules.
 */
export class Runtime implements RuntimeContext {
  readonly native: NativeAddon | null;
  /** The clocks that the program sees. */
  readonly time = new LogicalTime();
  /** The program's timers and immediates. */
  readonly timers: VirtualTimers;
  /** The operations that the program waits for. */
  readonly operations: AsyncOperations;
  /** Values that the program reads at once. */
  readonly samples: Samples;
  readonly counters: RuntimeCounters = {
    suppressedEffects: 0,
    kernelConnections: 0,
    refusedConnections: 0,
    suppressedOutput: 0,
    redoneEffects: 0,
    divergences: 0,
    samples: 0,
    sampleBytes: 0,
    replayedSamples: 0,
    unloggedSamples: 0,
  };
  readonly #options: RuntimeOptions;
  readonly #patcher = new Patcher();
  readonly #reported = new Set<string>();
  readonly #fs = new VirtualFs(this);
  /** Shared with the addon: an event runs, number of the event (low, high), draws so far. */
  readonly #randState = new Uint32Array(4);
  nativeOutputs = 0;
  /** Standard output and error are suppressed: on a backup, until it is live. */
  muted: boolean;
  /** The API that replay cannot repeat and that was used last, and in which event. */
  lastUnrepeatable: { api: string; event: number } | null = null;
  #installed = false;
  #active = false;
  #live: boolean;
  #event = 0;
  #nextId = 0;
  #kind: EventKind = 'live';
  /**
   * The independent connection whose event runs, 0 for none. What the event begins belongs to it,
   * too.
   */
  owner = 0;

  /** Throws a TypeError if the secret does not have 32 bytes. */
  constructor(options: RuntimeOptions) {
    if (options.secret.length !== SECRET_BYTES)
      throw new TypeError(`The runtime's secret must have ${SECRET_BYTES} bytes`);
    this.#options = options;
    this.native = options.native;
    this.#live = options.live;
    this.muted = !options.live;
    if (options.origin !== undefined) this.time.origin = { ...options.origin };
    const drawId = (): number => this.drawId();
    const owner = (): number => this.owner;
    this.timers = new VirtualTimers({ drawId, owner, peek: () => this.time.peek() }, options.live);
    this.samples = new (options.Samples ?? Samples)(this, options.samples ?? NO_SAMPLE_LOG);
    const { Operations = AsyncOperations } = options;
    this.operations = new Operations(
      {
        drawId,
        owner,
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

  /** This replica is the primary. */
  get live(): boolean {
    return this.#live;
  }

  /**
   * The running event belongs to a connection in state mode: backups repeat neither it nor what it
   * begins.
   */
  get isUnreplicated(): boolean {
    return this.#kind === 'unreplicated';
  }

  /** The running event is repeated from a connection's history. */
  get isHistorical(): boolean {
    return this.#kind === 'historical';
  }

  /** Number of the current event. */
  get eventNo(): number {
    return this.#event;
  }

  /** Something would keep a Node process alive: a timer, an immediate, an operation. */
  get alive(): boolean {
    return this.timers.refs > 0 || this.operations.size > 0;
  }

  /** Patches Node's modules. Outside of events everything behaves as Node's own. */
  install(): void {
    if (this.#installed) return;
    this.#installed = true;
    const patcher = this.#patcher;
    installClocks(this, patcher);
    installTimers(this, patcher);
    installRandom(this, patcher, this.#options.secret);
    installCrypto(this, patcher);
    installZlib(this, patcher);
    installWebAssembly(this, patcher);
    installDns(this, patcher);
    installHttp(this, patcher);
    installHttpChecks(this, patcher);
    installTls(this, patcher);
    installHttp2(this, patcher);
    installFs(this.#fs, patcher);
    installStdio(this, patcher, this);
    installSignals(this, patcher);
    installValues(this, patcher);
    installChildren(this, patcher);
    installChildCalls(this, patcher);
    installSqlite(this, patcher);
    installUnsupported(this, patcher);
    installAddons(this, patcher, this.#options.allowedAddons ?? []);
    const { native } = this;
    if (native !== null) {
      const key = createHash('sha256').update('ft-tcp openssl').update(this.#options.secret).digest();
      native.randInstall(key, this.#randState);
    }
    patcher.publish();
  }

  /** Restores Node's own functions and closes the program's files. */
  uninstall(): void {
    if (!this.#installed) return;
    this.#installed = false;
    this.endEvent();
    this.#patcher.restore();
    this.#fs.fds.closeAll();
  }

  /** An event begins: the program sees its time and its randomness from here on. */
  beginEvent(eventNo: number, monoUs: number, wallMs: number, kind: EventKind = 'live', owner = 0): void {
    this.#event = eventNo;
    this.#kind = kind;
    this.owner = owner;
    const base = (eventNo < EVENT_MODULUS ? eventNo : eventNo % EVENT_MODULUS) * IDS_PER_EVENT;
    // An event that draws more than 2^20 ids uses the next ones' range: never go back into it.
    if (base > this.#nextId || this.#nextId - base > ID_WRAP || kind === 'historical') this.#nextId = base;
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

  /**
   * Gives an event to the program, between beginEvent and endEvent. False: the id is unknown, and
   * nothing ran.
   */
  deliver(event: RuntimeEvent): boolean {
    switch (event.kind) {
      case 'timer':
        return this.timers.fire(event.id);
      case 'immediate':
        return this.timers.fireImmediate(event.id);
      case 'async':
        return this.operations.deliver(event.id, event.result);
      case 'restore':
        this.#options.restore?.();
        return true;
      case 'beforeExit':
        process.emit('beforeExit', Number(process.exitCode ?? 0));
        return true;
    }
  }

  /** What an event is called: 'timer', or the operation that ends in it: 'fs.readFile'. */
  nameOf({ kind, id }: RuntimeEvent): string {
    return (kind === 'async' ? this.operations.nameOf(id) : undefined) ?? kind;
  }

  /** Whether the program still waits for an event that has been requested. */
  expects(event: RuntimeEvent): boolean {
    return event.kind !== 'async' || this.operations.has(event.id);
  }

  /** The independent connection that an event belongs to, 0 for none. */
  ownerOf({ kind, id }: RuntimeEvent): number {
    if (kind === 'async') return this.operations.ownerOf(id);
    return kind === 'timer' || kind === 'immediate' ? this.timers.ownerOf(id) : 0;
  }

  /**
   * The backup becomes primary. Call it after the last logged event has ended.
   */
  goLive(): void {
    if (this.#live) return;
    this.#live = true;
    this.muted = false;
    this.timers.goLive();
    this.#fs.goLive();
    this.operations.goLive();
  }

  /**
   * The next deterministic id; negative in an unreplicated event, so that what it begins is known
   * as such.
   */
  drawId(): number {
    const id = this.#nextId++;
    return this.isUnreplicated ? -id : id;
  }

  /** Runs `fn` as an immediate of its own. */
  later(fn: () => void): void {
    this.timers.setImmediate(fn, []);
  }

  /** Runs `fn` with Node's own functions. */
  outside<T>(fn: () => T): T {
    const active = this.#active;
    this.#active = false;
    try {
      return fn();
    } finally {
      this.#active = active;
    }
  }

  /** The event was interrupted, maybe in {@link outside}: what is left of it is the program's. */
  interrupted(): void {
    this.#active = this.#randState[0] === 1;
  }

  /** Reports an API that replay cannot repeat, if a replicated event uses it. */
  reportNondeterministic(api: string): void {
    if (!this.#active || this.isUnreplicated) return;
    this.lastUnrepeatable = { api, event: this.#event };
    this.reportOnce(api);
  }

  /** Reports a name once, whatever event runs. */
  reportOnce(api: string): void {
    if (this.#reported.has(api)) return;
    this.#reported.add(api);
    this.#options.onNondeterministicApi?.(api);
  }

  /** Counts and reports a difference from the log. */
  diverged(divergence: Divergence): void {
    this.counters.divergences++;
    this.#options.onDivergence?.(divergence);
  }
}
