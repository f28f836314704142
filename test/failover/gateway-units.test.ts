/**
 * Parts of the gateway by themselves: its configuration, the PROXY protocol, the choice of servers.
 */
import t from 'tap';
import { gatewayArguments } from '../../failover/cli/gateway-options.js';
import { parseGatewayConfig } from '../../failover/gateway/config.js';
import {
  type ProxyEnds,
  type ProxyHeader,
  proxyHeaderV1,
  proxyHeaderV2,
  readProxyHeader,
} from '../../failover/gateway/proxy-protocol.js';
import { chooseServer, Server } from '../../failover/gateway/server.js';
import type { Balance } from '../../failover/gateway/settings.js';
import { SeededRandom } from '../../lib/random.js';
import { AddressBook } from '../../stack/core/address-book.js';

const book = new AddressBook(1);

function bytesOf(text: string): Uint8Array | undefined {
  const address = book.parse(text);
  if (address === undefined) return undefined;
  const out = new Uint8Array(16);
  book.write(address, out, 0);
  return out;
}

const textOf = (bytes: Uint8Array): string => book.format(book.fromBytes(bytes, 0));
const read = (bytes: Uint8Array): ProxyHeader => readProxyHeader(bytes, bytesOf);

function ends(source: string, destination: string): ProxyEnds {
  return { source: bytesOf(source)!, destination: bytesOf(destination)!, sourcePort: 50_000, destinationPort: 443 };
}

t.test('PROXY headers are read as they are written', async (t) => {
  for (const [source, destination] of [
    ['192.0.2.7', '10.77.0.2'],
    ['2001:db8::7', 'fd77::2'],
  ]) {
    const both = ends(source, destination);
    for (const header of [proxyHeaderV1(both, textOf), proxyHeaderV2(both)]) {
      const followed = Buffer.concat([header, Buffer.from('GET / HTTP/1.1\r\n')]);
      t.same(read(followed), { length: header.length, ends: both });
      for (let n = 0; n < header.length; n++) t.equal(read(header.subarray(0, n)), 'incomplete', `${n} bytes`);
    }
  }
  t.equal(
    Buffer.from(proxyHeaderV1(ends('192.0.2.7', '10.77.0.2'), textOf)).toString(),
    'PROXY TCP4 192.0.2.7 10.77.0.2 50000 443\r\n',
  );
  t.same(read(Buffer.from('PROXY UNKNOWN whatever\r\nx')), { length: 24, ends: null });
  const local = proxyHeaderV2(ends('192.0.2.7', '10.77.0.2'));
  local[12] = 0x20;
  t.same(read(local), { length: 28, ends: null }, 'LOCAL: the sender speaks for itself');
});

t.test('malformed PROXY headers are invalid', async (t) => {
  for (const text of [
    'GET / HTTP/1.1\r\n',
    'PROXY TCP4 192.0.2.7 10.77.0.2 50000\r\n',
    'PROXY TCP4 192.0.2.7 10.77.0.2 50000 443 1\r\n',
    'PROXY TCP4 192.0.2.7 10.77.0.2 50000 70000\r\n',
    'PROXY TCP4 192.0.2.7 10.77.0.2 050 443\r\n',
    'PROXY TCP4 2001:db8::7 fd77::2 50000 443\r\n',
    'PROXY TCP6 192.0.2.7 10.77.0.2 50000 443\r\n',
    'PROXY TCP5 192.0.2.7 10.77.0.2 50000 443\r\n',
    `PROXY TCP4 ${'1'.repeat(120)}\r\n`,
  ])
    t.equal(read(Buffer.from(text)), 'invalid', text.trim());
  const good = proxyHeaderV2(ends('192.0.2.7', '10.77.0.2'));
  const changed = (at: number, value: number): Uint8Array => {
    const out = Uint8Array.from(good);
    out[at] = value;
    return out;
  };
  t.equal(read(changed(11, 0x0b)), 'invalid', 'signature');
  t.equal(read(changed(12, 0x11)), 'invalid', 'version 1 in binary');
  t.equal(read(changed(12, 0x22)), 'invalid', 'an unknown command');
  t.equal(read(changed(14, 0xff)), 'invalid', 'a header of 64 KiB');
  t.equal(read(changed(15, 4)), 'invalid', 'too short for its addresses');
  t.same(read(changed(13, 0x31)), { length: 28, ends: null }, 'a Unix socket');
});

t.test('the reader of PROXY headers never throws', async (t) => {
  const random = new SeededRandom('proxy');
  const starts = [Buffer.from('PROXY TCP4 '), Buffer.from(proxyHeaderV2(ends('192.0.2.7', '10.77.0.2')))];
  for (let n = 0; n < 20_000; n++) {
    const bytes = Uint8Array.from({ length: random.u32() % 64 }, () => random.u32() & 255);
    const start = starts[n % 2];
    bytes.set(start.subarray(0, Math.min(bytes.length, random.u32() % start.length)));
    const header = read(bytes);
    if (typeof header !== 'string' && header.length > bytes.length) t.fail('longer than what there is');
  }
});

function servers(...weights: number[]): Server[] {
  return weights.map(
    (weight, i) => new Server({ address: '10.0.0.1', port: 8000 + i, weight, backup: false, maxConnections: 0 }),
  );
}

function choices(all: Server[], balance: Balance, count: number, source = (n: number) => `client ${n}`): number[] {
  const none = new Set<Server>();
  return Array.from({ length: count }, (_, n) => all.indexOf(chooseServer(all, balance, none, source(n))!));
}

