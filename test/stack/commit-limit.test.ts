/**
 * A gate that is open for a part of the output only: committed output leaves, the rest waits, and
 * no output waits for ever.
 */
import t from 'tap';
import { TxFrame } from '../../lib/device/device.js';
import type { OutputGate } from '../../lib/device/output-gate.js';
import { Sim, SimSocket } from './support/sim.js';

/**
 * Output depends on `end` at the moment when it was made, and may leave when `stable` has reached
 * it.
 */
class TestGate implements OutputGate {
  readonly partial = true;
  end = 0;
  stable = 0;
  /** The device has no room. */
  busy = false;
  refused = 0;
  waits = 0;

  constructor(sim: Sim) {
    const device = sim.link.b;
    const send = device.send.bind(device);
    device.send = (frame: TxFrame) => {
      if (this.busy) return false;
      if (frame.committed || this.isOpen()) return send(frame);
      this.refused++;
      return false;
    };
    sim.stacks[1].gate = this;
  }

  isOpen(): boolean {
    return this.stable >= this.end;
  }

  isPartiallyOpen(): boolean {
    return true;
  }

  reached(position: number): boolean {
    return this.stable >= position;
  }

  wait(): void {
    if (++this.waits > 10_000) throw new Error('the flush does not end');
  }
}

function start(seed: string): { sim: Sim; gate: TestGate; accepted: SimSocket[] } {
  const sim = new Sim({ seed, forward: { delayUs: 500 }, backward: { delayUs: 500 } });
  const gate = new TestGate(sim);
  const accepted: SimSocket[] = [];
  sim.serve(80, () => new SimSocket(sim, 1, 0, false), accepted);
  return { sim, gate, accepted };
}

t.test('handshake, acknowledgements and data wait for what they depend on, and for no more', async (t) => {
  const { sim, gate, accepted } = start('held');
  gate.end = 1;
  const client = sim.connect(80, new SimSocket(sim, 0, 3000, false));
  sim.pass(100_000);
  t.equal(client.connected, false, 'no SYN-ACK before the connection is safe');
  gate.stable = 1;
  sim.stacks[1].flush();
  sim.pass(60_000);
  t.equal(client.connected, true);
  const [conn] = [...sim.stacks[0].tcp.byId.values()];
  t.equal(conn.sndUna, 3001, 'an open gate lets all of it through');

  gate.end = 2;
  client.endpoint!.write(new Uint8Array(1000));
  sim.pass(60_000);
  // The log goes on growing: it is never stable to its end.
  gate.end = 3;
  client.endpoint!.write(new Uint8Array(500));
  sim.pass(60_000);
  t.equal(conn.sndUna, 3001, 'nothing is acknowledged that is not safe');
  gate.stable = 2;
  sim.stacks[1].flush();
  sim.pass(60_000);
  t.equal(conn.sndUna, 4001, 'the first part is, though the log is not stable to its end');

  accepted[0].endpoint!.write(new Uint8Array(700));
  sim.pass(60_000);
  t.equal(client.received, 0, 'nor is anything sent');
  gate.end = 4;
  gate.stable = 3;
  sim.stacks[1].flush();
  sim.pass(60_000);
  t.equal(conn.sndUna, 4501);
  t.equal(client.received, 0, 'it was written after the mark, and has another one now');
  gate.end = 5;
  gate.stable = 4;
  sim.stacks[1].flush();
  sim.pass(60_000);
  t.equal(client.received, 700);
  t.equal(gate.refused, 0, 'no frame was built that was not free to leave');
});

t.test('a RST that has to wait is sent in the end, and a busy device stops no other connection', async (t) => {
  const { sim, gate, accepted } = start('owed');
  const client = sim.connect(80, new SimSocket(sim, 0, 100, false));
  sim.pass(60_000);
  gate.end = 1;
  accepted[0].endpoint!.abort();
  sim.pass(60_000);
  t.equal(client.closed, undefined, 'it depends on what is not safe');
  t.equal(sim.stacks[1].tcp.table.size, 0);
  gate.end = 2;
  gate.stable = 1;
  gate.busy = true;
  t.equal(sim.stacks[1].flush(), false, 'the device is busy, which is all there is to say');
  gate.busy = false;
  sim.stacks[1].flush();
  sim.pass(60_000);
  t.equal(client.closed, 'ECONNRESET');
});

t.test('the permission of one frame is not that of the next', async (t) => {
  const frame = new TxFrame();
  t.equal(frame.committed, false, 'nothing is committed by default');
  frame.committed = true;
  frame.reset();
  t.equal(frame.committed, false);
});

t.test('all fragments of a committed datagram leave, and none of another', async (t) => {
  const { sim, gate } = start('fragments');
  const [client, server] = sim.stacks;
  const peer = client.book.parse('10.0.0.1')!;
  const received: number[] = [];
  client.udp.bind(0, 9, { onMessage: (data: Uint8Array) => received.push(data.length) });
  const socket = server.udp.bind(0, 7, { onMessage: () => undefined });
  gate.end = 1;
  socket.send(new Uint8Array(4000), peer, 9);
  gate.end = 2;
  socket.send(new Uint8Array(5000), peer, 9);
  sim.pass(60_000);
  t.same(received, []);
  gate.stable = 1;
  server.flush();
  sim.pass(60_000);
  t.same(received, [4000], 'the gate has reached the first one only');
  t.equal(gate.refused, 0);
  gate.stable = 2;
  server.flush();
  sim.pass(60_000);
  t.same(received, [4000, 5000]);
});
