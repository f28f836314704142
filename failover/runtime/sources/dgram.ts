/**
 * A program's datagram sockets. Each arrival ends an operation that the socket has begun, and so is
 * an event like any other: logged before the program gets it, and given to a backup's program from
 * the log. The primary sends the program's datagrams through the output gate; a backup sends none.
 * A datagram that the primary had not sent when it died is lost, as datagrams may be.
 *
 * A socket that sends to an address for which the stack has no route (a metrics daemon on loopback,
 * a name server) is a recorded kernel socket (kernel-dgram.ts).
 */
import type dgram from 'node:dgram';
import net from 'node:net';
import { FtDgram, type FtDgramOptions } from '../../../stack/sockets/dgram.js';
import type { Stack } from '../../../stack/stack.js';
import type { Outcome } from '../core/async-operations.js';
import { isLoopback } from './kernel-connection.js';
import { KernelDgram, type KernelDgramHost } from './kernel-dgram.js';

/** Limits of the datagrams that wait for the program, per socket; more are dropped and counted. */
const MAX_WAITING = 1024;
const MAX_WAITING_BYTES = 1 << 20;

const Arrival = { Message: 0, Refused: 1, Closed: 2 } as const;
type Arrival = (typeof Arrival)[keyof typeof Arrival];
const CLOSED: Outcome = { error: null, values: [Arrival.Closed] };
const REFUSED: Outcome = { error: null, values: [Arrival.Refused] };
const HEADER = 5;

type Message = [typeof Arrival.Message, Buffer, dgram.RemoteInfo];

/**
 * An arrival as the log has it: kind, family, port, length and text of the address, then the bytes.
 */
export function encodeArrival({ values }: Outcome): Uint8Array {
  const [kind] = values as [Arrival];
  if (kind !== Arrival.Message) return Uint8Array.of(kind, 0, 0, 0, 0);
  const [, payload, info] = values as Message;
  const address = Buffer.from(info.address, 'latin1');
  const out = Buffer.alloc(HEADER + address.length + payload.length);
  out[0] = kind;
  out[1] = info.family === 'IPv6' ? 6 : 4;
  out.writeUInt16LE(info.port, 2);
  out[4] = address.length;
  address.copy(out, HEADER);
  payload.copy(out, HEADER + address.length);
  return out;
}

/** The arrival that a log record describes; a malformed one counts as the end of the socket. */
export function decodeArrival(result: Uint8Array): Outcome {
  const bytes = Buffer.from(result.buffer, result.byteOffset, result.length);
  if (bytes.length < HEADER || HEADER + bytes[4] > bytes.length) return CLOSED;
  if (bytes[0] !== Arrival.Message) return bytes[0] === Arrival.Refused ? REFUSED : CLOSED;
  const end = HEADER + bytes[4];
  const payload = Buffer.from(bytes.subarray(end));
  const address = bytes.toString('latin1', HEADER, end);
  const family = bytes[1] === 6 ? 'IPv6' : 'IPv4';
  const info: dgram.RemoteInfo = { address, family, port: bytes.readUInt16LE(2), size: payload.length };
  return { error: null, values: [Arrival.Message, payload, info] satisfies Message };
}

/** What a program's datagram sockets share. */
export interface DgramRuntime extends KernelDgramHost {
  readonly stack: Stack;
  /** Reports a kernel socket, once. */
  reportKernelSocket(what: string): void;
}

/** A datagram socket on the stack whose arrivals are events. */
export class ReplayedDgram extends FtDgram {
  readonly #host: DgramRuntime;
  /**
   * Ends the operation that waits for an arrival; null on a backup, and while an arrival is
   * delivered.
   */
  #done: ((outcome: Outcome) => void) | null = null;
  #waiting: Outcome[] = [];
  #waitingBytes = 0;

  constructor(host: DgramRuntime, options: FtDgramOptions | 'udp4' | 'udp6') {
    super(host.stack, options);
    this.#host = host;
  }

  protected override _opened(): void {
    this.#listen();
  }

  #listen(): void {
    this.#host.runtime.operations.begin({
      name: 'dgram.message',
      effect: false,
      start: (done) => {
        this.#done = done;
        this.#next();
      },
      encode: encodeArrival,
      decode: decodeArrival,
      settle: (outcome) => this.#take(outcome),
    });
  }

  protected override _arrived(payload: Buffer, info: dgram.RemoteInfo): void {
    if (this.#waiting.length >= MAX_WAITING || this.#waitingBytes + payload.length > MAX_WAITING_BYTES) {
      this.#host.counters.droppedDatagrams++;
      return;
    }
    this.#waitingBytes += payload.length;
    this.#waiting.push({ error: null, values: [Arrival.Message, payload, info] satisfies Message });
    this.#next();
  }

  protected override _refused(): void {
    if (this.#waiting.length < MAX_WAITING) this.#waiting.push(REFUSED);
    this.#next();
  }

  #next(): void {
    const done = this.#done;
    if (done === null) return;
    const outcome = this._closed ? CLOSED : this.#waiting.shift();
    if (outcome === undefined) return;
    this.#done = null;
    if (outcome.values[0] === Arrival.Message) this.#waitingBytes -= (outcome.values[1] as Buffer).length;
    done(outcome);
  }

  #take(outcome: Outcome): void {
    // First wait for the next arrival: the program may throw.
    if (!this._closed) this.#listen();
    const [kind, payload, info] = outcome.values as [Arrival, Buffer, dgram.RemoteInfo];
    if (kind === Arrival.Message) this._message(payload, info);
    else if (kind === Arrival.Refused) this._failRefused();
  }

  override close(done?: () => void): this {
    super.close(done);
    this.#waiting.length = 0;
    this.#next();
    return this;
  }
}

