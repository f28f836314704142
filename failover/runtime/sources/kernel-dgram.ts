/**
 * A recorded kernel datagram socket, for addresses that the stack has no route for: a metrics
 * daemon on loopback, a name server. Only the live replica has it. What arrives ends an operation
 * and so is an event; datagrams that the program sends leave once their event is committed. A
 * successor opens the socket again with the same address and settings. Datagrams of the moment of
 * death are lost.
 */
import type dgram from 'node:dgram';
import { EventEmitter } from 'node:events';
import { systemError } from '../../../stack/sockets/socket-errors.js';
import type { Outcome } from '../core/async-operations.js';
import { originals } from '../core/originals.js';
import type { KernelHost } from './kernel-connection.js';

/** What kernel datagram sockets need of the replica. */
export interface KernelDgramHost extends KernelHost {
  readonly counters: { droppedDatagrams: number };
}

/** Arrivals that wait for the program, at most; more datagrams are dropped and counted. */
const MAX_WAITING = 1024;
/** Settings that a successor makes again, at most. */
const MAX_SETTINGS = 256;
/** A successor that cannot bind the address tries again at this interval, milliseconds. */
const BIND_AGAIN_MS = 20;
/** Kind, and length of the JSON behind it. */
const HEADER = 3;

type Address = { address: string; family: string; port: number };
type Failure = { code: string; message: string; syscall?: string };

/** What can arrive. */
type Arrival =
  | { kind: 'listening'; at: Address }
  | { kind: 'connect'; to: Address }
  | { kind: 'message'; from: dgram.RemoteInfo; payload: Buffer }
  | { kind: 'error'; failure: Failure }
  /** A datagram with a callback has left, or failed. */
  | { kind: 'sent'; id: number; bytes: number; failure: Failure | null };

const KINDS = ['listening', 'connect', 'message', 'error', 'sent'] as const;

function encodeArrival({ values }: Outcome): Uint8Array {
  const arrival = values[0] as Arrival;
  const { payload, ...rest } = { payload: Buffer.alloc(0), ...arrival };
  const text = Buffer.from(JSON.stringify(rest));
  const header = Buffer.alloc(HEADER);
  header[0] = KINDS.indexOf(arrival.kind);
  header.writeUInt16LE(text.length, 1);
  return Buffer.concat([header, text, payload]);
}

function decodeArrival(result: Uint8Array): Outcome {
  const bytes = Buffer.from(result);
  const end = HEADER + bytes.readUInt16LE(1);
  const rest = JSON.parse(bytes.toString('utf8', HEADER, end)) as Arrival;
  return { error: null, values: [rest.kind === 'message' ? { ...rest, payload: bytes.subarray(end) } : rest] };
}

function failureOf(error: NodeJS.ErrnoException): Failure {
  const { code = 'EINVAL', message, syscall } = error;
  return syscall === undefined ? { code, message } : { code, message, syscall };
}

function errorOf({ code, message, syscall }: Failure): Error {
  return Object.assign(systemError(code, syscall ?? 'send'), { message });
}

type Callback = (error: Error | null, bytes?: number) => void;

/** The message of a `send`, which the program may change while the datagram waits. */
function copied(message: unknown): unknown {
  if (Array.isArray(message)) return message.map(copied);
  return ArrayBuffer.isView(message)
    ? Buffer.from(Buffer.from(message.buffer, message.byteOffset, message.byteLength))
    : message;
}

/**
 * The kernel's part of a program's datagram socket; the part of `dgram.Socket` that is delegated to
 * it.
 */
export class KernelDgram extends EventEmitter {
  readonly #host: KernelDgramHost;
  readonly #make: () => dgram.Socket;
  #socket: dgram.Socket | null = null;
  readonly #waiting: Arrival[] = [];
  #done: ((outcome: Outcome) => void) | null = null;
  #operation = 0;
  #closed = false;
  #local: Address | null = null;
  #remote: Address | null = null;
  /** Arguments of `bind` and `connect`, without callbacks. */
  #bound: unknown[] | null = null;
  #connected: unknown[] | null = null;
  readonly #settings: [name: string, args: unknown[]][] = [];
  /**
   * A successor's socket does not have the dead primary's address yet; what is done meanwhile
   * waits.
   */
  #isRestoring = false;
  readonly #held: ((socket: dgram.Socket) => void)[] = [];
  #nextSend = 1;
  readonly #sending = new Map<number, Callback>();

