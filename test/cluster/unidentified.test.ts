import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import t from 'tap';
import type { ClusterConfig } from '../../failover/cluster/config/config.js';
import { Links } from '../../failover/cluster/transport/links.js';
import {
  MAX_UNIDENTIFIED,
  MAX_UNIDENTIFIED_PER_ADDRESS,
  UnidentifiedConnections,
} from '../../failover/cluster/transport/unidentified.js';

const HOST = '127.0.0.1';
let port = 40_000 + (process.pid % 20_000);
/** The handshake's time in links.ts. Milliseconds. */
const HANDSHAKE_MS = 3000;

function linksOf(self: string, ports: Record<string, number>, key: Buffer, up: string[]): Links {
  const nodes = ['a', 'b'].map((name) => ({ name, host: HOST, port: ports[name] ?? 0 }));
  const config: ClusterConfig = {
    self: { name: self, host: HOST, port: ports[self] ?? 0 },
    nodes,
    listen: HOST,
    credentials: { kind: 'psk', key },
    coordinator: { type: 'fence-command', fence: '/bin/false', fenceTimeoutMs: 1000 },
    requiredBackups: 1,
    peerTimeoutMs: 500,
    newGroupDelayMs: 1000,
  };
  return new Links(
    config,
    { group: 'g', node: self, incarnation: self },
    { up: (peer) => up.push(peer), down: () => undefined, message: () => undefined, writable: () => undefined },
  );
}

function idle(to: number, from = HOST): net.Socket {
  const socket = net.connect({ port: to, host: HOST, localAddress: from });
  socket.on('error', () => undefined);
  return socket;
}

async function until(condition: () => boolean): Promise<boolean> {
  for (let i = 0; i < 1000 && !condition(); i++) await new Promise((done) => setTimeout(done, 10));
  return condition();
}

t.test('a member connects while idle connections are held and opened again', async (t) => {
  const ports = { a: port++, b: port++ };
  const key = randomBytes(32);
  const upA: string[] = [];
  const upB: string[] = [];
  const b = linksOf('b', ports, key, upB);
  await b.open();
  const held = new Set<net.Socket>();
  let isFlooding = true;
  const hold = (from: string): void => {
    if (!isFlooding) return;
    const socket = idle(ports.b, from);
    held.add(socket);
    socket.once('close', () => {
      held.delete(socket);
      setTimeout(hold, 20, from);
    });
  };
  for (let i = 0; i < 4 * MAX_UNIDENTIFIED; i++) hold(`127.0.0.${2 + (i % 8)}`);
  t.ok(await until(() => b.counters.refused >= MAX_UNIDENTIFIED), 'the connections are limited');
  const a = linksOf('a', ports, key, upA);
  await a.open();
  t.ok(await until(() => upA.length > 0 && upB.length > 0), 'the member is connected');
  isFlooding = false;
  for (const socket of held) socket.destroy();
  a.close();
  b.close();
});

t.test('a connection without a handshake is closed in time, also when it sends', async (t) => {
  const ports = { a: port++, b: port++ };
  const b = linksOf('b', ports, randomBytes(32), []);
  await b.open();
  const before = performance.now();
  const silent = idle(ports.b);
  const slow = idle(ports.b);
  // The beginning of a ClientHello, one byte at a time.
  const hello = Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3]);
  let sent = 0;
  const timer = setInterval(() => slow.write(hello.subarray(sent, ++sent)), 500);
  slow.once('close', () => clearInterval(timer));
  await Promise.all([once(silent.resume(), 'close'), once(slow.resume(), 'close')]);
  t.ok(performance.now() - before >= HANDSHAKE_MS - 100, 'not before the time is over');
  t.ok(sent < hello.length, 'before the handshake was complete');
  t.ok(b.counters.refused >= 2, 'both are counted');
  b.close();
});

t.test('which connection makes room', async (t) => {
  const sockets: net.Socket[] = [];
  let dropped = 0;
  const connections = new UnidentifiedConnections(60_000, () => dropped++);
  const add = (address: string): net.Socket => {
    const socket = new net.Socket();
    Object.defineProperties(socket, { remoteAddress: { value: address }, remotePort: { value: sockets.length } });
    sockets.push(socket);
    connections.add(socket);
    return socket;
  };
  const first = add('10.0.0.1');
  for (let i = 1; i < MAX_UNIDENTIFIED_PER_ADDRESS; i++) add('10.0.0.1');
  t.notOk(first.destroyed);
  add('10.0.0.1');
  t.ok(first.destroyed, 'the oldest of the address');
  t.equal(dropped, 1);
  t.equal(connections.size, MAX_UNIDENTIFIED_PER_ADDRESS);
  const single = add('10.0.0.2');
  for (let i = connections.size; i < MAX_UNIDENTIFIED; i++) add(`10.0.1.${i}`);
  add('10.0.0.3');
  t.notOk(single.destroyed);
  t.ok(sockets[1]?.destroyed, 'the oldest of the address with the most');
  t.equal(connections.size, MAX_UNIDENTIFIED);
  connections.identified('10.0.0.2', single.remotePort);
  t.equal(connections.size, MAX_UNIDENTIFIED - 1);
  connections.close();
  t.equal(connections.size, 0);
  t.notOk(single.destroyed, 'an identified connection stays');
});
