/** IGMP version 2 (RFC 2236): tells the routers of one link which groups are wanted there. */
import { finish, sum16 } from '../../lib/checksum.js';
import { Drop } from '../../lib/packet/drop.js';
import { TimerNode } from '../../lib/timer-wheel.js';
import type { StackContext } from '../core/context.js';
import type { IpPacket } from '../core/ip-packet.js';
import type { LinkHost } from '../core/link-context.js';
import { PROTOCOL_IGMP } from '../core/protocols.js';

const QUERY = 0x11;
const REPORT = 0x16;
const LEAVE = 0x17;
const ALL_ROUTERS = 0xe0000002;
const ALL_HOSTS = 0xe0000001;
/** A report may be lost; a second one follows within this time (RFC 2236 section 3). */
const REPEAT_US = 2_000_000;

/** Group membership of one interface. */
export class Igmp {
  readonly counters = { queries: 0, reports: 0, leaves: 0 };
  readonly #stack: StackContext;
  readonly #net: LinkHost;
  readonly #timers = new Map<number, TimerNode>();

  constructor(stack: StackContext, net: LinkHost) {
    this.#stack = stack;
    this.#net = net;
  }

  /** @returns a drop reason, 0 for none. */
  input({ bytes, view, payloadOffset: at, payloadLength }: IpPacket): number {
    if (payloadLength < 8) return Drop.IcmpShort;
    if (sum16(bytes, at, payloadLength, 0) !== 0xffff) return Drop.IcmpChecksum;
    const group = view.getUint32(at + 4);
    if (bytes[at] === QUERY) {
      this.counters.queries++;
      const maxUs = (bytes[at + 1] || 100) * 100_000;
      for (const own of this.#net.groups4()) if (group === 0 || group === own) this.#later(own, maxUs);
    } else if (bytes[at] === REPORT) this.#cancel(group);
    return 0;
  }

  /** The interface has joined a group. */
  joined(group: number): void {
    this.#report(group);
    this.#later(group, REPEAT_US);
  }

  /** Reports all groups anew: the link heard another host with them before. */
  announce(): void {
    for (const group of this.#net.groups4()) this.joined(group);
  }

  /** The interface has left a group. */
  left(group: number): void {
    this.#cancel(group);
    this.counters.leaves++;
    this.#send(LEAVE, group, ALL_ROUTERS);
  }

  /** Stops all timers. */
  close(): void {
    for (const group of [...this.#timers.keys()]) this.#cancel(group);
  }

  #later(group: number, maxUs: number): void {
    const stack = this.#stack;
    if (this.#timers.has(group)) return;
    const timer = new TimerNode(() => {
      this.#timers.delete(group);
      this.#report(group);
    });
    this.#timers.set(group, timer);
    stack.wheel.schedule(timer, stack.now() + stack.random.float() * maxUs);
  }

  #cancel(group: number): void {
    const timer = this.#timers.get(group);
    if (timer === undefined) return;
    this.#stack.wheel.cancel(timer);
    this.#timers.delete(group);
  }

  #report(group: number): void {
    if (group === ALL_HOSTS || !this.#net.hasGroup(group)) return;
    this.counters.reports++;
    this.#send(REPORT, group, group);
  }

  #send(type: number, group: number, to: number): void {
    const net = this.#net;
    const source = net.addresses[0]?.address;
    if (source === undefined || this.#stack.frozen || net.loopback) return;
    const message = new Uint8Array(8);
    message[0] = type;
    new DataView(message.buffer).setUint32(4, group);
    const sum = finish(sum16(message, 0, 8, 0));
    message[2] = sum >>> 8;
    message[3] = sum & 0xff;
    const { frame } = this.#stack;
    frame.reset();
    frame.addPiece(message, 0, 8);
    this.#stack.send(source, to, PROTOCOL_IGMP, 8, { net, ttl: 1 });
  }
}
