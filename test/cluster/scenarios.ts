/** What can happen to machines, to what connects them, and to etcd; and what must be so then. */
import { spawnSync } from 'node:child_process';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sendCommand } from '../../failover/admin/commands.js';
import { askAgent, CLUSTER_STATUS } from '../../failover/cluster/agent/status.js';
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

/** Frames of a node since a moment, and whether there have been none for a while. */
async function silent(node: Node, ms: number): Promise<void> {
  const before = node.heard.length;
  await pause(ms);
  if (node.heard.length > before) throw new Error(`${node.name} sent ${node.heard.length - before} frames`);
}

async function leads(_lab: ClusterLab, node: Node, ms = 15_000): Promise<void> {
  await until(`${node.name} leads`, () => node.role === 'leading' && node.agent?.hasExited === false, ms);
}

/** It answers clients. */
async function speaks(node: Node): Promise<void> {
  const before = node.heard.length;
  await until(`${node.name} speaks`, () => node.heard.length > before);
}

function signal(pid: number, name: NodeJS.Signals): void {
  process.kill(pid, name);
}

/** A fence command that does what a power switch would: the other machine's processes are gone. */
function fence(lab: ClusterLab): void {
  const path = join(lab.directory, 'fence');
  const lines = ['#!/bin/sh', `echo "$1" >> ${join(lab.directory, 'fenced')}`];
  for (const { name } of lab.nodes)
    lines.push(`[ "$1" = ${name} ] && kill -9 $(cat ${join(lab.directory, `pid-${name}`)})`);
  writeFileSync(path, `${lines.join('\n')}\nexit 0\n`);
  chmodSync(path, 0o755);
  lab.configure({ type: 'static', fence: path });
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
      signal(old.member, 'SIGKILL');
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
      signal(old.member, 'SIGSTOP');
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
    what: "the primary's machine stands still for five seconds, and goes on as if nothing had been",
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      const { member } = old;
      signal(member, 'SIGSTOP');
      old.agent?.kill('SIGSTOP');
      await leads(lab, lab.other(old));
      await pause(3000);
      const silence = silent(old, 1000);
      old.agent?.kill('SIGCONT');
      signal(member, 'SIGCONT');
      await silence;
      await lab.inSync(2);
    },
  },
  {
    name: 'backup-off',
    what: "the backup's machine is off: the primary goes on without it",
    client: 'download',
    async run(lab, group) {
      const { leader } = lab;
      const backup = lab.other(leader);
      lab.off(backup);
      await lab.inSync(1);
      await speaks(leader);
      lab.start(backup, group);
      await lab.inSync(2);
      if (lab.leader !== leader) throw new Error('another one leads');
    },
  },
  {
    name: 'cut-etcd',
    what: 'the primary reaches its backup and its clients, but not etcd: it falls silent, the backup goes on',
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      const next = lab.other(old);
      lab.cutEtcd(old, true);
      await leads(lab, next);
      await silent(old, 500);
      await speaks(next);
      lab.cutEtcd(old, false);
      await lab.inSync(2);
      if (lab.leader !== next) throw new Error('the old one leads again');
    },
  },
  {
    name: 'cut-backup',
    what: 'primary and backup reach etcd, but not each other: the primary goes on, the backup stays silent',
    client: 'echo',
    async run(lab) {
      const { leader } = lab;
      const backup = lab.other(leader);
      lab.cutPeers(leader, backup, true);
      await lab.inSync(1);
      await speaks(leader);
      await silent(backup, 3000);
      await speaks(leader);
      lab.cutPeers(leader, backup, false);
      await lab.inSync(2);
      if (lab.leader !== leader) throw new Error('another one leads');
    },
  },
  {
    name: 'cut-off',
    what: 'the primary reaches neither etcd nor its backup, only its clients: it falls silent, the backup goes on',
    client: 'echo',
    async run(lab) {
      const old = lab.leader;
      const next = lab.other(old);
      lab.cutEtcd(old, true);
      lab.cutPeers(old, next, true);
      await leads(lab, next);
      await silent(old, 500);
      await speaks(next);
      lab.cutEtcd(old, false);
      lab.cutPeers(old, next, false);
      await lab.inSync(2);
    },
  },
  {
    name: 'etcd-down',
    what: 'etcd is down for four seconds: all fall silent when the lease ends, and one goes on when etcd is back',
    client: 'echo',
    async run(lab) {
      await lab.stopEtcd();
      await pause(3000);
      for (const node of lab.nodes) await silent(node, 500);
      await lab.startEtcd();
      await until('somebody speaks', () => {
        const leader = lab.nodes.find(({ role }) => role === 'leading');
        return leader?.last('silent') !== undefined || (leader?.agents.length ?? 0) > 0;
      });
      await speaks(lab.leader);
      await lab.inSync(2);
    },
  },
  {
    name: 'switchover',
    what: 'a planned move to the other machine',
    client: 'download',
    async run(lab, group) {
      const old = lab.leader;
      await sendCommand(join(lab.directory, old.name, group, `${old.member}.control`), 'switchover', 10_000);
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
    prepare: (lab) => lab.useEtcd({ stable: 'all' }),
    async run(lab) {
      const first = lab.leader;
      lab.off(first);
      await until('another one leads', () => lab.nodes.some((node) => node !== first && node.role === 'leading'));
      const second = lab.nodes.find((node) => node !== first && node.role === 'leading')!;
      await until('both in sync', () => (second.last('in-sync')?.['nodes'] as string[] | undefined)?.length === 2);
      lab.off(second);
      const third = lab.nodes.find((node) => node !== first && node !== second)!;
      await leads(lab, third);
      await speaks(third);
    },
  },
  {
    name: 'static-off',
    what: "no etcd: the primary's machine is off; the backup makes sure of it by the fence command",
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
    name: 'static-cut',
    what: 'no etcd: the machines do not reach each other; whoever is faster switches the other one off',
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
      await speaks(left);
      lab.cutPeers(one, other, false);
      lab.start(lab.other(left), group);
      await lab.inSync(2);
    },
  },
];

/** Asks a node's agent. */
export function agentStatus(lab: ClusterLab, node: Node, group: string): ReturnType<typeof askAgent> {
  return askAgent(join(lab.directory, node.name, group, CLUSTER_STATUS));
}
