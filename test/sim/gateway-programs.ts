/**
 * The gateway in the simulation: no program runs on the replicas. Servers and clients are in the
 * stack at the other end of the link, and know nothing of it.
 */
import { Gateway } from '../../failover/gateway/gateway.js';
import { SERVER_DEFAULTS, SERVICE_DEFAULTS, type ServiceSettings } from '../../failover/gateway/settings.js';
import type { Replica } from '../../failover/replica/replica.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Client, pattern, patternByte } from './clients.js';
import { changed, on, PORT, sendAll } from './programs.js';
import { INNER_PORT } from './proxy-programs.js';

/** The stream that a server sends, and a client expects. */
const STREAM = 3;
const WINDOW = 48 * 1024;

/** Prepares a replica: its gateway begins to serve when the replica is the primary. */
export function gateway(settings: Partial<ServiceSettings> = {}): (replica: Replica) => void {
  return (replica) => {
    const service: ServiceSettings = {
      ...SERVICE_DEFAULTS,
      name: 'sim',
      listen: { address: '0.0.0.0', port: PORT },
      servers: [{ address: '10.0.0.2', port: INNER_PORT, ...SERVER_DEFAULTS }],
      health: null,
      ...settings,
    };
    const wrote = (conn: number, bytes: Uint8Array): void => replica.checks.sink?.wrote(conn, bytes);
    replica.connections.resident = new Gateway(replica.stack, wrote, [service]);
  };
}

/** The program of a replica with a gateway: a successor's was opened by the takeover. */
export function openGateway(replica: Replica): void {
  if (replica.lastTakeover === null) (replica.connections.resident as Gateway).open();
}

/** Where the settings name a second server. */
export const SECOND_PORT = INNER_PORT + 1;

/** A server that sends a stream to each client, and closes. */
export function streamServer(host: StackHost, total: number): void {
  host.listen(
    { port: INNER_PORT },
    {
      onConnection: (endpoint) => {
        on(endpoint, { onEnd: () => endpoint.close() });
        sendAll(endpoint, STREAM, total, WINDOW, () => endpoint.shutdown());
      },
    },
  );
}

/** Takes a stream from a server, and may stop reading for a while. */
export class Puller extends Client {
  #paused = false;

  constructor(
    host: StackHost,
    readonly total: number,
    readonly pauseMs = 0,
  ) {
    super(host);
  }

  start(): void {}

  take(chunk: Buffer, from: number): void {
    this.expectPattern(STREAM, chunk, from);
    if (this.pauseMs === 0 || this.#paused || this.seen.received < 10_000) return;
    this.#paused = true;
    this.endpoint.setReading(false);
    this.later(this.pauseMs, () => {
      this.rested();
      this.endpoint.setReading(true);
    });
  }

  override ended(): void {
    if (this.seen.received !== this.total) this.fail(`${this.seen.received} bytes instead of ${this.total}`);
    this.done = true;
    this.endpoint.close();
  }
}

/** A server that sums what it is sent, and answers behind the client's FIN. */
export function sumServer(host: StackHost): void {
  host.listen(
    { port: INNER_PORT },
    {
      onConnection: (endpoint) => {
        let sum = 0;
        let count = 0;
        on(endpoint, {
          onData: (chunk) => {
            for (const byte of chunk) sum = (Math.imul(sum, 31) + byte) >>> 0;
            count += chunk.length;
          },
          onEnd: () => {
            const answer = Buffer.alloc(12);
            answer.writeUInt32LE(sum, 0);
            answer.writeUInt32LE(count, 4);
            endpoint.write(answer);
            endpoint.close();
          },
        });
      },
    },
  );
}

/** A server whose greeting and FIN come first; it sums what clients send after that. */
export function greetingServer(host: StackHost, onSum: (sum: number) => void): void {
  host.listen(
    { port: INNER_PORT },
    {
      onConnection: (endpoint) => {
        let sum = 0;
        endpoint.write(pattern(STREAM, 0, 500));
        endpoint.shutdown();
        on(endpoint, {
          onData: (chunk) => {
            for (const byte of chunk) sum = (Math.imul(sum, 31) + byte) >>> 0;
          },
          onEnd: () => {
            onSum(sum);
            endpoint.close();
          },
        });
      },
    },
  );
}

/** Sends after the server's FIN, and waits until the server has all of it. */
export class LateSender extends Client {
  #parts = 0;

  constructor(
    host: StackHost,
    readonly stream: number,
    readonly parts: number,
  ) {
    super(host);
  }

  start(): void {}

  take(chunk: Buffer, from: number): void {
    this.expectPattern(STREAM, chunk, from);
  }

  override ended(): void {
    if (this.seen.received !== 500) this.fail(`${this.seen.received} bytes of greeting`);
    this.#send();
  }

  #send(): void {
    this.rested();
    if (this.#parts === this.parts) {
      this.endpoint.close();
      return;
    }
    this.endpoint.write(pattern(this.stream, 1000 * this.#parts, 1000));
    this.#parts++;
    this.later(50, () => this.#send());
  }

  /** The server has received a sum; if it is this client's, all is well. */
  received(sum: number): void {
    let own = 0;
    for (let i = 0; i < 1000 * this.parts; i++) own = (Math.imul(own, 31) + patternByte(this.stream, i)) >>> 0;
    if (own === sum) this.done = true;
  }
}

/** A server that resets each connection at the third request. */
export function resettingServer(host: StackHost): void {
  host.listen(
    { port: INNER_PORT },
    {
      onConnection: (endpoint) => {
        let requests = 0;
        on(endpoint, {
          onData: (chunk) => {
            if (++requests > 2) endpoint.abort();
            else endpoint.write(Buffer.from(chunk));
          },
        });
      },
    },
  );
}

/** An echo at a port. */
export function echoServer(host: StackHost, port: number): void {
  host.listen(
    { port },
    {
      onConnection: (endpoint) => {
        let seen = 0;
        on(endpoint, {
          onData: (chunk) => {
            endpoint.write(changed(chunk, seen));
            seen += chunk.length;
          },
          onEnd: () => endpoint.close(),
        });
      },
    },
  );
}
