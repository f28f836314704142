/**
 * A stack with a listener and a bulk transfer through it, and a place on its link for an attacker.
 */
import { ManualClock } from '../../lib/clock.js';
import { MemoryLink } from '../../lib/device/emulation/memory.js';
import { SeededRandom } from '../../lib/random.js';
import type { StreamEndpoint, StreamEvents } from '../../stack/core/endpoint.js';
import type { NetInterface } from '../../stack/link/interface.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import type { Target } from './floods.js';

const SILENT: StreamEvents = {
  onConnect: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onSpace: () => undefined,
  onClose: () => undefined,
};
const CHUNK = new Uint8Array(64 * 1024);
const WINDOW = 1024 * 1024;

export class Victim {
  readonly clock = new ManualClock(1_000_000);
  readonly random = new SeededRandom('flood');
  readonly link: MemoryLink;
  readonly hosts: [StackHost, StackHost];
  readonly net: NetInterface;
  readonly target: Target;
  received = 0;
  /** Connections accepted beside the transfer's. */
  otherConnections = 0;

  /** @param options.bandwidth of the link, in bits per second. */
  constructor(options: { bandwidth?: number } = {}) {
    const { clock } = this;
    this.link = new MemoryLink({
      clock,
      random: new SeededRandom('link'),
      forward: { delayUs: 100, bandwidth: options.bandwidth ?? 200e6, queueBytes: 1 << 20 },
    });
    const make = (n: 1 | 2): StackHost => {
      const stack = new Stack({ clock, random: new SeededRandom(`stack ${n}`) });
      stack.addInterface(n === 1 ? this.link.a : this.link.b, {
        addresses: [`10.0.0.${n}/16`, `fd00::${n}/64`],
        mac: `02:00:00:00:00:0${n}`,
        // What comes from elsewhere is answered through the other end.
        gateway: n === 2 ? ['10.0.0.1', 'fd00::1'] : [],
      });
      return new StackHost(stack, null);
    };
    this.hosts = [make(1), make(2)];
    const { stack } = this.hosts[1];
    this.net = stack.interfaces[0];
    const address6 = new Uint8Array(16);
    stack.book.write(stack.book.parse('fd00::2')!, address6, 0);
    this.target = {
      mac: this.net.mac,
      from: Uint8Array.of(2, 0, 0, 0, 0, 9),
      address: stack.book.parse('10.0.0.2')!,
      address6,
      port: 80,
    };
    this.hosts[1].listen({ port: 80 }, { onConnection: (endpoint) => this.#accept(endpoint) });
    this.#send();
  }

  #accept(endpoint: StreamEndpoint): void {
    if (endpoint.remoteAddress !== '10.0.0.1') {
      this.otherConnections++;
      endpoint.events = SILENT;
      return;
    }
    endpoint.events = { ...SILENT, onData: (chunk) => void (this.received += chunk.length) };
    endpoint.setReading(true);
  }

  #send(): void {
    const endpoint = this.hosts[0].connect({ address: '10.0.0.2', port: 80 });
    this.#endpoint = endpoint;
    let written = 0;
    const fill = (acked: number): void => {
      for (; written - acked < WINDOW; written += CHUNK.length) endpoint.write(CHUNK);
      endpoint.wantSpace(acked + CHUNK.length);
    };
    endpoint.events = { ...SILENT, onConnect: () => fill(0), onSpace: fill };
    endpoint.setReading(true);
  }

  /** Ends the transfer: what is left after that is the flood's. */
  stop(): void {
    this.#endpoint?.abort();
    this.pass(10_000);
  }

  #endpoint: StreamEndpoint | null = null;

  /** The frame arrives now. */
  inject(frame: Uint8Array): void {
    this.link.b.deliver(frame, 0, 0);
  }

  /** Lets so much virtual time pass. */
  pass(us: number): void {
    const end = this.clock.now() + us;
    for (;;) {
      let busy = this.link.run() > 0;
      for (const host of this.hosts) while (host.turn()) busy = true;
      if (busy || this.link.nextDeadline() <= this.clock.now()) continue;
      const next = Math.min(this.link.nextDeadline(), ...this.hosts.map((host) => host.stack.nextDeadline()));
      if (next > end) break;
      this.clock.advance(Math.max(1, next - this.clock.now()));
    }
    this.clock.advance(end - this.clock.now());
  }

  /** Everything that grows with what unknown peers send. */
  sizes(): Record<string, number> {
    const { stack } = this.hosts[1];
    return {
      connections: stack.tcp.table.size,
      timeWaits: stack.tcp.timeWaits.size,
      neighbours: this.net.neighbours.size,
      neighbours6: this.net.neighbours6.size,
      fragments: stack.ipv4.fragments.size,
      fragments6: stack.ipv6.fragments.size,
      fragmentBytes: stack.ipv4.fragments.bytes + stack.ipv6.fragments.bytes,
      addresses: stack.book.size,
      timers: stack.wheel.size,
      paths: stack.paths.size,
    };
  }
}
