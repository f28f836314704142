/**
 * The control server (docs/internals/control-server.md): sockets, one packet in, one packet out and
 * a clock, over a Unix socket, so that programs in any language can drive the stack. Each
 * connection has a stack of its own.
 *
 *   npm run dut -- --listen PATH
 */

import { rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { readCommandLine, refuse } from '../command-line.js';
import { Session } from './session.js';

/** A line longer than the largest packet or send in hex is none. */
const MAX_LINE = 40 * 1024 * 1024;

function serve(client: Socket): void {
  const session = new Session((line) => {
    if (!client.destroyed) client.write(`${line}\n`);
  });
  let rest: string[] = [];
  let held = 0;
  client.setEncoding('latin1');
  client.on('data', (chunk: string) => {
    const lines = chunk.split('\n');
    const last = lines.pop() ?? '';
    for (const line of lines) {
      session.line([...rest, line].join(''));
      rest = [];
      held = 0;
    }
    held += last.length;
    if (held > MAX_LINE) client.destroy();
    else if (last !== '') rest.push(last);
  });
  client.on('error', () => client.destroy());
}

const USAGE = `Usage: npm run dut -- --listen PATH

Serves the control protocol on a Unix socket; see docs/internals/control-server.md.

  --listen PATH  path of the socket
`;

const values = readCommandLine(USAGE, { listen: { type: 'string' } });
const path = values.listen ?? refuse('--listen PATH is missing');
const server = createServer(serve);
server.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EADDRINUSE') {
    console.error(`dut: ${error.message}`);
    process.exit(1);
  }
  // Left behind by one that was killed? Then nobody answers there.
  connect(path)
    .on('connect', () => {
      console.error(`dut: somebody is listening on ${path}`);
      process.exit(1);
    })
    .on('error', () => {
      rmSync(path, { force: true });
      server.listen(path);
    });
});
server.listen(path, () => console.log(`listening on ${path}`));
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    server.close();
    rmSync(path, { force: true });
    process.exit(0);
  });
}
