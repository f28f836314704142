/** `ft-tcp status`: primary, backup, connections, lag and counters of a group. */
import { ExitCode } from '../admin/error-codes.js';
import { askReplicas } from '../admin/replicas.js';
import { type ReplicaStatus, STATUS_SCHEMA } from '../admin/status.js';
import { askAgent, CLUSTER_STATUS_SOCKET, type ClusterStatus } from '../cluster/agent/status.js';
import type { Group } from '../host/group-directory.js';
import { findGroup, type Requirement, STATUS } from './group-options.js';
import { parseOptions } from './options.js';

/** What `ft-tcp status --json` prints. */
export interface GroupStatus {
  schema: number;
  group: string;
  /** Replicas on this machine, the primary first. */
  replicas: ReplicaStatus[];
  /** Processes of replicas that did not answer in time. */
  unresponsive: number[];
  /** The agent of this machine, if there is one. */
  cluster?: ClusterStatus;
}

const LEADER = 'leader';

/**
 * @returns 0 when the group has what is required, by default a primary, else 1. Throws FtError
 * ERR_FT_USAGE, ERR_FT_GROUP.
 */
export async function statusCommand(argv: string[]): Promise<number> {
  const values = parseOptions(STATUS, argv);
  const status = await groupStatus(findGroup(values), values.group);
  if (values.json) process.stdout.write(`${JSON.stringify(status)}\n`);
  else {
    if (status.cluster !== undefined) printCluster(status.cluster);
    print(status);
  }
  const lack = lackOf(status, values.require);
  if (lack === null) return ExitCode.Ok;
  // Without the option the answer itself says that there is no primary.
  if (values.require !== 'primary') process.stderr.write(`ft-tcp: ${lack}\n`);
  return ExitCode.Failure;
}

/** A sentence that says what the group lacks of what is required; null: nothing. */
export function lackOf(status: GroupStatus, required: Requirement): string | null {
  const { group, replicas, unresponsive, cluster } = status;
  const silent = unresponsive.length === 0 ? '' : `; process ${unresponsive.join(', ')} does not answer`;
  if (!hasPrimary(status)) return `Group ${group} has no primary${silent}. Start one, or see its standard error`;
  if (required === 'primary') return null;
  const primary = replicas.find(({ role }) => role === 'primary');
  if (primary === undefined) {
    // Another machine of the cluster leads. What counts is whether this one could take over.
    const [backup] = replicas;
    if (backup?.protected === true) return null;
    return `Group ${group} is led by another machine, and the replica of node ${cluster?.node} does not follow it`;
  }
  if (!primary.protected) {
    if (primary.loading) return `Group ${group} is not protected: its program is being loaded`;
    if (primary.joining)
      return `Group ${group} is not protected yet: a backup joins, and has to apply ${primary.lagBytes} bytes of log`;
    return `Group ${group} is not protected${silent}. Start a backup with the primary's command`;
  }
  const { total, protected: safe } = primary.connections;
  if (required === 'protected' || safe === total) return null;
  return (
    `Group ${group} is protected, but ${total - safe} of ${total} connections are not: they are older than the backup. ` +
    'See ft-tcp explain ADDRESS:PORT'
  );
}

/** Asks all replicas of this machine and its agent. */
async function groupStatus(group: Group | null, name: string): Promise<GroupStatus> {
  if (group === null) return { schema: STATUS_SCHEMA, group: name, replicas: [], unresponsive: [] };
  const { replicas, unresponsive } = await askReplicas(group);
  const cluster = await askAgent(group.file(CLUSTER_STATUS_SOCKET));
  return { schema: STATUS_SCHEMA, group: name, replicas, unresponsive, ...(cluster === null ? {} : { cluster }) };
}

/** With a cluster the primary may be on another machine. */
function hasPrimary({ replicas, cluster }: GroupStatus): boolean {
  if (cluster === undefined) return replicas.some(({ role }) => role === 'primary');
  return cluster.role === LEADER || Object.values(cluster.peers).some(({ up, role }) => up && role === LEADER);
}

function printCluster({ node, role, epoch, inSync, leaseRemainingMs, peers }: ClusterStatus): void {
  const lease = role !== LEADER ? '' : leaseRemainingMs === 0 ? '  NO LEASE' : '  has the lease';
  const nodes = inSync === null ? '' : `  in sync: ${inSync.join(', ')}`;
  process.stdout.write(`node ${node}  ${role}${lease}  epoch ${epoch}${nodes}\n`);
  for (const [name, peer] of Object.entries(peers)) {
    const ready = peer.ready ? '  ready' : '';
    const state = peer.up ? `${peer.role ?? 'connected'}  epoch ${peer.epoch}${ready}` : 'NOT CONNECTED';
    process.stdout.write(`  ${name}  ${state}${peer.lagBytes === null ? '' : `  lag ${peer.lagBytes} B`}\n`);
  }
}

function print({ group, replicas, unresponsive }: GroupStatus): void {
  for (const pid of unresponsive) process.stdout.write(`process ${pid} does not answer\n`);
  if (replicas.length === 0 && unresponsive.length === 0) {
    process.stdout.write(`group ${group}: no replica runs\n`);
    return;
  }
  for (const r of replicas) {
    const { total, protected: safe } = r.connections;
    process.stdout.write(
      `${r.role} ${r.pid}  peer ${r.peerPid || 'none'}  ${r.protected ? 'protected' : r.joining ? 'NOT PROTECTED YET (a backup joins)' : 'NOT PROTECTED'}  ` +
        `connections ${total} (${safe} protected)  lag ${r.lagBytes} B  epoch ${r.epoch}\n`,
    );
    for (const [name, counters] of Object.entries(r.counters)) {
      const shown = Object.entries(counters).filter(([, value]) => value !== 0);
      if (shown.length > 0)
        process.stdout.write(`  ${name}: ${shown.map(([key, value]) => `${key} ${value}`).join(', ')}\n`);
    }
  }
}
