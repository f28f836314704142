/**
 * What the machines of a group know of each other: a JSON file, the same on all of them. Everything
 * in it is checked before anything starts (tables.ts); rules on more than one key are checked here.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { configError, invalidValue, readSection } from '../../../lib/config-schema.js';
import { errorCode, FtError } from '../../../lib/errors.js';
import { CLUSTER, FILE_LOCK, RULES } from './tables.js';

/** One machine of the group. */
export interface NodeConfig {
  name: string;
  host: string;
  port: number;
}

/** How agents authenticate each other. Keys and certificates are the files' contents. */
export type Credentials = { kind: 'psk'; key: Buffer } | { kind: 'certificate'; cert: Buffer; key: Buffer; ca: Buffer };

/** Coordinator on etcd. */
export interface EtcdConfig {
  type: 'etcd';
  endpoints: string[];
  /** Seconds until a lease expires that its holder does not renew. */
  ttl: number;
  /** What the names of the keys begin with. */
  prefix: string;
  ca?: Buffer | undefined;
  cert?: Buffer | undefined;
  key?: Buffer | undefined;
}

/** Coordinator of two nodes, of which one can switch the other off. */
export interface FenceCommandConfig {
  type: 'fence-command';
  /**
   * Program that switches a node off. Its argument is the node's name; exit code 0 says that it is
   * off.
   */
  fence: string;
  /** The program is killed after this. Milliseconds. */
  fenceTimeoutMs: number;
  /** File that counts fences; undefined: in the group's directory. */
  fenceHistory?: string | undefined;
}

/** Coordinator of nodes on one machine. */
export interface FileLockConfig {
  type: 'file-lock';
  /** The same for all nodes; in memory, if possible. */
  directory: string;
  /** How long a primary may send after its agent last had the lock. Milliseconds. */
  leaseMs: number;
  /** An agent that has the lock and stands still for this long is killed. Milliseconds. */
  stallTimeoutMs: number;
}

/** The checked file, from the point of view of one node. */
export interface ClusterConfig {
  /** This node. */
  self: NodeConfig;
  /** All nodes, in the order of succession. */
  nodes: NodeConfig[];
  /** Address to listen on. */
  listen: string;
  credentials: Credentials;
  coordinator: EtcdConfig | FenceCommandConfig | FileLockConfig;
  /** Backups that must hold what output depends on; Infinity: all that are in sync. */
  requiredBackups: number;
  /** A node without a message for this long is lost. Milliseconds. */
  peerTimeoutMs: number;
  /** A group without a leader, that no node can take over, starts anew after this. Milliseconds. */
  newGroupDelayMs: number;
}

const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;

/**
 * Reads and checks the file.
 * @param node this node's name; undefined: the host name
 * @throws FtError ERR_FT_CONFIG
 */
export function readClusterConfig(path: string, node: string | undefined): ClusterConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw configError(path, `cannot be read (${errorCode(error) ?? 'error'})`);
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw configError(path, error instanceof Error ? error.message : 'not JSON');
  }
  return parseClusterConfig(json, node ?? hostname(), path);
}

/**
 * Checks a configuration; files that it names are relative to the file at `path`. Throws FtError
 * ERR_FT_CONFIG.
 */
export function parseClusterConfig(json: unknown, self: string, path: string): ClusterConfig {
  const { tls, listen, coordinator, ...top } = readSection(CLUSTER, json, { file: path, key: '' });
  const { nodes, requiredBackups } = top;
  checkNodes(nodes, path);
  const own = nodes.find(({ name }) => name === self);
  if (own === undefined) {
    const names = nodes.map(({ name }) => name).join(', ');
    throw new FtError(
      'ERR_FT_CONFIG',
      `${path}: "${self}" is none of the nodes (${names})`,
      'Name this node: --node NAME',
    );
  }
  const backups = nodes.length - 1;
  if (Number.isFinite(requiredBackups) && requiredBackups > backups)
    throw invalidValue(
      { file: path, key: 'requiredBackups' },
      requiredBackups,
      `"all", or an integer from 1 to ${backups}`,
    );
  return {
    ...top,
    self: own,
    listen: listen ?? own.host,
    credentials: tls,
    coordinator: checkCoordinator(coordinator, nodes, path),
  };
}

function checkNodes(nodes: readonly NodeConfig[], path: string): void {
  const names = nodes.map(({ name }) => name);
  const double = names.find((name, i) => names.indexOf(name) < i);
  if (double !== undefined) throw configError(path, `nodes: "${double}" is there twice; ${RULES.names}`);
}

function checkCoordinator(
  coordinator: ReturnType<typeof CLUSTER.coordinator.read>,
  nodes: readonly NodeConfig[],
  path: string,
): ClusterConfig['coordinator'] {
  if (coordinator.type === 'fence-command' && nodes.length !== 2) throw configError(path, RULES.fenceNodes);
  if (coordinator.type !== 'file-lock') return coordinator;
  if (!nodes.every(({ host }) => LOOPBACK.test(host))) throw configError(path, RULES.lockNodes);
  const { leaseMs, stallTimeoutMs = 4 * leaseMs } = coordinator;
  if (stallTimeoutMs < 2 * leaseMs) {
    const place = { file: path, key: 'coordinator.stallTimeoutMs' };
    throw invalidValue(place, stallTimeoutMs, `${FILE_LOCK.stallTimeoutMs.expected}, at least ${2 * leaseMs}`);
  }
  return { ...coordinator, stallTimeoutMs };
}
