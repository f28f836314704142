import t from 'tap';
import { Drop } from '../../lib/packet/drop.js';
import type { StreamEvents } from '../../stack/core/endpoint.js';
import { IpPacket } from '../../stack/core/ip-packet.js';
import type { Stack } from '../../stack/stack.js';
import { listenUdp, Net } from './support/net.js';

const NONE: StreamEvents = {
  onConnect: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onSpace: () => undefined,
  onClose: () => undefined,
};

/**
 * Sends bytes from one stack to another and gives back what arrived, in which words the peer is
 * known.
 */
function transfer(
  net: Net,
  from: number,
  to: number,
  address: string,
  bytes: Buffer,
): { got: Buffer; peers: string[] } {
  const chunks: Buffer[] = [];
  const peers: string[] = [];
  let ended = false;
  const listener = net.hosts[to].listen(
    { port: 80 },
    {
      onConnection: (endpoint) => {
        peers.push(`${endpoint.family} ${endpoint.localAddress} ${endpoint.remoteAddress}`);
        endpoint.events = {
          ...NONE,
          onData: (chunk) => chunks.push(Buffer.from(chunk)),
          onEnd: () => {
            ended = true;
            endpoint.close();
          },
        };
        endpoint.setReading(true);
      },
    },
  );
  const client = net.hosts[from].connect({ address, port: 80 });
  client.events = { ...NONE, onConnect: () => client.shutdown() };
  client.setReading(true);
  client.write(bytes);
  net.run(() => ended);
  listener.close();
  return { got: Buffer.concat(chunks), peers };
}

function pattern(length: number): Buffer {
  return Buffer.from(Uint8Array.from({ length }, (_, i) => (i * 31) & 255));
}

function two(seed: string, mtu = 1500, loss = 0, offload = false): { net: Net; a: Stack; b: Stack } {
  const net = new Net(seed);
  const link = net.link({ mtu, impairment: { loss }, offload });
  const addresses = (n: number): string[] => [`10.0.0.${n}/24`, `2001:db8::${n}/64`];
  const { stack: a } = net.stack([{ device: link.a, options: { addresses: addresses(1) } }]);
  const { stack: b } = net.stack([{ device: link.b, options: { addresses: addresses(2) } }]);
  return { net, a, b };
}

t.test('TCP over IPv6, with loss, with and without offload', async (t) => {
  for (const offload of [false, true]) {
    const { net } = two(`v6 ${offload}`, 1500, 0.02, offload);
    const bytes = pattern(300_000);
    const { got, peers } = transfer(net, 0, 1, '2001:db8::2', bytes);
    t.ok(got.equals(bytes), `${got.length} bytes`);
    t.same(peers, ['IPv6 2001:db8::2 2001:db8::1']);
  }
});

t.test('link-local addresses reach each other; the interface identifiers are stable and differ', async (t) => {
  const { net, a, b } = two('local');
  const address = b.book.format(b.interfaces[0].linkLocal());
  t.match(address, /^fe80::/);
  const { got, peers } = transfer(net, 0, 1, address, pattern(5000));
  t.equal(got.length, 5000);
  t.equal(peers[0], `IPv6 ${address} ${a.book.format(a.interfaces[0].linkLocal())}`);
  t.not(address, a.book.format(a.interfaces[0].linkLocal()));
});

t.test('one listener on :: takes both families, two on one port only when they do not overlap', async (t) => {
  const { net, b } = two('dual');
  t.equal(transfer(net, 0, 1, '10.0.0.2', pattern(10)).peers[0], 'IPv4 10.0.0.2 10.0.0.1');
  t.equal(transfer(net, 0, 1, '2001:db8::2', pattern(10)).peers[0], 'IPv6 2001:db8::2 2001:db8::1');
  const silent = (): void => undefined;
  const four = b.tcp.listen(0, 90, 5, silent);
  t.throws(() => b.tcp.listen(b.unspecified6, 90, 5, silent), { code: 'EADDRINUSE' });
  const six = b.tcp.listen(b.unspecified6, 90, 5, silent, { only6: true });
  t.equal(b.tcp.findListener(b.book.parse('2001:db8::2')!, 90), six);
  t.equal(b.tcp.findListener(b.book.parse('10.0.0.2')!, 90), four);
});

