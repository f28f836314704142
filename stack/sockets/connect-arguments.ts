import net from 'node:net';
import { nodeError } from './socket-errors.js';

/** What `connect` of an FtSocket takes besides Node's positional forms. */
export interface FtConnectOptions {
  port: number;
  host?: string;
  localAddress?: string;
  localPort?: number;
  family?: number;
  hints?: number;
  autoSelectFamily?: boolean;
  autoSelectFamilyAttemptTimeout?: number;
  /** Path of a Unix socket, instead of a port. */
  path?: string;
  lookup?: net.LookupFunction;
  noDelay?: boolean;
  keepAlive?: boolean;
  keepAliveInitialDelay?: number;
  timeout?: number;
}

/** Checks a port to connect to, with Node's error. */
export function checkedPort(port: unknown): number {
  const number = typeof port === 'string' && port.trim() !== '' ? Number(port) : port;
  if (typeof number !== 'number' || number !== number >>> 0 || number > 65535) {
    throw nodeError('ERR_SOCKET_BAD_PORT', `Port should be >= 0 and < 65536. Received ${String(port)}.`, RangeError);
  }
  return number;
}

/** Node's http and fetch write null for what they do not set. */
function withoutNulls<T extends Record<string, unknown>>(options: T): T {
  const out = { ...options };
  for (const key of ['path', 'host', 'localAddress', 'localPort', 'family', 'lookup'])
    if (out[key] === null) delete out[key];
  return out;
}

/**
 * Node's forms of `connect`: (options[, listener]), (port[, host][, listener]); an array is Node's
 * own normalized form.
 */
export function connectArguments(args: unknown[]): {
  options: FtConnectOptions & Record<string, unknown>;
  listener: (() => void) | null;
} {
  const list = Array.isArray(args[0]) ? (args[0] as unknown[]) : args;
  const last = list[list.length - 1];
  const listener = typeof last === 'function' ? (last as () => void) : null;
  const first = list[0];
  if (typeof first === 'object' && first !== null) {
    return { options: withoutNulls(first as FtConnectOptions & Record<string, unknown>), listener };
  }
  if (typeof first === 'string' && !/^\s*\d+\s*$/.test(first)) {
    return { options: { port: 0, path: first }, listener };
  }
  const options: FtConnectOptions & Record<string, unknown> = { port: first as number };
  if (typeof list[1] === 'string') options.host = list[1];
  return { options, listener };
}

/** Node hands keepalive delays to the kernel in whole seconds. */
export function wholeSeconds(ms: number | undefined): number {
  return ~~((ms ?? 0) / 1000) * 1000;
}

/** A copy with only the named properties that are set. */
export function pick<T extends object, K extends keyof T>(
  from: T,
  ...names: K[]
): { [P in K]?: Exclude<T[P], undefined> } {
  const out: { [P in K]?: Exclude<T[P], undefined> } = {};
  for (const name of names) {
    if (from[name] !== undefined) out[name] = from[name] as Exclude<T[K], undefined>;
  }
  return out;
}

/** @throws TypeError ERR_INVALID_ARG_VALUE for a path: the stack has no Unix sockets */
export function refusePath({ path }: FtConnectOptions): void {
  if (!path) return;
  throw nodeError('ERR_INVALID_ARG_VALUE', 'A socket of the ft-tcp stack connects to a port, not to a path', TypeError);
}

/** @throws TypeError ERR_INVALID_IP_ADDRESS, as Node does */
export function checkLocalAddress(address: string | undefined): void {
  if (address && !net.isIP(address))
    throw nodeError('ERR_INVALID_IP_ADDRESS', `Invalid IP address: ${address}`, TypeError);
}
