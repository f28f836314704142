/**
 * A recorded kernel connection: a TCP or Unix connection that the stack cannot carry. Only the live
 * replica has it. What arrives ends an operation that the connection has begun, and so is an event,
 * bytes included; what the program writes is an effect, carried out once its event is committed.
 *
 * It cannot outlive the process that holds it. After a takeover it ends with ECONNRESET, as one
 * event in order, so that pools and retries of the program go on as after any other reset. One that
 * was not established yet is opened by the successor.
 *
 * Both directions have backpressure: at most RECEIVE_BYTES wait for the program, and a socket above
 * takes no more from its writer while its send buffer waits for the kernel.
 */
import net from 'node:net';
import { errorCode } from '../../../lib/errors.js';
import type { ConnectTarget, StreamEndpoint, StreamEvents } from '../../../stack/core/endpoint.js';
import type { Outcome } from '../core/async-operations.js';
import type { RuntimeContext } from '../core/context.js';

/** Received bytes that wait for the program, at most; then nothing more is read from the kernel. */
const RECEIVE_BYTES = 256 * 1024;

const Arrival = { Connected: 1, Data: 2, End: 3, Space: 4, Closed: 5 } as const;
type Arrival = (typeof Arrival)[keyof typeof Arrival];

/** The two ends of a kernel connection. Paths of Unix sockets are not told: empty addresses. */
export interface Ends {
  family: 'IPv4' | 'IPv6';
  localAddress: string;
  localPort: number;
  remoteAddress: string;
  remotePort: number;
}

/** What kernel connections need of the replica. */
export interface KernelHost {
  readonly runtime: RuntimeContext;
  /** The program stands by beside another one, which has its addresses; null: it does not. */
  readonly standby?: { readonly atTakeover: (() => void)[] } | null;
  /** Carries out an effect of the running event once the event is committed. */
  afterCommit(effect: () => void): void;
}

const RESET: Outcome = { error: null, values: [Arrival.Closed, 'ECONNRESET'] };

/** An arrival as the log has it: its kind, then the bytes or JSON. */
function encodeArrival({ values }: Outcome): Uint8Array {
  const [kind, value] = values as [Arrival, unknown];
  if (kind === Arrival.Data) return Buffer.concat([Uint8Array.of(kind), value as Buffer]);
  return Buffer.concat([Uint8Array.of(kind), Buffer.from(JSON.stringify(value ?? null))]);
}

/** The arrival that a log record describes; a malformed one counts as a reset. */
function decodeArrival(result: Uint8Array): Outcome {
  const [kind] = result;
  const body = Buffer.from(result.subarray(1));
  if (kind === Arrival.Data) return { error: null, values: [kind, body] };
  try {
    return { error: null, values: [kind, JSON.parse(body.toString()) as unknown] };
  } catch {
    return RESET;
  }
}

/** Whether an address is this machine's own: 127.0.0.0/8 or ::1. */
export function isLoopback(address: string): boolean {
  const plain = address.toLowerCase().replace(/^::ffff:/, '');
  return net.isIPv4(plain) ? plain.startsWith('127.') : /^(0*:)*0*1$/.test(plain) && net.isIPv6(plain);
}

/** The ends of a connected socket of the kernel. */
export function endsOf(socket: net.Socket): Ends {
  return {
    family: socket.remoteFamily === 'IPv6' ? 'IPv6' : 'IPv4',
    localAddress: socket.localAddress ?? '',
    localPort: socket.localPort ?? 0,
    remoteAddress: socket.remoteAddress ?? '',
    remotePort: socket.remotePort ?? 0,
  };
}

/** The live replica's half: the socket, and what has arrived on it. */
class KernelSocket {
  /** Why it has ended; '' after an orderly end, undefined while it has not. */
  closed: string | undefined = undefined;
  ended = false;
  /** Bytes that the kernel has taken. */
  flushed = 0;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #code = '';

