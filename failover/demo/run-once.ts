/**
 * One run of the demo: starts two replicas and a client, kills the primary during the transfer, and
 * observes the client.
 */
import { fileURLToPath } from 'node:url';
import { activeOpens, CLIENT_ADDRESS, STACK_ADDRESS, TAP } from '../lab/network.js';
import { type Breakdown, ReplicaProcess } from '../lab/replica-process.js';
import type { Arrivals } from './arrivals.js';
import { BACKEND_PORT, startBackend } from './backends.js';
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
  const replicas: ReplicaProcess[] = [];
  const start = (): ReplicaProcess => {
    const replica = new ReplicaProcess(
      replicaArguments(plan),
      undefined,
      options.scenario === 'gateway' ? 'gateway' : 'run',
    );
    replicas.push(replica);
    return replica;
  };
  const backend = options.scenario === 'gateway' ? await startBackend(options, plan.directory) : null;
  try {
    const primary = start();
    await primary.event('ready');
    const backup = start();
    await primary.event('protected');
    await backup.event('ready');
    return await serve(plan, new Deaths(plan, [primary, backup], start));
  } finally {
    await backend?.close();
    await Promise.all(replicas.map((replica) => replica.close()));
    if (options.verbose) {
      for (const replica of replicas) {
        for (const event of replica.events) process.stderr.write(`${JSON.stringify(event)}\n`);
        for (const line of replica.stderrLines) process.stderr.write(`${replica.pid}: ${line}\n`);
      }
    }
  }
}

/** The command line of one replica. */
function replicaArguments({ options, directory, number }: RunPlan): string[] {
  const service = ['--listen', `${STACK_ADDRESS}:80`, '--to', `${CLIENT_ADDRESS}:${BACKEND_PORT}`];
  return [
    ...['--group', `demo${number}`, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`],
    ...['--hang-timeout', String(options.hangTimeoutMs), '--commit', options.commit],
    ...(options.offload ? [] : ['--no-offload']),
    ...(options.scenario === 'gateway' ? service : [APP]),
  ];
}

/** Kills the primary, and with a gateway its successor, too, when that has a backup again. */
class Deaths {
  /** When the first one was killed, milliseconds; NaN: not yet. */
  killedMs = Number.NaN;
  /** How each of them ended. */
  readonly ends: string[] = [];
  readonly takeovers: Breakdown[] = [];
  problem = '';
  readonly #plan: RunPlan;
  readonly #start: () => ReplicaProcess;
  /** Parts of the transfer after which somebody is to be killed. */
  readonly #due: number[];
  #primary: ReplicaProcess;
  #backup: ReplicaProcess;
  #takeover: Promise<void> | null = null;

  constructor(plan: RunPlan, [primary, backup]: [ReplicaProcess, ReplicaProcess], start: () => ReplicaProcess) {
    const { at, scenario } = plan.options;
    this.#plan = plan;
    this.#start = start;
    this.#primary = primary;
    this.#backup = backup;
    this.#due = at === null ? [] : scenario === 'gateway' ? [at, (1 + at) / 2] : [at];
  }

  /** A part of the transfer is done. */
  progress(fraction: number): void {
    const [due] = this.#due;
    if (due === undefined || fraction < due || fraction >= 1 || this.#takeover !== null) return;
    this.#due.shift();
    if (Number.isNaN(this.killedMs)) this.killedMs = monotonicMs();
    this.#primary.kill(this.#plan.options.signal);
    this.#takeover = this.#survive().catch((error: unknown) => {
      this.problem ||= error instanceof Error ? error.message : String(error);
    });
  }

  async #survive(): Promise<void> {
    const { options } = this.#plan;
    const [old, successor] = [this.#primary, this.#backup];
    const event = await successor.event('takeover', options.hangTimeoutMs + 5000);
    this.takeovers.push(event['breakdown'] as Breakdown);
    // A stopped primary that continues now must send nothing: the backup killed it before its first
    // frame.
    old.kill('SIGCONT');
    const end = await Promise.race([old.exited, new Promise<null>((done) => setTimeout(done, 1000, null))]);
    this.ends.push(end === null ? 'alive' : `${end.signal ?? `exit ${end.code}`}`);
    if (this.#due.length === 0) return;
    this.#primary = successor;
    this.#backup = this.#start();
    await successor.event('protected');
    await this.#backup.event('ready');
    this.#takeover = null;
  }

  /** The client has ended. @returns whether all who were to die are dead, and had a successor */
  async settle(): Promise<boolean> {
    await this.#takeover;
    if (this.#due.length > 0) this.problem ||= 'the client had finished before the primary could be killed';
    return this.#due.length === 0 && this.ends.length === this.takeovers.length && !this.ends.includes('alive');
  }
}

async function serve(plan: RunPlan, deaths: Deaths): Promise<RunResult> {
  const { options } = plan;
  const opened = activeOpens();
  const client = startClient({
    options,
    address: STACK_ADDRESS,
    sha256: plan.sha256,
    onProgress: (fraction) => {
      deaths.progress(fraction);
      plan.onProgress(client);
    },
  });
  const deadline = setTimeout(() => client.kill(), RUN_TIMEOUT_MS);
  const outcome = await client.ended;
  clearTimeout(deadline);
  const connections = activeOpens() - opened;
  const { arrivals } = client;
  const dead = await deaths.settle();
  const { killedMs, takeovers } = deaths;
  const [takeover] = takeovers;
  const ok = outcome.exit === 0 && outcome.failedRequests === 0 && outcome.sha256Equal !== false && dead;
  const resumedMs = takeover === undefined ? Number.NaN : takeover.firstByteAtUs / 1000;
  return {
    ok,
    outcome,
    arrivals,
    connections,
    gapMs: outcome.longestGapMs ?? arrivals.gapMs,
    killedMs,
    breakdown: takeover === undefined ? null : milliseconds(takeover, killedMs),
    before: arrivals.rate(arrivals.firstMs + WARM_UP_MS, Number.isNaN(killedMs) ? arrivals.lastMs : killedMs),
    after: Number.isNaN(killedMs) ? Number.NaN : arrivals.rate(resumedMs, arrivals.lastMs),
    primaryExit: deaths.ends.length === 0 ? 'alive' : [...new Set(deaths.ends)].join(', '),
    problem: outcome.error || deaths.problem,
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
