/**
 * Node's internal bindings, the objects that its own library calls. A replaced function of a
 * binding is seen at the library's next call. `process.binding` gives them without a flag; checked
 * on Node 20, 22, 24 and 26.
 */

/** An internal binding: functions and classes by name. */
export type Binding = Record<PropertyKey, unknown>;

/** The binding of this name; undefined where this Node does not give it. */
export function bindingOf(name: string): Binding | undefined {
  const { binding } = process as unknown as { binding?: (name: string) => Binding };
  try {
    return binding?.(name);
  } catch {
    return undefined;
  }
}