type Method = (this: unknown, ...args: unknown[]) => unknown;

/** The first call of one of these decides whether the stack or the kernel has the socket. */
const DECIDING = new Set(['bind', 'send', 'connect']);
/** Methods that the kernel's socket has itself. */
const DELEGATED = [...DECIDING, 'disconnect', 'remoteAddress', 'address', 'close'];
/** Methods that change a setting. */
const SETTINGS = [
  'addMembership',
  'dropMembership',
  'setBroadcast',
  'setTTL',
  'setMulticastTTL',
  'setMulticastInterface',
  'setMulticastLoopback',
  'setRecvBufferSize',
  'setSendBufferSize',
];
const SIZES = ['getRecvBufferSize', 'getSendBufferSize'] as const;

/**
 * What `dgram.createSocket` returns to a program: a socket of the stack or of the kernel, as its
 * first use decides.
 */
export class ProgramDgram extends ReplayedDgram {
  #decided = false;
  #kernel: KernelDgram | null = null;
  readonly #program: DgramRuntime;
  readonly #makeKernel: () => dgram.Socket;

  constructor(host: DgramRuntime, options: FtDgramOptions | 'udp4' | 'udp6', makeKernel: () => dgram.Socket) {
    super(host, options);
    this.#program = host;
    this.#makeKernel = makeKernel;
  }

  /** The kernel socket that does the work; null: the stack does. */
  #kernelFor(method: string, args: unknown[]): KernelDgram | null {
    if (!this.#decided && DECIDING.has(method)) {
      this.#decided = true;
      if (!this.#reachable(method, args)) this.#useKernel(`datagrams, ${method} ${args.filter(isTold).join(' ')}`);
    }
    return this.#kernel;
  }

  #reachable(method: string, args: unknown[]): boolean {
    const { stack } = this.#program;
    const { book } = stack;
    const given =
      method === 'bind' && typeof args[0] === 'object' && args[0] !== null
        ? (args[0] as { address?: unknown }).address
        : args.slice(1).find((value) => typeof value === 'string');
    // No address: a bound socket gets everything, a sending one sends to this machine.
    if (typeof given !== 'string' || given === '') return method === 'bind';
    const address = net.isIP(given) === 0 ? undefined : book.parse(given);
    if (address === undefined || isLoopback(given)) return false;
    if (book.isUnspecified(address) || book.isMulticast(address)) return true;
    return method === 'bind' ? stack.isLocal(address) : stack.sourceFor(address) !== 0;
  }

  #useKernel(what: string): void {
    const kernel = new KernelDgram(this.#program, this.#makeKernel);
    this.#kernel = kernel;
    this.#program.reportKernelSocket(what);
    for (const name of ['message', 'listening', 'connect', 'close', 'error'] as const)
      kernel.on(name, (...args: unknown[]) => void (this.emit as Method).call(this, name, ...args));
  }

  /** Lets the kernel's socket do what a method does, once it is that one's. */
  static #delegate(name: string, act: (kernel: KernelDgram, args: unknown[]) => unknown): void {
    const prototype = ProgramDgram.prototype as unknown as Record<string, Method>;
    const own = prototype[name];
    prototype[name] = function (this: unknown, ...args: unknown[]): unknown {
      const kernel = (this as ProgramDgram).#kernelFor(name, args);
      if (kernel === null) return own.apply(this, args);
      const result = act(kernel, args);
      return result === kernel ? this : result;
    };
  }

  static {
    for (const name of DELEGATED)
      ProgramDgram.#delegate(name, (kernel, args) =>
        (kernel as unknown as Record<string, Method>)[name].apply(kernel, args),
      );
    for (const name of SETTINGS) ProgramDgram.#delegate(name, (kernel, args) => kernel.set(name, args));
    for (const name of SIZES) ProgramDgram.#delegate(name, (kernel) => kernel.size(name));
    // The runtime knows what keeps the program alive.
    for (const name of ['ref', 'unref']) ProgramDgram.#delegate(name, (kernel) => kernel);
  }
}

/** Whether an argument of a deciding call belongs into its report: ports and addresses. */
function isTold(arg: unknown, at: number): boolean {
  return typeof arg === 'number' || (typeof arg === 'string' && at > 0);
}
