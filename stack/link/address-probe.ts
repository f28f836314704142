/**
 * Probing of an IPv4 address before it is used (RFC 5227 section 2.1): three probes, one or two
 * seconds apart, then two announcements. An address that another host has is given up.
 */
import type { Cidr4 } from '../../lib/ipv4-address.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import type { StackContext } from '../core/context.js';

/** RFC 5227 section 1.1. */
const PROBE_WAIT_US = 1_000_000;
const PROBES = 3;
const PROBE_MIN_US = 1_000_000;
const PROBE_MAX_US = 2_000_000;
const ANNOUNCE_WAIT_US = 2_000_000;
const ANNOUNCEMENTS = 2;
const ANNOUNCE_INTERVAL_US = 2_000_000;

/** What a probe does and reports. */
interface AddressProbeHost {
  /** Sends an ARP probe for the address. */
  send(): void;
  /** Sends an ARP announcement of the address. */
  announce(): void;
  /** No other host has the address; called once, before the first announcement. */
  succeeded(): void;
  /** Another host has it. */
  failed(): void;
}

/** The probing of one address; begins at once. */
export class AddressProbe {
  readonly address: Cidr4;
  readonly #stack: StackContext;
  readonly #host: AddressProbeHost;
  readonly #timer: TimerNode;
  #step = 0;

  constructor(stack: StackContext, address: Cidr4, host: AddressProbeHost) {
    this.#stack = stack;
    this.#host = host;
    this.address = address;
    this.#timer = new TimerNode(() => this.#next());
    this.#in(stack.random.float() * PROBE_WAIT_US);
  }

  /** Another host has the address, or probes for it too. */
  conflict(): void {
    this.#stack.wheel.cancel(this.#timer);
    this.#host.failed();
  }

  #in(us: number): void {
    this.#stack.wheel.schedule(this.#timer, this.#stack.now() + us);
  }

  #next(): void {
    const step = ++this.#step;
    if (step <= PROBES) {
      this.#host.send();
      const apart = PROBE_MAX_US - PROBE_MIN_US;
      this.#in(step === PROBES ? ANNOUNCE_WAIT_US : PROBE_MIN_US + this.#stack.random.float() * apart);
      return;
    }
    if (step === PROBES + 1) this.#host.succeeded();
    this.#host.announce();
    if (step < PROBES + ANNOUNCEMENTS) this.#in(ANNOUNCE_INTERVAL_US);
  }
}
