/**
 * The services of a gateway, in virtual time: limits, queues, health, timeouts, PROXY headers and
 * changes. Clients and servers are another stack's.
 */
import t from 'tap';
import { Gateway } from '../../failover/gateway/gateway.js';
import { SERVER_DEFAULTS, SERVICE_DEFAULTS, type ServiceSettings } from '../../failover/gateway/settings.js';
import type { StreamEndpoint, StreamEvents } from '../../stack/core/endpoint.js';
import type { Stack } from '../../stack/stack.js';
import type { StackHost } from '../../stack/stack-host.js';
import { Net } from '../stack/support/net.js';

const GATEWAY = '10.0.0.1';
const PEER = '10.0.0.2';
const PORT = 80;

/** One end of a connection, as its program sees it. */
class End implements StreamEvents {
  text = '';
  connected = false;
  ended = false;
  closed: string | null | undefined;

  constructor(
    readonly endpoint: StreamEndpoint,
    readonly echo = false,
  ) {
    endpoint.events = this;
    endpoint.setReading(true);
  }

  onConnect(): void {
    this.connected = true;
  }
  onData(chunk: Buffer): void {
    this.text += chunk.toString('latin1');
    if (this.echo) this.endpoint.write(chunk);
  }
  onEnd(): void {
    this.ended = true;
    if (this.echo) this.endpoint.close();
  }
  onSpace(): void {}
  onClose(code: string | null): void {
    this.closed = code;
  }
  say(text: string): void {
    this.endpoint.write(Buffer.from(text, 'latin1'));
  }
}

class Lab {
  readonly net = new Net('gateway');
  readonly gateway: Gateway;
  readonly stack: Stack;
  readonly peers: StackHost;
  /** Connections that each server has accepted, by its port. */
  readonly accepted = new Map<number, End[]>();
  shipped = '';

  constructor(settings: Partial<ServiceSettings>, ports: number[] = [9000]) {
    const link = this.net.link();
    this.stack = this.net.stack([{ device: link.a, options: { addresses: [`${GATEWAY}/24`] } }]).stack;
    this.peers = this.net.stack([{ device: link.b, options: { addresses: [`${PEER}/24`] } }]).host;
    for (const port of ports) this.serve(port);
    const wrote = (_conn: number, bytes: Uint8Array): void => {
      this.shipped += Buffer.from(bytes).toString('latin1');
    };
    this.gateway = new Gateway(this.stack, wrote, [service({ servers: servers(...ports), ...settings })]);
    this.gateway.open();
  }

  serve(port: number): { close(): void } {
    const ends = this.accepted.get(port) ?? [];
    this.accepted.set(port, ends);
    return this.peers.listen({ port }, { onConnection: (endpoint) => ends.push(new End(endpoint, true)) });
  }

  client(port = PORT): End {
    return new End(this.peers.connect({ address: GATEWAY, port }));
  }

  /** A client whose words come back. */
  talk(text = 'hello'): End {
    const client = this.client();
    client.say(text);
    this.run(() => client.text === text || client.closed !== undefined);
    return client;
  }

  run(until: () => boolean, ms = 20_000): boolean {
    return this.net.run(until, ms * 1000);
  }

  pass(ms: number): void {
    this.net.pass(ms * 1000);
  }

  get counters(): Readonly<Record<string, number>> {
    return this.gateway.counters;
  }
}

function servers(...ports: number[]): ServiceSettings['servers'] {
  return ports.map((port) => ({ address: PEER, port, ...SERVER_DEFAULTS }));
}

function service(more: Partial<ServiceSettings>): ServiceSettings {
  return {
    ...SERVICE_DEFAULTS,
    name: 'test',
    listen: { address: GATEWAY, port: PORT },
    servers: servers(9000),
    health: null,
    ...more,
  };
}

t.test('bytes are passed and counted, and nothing is left', async (t) => {
  const lab = new Lab({});
  const client = lab.talk('hello');
  t.equal(client.text, 'hello');
  t.match(lab.counters, { clients: 1, paired: 1, refused: 0, sessions: 0 });
  t.equal(lab.gateway.relays(10)[0]?.bytesFromClient, 5);
  client.endpoint.shutdown();
  t.ok(lab.run(() => client.ended && lab.stack.tcp.table.size === 0));
  t.match(lab.counters, { bytesFromClients: 5, bytesFromServers: 5 });
  t.equal(lab.stack.relays.counters.relays, 0);
});

t.test('a PROXY header is sent, and a backup is told of it', async (t) => {
  for (const [sendProxy, expected] of [
    ['v1', 'PROXY TCP4 10.0.0.2 10.0.0.1 PORT 80\r\nhello'],
    ['v2', '\r\n\r\n\0\r\nQUIT\n!\x11\0\x0c\n\0\0\x02\n\0\0\x01PORT\0Phello'],
  ] as const) {
    const lab = new Lab({ sendProxy });
    const client = lab.client();
    client.say('hello');
    lab.run(() => (lab.accepted.get(9000)?.[0]?.text ?? '').endsWith('hello'));
    const port = client.endpoint.localPort;
    const written = sendProxy === 'v1' ? String(port) : String.fromCharCode(port >> 8, port & 255);
    const got = lab.accepted.get(9000)?.[0]?.text;
    t.equal(got, expected.replace('PORT', written), sendProxy);
    t.equal(`${lab.shipped}hello`, got, 'shipped');
  }
});

