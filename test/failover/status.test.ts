/** The table of the status has exactly the fields that real answers have. Inside of a lab. */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { STATUS_FIELDS, type StatusField, type StatusFields } from '../../failover/cli/reference/status-fields.js';
import type { GroupStatus } from '../../failover/cli/status.js';
import { STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { Client, get, inLab, KIT, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);
const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

/** Whether a value has the type that the table says. */
function hasType(value: unknown, { type, nullable }: StatusField): boolean {
  if (value === null) return nullable === true;
  switch (type) {
    case 'integer':
      return Number.isInteger(value);
    case 'string[]':
      return Array.isArray(value) && value.every((one) => typeof one === 'string');
    case 'integer[]':
      return Array.isArray(value) && value.every(Number.isInteger);
    case 'list':
      return Array.isArray(value);
    case 'map':
    case 'object':
      return typeof value === 'object' && !Array.isArray(value);
    default:
      return typeof value === type;
  }
}

/** Compares an answer with the table. `seen` gets every place that the answer has. */
function compare(answer: object, fields: StatusFields, place: string, seen: Set<string>): string[] {
  const problems: string[] = [];
  for (const [name, value] of Object.entries(answer)) {
    const here = `${place}${name}`;
    const field = fields[name];
    if (field === undefined) {
      problems.push(`${here} is not in the table`);
      continue;
    }
    seen.add(here);
    if (!hasType(value, field)) problems.push(`${here} is no ${field.type}: ${JSON.stringify(value)}`);
    else if (field.fields !== undefined && value !== null) {
      const inner = field.type === 'object' ? [value] : Object.values(value as object);
      for (const one of inner as object[]) problems.push(...compare(one, field.fields, `${here}.`, seen));
    }
  }
  for (const [name, { optional }] of Object.entries(fields))
    if (optional !== true && !(name in answer)) problems.push(`${place}${name} is missing`);
  return problems;
}

/** Every place of the table. */
function places(fields: StatusFields, place = ''): string[] {
  return Object.entries(fields).flatMap(([name, field]) => [
    `${place}${name}`,
    ...(field.fields === undefined ? [] : places(field.fields, `${place}${name}.`)),
  ]);
}

const seen = new Set<string>();

function status(group: string, place = directory): GroupStatus {
  const { stdout } = spawnSync(process.execPath, [CLI, 'status', '--json', '--group', group, '--dir', place], {
    encoding: 'utf8',
  });
  return JSON.parse(stdout) as GroupStatus;
}

t.test('a group of two, before and after a takeover', async (t) => {
  const group = new TestGroup(directory);
  const [primary, backup] = await group.pair();
  const client = new Client(8);
  client.socket.write('hello');
  await client.waitFor(5);
  const before = status(group.name);
  t.same(compare(before, STATUS_FIELDS, '', seen), []);
  t.match(before, { replicas: [{ peerPid: backup.pid }, { peerPid: primary.pid }], unresponsive: [] });
  const require = (what: string) => {
    const words = ['status', '--require', what, '--group', group.name, '--dir', directory];
    const { status: code, stderr } = spawnSync(process.execPath, [CLI, ...words], { encoding: 'utf8' });
    return { code, stderr };
  };
  for (const what of ['protected', 'all-connections']) t.same(require(what), { code: 0, stderr: '' }, what);
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.same(require('primary'), { code: 0, stderr: '' });
  t.match(require('protected'), { code: 1, stderr: /is not protected\. Start a backup/ });
  t.same(compare(status(group.name), STATUS_FIELDS, '', seen), []);
  client.socket.destroy();
  await group.close();
});

t.test('a group on two nodes', async (t) => {
  const file = join(directory, 'cluster.json');
  writeFileSync(join(directory, 'key'), 'ab'.repeat(32), { mode: 0o600 });
  const nodes = ['a', 'b'].map((name, i) => ({ name, host: '127.0.0.1', port: 7481 + i }));
  const coordinator = { type: 'file-lock', directory: 'lock', leaseMs: 400 };
  writeFileSync(file, JSON.stringify({ nodes, tls: { psk: 'key' }, coordinator }));
  const start = (name: string): ReplicaProcess => {
    const words = ['--cluster', file, '--node', name, '--group', 'two', '--dir', join(directory, name)];
    return new ReplicaProcess([...words, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`, '--log-size', '16', KIT]);
  };
  const agents = [start('a'), start('b')];
  await Promise.any(agents.map((agent) => agent.event('protected', 30_000)));
  t.equal(await get('/'), 'hello');
  for (const name of ['a', 'b']) {
    const answer = status('two', join(directory, name));
    t.same(compare(answer, STATUS_FIELDS, '', seen), [], name);
    t.equal(answer.cluster?.node, name);
    const socket = join(directory, name, 'two', `${answer.replicas[0]?.pid}.control`);
    const metrics = spawnSync('curl', ['--silent', '--unix-socket', socket, 'http://x/metrics'], { encoding: 'utf8' });
    const leads = answer.cluster?.role === 'leader' ? 1 : 0;
    t.match(metrics.stdout, `ft_tcp_cluster_leader{group="two",node="${name}"} ${leads}\n`);
  }
  await Promise.all(agents.map((agent) => agent.close()));
});

t.test('a gateway', async (t) => {
  const group = new TestGroup(directory, ['--listen', `${STACK_ADDRESS}:80`, '--to', '10.77.0.1:7000'], [], 'gateway');
  await group.pair();
  t.same(compare(status(group.name), STATUS_FIELDS, '', seen), []);
  await group.close();
});

t.test('the table has no field that no answer has', async (t) => {
  t.same(
    places(STATUS_FIELDS).filter((place) => !seen.has(place)),
    [],
  );
});
