import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { Session } from './session.js';

/** A session of which each call is answered at once, or 'blocked'. */
class Client {
  readonly answers = new Map<number, string>();
  readonly #session: Session;
  #id = 0;

  constructor() {
    this.#session = new Session((line) => {
      const space = line.indexOf(' ');
      this.answers.set(Number(line.slice(0, space)), line.slice(space + 1));
    });
  }

  call(text: string): string {
    const id = ++this.#id;
    this.#session.line(`${id} ${text}`);
    return this.answers.get(id) ?? 'blocked';
  }

  get last(): number {
    return this.#id;
  }

  /** The answer that a blocked call has got. */
  later(id: number): string {
    return this.answers.get(id) ?? 'blocked';
  }

  raw(line: string): void {
    this.#session.line(line);
  }
}

t.test('bad input gets an error and changes nothing', async (t) => {
  const client = new Client();
  t.equal(client.call('config ip 192.168.0.1/16'), 'ok');
  for (const line of [
    'config ip 192.168.0.1',
    'config mtu 10',
    'config seed x',
    'config nothing 1',
    'config sysctl.tcp_sack 2',
    'config ip',
    'socket tcp 5',
    'socket icmp 4',
    'socket tcp',
    'frobnicate',
    'advance -1',
    'advance 1e3',
    'inject 0',
    'inject ABCD',
    'inject zz',
    'bind x 10.0.0.1 80',
    'now  ',
    '',
  ]) {
    t.equal(client.call(line), 'err EINVAL', line);
  }
  t.equal(client.call('config sysctl.tcp_no_such_thing 1'), 'err ENOENT');
  t.equal(client.call('config sysctl.toString 1'), 'err ENOENT');
  for (const verb of ['accept 99', 'recv 99 10', 'close 99', 'poll 99', 'info 3', 'send 7 00', 'shutdown 9 wr'])
    t.equal(client.call(verb), 'err EBADF', verb);
  client.raw('nonsense');
  t.equal(client.answers.get(0), 'err EINVAL', 'a line without a number');
  t.equal(client.call('now'), 'ok 0');
  t.equal(client.call('config mtu 1400'), 'err EINVAL', 'too late');
  t.equal(client.call('takeover'), 'err EOPNOTSUPP', 'without a backup');
  const fd = client.call('socket tcp 4').slice(3);
  t.equal(client.call(`setopt ${fd} TCP_NO_SUCH 1`), 'err ENOPROTOOPT');
  t.equal(client.call(`setopt ${fd} TCP_NODELAY x`), 'err EINVAL');
  t.equal(client.call(`bind ${fd} 10.9.9.9 80`), 'err EADDRNOTAVAIL');
  t.equal(client.call(`bind ${fd} ::1 80`), 'err EAFNOSUPPORT');
  t.equal(client.call(`recv ${fd} 10`), 'err ENOTCONN');
  t.equal(client.call(`send ${fd} 00`), 'err EPIPE');
  t.equal(client.call(`accept ${fd}`), 'err EINVAL');
  t.equal(client.call(`sendto ${fd} 10.0.0.1 80 00`), 'err EISCONN');
  t.equal(client.call(`listen ${fd} 5`), 'ok');
  t.equal(client.call(`connect ${fd} 192.168.0.2 80`), 'err EISCONN');
});

