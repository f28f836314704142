/**
 * What goes over a connection of a cell, the same code over the kernel's sockets and ours: a header
 * of fixed length that says what is wanted, how many bytes go up, down or both ways, and for one
 * way the receiver's SHA-256 in return.
 */
import { createHash } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { SeededRandom } from '../../lib/random.js';

/** up: client to server; down: server to client; echo: there and back at the same time. */
export type Direction = 'up' | 'down' | 'echo';

/** What one side saw. Header and digests do not count. */
export interface Side {
  sent: number;
  received: number;
  sentSha256: string;
  receivedSha256: string;
  /**
   * The other side's digest of what this side sent, as it came over the connection; empty where
   * none is due.
   */
  confirmed: string;
}

const HEADER = 24;
const DIGEST = 64;
/** A prime, so that no boundary of the network falls on the same place of the pattern twice. */
const PATTERN_LENGTH = 1_048_583;
const CHUNKS = [1, 1460, 65_536, 131_072, 37, 16_384, 200_003];

const pattern = Buffer.alloc(PATTERN_LENGTH);
new SeededRandom('interop').fill(pattern);

class Transfer {
  readonly side: Side = { sent: 0, received: 0, sentSha256: '', receivedSha256: '', confirmed: '' };
  readonly done: Promise<Side>;
  readonly #sentHash = createHash('sha256');
  readonly #receivedHash = createHash('sha256');
  #failed: Error | null = null;
  #ended = false;

  constructor(
    readonly socket: Duplex,
    private readonly onData: (chunk: Buffer) => void,
    private readonly onEnd: () => void,
  ) {
    this.done = new Promise((resolve, reject) => {
      socket.on('error', (error) => {
        this.#failed = error;
      });
      socket.on('close', () => {
        const { side } = this;
        side.sentSha256 = this.#sentHash.digest('hex');
        side.receivedSha256 = this.#receivedHash.digest('hex');
        if (this.#failed !== null) reject(this.#failed);
        else if (!this.#ended) reject(new Error('closed without the other side’s end'));
        else resolve(side);
      });
    });
    // The starter of a transfer may look at it later.
    this.done.catch(() => undefined);
    socket.on('data', (chunk: Buffer) => this.onData(chunk));
    socket.on('end', () => {
      this.#ended = true;
      this.onEnd();
    });
  }

  /** Counts data that has arrived. */
  took(chunk: Uint8Array): void {
    this.side.received += chunk.length;
    this.#receivedHash.update(chunk);
  }

  /** @returns false when the socket has enough. */
  write(chunk: Uint8Array): boolean {
    this.side.sent += chunk.length;
    this.#sentHash.update(chunk);
    return this.socket.write(chunk);
  }

  /** Sends this number of bytes of the pattern in pieces of all sizes, then the end if wanted. */
  send(bytes: number, then: () => void): void {
    let left = bytes;
    let at = 0;
    let turn = 0;
    const go = (): void => {
      while (left > 0) {
        if (this.socket.destroyed) return;
        const length = Math.min(left, CHUNKS[turn++ % CHUNKS.length], PATTERN_LENGTH - at);
        const more = this.write(pattern.subarray(at, at + length));
        left -= length;
        at = (at + length) % PATTERN_LENGTH;
        if (!more && left > 0) {
          this.socket.once('drain', go);
          return;
        }
      }
      then();
    };
    go();
  }

  /** The digest so far of what has arrived. */
  receivedDigest(): string {
    return this.#receivedHash.copy().digest('hex');
  }
}

/** The accepting side of one connection, which must allow half-open. */
export function serve(socket: Duplex): Promise<Side> {
  let header: Buffer | null = Buffer.alloc(0);
  let direction: string = '';
  const start = (text: string): void => {
    direction = text.split(' ')[0];
    if (direction === 'down') transfer.send(Number(text.split(' ')[1]), () => socket.end());
  };
  const data = (chunk: Buffer): void => {
    if (header !== null) {
      header = Buffer.concat([header, chunk]);
      if (header.length < HEADER) return;
      const text = header.toString('latin1', 0, HEADER);
      const rest = header.subarray(HEADER);
      header = null;
      start(text);
      if (rest.length === 0) return;
      chunk = rest;
    }
    if (direction === 'down') {
      transfer.side.confirmed += chunk.toString('latin1');
      return;
    }
    transfer.took(chunk);
    if (direction === 'echo' && !transfer.write(chunk)) {
      socket.pause();
      socket.once('drain', () => socket.resume());
    }
  };
  const transfer = new Transfer(socket, data, () => {
    if (direction === 'up') socket.end(transfer.receivedDigest());
    else if (direction === 'echo') socket.end();
  });
  return transfer.done;
}

/**
 * The opening side of one connection, which must allow half-open and be connected or connecting.
 */
export function request(socket: Duplex, direction: Direction, bytes: number): Promise<Side> {
  const data = (chunk: Buffer): void => {
    if (direction === 'up') transfer.side.confirmed += chunk.toString('latin1');
    else transfer.took(chunk);
  };
  const transfer = new Transfer(socket, data, () => {
    if (direction === 'down') socket.end(transfer.receivedDigest());
  });
  socket.write(`${direction} ${bytes} `.padEnd(HEADER));
  if (direction !== 'down') transfer.send(bytes, () => socket.end());
  return transfer.done;
}

/** What is wrong with two sides of one transfer; empty when all is well. */
export function compareSides(client: Side, server: Side, direction: Direction, bytes: number): string[] {
  const wrong: string[] = [];
  const want = (what: string, found: unknown, wanted: unknown): void => {
    if (found !== wanted) wrong.push(`${what}: ${String(found)}, not ${String(wanted)}`);
  };
  const up = direction === 'down' ? 0 : bytes;
  const down = direction === 'up' ? 0 : bytes;
  want('client sent', client.sent, up);
  want('server received', server.received, up);
  want('server sent', server.sent, down);
  want('client received', client.received, down);
  want('SHA-256 up', server.receivedSha256, client.sentSha256);
  want('SHA-256 down', client.receivedSha256, server.sentSha256);
  if (direction === 'up') want('digest from the server', client.confirmed, client.sentSha256);
  if (direction === 'down') want('digest from the client', server.confirmed, server.sentSha256);
  if (direction === 'up') want('length of the digest', client.confirmed.length, DIGEST);
  return wrong;
}
