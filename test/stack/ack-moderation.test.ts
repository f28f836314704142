/** Acknowledgements that wait while the device has more at hand: for how long, and for what not. */
import t from 'tap';
import { Peer } from './support/peer.js';

const SEGMENT = 'x'.repeat(1400);

/**
 * A connection whose segments come in batches of one; after each the stack has one round, as in an
 * event loop.
 */
function connection() {
  const peer = new Peer({ receiveBuffer: 65_536, autoTune: false });
  peer.listen();
  const iss = peer.open(1000);
  const { stack, host, link } = peer;
  let more = false;
  const begin = stack.beginBatch.bind(stack);
  stack.beginBatch = (batch) => begin({ ...batch, more });
  const round = (): void => {
    link.run();
    while (host.turn());
    link.run();
  };
  peer.settle = round;
  let seq = 1001;
  /**
   * A segment comes. @returns what the stack acknowledges upon it, in bytes of the stream; one
   * number for each acknowledgement
   */
  const segment = (atHand: boolean, skip = 0, flags = 'A'): number[] => {
    more = atHand;
    peer.send({ flags, seq: seq + skip, ack: iss + 1, data: SEGMENT });
    if (skip === 0) seq += SEGMENT.length;
    return peer.seen.splice(0).map(({ ack }) => ack - 1001);
  };
  const idle = (): number[] => {
    round();
    return peer.seen.splice(0).map(({ ack }) => ack - 1001);
  };
  return { peer, stack, segment, idle };
}

t.test('without more frames at hand every second segment is acknowledged at once', async (t) => {
  const { segment } = connection();
  t.same(
    Array.from({ length: 6 }, () => segment(false)),
    [[], [2800], [], [5600], [], [8400]],
  );
});

t.test('with more frames at hand, acknowledgements wait until the device has none', async (t) => {
  const { stack, peer, segment, idle } = connection();
  for (let n = 0; n < 8; n++) t.same(segment(true), [], `segment ${n}`);
  t.ok(stack.nextDeadline() <= peer.clock.now(), 'the next round comes at once');
  t.same(idle(), [8 * 1400], 'nothing came in it');
  t.ok(stack.nextDeadline() > peer.clock.now());
  t.same(segment(true), []);
  t.same(segment(true), []);
  t.same(segment(false), [11 * 1400], 'the batch that ends dry');
});

t.test('an acknowledgement waits at most two milliseconds', async (t) => {
  const { peer, segment } = connection();
  const acks: number[] = [];
  for (let n = 0; n < 20; n++) {
    acks.push(...segment(true));
    peer.clock.advance(500);
  }
  t.ok(acks.length >= 3 && acks.length <= 5, acks.join());
});

t.test('at most half of the window waits for its acknowledgement', async (t) => {
  const { segment } = connection();
  const acks = Array.from({ length: 30 }, () => segment(true)).flat();
  t.ok(acks.length > 0);
  t.ok(acks[0] <= 65_536 / 2 + 1400, acks.join());
});

t.test('out-of-order data and FIN are acknowledged at once', async (t) => {
  const { segment } = connection();
  t.same(segment(true), []);
  t.same(segment(true), []);
  t.same(segment(true, 3000), [2800], 'out of order');
  const other = connection();
  t.same(other.segment(true), []);
  t.same(other.segment(true, 0, 'AF'), [2801]);
});

t.test('a connection ends while its acknowledgement waits', async (t) => {
  const { peer, segment, idle } = connection();
  t.same(segment(true), []);
  t.same(segment(true), []);
  peer.accepted[0].endpoint.abort();
  t.same(idle(), [2800], 'the RST');
  t.same(idle(), []);
});
