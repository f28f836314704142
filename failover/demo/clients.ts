/** The demo's clients: ordinary programs that know nothing of ft-tcp, and what they noticed. */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WebSocket } from 'ws';
import { TAP } from '../lab/network.js';
import { Arrivals } from './arrivals.js';
import { type Client, type ClientOutcome, type ClientPlan, exitOf, monotonicMs } from './client.js';
import { CHUNK, chunk } from './content.js';
import { redisBenchmark } from './redis-client.js';

export { type Client, type ClientOutcome, monotonicMs } from './client.js';

const SAMPLE_MS = 5;
const MESSAGE_BYTES = 1024;
/**
 * About the bytes of a 10 KB page on the wire: ab itself reports its progress only in steps of a
 * tenth.
 */
const PAGE_WIRE_BYTES = 10_700;
/** Downloads through the gateway, one behind the other: it dies twice. */
export const DOWNLOADS = 6;
/** Messages in flight in ws-echo. */
const WINDOW = 16;

/** Starts the client of the scenario. */
export function startClient(plan: ClientPlan): Client {
  switch (plan.options.scenario) {
    case 'wget':
      return wget(plan);
    case 'upload':
      return upload(plan);
    case 'ab':
      return apacheBench(plan);
    case 'ws-echo':
      return webSocketEcho(plan);
    case 'gateway':
      return plan.options.backend === 'redis' ? redisBenchmark(plan) : wget(plan, DOWNLOADS);
  }
}

/**
 * Downloads over one connection, hashed as they arrive. wget makes one attempt: it fails when the
 * connection breaks.
 */
function wget({ options, address, sha256, onProgress }: ClientPlan, times = 1): Client {
  const arrivals = new Arrivals();
  const hash = createHash('sha256');
  const url = `http://${address}/bytes/${options.bytes}`;
  const total = times * options.bytes;
  const urls = Array.from({ length: times }, () => url);
  const child = spawn('wget', ['-q', '--tries=1', '--timeout=60', '-O', '-', ...urls], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  child.stdout.on('data', (part: Buffer) => {
    arrivals.add(part.length, monotonicMs());
    hash.update(part);
    onProgress(arrivals.total / total);
  });
  return {
    arrivals,
    progress: () => arrivals.total / total,
    ended: exitOf(child).then(({ exit, error }) => {
      const equal = arrivals.total === total && hash.digest('hex') === sha256;
      return { exit, sha256Equal: equal, failedRequests: exit === 0 && equal ? 0 : 1, error };
    }),
    kill: () => child.kill('SIGKILL'),
  };
}

/** An upload by curl; the server answers with the hash of what it received. */
function upload({ options, address, sha256, onProgress }: ClientPlan): Client {
  const arrivals = new Arrivals();
  const args = ['-sS', '--fail', '--max-time', '600', '-T', '-', `http://${address}/upload`];
  const child = spawn('curl', args, { stdio: ['pipe', 'pipe', 'pipe'] });
  let answer = '';
  child.stdout.on('data', (part: Buffer) => {
    answer += part.toString();
  });
  child.stdin.on('error', () => undefined);
  let n = 0;
  let left = options.bytes;
  const send = (): void => {
    if (left === 0) {
      child.stdin.end();
      return;
    }
    const length = Math.min(left, CHUNK);
    left -= length;
    child.stdin.write(chunk(n++, length), (error) => {
      if (error) return;
      // What curl has read counts as sent: the pipe holds no more than a chunk or two.
      arrivals.add(length, monotonicMs());
      onProgress(arrivals.total / options.bytes);
      send();
    });
  };
  send();
  return {
    arrivals,
    progress: () => arrivals.total / options.bytes,
    ended: exitOf(child).then(({ exit, error }) => {
      const equal = answer.trim() === sha256;
      return { exit, sha256Equal: equal, failedRequests: exit === 0 && equal ? 0 : 1, error };
    }),
    kill: () => child.kill('SIGKILL'),
  };
}

/** Bytes that the client's side of the TAP has received. */
function tapBytes(): number {
  const line = readFileSync('/proc/net/dev', 'utf8')
    .split('\n')
    .find((row) => row.trim().startsWith(`${TAP}:`));
  return Number(line?.split(':')[1]?.trim().split(/\s+/)[0] ?? 0);
}

function apacheBench({ options, address, onProgress }: ClientPlan): Client {
  const arrivals = new Arrivals();
  const n = options.requests;
  const keep = options.keepAlive ? ['-k'] : [];
  const args = ['-n', String(n), '-c', String(options.connections), '-s', '60', ...keep, `http://${address}/page`];
  const child = spawn('ab', args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let out = '';
  let completed = 0;
  child.stdout.on('data', (part: Buffer) => {
    out += part.toString();
  });
  child.stderr.on('data', (part: Buffer) => {
    for (const match of part.toString().matchAll(/Completed (\d+) requests/g)) completed = Number(match[1]);
  });
  let before = tapBytes();
  const progress = (): number => Math.max(completed / n, Math.min(0.99, arrivals.total / (n * PAGE_WIRE_BYTES)));
  const timer = setInterval(() => {
    const now = tapBytes();
    if (now > before) arrivals.add(now - before, monotonicMs());
    before = now;
    onProgress(progress());
  }, SAMPLE_MS);
  return {
    arrivals,
    progress,
    ended: exitOf(child).then(({ exit, error }) => {
      clearInterval(timer);
      const field = (name: RegExp): number => Number(name.exec(out)?.[1] ?? Number.NaN);
      const complete = field(/Complete requests:\s+(\d+)/);
      const wrong = field(/Failed requests:\s+(\d+)/) + (Number(/Non-2xx responses:\s+(\d+)/.exec(out)?.[1]) || 0);
      const failed = exit === 0 && complete === n ? wrong : Math.max(1, n - (complete || 0));
      return {
        exit,
        sha256Equal: null,
        failedRequests: failed,
        longestGapMs: field(/100%\s+(\d+)/),
        error: exit === 0 ? '' : error,
      };
    }),
    kill: () => child.kill('SIGKILL'),
  };
}

/** Numbered messages, which must come back complete and in order. */
function webSocketEcho({ options, address, onProgress }: ClientPlan): Client {
  const arrivals = new Arrivals();
  const total = options.requests;
  let sent = 0;
  let back = 0;
  const socket = new WebSocket(`ws://${address}/echo`, { perMessageDeflate: false });
  const send = (): void => {
    const message = Buffer.from(chunk(sent, MESSAGE_BYTES));
    message.writeUInt32LE(sent++, 0);
    socket.send(message);
  };
  const ended = new Promise<ClientOutcome>((done) => {
    let failure = '';
    socket.on('open', () => {
      while (sent < Math.min(WINDOW, total)) send();
    });
    socket.on('message', (data: Buffer) => {
      arrivals.add(data.length, monotonicMs());
      const expected = Buffer.from(chunk(back, MESSAGE_BYTES));
      expected.writeUInt32LE(back, 0);
      if (!expected.equals(data)) {
        failure ||= `message ${back} came back changed`;
        socket.terminate();
        return;
      }
      back++;
      onProgress(back / total);
      if (sent < total) send();
      else if (back === total) socket.close(1000);
    });
    socket.on('error', (error) => {
      failure ||= error.message;
    });
    socket.on('close', (code) => {
      const fine = back === total && code === 1000;
      done({
        exit: fine ? 0 : 1,
        sha256Equal: back === total,
        failedRequests: total - back,
        error: failure || (fine ? '' : `closed with ${code}`),
      });
    });
  });
  return { arrivals, progress: () => back / total, ended, kill: () => socket.terminate() };
}
