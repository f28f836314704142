/**
 * The table of Node's internal bindings (failover/runtime/table/bindings.ts) names each member that
 * the running Node has, once, and no other. CI runs this on every supported Node.
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { KINDS } from '../../failover/runtime/table/binding-rows.js';
import {
  BINDINGS,
  type BindingMember,
  bindingMembers,
  CONSTANT_BINDINGS,
  membersOf,
} from '../../failover/runtime/table/bindings.js';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const major = Number(process.versions.node.split('.')[0]);
/** What a member without a cover of ours would be. */
const NATURES = ['virtual', 'sample', 'operation', 'source', 'effect', 'unsupported'];

/** Runs in a child: `--expose-internals` is allowed on the command line only. */
const WALK = `
  const { internalBinding } = require('internal/test/binding');
  // Every name that Node's own modules ask for, and every one of the table.
  const names = new Set(process.argv.slice(1));
  for (const source of Object.values(process.binding('natives')))
    for (const [, name] of String(source).matchAll(/internalBinding\\('(\\w+)'\\)/g)) names.add(name);
  const found = {};
  for (const name of [...names].sort()) {
    let binding;
    try { binding = internalBinding(name); } catch { continue; }
    const members = found[name] = [];
    for (const key of Object.getOwnPropertyNames(binding)) {
      const value = binding[key];
      if (typeof value !== 'function') continue;
      members.push(key);
      for (const method of Object.getOwnPropertyNames(value.prototype ?? {}))
        if (method !== 'constructor') members.push(key + '.' + method);
    }
  }
  process.stdout.write(JSON.stringify(found));
`;

function walk(): Record<string, string[]> {
  const args = ['--expose-internals', '--no-warnings', '--eval', WALK, ...Object.keys(BINDINGS)];
  // Modules that are loaded before would have added members of their own to Node's classes.
  // The runner adds its loaders to what this process starts, and they change Node's classes.
  const words = ['-u', 'NODE_OPTIONS', process.execPath, ...args];
  return JSON.parse(execFileSync('env', words, { encoding: 'utf8' })) as Record<string, string[]>;
}

t.test(`every member of every binding of Node ${major} has one row`, async (t) => {
  const found = walk();
  const rows = new Map<string, BindingMember[]>();
  for (const member of bindingMembers(major)) {
    const key = `${member.binding}.${member.name}`;
    rows.set(key, [...(rows.get(key) ?? []), member]);
  }
  const unnamed: string[] = [];
  const known = new Set<string>();
  for (const [binding, members] of Object.entries(found)) {
    if (members.length === 0) t.ok(CONSTANT_BINDINGS.includes(binding), `${binding} has constants only`);
    for (const name of members) {
      const key = `${binding}.${name}`;
      known.add(key);
      if (!rows.has(key)) unnamed.push(key);
    }
  }
  t.same(unnamed, [], 'members without a row');
  t.same(
    [...rows.keys()].filter((key) => !known.has(key)),
    [],
    'rows without a member',
  );
  t.same(
    [...rows].filter(([, members]) => members.length > 1).map(([key]) => key),
    [],
    'members with two rows',
  );
  const counts = KINDS.map(
    (kind) => `${kind} ${bindingMembers(major).filter((member) => member.kind === kind).length}`,
  );
  t.comment(
    `Node ${process.versions.node}: ${known.size} members: ${counts.join(', ')}; unclassified ${unnamed.length}`,
  );
});

t.test('each row has a reason, and names what covers it', async (t) => {
  for (const [binding, list] of Object.entries(BINDINGS)) {
    for (const [kind, by, why] of list) {
      t.ok(why.length > 5, `${binding}: ${kind} has a reason`);
      if (kind === 'unsupported' || kind === 'leaks') t.ok(NATURES.includes(by), `${binding}: ${by} is a kind`);
      else if (by !== '') {
        const places = ['failover', '.'].map((place) => `${root}${place}/${by}`);
        t.ok(
          places.some((place) => existsSync(place)),
          `${binding}: ${by} is there`,
        );
      } else t.ok(kind === 'pure' || kind === 'virtual', `${binding}: ${kind} needs a cover`);
    }
  }
});

t.test('ranges of versions, and classes', async (t) => {
  t.same(membersOf('a b[22-] c[-22]\n d[22-24] E{f g[26-]}'), [
    { name: 'a', from: 20, to: Number.POSITIVE_INFINITY },
    { name: 'b', from: 22, to: Number.POSITIVE_INFINITY },
    { name: 'c', from: 20, to: 22 },
    { name: 'd', from: 22, to: 24 },
    { name: 'E.f', from: 20, to: Number.POSITIVE_INFINITY },
    { name: 'E.g', from: 26, to: Number.POSITIVE_INFINITY },
  ]);
  t.throws(() => membersOf('a b!'), TypeError);
});
