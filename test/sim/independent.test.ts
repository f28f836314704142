/**
 * Replicas that join when the log has lost its beginning, and repeat what each connection of an
 * independent server has been told.
 */
import t from 'tap';
import { statusOf } from '../../failover/admin/status.js';
import type { Replica } from '../../failover/replica/replica.js';
import type { StreamEndpoint } from '../../stack/core/endpoint.js';
import type { Client } from './clients.js';
import { Cluster, type Member } from './cluster.js';
import { Echoer, echo, PORT } from './programs.js';
import { INNER_PORT, innerServer, proxy } from './proxy-programs.js';
import { delay, delayed, Requester } from './request-programs.js';
import type { Scenario } from './scenarios.js';

const SECOND_US = 1_000_000;
const SMALL_LOG = 1 << 17;

/**
 * A group whose log has lost its beginning, with clients in the middle of what they do, and a
 * backup that joins then.
 */
class Late {
  readonly cluster: Cluster;
  readonly first: Member;
  readonly third: Member;
  readonly clients: Client[];
  readonly replayFailures: string[] = [];

  constructor(scenario: Pick<Scenario, 'program' | 'clients' | 'historyLimit' | 'resets'>) {
    const cluster = new Cluster({ name: 'late', logBytes: SMALL_LOG, forgets: true, ...scenario }, 'late');
    this.cluster = cluster;
    this.first = cluster.start('first')!;
    cluster.run(() => false, 10_000);
    const second = cluster.start('second')!;
    cluster.run(() => cluster.protected, 5 * SECOND_US);
    this.clients = cluster.clients();
    cluster.run(() => this.status.logComplete === false, 5 * SECOND_US);
    second.process.kill();
    cluster.run(() => second.process.ended, SECOND_US);
    const { replica } = cluster.start('third')!;
    replica.on('replayFailed', (_conn, why) => this.replayFailures.push(why));
    cluster.run(() => replica.reader !== null, SECOND_US);
    // What the log says of older connections is read.
    cluster.run(() => false, 5000);
    this.third = cluster.members[cluster.members.length - 1];
  }

  get status() {
    return statusOf(this.first.replica);
  }

  /**
   * The primary dies. @returns how many clients were served to the end, and what was wrong
   * otherwise
   */
  finish(): { served: number; wrong: string[] } {
    const { cluster, clients, first } = this;
    if (!first.process.dead) first.process.kill();
    cluster.run(() => clients.every(({ done, seen }) => done || seen.closed !== undefined), 30 * SECOND_US);
    cluster.run(() => false, 10 * SECOND_US);
    const served = clients.filter(({ done, seen }) => done && seen.wrong === '').length;
    const wrong = [...clients.map(({ seen }) => seen.wrong), ...cluster.failures, ...cluster.wire.violations];
    cluster.close();
    return { served, wrong: wrong.filter((text) => text !== '') };
  }
}

/** Clients of two servers, at such times that their events mix. */
const CLIENTS: Scenario['clients'] = (host, address) => {
  const clients: Client[] = [
    ...Array.from({ length: 3 }, (_, n) => new Echoer(host, n, 60, 2)),
    ...Array.from({ length: 3 }, (_, n) => new Requester(host, n * 20, 100)),
  ];
  for (const [n, client] of clients.entries())
    client.later(1 + 4 * n, () => {
      client.rested();
      client.open(address, n < 3 ? PORT : PORT + 1);
    });
  return clients;
};

const MINE = { independent: true };

t.test('each connection is brought to where it is on the primary, and goes on when that one dies', async (t) => {
  const late = new Late({
    program: (replica) => {
      echo(replica, 511, MINE);
      delayed(replica, { port: PORT + 1, ...MINE });
    },
    clients: CLIENTS,
  });
  t.match(late.status, {
    logComplete: false,
    protected: true,
    connections: { total: 6, protected: 6 },
    counters: { connectionHistories: { connections: 6, tooLong: 0, crossConnection: 0 } },
  });
  t.equal(late.third.replica.histories.size, 6, 'the next one that joins can be told, too');
  t.same(late.replayFailures, []);
  const { cluster } = late;
  late.first.process.kill();
  cluster.run(() => cluster.primary === late.third, SECOND_US);
  // The backup's place is free when the takeover is over.
  cluster.run(() => false, 10_000);
  t.not(cluster.start('fourth'), null);
  cluster.run(() => cluster.protected, SECOND_US);
  t.match(statusOf(late.third.replica), { logComplete: false, connections: { total: 6, protected: 6 } });
  late.third.process.kill();
  t.same(late.finish(), { served: 6, wrong: [] });
});

t.test('nothing is said of servers that do not say that they are independent', async (t) => {
  const late = new Late({
    program: (replica) => {
      echo(replica, 511, MINE);
      delayed(replica, { port: PORT + 1 });
    },
    clients: CLIENTS,
    resets: [PORT + 1],
  });
  t.match(late.status, {
    connections: { total: 6, protected: 3 },
    counters: { connectionHistories: { connections: 3 } },
  });
  t.match(late.finish(), { served: 3 });
});

