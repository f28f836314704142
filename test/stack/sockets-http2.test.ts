import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import http2 from 'node:http2';
import type net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import tls from 'node:tls';
import t from 'tap';
import { attachListener, connect, FtSocket } from '../../stack/sockets/index.js';
import { LoopbackHost } from './support/loopback-endpoint.js';

// Neither the loopback nor its timers keep the process alive.
const alive = setInterval(() => {}, 1000);
t.teardown(() => clearInterval(alive));

/** One request over a session; resolves with its status and body. */
async function ask(
  session: http2.ClientHttp2Session,
  path: string,
  body?: Buffer,
): Promise<{ status: number; body: Buffer }> {
  const stream = session.request({ ':path': path, ':method': body === undefined ? 'GET' : 'POST' });
  stream.end(body);
  const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader];
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return { status: Number(headers[':status']), body: Buffer.concat(chunks) };
}

const page = Buffer.alloc(10_240, 'p');
const large = Buffer.alloc(3_000_000, 'L');

function answer(request: http2.Http2ServerRequest, response: http2.Http2ServerResponse): void {
  if (request.url === '/large') response.end(large);
  else if (request.url === '/peer') response.end(String(request.socket.remoteAddress));
  else if (request.url === '/upload') {
    let count = 0;
    request.on('data', (chunk: Buffer) => {
      count += chunk.length;
    });
    request.on('end', () => response.end(String(count)));
  } else response.end(page);
}

/** What must hold over any transport. */
async function exercise(t: Tap, session: http2.ClientHttp2Session): Promise<void> {
  const many = await Promise.all(Array.from({ length: 20 }, (_, i) => ask(session, `/${i}`)));
  t.ok(
    many.every(({ status, body }) => status === 200 && body.equals(page)),
    'streams side by side',
  );
  t.ok((await ask(session, '/large')).body.equals(large), 'a large answer, byte by byte');
  t.equal(String((await ask(session, '/upload', Buffer.alloc(2_000_000))).body), '2000000');
  t.equal(String((await ask(session, '/peer')).body), '127.0.0.1');
  const rtt = await new Promise<number>((resolve, reject) => {
    session.ping((error, duration) => (error ? reject(error) : resolve(duration)));
  });
  t.ok(rtt >= 0, 'ping');
}

type Tap = Pick<typeof t, 'ok' | 'equal'>;

t.test('http2 without TLS', async (t) => {
  const host = new LoopbackHost({ sendBuffer: 1 << 18 });
  const server = http2.createServer(answer);
  attachListener(server as unknown as net.Server, host, { port: 80 });
  await once(server, 'listening');
  const socket = connect(host, 80, '127.0.0.1');
  const session = http2.connect('http://test', { createConnection: () => socket });
  await exercise(t, session);
  t.ok(socket instanceof FtSocket);
  t.ok(socket.bytesRead > large.length, `${socket.bytesRead} bytes read`);
  session.close();
  await once(session, 'close');
  if (!socket.closed) await once(socket, 'close');
  t.equal(socket.destroyed, true);
  server.close();
  await once(server, 'close');
});

t.test('http2: the connection is reset', async (t) => {
  const host = new LoopbackHost();
  const server = http2.createServer();
  server.on('stream', () => {});
  const failed = once(server, 'sessionError').catch(() => []);
  attachListener(server as unknown as net.Server, host, { port: 80 });
  const session = http2.connect('http://test', { createConnection: () => connect(host, 80, '127.0.0.1') });
  const accepted = (await once(server, 'session')) as [http2.ServerHttp2Session];
  const stream = session.request({ ':path': '/' });
  const ended = once(stream, 'close').catch((error: NodeJS.ErrnoException) => [error.code]);
  await once(server, 'stream');
  session.on('error', () => {});
  stream.on('error', () => {});
  host.endpoints[0].failed('ECONNRESET');
  const [code] = await ended;
  t.equal(code, 'ECONNRESET');
  accepted[0].destroy();
  server.close();
  await Promise.race([failed, once(server, 'close')]);
});

t.test('http2 over TLS, by ALPN', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'ft-tcp-http2-'));
  execFileSync(
    'openssl',
    'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=test -keyout key -out cert'.split(
      ' ',
    ),
    { cwd: folder, stdio: 'ignore' },
  );
  const [key, cert] = [readFileSync(join(folder, 'key')), readFileSync(join(folder, 'cert'))];
  rmSync(folder, { recursive: true });
  const host = new LoopbackHost({ sendBuffer: 1 << 18 });
  const server = http2.createSecureServer({ key, cert }, answer);
  attachListener(server as unknown as net.Server, host, { port: 443 });
  await once(server, 'listening');
  const session = http2.connect('https://test', {
    createConnection: () =>
      tls.connect({ socket: connect(host, 443, '127.0.0.1'), ca: cert, servername: 'test', ALPNProtocols: ['h2'] }),
  });
  await once(session, 'connect');
  t.equal(session.alpnProtocol, 'h2');
  await exercise(t, session);
  session.close();
  await once(session, 'close');
  server.close();
  await once(server, 'close');
});
