/**
 * Settings that need more than one CPU: polling before the event loop sleeps
 * (lib/native/busy-poll.h), and a thread that sends (lib/native/sender.c).
 */
import { availableParallelism } from 'node:os';
import type { SenderOptions } from '../../lib/device/tap-sender.js';
import type { NativeHandle } from '../../lib/native/native.js';

/** The kernel's advice for net.core.busy_poll, microseconds. */
const DEFAULT_US = 50;

/** Whether an answer can come, and a thread can send, while this thread polls. */
export function severalCpus(): boolean {
  return availableParallelism() > 1;
}

/**
 * Options of the sending thread; undefined: no thread.
 * @param busyPollUs time to poll before it sleeps, microseconds
 * @param threads where the thread says that it is alive (default: nowhere)
 */
export function senderOptions(
  wanted: boolean,
  busyPollUs: number,
  threads: NativeHandle | null = null,
): SenderOptions | undefined {
  // The thread polls as the event loop does: with less, an echo took 80 µs in `acked` mode instead
  // of 32.
  return wanted ? { lookUs: busyPollUs, threads } : undefined;
}

/** The default of `--busy-poll`, microseconds; 0 with one CPU. */
export function defaultBusyPollUs(): number {
  return severalCpus() ? DEFAULT_US : 0;
}
