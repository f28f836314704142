/** What is around TCP: ARP, ICMP, UDP, and that everything is bounded. */
import t from 'tap';
import { finish, fold, pseudoSum4, sum16 } from '../../lib/checksum.js';
import { ArpView, writeArp } from '../../lib/packet/arp.js';
import { writeEthernet } from '../../lib/packet/ethernet.js';
import { IcmpView } from '../../lib/packet/icmp.js';
import { Ipv4View, writeIpv4 } from '../../lib/packet/ipv4.js';
import { MAX_PIECES } from '../../stack/tcp/tcb/reassembly.js';
import { PEER_IP, Peer, STACK_IP } from './support/peer.js';

const BROADCAST = new Uint8Array(6).fill(255);
const STACK_MAC = Uint8Array.of(2, 0, 0, 0, 0, 2);
const PEER_MAC = Uint8Array.of(2, 0, 0, 0, 0, 1);

function arp(op: number, senderMac: Uint8Array, senderIp: number, targetIp: number, to = BROADCAST): Uint8Array {
  const frame = new Uint8Array(60);
  const view = new DataView(frame.buffer);
  writeEthernet(frame, 0, to, senderMac, 0x0806);
  writeArp(frame, view, 14, { op, senderMac, senderIp, targetMac: op === 1 ? null : STACK_MAC, targetIp });
  return frame;
}

function ip(protocol: number, payload: Uint8Array | number[], src = PEER_IP, dst = STACK_IP, fragment = 0): Uint8Array {
  const frame = new Uint8Array(34 + payload.length);
  const view = new DataView(frame.buffer);
  writeEthernet(frame, 0, STACK_MAC, PEER_MAC, 0x0800);
  writeIpv4(frame, view, 14, {
    tos: 0,
    totalLength: 20 + payload.length,
    id: 1,
    fragment,
    ttl: 64,
    protocol,
    src,
    dst,
  });
  frame.set(payload, 34);
  return frame;
}

function icmp(type: number, code: number, rest: number, data: Uint8Array | number[]): Uint8Array {
  const bytes = new Uint8Array(8 + data.length);
  const view = new DataView(bytes.buffer);
  bytes[0] = type;
  bytes[1] = code;
  view.setUint32(4, rest);
  bytes.set(data, 8);
  view.setUint16(2, finish(sum16(bytes, 0, bytes.length, 0)));
  return bytes;
}

function udp(src: number, dst: number, text: string): Uint8Array {
  const bytes = new Uint8Array(8 + text.length);
  const view = new DataView(bytes.buffer);
  view.setUint16(0, src);
  view.setUint16(2, dst);
  view.setUint16(4, bytes.length);
  bytes.set(Buffer.from(text), 8);
  view.setUint16(6, finish(sum16(bytes, 0, bytes.length, fold(pseudoSum4(PEER_IP, STACK_IP, 17, bytes.length)))));
  return bytes;
}

/** ARP frames from the stack: [operation, sender, target]. */
function arps(peer: Peer): [number, number, number][] {
  peer.settle();
  return peer.others.splice(0).flatMap((bytes): [number, number, number][] => {
    const view = new ArpView();
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    if (data.getUint16(12) !== 0x0806 || view.parse(bytes, data, 14, bytes.length - 14) !== 0) return [];
    return [[view.op, view.senderIp, view.targetIp]];
  });
}

function icmps(peer: Peer): IcmpView[] {
  peer.settle();
  return peer.others.splice(0).flatMap((bytes) => {
    const data = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const outer = new Ipv4View();
    const view = new IcmpView();
    if (data.getUint16(12) !== 0x0800 || outer.parse(bytes, data, 14, bytes.length - 14) !== 0) return [];
    return outer.protocol === 1 && view.parse(bytes, data, outer.payloadOffset, outer.payloadLength) === 0
      ? [view]
      : [];
  });
}

