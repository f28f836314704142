import t from 'tap';
import { checkpoint, FIELDS, restore } from '../../stack/tcp/checkpoint.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';
import { Sim, SimSocket } from './support/sim.js';

/** The only connection of a stack. */
function connOf(sim: Sim, end: 0 | 1): TcpConnection {
  const found: TcpConnection[] = [];
  sim.stacks[end].tcp.table.forEach((conn) => {
    found.push(conn);
  });
  return found[0];
}

t.test('every field of a connection is in the table, and nothing else', async (t) => {
  const sim = new Sim({ seed: 'fields' });
  sim.serve(80, () => new SimSocket(sim, 1, 10));
  sim.connect(80, new SimSocket(sim, 0, 10));
  sim.run(() => sim.stacks[0].tcp.table.size > 0 && connOf(sim, 0).established);
  const own = new Set(Object.keys(connOf(sim, 0)));
  t.same(
    Object.keys(FIELDS).filter((name) => !own.has(name)),
    [],
    'no longer there',
  );
  t.same(
    [...own].filter((name) => FIELDS[name] === undefined),
    [],
    'of no kind',
  );
});

t.test('checkpoint, restore, checkpoint is the identity, at any moment of a lossy transfer', async (t) => {
  const sim = new Sim({
    seed: 'identity',
    forward: { delayUs: 3000, loss: 0.05, reorder: 0.05, reorderUs: 5000 },
    tcp: { receiveBuffer: 200_000 },
  });
  sim.serve(80, () => new SimSocket(sim, 1, 400_000));
  sim.connect(80, new SimSocket(sim, 0, 400_000));
  let taken = 0;
  let next = 0;
  const seen = new Set<number>();
  sim.run(() => {
    if (sim.clock.now() < next) return false;
    next = sim.clock.now() + 8000;
    for (const end of [0, 1] as const) {
      if (sim.stacks[end].tcp.table.size === 0) continue;
      const conn = connOf(sim, end);
      const saved = structuredClone(checkpoint(conn));
      // Another stack with the same addresses.
      const other = new Sim({ seed: 'identity', tcp: { receiveBuffer: 200_000 } });
      const { tcp } = other.stacks[end];
      if (conn.listener !== null) tcp.listen(0, 80, 5, () => undefined);
      const again = checkpoint(restore(tcp, saved));
      seen.add(conn.state);
      taken++;
      if (!t.same(again, saved, `state ${conn.state}`)) return true;
    }
    return false;
  }, 60e6);
  t.ok(taken > 60, `${taken} checkpoints`);
  t.ok(seen.size >= 4, `${seen.size} states`);
});

t.test('a restore that fails says why', async (t) => {
  const sim = new Sim({ seed: 'refused' });
  sim.serve(80, () => new SimSocket(sim, 1, 10));
  sim.connect(80, new SimSocket(sim, 0, 10));
  sim.run(() => sim.stacks[0].tcp.table.size > 0 && connOf(sim, 0).established);
  const saved = checkpoint(connOf(sim, 0));
  t.throws(() => restore(sim.stacks[0].tcp, saved), { code: 'EADDRINUSE' });
  t.throws(() => restore(sim.stacks[1].tcp, saved), { code: 'EADDRNOTAVAIL' });
});
