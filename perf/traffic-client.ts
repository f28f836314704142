/**
 * The C program of the benchmarks (peers/peer.c): built on first use, run as a client or as the
 * kernel's server.
 */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { FtError } from '../lib/errors.js';

export const PORTS = { source: 9101, sink: 9102, echo: 9103, listener: 9105 } as const;

/** Compiles it. Throws FtError ERR_FT_TOOLS without a compiler. */
export function buildClient(directory: string, name = 'peer'): string {
  const path = `${directory}/${name}`;
  if (existsSync(path)) return path;
  const source = fileURLToPath(new URL(`../../perf/peers/${name}.c`, import.meta.url));
  const built = spawnSync('cc', ['-O2', '-o', path, source], { encoding: 'utf8' });
  if (built.status !== 0)
    throw new FtError(
      'ERR_FT_TOOLS',
      `The benchmarks' ${name} cannot be compiled: ${built.stderr ?? built.error}`,
      'apt-get install build-essential',
    );
  return path;
}

/** Runs it as a client. @returns the numbers that it prints. */
export async function runClient(path: string, ...words: (string | number)[]): Promise<number[]> {
  const child = spawn(path, words.map(String), { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`peer ${words.join(' ')} ended with ${code}`);
  return text.trim().split(/\s+/).map(Number);
}

/** The kernel's server, in another process's network namespace. */
export async function kernelServer(path: string, netnsOf: number): Promise<ChildProcess> {
  const ports = [PORTS.source, PORTS.sink, PORTS.echo].map(String);
  const child = spawn('nsenter', ['-t', String(netnsOf), '-n', path, 'serve', ...ports], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  return child;
}

/**
 * Connections that one process holds: where the limit of descriptors is hard, it is often 20,000.
 */
const MAX_CONNECTIONS_PER_PROCESS = 15_000;

interface ClientProcess {
  child: ChildProcess;
  lines: AsyncIterator<string>;
}

/** Many connections that are held open, and can be asked to say a byte each. */
export class IdleConnections {
  readonly #processes: ClientProcess[];

  private constructor(holders: ClientProcess[]) {
    this.#processes = holders;
  }

  static async open(
    path: string,
    host: string,
    port: number,
    count: number,
    sources: number,
  ): Promise<IdleConnections> {
    const holders: ClientProcess[] = [];
    for (let left = count; left > 0; left -= MAX_CONNECTIONS_PER_PROCESS) {
      const words = ['idle', host, String(port), String(Math.min(left, MAX_CONNECTIONS_PER_PROCESS)), String(sources)];
      const child = spawn(path, words, { stdio: ['pipe', 'pipe', 'inherit'] });
      const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
      holders.push({ child, lines });
      if ((await lines.next()).value !== 'ready') throw new Error(`${count} connections could not be opened`);
    }
    return new IdleConnections(holders);
  }

  /** One byte on each. @returns microseconds until all were back, -1 when some never came. */
  async ping(): Promise<number> {
    const all = await Promise.all(
      this.#processes.map(({ child, lines }) => {
        child.stdin!.write('go\n');
        return lines.next();
      }),
    );
    const times = all.map(({ value }) => Number(value ?? -1));
    return times.includes(-1) ? -1 : Math.max(...times);
  }

  close(): void {
    for (const { child } of this.#processes) child.kill('SIGKILL');
  }
}

/** A server that is another stack. */
export interface ForeignPeer {
  path: string;
}

/** lwIP, or null where Debian's package is not installed. */
export function buildLwip(directory: string): ForeignPeer | null {
  const path = `${directory}/lwip`;
  const source = fileURLToPath(new URL('../../perf/peers/lwip.c', import.meta.url));
  const words = ['-O2', '-w', '-o', path, source, '-I/usr/include/lwip', '-llwip'];
  return build({ name: 'lwIP', packages: 'liblwip-dev', command: 'cc', words, path });
}

/** gVisor's netstack, or null where Debian's packages are not installed. */
export function buildGvisor(directory: string): ForeignPeer | null {
  const path = `${directory}/gvisor`;
  // Building it anew takes half a minute.
  const cache = fileURLToPath(new URL('../../node_modules/.cache/ft-tcp-go', import.meta.url));
  const source = fileURLToPath(new URL('../../perf/peers/gvisor/main.go', import.meta.url));
  const env = { GO111MODULE: 'off', GOPATH: '/usr/share/gocode', GOCACHE: cache };
  const packages = 'golang-go golang-gvisor-gvisor-dev';
  return build({ name: 'gVisor', packages, command: 'go', words: ['build', '-o', path, source], path, env });
}

/** How a server of another stack is built. */
interface ForeignBuild {
  name: string;
  /** Debian's packages. */
  packages: string;
  command: string;
  words: string[];
  /** The program that is built. */
  path: string;
  env?: Record<string, string>;
}

function build({ name, packages, command, words, path, env = {} }: ForeignBuild): ForeignPeer | null {
  const { status } = spawnSync(command, words, { encoding: 'utf8', env: { ...process.env, ...env } });
  if (status === 0) return { path };
  process.stderr.write(`${name} is left out: it cannot be built (Debian: apt-get install -y ${packages})\n`);
  return null;
}
