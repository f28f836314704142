/**
 * How a replica's process was started, and how another one is started beside it: the options of the
 * group, another program. The new process has the environment of the group's primary. It outlives
 * the command that started it as soon as that says so; until then it ends with it.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, statSync } from 'node:fs';
import type { Writable } from 'node:stream';
import { FtError } from '../../../lib/errors.js';

/** The descriptor by which a replica knows whether the command that started it lives. */
export const COMMAND_FD = 3;
/** Of what a process that failed has written, this much is told, bytes. */
const TOLD_BYTES = 2048;
/** Time for a process to end by itself, milliseconds. */
const END_MS = 3000;

/** The command line of a replica in state mode, as it was given. */
export interface Launch {
  /** Options of Node itself. */
  readonly execArgv: readonly string[];
  /** Options of `ft-tcp run`. */
  readonly options: readonly string[];
  /** Path of the main file. */
  readonly program: string;
  readonly args: readonly string[];
  /** The working directory. */
  readonly cwd: string;
}

/** How a program is called in reports. */
export function nameOf({ program, args }: Launch): string {
  return [program, ...args].join(' ');
}

/** Whether two launches run the same program with the same arguments. */
export function isSameProgram(a: Launch, b: Launch): boolean {
  return nameOf(a) === nameOf(b) && a.cwd === b.cwd;
}

/** Options of the group that a further replica does not have, or has anyway. */
const OWN_OPTIONS = new Set(['--warm', '--hold', '--create']);

/** Descriptors that the old process was given. */
const EVENTS_FD = /^--events(?:=\d+)?$/;

function optionsFor({ options }: Launch, hold: boolean): string[] {
  const kept = options.filter((word, at) => {
    const isFd = (option = '', value = ''): boolean =>
      EVENTS_FD.test(option) && (option !== '--events' || /^\d+$/.test(value));
    const isItsValue = options[at - 1] === '--events' && isFd('--events', word);
    return !OWN_OPTIONS.has(word) && !isFd(word, options[at + 1]) && !isItsValue;
  });
  return [...kept, '--warm', ...(hold ? ['--hold'] : [])];
}

/** The environment that a process was started with. Throws FtError EACCES, ESRCH. */
export function environmentOf(pid: number): NodeJS.ProcessEnv {
  const env: NodeJS.ProcessEnv = {};
  for (const entry of readFileSync(`/proc/${pid}/environ`, 'utf8').split('\0')) {
    const at = entry.indexOf('=');
    if (at > 0) env[entry.slice(0, at)] = entry.slice(at + 1);
  }
  return env;
}

/** Where and how replicas are started. */
export interface LaunchOptions {
  /** Main file of the ft-tcp that they run. */
  readonly cli: string;
  readonly env: NodeJS.ProcessEnv;
  /** Their output goes here. */
  readonly log: string;
  readonly hold: boolean;
}

/** A replica that this process has started. */
export class LaunchedReplica {
  readonly pid: number;
  readonly ended: Promise<void>;
  /** How it has ended; null while it runs. */
  end: string | null = null;
  readonly #child: ChildProcess;
  readonly #log: string;
  readonly #logFrom: number;

  /** Starts it. Throws what opening the log throws. */
  constructor(
    readonly launch: Launch,
    { cli, env, log, hold }: LaunchOptions,
  ) {
    const out = openSync(log, 'a', 0o600);
    this.#log = log;
    this.#logFrom = statSync(log).size;
    const words = [...launch.execArgv, cli, 'run', ...optionsFor(launch, hold), launch.program, ...launch.args];
    this.#child = spawn(process.execPath, words, {
      cwd: launch.cwd,
      env,
      detached: true,
      stdio: ['ignore', out, out, hold ? 'pipe' : 'ignore'],
    });
    closeSync(out);
    this.pid = this.#child.pid ?? 0;
    this.ended = new Promise((done) => {
      const over = (how: string): void => {
        this.end ??= how;
        done();
      };
      this.#child.once('error', (error) => over(error.message));
      this.#child.once('exit', (code, signal) => over(signal === null ? `exit code ${code}` : signal));
    });
    (this.#child.stdio[COMMAND_FD] as Writable | null)?.on('error', () => undefined);
  }

  /** The last lines that it has written, without its events. */
  get lastWords(): string {
    const text = readFileSync(this.#log).subarray(this.#logFrom).toString();
    const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('{"event"'));
    return lines.join('\n').slice(-TOLD_BYTES);
  }

  /** This process may end: the replica goes on. */
  release(): void {
    this.#child.unref();
    (this.#child.stdio[COMMAND_FD] as (Writable & { unref?(): void }) | null)?.unref?.();
  }

  /**
   * Ends it, if it has not become the primary.
   * @param serves whether it is the primary by now
   */
  async stop(serves: () => Promise<boolean>): Promise<void> {
    this.#child.stdio[COMMAND_FD]?.destroy();
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<void>((done) => {
      timer = setTimeout(done, END_MS);
    });
    await Promise.race([this.ended, late]);
    clearTimeout(timer);
    if (this.end === null && (await serves())) {
      this.release();
      return;
    }
    // One that hangs does not hear that this process lets go of it.
    if (this.end === null) this.#child.kill('SIGKILL');
    await this.ended;
  }
}

/** What a replica answers that was not started by a command line that can be repeated. */
export function notDeployable(what: string): FtError {
  return new FtError(
    'ERR_FT_DEPLOY_MODE',
    what,
    'Deploys need a group in state mode on one machine: ft-tcp run --mode state',
  );
}
