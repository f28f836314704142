/** A long turn of the event loop: what came in meanwhile is seen before timers fire. */
import t, { type Test } from 'tap';
import { type AppSocket, Peer } from './support/peer.js';

const SACK_PERMITTED = [1, 1, 4, 2];

/** A connection with a round trip of 5 ms, and five segments in flight. */
function inFlight(t: Test): { peer: Peer; iss: number; irs: number; app: AppSocket } {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(1000, SACK_PERMITTED) + 1;
  peer.settle();
  const app = peer.accepted[0];
  app.endpoint.write(Buffer.alloc(10));
  peer.pass(5);
  peer.take();
  peer.send({ flags: 'A', seq: 1001, ack: irs + 10 });
  app.endpoint.write(Buffer.alloc(2680));
  t.equal(peer.take().length, 5, 'segments of 536 bytes');
  return { peer, iss: 1001, irs: irs + 10, app };
}

t.test('an acknowledgement that waits in the device stops the probe and the retransmission', async (t) => {
  for (const busyMs of [50, 5000]) {
    const { peer, iss, irs } = inFlight(t);
    peer.queue({ flags: 'A', seq: iss, ack: irs + 2680 });
    peer.clock.advance(busyMs * 1000);
    // The turn goes on before the loop looks at the device.
    while (peer.host.turn());
    t.equal(peer.stack.nextDeadline() <= peer.clock.now(), true, 'the loop does not sleep');
    peer.settle();
    const { tailProbes, rtoTimeouts, retransSegs } = peer.stack.tcp.counters;
    t.same({ tailProbes, rtoTimeouts, retransSegs }, { tailProbes: 0, rtoTimeouts: 0, retransSegs: 0 }, `${busyMs} ms`);
  }
});

t.test('without one the timers fire at the next turn', async (t) => {
  const { peer } = inFlight(t);
  peer.clock.advance(50_000);
  while (peer.host.turn());
  t.equal(peer.stack.tcp.counters.tailProbes, 0);
  while (peer.host.turn());
  t.equal(peer.stack.tcp.counters.tailProbes, 1);
});

t.test('a loop that is not busy waits for nothing', async (t) => {
  const { peer } = inFlight(t);
  const dueUs = peer.stack.nextDeadline();
  peer.clock.advance(dueUs - peer.clock.now());
  while (peer.host.turn());
  t.equal(peer.stack.tcp.counters.tailProbes, 1);
});
