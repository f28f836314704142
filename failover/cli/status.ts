/** `ft-tcp status`: who is primary, who protects what, how far behind. */

import { rmSync } from 'node:fs';
import { basename } from 'node:path';
import { askReplica, type ReplicaStatus } from '../admin/status.js';
import { askAgent, CLUSTER_STATUS, type ClusterStatus } from '../cluster/agent/status.js';
import { openGroup, STATUS } from './group-options.js';
import { parseOptions } from './options.js';

/** @returns 0 when a primary answers, 1 when none does. */
export async function statusCommand(argv: string[]): Promise<number> {
  const values = parseOptions(STATUS, argv);
  const group = openGroup(values);
  const replicas: ReplicaStatus[] = [];
  const silent: number[] = [];
  const paths = group.sockets();
  const answers = await Promise.all(paths.map(askReplica));
  for (const [i, answer] of answers.entries()) {
    const path = paths[i]!;
    // A socket that refuses was left by a process that was killed; one that is silent, by one that hangs.
    if (answer === 'gone') rmSync(path, { force: true });
    else if (answer === 'silent') silent.push(Number.parseInt(basename(path), 10));
    else replicas.push(answer);
  }
  replicas.sort((a, b) => (a.role === b.role ? a.pid - b.pid : a.role === 'primary' ? -1 : 1));
  const cluster = await askAgent(group.file(CLUSTER_STATUS));
  if (values.json)
    process.stdout.write(`${JSON.stringify({ group: values.group, replicas, silent, ...(cluster && { cluster }) })}\n`);
  else {
    if (cluster !== null) printCluster(cluster);
    print(values.group, replicas, silent);
  }
  // On another machine the primary may be.
  if (cluster !== null)
    return cluster.role === 'leading' || Object.values(cluster.peers).some(({ up, role }) => up && role === 'leading')
      ? 0
      : 1;
  return replicas.some((replica) => replica.role === 'primary') ? 0 : 1;
}

function printCluster(cluster: ClusterStatus): void {
  const { node, role, epoch, inSync, speaksForMs, peers } = cluster;
  const speech = role !== 'leading' ? '' : speaksForMs === 0 ? '  SILENT' : '  speaks';
  process.stdout.write(
    `node ${node}  ${role}${speech}  epoch ${epoch}${inSync === null ? '' : `  in sync: ${inSync.join(', ')}`}\n`,
  );
  for (const [name, peer] of Object.entries(peers)) {
    const what = peer.up
      ? `${peer.role ?? 'connected'}  epoch ${peer.epoch}${peer.ready ? '  ready' : ''}`
      : 'NOT HEARD';
    process.stdout.write(`  ${name}  ${what}${peer.lagBytes === null ? '' : `  lag ${peer.lagBytes} B`}\n`);
  }
}

function print(group: string, replicas: ReplicaStatus[], silent: number[]): void {
  for (const pid of silent) process.stdout.write(`process ${pid} does not answer\n`);
  if (replicas.length === 0 && silent.length === 0) {
    process.stdout.write(`group ${group}: no replica runs\n`);
    return;
  }
  for (const r of replicas) {
    const { total, protected: safe } = r.connections;
    process.stdout.write(
      `${r.role} ${r.pid}  peer ${r.peer || 'none'}  ${r.protected ? 'protected' : 'NOT PROTECTED'}  ` +
        `connections ${total} (${safe} protected)  lag ${r.lagBytes} B  epoch ${r.epoch}\n`,
    );
    for (const [name, counters] of Object.entries(r.counters)) {
      const shown = Object.entries(counters).filter(([, value]) => value !== 0);
      if (shown.length > 0)
        process.stdout.write(`  ${name}: ${shown.map(([key, value]) => `${key} ${value}`).join(', ')}\n`);
    }
  }
}
