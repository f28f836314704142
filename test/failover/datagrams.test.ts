/**
 * A replicated program's UDP: its state goes on after a takeover, and only one of its copies
 * speaks.
 */
import dgram from 'node:dgram';
import { fileURLToPath } from 'node:url';
import { get, inLab, STACK_ADDRESS, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);

const APP = fileURLToPath(new URL('apps/datagrams.js', import.meta.url));

/** Adds numbers up, one after the other, asking again when there is no answer. */
class Adder {
  readonly #socket = dgram.createSocket('udp4');
  readonly answers: string[] = [];
  repeats = 0;
  #heard: (() => void) | null = null;

  constructor(
    readonly name: string,
    readonly port = 4000,
  ) {
    this.#socket.on('message', (message) => {
      this.answers.push(message.toString());
      this.#heard?.();
    });
  }

  /** @returns the sum after these numbers. */
  async add(from: number, to: number): Promise<number> {
    for (let n = from; n <= to; n++) {
      const answered = (): boolean => this.answers.some((answer) => answer.startsWith(`${this.name} ${n} `));
      for (let tries = 0; !answered(); tries++) {
        if (tries > 50) throw new Error(`no answer to ${n}`);
        if (tries > 0) this.repeats++;
        this.#socket.send(`${this.name} ${n}`, this.port, STACK_ADDRESS);
        await new Promise<void>((done) => {
          const timer = setTimeout(done, 200);
          // Not the second answer to a number that was asked twice.
          this.#heard = () => {
            if (!answered()) return;
            clearTimeout(timer);
            done();
          };
        });
      }
    }
    return Number(this.answers.findLast((answer) => answer.startsWith(`${this.name} ${to} `))!.split(' ')[2]);
  }

  close(): void {
    this.#socket.close();
  }
}

const sum = (n: number): number => (n * (n + 1)) / 2;

for (const commit of ['written', 'acked'])
  t.test(`sessions go on where they were, ${commit}`, async (t) => {
    const group = new TestGroup(directory, ['--commit', commit], [APP]);
    const [primary, backup] = await group.pair();
    const adders = Array.from({ length: 20 }, (_, n) => new Adder(`a${n}`));
    t.same(await Promise.all(adders.map((adder) => adder.add(1, 50))), Array(20).fill(sum(50)));
    // The answer to a request that was repeated for want of time may still be under way.
    const surplus = (): number[] => adders.map(({ answers, repeats }) => answers.length - 50 - repeats);
    await until('an answer to each request', () => surplus().every((count) => count >= 0));
    t.same(surplus(), Array(20).fill(0), 'one answer each: a backup does not send');
    const before = await get('/');
    const going = Promise.all(adders.map((adder) => adder.add(51, 400)));
    const sums = (): number => adders.reduce((total, { answers }) => total + answers.length, 0);
    const already = sums();
    await until('some answers', () => sums() > already + 100);
    t.ok(sums() < already + 20 * 300, 'killed in the middle');
    primary.kill('SIGKILL');
    t.same(await going, Array(20).fill(sum(400)), 'nothing is forgotten, nothing counted twice');
    t.match(await backup.event('takeover'), { breakdown: { reason: 'death' } });
    t.equal(await get('/'), before, 'the same port as before');
    t.match(before, /^\d+ 5 EMSGSIZE$/);
    const late = new Adder('late', Number(before.split(' ')[0]));
    t.equal(await late.add(1, 10), sum(10), 'and it is open');
    // Another one joins, and learns of all of it.
    const third = group.start();
    await third.event('ready');
    await backup.event('protected');
    backup.kill('SIGKILL');
    t.same(await Promise.all(adders.map((adder) => adder.add(401, 420))), Array(20).fill(sum(420)));
    const status = await group.status(third);
    t.equal(status?.counters['runtime']?.['droppedDatagrams'], 0);
    for (const adder of [...adders, late]) adder.close();
    await group.close();
  });

t.test('a switchover loses no datagram', async (t) => {
  const group = new TestGroup(directory, [], [APP]);
  const [primary, backup] = await group.pair();
  const adder = new Adder('s');
  const going = adder.add(1, 300);
  await until('some answers', () => adder.answers.length > 30);
  t.ok(adder.answers.length < 300, 'in the middle');
  primary.kill('SIGTERM');
  t.equal(await going, sum(300));
  t.match(await backup.event('takeover'), { breakdown: { reason: 'switchover' } });
  t.ok(adder.repeats <= 1, `${adder.repeats} asked again`);
  adder.close();
  await group.close();
});

t.test('alone, and where the stack has no way', async (t) => {
  const group = new TestGroup(directory, ['--solo'], [APP]);
  const only = group.start();
  await only.event('ready');
  t.match(await only.event('kernel-socket'), { what: 'datagrams, send 9 127.0.0.1' });
  const adder = new Adder('x');
  t.equal(await adder.add(1, 100), sum(100));
  adder.close();
  await group.close();
});
