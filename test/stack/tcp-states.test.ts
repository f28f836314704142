/** TCP's states, segment by segment, against a peer that is moved by hand. Times are virtual. */
import t from 'tap';
import { AppSocket, Peer } from './support/peer.js';

const TS = (value: number, echo = 0): number[] => {
  const bytes = Buffer.from([1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0]);
  bytes.writeUInt32BE(value >>> 0, 4);
  bytes.writeUInt32BE(echo >>> 0, 8);
  return [...bytes];
};

/** A listening stack with one connection, peer's sequence numbers from `iss`. */
function established(iss = 1000, options: number[] = []): { peer: Peer; iss: number; irs: number; app: AppSocket } {
  const peer = new Peer();
  peer.listen();
  const irs = peer.open(iss, options);
  peer.settle();
  return { peer, iss: iss + 1, irs: irs + 1, app: peer.accepted[0] };
}

t.test('passive open: options are answered in kind', async (t) => {
  const peer = new Peer();
  peer.listen();
  peer.send({ flags: 'S', seq: 7, options: [2, 4, 5, 0xb4, 4, 2, 8, 10, 0, 0, 0, 9, 0, 0, 0, 0, 1, 3, 3, 7] });
  const full = peer.one();
  t.match(full, { flags: 'SA', ack: 8, mss: 1460, sackPermitted: true, tsPresent: true, tsEcr: 9 });
  t.ok(full.windowScale >= 0);
  peer.port++;
  peer.send({ flags: 'S', seq: 7 });
  t.match(peer.one(), { flags: 'SA', mss: 1460, windowScale: -1, sackPermitted: false, tsPresent: false });
  t.equal(peer.accepted.length, 0, 'nobody is told before the handshake is complete');
});

t.test('data both ways, and an orderly end from the peer', async (t) => {
  const { peer, iss, irs, app } = established();
  peer.send({ flags: 'PA', seq: iss, ack: irs, data: 'hello' });
  t.equal(app.data, 'hello');
  app.endpoint.write(Buffer.from('world'));
  const reply = peer.one();
  t.match(reply, { seq: irs, ack: iss + 5, data: 'world' });
  peer.send({ flags: 'FA', seq: iss + 5, ack: irs + 5 });
  t.equal(peer.one().ack, iss + 6, 'FIN is acknowledged at once');
  t.same(app.log, ['end']);
  app.endpoint.write(Buffer.from('half-closed'));
  t.match(peer.one(), { data: 'half-closed', seq: irs + 5 });
  app.endpoint.shutdown();
  peer.send({ flags: 'A', seq: iss + 6, ack: irs + 16 });
  t.match(peer.one(), { flags: 'AF', seq: irs + 16 });
  peer.send({ flags: 'A', seq: iss + 6, ack: irs + 17 });
  t.same(app.log, ['end', 'close null']);
  t.equal(peer.stack.tcp.table.size, 0, 'LAST_ACK leaves nothing behind');
  t.equal(peer.stack.tcp.timeWaits.size, 0);
});

t.test('an orderly end from us goes through TIME_WAIT', async (t) => {
  const { peer, iss, irs, app } = established();
  app.endpoint.shutdown();
  t.match(peer.one(), { flags: 'AF', seq: irs });
  peer.send({ flags: 'A', seq: iss, ack: irs + 1 });
  peer.send({ flags: 'PA', seq: iss, ack: irs + 1, data: 'still' });
  t.equal(app.data, 'still', 'FIN_WAIT_2 receives');
  peer.take();
  peer.send({ flags: 'FA', seq: iss + 5, ack: irs + 1 });
  t.match(peer.one(), { flags: 'A', ack: iss + 6, seq: irs + 1 });
  t.same([peer.stack.tcp.table.size, peer.stack.tcp.timeWaits.size], [0, 1]);
  peer.send({ flags: 'FA', seq: iss + 5, ack: irs + 1 });
  t.match(peer.one(), { flags: 'A', ack: iss + 6 }, 'a repeated FIN is acknowledged again');
  peer.send({ flags: 'R', seq: iss + 6 });
  t.equal(peer.stack.tcp.timeWaits.size, 1, 'a RST does not end it (RFC 1337)');
  peer.send({ flags: 'S', seq: iss + 5 });
  t.equal(peer.one().flags, 'A', 'an old SYN gets an ACK');
  peer.send({ flags: 'S', seq: iss + 100_000 });
  t.equal(peer.one().flags, 'SA', 'a new one opens a connection');
  peer.pass(70_000);
  t.equal(peer.stack.tcp.timeWaits.size, 0);
});