t.test('ARP: questions about us are answered, others are not', async (t) => {
  const peer = new Peer();
  peer.link.a.inject(arp(1, PEER_MAC, PEER_IP, STACK_IP));
  t.same(arps(peer), [[2, STACK_IP, PEER_IP]]);
  peer.link.a.inject(arp(1, PEER_MAC, PEER_IP, STACK_IP + 1));
  t.same(arps(peer), []);
  peer.stack.interfaces[0].announce();
  t.same(arps(peer), [[1, STACK_IP, STACK_IP]], 'a gratuitous request');
});

t.test('ARP: frames wait for the answer, a few of them, and not for ever', async (t) => {
  const peer = new Peer();
  peer.answerArp = false;
  const socket = peer.stack.udp.bind(0, 5000, { onMessage: () => undefined });
  for (let i = 0; i < 20; i++) socket.send(Buffer.from(`datagram ${i}`), PEER_IP, 53);
  t.same(arps(peer), [[1, STACK_IP, PEER_IP]], 'one question for all');
  peer.link.a.inject(arp(2, PEER_MAC, PEER_IP, STACK_IP, STACK_MAC));
  peer.settle();
  const texts = peer.others.splice(0).map((bytes) => Buffer.from(bytes).toString('latin1', 42));
  t.same(
    texts,
    Array.from({ length: 16 }, (_, i) => `datagram ${i + 4}`),
    'the newest sixteen, in order',
  );
  const lost = peer.stack.interfaces[0].neighbours.counters.heldDropped;
  t.equal(lost, 4);
  // Somebody who never answers is asked three times.
  socket.send(Buffer.from('nobody'), PEER_IP + 8, 53);
  peer.pass(10_000);
  t.same(arps(peer).filter(([op, , target]) => op === 1 && target === PEER_IP + 8).length, 3);
  t.equal(peer.stack.interfaces[0].neighbours.counters.unreachable, 1);
});

t.test('ARP: entries age, are asked again while in use, and follow a new address', async (t) => {
  const peer = new Peer();
  const { neighbours } = peer.stack.interfaces[0];
  const socket = peer.stack.udp.bind(0, 5000, { onMessage: () => undefined });
  socket.send(Buffer.from('x'), PEER_IP, 53);
  peer.settle();
  t.equal(neighbours.peek(PEER_IP)?.resolved, true);
  peer.others.length = 0;
  peer.pass(55_000);
  socket.send(Buffer.from('x'), PEER_IP, 53);
  peer.pass(10_000);
  t.ok(arps(peer).length >= 1, 'refreshed in use');
  peer.link.a.inject(arp(1, Uint8Array.of(2, 0, 0, 0, 0, 9), PEER_IP, STACK_IP));
  peer.settle();
  t.equal(neighbours.peek(PEER_IP)?.mac[5], 9);
  peer.pass(300_000);
  t.equal(neighbours.size, 0, 'forgotten when not in use');
});

t.test('ARP: a neighbour that no answer comes from is asked for again', async (t) => {
  const peer = new Peer();
  peer.listen();
  // Somebody lies, or a bit fell over: the segments go astray.
  peer.link.a.inject(arp(2, Uint8Array.of(2, 0, 0, 0, 0, 77), PEER_IP, STACK_IP, STACK_MAC));
  peer.answerArp = false;
  peer.send({ flags: 'S', seq: 1 });
  peer.take();
  peer.others.length = 0;
  peer.pass(4000);
  t.same(arps(peer).length, 0, 'not at once');
  peer.answerArp = true;
  peer.pass(20_000);
  t.ok(arps(peer).some(([op, , target]) => op === 1 && target === PEER_IP));
  t.equal(peer.stack.interfaces[0].neighbours.peek(PEER_IP)?.mac[5], 1, 'and is right again');
});

