import type net from 'node:net';
import { isCarrier } from './tls.js';

/**
 * An http2 session over a socket without a handle: Node puts a JSStreamSocket in between, whose
 * `stream` is the socket.
 */
interface SessionSocket {
  stream?: unknown;
  _peername?: object;
  _sockname?: object;
}

/** Tells the socket that http2 shows to programs between which addresses the connection is. */
function nameSession(session: { socket?: SessionSocket }): void {
  const socket = session.socket;
  const carrier = socket?.stream;
  if (!socket || !isCarrier(carrier)) return;
  socket._peername = carrier._getpeername();
  socket._sockname = carrier._getsockname();
}

/**
 * Makes `request.socket.remoteAddress` right on an http2 server without TLS; servers of other kinds
 * emit no 'session'.
 */
export function nameSessions(server: net.Server): void {
  if (!server.listeners('session').includes(nameSession)) server.prependListener('session', nameSession);
}