t.test('servers are chosen by weight', async (t) => {
  t.same(choices(servers(1, 1, 1), 'roundrobin', 6), [0, 1, 2, 0, 1, 2]);
  t.same(choices(servers(5, 1, 1), 'roundrobin', 7), [0, 0, 1, 0, 2, 0, 0], 'not in a row');
  const all = servers(1, 2);
  const taken = [0, 0];
  for (let n = 0; n < 300; n++) {
    const server = chooseServer(all, 'leastconn', new Set(), '')!;
    server.active++;
    taken[all.indexOf(server)]++;
  }
  t.same(taken, [100, 200]);
  const hashed = choices(servers(1, 3), 'source', 4000);
  const share = hashed.filter((i) => i === 1).length / 4000;
  t.ok(share > 0.72 && share < 0.78, `three quarters: ${share}`);
});

t.test('a client keeps its server when another one goes', async (t) => {
  const all = servers(1, 1, 1, 1);
  const before = choices(all, 'source', 1000);
  all[2].up = false;
  const after = choices(all, 'source', 1000);
  t.ok(before.every((server, n) => server === 2 || server === after[n]));
  t.notOk(after.includes(2));
});

t.test('servers that are down, full, tried or only backups', async (t) => {
  const all = servers(1, 1, 0);
  all[0].settings.backup = true;
  t.same(choices(all, 'roundrobin', 3), [1, 1, 1], 'the backup waits; weight 0 gets nothing');
  all[1].settings.maxConnections = 1;
  all[1].active = 1;
  t.equal(chooseServer(all, 'roundrobin', new Set(), ''), null, 'a full server is waited for');
  all[1].up = false;
  t.equal(chooseServer(all, 'roundrobin', new Set(), ''), all[0]);
  t.equal(chooseServer(all, 'roundrobin', new Set([all[0]]), ''), null);
});

t.test('the configuration names the place of each mistake', async (t) => {
  const service = { name: 'a', listen: '10.77.0.2:80', servers: ['10.77.0.1:8080'] };
  const parse = (...services: object[]) => parseGatewayConfig(JSON.stringify({ services }), 'g.json');
  const [parsed] = parse({
    ...service,
    servers: ['10.77.0.1:80', { address: '[fd77::1]:81', weight: 3 }],
    healthCheck: true,
  });
  t.same(parsed.servers[1], { address: 'fd77::1', port: 81, weight: 3, backup: false, maxConnections: 0 });
  t.same(parsed.health, { intervalMs: 2000, timeoutMs: 1000, rise: 2, fall: 3 });
  for (const [services, message] of [
    [
      [{ ...service, listen: '10.77.0.2' }],
      /^g\.json: services\[0\]\.listen: invalid value "10\.77\.0\.2"; expected ADDRESS:PORT/,
    ],
    [[{ ...service, servers: [] }], /services\[0\]\.servers: 0 entries; expected a list of 1 to 256/],
    [[{ ...service, servers: ['a:80'] }], /services\[0\]\.servers\[0\]: invalid value "a:80"/],
    [
      [{ ...service, servers: [{ address: '1.2.3.4:5', weight: 300 }] }],
      /servers\[0\]\.weight: invalid value 300; .* 0 to 256/,
    ],
    [[{ ...service, servers: ['1.2.3.4:5', '1.2.3.4:5'] }], /servers\[1\]: 1\.2\.3\.4:5 again/],
    [[{ ...service, balnce: 'source' }], /services\[0\]\.balnce: unknown key; expected one of name, listen/],
    [[{ ...service, healthCheck: { rise: 0 } }], /services\[0\]\.healthCheck\.rise: invalid value 0/],
    [[{ ...service, healthCheck: 'yes' }], /services\[0\]\.healthCheck: invalid value "yes"; expected an object/],
    [[{ ...service, connect: 'late', acceptProxy: true }], /services\[0\]\.connect: .*handshake/],
    [[service, service], /services\[1\]\.name: "a" again/],
    [[service, { ...service, name: 'b' }], /services\[1\]\.listen: 10\.77\.0\.2:80 again/],
    [[], /services: 0 entries/],
  ] as [object[], RegExp][])
    t.throws(() => parse(...services), { code: 'ERR_FT_CONFIG', message });
  t.throws(() => parseGatewayConfig('{', 'g.json'), { code: 'ERR_FT_CONFIG', message: /^g\.json: not JSON/ });
});

t.test('the command line', async (t) => {
  const line = (text: string) => gatewayArguments(text.split(' '));
  const [service] = line(
    '--listen 10.77.0.2:80 --to 10.77.0.1:81*2,10.77.0.1:82 --to [fd77::1]:83 --hold 1.5',
  ).services;
  t.same(
    service.servers.map(({ port, weight }) => [port, weight]),
    [
      [81, 2],
      [82, 1],
      [83, 1],
    ],
  );
  t.equal(service.holdMs, 1500);
  t.equal(line('--listen 10.77.0.2:80 --to 10.77.0.1:81').options.mode, 'state');
  for (const [text, message] of [
    ['--listen 10.77.0.2:80', /No service given/],
    ['--listen 10.77.0.2:80 --to 10.77.0.1', /--to 10\.77\.0\.1: invalid value/],
    ['--listen 10.77.0.2:80 --to 10.77.0.1:81*300', /--to/],
    ['--config g.json --listen 10.77.0.2:80', /--config and --listen exclude each other/],
    ['--listen 10.77.0.2:80 --to 10.77.0.1:81 --connect late --accept-proxy', /exclude each other/],
  ] as const)
    t.throws(() => line(text), { code: 'ERR_FT_USAGE', message });
  t.throws(() => line('--config /nowhere/g.json'), { code: 'ERR_FT_CONFIG', message: /cannot be read \(ENOENT\)/ });
});
