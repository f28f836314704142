/**
 * The gateway as real processes: clients and servers are the kernel's, and know nothing of it. Each
 * primary is killed, and a replica that joins late holds all relays.
 */
import { createHash } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { askGateway, type GatewayReport } from '../../failover/gateway/admin.js';
import { CLIENT_ADDRESS } from '../../failover/lab/network.js';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(300_000);
const SERVER_PORT = 7000;
const PORT = 80;
const BYTES = 24 << 20;
/** Processes start slowly on a busy machine. */
const PATIENCE_MS = 60_000;

/** A kernel's server, until the test ends. */
async function serve(
  t: { teardown(fn: () => void): void },
  port: number,
  onConnection: (socket: net.Socket) => void,
): Promise<net.Server> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.on('close', () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((done) => void server.listen(port, CLIENT_ADDRESS, done));
  t.teardown(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  return server;
}

function gatewayGroup(...options: string[]): TestGroup {
  const service = ['--listen', `${STACK_ADDRESS}:${PORT}`, '--to', `${CLIENT_ADDRESS}:${SERVER_PORT}`];
  return new TestGroup(directory, [...service, ...options], [], 'gateway');
}

/** A client that does not outlive its test. */
function connect(t: { teardown(fn: () => void): void }, port = PORT): Client {
  const client = new Client(port);
  t.teardown(() => client.socket.destroy());
  return client;
}

async function say(client: Client, text: string): Promise<boolean> {
  const before = client.text.length;
  client.socket.write(text);
  await client.waitFor(before + text.length);
  return client.text.slice(before) === text;
}

/** The primary dies; its backup takes over, and another one joins. */
async function killed(group: TestGroup, primary: ReplicaProcess, backup: ReplicaProcess): Promise<ReplicaProcess> {
  primary.kill('SIGKILL');
  await backup.event('takeover', PATIENCE_MS);
  const next = group.start();
  await next.event('ready', PATIENCE_MS);
  return next;
}

t.test('relays outlive one gateway after another', async (t) => {
  await serve(t, SERVER_PORT, (socket) => socket.pipe(socket));
  const group = gatewayGroup();
  t.teardown(() => group.close());
  const [primary, second] = await group.pair(PATIENCE_MS);
  const clients = Array.from({ length: 5 }, () => connect(t));
  for (const [n, client] of clients.entries()) t.ok(await say(client, `first ${n}\n`));
  const third = await killed(group, primary, second);
  for (const [n, client] of clients.entries()) t.ok(await say(client, `second ${n}\n`), client.error ?? client.text);
  const fresh = connect(t);
  t.ok(await say(fresh, 'a new client\n'), fresh.error ?? fresh.text);
  let status = await group.status(second);
  for (let i = 0; i < 100 && status?.connections.protected !== status?.connections.total; i++) {
    await sleep(20);
    status = await group.status(second);
  }
  t.equal(status?.connections.total, 12, 'both connections of each relay');
  t.equal(status?.connections.protected, 12, 'all are protected by the late joiner');
  await killed(group, second, third);
  for (const [n, client] of [...clients, fresh].entries())
    t.ok(await say(client, `third ${n}\n`), client.error ?? client.text);
  for (const client of [...clients, fresh]) {
    client.socket.end();
    await client.ended;
    t.equal(client.error, null);
  }
});

t.test('bulk data in both directions is exact across two deaths', async (t) => {
  const block = Buffer.alloc(1 << 16);
  for (let i = 0; i < block.length; i++) block[i] = (i * 31 + (i >>> 8) * 7) & 255;
  const send = (socket: net.Socket, end: () => void): void => {
    let left = BYTES / block.length;
    const more = (): void => {
      while (left > 0) {
        left--;
        if (!socket.write(block)) return void socket.once('drain', more);
      }
      end();
    };
    more();
  };
  const expected = createHash('sha256');
  for (let i = 0; i < BYTES / block.length; i++) expected.update(block);
  const digest = expected.digest('hex');
  const received: Promise<string>[] = [];
  const receive = (socket: net.Socket, onBytes: (bytes: number) => void): void => {
    const hash = createHash('sha256');
    let bytes = 0;
    socket.on('data', (part) => {
      hash.update(part);
      bytes += part.length;
      onBytes(bytes);
    });
    received.push(
      new Promise((done) => {
        socket.on('end', () => done(hash.digest('hex')));
        socket.on('error', (error) => done(error.message));
      }),
    );
  };
  await serve(t, SERVER_PORT, (socket) => {
    receive(socket, () => undefined);
    send(socket, () => socket.end());
  });
  const group = gatewayGroup('--log-size', '16');
  t.teardown(() => group.close());
  const [primary, second] = await group.pair(PATIENCE_MS);
  let got = 0;
  const socket = net.connect({ host: STACK_ADDRESS, port: PORT, allowHalfOpen: true });
  t.teardown(() => socket.destroy());
  receive(socket, (bytes) => {
    got = bytes;
  });
  send(socket, () => socket.end());
  await until('a quarter', () => got > BYTES / 4, PATIENCE_MS);
  const third = await killed(group, primary, second);
  await until('more', () => got > BYTES / 2, PATIENCE_MS);
  await killed(group, second, third);
  await until('both ends', () => received.length === 2, PATIENCE_MS);
  t.same(await Promise.all(received), [digest, digest]);
});

t.test('a refusal, a retry, a hold, and a reload', async (t) => {
  const config = join(directory, 'gateway.json');
  const write = (...servers: string[]): void =>
    writeFileSync(
      config,
      JSON.stringify({
        services: [
          { name: 'late', listen: `${STACK_ADDRESS}:81`, servers, connect: 'late' },
          { name: 'hold', listen: `${STACK_ADDRESS}:82`, servers: [`${CLIENT_ADDRESS}:7002`], holdMs: 5000 },
        ],
      }),
    );
  write(`${CLIENT_ADDRESS}:7001`);
  const group = new TestGroup(directory, ['--config', config], [], 'gateway');
  t.teardown(() => group.close());
  const [primary] = await group.pair(PATIENCE_MS);
  const socketOf = ({ pid }: ReplicaProcess): string => `${directory}/${group.name}/${pid}.gateway`;
  const refused = connect(t, 81);
  await refused.ended;
  t.equal(refused.error, 'ECONNREFUSED', 'late: the refusal of the server is passed on');
  const held = connect(t, 82);
  held.socket.write('waits\n');
  await sleep(300);
  await serve(t, 7002, (socket) => socket.pipe(socket));
  await held.waitFor(6);
  t.equal(held.text, 'waits\n', 'hold: a client waits for its server');
  writeFileSync(config, '{ "services": [{ "name": "x" }] }');
  await t.rejects(askGateway(socketOf(primary), 'reload'), {
    code: 'ERR_FT_CONFIG',
    message: /services\[0\]\.listen: missing; expected ADDRESS:PORT/,
  });
  await serve(t, 7003, (socket) => socket.pipe(socket));
  write(`${CLIENT_ADDRESS}:7001`, `${CLIENT_ADDRESS}:7003`);
  await askGateway(socketOf(primary), 'reload');
  const retried = [connect(t, 81), connect(t, 81)];
  for (const client of retried) t.ok(await say(client, 'another server\n'), client.error ?? client.text);
  t.ok(await say(held, 'still there\n'), 'a relay outlives the reload');
  const report = (await askGateway(socketOf(primary), 'report')) as GatewayReport;
  t.equal(report.relays, 3);
  t.equal(report.services[0]?.servers[1]?.connections, 2);
  t.equal(report.connections.filter(({ service }) => service === 'hold').length, 1);
});
