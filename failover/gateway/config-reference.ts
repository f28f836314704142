/** Renders docs/reference/gateway-config.md from the tables of the configuration file. */
import type { Section } from '../../lib/config-schema.js';
import { GATEWAY, HEALTH, RULES, SERVER, SERVICE } from './config.js';

const EXAMPLE = `{
  "services": [
    { "name": "web", "listen": "10.77.0.2:80", "servers": ["10.77.0.1:8080", "10.77.0.1:8081"], "healthCheck": true },
    {
      "name": "db",
      "listen": "10.77.0.2:5432",
      "servers": ["10.77.0.1:5432", { "address": "10.77.0.3:5432", "backup": true }],
      "connect": "late",
      "holdMs": 10000
    }
  ]
}`;

type Row = readonly string[];
type Table = (head: readonly string[], rows: readonly Row[]) => string[];

/** The page's lines below its head. @param table makes the lines of a table */
export function gatewayConfigLines(table: Table): string[] {
  const rows = (section: Section): Row[] =>
    Object.entries(section).map(([key, field]) => [
      `\`${key}\``,
      field.expected,
      field.default ?? 'required',
      field.meaning,
    ]);
  const head = ['Key', 'Value', 'Default', 'Meaning'];
  return [
    '```json',
    ...EXAMPLE.split('\n'),
    '```',
    '',
    '## The file',
    '',
    ...table(head, rows(GATEWAY)),
    '## services[]',
    '',
    ...table(head, rows(SERVICE)),
    '## services[].servers[]',
    '',
    ...table(head, rows(SERVER)),
    '## services[].healthCheck',
    '',
    ...table(head, rows(HEALTH)),
    '## Rules',
    '',
    ...Object.values(RULES).map((rule) => `- ${rule.charAt(0).toUpperCase()}${rule.slice(1)}.`),
    '',
  ];
}
