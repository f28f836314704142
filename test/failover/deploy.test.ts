/** Deploys, restarts and rollbacks of a group in state mode, with living connections. In a lab. */
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { begin, closeAll, command, kill, replicaPids } from './support/deploys.js';
import { Client, get, inLab, STACK_ADDRESS, sleep, TestGroup, until } from './support/lab.js';

const directory = await inLab(import.meta.url);
t.setTimeout(300_000);
const APP = fileURLToPath(new URL('apps/warm.js', import.meta.url));
const HEALTH = ['--check', 'http://localhost/health'];

function group(word = 'v1'): TestGroup {
  return new TestGroup(directory, ['--mode', 'state', '--warm'], [APP, word]);
}

/** Sends a line, and returns the answer. */
async function ask(client: Client, text: string): Promise<string> {
  const before = client.text.length;
  client.socket.write(`${text}\n`);
  await until(`an answer to ${text}`, () => client.text.indexOf('\n', before) >= 0 || client.error !== null);
  return client.error ?? client.text.slice(before).trim();
}

/** GET over an agent. */
function over(agent: http.Agent, path: string): Promise<string> {
  return new Promise((done, fail) => {
    const request = http.get({ host: STACK_ADDRESS, path, agent }, (response) => {
      let text = '';
      response.on('data', (part: Buffer) => {
        text += part;
      });
      response.on('end', () => done(text));
    });
    request.on('error', fail);
  });
}

t.test('deploy, restart and rollback: each connection stays', async (t) => {
  const own = group();
  await own.pair();
  const client = new Client(7);
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  t.equal(await ask(client, 'a'), 'v1 1 a');
  t.match(await over(agent, '/a'), /^v1 \/a/);
  const slow = get('/slow');
  const deployed = await command(own, 'deploy', ...HEALTH, APP, 'v2', '300');
  t.equal(deployed.code, 0, deployed.stderr);
  t.match(deployed.report, {
    outcome: 'deployed',
    moved: { net: 1, httpIdle: Number },
    reset: { httpBusy: 0, noRestore: 0, outgoingUnsaved: 0 },
  });
  t.equal(
    deployed.report.connections,
    deployed.report.moved.net + deployed.report.moved.httpIdle + deployed.report.moved.httpUnanswered,
  );
  t.ok(deployed.report.prepareMs >= 300, 'it had loaded before');
  t.ok(
    deployed.report.pauseMs > 0 && deployed.report.pauseMs < deployed.report.prepareMs,
    `${deployed.report.pauseMs} ms`,
  );
  t.ok((deployed.report.standby?.pid ?? 0) > 0, 'a group that had a standby has one');
  t.equal(await ask(client, 'b'), 'v2 2 b');
  t.match(await over(agent, '/b'), /^v2 \/b/);
  t.match(await slow, /^v[12] \/slow/);
  const restarted = await command(own, 'restart');
  t.equal(restarted.code, 0, restarted.stderr);
  t.not(restarted.report.to.pid, deployed.report.to.pid);
  t.equal(await ask(client, 'c'), 'v2 3 c');
  t.equal((await command(own, 'deploy', APP, 'v3')).code, 0);
  t.equal(await ask(client, 'd'), 'v3 4 d');
  const back = await command(own, 'rollback');
  t.equal(back.code, 0, back.stderr);
  t.equal(await ask(client, 'e'), 'v2 5 e');
  const again = await command(own, 'rollback');
  t.equal(again.code, 1);
  t.equal(again.report.code, 'ERR_FT_NO_PREVIOUS');
  t.match(await over(agent, '/c'), /^v2 \/c/);
  agent.destroy();
  client.socket.destroy();
  await closeAll(own);
});

