/**
 * Objects of libraries that live outside of the program, such as a database in a file. Each call
 * has an effect, so the live replica makes it, and its result is logged (runtime/samples/). A
 * backup has no such object. When it becomes the primary, it makes one where the program uses it
 * first, with the settings that the program has given it.
 */
import type { RuntimeContext } from '../core/context.js';
import type { AnyFunction } from '../core/originals.js';

type Bag = Record<PropertyKey, unknown>;

/** What the members of a class do. Others are not there. */
export interface RemoteClass {
  /** 'sqlite.DatabaseSync' */
  readonly name: string;
  /** The class of the library, for `instanceof`. */
  readonly prototype: object;
  /** They do something, and give a value. */
  readonly calls: ReadonlySet<string>;
  /** They change how later calls behave: a new object needs them, too. They give the object. */
  readonly settings?: ReadonlySet<string>;
  /** Their value is a list, of which the program gets an iterator. */
  readonly iterators?: ReadonlySet<string>;
  /** Values that can be read. */
  readonly values?: ReadonlySet<string>;
  /** They give an object of another class. */
  readonly children?: Readonly<Record<string, RemoteClass>>;
  /** They end the object. */
  readonly closes?: string;
  /** Whether a call is a setting, too: a PRAGMA. */
  isSetting?(name: string, args: readonly unknown[]): boolean;
}

/** One object, and what a new one needs. */
class Remote {
  #real: Bag | null = null;
  readonly #settings: [name: string, args: readonly unknown[]][] = [];
  isClosed = false;

  constructor(readonly make: () => Bag) {}

  /** The object of the library. Throws what making it throws. */
  get real(): Bag {
    if (this.#real === null) {
      this.#real = this.make();
      for (const [name, args] of this.#settings) (this.#real[name] as AnyFunction)(...args);
    }
    return this.#real;
  }

  addSetting(name: string, args: readonly unknown[]): void {
    this.#settings.push([name, args]);
  }

  call(name: string, args: readonly unknown[]): unknown {
    return (this.real[name] as AnyFunction)(...args);
  }
}

/** Makes remote objects for the program. */
export class RemoteObjects {
  readonly #runtime: RuntimeContext;

  constructor(runtime: RuntimeContext) {
    this.#runtime = runtime;
  }

  /**
   * An object as the program sees it. Throws what the library throws.
   * @param make makes the object of the library
   */
  create(type: RemoteClass, make: () => object, prototype = type.prototype): object {
    const remote = new Remote(make as () => Bag);
    const begin = (): undefined => void remote.real;
    this.#effect(`new ${type.name}`, begin, begin);
    return this.#shown(type, remote, prototype);
  }

  /** A call outside, whose value is logged. A class instance among the values is lost. */
  #effect(name: string, take: () => unknown, caller: AnyFunction): unknown {
    return this.#runtime.samples.take({ name, take, isEffect: true }, caller);
  }

  #shown(type: RemoteClass, remote: Remote, prototype: object): object {
    const members = new Map<PropertyKey, unknown>();
    const target = Object.create(prototype) as object;
    return new Proxy(target, {
      get: (_target, key, receiver): unknown => {
        if (typeof key === 'string' && type.values?.has(key) === true) return this.#value(type, remote, key);
        const known = members.get(key);
        if (known !== undefined) return known;
        const member = typeof key === 'string' ? this.#member(type, remote, key, receiver as object) : undefined;
        if (member === undefined) return Reflect.get(target, key);
        members.set(key, member);
        return member;
      },
    });
  }

  #value(type: RemoteClass, remote: Remote, key: string): unknown {
    const caller: AnyFunction = () => undefined;
    return this.#effect(`${type.name}.${key}`, () => remote.real[key], caller);
  }

  #member(type: RemoteClass, remote: Remote, name: string, shown: object): AnyFunction | undefined {
    const label = `${type.name}.${name}`;
    const child = type.children?.[name];
    if (child !== undefined) {
      return (...args) => this.create(child, () => remote.call(name, args) as object);
    }
    if (type.settings?.has(name) === true) {
      return (...args) => {
        // Only what Node refuses is a result; the setting itself is known everywhere.
        const check = (): undefined => void remote.call(name, args);
        this.#effect(label, check, check);
        remote.addSetting(name, args);
        return shown;
      };
    }
    if (type.iterators?.has(name) === true) {
      const list: AnyFunction = (...args) => {
        const take = (): unknown => [...(remote.call(name, args) as Iterable<unknown>)];
        return (this.#effect(label, take, list) as unknown[])[Symbol.iterator]();
      };
      return list;
    }
    if (!type.calls.has(name) && name !== type.closes) return undefined;
    const call: AnyFunction = (...args) => {
      const value = this.#effect(label, () => remote.call(name, args), call);
      if (name === type.closes) remote.isClosed = true;
      else if (type.isSetting?.(name, args) === true) remote.addSetting(name, args);
      return value;
    };
    return call;
  }
}
