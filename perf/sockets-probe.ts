/**
 * Three ways to give Node's http a connection of our own, compared: a Duplex, our FtSocket, and a genuine net.Socket over a
 * handle of Node's own JSStream class. What works with each, and how many 10 KB responses a second each serves to a peer in
 * memory. Run: `npm run build && node dist/perf/sockets-probe.js [seconds per run] [runs]`. Findings: docs/internals/decisions/0009-subclass-of-net-socket.md.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import WebSocket, { WebSocketServer } from 'ws';
import type { SocketHost, StreamEndpoint, StreamEvents } from '../stack/sockets/endpoint.js';
import { FtSocket } from '../stack/sockets/index.js';
import { LoopbackHost } from '../test/stack/support/loopback-endpoint.js';

const seconds = Number(process.argv[2] ?? 2);
const runs = Number(process.argv[3] ?? 5);
const CONNECTIONS = 50;
const BODY = 10_240;

// ---- the three ways

/** Makes a socket of one way over an endpoint. */
type Way = (host: SocketHost, endpoint: StreamEndpoint) => Duplex;

/** A Duplex of our own: the least that a stream needs. */
class DuplexSocket extends Duplex implements StreamEvents {
  #endpoint: StreamEndpoint;
  #reading = false;

  constructor(endpoint: StreamEndpoint) {
    super({ allowHalfOpen: true });
    this.#endpoint = endpoint;
    endpoint.events = this;
  }

