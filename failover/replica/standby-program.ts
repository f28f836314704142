/**
 * The program of a warm standby (state mode): it is loaded and listens before it is needed. Nothing
 * of it is replicated. Its timers, files and kernel connections are its own, as those of a second
 * instance of the service. So its events are delivered here, by this process's clock, and are in no
 * log. Its servers listen on a frozen stack, which has no network, until the takeover gives them
 * the group's connections.
 */
import type { Clock } from '../../lib/clock.js';
import type { EventTime } from '../runtime/core/event-time.js';
import type { RuntimeEvent } from '../runtime/core/events.js';
import type { Runtime } from '../runtime/runtime.js';
import type { Turn } from './event-loop.js';

/** Due timers are looked for at this interval, milliseconds. */
const POLL_MS = 2;

/** What a {@link StandbyProgram} needs of its replica. */
export interface StandbyHost {
  readonly clock: Clock;
  readonly time: EventTime;
  readonly runtime: Runtime;
  /** Calls the event loop's turn after a time, milliseconds. */
  wakeAfter(ms: number): void;
}

/** Delivers the events of a program that stands by. */
export class StandbyProgram {
  readonly #host: StandbyHost;
  /** What is left to do when the program serves. */
  readonly atTakeover: (() => void)[] = [];
  readonly #queue: RuntimeEvent[] = [];

  constructor(host: StandbyHost) {
    this.#host = host;
  }

  /** An operation of the program has ended. */
  request(event: RuntimeEvent): void {
    this.#queue.push(event);
  }

  /** The program serves from here on. @param dispatcher delivers its events now */
  handOver(dispatcher: { request(event: RuntimeEvent): void }): void {
    for (const event of this.#queue.splice(0)) dispatcher.request(event);
    for (const act of this.atTakeover.splice(0)) act();
  }

  /** Delivers one event if one is due. @returns whether one was */
  deliverNext(): boolean {
    const { runtime, clock, time } = this.#host;
    const event = this.#shift() ?? runtime.timers.takeImmediate() ?? runtime.timers.takeDue(clock.now());
    if (event === undefined) return false;
    time.next();
    time.begin();
    runtime.deliver(event);
    return true;
  }

  #shift(): RuntimeEvent | undefined {
    const { runtime } = this.#host;
    let event = this.#queue.shift();
    while (event !== undefined && !runtime.expects(event)) event = this.#queue.shift();
    return event;
  }

  /** One turn of a replica that follows no primary yet. */
  turn(): Turn {
    if (this.deliverNext()) return 'event';
    this.#host.wakeAfter(POLL_MS);
    return 'idle';
  }

  /** Nothing is replicated. */
  recordSample(): void {}
}
