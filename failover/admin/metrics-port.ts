/**
 * The address of `--metrics`. The replicas of a group share it: one of them listens, and answers
 * for all.
 *
 * While a backup follows, it is the backup: it answers also when the primary hangs, and costs the
 * primary nothing. It asks the primary to yield the address. Without a backup it is the primary.
 * When the process that listens has ended, the other one finds the address free.
 */
import net from 'node:net';
import { errorCode } from '../../lib/errors.js';
import { rmSync, statSync } from '../../lib/own-node.js';
import { clearTimeout, setTimeout } from '../host/own-timers.js';
import { askAt } from '../host/unix-socket.js';
import { answerScrape, isHttp } from './scrape.js';

/** Where metrics are served. */
export type MetricsAddress = { readonly host: string; readonly port: number } | { readonly path: string };

/** What a {@link MetricsPort} needs of its replica. */
export interface MetricsHost {
  /** The text of the metrics. */
  read(): Promise<string>;
  /** Calls a function with Node's own modules. */
  outside<T>(fn: () => T): T;
  /** Asks the other replica to yield the address. Never rejects. */
  askToYield(): Promise<void>;
  /** The address cannot be had. */
  report(address: string, message: string): void;
}

/** Scrapes at a time. */
const MAX_CLIENTS = 16;
/** A client that sends nothing is let go. */
const CLIENT_TIMEOUT_MS = 5000;
/** The address is tried again after this time, which doubles. */
const RETRY_MS = 100;
const MAX_RETRY_MS = 5000;
/** An address that another process has for more than 5 tries, which take 3 seconds, is reported. */
const MAX_SILENT_TRIES = 5;
const PROBE_MS = 500;

/** The address as text. */
export function metricsAddressText(address: MetricsAddress): string {
  if ('path' in address) return address.path;
  const { host, port } = address;
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

/** Serves the metrics at an address, as long as this replica is the one to do so. */
export class MetricsPort {
  readonly #host: MetricsHost;
  readonly #address: MetricsAddress;
  #server: net.Server | null = null;
  #timer: NodeJS.Timeout | null = null;
  #tries = 0;
  #isWanted = false;
  #isTrying = false;
  #isReported = false;

  constructor(host: MetricsHost, address: MetricsAddress) {
    this.#host = host;
    this.#address = address;
  }

  /** Whether this process listens. */
  get isServing(): boolean {
    return this.#server !== null;
  }

  /** This replica is to serve from now on. It tries until it can. */
  open(): void {
    this.#isWanted = true;
    this.#tries = 0;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#try();
  }

  /** Another replica is to serve. */
  close(): void {
    this.#isWanted = false;
    if (this.#timer !== null) clearTimeout(this.#timer);
    this.#timer = null;
    this.#server?.close();
    this.#server = null;
  }

  #try(): void {
    if (!this.#isWanted || this.#server !== null || this.#isTrying) return;
    this.#isTrying = true;
    this.#host.outside(() => this.#listen());
  }

  #listen(): void {
    const server = net.createServer((socket) => this.#host.outside(() => this.#accept(socket)));
    server.unref();
    server.maxConnections = MAX_CLIENTS;
    server.once('error', (error) => void this.#failed(error));
    server.listen(this.#address, () => {
      this.#isTrying = false;
      this.#tries = 0;
      this.#isReported = false;
      if (this.#isWanted) this.#server = server;
      else server.close();
    });
  }

  #accept(socket: net.Socket): void {
    let received = '';
    socket.unref();
    socket.on('error', () => undefined);
    socket.setTimeout(CLIENT_TIMEOUT_MS, () => socket.destroy());
    socket.on('data', (part: Buffer) => {
      received += part.toString('latin1');
      if (received.length > 4 && !isHttp(received)) socket.destroy();
      else this.#host.outside(() => answerScrape(socket, received, () => this.#host.read()));
    });
  }

  async #failed(error: Error): Promise<void> {
    const code = errorCode(error);
    const address = this.#address;
    if (code === 'EADDRINUSE') {
      await this.#host.askToYield();
      if ('path' in address && (await this.#isStale(address.path))) rmSync(address.path, { force: true });
    }
    this.#isTrying = false;
    if (!this.#isWanted) return;
    this.#tries++;
    if (!this.#isReported && (code !== 'EADDRINUSE' || this.#tries > MAX_SILENT_TRIES)) {
      this.#isReported = true;
      this.#host.report(metricsAddressText(address), error.message);
    }
    const waitMs = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** Math.min(16, this.#tries - 1));
    this.#timer = this.#host.outside(() => setTimeout(() => this.#try(), waitMs));
    this.#timer.unref();
  }

  /** A process that was killed leaves its socket. Anything else at this path is somebody's. */
  async #isStale(path: string): Promise<boolean> {
    if (statSync(path, { throwIfNoEntry: false })?.isSocket() !== true) return false;
    return (await this.#host.outside(() => askAt(path, PROBE_MS, 1, ''))) === 'gone';
  }
}
