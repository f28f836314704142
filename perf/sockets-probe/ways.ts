/**
 * The three ways to give Node's http a connection: a Duplex, an FtSocket, and a net.Socket over a
 * JSStream.
 */
import net from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import type { SocketHost, StreamEndpoint, StreamEvents } from '../../stack/core/endpoint.js';
import { FtSocket } from '../../stack/sockets/index.js';

/** Makes a socket of one way over an endpoint. */
export type Way = (host: SocketHost, endpoint: StreamEndpoint) => Duplex;

/** A Duplex of our own: the least that a stream needs. */
class DuplexSocket extends Duplex implements StreamEvents {
  #endpoint: StreamEndpoint;
  #reading = false;

  constructor(endpoint: StreamEndpoint) {
    super({ allowHalfOpen: true });
    this.#endpoint = endpoint;
    endpoint.events = this;
  }

  override _read(): void {
    if (!this.#reading) this.#endpoint.setReading((this.#reading = true));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (chunk.length > 0) this.#endpoint.write(chunk);
    callback();
  }

  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    for (const { chunk } of chunks) if (chunk.length > 0) this.#endpoint.write(chunk);
    callback();
  }

  override _final(callback: () => void): void {
    this.#endpoint.shutdown();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#endpoint.close();
    callback(error);
  }

  onConnect(): void {}

  onData(chunk: Buffer): void {
    if (!this.push(chunk)) this.#endpoint.setReading((this.#reading = false));
  }

  onEnd(): void {
    this.push(null);
  }

  onSpace(): void {}

  onClose(code: string | null): void {
    if (code) this.destroy(Object.assign(new Error(code), { code }));
  }
}

/**
 * The used part of Node's JSStream, the C++ class behind tls over a stream; it has no public name.
 */
interface JsStream {
  onreadstart(): number;
  onreadstop(): number;
  onwrite(request: object, buffers: Buffer[]): number;
  onshutdown(request: object): number;
  close(callback: () => void): void;
  isClosing(): boolean;
  getpeername(out: object): number;
  getsockname(out: object): number;
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean, delaySeconds: number): void;
  readBuffer(chunk: Buffer): void;
  emitEOF(): void;
  finishWrite(request: object, status: number): void;
  finishShutdown(request: object, status: number): void;
}

/** Node shows the class only from inside: a TLSSocket over a Duplex has one. */
function jsStreamClass(): (new () => JsStream) | null {
  const probe = new tls.TLSSocket(new Duplex({ read() {}, write() {} }));
  const handle = (probe as unknown as { _handle?: { _parent?: JsStream } })._handle?._parent;
  probe.on('error', () => {});
  probe.destroy();
  return handle ? (handle.constructor as new () => JsStream) : null;
}

/** Node's JSStream class, null where there is none to be found. */
export const JsStreamHandle = jsStreamClass();

/** A genuine net.Socket over a genuine StreamBase whose bytes go through an endpoint. */
function handleSocket(host: SocketHost, endpoint: StreamEndpoint): net.Socket {
  const handle = new JsStreamHandle!();
  let closed = false;
  let written = 0;
  let acked = 0;
  let held: object | null = null;
  handle.isClosing = () => closed;
  handle.onreadstart = () => {
    endpoint.setReading(true);
    return 0;
  };
  handle.onreadstop = () => {
    endpoint.setReading(false);
    return 0;
  };
  handle.onwrite = (request, buffers) => {
    for (const buffer of buffers) {
      if (buffer.length === 0) continue;
      endpoint.write(buffer);
      written += buffer.length;
    }
    if (written - acked > host.sendBuffer) {
      held = request;
      endpoint.wantSpace(written - (host.sendBuffer >>> 1));
      return 0;
    }
    // It may not be finished before onwrite has returned.
    process.nextTick(() => {
      if (!closed) handle.finishWrite(request, 0);
    });
    return 0;
  };
  handle.onshutdown = (request) => {
    endpoint.shutdown();
    process.nextTick(() => {
      if (!closed) handle.finishShutdown(request, 0);
    });
    return 0;
  };
  handle.close = (callback) => {
    closed = true;
    endpoint.close();
    endpoint.events = null;
    setImmediate(callback);
  };
  handle.getpeername = (out) => {
    Object.assign(out, { address: endpoint.remoteAddress, port: endpoint.remotePort, family: endpoint.family });
    return 0;
  };
  handle.getsockname = (out) => {
    Object.assign(out, { address: endpoint.localAddress, port: endpoint.localPort, family: endpoint.family });
    return 0;
  };
  handle.setNoDelay = (on) => endpoint.setNoDelay(on);
  handle.setKeepAlive = (on, delay) => endpoint.setKeepAlive(on, delay * 1000);
  const socket = new net.Socket({ handle } as never);
  endpoint.events = {
    onConnect() {},
    onData: (chunk) => handle.readBuffer(chunk),
    onEnd: () => handle.emitEOF(),
    onSpace(now) {
      acked = now;
      if (held === null) return;
      const request = held;
      held = null;
      handle.finishWrite(request, 0);
    },
    onClose: (code) => {
      if (code) socket.destroy(Object.assign(new Error(code), { code }));
    },
  };
  return socket;
}

/** The three ways, by name. */
export const ways: Record<string, Way> = {
  Duplex: (_host, endpoint) => new DuplexSocket(endpoint),
  FtSocket: (host, endpoint) => new FtSocket(host, endpoint),
};
if (JsStreamHandle) ways['handle'] = handleSocket;
