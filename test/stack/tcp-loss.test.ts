import t from 'tap';
import type { Impairment } from '../../lib/device/emulation/impairment.js';
import { NO_RECOVERY, Recovery } from '../../stack/tcp/tcb/recovery-state.js';
import { EMPTY_SCOREBOARD } from '../../stack/tcp/tcb/scoreboard.js';
import { Sim, SimSocket } from './support/sim.js';

const LENGTH = 1_500_000;
const NO_LEAKS = {
  connections0: 0,
  timeWaits0: 0,
  timers0: 0,
  events0: 0,
  connections1: 0,
  timeWaits1: 0,
  timers1: 0,
  events1: 0,
  inFlight: 0,
};

interface Outcome {
  problem: string;
  seconds: number;
  gapMs: number;
}

/** Both ends send at the same time, over a link that treats both directions alike. */
function transfer(seed: string, impairment: Impairment, offload: boolean): Outcome {
  const sim = new Sim({ seed, forward: { delayUs: 2000, ...impairment }, offload });
  const accepted: SimSocket[] = [];
  sim.serve(80, () => new SimSocket(sim, 1, LENGTH), accepted);
  const start = sim.clock.now();
  const client = sim.connect(80, new SimSocket(sim, 0, LENGTH));
  const done = sim.run(() => client.ended && accepted[0]?.ended === true);
  const seconds = (sim.clock.now() - start) / 1e6;
  const server = accepted[0];
  const state = `${client.received} and ${server?.received} of ${LENGTH} after ${seconds} s`;
  let problem = '';
  if (!done) problem = `stalled: ${state}`;
  else if (client.wrongAt >= 0 || server.wrongAt >= 0) problem = `wrong at ${client.wrongAt}, ${server.wrongAt}`;
  else if (client.received !== LENGTH || server.received !== LENGTH) problem = `wrong length: ${state}`;
  else {
    const leaks = JSON.stringify(sim.leaks());
    if (leaks !== JSON.stringify(NO_LEAKS)) problem = `left over: ${leaks}`;
  }
  return { problem, seconds, gapMs: Math.max(client.longestGapUs, server?.longestGapUs ?? 0) / 1000 };
}

const FIVE = 0.05;
const cases: Record<string, Impairment> = {
  'nothing but delay': {},
  'loss of 5 %': { loss: FIVE },
  'reordering of 5 %': { reorder: FIVE, reorderUs: 5000 },
  'duplication of 5 %': { duplicate: FIVE },
  'loss, reordering and duplication of 5 % each': { loss: FIVE, reorder: FIVE, reorderUs: 5000, duplicate: FIVE },
  'corruption of 1 %': { corrupt: 0.01 },
  'jitter that reorders everything': { jitterUs: 20_000 },
  'loss of 20 %': { loss: 0.2 },
  'a slow bottleneck with a short queue': { bandwidth: 20e6, queueBytes: 30_000 },
};

for (const [name, impairment] of Object.entries(cases)) {
  t.test(name, async (t) => {
    for (const offload of [false, true]) {
      for (const seed of ['one', 'two', 'three']) {
        const { problem, seconds, gapMs } = transfer(`${seed} ${name}`, impairment, offload);
        t.equal(
          problem,
          '',
          `seed "${seed}", offload ${offload}: ${seconds.toFixed(2)} s, longest gap ${gapMs.toFixed(0)} ms`,
        );
        // A gap is some retransmission timeouts in a row: 200 ms beyond the round trip at first,
        // doubled each time that a segment or its acknowledgement is lost again (one in three at 20
        // %). Seven of them at most.
        const firstMs = 200 + 13;
        const bound = (impairment.loss ?? 0) > 0.1 ? 127 * firstMs : 3500;
        t.ok(gapMs < bound, `no stall (${gapMs} ms)`);
      }
    }
  });
}

t.test('two ends in TIME_WAIT do not answer each other for ever', async (t) => {
  // Found by exploration: both ends close at once, a last ACK is lost, and the link duplicates.
  const sim = new Sim({
    seed: 'explore2',
    forward: { delayUs: 4393, loss: 0.02, reorder: 0.1, reorderUs: 25_754, bandwidth: 165e6, queueBytes: 90_000 },
    backward: { delayUs: 43_284, loss: 0.02, duplicate: 0.18, corrupt: 0.014, bandwidth: 54e6, queueBytes: 47_000 },
    offload: true,
    mtu: 576,
  });
  const accepted: SimSocket[] = [];
  sim.serve(80, () => new SimSocket(sim, 1, 260_000), accepted);
  const client = sim.connect(80, new SimSocket(sim, 0, 108_000));
  t.ok(sim.run(() => client.ended && accepted[0]?.ended === true));
  const before = sim.link.counters.sent;
  t.same(
    Object.values(sim.leaks()).filter((n) => n > 0),
    [],
  );
  t.ok(sim.link.counters.sent - before < 30, `${sim.link.counters.sent - before} frames after the end`);
});

t.test('idle connections share one empty scoreboard, which is never written', async (t) => {
  const sim = new Sim({ seed: 'calm', forward: { delayUs: 1000 }, offload: false });
  sim.hosts[1].listen({ port: 80 }, { onConnection: (accepted) => accepted.setReading(true) });
  const endpoint = sim.hosts[0].connect({ address: '10.0.0.2', port: 80 });
  sim.pass(100_000);
  const conn = sim.stacks[0].tcp.byId.get(endpoint.id)!;
  const idle = (): boolean => conn.scoreboard === EMPTY_SCOREBOARD && conn.recovery === NO_RECOVERY;
  t.ok(idle());
  endpoint.write(Buffer.alloc(5000));
  sim.pass(100);
  t.notOk(idle(), 'in flight');
  t.equal(conn.scoreboard.base, conn.sndUna);
  sim.pass(100_000);
  t.ok(idle(), 'arrived');
  // All the losses above, in this process, went through objects of their own.
  t.same({ ...NO_RECOVERY }, { ...new Recovery() });
  t.same([EMPTY_SCOREBOARD.count, EMPTY_SCOREBOARD.lost, EMPTY_SCOREBOARD.sacked], [0, 0, 0]);
});
