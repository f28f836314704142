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
