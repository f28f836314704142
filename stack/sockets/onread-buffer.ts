/**
 * The `onread` option of `net.Socket`: bytes go into the program's buffer instead of the stream.
 */
import type net from 'node:net';

/** The socket that reads into the buffer. */
interface OnReadSocket {
  /** Whether it takes no more bytes. */
  ended(): boolean;
  /** The program's callback has returned false. */
  stopReading(): void;
}

/** A program's buffer, filled as by reads of the kernel's. */
export class OnReadBuffer {
  readonly #options: net.OnReadOpts;
  /** Bytes in the buffer that the program has not been told of. */
  #filled = 0;

  readonly #socket: OnReadSocket;

  constructor(options: net.OnReadOpts, socket: OnReadSocket) {
    this.#options = options;
    this.#socket = socket;
  }

  /** Bytes of one read; 0 when the program gives a buffer for each read. */
  get size(): number {
    const { buffer } = this.#options;
    return typeof buffer === 'function' ? 0 : buffer.byteLength;
  }

  /**
   * Copies [from, from + length), and calls the program for each full buffer; for the rest unless
   * `more` follows.
   */
  fill(bytes: Uint8Array, from: number, length: number, more: boolean): void {
    const { buffer: source, callback } = this.#options;
    const end = from + length;
    for (let at = from; at < end && !this.#socket.ended(); ) {
      const buffer = typeof source === 'function' ? source() : source;
      const part = Math.min(buffer.byteLength - this.#filled, end - at);
      buffer.set(bytes.subarray(at, at + part), this.#filled);
      at += part;
      this.#filled += part;
      if (more && this.#filled < buffer.byteLength) continue;
      const filled = this.#filled;
      this.#filled = 0;
      if (callback(filled, buffer) === false) this.#socket.stopReading();
    }
  }
}
