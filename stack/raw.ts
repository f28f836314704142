/** Raw sockets: whole payloads of one IP protocol, for tests and for tools like ping. Bounded. */
import { FtError } from '../lib/errors.js';
import type { SendOptions, StackContext } from './core/context.js';
import type { IpPacket } from './core/ip-packet.js';

const MAX_SOCKETS = 64;

/** What a raw socket is told. */
export interface RawEvents {
  /**
   * A packet's payload arrived; a copy. Addresses are numbers of the stack's address book, valid
   * during the call.
   */
  onPacket(payload: Buffer, remoteAddress: number, localAddress: number): void;
}

/** A socket for the payloads of one protocol. */
export class RawSocket {
  closed = false;

  constructor(
    readonly raw: Raw,
    readonly protocol: number,
    readonly events: RawEvents,
  ) {}

  /**
   * Sends a payload (copied) as it is: checksums are the caller's.
   * @returns false when it could not leave.
   */
  send(payload: Uint8Array, remoteAddress: number, options?: SendOptions): boolean {
    return this.raw.send(this, payload, remoteAddress, options);
  }

  /** Receives nothing more. */
  close(): void {
    this.raw.close(this);
  }
}

/** All raw sockets of a stack. */
export class Raw {
  readonly counters = { in: 0, out: 0 };
  readonly #sockets: RawSocket[] = [];
  readonly #stack: StackContext;

  constructor(stack: StackContext) {
    this.#stack = stack;
  }

  /** Opens a socket for a protocol, 0 to 255. @throws FtError EINVAL, ENOBUFS */
  open(protocol: number, events: RawEvents): RawSocket {
    if (!Number.isInteger(protocol) || protocol < 0 || protocol > 255)
      throw new FtError('EINVAL', `${protocol} is not an IP protocol`, 'Protocols are 0 to 255');
    if (this.#sockets.length >= MAX_SOCKETS)
      throw new FtError('ENOBUFS', 'Too many raw sockets', `Close one: there may be ${MAX_SOCKETS}`);
    const socket = new RawSocket(this, protocol, events);
    this.#sockets.push(socket);
    return socket;
  }

  /** Gives a packet's payload to the sockets of its protocol. @returns whether there was one */
  deliver({ protocol, src, dst, bytes, payloadOffset, payloadLength }: IpPacket): boolean {
    if (this.#sockets.length === 0) return false;
    let taken = false;
    for (const socket of [...this.#sockets]) {
      if (socket.protocol !== protocol) continue;
      taken = true;
      this.counters.in++;
      socket.events.onPacket(Buffer.from(bytes.subarray(payloadOffset, payloadOffset + payloadLength)), src, dst);
    }
    return taken;
  }

  /** See {@link RawSocket.send}. */
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

  /** See {@link RawSocket.close}. */
  close(socket: RawSocket): void {
    const at = this.#sockets.indexOf(socket);
    if (at >= 0) this.#sockets.splice(at, 1);
    socket.closed = true;
  }
}
