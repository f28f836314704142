/**
 * Address parsers and formatters: what is formatted is parsed back, and nothing else than an
 * address is accepted.
 */
import { isIPv4, isIPv6 } from 'node:net';
import fc from 'fast-check';
import t from 'tap';
import { formatIPv4, parseCidr4, parseIPv4 } from '../../lib/ipv4-address.js';
import { formatIPv6, parseCidr6, parseIPv6 } from '../../lib/ipv6-address.js';
import { formatMac, parseMac } from '../../lib/mac-address.js';

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const bytes = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
/** Groups are often zero, as in real addresses, so that "::" and its ties are met. */
const ipv6 = fc
  .array(fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 0xffff })), { minLength: 8, maxLength: 8 })
  .map((groups) => Uint8Array.from(groups.flatMap((group) => [group >>> 8, group & 255])));
/** Text that is close to an address. */
const nearly = fc.string({ unit: fc.constantFrom(...'0123456789abcfF.:/% '), maxLength: 45 });

t.test('an IPv4 address is parsed back from its text', async (t) => {
  fc.assert(fc.property(u32, (address) => parseIPv4(formatIPv4(address)) === address));
  fc.assert(
    fc.property(u32, fc.integer({ min: 0, max: 32 }), (address, prefix) => {
      const cidr = parseCidr4(`${formatIPv4(address)}/${prefix}`);
      const mask = prefix === 0 ? 0 : (2 ** 32 - 2 ** (32 - prefix)) >>> 0;
      return cidr?.address === address && cidr.prefix === prefix && cidr.mask === mask;
    }),
  );
  t.pass('for addresses and networks');
});

t.test('an IPv6 address is parsed back from its text, which Node accepts, too', async (t) => {
  fc.assert(
    fc.property(ipv6, (address) => Buffer.compare(parseIPv6(formatIPv6(address)) ?? Buffer.alloc(0), address) === 0),
  );
  fc.assert(fc.property(ipv6, (address) => isIPv6(formatIPv6(address))));
  fc.assert(
    fc.property(ipv6, fc.integer({ min: 0, max: 128 }), (address, prefix) => {
      const cidr = parseCidr6(`${formatIPv6(address)}/${prefix}`);
      return cidr?.prefix === prefix && Buffer.compare(cidr.address, address) === 0;
    }),
  );
  t.pass('for addresses and networks');
});

t.test('text is an address when Node says so, and only then', async (t) => {
  const parsers = (text: string): boolean => {
    if ((parseIPv4(text) !== undefined) !== isIPv4(text)) return false;
    // Node accepts a zone, which says nothing to a stack that chooses interfaces itself.
    return (parseIPv6(text) !== undefined) === (isIPv6(text) && !text.includes('%'));
  };
  fc.assert(fc.property(nearly, parsers), { numRuns: 5000 });
  fc.assert(fc.property(fc.oneof(fc.ipV4(), fc.ipV6(), fc.string()), parsers), { numRuns: 2000 });
  t.pass('for text that is close to one, for valid ones, and for any other');
});

t.test('a MAC address is parsed back from its text', async (t) => {
  fc.assert(fc.property(bytes(6), (mac) => Buffer.compare(parseMac(formatMac(mac)) ?? Buffer.alloc(0), mac) === 0));
  fc.assert(
    fc.property(
      nearly,
      (text) => parseMac(text) === undefined || formatMac(parseMac(text) ?? new Uint8Array(6)) === text.toLowerCase(),
    ),
  );
  t.pass('and from nothing else');
});
