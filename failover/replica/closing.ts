/**
 * The end of a group's last replica: each connection is closed with a FIN behind what its program
 * has written. What is still open when the time is over is reset. Without this, clients would wait
 * for an answer until their own timers end.
 */
import type { TapDevice } from '../../lib/device/tap.js';
import type { Stack } from '../../stack/stack.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { abort, shutdown } from '../../stack/tcp/user-calls.js';

/** Connections are looked at again after this time. */
const LOOK_MS = 10;

/** What {@link closeConnections} needs of the replica, and of the process. */
export interface ClosingHost {
  readonly stack: Stack;
  readonly tap: TapDevice | null;
  /** Calls the event loop's turn soon. */
  kick(): void;
  /** Resolves after a time, milliseconds. */
  pause(ms: number): Promise<void>;
  /** Monotonic time, milliseconds. */
  nowMs(): number;
}

/** How long connections have. */
export interface ClosingTimes {
  /** Until the program's own end of its connections, milliseconds. */
  programMs: number;
  /** Until the last reset, milliseconds. */
  graceMs: number;
}

/**
 * Refuses new connections, closes all others, and resolves when none is left.
 * @returns the number of connections that had to be reset
 */
export async function closeConnections(host: ClosingHost, times: ClosingTimes): Promise<number> {
  const { stack } = host;
  const begun = host.nowMs();
  stack.tcp.draining = true;
  while (isOpen(stack) && host.nowMs() - begun < times.programMs) await host.pause(LOOK_MS);
  while (isOpen(stack) && host.nowMs() - begun < times.graceMs) {
    // The program may still open connections.
    for (const conn of connectionsOf(stack)) shutdown(conn);
    host.kick();
    await host.pause(LOOK_MS);
  }
  return resetConnections(host);
}

/** Resets all connections, at once. @returns their number */
export function resetConnections({ stack, tap }: Pick<ClosingHost, 'stack' | 'tap'>): number {
  const open = connectionsOf(stack);
  stack.refresh();
  for (const conn of open) abort(conn);
  stack.flush();
  tap?.finishSending();
  return open.length;
}

function isOpen(stack: Stack): boolean {
  return stack.tcp.table.size > 0;
}

function connectionsOf(stack: Stack): TcpConnection[] {
  const all: TcpConnection[] = [];
  stack.tcp.table.forEach((conn) => {
    all.push(conn);
  });
  return all;
}
