/**
 * Servers of the demo's gateway: programs of Debian over the kernel's TCP. They know nothing of
 * the gateway.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from 'node:fs';
import net from 'node:net';
import { join } from 'node:path';
import { FtError } from '../../lib/errors.js';
import { CLIENT_ADDRESS } from '../lab/network.js';
import { CHUNK, chunk } from './content.js';
import type { DemoOptions } from './options.js';

/** Where the server listens, beside the client. */
export const BACKEND_PORT = 8080;
const START_MS = 10_000;
const POLL_MS = 20;

/** A running server. */
export interface Backend {
  close(): Promise<void>;
}

/** Starts the server of the scenario. Rejects with FtError ERR_FT_STATE when it does not listen. */
export async function startBackend(options: DemoOptions, directory: string): Promise<Backend> {
  const [command, ...args] = options.backend === 'redis' ? redis(directory) : nginx(directory, options.bytes);
  const child = spawn(command ?? '', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let stderr = '';
  child.stderr.on('data', (part: Buffer) => {
    if (stderr.length < 4096) stderr += part.toString();
  });
  child.on('error', (error) => {
    stderr += error.message;
  });
  for (const end = Date.now() + START_MS; !(await listens()); ) {
    if (Date.now() > end || child.exitCode !== null)
      throw new FtError('ERR_FT_STATE', `${options.backend} does not listen: ${stderr.trim()}`, 'See ft-tcp doctor');
    await new Promise((done) => setTimeout(done, POLL_MS));
  }
  return { close: () => end(child) };
}

function end(child: ChildProcess): Promise<void> {
  return new Promise((done) => {
    if (child.exitCode !== null || child.signalCode !== null) done();
    else {
      child.once('exit', () => done());
      child.kill('SIGKILL');
    }
  });
}

function listens(): Promise<boolean> {
  return new Promise((done) => {
    const socket = net.connect(BACKEND_PORT, CLIENT_ADDRESS);
    socket.once('connect', () => done(true));
    socket.once('error', () => done(false));
    socket.once('connect', () => socket.destroy());
  });
}

/** One process with one file, `bytes/N`. */
function nginx(directory: string, bytes: number): string[] {
  const root = join(directory, 'nginx');
  mkdirSync(join(root, 'bytes'), { recursive: true });
  const file = openSync(join(root, 'bytes', String(bytes)), 'w');
  for (let n = 0, left = bytes; left > 0; n++) {
    const length = Math.min(left, CHUNK);
    writeSync(file, chunk(n, length));
    left -= length;
  }
  closeSync(file);
  const config = `daemon off; master_process off; pid ${root}/pid; error_log stderr;
events { worker_connections 1024; }
http {
  access_log off; sendfile on;
  client_body_temp_path ${root}/body; proxy_temp_path ${root}/proxy; fastcgi_temp_path ${root}/fastcgi;
  uwsgi_temp_path ${root}/uwsgi; scgi_temp_path ${root}/scgi;
  server { listen ${CLIENT_ADDRESS}:${BACKEND_PORT}; root ${root}; }
}
`;
  writeFileSync(join(root, 'nginx.conf'), config);
  return ['nginx', '-p', root, '-c', join(root, 'nginx.conf'), '-e', 'stderr'];
}

/** In memory only. */
function redis(directory: string): string[] {
  const where = ['--bind', CLIENT_ADDRESS, '--port', String(BACKEND_PORT), '--dir', directory];
  return ['redis-server', ...where, '--save', '', '--appendonly', 'no', '--protected-mode', 'no'];
}
