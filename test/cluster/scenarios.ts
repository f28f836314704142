/**
 * Faults of machines, of the connections between them, and of etcd; and what has to happen then.
 */
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sendCommand } from '../../failover/admin/commands.js';
import { askAgent, CLUSTER_STATUS_SOCKET } from '../../failover/cluster/agent/status.js';
import { type ClusterLab, type Node, pause, until } from './lab.js';

export interface ClusterScenario {
  name: string;
  /** In one line. */
  what: string;
  nodes?: string[];
  /** Which clients run meanwhile. */
  client: 'echo' | 'download';
  /** Instead of etcd. */
  prepare?(lab: ClusterLab): void;
  run(lab: ClusterLab, group: string): Promise<void>;
}

/** Checks that a node sends no frame for a time in milliseconds. */
async function sendsNothing(node: Node, ms: number): Promise<void> {
  const before = node.frameTimesMs.length;
  await pause(ms);
  if (node.frameTimesMs.length > before)
    throw new Error(`${node.name} sent ${node.frameTimesMs.length - before} frames`);
}

async function leads(_lab: ClusterLab, node: Node, ms = 15_000): Promise<void> {
  await until(`${node.name} leads`, () => node.role === 'leader' && node.agent?.hasExited === false, ms);
}

/** Waits until a node sends to clients. */
async function sends(node: Node): Promise<void> {
  const before = node.frameTimesMs.length;
  await until(`${node.name} sends`, () => node.frameTimesMs.length > before);
}

function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}

/** A fence command that acts like a power switch: it kills the other machine's processes. */
function fence(lab: ClusterLab): void {
  const path = join(lab.directory, 'fence');
  const lines = ['#!/bin/sh', `echo "$1" >> ${join(lab.directory, 'fenced')}`];
  for (const { name } of lab.nodes)
    lines.push(`[ "$1" = ${name} ] && kill -9 $(cat ${join(lab.directory, `pid-${name}`)})`);
  writeFileSync(path, `${lines.join('\n')}\nexit 0\n`);
  chmodSync(path, 0o755);
  lab.configure({ type: 'fence-command', fence: path });
}

function notePids(lab: ClusterLab): void {
  for (const { name, agent } of lab.nodes) writeFileSync(join(lab.directory, `pid-${name}`), String(agent?.pid));
}

function fenced(lab: ClusterLab): string {
  const shown = spawnSync('cat', [join(lab.directory, 'fenced')], { encoding: 'utf8' });
  return shown.stdout.trim().split('\n').join(',');
}

