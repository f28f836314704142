import { createRequire } from 'node:module';
import t from 'tap';
import { finish, sum16 } from '../../lib/checksum.js';
import { ARP_REPLY, ArpView, writeArp } from '../../lib/packet/arp.js';
import { Drop, dropName } from '../../lib/packet/drop.js';
import { EthernetView, writeEthernet } from '../../lib/packet/ethernet.js';
import { ICMP_UNREACHABLE, IcmpView } from '../../lib/packet/icmp.js';
import { Ipv4View, writeIpv4 } from '../../lib/packet/ipv4.js';
import { TCP_ACK, TCP_SYN, TcpView, writeTcpHeader } from '../../lib/packet/tcp.js';
import { UdpView } from '../../lib/packet/udp.js';
import { SeededRandom } from '../../lib/random.js';

interface IpPacket {
  version: number;
  dscp: number;
  ecn: number;
  identification: number;
  flags: number;
  fragmentOffset: number;
  ttl: number;
  protocol: number;
  checksum: number;
  sourceIp: string;
  destinationIp: string;
  data: Buffer;
}
interface Codec {
  decode(state: { start: number; end: number; buffer: Buffer }): IpPacket;
}
/** Somebody else's reading of the same bytes. */
const oracle = createRequire(import.meta.url)('ip-packet') as Codec;

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

t.test('an IPv4 header as ip-packet reads it', async (t) => {
  const random = new SeededRandom('ip');
  for (let i = 0; i < 200; i++) {
    const bytes = Buffer.alloc(60);
    const view = viewOf(bytes);
    const [tos, id, ttl] = [random.u32() & 255, random.u32() & 0xffff, random.u32() & 255];
    const fragment = random.u32() & 0x7fff;
    const [src, dst] = [random.u32(), random.u32()];
    writeIpv4(bytes, view, 0, { tos, totalLength: 60, id, fragment, ttl, protocol: 6, src, dst });
    const read = oracle.decode({ start: 0, end: 60, buffer: bytes });
    t.same(
      [read.dscp * 4 + read.ecn, read.identification, read.flags * 8192 + read.fragmentOffset, read.ttl, read.protocol],
      [tos, id, fragment, ttl, 6],
    );
    const dotted = (a: number): string => [a >>> 24, (a >>> 16) & 255, (a >>> 8) & 255, a & 255].join('.');
    t.same([read.sourceIp, read.destinationIp], [dotted(src), dotted(dst)]);
    const mine = new Ipv4View();
    t.equal(mine.parse(bytes, view, 0, 60), 0);
    t.same([mine.tos, mine.id, mine.ttl, mine.src, mine.dst, mine.payloadLength], [tos, id, ttl, src, dst, 40]);
    t.same(
      [mine.df, mine.mf, mine.fragmentOffset],
      [(fragment & 0x4000) !== 0, (fragment & 0x2000) !== 0, (fragment & 0x1fff) * 8],
    );
    // Any one bit that changes is found out.
    const bit = random.u32() % 160;
    bytes[bit >> 3] ^= 1 << (bit & 7);
    t.not(mine.parse(bytes, view, 0, 60), 0, `bit ${bit}`);
  }
});

t.test('IPv4 refusals', async (t) => {
  const bytes = Buffer.alloc(40);
  const view = viewOf(bytes);
  const ip = new Ipv4View();
  const fresh = (): void =>
    writeIpv4(bytes, view, 0, { tos: 0, totalLength: 40, id: 1, fragment: 0, ttl: 64, protocol: 17, src: 1, dst: 2 });
  fresh();
  t.equal(ip.parse(bytes, view, 0, 19), Drop.Ipv4Short);
  t.equal(ip.parse(bytes, view, 0, 39), Drop.Ipv4TotalLength, 'cut short');
  bytes[0] = 0x65;
  t.equal(ip.parse(bytes, view, 0, 40), Drop.Ipv4Version);
  bytes[0] = 0x44;
  t.equal(ip.parse(bytes, view, 0, 40), Drop.Ipv4HeaderLength);
  bytes[0] = 0x4f;
  t.equal(ip.parse(bytes, view, 0, 40), Drop.Ipv4HeaderLength);
  fresh();
  t.equal(ip.parse(bytes, view, 0, 40), 0);
  const names = new Set(Object.values(Drop).map(dropName));
  t.equal(names.size, Object.values(Drop).length, 'every reason has a name of its own');
});

