/**
 * The commands of a deploy to a replica (deploy/deployment.ts): what its program is, a way to check
 * it, and when it takes the place of the group's standby or leaves it.
 */
import net from 'node:net';
import { FtError } from '../../lib/errors.js';
import type { AdminCommand, Executed } from '../admin/commands.js';
import { ExitCode } from '../admin/error-codes.js';
import { COMMAND_FD, type Launch } from '../operate/deploy/launch.js';
import type { ReplicaState } from '../operate/deploy/questions.js';
import { KernelListener } from '../runtime/sources/kernel-listener.js';
import type { CommandRunner, RunningReplica } from './running-replica.js';

/** Carries them out. */
export class StandbyCommands implements CommandRunner {
  /** Resolves when the standby may take its place; undefined: it need not wait. */
  readonly hold: Promise<void> | undefined;
  readonly #launch: Launch | null;
  #release: () => void = () => undefined;
  /** The command that started this process may end. */
  #isKept = false;
  #running: RunningReplica | null = null;
  readonly #checks = new Map<number, Promise<string>>();

  /** @param isHeld a deploy has started this process */
  constructor(launch: Launch | null, isHeld: boolean) {
    this.#launch = launch;
    if (!isHeld) return;
    this.hold = new Promise((done) => {
      this.#release = done;
    });
  }

  /** The replica runs now. A deploy that dies ends the standby that it has started. */
  serve(running: RunningReplica): void {
    this.#running = running;
    if (this.hold === undefined) return;
    const command = new net.Socket({ fd: COMMAND_FD, readable: true, writable: false });
    command.on('error', () => undefined);
    command.on('close', () => {
      const { replica } = running;
      // One that has taken over, or is about to, has the connections.
      if (!this.#isKept && replica.role === 'backup' && replica.leave()) running.end(ExitCode.Failure);
    });
    command.resume();
    command.unref();
  }

  execute(command: AdminCommand, argument: string): Promise<Executed> | null {
    const running = this.#running;
    if (running === null) return null;
    switch (command) {
      case 'program':
        return Promise.resolve({ answer: this.#state(running) });
      case 'check':
        return this.#check(running, Number(argument)).then((name) => ({ answer: { name } }));
      case 'join':
        this.#release();
        return Promise.resolve({});
      case 'keep':
        this.#isKept = true;
        return Promise.resolve({});
      case 'leave':
        return this.#leave(running);
      default:
        return null;
    }
  }

  #state({ replica }: RunningReplica): ReplicaState {
    const { role, connections, lastTakeover, programLoaded, reader } = replica;
    return {
      role,
      loaded: programLoaded,
      listening: connections.listeners.bound,
      following: reader !== null,
      lostUs: lastTakeover?.atMonotonicUs ?? 0,
      firstByteUs: lastTakeover?.firstByteUs ?? 0,
      connections: lastTakeover?.connections ?? 0,
      moved: connections.moved,
      launch: this.#launch,
    };
  }

  /** @returns a Unix socket in the group's directory, whose connections a server gets */
  #check(running: RunningReplica, port: number): Promise<string> {
    const open = this.#checks.get(port);
    if (open !== undefined) return open;
    const { replica, group } = running;
    const acceptor = replica.connections.listeners.acceptorAt(port);
    if (acceptor === undefined)
      return Promise.reject(
        new FtError('ERR_FT_STATE', `The program does not listen on port ${port}`, 'Check a port that it listens on'),
      );
    const name = `${replica.pid}.check.${port}`;
    const path = group.file(name);
    const opened = new Promise<string>((done, fail) => {
      const events = {
        onListening: () => done(name),
        onError: (code: string) => fail(new FtError(code, `The socket ${path} cannot be opened`, 'See ft-tcp doctor')),
        onConnection: acceptor.onConnection,
      };
      const where = { address: path, port: 0, isPath: true };
      running.closeAtEnd(new KernelListener(replica, where, events, true));
    });
    this.#checks.set(port, opened);
    return opened;
  }

  #leave(running: RunningReplica): Promise<Executed> {
    const { replica } = running;
    if (replica.role === 'backup' && replica.leave()) return Promise.resolve({ after: () => running.end(ExitCode.Ok) });
    return Promise.reject(new FtError('ERR_FT_STATE', 'This replica serves, or is about to', 'See ft-tcp status'));
  }
}