t.test('a deploy that fails leaves every connection with the old version', async (t) => {
  const own = group();
  const [primary] = await own.pair();
  const clients = Array.from({ length: 10 }, () => new Client(7));
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
  let count = 0;
  const alive = async (what: string): Promise<void> => {
    count++;
    for (const client of clients) t.equal(await ask(client, what), `v1 ${count} ${what}`);
    t.match(await over(agent, '/x'), new RegExp(`^v1 /x ${primary.pid}`));
  };
  await alive('before');
  const failures: [string, string[], string, RegExp][] = [
    ['a missing file', [join(directory, 'missing.js')], 'ERR_FT_PROGRAM', /cannot be found/],
    ['a crash', [APP, 'crashes'], 'ERR_FT_DEPLOY_LOAD', /exit code 1\n[\s\S]*thrown at load/],
    ['a hang', ['--timeout', '2', APP, 'loads-for-ever'], 'ERR_FT_DEPLOY_LOAD', /not loaded after 2 s/],
    ['a check', ['--timeout', '2', ...HEALTH, APP, 'sick'], 'ERR_FT_DEPLOY_CHECK', /status 503/],
    ['a command', ['--timeout', '2', '--check', 'echo no; exit 9', APP, 'v2'], 'ERR_FT_DEPLOY_CHECK', /code 9: no/],
    ['other ports', [APP, 'elsewhere'], 'ERR_FT_DEPLOY_PORTS', /does not listen on .* port 80; it listens on .* 81/],
    ['no way back', ['--rollback-within', '9', '--timeout', '2', APP, 'crashes'], 'ERR_FT_DEPLOY_LOAD', /thrown/],
  ];
  for (const [what, args, code, message] of failures) {
    const { code: exit, report } = await command(own, 'deploy', ...args);
    t.equal(exit, 1, what);
    t.equal(report.code, code);
    t.match(report.message, message);
    await alive(what.replaceAll(' ', '-'));
  }
  const first = begin(own, 'deploy', '--timeout', '20', APP, 'loads-for-ever');
  await until('it loads', () => readFileSync(join(directory, own.name, 'deploy.log'), 'utf8').length >= 0);
  await sleep(500);
  const second = await command(own, 'deploy', APP, 'v2');
  t.equal(second.report.code, 'ERR_FT_DEPLOY_BUSY');
  first.child.kill('SIGKILL');
  await first.told;
  await alive('killed');
  for (const delay of [300, 700, 1100]) {
    const killed = begin(own, 'deploy', '--check', 'sleep 60', APP, 'v2');
    await sleep(delay);
    killed.child.kill('SIGKILL');
    await killed.told;
    await alive(`after-${delay}`);
  }
  t.equal((await command(own, 'deploy', APP, 'v2')).code, 0, 'and the next one succeeds');
  for (const client of clients) t.equal(await ask(client, 'end'), `v2 ${count + 1} end`);
  for (const client of clients) client.socket.destroy();
  agent.destroy();
  await closeAll(own);
});

t.test('ten deploys in a row, with kill -9 after some', async (t) => {
  const own = group('v0');
  await own.pair();
  const clients = Array.from({ length: 20 }, () => new Client(7));
  for (let n = 1; n <= 10; n++) {
    const { code, report, stderr } = await command(own, 'deploy', ...HEALTH, APP, `v${n}`);
    t.equal(code, 0, stderr);
    t.equal(report.moved?.net, clients.length);
    if (n % 3 === 0) {
      kill(report.to.pid);
      await until('the killed one has ended', () => !replicaPids(own).includes(report.to.pid));
    }
    for (const client of clients) t.equal(await ask(client, 'x'), `v${n} ${n} x`);
    if (n % 3 !== 0) continue;
    await until('it is the only one', () => replicaPids(own).length === 1);
    const standby = new TestGroup(directory, own.options, [APP, `v${n}`]);
    Object.assign(standby, { name: own.name });
    await standby.start().event('ready');
  }
  for (const client of clients) client.socket.destroy();
  await closeAll(own);
});

t.test('the way back: a new version that dies, and one whose check fails later', async (t) => {
  const own = group();
  await own.pair();
  const client = new Client(7);
  t.equal(await ask(client, 'a'), 'v1 1 a');
  const dead = await command(own, 'deploy', '--rollback-within', '20', APP, 'dies');
  t.equal(dead.code, 4, dead.stderr);
  t.match(dead.report, { outcome: 'rolled-back', reason: /exit code 3/ });
  t.equal(await ask(client, 'b'), 'v1 2 b');
  const sick = await command(own, 'deploy', ...HEALTH, '--rollback-within', '20', APP, 'sickens');
  t.equal(sick.code, 4, sick.stderr);
  t.match(sick.report, { outcome: 'rolled-back', reason: /status 503/ });
  t.equal(await ask(client, 'c'), 'v1 3 c');
  const good = begin(own, 'deploy', ...HEALTH, '--rollback-within', '60', APP, 'v2');
  await until('the old version stands by', () => replicaPids(own).length >= 2 && client.text !== '');
  let version = '';
  for (let n = 4; version !== 'v2'; n++) {
    [version] = (await ask(client, 'd')).split(' ');
    await sleep(50);
    if (n > 400) throw new Error('not deployed');
  }
  await sleep(1500);
  good.child.kill('SIGKILL');
  const back = await command(own, 'rollback');
  t.equal(back.code, 0, back.stderr);
  t.ok(back.report.prepareMs === 0, 'the old version stood by');
  t.match(await ask(client, 'e'), /^v1 \d+ e/);
  t.equal(client.error, null);
  client.socket.destroy();
  await closeAll(own);
});

t.test('a group in replay mode is refused', async (t) => {
  const own = new TestGroup(directory, [], [APP, 'v1']);
  await own.start().event('ready');
  const { code, report } = await command(own, 'deploy', APP, 'v2');
  t.equal(code, 1);
  t.equal(report.code, 'ERR_FT_DEPLOY_MODE');
  await closeAll(own);
  const none = await command(new TestGroup(directory, [], [APP]), 'restart');
  t.equal(none.report.code, 'ERR_FT_NO_PRIMARY');
});
