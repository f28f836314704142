/**
 * Three replicas of a group on one machine, of which two are backups, with a file lock as
 * coordinator.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, get, inLab, sleep, until } from '../failover/support/lab.js';

const MIXED = fileURLToPath(new URL('../failover/apps/mixed.js', import.meta.url));
const KIT = fileURLToPath(new URL('../failover/apps/kit.js', import.meta.url));
const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);

const NAMES = ['a', 'b', 'c'];
const file = join(directory, 'cluster.json');

function configure(more: object = {}): void {
  writeFileSync(join(directory, 'key'), 'ab'.repeat(32), { mode: 0o600 });
  const nodes = NAMES.map((name, i) => ({ name, host: '127.0.0.1', port: 7461 + i }));
  const coordinator = { type: 'file-lock', directory: 'lock', leaseMs: 400 };
  writeFileSync(file, JSON.stringify({ nodes, tls: { psk: 'key' }, coordinator, newGroupDelayMs: 2000, ...more }));
}

function start(name: string, group: string, program = [KIT]): ReplicaProcess {
  mkdirSync(join(directory, name), { recursive: true });
  const words = ['--cluster', file, '--node', name, '--group', group, '--dir', join(directory, name)];
  return new ReplicaProcess([...words, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`, '--log-size', '16', ...program]);
}

const last = (agent: ReplicaProcess, name: string): Record<string, unknown> | undefined =>
  agent.events.filter(({ event }) => event === name).at(-1);

/** The node that leads and still runs. */
function leader(agents: Map<string, ReplicaProcess>): [string, ReplicaProcess] | undefined {
  const roles = ['joining', 'follower', 'disconnected', 'leader'];
  return [...agents].find(
    ([, agent]) =>
      !agent.hasExited && agent.events.filter(({ event }) => roles.includes(event)).at(-1)?.event === 'leader',
  );
}

/** Asks for lines; also tells how many have come. */
function ticks(count: number): [answer: Promise<string>, come: () => number] {
  let come = 0;
  const answer = get(`/ticks/${count}`, 60_000, (text) => {
    come = text.split('\n').length - 1;
  });
  return [answer, () => come];
}

t.test('a connection survives two takeovers in quick succession', async (t) => {
  configure();
  const agents = new Map(NAMES.map((name) => [name, start(name, 'three')]));
  await until('all are in sync', () => {
    const found = leader(agents);
    return found !== undefined && (last(found[1], 'in-sync')?.['nodes'] as string[] | undefined)?.length === 3;
  });
  const [answer, come] = ticks(600);
  await until('the first lines have come', () => come() > 30);
  const [first, firstAgent] = leader(agents)!;
  // Its replica dies; the agent lives.
  process.kill(Number(last(firstAgent, 'role')!['pid']), 'SIGKILL');
  await until('another one leads', () => leader(agents) !== undefined && leader(agents)![0] !== first);
  const [second, secondAgent] = leader(agents)!;
  await until('the third one follows it', () => (last(secondAgent, 'in-sync')?.['nodes'] as string[])?.length === 2);
  // At once, agent and all: only the third has what is needed, as the first one's program has only
  // just been started again.
  secondAgent.kill('SIGKILL');
  await until('a third one leads', () => leader(agents) !== undefined && leader(agents)![0] !== second);
  t.ok(come() < 600, 'both died in the middle');
  const text = await answer;
  const lines = text.trim().split('\n');
  t.same(
    lines.map((line) => Number(line.split(' ')[0])),
    Array.from({ length: 600 }, (_, n) => n),
  );
  t.equal(new Set(lines.map((line) => line.split(' ')[2])).size, 600, 'each random value is drawn once');
  t.equal(await get('/made'), text, 'the third made the same lines, those of its predecessors by replay');
  agents.set(second, start(second, 'three'));
  await until('three again', () => {
    const found = leader(agents);
    return found !== undefined && (last(found[1], 'in-sync')?.['nodes'] as string[] | undefined)?.length === 3;
  });
  await Promise.all([...agents.values()].map((agent) => agent.close()));
});

t.test('an agent that stands still is killed, and another node takes over', async (t) => {
  configure({ requiredBackups: 1 });
  const agents = new Map(NAMES.map((name) => [name, start(name, 'still')]));
  await until('in sync', () => {
    const found = leader(agents);
    return found !== undefined && ((last(found[1], 'in-sync')?.['nodes'] as string[] | undefined)?.length ?? 0) >= 2;
  });
  const [answer, come] = ticks(200);
  await until('the first lines have come', () => come() > 30);
  const [name, agent] = leader(agents)!;
  agent.kill('SIGSTOP');
  t.ok(come() < 200, 'in the middle');
  const ended = agent.exited;
  agents.delete(name);
  await until('another one leads', () => leader(agents) !== undefined);
  t.equal((await ended).signal, 'SIGKILL');
  t.equal((await answer).trim().split('\n').length, 200);
  await Promise.all([...agents.values()].map((one) => one.close()));
});

t.test('one of two backups has joined late: each of them can take over', async (t) => {
  configure();
  const begin = (name: string): ReplicaProcess => start(name, 'late', [MIXED]);
  const agents = new Map(NAMES.map((name) => [name, begin(name)]));
  const inSync = (count: number) =>
    until(`${count} in sync`, () => {
      const found = leader(agents);
      return found !== undefined && (last(found[1], 'in-sync')?.['nodes'] as string[] | undefined)?.length === count;
    });
  await inSync(3);
  const clients = [new Client(5), new Client(7)] as const;
  const ask = async (text: string): Promise<string[]> => {
    const before = clients.map((client) => client.text.length);
    for (const client of clients) client.socket.write(`${text}\n`);
    for (const [i, client] of clients.entries()) await client.waitFor(before[i] + 3, 30_000);
    await sleep(50);
    return clients.map((client, i) => client.text.slice(before[i]).trim());
  };
  t.same(await ask('a'), ['1 of 1 a', '1 a']);
  const filler = new Client(6);
  filler.socket.end(Buffer.alloc(24 << 20));
  await filler.ended;
  // One of those that follow is started again: it joins in the middle.
  const [first] = leader(agents)!;
  const late = NAMES.find((name) => name !== first)!;
  agents.get(late)!.kill('SIGKILL');
  await inSync(2);
  agents.set(late, begin(late));
  await inSync(3);
  t.same(await ask('b'), ['2 of 3 b', '2 b']);
  for (const [count, text] of [
    [3, 'c'],
    [4, 'd'],
  ] as const) {
    const [name, agent] = leader(agents)!;
    agent.kill('SIGKILL');
    agents.delete(name);
    await until('another one leads', () => leader(agents) !== undefined);
    if (agents.size > 1) await inSync(agents.size);
    t.same(await ask(text), [`${count} of ${count + 1} ${text}`, `${count} ${text}`], `without ${name}`);
  }
  for (const client of clients) client.socket.destroy();
  await Promise.all([...agents.values()].map((agent) => agent.close()));
});
