/** A row of the conformance table. */
export interface Row {
  /** "9293" */
  rfc: string;
  /** "MUST-12", or a section: "4.3". */
  id: string;
  what: string;
  /** Files that do it, below stack/ unless they begin with lib/. */
  where: string[];
  /**
   * Tests that show it: "file: title", file below test/ without .test.ts. Packet scripts are found
   * by themselves: each names what it shows.
   */
  tests: string[];
  /** Why it is not done; then there is neither place nor test. */
  not?: string;
}

/** done(id, what, where, …tests) */
export function done(rfc: string): (id: string, what: string, where: string, ...tests: string[]) => Row {
  return (id, what, where, ...tests) => ({ rfc, id, what, where: where.split(' '), tests });
}

/** not(id, what, why) */
export function not(rfc: string): (id: string, what: string, why: string) => Row {
  return (id, what, why) => ({ rfc, id, what, where: [], tests: [], not: why });
}