t.test('ARP: a flood of strangers stays bounded, and somebody with our address is counted', async (t) => {
  const peer = new Peer();
  const { neighbours } = peer.stack.interfaces[0];
  for (let i = 0; i < 5000; i++) peer.link.a.inject(arp(1, PEER_MAC, 0x0a000100 + i, STACK_IP));
  peer.settle();
  t.ok(neighbours.size <= 1024, `${neighbours.size}`);
  t.ok(neighbours.counters.evicted >= 5000 - 1024);
  peer.settle();
  arps(peer);
  peer.link.a.inject(arp(1, PEER_MAC, STACK_IP, STACK_IP));
  peer.settle();
  t.equal(neighbours.counters.conflicts, 1);
  t.same(arps(peer), [[1, STACK_IP, STACK_IP]], 'contradicted (RFC 5227 section 2.4)');
  for (let i = 0; i < 5; i++) peer.link.a.inject(arp(2, PEER_MAC, STACK_IP, PEER_IP));
  peer.settle();
  t.same(arps(peer), [], 'but not for ever');
  peer.pass(10_001);
  peer.link.a.inject(arp(1, PEER_MAC, STACK_IP, STACK_IP));
  peer.settle();
  t.same(arps(peer), [[1, STACK_IP, STACK_IP]]);
});

t.test('a claim of our address is reported before it is answered, also with our link address', async (t) => {
  const peer = new Peer();
  const { stack } = peer;
  const own = stack.interfaces[0].mac;
  let claims = 0;
  let sent = -1;
  stack.onAddressClaim = () => {
    claims++;
    sent = arps(peer).length;
  };
  peer.settle();
  arps(peer);
  peer.link.a.inject(arp(1, PEER_MAC, STACK_IP, STACK_IP));
  peer.settle();
  t.equal(claims, 1);
  t.equal(sent, 0, 'before the answer');
  peer.link.a.inject(arp(1, own, STACK_IP, STACK_IP));
  peer.settle();
  t.equal(claims, 2, 'a successor has both addresses');
  peer.link.a.inject(arp(1, PEER_MAC, PEER_IP, STACK_IP));
  peer.settle();
  t.equal(claims, 2, 'a question is no claim');
});

t.test('ICMP echo', async (t) => {
  const peer = new Peer();
  peer.link.a.inject(arp(1, PEER_MAC, PEER_IP, STACK_IP));
  icmps(peer);
  peer.link.a.inject(ip(1, icmp(8, 0, 0x12340007, Buffer.from('payload'))));
  const [reply] = icmps(peer);
  t.match(reply, { type: 0, code: 0, rest: 0x12340007, payloadLength: 7 });
  peer.link.a.inject(ip(1, icmp(8, 0, 1, []), PEER_IP, 0x0a0000ff));
  t.same(icmps(peer), [], 'not to a broadcast');
  const broken = icmp(8, 0, 1, [1]);
  broken[8] ^= 1;
  peer.link.a.inject(ip(1, broken));
  t.same(icmps(peer), []);
});

t.test('UDP, and errors about it with a rate limit', async (t) => {
  const peer = new Peer();
  peer.link.a.inject(arp(1, PEER_MAC, PEER_IP, STACK_IP));
  const got: string[] = [];
  const socket = peer.stack.udp.bind(0, 53, {
    onMessage: (payload, address, port) => got.push(`${payload} ${address === PEER_IP} ${port}`),
    onUnreachable: (_address, port) => got.push(`unreachable ${port}`),
  });
  peer.link.a.inject(ip(17, udp(9999, 53, 'question')));
  peer.settle();
  t.same(got, ['question true 9999']);
  const corrupt = udp(9999, 53, 'question');
  corrupt[9] ^= 1;
  peer.link.a.inject(ip(17, corrupt));
  peer.settle();
  t.equal(got.length, 1);
  t.throws(() => peer.stack.udp.bind(0, 53, { onMessage: () => undefined }), { code: 'EADDRINUSE' });
  t.throws(() => socket.send(new Uint8Array(65_508), PEER_IP, 1), { code: 'EMSGSIZE' });
  t.throws(() => socket.send(new Uint8Array(1), 0x08080808, 1), { code: 'EHOSTUNREACH' });
  icmps(peer);
  for (let i = 0; i < 300; i++) peer.link.a.inject(ip(17, udp(9999, 54, 'nobody here')));
  const errors = icmps(peer);
  t.equal(errors.length, 100, 'at most a hundred a second');
  t.match(errors[0], { type: 3, code: 3, innerProtocol: 17, innerSrcPort: 9999, innerDstPort: 54 });
  t.equal(peer.stack.icmp.counters.rateLimited, 200);
  // And one that comes in about a datagram of ours.
  socket.send(Buffer.from('answer'), PEER_IP, 1234);
  peer.settle();
  const mine = peer.others.splice(0).at(-1)!;
  peer.link.a.inject(ip(1, icmp(3, 3, 0, mine.subarray(14, 42))));
  peer.settle();
  t.equal(got.at(-1), 'unreachable 1234');
  socket.close();
  t.doesNotThrow(() => peer.stack.udp.bind(0, 53, { onMessage: () => undefined }));
});

