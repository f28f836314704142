/** The stack's process as the runner sees it: commands with answers, and an end. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command, Outcome, StackState } from './server.js';

interface Call {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

export class StackProcess {
  readonly #child: ChildProcess;
  readonly #calls = new Map<number, Call>();
  #id = 0;
  #dead: Error | null = null;
  #text = '';

  constructor() {
    this.#child = fork(fileURLToPath(new URL('./server.js', import.meta.url)), [], {
      stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    });
    this.#child.stderr?.on('data', (part) => {
      this.#text = (this.#text + part).slice(-4000);
    });
    this.#child.on('message', (message: { id: number; value?: unknown; error?: string }) => {
      const call = this.#calls.get(message.id);
      this.#calls.delete(message.id);
      if (message.error === undefined) call?.resolve(message.value);
      else call?.reject(new Error(`stack: ${message.error}`));
    });
    this.#child.on('close', (code, signal) => {
      this.#dead = new Error(`the stack's process ended (${signal ?? code})${this.#text ? `: ${this.#text}` : ''}`);
      for (const call of this.#calls.values()) call.reject(this.#dead);
      this.#calls.clear();
    });
  }

  get alive(): boolean {
    return this.#dead === null;
  }

  #call(command: Command): Promise<unknown> {
    if (this.#dead !== null) return Promise.reject(this.#dead);
    return new Promise((resolve, reject) => {
      const id = ++this.#id;
      this.#calls.set(id, { resolve, reject });
      this.#child.send({ id, command });
    });
  }

  async run(command: Extract<Command, { op: 'start' | 'relay' }>): Promise<void> {
    await this.#call(command);
  }

  async transfer(command: Extract<Command, { op: 'served' | 'open' }>): Promise<Outcome> {
    return (await this.#call(command)) as Outcome;
  }

  async state(op: 'state' | 'stop'): Promise<StackState> {
    return (await this.#call({ op })) as StackState;
  }

  /**
   * The state once there are no connections left, or as it is after this number of milliseconds.
   */
  async settled(ms: number): Promise<StackState> {
    for (let waited = 0; ; waited += 10) {
      const state = await this.state('state');
      if (state.connections === 0 || waited >= ms) return state;
      await new Promise((done) => setTimeout(done, 10));
    }
  }

  kill(): Promise<void> {
    if (this.#dead !== null) return Promise.resolve();
    return new Promise((done) => {
      this.#child.once('close', () => done());
      this.#child.kill('SIGKILL');
    });
  }
}
