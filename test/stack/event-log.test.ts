import t from 'tap';
import { TcpState } from '../../stack/tcp/state.js';
import { EventLog } from '../../stack/tcp/tcb/event-log.js';
import { Sim, SimSocket } from './support/sim.js';

t.test('what happened to a connection, in order, bounded', async (t) => {
  const sim = new Sim({ seed: 'log', forward: { delayUs: 5000, loss: 0.05 }, tcp: { eventLog: 64 } });
  const accepted: SimSocket[] = [];
  sim.serve(80, () => new SimSocket(sim, 1, 300_000), accepted);
  const client = sim.connect(80, new SimSocket(sim, 0, 300_000));
  let conn = null as ReturnType<Sim['stacks'][0]['tcp']['connect']> | null;
  sim.stacks[0].tcp.table.forEach((one) => {
    conn = one;
  });
  t.ok(sim.run(() => client.ended && accepted[0]?.ended === true));
  sim.pass(100e6);
  const entries = conn!.log!.entries;
  t.ok(entries.length > 5 && entries.length <= 64);
  t.match(entries.at(-1), { event: 'removed', a: 0 });
  t.ok(entries.some(({ event }) => event === 'recovery'));
  t.ok(entries.every((entry, i) => i === 0 || entry.atUs >= entries[i - 1].atUs));
  const states = entries.filter(({ event }) => event === 'state');
  t.ok(states.some(({ b }) => b === TcpState.FinWait1 || b === TcpState.LastAck));
});

t.test('the oldest events give way', async (t) => {
  const log = new EventLog(3);
  for (let i = 0; i < 7; i++) log.add(i, 'mss', i, 0);
  t.same(
    log.entries.map(({ a }) => a),
    [4, 5, 6],
  );
  t.equal(log.total, 7);
});
