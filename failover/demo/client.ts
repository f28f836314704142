/** What the demo's clients have in common. */
import type { ChildProcess } from 'node:child_process';
import type { Arrivals } from './arrivals.js';
import type { DemoOptions } from './options.js';

/** How a client ended. */
export interface ClientOutcome {
  /** Exit code. */
  exit: number;
  /** Whether the data was equal; null: there is nothing to compare. */
  sha256Equal: boolean | null;
  failedRequests: number;
  /**
   * The longest gap, where the client itself measures it; else take it from the arrivals.
   * Milliseconds.
   */
  longestGapMs?: number;
  /** The client's error message; empty: none. */
  error: string;
}

/** A running client. */
export interface Client {
  readonly arrivals: Arrivals;
  /** Part of the transfer that is done, 0 to 1. */
  progress(): number;
  readonly ended: Promise<ClientOutcome>;
  kill(): void;
}

/** What a client is to do. */
export interface ClientPlan {
  options: DemoOptions;
  /** The server's address. */
  address: string;
  /** SHA-256 of the content. */
  sha256: string;
  /** Called with every progress. */
  onProgress: (fraction: number) => void;
}

/** Milliseconds of CLOCK_MONOTONIC, the clock that replicas report in. */
export function monotonicMs(): number {
  return Number(process.hrtime.bigint()) / 1e6;
}

/** Resolves with how a child has ended. */
export function exitOf(child: ChildProcess): Promise<{ exit: number; error: string }> {
  let stderr = '';
  child.stderr?.on('data', (part: Buffer) => {
    if (stderr.length < 4096) stderr += part.toString();
  });
  return new Promise((done) => {
    child.once('error', (error) => done({ exit: 127, error: error.message }));
    child.once('close', (code, signal) => done({ exit: code ?? (signal === null ? 1 : 128), error: stderr.trim() }));
  });
}
