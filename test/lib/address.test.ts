import { isIPv6 } from 'node:net';
import t from 'tap';
import { formatIPv4, isBroadcast4, isMulticast4, parseCidr4, parseIPv4 } from '../../lib/ipv4-address.js';
import {
  formatIPv6,
  inCidr6,
  isLinkLocal6,
  isMapped4,
  isMulticast6,
  parseCidr6,
  parseIPv6,
} from '../../lib/ipv6-address.js';
import { formatMac, parseMac } from '../../lib/mac-address.js';
import { SeededRandom } from '../../lib/random.js';

t.test('IPv4', async (t) => {
  t.equal(parseIPv4('192.0.2.1'), 0xc0000201);
  t.equal(parseIPv4('255.255.255.255'), 0xffffffff);
  for (const bad of ['', '1.2.3', '1.2.3.4.5', '256.1.1.1', '01.2.3.4', '1.2.3.4 ', '1..2.3', 'a.b.c.d', '1e1.2.3.4'])
    t.equal(parseIPv4(bad), undefined, bad);
  t.equal(formatIPv4(0xc0000201), '192.0.2.1');
  t.same(parseCidr4('10.0.0.5/8'), { address: 0x0a000005, prefix: 8, mask: 0xff000000 });
  t.same(parseCidr4('10.0.0.5/0')?.mask, 0);
  for (const bad of ['10.0.0.5', '10.0.0.5/33', '10.0.0.5/', '10.0.0.5/-1', '/8'])
    t.equal(parseCidr4(bad), undefined, bad);
  t.equal(isMulticast4(0xe0000001), true);
  t.equal(isMulticast4(0xf0000000), false);
  const net = parseCidr4('192.0.2.9/24')!;
  t.equal(isBroadcast4(0xc00002ff, net), true);
  t.equal(isBroadcast4(0xffffffff, net), true);
  t.equal(isBroadcast4(0xc0000201, net), false);
  t.equal(isBroadcast4(0xc0000203, parseCidr4('192.0.2.2/31')!), false, 'RFC 3021');
});

t.test('MAC', async (t) => {
  t.same(parseMac('02:00:5E:10:00:ff'), Uint8Array.of(2, 0, 0x5e, 0x10, 0, 0xff));
  t.equal(formatMac(Uint8Array.of(2, 0, 0x5e, 0x10, 0, 0xff)), '02:00:5e:10:00:ff');
  for (const bad of ['', '02:00:5e:10:00', '2:0:5e:10:0:ff', '02-00-5e-10-00-ff', '02:00:5e:10:00:fg'])
    t.equal(parseMac(bad), undefined, bad);
});

t.test('IPv6 examples of RFC 4291 and RFC 5952', async (t) => {
  const pairs: [string, string][] = [
    ['::', '::'],
    ['::1', '::1'],
    ['1::', '1::'],
    ['2001:DB8:0:0:8:800:200C:417A', '2001:db8::8:800:200c:417a'],
    ['FF01:0:0:0:0:0:0:101', 'ff01::101'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['2001:0:0:1:0:0:0:1', '2001:0:0:1::1'],
    ['2001:db8:0:0:1:0:0:1', '2001:db8::1:0:0:1'],
    ['::FFFF:129.144.52.38', '::ffff:129.144.52.38'],
    ['64:ff9b::192.0.2.33', '64:ff9b::c000:221'],
    ['0:0:0:0:0:0:13.1.68.3', '::d01:4403'],
  ];
  for (const [text, canonical] of pairs) t.equal(formatIPv6(parseIPv6(text)!), canonical, text);
  const bad = [
    '',
    ':',
    ':::',
    '1',
    '1:2:3:4:5:6:7',
    '1:2:3:4:5:6:7:8:9',
    '1::2::3',
    '12345::',
    '::g',
    '1:2:3:4:5:6:7::8',
  ];
  for (const text of [
    ...bad,
    'fe80::1%eth0',
    '::1.2.3',
    '::1.2.3.256',
    '1.2.3.4::',
    '1:2:3:4:5:6:7:1.2.3.4',
    ' ::1',
    '::1 ',
  ])
    t.equal(parseIPv6(text), undefined, text);
});

t.test('IPv6 agrees with Node and WHATWG URLs', async (t) => {
  const random = new SeededRandom('addresses');
  let wrong = 0;
  for (let i = 0; i < 3000; i++) {
    const bytes = new Uint8Array(16);
    // Many zeros, so that runs of all lengths come up.
    for (let g = 0; g < 8; g++) {
      if (random.u32() % 3 !== 0) continue;
      bytes[2 * g] = random.u32() & (random.u32() % 2 === 0 ? 0 : 255);
      bytes[2 * g + 1] = random.u32() & 255;
    }
    const text = formatIPv6(bytes);
    const host = new URL(`http://[${text}]/`).hostname.slice(1, -1);
    if (!isIPv6(text) || Buffer.compare(parseIPv6(text)!, bytes) !== 0) wrong++;
    // URLs write IPv4-mapped addresses in hexadecimal.
    if (!isMapped4(bytes) && host !== text) wrong++;
    if (Buffer.compare(parseIPv6(host)!, bytes) !== 0) wrong++;
  }
  t.equal(wrong, 0);
});

t.test('IPv6 networks', async (t) => {
  const net = parseCidr6('2001:db8:8000::/33')!;
  t.equal(net.prefix, 33);
  t.equal(inCidr6(parseIPv6('2001:db8:ffff::1')!, net), true);
  t.equal(inCidr6(parseIPv6('2001:db8:7fff::1')!, net), false);
  t.equal(inCidr6(parseIPv6('::1')!, parseCidr6('::/0')!), true);
  for (const bad of ['::1', '::1/129', '::1/', '::1/01', '/64']) t.equal(parseCidr6(bad), undefined, bad);
  t.equal(isMulticast6(parseIPv6('ff02::1')!), true);
  t.equal(isLinkLocal6(parseIPv6('febf::1')!), true);
  t.equal(isLinkLocal6(parseIPv6('fec0::1')!), false);
});
