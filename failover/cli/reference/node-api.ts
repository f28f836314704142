/** docs/reference/node-api.md: what each API of Node does under replication. */
import { KINDS, type Kind } from '../../runtime/table/binding-rows.js';
import { type BindingMember, bindingMembers } from '../../runtime/table/bindings.js';
import { PUBLIC_API } from '../../runtime/table/public-api.js';
import { code, pageHead, table } from './markdown.js';

/** Majors of Node whose members are counted. */
const MAJORS = [20, 22, 24, 26];

const MEANINGS: Record<Kind, string> = {
  pure: 'The same on all replicas by itself.',
  virtual: 'Computed from the event, and so the same on all replicas.',
  sample: 'Read by the live replica. The value is in the log, and the backup takes it from there.',
  operation: 'Done by the live replica. The end is an event; the backup takes the result from the log, or compares it.',
  source: 'Each arrival is an event.',
  effect: 'Done by the live replica alone. The backup takes the result from the log.',
  unsupported: 'Done by both replicas, and reported as `nondeterministic-api`.',
  leaks: 'Done by both replicas without a report. Do not use it in a replayed program.',
};

function leaks(members: readonly BindingMember[]): string[][] {
  const rows = new Map<string, string[]>();
  for (const { binding, name, why, by } of members) {
    const key = `${binding} ${why}`;
    const row = rows.get(key) ?? [code(binding), '', by, why];
    const [type] = name.split('.');
    if (!row[1].includes(code(type))) row[1] += `${row[1] === '' ? '' : ', '}${code(type)}`;
    rows.set(key, row);
  }
  return [...rows.values()];
}

/** docs/reference/node-api.md */
export function renderNodeApi(): string {
  const out = pageHead('Node API', 'the tables in failover/runtime/table', [
    'What each API of Node does in a program that runs in replay mode. In state mode the backup runs no program, and ' +
      'all of it is done by the primary.',
  ]);
  out.push('## Kinds', '');
  out.push(
    ...table(
      ['Kind', 'Meaning'],
      KINDS.map((kind) => [kind, MEANINGS[kind]]),
    ),
  );
  out.push('## By module', '');
  out.push(
    ...table(
      ['Module', 'API', 'Kind', 'What happens'],
      PUBLIC_API.map(([module, names, kind, what]) => [module, names, kind, what]),
    ),
  );
  out.push(
    '## Internal bindings',
    '',
    'All that a program learns or does goes through the internal bindings of Node. Each of their functions, classes',
    'and methods is classified, and a test compares the table with the running Node.',
    '',
  );
  const counts = (kind: Kind): string[] =>
    MAJORS.map((major) => String(bindingMembers(major).filter((member) => member.kind === kind).length));
  out.push(
    ...table(
      ['Kind', ...MAJORS.map((major) => `Node ${major}`)],
      [
        ...KINDS.map((kind) => [kind, ...counts(kind)]),
        ['all', ...MAJORS.map((m) => String(bindingMembers(m).length))],
      ],
    ),
  );
  out.push('### Leaks', '', 'What is done by both replicas without a report, on any supported Node:', '');
  const all = new Map<string, BindingMember>();
  for (const major of MAJORS)
    for (const member of bindingMembers(major))
      if (member.kind === 'leaks') all.set(`${member.binding}.${member.name}`, member);
  out.push(...table(['Binding', 'Members', 'Kind that it would be', 'Why'], leaks([...all.values()])));
  return `${out.join('\n').trimEnd()}\n`;
}