t.test('simultaneous close', async (t) => {
  const { peer, iss, irs, app } = established();
  app.endpoint.shutdown();
  t.equal(peer.one().flags, 'AF');
  peer.send({ flags: 'FA', seq: iss, ack: irs });
  t.match(peer.one(), { flags: 'A', ack: iss + 1 }, 'CLOSING');
  t.equal(peer.stack.tcp.timeWaits.size, 0);
  peer.send({ flags: 'A', seq: iss + 1, ack: irs + 1 });
  t.equal(peer.stack.tcp.timeWaits.size, 1);
  t.same(app.log, ['end', 'close null']);
});

t.test('active open, refused, unanswered, simultaneous', async (t) => {
  const connect = (peer: Peer): AppSocket => {
    const socket = new AppSocket(peer.host.connect({ address: '10.0.0.1', port: 80, localPort: 5000 }));
    peer.settle();
    return socket;
  };
  const open = new Peer();
  const socket = connect(open);
  const syn = open.one();
  t.match(syn, { flags: 'S', mss: 1460, sackPermitted: true, tsPresent: true, dstPort: 80, srcPort: 5000 });
  open.send({ flags: 'A', seq: 1, ack: syn.seq + 99, srcPort: 80, dstPort: 5000 });
  t.match(open.one(), { flags: 'R', seq: (syn.seq + 99) >>> 0 }, 'an ACK of something else is reset');
  open.send({ flags: 'SA', seq: 300, ack: syn.seq + 1, srcPort: 80, dstPort: 5000 });
  t.match(open.one(), { flags: 'A', ack: 301, seq: (syn.seq + 1) >>> 0 });
  t.same(socket.log, ['connect']);

  const refused = new Peer();
  const second = connect(refused);
  refused.send({ flags: 'RA', seq: 0, ack: refused.one().seq + 1, srcPort: 80, dstPort: 5000 });
  t.same(second.log, ['close ECONNREFUSED']);

  const silent = new Peer();
  const third = connect(silent);
  silent.pass(300_000);
  const times = silent.take().map((segment) => Math.round(segment.atUs / 1e6));
  t.ok(times.length >= 5, `SYN sent ${times.length} times`);
  const steps = times.slice(1).map((time, i) => time - times[i]);
  t.same(steps.slice(0, 4), [1, 2, 4, 8], 'RFC 6298: doubled each time');
  t.same(third.log, ['close ETIMEDOUT']);

  const both = new Peer();
  const fourth = connect(both);
  const mine = both.one();
  both.send({ flags: 'S', seq: 900, srcPort: 80, dstPort: 5000 });
  t.match(both.one(), { flags: 'SA', seq: mine.seq, ack: 901 }, 'SYN_RCVD');
  both.send({ flags: 'SA', seq: 900, ack: mine.seq + 1, srcPort: 80, dstPort: 5000 });
  t.same(fourth.log, ['connect']);
});

t.test('no listener: RST with the right numbers', async (t) => {
  const peer = new Peer();
  peer.send({ flags: 'S', seq: 77, dstPort: 81 });
  t.match(peer.one(), { flags: 'AR', seq: 0, ack: 78 });
  peer.send({ flags: 'A', seq: 77, ack: 5555, dstPort: 81 });
  t.match(peer.one(), { flags: 'R', seq: 5555 });
  peer.send({ flags: 'R', seq: 77, dstPort: 81 });
  t.same(peer.take(), [], 'a RST is never answered');
});

