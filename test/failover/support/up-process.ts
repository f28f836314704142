/** `ft-tcp up` as a process, with the events of it and of its replicas. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { sleep } from './lab.js';

const CLI = fileURLToPath(new URL('../../../../bin/ft-tcp.js', import.meta.url));

/** A line of standard error that is an event. */
export type Heard = Readonly<Record<string, unknown>> & { readonly event: string; readonly pid: number };

/** One supervisor. */
export class UpProcess {
  readonly child: ChildProcess;
  readonly startedAt = performance.now();
  readonly heard: Heard[] = [];
  readonly lines: string[] = [];
  readonly exited: Promise<number | null>;
  hasExited = false;

  constructor(args: string[], env: NodeJS.ProcessEnv = process.env) {
    const child = spawn(process.execPath, [CLI, 'up', ...args], { stdio: ['ignore', 'pipe', 'pipe'], env });
    this.child = child;
    createInterface({ input: child.stdout }).on('line', (line) => this.lines.push(line));
    createInterface({ input: child.stderr }).on('line', (line) => {
      if (line.startsWith('{')) this.heard.push(JSON.parse(line) as Heard);
      else this.lines.push(line);
    });
    this.exited = new Promise((done) => {
      child.once('close', (code) => {
        this.hasExited = true;
        done(code);
      });
    });
  }

  /** The nth event of this name, counted from 1. */
  async event(name: string, nth = 1, timeoutMs = 20_000): Promise<Heard> {
    for (const end = Date.now() + timeoutMs; Date.now() < end; await sleep(5)) {
      const found = this.heard.filter(({ event }) => event === name)[nth - 1];
      if (found !== undefined) return found;
      if (this.hasExited) break;
    }
    throw new Error(`no ${name} (${nth}): ${JSON.stringify(this.heard)} ${this.lines.join('\n')}`);
  }

  async close(): Promise<void> {
    this.child.kill('SIGKILL');
    await this.exited;
  }
}
