/** The replica as a child process of its agent, and the group's directory that both share. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { native } from '../../lib/native/native.js';
import type { Group, StartSnapshot } from '../host/group-directory.js';
import { ownPid } from '../host/own-pid.js';
import { Ring } from '../log/ring.js';
import { RING_HEADER, Word } from '../log/ring-header.js';
import type { AgentReplica } from './agent/host.js';
import type { Welcome } from './transport/messages.js';

const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));

/** Runs `ft-tcp run`, or `ft-tcp gateway`, with the role that the agent chooses. */
export class ReplicaProcess implements AgentReplica {
  #child: ChildProcess | null = null;
  #snapshot: StartSnapshot | null = null;

  constructor(
    readonly group: Group,
    /** The command, its options, and for `run` the program and its arguments. */
    readonly argv: string[],
    /** The process has ended. */
    readonly onExit: (code: number | null, signal: string | null) => void,
    /** Rings the doorbell of the replica with this role. */
    readonly ringDoorbell: (role: 'primary' | 'backup') => void,
  ) {}

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  clear(): void {
    this.group.clearOld();
    this.#snapshot = null;
  }

  start(role: 'primary' | 'backup'): void {
    const [command = 'run', ...words] = this.argv;
    const argv = [command, '--member', role, '--agent', String(ownPid), ...words];
    const child = spawn(process.execPath, [...process.execArgv, CLI, ...argv], { stdio: 'inherit' });
    this.#child = child;
    let hasEnded = false;
    const exit = (code: number | null, signal: string | null): void => {
      if (hasEnded) return;
      hasEnded = true;
      if (this.#child === child) this.#child = null;
      this.onExit(code, signal);
    };
    child.once('exit', exit);
    child.once('error', () => exit(1, null));
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  terminate(): void {
    this.#child?.kill('SIGTERM');
  }

  createLog(welcome: Welcome): Ring {
    const { group } = this;
    const { snapshot } = welcome;
    const ring = new Ring(native(), group.createRing(RING_HEADER + snapshot.ringBytes));
    ring.format(Buffer.from(welcome.secret, 'hex'));
    const { words } = ring;
    words[Word.epoch] = welcome.logEpoch;
    words[Word.truncated] = welcome.truncated ? 1 : 0;
    words[Word.writerPid] = ownPid;
    words[Word.borrowSupportPid] = ownPid;
    words[Word.writerStartTime] = words[Word.writerPidNamespace] = 0;
    for (const word of [Word.head, Word.eventEnd, Word.tail, Word.startAt]) words[word] = welcome.position | 0;
    group.publishRing();
    this.#snapshot = { ...snapshot, writerPid: ownPid };
    group.writeSnapshot(this.#snapshot);
    return ring;
  }

  openLog(): Ring | null {
    const snapshot = this.group.readSnapshot();
    if (snapshot === null || snapshot.writerPid !== this.pid) return null;
    const ring = new Ring(native(), this.group.mapRing(RING_HEADER + snapshot.ringBytes));
    if (ring.writerPid !== this.pid) return null;
    this.#snapshot = snapshot;
    return ring;
  }

  snapshot(): StartSnapshot {
    if (this.#snapshot === null) throw new Error('The group has no log yet');
    return this.#snapshot;
  }

  wake(role: 'primary' | 'backup'): void {
    this.ringDoorbell(role);
  }
}
