/** The signals that end a process in an orderly way. */

import { constants } from 'node:os';
import { readFileSync } from '../../lib/own-node.js';

/** A signal that ends a process in an orderly way. */
export type EndSignal = 'SIGTERM' | 'SIGINT' | 'SIGHUP';

/**
 * The signals to handle: all, but for SIGHUP when the process was started with it ignored, as nohup
 * does.
 */
export function endSignals(): EndSignal[] {
  return isIgnored(constants.signals.SIGHUP) ? ['SIGTERM', 'SIGINT'] : ['SIGTERM', 'SIGINT', 'SIGHUP'];
}

function isIgnored(signal: number): boolean {
  try {
    const mask = /^SigIgn:\s*([0-9a-f]+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
    return ((BigInt(`0x${mask}`) >> BigInt(signal - 1)) & 1n) === 1n;
  } catch {
    return false;
  }
}
