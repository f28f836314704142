/**
 * A deploy: another version of the program takes over the connections of a group in state mode.
 *
 * 1. The new version is started beside the group, as a warm standby that does not follow yet. It
 *    loads, listens where the old one listens, and passes its check. Until here the group has not
 *    been touched.
 * 2. With a way back, the old version is started once more, and loads.
 * 3. The group's standby ends, and the new version takes its place.
 * 4. A switchover moves the connections. Nothing is sent again.
 * 5. The group gets a standby again: the old version while there is a way back, else the new one.
 *
 * What fails before 4 leaves the primary as it was. A process that was started ends with this one
 * until the switchover; from then on it goes on by itself.
 */
import { FtError } from '../../../lib/errors.js';
import type { Group } from '../../host/group-directory.js';
import { type Check, HealthCheck } from './health-check.js';
import { environmentOf, type Launch, LaunchedReplica, nameOf, notDeployable } from './launch.js';
import { type Listening, type ReplicaState, Replicas } from './questions.js';
import { DeployRecord } from './record.js';
import type { DeployReport } from './report.js';

const LOOK_MS = 50;
/** A program that listens at some ports has this long for the others, milliseconds. */
const OTHER_PORTS_MS = 3000;
/** A standby that has loaded follows within this time. */
const FOLLOW_MS = 10_000;
/** After a switchover the successor answers within this time. */
const MOVE_MS = 15_000;
/** Connections are given to the program within this time. */
const GIVE_MS = 2000;
/** While there is a way back, the check is repeated at this interval. */
const RECHECK_MS = 500;
/** This many checks one after the other have to fail for a way back. */
const MAX_FAULTS = 3;

/** What a deploy is told. */
export interface DeployOptions {
  /** Main file of the ft-tcp that the new processes run. */
  readonly cli: string;
  /** The new version; undefined: the one that runs, again. */
  readonly target?: { readonly program: string; readonly args: readonly string[]; readonly cwd?: string };
  readonly check: Check | undefined;
  /** Loading, listening and checking take this long at most, milliseconds. */
  readonly timeoutMs: number;
  /** The old version stands by for this time; 0: not at all. */
  readonly rollbackMs: number;
  /** Where the processes write. */
  readonly log: string;
  /** Says what happens. */
  readonly progress: (text: string) => void;
}

interface Old {
  readonly pid: number;
  readonly state: ReplicaState;
  readonly launch: Launch;
  readonly env: NodeJS.ProcessEnv;
  readonly hadStandby: boolean;
}

/** One deploy. */
export class Deployment {
  readonly #replicas: Replicas;
  readonly #options: DeployOptions;
  readonly #record: DeployRecord;
  /** Processes that end if the deploy fails. */
  readonly #started: LaunchedReplica[] = [];

  constructor(group: Group, options: DeployOptions) {
    this.#replicas = new Replicas(group);
    this.#options = options;
    this.#record = new DeployRecord(group);
  }

  /**
   * Deploys. Throws FtError ERR_FT_DEPLOY_BUSY, ERR_FT_NO_PRIMARY, ERR_FT_DEPLOY_MODE,
   * ERR_FT_DEPLOY_LOAD, ERR_FT_DEPLOY_PORTS, ERR_FT_DEPLOY_CHECK, and the primary's reasons against
   * a switchover. The old version serves on then.
   */
  async run(): Promise<DeployReport> {
    const unlock = this.#record.lock();
    try {
      return await this.#deploy(await this.#old());
    } finally {
      unlock();
    }
  }

  /** Moves the group back to the version before, which stands by or is started again. */
  async rollBack(): Promise<DeployReport> {
    const unlock = this.#record.lock();
    try {
      const old = await this.#old();
      const previous = this.#record.previous();
      const standby = await this.#replicas.follower();
      const state = standby === undefined ? null : await this.#replicas.tryState(standby.pid);
      if (standby !== undefined && state?.launch != null && nameOf(state.launch) === nameOf(previous)) {
        this.#options.progress(`${nameOf(previous)} stands by`);
        const report = await this.#move(old, { pid: standby.pid, launch: previous }, 0);
        this.#record.clear();
        return { ...report, standby: null, outcome: 'rolled-back', reason: 'by command' };
      }
      const report = await this.#deploy(old, previous);
      this.#record.clear();
      return { ...report, outcome: 'rolled-back', reason: 'by command' };
    } finally {
      unlock();
    }
  }