t.test('unknown protocols and fragments', async (t) => {
  const peer = new Peer();
  peer.link.a.inject(arp(1, PEER_MAC, PEER_IP, STACK_IP));
  icmps(peer);
  peer.link.a.inject(ip(99, new Uint8Array(12)));
  t.match(icmps(peer)[0], { type: 3, code: 2 });
  peer.link.a.inject(ip(17, udp(1, 2, 'part'), PEER_IP, STACK_IP, 0x2000));
  t.same(icmps(peer), []);
  t.equal(peer.stack.counters.fragments, 1);
});

t.test('path MTU: a believable "fragmentation needed" makes segments smaller, others do nothing', async (t) => {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(1000, [2, 4, 5, 0xb4]) + 1;
  const app = peer.accepted[0];
  app.endpoint.write(Buffer.alloc(5000, 'p'));
  const before = peer.take();
  t.equal(before[0].length, 1460);
  const quote = (seq: number): Uint8Array => {
    const inner = new Uint8Array(28);
    const view = new DataView(inner.buffer);
    writeIpv4(inner, view, 0, {
      tos: 0,
      totalLength: 1500,
      id: 1,
      fragment: 0x4000,
      ttl: 64,
      protocol: 6,
      src: STACK_IP,
      dst: PEER_IP,
    });
    view.setUint16(20, 80);
    view.setUint16(22, peer.port);
    view.setUint32(24, seq >>> 0);
    return inner;
  };
  peer.link.a.inject(ip(1, icmp(3, 4, 1200, quote(irs + 100_000))));
  peer.send({ flags: 'A', seq: 1001, ack: irs + 1460 });
  t.ok(peer.take().every((segment) => segment.length <= 1460));
  peer.link.a.inject(ip(1, icmp(3, 4, 1200, quote(irs + 1460))));
  const after = peer.take();
  t.ok(after.length > 0 && after.every((segment) => segment.length <= 1160), 'RFC 1191, with the check of RFC 5927');
  peer.link.a.inject(ip(1, icmp(3, 4, 20, quote(irs + 1460))));
  app.endpoint.write(Buffer.alloc(100, 'q'));
  peer.pass(1000);
  t.ok(Math.max(...peer.take().map((segment) => segment.length)) >= 48, 'never absurdly small');
});

t.test('a flood of SYNs meets the backlog, and goes away by itself', async (t) => {
  const peer = new Peer();
  peer.listen(80, 64);
  for (let i = 0; i < 5000; i++) peer.send({ flags: 'S', seq: i, srcPort: 1024 + i });
  t.equal(peer.stack.tcp.table.size, 64);
  t.equal(peer.stack.tcp.counters.listenOverflows, 5000 - 64);
  peer.pass(200_000);
  t.equal(peer.stack.tcp.table.size, 0, 'half-open connections time out');
  peer.take();
  peer.open(1);
  t.equal(peer.accepted.length, 1, 'and the port serves again');
});

