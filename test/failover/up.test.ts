/** `ft-tcp up`: one command that serves, restarts what died, and ends all. */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { FarClient } from './support/far-client.js';
import { CLIENT, ftTcp, HOST, inHostLab, machineState, run } from './support/host-lab.js';
import { sleep } from './support/lab.js';
import { UpProcess } from './support/up-process.js';

const VISITOR = fileURLToPath(new URL('apps/visitor.js', import.meta.url));
const HELLO = fileURLToPath(new URL('../../../examples/hello.js', import.meta.url));
const holder = await inHostLab(import.meta.url);
const clients = holder.pid ?? 0;
t.teardown(() => holder.kill('SIGKILL'));

const started: UpProcess[] = [];

function up(...args: string[]): UpProcess {
  const one = new UpProcess(args);
  started.push(one);
  return one;
}

t.afterEach(async () => {
  await Promise.all(started.splice(0).map((one) => one.close()));
  const { networks } = JSON.parse(ftTcp('net', 'show', '--json').out) as { networks: { group: string }[] };
  for (const { group } of networks) ftTcp('cleanup', '--group', group);
  ftTcp('cleanup', '--restart-window', '0');
});

/** A process whose parent has died is a zombie here: nobody waits for it. */
function isAlive(pid: number): boolean {
  try {
    return !/\) Z /.test(readFileSync(`/proc/${pid}/stat`, 'latin1'));
  } catch {
    return false;
  }
}

t.test('one command serves, survives kill -9, and takes all away again', async (t) => {
  const before = machineState();
  const supervisor = up('--publish', '80', HELLO);
  t.match(await supervisor.event('serving'), { at: [`${HOST}:80`, '[fd78::1]:80'] });
  await supervisor.event('protected');
  const milliseconds = performance.now() - supervisor.startedAt;
  t.comment(`protected after ${Math.round(milliseconds)} ms`);
  t.ok(milliseconds < 6000, 'within the time of a machine that does other things, too');
  const curl = (): string => run('nsenter', '-t', String(clients), '-n', 'curl', '-sm', '15', `http://${HOST}/`).out;
  t.match(curl(), `hello ${CLIENT}, you are visitor 1`);
  const primary = supervisor.heard.find(({ event, role }) => event === 'ready' && role === 'primary')?.pid ?? 0;
  process.kill(primary, 'SIGKILL');
  t.match(curl(), `hello ${CLIENT}, you are visitor 2`, 'the counter is in the memory of the backup');
  t.match(await supervisor.event('replica-restarting'), { replicaPid: primary, how: 'SIGKILL', delayMs: 100 });
  await supervisor.event('protected', 2);
  t.match(ftTcp('status', '--require', 'protected').code, 0);
  t.match(ftTcp('up', HELLO), { code: 3, err: /^ft-tcp: EBUSY: Another ft-tcp up supervises the group default/ });
  supervisor.child.kill('SIGTERM');
  t.equal(await supervisor.exited, 0);
  t.same(machineState(), { ...before, run: machineState()['run'] });
  ftTcp('cleanup');
  t.same(machineState(), { ...before, run: 'ft-tcp' }, 'only the directory of the groups is left');
});

t.test('a supervisor that is killed takes its replicas along; the next one continues', async (t) => {
  const options = ['--group', 'web', '--publish', '80', VISITOR];
  const first = up(...options);
  await first.event('protected');
  const client = new FarClient(clients, HOST, 80);
  t.equal(await client.ask(), `${CLIENT} 1`);
  const pids = first.heard.filter(({ event }) => event === 'ready').map(({ pid }) => pid);
  await first.close();
  for (let i = 0; i < 400 && pids.some(isAlive); i++) await sleep(5);
  t.same(pids.filter(isAlive), [], 'no replica is left');
  const second = up(...options);
  t.equal(await client.ask(), `${CLIENT} 2`, 'the connection goes on');
  await second.event('protected');
  client.close();
  second.child.kill('SIGINT');
  t.equal(await second.exited, 0);
});