  constructor(
    readonly socket: net.Socket,
    changed: () => void,
  ) {
    if (socket.destroyed) this.closed = 'ECONNRESET';
    socket.on('error', (error) => {
      this.#code = errorCode(error) ?? 'ECONNRESET';
    });
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk);
      this.#bytes += chunk.length;
      if (this.#bytes >= RECEIVE_BYTES) socket.pause();
      changed();
    });
    socket.on('end', () => {
      this.ended = true;
      changed();
    });
    socket.on('close', () => {
      this.closed = this.#code;
      changed();
    });
    // One that a server has accepted is paused.
    if (!socket.connecting) socket.resume();
  }

  shift(): Buffer | undefined {
    const chunk = this.#chunks.shift();
    if (chunk === undefined) return undefined;
    this.#bytes -= chunk.length;
    if (this.#bytes < RECEIVE_BYTES) this.socket.resume();
    return chunk;
  }
}

/** A kernel connection as the endpoint of the program's socket, on every replica. */
export class KernelConnection implements StreamEndpoint {
  readonly id: number;
  events: StreamEvents | null = null;
  readonly #host: KernelHost;
  #ends: Ends;
  /** The operation that waits for an arrival. */
  #operation = 0;
  /** Live: ends that operation; null while an arrival is delivered, and on a backup. */
  #done: ((outcome: Outcome) => void) | null = null;
  /** Null on a backup, and where the connection was another process's. */
  #kernel: KernelSocket | null = null;
  #reading = false;
  #endTold = false;
  #closed = false;
  #spaceAt = Number.POSITIVE_INFINITY;
  /** An arrival that was under way when the program stopped reading. */
  #held: [kind: Arrival, value: unknown] | null = null;

  private constructor(host: KernelHost, ends: Ends) {
    this.#host = host;
    this.#ends = ends;
    this.id = host.runtime.drawId();
    host.runtime.counters.kernelConnections++;
  }

  /** Begins to connect in the running event. */
  static connect(host: KernelHost, target: ConnectTarget): KernelConnection {
    const { address, port, localAddress = '', localPort = 0 } = target;
    const family = net.isIPv6(address) ? 'IPv6' : 'IPv4';
    const remoteAddress = port === 0 ? '' : address;
    const made = new KernelConnection(host, { family, localAddress, localPort, remoteAddress, remotePort: port });
    made.#begin('net.connect', true, (done) => made.#open(target, done));
    return made;
  }

  /** A connection that a server of the kernel has accepted. @param socket null on a backup */
  static accepted(host: KernelHost, ends: Ends, socket: net.Socket | null): KernelConnection {
    const made = new KernelConnection(host, ends);
    if (socket !== null) made.#kernel = new KernelSocket(socket, () => made.#next());
    made.#listen();
    return made;
  }

  get family(): 'IPv4' | 'IPv6' {
    return this.#ends.family;
  }
  get localAddress(): string {
    return this.#ends.localAddress;
  }
  get localPort(): number {
    return this.#ends.localPort;
  }
  get remoteAddress(): string {
    return this.#ends.remoteAddress;
  }
  get remotePort(): number {
    return this.#ends.remotePort;
  }

