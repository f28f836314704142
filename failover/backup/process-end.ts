/**
 * The ways in which a program ends its own process: `process.exit` with an error, `process.abort`,
 * and a signal to itself. In a suspect event they throw instead.
 */
import { constants } from 'node:os';
import { ownPid } from '../host/own-pid.js';

/** Thrown where the program would have ended the process. */
export class ProcessEnd extends Error {
  override readonly name = 'ProcessEnd';
}

/** Signals that end or stop a process which does not expect them. */
const LETHAL = new Set<string | number>();
for (const name of [
  'SIGKILL',
  'SIGABRT',
  'SIGSEGV',
  'SIGBUS',
  'SIGILL',
  'SIGFPE',
  'SIGQUIT',
  'SIGTRAP',
  'SIGSYS',
  'SIGSTOP',
] as const)
  LETHAL.add(name).add(constants.signals[name]);

type Exit = (code?: number | string | null) => never;
interface Ends {
  exit: Exit;
  reallyExit: Exit;
  abort: () => never;
  kill: (pid: number, signal?: string | number) => true;
}

/**
 * From now on these calls throw {@link ProcessEnd}. An end without an error (exit code 0) is not
 * one: the program wants it on every replica.
 * @param onEnd the program tries to end the process, in this way
 * @returns a function that takes it back
 */
export function forbidProcessEnd(onEnd: (how: string) => void): () => void {
  const target = process as unknown as Ends;
  const { exit, reallyExit, abort, kill } = target;
  const fail = (how: string): never => {
    onEnd(how);
    throw new ProcessEnd(how);
  };
  const exits =
    (original: Exit): Exit =>
    (code) => {
      const given = code ?? process.exitCode ?? 0;
      if (Number(given) === 0) return original.call(process, code);
      // A function that was kept from before has begun to end the process.
      Object.assign(process, { _exiting: false });
      return fail(`process.exit(${given})`);
    };
  const replaced: Ends = {
    exit: exits(exit),
    reallyExit: exits(reallyExit),
    abort: () => fail('process.abort()'),
    kill: (pid, signal = 'SIGTERM') => {
      if (isSelf(pid) && LETHAL.has(signal)) return fail(`process.kill(process.pid, ${signal})`);
      return kill.call(process, pid, signal);
    },
  };
  Object.assign(target, replaced);
  return () => {
    for (const name of ['exit', 'reallyExit', 'abort', 'kill'] as const)
      if (target[name] === replaced[name]) Object.assign(target, { [name]: { exit, reallyExit, abort, kill }[name] });
  };
}

/** A backup's program sees the primary's number. */
function isSelf(pid: number): boolean {
  const target = Number(pid);
  return target === process.pid || target === ownPid || target === 0;
}
