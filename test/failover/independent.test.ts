/**
 * WebSockets that outlive one replica after another, though no replica is left that has seen their
 * beginning.
 */
import { execFileSync } from 'node:child_process';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { WebSocket } from 'ws';
import type { ReplicaProcess } from '../../failover/lab/replica-process.js';
import { inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const APP = fileURLToPath(new URL('apps/independent.js', import.meta.url));
const DEATHS = Number(process.env['FT_TCP_DEATHS'] ?? 4);
const EACH = 5;
const FILL = 14 << 20;

function certificate(): string[] {
  const [cert, key] = [join(directory, 'cert.pem'), join(directory, 'key.pem')];
  const words = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', '-subj', '/CN=10.77.0.2'];
  execFileSync('openssl', [...words, '-keyout', key, '-out', cert], { stdio: 'ignore' });
  return [cert, key];
}

/** Bytes that go through the log. */
function fill(): Promise<string> {
  return new Promise((done) => {
    const request = http.request({ host: STACK_ADDRESS, method: 'POST', agent: false }, (response) => {
      response.setEncoding('utf8').on('data', done);
    });
    request.on('error', (error) => done(error.message));
    request.end(Buffer.alloc(FILL, 'x'));
  });
}

/** Says something, and waits for the answer, again and again. */
class Talker {
  readonly #socket: WebSocket;
  readonly #pauseMs: number;
  #token = '';
  #said = 0;
  #time = 0;
  heard = 0;
  wrong = '';

  constructor(scheme: 'ws' | 'wss', n: number) {
    this.#pauseMs = 10 + n;
    this.#socket = new WebSocket(`${scheme}://${STACK_ADDRESS}`, { rejectUnauthorized: false });
    this.#socket.on('open', () => this.#say());
    this.#socket.on('message', (message) => this.#hear(String(message)));
    this.#socket.on('error', (error: NodeJS.ErrnoException) => this.#fail(error.code ?? error.message));
    this.#socket.on('close', (code) => code !== 1000 && this.#fail(`closed with ${code}`));
  }

  close(): Promise<void> {
    return new Promise((done) => {
      this.#socket.once('close', () => done());
      this.#socket.close(1000);
    });
  }

  #fail(what: string): void {
    if (this.wrong === '') this.wrong = what;
  }

  #say(): void {
    if (this.#socket.readyState === WebSocket.OPEN) this.#socket.send(`word${++this.#said}`);
  }

  #hear(message: string): void {
    const [token, count, word, time] = message.split(' ');
    if (this.#token === '') this.#token = token;
    this.heard++;
    if (token !== this.#token || Number(count) !== this.#said || word !== `word${this.#said}`) this.#fail(message);
    if (this.heard !== this.#said || Number(time) < this.#time) this.#fail(`${message}, after ${this.heard - 1}`);
    this.#time = Number(time);
    setTimeout(() => this.#say(), this.#pauseMs);
  }
}

t.test('no replica is left that has seen them begin', async (t) => {
  const own = new TestGroup(directory, ['--log-size', '16'], [APP, ...certificate()]);
  let [primary, backup] = await own.pair();
  const talkers = Array.from({ length: 2 * EACH }, (_, n) => new Talker(n < EACH ? 'ws' : 'wss', n));
  await until('all talk', () => talkers.every(({ heard }) => heard > 3));
  const all = { total: talkers.length, protected: talkers.length };
  for (let n = 0; n < DEATHS; n++) {
    if (n < 2) t.equal(await fill(), 'done');
    primary.kill(n % 3 === 2 ? 'SIGTERM' : 'SIGKILL');
    await backup.event('takeover');
    const next: ReplicaProcess = own.start();
    await next.event('ready');
    let status = await own.status(backup);
    for (let i = 0; i < 100 && JSON.stringify(status?.connections) !== JSON.stringify(all); i++) {
      await sleep(10);
      status = await own.status(backup);
    }
    t.match(status, {
      logComplete: false,
      connections: all,
      counters: { connectionHistories: { crossConnection: 0 } },
    });
    [primary, backup] = [backup, next];
  }
  const before = talkers.map(({ heard }) => heard);
  await until('all still talk', () => talkers.every(({ heard }, n) => heard > (before[n] ?? 0) + 3));
  t.same([...new Set(talkers.map(({ wrong }) => wrong))], ['']);
  const told = own.replicas.flatMap(({ events }) => events.map(({ event }) => event));
  t.notOk(told.includes('diverged') || told.includes('replay-failed'));
  await Promise.all(talkers.map((talker) => talker.close()));
  await own.close();
});
