/**
 * The lab: new network, mount and process namespaces (and a user namespace without root), in which
 * a Node.js program runs as process 1. When it ends, even by SIGKILL, the kernel ends all its
 * processes and removes its interfaces and its tmpfs: nothing is left behind.
 */
import { spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmdirSync } from 'node:fs';
import { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FtError } from '../../lib/errors.js';

const DIRECTORY = 'FT_TCP_LAB';

/** The lab's directory; undefined outside of a lab. */
export function labDirectory(): string | undefined {
  return process.env[DIRECTORY];
}

function flags(withProc: boolean): string[] {
  const user = process.getuid?.() === 0 ? [] : ['--user', '--map-root-user'];
  const proc = withProc ? ['--mount-proc'] : [];
  return [...user, '--mount', '--net', '--pid', '--fork', '--kill-child', ...proc];
}

/** The options of `unshare` that work on this machine. Throws FtError EPERM when none do. */
export function unshareFlags(): string[] {
  // Where parts of /proc are masked, a new one cannot be mounted; the old one is good enough.
  for (const withProc of [true, false]) {
    const tried = spawnSync('unshare', [...flags(withProc), 'true'], { stdio: 'ignore', timeout: 10_000 });
    if (tried.status === 0) return flags(withProc);
  }
  throw new FtError(
    'EPERM',
    'This user cannot make network namespaces',
    'Run as root, or allow user namespaces: sysctl kernel.unprivileged_userns_clone=1 (see ft-tcp doctor)',
  );
}

/** Runs a Node program in a lab. It has to call {@link enterLab}. @returns its exit code. */
export function runInLab(script: string, args: string[]): Promise<number> {
  const unshare = unshareFlags();
  const directory = mkdtempSync(join(tmpdir(), 'ft-tcp-lab-'));
  // A test runner adds its loaders to what it starts: replicas would start slowly, and with another
  // environment than their users'.
  const node = ['env', '-u', 'NODE_OPTIONS', process.execPath];
  const child = spawn('unshare', [...unshare, ...node, script, ...args], {
    env: { ...process.env, [DIRECTORY]: directory },
    // The lab's process ends when its standard input ends: also when this process is killed.
    stdio: ['pipe', 'inherit', 'inherit'],
  });
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  const end = (): void => {
    child.stdin.destroy();
    setTimeout(() => child.kill('SIGKILL'), 2000).unref();
  };
  for (const signal of signals) process.on(signal, end);
  return new Promise((done, fail) => {
    child.once('error', fail);
    child.once('exit', (code, signal) => {
      for (const name of signals) process.off(name, end);
      try {
        rmdirSync(directory);
      } catch {
        // It is gone already.
      }
      done(code ?? (signal === null ? 1 : 130));
    });
  });
}

/**
 * The first call inside of a lab: mounts the lab's directory, and ends this process when the
 * process outside ends. Throws FtError ERR_FT_STATE outside of a lab, EPERM without a tmpfs.
 */
export function enterLab(): string {
  const directory = labDirectory();
  if (directory === undefined) throw new FtError('ERR_FT_STATE', 'This process is not inside of a lab');
  process.stdin.resume();
  process.stdin.on('end', () => process.exit(130));
  process.stdin.on('error', () => process.exit(130));
  process.stdin.on('close', () => process.exit(130));
  // Watching the input must not keep this process alive.
  if (process.stdin instanceof Socket) process.stdin.unref();
  const mount = spawnSync('mount', ['-t', 'tmpfs', '-o', 'mode=0700', 'tmpfs', directory], { encoding: 'utf8' });
  if (mount.status !== 0)
    throw new FtError('EPERM', `No tmpfs in the lab: ${mount.stderr.trim()}`, 'See ft-tcp doctor');
  return directory;
}
