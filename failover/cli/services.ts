/**
 * The classic services over TCP and UDP: echo (RFC 862), discard (RFC 863), chargen (RFC 864),
 * daytime (RFC 867), and a small web server. With them any outside tool can test the stack.
 */
import http from 'node:http';
import type net from 'node:net';
import { createDgram, createServer, type FtDgram, listenOn, type StackHost } from '../../stack/index.js';

/** The name of a service. */
export type ServiceName = 'echo' | 'discard' | 'chargen' | 'daytime' | 'http';
/** All services. */
export const SERVICES: readonly ServiceName[] = ['echo', 'discard', 'chargen', 'daytime', 'http'];

const LINE = 72;
const PRINTABLE = 95;
/**
 * Datagrams from these ports are answers of other services. To answer them could make an endless
 * loop of two services.
 */
const SERVICE_PORTS = new Set([7, 13, 17, 19, 37]);
/** Largest answer of the web server's /bytes/N. */
const MAX_BYTES = 2 ** 40;

/**
 * Lines of 72 printable characters; each begins one character later than the one before (RFC 864).
 */
export function chargenText(lines: number, from = 0): Buffer {
  const out: string[] = [];
  for (let i = 0; i < lines; i++) {
    let line = '';
    for (let j = 0; j < LINE; j++) line += String.fromCharCode(32 + ((from + i + j) % PRINTABLE));
    out.push(`${line}\r\n`);
  }
  return Buffer.from(out.join(''), 'latin1');
}

/** The whole pattern; after it the pattern repeats. */
const CYCLE = chargenText(PRINTABLE);

/** A running service. */
export interface Running {
  close(): void;
}

/**
 * Starts one service on a port, over TCP and, except for http, UDP.
 * @param now gives the time of day
 */
export function startService(host: StackHost, name: ServiceName, port: number, now: () => Date): Running {
  if (name === 'http') return web(host, port);
  const server = createServer(host, (socket) => stream(name, socket, now));
  server.listen(port);
  const socket = createDgram(host.stack, host.stack.hasV6 ? 'udp6' : 'udp4');
  socket.on('message', (message, info) => {
    if (!SERVICE_PORTS.has(info.port)) datagram(name, { socket, message, from: info }, now);
  });
  socket.on('error', () => undefined);
  socket.bind(port);
  return {
    close: () => {
      server.close();
      socket.close();
    },
  };
}

function stream(name: ServiceName, socket: net.Socket, now: () => Date): void {
  // A reset by the peer is not an error of the service.
  socket.on('error', () => socket.destroy());
  switch (name) {
    case 'echo':
      socket.pipe(socket);
      return;
    case 'discard':
      socket.resume();
      return;
    case 'daytime':
      socket.end(`${now().toUTCString()}\r\n`);
      socket.resume();
      return;
    default: {
      const more = (): void => {
        while (!socket.destroyed && socket.writable && socket.write(CYCLE));
      };
      socket.on('drain', more);
      socket.resume();
      more();
    }
  }
}

interface ReceivedDatagram {
  socket: FtDgram;
  message: Buffer;
  from: { address: string; port: number };
}

function datagram(name: ServiceName, { socket, message, from }: ReceivedDatagram, now: () => Date): void {
  const answer = (bytes: Buffer): void => socket.send(bytes, from.port, from.address, () => undefined);
  if (name === 'echo') answer(message);
  else if (name === 'daytime') answer(Buffer.from(`${now().toUTCString()}\r\n`));
  // An answer is not longer than its request, so that a forged source address gains nothing.
  else if (name === 'chargen') answer(CYCLE.subarray(0, Math.min(512, message.length)));
}

function web(host: StackHost, port: number): Running {
  const server = http.createServer((request, response) => {
    const [, digits] = /^\/bytes\/(\d{1,15})$/.exec(request.url ?? '') ?? [];
    response.on('error', () => undefined);
    if (request.method === 'POST' || request.method === 'PUT') {
      response.writeHead(200, { 'content-type': 'application/octet-stream' });
      request.pipe(response);
    } else if (digits !== undefined && Number(digits) <= MAX_BYTES) {
      response.writeHead(200, { 'content-type': 'application/octet-stream', 'content-length': digits });
      if (request.method === 'HEAD') response.end();
      else fill(response, Number(digits));
    } else if (request.url === '/') {
      response.writeHead(200, { 'content-type': 'text/plain' });
      response.end('ft-tcp serve\nGET /bytes/N returns N bytes; POST returns the body of the request.\n');
    } else {
      response.writeHead(404, { 'content-type': 'text/plain' });
      response.end('Not found. Try / or /bytes/N.\n');
    }
  });
  listenOn(server, host, [port]);
  return {
    close: () => {
      server.closeAllConnections();
      server.close();
    },
  };
}

function fill(response: http.ServerResponse, total: number): void {
  let left = total;
  const more = (): void => {
    while (left > 0 && !response.destroyed) {
      const part = CYCLE.subarray(0, Math.min(left, CYCLE.length));
      left -= part.length;
      if (left === 0) {
        response.end(part);
        return;
      }
      if (!response.write(part)) return;
    }
    if (total === 0) response.end();
  };
  response.on('drain', more);
  more();
}
