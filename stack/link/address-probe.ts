/**
 * IPv4 addresses that are ours only when nobody on the link has them (RFC 5227 section 2.1): three probes, a second or two
 * apart, then two announcements. An address that somebody has is given up, and counted.
 */
import type { Cidr4 } from '../../lib/ipv4-address.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import type { NetInterface } from './interface.js';

/** RFC 5227 section 1.1. */
const PROBE_WAIT_US = 1_000_000;
const PROBES = 3;
const PROBE_MIN_US = 1_000_000;
const PROBE_MAX_US = 2_000_000;
const ANNOUNCE_WAIT_US = 2_000_000;
const ANNOUNCEMENTS = 2;
const ANNOUNCE_INTERVAL_US = 2_000_000;

export class AddressProbe {
  readonly address: Cidr4;
  readonly #net: NetInterface;
  readonly #timer: TimerNode;
  #step = 0;

  constructor(net: NetInterface, address: Cidr4) {
    this.#net = net;
    this.address = address;
    this.#timer = new TimerNode(() => this.#next());
    this.#in(net.stack.random.float() * PROBE_WAIT_US);
  }

  /** Somebody has it, or asks for it as we do. */
  conflict(): void {
    this.#net.stack.wheel.cancel(this.#timer);
    this.#net.probeFailed(this);
  }

  #in(us: number): void {
    const { stack } = this.#net;
    stack.wheel.schedule(this.#timer, stack.now() + us);
  }

  #next(): void {
    const net = this.#net;
    const step = ++this.#step;
    if (step <= PROBES) {
      net.sendProbe(this.address.address);
      this.#in(
        step === PROBES ? ANNOUNCE_WAIT_US : PROBE_MIN_US + net.stack.random.float() * (PROBE_MAX_US - PROBE_MIN_US),
      );
      return;
    }
    if (step === PROBES + 1) net.probeSucceeded(this);
    net.announceAddress(this.address.address);
    if (step < PROBES + ANNOUNCEMENTS) this.#in(ANNOUNCE_INTERVAL_US);
  }
}
