import t from 'tap';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { receiveSome, send } from '../../stack/tcp/user-calls.js';
import { Peer } from './support/peer.js';

/** A connection whose user writes down what it is told. */
function watched(): { peer: Peer; conn: TcpConnection; irs: number; told: string[] } {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(1000) + 1;
  const told: string[] = [];
  let conn: TcpConnection | null = null;
  peer.stack.tcp.table.forEach((one) => {
    conn = one;
  });
  conn!.user = {
    onProgress: () => undefined,
    onUrgent: (one) => told.push(`urgent ${one.urgentBytes}`),
    onSoftError: (one) => told.push(`soft ${one.softError}`),
  };
  return { peer, conn: conn!, irs, told };
}

t.test('the user hears of urgent data at once, and how much of it there is', async (t) => {
  const { peer, conn, irs, told } = watched();
  peer.send({ flags: 'AU', seq: 1001, ack: irs, data: 'abcdefghij', urgent: 4 });
  t.same(told, ['urgent 4']);
  peer.send({ flags: 'AU', seq: 1011, ack: irs, data: 'k', urgent: 100 });
  t.same(told, ['urgent 4', 'urgent 110']);
  t.equal(String(receiveSome(conn, 6)), 'abcdef');
  t.equal(conn.urgentBytes, 104);
  // The same announcement again is no news.
  peer.send({ flags: 'AU', seq: 1012, ack: irs, data: 'l', urgent: 99 });
  t.equal(told.length, 2);
});

t.test('the user hears of trouble on the path before the connection ends', async (t) => {
  const { peer, conn, told } = watched();
  send(conn, Buffer.from('data'));
  peer.stack.flush();
  peer.pass(5000);
  t.ok(told.length > 0 && told.every((line) => line === 'soft null'), `${told}`);
  t.equal(conn.removed, false);
});
