/**
 * What a stack does that was frozen as another one's copy and takes over: segment by segment, in
 * virtual time.
 */
import t from 'tap';
import { type AppSocket, Peer, type Seen } from './support/peer.js';

/** A connection whose stack is frozen as a backup's is. */
function frozen(queued: string, window: number): { peer: Peer; irs: number; app: AppSocket } {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(1000, [], 65_535) + 1;
  const app = peer.accepted[0];
  peer.send({ flags: 'A', seq: 1001, ack: irs, window });
  peer.take();
  peer.stack.tcp.frozen = true;
  app.endpoint.write(Buffer.from(queued));
  peer.take();
  return { peer, irs, app };
}

t.test('a window of zero stays closed: no data beyond it, and probes do not end', async (t) => {
  const { peer, irs, app } = frozen('x'.repeat(100_000), 0);
  peer.stack.thaw(1000);
  let beyond = 0;
  for (let minute = 0; minute < 120; minute++) {
    peer.pass(60_000);
    for (const segment of peer.take()) {
      beyond += segment.length;
      peer.send({ flags: 'A', seq: 1001, ack: irs, window: 0 });
    }
  }
  t.equal(beyond, 0);
  t.same(app.log, [], 'two hours later it is still open');
  peer.send({ flags: 'A', seq: 1001, ack: irs, window: 3000 });
  t.equal(
    peer.take().reduce((sum, segment) => sum + segment.length, 0),
    536 * 5,
    'full segments as far as the window goes',
  );
});

t.test('data that fits into the window is sent again, and no more', async (t) => {
  const { peer, irs } = frozen('y'.repeat(20_000), 5000);
  peer.stack.thaw(1000);
  const first = peer.take();
  t.equal(
    first.reduce((end, segment) => Math.max(end, segment.seq + segment.length), 0),
    irs + 5000,
  );
  t.ok(
    first.every((segment) => segment.seq >= irs && segment.ack === 1001),
    'and all say where we are',
  );
});

t.test('an acknowledgement of data that the predecessor had sent beyond the window is accepted', async (t) => {
  const { peer, irs, app } = frozen('z'.repeat(20_000), 0);
  peer.stack.thaw(1000);
  peer.take();
  peer.send({ flags: 'A', seq: 1001, ack: irs + 8000, window: 1000 });
  const rest = peer.take();
  t.same([rest[0].seq, rest[0].length], [irs + 8000, 536]);
  t.equal(peer.stack.tcp.counters.ackedUnsent, 0);
  peer.send({ flags: 'A', seq: 1001, ack: irs + 20_001, window: 1000 });
  t.equal(peer.stack.tcp.counters.ackedUnsent, 1, 'but not of what was never written');
  t.same(
    app.log.filter((line) => !line.startsWith('space')),
    [],
  );
});

t.test('a FIN that waits behind data is not sent before it, and one that was sent is sent again', async (t) => {
  const { peer, irs, app } = frozen('12345', 0);
  app.endpoint.shutdown();
  peer.stack.thaw(1000);
  peer.pass(3000);
  t.ok(
    peer.take().every((segment) => segment.flags === 'A' && segment.length === 0),
    'only probes',
  );
  peer.send({ flags: 'A', seq: 1001, ack: irs, window: 100 });
  const end = peer.take().at(-1)!;
  t.match(end, { data: '12345', seq: irs });
  t.match(end.flags, /F/);
  peer.send({ flags: 'A', seq: 1001, ack: irs + 6, window: 100 });
  peer.send({ flags: 'FA', seq: 1001, ack: irs + 6 });
  t.equal(peer.stack.tcp.table.size, 0);
  t.equal(peer.stack.tcp.timeWaits.size, 1);
});

/** Connections that have been at rest for a while; the last of them has something to send. */
function many(count: number): { peer: Peer; irs: number[] } {
  const peer = new Peer();
  peer.listen();
  const irs: number[] = [];
  for (let n = 0; n < count; n++) {
    peer.port = 40_000 + n;
    irs.push(peer.open(1000) + 1);
  }
  peer.pass(2000);
  peer.stack.tcp.frozen = true;
  peer.accepted[count - 1].endpoint.write(Buffer.from('news'));
  peer.take();
  return { peer, irs };
}

/** What is sent until the loop comes round. */
function oneTurn(peer: Peer): Seen[] {
  peer.host.turn();
  peer.link.run();
  return peer.seen.splice(0);
}

t.test('active connections are resumed before idle ones', async (t) => {
  const { peer, irs } = many(300);
  peer.stack.thaw(1000);
  const first = oneTurn(peer);
  t.ok(first.length < 150, `${first.length} segments`);
  t.ok(
    first.some((segment) => segment.data === 'news'),
    'what is queued goes out at once',
  );
  // One speaks before it was told: the answer is all that it hears.
  const heard = new Set(first.map(({ dstPort }) => dstPort));
  const speaker = irs.findIndex((_, n) => !heard.has(40_000 + n));
  peer.port = 40_000 + speaker;
  peer.send({ flags: 'A', seq: 1001, ack: irs[speaker], data: 'x' });
  peer.pass(150);
  const count = new Map<number, number>();
  for (const { dstPort } of [...first, ...peer.take()]) count.set(dstPort, (count.get(dstPort) ?? 0) + 1);
  t.equal(count.size, 300, 'in the end all have been told');
  t.equal(count.get(40_000 + speaker), 1);
  t.equal(Math.max(...[...count].filter(([port]) => port !== 40_299).map(([, n]) => n)), 1, 'once');
  t.equal(peer.accepted[speaker].data, 'x');
});

t.test('a stack that is frozen again before all peers were told sends nothing more', async (t) => {
  const { peer } = many(300);
  peer.stack.thaw(1000);
  t.ok(oneTurn(peer).length < 150);
  peer.stack.tcp.frozen = true;
  peer.pass(1000);
  t.same(peer.take(), []);
  peer.stack.thaw(1000);
  peer.pass(100);
  t.equal(new Set(peer.take().map(({ dstPort }) => dstPort)).size, 300);
});
