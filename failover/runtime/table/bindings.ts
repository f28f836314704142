/**
 * The table of Node's internal bindings: what each function, class and method of each of them is
 * under replication, on every supported Node. All that a program learns or does goes through them.
 * A test walks the running Node, and fails for a member that has no row, or that is gone.
 *
 * A row names a kind, what covers it, why, and its members. `a b[22-] C{m n[-22]}` are the
 * functions or classes `a`, `b` from Node 22 on, and the methods `m` and, up to Node 22, `n` of the
 * class `C`. Members that are no functions are constants, or memory that functions fill.
 */
import type { BindingRows, Kind } from './binding-rows.js';
import { LANGUAGE } from './bindings-language.js';
import { LIBRARIES } from './bindings-libraries.js';
import { OUTSIDE } from './bindings-outside.js';
import { PROCESS } from './bindings-process.js';

/** Bindings that have only constants; `config` got its first function in Node 22. */
export const CONSTANT_BINDINGS: readonly string[] = ['config', 'constants', 'symbols'];

/** All rows. */
export const BINDINGS: BindingRows = { ...LANGUAGE, ...PROCESS, ...OUTSIDE, ...LIBRARIES };

/** One member of a binding, as a row says. */
export interface BindingMember {
  readonly binding: string;
  /** 'open', 'TCP', 'TCP.connect' */
  readonly name: string;
  readonly kind: Kind;
  readonly by: string;
  readonly why: string;
  /** The first and the last major version of Node that has it. */
  readonly from: number;
  readonly to: number;
}

const OLDEST_NODE = 20;

/** 'name[22-24]' as a member. */
function memberOf(word: string, prefix: string): Pick<BindingMember, 'name' | 'from' | 'to'> {
  const match = /^([\w$]+)(?:\[(\d*)-(\d*)\])?$/.exec(word);
  if (match === null) throw new TypeError(`The table of bindings has a member '${word}'`);
  const [, name, from, to] = match;
  return {
    name: prefix + name,
    from: from === undefined || from === '' ? OLDEST_NODE : Number(from),
    to: to === undefined || to === '' ? Number.POSITIVE_INFINITY : Number(to),
  };
}

/** The members that a row names. Throws a TypeError for a word that is none. */
export function membersOf(text: string): Pick<BindingMember, 'name' | 'from' | 'to'>[] {
  const members: Pick<BindingMember, 'name' | 'from' | 'to'>[] = [];
  for (const [, type, methods, word] of text.matchAll(/(\w+)\{([^}]*)\}|(\S+)/g)) {
    if (word !== undefined) members.push(memberOf(word, ''));
    else for (const method of methods.trim().split(/\s+/)) members.push(memberOf(method, `${type}.`));
  }
  return members;
}

/** All members of the table that a major version of Node has. */
export function bindingMembers(major: number): BindingMember[] {
  const members: BindingMember[] = [];
  for (const [binding, rows] of Object.entries(BINDINGS)) {
    for (const [kind, by, why, text] of rows) {
      for (const member of membersOf(text))
        if (member.from <= major && major <= member.to) members.push({ binding, kind, by, why, ...member });
    }
  }
  return members;
}