export const CLUSTER_SCENARIOS: ClusterScenario[] = [
  {
    name: 'calm',
    what: 'nothing happens',
    client: 'download',
    async run(lab) {
      const { leader } = lab;
      await pause(1000);
      if (lab.leader !== leader) throw new Error('another one leads');
    },
  },
  {
    name: 'kill',
    what: "the primary's process is killed; its machine lives",
    client: 'download',
    async run(lab) {
      const old = lab.leader;
      const next = lab.other(old);
      signal(old.replicaPid, 'SIGKILL');
      await leads(lab, next);
      await lab.inSync(2);
    },
  },
  {
    name: 'hang',
    what: "the primary's process is stopped; its agent kills it",
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      signal(old.replicaPid, 'SIGSTOP');
      await leads(lab, lab.other(old));
      await lab.inSync(2);
    },
  },
  {
    name: 'machine',
    what: "the primary's machine is off, agent and all",
    client: 'download',
    async run(lab, group) {
      const old = lab.leader;
      lab.off(old);
      await leads(lab, lab.other(old));
      lab.start(old, group);
      await lab.inSync(2);
    },
  },
  {
    name: 'pause',
    what: "the primary's machine stands still for five seconds, then runs again",
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      const { replicaPid: member } = old;
      signal(member, 'SIGSTOP');
      old.agent?.kill('SIGSTOP');
      await leads(lab, lab.other(old));
      await pause(3000);
      const silence = sendsNothing(old, 1000);
      old.agent?.kill('SIGCONT');
      signal(member, 'SIGCONT');
      await silence;
      await lab.inSync(2);
    },
  },
  {
    name: 'backup-off',
    what: "the backup's machine is off: the primary serves alone",
    client: 'download',
    async run(lab, group) {
      const { leader } = lab;
      const backup = lab.other(leader);
      lab.off(backup);
      await lab.inSync(1);
      await sends(leader);
      lab.start(backup, group);
      await lab.inSync(2);
      if (lab.leader !== leader) throw new Error('another one leads');
    },
  },
  {
    name: 'cut-etcd',
    what: 'the primary reaches its backup and its clients, but not etcd: its lease expires, the backup takes over',
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      const next = lab.other(old);
      lab.cutEtcd(old, true);
      await leads(lab, next);
      await sendsNothing(old, 500);
      await sends(next);
      lab.cutEtcd(old, false);
      await lab.inSync(2);
      if (lab.leader !== next) throw new Error('the old one leads again');
    },
  },
  {
    name: 'cut-backup',
    what: 'primary and backup reach etcd, but not each other: the primary serves alone, the backup sends nothing',
    client: 'echo',
    async run(lab) {
      const { leader } = lab;
      const backup = lab.other(leader);
      lab.cutPeers(leader, backup, true);
      await lab.inSync(1);
      await sends(leader);
      await sendsNothing(backup, 3000);
      await sends(leader);
      lab.cutPeers(leader, backup, false);
      await lab.inSync(2);
      if (lab.leader !== leader) throw new Error('another one leads');
    },
  },
  {
    name: 'cut-off',
    what: 'the primary reaches neither etcd nor its backup, only its clients: its lease expires, the backup takes over',
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      const next = lab.other(old);
      lab.cutEtcd(old, true);
      lab.cutPeers(old, next, true);
      await leads(lab, next);
      await sendsNothing(old, 500);
      await sends(next);
      lab.cutEtcd(old, false);
      lab.cutPeers(old, next, false);
      await lab.inSync(2);
    },
  },
  {
    name: 'etcd-down',
    what: 'etcd is down for four seconds: no node sends after the lease has expired, until etcd is back',
    client: 'echo',
    async run(lab) {
      await lab.stopEtcd();
      await pause(3000);
      for (const node of lab.nodes) await sendsNothing(node, 500);
      await lab.startEtcd();
      await until('a node sends', () => {
        const leader = lab.nodes.find(({ role }) => role === 'leader');
        return leader?.last('lease-lost') !== undefined || (leader?.agents.length ?? 0) > 0;
      });
      await sends(lab.leader);
      await lab.inSync(2);
    },
  },
  {
    name: 'switchover',
    what: 'a planned move to the other machine',
    client: 'download',
    async run(lab, group) {
      const old = lab.leader;
      await sendCommand(join(lab.directory, old.name, group, `${old.replicaPid}.control`), 'switchover', 10_000);
      await leads(lab, lab.other(old));
      await lab.inSync(2);
    },
  },
  {
    name: 'deploy',
    what: 'SIGTERM to one machine after the other, each started again',
    client: 'echo',
    async run(lab, group) {
      for (let i = 0; i < 2; i++) {
        const old = lab.leader;
        old.agent?.kill('SIGTERM');
        await until('the agent ends', () => old.agent?.hasExited === true);
        await leads(lab, lab.other(old));
        lab.start(old, group);
        await lab.inSync(2);
      }
    },
  },
  {
    name: 'three',
    what: 'three machines, all hold the log: two are switched off one after the other',
    nodes: ['a', 'b', 'c'],
    client: 'echo',
    prepare: (lab) => lab.useEtcd({ requiredBackups: 'all' }),
    async run(lab) {
      const first = lab.leader;
      lab.off(first);
      await until('another one leads', () => lab.nodes.some((node) => node !== first && node.role === 'leader'));
      const second = lab.nodes.find((node) => node !== first && node.role === 'leader')!;
      await until('both in sync', () => (second.last('in-sync')?.['nodes'] as string[] | undefined)?.length === 2);
      lab.off(second);
      const third = lab.nodes.find((node) => node !== first && node !== second)!;
      await leads(lab, third);
      await sends(third);
    },
  },
  {
    name: 'fence-off',
    what: "no etcd: the primary's machine is off; the backup runs the fence command and takes over",
    client: 'download',
    prepare: fence,
    async run(lab, group) {
      notePids(lab);
      const old = lab.leader;
      const next = lab.other(old);
      lab.off(old);
      await leads(lab, next);
      if (fenced(lab) !== old.name) throw new Error(`fenced: ${fenced(lab)}`);
      lab.start(old, group);
      await lab.inSync(2);
    },
  },
  {
    name: 'fence-cut',
    what: 'no etcd: the machines do not reach each other; the faster one switches the other one off',
    client: 'echo',
    prepare: fence,
    async run(lab, group) {
      notePids(lab);
      const [one, other] = lab.nodes as [Node, Node];
      lab.cutPeers(one, other, true);
      await until('one is off', () => one.agent?.hasExited === true || other.agent?.hasExited === true);
      await pause(1000);
      if (one.agent?.hasExited === true && other.agent?.hasExited === true) throw new Error('both are off');
      const left = one.agent?.hasExited === true ? other : one;
      await leads(lab, left);
      await sends(left);
      lab.cutPeers(one, other, false);
      lab.start(lab.other(left), group);
      await lab.inSync(2);
    },
  },
];

/** Asks a node's agent. */
export function agentStatus(lab: ClusterLab, node: Node, group: string): ReturnType<typeof askAgent> {
  return askAgent(join(lab.directory, node.name, group, CLUSTER_STATUS_SOCKET));
}
