import t from 'tap';
import { Sim, SimSocket } from './support/sim.js';

/** How large the receive window of a transfer gets. */
function limitAfter(
  seed: string,
  delayUs: number,
  bandwidth: number,
  options: { autoTune?: boolean; read?: boolean; window?: number } = {},
): number {
  const { autoTune = true, read = true, window = 16 << 20 } = options;
  const sim = new Sim({
    seed,
    forward: { delayUs, bandwidth, queueBytes: 4 << 20 },
    backward: { delayUs },
    tcp: { autoTune },
  });
  const accepted: SimSocket[] = [];
  sim.serve(80, () => new SimSocket(sim, 1, 0), accepted);
  const source = new SimSocket(sim, 0, 20_000_000);
  source.window = window;
  const client = sim.connect(80, source);
  let limit = 0;
  sim.run(() => {
    if (!read) accepted[0]?.endpoint?.setReading(false);
    sim.stacks[1].tcp.table.forEach((conn) => {
      limit = Math.max(limit, conn.receiveLimit);
    });
    return client.closed !== undefined || limit >= 4 << 20;
  }, 20e6);
  return limit;
}

t.test('the receive window follows the path and the reader', async (t) => {
  t.equal(limitAfter('long', 40_000, 1e9), 4 << 20, 'a long fat path');
  t.equal(limitAfter('little', 40_000, 1e9, { window: 128 << 10 }), 512 << 10, 'a sender that has little under way');
  t.equal(limitAfter('nobody reads', 40_000, 1e9, { read: false }), 512 << 10, 'nobody reads');
  t.equal(limitAfter('off', 100, 1e9, { autoTune: false }), 4 << 20, 'all of it at once when it is not tuned');
});

/** How much a writer may have under way in the end. */
function sendLimit(
  seed: string,
  delayUs: number,
  autoTune: boolean,
  { bandwidth = 1e9, window = 4 << 20, streams = 1, bytes = 20_000_000 } = {},
): number {
  const sim = new Sim({
    seed,
    forward: bandwidth === 0 ? { delayUs } : { delayUs, bandwidth, queueBytes: 16 << 20 },
    backward: { delayUs },
    tcp: { autoTune },
  });
  sim.serve(80, () => new SimSocket(sim, 1, 0), []);
  const sources: SimSocket[] = [];
  const clients = Array.from({ length: streams }, () => {
    const source = new SimSocket(sim, 0, bytes);
    source.window = window;
    sources.push(source);
    return sim.connect(80, source);
  });
  let limit = 0;
  sim.run(() => {
    // While they all have more to say.
    if (sources.every(({ sent, total }) => sent < total))
      sim.stacks[0].tcp.table.forEach((conn) => {
        limit = Math.max(limit, conn.sendTarget);
      });
    return clients.every(({ closed }) => closed !== undefined);
  }, 20e6);
  return limit;
}

t.test('the send buffer follows the window where the path is long', async (t) => {
  const limit = sendLimit('send', 40_000, true);
  t.ok(limit > 2 << 20 && limit <= 16 << 20, `${limit} bytes`);
  t.equal(limit % 65_536, 0, 'in whole units');
  t.equal(sendLimit('send short', 100, true), 0, 'a short path needs no more than it has');
  t.equal(sendLimit('send off', 40_000, false), 0, 'not when it is not tuned');
});

t.test('on a short path it grows when nothing is in flight by the time that the writer is told of space', async (t) => {
  const fast = { bandwidth: 0, window: 1 << 20 };
  const limit = sendLimit('send dry', 200, true, fast);
  t.ok(limit >= 2 << 20 && limit <= 8 << 20, `${limit} bytes`);
  t.equal(
    sendLimit('send dry, many', 200, true, { ...fast, streams: 70, bytes: 3_000_000 }) <= 1 << 20,
    true,
    'many share it',
  );
  t.equal(sendLimit('send dry, off', 200, false, fast), 0, 'not when it is not tuned');
});