t.test('RFC 5961: blind resets and SYNs', async (t) => {
  const { peer, iss, irs, app } = established();
  peer.send({ flags: 'R', seq: iss - 1 });
  t.same(peer.take(), [], 'outside of the window: nothing');
  peer.send({ flags: 'R', seq: iss + 10 });
  t.match(peer.one(), { flags: 'A', seq: irs, ack: iss }, 'inside: a challenge');
  peer.send({ flags: 'S', seq: iss + 10 });
  t.match(peer.one(), { flags: 'A', ack: iss }, 'a SYN: a challenge');
  t.same(app.log, []);
  peer.send({ flags: 'R', seq: iss });
  t.same(app.log, ['close ECONNRESET'], 'the exact number ends it');
  t.equal(peer.stack.tcp.table.size, 0);
});

t.test('acknowledgement of what was never sent', async (t) => {
  const { peer, iss, irs, app } = established();
  peer.send({ flags: 'PA', seq: iss, ack: irs + 1, data: 'lie' });
  t.match(peer.one(), { flags: 'A', ack: iss });
  t.equal(app.data, '', 'the segment is dropped (RFC 9293 section 3.10.7.4)');
});

t.test('segments that overlap, come early, or come twice', async (t) => {
  const { peer, iss, irs, app } = established();
  peer.send({ flags: 'A', seq: iss + 5, ack: irs, data: 'fghij' });
  t.equal(peer.one().ack, iss, 'a duplicate ACK at once');
  peer.send({ flags: 'A', seq: iss, ack: irs, data: 'abcde' });
  t.equal(app.data, 'abcdefghij');
  t.equal(peer.one().ack, iss + 10);
  peer.send({ flags: 'A', seq: iss + 3, ack: irs, data: 'defghijklm' });
  t.equal(app.data, 'abcdefghijklm');
  peer.take();
  peer.send({ flags: 'A', seq: iss, ack: irs, data: 'abcde' });
  t.equal(peer.one().ack, iss + 13, 'an old segment is acknowledged');
  t.equal(app.data, 'abcdefghijklm');
});

t.test('sequence numbers wrap', async (t) => {
  const { peer, iss, irs, app } = established(0xfffffff8);
  t.equal(iss, 0xfffffff9);
  peer.send({ flags: 'A', seq: iss + 10, ack: irs, data: 'klmnopqrst' });
  peer.send({ flags: 'A', seq: iss, ack: irs, data: 'abcdefghij' });
  t.equal(app.data, 'abcdefghijklmnopqrst');
  t.equal(peer.take().at(-1)!.ack, 13, 'across zero');
  peer.send({ flags: 'FA', seq: iss + 20, ack: irs });
  t.same(app.log, ['end']);
});

t.test('SACK: what came early is reported, the latest block first', async (t) => {
  const { peer, iss, irs } = established(1000, [4, 2, 1, 1]);
  peer.send({ flags: 'A', seq: iss + 100, ack: irs, data: 'x'.repeat(50) });
  t.same(peer.one().sacks, [iss + 100, iss + 150]);
  peer.send({ flags: 'A', seq: iss + 300, ack: irs, data: 'y'.repeat(50) });
  t.same(peer.one().sacks, [iss + 300, iss + 350, iss + 100, iss + 150]);
  peer.send({ flags: 'A', seq: iss, ack: irs, data: 'z'.repeat(100) });
  t.match(peer.one(), { ack: iss + 150, sacks: [iss + 300, iss + 350] });
});

t.test('PAWS: old timestamps are dropped, and answered', async (t) => {
  const { peer, iss, irs, app } = established(1000, TS(5000));
  peer.send({ flags: 'PA', seq: iss, ack: irs, data: 'new', options: TS(6000) });
  peer.take();
  peer.send({ flags: 'PA', seq: iss + 3, ack: irs, data: 'old', options: TS(5500) });
  t.match(peer.one(), { flags: 'A', ack: iss + 3, tsEcr: 6000 });
  t.equal(app.data, 'new');
  peer.send({ flags: 'PA', seq: iss + 3, ack: irs, data: 'er', options: TS(6000) });
  t.equal(app.data, 'newer', 'an equal one is fine');
  t.equal(peer.stack.tcp.counters.pawsDropped, 1);
});

