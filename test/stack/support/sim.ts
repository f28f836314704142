/**
 * Two stacks on a link in memory, in virtual time: the same seed gives the same run, to the last
 * segment.
 */
import { ManualClock } from '../../../lib/clock.js';
import type { Impairment } from '../../../lib/device/emulation/impairment.js';
import { MemoryLink } from '../../../lib/device/emulation/memory.js';
import { SeededRandom } from '../../../lib/random.js';
import type { ListenerHandle, StreamEndpoint, StreamEvents } from '../../../stack/core/endpoint.js';
import { Stack } from '../../../stack/stack.js';
import { StackHost } from '../../../stack/stack-host.js';
import type { TcpOptions } from '../../../stack/tcp/tcp.js';

interface SimOptions {
  seed: string;
  forward?: Impairment;
  backward?: Impairment;
  offload?: boolean;
  mtu?: number;
  tcp?: Partial<TcpOptions>;
}

/** The byte at a place of a stream: different streams and places differ. */
export function patternByte(stream: number, at: number): number {
  return (at * 31 + (at >>> 8) * 17 + (at >>> 16) * 7 + stream * 101) & 255;
}

/**
 * One end of a connection: sends a pattern of a number of bytes, and checks that the other's
 * arrives.
 */
export class SimSocket implements StreamEvents {
  sent = 0;
  received = 0;
  /** Where the first wrong byte was, or -1. */
  wrongAt = -1;
  connected = false;
  ended = false;
  closed: string | null | undefined;
  /** Virtual time of the last arrival, and the longest time between two. */
  lastDataUs = 0;
  longestGapUs = 0;
  /** Unacknowledged bytes that the sender keeps in the stack. */
  window = 256 * 1024;
  endpoint: StreamEndpoint | null = null;

  constructor(
    readonly sim: Sim,
    readonly stream: number,
    /** Bytes to send, then FIN. */
    readonly total: number,
    readonly fin = true,
  ) {}

  attach(endpoint: StreamEndpoint): this {
    this.endpoint = endpoint;
    endpoint.events = this;
    endpoint.setReading(true);
    this.lastDataUs = this.sim.clock.now();
    return this;
  }

  onConnect(): void {
    this.connected = true;
    this.fill(0);
  }

  fill(acked: number): void {
    const { endpoint } = this;
    if (endpoint === null) return;
    while (this.sent < this.total && this.sent - acked < this.window) {
      // Pieces of all sizes, so that segments and pieces do not coincide.
      const length = Math.min(this.total - this.sent, 1 + ((this.sent * 7919) % 9973));
      const bytes = new Uint8Array(length);
      for (let i = 0; i < length; i++) bytes[i] = patternByte(this.stream, this.sent + i);
      endpoint.write(bytes);
      this.sent += length;
    }
    if (this.sent < this.total) endpoint.wantSpace(this.sent - this.window / 2);
    else if (this.fin) endpoint.shutdown();
  }

  onSpace(acked: number): void {
    this.fill(acked);
  }

  onData(chunk: Uint8Array): void {
    const now = this.sim.clock.now();
    this.longestGapUs = Math.max(this.longestGapUs, now - this.lastDataUs);
    this.lastDataUs = now;
    // The other end sends the stream of the other number.
    for (let i = 0; i < chunk.length && this.wrongAt < 0; i++) {
      if (chunk[i] !== patternByte(this.stream ^ 1, this.received + i)) this.wrongAt = this.received + i;
    }
    this.received += chunk.length;
  }

  onEnd(): void {
    this.ended = true;
  }

  onClose(code: string | null): void {
    this.closed = code;
  }
}

export class Sim {
  readonly clock: ManualClock;
  readonly link: MemoryLink;
  readonly stacks: [Stack, Stack];
  readonly hosts: [StackHost, StackHost];

  constructor(readonly options: SimOptions) {
    const random = new SeededRandom(options.seed);
    this.clock = new ManualClock(random.u32());
    this.link = new MemoryLink({
      clock: this.clock,
      random,
      offload: options.offload ?? false,
      ...(options.forward === undefined ? {} : { forward: options.forward }),
      ...(options.backward === undefined ? {} : { backward: options.backward }),
      ...(options.mtu === undefined ? {} : { mtu: options.mtu }),
    });
    const make = (n: number): Stack => {
      const stack = new Stack({
        clock: this.clock,
        random: new SeededRandom(`${options.seed} ${n}`),
        ...(options.tcp === undefined ? {} : { tcp: options.tcp }),
      });
      const device = n === 1 ? this.link.a : this.link.b;
      stack.addInterface(device, { addresses: [`10.0.0.${n}/24`], mac: `02:00:00:00:00:0${n}`, name: `sim${n}` });
      return stack;
    };
    this.stacks = [make(1), make(2)];
    this.hosts = [new StackHost(this.stacks[0], null), new StackHost(this.stacks[1], null)];
  }

  /**
   * Lets everything happen until the condition holds, nothing is left to do, or the virtual time is
   * over.
   */
  run(until: () => boolean, limitUs = 600e6): boolean {
    const end = this.clock.now() + limitUs;
    for (;;) {
      let busy = this.link.run() > 0;
      for (const host of this.hosts) while (host.turn()) busy = true;
      if (until()) return true;
      if (busy || this.link.nextDeadline() <= this.clock.now()) continue;
      const next = Math.min(this.link.nextDeadline(), ...this.stacks.map((stack) => stack.nextDeadline()));
      if (next === Number.POSITIVE_INFINITY || next > end) {
        this.clock.advance(Math.min(end, next === Number.POSITIVE_INFINITY ? end : next) - this.clock.now());
        // What merely expires is noticed when somebody looks.
        for (const host of this.hosts) host.turn();
        return until();
      }
      this.clock.advance(Math.max(1, next - this.clock.now()));
    }
  }

  /** Lets so much virtual time pass. */
  pass(us: number): void {
    this.run(() => false, us);
  }

  /** A server on the second stack; `accept` makes its end of each connection. */
  serve(port: number, accept: () => SimSocket, sockets: SimSocket[] = []): ListenerHandle {
    return this.hosts[1].listen(
      { port },
      {
        onConnection: (endpoint) => {
          const socket = accept().attach(endpoint);
          sockets.push(socket);
          socket.onConnect();
        },
      },
    );
  }

  /** A client on the first stack. */
  connect(port: number, socket: SimSocket): SimSocket {
    return socket.attach(this.hosts[0].connect({ address: '10.0.0.2', port }));
  }

  /** What is still held, after TIME_WAIT has passed; all zero in a run without a leak. */
  leaks(): Record<string, number> {
    this.pass(400e6);
    const out: Record<string, number> = {};
    for (const [i, stack] of this.stacks.entries()) {
      const net = stack.interfaces[0];
      // Entries of the neighbour cache stay by design.
      const timers = stack.wheel.size - net.neighbours.size;
      Object.assign(out, {
        [`connections${i}`]: stack.tcp.table.size,
        [`timeWaits${i}`]: stack.tcp.timeWaits.size,
        [`timers${i}`]: Math.max(0, timers),
        [`events${i}`]: stack.events.length,
      });
    }
    return { ...out, inFlight: this.link.inFlight };
  }
}
