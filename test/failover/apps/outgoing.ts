/**
 * A program with every kind of client. A request to it names the API that it is to ask with: PATH
 * is /API/HOST/PORT/KEY. It answers with what it was told.
 */
import http from 'node:http';
import http2 from 'node:http2';
import https from 'node:https';
import net from 'node:net';
import tls from 'node:tls';

interface Target {
  host: string;
  port: number;
  key: string;
}

type Ask = (target: Target) => Promise<string>;

/** Collects a stream of text up to its end. */
function textOf(stream: NodeJS.ReadableStream): Promise<string> {
  return new Promise((done, fail) => {
    let text = '';
    stream.on('data', (part: Buffer | string) => {
      text += part.toString();
    });
    stream.on('end', () => done(text));
    stream.on('error', fail);
  });
}

/** One line out, one line back. */
function line(socket: net.Socket, key: string): Promise<string> {
  return new Promise((done, fail) => {
    let text = '';
    socket.on('error', fail);
    socket.on('data', (part) => {
      text += part;
      if (!text.includes('\n')) return;
      socket.end();
      done(text.trim());
    });
    socket.write(`${key}\n`);
  });
}

const insecure = { rejectUnauthorized: false };

function request(module: typeof http | typeof https, { host, port, key }: Target, more: object = {}): Promise<string> {
  return new Promise((done, fail) => {
    const options = { host, port, path: `/${key}`, method: 'POST', ...insecure, ...more };
    const asked = module.request(options, (response) => textOf(response).then(done, fail));
    asked.on('error', fail);
    asked.end('body');
  });
}

const agent = new http.Agent({ keepAlive: true, maxSockets: 2 });

class OwnSocket extends net.Socket {
  own(): string {
    return 'own';
  }
}

const APIS: Record<string, Ask> = {
  'net.connect': ({ host, port, key }) => line(net.connect(port, host), key),
  'net.Socket': ({ host, port, key }) => {
    const socket = new net.Socket();
    socket.setNoDelay(true);
    socket.setTimeout(20_000);
    socket.connect(port, host);
    return line(socket, key);
  },
  'own class': ({ host, port, key }) => {
    const socket = new OwnSocket();
    socket.connect({ host, port });
    return line(socket, `${socket.own()}${key}`);
  },
  path: ({ host, key }) => line(net.connect(decodeURIComponent(host)), key),
  'tls.connect': ({ host, port, key }) => line(tls.connect({ host, port, ...insecure }), key),
  'tls over a socket': ({ host, port, key }) => {
    const below = new net.Socket();
    below.connect(port, host);
    return line(tls.connect({ socket: below, ...insecure }), key);
  },
  'http.request': (target) => request(http, target),
  'http.get': ({ host, port, key }) =>
    new Promise((done, fail) => {
      http.get({ host, port, path: `/${key}` }, (response) => textOf(response).then(done, fail)).on('error', fail);
    }),
  'http agent': (target) => request(http, target, { agent }),
  'http without agent': (target) => request(http, target, { agent: false }),
  'https.request': (target) => request(https, target),
  fetch: async ({ host, port, key }) =>
    await (await fetch(`http://${host}:${port}/${key}`, { method: 'POST', body: 'body' })).text(),
  http2: ({ host, port, key }) =>
    new Promise((done, fail) => {
      const session = http2.connect(`http://${host}:${port}`);
      session.on('error', fail);
      const stream = session.request({ ':path': `/${key}` });
      stream.on('error', fail);
      textOf(stream).then((text) => {
        session.close();
        done(text);
      }, fail);
    }),
};

const events: string[] = [];

http
  .createServer((asked, response) => {
    const [, api = '', host = '', port = '0', key = ''] = (asked.url ?? '').split('/').map(decodeURIComponent);
    if (api === 'events') {
      response.end(events.join(','));
      return;
    }
    const ask = APIS[api];
    if (ask === undefined) {
      response.end(Object.keys(APIS).join(','));
      return;
    }
    ask({ host, port: Number(port), key }).then(
      (text) => response.end(text),
      (error: NodeJS.ErrnoException) => response.end(`error ${error.code ?? error.message}`),
    );
  })
  .listen(80);

// A connection that is open at a takeover.
http
  .createServer((asked, response) => {
    const [, host = '', port = '0'] = (asked.url ?? '').split('/');
    const socket = net.connect(Number(port), host);
    let bytes = 0;
    socket.on('connect', () => events.push('connect'));
    socket.on('data', (part) => {
      bytes += part.length;
    });
    socket.on('error', (error: NodeJS.ErrnoException) => events.push(error.code ?? ''));
    socket.on('close', () => {
      events.push('close');
      response.end(`${bytes > 0} ${events.join(',')}`);
    });
  })
  .listen(81);
