/**
 * Super-segments that the addon cuts into frames, and sums that it completes, for devices without
 * offload.
 */
import { mkdtempSync, readSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { TxFrame } from '../../lib/device/device.js';
import { TapDevice } from '../../lib/device/tap.js';
import { type NativeHandle, native } from '../../lib/native/native.js';

const addon = native();
const directory = mkdtempSync(join(tmpdir(), 'ft-split-'));
t.teardown(() => rmSync(directory, { recursive: true }));
// A FIFO keeps the bytes of frames that are written to it, one behind the other.
const fd = addon.fifoOpen(join(directory, 'frames'));

/** The Internet checksum of words, slowly; 0 for what has a right one in it. */
function sum(...parts: Uint8Array[]): number {
  const bytes = Buffer.concat(parts);
  let total = 0;
  for (let i = 0; i < bytes.length; i++) total += i % 2 === 0 ? bytes[i] * 256 : bytes[i];
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  return ~total & 0xffff;
}

function payload(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, i) => (i * 7 + (i >> 8)) & 255));
}

interface Kind {
  name: string;
  /** Before the IP header. */
  link: Buffer;
  version: 4 | 6;
  /** Of the TCP header. */
  options: number;
}

const ETHERNET = Buffer.from('020000000002020000000001', 'hex');
const KINDS: Kind[] = [
  { name: 'IPv4', link: Buffer.concat([ETHERNET, Buffer.from('0800', 'hex')]), version: 4, options: 12 },
  {
    name: 'IPv4 in a VLAN',
    link: Buffer.concat([ETHERNET, Buffer.from('810000070800', 'hex')]),
    version: 4,
    options: 0,
  },
  { name: 'IPv6', link: Buffer.concat([ETHERNET, Buffer.from('86dd', 'hex')]), version: 6, options: 12 },
  { name: 'IPv4 without a link', link: Buffer.alloc(0), version: 4, options: 12 },
  { name: 'IPv6 without a link', link: Buffer.alloc(0), version: 6, options: 0 },
];

const V4 = { header: 20, addresses: [12, 20] } as const;
const V6 = { header: 40, addresses: [8, 40] } as const;

function headers({ link, version, options }: Kind, flags: number): Buffer {
  const ip = Buffer.alloc(version === 4 ? V4.header : V6.header, 0);
  ip[0] = version === 4 ? 0x45 : 0x60;
  ip[version === 4 ? 9 : 6] = 6;
  if (version === 4) ip.writeUInt16BE(0xfffe, 4);
  const [from, to] = version === 4 ? V4.addresses : V6.addresses;
  for (let i = from; i < to; i++) ip[i] = 10 + i;
  const tcp = Buffer.alloc(20 + options, 1);
  tcp.writeUInt32BE(0xffffff00, 4);
  tcp[12] = ((20 + options) / 4) << 4;
  tcp[13] = flags;
  return Buffer.concat([link, ip, tcp]);
}

function readAll(): Buffer {
  const out = Buffer.alloc(65_536);
  try {
    return out.subarray(0, readSync(fd, out, 0, out.length, null));
  } catch {
    return out.subarray(0, 0);
  }
}

for (const kind of KINDS) {
  t.test(kind.name, async (t) => {
    const { link, version } = kind;
    const ipHeader = version === 4 ? V4.header : V6.header;
    const head = headers(kind, 0x19);
    const tcpAt = link.length + ipHeader;
    const body = payload(5001);
    // In uneven pieces, with something around them.
    const pieces = [Buffer.concat([Buffer.from('xx'), body.subarray(0, 777)]), body];
    const spans = Int32Array.of(2, 777, 777, 5001 - 777);
    const ethernet = link.length > 0;
    const taken = addon.sendSplit(fd, head, 0, head.length, pieces, spans, 2, tcpAt, 16, version, 1000, ethernet);
    t.equal(taken, head.length + 5001);
    let rest = readAll();
    let seen = 0;
    for (let n = 0; n < 6; n++) {
      const size = n < 5 ? 1000 : 1;
      const frame = rest.subarray(0, head.length + size);
      rest = rest.subarray(frame.length);
      t.same(frame.subarray(0, link.length), link);
      const ip = frame.subarray(link.length, tcpAt);
      const tcp = frame.subarray(tcpAt);
      if (version === 4) {
        t.equal(ip.readUInt16BE(2), frame.length - link.length);
        t.equal(ip.readUInt16BE(4), (0xfffe + n) & 0xffff);
        t.equal(sum(ip), 0);
      } else t.equal(ip.readUInt16BE(4), tcp.length);
      t.equal(tcp.readUInt32BE(4), (0xffffff00 + seen) >>> 0);
      t.equal(tcp[13], n < 5 ? 0x10 : 0x19, 'FIN and PSH with the last one');
      const [from, to] = version === 4 ? V4.addresses : V6.addresses;
      const length = Buffer.alloc(4);
      length.writeUInt16BE(6, 0);
      length.writeUInt16BE(tcp.length, 2);
      t.equal(sum(ip.subarray(from, to), length, tcp), 0);
      t.same(frame.subarray(head.length), body.subarray(seen, seen + size));
      seen += size;
    }
    t.equal(rest.length, 0);
  });
}

