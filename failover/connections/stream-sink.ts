/**
 * What the primary writes to the log about a connection's stream, as connections see it; the
 * recorder implements it.
 */
import type { Relay } from '../../stack/relay/relay.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import type { ConnectionHistory } from '../log/connection-history.js';
import type { Closing } from '../log/records.js';
import type { ProcessCheckpoint } from './checkpoint/process-checkpoint.js';

/** A running checksum of what the program writes to one connection. */
export interface StreamCheck {
  /** Bytes written in all. */
  readonly written: number;
  /** CRC-32C over them. */
  readonly crc: number;
}

/** What a connection's endpoint adds to a state transfer. */
export interface TransferredEndpoint extends StreamCheck {
  /** The program has accepted the connection. */
  readonly accepted: boolean;
  /** What the program saved with the connection; null for nothing. */
  readonly context: Uint8Array | null;
}

/** Receives what connections ship, and the state of connections for a replica that joins. */
export interface StreamSink {
  /** The program wrote bytes to a connection. */
  wrote(conn: number, bytes: Uint8Array): void;
  /** The program shut down, closed or aborted a connection. */
  closing(conn: number, what: Closing): void;
  /** The program saved a connection's context; an empty one removes it. */
  context(conn: number, context: Uint8Array): void;
  /** The program saved a value of its own. */
  saved(name: string, bytes: Uint8Array): void;
  /** All values that the program has saved so far, for a replica that joins. */
  savedAll(values: ProcessCheckpoint): void;
  /** State transfer of one connection. */
  transfer(conn: TcpConnection, endpoint: TransferredEndpoint | null): void;
  /** State transfer of both connections of a relay. */
  transferRelay(relay: Relay): void;
  /** State transfer of one independent connection, as the history of its events. */
  transferHistory(conn: TcpConnection, endpoint: TransferredEndpoint | null, history: ConnectionHistory): void;
}
