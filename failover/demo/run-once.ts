/**
 * One run of the demo: starts two replicas and a client, kills the primary during the transfer, and
 * observes the client.
 */
import { fileURLToPath } from 'node:url';
import { activeOpens, STACK_ADDRESS, TAP } from '../lab/network.js';
import { type Breakdown, ReplicaProcess } from '../lab/replica-process.js';
import type { Arrivals } from './arrivals.js';
import { type Client, type ClientOutcome, monotonicMs, startClient } from './clients.js';
import type { DemoOptions } from './options.js';

/** The demo's server program. */
export const APP = fileURLToPath(new URL('./app.js', import.meta.url));
const RUN_TIMEOUT_MS = 600_000;
/** The start of a run, which the rate before the kill leaves out (slow start). */
const WARM_UP_MS = 50;

/** What one run has shown. */
export interface RunResult {
  ok: boolean;
  outcome: ClientOutcome;
  arrivals: Arrivals;
  /** TCP connections that the client's kernel opened. */
  connections: number;
  gapMs: number;
  killedMs: number;
  /** Milliseconds; null when nothing was killed. */
  breakdown: Record<'detect' | 'fence' | 'drain' | 'attach' | 'firstByte', number> | null;
  /** Bytes per second. */
  before: number;
  after: number;
  /**
   * How the primary ended: by which signal, or `alive`. It must be dead, whatever signal it was
   * sent.
   */
  primaryExit: string;
  problem: string;
}

/** What one run is to do. */
export interface RunPlan {
  options: DemoOptions;
  directory: string;
  number: number;
  sha256: string;
  onProgress: (client: Client) => void;
}

/** Runs the scenario once. Rejects with FtError ERR_FT_REPLICA when the replicas do not start. */
export async function runOnce(plan: RunPlan): Promise<RunResult> {
  const { options } = plan;
  const args = [
    ...['--group', `demo${plan.number}`, '--dir', plan.directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`],
    ...[
      '--hang-timeout',
      String(options.hangTimeoutMs),
      '--commit',
      options.commit,
      ...(options.offload ? [] : ['--no-offload']),
      APP,
    ],
  ];
  const replicas: ReplicaProcess[] = [];
  const start = (): ReplicaProcess => {
    const replica = new ReplicaProcess(args);
    replicas.push(replica);
    return replica;
  };
  try {
    const primary = start();
    await primary.event('ready');
    const backup = start();
    await primary.event('protected');
    await backup.event('ready');
    return await serve(plan, primary, backup);
  } finally {
    await Promise.all(replicas.map((replica) => replica.close()));
    if (options.verbose) {
      for (const replica of replicas) {
        for (const event of replica.events) process.stderr.write(`${JSON.stringify(event)}\n`);
        for (const line of replica.stderrLines) process.stderr.write(`${replica.pid}: ${line}\n`);
      }
    }
  }
}

async function serve(plan: RunPlan, primary: ReplicaProcess, backup: ReplicaProcess): Promise<RunResult> {
  const { options } = plan;
  let killedMs = Number.NaN;
  const opened = activeOpens();
  const client = startClient({
    options,
    address: STACK_ADDRESS,
    sha256: plan.sha256,
    onProgress: (fraction) => {
      if (Number.isNaN(killedMs) && options.at !== null && fraction >= options.at && fraction < 1) {
        killedMs = monotonicMs();
        primary.kill(options.signal);
      }
      plan.onProgress(client);
    },
  });
  const deadline = setTimeout(() => client.kill(), RUN_TIMEOUT_MS);
  const outcome = await client.ended;
  clearTimeout(deadline);
  const connections = activeOpens() - opened;
  const { arrivals } = client;
  const killed = !Number.isNaN(killedMs);
  let takeover: Breakdown | null = null;
  let problem = outcome.error;
  let primaryExit = 'alive';
  if (killed) {
    try {
      takeover = (await backup.event('takeover', options.hangTimeoutMs + 5000))['breakdown'] as Breakdown;
      // A stopped primary that continues now must send nothing: the backup killed it before its
      // first frame.
      primary.kill('SIGCONT');
      const end = await Promise.race([primary.exited, new Promise<null>((done) => setTimeout(done, 1000, null))]);
      if (end !== null) primaryExit = `${end.signal ?? `exit ${end.code}`}`;
    } catch (error) {
      problem ||= error instanceof Error ? error.message : String(error);
    }
  } else if (options.at !== null) problem ||= 'the client had finished before the primary could be killed';
  const ok =
    outcome.exit === 0 &&
    outcome.failedRequests === 0 &&
    outcome.sha256Equal !== false &&
    (options.at === null || (takeover !== null && primaryExit !== 'alive'));
  const resumedMs = takeover === null ? Number.NaN : takeover.firstByteAtUs / 1000;
  return {
    ok,
    outcome,
    arrivals,
    connections,
    gapMs: outcome.longestGapMs ?? arrivals.gapMs,
    killedMs,
    breakdown: takeover === null ? null : milliseconds(takeover, killedMs),
    before: arrivals.rate(arrivals.firstMs + WARM_UP_MS, killed ? killedMs : arrivals.lastMs),
    after: killed ? arrivals.rate(resumedMs, arrivals.lastMs) : Number.NaN,
    primaryExit,
    problem,
  };
}

function milliseconds(report: Breakdown, killedMs: number): NonNullable<RunResult['breakdown']> {
  return {
    detect: report.atMonotonicUs / 1000 - killedMs,
    fence: report.fenceUs / 1000,
    drain: report.drainUs / 1000,
    attach: report.attachUs / 1000,
    firstByte: report.firstByteUs / 1000,
  };
}