t.test('Ethernet, with a tag and without', async (t) => {
  const bytes = Buffer.alloc(64);
  const view = viewOf(bytes);
  const eth = new EthernetView();
  writeEthernet(bytes, 0, Uint8Array.of(1, 2, 3, 4, 5, 6), Uint8Array.of(7, 8, 9, 10, 11, 12), 0x0800);
  t.equal(eth.parse(bytes, view, 0, 64), 0);
  t.same([eth.etherType, eth.vlan, eth.payloadOffset], [0x0800, -1, 14]);
  t.equal(bytes.subarray(0, 14).toString('hex'), '0102030405060708090a0b0c0800');
  bytes.set([0x81, 0x00, 0xa0, 0x05, 0x86, 0xdd], 12);
  t.equal(eth.parse(bytes, view, 0, 64), 0);
  t.same([eth.etherType, eth.vlan, eth.payloadOffset], [0x86dd, 5, 18]);
  t.equal(eth.parse(bytes, view, 0, 13), Drop.EthShort);
  t.equal(eth.parse(bytes, view, 0, 17), Drop.EthShort, 'a tag that is cut short');
});

t.test('ARP', async (t) => {
  const bytes = Buffer.alloc(40);
  const view = viewOf(bytes);
  const arp = new ArpView();
  writeArp(bytes, view, 4, {
    op: ARP_REPLY,
    senderMac: Uint8Array.of(2, 0, 0, 0, 0, 1),
    senderIp: 0x0a000001,
    targetMac: Uint8Array.of(2, 0, 0, 0, 0, 2),
    targetIp: 0x0a000002,
  });
  t.equal(bytes.subarray(4, 32).toString('hex'), '00010800060400020200000000010a0000010200000000020a000002');
  t.equal(arp.parse(bytes, view, 4, 28), 0);
  t.same(
    [arp.op, arp.senderIp, arp.targetIp, arp.senderMacOffset, arp.targetMacOffset],
    [2, 0x0a000001, 0x0a000002, 12, 22],
  );
  t.equal(arp.parse(bytes, view, 4, 27), Drop.ArpShort);
  bytes[11] = 3;
  t.equal(arp.parse(bytes, view, 4, 28), Drop.ArpOp);
  bytes[5] = 6;
  t.equal(arp.parse(bytes, view, 4, 28), Drop.ArpFormat);
});

/** A SYN as Linux sends it. */
function syn(options: number[]): Buffer {
  const header = 20 + options.length;
  const bytes = Buffer.alloc(header + 4, 0xee);
  writeTcpHeader(bytes, viewOf(bytes), 0, {
    srcPort: 40000,
    dstPort: 80,
    seq: 0xfffffff0,
    ack: 0,
    flags: TCP_SYN,
    window: 64240,
    urgent: 0,
    headerLength: header,
  });
  bytes.set(options, 20);
  return bytes;
}

t.test('TCP options', async (t) => {
  const tcp = new TcpView();
  const all = syn([2, 4, 5, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 3, 3, 7]);
  t.equal(tcp.parse(all, viewOf(all), 0, all.length), 0);
  t.same([tcp.srcPort, tcp.dstPort, tcp.seq, tcp.flags, tcp.window], [40000, 80, 0xfffffff0, TCP_SYN, 64240]);
  t.same([tcp.mss, tcp.sackPermitted, tcp.tsVal, tcp.tsEcr, tcp.windowScale], [1460, true, 0x01020304, 0x05060708, 7]);
  t.same([tcp.payloadOffset, tcp.payloadLength], [40, 4]);
  const sack = syn([1, 1, 5, 18, 0, 0, 0, 1, 0, 0, 0, 2, 0xff, 0, 0, 0, 0xff, 0, 0, 9]);
  t.equal(tcp.parse(sack, viewOf(sack), 0, sack.length), 0);
  t.same([tcp.sackCount, ...tcp.sackEdges.subarray(0, 4)], [2, 1, 2, 0xff000000, 0xff000009]);
  t.same([tcp.mss, tcp.windowScale, tcp.tsPresent], [0, -1, false], 'nothing is left of the segment before');
  const before = tcp.malformedOptions;
  // Lengths of 0 and 1, one past the end, a kind without its length, and known kinds of wrong
  // length.
  for (const bad of [
    [2, 0, 1, 1],
    [2, 1, 1, 1],
    [2, 9, 1, 1],
    [1, 1, 1, 2],
    [254, 255, 0, 0],
  ]) {
    const bytes = syn(bad);
    t.equal(tcp.parse(bytes, viewOf(bytes), 0, bytes.length), 0, 'the segment counts all the same');
    t.equal(tcp.mss, 0);
  }
  t.equal(tcp.malformedOptions - before, 5);
  const odd = syn([2, 3, 9, 3, 4, 9, 9, 0]);
  t.equal(tcp.parse(odd, viewOf(odd), 0, odd.length), 0);
  t.same([tcp.mss, tcp.windowScale], [0, -1], 'known kinds of wrong length are passed over');
});

