/**
 * What an agent needs of the machine that it runs on. machine.ts implements it with processes and
 * sockets, the simulation with machines of its own (test/sim/agents.ts).
 */
import type { Clock } from '../../../lib/clock.js';
import type { StartSnapshot } from '../../host/group-directory.js';
import type { Ring } from '../../log/ring.js';
import type { Coordinator } from '../coordinator/coordinator.js';
import type { AgentStatus, Welcome } from '../transport/messages.js';
import type { EventReporter } from './events.js';
import type { LogSender, LogSenderHost } from './log-sender.js';

/** The local replica's process, and the files that it shares with its agent. */
export interface AgentReplica {
  /** 0: no process runs. */
  readonly pid: number;
  /** Removes the files of a former group: a new primary starts without a log. */
  clear(): void;
  /** Starts the process. */
  start(role: 'primary' | 'backup'): void;
  /** Asks a primary to switch over, if it can, and to end (SIGTERM). */
  terminate(): void;
  /** Kills the process (SIGKILL). It is gone when `Agent.replicaExited` is called. */
  kill(): void;
  /**
   * Creates a log that another node's log is copied into. Throws FtError when there is no room for
   * it.
   */
  createLog(welcome: Welcome): Ring;
  /** The log that a primary has created; null until it is there. */
  openLog(): Ring | null;
  /** What a backup needs to start beside the log. Throws Error before there is a log. */
  snapshot(): StartSnapshot;
  /** Rings the replica's doorbell. */
  wake(role: 'primary' | 'backup'): void;
}

/** Connections to the other agents. */
export interface AgentLinks extends Pick<LogSenderHost, 'send' | 'sendData' | 'isWritable'> {
  /** Whether there is a connection to the peer. */
  connected(peer: string): boolean;
  /** Stops and starts reading from a peer. */
  setPaused(peer: string, isPaused: boolean): void;
  /** Ends the connection to a peer. */
  disconnect(peer: string): void;
}

/** Settings of an agent, from the cluster's configuration file and the command line. */
export interface AgentOptions {
  /** This node. */
  self: string;
  /** All nodes, in the order of succession. */
  nodes: string[];
  /** Backups that must hold what output depends on; Infinity: all that are in sync. */
  requiredBackups: number;
  /** A peer without a message for this long is disconnected. Milliseconds. */
  peerTimeoutMs: number;
  /**
   * A group without a leader, that no node can take over, is started anew after this. Milliseconds.
   */
  newGroupDelayMs: number;
  /**
   * A primary whose main loop stands still for this long is killed. Milliseconds; Infinity: never.
   */
  hangTimeoutMs: number;
  /** No service stores the group's state: the nodes know it only from each other. */
  noStateStore: boolean;
}

/** All that an agent is given. */
export interface AgentHost {
  readonly links: AgentLinks;
  readonly coordinator: Coordinator;
  readonly replica: AgentReplica;
  /** The machine's clock. */
  readonly clock: Clock;
  /** The class that sends the log; default {@link LogSender}. */
  readonly LogSender?: typeof LogSender;
  /** Reports an event to the operator. */
  readonly report: EventReporter;
  /** This node's part has ended. @param code exit code of the agent's process */
  finished(code: number): void;
}

/** joining, follower, disconnected or leader: see agent.ts. */
export type AgentRole = AgentStatus['role'];
