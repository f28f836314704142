/**
 * One machine of a group: composes the agent from its parts, i.e. the configuration, the
 * connections to the other agents, the coordinator, the replica's process and the doorbells.
 * `ft-tcp run --cluster` runs one.
 */
import { randomBytes } from 'node:crypto';
import net from 'node:net';
import { bootTime } from '../../lib/clock.js';
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import { Doorbells } from '../host/doorbells.js';
import { Group } from '../host/group-directory.js';
import { ownPid } from '../host/own-pid.js';
import { listenAt, onlySameUser } from '../host/unix-socket.js';
import { Agent } from './agent/agent.js';
import type { EventReporter } from './agent/events.js';
import { CLUSTER_STATUS_SOCKET, type ClusterStatus } from './agent/status.js';
import type { ClusterConfig } from './config/config.js';
import type { Coordinator } from './coordinator/coordinator.js';
import { EtcdCoordinator } from './coordinator/etcd.js';
import { FenceCommandCoordinator, fenceCommand } from './coordinator/fence-command.js';
import { FenceHistory } from './coordinator/fence-history.js';
import { FileLockCoordinator } from './coordinator/file-lock.js';
import { ReplicaProcess } from './replica-process.js';
import { Links } from './transport/links.js';

const TICK_MS = 10;
/**
 * An agent that worked for longer than this, mostly encrypting, is behind: it does not poll.
 * Microseconds.
 */
const MAX_POLLED_WORK_US = 5000;
/** The last messages get this long to leave. */
const FLUSH_MS = 50;

/** What a machine is started with. */
export interface MachineOptions {
  config: ClusterConfig;
  /** The group's name. */
  group: string;
  /** Where the groups' directories are on this machine. */
  directory: string;
  /** The replica's command, its options, and for `run` the program and its arguments. */
  argv: string[];
  /** A main loop without progress for this long hangs. Milliseconds. */
  hangTimeoutMs: number;
  /** How long the agent polls before it sleeps. Microseconds. */
  busyPollUs: number;
}

/** What a machine tells the command that runs it. */
export interface MachineEvents {
  /** An event for the operator. */
  readonly report: EventReporter;
  /** This machine's part has ended, with an exit code. */
  finished(code: number): void;
  /**
   * A fault that the agent cannot handle, e.g. no room for the log. The machine has to be closed.
   */
  failed(error: unknown): void;
}

/** The agent of this machine, with its connections, coordinator and replica. */
export class ClusterMachine {
  readonly agent: Agent;
  readonly #group: Group;
  readonly #coordinator: Coordinator;
  readonly #links: Links;
  readonly #replica: ReplicaProcess;
  readonly #bells: Doorbells;
  /** The doorbell that this agent listens to: the one that the replica does not. */
  #bell: 'primary' | 'backup' | null = null;
  #status: { close(): void } | null = null;
  #ticking: NodeJS.Timeout | null = null;

