/**
 * What a backup is told that has not seen the beginning: each connection by itself, between two records of the log, as many at a
 * time as there is room for. In state mode that is all of them. Where the program is repeated it is those of servers that
 * take them back (`server.on('restore')`) with what was saved of them, and those that nobody has accepted yet, which a program can
 * take from there on; the others are not protected, and are counted.
 */
import type { TcpConnection } from '../stack/tcp/connection.js';
import type { Tcp } from '../stack/tcp/tcp.js';
import { restoring } from './listeners.js';
import type { RingWriter } from './log/ring.js';
import type { StateRecorder } from './state-recorder.js';
import { ReplicaEndpoint } from './stream-check.js';

/** Room for what goes with a connection beside its bytes. */
const RECORDS = 2048;
/** Part of the log that one connection may take. */
const LARGEST = 0.75;

/** Whether a replica that joins can keep it: its program would take it back, or is done with it. */
export function takesBack({ conn, acceptor }: ReplicaEndpoint): boolean {
  return conn.orphan || (acceptor !== null && restoring(acceptor) !== false);
}

export class Coverage {
  #waiting: TcpConnection[] = [];
  #at = 0;
  readonly #covered = new Set<number>();

  constructor(
    readonly tcp: Tcp,
    /** The whole group is in state mode. */
    readonly all: boolean,
  ) {}

  /** A backup joins, and knows nothing. */
  begin(): void {
    this.#waiting = [];
    this.#at = 0;
    this.#covered.clear();
    this.tcp.table.forEach((conn) => {
      if (this.#possible(conn)) this.#waiting.push(conn);
    });
  }

  #possible(conn: TcpConnection): boolean {
    if (this.all) return true;
    const { user } = conn;
    if (!(user instanceof ReplicaEndpoint)) return conn.listener !== null;
    if (user.following.apart) return user.following.shipped;
    return takesBack(user) || (user.acceptor !== null && !user.accepted);
  }

  /** Goes on as far as there is room. Between events only. @returns true when there is nothing left to tell. */
  step(state: StateRecorder, writer: RingWriter): boolean {
    for (; this.#at < this.#waiting.length; this.#at++) {
      const conn = this.#waiting[this.#at]!;
      if (conn.removed) continue;
      const { user } = conn;
      const endpoint = user instanceof ReplicaEndpoint ? user : null;
      const context = endpoint?.context?.length ?? 0;
      const need = RECORDS + context + 2 * (conn.sendBuffer.length + conn.receiveQueued + conn.reassembly.bytes);
      if (need > writer.ring.size * LARGEST) continue;
      if (writer.room - need < writer.ring.size / 4) return false;
      state.cover(conn, endpoint);
      this.#covered.add(conn.id);
    }
    this.#waiting = [];
    this.#at = 0;
    return true;
  }

  /** The backup that joined last knows it, though it is older. */
  covers(conn: number): boolean {
    return this.#covered.has(conn);
  }
}