t.test('the table of connections is bounded', async (t) => {
  const peer = new Peer({ maxConnections: 10 });
  peer.listen();
  for (let i = 0; i < 20; i++) {
    peer.port++;
    peer.send({ flags: 'S', seq: 5 });
    const answer = peer.take()[0];
    if (answer !== undefined) peer.send({ flags: 'A', seq: 6, ack: answer.seq + 1 });
  }
  t.equal(peer.accepted.length, 10);
  t.equal(peer.stack.tcp.counters.tableFull, 10);
  t.throws(() => peer.host.connect({ address: '10.0.0.1', port: 1 }), { code: 'ENOBUFS' });
});

t.test('TIME_WAIT is bounded; the oldest gives way', async (t) => {
  const peer = new Peer({ maxTimeWait: 5 });
  peer.listen();
  for (let i = 0; i < 12; i++) {
    peer.port++;
    const irs = peer.open(100) + 1;
    peer.accepted.at(-1)!.endpoint.shutdown();
    peer.take();
    peer.send({ flags: 'FA', seq: 101, ack: irs + 1 });
    peer.take();
  }
  t.equal(peer.stack.tcp.timeWaits.size, 5);
  t.equal(peer.stack.tcp.timeWaits.evicted, 7);
});

t.test('data out of order is bounded, in bytes and in pieces', async (t) => {
  const peer = new Peer({ receiveBuffer: 100_000 });
  peer.listen();
  const irs = peer.open(1000, [3, 3, 4, 1]) + 1;
  const { tcp } = peer.stack;
  for (let i = 1; i < 6000; i++) peer.send({ flags: 'A', seq: 1001 + 2 * i, ack: irs, data: 'x' });
  t.ok(tcp.counters.reassemblyFull > 0, 'pieces');
  let held = 0;
  tcp.table.forEach((conn) => {
    held = conn.reassembly.bytes;
  });
  t.equal(held, MAX_PIECES);
  peer.take();
  for (let i = 0; i < 200; i++)
    peer.send({ flags: 'A', seq: 1001 + 12_000 + 1000 * i, ack: irs, data: 'y'.repeat(1000) });
  tcp.table.forEach((conn) => {
    held = conn.reassembly.bytes;
  });
  t.ok(held <= 100_000, `${held} bytes, no more than the window`);
  peer.take();
  // A reader that does not read closes the window.
  const slow = new Peer({ receiveBuffer: 50_000 });
  slow.listen();
  const other = slow.open(1000, [3, 3, 4, 1]) + 1;
  slow.accepted[0].endpoint.setReading(false);
  for (let i = 0; i < 100; i++) slow.send({ flags: 'A', seq: 1001 + 1000 * i, ack: other, data: 'z'.repeat(1000) });
  slow.stack.tcp.table.forEach((conn) => {
    held = conn.receiveQueued;
  });
  t.ok(held <= 50_000 + 65_536, `${held} bytes`);
  t.equal(slow.take().at(-1)!.window, 0);
});

t.test('wrong options of an interface', async (t) => {
  const peer = new Peer();
  const device = peer.link.b;
  t.throws(() => peer.stack.addInterface(device, { addresses: ['10.0.0.3'] }), { code: 'EINVAL' });
  t.throws(() => peer.stack.addInterface(device, { addresses: ['10.0.0.3/24'], gateway: 'x' }), { code: 'EINVAL' });
  t.throws(() => peer.stack.addInterface(device, { addresses: ['10.0.0.3/24'], mac: '01:00:00:00:00:01' }), {
    code: 'EINVAL',
  });
  peer.listen();
  t.throws(() => peer.listen(), { code: 'EADDRINUSE' });
  t.throws(() => peer.host.listen({ address: '10.9.9.9', port: 1 }, { onConnection: () => undefined }), {
    code: 'EADDRNOTAVAIL',
  });
});
