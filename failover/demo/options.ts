/** The options of a demo. */
import type { CommitMode } from '../primary/output-gate.js';

/**
 * What the client does: a download, an upload, many requests, messages on one WebSocket, or what a
 * server behind a gateway is for.
 */
export const SCENARIOS = ['wget', 'upload', 'ab', 'ws-echo', 'gateway'] as const;
/** The name of a scenario. */
export type ScenarioName = (typeof SCENARIOS)[number];

/** The server behind the gateway. */
export const BACKENDS = ['nginx', 'redis'] as const;
/** Its name. */
export type BackendName = (typeof BACKENDS)[number];

/** The options of a demo, checked. */
export interface DemoOptions {
  scenario: ScenarioName;
  /** Size of the download or upload. */
  bytes: number;
  /** gateway: the server behind it. */
  backend: BackendName;
  /** ab: requests; ws-echo: messages; gateway with redis: a tenth of the commands. */
  requests: number;
  /** ab: concurrent connections. */
  connections: number;
  /** ab: several requests per connection. */
  keepAlive: boolean;
  /** What the primary is sent. */
  signal: NodeJS.Signals;
  /** Part of the transfer after which the primary is killed, 0 to 1; null: never. */
  at: number | null;
  runs: number;
  /** File for a capture at the client's side. */
  pcap: string | undefined;
  /** The report as one line of JSON on standard output. */
  json: boolean;
  /** Measure the throughput without a backup and of the kernel's TCP, too. */
  baseline: boolean;
  offload: boolean;
  /** Milliseconds. */
  hangTimeoutMs: number;
  commit: CommitMode;
  /** Install missing programs. */
  setup: boolean;
  /** Print the replicas' events and output. */
  verbose: boolean;
}
