/** What an agent needs of the machine that it runs on; the simulation has machines of its own (test/sim/agents.ts). */
import type { Clock } from '../../../lib/clock.js';
import type { StartSnapshot } from '../../host/group-directory.js';
import type { Ring } from '../../log/ring.js';
import type { Coordinator } from '../coordinator/coordinator.js';
import type { Status, Welcome } from '../transport/messages.js';
import type { LogSenderHost } from './log-sender.js';

/** The local replica's process, and what it shares with us. */
export interface AgentReplica {
  /** 0: none runs. */
  readonly pid: number;
  /** Files of a group that was here before are gone; a new primary begins anew. */
  clear(): void;
  start(role: 'primary' | 'backup'): void;
  /** Asks it to hand over, if it can, and to end. */
  end(): void;
  /** Kills it; it is gone when `Agent.memberEnded` is called. */
  kill(): void;
  /** A log to copy another machine's into. */
  create(welcome: Welcome): Ring;
  /** The log that a primary has made, once it is there. */
  open(): Ring | null;
  snapshot(): StartSnapshot;
  /** Rings the member's doorbell. */
  wake(role: 'primary' | 'backup'): void;
}

export interface AgentLinks extends Pick<LogSenderHost, 'send' | 'sendData' | 'takes'> {
  connected(peer: string): boolean;
  /** Stops and starts reading from a peer. */
  hold(peer: string, on: boolean): void;
  drop(peer: string): void;
}

export interface AgentOptions {
  self: string;
  /** All nodes, in the order of succession. */
  nodes: string[];
  stable: number;
  lostMs: number;
  freshMs: number;
  /** A primary whose main loop stands still for so long is killed. Milliseconds; Infinity: never. */
  hangMs: number;
  /** There is nobody to ask for the group's state: what the nodes know is all. */
  unasked: boolean;
}

export interface AgentHost {
  readonly links: AgentLinks;
  readonly coordinator: Coordinator;
  readonly member: AgentReplica;
  readonly clock: Clock;
  /** Tells the operator. */
  note(event: string, more: object): void;
  /** Nothing more is to be done here. */
  finished(code: number): void;
}

export type AgentRole = Status['role'];
