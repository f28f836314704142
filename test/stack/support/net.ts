/** Several stacks on several links in virtual time: hosts and routers for the tests of IP. */
import { ManualClock } from '../../../lib/clock.js';
import type { Impairment } from '../../../lib/device/emulation/impairment.js';
import { type MemoryDevice, MemoryLink } from '../../../lib/device/emulation/memory.js';
import { SeededRandom } from '../../../lib/random.js';
import type { NetInterface } from '../../../stack/link/interface.js';
import { type AddInterface, Stack, type StackOptions } from '../../../stack/stack.js';
import { StackHost } from '../../../stack/stack-host.js';

export class Net {
  readonly clock = new ManualClock(1_000_000);
  readonly links: MemoryLink[] = [];
  readonly hosts: StackHost[] = [];
  readonly #random: SeededRandom;

  constructor(readonly seed: string) {
    this.#random = new SeededRandom(seed);
  }

  link(options: { mtu?: number; impairment?: Impairment; offload?: boolean } = {}): MemoryLink {
    const link = new MemoryLink({
      clock: this.clock,
      random: this.#random,
      mtu: options.mtu ?? 1500,
      offload: options.offload ?? false,
      forward: { delayUs: 1000, ...options.impairment },
    });
    this.links.push(link);
    return link;
  }

  /** A stack with an interface per device. */
  stack(
    interfaces: { device: MemoryDevice; options: AddInterface }[],
    options: Partial<StackOptions> = {},
  ): { stack: Stack; host: StackHost; nets: NetInterface[] } {
    const number = this.hosts.length + 1;
    const stack = new Stack({ clock: this.clock, random: new SeededRandom(`${this.seed} ${number}`), ...options });
    const nets = interfaces.map(({ device, options: own }, at) =>
      stack.addInterface(device, { mac: `02:00:00:00:0${number}:0${at + 1}`, ...own }),
    );
    const host = new StackHost(stack, null);
    this.hosts.push(host);
    return { stack, host, nets };
  }

  run(until: () => boolean, limitUs = 60e6): boolean {
    const end = this.clock.now() + limitUs;
    for (;;) {
      let busy = false;
      for (const link of this.links) if (link.run() > 0) busy = true;
      for (const host of this.hosts) while (host.turn()) busy = true;
      if (until()) return true;
      const next = Math.min(
        ...this.links.map((link) => link.nextDeadline()),
        ...this.hosts.map((host) => host.stack.nextDeadline()),
      );
      if (busy || next <= this.clock.now()) continue;
      if (next > end) {
        this.clock.advance(end - this.clock.now());
        for (const host of this.hosts) host.turn();
        return until();
      }
      this.clock.advance(Math.max(1, next - this.clock.now()));
    }
  }

  pass(us: number): void {
    this.run(() => false, us);
  }
}

/** A UDP socket that remembers what it got as "address port text". */
export function listenUdp(
  stack: Stack,
  address: string,
  port: number,
  got: string[],
): ReturnType<Stack['udp']['bind']> {
  return stack.udp.bind(stack.book.parse(address)!, port, {
    onMessage: (payload, from, fromPort) =>
      got.push(`${stack.book.format(from)} ${fromPort} ${payload.length > 40 ? payload.length : payload.toString()}`),
    onUnreachable: (from, fromPort) => got.push(`unreachable ${stack.book.format(from)} ${fromPort}`),
  });
}
