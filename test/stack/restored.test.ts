/** A connection that another program had: its new socket resumes where that one stopped. */
import net from 'node:net';
import t from 'tap';
import { AppEndpoint } from '../../stack/app-endpoint.js';
import { FtSocket } from '../../stack/sockets/socket.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { Peer } from './support/peer.js';

t.test('bytes of the predecessor neither count as the new program’s, nor lift its backpressure', async (t) => {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(1000, [], 65_535) + 1;
  const first = peer.accepted[0];
  const before = 40_000;
  first.endpoint.write(Buffer.alloc(before, 'a'));
  for (let acked = 0; acked < before; ) {
    for (const { seq, length } of peer.take()) acked = Math.max(acked, seq + length - irs);
    peer.send({ flags: 'A', seq: 1001, ack: irs + acked });
  }
  let conn: TcpConnection | null = null;
  peer.stack.tcp.table.forEach((one) => {
    conn = one;
  });
  first.endpoint.events = null;
  let socket: FtSocket | null = null;
  const limit = 10_000;
  const host = { ...peer.host, timers: peer.host.timers, sendBuffer: limit };
  const acceptor = {
    onConnection: () => t.fail('it is not new'),
    onRestore: (endpoint: AppEndpoint) => {
      socket = new FtSocket(host as never, endpoint);
    },
  };
  new AppEndpoint(conn!, peer.stack.events, acceptor as never, { context: null });
  peer.settle();
  t.ok((socket as unknown) instanceof net.Socket);
  const own = socket as unknown as FtSocket;
  t.same([own.writtenBefore, own.bytesWritten], [before, 0]);
  let done = 0;
  for (let n = 0; n < 10; n++) own.write(Buffer.alloc(4000, 'b'), () => done++);
  for (let n = 0; n < 10; n++) {
    peer.settle();
    await new Promise((turn) => setImmediate(turn));
  }
  t.ok(done <= 3, `${done} of ten writes are taken at once, by a socket that holds back beyond ${limit} bytes`);
  t.equal(own.bytesWritten, 40_000);
  for (let acked = before; acked < before + 40_000; ) {
    for (const { seq, length } of peer.take()) acked = Math.max(acked, seq + length - irs);
    peer.send({ flags: 'A', seq: 1001, ack: irs + acked });
    await new Promise((turn) => setImmediate(turn));
  }
  peer.settle();
  await new Promise((turn) => setImmediate(turn));
  t.equal(done, 10, 'all in the end');
  own.destroy();
});
