/**
 * Connections that outlive one replica after another (FT_TCP_DEATHS of them), long after the log is
 * truncated.
 */
import http from 'node:http';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const APP = fileURLToPath(new URL('apps/state-http.js', import.meta.url));
const DEATHS = Number(process.env['FT_TCP_DEATHS'] ?? 4);
const RESIDENTS = 10;
const FILL = 14 << 20;

/** One request; '' or what is wrong. */
function ask(agent: http.Agent | false, method: string, path: string, body = Buffer.alloc(0)): Promise<string> {
  return new Promise((done) => {
    const failed = (error: NodeJS.ErrnoException): void => done(error.code ?? error.message);
    const request = http.request({ host: STACK_ADDRESS, path, method, agent }, (response) => {
      let text = '';
      response.on('data', (part) => {
        text += part;
      });
      response.on('end', () => done(text === `v1 ${method} ${path} ${body}` ? '' : `${path}: ${text.slice(0, 100)}`));
      response.on('error', failed);
    });
    request.on('error', failed);
    request.end(body);
  });
}

/** Asks again and again over one connection. */
class Resident {
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  readonly #path: string;
  #stopped = false;
  asked = 0;
  wrong = '';
  readonly done: Promise<void>;

  constructor(n: number) {
    this.#path = `/resident${n}`;
    this.done = this.#live(n);
  }

  get connection(): number | undefined {
    const [socket] = [...Object.values(this.#agent.freeSockets), ...Object.values(this.#agent.sockets)].flat();
    return socket?.localPort;
  }

  stop(): void {
    this.#stopped = true;
  }

  async #live(n: number): Promise<void> {
    while (!this.#stopped && this.wrong === '') {
      this.wrong = await ask(this.#agent, 'GET', this.#path);
      this.asked++;
      await sleep(3 + n);
    }
    this.#agent.destroy();
  }
}

t.test('no replica is left that has seen the beginning', async (t) => {
  const own = new TestGroup(directory, ['--log-size', '16'], [APP, 'v1']);
  let [primary, backup] = await own.pair();
  const residents = Array.from({ length: RESIDENTS }, (_, n) => new Resident(n));
  await until('all have been answered', () => residents.every(({ asked }) => asked > 0));
  const ports = residents.map(({ connection }) => connection);
  for (let n = 0; n < DEATHS; n++) {
    if (n < 2) t.equal(await ask(false, 'POST', '/fill', Buffer.alloc(FILL, 'x')), '');
    primary.kill(n % 3 === 2 ? 'SIGTERM' : 'SIGKILL');
    await backup.event('takeover');
    const next: ReplicaProcess = own.start();
    await next.event('ready');
    // Who was busy when it joined has to go through one more request.
    let status = await own.status(backup);
    const all = { total: RESIDENTS, protected: RESIDENTS };
    for (let i = 0; i < 400 && JSON.stringify(status?.connections) !== JSON.stringify(all); i++) {
      await sleep(5);
      status = await own.status(backup);
    }
    t.match(status, { logComplete: false, connections: all });
    [primary, backup] = [backup, next];
  }
  t.same(
    residents.map(({ connection }) => connection),
    ports,
    'the same connections',
  );
  for (const resident of residents) resident.stop();
  await Promise.all(residents.map(({ done }) => done));
  t.same([...new Set(residents.map(({ wrong }) => wrong))], ['']);
  t.ok(residents.every(({ asked }) => asked > 5));
  t.notOk(own.replicas.some(({ events }) => events.some(({ event }) => event === 'diverged')));
  await own.close();
});
