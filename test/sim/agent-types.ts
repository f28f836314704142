/** What the parts of the agents' simulation know of each other: a machine and its surroundings. */
import type { Agent } from '../../failover/cluster/agent/agent.js';
import type { Ring } from '../../failover/log/ring.js';
import type { Clock } from '../../lib/clock.js';
import type { SeededRandom } from '../../lib/random.js';
import type { Queue } from './agent-queue.js';
import type { Mutant } from './mutants.js';

/** How far a program has counted. */
export interface Count {
  /** The value of each step. */
  values: number[];
  /** Steps before the first value, which the program has not seen. */
  skipped: number;
}

/** Everything outside of a machine. */
export interface SimWorld {
  readonly queue: Queue;
  readonly random: SeededRandom;
  /** The product's classes that are replaced. */
  readonly mutant: Mutant;
  /** The next process id. */
  pids: number;
  /** Counts logs that were begun anew. */
  generation: number;
  /** A primary's output: how far it has counted. */
  sent(machine: SimMachine, count: Count): void;
}

/** One machine, as its process and its etcd client see it. */
export interface SimMachine {
  readonly world: SimWorld;
  readonly name: string;
  readonly clock: Clock;
  readonly agent: Agent | null;
  /** The replica's process; null: none runs. */
  readonly process: object | null;
  /** The shared log. */
  ring: Ring | null;
  /** Requests to etcd do not arrive. */
  readonly cutEtcd: boolean;
  /** The replica has been asked to end. */
  readonly leaving: boolean;
  /** After a time in microseconds, if the machine is still on. */
  later(us: number, run: () => void): void;
  /** In a moment. */
  soon(run: () => void): void;
  /** The replica's process ends. */
  die(code: number | null): void;
}
