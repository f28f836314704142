/** Raw sockets: whole payloads of one IP protocol, for tests and for tools like ping. Bounded; what they do not want is counted. */
import { FtError } from '../lib/errors.js';
import type { SendOptions } from './ip/ipv4.js';
import type { Stack } from './stack.js';

const MAX_SOCKETS = 64;

export interface RawEvents {
  /** A packet's payload arrived; a copy. Addresses are numbers of the stack's address book, valid during the call. */
  onPacket(payload: Buffer, remoteAddress: number, localAddress: number): void;
}

export class RawSocket {
  closed = false;

  constructor(
    readonly raw: Raw,
    readonly protocol: number,
    readonly events: RawEvents,
  ) {}

  /** Sends a payload (copied) as it is: checksums are the caller's. @returns false when it could not leave. */
  send(payload: Uint8Array, remoteAddress: number, options?: SendOptions): boolean {
    return this.raw.send(this, payload, remoteAddress, options);
  }

  close(): void {
    this.raw.close(this);
  }
}

export class Raw {
  readonly counters = { in: 0, out: 0 };
  readonly #sockets: RawSocket[] = [];
  readonly #stack: Stack;

  constructor(stack: Stack) {
    this.#stack = stack;
  }

  /** @throws FtError EINVAL, ENOBUFS */
  open(protocol: number, events: RawEvents): RawSocket {
    if (!Number.isInteger(protocol) || protocol < 0 || protocol > 255)
      throw new FtError('EINVAL', `${protocol} is not an IP protocol`, 'Protocols are 0 to 255');
    if (this.#sockets.length >= MAX_SOCKETS)
      throw new FtError('ENOBUFS', 'Too many raw sockets', `Close one: there may be ${MAX_SOCKETS}`);
    const socket = new RawSocket(this, protocol, events);
    this.#sockets.push(socket);
    return socket;
  }

  /** @returns whether anybody wanted it. */
  deliver(
    protocol: number,
    source: number,
    destination: number,
    bytes: Uint8Array,
    offset: number,
    length: number,
  ): boolean {
    if (this.#sockets.length === 0) return false;
    let wanted = false;
    for (const socket of [...this.#sockets]) {
      if (socket.protocol !== protocol) continue;
      wanted = true;
      this.counters.in++;
      socket.events.onPacket(Buffer.from(bytes.subarray(offset, offset + length)), source, destination);
    }
    return wanted;
  }

  send(socket: RawSocket, payload: Uint8Array, remoteAddress: number, options: SendOptions = {}): boolean {
    const stack = this.#stack;
    const source = stack.sourceFor(remoteAddress);
    if (socket.closed || source === 0) return false;
    const copy = payload.slice();
    stack.frame.reset();
    stack.frame.addPiece(copy, 0, copy.length);
    this.counters.out++;
    return stack.send(source, remoteAddress, socket.protocol, copy.length, options);
  }

  close(socket: RawSocket): void {
    const at = this.#sockets.indexOf(socket);
    if (at >= 0) this.#sockets.splice(at, 1);
    socket.closed = true;
  }
}
