/** `ft-tcp deploy` and its kin inside of a lab, and the processes that they leave behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { DeployReport } from '../../../failover/operate/deploy/report.js';
import type { TestGroup } from './lab.js';

const CLI = fileURLToPath(new URL('../../../../bin/ft-tcp.js', import.meta.url));

/** What a command ended with. */
export interface Told {
  code: number | null;
  report: DeployReport & { code?: string; message?: string };
  stderr: string;
}

/** Runs `ft-tcp WORD`; the process, and what it will have ended with. */
export function begin(group: TestGroup, word: string, ...args: string[]): { child: ChildProcess; told: Promise<Told> } {
  const words = [CLI, word, '--group', group.name, '--dir', group.directory, '--json', ...args];
  const child = spawn(process.execPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const texts = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].on('data', (part: Buffer) => {
      texts[name] += part.toString();
    });
  const told = new Promise<Told>((done) => {
    child.on('close', (code) => {
      const report = texts.stdout === '' ? {} : (JSON.parse(texts.stdout) as object);
      done({ code, report: report as Told['report'], stderr: texts.stderr });
    });
  });
  return { child, told };
}

/** Runs `ft-tcp WORD` to its end. */
export function command(group: TestGroup, word: string, ...args: string[]): Promise<Told> {
  return begin(group, word, ...args).told;
}

/** Processes that have sockets in the group's directory. */
export function replicaPids({ directory, name }: TestGroup): number[] {
  const found = readdirSync(`${directory}/${name}`).map((file) => Number(/^(\d+)\.sock$/.exec(file)?.[1]));
  return found.filter((pid) => pid > 0 && isAlive(pid));
}

/** Kills a process. */
export function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // It has ended.
  }
}

/** Nobody waits for processes whose deploy has ended: they stay as zombies. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch {
    return false;
  }
}

/** Ends everything of a group. */
export async function closeAll(group: TestGroup): Promise<void> {
  for (const pid of replicaPids(group)) kill(pid);
  await group.close();
  while (replicaPids(group).length > 0) await new Promise((done) => setTimeout(done, 5));
  rmSync(`${group.directory}/${group.name}`, { recursive: true, force: true });
}
