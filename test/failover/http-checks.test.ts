/**
 * Node's check for slow HTTP clients, on the runtime's clock: what expires, and what does not.
 * Run it on every supported Node version.
 */
import http from 'node:http';
import https from 'node:https';
import type { Server, Socket } from 'node:net';
import { Duplex } from 'node:stream';
import t, { type Test } from 'tap';
import { WebSocket, WebSocketServer } from 'ws';
import { originals } from '../../failover/runtime/core/originals.js';
import { virtualizeHttpServer } from '../../failover/runtime/protocols/http-checks.js';
import { Runtime } from '../../failover/runtime/runtime.js';

const WALL_MS = Date.UTC(2026, 0, 1);
/** Node's interval. */
const CHECK_S = 30;
/** Turns of the loop after which ticks, streams and the server's listening have come to rest. */
const TURNS = 6;

const runtime = new Runtime({
  secret: new Uint8Array(32).fill(1),
  live: true,
  native: null,
  request: () => undefined,
});
let nowUs = 1e6;
let eventNo = 0;

/** Runs `fn` as one event, with all that follows from it. */
async function event(fn: () => unknown): Promise<void> {
  runtime.beginEvent(++eventNo, nowUs, WALL_MS + nowUs / 1000);
  fn();
  for (let i = 0; i < TURNS; i++) await new Promise((done) => originals.setImmediate(done));
  runtime.endEvent();
}

/** Lets virtual time pass, and runs the timers that become due. */
async function pass(seconds: number): Promise<void> {
  const endUs = nowUs + seconds * 1e6;
  for (let dueUs = runtime.timers.nextDeadline(); dueUs <= endUs; dueUs = runtime.timers.nextDeadline()) {
    nowUs = Math.max(nowUs, dueUs);
    const due = runtime.timers.takeDue(nowUs);
    if (due !== undefined) await event(() => runtime.deliver(due));
  }
  nowUs = endUs;
}

/** One end of a connection in memory. */
class End extends Duplex {
  peer: End | null = null;
  text = '';
  bytesRead = 0;

  override _read(): void {}

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    if (this.peer !== null) this.peer.bytesRead += chunk.length;
    this.peer?.push(chunk);
    done();
  }

  override _final(done: () => void): void {
    this.peer?.push(null);
    done();
  }

  setTimeout(): this {
    return this;
  }

  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }
}

function pair(): [client: End, server: End] {
  const ends: [End, End] = [new End({ allowHalfOpen: true }), new End({ allowHalfOpen: true })];
  [ends[0].peer, ends[1].peer] = [ends[1], ends[0]];
  for (const end of ends) end.on('error', () => undefined);
  return ends;
}

/** A client whose text is collected. */
async function open(server: Server, name: 'connection' | 'secureConnection' = 'connection'): Promise<[End, End]> {
  const [client, end] = pair();
  client.on('data', (part: Buffer) => {
    client.text += part.toString('latin1');
  });
  await event(() => server.emit(name, end as unknown as Socket));
  return [client, end];
}

async function start<T extends Server>(t: Test, server: T): Promise<T> {
  await event(() => {
    virtualizeHttpServer(runtime, server);
    server.listen(0, '127.0.0.1');
  });
  t.teardown(() => server.close());
  return server;
}

t.before(() => runtime.install());
t.teardown(() => runtime.uninstall());

t.test('a WebSocket lives, and echoes, an hour later', async (t) => {
  const server = await start(t, http.createServer());
  const sockets = new WebSocketServer({ server });
  sockets.on('connection', (socket) => socket.on('message', (data) => socket.send(data)));
  const [near, far] = pair();
  const got: string[] = [];
  const clients: WebSocket[] = [];
  await event(() => {
    const client = new WebSocket('ws://example.test/', { createConnection: () => near as unknown as Socket });
    client.on('error', (error) => got.push(error.message));
    client.on('message', (data) => got.push(String(data)));
    client.on('open', () => client.send('at once'));
    t.teardown(() => client.terminate());
    server.emit('connection', far as unknown as Socket);
    clients.push(client);
  });
  await event(() => undefined);
  t.strictSame(got, ['at once']);
  await pass(3600);
  t.notOk(far.destroyed);
  await event(() => clients[0].send('later'));
  t.strictSame(got, ['at once', 'later']);
});

