/** Functions of the addon that a simulated machine does not need. */
import type { NativeAddon } from '../../lib/native/native.js';

/** They do nothing, or say that they cannot do it. */
export const UNUSED_CALLS = {
  sendSplit: () => {
    throw new Error('no device of this machine splits');
  },
  senderLease: () => undefined,
  peerUid: () => 0,
  lockName: () => 0,
  ifAddresses: () => [],
  ifDescribe: () => ({ flags: 1, index: 1, kind: 'tap' }),
  crc32cBy: () => -1,
  callWithinMemory: (fn) => {
    fn();
    return false;
  },
  notify: () => undefined,
  randInstall: () => undefined,
} satisfies Partial<NativeAddon>;