for (const [name, address, header] of [
  ['IPv4', '10.0.0.2', 20],
  ['IPv6', '2001:db8::2', 40],
] as const) {
  t.test(`UDP over ${name}: whole, in fragments, too long, refused`, async (t) => {
    const { net, a, b } = two(`udp ${name}`);
    const got: string[] = [];
    const answers: string[] = [];
    const server = listenUdp(b, name === 'IPv4' ? '0.0.0.0' : '::', 53, got);
    const client = listenUdp(a, name === 'IPv4' ? '0.0.0.0' : '::', 1000, answers);
    const to = a.book.parse(address)!;
    client.send(Buffer.from('short'), to, 53);
    // Few frames wait for a neighbour's address.
    net.pass(10_000);
    const big = pattern(1500 - header - 8 + 1);
    client.send(big, to, 53);
    client.send(pattern(20_000), to, 53);
    net.pass(100_000);
    t.equal(got.length, 3);
    t.match(got[0], / 1000 short$/);
    t.equal(got[0].split(' ')[0], name === 'IPv4' ? '10.0.0.1' : '2001:db8::1');
    t.match(got[1], new RegExp(` ${big.length}$`));
    t.match(got[2], / 20000$/);
    const { fragments } = name === 'IPv4' ? b.ipv4 : b.ipv6;
    t.equal(fragments.counters.reassembled, 2);
    t.same([fragments.size, fragments.bytes], [0, 0]);
    t.throws(() => client.send(new Uint8Array(65_536), to, 53), { code: 'EMSGSIZE' });
    server.close();
    client.send(Buffer.from('anybody?'), to, 53);
    net.pass(100_000);
    t.same(answers, [`unreachable ${address} 53`]);
  });
}

t.test('fragments: overlap spoils the datagram, a duplicate does not, time ends it', async (t) => {
  const { net, b } = two('fragments');
  const got: string[] = [];
  listenUdp(b, '0.0.0.0', 53, got);
  const { fragments } = b.ipv4;
  const { fragments: six } = b.ipv6;
  const piece = (at: number, more: boolean, length: number, id: number, table = fragments): number => {
    const packet = new IpPacket(b.interfaces[0]);
    const bytes = pattern(at + length);
    packet.place(bytes, new DataView(bytes.buffer), false);
    const payload = { payloadOffset: at, payloadLength: length };
    Object.assign(packet, { src: 1, dst: 2, protocol: 17, fragmentOffset: at, ...payload });
    const whole = table.add(packet, id, more);
    return whole === null ? -table.drop : whole.length;
  };
  for (const table of [fragments, six]) {
    t.equal(piece(8, false, 4, 7, table), 0);
    t.equal(piece(8, false, 4, 7, table), 0, 'a copy');
    t.equal(piece(0, true, 8, 7, table), 12, 'whole');
    piece(0, true, 16, 8, table);
    t.equal(piece(8, true, 16, 8, table), -Drop.FragmentOverlap);
    t.equal(piece(24, false, 8, 8, table), -Drop.FragmentOverlap, 'nothing more of it');
    t.equal(piece(0, true, 12, 9, table), -Drop.FragmentTooLong, 'not a multiple of 8');
    t.equal(piece(65_528, false, 16, 9, table), -Drop.FragmentTooLong);
    piece(16, false, 8, 10, table);
    t.equal(piece(24, true, 8, 10, table), -Drop.FragmentOverlap, 'beyond the end');
  }
  for (let id = 100; id < 800; id++) piece(0, true, 1400, id);
  t.ok(fragments.size <= 256 && fragments.bytes <= 4 * 1024 * 1024, `${fragments.size} datagrams`);
  t.ok(fragments.counters.evicted > 0);
  net.pass(61e6);
  t.same([fragments.size, fragments.bytes, six.size, six.bytes], [0, 0, 0, 0]);
  t.ok(fragments.counters.timeouts > 0);
});