t.test('delayed ACK: every second segment at once, a single one soon', async (t) => {
  const { peer, iss, irs } = established();
  peer.pass(2000);
  peer.take();
  const full = 'd'.repeat(1460);
  for (let i = 0; i < 40; i++) peer.send({ flags: 'A', seq: iss + 1460 * i, ack: irs, data: full });
  peer.take();
  peer.send({ flags: 'A', seq: iss + 1460 * 40, ack: irs, data: 's' });
  const start = peer.clock.now();
  peer.pass(600);
  const acks = peer.take();
  t.equal(acks.length, 1);
  const waited = (acks[0].atUs - start) / 1000;
  t.ok(waited > 0 && waited <= 500, `RFC 1122: within 500 ms (${waited})`);
});

t.test('Nagle holds small segments until the last is acknowledged; setNoDelay does not', async (t) => {
  const { peer, iss, irs, app } = established();
  app.endpoint.write(Buffer.from('a'));
  t.equal(peer.one().data, 'a');
  app.endpoint.write(Buffer.from('b'));
  app.endpoint.write(Buffer.from('c'));
  t.same(peer.take(), []);
  peer.send({ flags: 'A', seq: iss, ack: irs + 1 });
  t.equal(peer.one().data, 'bc');
  app.endpoint.setNoDelay(true);
  app.endpoint.write(Buffer.from('d'));
  t.equal(peer.one().data, 'd');
});

t.test('zero window: probes with backoff, for as long as the peer answers', async (t) => {
  const { peer, iss, irs, app } = established();
  peer.send({ flags: 'A', seq: iss, ack: irs, window: 0 });
  app.endpoint.write(Buffer.from('waiting'));
  t.same(peer.take(), []);
  const times: number[] = [];
  for (let i = 0; i < 2000 && times.length < 30; i++) {
    peer.pass(1000);
    for (const probe of peer.take()) {
      times.push(probe.atUs);
      t.equal(probe.length <= 1, true);
      peer.send({ flags: 'A', seq: iss, ack: irs, window: 0 });
    }
  }
  t.equal(times.length, 30, 'goes on');
  const steps = times.slice(1).map((time, i) => time - times[i]);
  t.ok(steps[2] > steps[0], 'backs off');
  t.ok(Math.max(...steps) <= 61e6, 'to a minute at most');
  peer.send({ flags: 'A', seq: iss, ack: irs, window: 100 });
  t.equal(peer.one().data, 'waiting');
  t.same(app.log, []);
});

t.test('retransmission: doubled intervals, then ETIMEDOUT', async (t) => {
  const { peer, app } = established();
  app.endpoint.write(Buffer.from('lost'));
  const first = peer.one();
  peer.pass(1_200_000);
  const again = peer.take();
  t.ok(again.length >= 10);
  t.ok(again.every((segment) => segment.data === 'lost' && segment.seq === first.seq));
  const times = [first, ...again].map((segment) => segment.atUs);
  const steps = times.slice(1).map((time, i) => (time - times[i]) / 1000);
  for (let i = 1; i < 7; i++) t.ok(Math.abs(steps[i] / steps[i - 1] - 2) < 0.1, `${steps[i - 1]} then ${steps[i]} ms`);
  t.same(app.log, ['close ETIMEDOUT']);
  t.equal(peer.stack.wheel.size - peer.stack.interfaces[0].neighbours.size <= 0, true, 'no timer is left');
});

t.test('fast retransmit after three duplicate ACKs, once', async (t) => {
  const { peer, iss, irs, app } = established();
  app.endpoint.write(Buffer.alloc(14_600, 'f'));
  const sent = peer.take();
  t.ok(sent.length >= 4, `${sent.length} segments in the initial window (RFC 6928)`);
  t.equal(sent.reduce((sum, segment) => sum + segment.length, 0) <= 14_600, true);
  const mss = sent[0].length;
  for (let i = 0; i < 2; i++) peer.send({ flags: 'A', seq: iss, ack: irs });
  const early = peer.take().filter((segment) => segment.seq === irs);
  t.same(early, [], 'two are not enough (RFC 3042 may send new data)');
  peer.send({ flags: 'A', seq: iss, ack: irs });
  const fast = peer.take().filter((segment) => segment.seq === irs);
  t.equal(fast.length, 1);
  t.equal(fast[0].length, mss);
  peer.send({ flags: 'A', seq: iss, ack: irs });
  t.same(
    peer.take().filter((segment) => segment.seq === irs),
    [],
  );
  t.equal(peer.stack.tcp.counters.rtoTimeouts, 0);
});

