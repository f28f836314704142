import t from 'tap';
import { runAgents } from './agents.js';
import { Cluster } from './cluster.js';
import { runDay } from './day.js';
import { explore, runCase } from './explore.js';
import { runFault } from './fault.js';
import { FAULTS } from './fault-kinds.js';
import { failuresOf, minimise, readKept } from './kept.js';
import { MUTANTS } from './mutants.js';
import { mutate } from './mutation.js';
import { SCENARIOS } from './scenarios.js';
import { Wire } from './wire.js';

t.test('cases that failed once', async (t) => {
  for (const { case: name, why } of readKept()) t.same(await failuresOf(name), [], `${name}: ${why}`);
});

t.test('all scenarios, a fault at some points of each kind', async (t) => {
  const { faultPoints, failures } = await explore({
    scenarios: SCENARIOS,
    kinds: FAULTS,
    seed: 'test',
    stride: {
      kill: 23,
      'kill-backup': 37,
      hang: 41,
      pause: 61,
      double: 43,
      slow: 53,
      switchover: 29,
      restart: 31,
      clock: 37,
      machine: 31,
    },
  });
  t.same(failures, []);
  t.ok(faultPoints > 300, `${faultPoints} points`);
});

t.test('the same seed gives the same run', async (t) => {
  const scenario = SCENARIOS.find(({ name }) => name === 'upload-loss')!;
  const fault = { kind: 'kill', at: 50 } as const;
  t.same(runFault(scenario, 'again', fault), runFault(scenario, 'again', fault));
  t.not(runFault(scenario, 'again', fault).endedUs, runFault(scenario, 'other', fault).endedUs);
});

t.test('a replica without a log forgets connections that have ended', async (t) => {
  for (const name of ['download', 'echo', 'reset', 'short', 'outgoing']) {
    const scenario = SCENARIOS.find((one) => one.name === name)!;
    t.ok(scenario, name);
    const cluster = new Cluster({ ...scenario, solo: true }, 'solo');
    const { replica } = cluster.start('alone')!;
    const clients = cluster.clients();
    t.ok(
      cluster.run(() => clients.every((client) => client.done || client.seen.closed !== undefined), 20e6),
      `${name} is served`,
    );
    t.ok(
      cluster.run(() => replica.endpoints.size === 0, 20e6),
      `${name}: ${replica.endpoints.size} are left`,
    );
    cluster.close();
  }
});

t.test('two hours with the log going round, in either mode', async (t) => {
  for (const mode of ['replay', 'state'] as const) {
    const { failures, connections, rounds, deaths } = runDay(2, mode, 'test');
    t.same(failures, [], mode);
    t.ok(connections >= 120 && rounds > 2, `${connections} connections, the log went round ${rounds} times`);
    t.equal(deaths, mode === 'replay' ? 1 : 0);
  }
});

t.test('a broken rule is noticed', async (t) => {
  for (const rule of ['A1', 'D1', 'H1', 'P1', 'fence', 'threads', 'L1', 'S1'] as const) {
    const { caught, by } = await mutate(rule);
    t.ok(caught, `${rule}: ${by}`);
  }
});

t.test('groups on several machines', async (t) => {
  for (const seed of Array.from({ length: 20 }, (_, n) => `test.${n}`))
    t.same((await runAgents(seed)).failures, [], `agents/${seed}`);
});

t.test('a failing case is made smaller', async (t) => {
  const { L1, fence } = MUTANTS;
  const big = 'agents/mutation.135';
  t.not((await failuresOf(big, L1)).length, 0);
  const few = await minimise(big, L1);
  const left = (await runAgents(few.slice('agents/'.length), L1)).troubles;
  t.ok(left < (await runAgents('mutation.135', L1)).troubles, `${few}: ${left} troubles are left`);
  t.not((await failuresOf(few, L1)).length, 0);
  const small = await minimise('download/hang/40/1', fence);
  t.ok(Number(small.split('/')[2]) < 40, small);
  t.not((await failuresOf(small, fence)).length, 0);
  t.equal(await minimise('download/kill/7/1'), 'download/kill/7/1', 'what does not fail stays as it is');
});

t.test('a case that is none', async (t) => {
  t.throws(() => runCase('download/melt/1/1'), /is not like/);
  t.throws(() => runCase('nothing/kill/1/1'), /is not like/);
});