t.test('the stack reaches itself through its loopback', async (t) => {
  const net = new Net('loopback');
  const link = net.link();
  const { stack } = net.stack([{ device: link.a, options: { addresses: ['10.0.0.1/24', '2001:db8::1/64'] } }]);
  stack.addLoopback();
  const bytes = pattern(200_000);
  for (const address of ['127.0.0.1', '127.9.9.9', '10.0.0.1', '::1', '2001:db8::1']) {
    const { got } = transfer(net, 0, 0, address, bytes);
    t.ok(got.equals(bytes), `${address}: ${got.length} bytes`);
  }
  t.ok(link.counters.sent <= 4, 'nothing of it went out');
  net.pass(120e6);
  t.equal(stack.tcp.table.size, 0);
});

function routed(seed: string, mtu = 1500): { net: Net; a: Stack; router: Stack; b: Stack } {
  const net = new Net(seed);
  const left = net.link();
  const right = net.link({ mtu });
  const { stack: a } = net.stack([
    { device: left.a, options: { addresses: ['10.1.0.2/24', 'fd01::2/64'], gateway: ['10.1.0.1', 'fd01::1'] } },
  ]);
  const { stack: router } = net.stack(
    [
      { device: left.b, options: { addresses: ['10.1.0.1/24', 'fd01::1/64'] } },
      { device: right.a, options: { addresses: ['10.2.0.1/24', 'fd02::1/64'] } },
    ],
    { forwarding: true },
  );
  const { stack: b } = net.stack([
    { device: right.b, options: { addresses: ['10.2.0.2/24', 'fd02::2/64'], gateway: ['10.2.0.1', 'fd02::1'] } },
  ]);
  return { net, a, router, b };
}

t.test('a router between two links; path MTU discovery across it', async (t) => {
  const { net, a, router, b } = routed('routed', 1300);
  for (const address of ['10.2.0.2', 'fd02::2']) {
    const bytes = pattern(100_000);
    const { got } = transfer(net, 0, 2, address, bytes);
    t.ok(got.equals(bytes), `${address}: ${got.length} bytes`);
  }
  // The sender's link takes 1500, so the first full segments were too big: it learned.
  t.equal(a.paths.size, 0, 'the peer said in its MSS what its link takes');
  const got: string[] = [];
  listenUdp(b, '::', 7, got);
  const socket = listenUdp(a, '::', 8, []);
  socket.send(pattern(1400), a.book.parse('fd02::2')!, 7);
  net.pass(100_000);
  t.equal(a.paths.get(a.book.parse('fd02::2')!, 1500, a.now()), 1300, 'packet too big was taken down');
  socket.send(pattern(1400), a.book.parse('fd02::2')!, 7);
  socket.send(pattern(1400), a.book.parse('10.2.0.2')!, 7);
  net.pass(100_000);
  t.equal(got.length, 2, 'fragmented by the sender, and by the router');
  t.equal(router.ipv4.counters.fragmentsSent, 2);
  t.equal(a.ipv6.counters.fragmentsSent, 2);
});

t.test('a router says when there is no way, and when the time to live is over', async (t) => {
  const { net, a, router } = routed('ttl');
  const heard: string[] = [];
  const socket = listenUdp(a, '::', 8, heard);
  for (const address of ['10.2.0.2', 'fd02::2']) {
    const to = a.book.parse(address)!;
    socket.send(Buffer.from('x'), to, 9, { ttl: 1 });
    net.pass(2e6);
    socket.send(Buffer.from('x'), to, 9, { ttl: 2 });
    net.pass(2e6);
  }
  t.same(heard, ['unreachable 10.2.0.2 9', 'unreachable fd02::2 9'], 'the second one reached the host');
  t.equal(router.icmp.counters.outErrors, 1);
  t.equal(router.icmp6.counters.outErrors, 1);
  socket.send(Buffer.from('x'), a.book.parse('10.9.0.1')!, 9);
  net.pass(2e6);
  t.equal(router.ipv4.counters.notForwarded, 1);
  t.same(heard.at(-1), 'unreachable 10.9.0.1 9');
});

