/** The form of the rows of the table of Node's internal bindings (bindings.ts). */

/**
 * What a member is. `pure` to `effect`: runtime/README.md. `unsupported`: done by both replicas,
 * and reported by name. `leaks`: done by both replicas without a word; a fault of the runtime.
 */
export const KINDS = ['pure', 'virtual', 'sample', 'operation', 'source', 'effect', 'unsupported', 'leaks'] as const;

/** One of {@link KINDS}. */
export type Kind = (typeof KINDS)[number];

/**
 * Kind; what covers it, a file under failover/ or lib/ ('' where nothing has to), or for
 * `unsupported` and `leaks` the kind that it would be; why; members.
 */
export type BindingRow = readonly [kind: Kind, by: string, why: string, members: string];

/** Rows by the name of the binding. */
export type BindingRows = Readonly<Record<string, readonly BindingRow[]>>;
