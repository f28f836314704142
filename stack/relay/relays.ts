/** The relays of one stack: they are made here, and take their turn between two batches. */
import { Fifo } from '../../lib/fifo.js';
import type { TcpConnection } from '../tcp/connection.js';
import { sendSyn } from '../tcp/send/segment.js';
import { TcpState } from '../tcp/state.js';
import type { Tcp } from '../tcp/tcp.js';
import { type Deferred, Relay, type RelayQueue, type RelayStart } from './relay.js';

/** Learns of each pair, before anything that depends on it can leave. */
export interface RelayObserver {
  /** Two connections are coupled from these offsets on. */
  paired(relay: Relay, start: RelayStart): void;
}

/** Relays of one stack. */
export class Relays implements RelayQueue {
  /** Relays at present, and all so far. */
  readonly counters = { relays: 0, relaysOpened: 0 };
  observer: RelayObserver | null = null;
  /** Called when both connections of a relay have ended. */
  onEnded: ((relay: Relay) => void) | null = null;
  readonly #tcp: Tcp;
  readonly #pending = new Fifo<Deferred>();

  constructor(tcp: Tcp) {
    this.#tcp = tcp;
  }

  /**
   * Couples a client's connection with one to a server. Both may have received bytes; the client's
   * handshake may wait for this (TcpListenOptions.onSyn).
   */
  pair(client: TcpConnection, server: TcpConnection, start: RelayStart): Relay {
    this.counters.relays++;
    this.counters.relaysOpened++;
    const relay = new Relay(this, client, server, start);
    this.observer?.paired(relay, start);
    this.answerSyn(client);
    this.defer(relay);
    return relay;
  }

  /** Answers a SYN that waits. */
  answerSyn(conn: TcpConnection): void {
    if (!conn.synHeld) return;
    conn.synHeld = false;
    if (conn.removed || this.#tcp.frozen || conn.state !== TcpState.SynRcvd) return;
    conn.rtt.backoff = 0;
    sendSyn(conn);
  }

  defer(work: Deferred): void {
    if (this.#tcp.frozen) work.advance();
    else if (!work.queued) {
      work.queued = true;
      this.#pending.push(work);
    }
  }

  /** Gives each its turn that waits. */
  run(): void {
    const pending = this.#pending;
    for (let work = pending.shift(); work !== undefined; work = pending.shift()) {
      work.queued = false;
      work.advance();
    }
  }

  ended(relay: Relay): void {
    this.counters.relays--;
    this.onEnded?.(relay);
  }

  /** The relays that still have a connection. */
  forEach(fn: (relay: Relay) => void): void {
    const seen = new Set<Relay>();
    this.#tcp.table.forEach(({ user }) => {
      if (user instanceof Relay) seen.add(user);
    });
    for (const relay of seen) fn(relay);
  }

  /** The end of the frozen state: each relay does what it left to this moment. */
  thaw(): void {
    this.forEach((relay) => {
      this.defer(relay);
    });
    this.run();
  }
}