t.test('duplicate address detection: the second one does not get the address', async (t) => {
  const net = new Net('dad');
  const link = net.link();
  const { stack: a } = net.stack([{ device: link.a, options: { addresses: ['fd00::1/64'] } }]);
  let claims = 0;
  a.onAddressClaim = () => claims++;
  net.pass(100_000);
  const { stack: b } = net.stack([
    { device: link.b, options: { addresses: ['fd00::1/64', 'fd00::2/64'], probe: true } },
  ]);
  t.equal(b.isLocal(b.book.parse('fd00::2')!), false, 'tentative');
  net.pass(2e6);
  t.equal(b.isLocal(b.book.parse('fd00::2')!), true);
  t.equal(b.isLocal(b.book.parse('fd00::1')!), false, 'somebody else has it');
  t.equal(b.interfaces[0].nd.counters.conflicts, 1);
  t.equal(a.isLocal(a.book.parse('fd00::1')!), true);
  t.equal(claims, 0, 'a question is no claim');
  // Without detection the second one says that the address is his.
  const other = net.link();
  const addresses = { addresses: ['fd00::1/64'] };
  const [one, two] = [other.a, other.b].map((device) => net.stack([{ device, options: addresses }]).stack);
  net.pass(2e6);
  one.onAddressClaim = () => claims++;
  two.interfaces[0].announce();
  net.pass(100_000);
  t.ok(claims > 0);
});

/** A router advertisement for fd05::/64. */
function advertise(router: Stack, validS: number, routerS: number): void {
  const message = new Uint8Array(16 + 32 + 8);
  const view = new DataView(message.buffer);
  message[0] = 134;
  message[4] = 61;
  view.setUint16(6, routerS);
  message.set([3, 4, 64, 0xc0], 16);
  view.setUint32(20, validS);
  view.setUint32(24, validS);
  message.set([0xfd, 5], 32);
  message.set([5, 1], 48);
  view.setUint32(52, 1400);
  const net = router.interfaces[0];
  router.icmp6.message(net.linkLocal(), net.allNodes, message, { net, ttl: 255 });
}

t.test('autoconfiguration: address, default route, MTU and hop limit come and go', async (t) => {
  const net = new Net('slaac');
  const link = net.link();
  const { stack: router } = net.stack([{ device: link.a, options: { addresses: ['fd05::1/64'] } }]);
  const { stack, nets } = net.stack([{ device: link.b, options: { addresses: [], autoconfigure: true } }]);
  net.pass(3e6);
  advertise(router, 3600 * 3, 1800);
  net.pass(2e6);
  const own = nets[0].addresses6.find((entry) => entry.auto)!;
  t.match(stack.book.format(own.address), /^fd05::/);
  t.equal(own.tentative, false);
  t.equal(nets[0].mtu6, 1400);
  t.equal(nets[0].hopLimit, 61);
  const far = stack.book.parse('2001:db8::99')!;
  t.equal(stack.routes.lookup(far)?.gateway, stack.book.parse(router.book.format(router.interfaces[0].linkLocal())));
  t.equal(stack.sourceFor(far), own.address);
  // Nobody may end the address at once.
  advertise(router, 1, 0);
  net.pass(10e6);
  t.equal(nets[0].addresses6.includes(own), true);
  t.equal(stack.routes.lookup(far), null, 'the router is none any more');
  net.pass(3600e6 * 2.1);
  t.equal(nets[0].addresses6.includes(own), false, 'two hours later it is over');
  t.equal(stack.isLocal(own.address), false);
});

