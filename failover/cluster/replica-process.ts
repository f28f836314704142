/** The replica's process as the agent's child, and the group's place that both share. */
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

export class ReplicaProcess implements AgentReplica {
  #child: ChildProcess | null = null;
  #snapshot: StartSnapshot | null = null;

  constructor(
    readonly group: Group,
    /** Words of `ft-tcp run` that the member gets. */
    readonly words: string[],
    readonly ended: (code: number | null, signal: string | null) => void,
    readonly ring: (role: 'primary' | 'backup') => void,
  ) {}

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  clear(): void {
    this.group.clearOld();
    this.#snapshot = null;
  }

  start(role: 'primary' | 'backup'): void {
    const words = ['run', '--member', role, '--agent', String(ownPid), ...this.words];
    const child = spawn(process.execPath, [...process.execArgv, CLI, ...words], { stdio: 'inherit' });
    this.#child = child;
    let over = false;
    const end = (code: number | null, signal: string | null): void => {
      if (over) return;
      over = true;
      if (this.#child === child) this.#child = null;
      this.ended(code, signal);
    };
    child.once('exit', end);
    child.once('error', () => end(1, null));
  }

  kill(): void {
    this.#child?.kill('SIGKILL');
  }

  end(): void {
    this.#child?.kill('SIGTERM');
  }

  create(welcome: Welcome): Ring {
    const { group } = this;
    const { snapshot } = welcome;
    const ring = new Ring(native(), group.createRing(RING_HEADER + snapshot.ringBytes));
    ring.format(Buffer.from(welcome.secret, 'hex'));
    const { words } = ring;
    words[Word.epoch] = welcome.logEpoch;
    words[Word.truncated] = welcome.historyLost ? 1 : 0;
    words[Word.writerPid] = ownPid;
    words[Word.borrowSupportPid] = ownPid;
    for (const word of [Word.head, Word.eventEnd, Word.tail, Word.startAt]) words[word] = welcome.position | 0;
    group.publishRing();
    this.#snapshot = { ...snapshot, writerPid: ownPid };
    group.writeSnapshot(this.#snapshot);
    return ring;
  }

  open(): Ring | null {
    const snapshot = this.group.readSnapshot();
    if (snapshot === null || snapshot.writerPid !== this.pid) return null;
    const ring = new Ring(native(), this.group.mapRing(RING_HEADER + snapshot.ringBytes));
    if (ring.writerPid !== this.pid) return null;
    this.#snapshot = snapshot;
    return ring;
  }

  snapshot(): StartSnapshot {
    if (this.#snapshot === null) throw new Error('there is no group yet');
    return this.#snapshot;
  }

  wake(role: 'primary' | 'backup'): void {
    this.ring(role);
  }
}
