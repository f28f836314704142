/**
 * A group whose program reads values and files at once, and waits for child processes: real
 * processes, killed twice. Runs inside of a lab of its own.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { get, inLab, TestGroup } from './support/lab.js';

const directory = await inLab(import.meta.url);
const { default: t } = await import('tap');
t.setTimeout(120_000);

const HEALTH = fileURLToPath(new URL('apps/health.js', import.meta.url));

t.test('a page of health keeps protection over two kills', async (t) => {
  const group = new TestGroup(directory, [], [HEALTH, directory]);
  let [primary, backup] = await group.pair();
  const start = await get('/start');
  for (let round = 0; round < 3; round++) {
    for (let i = 1; i <= 5; i++) {
      const [health, answers] = (await get('/health')).split(/ (?=\d+$)/);
      t.ok((JSON.parse(health) as { memory: { rss: number } }).memory.rss > 0);
      t.equal(Number(answers), 5 * round + i, 'no answer is forgotten');
    }
    t.equal(await get('/count'), `${round + 1} 1`, 'the file is counted up once');
    t.match(await get('/child'), /^\d+\n$/);
    t.equal(await get('/start'), start, 'what was read at the start stays');
    t.match(await group.status(primary), { protected: true });
    if (round === 2) break;
    primary.kill('SIGKILL');
    await backup.event('takeover');
    primary = backup;
    backup = group.start();
    await primary.event('protected');
    await backup.event('ready');
  }
  t.equal(readFileSync(`${directory}/ran`, 'utf8'), 'x\nx\nx\n', 'each child ran once');
  t.equal(readFileSync(`${directory}/counter.txt`, 'utf8'), '3');
  const status = await group.status(primary);
  t.ok((status?.counters['runtime']?.['samples'] ?? 0) > 20);
  t.ok(
    ((await group.status(backup))?.counters['runtime']?.['replayedSamples'] ?? 0) > 60,
    'it has replayed all of them',
  );
  t.same(
    group.replicas.flatMap(({ events }) => events.filter(({ event }) => /diverged|nondeterministic/.test(event))),
    [],
  );
  await group.close();
});

t.test('what `diverged` says', async (t) => {
  const group = new TestGroup(directory);
  const [, backup] = await group.pair();
  t.equal(await get('/'), 'hello');
  const answer = await get('/different');
  const told = await backup.event('diverged');
  t.match(told, { reason: /wrote/, cause: /^performance\.timerify, last called in event \d+$/ });
  t.match(told, { eventKind: /^event \d+: data of connection \d+, \d+ bytes$/ });
  const { lastEvents, here, primary, offset, connection } = told as unknown as Record<string, never>;
  t.ok((lastEvents as string[]).length > 3 && (lastEvents as string[]).length <= 20);
  t.ok(Number(connection) > 0 && Number(offset) > 100);
  t.match(String(primary), answer.slice(0, 16), 'the bytes of the primary');
  t.match(String(here), 'it took ');
  t.not(here, primary);
  t.equal((await backup.exited).code, 1);
  await group.close();

  const secret = new TestGroup(directory, ['--no-diverged-bytes']);
  const [, quiet] = await secret.pair();
  await get('/different');
  t.match(await quiet.event('diverged'), { offset: null, here: null, primary: null, reason: /wrote/ });
  await secret.close();
});

t.test('a divergence within an event is told, too', async (t) => {
  const group = new TestGroup(directory);
  const [, backup] = await group.pair();
  // Each time the replicas differ with a probability of one half.
  for (let i = 0; i < 30 && !backup.events.some(({ event }) => event === 'diverged'); i++) await get('/sometimes');
  t.match(await backup.event('diverged'), { reason: /^os\.freemem|called os\.freemem/ });
  t.equal((await backup.exited).code, 1);
  await group.close();
});
