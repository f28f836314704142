import { constants } from 'node:os';
import { getSystemErrorMap } from 'node:util';

/** An error as Node's own net module makes it. */
export interface SocketError extends Error {
  code: string;
  errno?: number;
  syscall?: string;
  address?: string;
  port?: number;
  localAddress?: string;
  localPort?: number;
}

const numbers = constants.errno as unknown as Readonly<Record<string, number | undefined>>;

/** Node's errno (negative, as libuv has it) of a system error code. */
function errnoOf(code: string): number | undefined {
  const positive = numbers[code];
  return positive === undefined ? undefined : -positive;
}

/** Like Node's ErrnoException: `read ECONNRESET`. */
export function systemError(code: string, syscall: string, cause?: unknown): SocketError {
  return decorate(new Error(`${syscall} ${code}`, cause === undefined ? undefined : { cause }), code, syscall);
}

/**
 * Like Node's ExceptionWithHostPort: `connect ECONNREFUSED 10.0.0.1:80`. Port 0: the address is the
 * path of a Unix socket.
 */
export function connectError(
  code: string,
  address: string,
  port: number,
  local?: { address?: string; port?: number },
  cause?: unknown,
): SocketError {
  const details = local?.address && local.port ? ` - Local (${local.address}:${local.port})` : '';
  const text = `connect ${code} ${address}${port === 0 ? '' : `:${port}`}${details}`;
  const error = decorate(new Error(text, cause === undefined ? undefined : { cause }), code, 'connect');
  error.address = address;
  if (port !== 0) error.port = port;
  if (details) {
    error.localAddress = local!.address!;
    error.localPort = local!.port!;
  }
  return error;
}

/**
 * Like Node's UVExceptionWithHostPort: `listen EADDRINUSE: address already in use 0.0.0.0:80`. Port
 * null: the address is the path of a Unix socket.
 */
export function listenError(code: string, address: string, port: number | null, cause?: unknown): SocketError {
  const errno = errnoOf(code);
  const known = errno === undefined ? undefined : getSystemErrorMap().get(errno);
  const text = `listen ${code}: ${known?.[1] ?? 'cannot listen'} ${address}${port === null ? '' : `:${port}`}`;
  const error = decorate(new Error(text, cause === undefined ? undefined : { cause }), code, 'listen');
  error.address = address;
  if (port !== null) error.port = port;
  return error;
}

/** An error with one of Node's own `ERR_*` codes. */
export function nodeError(code: string, message: string, Base: new (text: string) => Error = Error): SocketError {
  const error = new Base(message) as SocketError;
  error.code = code;
  return error;
}

function decorate(error: Error, code: string, syscall: string): SocketError {
  const out = error as SocketError;
  out.errno = errnoOf(code);
  out.code = code;
  out.syscall = syscall;
  return out;
}
