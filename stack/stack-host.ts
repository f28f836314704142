/**
 * Drives a stack in a real process: turns of Node's event loop, each of which delivers one event to
 * a socket, and a flush when no event is due. For programs that use the stack without failover; a
 * replica has an event loop of its own.
 */
import type { NativeAddon, NativeHandle } from '../lib/native/native.js';
import { TimerNode } from '../lib/timer-wheel.js';
import { AppEndpoint } from './app-endpoint.js';
import { isV6 } from './core/address-book.js';
import type {
  ConnectTarget,
  ListenerEvents,
  ListenerHandle,
  ListenOptions,
  SocketHost,
  SocketTimer,
  SocketTimers,
  StreamEndpoint,
} from './core/endpoint.js';
import type { Stack } from './stack.js';

/** Turns in one iteration of the event loop. */
const MAX_TURNS = 256;

/** Socket timers on the stack's own wheel. */
class WheelTimers implements SocketTimers {
  constructor(readonly stack: Stack) {}

  set(ms: number, fn: () => void): SocketTimer {
    const { stack } = this;
    const node = new TimerNode(fn);
    const start = (): void => stack.wheel.schedule(node, stack.now() + ms * 1000);
    start();
    return { refresh: start, clear: () => stack.wheel.cancel(node) };
  }
}

/**
 * A stack as the host of sockets. Without `native` nothing runs by itself: the owner calls `turn`
 * (tests do). `busyPollUs`: time that the event loop polls before it sleeps, microseconds (default
 * 0).
 */
export class StackHost implements SocketHost {
  readonly timers: SocketTimers;
  readonly sendBuffer: number;
  readonly #native: NativeAddon | null;
  /** When the loop last went on to look at the device, microseconds. */
  #lookedUs = Number.NEGATIVE_INFINITY;
  readonly #hook: NativeHandle | null = null;

  constructor(
    readonly stack: Stack,
    native: NativeAddon | null,
    options: { sendBuffer?: number; busyPollUs?: number } = {},
  ) {
    this.timers = new WheelTimers(stack);
    this.sendBuffer = options.sendBuffer ?? 1024 * 1024;
    this.#native = native;
    if (native !== null) {
      this.#hook = native.loopHook(() => this.turn(), MAX_TURNS);
      native.loopRef(this.#hook, true);
      const { busyPollUs = 0 } = options;
      native.loopBusyPoll(this.#hook, busyPollUs, busyPollUs);
      native.loopTimer(this.#hook, 0);
    }
  }

  /** One turn. @returns true when there may be more to do at once. */
  turn(): boolean {
    const { stack } = this;
    stack.poll(this.#lookedUs);
    for (let endpoint = stack.events.shift(); endpoint !== undefined; endpoint = stack.events.shift()) {
      if (endpoint.deliverNext()) return true;
    }
    stack.flush();
    this.#lookedUs = stack.clock.now();
    if (this.#native !== null && this.#hook !== null) {
      const until = (stack.nextDeadline() - stack.clock.now()) / 1000;
      this.#native.loopTimer(this.#hook, until === Number.POSITIVE_INFINITY ? -1 : Math.max(0, until));
    }
    return false;
  }

  listen(options: ListenOptions, events: ListenerEvents): ListenerHandle {
    const { tcp } = this.stack;
    const address = this.stack.listenAddress(options.address);
    const listener = tcp.listen(address, options.port, options.backlog ?? 511, (conn) => {
      new AppEndpoint(conn, this.stack.events, events);
    });
    return {
      address: this.stack.book.format(address),
      port: listener.port,
      family: isV6(address) ? 'IPv6' : 'IPv4',
      close: () => tcp.unlisten(listener),
    };
  }

  connect(options: ConnectTarget): StreamEndpoint {
    const { remote, local } = this.stack.connectAddresses(options.address, options.localAddress);
    return new AppEndpoint(
      this.stack.tcp.connect(remote, options.port, local, options.localPort ?? 0),
      this.stack.events,
      null,
    );
  }

  close(): void {
    if (this.#native !== null && this.#hook !== null) this.#native.loopClose(this.#hook);
    for (const net of this.stack.interfaces) net.device.close();
  }
}