t.test('a PROXY header is taken from clients, in pieces, and passed on', async (t) => {
  const lab = new Lab({ acceptProxy: true, sendProxy: 'v1' });
  const client = lab.client();
  for (const piece of ['PROXY TCP4 192.0', '.2.7 198.51.100.1 4', '000 443\r\nhel', 'lo']) {
    client.say(piece);
    lab.pass(50);
  }
  t.equal(lab.accepted.get(9000)?.[0]?.text, 'PROXY TCP4 192.0.2.7 198.51.100.1 4000 443\r\nhello');
  const wrong = lab.client();
  wrong.say('GET / HTTP/1.1\r\n\r\n');
  t.ok(
    lab.run(() => wrong.closed === 'ECONNRESET'),
    'a client without a header is reset',
  );
  const silent = lab.client();
  t.ok(
    lab.run(() => silent.closed === 'ECONNRESET'),
    'one that says nothing, too',
  );
  const half = lab.client();
  half.say('PROXY TCP4');
  lab.run(() => half.connected);
  half.endpoint.shutdown();
  t.ok(
    lab.run(() => half.closed === 'ECONNRESET'),
    'and one that ends within it',
  );
  t.equal(lab.counters['proxyErrors'], 3);
  t.equal(lab.accepted.get(9000)?.length, 1);
});

t.test('clients above the limit wait, and are served when others leave', async (t) => {
  const lab = new Lab({ maxConnections: 2, queue: 1, queueTimeoutMs: 3000 });
  const [first] = [lab.talk(), lab.talk()];
  const waiting = lab.client();
  waiting.say('waits');
  lab.pass(500);
  t.equal(waiting.text, '');
  t.match(lab.counters, { waiting: 1, queued: 1 });
  const tooMany = lab.client();
  t.ok(
    lab.run(() => tooMany.closed === 'ECONNRESET'),
    'the queue is full',
  );
  t.equal(lab.counters['queueOverflows'], 1);
  first.endpoint.shutdown();
  t.ok(
    lab.run(() => waiting.text === 'waits'),
    'a place is free',
  );
  const late = lab.client();
  const began = lab.net.clock.now();
  t.ok(lab.run(() => late.closed === 'ECONNRESET'));
  t.ok(Math.abs(lab.net.clock.now() - began - 3e6) < 100_000, 'after the time of the queue');
  t.equal(lab.counters['queueTimeouts'], 1);
});

t.test('a server has a limit of its own', async (t) => {
  const lab = new Lab({ servers: servers(9000, 9001).map((one) => ({ ...one, maxConnections: 1 })) }, [9000, 9001]);
  const clients = [lab.talk(), lab.talk()];
  t.same([lab.accepted.get(9000)?.length, lab.accepted.get(9001)?.length], [1, 1]);
  const third = lab.client();
  third.say('third');
  lab.pass(300);
  t.equal(third.text, '');
  clients[1].endpoint.shutdown();
  t.ok(lab.run(() => third.text === 'third'));
  t.equal(lab.accepted.get(9001)?.length, 2);
});

t.test('a server that refuses, or does not answer, is replaced before the first byte', async (t) => {
  const silent = { address: '10.0.0.99', port: 9000, ...SERVER_DEFAULTS };
  const lab = new Lab({ servers: [silent, ...servers(9001, 9000)], connectTimeoutMs: 400 });
  const client = lab.talk();
  t.equal(client.text, 'hello');
  t.match(lab.counters, { retries: 2, connectFailures: 2, refused: 0 });
  const none = new Lab({ servers: servers(9001, 9002), retries: 5 });
  const refused = none.client();
  t.ok(none.run(() => refused.closed === 'ECONNRESET'));
  t.match(none.counters, { refused: 1, connectFailures: 2 });
  t.equal(none.stack.tcp.table.size, 0);
});

t.test('late: the client is refused as the server refuses', async (t) => {
  const lab = new Lab({ servers: servers(9001), connect: 'late' });
  const client = lab.client();
  t.ok(lab.run(() => client.closed === 'ECONNREFUSED'));
  t.equal(client.connected, false);
  lab.serve(9001);
  t.equal(lab.talk().text, 'hello');
});

t.test('hold: clients wait until a server is there', async (t) => {
  const lab = new Lab({ servers: servers(9001), holdMs: 2000 });
  const client = lab.client();
  client.say('held');
  lab.pass(1000);
  t.equal(client.closed, undefined);
  lab.serve(9001);
  t.ok(lab.run(() => client.text === 'held'));
  const other = new Lab({ servers: servers(9001), holdMs: 2000 });
  const lost = other.client();
  const began = other.net.clock.now();
  t.ok(other.run(() => lost.closed === 'ECONNRESET'));
  t.ok(Math.abs(other.net.clock.now() - began - 2e6) < 300_000);
});

