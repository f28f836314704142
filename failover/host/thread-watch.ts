/** Watches the threads of another process of the group, where that is possible. */
import type { NativeAddon, NativeHandle } from '../../lib/native/native.js';
import type { GroupPlace } from './group-directory.js';

/**
 * Calls `onEnd` once when the process's event loop has ended, which may be long before its pidfd
 * becomes readable.
 * @returns what the addon closes and waits for; null: it is not possible, and the pidfd has to do
 */
export function watchThreads(
  native: NativeAddon,
  group: Pick<GroupPlace, 'openThreads'>,
  pid: number,
  onEnd: () => void,
): NativeHandle | null {
  const threads = group.openThreads(pid);
  if (threads === null) return null;
  try {
    native.threadsWatch(threads, onEnd);
    return threads;
  } catch {
    // No more threads may be started here.
    native.threadsClose(threads);
    return null;
  }
}
