/**
 * node:sqlite (from Node 22 on). A database in a file is outside of the program: the live replica
 * alone opens it. A database in memory is part of the program, and each replica has its own.
 */
import { createRequire } from 'node:module';
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';
import type { Patcher } from '../core/patcher.js';
import { type RemoteClass, RemoteObjects } from './remote-object.js';

type Constructor = new (...args: unknown[]) => object;

/** They hand functions of the program to SQLite, or give objects that are not followed. */
const UNSUPPORTED = ['function', 'aggregate', 'createSession', 'createTagStore', 'setAuthorizer'];

/** node:sqlite, without its warning that it is experimental; null: this Node does not have it. */
function loadSqlite(): Record<string, unknown> | null {
  const emitWarning = process.emitWarning;
  process.emitWarning = () => undefined;
  try {
    return createRequire(import.meta.url)('node:sqlite') as Record<string, unknown>;
  } catch {
    return null;
  } finally {
    process.emitWarning = emitWarning;
  }
}

/** Whether a database has no file, so that it is part of the program. */
export function isInMemory(location: unknown): boolean {
  const name = Buffer.isBuffer(location) ? location.toString() : String(location);
  return name === '' || name === ':memory:' || name.includes('mode=memory');
}

function classesOf(Database: Constructor, Statement: Constructor | undefined): RemoteClass {
  const statement: RemoteClass = {
    name: 'sqlite.StatementSync',
    prototype: (Statement?.prototype ?? Object.prototype) as object,
    calls: new Set(['all', 'get', 'run', 'columns']),
    iterators: new Set(['iterate']),
    settings: new Set([
      ...['setAllowBareNamedParameters', 'setAllowUnknownNamedParameters', 'setReadBigInts', 'setReturnArrays'],
    ]),
    values: new Set(['expandedSQL', 'sourceSQL']),
  };
  return {
    name: 'sqlite.DatabaseSync',
    prototype: Database.prototype as object,
    calls: new Set(['exec', 'open', 'location', 'applyChangeset']),
    settings: new Set(['enableLoadExtension', 'loadExtension', 'enableDefensive']),
    values: new Set(['isOpen', 'isTransaction']),
    children: { prepare: statement },
    closes: 'close',
    isSetting: (name, [sql]) => name === 'exec' && /^\s*PRAGMA\b/i.test(String(sql)),
  };
}

/** Puts node:sqlite under the rule of effects. */
export function installSqlite(runtime: RuntimeContext, patcher: Patcher): void {
  const sqlite = loadSqlite();
  const Database = sqlite?.['DatabaseSync'] as Constructor | undefined;
  if (sqlite === null || Database === undefined) return;
  const objects = new RemoteObjects(runtime);
  const type = classesOf(Database, sqlite['StatementSync'] as Constructor | undefined);
  const replacement: Constructor = new Proxy(Database, {
    construct(target, args: unknown[], newTarget): object {
      const make = (): object => Reflect.construct(target, args, target) as object;
      if (!runtime.active || isInMemory(args[0]))
        return Reflect.construct(target, args, newTarget === replacement ? target : newTarget) as object;
      return objects.create(type, make, (newTarget === replacement ? target : newTarget).prototype as object);
    },
  });
  patcher.value(sqlite, 'DatabaseSync', replacement);
  for (const name of UNSUPPORTED) {
    patcher.method(
      Database.prototype as object,
      name,
      (original) =>
        function call(this: unknown, ...args: unknown[]) {
          runtime.reportNondeterministic(`sqlite.DatabaseSync.${name}`);
          return original.apply(this, args);
        },
    );
  }
  patcher.method(sqlite, 'backup', (original: AnyFunction) => (...args: unknown[]) => {
    runtime.reportNondeterministic('sqlite.backup');
    return original(...args);
  });
}