t.test('UDP: datagrams in and out, connected and not, in both families', async (t) => {
  const client = new Client();
  client.call('config ip 192.168.0.1/16');
  client.call('config ip fd00::1/64');
  for (const [family, own, peer] of [
    [4, '192.168.0.1', '192.168.7.7'],
    [6, 'fd00::1', 'fd00::77'],
  ] as const) {
    const fd = client.call(`socket udp ${family}`).slice(3);
    t.equal(client.call(`bind ${fd} ${own} 5353`), 'ok');
    t.equal(client.call(`sendto ${fd} ${peer} 9 616263`), 'ok 3');
    const [status, atUs, packet] = client.call('emit').split(' ');
    t.equal(`${status} ${atUs}`, 'ok 0');
    t.match(packet, family === 4 ? /^45/ : /^60/);
    t.match(packet, /616263$/);
    // Turned round, it is an answer.
    const bytes = Buffer.from(packet, 'hex');
    const [at, size] = family === 4 ? [12, 4] : [8, 16];
    const turned = Buffer.from(bytes);
    bytes.copy(turned, at, at + size, at + 2 * size);
    bytes.copy(turned, at + size, at, at + size);
    const header = family === 4 ? 20 : 40;
    bytes.copy(turned, header, header + 2, header + 4);
    bytes.copy(turned, header + 2, header, header + 2);
    t.equal(client.call(`inject ${turned.toString('hex')}`), 'ok');
    t.equal(client.call(`poll ${fd}`), 'ok rw');
    t.equal(client.call(`recvfrom ${fd} 100`), `ok ${peer} 9 616263`);
    client.call(`nonblock ${fd} 1`);
    t.equal(client.call(`recvfrom ${fd} 100`), 'err EAGAIN');
    t.equal(client.call(`send ${fd} 61`), 'err EDESTADDRREQ');
    t.equal(client.call(`connect ${fd} ${peer} 9`), 'ok');
    t.equal(client.call(`send ${fd} -`), 'ok 0');
    t.match(client.call('emit'), /^ok 0 [0-9a-f]+$/);
    t.equal(client.call(`close ${fd}`), 'ok');
    t.equal(client.call(`poll ${fd}`), 'err EBADF');
  }
});

t.test('time stands still, and timers fire at their own times', async (t) => {
  const client = new Client();
  client.call('config ip 192.168.0.1/16');
  client.call('config gateway 192.168.0.254');
  const fd = client.call('socket tcp 4').slice(3);
  t.equal(client.call(`connect ${fd} 8.8.8.8 80`), 'blocked');
  const dial = client.last;
  t.match(client.call('emit'), /^ok 0 45/);
  t.equal(client.call('emit'), 'blocked');
  const waiting = client.last;
  t.equal(client.call('advance 999000'), 'ok 999000');
  t.equal(client.later(waiting), 'blocked');
  t.equal(client.call('advance 9001000'), 'ok 10000000');
  t.match(client.later(waiting), /^ok 100\d{4} /, 'the SYN went again after a second');
  t.match(client.call('emit'), /^ok 300\d{4} /);
  t.match(client.call('emit'), /^ok 70\d{5} /);
  t.equal(client.call('now'), 'ok 10000000');
  t.equal(client.later(dial), 'blocked');
  t.match(client.call(`info ${fd}`), /^ok tcpi_state=2 .*tcpi_backoff=3 /);
  t.equal(client.call(`close ${fd}`), 'ok');
  t.match(client.call('stats'), / connections=0 /);
});

t.test('the same seed gives the same packets', async (t) => {
  const syn = (seed: string): string => {
    const client = new Client();
    client.call('config ip 192.168.0.1/16');
    client.call(`config seed ${seed}`);
    const fd = client.call('socket tcp 4').slice(3);
    client.call(`connect ${fd} 192.168.0.2 80`);
    return client.call('emit');
  };
  t.equal(syn('5'), syn('5'));
  t.not(syn('5'), syn('6'));
});

