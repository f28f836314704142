/** A gateway with two backups at once, each with an agent; a file lock is the coordinator. */
import { mkdirSync, writeFileSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { CLIENT_ADDRESS, STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, inLab, until } from '../failover/support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(300_000);

const NAMES = ['a', 'b', 'c'];
const SERVER_PORT = 7000;
/** Processes start slowly on a busy machine. */
const PATIENCE_MS = 90_000;
const file = join(directory, 'cluster.json');

function start(name: string): ReplicaProcess {
  mkdirSync(join(directory, name), { recursive: true });
  const where = ['--cluster', file, '--node', name, '--dir', join(directory, name), '--log-size', '16'];
  const service = ['--listen', `${STACK_ADDRESS}:80`, '--to', `${CLIENT_ADDRESS}:${SERVER_PORT}`];
  const words = [...where, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`, ...service];
  return new ReplicaProcess(words, undefined, 'gateway');
}

/** The node that leads and still runs. */
function leader(agents: Map<string, ReplicaProcess>): [string, ReplicaProcess] | undefined {
  const roles = ['joining', 'follower', 'disconnected', 'leader'];
  return [...agents].find(
    ([, agent]) =>
      !agent.hasExited && agent.events.filter(({ event }) => roles.includes(event)).at(-1)?.event === 'leader',
  );
}

async function say(client: Client, text: string): Promise<boolean> {
  const before = client.text.length;
  client.socket.write(text);
  await client.waitFor(before + text.length);
  return client.text.slice(before) === text;
}

t.test('relays survive the loss of two nodes, one after the other', async (t) => {
  writeFileSync(join(directory, 'key'), 'ab'.repeat(32), { mode: 0o600 });
  const nodes = NAMES.map((name, i) => ({ name, host: '127.0.0.1', port: 7471 + i }));
  const coordinator = { type: 'file-lock', directory: 'lock', leaseMs: 400 };
  writeFileSync(file, JSON.stringify({ nodes, tls: { psk: 'key' }, coordinator, newGroupDelayMs: 2000 }));
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    socket.pipe(socket);
  });
  await new Promise<void>((done) => void server.listen(SERVER_PORT, CLIENT_ADDRESS, done));
  const agents = new Map(NAMES.map((name) => [name, start(name)]));
  t.teardown(async () => {
    await Promise.all([...agents.values()].map((agent) => agent.close()));
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const inSync = (count: number): boolean => {
    const found = leader(agents);
    const last = found?.[1].events.filter(({ event }) => event === 'in-sync').at(-1);
    return (last?.['nodes'] as string[] | undefined)?.length === count;
  };
  await until('all are in sync', () => inSync(3), PATIENCE_MS);
  const clients = [new Client(80), new Client(80)];
  t.teardown(() => {
    for (const client of clients) client.socket.destroy();
  });
  for (const client of clients) t.ok(await say(client, 'three nodes\n'), client.error ?? client.text);
  for (const left of [2, 1]) {
    const [name, agent] = leader(agents)!;
    agent.kill('SIGKILL');
    await until('another node leads', () => leader(agents) !== undefined && leader(agents)![0] !== name, PATIENCE_MS);
    for (const client of clients) t.ok(await say(client, `${left} left\n`), client.error ?? client.text);
    if (left > 1) await until('the other one is in sync', () => inSync(left), PATIENCE_MS);
  }
});