t.test('groups: only members hear; IGMP and MLD tell the link', async (t) => {
  const net = new Net('groups');
  const link = net.link();
  const { stack: a, nets: aNets } = net.stack([
    { device: link.a, options: { addresses: ['10.0.0.1/24', 'fd00::1/64'] } },
  ]);
  const { stack: b, nets } = net.stack([{ device: link.b, options: { addresses: ['10.0.0.2/24', 'fd00::2/64'] } }]);
  const got: string[] = [];
  const socket = listenUdp(b, '::', 5000, got);
  const sender = listenUdp(a, '::', 5001, []);
  for (const group of ['239.1.2.3', 'ff02::1234']) {
    const there = a.book.parse(group)!;
    const here = b.book.parse(group)!;
    sender.send(Buffer.from('before'), there, 5000);
    net.pass(10_000);
    socket.join(here, nets[0]);
    t.throws(() => socket.join(here, nets[0]), { code: 'EADDRINUSE' });
    sender.send(Buffer.from(`to ${group}`), there, 5000);
    net.pass(10_000);
    socket.leave(here, nets[0]);
    sender.send(Buffer.from('after'), there, 5000);
    net.pass(10_000);
  }
  t.same(got, ['10.0.0.1 5001 to 239.1.2.3', `${a.book.format(aNets[0].linkLocal())} 5001 to ff02::1234`]);
  t.equal(nets[0].igmp.counters.reports >= 1, true);
  t.equal(nets[0].igmp.counters.leaves, 1);
  t.throws(() => socket.join(b.book.parse('10.0.0.9')!, nets[0]), { code: 'EINVAL' });
  socket.join(b.book.parse('239.1.2.3')!, nets[0]);
  socket.close();
  t.equal(nets[0].hasGroup(b.book.parse('239.1.2.3')!), false, 'closing leaves');
});

t.test('the address book forgets strangers, not those in use', async (t) => {
  const { AddressBook } = await import('../../stack/core/address-book.js');
  const book = new AddressBook(1, 1000);
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  const mine: number[] = [];
  book.keep = (mark) => {
    for (const address of mine) mark(address);
  };
  for (let i = 0; i < 10_000; i++) {
    view.setUint32(12, i);
    const address = book.intern(bytes, 0);
    t.ok(address >= 2 ** 32) || t.bailout();
    if (i % 100 === 7 && mine.length < 90) mine.push(address);
  }
  t.equal(book.size <= 1000, true);
  t.ok(book.counters.sweeps > 0);
  view.setUint32(12, 107);
  t.equal(book.intern(bytes, 0), mine[1], 'the same number as ever');
  t.equal(book.format(mine[1]), '::6b');
  const full = new AddressBook(1, 10);
  full.keep = (mark) => {
    for (let i = 0; i < 10; i++) mark(2 ** 32 + i);
  };
  for (let i = 0; i < 10; i++) {
    view.setUint32(12, i);
    full.intern(bytes, 0);
  }
  view.setUint32(12, 99);
  t.equal(full.intern(bytes, 0), -1);
  t.equal(full.counters.refused, 1);
});

t.test('an IPv4 address that is probed is ours seconds later, unless somebody has it', async (t) => {
  const net = new Net('arp-probe');
  const link = net.link({ mtu: 1500 });
  net.stack([{ device: link.a, options: { addresses: ['10.0.0.1/24'] } }]);
  const options = { addresses: ['10.0.0.1/24', '10.0.0.2/24'], probe: true, gateway: '10.0.0.1' };
  const { stack } = net.stack([{ device: link.b, options }]);
  const [taken, free] = [stack.book.parse('10.0.0.1')!, stack.book.parse('10.0.0.2')!];
  t.equal(stack.isLocal(free), false, 'not before it is known to be free');
  const began = net.clock.now();
  net.run(() => stack.isLocal(free));
  const seconds = (net.clock.now() - began) / 1e6;
  t.ok(seconds >= 4 && seconds < 8, `after ${seconds} s: three probes and a pause`);
  t.equal(stack.isLocal(taken), false, 'the other has an owner');
  t.equal(stack.interfaces[0].neighbours.counters.conflicts, 1);
  t.not(stack.routeFrom(free, stack.book.parse('192.0.2.1')!), null, 'the gateway is known');
});

t.test('two that probe for the same address: neither takes it', async (t) => {
  const net = new Net('arp-probe-both');
  const link = net.link({ mtu: 1500 });
  const options = { addresses: ['10.0.0.9/24'], probe: true };
  const { stack: a } = net.stack([{ device: link.a, options }]);
  const { stack: b } = net.stack([{ device: link.b, options }]);
  net.run(() => net.clock.now() > 10_000_000);
  const address = a.book.parse('10.0.0.9')!;
  t.notOk(a.isLocal(address) && b.isLocal(b.book.parse('10.0.0.9')!), 'never both');
});