t.test('two stacks talk through their control servers, in both families', async (t) => {
  for (const [family, one, two] of [
    [4, '10.0.0.1', '10.0.0.2'],
    [6, 'fd00::1', 'fd00::2'],
  ] as const) {
    const ends = [new Client(), new Client()];
    const [a, b] = ends as [Client, Client];
    a.call(`config ip ${one}/${family === 4 ? 24 : 64}`);
    b.call(`config ip ${two}/${family === 4 ? 24 : 64}`);
    const emits = ends.map(() => '');
    /**
     * Carries packets, a millisecond each round, until none has come for longer than an
     * acknowledgement may wait.
     */
    const carry = (): number => {
      let carried = 0;
      for (let quiet = 0; quiet < 60; ) {
        quiet++;
        for (const [at, from] of ends.entries()) {
          for (;;) {
            if (emits[at] === '') {
              from.call('emit');
              emits[at] = String(from.last);
            }
            const answer = from.later(Number(emits[at]));
            if (answer === 'blocked') break;
            emits[at] = '';
            quiet = 0;
            carried++;
            t.equal(ends[1 - at].call(`inject ${answer.split(' ')[2]}`), 'ok');
          }
          from.call('advance 1000');
        }
      }
      return carried;
    };
    const listener = b.call(`socket tcp ${family}`).slice(3);
    b.call(`bind ${listener} ${two} 80`);
    b.call(`listen ${listener} 5`);
    const client = a.call(`socket tcp ${family}`).slice(3);
    t.equal(a.call(`connect ${client} ${two} 80`), 'blocked');
    const dial = a.last;
    carry();
    t.equal(a.later(dial), 'ok');
    const [, server, peer] = b.call(`accept ${listener}`).split(' ');
    t.equal(peer, one);
    const bytes = Buffer.from(Uint8Array.from({ length: 50_000 }, (_, i) => (i * 13) & 255)).toString('hex');
    t.equal(a.call(`send ${client} ${bytes}`), 'ok 50000');
    t.ok(carry() > 30);
    t.equal(b.call(`recv ${server} 100000`), `ok ${bytes}`);
    a.call(`close ${client}`);
    carry();
    t.equal(b.call(`recv ${server} 10`), 'ok -');
    b.call(`close ${server}`);
    carry();
    a.call('advance 100000000');
    t.match(a.call('stats'), / connections=0 timeWaits=0 timers=0 /);
    t.match(b.call('stats'), / connections=0 timeWaits=0 timers=0 /);
  }
});

t.test('over a Unix socket: a stack per client, calls interleaved', async (t) => {
  const directory = mkdtempSync(join(tmpdir(), 'ft-dut-'));
  const path = join(directory, 'dut.sock');
  const server: ChildProcess = spawn(process.execPath, [
    fileURLToPath(new URL('server.js', import.meta.url)),
    '--listen',
    path,
  ]);
  t.teardown(() => {
    server.kill('SIGKILL');
    rmSync(directory, { recursive: true, force: true });
  });
  await new Promise<void>((resolve, reject) => {
    server.stdout!.once('data', () => resolve());
    server.once('exit', () => reject(new Error('the server ended')));
  });
  const open = (): { socket: Socket; lines: string[]; until: (n: number) => Promise<void> } => {
    const socket = connect(path);
    const lines: string[] = [];
    let rest = '';
    let wake = (): void => undefined;
    socket.on('data', (chunk) => {
      const parts = `${rest}${chunk}`.split('\n');
      rest = parts.pop()!;
      lines.push(...parts);
      wake();
    });
    const until = async (n: number): Promise<void> => {
      while (lines.length < n) await new Promise<void>((resolve) => (wake = resolve));
    };
    return { socket, lines, until };
  };
  const one = open();
  const two = open();
  one.socket.write('1 config ip 10.0.0.1/24\n2 socket tcp 4\n3 connect 3 10.0.0.2 80\n4 now\n5 emi');
  await one.until(3);
  t.same(one.lines, ['1 ok', '2 ok 3', '4 ok 0']);
  two.socket.write('1 now\n2 poll 3\n');
  await two.until(2);
  t.same(two.lines, ['1 ok 0', '2 err EBADF'], 'nothing of the other one');
  one.socket.write('t\n6 advance 5\n');
  await one.until(5);
  t.match(one.lines[3], /^5 ok 0 45/);
  t.equal(one.lines[4], '6 ok 5');
  one.socket.end();
  two.socket.end();
});