t.test('a file has the program and the options', async (t) => {
  mkdirSync('/run/etc', { recursive: true });
  const write = (config: object): void => writeFileSync('/run/etc/web.json', JSON.stringify(config));
  const program = { group: 'file', program: VISITOR };
  write({ ...program, arguments: ['81'], publish: [80, '82:81'], replicas: 1, hangTimeout: 900 });
  const supervisor = up('-c', '/run/etc/web.json');
  t.match((await supervisor.event('serving'))['at'], [`${HOST}:80`]);
  const client = new FarClient(clients, HOST, 82);
  t.equal(await client.ask(), `${CLIENT} 1`);
  client.close();
  t.match(ftTcp('drain', '--group', 'file').code, 0);
  t.equal(await supervisor.exited, 0, 'a group that was drained has ended');

  const refused = (config: object, ...more: string[]): string => {
    write(config);
    const { code, err } = ftTcp('up', '-c', '/run/etc/web.json', ...more);
    return `${code} ${err}`;
  };
  t.match(refused({}), /^2 ft-tcp: ERR_FT_CONFIG: .*program: missing; expected a file's path.*group-config\.md/);
  t.match(refused({ ...program, port: 80 }), /^2 .*port: unknown key; expected one of program, arguments,/);
  t.match(refused({ ...program, publish: ['x'] }), /^2 .*publish: invalid value \["x"\]; expected 80, 8080:80/);
  t.match(refused({ ...program, create: 1 }), /^2 .*create: invalid value 1; expected true or false/);
  t.match(refused({ ...program, commit: 'never' }), /^2 .*commit: invalid value "never"; expected written or acked/);
  t.match(refused(program, '--group', 'x'), /^2 ft-tcp: ERR_FT_USAGE: --config FILE has the program and all options/);
  t.match(ftTcp('up', '-c', '/run/none.json').err, /ERR_FT_CONFIG: \/run\/none\.json: cannot be read \(ENOENT\)/);
  t.match(ftTcp('up').err, /^ft-tcp: ERR_FT_USAGE: No program given/);
  t.match(ftTcp('up', '/run/none.js').err, /ERR_FT_PROGRAM|ENOENT/);
  run('rm', '-r', '/run/etc');
});

t.test('what cannot start is not tried for ever', async (t) => {
  const before = machineState();
  writeFileSync('/run/throws.js', 'throw new Error("no database")');
  const failing = up('--group', 'bad', '--publish', '80', '/run/throws.js');
  t.equal(await failing.exited, 1);
  t.match(failing.lines.join('\n'), 'no database');
  const dying = up('--group', 'dies', '--replicas', '1', '--restart-limit', '2', '--publish', '90:80', VISITOR);
  await dying.event('serving');
  for (let i = 1; i <= 3; i++) {
    const { pid } = await dying.event('role', i);
    process.kill(pid, 'SIGKILL');
    if (i < 3) t.match(await dying.event('replica-restarting', i), { delayMs: 100 * 2 ** (i - 1), replicaPid: pid });
    else t.match(await dying.event('replica-given-up'), { failures: 3, how: 'SIGKILL', level: 'error' });
  }
  t.equal(await dying.exited, 1, 'the last place was given up');
  run('rm', '/run/throws.js');
  ftTcp('cleanup', '--group', 'dies');
  ftTcp('cleanup', '--group', 'bad');
  t.same(machineState(), { ...before, run: machineState()['run'] });
});

/** A service manager: the datagrams that come to its socket, which bash's users make with socat. */
function managerAt(path: string): { child: ChildProcess; said: string[]; listening: Promise<void> } {
  const script = [
    'import socket, sys',
    's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)',
    'name = sys.argv[1]',
    's.bind("\\0" + name[1:] if name[0] == "@" else name)',
    'print("listening", flush=True)',
    'while True: print(s.recv(4096).decode().replace("\\n", " "), flush=True)',
  ].join('\n');
  const child = spawn('python3', ['-c', script, path], { stdio: ['ignore', 'pipe', 'inherit'] });
  const said: string[] = [];
  const listening = new Promise<void>((done) => {
    createInterface({ input: child.stdout }).on('line', (line) => (line === 'listening' ? done() : said.push(line)));
  });
  return { child, said, listening };
}

async function heard(said: readonly string[], pattern: RegExp): Promise<string> {
  for (let i = 0; i < 2000; i++, await sleep(5)) {
    const found = said.find((line) => pattern.test(line));
    if (found !== undefined) return found;
  }
  return `nothing like ${pattern}: ${said.join('; ')}`;
}

for (const path of ['/run/notify.sock', '@ft-tcp-test-notify'])
  t.test(`a service manager at ${path} is told of the start, life and end`, async (t) => {
    const manager = managerAt(path);
    await manager.listening;
    const env = { ...process.env, NOTIFY_SOCKET: path, WATCHDOG_USEC: '200000' };
    const supervisor = new UpProcess(['--group', 'unit', '--publish', '80', HELLO], env);
    started.push(supervisor);
    t.match(await heard(manager.said, /^READY=1/), /^READY=1 STATUS=primary \d+/);
    await heard(manager.said, /^STATUS=primary \d+, backup \d+, protected$/);
    const signs = (): number => manager.said.filter((line) => line === 'WATCHDOG=1').length;
    for (let i = 0; i < 1000 && signs() < 3; i++) await sleep(5);
    t.ok(signs() >= 3, 'signs of life');
    supervisor.child.kill('SIGTERM');
    t.equal(await supervisor.exited, 0);
    t.equal(manager.said.at(-1) === 'STOPPING=1' || manager.said.includes('STOPPING=1'), true);
    t.equal(manager.said.filter((line) => line.startsWith('READY')).length, 1, 'replicas do not speak for the group');
    manager.child.kill('SIGKILL');
    run('rm', '-f', '/run/notify.sock');
  });