t.test("MSS: the peer's, or 536 when it says nothing", async (t) => {
  const small = established(1000, [2, 4, 2, 0]);
  small.app.endpoint.write(Buffer.alloc(2000, 'm'));
  t.equal(small.peer.take()[0].length, 512);
  const none = established();
  none.app.endpoint.write(Buffer.alloc(2000, 'm'));
  t.equal(none.peer.take()[0].length, 536);
});

t.test('unread data at close makes it a RST (RFC 2525 section 2.17)', async (t) => {
  const { peer, iss, irs, app } = established();
  app.endpoint.setReading(false);
  peer.send({ flags: 'PA', seq: iss, ack: irs, data: 'unread' });
  peer.take();
  app.endpoint.close();
  t.match(peer.take().at(-1), { flags: /R/ });
  t.equal(peer.stack.tcp.table.size, 0);
});

t.test('keepalive', async (t) => {
  const { peer, iss, irs, app } = established();
  app.endpoint.setKeepAlive(true, 10_000);
  peer.pass(11_000);
  const probe = peer.one();
  t.match(probe, { flags: 'A', seq: irs - 1, length: 0 });
  peer.send({ flags: 'A', seq: iss, ack: irs });
  peer.pass(76_000);
  t.equal(peer.take().length, 1, 'looked at again after the interval between probes');
  peer.pass(2_000_000);
  t.same(app.log, ['close ETIMEDOUT']);
});

t.test('initial sequence numbers (RFC 6528)', async (t) => {
  const peer = new Peer();
  peer.listen();
  const seqs = new Set<number>();
  for (let i = 0; i < 50; i++) {
    peer.port++;
    peer.send({ flags: 'S', seq: 1 });
    seqs.add(peer.one().seq);
  }
  t.equal(seqs.size, 50, 'different for every port');
  // The same four-tuple later: further on, by a clock of 4 us.
  const first = [...seqs].at(-1)!;
  peer.send({ flags: 'R', seq: 2 });
  peer.pass(1000);
  peer.take();
  peer.send({ flags: 'S', seq: 900_000 });
  const ahead = (peer.one().seq - first) | 0;
  t.ok(ahead >= 250_000 && ahead < 300_000, `${ahead} after one second`);
});

t.test('what a busy device refuses leaves later, without a timer', async (t) => {
  const peer = new Peer();
  peer.listen();
  const device = peer.link.b;
  const send = device.send.bind(device);
  const block = (): void => {
    device.send = () => false;
  };
  const unblock = (): void => {
    device.send = send;
    peer.stack.flush();
  };
  // ARP first: questions are not repeated for.
  const irs = peer.open(500) + 1;
  const app = peer.accepted[0];
  peer.port++;
  block();
  peer.send({ flags: 'S', seq: 1000 });
  t.same(peer.take(), []);
  unblock();
  t.match(peer.one(), { flags: 'SA', ack: 1001 });
  peer.port--;
  block();
  app.endpoint.write(Buffer.from('data'));
  peer.settle();
  unblock();
  t.match(peer.one(), { data: 'data', seq: irs });
  app.endpoint.shutdown();
  peer.send({ flags: 'A', seq: 501, ack: irs + 4 });
  t.match(peer.one(), { flags: 'AF' });
  block();
  peer.send({ flags: 'FA', seq: 501, ack: irs + 5 });
  t.same([peer.stack.tcp.table.size, peer.stack.tcp.timeWaits.size], [1, 1]);
  t.same(peer.take(), []);
  unblock();
  t.match(peer.one(), { flags: 'A', ack: 502, seq: irs + 5 }, 'the last ACK of a connection that is gone');
  block();
  peer.send({ flags: 'PA', seq: 1001, ack: 1, srcPort: peer.port + 1, data: 'x' });
  unblock();
  peer.pass(10);
  t.equal(peer.stack.tcp.counters.rtoTimeouts, 0);
});
