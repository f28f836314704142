import type { StreamEndpoint } from '../core/endpoint.js';
import type { IdleTimeout } from './idle-timeout.js';
import { writeSlab } from './write-slab.js';

/** Chunks from this size on are handed to the endpoint as they are; smaller ones are copied. */
export const COPY_BELOW = 16384;

/** The callback of a write. */
export type WriteCallback = (error?: Error | null) => void;

/** A user's write callback that may have to wait for an acknowledgement. */
interface Awaiting {
  callback: WriteCallback;
  error: Error | null | undefined;
  /** Runs once this many bytes are acknowledged; -1: not known before its chunk is handed over. */
  end: number;
}

/**
 * The sending half of a socket: bytes given to the endpoint, bytes acknowledged, and the callbacks
 * that wait for them. Small chunks are copied and gathered; large ones go by reference, so their
 * callbacks wait for the acknowledgement.
 */
/** No waiting callbacks; never changed. */
const NOBODY: Awaiting[] = [];

/** The sending half of one socket. */
export class SocketWriter {
  /** Takes the bytes; null before the connection is begun and after its end. */
  endpoint: StreamEndpoint | null = null;
  /** Bytes that another program has written to the connection before. */
  before = 0;
  /** Bytes given to the endpoint in all. */
  written = 0;
  /** How many of them the last `onSpace` called acknowledged. */
  acked = 0;
  /** Node copies what TLS writes, so nothing has to wait for an acknowledgement. */
  private = false;
  /** Write callbacks of the user that were wrapped and have not run. */
  wrapped = 0;
  /** Told once no wrapped callback is left; only while the socket lingers. */
  drained: (() => void) | null = null;

  #limit: number;
  /** The socket's idle timer. */
  idle: IdleTimeout;
  /** End of the last chunk that was handed over without a copy. */
  #uncopiedEnd = 0;
  /** Threshold of the request to the endpoint that is under way; 0: none. */
  #asked = 0;
  #blockedCallback: WriteCallback | null = null;
  #releaseAt = 0;
  #finalCallback: WriteCallback | null = null;
  #finalAt = 0;
  #awaiting: Awaiting[] = NOBODY;
  /** Why bytes that were never acknowledged are lost. */
  #lost: Error | null = null;

  /** @param limit unacknowledged bytes above which the stream's writer is held back. */
  constructor(limit: number, idle: IdleTimeout) {
    this.#limit = limit;
    this.idle = idle;
  }

  /** The connection whose bytes these are; called again when it stands. */
  begin(endpoint: StreamEndpoint): void {
    this.endpoint = endpoint;
    if (this.written > 0) return;
    this.before = this.written = this.acked = endpoint.writtenBefore ?? 0;
  }

  /** A write of the stream is held back. */
  get blocked(): boolean {
    return this.#blockedCallback !== null;
  }

  /** Bytes of a buffer that is not ours may still be sent again. */
  get borrowing(): boolean {
    return this.#uncopiedEnd > this.acked;
  }

  /**
   * Whether the callback of a write of this chunk, made now, may have to wait for an
   * acknowledgement.
   */
  mayWait(chunk: unknown, buffered: number): boolean {
    if (this.private) return false;
    return this.borrowing || buffered !== 0 || (ArrayBuffer.isView(chunk) && chunk.byteLength >= COPY_BELOW);
  }

  // ---- handing over

  /** Gives one chunk to the endpoint, or adds it to the run of small ones. */
  add(chunk: Buffer | string, encoding: BufferEncoding): void {
    if (typeof chunk === 'string') {
      this.#addText(chunk, encoding);
      return;
    }
    const length = chunk.byteLength;
    if (length < COPY_BELOW) {
      if (!writeSlab.fits(length)) this.flush();
      writeSlab.addBytes(chunk);
      return;
    }
    this.flush();
    this.#hand(chunk);
    if (!this.private) this.#uncopiedEnd = this.written;
  }