  /** The version that serves now. */
  async #old(): Promise<Old> {
    const replicas = await this.#replicas.all();
    const primary = replicas.find(({ role }) => role === 'primary');
    if (primary === undefined)
      throw new FtError(
        'ERR_FT_NO_PRIMARY',
        `No primary of group ${this.#replicas.group.name} answers`,
        'See ft-tcp status',
      );
    const state = await this.#replicas.state(primary.pid);
    const { launch } = state;
    if (launch === null)
      throw notDeployable('This group is not one of a program in state mode on one machine, without ft-tcp up');
    const hadStandby = replicas.some(({ role }) => role === 'backup');
    return { pid: primary.pid, state, launch, env: environmentOf(primary.pid), hadStandby };
  }

  async #deploy(old: Old, next: Launch = this.#target(old)): Promise<DeployReport> {
    const { timeoutMs, rollbackMs } = this.#options;
    const begunMs = performance.now();
    const untilMs = begunMs + timeoutMs;
    let isDisturbed = false;
    try {
      const replica = await this.#prepare(old, next, untilMs);
      const fallback = rollbackMs > 0 ? await this.#loaded(this.#start(old, old.launch), untilMs) : null;
      const prepareMs = performance.now() - begunMs;
      isDisturbed = true;
      await this.#follow(replica);
      const report = await this.#move(old, replica, prepareMs);
      await this.#keep(replica);
      this.#record.write({ previous: old.launch, current: next });
      isDisturbed = false;
      if (fallback !== null) return await this.#watch(old, replica, fallback, report);
      return { ...report, standby: old.hadStandby ? await this.#renew(old, next) : null };
    } catch (error) {
      await this.#undo(old, isDisturbed);
      throw error;
    }
  }

  #target({ launch }: Old): Launch {
    const { target } = this.#options;
    if (target === undefined) return launch;
    return { ...launch, program: target.program, args: target.args, cwd: target.cwd ?? launch.cwd };
  }

  #start({ env }: Old, launch: Launch): LaunchedReplica {
    const { cli, log } = this.#options;
    const replica = new LaunchedReplica(launch, { cli, env, log, hold: true });
    this.#started.push(replica);
    return replica;
  }

  /** Starts the new version, which loads, listens where the old one does, and passes its check. */
  async #prepare(old: Old, next: Launch, untilMs: number): Promise<LaunchedReplica> {
    const { check, progress } = this.#options;
    const replica = this.#start(old, next);
    progress(`process ${replica.pid} loads ${nameOf(next)}`);
    await this.#loaded(replica, untilMs);
    await this.#listens(replica, old.state.listening, untilMs);
    if (check !== undefined) {
      progress('it listens; its check begins');
      await Promise.race([new HealthCheck(this.#replicas, check, replica.pid).pass(untilMs), this.#dies(replica)]);
    }
    progress('it is ready');
    return replica;
  }

  async #loaded(replica: LaunchedReplica, untilMs: number): Promise<LaunchedReplica> {
    for (;;) {
      const state = await Promise.race([this.#replicas.tryState(replica.pid), this.#dies(replica)]);
      if (state?.loaded === true) return replica;
      if (performance.now() > untilMs)
        throw loadError(replica, `is not loaded after ${this.#options.timeoutMs / 1000} s`);
      await pause(LOOK_MS);
    }
  }

  /** Rejects when the process has ended. */
  async #dies(replica: LaunchedReplica): Promise<never> {
    await replica.ended;
    throw loadError(replica, `ended: ${replica.end}`);
  }

  async #listens(replica: LaunchedReplica, wanted: readonly Listening[], untilMs: number): Promise<void> {
    const someUntilMs = performance.now() + OTHER_PORTS_MS;
    for (;;) {
      const state = await Promise.race([this.#replicas.state(replica.pid), this.#dies(replica)]);
      const missing = wanted.filter(
        ({ address, port }) => !state.listening.some((one) => one.address === address && one.port === port),
      );
      if (missing.length === 0) return;
      if (performance.now() > (state.listening.length > 0 ? Math.min(untilMs, someUntilMs) : untilMs))
        throw new FtError(
          'ERR_FT_DEPLOY_PORTS',
          `${nameOf(replica.launch)} does not listen on ${places(missing)}; it listens on ${places(state.listening)}`,
          'Its connections would be reset: the old version serves on',
        );
      await pause(LOOK_MS);
    }
  }

  /** The group's standby ends, and this replica follows instead. */
  async #follow(replica: LaunchedReplica): Promise<void> {
    const untilMs = performance.now() + FOLLOW_MS;
    await this.#replicas.ask(replica.pid, 'join');
    for (;;) {
      const state = await Promise.race([this.#replicas.state(replica.pid), this.#dies(replica)]);
      if (state.following && (await this.#isProtected(replica.pid))) return;
      const other = await this.#replicas.follower();
      // It may end by itself, or be about to become the primary.
      if (other !== undefined && other.pid !== replica.pid)
        await this.#replicas.ask(other.pid, 'leave').catch(() => undefined);
      if (performance.now() > untilMs)
        throw new FtError(
          'ERR_FT_UNPROTECTED',
          `Process ${replica.pid} could not take the place of the group's standby`,
          'The old version serves on; see ft-tcp status',
        );
      await pause(LOOK_MS);
    }
  }

  async #isProtected(by: number): Promise<boolean> {
    const primary = await this.#replicas.primary();
    return primary?.protected === true && primary.peerPid === by;
  }

  async #move(from: Old, to: { pid: number; launch: Launch }, prepareMs: number): Promise<DeployReport> {
    const beganUs = await this.#replicas.switchover(from.pid);
    const untilMs = performance.now() + MOVE_MS;
    let state = await this.#replicas.tryState(to.pid);
    while (state?.role !== 'primary' || state.firstByteUs === 0) {
      if (performance.now() > untilMs)
        throw new FtError('ERR_FT_UNRESPONSIVE', `Process ${to.pid} does not say that it serves`, 'See ft-tcp status');
      await pause(LOOK_MS);
      state = await this.#replicas.tryState(to.pid);
    }
    const givenMs = performance.now() + GIVE_MS;
    while (countOf(state) < state.connections && performance.now() < givenMs) {
      await pause(LOOK_MS);
      state = (await this.#replicas.tryState(to.pid)) ?? state;
    }
    const { moved, reset, waiting, lastUs } = state.moved;
    return {
      outcome: 'deployed',
      from: { program: nameOf(from.launch), pid: from.pid },
      to: { program: nameOf(to.launch), pid: to.pid },
      prepareMs: Math.round(prepareMs),
      pauseMs: (Math.max(state.firstByteUs, lastUs) - (beganUs || state.lostUs)) / 1000,
      connections: state.connections,
      ...{ moved, reset, waiting },
      standby: null,
    };
  }

  /** The process goes on without this one. */
  async #keep(replica: LaunchedReplica): Promise<void> {
    await this.#replicas.ask(replica.pid, 'keep').catch(() => undefined);
    replica.release();
    this.#started.splice(this.#started.indexOf(replica), 1);
  }

  /** A standby for a group that had one. A failure is no failure of the deploy. */
  async #renew(old: Old, launch: Launch): Promise<DeployReport['standby']> {
    const replica = this.#start(old, launch);
    try {
      await this.#loaded(replica, performance.now() + this.#options.timeoutMs);
      await this.#follow(replica);
      await this.#keep(replica);
      return { program: nameOf(launch), pid: replica.pid };
    } catch (error) {
      this.#options.progress(`no standby: ${error instanceof Error ? error.message : String(error)}`);
      await this.#stop(replica);
      return null;
    }
  }

  /** The old version stands by, and takes the group back when the new one dies or fails. */
  async #watch(
    old: Old,
    replica: LaunchedReplica,
    fallback: LaunchedReplica,
    report: DeployReport,
  ): Promise<DeployReport> {
    const { rollbackMs, check, progress } = this.#options;
    try {
      await this.#follow(fallback);
    } catch (error) {
      progress(`no way back: ${error instanceof Error ? error.message : String(error)}`);
      await this.#stop(fallback);
      return { ...report, standby: await this.#renew(old, replica.launch) };
    }
    await this.#keep(fallback);
    progress(`${nameOf(old.launch)} stands by for ${rollbackMs / 1000} s`);
    const health = check === undefined ? null : new HealthCheck(this.#replicas, check, replica.pid);
    const untilMs = performance.now() + rollbackMs;
    for (let faults = 0; performance.now() < untilMs; ) {
      const fault = replica.end ?? (health === null ? null : await health.fault(RECHECK_MS * 2));
      if (replica.end !== null || (fault !== null && ++faults >= MAX_FAULTS))
        return await this.#back(old, replica, fallback, { report, reason: fault ?? 'it has ended' });
      if (fault === null) faults = 0;
      await Promise.race([pause(Math.min(RECHECK_MS, untilMs - performance.now())), replica.ended]);
    }
    return { ...report, standby: await this.#renew(old, replica.launch) };
  }

  async #back(
    old: Old,
    replica: LaunchedReplica,
    fallback: LaunchedReplica,
    { report, reason }: { report: DeployReport; reason: string },
  ): Promise<DeployReport> {
    this.#options.progress(`back to ${nameOf(old.launch)}: ${reason}`);
    this.#record.clear();
    const from = { ...old, pid: replica.pid, launch: replica.launch };
    const isAlive = replica.end === null;
    const moved = isAlive
      ? await this.#move(from, fallback, report.prepareMs)
      : { ...report, from: report.to, to: { program: nameOf(fallback.launch), pid: fallback.pid } };
    if (!isAlive) await this.#serves(fallback.pid);
    return { ...moved, outcome: 'rolled-back', reason, standby: await this.#renew(old, old.launch) };
  }

  async #serves(pid: number): Promise<void> {
    const untilMs = performance.now() + MOVE_MS;
    while ((await this.#replicas.tryState(pid))?.role !== 'primary') {
      if (performance.now() > untilMs)
        throw new FtError('ERR_FT_UNRESPONSIVE', `Process ${pid} does not say that it serves`, 'See ft-tcp status');
      await pause(LOOK_MS);
    }
  }

  #stop(replica: LaunchedReplica): Promise<void> {
    return replica.stop(async () => (await this.#replicas.tryState(replica.pid))?.role === 'primary');
  }

  /** Ends what was started. A group whose standby had to end gets one of the old version. */
  async #undo(old: Old, isDisturbed: boolean): Promise<void> {
    await Promise.all(this.#started.splice(0).map((replica) => this.#stop(replica)));
    if (!isDisturbed || !old.hadStandby || (await this.#replicas.follower()) !== undefined) return;
    await this.#renew(old, old.launch);
  }
}

function countOf({ moved: { moved, reset, waiting } }: ReplicaState): number {
  return [...Object.values(moved), ...Object.values(reset), waiting].reduce((sum, count) => sum + count, 0);
}

function places(listening: readonly Listening[]): string {
  return listening.length === 0
    ? 'no port'
    : listening.map(({ address, port }) => `${address} port ${port}`).join(', ');
}

function loadError(replica: LaunchedReplica, what: string): FtError {
  const words = replica.lastWords;
  return new FtError(
    'ERR_FT_DEPLOY_LOAD',
    `${nameOf(replica.launch)} (process ${replica.pid}) ${what}${words === '' ? '' : `\n${words}`}`,
    'The old version serves on',
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, Math.max(0, ms)));
}