/** A server that says it is independent, and counts across its connections. */
function unrepeatable(): Late {
  return new Late({
    program: (replica) => {
      echo(replica, 511, MINE);
      counting(replica);
    },
    clients: CLIENTS,
    resets: [PORT + 1],
  });
}

t.test('a server that is not, though it says so: its connections are not protected, and the others are', async (t) => {
  const late = unrepeatable();
  t.same([...new Set(late.replayFailures)], ['its output differs from that on the primary']);
  t.ok(late.replayFailures.length > 1 && late.replayFailures.length <= 3);
  const { total, protected: known } = late.status.connections;
  t.same([total, known], [6, 6 - late.replayFailures.length]);
  t.equal(statusOf(late.third.replica).counters['replay']?.['replayFailures'], late.replayFailures.length);
  const { served, wrong } = late.finish();
  t.equal(served, 6 - late.replayFailures.length);
  t.same(wrong, []);
});

t.test('what could not be repeated counts as long as there is any of it', async (t) => {
  const late = unrepeatable();
  const { cluster, first } = late;
  t.ok(late.replayFailures.length > 0);
  cluster.run(() => first.replica.stack.tcp.table.size === 0, 30 * SECOND_US);
  const more = new Requester(cluster.host, 0, 20);
  more.open(cluster.address, PORT + 1);
  cluster.run(() => late.status.connections.total === 1, SECOND_US);
  t.same(late.status.connections, { total: 1, protected: 1 });
  late.finish();
});

/** As `delayed`, but all connections count together. */
function counting(replica: Replica): void {
  let all = 0;
  replica.listen(
    { port: PORT + 1, independent: true },
    {
      onConnection: (endpoint) => {
        delay(replica, endpoint, () => all++);
      },
    },
  );
}

t.test('what another one’s event does with a connection is missing in its history, which is given up', async (t) => {
  const all = new Set<StreamEndpoint>();
  const late = new Late({
    program: (replica) => {
      echo(replica, 511, MINE);
      const mine = new Set<StreamEndpoint>();
      replica.listen(
        { port: PORT + 1, independent: true },
        {
          onConnection: (endpoint) => {
            mine.add(endpoint);
            if (replica.role === 'primary') all.add(endpoint);
            // Each is paused and goes on when another one says something.
            delay(replica, endpoint, () => {
              for (const other of mine) other.setReading(true);
              return 0;
            });
          },
        },
      );
    },
    clients: CLIENTS,
    resets: [PORT + 1],
  });
  t.equal(all.size, 3);
  t.match(late.status, {
    connections: { total: 6, protected: 3 },
    counters: { connectionHistories: { connections: 3, crossConnection: 3, tooLong: 0 } },
  });
  t.same(late.replayFailures, []);
  t.match(late.finish(), { served: 3 });
});

t.test('a history that grows too long is given up', async (t) => {
  const late = new Late({
    program: (replica) => {
      echo(replica, 511, MINE);
      delayed(replica, { port: PORT + 1, ...MINE });
    },
    historyLimit: 16_384,
    clients: CLIENTS,
    resets: [PORT],
  });
  const { connectionHistories: histories } = late.status.counters;
  t.match(histories, { connections: 3, tooLong: 3 });
  t.ok(histories['bytes'] > 0 && histories['bytes'] <= 3 * 16_384);
  t.match(late.status.connections, { total: 6, protected: 3 });
  t.match(late.finish(), { served: 3 });
});

t.test('who opens a connection in an event of another one has no history', async (t) => {
  const late = new Late({
    program: (replica) => proxy(replica, MINE),
    resets: [PORT, INNER_PORT],
    clients: (host, address) => {
      innerServer(host);
      return CLIENTS(host, address, undefined as never).slice(0, 3);
    },
  });
  t.match(late.status, {
    connections: { total: 6, protected: 0 },
    counters: { connectionHistories: { connections: 0, crossConnection: 3 } },
  });
  t.equal(late.third.replica.stack.tcp.table.size, 0);
  t.same(late.replayFailures, []);
  t.match(late.finish(), { served: 0 });
});

t.test('a connection that ends is forgotten with its history', async (t) => {
  const late = new Late({ program: (replica) => echo(replica, 511, MINE), clients: CLIENTS });
  t.ok(late.first.replica.histories.size > 0);
  late.cluster.run(() => late.first.replica.stack.tcp.table.size === 0, 30 * SECOND_US);
  late.cluster.run(() => false, SECOND_US);
  for (const { replica } of [late.first, late.third]) {
    t.equal(replica.histories.size, 0);
    t.equal(replica.histories.counters.bytes, 0);
  }
  t.match(late.finish(), { served: 3 });
  t.equal(late.third.replica.histories.size, 0);
  t.equal(late.third.replica.histories.counters.bytes, 0);
});