  #begin(name: string, effect: boolean, start: (done: (outcome: Outcome) => void) => void): void {
    this.#operation = this.#host.runtime.operations.begin({
      name,
      effect,
      start,
      encode: encodeArrival,
      decode: decodeArrival,
      settle: ({ values }) => this.#take(values as [Arrival, unknown]),
    });
  }

  #open({ address, port, localAddress, localPort }: ConnectTarget, done: (outcome: Outcome) => void): void {
    const local = {
      ...(localAddress === undefined ? {} : { localAddress }),
      ...(localPort === undefined ? {} : { localPort }),
    };
    const options: net.NetConnectOpts = port === 0 ? { path: address } : { host: address, port, ...local };
    const socket = this.#host.runtime.outside(() => net.connect({ ...options, allowHalfOpen: true }));
    const failed = (error: Error): void =>
      done({ error: null, values: [Arrival.Closed, errorCode(error) ?? 'ECONNRESET'] });
    socket.once('error', failed);
    socket.once('connect', () => {
      socket.off('error', failed);
      done({ error: null, values: [Arrival.Connected, endsOf(socket)] });
    });
    this.#kernel = new KernelSocket(socket, () => this.#next());
  }

  /** Waits for the next arrival. A successor has no socket: it ends with a reset. */
  #listen(): void {
    this.#begin('net.arrival', false, (done) => {
      this.#done = done;
      this.#next();
    });
  }

  /** Live: ends the operation if something has arrived that the program may be told. */
  #next(): void {
    const done = this.#done;
    if (done === null) return;
    const arrival = this.#arrival();
    if (arrival === null) return;
    this.#done = null;
    done({ error: null, values: arrival });
  }

  #arrival(): [Arrival, unknown] | null {
    const kernel = this.#kernel;
    if (kernel === null) return [Arrival.Closed, 'ECONNRESET'];
    const { closed, ended, flushed } = kernel;
    // A reset discards what was not read.
    if (closed !== undefined && closed !== '') return [Arrival.Closed, closed];
    if (this.#reading) {
      const chunk = kernel.shift();
      if (chunk !== undefined) return [Arrival.Data, chunk];
      if (ended && !this.#endTold) return [Arrival.End, null];
    }
    if (flushed >= this.#spaceAt) return [Arrival.Space, flushed];
    if (closed !== undefined && (this.#endTold || !ended)) return [Arrival.Closed, ''];
    return null;
  }

  /** The event: an arrival reaches the program. */
  #take([kind, value]: [Arrival, unknown]): void {
    if (kind === Arrival.Closed) {
      this.#over();
      this.events?.onClose((value as string) || null);
      return;
    }
    if (!this.#reading && (kind === Arrival.Data || kind === Arrival.End)) {
      this.#held = [kind, value];
      return;
    }
    if (kind === Arrival.End) this.#endTold = true;
    else if (kind === Arrival.Space) this.#spaceAt = Number.POSITIVE_INFINITY;
    else if (kind === Arrival.Connected) this.#ends = value as Ends;
    // First: the program may throw.
    this.#listen();
    this.#tell(kind, value);
  }

  #tell(kind: Arrival, value: unknown): void {
    const { events } = this;
    if (events === null) return;
    if (kind === Arrival.Connected) events.onConnect();
    else if (kind === Arrival.Space) events.onSpace(value as number, 0);
    else if (kind === Arrival.End) events.onEnd();
    else {
      const chunk = value as Buffer;
      if (events.peek?.(chunk, 0, chunk.length, false) !== true) events.onData(chunk);
    }
  }

  #over(): void {
    this.#closed = true;
    this.#host.runtime.counters.kernelConnections--;
  }

  /** Does something with the socket once the event is committed; a backup only counts it. */
  #effect(act: (kernel: KernelSocket) => void): void {
    const { runtime } = this.#host;
    if (!runtime.live) {
      runtime.counters.suppressedEffects++;
      return;
    }
    const kernel = this.#kernel;
    if (kernel !== null) this.#host.afterCommit(() => runtime.outside(() => act(kernel)));
  }

  // --- StreamEndpoint ---

  write(chunk: Uint8Array): void {
    this.#effect((kernel) => {
      kernel.socket.write(chunk, (error) => {
        if (error) return;
        kernel.flushed += chunk.length;
        this.#next();
      });
    });
  }

  wantSpace(acked: number): void {
    if (acked < this.#spaceAt) this.#spaceAt = acked;
    this.#next();
  }

  setReading(on: boolean): void {
    this.#reading = on;
    if (!on) return;
    const held = this.#held;
    if (held === null) {
      this.#next();
      return;
    }
    this.#held = null;
    // Events never come from inside a call.
    this.#host.runtime.later(() => {
      if (!this.#closed) this.#take(held);
    });
  }

  shutdown(): void {
    this.#effect(({ socket }) => socket.end());
  }

  close(): void {
    if (this.#closed) return;
    this.#cancel();
    this.#effect(({ socket }) => socket.destroySoon());
  }

  abort(): void {
    if (this.#closed) return;
    this.#cancel();
    // Unix sockets know no reset.
    this.#effect(({ socket }) => (this.remotePort === 0 ? socket.destroy() : socket.resetAndDestroy()));
  }

  #cancel(): void {
    this.#over();
    this.#done = null;
    this.#held = null;
    this.#host.runtime.operations.cancel(this.#operation);
  }

  setNoDelay(on: boolean): void {
    this.#effect(({ socket }) => socket.setNoDelay(on));
  }

  setKeepAlive(on: boolean, delayMs: number): void {
    this.#effect(({ socket }) => socket.setKeepAlive(on, delayMs));
  }
}