/** A TCP segment over IPv4 and Ethernet, without checksums: the wire does not look at them. */
function segment(
  fromServer: boolean,
  seq: number,
  ack: number,
  flags: number,
  more: string | { window: number } = '',
): Uint8Array {
  const [data, window] = typeof more === 'string' ? [more, 1000] : ['', more.window];
  const out = new Uint8Array(54 + data.length);
  const view = new DataView(out.buffer);
  view.setUint16(12, 0x0800);
  out[14] = 0x45;
  view.setUint16(16, 40 + data.length);
  out[23] = 6;
  view.setUint32(26, fromServer ? 1 : 2);
  view.setUint32(30, fromServer ? 2 : 1);
  view.setUint16(34, fromServer ? 80 : 5000);
  view.setUint16(36, fromServer ? 5000 : 80);
  view.setUint32(38, seq);
  view.setUint32(42, ack);
  out[46] = 0x50;
  out[47] = flags;
  view.setUint16(48, window);
  out.set(Buffer.from(data), 54);
  return out;
}

t.test('the wire notices each of its invariants', async (t) => {
  const [S, A, F, R] = [2, 16, 1, 4];
  const handshake: [boolean, Uint8Array][] = [
    [false, segment(false, 100, 0, S)],
    [true, segment(true, 900, 101, S | A)],
    [false, segment(false, 101, 901, A)],
  ];
  const said = (more: Uint8Array[]): string => {
    const wire = new Wire(
      () => 0,
      () => false,
    );
    for (const [fromServer, frame] of handshake) wire.frame(frame, fromServer);
    for (const frame of more) wire.frame(frame, new DataView(frame.buffer).getUint32(26) === 1);
    return wire.violations.map((text) => text.slice(0, text.indexOf(':'))).join(' ');
  };
  t.equal(said([segment(true, 901, 101, A, 'abc'), segment(true, 901, 101, A, 'abc')]), '');
  t.equal(said([segment(true, 901, 101, A, 'abc'), segment(true, 902, 101, A, 'xc')]), 'I1');
  t.equal(said([segment(false, 101, 901, A, 'abc'), segment(true, 901, 104, A), segment(true, 901, 103, A)]), 'I2');
  t.equal(said([segment(true, 901, 105, A)]), 'I2', 'of what was never sent');
  t.equal(said([segment(true, 901, 101, A, { window: 500 })]), 'I3');
  t.equal(said([segment(true, 905, 101, S | A)]), 'I6');
  t.equal(said([segment(true, 901, 101, R | A)]), 'I7');
  t.equal(said([segment(true, 901, 101, A | F), segment(true, 901, 101, A, 'x')]), 'I8');
  t.equal(said([segment(true, 901, 101, A, 'x'.repeat(1100))]), 'I11');
  // Two connections on the same ports, one after the other.
  const over = [segment(true, 901, 101, A | F), segment(false, 101, 902, A | F), segment(true, 902, 102, A)];
  const again = (isn: number): Uint8Array[] => [segment(false, 5000, 0, S), segment(true, isn, 5001, S | A)];
  t.equal(said([...over, ...again(2000)]), '');
  t.equal(said([...over, ...again(901)]), 'I17', 'the numbers of the one before');

  const speakers = new Wire(
    () => 0,
    () => false,
  );
  for (const process of [1, 1, 2, 2]) speakers.speaker(process);
  t.same(speakers.violations, []);
  speakers.speaker(1);
  t.match(speakers.violations, [/^I12: process 1 speaks after process 2/]);

  const resent = new Wire(
    () => 0,
    () => false,
  );
  resent.speaker(1);
  for (const [fromServer, frame] of handshake) resent.frame(frame, fromServer);
  resent.frame(segment(true, 901, 101, A, 'abc'), true);
  resent.speaker(2);
  resent.frame(segment(true, 901, 101, A, 'abc'), true);
  resent.judgeResent();
  t.same(resent.violations, [], 'a flight, once');
  resent.frame(segment(true, 903, 101, A, 'c'), true);
  resent.judgeResent();
  t.match(resent.violations, [/^I16: .* 4 bytes were sent again, 3 are a flight per takeover/]);
});