  override _read(): void {
    if (!this.#reading) this.#endpoint.setReading((this.#reading = true));
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: () => void): void {
    if (chunk.length > 0) this.#endpoint.write(chunk);
    callback();
  }

  override _writev(chunks: { chunk: Buffer }[], callback: () => void): void {
    for (const { chunk } of chunks) if (chunk.length > 0) this.#endpoint.write(chunk);
    callback();
  }

  override _final(callback: () => void): void {
    this.#endpoint.shutdown();
    callback();
  }

  override _destroy(error: Error | null, callback: (error: Error | null) => void): void {
    this.#endpoint.close();
    callback(error);
  }

  onConnect(): void {}

  onData(chunk: Buffer): void {
    if (!this.push(chunk)) this.#endpoint.setReading((this.#reading = false));
  }

  onEnd(): void {
    this.push(null);
  }

  onSpace(): void {}

  onClose(code: string | null): void {
    if (code) this.destroy(Object.assign(new Error(code), { code }));
  }
}

/** What is used of Node's JSStream, the C++ class behind tls over a stream; there is no public name for it. */
interface JsStream {
  onreadstart(): number;
  onreadstop(): number;
  onwrite(request: object, buffers: Buffer[]): number;
  onshutdown(request: object): number;
  close(callback: () => void): void;
  isClosing(): boolean;
  getpeername(out: object): number;
  getsockname(out: object): number;
  setNoDelay(on: boolean): void;
  setKeepAlive(on: boolean, delaySeconds: number): void;
  readBuffer(chunk: Buffer): void;
  emitEOF(): void;
  finishWrite(request: object, status: number): void;
  finishShutdown(request: object, status: number): void;
}

/** Node shows the class only from inside: a TLSSocket over a Duplex has one. */
function jsStreamClass(): (new () => JsStream) | null {
  const probe = new tls.TLSSocket(new Duplex({ read() {}, write() {} }));
  const handle = (probe as unknown as { _handle?: { _parent?: JsStream } })._handle?._parent;
  probe.on('error', () => {});
  probe.destroy();
  return handle ? (handle.constructor as new () => JsStream) : null;
}

const JsStreamHandle = jsStreamClass();

/** A genuine net.Socket over a genuine StreamBase whose bytes go through an endpoint. */
function handleSocket(host: SocketHost, endpoint: StreamEndpoint): net.Socket {
  const handle = new JsStreamHandle!();
  let closed = false;
  let written = 0;
  let acked = 0;
  let held: object | null = null;
  handle.isClosing = () => closed;
  handle.onreadstart = () => {
    endpoint.setReading(true);
    return 0;
  };
  handle.onreadstop = () => {
    endpoint.setReading(false);
    return 0;
  };
  handle.onwrite = (request, buffers) => {
    for (const buffer of buffers) {
      if (buffer.length === 0) continue;
      endpoint.write(buffer);
      written += buffer.length;
    }
    if (written - acked > host.sendBuffer) {
      held = request;
      endpoint.wantSpace(written - (host.sendBuffer >>> 1));
      return 0;
    }
    // It may not be finished before onwrite has returned.
    process.nextTick(() => {
      if (!closed) handle.finishWrite(request, 0);
    });
    return 0;
  };
  handle.onshutdown = (request) => {
    endpoint.shutdown();
    process.nextTick(() => {
      if (!closed) handle.finishShutdown(request, 0);
    });
    return 0;
  };
  handle.close = (callback) => {
    closed = true;
    endpoint.close();
    endpoint.events = null;
    setImmediate(callback);
  };
  handle.getpeername = (out) => {
    Object.assign(out, { address: endpoint.remoteAddress, port: endpoint.remotePort, family: endpoint.family });
    return 0;
  };
  handle.getsockname = (out) => {
    Object.assign(out, { address: endpoint.localAddress, port: endpoint.localPort, family: endpoint.family });
    return 0;
  };
  handle.setNoDelay = (on) => endpoint.setNoDelay(on);
  handle.setKeepAlive = (on, delay) => endpoint.setKeepAlive(on, delay * 1000);
  const socket = new net.Socket({ handle } as never);
  endpoint.events = {
    onConnect() {},
    onData: (chunk) => handle.readBuffer(chunk),
    onEnd: () => handle.emitEOF(),
    onSpace(now) {
      acked = now;
      if (held === null) return;
      const request = held;
      held = null;
      handle.finishWrite(request, 0);
    },
    onClose: (code) => {
      if (code) socket.destroy(Object.assign(new Error(code), { code }));
    },
  };
  return socket;
}

const ways: Record<string, Way> = {
  Duplex: (_host, endpoint) => new DuplexSocket(endpoint),
  FtSocket: (host, endpoint) => new FtSocket(host, endpoint),
};
if (JsStreamHandle) ways['handle'] = handleSocket;

// ---- requests per second

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

// ---- what works

type Check = (way: Way) => Promise<boolean> | boolean;

/** Two connected sockets of one way. */
async function pairOf(way: Way): Promise<{ host: LoopbackHost; client: Duplex; server: Duplex }> {
  const host = new LoopbackHost();
  const accepted = new Promise<StreamEndpoint>((resolve) => {
    host.listen({ port: 80 }, { onConnection: resolve });
  });
  const endpoint = host.connect({ address: '127.0.0.1', port: 80 });
  const connected = new Promise<void>((resolve) => {
    endpoint.events = { onConnect: resolve, onData() {}, onEnd() {}, onSpace() {}, onClose() {} };
  });
  await connected;
  const serverEndpoint = await accepted;
  const client = way(host, endpoint);
  const server = way(host, serverEndpoint);
  for (const socket of [client, server]) socket.on('error', () => {});
  return { host, client, server };
}

const asSocket = (stream: Duplex): net.Socket => stream as net.Socket;

async function body(stream: AsyncIterable<unknown>): Promise<string> {
  let text = '';
  for await (const chunk of stream) text += String(chunk);
  return text;
}

async function overHttp(way: Way, server: http.Server, wrap?: (socket: Duplex) => Duplex): Promise<string> {
  const { client, server: accepted } = await pairOf(way);
  server.emit('connection', accepted);
  const through = wrap ? wrap(client) : client;
  through.write('GET / HTTP/1.1\r\nHost: probe\r\nConnection: close\r\n\r\n');
  return (await body(through)).split('\r\n\r\n')[1] ?? '';
}

function makeCertificate(): { key: Buffer; cert: Buffer } {
  const folder = mkdtempSync(join(tmpdir(), 'ft-tcp-probe-'));
  const args =
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=probe -keyout key -out cert';
  execFileSync('openssl', args.split(' '), { cwd: folder, stdio: 'ignore' });
  const made = { key: readFileSync(join(folder, 'key')), cert: readFileSync(join(folder, 'cert')) };
  rmSync(folder, { recursive: true });
  return made;
}

const { key, cert } = makeCertificate();
const inTls = (socket: Duplex) => tls.connect({ socket, ca: cert, servername: 'probe' });

const checks: Record<string, Check> = {
  'instanceof net.Socket': async (way) => (await pairOf(way)).server instanceof net.Socket,
  addresses: async (way) => {
    const socket = asSocket((await pairOf(way)).server);
    return socket.remoteAddress === '127.0.0.1' && socket.localPort === 80 && socket.remoteFamily === 'IPv4';
  },
  'addresses after destroy': async (way) => {
    const socket = asSocket((await pairOf(way)).server);
    // A genuine socket remembers the peer once it was asked for.
    void socket.remoteAddress;
    socket.destroy();
    return socket.remoteAddress === '127.0.0.1';
  },
  'bytesRead, bytesWritten': async (way) => {
    const { client, server } = await pairOf(way);
    client.write('hello');
    await once(server, 'data');
    return asSocket(client).bytesWritten === 5 && asSocket(server).bytesRead === 5;
  },
  'connecting, pending, readyState': async (way) => {
    const socket = asSocket((await pairOf(way)).client);
    return socket.connecting === false && socket.pending === false && socket.readyState === 'open';
  },
  'setNoDelay, setKeepAlive, ref, unref': async (way) => {
    const socket = asSocket((await pairOf(way)).client);
    return socket.setNoDelay().setKeepAlive(true, 1000).ref().unref() === socket;
  },
  'setNoDelay reaches the connection': async (way) => {
    const { host, client } = await pairOf(way);
    asSocket(client).setNoDelay(true);
    return host.endpoints[0].noDelay;
  },
  setTimeout: async (way) => {
    const { client } = await pairOf(way);
    asSocket(client).setTimeout(20);
    await once(client, 'timeout');
    return true;
  },
  "setTimeout on the host's timers": async (way) => {
    const { host, client } = await pairOf(way);
    asSocket(client).setTimeout(20);
    return host.timers.live === 1;
  },
  destroySoon: async (way) => {
    const { client, server } = await pairOf(way);
    client.write('all of it');
    asSocket(client).destroySoon();
    return (await body(server)) === 'all of it';
  },
  resetAndDestroy: async (way) => {
    const { client, server } = await pairOf(way);
    const closed = new Promise((resolve) => server.on('close', resolve));
    server.resume();
    asSocket(client).resetAndDestroy();
    await closed;
    return (server as unknown as { errored: NodeJS.ErrnoException | null }).errored?.code === 'ECONNRESET';
  },
  'ends by itself after the peer (allowHalfOpen false)': async (way) => {
    const { client, server } = await pairOf(way);
    server.resume();
    client.resume();
    client.end();
    await once(server, 'close');
    return true;
  },
  'backpressure to the writer': async (way) => {
    const { host, client } = await pairOf(way);
    host.stalled = true;
    let drains = 0;
    client.on('drain', () => drains++);
    for (let i = 0; i < 100; i++) {
      client.write(Buffer.alloc(100_000));
      await new Promise(setImmediate);
    }
    return host.endpoints[0].written <= 2 * host.sendBuffer;
  },
  'a buffer may be reused after its callback': async (way) => {
    const { host, client, server } = await pairOf(way);
    host.stalled = true;
    const buffer = Buffer.alloc(100_000, 'b');
    client.write(buffer, () => buffer.fill('a'));
    await new Promise((resolve) => setTimeout(resolve, 20));
    host.stalled = false;
    client.end();
    return !(await body(server)).includes('a');
  },
  http: async (way) =>
    (await overHttp(
      way,
      http.createServer((_request, response) => response.end('ok')),
    )) === 'ok',
  'http: req.socket.remoteAddress': async (way) =>
    (await overHttp(
      way,
      http.createServer((request, response) => response.end(String(request.socket.remoteAddress))),
    )) === '127.0.0.1',
  'http: server.setTimeout, keepAliveTimeout': async (way) => {
    const { client, server: accepted } = await pairOf(way);
    const server = http.createServer();
    server.setTimeout(20);
    server.emit('connection', accepted);
    client.resume();
    await once(client, 'end');
    return true;
  },
  https: async (way) =>
    (await overHttp(
      way,
      https.createServer({ key, cert }, (_request, response) => response.end('ok')),
      inTls,
    )) === 'ok',
  'https: req.socket.remoteAddress': async (way) =>
    (await overHttp(
      way,
      https.createServer({ key, cert }, (request, response) => response.end(String(request.socket.remoteAddress))),
      inTls,
    )) === '127.0.0.1',
  ws: async (way) => {
    const { client, server: accepted } = await pairOf(way);
    const server = http.createServer();
    const sockets = new WebSocketServer({ server });
    sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
    server.emit('connection', accepted);
    const web = new WebSocket('ws://probe/', { createConnection: (() => client) as never });
    web.on('error', () => {});
    await once(web, 'open');
    web.send('hello');
    const [message] = await once(web, 'message');
    web.terminate();
    return String(message) === 'hello';
  },
};

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
