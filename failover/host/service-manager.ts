/**
 * What a service manager is told (sd_notify(3)): datagrams to the socket that the environment
 * names. The variables are taken out, so that the program and its children do not use them.
 */
import type { NativeAddon } from '../../lib/native/native.js';

/** Two signs of life within the time that the manager waits. */
const SIGNS = 2;

/** The variables that a service manager sets for one process. */
export const MANAGER_VARIABLES = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'];

/** The service manager of this process, or none. */
export class ServiceManager {
  readonly #socket: string | undefined;
  /** How often a sign of life is due, milliseconds; null: the manager does not ask for it. */
  readonly watchdogMs: number | null;

  /** @param env its variables are removed */
  constructor(
    readonly native: Pick<NativeAddon, 'notify'>,
    env: NodeJS.ProcessEnv,
    pid: number,
  ) {
    this.#socket = env['NOTIFY_SOCKET'];
    const us = Number(env['WATCHDOG_USEC'] ?? 0);
    const isMeant = env['WATCHDOG_PID'] === undefined || env['WATCHDOG_PID'] === String(pid);
    this.watchdogMs = us > 0 && isMeant ? Math.max(1, Math.floor(us / 1000 / SIGNS)) : null;
    for (const name of MANAGER_VARIABLES) delete env[name];
  }

  /** Whether anybody listens. */
  get isThere(): boolean {
    return this.#socket !== undefined;
  }

  /** It serves. @param status one line for people */
  ready(status: string): void {
    this.#tell(`READY=1\nSTATUS=${oneLine(status)}`);
  }

  /** One line for people. */
  status(status: string): void {
    this.#tell(`STATUS=${oneLine(status)}`);
  }

  /** A sign of life. */
  alive(): void {
    this.#tell('WATCHDOG=1');
  }

  /** It ends. */
  stopping(): void {
    this.#tell('STOPPING=1');
  }

  #tell(text: string): void {
    if (this.#socket === undefined) return;
    try {
      this.native.notify(this.#socket, text);
    } catch {
      // The manager is being restarted, or its socket is full: the next message may reach it.
    }
  }
}

function oneLine(text: string): string {
  return text.replaceAll('\n', ' ');
}
