/**
 * What the machines of a group know of each other: a JSON file, the same on all of them (docs/guides/cluster.md). Everything in it is
 * checked before anything starts; an error names the place.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname, resolve } from 'node:path';
import { errorCode, FtError } from '../../lib/errors.js';

export interface NodeConfig {
  name: string;
  host: string;
  port: number;
}

export type Credentials = { kind: 'psk'; key: Buffer } | { kind: 'certificate'; cert: Buffer; key: Buffer; ca: Buffer };

export interface EtcdConfig {
  type: 'etcd';
  endpoints: string[];
  /** Seconds until a primary's right ends that it does not renew. */
  ttl: number;
  prefix: string;
  ca?: Buffer;
  cert?: Buffer;
  key?: Buffer;
}

export interface StaticConfig {
  type: 'static';
  /** Program that makes sure a node is off; its argument is the node's name, exit code 0 says that it is. */
  fence: string;
  /** Milliseconds it may take. */
  fenceTimeoutMs: number;
}

/** All nodes are on one machine. */
export interface LockConfig {
  type: 'lock';
  /** That all nodes share; in memory, if possible. */
  directory: string;
  /** For so long a primary may speak without its agent. Milliseconds. */
  leaseMs: number;
  /** An agent that has the lock and stands still for so long is killed. Milliseconds. */
  hungMs: number;
}

export interface ClusterConfig {
  self: NodeConfig;
  /** In the order of succession; with this one. */
  nodes: NodeConfig[];
  /** Address to listen on. */
  listen: string;
  credentials: Credentials;
  coordinator: EtcdConfig | StaticConfig | LockConfig;
  /** Backups that must hold what output depends on; Infinity: all that are in sync. */
  stable: number;
  /** A node that has not been heard of for so long is lost. Milliseconds. */
  lostMs: number;
  /** A group that nobody leads and nobody can go on with begins anew after this. Milliseconds. */
  freshMs: number;
}

const NAME = /^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/;
const LOOPBACK = /^(127\.\d+\.\d+\.\d+|::1|localhost)$/;
const MAX_NODES = 7;
const PSK_LENGTH = 32;

/** Reads and checks the file. Throws FtError ERR_FT_CONFIG. */
export function readClusterConfig(path: string, node: string | undefined): ClusterConfig {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new FtError(
      'ERR_FT_CONFIG',
      `${path} cannot be read (${errorCode(error) ?? 'error'})`,
      'See docs/guides/cluster.md',
    );
  }
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw wrong(path, error instanceof Error ? error.message : 'no JSON');
  }
  return parseClusterConfig(json, node ?? hostname(), path);
}

function wrong(place: string, why: string): FtError {
  return new FtError('ERR_FT_CONFIG', `${place}: ${why}`, 'See docs/guides/cluster.md');
}

/** Checks a configuration. Files that it names are beside the file at `path`. Throws FtError ERR_FT_CONFIG. */
export function parseClusterConfig(json: unknown, self: string, path: string): ClusterConfig {
  const reader = new ConfigReader(path);
  const top = reader.object(json, '');
  reader.only(top, '', ['nodes', 'listen', 'tls', 'coordinator', 'stable', 'lostMs', 'freshMs']);
  const nodes = reader.list(top['nodes'], 'nodes').map((one, i) => node(reader, one, `nodes[${i}]`));
  if (nodes.length < 2 || nodes.length > MAX_NODES) throw wrong(path, `nodes: 2 to ${MAX_NODES} are possible`);
  if (new Set(nodes.map(({ name }) => name)).size < nodes.length) throw wrong(path, 'nodes: two have one name');
  const own = nodes.find(({ name }) => name === self);
  if (own === undefined) {
    throw new FtError(
      'ERR_FT_CONFIG',
      `${path}: "${self}" is none of the nodes (${nodes.map(({ name }) => name).join(', ')})`,
      'Say which this is: --node NAME',
    );
  }
  const coordinator = coordinatorOf(reader, top['coordinator']);
  if (coordinator.type === 'static' && nodes.length !== 2)
    throw wrong(path, 'coordinator: static is for two nodes; more need etcd');
  if (coordinator.type === 'lock' && !nodes.every(({ host }) => LOOPBACK.test(host)))
    throw wrong(path, 'coordinator: lock is for nodes on one machine; give each host: 127.0.0.1 and a port of its own');
  const { stable } = top;
  return {
    self: own,
    nodes,
    listen: reader.text(top['listen'] ?? own.host, 'listen'),
    credentials: credentialsOf(reader, top['tls']),
    coordinator,
    stable:
      stable === undefined || stable === 'all'
        ? Number.POSITIVE_INFINITY
        : reader.integer(stable, 'stable', 1, nodes.length - 1),
    lostMs: reader.integer(top['lostMs'] ?? 500, 'lostMs', 100, 60_000),
    freshMs: reader.integer(top['freshMs'] ?? 10_000, 'freshMs', 1000, 3_600_000),
  };
}

function node(reader: ConfigReader, json: unknown, place: string): NodeConfig {
  const one = reader.object(json, place);
  reader.only(one, place, ['name', 'host', 'port']);
  const name = reader.text(one['name'], `${place}.name`);
  if (!NAME.test(name)) throw wrong(reader.path, `${place}.name: letters, digits, "." and "-", at most 63`);
  return {
    name,
    host: reader.text(one['host'], `${place}.host`),
    port: reader.integer(one['port'] ?? 7946, `${place}.port`, 1, 65_535),
  };
}