t.test('a CONNECT tunnel lives', async (t) => {
  const server = http.createServer();
  server.on('connect', (_request, socket: Duplex) => {
    socket.write('HTTP/1.1 200 OK\r\n\r\n');
    socket.pipe(socket);
  });
  await start(t, server);
  const [client, end] = await open(server);
  await event(() => client.write('CONNECT a.example:443 HTTP/1.1\r\nHost: a.example\r\n\r\n'));
  await pass(3600);
  t.notOk(end.destroyed);
  await event(() => client.write('through'));
  t.equal(client.text, 'HTTP/1.1 200 OK\r\n\r\nthrough');
});

t.test('an upload behind Expect: 100-continue has the time of requestTimeout', async (t) => {
  const server = http.createServer();
  server.on('checkContinue', (request: http.IncomingMessage, response: http.ServerResponse) => {
    response.writeContinue();
    request.resume().on('end', () => response.end('all'));
  });
  await start(t, server);
  const head = 'POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n';
  const [quick, quickEnd] = await open(server);
  const [slow, slowEnd] = await open(server);
  await event(() => quick.write(`${head}ab`));
  await event(() => slow.write(`${head}ab`));
  await pass(200);
  t.notOk(quickEnd.destroyed, 'after headersTimeout');
  await event(() => quick.write('cd'));
  t.match(quick.text, /\r\n\r\n.*all/s);
  await pass(300 + 2 * CHECK_S - 200);
  t.ok(slowEnd.destroyed, 'after requestTimeout');
  t.match(slow.text, /408 Request Timeout/);
  t.notOk(quickEnd.destroyed, 'the answered one is idle');
});

for (const [name, make, connection] of [
  ['http', () => http.createServer((_request, response) => response.end('x')), 'connection'],
  ['https', () => https.createServer((_request, response) => response.end('x')), 'secureConnection'],
] as const) {
  t.test(`${name}: slow headers expire by the virtual clock, idle connections do not`, async (t) => {
    const server = await start(t, make());
    const [silent, silentEnd] = await open(server, connection);
    const [slow, slowEnd] = await open(server, connection);
    const [idle, idleEnd] = await open(server, connection);
    await event(() => slow.write('GET / HTTP/1.1\r\nHos'));
    server.keepAliveTimeout = 0;
    await event(() => idle.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n'));
    await pass(59);
    t.strictSame([silentEnd.destroyed, slowEnd.destroyed], [false, false]);
    await pass(2 * CHECK_S);
    t.strictSame([silentEnd.destroyed, slowEnd.destroyed, idleEnd.destroyed], [true, true, false]);
    t.match(silent.text, /408 Request Timeout/);
    // A second message on a connection has its own time.
    await pass(1000);
    await event(() => idle.write('GET / HT'));
    await pass(50);
    t.notOk(idleEnd.destroyed);
    await pass(CHECK_S + 11);
    t.ok(idleEnd.destroyed);
  });
}

t.test('a dropped request leaves its connection idle', async (t) => {
  const server = await start(
    t,
    http.createServer((_request, response) => response.end('x')),
  );
  server.maxRequestsPerSocket = 1;
  let dropped = 0;
  server.on('dropRequest', () => dropped++);
  const [client, end] = await open(server);
  await event(() => client.write('GET / HTTP/1.1\r\nHost: a\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n'));
  t.equal(dropped, 1);
  await pass(600);
  t.notMatch(client.text, /408/);
  t.equal(end.errored, null);
});

t.test("'clientError' comes once for a message; its handler decides", async (t) => {
  const server = http.createServer();
  const errors: (string | undefined)[] = [];
  server.on('clientError', (error: NodeJS.ErrnoException) => errors.push(error.code));
  await start(t, server);
  const [client, end] = await open(server);
  await event(() => client.write('GET / HT'));
  await pass(300);
  t.strictSame(errors, ['ERR_HTTP_REQUEST_TIMEOUT']);
  t.notOk(end.destroyed);
});

t.test('closeAllConnections closes in the order in which they came', async (t) => {
  const server = await start(t, http.createServer());
  const closed: number[] = [];
  for (let i = 0; i < 20; i++) {
    const [client, end] = await open(server);
    end.on('close', () => closed.push(i));
    if (i % 3 === 0) await event(() => client.write('GET / HTTP/1.1\r\n'));
  }
  await event(() => server.closeAllConnections());
  t.strictSame(
    closed,
    Array.from({ length: 20 }, (_value, i) => i),
  );
});

t.test('a server that listens again is checked again, and not after close', async (t) => {
  const server = await start(t, http.createServer());
  await event(() => server.close());
  await event(() => server.listen(0, '127.0.0.1'));
  const [, end] = await open(server);
  await pass(60 + CHECK_S);
  t.ok(end.destroyed);
  await event(() => server.close());
  t.equal(runtime.timers.nextDeadline(), Number.POSITIVE_INFINITY);
});
