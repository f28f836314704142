/**
 * Datagram sockets in the manner of node:dgram, on a stack. A replica's program gets a kind of them
 * whose arrivals are events of its world (failover/runtime/sources/dgram.ts).
 */
import type dgram from 'node:dgram';
import { EventEmitter } from 'node:events';
import net from 'node:net';
import type { Stack } from '../stack.js';
import type { UdpSocket } from '../udp.js';
import { nodeError } from './socket-errors.js';

/** How a datagram socket is made; as in node:dgram. */
export interface FtDgramOptions {
  type: 'udp4' | 'udp6';
  /** Share the port with sockets that set this too. */
  reuseAddr?: boolean;
  /** udp6: no IPv4. */
  ipv6Only?: boolean;
}

type Callback = (error: Error | null, bytes: number) => void;

/** A datagram socket like `dgram.Socket`, on a stack. */
export class FtDgram extends EventEmitter<{
  message: [Buffer, dgram.RemoteInfo];
  listening: [];
  connect: [];
  close: [];
  error: [Error];
}> {
  readonly type: 'udp4' | 'udp6';
  readonly #stack: Stack;
  readonly #options: FtDgramOptions;
  #socket: UdpSocket | null = null;
  protected _closed = false;
  #peer: { address: number; port: number } | null = null;
  #ttl = 64;
  #multicastTtl = 1;
  #receiveBuffer = 212_992;
  #sendBuffer = 212_992;
  #broadcast = false;
  #multicastInterface: string | null = null;

  constructor(stack: Stack, options: FtDgramOptions | 'udp4' | 'udp6') {
    super();
    this.#stack = stack;
    this.#options = typeof options === 'string' ? { type: options } : options;
    this.type = this.#options.type;
    if (this.type !== 'udp4' && this.type !== 'udp6')
      throw nodeError('ERR_SOCKET_BAD_TYPE', 'Bad socket type specified. Valid types are: udp4, udp6', TypeError);
  }

  /**
   * Binds to a port (0 chooses one) and an address (every one if absent); 'listening' or 'error'
   * follows.
   */
  bind(port?: number | { port?: number; address?: string }, address?: string | (() => void), done?: () => void): this {
    const options = typeof port === 'object' ? port : { port: port ?? 0 };
    const where = typeof port === 'object' ? port.address : typeof address === 'string' ? address : undefined;
    const listener = typeof address === 'function' ? address : done;
    this.#alive();
    if (this.#socket !== null) throw nodeError('ERR_SOCKET_ALREADY_BOUND', 'Socket is already bound');
    if (listener !== undefined) this.once('listening', listener);
    try {
      this.#open(options.port ?? 0, where);
      process.nextTick(() => {
        if (!this._closed) this.emit('listening');
      });
    } catch (error) {
      process.nextTick(() => this.#fail(error));
    }
    return this;
  }

  #open(port: number, where: string | undefined): UdpSocket {
    const stack = this.#stack;
    const any = this.type === 'udp6' ? stack.unspecified6 : 0;
    const address = where === undefined || where === '' ? any : stack.book.parse(where);
    if (address === undefined) throw nodeError('EINVAL', `"${where}" is not an IP address`);
    this.#socket = stack.udp.bind(
      address,
      port,
      {
        onMessage: (payload, from, fromPort) => {
          if (this.#peer !== null && (this.#peer.address !== from || this.#peer.port !== fromPort)) return;
          const info = this.#info(from, fromPort, payload.length);
          this._arrived(payload, info);
        },
        onUnreachable: (from, fromPort) => {
          if (this.#peer?.address !== from || this.#peer.port !== fromPort) return;
          this._refused();
        },
      },
      { dual: this.#options.ipv6Only !== true, reuse: this.#options.reuseAddr === true },
    );
    this._opened();
    return this.#socket;
  }

  /** @internal Bound: datagrams may arrive from now on. */
  protected _opened(): void {}

  /** @internal Something has arrived; never told from inside the stack. */
  protected _arrived(payload: Buffer, info: dgram.RemoteInfo): void {
    process.nextTick(() => this._message(payload, info));
  }

  /** @internal The peer's host reports that the port is closed. */
  protected _refused(): void {
    process.nextTick(() => this._failRefused());
  }

  /** @internal */
  protected _message(payload: Buffer, info: dgram.RemoteInfo): void {
    if (!this._closed) this.emit('message', payload, info);
  }

  /** @internal */
  protected _failRefused(): void {
    this.#fail(nodeError('ECONNREFUSED', 'recvmsg ECONNREFUSED'));
  }

  #info(from: number, port: number, size: number): dgram.RemoteInfo {
    const text = this.#stack.book.format(from);
    const mapped = this.type === 'udp6' && net.isIPv4(text);
    return {
      address: mapped ? `::ffff:${text}` : text,
      family: this.type === 'udp6' ? 'IPv6' : 'IPv4',
      port,
      size,
    };
  }

  #fail(error: unknown): void {
    if (this._closed) return;
    this.emit('error', error instanceof Error ? error : new Error(String(error)));
  }

  #alive(): void {
    if (this._closed) throw nodeError('ERR_SOCKET_DGRAM_NOT_RUNNING', 'Not running');
  }

  /** `send(msg[, offset, length][, port][, address][, callback])`, as in node:dgram. */
  send(message: string | Uint8Array | readonly (string | Uint8Array)[], ...rest: unknown[]): void {
    this.#alive();
    const args = [...rest];
    const done = typeof args.at(-1) === 'function' ? (args.pop() as Callback) : undefined;
    let bytes = joined(message);
    // With offset and length there are two numbers more than a port and an address need.
    const numbers = args.filter((value) => typeof value === 'number').length;
    if (numbers >= (this.#peer === null ? 3 : 2)) {
      const [offset, length] = args.splice(0, 2) as [number, number];
      if (offset < 0 || length < 0 || offset + length > bytes.length)
        throw nodeError('ERR_BUFFER_OUT_OF_BOUNDS', '"length" is outside of buffer bounds', RangeError);
      bytes = bytes.subarray(offset, offset + length);
    }
    const [port, address] = args as [number | undefined, string | undefined];
    if (this.#peer !== null && port !== undefined)
      throw nodeError('ERR_SOCKET_DGRAM_IS_CONNECTED', 'Already connected');
    if (this.#peer === null && (port === undefined || port !== port >>> 0 || port === 0 || port > 65_535))
      throw nodeError('ERR_SOCKET_BAD_PORT', `Port should be > 0 and < 65536. Received ${port}.`, RangeError);
    const finish = (error: Error | null): void => {
      if (done === undefined && error === null) return;
      process.nextTick(() => {
        if (done !== undefined) done(error, error === null ? bytes.length : 0);
        else if (error !== null) this.#fail(error);
      });
    };
    try {
      const to = this.#peer?.address ?? this.#target(address);
      this.#transmit(bytes, to, this.#peer?.port ?? port!);
      finish(null);
    } catch (error) {
      finish(error instanceof Error ? error : new Error(String(error)));
    }
  }

  #target(address: string | undefined): number {
    const text = address ?? (this.type === 'udp6' ? '::1' : '127.0.0.1');
    const parsed = this.#stack.book.parse(text);
    if (parsed === undefined) throw nodeError('ENOTFOUND', `"${text}" is not an IP address; resolve the name first`);
    return parsed;
  }

  #transmit(bytes: Buffer, to: number, port: number): void {
    const { book, interfaces } = this.#stack;
    const socket = this.#socket ?? this.#open(0, undefined);
    const multicast = book.isMulticast(to);
    const broadcast = interfaces.some((one) => one.isBroadcast(to));
    if (broadcast && !this.#broadcast) throw nodeError('EACCES', `send EACCES ${book.format(to)}:${port}`);
    const through = multicast && this.#multicastInterface !== null ? this.#interface(this.#multicastInterface) : null;
    const via = through ?? (to === 0xffffffff ? (interfaces.find((one) => !one.loopback) ?? null) : null);
    socket.send(bytes, to, port, {
      ttl: multicast ? this.#multicastTtl : this.#ttl,
      ...(via === null ? {} : { net: via }),
    });
  }

  /** Sends to, and hears from, one peer only; 'connect' or 'error' follows. */
  connect(port: number, address?: string | (() => void), done?: () => void): void {
    this.#alive();
    if (this.#peer !== null) throw nodeError('ERR_SOCKET_DGRAM_IS_CONNECTED', 'Already connected');
    const listener = typeof address === 'function' ? address : done;
    if (listener !== undefined) this.once('connect', listener);
    try {
      const target = this.#target(typeof address === 'string' ? address : undefined);
      if (this.#socket === null) this.#open(0, undefined);
      this.#peer = { address: target, port };
      process.nextTick(() => this.emit('connect'));
    } catch (error) {
      process.nextTick(() => this.#fail(error));
    }
  }

  disconnect(): void {
    if (this.#peer === null) throw nodeError('ERR_SOCKET_DGRAM_NOT_CONNECTED', 'Not connected');
    this.#peer = null;
  }

  remoteAddress(): { address: string; family: string; port: number } {
    if (this.#peer === null) throw nodeError('ERR_SOCKET_DGRAM_NOT_CONNECTED', 'Not connected');
    const { address, family, port } = this.#info(this.#peer.address, this.#peer.port, 0);
    return { address, family, port };
  }

  address(): { address: string; family: string; port: number } {
    this.#alive();
    if (this.#socket === null) throw nodeError('EBADF', 'getsockname EBADF');
    const { address, family, port } = this.#info(this.#socket.address, this.#socket.port, 0);
    return { address, family, port };
  }

  close(done?: () => void): this {
    this.#alive();
    if (done !== undefined) this.once('close', done);
    this._closed = true;
    this.#socket?.close();
    process.nextTick(() => this.emit('close'));
    return this;
  }

  /** Joins a group on the interface with that address or name, or on the first one. */
  addMembership(group: string, where?: string): void {
    this.#bound().join(this.#target(group), this.#interface(where));
  }

  dropMembership(group: string, where?: string): void {
    this.#bound().leave(this.#target(group), this.#interface(where));
  }

  #bound(): UdpSocket {
    this.#alive();
    return this.#socket ?? this.#open(0, undefined);
  }

  #interface(where: string | undefined): Stack['interfaces'][number] {
    const { interfaces, book } = this.#stack;
    const address = where === undefined ? undefined : book.parse(where);
    const found =
      where === undefined
        ? interfaces.find((one) => !one.loopback)
        : interfaces.find((one) => one.name === where || (address !== undefined && one.hasAddress(address)));
    if (found === undefined) throw nodeError('ENODEV', `No interface ${where ?? ''}`);
    return found;
  }

  setBroadcast(on: boolean): void {
    this.#broadcast = on;
  }

  setTTL(ttl: number): number {
    this.#ttl = hops(ttl, 1);
    return ttl;
  }

  setMulticastTTL(ttl: number): number {
    this.#multicastTtl = hops(ttl, 0);
    return ttl;
  }

  setMulticastInterface(where: string): void {
    this.#interface(where);
    this.#multicastInterface = where;
  }

  /** A stack's own multicasts do not come back to it; asking for that is refused. */
  setMulticastLoopback(on: boolean): boolean {
    if (on) throw nodeError('ENOTSUP', 'Multicasts of the stack do not come back to it');
    return on;
  }

  /** What a stack holds for a socket is bounded in another way; a size is only remembered. */
  setRecvBufferSize(bytes: number): void {
    this.#receiveBuffer = bytes;
  }

  getRecvBufferSize(): number {
    return this.#receiveBuffer;
  }

  setSendBufferSize(bytes: number): void {
    this.#sendBuffer = bytes;
  }

  getSendBufferSize(): number {
    return this.#sendBuffer;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }
}

function hops(ttl: number, least: number): number {
  if (!Number.isInteger(ttl) || ttl < least || ttl > 255) throw nodeError('EINVAL', 'setTTL EINVAL');
  return ttl;
}

function joined(message: string | Uint8Array | readonly (string | Uint8Array)[]): Buffer {
  if (typeof message === 'string') return Buffer.from(message);
  if (message instanceof Uint8Array) return Buffer.from(message.buffer, message.byteOffset, message.byteLength);
  return Buffer.concat(message.map((part) => joined(part)));
}

/** `dgram.createSocket` for a stack. */
export function createDgram(
  stack: Stack,
  options: FtDgramOptions | 'udp4' | 'udp6',
  listener?: (message: Buffer, info: dgram.RemoteInfo) => void,
): FtDgram {
  const socket = new FtDgram(stack, options);
  if (listener !== undefined) socket.on('message', listener);
  return socket;
}
