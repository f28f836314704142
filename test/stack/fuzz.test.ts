import t from 'tap';
import { SeededRandom } from '../../lib/random.js';
import { mutate, repair } from './support/mutate.js';
import { Sim, SimSocket } from './support/sim.js';

const FRAMES = 1_050_000;
const SEEDS = ['a', 'b', 'c'];
const MAX_CONNECTIONS = 500;

/**
 * Frames of whole sessions, as they arrive at the second stack: ARP, TCP from SYN to the last ACK,
 * ICMP, UDP.
 */
function corpus(): Uint8Array[] {
  const sim = new Sim({ seed: 'corpus', forward: { delayUs: 500, loss: 0.02 } });
  const frames: Uint8Array[] = [];
  const carry = sim.link.carry.bind(sim.link);
  sim.link.carry = (from, frame, flags, gsoSize) => {
    if (from === sim.link.a) frames.push(frame.slice());
    carry(from, frame, flags, gsoSize);
  };
  sim.serve(80, () => new SimSocket(sim, 1, 20_000));
  const sockets = [0, 1, 2].map(() => sim.connect(80, new SimSocket(sim, 0, 20_000)));
  sim.run(() => sockets.every((socket) => socket.closed !== undefined));
  const seen = frames.length;
  // An echo request, a datagram, an ICMP error about a segment of ours, and a fragment.
  const base = frames.find((frame) => frame[23] === 6)!;
  const make = (protocol: number, payload: number[], fragment = 0): void => {
    const frame = new Uint8Array(34 + payload.length);
    frame.set(base.subarray(0, 34));
    frame.set(payload, 34);
    const view = new DataView(frame.buffer);
    view.setUint16(16, 20 + payload.length);
    view.setUint16(20, fragment);
    frame[23] = protocol;
    repair(frame);
    frames.push(frame);
  };
  make(1, [8, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
  make(17, [0, 53, 0, 99, 0, 12, 0, 0, 1, 2, 3, 4]);
  make(1, [3, 4, 0, 0, 0, 0, 5, 0, ...base.subarray(14, 42)]);
  make(6, Array.from(base.subarray(34)), 0x2000);
  if (seen < 30) throw new Error(`the session is too short: ${seen} frames`);
  return frames;
}

const frames = corpus();

for (const seed of SEEDS) {
  t.test(`mutated frames, seed ${seed}`, async (t) => {
    const random = new SeededRandom(`fuzz ${seed}`);
    const sim = new Sim({
      seed: `bystander ${seed}`,
      forward: { delayUs: 100 },
      tcp: { maxConnections: MAX_CONNECTIONS },
    });
    const [, stack] = sim.stacks;
    sim.serve(80, () => new SimSocket(sim, 1, 5000));
    const accepted: SimSocket[] = [];
    sim.serve(4242, () => new SimSocket(sim, 3, 100_000, false), accepted);
    const bystander = sim.connect(4242, new SimSocket(sim, 2, 100_000, false));
    sim.run(() => bystander.received === 100_000 && accepted[0]?.received === 100_000);
    t.equal(bystander.received, 100_000);
    // Whatever the mutated frames provoke goes nowhere, so that the first stack does not join in.
    let answers = 0;
    const carry = sim.link.carry.bind(sim.link);
    sim.link.carry = () => {
      answers++;
    };
    const net = stack.interfaces[0];
    const before = net.counters.inFrames;
    const each = Math.ceil(FRAMES / SEEDS.length);
    let thrown = '';
    let most = 0;
    for (let i = 0; i < each && thrown === ''; i++) {
      const frame = mutate(frames[random.u32() % frames.length], random);
      try {
        sim.link.b.deliver(frame, random.u32() % 8 === 0 ? 1 : 0, random.u32() % 64 === 0 ? 1448 : 0);
        if (i % 16 === 0) while (sim.hosts[1].turn());
        if (i % 256 === 0) sim.clock.advance(5000);
      } catch (error) {
        thrown = `frame ${i} ${Buffer.from(frame).toString('hex')}: ${error instanceof Error ? error.stack : error}`;
      }
      if (i % 1000 === 0) most = Math.max(most, stack.tcp.table.size);
    }
    t.equal(thrown, '', 'nothing throws');
    t.equal(net.counters.inFrames - before, each, 'every frame was seen');
    const dropped = net.drops.reduce((sum, n) => sum + n, 0);
    t.ok(dropped > each / 4, `${dropped} of ${each} frames dropped with a reason, ${answers} answers`);
    const reasons = net.drops.filter((n) => n > 0).length;
    t.ok(reasons >= 15, `${reasons} different reasons`);
    t.ok(stack.tcp.counters.inSegs > each / 10, `${stack.tcp.counters.inSegs} segments reached TCP`);
    t.ok(most <= MAX_CONNECTIONS, `at most ${most} connections`);
    t.ok(net.neighbours.size <= 1024, 'neighbours bounded');
    t.ok(stack.tcp.timeWaits.size <= 20_000, 'TIME_WAIT bounded');
    t.ok(stack.events.length <= MAX_CONNECTIONS);
    // The bystander's connection goes on as if nothing had happened.
    sim.link.carry = carry;
    net.neighbours.clear();
    while (sim.hosts[1].turn());
    const more = Buffer.from('still there');
    const got = bystander.received;
    accepted[0].endpoint!.write(more);
    t.ok(
      sim.run(() => bystander.received === got + more.length, 120e6),
      'the bystander goes on',
    );
    t.equal(bystander.closed, undefined);
  });
}
