/** Two connected sockets over an endpoint in memory. */
import { once } from 'node:events';
import type net from 'node:net';
import { connect, createServer, type FtSocket } from '../../../stack/sockets/index.js';
import { type LoopbackEndpoint, LoopbackHost, type LoopbackOptions } from './loopback-endpoint.js';

/** A connected pair; the test drives the host. */
export async function pair(
  options: LoopbackOptions = {},
  serverOptions: net.ServerOpts = {},
): Promise<{
  host: LoopbackHost;
  client: FtSocket;
  server: FtSocket;
  listener: net.Server;
  endpoints: LoopbackEndpoint[];
}> {
  const host = new LoopbackHost(options);
  const listener = createServer(host, serverOptions).listen(7);
  const client = connect(host, 7, '127.0.0.1');
  const [server] = (await once(listener, 'connection')) as [FtSocket];
  if (client.connecting) await once(client, 'connect');
  return { host, client, server, listener, endpoints: host.endpoints };
}