t.test('a sum is completed; none of UDP is zero', async (t) => {
  const frame = Buffer.from('0102030405060708', 'hex');
  // The field is at 2 + 4, and holds what the pseudo header has come to.
  t.equal(addon.sendSplit(fd, frame, 0, 8, [], new Int32Array(0), 0, 2, 4, 0, 0, true), 8);
  const sent = readAll();
  t.equal(sent.readUInt16BE(6), sum(Buffer.from('030405060708', 'hex')));
  t.same(sent.subarray(0, 6), frame.subarray(0, 6));
  const zero = Buffer.from('0000ffff00000000', 'hex');
  addon.sendSplit(fd, zero, 0, 8, [], new Int32Array(0), 0, 2, 4, 0, 0, true);
  t.equal(readAll().readUInt16BE(6), 0xffff);
});

t.test('a full device: nothing, or what it took', async (t) => {
  const head = headers(KINDS[0], 0x10);
  const body = payload(40_000);
  const send = (): number =>
    addon.sendSplit(fd, head, 0, head.length, [body], Int32Array.of(0, 40_000), 1, 34, 16, 4, 1000, true);
  // 64 KiB of room; a FIFO takes up to a page as a whole or not at all.
  t.equal(send(), head.length + 40_000);
  const taken = send() - head.length;
  t.ok(taken > 0 && taken < 40_000 && taken % 1000 === 0, `of 40 segments ${taken / 1000} left, the rest is lost`);
  t.equal(readAll().length, 40 * (head.length + 1000) + (taken / 1000) * (head.length + 1000), 'whole frames');
  for (let n = 0; n < 2; n++) send();
  t.equal(send(), -11, 'EAGAIN');
  readAll();
});

t.test('what makes no sense is refused', async (t) => {
  const head = headers(KINDS[0], 0x10);
  const none = new Int32Array(0);
  const send = (...rest: [number, number, number, number]): number =>
    addon.sendSplit(fd, head, 0, head.length, [], none, 0, ...rest, true);
  t.throws(() => send(-1, 16, 4, 1000), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => send(34, -1, 4, 1000), { code: 'ERR_OUT_OF_RANGE' });
  t.throws(() => send(34, 16, 5, 1000), { code: 'ERR_OUT_OF_RANGE' });
  const tooBig = -90;
  t.equal(send(20, 16, 4, 1000), tooBig, 'TCP within the IP header');
  t.equal(send(60, 16, 4, 1000), tooBig, 'TCP behind the headers');
  t.equal(send(34, 16, 4, 70_000), tooBig);
  t.equal(send(34, 16, 4, 0), tooBig);
  t.equal(send(34, 200, 4, 1000), tooBig, 'a field behind the headers');
  t.equal(addon.sendSplit(fd, head, 0, head.length, [], none, 0, 34, 200, 0, 0, true), tooBig);
  t.equal(readAll().length, 0);
});

t.test('a device counts what was cut', async (t) => {
  const sizes: number[] = [];
  let taken = 0;
  const device = TapDevice.open({
    name: 'fake',
    native: {
      ...addon,
      tapOpen: () => ({ fd: 9, name: 'fake', vnetHdr: false, csum: false, tso4: false, tso6: false, split: true }),
      ifMtu: () => 1500,
      closeFd: () => undefined,
      readerOpen: () => ({}) as NativeHandle,
      readerRun: () => undefined,
      readerClose: () => undefined,
      sendSplit: (...frame) => {
        sizes.push(frame[10]);
        return taken;
      },
    },
  });
  const frame = new TxFrame();
  frame.headerLength = 54;
  frame.csumStart = 34;
  frame.csumOffset = 16;
  frame.gsoVersion = 4;
  frame.gsoSize = 1448;
  frame.addPiece(new Uint8Array(4000), 0, 4000);
  taken = 54 + 4000;
  t.ok(device.send(frame));
  t.equal(device.counters.txCut, 0);
  taken = 54 + 1448;
  t.ok(device.send(frame), 'what is lost is sent again by TCP');
  t.match(device.counters, { txCut: 1, txFrames: 2, txBytes: 4054 + 1502 });
  t.same(sizes, [1448, 1448]);
  device.close();
});
