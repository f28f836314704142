import t from 'tap';
import { finish, sum16 } from '../../lib/checksum.js';
import { Ipv4View, writeIpv4 } from '../../lib/packet/ipv4.js';
import { TCP_SYN, TcpView, writeTcpHeader } from '../../lib/packet/tcp.js';
import type { Stack } from '../../stack/stack.js';
import { Net } from './support/net.js';

const PEER = 0x0a000909;
const HOPS = [0x0a000002, 0x0a000003, 0x0a000004];

/** A stack whose packets are kept, without their Ethernet headers. */
function watched(sourceRoutes: boolean): {
  net: Net;
  stack: Stack;
  sent: Uint8Array[];
  inject: (packet: Uint8Array) => void;
} {
  const net = new Net('source route');
  const link = net.link();
  const { stack } = net.stack([{ device: link.a, options: { addresses: ['10.0.0.1/16'] } }], { sourceRoutes });
  const sent: Uint8Array[] = [];
  const neighbours = stack.interfaces[0].neighbours;
  for (const hop of [...HOPS, PEER]) neighbours.learn(hop, Uint8Array.of(2, 0, 0, 0, 0, hop & 255), 0, true);
  link.carry = (_from, frame): void => void sent.push(frame.slice(14));
  const inject = (packet: Uint8Array): void => {
    const frame = new Uint8Array(14 + packet.length);
    frame.set(stack.interfaces[0].mac);
    frame.set([2, 0, 0, 0, 0, 9, 8, 0], 6);
    frame.set(packet, 14);
    link.a.deliver(frame, 0, 0);
    while (net.hosts[0].turn());
  };
  return { net, stack, sent, inject };
}

/**
 * A packet's IP destination, its hops by the option, and whether its checksums are right, the TCP
 * one over `last`.
 */
function look(
  packet: Uint8Array,
  last: number,
): { first: number; hops: number[]; pointer: number; good: boolean; ack: number } {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.byteLength);
  const ip = new Ipv4View();
  if (ip.parse(packet, view, 0, packet.length) !== 0) throw new Error('no IPv4 packet');
  const hops: number[] = [];
  for (let at = 24; at < ip.headerLength; at += 4) hops.push(view.getUint32(at));
  const pseudo = (ip.src >>> 16) + (ip.src & 0xffff) + (last >>> 16) + (last & 0xffff) + 6 + ip.payloadLength;
  const tcp = new TcpView();
  tcp.parse(packet, view, ip.payloadOffset, ip.payloadLength);
  const good =
    sum16(packet, ip.payloadOffset, ip.payloadLength, pseudo) === 0xffff && (packet[20] === 1 || hops.length === 0);
  return { first: ip.dst, hops, pointer: packet[23], good, ack: tcp.flags };
}

t.test('the user chooses hosts to pass', async (t) => {
  const { stack, sent } = watched(false);
  const conn = stack.tcp.connect(PEER, 80, 0, 0, { sourceRoute: HOPS });
  stack.flush();
  t.match(look(sent[0], PEER), {
    first: HOPS[0],
    hops: [HOPS[1], HOPS[2], PEER],
    pointer: 4,
    good: true,
    ack: TCP_SYN,
  });
  t.equal(conn.rcvMss, 1500 - 20 - 16 - 20, 'the option takes its room from the segments');
  t.throws(() => stack.tcp.connect(PEER, 81, 0, 0, { sourceRoute: new Array<number>(9).fill(PEER) }), {
    code: 'EINVAL',
  });
});

/** A SYN from the peer that has come over all hops. */
function syn(pointer: number): Uint8Array {
  const options = 4 + 4 * HOPS.length;
  const packet = new Uint8Array(20 + options + 20);
  const view = new DataView(packet.buffer);
  writeIpv4(packet, view, 0, {
    tos: 0,
    totalLength: packet.length,
    id: 1,
    fragment: 0,
    ttl: 60,
    protocol: 6,
    src: PEER,
    dst: 0x0a000001,
  });
  packet[0] = 0x40 | ((20 + options) / 4);
  packet.set([1, 131, options - 1, pointer], 20);
  for (const [i, hop] of HOPS.entries()) view.setUint32(24 + 4 * i, hop);
  view.setUint16(10, 0);
  view.setUint16(10, finish(sum16(packet, 0, 20 + options, 0)));
  const at = 20 + options;
  writeTcpHeader(packet, view, at, {
    srcPort: 5000,
    dstPort: 80,
    seq: 7,
    ack: 0,
    flags: TCP_SYN,
    window: 1000,
    urgent: 0,
    headerLength: 20,
  });
  view.setUint16(at + 16, finish(sum16(packet, at, 20, sum16(packet, 12, 8, 0) + 6 + 20)));
  return packet;
}

t.test(
  'the answer to a SYN over a source route returns over the same route, if the stack accepts source routes',
  async (t) => {
    const { stack, sent, inject } = watched(true);
    stack.tcp.listen(0, 80, 5, () => undefined);
    inject(syn(16));
    t.match(look(sent.at(-1)!, PEER), { first: HOPS[2], hops: [HOPS[1], HOPS[0], PEER], good: true });
    const before = sent.length;
    // Not at its end: we are no hop.
    inject(syn(12));
    t.equal(sent.length, before);
    const careful = watched(false);
    careful.stack.tcp.listen(0, 80, 5, () => undefined);
    careful.inject(syn(16));
    t.equal(careful.sent.length, 0, 'dropped by default');
  },
);

t.test('the source route of a listener overrides the one that a SYN came over', async (t) => {
  const { stack, sent, inject } = watched(true);
  stack.tcp.listen(0, 80, 5, () => undefined, { sourceRoute: [HOPS[1]] });
  inject(syn(16));
  t.match(look(sent.at(-1)!, PEER), { first: HOPS[1], hops: [PEER], good: true });
});
