/**
 * The health check of a program, also of one that stands by and has no network: the replica opens
 * a Unix socket for each of its servers, whose connections the program gets like any other.
 */
import { spawn } from 'node:child_process';
import http from 'node:http';
import https from 'node:https';
import { join } from 'node:path';
import { FtError } from '../../../lib/errors.js';
import type { Replicas } from './questions.js';

/** A check that fails is repeated at this interval, milliseconds. */
const AGAIN_MS = 200;
/** A check has this long at least. */
const MIN_MS = 100;
/** Of a check's output, this much is told. */
const TOLD_BYTES = 1024;
const DEFAULT_PORTS: Record<string, number> = { 'http:': 80, 'https:': 443 };

/** What is asked: a URL of the program, or a command of the user. */
export type Check = { readonly url: URL } | { readonly command: string };

/** Reads the value of `--check`. @returns undefined: it is neither */
export function parseCheck(text: string): Check | undefined {
  if (!/^https?:\/\//.test(text)) return text.trim() === '' ? undefined : { command: text };
  try {
    return { url: new URL(text) };
  } catch {
    return undefined;
  }
}

/** Checks one replica's program. */
export class HealthCheck {
  readonly #replicas: Replicas;
  readonly #check: Check;
  readonly #pid: number;

  constructor(replicas: Replicas, check: Check, pid: number) {
    this.#replicas = replicas;
    this.#check = check;
    this.#pid = pid;
  }

  /** Checks until it succeeds. Throws FtError ERR_FT_DEPLOY_CHECK when it has not in time. */
  async pass(untilMs: number): Promise<void> {
    for (;;) {
      const fault = await this.fault(Math.max(MIN_MS, untilMs - performance.now()));
      if (fault === null) return;
      if (performance.now() + AGAIN_MS + MIN_MS >= untilMs)
        throw new FtError(
          'ERR_FT_DEPLOY_CHECK',
          `The check of process ${this.#pid} failed: ${fault}`,
          'The old version serves on; see the log of the new one',
        );
      await new Promise((done) => setTimeout(done, AGAIN_MS));
    }
  }

  /** Checks once. @returns why it failed; null: it did not */
  async fault(limitMs: number): Promise<string | null> {
    const timeoutMs = Math.ceil(limitMs);
    try {
      return 'url' in this.#check
        ? await this.#askUrl(this.#check.url, timeoutMs)
        : await this.#run(this.#check.command, timeoutMs);
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** @returns name of a Unix socket to the server at a port. Throws FtError ERR_FT_STATE. */
  async #socketTo(port: number): Promise<string> {
    return ((await this.#replicas.ask(this.#pid, `check ${port}`)) as { name: string }).name;
  }

  async #askUrl(url: URL, timeoutMs: number): Promise<string | null> {
    const name = await this.#socketTo(Number(url.port) || DEFAULT_PORTS[url.protocol]);
    const socketPath = this.#replicas.group.file(name);
    const { request } = url.protocol === 'https:' ? https : http;
    return new Promise((done) => {
      const options = {
        socketPath,
        path: `${url.pathname}${url.search}`,
        headers: { host: url.host },
        agent: false as const,
        timeout: timeoutMs,
        // It names the group's host, and comes by a Unix socket of the same user.
        rejectUnauthorized: false,
      };
      const asked = request(options, (response) => {
        response.resume();
        const { statusCode = 0 } = response;
        done(statusCode >= 200 && statusCode < 400 ? null : `${url} answered with status ${statusCode}`);
      });
      asked.on('timeout', () => asked.destroy(new Error(`${url} did not answer within ${timeoutMs} ms`)));
      asked.on('error', (error) => done(error.message));
      asked.end();
    });
  }

  async #run(command: string, timeoutMs: number): Promise<string | null> {
    const { listening } = await this.#replicas.state(this.#pid);
    const env: NodeJS.ProcessEnv = { ...process.env, FT_TCP_CHECK_PID: String(this.#pid) };
    for (const port of new Set(listening.map((one) => one.port)))
      env[`FT_TCP_CHECK_SOCKET_${port}`] = join(this.#replicas.group.path, await this.#socketTo(port));
    return new Promise((done) => {
      const child = spawn(command, { shell: true, env, stdio: ['ignore', 'pipe', 'pipe'], timeout: timeoutMs });
      let said = '';
      const hear = (part: Buffer): void => {
        said = (said + part.toString()).slice(-TOLD_BYTES);
      };
      child.stdout.on('data', hear);
      child.stderr.on('data', hear);
      child.on('error', (error) => done(error.message));
      child.on('close', (code, signal) =>
        done(code === 0 ? null : `"${command}" ended with ${signal ?? `exit code ${code}`}: ${said.trim()}`),
      );
    });
  }
}
