/**
 * A client in another network namespace: one TCP connection, over which it asks again and again.
 * Started as a program it reads `ask` from standard input, and prints each answer.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import net from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const SELF = fileURLToPath(import.meta.url);

/** One connection of a client. */
export class FarClient {
  readonly #child: ChildProcess;
  readonly #lines: string[] = [];
  #wake = (): void => undefined;

  /** @param netnsOf a process in the client's namespace; null: this one */
  constructor(netnsOf: number | null, host: string, port: number) {
    const run = [process.execPath, SELF, host, String(port)];
    const words = netnsOf === null ? run : ['nsenter', '-t', String(netnsOf), '-n', ...run];
    this.#child = spawn(words[0] ?? '', words.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.#child.stdout === null) throw new Error('no output');
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      this.#lines.push(line);
      this.#wake();
    });
  }

  /** Asks once more. @returns the answer's body, or `error CODE` */
  async ask(timeoutMs = 15_000): Promise<string> {
    this.#child.stdin?.write('ask\n');
    if (this.#lines.length === 0)
      await new Promise<void>((done) => {
        const timer = setTimeout(done, timeoutMs);
        this.#wake = (): void => {
          clearTimeout(timer);
          done();
        };
      });
    return this.#lines.shift() ?? 'no answer in time';
  }

  close(): void {
    this.#child.kill('SIGKILL');
  }
}

function serve(host: string, port: number): void {
  const socket = net.connect({ host, port, timeout: 12_000 });
  // Between two questions any time may pass.
  socket.on('connect', () => socket.setTimeout(0));
  socket.on('error', (error: NodeJS.ErrnoException) => process.stdout.write(`error ${error.code}\n`));
  socket.on('timeout', () => process.stdout.write('error timeout\n'));
  let text = '';
  socket.on('data', (part) => {
    text += part;
    const match = /^HTTP\/1\.1 200[\s\S]*?\r\n\r\n(.*)\n/.exec(text);
    if (match === null) return;
    text = text.slice(match[0].length);
    process.stdout.write(`${match[1]}\n`);
  });
  createInterface({ input: process.stdin }).on('line', () => socket.write('GET / HTTP/1.1\r\nhost: x\r\n\r\n'));
}

if (process.argv[1] === SELF) serve(process.argv[2] ?? '', Number(process.argv[3]));
