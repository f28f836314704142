/** A connection that another program had: its new socket counts from where that one stopped. */
import t from 'tap';
import { AppEndpoint } from '../../stack/app-endpoint.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { AppSocket, Peer } from './support/peer.js';

t.test('what is asked for and told of acknowledgements is without what the predecessor wrote', async (t) => {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(1000) + 1;
  const first = peer.accepted[0]!;
  first.endpoint.write(Buffer.alloc(300, 'a'));
  peer.take();
  peer.send({ flags: 'A', seq: 1001, ack: irs + 200 });
  let conn: TcpConnection | null = null;
  peer.stack.tcp.table.forEach((one) => {
    conn = one;
  });
  first.endpoint.events = null;
  let second: AppSocket | null = null;
  const acceptor = {
    onConnection: () => t.fail('it is not new'),
    onRestore: (endpoint: AppEndpoint) => {
      second = new AppSocket(endpoint);
    },
  };
  new AppEndpoint(conn!, peer.stack.events, acceptor as never, { context: null });
  peer.settle();
  t.ok(second);
  const { endpoint, log } = second as unknown as AppSocket;
  t.equal(endpoint.writtenBefore, 300);
  endpoint.write(Buffer.alloc(100, 'b'));
  endpoint.wantSpace(50);
  peer.settle();
  peer.send({ flags: 'A', seq: 1001, ack: irs + 300 });
  t.same(log, [], 'all of the first one is acknowledged, and nothing of the second');
  peer.send({ flags: 'A', seq: 1001, ack: irs + 360 });
  t.same(log, ['space 60']);
});
