/**
 * Outgoing connections of a replicated program, by every API: each is made once, by the replica
 * that is the primary, and an observer outside counts. What the stack cannot carry ends at a
 * takeover with ECONNRESET.
 */

import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import { join } from 'node:path';
import tls from 'node:tls';
import { fileURLToPath } from 'node:url';
import { get, inLab, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
// The test runner's loaders are not the program's.
delete process.env['NODE_OPTIONS'];
t.setTimeout(180_000);

const APP = fileURLToPath(new URL('apps/outgoing.js', import.meta.url));
/** On the stack's own network, and on this machine's loopback. */
const HOSTS = ['10.77.0.1', '127.0.0.1', 'localhost'];

function certificate(): { cert: Buffer; key: Buffer } {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const made = spawnSync('openssl', [
    ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-subj', '/CN=10.77.0.1', '-keyout', key, '-out', cert],
  ]);
  if (made.status !== 0) throw new Error(String(made.stderr));
  return { cert: readFileSync(cert), key: readFileSync(key) };
}

/** Services of the kernel; they count what they are asked, by key. */
class Observer {
  readonly asked = new Map<string, number>();
  connections = 0;
  readonly #servers: net.Server[] = [];

  #count(key: string): void {
    this.asked.set(key, (this.asked.get(key) ?? 0) + 1);
  }

  readonly #serveLine = (socket: net.Socket): void => {
    let text = '';
    socket.on('error', () => undefined);
    socket.on('data', (part) => {
      text += part;
      if (!text.endsWith('\n')) return;
      const key = text.trim();
      text = '';
      this.#count(key);
      socket.write(`line ${key}\n`);
    });
    socket.on('end', () => socket.end());
  };

  readonly #serveHttp = (request: http.IncomingMessage, response: http.ServerResponse): void => {
    const key = (request.url ?? '/').slice(1);
    this.#count(key);
    request.resume();
    request.on('end', () => response.end(`${request.method} ${key}`));
  };

  async open(): Promise<Record<'line' | 'http' | 'https' | 'tls' | 'http2' | 'path', number | string>> {
    const secure = certificate();
    const listen = async (server: net.Server, where: number | string): Promise<number | string> => {
      this.#servers.push(server);
      server.on('connection', () => this.connections++);
      await new Promise<void>((done) => server.listen(where, done));
      const address = server.address() as net.AddressInfo | string;
      return typeof address === 'string' ? address : address.port;
    };
    const path = join(directory, 'service.sock');
    return {
      line: await listen(net.createServer({ allowHalfOpen: true }, this.#serveLine), 0),
      http: await listen(http.createServer(this.#serveHttp), 0),
      https: await listen(https.createServer(secure, this.#serveHttp), 0),
      tls: await listen(tls.createServer(secure, this.#serveLine), 0),
      http2: await listen(
        http2.createServer((request, response) => {
          const key = request.url.slice(1);
          this.#count(key);
          response.end(`GET ${key}`);
        }) as unknown as net.Server,
        0,
      ),
      path: await listen(net.createServer(this.#serveLine), path),
    };
  }

  close(): void {
    for (const server of this.#servers) {
      server.close();
      (server as http.Server).closeAllConnections?.();
    }
  }
}

/** The service that each API talks to. */
function serviceOf(api: string): 'line' | 'http' | 'https' | 'tls' | 'http2' | 'path' {
  if (api === 'path' || api === 'http2') return api;
  if (api.startsWith('tls')) return 'tls';
  if (api.startsWith('https')) return 'https';
  return api.startsWith('http') || api === 'fetch' ? 'http' : 'line';
}

t.test('every API, exactly once, before and after a death', async (t) => {
  const observer = new Observer();
  const services = await observer.open();
  const group = new TestGroup(directory, [], [APP]);
  const [primary, backup] = await group.pair();
  const apis = (await get('/')).split(',');
  t.ok(apis.length > 10);
  const ask = async (round: string): Promise<void> => {
    for (const api of apis)
      for (const host of api === 'path' ? [encodeURIComponent(String(services.path))] : HOSTS) {
        const key = `${round}-${api}-${HOSTS.indexOf(host)}`.replaceAll(/[ .]/g, '_');
        const port = api === 'path' ? 0 : services[serviceOf(api)];
        const answer = await get(`/${encodeURIComponent(api)}/${encodeURIComponent(host)}/${port}/${key}`);
        t.match(answer, key, `${api} to ${decodeURIComponent(host)}`);
      }
  };
  await ask('first');
  const { runtime } = (await group.status(backup))?.counters ?? {};
  t.equal(runtime?.['divergences'], 0);
  t.ok(Number(runtime?.['suppressedEffects']) > apis.length, 'the backup has left out what the primary did');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  await ask('second');
  const third = group.start();
  await third.event('ready');
  await backup.event('protected');
  await ask('third');
  backup.kill('SIGKILL');
  await third.event('takeover');
  await ask('fourth');
  t.same(
    [...observer.asked].filter(([, count]) => count !== 1),
    [],
    'each request was seen once',
  );
  t.match(await primary.event('kernel-socket'), { what: /^connection to (127.0.0.1|::1|\/)/ });
  observer.close();
  await group.close();
});

t.test('a kernel connection ends with ECONNRESET at a takeover, one on the stack goes on', async (t) => {
  const observer = new Observer();
  const open = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    open.add(socket);
    const timer = setInterval(() => socket.write('tick'), 5);
    socket.on('error', () => undefined);
    socket.on('close', () => {
      clearInterval(timer);
      open.delete(socket);
    });
  });
  await new Promise<void>((done) => server.listen(0, done));
  const { port } = server.address() as net.AddressInfo;
  const group = new TestGroup(directory, [], [APP]);
  const [primary, backup] = await group.pair();
  const ask = (host: string): Promise<string> =>
    new Promise((done, fail) => {
      http
        .get({ host: '10.77.0.2', port: 81, path: `/${host}/${port}`, agent: false }, (response) => {
          let text = '';
          response.on('data', (part) => {
            text += part;
          });
          response.on('end', () => done(text));
        })
        .on('error', fail);
    });
  const kernel = ask('127.0.0.1');
  await until('connected', () => open.size === 1);
  const stack = ask('10.77.0.1');
  await until('both', () => open.size === 2);
  t.equal(open.size, 2, 'the backup has opened none');
  primary.kill('SIGKILL');
  await backup.event('takeover');
  t.equal(await kernel, 'true connect,connect,ECONNRESET,close');
  await until('one is left', () => open.size === 1);
  for (const socket of open) socket.end();
  t.equal(await stack, 'true connect,connect,ECONNRESET,close,close');
  server.close();
  observer.close();
  await group.close();
});

t.test('killed in the middle of many requests: nothing is asked twice', async (t) => {
  const observer = new Observer();
  const services = await observer.open();
  const group = new TestGroup(directory, [], [APP]);
  const [primary, backup] = await group.pair();
  const answers = new Map<string, string>();
  const lane = async (host: string, api: string, n: number): Promise<void> => {
    for (let i = 0; i < 25; i++) {
      const key = `${n}-${i}`;
      answers.set(key, await get(`/${encodeURIComponent(api)}/${host}/${services[serviceOf(api)]}/${key}`));
    }
  };
  const lanes = HOSTS.slice(0, 2).flatMap((host, h) =>
    ['net.connect', 'http agent', 'fetch', 'tls.connect'].map((api, a) => lane(host, api, h * 10 + a)),
  );
  await until('some answers', () => answers.size > 60);
  t.ok(answers.size < 150, 'in the middle');
  primary.kill('SIGKILL');
  await Promise.all(lanes);
  await backup.event('takeover');
  t.equal(answers.size, 200);
  t.same(
    [...observer.asked].filter(([, count]) => count > 1),
    [],
    'nothing twice',
  );
  for (const [key, answer] of answers) {
    if (answer.startsWith('error')) {
      // The service may have seen it, and the program knows that it does not know.
      if (Number(key.split('-')[0]) < 10) t.fail(`${key} on the stack: ${answer}`);
      continue;
    }
    if (!answer.includes(key) || observer.asked.get(key) !== 1) t.fail(`${key}: ${answer}`);
  }
  const failed = [...answers.values()].filter((answer) => answer.startsWith('error'));
  t.ok(failed.length <= 4, `one for each lane of the kernel at most: ${failed.join(', ')}`);
  observer.close();
  await group.close();
});
