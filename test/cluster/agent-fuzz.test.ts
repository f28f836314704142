/**
 * Peers are authenticated, but may be faulty: an agent never throws because of a message, and
 * counts what it cannot use.
 */
import t from 'tap';
import { Agent } from '../../failover/cluster/agent/agent.js';
import type { AgentReplica } from '../../failover/cluster/agent/host.js';
import { encodePublish, MessageType, type Welcome } from '../../failover/cluster/transport/messages.js';
import type { StartSnapshot } from '../../failover/host/group-directory.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { ManualClock } from '../../lib/clock.js';
import { native } from '../../lib/native/native.js';
import { SeededRandom } from '../../lib/random.js';

const RING_BYTES = 65_536;

function createAgent(): { agent: Agent; clock: ManualClock; ring: () => Ring | null } {
  const clock = new ManualClock(1e9);
  let ring: Ring | null = null;
  const replica: AgentReplica = {
    pid: 0,
    clear: () => undefined,
    start: () => undefined,
    terminate: () => undefined,
    kill: () => undefined,
    createLog: (welcome) => {
      ring = new Ring(native(), new ArrayBuffer(RING_HEADER + RING_BYTES));
      ring.format(new Uint8Array(SECRET_LENGTH));
      for (const word of [Word.head, Word.eventEnd, Word.tail, Word.startAt]) ring.words[word] = welcome.position | 0;
      return ring;
    },
    openLog: () => null,
    snapshot: () => ({}) as StartSnapshot,
    wake: () => undefined,
  };
  const agent = new Agent(
    {
      self: 'b',
      nodes: ['a', 'b'],
      requiredBackups: 1,
      peerTimeoutMs: 500,
      newGroupDelayMs: 1000,
      hangTimeoutMs: 500,
      noStateStore: false,
    },
    {
      clock,
      replica,
      links: {
        send: () => true,
        sendData: () => true,
        isWritable: () => true,
        connected: () => true,
        setPaused: () => undefined,
        disconnect: () => undefined,
      },
      coordinator: {
        leaseUntilUs: 0,
        renewIntervalUs: 1e6,
        read: () => Promise.reject(new Error('down')),
        claim: () => Promise.resolve(false),
        update: () => Promise.resolve(false),
        renew: () => Promise.resolve(false),
        release: () => Promise.resolve(),
        observe: () => undefined,
        close: () => undefined,
      },
      report: () => undefined,
      finished: () => undefined,
    },
  );
  return { agent, clock, ring: () => ring };
}

const welcome: Welcome = {
  epoch: 3,
  incremental: false,
  position: 0,
  truncated: false,
  logEpoch: 1,
  secret: '00'.repeat(SECRET_LENGTH),
  snapshot: { ringBytes: RING_BYTES } as StartSnapshot,
  monoUs: 5e9,
  wallMs: 1.7e12,
};

/** A value of any type. */
function anything(random: SeededRandom): unknown {
  const all = [
    0,
    1,
    -1,
    2 ** 31,
    2 ** 32,
    1e300,
    Number.NaN,
    null,
    true,
    '',
    'leader',
    'follower',
    'disconnected',
    [],
    {},
    3,
    'a',
    'b',
  ];
  return all[random.u32() % all.length];
}

const KEYS = [
  'role',
  'epoch',
  'position',
  'ready',
  'holdsLease',
  'state',
  'applied',
  'incremental',
  'truncated',
  'logEpoch',
  'secret',
  'snapshot',
  'monoUs',
  'wallMs',
  'shutdown',
  'hung',
  'code',
  'message',
];

t.test('random messages', async (t) => {
  const random = new SeededRandom('agent fuzz');
  let bad = 0;
  for (let round = 0; round < 60; round++) {
    const { agent, clock, ring } = createAgent();
    agent.linkUp('a', 'x');
    agent.message(
      'a',
      MessageType.Status,
      Buffer.from(
        JSON.stringify({ role: 'leader', epoch: 3, position: 0, ready: true, holdsLease: true, state: null }),
      ),
    );
    if (round % 3 > 0) agent.message('a', MessageType.Welcome, Buffer.from(JSON.stringify(welcome)));
    for (let n = 0; n < 300; n++) {
      clock.advance(random.u32() % 50_000);
      const type = (random.u32() % 12) as MessageType;
      let body: Buffer;
      const kind = random.u32() % 4;
      if (kind === 0) body = Buffer.from(Array.from({ length: random.u32() % 60 }, () => random.u32() & 0xff));
      else if (kind === 1) {
        // Almost valid, where bytes are expected.
        body = Buffer.alloc(8 + 8 * (random.u32() % 5));
        body.writeUInt32LE(random.u32() % 4 === 0 ? random.u32() : (ring()?.words[Word.head] ?? 0) >>> 0, 0);
      } else if (kind === 2)
        body = encodePublish({
          head: random.u32() % 64,
          eventEnd: random.u32() % 64,
          heartbeat: 0,
          logEpoch: 1,
          flags: random.u32() & 7,
          monoUs: 5e9,
          wallMs: 1.7e12,
        });
      else body = Buffer.from(JSON.stringify(Object.fromEntries(KEYS.map((key) => [key, anything(random)]))));
      agent.message(random.u32() % 10 === 0 ? 'c' : 'a', type, body);
      if (random.u32() % 40 === 0) agent.linkDown('a');
      if (random.u32() % 40 === 0) agent.linkUp('a', String(random.u32() % 2));
      agent.step();
    }
    bad += agent.counters.badMessages;
    const words = ring()?.words;
    // Never more is published than was received.
    if (words !== undefined && agent.copy !== null) t.ok(((agent.copy.received - words[Word.head]) | 0) >= 0);
    await null;
  }
  t.ok(bad > 1000, `${bad} were counted`);
});
