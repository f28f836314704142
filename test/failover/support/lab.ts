/**
 * Runs a test file inside of a lab of its own: outside it only starts itself, inside it gets
 * replicas and clients.
 */
import http from 'node:http';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import type { ReplicaStatus } from '../../../failover/admin/status.js';
import { askStatus } from '../../../failover/admin/status.js';
import { enterLab, labDirectory, runInLab } from '../../../failover/lab/namespace.js';
import { makeTap, STACK_ADDRESS, TAP } from '../../../failover/lab/network.js';
import { ReplicaProcess } from '../../../failover/lab/replica-process.js';

export const KIT = fileURLToPath(new URL('../apps/kit.js', import.meta.url));
export { STACK_ADDRESS, TAP };

/** @returns the lab's directory inside; does not return outside. */
export async function inLab(url: string): Promise<string> {
  if (labDirectory() === undefined) process.exit(await runInLab(fileURLToPath(url), []));
  const directory = enterLab();
  makeTap(true);
  return directory;
}

/** Replicas of one group. */
export class TestGroup {
  readonly replicas: ReplicaProcess[] = [];
  static #number = 0;
  readonly name = `test${TestGroup.#number++}`;

  constructor(
    readonly directory: string,
    readonly options: string[] = [],
    readonly program: string[] = [KIT],
    readonly command: 'run' | 'gateway' = 'run',
  ) {}

  start(...more: string[]): ReplicaProcess {
    const words = ['--group', this.name, '--dir', this.directory, '--tap', TAP, '--ip', `${STACK_ADDRESS}/24`];
    const args = [...words, ...this.options, ...more, ...this.program];
    const replica = new ReplicaProcess(args, undefined, this.command);
    this.replicas.push(replica);
    return replica;
  }

  /** Primary and backup, ready. @param timeoutMs for each of them */
  async pair(timeoutMs = 10_000): Promise<[ReplicaProcess, ReplicaProcess]> {
    const primary = this.start();
    await primary.event('ready', timeoutMs);
    const backup = this.start();
    await primary.event('protected', timeoutMs);
    await backup.event('ready', timeoutMs);
    return [primary, backup];
  }

  status(replica: ReplicaProcess): Promise<ReplicaStatus | null> {
    return askStatus(`${this.directory}/${this.name}/${replica.pid}.sock`);
  }

  async close(): Promise<void> {
    await Promise.all(this.replicas.map((replica) => replica.close()));
  }
}

/** GET as text; `onText` hears what has come so far, whenever more comes. */
export function get(path: string, timeoutMs = 20_000, onText?: (text: string) => void): Promise<string> {
  return new Promise((done, fail) => {
    const request = http.get({ host: STACK_ADDRESS, path, agent: false, timeout: timeoutMs }, (response) => {
      const parts: Buffer[] = [];
      response.on('data', (part: Buffer) => {
        parts.push(part);
        onText?.(Buffer.concat(parts).toString());
      });
      response.on('end', () => done(Buffer.concat(parts).toString()));
      response.on('error', fail);
      response.on('aborted', () => fail(new Error('aborted')));
    });
    request.on('error', fail);
    request.on('timeout', () => request.destroy(new Error('timeout')));
  });
}

/** A plain connection that collects what it gets. */
export class Client {
  readonly socket: net.Socket;
  text = '';
  error: string | null = null;
  readonly ended: Promise<void>;

  constructor(port: number, allowHalfOpen = true) {
    this.socket = net.connect({ host: STACK_ADDRESS, port, allowHalfOpen });
    this.socket.setNoDelay(true);
    this.socket.on('data', (part) => {
      this.text += part;
    });
    this.socket.on('error', (error: NodeJS.ErrnoException) => {
      this.error = error.code ?? error.message;
    });
    this.ended = new Promise((done) => {
      this.socket.on('end', () => done());
      this.socket.on('close', () => done());
    });
  }

  async waitFor(length: number, timeoutMs = 10_000): Promise<void> {
    for (let i = 0; this.text.length < length && i < timeoutMs / 5; i++) await sleep(5);
  }
}

/** Polls until the condition holds. Rejects when it does not within `timeoutMs`. */
export async function until(what: string, condition: () => boolean, timeoutMs = 20_000): Promise<void> {
  for (const end = Date.now() + timeoutMs; !condition(); ) {
    if (Date.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await sleep(5);
  }
}

/** Resolves after `ms` milliseconds. */
export function sleep(ms: number): Promise<void> {
  return new Promise((done) => setTimeout(done, ms));
}
