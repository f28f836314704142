/** What the runtime counts, and what it reports when it differs from the log. */

/** A difference between this backup and the log. */
export interface Divergence {
  /** The function: 'fs.readFile'. */
  what: string;
  /** The operation's id in the log. */
  id: number;
  /** What was expected, and what was found. */
  detail: string;
}

/** Counters for operators. */
export interface RuntimeCounters {
  /** Effects (writes, renames, …) that a backup did not carry out. */
  suppressedEffects: number;
  /** Kernel connections that the program has open. */
  kernelConnections: number;
  /** Connections to the program's kernel servers that were reset because too many waited. */
  refusedConnections: number;
  /** Bytes of standard output and error that a backup did not write. */
  suppressedOutput: number;
  /** Effects carried out (again) when a backup became primary. */
  redoneEffects: number;
  /** Local results that did not match the log. */
  divergences: number;
  /** Samples that were taken and logged, and the bytes of their results. */
  samples: number;
  sampleBytes: number;
  /** Samples that a backup has taken from the log. */
  replayedSamples: number;
  /** Samples that a backup took itself, beyond the end of its dead primary's log. */
  unloggedSamples: number;
}
