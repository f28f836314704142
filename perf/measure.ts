/** The figures of one setup. */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Mode, OTHERS, type ServerSetup } from './server-setups.js';
import { PORTS, runClient } from './traffic-client.js';

export interface Plan {
  quick: boolean;
  rounds: number;
  seconds: number;
  requests: number;
  /** Connections that are held for memory and takeover. */
  connectionCounts: number[];
  only: string;
}

export function output(command: string, args: string[]): Promise<string> {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  let text = '';
  child.stdout.on('data', (part) => {
    text += part;
  });
  return new Promise((done) => child.once('close', () => done(text)));
}

/** Seconds of CPU that a process has used. */
export function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** Resident memory in bytes. */
export function resident(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * 1024;
}

export type Figures = Record<string, number>;

/** Measures all wanted figures of one setup. */
export async function measure(mode: Mode, served: ServerSetup, client: string, plan: Plan): Promise<Figures> {
  const { address, pid } = served;
  const { seconds, requests } = plan;
  const figures: Figures = {};
  const wanted = (name: string): boolean => name.includes(plan.only);
  for (const [way, port] of [
    ['out', PORTS.source],
    ['in', PORTS.sink],
  ] as const) {
    for (const streams of mode === 'kernel' || mode === 'alone' ? [1, 10, 100] : [1]) {
      const name = `bulk ${way}, ${streams}`;
      if (!wanted(name)) continue;
      const before = cpuSeconds(pid);
      // The client reads what the server sends out.
      const [rate] = await runClient(client, way === 'out' ? 'in' : 'out', address, port, streams, seconds);
      figures[name] = rate;
      if (streams === 1) figures[`cpu ${way}`] = (cpuSeconds(pid) - before) / ((rate * seconds * 1.2) / 1e9);
    }
  }
  if (wanted('bulk in, listened to') && ['alone', 'node', 'relay'].includes(mode))
    [figures['bulk in, listened to']] = (await runClient(client, 'out', address, PORTS.listener, 1, seconds)) as [
      number,
    ];
  if (wanted('echo')) {
    // Not the first second of interpreted code.
    await runClient(client, 'ping', address, PORTS.echo, 64, Math.max(1, seconds / 2));
    const [p50, p99, p999] = await runClient(client, 'ping', address, PORTS.echo, 64, seconds);
    Object.assign(figures, { 'echo p50': p50, 'echo p99': p99, 'echo p99.9': p999 });
  }
  // A client's ports are held for a minute; where nothing is compared they are not spent.
  if (wanted('churn') && ['kernel', 'alone', 'node'].includes(mode)) {
    await runClient(client, 'churn', address, PORTS.echo, 50, seconds / 2);
    [figures['churn']] = (await runClient(client, 'churn', address, PORTS.echo, 50, seconds)) as [number];
  }
  if ((OTHERS as readonly Mode[]).includes(mode)) return figures;
  if (wanted('ping')) {
    const [p50, p99, p999] = await runClient(client, 'ping', address, PORTS.echo, 1, seconds);
    Object.assign(figures, { 'ping p50': p50, 'ping p99': p99, 'ping p99.9': p999 });
  }
  for (const [name, keep] of [
    ['pages', []],
    ['pages, keep-alive', ['-k']],
  ] as const) {
    if (!wanted(name)) continue;
    const words = ['-q', '-n', String(requests * (keep.length + 1)), '-c', '100', ...keep];
    // Half a second of interpreted code says nothing of a server that runs for months.
    await output('ab', [...words, `http://${address}/page`]);
    const text = await output('ab', [...words, `http://${address}/page`]);
    figures[name] = Number(/Requests per second:\s+([\d.]+)/.exec(text)?.[1]);
  }
  return figures;
}
