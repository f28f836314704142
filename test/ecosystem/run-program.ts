/**
 * One ecosystem program in a lab: primary and backup run its server, a client works without a
 * pause, the primary is killed, a third replica joins, and the second primary is killed, too.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { type ReplicaEvent, ReplicaProcess } from '../../failover/lab/replica-process.js';
import type { EcosystemProgram } from './programs.js';

/** Steps of the client between two faults. */
const STEPS = 100;
const STEPS_MS = 30_000;
const READY_MS = 30_000;
const END_MS = 20_000;
const DEATHS = 2;

/** What a client reports at its end. */
interface ClientReport {
  ended?: boolean;
  steps: number;
  errors?: string[];
  longestGapMs?: number;
  effects?: { asked: number; seen: number };
}

/** The result of one program. */
export interface EcosystemResult {
  name: string;
  version: string;
  node: string;
  ok: boolean;
  kills: number;
  /** Longest time that a step of the client took, ms. */
  longestGapMs: number;
  steps: number;
  effects: { asked: number; seen: number } | null;
  /** What went wrong; empty when nothing did. */
  notes: string[];
}

/** The client's process, and its last report. */
class Client {
  report: ClientReport = { steps: 0 };
  readonly ended: Promise<void>;
  readonly #child: ChildProcess;
  #stderr = '';

  constructor(file: string, directory: string) {
    this.#child = spawn(process.execPath, [file, STACK_ADDRESS, directory], { stdio: ['pipe', 'pipe', 'pipe'] });
    createInterface({ input: this.#child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
      if (line.startsWith('{')) this.report = JSON.parse(line) as ClientReport;
    });
    this.#child.stderr?.on('data', (text: Buffer) => {
      this.#stderr = (this.#stderr + String(text)).slice(-1000);
    });
    this.ended = new Promise((done) => this.#child.once('close', () => done()));
  }

  /** Resolves when it has done this many more steps; rejects when it ends, or takes too long. */
  async more(steps: number): Promise<void> {
    const wanted = this.report.steps + steps;
    let hasEnded = false;
    void this.ended.then(() => {
      hasEnded = true;
    });
    for (const end = Date.now() + STEPS_MS; this.report.steps < wanted; await pause(20)) {
      if (hasEnded) throw new Error(this.complaint);
      if (Date.now() > end) throw new Error(`the client has done ${this.report.steps} steps, and no more for a while`);
    }
  }

  get complaint(): string {
    return `the client ended: ${this.report.errors?.join('; ') ?? this.#stderr}`;
  }

  async stop(): Promise<void> {
    this.#child.stdin?.end();
    const late = setTimeout(() => this.#child.kill('SIGKILL'), END_MS);
    await this.ended;
    clearTimeout(late);
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}

/** Events that no program may cause. */
function faultsOf(replicas: readonly ReplicaProcess[]): string[] {
  const isFault = ({ event }: ReplicaEvent): boolean => ['diverged', 'quarantined', 'replay-failed'].includes(event);
  return replicas.flatMap(({ events }) => events.filter(isFault).map((event) => JSON.stringify(event).slice(0, 600)));
}

/** Runs a program in the lab at hand. @param programs the directory with its code */
export async function runProgram(
  program: EcosystemProgram,
  programs: string,
  directory: string,
): Promise<EcosystemResult> {
  const { name, packages, options = [] } = program;
  const replicas: ReplicaProcess[] = [];
  const start = (): ReplicaProcess => {
    const group = ['--group', name, '--dir', directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
    const replica = new ReplicaProcess([...group, ...options, `${programs}/${name}.server.mjs`, directory]);
    replicas.push(replica);
    return replica;
  };
  const notes: string[] = [];
  let kills = 0;
  let client: Client | null = null;
  try {
    let primary = start();
    await primary.event('ready', READY_MS);
    for (let backup = start(); kills < DEATHS; backup = start()) {
      await primary.event('protected', READY_MS);
      client ??= new Client(`${programs}/${name}.client.mjs`, directory);
      await client.more(STEPS);
      primary.kill('SIGKILL');
      kills++;
      await backup.event('takeover', READY_MS);
      await client.more(STEPS);
      primary = backup;
    }
  } catch (error) {
    notes.push(error instanceof Error ? error.message : String(error));
  }
  await client?.stop();
  notes.push(...faultsOf(replicas));
  const report = client?.report;
  if (report?.ended !== true && notes.length === 0) notes.push('the client has not reported its end');
  for (const error of report?.errors ?? []) if (!notes.some((note) => note.includes(error))) notes.push(error);
  const effects = report?.effects ?? null;
  if (effects !== null && effects.asked !== effects.seen)
    notes.push(`${effects.asked} effects asked for, ${effects.seen} seen`);
  await Promise.all(replicas.map((replica) => replica.close()));
  return {
    name,
    version: Object.values(packages)[0] ?? process.versions.node,
    node: process.versions.node,
    ok: notes.length === 0,
    kills,
    longestGapMs: Math.round(report?.longestGapMs ?? 0),
    steps: report?.steps ?? 0,
    effects,
    notes,
  };
}