function coordinatorOf(reader: ConfigReader, json: unknown): EtcdConfig | StaticConfig | LockConfig {
  const one = reader.object(json, 'coordinator');
  if (one['type'] === 'static') {
    reader.only(one, 'coordinator', ['type', 'fence', 'fenceTimeoutMs']);
    return {
      type: 'static',
      fence: resolve(dirname(reader.path), reader.text(one['fence'], 'coordinator.fence')),
      fenceTimeoutMs: reader.integer(one['fenceTimeoutMs'] ?? 30_000, 'coordinator.fenceTimeoutMs', 100, 600_000),
    };
  }
  if (one['type'] === 'lock') {
    reader.only(one, 'coordinator', ['type', 'directory', 'leaseMs', 'hungMs']);
    const leaseMs = reader.integer(one['leaseMs'] ?? 500, 'coordinator.leaseMs', 100, 60_000);
    return {
      type: 'lock',
      directory: resolve(dirname(reader.path), reader.text(one['directory'], 'coordinator.directory')),
      leaseMs,
      hungMs: reader.integer(one['hungMs'] ?? 4 * leaseMs, 'coordinator.hungMs', 2 * leaseMs, 600_000),
    };
  }
  if (one['type'] !== 'etcd') throw wrong(reader.path, 'coordinator.type: "etcd", "static" or "lock"');
  reader.only(one, 'coordinator', ['type', 'endpoints', 'ttl', 'prefix', 'ca', 'cert', 'key']);
  const endpoints = reader.list(one['endpoints'], 'coordinator.endpoints').map((url, i) => {
    const text = reader.text(url, `coordinator.endpoints[${i}]`);
    if (!/^https?:\/\/[^/]+\/?$/.test(text) || !URL.canParse(text))
      throw wrong(reader.path, `coordinator.endpoints[${i}]: write it like http://10.0.0.9:2379`);
    return text.replace(/\/$/, '');
  });
  if (endpoints.length === 0) throw wrong(reader.path, 'coordinator.endpoints: at least one');
  return {
    type: 'etcd',
    endpoints,
    ttl: reader.integer(one['ttl'] ?? 5, 'coordinator.ttl', 2, 300),
    prefix: reader.text(one['prefix'] ?? '/ft-tcp/', 'coordinator.prefix'),
    ...(one['ca'] === undefined ? {} : { ca: reader.file(one['ca'], 'coordinator.ca') }),
    ...(one['cert'] === undefined ? {} : { cert: reader.file(one['cert'], 'coordinator.cert') }),
    ...(one['key'] === undefined ? {} : { key: reader.file(one['key'], 'coordinator.key') }),
  };
}

function credentialsOf(reader: ConfigReader, json: unknown): Credentials {
  const one = reader.object(json, 'tls');
  if (one['psk'] !== undefined) {
    reader.only(one, 'tls', ['psk']);
    const hex = reader.file(one['psk'], 'tls.psk').toString('utf8').trim();
    if (!/^[0-9a-fA-F]+$/.test(hex) || hex.length !== PSK_LENGTH * 2)
      throw wrong(
        reader.path,
        `tls.psk: the file has to hold ${PSK_LENGTH * 2} hexadecimal digits (openssl rand -hex 32)`,
      );
    return { kind: 'psk', key: Buffer.from(hex, 'hex') };
  }
  reader.only(one, 'tls', ['cert', 'key', 'ca']);
  return {
    kind: 'certificate',
    cert: reader.file(one['cert'], 'tls.cert'),
    key: reader.file(one['key'], 'tls.key'),
    ca: reader.file(one['ca'], 'tls.ca'),
  };
}

/** Checks of single values, with their place in the file. */
class ConfigReader {
  constructor(readonly path: string) {}

  object(value: unknown, place: string): Record<string, unknown> {
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      throw wrong(this.path, `${place === '' ? 'the file' : place}: has to be an object`);
    return value as Record<string, unknown>;
  }

  only(value: Record<string, unknown>, place: string, known: string[]): void {
    const other = Object.keys(value).find((key) => !known.includes(key));
    if (other !== undefined)
      throw wrong(this.path, `${place === '' ? '' : `${place}.`}${other}: not known (${known.join(', ')})`);
  }

  list(value: unknown, place: string): unknown[] {
    if (!Array.isArray(value)) throw wrong(this.path, `${place}: has to be a list`);
    return value;
  }

  text(value: unknown, place: string): string {
    if (typeof value !== 'string' || value === '') throw wrong(this.path, `${place}: has to be a text`);
    return value;
  }

  integer(value: unknown, place: string, least: number, most: number): number {
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
      throw wrong(this.path, `${place}: has to be a whole number from ${least} to ${most}`);
    return value;
  }

  file(value: unknown, place: string): Buffer {
    const name = resolve(dirname(this.path), this.text(value, place));
    try {
      return readFileSync(name);
    } catch (error) {
      throw wrong(this.path, `${place}: ${name} cannot be read (${errorCode(error) ?? 'error'})`);
    }
  }
}