t.test('health checks: a server that is gone gets no clients until it is back', async (t) => {
  const health = { intervalMs: 200, timeoutMs: 100, rise: 2, fall: 2 };
  const lab = new Lab({ servers: servers(9000, 9001), health });
  const [, second] = lab.gateway.services[0].servers;
  const changes: string[] = [];
  lab.gateway.onHealth = ({ settings }, { name, up }) => changes.push(`${settings.name} ${name} ${up}`);
  t.ok(
    lab.run(() => !second.up, 3000),
    'nothing listens there',
  );
  for (let n = 0; n < 4; n++) lab.talk();
  t.equal(lab.counters['connectFailures'], 0, 'no client has tried it');
  lab.serve(9001);
  t.ok(lab.run(() => second.up, 3000));
  t.same(changes, ['test 10.0.0.2:9001 false', 'test 10.0.0.2:9001 true'], 'the operator is told');
  const before = lab.accepted.get(9001)?.filter(({ text }) => text !== '').length;
  for (let n = 0; n < 4; n++) t.equal(lab.talk().text, 'hello');
  t.equal(lab.accepted.get(9001)?.filter(({ text }) => text !== '').length, (before ?? 0) + 2);
  lab.pass(2000);
  t.equal(lab.stack.tcp.timeWaits.size, 0, 'checks leave nothing behind');
});

t.test('idle connections end, on either side; keepalive finds a peer that is gone', async (t) => {
  for (const settings of [{ clientTimeoutMs: 5000 }, { serverTimeoutMs: 5000 }]) {
    const lab = new Lab(settings);
    const client = lab.talk();
    for (let n = 0; n < 4; n++) {
      lab.pass(3000);
      client.say('.');
    }
    t.equal(client.closed, undefined, 'it talks');
    t.ok(
      lab.run(() => client.closed === 'ECONNRESET', 8000),
      'it is silent',
    );
    t.equal(lab.counters['idleTimeouts'], 1);
    t.equal(lab.stack.tcp.table.size, 0);
  }
  const lab = new Lab({ keepAliveMs: 10_000 });
  lab.talk();
  lab.pass(60_000);
  t.equal(lab.stack.tcp.table.size, 2, 'both answer');
  for (const link of lab.net.links) link.a.pause();
  t.ok(
    lab.run(() => lab.stack.tcp.table.size === 0, 60_000),
    'nobody answers',
  );
});

t.test('reload: a drained server, another port, a service that goes', async (t) => {
  const lab = new Lab({}, [9000, 9001]);
  const old = lab.talk();
  lab.gateway.reload([
    service({ servers: servers(9000, 9001).map((one) => ({ ...one, weight: one.port === 9000 ? 0 : 1 })) }),
    service({ name: 'more', listen: { address: GATEWAY, port: 81 } }),
  ]);
  const before = lab.accepted.get(9000)?.length;
  for (let n = 0; n < 3; n++) lab.talk();
  t.equal(lab.accepted.get(9000)?.length, before, 'weight 0: nothing new');
  old.say(' again');
  t.ok(
    lab.run(() => old.text === 'hello again'),
    'but what there is continues',
  );
  const other = lab.client(81);
  other.say('81');
  t.ok(lab.run(() => other.text === '81'));
  t.throws(() => lab.gateway.reload([service({ listen: { address: '10.9.9.9', port: 80 } })]), {
    code: 'EADDRNOTAVAIL',
  });
  t.equal(lab.gateway.services.length, 2, 'a mistake changes nothing');
  lab.gateway.reload([service({ listen: { address: GATEWAY, port: 82 } })]);
  const gone = [lab.client(80), lab.client(81)];
  t.ok(lab.run(() => gone.every(({ closed }) => closed === 'ECONNREFUSED')));
  old.say('!');
  t.ok(lab.run(() => old.text === 'hello again!'));
});

t.test('a client that never reads holds no more than a receive buffer', async (t) => {
  const lab = new Lab({});
  const client = lab.client();
  client.endpoint.setReading(false);
  client.say('x');
  lab.run(() => lab.accepted.get(9000)?.[0]?.text === 'x');
  const server = lab.accepted.get(9000)![0];
  const block = Buffer.alloc(1 << 20);
  for (let n = 0; n < 16; n++) server.endpoint.write(block);
  lab.pass(30_000);
  const [relay] = lab.gateway.relays(1);
  // What the gateway holds, and what the client's stack has taken.
  t.ok(relay.bytesFromServer < 10 << 20, `${relay.bytesFromServer} bytes`);
  client.endpoint.setReading(true);
  t.ok(
    lab.run(() => client.text.length === 1 + (16 << 20), 60_000),
    'all of it arrives in the end',
  );
});