t.test('TCP refusals', async (t) => {
  const tcp = new TcpView();
  const bytes = Buffer.alloc(24);
  const view = viewOf(bytes);
  const fresh = (header: number, port = 80): void =>
    writeTcpHeader(bytes, view, 0, {
      srcPort: 1,
      dstPort: port,
      seq: 0,
      ack: 0,
      flags: TCP_ACK,
      window: 0,
      urgent: 0,
      headerLength: header,
    });
  fresh(20);
  t.equal(tcp.parse(bytes, view, 0, 19), Drop.TcpShort);
  fresh(16);
  t.equal(tcp.parse(bytes, view, 0, 24), Drop.TcpDataOffset);
  fresh(28);
  t.equal(tcp.parse(bytes, view, 0, 24), Drop.TcpDataOffset);
  fresh(20, 0);
  t.equal(tcp.parse(bytes, view, 0, 24), Drop.TcpPort);
});

t.test('UDP', async (t) => {
  const udp = new UdpView();
  const bytes = Buffer.from('0035c0000009000041ffff', 'hex');
  t.equal(udp.parse(bytes, viewOf(bytes), 0, bytes.length), 0);
  t.same(
    [udp.srcPort, udp.dstPort, udp.payloadOffset, udp.payloadLength],
    [53, 49152, 8, 1],
    'what is behind is padding',
  );
  t.equal(udp.parse(bytes, viewOf(bytes), 0, 7), Drop.UdpShort);
  t.equal(udp.parse(bytes, viewOf(bytes), 0, 8), Drop.UdpLength);
  bytes[5] = 7;
  t.equal(udp.parse(bytes, viewOf(bytes), 0, 11), Drop.UdpLength);
});

t.test('ICMP quotes what it complains about', async (t) => {
  const bytes = Buffer.alloc(8 + 40);
  const view = viewOf(bytes);
  bytes[0] = ICMP_UNREACHABLE;
  bytes[1] = 4;
  view.setUint16(6, 1400);
  writeIpv4(bytes, view, 8, {
    tos: 0,
    totalLength: 1500,
    id: 7,
    fragment: 0x4000,
    ttl: 64,
    protocol: 6,
    src: 0x0a000002,
    dst: 0x0a000001,
  });
  writeTcpHeader(bytes, view, 16 + 12, {
    srcPort: 80,
    dstPort: 40000,
    seq: 0x01020304,
    ack: 0,
    flags: 0,
    window: 0,
    urgent: 0,
    headerLength: 20,
  });
  view.setUint16(2, 0);
  view.setUint16(2, finish(sum16(bytes, 0, 36, 0)));
  const icmp = new IcmpView();
  t.equal(icmp.parse(bytes.subarray(0, 36), view, 0, 36), 0);
  t.same([icmp.type, icmp.code, icmp.rest & 0xffff], [3, 4, 1400]);
  t.same(
    [icmp.innerProtocol, icmp.innerSrc, icmp.innerDst, icmp.innerSrcPort, icmp.innerDstPort, icmp.innerSeq],
    [6, 0x0a000002, 0x0a000001, 80, 40000, 0x01020304],
  );
  bytes[20] ^= 1;
  t.equal(icmp.parse(bytes, view, 0, 36), Drop.IcmpChecksum);
  const short = Buffer.alloc(8);
  short[0] = ICMP_UNREACHABLE;
  viewOf(short).setUint16(2, finish(sum16(short, 0, 8, 0)));
  t.equal(icmp.parse(short, viewOf(short), 0, 8), Drop.IcmpQuote);
});
