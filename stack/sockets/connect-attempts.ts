/**
 * The attempts of one `connect`: the addresses of a name are tried one after the other, as Node
 * does ("happy eyeballs", after RFC 8305). An attempt that takes too long is given up for the next
 * one.
 */
import net from 'node:net';
import { errorCode } from '../../lib/errors.js';
import type { ConnectTarget, SocketHost, SocketTimer, StreamEndpoint } from '../core/endpoint.js';
import { connectError, nodeError, type SocketError } from './socket-errors.js';

/** The socket that connects. */
export interface Connecting {
  readonly connecting: boolean;
  /** As Node's: the addresses that were tried, if there are several. */
  autoSelectFamilyAttemptedAddresses?: string[];
  emit(event: string, ...args: unknown[]): boolean;
  destroy(error: Error): unknown;
}

/** Tries targets until one answers. */
export class ConnectAttempts {
  readonly #host: SocketHost;
  readonly #socket: Connecting;
  readonly #targets: readonly ConnectTarget[];
  readonly #timeoutMs: number;
  readonly #errors: SocketError[] = [];
  #next = 0;
  #timer: SocketTimer | null = null;
  #endpoint: StreamEndpoint | null = null;

  /** @param timeoutMs time for each attempt but the last one, milliseconds */
  constructor(host: SocketHost, socket: Connecting, targets: readonly ConnectTarget[], timeoutMs: number) {
    this.#host = host;
    this.#socket = socket;
    this.#targets = targets;
    this.#timeoutMs = timeoutMs;
    if (targets.length > 1) socket.autoSelectFamilyAttemptedAddresses = [];
  }

  get #target(): ConnectTarget {
    return this.#targets[this.#next - 1];
  }

  #tell(event: string, ...more: unknown[]): void {
    const { address, port } = this.#target;
    if (port === 0) return;
    this.#socket.emit(event, address, port, net.isIP(address), ...more);
  }

  /** Tries the next target. @param attach takes its endpoint; not called once the socket gave up */
  try(attach: (endpoint: StreamEndpoint) => void): void {
    const socket = this.#socket;
    const target = this.#targets[this.#next++];
    this.#tell('connectionAttempt');
    if (!socket.connecting) return;
    socket.autoSelectFamilyAttemptedAddresses?.push(`${target.address}:${target.port}`);
    try {
      this.#endpoint = this.#host.connect(target);
    } catch (error) {
      const code = errorCode(error);
      if (code === undefined) throw error;
      this.failed(code, attach, error);
      return;
    }
    attach(this.#endpoint);
    if (this.#next === this.#targets.length) return;
    this.#timer = this.#host.timers.set(this.#timeoutMs, () => {
      this.#tell('connectionAttemptTimeout');
      this.#giveUp(this.#error('ETIMEDOUT'), attach);
    });
  }

  #error(code: string, cause?: unknown): SocketError {
    const { address, port, localAddress, localPort } = this.#target;
    const local = {
      ...(localAddress === undefined ? {} : { address: localAddress }),
      ...(localPort === undefined ? {} : { port: localPort }),
    };
    return connectError(code, address, port, local, cause);
  }

  /** The attempt has failed: the next target is tried, or the socket destroyed. */
  failed(code: string, attach: (endpoint: StreamEndpoint) => void, cause?: unknown): void {
    this.#endpoint = null;
    const error = this.#error(code, cause);
    if (this.#targets.length > 1) this.#tell('connectionAttemptFailed', error);
    this.#giveUp(error, attach);
  }

  #giveUp(error: SocketError, attach: (endpoint: StreamEndpoint) => void): void {
    this.end();
    const socket = this.#socket;
    if (!socket.connecting) return;
    const endpoint = this.#endpoint;
    this.#endpoint = null;
    if (endpoint !== null) {
      endpoint.events = null;
      endpoint.abort();
    }
    this.#errors.push(error);
    if (this.#next < this.#targets.length) this.try(attach);
    else socket.destroy(this.#errors.length === 1 ? error : allFailed(this.#errors));
  }

  /** One has answered, or the socket gave up. */
  end(): void {
    this.#timer?.clear();
    this.#timer = null;
  }
}

/** Node's error when all addresses of a name have failed. */
function allFailed(errors: SocketError[]): Error {
  return Object.assign(new AggregateError(errors), { code: errors[0].code });
}

/** Time for an attempt, milliseconds. @throws RangeError ERR_OUT_OF_RANGE as Node does */
export function attemptTimeout(given: unknown): number {
  const ms = given ?? net.getDefaultAutoSelectFamilyAttemptTimeout();
  if (typeof ms !== 'number' || !Number.isInteger(ms) || ms < 1)
    throw nodeError(
      'ERR_OUT_OF_RANGE',
      `The value of "options.autoSelectFamilyAttemptTimeout" is out of range. It must be >= 1. Received ${String(ms)}`,
      RangeError,
    );
  return Math.max(ms, 10);
}
