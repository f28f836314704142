/**
 * What a backup is told that has not seen the beginning: each connection by itself, between two records of the log, as many at a
 * time as there is room for. In state mode that is all of them. Where the program is repeated it is those of independent servers, with
 * all that they have been told (histories.ts), those of servers that take them back (`server.on('restore')`) with what was saved of
 * them, and those that nobody has accepted yet, which a program can take from there on; the others are not protected, and are counted.
 */
import type { ListenerEvents } from '../../stack/sockets/endpoint.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { Tcp } from '../../stack/tcp/tcp.js';
import { restoring } from '../connections/listeners.js';
import { ReplicaEndpoint } from '../connections/replicated-endpoint.js';
import type { StreamSink } from '../connections/stream-sink.js';
import type { ConnectionHistories } from '../log/connection-history.js';
import type { RingWriter } from '../log/ring.js';

/** Room for what goes with a connection beside its bytes. */
const RECORDS = 2048;
/** Part of the log that one connection may take. */
const LARGEST = 0.75;

/**
 * Whether a replica that joins can keep it: its program would take it back, or is done with it.
 * @param taker who takes outgoing connections back, of which something was saved
 */
export function isRestorable({ conn, acceptor, context }: ReplicaEndpoint, taker: ListenerEvents | null): boolean {
  if (conn.active) return conn.orphan || (context !== null && taker !== null && restoring(taker) !== false);
  return conn.orphan || (acceptor !== null && restoring(acceptor) !== false);
}

export class StateTransfer {
  #waiting: TcpConnection[] = [];
  #at = 0;
  readonly #covered = new Set<number>();
  readonly #repeated = new Set<number>();

  constructor(
    readonly tcp: Tcp,
    readonly histories: ConnectionHistories,
    /** The whole group is in state mode. */
    readonly all: boolean,
    /** Who takes outgoing connections back. */
    readonly taker: () => ListenerEvents | null,
  ) {}

  /** A backup joins, and knows nothing. */
  begin(): void {
    this.#waiting = [];
    this.#at = 0;
    this.#covered.clear();
    this.#repeated.clear();
    this.tcp.table.forEach((conn) => {
      if (this.#possible(conn)) this.#waiting.push(conn);
    });
  }

  #possible(conn: TcpConnection): boolean {
    if (this.all || this.histories.get(conn.id) !== undefined) return true;
    const { user } = conn;
    if (!(user instanceof ReplicaEndpoint)) return conn.listener !== null;
    if (user.policy.unreplicated) return user.policy.shipped;
    return isRestorable(user, this.taker()) || (user.acceptor !== null && !user.accepted);
  }

  /** Goes on as far as there is room. Between events only. @returns true when there is nothing left to tell. */
  step(state: StreamSink, writer: RingWriter): boolean {
    for (; this.#at < this.#waiting.length; this.#at++) {
      const conn = this.#waiting[this.#at]!;
      if (conn.removed) continue;
      const { user } = conn;
      const endpoint = user instanceof ReplicaEndpoint ? user : null;
      const most = writer.ring.size * LARGEST;
      const history = conn.established ? this.histories.get(conn.id) : undefined;
      const past = history === undefined ? 0 : RECORDS + history.length + 2 * conn.reassembly.bytes;
      const context = endpoint?.context?.length ?? 0;
      const saved = RECORDS + context + 2 * (conn.sendBuffer.length + conn.receiveQueued + conn.reassembly.bytes);
      // Only when it is its turn is it known whether its history has been given up meanwhile.
      const repeat = history !== undefined && past <= most;
      if (!repeat && (saved > most || !this.#possible(conn))) continue;
      if (writer.room - (repeat ? past : saved) < writer.ring.size / 4) return false;
      if (repeat) {
        state.transferHistory(conn, endpoint, history);
        this.#repeated.add(conn.id);
      } else state.transfer(conn, endpoint);
      this.#covered.add(conn.id);
    }
    this.#waiting = [];
    this.#at = 0;
    return true;
  }

  /** The backup that joined last has repeated all that it was told. */
  repeats(conn: number): boolean {
    return this.#repeated.has(conn);
  }

  /** The backup that joined last knows it, though it is older. */
  covers(conn: number): boolean {
    return this.#covered.has(conn);
  }
}
