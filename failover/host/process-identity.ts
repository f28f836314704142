/**
 * What names a process beside its number, which another process may get later, or have in another
 * pid namespace.
 */
import { readFileSync, readlinkSync } from '../../lib/own-node.js';

/** Of a process; 0: not known. */
export interface ProcessIdentity {
  /** Clock ticks between the machine's start and the process's (proc(5), field 22), modulo 2^31. */
  readonly startTime: number;
  /** Number of its pid namespace, modulo 2^31. */
  readonly pidNamespace: number;
}

const MODULUS = 2 ** 31;
/** Fields of /proc/PID/stat behind the name, which may have any characters. */
const START_TIME_FIELD = 22 - 3;

/** When a process of this pid namespace started; 0: there is none, or it is not known. */
export function startTimeOf(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[START_TIME_FIELD]) % MODULUS || 0;
  } catch {
    return 0;
  }
}

function ownPidNamespace(): number {
  try {
    return Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? 0) % MODULUS;
  } catch {
    return 0;
  }
}

/** Whether /proc shows the processes of this pid namespace. */
function isOwnProc(): boolean {
  try {
    return readlinkSync('/proc/self') === String(process.pid);
  } catch {
    return false;
  }
}

/** Of this process. Read when the module is loaded. */
export const ownIdentity: ProcessIdentity = {
  startTime: isOwnProc() ? startTimeOf(process.pid) : 0,
  pidNamespace: ownPidNamespace(),
};