  /** @param make makes a socket of the kernel */
  constructor(host: KernelDgramHost, make: () => dgram.Socket) {
    super();
    this.#host = host;
    this.#make = make;
    this.#listen();
  }

  #listen(): void {
    const wait = (done: (outcome: Outcome) => void): void => {
      this.#done = done;
      if (this.#socket === null) this.#open();
      this.#next();
    };
    this.#operation = this.#host.runtime.operations.begin({
      name: 'dgram.arrival',
      effect: false,
      start: wait,
      redo: (done) => {
        // Whether those have left is not known.
        for (const [id] of this.#sending) this.#arrived({ kind: 'sent', id, bytes: 0, failure: null });
        wait(done);
        this.#restore();
      },
      encode: encodeArrival,
      decode: decodeArrival,
      settle: ({ values }) => {
        // First: the program may throw.
        this.#listen();
        this.#take(values[0] as Arrival);
      },
    });
  }

  #open(): void {
    const socket = this.#host.runtime.outside(this.#make);
    this.#socket = socket;
    socket.on('listening', () => this.#arrived({ kind: 'listening', at: socket.address() }));
    socket.on('connect', () => this.#arrived({ kind: 'connect', to: socket.remoteAddress() as Address }));
    socket.on('message', (payload, from) => this.#arrived({ kind: 'message', from, payload }));
    this.#hearErrors(socket);
  }

  /** A successor's socket becomes what the dead primary's was. */
  #restore(): void {
    const at = this.#local;
    if (at === null) {
      this.#restoreSettings(this.#bound);
      return;
    }
    const socket = this.#socket;
    if (socket === null) return;
    this.#isRestoring = true;
    socket.removeAllListeners('error');
    // The kernel may not have taken the address from the dead process yet.
    socket.once('error', () => {
      socket.close();
      originals.setTimeout(() => {
        this.#open();
        this.#restore();
      }, BIND_AGAIN_MS);
    });
    socket.once('listening', () => {
      socket.removeAllListeners('error');
      this.#hearErrors(socket);
      this.#restoreSettings(null);
      this.#isRestoring = false;
      for (const act of this.#held.splice(0)) this.#act(act);
    });
    this.#host.runtime.outside(() => socket.bind(at.port, at.address));
  }

  #restoreSettings(bound: unknown[] | null): void {
    const socket = this.#socket as unknown as Record<string, (...args: unknown[]) => void>;
    const connected = this.#connected;
    this.#host.runtime.outside(() => {
      if (bound !== null) socket['bind'](...bound);
      for (const [name, args] of this.#settings) socket[name](...args);
      if (connected !== null) socket['connect'](...connected);
    });
  }

  #hearErrors(socket: dgram.Socket): void {
    socket.on('error', (error) => this.#arrived({ kind: 'error', failure: failureOf(error) }));
  }

  #arrived(arrival: Arrival): void {
    // A successor's program knows both already.
    if (arrival.kind === 'listening' && this.#local !== null) return;
    if (arrival.kind === 'connect' && this.#remote !== null) return;
    if (arrival.kind === 'message' && this.#waiting.length >= MAX_WAITING) {
      this.#host.counters.droppedDatagrams++;
      return;
    }
    this.#waiting.push(arrival);
    this.#next();
  }

  #next(): void {
    const done = this.#done;
    if (done === null) return;
    const arrival = this.#waiting.shift();
    if (arrival === undefined) return;
    this.#done = null;
    done({ error: null, values: [arrival] });
  }

  #take(arrival: Arrival): void {
    switch (arrival.kind) {
      case 'listening':
        this.#local = arrival.at;
        this.emit('listening');
        return;
      case 'connect':
        this.#remote = arrival.to;
        this.emit('connect');
        return;
      case 'message':
        this.emit('message', arrival.payload, arrival.from);
        return;
      case 'error':
        this.emit('error', errorOf(arrival.failure));
        return;
      case 'sent': {
        const callback = this.#sending.get(arrival.id);
        this.#sending.delete(arrival.id);
        if (arrival.failure === null) callback?.(null, arrival.bytes);
        else callback?.(errorOf(arrival.failure));
      }
    }
  }

  /**
   * Carries out a method of the kernel's socket once the event is committed; a backup counts it.
   */
  #effect(act: (socket: dgram.Socket) => void): void {
    const { runtime } = this.#host;
    if (!runtime.live) {
      runtime.counters.suppressedEffects++;
      return;
    }
    this.#host.afterCommit(() => {
      if (!this.#isRestoring) this.#act(act);
      else if (this.#held.length < MAX_WAITING) this.#held.push(act);
      else this.#host.counters.droppedDatagrams++;
    });
  }

  #act(act: (socket: dgram.Socket) => void): void {
    const socket = this.#socket;
    if (socket === null) return;
    try {
      this.#host.runtime.outside(() => act(socket));
    } catch (error) {
      this.#arrived({ kind: 'error', failure: failureOf(error as NodeJS.ErrnoException) });
    }
  }

  bind(...args: unknown[]): this {
    const listener = args[args.length - 1];
    if (typeof listener === 'function') this.once('listening', args.pop() as () => void);
    this.#bound = args;
    this.#effect((socket) => (socket.bind as (...args: unknown[]) => void)(...args));
    return this;
  }

  connect(...args: unknown[]): void {
    const listener = args[args.length - 1];
    if (typeof listener === 'function') this.once('connect', args.pop() as () => void);
    this.#connected = args;
    this.#effect((socket) => (socket.connect as (...args: unknown[]) => void)(...args));
  }

  disconnect(): void {
    this.#connected = this.#remote = null;
    this.#effect((socket) => socket.disconnect());
  }

  send(...args: unknown[]): void {
    const callback = args[args.length - 1];
    const given = [copied(args[0]), ...args.slice(1)];
    if (typeof callback !== 'function') {
      this.#effect((socket) => (socket.send as (...args: unknown[]) => void)(...given));
      return;
    }
    const id = this.#nextSend++;
    this.#sending.set(id, callback as Callback);
    given[given.length - 1] = (error: NodeJS.ErrnoException | null, bytes = 0): void =>
      this.#arrived({ kind: 'sent', id, bytes, failure: error ? failureOf(error) : null });
    this.#effect((socket) => (socket.send as (...args: unknown[]) => void)(...given));
  }

  /** Throws a system error EBADF before the socket is bound, as Node does. */
  address(): Address {
    if (this.#local === null) throw systemError('EBADF', 'getsockname');
    return { ...this.#local };
  }

  /** Throws a system error ENOTCONN before the socket is connected, as Node does. */
  remoteAddress(): Address {
    if (this.#remote === null) throw systemError('ENOTCONN', 'getpeername');
    return { ...this.#remote };
  }

  close(callback?: () => void): this {
    if (this.#closed) throw systemError('EBADF', 'close');
    this.#closed = true;
    if (typeof callback === 'function') this.once('close', callback);
    this.#host.runtime.operations.cancel(this.#operation);
    this.#done = null;
    this.#effect((socket) => socket.close());
    process.nextTick(() => this.emit('close'));
    return this;
  }

  /**
   * A method that changes a setting of the socket. Throws a system error EBADF before it is bound.
   */
  set(name: string, args: unknown[]): void {
    if (this.#local === null && this.#bound === null) throw systemError('EBADF', name);
    if (this.#settings.length < MAX_SETTINGS) this.#settings.push([name, args]);
    this.#effect((socket) => (socket as unknown as Record<string, (...args: unknown[]) => void>)[name](...args));
  }

  /** A size of the kernel's buffers: the replicas' need not be the same. */
  size(name: 'getRecvBufferSize' | 'getSendBufferSize'): number {
    const { runtime } = this.#host;
    runtime.reportNondeterministic(`dgram.Socket.${name}`);
    return this.#socket === null ? 0 : runtime.outside(() => this.#socket?.[name]() ?? 0);
  }
}
