/**
 * The other side: clients with a script of their own, in a stack that knows nothing of replicas.
 */

import type { StreamEndpoint, StreamEvents } from '../../stack/core/endpoint.js';
import type { StackHost } from '../../stack/stack-host.js';

/** The byte at a place of a stream; streams differ. */
export function patternByte(stream: number, at: number): number {
  return (at * 31 + (at >>> 8) * 17 + (at >>> 16) * 7 + stream * 101) & 255;
}

export function pattern(stream: number, from: number, length: number): Buffer {
  const out = Buffer.allocUnsafe(length);
  for (let i = 0; i < length; i++) out[i] = patternByte(stream, from + i);
  return out;
}

/** What one client has seen; compared with a run without faults. */
export interface Seen {
  received: number;
  /** Anything that was not as it had to be, '' for nothing. */
  wrong: string;
  ended: boolean;
  /** Undefined while open; null after an orderly end. */
  closed: string | null | undefined;
}

/**
 * A client: sends what `next` gives it, and hands what comes to `take`. Subclasses are the
 * scenarios' clients.
 */
export abstract class Client implements StreamEvents {
  readonly seen: Seen = { received: 0, wrong: '', ended: false, closed: undefined };
  endpoint!: StreamEndpoint;
  /** It has what it came for. */
  done = false;
  /** Longest time without anything from the server while something was due, in microseconds. */
  longestGapUs = 0;
  #lastUs = 0;

  constructor(readonly host: StackHost) {}

  open(address: string, port: number): this {
    this.adopt(this.host.connect({ address, port }));
    return this;
  }

  adopt(endpoint: StreamEndpoint): void {
    this.endpoint = endpoint;
    endpoint.events = this;
    endpoint.setReading(true);
    this.#lastUs = this.now;
  }

  get now(): number {
    return this.host.stack.now();
  }

  later(ms: number, fn: () => void): void {
    this.host.timers.set(ms, fn);
  }

  /** Time until now was not the server's to fill. */
  rested(): void {
    this.#lastUs = this.now;
  }

  fail(what: string): void {
    if (this.seen.wrong === '') this.seen.wrong = what;
  }

  /** Data is the pattern of this stream. */
  expectPattern(stream: number, chunk: Uint8Array, from: number): void {
    for (let i = 0; i < chunk.length; i++) {
      if (chunk[i] === patternByte(stream, from + i)) continue;
      this.fail(`byte ${from + i} is wrong`);
      return;
    }
  }

  onConnect(): void {
    this.#progress();
    this.start();
  }

  onData(chunk: Buffer): void {
    this.#progress();
    const from = this.seen.received;
    this.seen.received += chunk.length;
    this.take(chunk, from);
  }

  onEnd(): void {
    this.#progress();
    this.seen.ended = true;
    this.ended();
  }

  onSpace(_acked: number): void {}

  onClose(code: string | null): void {
    this.seen.closed = code;
    this.closed();
  }

  #progress(): void {
    if (!this.done) this.longestGapUs = Math.max(this.longestGapUs, this.now - this.#lastUs);
    this.#lastUs = this.now;
  }

  abstract start(): void;
  abstract take(chunk: Buffer, from: number): void;
  ended(): void {}
  closed(): void {}
}
