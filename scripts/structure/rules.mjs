// The rules of the house as data: layers, rooms, and what must never be reached from where.

/** From the innermost layer outwards: a file imports its own layer and those before it. */
export const LAYERS = ['lib', 'stack', 'failover', 'test', 'perf'];
/** Layers that are shipped; their exports are documented. */
export const SOURCE_LAYERS = ['lib', 'stack', 'failover'];
export const MAX_LINES = 500;
/** Files that are tables: one row per thing, nothing to split. */
export const TABLES = new Set([]);

export const layerOf = (file) => file.slice(0, file.indexOf('/'));

/**
 * The room of a shipped file: lib/X/, stack/X/, failover/X/, or what stands at the layer's top.
 * Undefined for tests and measurements.
 */
export function roomOf(file) {
  const [layer, first, second] = file.split('/');
  if (!SOURCE_LAYERS.includes(layer)) return undefined;
  if (second !== undefined) return `${layer}/${first}`;
  return first === 'index.ts' ? `${layer}/index` : `${layer}/${layer}`;
}

/** [from, to, why]: no file below `from` may reach one below `to`, directly or through others. */
export const NEVER = [
  ['failover/runtime/', 'failover/primary/', 'the runtime knows no replication'],
  ['failover/runtime/', 'failover/backup/', 'the runtime knows no replication'],
  ['failover/runtime/', 'failover/replica/', 'the runtime knows no replication'],
  ['failover/primary/', 'failover/backup/', 'a primary does not replay'],
  ['failover/backup/', 'failover/primary/', 'a backup does not write the log'],
  ['failover/primary/', 'failover/replica/', 'roles do not know their composition'],
  ['failover/backup/', 'failover/replica/', 'roles do not know their composition'],
  ['failover/log/', 'failover/primary/', 'the log has no policy'],
  ['failover/log/', 'failover/backup/', 'the log has no policy'],
  ['failover/cluster/agent/', 'failover/cluster/transport/links', 'the agent does no input or output'],
  ['failover/cluster/agent/', 'failover/cluster/coordinator/etcd', 'the agent does no input or output'],
  ['failover/replica/', 'failover/cli/', 'the command line is outermost'],
  ['failover/demo/', 'failover/cli/', 'the command line is outermost'],
];

/** One line under a room's name in the picture. */
export const CAPTIONS = {
  'failover/index': 'the library',
  'failover/cli': 'commands, options, help',
  'failover/admin': 'status, events, admin commands',
  'failover/replica': 'composition, event loop, takeover',
  'failover/primary': 'recorder, commit gate, standby',
  'failover/backup': 'follower, replay, failure detection',
  'failover/connections': 'which connection follows how',
  'failover/cluster': 'agent, coordinator, transport',
  'failover/runtime': 'deterministic Node API',
  'failover/log': 'header, records, writer, reader',
  'failover/host': 'directory, locks, processes',
  'failover/operate': 'deploys, published ports, supervisor',
  'failover/demo': 'a lab that shows a takeover',
  'failover/lab': 'namespaces, captures, tools',
  'stack/index': 'the library',
  'stack/stack': 'composition, UDP, raw, thaw',
  'stack/core': 'addresses, neighbours, contracts',
  'stack/sockets': "Node's net, http, dgram shapes",
  'stack/tcp': 'RFC 9293 and its relatives',
  'stack/ip': 'IPv4, IPv6, ICMP, routes',
  'stack/link': 'ARP, ND, IGMP, interfaces',
  'lib/index': 'the library',
  'lib/lib': 'addresses, time, checksums',
  'lib/device': 'TAP, TUN, capture, emulation',
  'lib/packet': 'header codecs',
  'lib/native': 'the C addon',
};
