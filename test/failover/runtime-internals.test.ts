/**
 * Node's internals that the runtime's patches depend on. Run it on every supported Node version.
 */
import { once } from 'node:events';
import http from 'node:http';
import { createRequire } from 'node:module';
import net, { type AddressInfo, type Socket } from 'node:net';
import { Duplex } from 'node:stream';
import tls from 'node:tls';
import zlib from 'node:zlib';
import t from 'tap';

type Members = Record<string, unknown>;

const symbolsOf = (object: object): (string | undefined)[] =>
  Object.getOwnPropertySymbols(object).map((symbol) => symbol.description);

t.test('tls: the class under a TLSSocket over a stream', async (t) => {
  const prototype = tls.TLSSocket.prototype as unknown as { _init(socket: unknown, wrap: object): void };
  const init = prototype._init;
  let wrap: object | undefined;
  prototype._init = function (socket, given) {
    wrap = given;
    init.call(this, socket, given);
  };
  const socket = new tls.TLSSocket(new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() }));
  prototype._init = init;
  socket.on('error', () => undefined);
  socket.destroy();
  if (wrap === undefined) throw new Error('no wrap');
  const symbols = symbolsOf(wrap);
  for (const name of ['kCurrentWriteRequest', 'kPendingClose']) t.ok(symbols.includes(name), name);
  const members = Object.getPrototypeOf(wrap) as Members;
  for (const name of ['doWrite', 'doClose', 'finishWrite', 'finishShutdown']) t.type(members[name], 'function', name);
});

t.test('http: headers, the check for slow clients', async (t) => {
  t.type((http.OutgoingMessage.prototype as unknown as Members)['_storeHeader'], 'function');
  const { HTTPParser } = createRequire(import.meta.url)('_http_common') as { HTTPParser: Members };
  t.equal(HTTPParser['kOnMessageBegin'], 0);
  t.type(HTTPParser['REQUEST'], 'number');
  t.type((HTTPParser['prototype'] as Members)['initialize'], 'function');
  const server = http.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const own = server as unknown as Record<symbol, Members>;
  const named = (name: string) => Object.getOwnPropertySymbols(server).find(({ description }) => description === name);
  const interval = own[named('http.server.connectionsCheckingInterval') ?? Symbol()];
  t.type(interval['_onTimeout'], 'function');
  t.equal((server as unknown as Members)['connectionsCheckingInterval'], 30_000);
  const list = own[named('http.server.connections') ?? Symbol()];
  for (const name of ['all', 'idle', 'active', 'expired']) t.type(list[name], 'function', name);
  const client = net.connect((server.address() as AddressInfo).port, '127.0.0.1');
  const [socket] = (await once(server, 'connection')) as [Socket];
  t.ok('_httpMessage' in socket || socket.bytesRead === 0);
  const [parser] = (list['active'] as () => Members[])();
  t.equal(parser['socket'], socket);
  t.equal(parser['incoming'], null);
  client.destroy();
  server.close();
});

t.test('zlib: native streams that can work synchronously', async (t) => {
  for (const stream of [zlib.createGzip(), zlib.createBrotliCompress(), zlib.createBrotliDecompress()]) {
    const handle = (stream as unknown as { _handle: Members })._handle;
    for (const name of ['init', 'write', 'writeSync']) t.type(handle[name], 'function', name);
    stream.close();
  }
});
