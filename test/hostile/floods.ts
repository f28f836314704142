/**
 * Frames of floods: what somebody on the link, or behind a router, can send without being anybody.
 */
import { finish, sum16 } from '../../lib/checksum.js';
import { writeArp } from '../../lib/packet/arp.js';
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, writeEthernet } from '../../lib/packet/ethernet.js';
import { writeIpv4 } from '../../lib/packet/ipv4.js';
import { writeIpv6 } from '../../lib/packet/ipv6.js';
import { TCP_ACK, TCP_FIN, TCP_RST, TCP_SYN, writeTcpHeader } from '../../lib/packet/tcp.js';
import type { Random } from '../../lib/random.js';

export interface Target {
  /** Ethernet address of the stack, and of the router that forwards the flood. */
  mac: Uint8Array;
  from: Uint8Array;
  /** u32. */
  address: number;
  /** 16 bytes. */
  address6: Uint8Array;
  /** A port that is listened on. */
  port: number;
}

/** Makes the next frame of a flood. */
export type Flood = (random: Random, target: Target) => Uint8Array;

function ethernet(target: Target, type: number, length: number): { bytes: Uint8Array; view: DataView } {
  const bytes = new Uint8Array(14 + length);
  const view = new DataView(bytes.buffer);
  writeEthernet(bytes, 0, target.mac, target.from, type);
  return { bytes, view };
}

/** An address of nobody's in 198.18.0.0/15. */
function unknownSource(random: Random): number {
  return (0xc6120000 | (random.u32() & 0x1ffff)) >>> 0;
}

function tcp4(flags: number, own?: (random: Random) => { source: number; port: number }): Flood {
  return (random, target) => {
    const { bytes, view } = ethernet(target, ETHERTYPE_IPV4, 40);
    const who = own?.(random) ?? { source: unknownSource(random), port: 1024 + (random.u32() % 60_000) };
    writeIpv4(bytes, view, 14, {
      tos: 0,
      totalLength: 40,
      id: random.u32() & 0xffff,
      fragment: 0,
      ttl: 60,
      protocol: 6,
      src: who.source,
      dst: target.address,
    });
    const [seq, ack] = [random.u32(), (flags & TCP_ACK) !== 0 ? random.u32() : 0];
    writeTcpHeader(bytes, view, 34, {
      srcPort: who.port,
      dstPort: target.port,
      seq,
      ack,
      flags,
      window: 1024,
      urgent: 0,
      headerLength: 20,
    });
    const pseudo = sum16(bytes, 26, 8, 0) + 6 + 20;
    view.setUint16(50, finish(sum16(bytes, 34, 20, pseudo)));
    return bytes;
  };
}

interface Packet6 {
  protocol: number;
  payload: Uint8Array;
  hops: number;
  /** Offset of the checksum in the payload, or -1. */
  checksumAt: number;
}

function ip6(random: Random, target: Target, packet: Packet6): Uint8Array {
  const { protocol, payload, hops, checksumAt } = packet;
  const { bytes, view } = ethernet(target, ETHERTYPE_IPV6, 40 + payload.length);
  writeIpv6(bytes, view, 14, {
    trafficClass: 0,
    flowLabel: 0,
    payloadLength: payload.length,
    protocol,
    hopLimit: hops,
  });
  // 2001:2::/48 is for benchmarks; on the link fe80::/64.
  bytes.set(hops === 255 ? [0xfe, 0x80] : [0x20, 1, 0, 2], 22);
  view.setUint32(30, random.u32());
  view.setUint32(34, random.u32());
  bytes.set(target.address6, 38);
  bytes.set(payload, 54);
  if (checksumAt >= 0) {
    const pseudo = sum16(bytes, 22, 32, 0) + protocol + payload.length;
    view.setUint16(54 + checksumAt, finish(sum16(bytes, 54, payload.length, pseudo)));
  }
  return bytes;
}

export const FLOODS: Record<string, Flood> = {
  'SYN from everywhere': tcp4(TCP_SYN),
  'FIN from everywhere': tcp4(TCP_FIN | TCP_ACK),
  'RST from everywhere': tcp4(TCP_RST),
  'ACK from everywhere': tcp4(TCP_ACK),
  'SYN from everywhere, IPv6': (random, target) => {
    const segment = new Uint8Array(20);
    writeTcpHeader(segment, new DataView(segment.buffer), 0, {
      srcPort: 1024 + (random.u32() % 60_000),
      dstPort: target.port,
      seq: random.u32(),
      ack: 0,
      flags: TCP_SYN,
      window: 1024,
      urgent: 0,
      headerLength: 20,
    });
    return ip6(random, target, { protocol: 6, payload: segment, hops: 60, checksumAt: 16 });
  },
  'fragments that never become whole': (random, target) => {
    const { bytes, view } = ethernet(target, ETHERTYPE_IPV4, 20 + 1400);
    const offset = (random.u32() % 40) * 175;
    writeIpv4(bytes, view, 14, {
      tos: 0,
      totalLength: 1420,
      id: random.u32() & 0xffff,
      fragment: 0x2000 | offset,
      ttl: 60,
      protocol: 17,
      src: unknownSource(random),
      dst: target.address,
    });
    return bytes;
  },
  'fragments of IPv6': (random, target) => {
    const part = new Uint8Array(8 + 1200);
    const view = new DataView(part.buffer);
    part[0] = 17;
    view.setUint16(2, ((random.u32() % 40) * 1200) | 1);
    view.setUint32(4, random.u32());
    return ip6(random, target, { protocol: 44, payload: part, hops: 60, checksumAt: -1 });
  },
  'ARP from everybody': (random, target) => {
    const { bytes, view } = ethernet(target, ETHERTYPE_ARP, 28);
    const mac = Uint8Array.of(2, 0, random.u32() & 255, random.u32() & 255, random.u32() & 255, 1);
    writeArp(bytes, view, 14, {
      op: 1,
      senderMac: mac,
      senderIp: ((target.address & 0xffff0000) | (random.u32() & 0xffff)) >>> 0,
      targetMac: null,
      targetIp: target.address,
    });
    return bytes;
  },
  'neighbour solicitations from everybody': (random, target) => {
    const message = new Uint8Array(32);
    message[0] = 135;
    message.set(target.address6, 8);
    message.set([1, 1, 2, 0, random.u32() & 255, random.u32() & 255, 0, 1], 24);
    return ip6(random, target, { protocol: 58, payload: message, hops: 255, checksumAt: 2 });
  },
  'UDP to closed ports': (random, target) => {
    const { bytes, view } = ethernet(target, ETHERTYPE_IPV4, 28);
    writeIpv4(bytes, view, 14, {
      tos: 0,
      totalLength: 28,
      id: random.u32() & 0xffff,
      fragment: 0,
      ttl: 60,
      protocol: 17,
      src: unknownSource(random),
      dst: target.address,
    });
    view.setUint16(34, 1024 + (random.u32() % 60_000));
    view.setUint16(36, 1 + (random.u32() % 1000));
    view.setUint16(38, 8);
    return bytes;
  },
  noise: (random, target) => {
    const { bytes } = ethernet(
      target,
      random.u32() % 2 === 0 ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6,
      20 + (random.u32() % 200),
    );
    for (let i = 14; i < bytes.length; i++) bytes[i] = random.u32() & 255;
    return bytes;
  },
};