  /** Throws FtError EBUSY when another agent has the group on this machine. */
  constructor(
    readonly options: MachineOptions,
    readonly events: MachineEvents,
  ) {
    const { config, argv } = options;
    const addon = native();
    this.#group = new Group(addon, options.directory, options.group);
    if (addon.lockFile(this.#group.file('agent.lock')) < 0)
      throw new FtError('EBUSY', `Another agent has the group ${options.group} on this machine`, 'See ft-tcp status');
    this.#coordinator = createCoordinator(config, this.#group, events.report);
    this.#bells = new Doorbells(addon, this.#group, () => this.#guard(() => this.#rung()));
    this.#replica = new ReplicaProcess(
      this.#group,
      argv,
      (code, signal) => this.#replicaExited(code, signal),
      (role) => this.#wake(role),
    );
    this.#links = this.#createLinks();
    this.agent = new Agent(
      {
        self: config.self.name,
        nodes: config.nodes.map(({ name }) => name),
        requiredBackups: config.requiredBackups,
        peerTimeoutMs: config.peerTimeoutMs,
        newGroupDelayMs: config.newGroupDelayMs,
        hangTimeoutMs: options.hangTimeoutMs,
        noStateStore: config.coordinator.type === 'fence-command',
      },
      {
        links: this.#links,
        coordinator: this.#coordinator,
        replica: this.#replica,
        clock: systemClock,
        report: events.report,
        finished: (code) => events.finished(code),
      },
    );
  }

  /**
   * Listens, connects and starts to work. Rejects with FtError when an address or a socket cannot
   * be used.
   */
  async open(): Promise<void> {
    const addon = native();
    // A log record on its way to another machine passes four processes: none that is busy should
    // have to be woken.
    addon.loopBusyPoll(
      addon.loopHook(() => false, 1),
      this.options.busyPollUs,
      MAX_POLLED_WORK_US,
    );
    await this.#links.open();
    const server = net.createServer(
      onlySameUser((socket) => {
        socket.on('error', () => undefined);
        socket.end(JSON.stringify(this.status()));
      }),
    );
    this.#status = await listenAt(server, this.#group.file(CLUSTER_STATUS_SOCKET));
    this.#ticking = setInterval(() => this.#guard(() => this.agent.step()), TICK_MS);
  }

  /**
   * Kills the replica, waits for the last messages, and releases everything.
   * @param isPlanned this node has left, or the group has ended: the log and the environment, which
   * hold secrets, are removed
   */
  async close(isPlanned = false): Promise<void> {
    if (this.#ticking !== null) clearInterval(this.#ticking);
    this.#replica.kill();
    this.#status?.close();
    await new Promise((done) => setTimeout(done, FLUSH_MS));
    this.#links.close();
    this.#coordinator.close();
    if (isPlanned) this.#group.removeEnded();
  }

  /** What `ft-tcp status` shows. */
  status(): ClusterStatus {
    const { agent } = this;
    const { sender } = agent;
    const peers: ClusterStatus['peers'] = {};
    for (const [name, { up, status }] of agent.peers)
      peers[name] = {
        up,
        role: status?.role ?? null,
        epoch: status?.epoch ?? 0,
        ready: status?.ready === true,
        lagBytes: sender?.lagOf(name) ?? null,
      };
    return {
      node: agent.options.self,
      pid: ownPid,
      role: agent.role,
      epoch: agent.epoch,
      inSync: sender?.state.inSync ?? null,
      requiredBackups: sender?.state.requiredBackups ?? null,
      leaseRemainingMs: this.#leaseRemainingMs(),
      peers,
      counters: {
        agent: { ...agent.counters },
        links: { ...this.#links.counters },
        leader: { ...(sender?.counters ?? {}) },
      },
    };
  }

  #leaseRemainingMs(): number | null {
    const remainingUs = this.#coordinator.leaseUntilUs - bootTime(systemClock);
    if (this.agent.role !== 'leader' || remainingUs <= 0) return 0;
    return Number.isFinite(remainingUs) ? Math.floor(remainingUs / 1000) : null;
  }

  #guard(act: () => void): void {
    try {
      act();
    } catch (error) {
      this.events.failed(error);
    }
  }

  #createLinks(): Links {
    const { config, group } = this.options;
    const { events } = this;
    const hello = { group, node: config.self.name, incarnation: randomBytes(8).toString('hex') };
    return new Links(config, hello, {
      up: (peer, incarnation) => {
        events.report('peer-up', { peer });
        this.#guard(() => this.agent.linkUp(peer, incarnation));
      },
      down: (peer) => {
        events.report('peer-down', { peer });
        this.#guard(() => this.agent.linkDown(peer));
      },
      message: (peer, type, body) => this.#guard(() => this.agent.message(peer, type, body)),
      writable: () => this.#guard(() => this.agent.pump()),
    });
  }

  #replicaExited(code: number | null, signal: string | null): void {
    if (code !== 0) this.events.report('replica-died', { code, signal });
    this.#guard(() => this.agent.replicaExited(code));
  }

  #rung(): void {
    if (this.agent.role === 'leader') this.agent.pump();
    else this.agent.step();
  }

  /** A doorbell has one listener, so the agent listens to the one that the replica does not. */
  #wake(role: 'primary' | 'backup'): void {
    const bell = role === 'backup' ? 'primary' : 'backup';
    if (this.#bell !== bell) {
      this.#bell = bell;
      this.#bells.open(bell);
    }
    this.#bells.ring();
  }
}

function createCoordinator(config: ClusterConfig, place: Group, report: EventReporter): Coordinator {
  const { coordinator, self, nodes } = config;
  const node = self.name;
  const group = place.name;
  switch (coordinator.type) {
    case 'etcd':
      return new EtcdCoordinator(coordinator, group, node, systemClock);
    case 'fence-command': {
      const others = nodes.map(({ name }) => name).filter((name) => name !== node);
      return new FenceCommandCoordinator(node, others, fenceCommand(coordinator), {
        history: new FenceHistory(coordinator.fenceHistory ?? place.file('fence-history.json'), () =>
          systemClock.wall(),
        ),
        delayed: (peer, delayMs, fences) => report('fence-delayed', { peer, delayMs: Math.ceil(delayMs), fences }),
      });
    }
    case 'file-lock':
      return new FileLockCoordinator(coordinator, {
        group,
        node,
        pid: ownPid,
        native: native(),
        clock: systemClock,
        wait: (us) => new Promise((done) => setTimeout(done, us / 1000)),
      });
  }
}
