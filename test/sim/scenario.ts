/** What a scenario of the simulation is made of. */
import type { CommitMode } from '../../failover/primary/output-gate.js';
import type { Replica, ReplicationMode } from '../../failover/replica/replica.js';
import type { Impairment } from '../../lib/device/emulation/impairment.js';
import type { StackHost } from '../../stack/stack-host.js';
import type { Client } from './clients.js';
import type { Disk } from './disk.js';
import type { FaultKind } from './fault-kinds.js';
import type { Process } from './process.js';
import { PORT } from './programs.js';

/** A program, its clients, the path between them, and what the clients have to see. */
export interface Scenario {
  name: string;
  program: (replica: Replica, process: Process, disk: Disk) => void;
  /** Prepares each replica, before it opens its device. */
  prepare?: (replica: Replica) => void;
  /** Starts the clients; they come with time if they are many. */
  clients: (host: StackHost, address: string, disk: Disk) => Client[];
  /** Frames that are read from the device at once. */
  batch?: number;
  /** Bytes that the disk has room for, if not as many as are needed. */
  diskRoom?: number;
  /** How a client ends: orderly, unless the program resets it. */
  closes?: (string | null)[];
  commit?: CommitMode;
  mode?: ReplicationMode;
  /** State mode: the backup's program is loaded before its takeover. */
  warm?: boolean;
  family?: 4 | 6;
  link?: Impairment;
  /** Ports whose connections the program aborts. */
  resets?: number[];
  /** Takes long: only one of this number of points is tried. */
  sparse?: number;
  /** How long a client may wait, if not as usual. */
  patienceUs?: number;
  /** The first process is of the version before. */
  upgrade?: boolean;
  /** How slow a backup is that follows. */
  laggard?: { turns: number; restUs: number };
  /** Replicas send by a thread, which dies a little later than the rest. */
  sender?: boolean;
  /** Without a log. */
  solo?: boolean;
  /** As the replicas' option. */
  historyLimit?: number;
  /** Bytes of the log, if not 1 MiB. */
  logBytes?: number;
  /** The log loses its beginning: when all processes have died, nobody can go on. */
  forgets?: boolean;
}

/** Whether a kind of fault can be survived in a scenario. */
export function survives(scenario: Scenario, kind: FaultKind): boolean {
  if (kind === 'machine') return scenario.commit === 'acked';
  return kind !== 'restart' || scenario.forgets !== true;
}

/** A path that loses, reorders and duplicates. */
export const LOSSY: Impairment = { loss: 0.03, reorder: 0.03, reorderUs: 2000, duplicate: 0.01 };
/** Bytes of a download. */
export const DOWN = 120_000;

/** A number of one kind, some milliseconds apart. */
export function many<T extends Client>(
  count: number,
  apartMs: number,
  make: (n: number) => T,
  open: (client: T) => void,
): T[] {
  return Array.from({ length: count }, (_, n) => {
    const client = make(n);
    client.later(1 + n * apartMs, () => {
      client.rested();
      open(client);
    });
    return client;
  });
}

/** Opens a client's connection. */
export const at =
  (address: string, port = PORT) =>
  (client: Client): void =>
    void client.open(address, port);
