/**
 * Chooses the next event of the primary and delivers it: sockets and the runtime (timers,
 * immediates, completed operations) take turns. An event is logged before it is delivered.
 */
import type { Clock } from '../../lib/clock.js';
import type { AppEndpoint } from '../../stack/app-endpoint.js';
import type { Stack } from '../../stack/stack.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { EventTime } from '../runtime/core/event-time.js';
import { encodeRuntimeEvent, type RuntimeEvent, runtimeEventKind } from '../runtime/core/events.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Recorder } from './recorder.js';

/** State mode: the connection is restored, and the dead primary's last event is delivered again. */
const SUSPECT_EVENTS = 2;

/** What the dispatcher needs of the primary. */
export interface DispatcherHost {
  readonly clock: Clock;
  readonly stack: Stack;
  readonly runtime: Runtime;
  readonly time: EventTime;
  readonly histories: ConnectionHistories;
  readonly stateMode: boolean;
  readonly programLoaded: boolean;
  /** Catches what a suspect event does (backup/quarantine.ts). */
  readonly quarantine: { watch(conn: number): void; run(event: () => boolean): boolean; end(): unknown };
}

/** The primary's event queue. */
export class EventDispatcher {
  /** Writes the log; null without a log. */
  recorder: Recorder | null = null;
  /** Outgoing connections that the program is to be given back before any other event. */
  pendingRestores = 0;
  readonly #host: DispatcherHost;
  #queue: RuntimeEvent[] = [];
  /** The runtime has its turn, not the sockets. */
  #runtimeTurn = false;
  /**
   * State mode: connection of the event that the dead primary did not finish; its next events may
   * be what killed it.
   */
  #suspect: { conn: number; events: number } | null = null;

  constructor(host: DispatcherHost) {
    this.#host = host;
  }

  /** Queues an event of the runtime. */
  request(event: RuntimeEvent): void {
    this.#queue.push(event);
  }

  /** Events of the runtime wait. */
  get isBusy(): boolean {
    return this.#queue.length > 0;
  }

  /** Before any other event, the program is given what another one saved. */
  restoreFirst(): void {
    this.#queue.unshift({ kind: 'restore', id: 0 });
    this.#runtimeTurn = false;
  }

  /**
   * The dead primary did not finish an event of this connection (0: of none, -1: no event): it is
   * delivered again.
   */
  suspect(conn: number): void {
    this.#suspect = { conn, events: SUSPECT_EVENTS };
  }

  /** Delivers one event if one is due. @returns whether one was */
  deliverNext(): boolean {
    const { stack, programLoaded } = this.#host;
    // The program's start is an event, too.
    if (!programLoaded) return false;
    this.#runtimeTurn = !this.#runtimeTurn;
    if (this.pendingRestores > 0 && this.#queue[0]?.kind !== 'restore') {
      this.pendingRestores--;
      this.#runtimeTurn = false;
    }
    if (this.#runtimeTurn && this.#deliverRuntimeEvent()) return true;
    for (let endpoint = stack.events.shift(); endpoint !== undefined; endpoint = stack.events.shift()) {
      // With a log, the recorder draws the event's time.
      if (this.recorder === null) this.#drawTime();
      if (endpoint.id === this.#suspect?.conn ? this.#deliverSuspect(endpoint) : endpoint.deliverNext()) return true;
    }
    return !this.#runtimeTurn && this.#deliverRuntimeEvent();
  }

  #deliverRuntimeEvent(): boolean {
    const { recorder } = this;
    const { runtime, clock, histories, stateMode } = this.#host;
    const event = this.#shift() ?? runtime.timers.takeImmediate() ?? runtime.timers.takeDue(clock.now());
    if (event === undefined) return false;
    if (recorder === null) this.#drawTime();
    else {
      const owner = histories.size === 0 ? 0 : runtime.ownerOf(event);
      recorder.runtimeEvent(runtimeEventKind(event), event.id, stateMode ? null : encodeRuntimeEvent(event), owner);
    }
    runtime.deliver(event);
    return true;
  }

  /** The next event of the queue that the program has not cancelled since. */
  #shift(): RuntimeEvent | undefined {
    const { runtime } = this.#host;
    let event = this.#queue.shift();
    while (event !== undefined && !runtime.expects(event)) event = this.#queue.shift();
    return event;
  }

  #deliverSuspect(endpoint: AppEndpoint): boolean {
    const { quarantine } = this.#host;
    quarantine.watch(endpoint.id);
    const delivered = quarantine.run(() => endpoint.deliverNext());
    if (!delivered) quarantine.end();
    else if (this.#suspect !== null && --this.#suspect.events === 0) this.#suspect = null;
    return delivered;
  }

  #drawTime(): void {
    const { time } = this.#host;
    time.next();
    time.begin();
  }
}