  #addText(text: string, encoding: BufferEncoding): void {
    if (text.length < COPY_BELOW) {
      const most = textBound(text, encoding);
      if (!writeSlab.fits(most)) this.flush();
      writeSlab.addText(text, encoding, most);
      return;
    }
    // A new buffer, to which the program cannot write.
    const bytes = Buffer.from(text, encoding);
    this.flush();
    this.#hand(bytes);
  }

  /** Gives the run of small chunks to the endpoint. */
  flush(): void {
    const run = writeSlab.take();
    if (run !== null) this.#hand(run);
  }

  #hand(bytes: Uint8Array): void {
    if (bytes.byteLength === 0) return;
    this.written += bytes.byteLength;
    this.endpoint!.write(bytes);
  }

  // ---- completing

  /** Completes a write for the stream, or holds it back until the peer has acknowledged enough. */
  complete(callback: WriteCallback): void {
    const limit = this.#limit;
    const unacked = this.written - this.acked;
    if (unacked > limit) {
      this.#blockedCallback = callback;
      this.#releaseAt = this.written - (limit >>> 1);
      this.requestSpace();
      return;
    }
    // Asked for early, so that a writer whose bytes are acknowledged in time is never held.
    if (unacked > limit >>> 1 && this.#asked === 0) this.#request(this.acked + (limit >>> 2));
    callback();
  }

  /**
   * The stream has ended: 'finish' and the callback of end() tell the user that his buffers are his
   * again.
   */
  completeFinal(callback: WriteCallback): void {
    if (!this.borrowing || this.private) {
      callback();
      return;
    }
    this.#finalCallback = callback;
    this.#finalAt = this.#uncopiedEnd;
    this.requestSpace();
  }

  /**
   * Writes a chunk whose callback runs only once its buffer is free.
   * @param write writes it to the stream, with the callback to run when the stream is done with it
   * @returns what `write` returns
   */
  wrap(callback: WriteCallback, write: (completed: WriteCallback) => boolean): boolean {
    const entry: Awaiting = { callback, error: null, end: -1 };
    const before = this.written;
    this.wrapped++;
    const more = write((error) => this.#completed(entry, error));
    // The chunk was handed over just now: this is what its callback waits for.
    if (this.written !== before) entry.end = this.#uncopiedEnd;
    return more;
  }

  /**
   * A write of the user is complete for the stream: its callback runs once no byte of a foreign
   * buffer is needed any more.
   */
  #completed(entry: Awaiting, error: Error | null | undefined): void {
    entry.error = error;
    if (error && entry.end < 0) entry.end = 0;
    else if (entry.end < 0) entry.end = this.#uncopiedEnd;
    if (entry.end > this.acked && this.endpoint !== null) {
      if (this.#awaiting === NOBODY) this.#awaiting = [];
      this.#awaiting.push(entry);
      this.requestSpace();
      return;
    }
    this.wrapped--;
    entry.callback(error ?? (entry.end > this.acked ? this.#lost : null));
    if (this.drained !== null) this.release();
  }

  /**
   * `acked` bytes in total are acknowledged; up to `limit` bytes may be unacknowledged from now on.
   */
  onSpace(acked: number, limit: number): void {
    this.#asked = 0;
    if (limit > this.#limit) this.#limit = limit;
    if (acked > this.acked) this.acked = acked;
  }

  /** Runs the callbacks that the acknowledged bytes allow, and asks for the next threshold. */
  release(): void {
    const { acked } = this;
    const awaiting = this.#awaiting;
    while (awaiting.length > 0 && awaiting[0].end <= acked) {
      const { callback, error } = awaiting.shift()!;
      this.wrapped--;
      process.nextTick(callback, error);
    }
    const held = this.#blockedCallback !== null && acked >= this.#releaseAt ? this.#blockedCallback : null;
    if (held !== null) this.#blockedCallback = null;
    const final = this.#finalCallback !== null && acked >= this.#finalAt ? this.#finalCallback : null;
    if (final !== null) this.#finalCallback = null;
    this.requestSpace();
    if (this.drained !== null && this.wrapped === 0) this.drained();
    held?.();
    final?.();
  }

  /** Asks for the nearest of the thresholds that something waits for. */
  requestSpace(): void {
    if (this.endpoint === null) return;
    let at = Number.POSITIVE_INFINITY;
    if (this.#blockedCallback !== null) {
      at = this.#releaseAt;
      // With an idle timer running, slow progress must be seen: it is activity.
      if (this.idle.armed) at = Math.min(at, this.acked + Math.max(1, this.#limit >>> 4));
    }
    if (this.#finalCallback !== null) at = Math.min(at, this.#finalAt);
    if (this.#awaiting.length > 0) at = Math.min(at, this.#awaiting[0].end);
    if (at === Number.POSITIVE_INFINITY || (this.#asked !== 0 && this.#asked <= at)) return;
    this.#request(at);
  }

  #request(acked: number): void {
    this.#asked = acked;
    this.endpoint!.wantSpace(acked);
  }

  // ---- the end

  /** The socket is destroyed. As in Node, the write under way completes; those behind it fail. */
  dropStream(): void {
    const held = this.#blockedCallback;
    this.#blockedCallback = null;
    this.#finalCallback = null;
    if (held !== null) process.nextTick(held);
  }

  /** The endpoint sends no more: runs all waiting callbacks with the reason. */
  abandon(error: Error | null): void {
    this.#lost = error;
    for (const entry of this.#awaiting.splice(0)) {
      this.wrapped--;
      process.nextTick(entry.callback, entry.error ?? error);
    }
  }

  /** For another connection. */
  reset(): void {
    this.before = this.written = this.acked = this.#uncopiedEnd = this.#asked = this.wrapped = 0;
    this.#awaiting.length = 0;
  }
}

/** How many bytes a text takes at most; counting exactly costs more than writing it. */
function textBound(text: string, encoding: BufferEncoding): number {
  switch (encoding) {
    case 'latin1':
    case 'binary':
    case 'ascii':
      return text.length;
    default:
      return text.length * 3;
  }
}
