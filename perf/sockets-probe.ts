/**
 * Three ways to give Node's http a connection of our own, compared: a Duplex, our FtSocket, and a
 * genuine net.Socket over a handle of Node's own JSStream class. What works with each, and how many
 * 10 KB responses a second each serves to a peer in memory. Run: `npm run build && node
 * dist/perf/sockets-probe.js [seconds per run] [runs]`. Findings:
 * docs/internals/decisions/0009-subclass-of-net-socket.md.
 */
import http from 'node:http';
import type { StreamEndpoint, StreamEvents } from '../stack/core/endpoint.js';
import { LoopbackHost } from '../test/stack/support/loopback-endpoint.js';

import { type Check, checks } from './sockets-probe/checks.js';
import { JsStreamHandle, type Way, ways } from './sockets-probe/ways.js';

const seconds = Number(process.argv[2] ?? 2);
const runs = Number(process.argv[3] ?? 5);
const CONNECTIONS = 50;
const BODY = 10_240;

/** A client in memory: sends a request, counts the bytes of the response, sends the next. */
class Peer implements StreamEndpoint {
  readonly family = 'IPv4';
  readonly localAddress = '10.0.0.1';
  readonly localPort = 80;
  readonly remoteAddress = '10.0.0.2';
  events: StreamEvents | null = null;
  due = true;
  written = 0;
  requests = 0;
  #responseLength = 0;
  #got = 0;
  #want = 0;
  #first: Buffer[] = [];

  constructor(
    readonly id: number,
    readonly remotePort: number,
  ) {}

  write(chunk: Uint8Array): void {
    this.written += chunk.byteLength;
    this.#got += chunk.byteLength;
    if (this.#responseLength === 0) {
      this.#first.push(Buffer.from(chunk));
      const text = Buffer.concat(this.#first).toString('latin1');
      const at = text.indexOf('\r\n\r\n');
      if (at > 0) this.#responseLength = at + 4 + BODY;
    }
    if (this.#responseLength > 0 && this.#got >= this.#responseLength) {
      this.#got -= this.#responseLength;
      this.requests++;
      this.due = true;
    }
  }

  wantSpace(acked: number): void {
    this.#want = acked;
  }

  /** What the next turn brings. */
  turn(request: Buffer): void {
    if (this.#want > 0) {
      this.#want = 0;
      this.events!.onSpace(this.written, 0);
    }
    if (!this.due) return;
    this.due = false;
    this.events!.onData(Buffer.from(request));
  }

  shutdown(): void {}
  setReading(): void {}
  close(): void {}
  abort(): void {}
  setNoDelay(): void {}
  setKeepAlive(): void {}
}

async function rate(way: Way, large: boolean): Promise<number> {
  const host = new LoopbackHost();
  const body = Buffer.alloc(BODY, 'b');
  const text = body.toString();
  const server = http.createServer((_request, response) => {
    response.setHeader('Content-Type', 'text/plain');
    response.setHeader('Content-Length', BODY);
    response.end(large ? body : text);
  });
  const peers = Array.from({ length: CONNECTIONS }, (_, i) => new Peer(i, 1000 + i));
  for (const peer of peers) server.emit('connection', way(host, peer));
  const request = Buffer.from('GET / HTTP/1.1\r\nHost: probe\r\nUser-Agent: probe\r\nAccept: */*\r\n\r\n');
  const count = () => peers.reduce((sum, peer) => sum + peer.requests, 0);
  const spin = async (ms: number) => {
    const end = performance.now() + ms;
    while (performance.now() < end) {
      for (const peer of peers) peer.turn(request);
      await new Promise(setImmediate);
    }
  };
  await spin(200);
  const before = count();
  const start = performance.now();
  await spin(seconds * 1000);
  const result = ((count() - before) * 1000) / (performance.now() - start);
  server.closeAllConnections?.();
  return result;
}

async function attempt(check: Check, way: Way): Promise<string> {
  const late = new Promise<string>((resolve) => setTimeout(() => resolve('hangs'), 1500));
  try {
    return await Promise.race([Promise.resolve(check(way)).then((ok) => (ok ? 'yes' : 'no')), late]);
  } catch (error) {
    return error instanceof TypeError
      ? 'throws'
      : `no (${(error as NodeJS.ErrnoException).code ?? (error as Error).message})`;
  }
}

// A way that fails a check may do so outside of the check's promise.
process.on('uncaughtException', () => {});

const names = Object.keys(ways);
console.log(`Node ${process.version}${JsStreamHandle ? '' : ' (no JSStream class to be found: no handle)'}`);
console.log(`\n| | ${names.join(' | ')} |\n|---|${names.map(() => '---|').join('')}`);
for (const [title, check] of Object.entries(checks)) {
  const row: string[] = [];
  for (const name of names) row.push(await attempt(check, ways[name]));
  console.log(`| ${title} | ${row.join(' | ')} |`);
}

for (const large of [false, true]) {
  const samples = new Map<string, number[]>(names.map((name) => [name, []]));
  for (let run = 0; run < runs; run++) {
    for (const name of run % 2 ? [...names].reverse() : names) samples.get(name)!.push(await rate(ways[name], large));
  }
  const cells = names.map((name) => {
    const sorted = samples.get(name)!.sort((a, b) => a - b);
    const at = (part: number) => Math.round(sorted[Math.round(part * (sorted.length - 1))]);
    return `${at(0.5)} (${at(0)}-${at(1)})`;
  });
  console.log(`| responses/s, ${large ? 'Buffer' : 'string'} body | ${cells.join(' | ')} |`);
}
process.exit(0);
