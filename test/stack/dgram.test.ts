import { once } from 'node:events';
import t from 'tap';
import { createDgram, FtDgram } from '../../stack/sockets/index.js';
import type { Stack } from '../../stack/stack.js';
import { Net } from './support/net.js';

function two(): { net: Net; a: Stack; b: Stack } {
  const net = new Net('dgram');
  const link = net.link();
  const { stack: a } = net.stack([{ device: link.a, options: { addresses: ['10.0.0.1/24', 'fd00::1/64'] } }]);
  const { stack: b } = net.stack([{ device: link.b, options: { addresses: ['10.0.0.2/24', 'fd00::2/64'] } }]);
  return { net, a, b };
}

/** Lets packets travel, and what was put off to the next tick happen. */
async function settle(net: Net): Promise<void> {
  for (let i = 0; i < 3; i++) {
    net.pass(50_000);
    await new Promise((done) => setImmediate(done));
  }
}

t.test('bind, send in all its forms, message, address, close', async (t) => {
  const { net, a, b } = two();
  const got: string[] = [];
  const server = createDgram(b, 'udp4', (message, info) =>
    got.push(`${message} ${info.address} ${info.family} ${info.port} ${info.size}`),
  );
  server.bind(53, '10.0.0.2');
  await once(server, 'listening');
  t.same(server.address(), { address: '10.0.0.2', family: 'IPv4', port: 53 });
  t.throws(() => server.bind(54), { code: 'ERR_SOCKET_ALREADY_BOUND' });
  const client = createDgram(a, 'udp4').bind(1000);
  const sent = await new Promise((done) =>
    client.send('one', 53, '10.0.0.2', (error: Error | null, bytes: number) => done([error, bytes])),
  );
  t.same(sent, [null, 3]);
  client.send(Buffer.from('xtwox'), 1, 3, 53, '10.0.0.2');
  client.send(['th', Buffer.from('ree')], 53, '10.0.0.2');
  await settle(net);
  t.same(got, ['one 10.0.0.1 IPv4 1000 3', 'two 10.0.0.1 IPv4 1000 3', 'three 10.0.0.1 IPv4 1000 5']);
  t.throws(() => client.send('x', 0, '10.0.0.2'), { code: 'ERR_SOCKET_BAD_PORT' });
  t.throws(() => client.send(Buffer.from('x'), 1, 3, 53, '10.0.0.2'), { code: 'ERR_BUFFER_OUT_OF_BOUNDS' });
  const taken = createDgram(b, 'udp4').bind(53, '10.0.0.2');
  t.match((await once(taken, 'error'))[0], { code: 'EADDRINUSE' });
  client.close();
  server.close();
  await once(server, 'close');
  t.throws(() => server.send('x', 53, '10.0.0.1'), { code: 'ERR_SOCKET_DGRAM_NOT_RUNNING' });
  t.equal(b.udp.size, 0);
  t.throws(() => new FtDgram(a, 'tcp4' as 'udp4'), { code: 'ERR_SOCKET_BAD_TYPE' });
});

t.test('connected: only the peer, and its refusals', async (t) => {
  const { net, a, b } = two();
  const client = createDgram(a, 'udp6');
  t.throws(() => client.remoteAddress(), { code: 'ERR_SOCKET_DGRAM_NOT_CONNECTED' });
  client.connect(99, 'fd00::2');
  await once(client, 'connect');
  t.same(client.remoteAddress(), { address: 'fd00::2', family: 'IPv6', port: 99 });
  t.throws(() => client.send('x', 99, 'fd00::2'), { code: 'ERR_SOCKET_DGRAM_IS_CONNECTED' });
  const failed = once(client, 'error');
  client.send('anybody?');
  await settle(net);
  t.match((await failed)[0], { code: 'ECONNREFUSED' });
  const got: string[] = [];
  client.on('message', (message) => got.push(String(message)));
  const right = createDgram(b, 'udp6').bind(99);
  const wrong = createDgram(b, 'udp6').bind(98);
  await settle(net);
  const { port } = client.address();
  right.send('right', port, 'fd00::1');
  wrong.send('wrong', port, 'fd00::1');
  await settle(net);
  t.same(got, ['right']);
  client.disconnect();
  wrong.send('now', port, 'fd00::1');
  await settle(net);
  t.same(got, ['right', 'now']);
});

t.test('an IPv6 socket hears IPv4 as mapped addresses, unless it does not want to', async (t) => {
  const { net, a, b } = two();
  const got: string[] = [];
  createDgram(b, 'udp6', (_m, info) => got.push(`${info.address} ${info.family}`)).bind(7);
  createDgram(b, { type: 'udp6', ipv6Only: true }, () => got.push('never')).bind(8);
  const client = createDgram(a, 'udp4');
  client.send('x', 7, '10.0.0.2');
  client.send('x', 8, '10.0.0.2');
  await settle(net);
  t.same(got, ['::ffff:10.0.0.1 IPv6']);
});

t.test('groups, broadcast and hop limits', async (t) => {
  const { net, a, b } = two();
  const got: string[] = [];
  const member = createDgram(b, 'udp4', (message) => got.push(String(message))).bind(5000);
  const client = createDgram(a, 'udp4');
  client.send('before', 5000, '239.1.1.1');
  await settle(net);
  member.addMembership('239.1.1.1');
  client.setMulticastInterface('10.0.0.1');
  client.send('member', 5000, '239.1.1.1');
  await settle(net);
  member.dropMembership('239.1.1.1');
  t.throws(() => member.dropMembership('239.1.1.1'), { code: 'EADDRNOTAVAIL' });
  client.send('after', 5000, '239.1.1.1');
  const refused = once(client, 'error');
  client.send('all', 5000, '10.0.0.255');
  t.match((await refused)[0], { code: 'EACCES' });
  client.setBroadcast(true);
  client.send('all', 5000, '10.0.0.255');
  client.send('everybody', 5000, '255.255.255.255');
  await settle(net);
  t.same(got, ['member', 'all', 'everybody']);
  t.throws(() => client.setTTL(0), { code: 'EINVAL' });
  t.equal(client.setTTL(9), 9);
  t.throws(() => client.setMulticastLoopback(true), { code: 'ENOTSUP' });
});
