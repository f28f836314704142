/**
 * Properties of the process that differ between replicas; a backup shows the primary's to its
 * program.
 */
import os from 'node:os';
import { Patcher } from '../core/patcher.js';

/** The primary process as its program sees it; plain JSON. */
export interface ProcessSnapshot {
  pid: number;
  ppid: number;
  title: string;
  hostname: string;
  env: Record<string, string>;
}

/** Takes the snapshot of this process. */
export function snapshotProcess(): ProcessSnapshot {
  const env: Record<string, string> = {};
  for (const [key, value] of Object.entries(process.env)) if (value !== undefined) env[key] = value;
  return { pid: process.pid, ppid: process.ppid, title: process.title, hostname: os.hostname(), env };
}

/** Shows the snapshot to the program of this process. @returns a function that takes it back */
export function applySnapshot(snapshot: ProcessSnapshot): () => void {
  const patcher = new Patcher();
  const env = { ...process.env };
  const setEnv = (wanted: Record<string, string | undefined>): void => {
    for (const key of Object.keys(process.env)) if (!(key in wanted)) delete process.env[key];
    for (const [key, value] of Object.entries(wanted)) if (process.env[key] !== value) process.env[key] = value;
  };
  setEnv(snapshot.env);
  for (const key of ['pid', 'ppid', 'title'] as const) patcher.value(process, key, snapshot[key]);
  patcher.method(os, 'hostname', () => () => snapshot.hostname);
  patcher.publish();
  return () => {
    patcher.restore();
    setEnv(env);
  };
}
