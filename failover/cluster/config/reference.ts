/** Renders docs/reference/cluster-config.md from the tables of the configuration file. */
import type { Section } from '../../../lib/config-schema.js';
import {
  CLUSTER,
  ETCD,
  FENCE_COMMAND,
  FILE_LOCK,
  FORMER_TYPES,
  NODE,
  RULES,
  TLS_CERTIFICATES,
  TLS_PSK,
} from './tables.js';

const EXAMPLE = `{
  "nodes": [{ "name": "alpha", "host": "192.168.9.1", "port": 7946 }, { "name": "beta", "host": "192.168.9.2" }],
  "tls": { "psk": "group.key" },
  "coordinator": { "type": "etcd", "endpoints": ["http://192.168.9.10:2379"], "ttl": 5 },
  "requiredBackups": "all"
}`;

/** A Markdown table with columns of equal width, as the formatter writes it. */
function markdownTable(rows: readonly (readonly string[])[]): string {
  const [head = [], ...body] = rows;
  const widths = head.map((_, i) => Math.max(3, ...rows.map((row) => (row[i] ?? '').length)));
  const rule = widths.map((width) => '-'.repeat(width));
  return [head, rule, ...body]
    .map((row) => `| ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join(' | ')} |`)
    .join('\n');
}

function table(section: Section): string {
  const rows = Object.entries(section).map(([key, field]) => [
    `\`${key}\``,
    field.expected,
    field.default ?? 'required',
    field.meaning,
  ]);
  return markdownTable([['key', 'value', 'default', 'meaning'], ...rows]);
}

function renamed(sections: readonly Section[]): string {
  const rows = sections.flatMap((section) =>
    Object.entries(section).flatMap(([key, { formerName }]) =>
      formerName === undefined ? [] : [[`\`${formerName}\``, `\`${key}\``]],
    ),
  );
  const types = Object.entries(FORMER_TYPES).map(([former, type]) => [
    `\`"type": "${former}"\``,
    `\`"type": "${type}"\``,
  ]);
  return markdownTable([['former name', 'name'], ...rows, ...types]);
}

/** The whole page, as Markdown. */
export function renderClusterConfig(): string {
  return `# Cluster configuration file

\`ft-tcp run --cluster FILE\` reads a JSON file, the same on all machines of a group. This page is
generated from the tables in \`failover/cluster/config/tables.ts\`.

\`\`\`json
${EXAMPLE}
\`\`\`

All values are checked before anything starts. An error has code \`ERR_FT_CONFIG\` and names the file,
the key, the value and what is expected. Relative paths start at the directory of the file. Unknown
keys are errors.

## The file

${table(CLUSTER)}

## nodes[]

${table(NODE)}

## tls

Agents connect with TLS 1.3 and authenticate each other. Give either a shared key:

${table(TLS_PSK)}

or certificates:

${table(TLS_CERTIFICATES)}

## coordinator: etcd

${table(ETCD)}

## coordinator: fence-command

${table(FENCE_COMMAND)}

## coordinator: file-lock

${table(FILE_LOCK)}

## Rules on several keys

${Object.values(RULES)
  .map((rule) => `- ${rule.charAt(0).toUpperCase()}${rule.slice(1)}.`)
  .join('\n')}

## Renamed keys

${renamed([CLUSTER, ETCD, FENCE_COMMAND, FILE_LOCK])}
`;
}
