/**
 * The native addon apart from devices (tap-device.test.ts, direct.test.ts, sender.test.ts). The file is also the child processes of its own
 * tests: with a role as first argument it plays that role instead of testing.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { Worker } from 'node:worker_threads';
import type { Test } from 'tap';
import { errorCode } from '../../lib/errors.js';
import { type NativeHandle, native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';

const self = fileURLToPath(import.meta.url);
const addon = native();

/** Prints without the buffering that a killed process would lose. */
function say(line: string): void {
  writeSync(1, `${line}\n`);
}

const roles: Record<string, (...args: string[]) => void> = {
  /** Answers each doorbell: word 1 becomes word 0 + 1000, then rings back. */
  echo(path: string, bell: string, back: string) {
    const words = new Int32Array(addon.shmMap(path, 4096, false));
    const answer = addon.fifoOpen(back);
    addon.watchOpen(addon.fifoOpen(bell), true, () => {
      const asked = addon.loadAcquire(words, 0);
      addon.storeRelease(words, 1, asked + 1000 + (words[2] ?? 0));
      addon.fifoRing(answer);
      if (asked < 0) process.exit();
    });
    say('ready');
  },
  lock(path: string) {
    say(String(addon.lockFile(path) >= 0));
    // A child of ours that lives on must not keep the lock.
    const child = spawn('sleep', ['60'], { stdio: 'ignore' });
    say(String(child.pid));
    setInterval(() => {}, 1000);
  },
  idle() {
    say('ready');
    setInterval(() => {}, 1000);
  },
  parent() {
    const child = spawn(process.execPath, [self, 'orphan'], { stdio: ['ignore', 'inherit', 'inherit'] });
    child.unref();
    setInterval(() => {}, 1000);
  },
  orphan() {
    addon.dieWithParent();
    say(String(process.pid));
    setInterval(() => {}, 1000);
  },
  random(keyByte: string) {
    const state = Uint32Array.of(0, 7, 9, 0);
    addon.randInstall(new Uint8Array(32).fill(Number(keyByte)), state);
    const free = randomBytes(16).toString('hex');
    state[0] = 1;
    const drawn = [randomBytes(1), randomBytes(63), randomBytes(1), randomBytes(500)];
    const uuid = randomUUID({ disableEntropyCache: true });
    const count = state[3];
    // The threadpool is not ours.
    randomBytes(32, (_error, other) => {
      say(
        JSON.stringify({
          free,
          drawn: Buffer.concat(drawn).toString('hex'),
          uuid,
          count,
          other: other.toString('hex'),
          after: state[3],
        }),
      );
    });
  },
  unreferenced() {
    addon.loopTimer(
      addon.loopHook(() => false, 8),
      60_000,
    );
    addon.watchRef(
      addon.watchOpen(addon.fifoOpen(process.argv[3]), true, () => {}),
      false,
    );
  },
  referenced() {
    let turns = 0;
    const hook = addon.loopHook(() => {
      if (++turns === 3) {
        say('3 turns');
        addon.loopClose(hook);
      } else {
        addon.loopTimer(hook, 5);
      }
      return false;
    }, 8);
    addon.loopRef(hook, true);
  },
  throwing() {
    const seen: string[] = [];
    process.on('uncaughtException', (error) => seen.push(error.message));
    let turns = 0;
    const hook = addon.loopHook(() => {
      turns++;
      if (turns === 2) throw new Error('from turn');
      return turns < 4;
    }, 8);
    const bell = addon.fifoOpen(process.argv[3]);
    const watch = addon.watchOpen(bell, true, () => {
      setTimeout(() => {
        say(JSON.stringify({ seen, turns: turns >= 4 }));
        addon.watchClose(watch, true);
        addon.loopClose(hook);
      }, 5);
      throw new Error('from watch');
    });
    addon.fifoRing(bell);
  },
  uncaught() {
    addon.loopHook(() => {
      throw new Error('nobody catches this');
    }, 8);
    setTimeout(() => say('still here'), 50);
  },
};

interface Role {
  child: ChildProcessWithoutNullStreams;
  /** The next line that it prints. */
  line(): Promise<string>;
}

function play(role: string, ...args: string[]): Role {
  const child = spawn(process.execPath, [self, role, ...args]);
  child.stderr.resume();
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, line: async () => ((await lines.next()).value as string | undefined) ?? '(ended)' };
}

function crcByTable(bytes: Uint8Array): number {
  const table = Uint32Array.from({ length: 256 }, (_, i) => {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    return crc;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

function sumOfWords(bytes: Uint8Array, seed: number): number {
  let sum = seed;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = Math.floor(sum / 65536) + (sum % 65536);
  return sum;
}

/** Repeatable numbers, so that a failure can be seen again. */
function* numbers(seed: number): Generator<number, never> {
  for (let x = seed; ; ) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    yield x >>> 8;
  }
}

function codeOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return errorCode(error);
  }
  return undefined;
}

function tests(t: Test): void {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ft-native-'));
  const at = (name: string): string => join(directory, name);
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));

  t.test('memory that is kept: no crash, and no sizes that cannot be', async (t) => {
    addon.keepMemory(64 << 20, 4 << 20);
    t.equal(
      codeOf(() => addon.keepMemory(2 ** 31, 0)),
      'ERR_OUT_OF_RANGE',
    );
    t.equal(Buffer.alloc(1 << 20, 1)[9], 1);
  });

  t.test('crc32c agrees with known values and with a table', async (t) => {
    t.equal(addon.crc32c(Buffer.from('123456789'), 0, 9, 0), 0xe3069283);
    t.equal(addon.crc32c(new Uint8Array(32), 0, 32, 0), 0x8a9136aa, 'RFC 3720: zeros');
    t.equal(addon.crc32c(new Uint8Array(32).fill(255), 0, 32, 0), 0x62a8ab43, 'RFC 3720: ones');
    t.equal(addon.crc32c(new Uint8Array(0), 0, 0, 0), 0);
    const bytes = Uint8Array.from({ length: 70_000 }, (_, i) => (i * 7 + (i >> 8)) & 255);
    const next = numbers(1);
    let wrong = 0;
    for (let i = 0; i < 300; i++) {
      const length = i < 200 ? i * 7 : next.next().value % 60_000;
      const offset = next.next().value % 64;
      const want = crcByTable(bytes.subarray(offset, offset + length));
      const cut = length === 0 ? 0 : next.next().value % length;
      const chained = addon.crc32c(bytes, offset + cut, length - cut, addon.crc32c(bytes, offset, cut, 0));
      if (addon.crc32c(bytes, offset, length, 0) !== want || chained !== want) wrong++;
    }
    t.equal(wrong, 0, 'lengths, offsets and seeds');
    for (const way of [0, 1, 2, 3]) {
      for (const length of [0, 1, 255, 767, 768, 3072, 12_289, 60_001]) {
        const part = bytes.subarray(3, 3 + length);
        const sum = addon.crc32cBy(way, part);
        t.ok(sum === -1 || sum === crcByTable(part), `way ${way}, ${length} bytes`);
      }
    }
    t.equal(
      codeOf(() => addon.crc32c(bytes, 69_999, 2, 0)),
      'ERR_OUT_OF_RANGE',
    );
    t.equal(
      codeOf(() => addon.crc32c(bytes, -1, 2, 0)),
      'ERR_OUT_OF_RANGE',
    );
    t.equal(
      codeOf(() => addon.crc32c('x' as unknown as Uint8Array, 0, 1, 0)),
      'ERR_INVALID_ARG_TYPE',
    );
  });

  t.test('checksum agrees with RFC 1071', async (t) => {
    t.equal(addon.checksum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8, 0), 0xddf2);
    const bytes = new Uint8Array(70_000).map((_, i) => (i * 31 + (i >> 7)) & 255);
    const next = numbers(2);
    let wrong = 0;
    for (let i = 0; i < 500; i++) {
      const length = i < 200 ? i : next.next().value % 65_536;
      const offset = next.next().value % 64;
      const seed = i % 3 === 0 ? 0 : i % 3 === 1 ? next.next().value : 0xffffffff;
      if (addon.checksum(bytes, offset, length, seed) !== sumOfWords(bytes.subarray(offset, offset + length), seed))
        wrong++;
    }
    t.equal(wrong, 0, 'odd and even lengths, offsets and seeds');
    const ones = new Uint8Array(65_535).fill(255);
    t.equal(addon.checksum(ones, 0, 65_535, 0), sumOfWords(ones, 0), 'carries everywhere');
  });

  t.test('clocks', async (t) => {
    const before = addon.monotonicUs();
    const hr = Number(process.hrtime.bigint() / 1000n);
    const after = addon.monotonicUs();
    t.ok(before <= hr && hr <= after, 'the clock of process.hrtime');
    t.ok(Number.isInteger(before));
    t.ok(Math.abs(addon.realtimeMs() - Date.now()) <= 2);
  });

  t.test('the system clock and randomness', async (t) => {
    t.ok(Math.abs(systemClock.now() - addon.monotonicUs()) < 1e6);
    t.ok(Math.abs(systemClock.wall() - Date.now()) < 1000);
    const floats = Array.from({ length: 1000 }, () => systemRandom.float());
    t.ok(floats.every((value) => value >= 0 && value < 1));
    t.ok(Math.abs(floats.reduce((sum, value) => sum + value, 0) / 1000 - 0.5) < 0.1);
    const words = Array.from({ length: 100 }, () => systemRandom.u32());
    t.ok(words.every((word) => Number.isInteger(word) && word >= 0 && word <= 0xffffffff));
    t.ok(new Set(words).size > 95 && Math.max(...words) > 2 ** 31);
    const bytes = new Uint8Array(64);
    systemRandom.fill(bytes);
    t.ok(new Set(bytes).size > 20);
  });

  t.test('errors carry code, errno and syscall', async (t) => {
    const error = t.throws(() => addon.ifMtu('no-such-if')) as NodeJS.ErrnoException;
    t.match(error, { code: 'ENODEV', errno: -19, syscall: 'ioctl SIOCGIFMTU' });
    t.equal(addon.ifMtu('lo') >= 1280, true);
    t.equal(
      codeOf(() => addon.ifMtu('a name that is too long')),
      'ENAMETOOLONG',
    );
    t.equal(
      codeOf(() => addon.closeFd(-1)),
      'EBADF',
    );
    t.equal(
      codeOf(() => addon.watchOpen(99_999, false, () => {})),
      'EBADF',
    );
    t.equal(
      codeOf(() => addon.loopKick({} as NativeHandle)),
      'ERR_INVALID_ARG_TYPE',
    );
    t.equal(
      codeOf(() => addon.shmMap(at('none'), 4096, false)),
      'ENOENT',
    );
    writeFileSync(at('short'), 'x');
    t.equal(
      codeOf(() => addon.shmMap(at('short'), 4096, false)),
      'EINVAL',
      'no SIGBUS later',
    );
    t.equal(
      codeOf(() => addon.fifoOpen(at('short'))),
      'EEXIST',
    );
    t.equal(
      codeOf(() => addon.lockFile(directory)),
      'EISDIR',
    );
    t.equal(
      codeOf(() => addon.pidfdOpen(0x3fffff)),
      'ESRCH',
    );
    t.equal(
      codeOf(() => addon.randInstall(new Uint8Array(31), new Uint32Array(4))),
      'ERR_OUT_OF_RANGE',
    );
  });

  t.test('shared memory and doorbells join two processes', async (t) => {
    const words = new Int32Array(addon.shmMap(at('map'), 4096, true));
    t.equal(words.length, 1024);
    t.equal(statSync(at('map')).mode & 0o777, 0o600);
    words[2] = 5;
    const bell = addon.fifoOpen(at('bell'));
    const back = addon.fifoOpen(at('back'));
    const role = play('echo', at('map'), at('bell'), at('back'));
    t.equal(await role.line(), 'ready');
    let rung = (): void => {};
    const watch = addon.watchOpen(back, true, () => rung());
    for (let i = 1; i <= 50; i++) {
      const answer = new Promise<void>((resolve) => {
        rung = resolve;
      });
      addon.storeRelease(words, 0, i);
      addon.fifoRing(bell);
      await answer;
      if (addon.loadAcquire(words, 1) !== i + 1005) t.fail(`round ${i}`);
    }
    t.equal(words[1], 1055, 'the other process wrote into our memory');
    t.throws(() => addon.loadAcquire(words, 1024), RangeError);
    addon.storeRelease(words, 0, -1);
    addon.fifoRing(bell);
    await once(role.child, 'exit');
    addon.watchClose(watch, true);
    addon.watchClose(watch, true);
    for (let i = 0; i < 70_000; i++) addon.fifoRing(bell);
    t.pass('ringing a full doorbell is fine');
    addon.closeFd(bell);
  });

  t.test('a lock is exclusive and ends with its process', async (t) => {
    const role = play('lock', at('lock'));
    t.equal(await role.line(), 'true');
    const heir = Number(await role.line());
    t.equal(addon.lockFile(at('lock')), -1, 'somebody else holds it');
    role.child.kill('SIGKILL');
    await once(role.child, 'exit');
    process.kill(heir, 0);
    const fd = addon.lockFile(at('lock'));
    t.ok(fd >= 0, 'free, although a child of the holder is alive');
    t.equal(addon.lockFile(at('lock')), -1, 'exclusive within a process too');
    addon.closeFd(fd);
    process.kill(heir, 'SIGKILL');
  });

  t.test('a pidfd kills and watches a stopped process', async (t) => {
    const role = play('idle');
    t.equal(await role.line(), 'ready');
    const pidfd = addon.pidfdOpen(role.child.pid!);
    role.child.kill('SIGSTOP');
    let calls = 0;
    const gone = new Promise<void>((resolve) => {
      addon.watchOpen(pidfd, false, () => {
        calls++;
        resolve();
      });
    });
    await sleep(30);
    t.equal(calls, 0, 'a stopped process has not ended');
    t.equal(addon.pidfdWait(pidfd, 10), false);
    const exited = once(role.child, 'exit');
    t.equal(addon.pidfdSignal(pidfd, 9), 0);
    t.equal(addon.pidfdWait(pidfd, 5000), true);
    await gone;
    await exited;
    await sleep(20);
    t.equal(calls, 1, 'told once');
    t.equal(addon.pidfdSignal(pidfd, 9), -3, 'ESRCH after it was reaped');
    t.equal(addon.pidfdWait(pidfd, 0), true);
    addon.closeFd(pidfd);
  });

  t.test('a child that asked for it dies with its parent', async (t) => {
    const role = play('parent');
    const pidfd = addon.pidfdOpen(Number(await role.line()));
    t.equal(addon.pidfdWait(pidfd, 20), false);
    role.child.kill('SIGKILL');
    await once(role.child, 'exit');
    t.equal(addon.pidfdWait(pidfd, 5000), true);
    addon.closeFd(pidfd);
  });

  t.test('between turns of the loop hook, ticks and microtasks drain', async (t) => {
    const log: string[] = [];
    await new Promise<void>((resolve) => {
      let turn = 0;
      const hook = addon.loopHook(() => {
        const n = ++turn;
        log.push(`turn ${n}`);
        process.nextTick(() => log.push(`tick ${n}`));
        Promise.resolve().then(() => log.push(`promise ${n}`));
        if (n < 3) return true;
        addon.loopClose(hook);
        addon.loopClose(hook);
        setImmediate(resolve);
        return true;
      }, 100);
      addon.loopRef(hook, true);
    });
    const want = [1, 2, 3].flatMap((n) => [`turn ${n}`, `tick ${n}`, `promise ${n}`]);
    t.same(log, want);
  });

  t.test('the hook comes before the loop blocks, after timers and immediates have run', async (t) => {
    const log: string[] = [];
    let asked = 0;
    const hook = addon.loopHook(() => {
      log.push('turn');
      asked++;
      return false;
    }, 8);
    await new Promise<void>((resolve) => {
      setTimeout(() => {
        log.length = 0;
        log.push('timer');
        setImmediate(() => {
          log.push('immediate');
          setTimeout(resolve, 20);
        });
      }, 5);
    });
    t.same(log.slice(0, 4), ['timer', 'turn', 'immediate', 'turn']);
    const before = asked;
    await sleep(50);
    t.ok(asked - before <= 3, `no busy loop (${asked - before} turns in 50 ms)`);
    addon.loopClose(hook);
  });

  t.test('a hook with endless work starves nobody', async (t) => {
    let turns = 0;
    let burst = 0;
    let longest = 0;
    const hook = addon.loopHook(() => {
      turns++;
      longest = Math.max(longest, ++burst);
      return true;
    }, 16);
    let immediates = 0;
    const step = (): void => {
      burst = 0;
      immediates++;
      if (running) setImmediate(step);
    };
    let running = true;
    step();
    await sleep(20);
    await sleep(20);
    running = false;
    addon.loopClose(hook);
    t.ok(turns > 100 && immediates > 5, `${turns} turns, ${immediates} immediates`);
    t.ok(longest <= 32, `at most max turns in a row (${longest})`);
  });

  t.test(
    'a loop that looks before it sleeps finds what is there, and soon looks no more for what is not',
    async (t) => {
      const bell = addon.fifoOpen(join(t.testdir(), 'bell'));
      let rung = 0;
      const hook = addon.loopHook(() => {
        if (rung < 50) {
          rung++;
          addon.fifoRing(bell);
        }
        return false;
      }, 8);
      const watch = addon.watchOpen(bell, true, () => undefined);
      t.same(addon.loopLooks(hook), [0, 0]);
      addon.loopLook(hook, 1000, 10_000);
      while (rung < 50) await sleep(1);
      const [looks, found] = addon.loopLooks(hook);
      t.ok(looks > 0, `${looks} looks`);
      // The first sleep may have been before the bell was rung.
      t.ok(looks - found <= 1, `${found} of ${looks} found something`);
      for (let i = 0; i < 100; i++) await sleep(1);
      const after = addon.loopLooks(hook);
      t.ok(after[0] - looks <= 9, `${after[0] - looks} looks in vain in a hundred sleeps`);
      addon.loopLook(hook, 0, 0);
      await sleep(5);
      t.equal(addon.loopLooks(hook)[0], after[0], 'switched off');
      addon.watchClose(watch, true);
      addon.loopClose(hook);
      t.equal(addon.loopLooks(hook).length, 2, 'and can still be asked');
      t.throws(() => addon.loopLook(hook, -1, 0));
    },
  );

  t.test('kick and timer wake the loop', async (t) => {
    let turns = 0;
    let noticed = (): void => {};
    const hook = addon.loopHook(() => {
      turns++;
      noticed();
      return false;
    }, 8);
    // It keeps the process alive; only our timer can end the wait sooner.
    const alive = setTimeout(() => {}, 10_000);
    // The second time after a long turn: the loop's own time stands still in it.
    for (const [ms, busyMs] of [
      [0, 0],
      [19.2, 0],
      [40, 30],
      [40, 0],
    ] as const) {
      const until = performance.now() + busyMs;
      while (performance.now() < until);
      const begun = performance.now();
      addon.loopTimer(hook, ms);
      await new Promise<void>((resolve) => {
        noticed = () => {
          if (performance.now() - begun >= ms - 1) resolve();
        };
      });
      const took = performance.now() - begun;
      t.ok(took < ms + 1000, `woken after ${ms} ms`);
    }
    noticed = () => {};
    clearTimeout(alive);
    const countKicks = async (kick: boolean): Promise<number> => {
      await sleep(1);
      const before = turns;
      for (let i = 0; i < 20; i++) if (kick) addon.loopKick(hook);
      await sleep(30);
      return turns - before;
    };
    const still = await countKicks(false);
    const kicked = await countKicks(true);
    t.ok(kicked > still && kicked <= still + 2, `kicks in a row bring one more round (${still}, ${kicked})`);
    addon.loopTimer(hook, 5.5);
    addon.loopTimer(hook, -1);
    addon.loopClose(hook);
    addon.loopKick(hook);
    addon.loopTimer(hook, 1);
    addon.loopRef(hook, true);
    t.pass('a closed hook may still be called');
  });

  t.test('what is referenced keeps the process alive, and only that', async (t) => {
    const free = play('unreferenced', at('unref'));
    t.same(await once(free.child, 'exit'), [0, null]);
    const held = play('referenced');
    t.equal(await held.line(), '3 turns');
    t.same(await once(held.child, 'exit'), [0, null]);
  });

  t.test('exceptions in callbacks are uncaught exceptions', async (t) => {
    const caught = play('throwing', at('throw'));
    const report = JSON.parse(await caught.line()) as { seen: string[]; turns: boolean };
    t.same(report.seen.sort(), ['from turn', 'from watch'], 'each reported once');
    t.ok(report.turns, 'and the hook went on');
    const fatal = play('uncaught');
    t.equal(await fatal.line(), '(ended)');
    t.equal(fatal.child.exitCode ?? (await once(fatal.child, 'exit'))[0], 1);
  });

  t.test('an open handle survives garbage collection', async (t) => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    let turns = 0;
    let rings = 0;
    const bell = addon.fifoOpen(at('gc'));
    const open = (): [WeakRef<NativeHandle>, WeakRef<NativeHandle>] => [
      new WeakRef(
        addon.loopHook(() => {
          turns++;
          return false;
        }, 8),
      ),
      new WeakRef(addon.watchOpen(bell, true, () => rings++)),
    ];
    const [hook, watch] = open();
    for (let i = 0; i < 3; i++) {
      await sleep(2);
      collect();
    }
    const before = turns;
    addon.fifoRing(bell);
    await sleep(10);
    t.ok(turns > before && rings === 1);
    addon.loopClose(hook.deref()!);
    addon.watchClose(watch.deref()!, true);
    for (let i = 0; i < 10 && (hook.deref() || watch.deref()); i++) {
      await sleep(2);
      collect();
    }
    t.equal(hook.deref(), undefined, 'and is collected once closed');
    let map: ArrayBuffer | undefined = addon.shmMap(at('gc-map'), 65_536, true);
    new Uint8Array(map).fill(1);
    map = undefined;
    collect();
    await sleep(5);
    t.equal(new Uint8Array(addon.shmMap(at('gc-map'), 65_536, false))[65_535], 1);
  });

  t.test('handles left open in a worker thread end with it', async (t) => {
    const source = `
      const { parentPort, workerData } = require('node:worker_threads');
      const addon = require(workerData.addon);
      const hook = addon.loopHook(() => false, 8);
      addon.loopRef(hook, true);
      const watch = addon.watchOpen(addon.fifoOpen(workerData.fifo), true, () => {});
      const closed = addon.loopHook(() => false, 8);
      addon.loopClose(closed);
      addon.shmMap(workerData.map, 4096, true);
      parentPort.postMessage('ready');`;
    const path = fileURLToPath(new URL('../../../build/Release/fttcp.node', import.meta.url));
    for (let i = 0; i < 5; i++) {
      const worker = new Worker(source, {
        eval: true,
        workerData: { addon: path, fifo: at('worker'), map: at('worker-map') },
      });
      await once(worker, 'message');
      await worker.terminate();
    }
    t.pass('no crash');
  });

  t.test('frames are gathered, refused when full, and announced when there is room', async (t) => {
    const fd = addon.fifoOpen(at('frames'));
    const slab = new ArrayBuffer(65_664 * 2);
    const meta = new Int32Array(8);
    const got: string[] = [];
    const reader = addon.readerOpen(fd, false, slab, 65_664, meta, (count) => {
      for (let i = 0; i < count; i++) got.push(Buffer.from(slab, meta[4 * i], meta[4 * i + 1]).toString('latin1'));
      return false;
    });
    const pieces = Array.from({ length: 16 }, (_, i) => Buffer.from(`..${i.toString(16)}..`));
    const spans = Int32Array.from({ length: 32 }, (_, i) => (i % 2 === 0 ? 2 : 1));
    t.equal(addon.send(fd, Buffer.from('__head'), 2, 4, pieces, spans, 16), 20);
    t.equal(addon.send(fd, Buffer.from('__head'), 6, 0, pieces, spans, 0), 0);
    t.equal(
      codeOf(() => addon.send(fd, Buffer.from('head'), 2, 3, pieces, spans, 0)),
      'ERR_OUT_OF_RANGE',
    );
    t.equal(
      codeOf(() => addon.send(fd, Buffer.from('head'), 0, 4, pieces, spans, 17)),
      'ERR_OUT_OF_RANGE',
    );
    t.equal(
      codeOf(() => addon.send(fd, Buffer.from('head'), 0, 4, pieces, Int32Array.of(4, 2), 1)),
      'ERR_OUT_OF_RANGE',
    );
    t.equal(addon.send(99_999, Buffer.from('head'), 0, 4, pieces, spans, 0), -9);
    await sleep(10);
    t.same(got, [], 'a reader is stopped at first');
    addon.readerRun(reader, true);
    await sleep(10);
    t.same(got, ['head0123456789abcdef']);
    addon.readerRun(reader, false);
    const page = new Uint8Array(4096);
    let result = 0;
    for (let i = 0; i < 100 && result >= 0; i++) result = addon.send(fd, page, 0, 4096, pieces, spans, 0);
    t.equal(result, -11, 'EAGAIN when full');
    let writable = 0;
    const room = new Promise<void>((resolve) => {
      addon.readerArmWritable(reader, () => {
        writable++;
        resolve();
      });
    });
    await sleep(10);
    t.equal(writable, 0);
    addon.readerRun(reader, true);
    await room;
    await sleep(10);
    t.equal(writable, 1, 'once');
    addon.readerClose(reader, true);
    addon.readerClose(reader, true);
    addon.readerRun(reader, true);
    t.equal(
      codeOf(() => addon.closeFd(fd)),
      'EBADF',
      'the descriptor was closed with it',
    );
  });

  t.test('the same key and state give the same randomness in two processes', async (t) => {
    type Draws = { free: string; drawn: string; uuid: string; count: number; other: string; after: number };
    const [a, b, c] = await Promise.all(
      ['1', '1', '2'].map(async (key) => JSON.parse(await play('random', key).line()) as Draws),
    );
    t.equal(a!.drawn, b!.drawn);
    t.equal(a!.uuid, b!.uuid);
    t.not(a!.drawn, c!.drawn, 'another key');
    t.not(a!.free, b!.free, 'not while it is off');
    t.not(a!.other, b!.other, 'not on other threads');
    t.equal(a!.count, 1 + 63 + 1 + 500 + 16, 'the position counts bytes');
    t.equal(a!.after, a!.count);
    t.equal(
      createHash('sha256').update(Buffer.from(a!.drawn, 'hex')).digest('hex'),
      createHash('sha256')
        .update(chacha20(1, 7, 9).subarray(0, 565))
        .digest('hex'),
      'ChaCha20 with a 64-bit nonce',
    );
  });
}

/** 640 bytes of ChaCha20's key stream, written independently of the C code (BigInt-free, straight from the definition). */
function chacha20(keyByte: number, nonceLo: number, nonceHi: number): Uint8Array {
  const keyWord = Math.imul(keyByte, 0x01010101);
  const out = new Uint8Array(640);
  const view = new DataView(out.buffer);
  for (let block = 0; block < 10; block++) {
    const start = Uint32Array.of(
      0x61707865,
      0x3320646e,
      0x79622d32,
      0x6b206574,
      ...Array(8).fill(keyWord),
      block,
      0,
      nonceLo,
      nonceHi,
    );
    const x = start.slice();
    const mix = (a: number, b: number, c: number, d: number): void => {
      for (const [p, q, r, by] of [
        [a, b, d, 16],
        [c, d, b, 12],
        [a, b, d, 8],
        [c, d, b, 7],
      ] as const) {
        x[p] += x[q];
        const word = x[r] ^ x[p];
        x[r] = (word << by) | (word >>> (32 - by));
      }
    };
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i);
      for (let i = 0; i < 4; i++) mix(i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
    }
    for (let i = 0; i < 16; i++) view.setUint32(block * 64 + i * 4, x[i] + start[i], true);
  }
  return out;
}

const role = process.argv[2];
if (role !== undefined && roles[role] !== undefined) {
  roles[role](...process.argv.slice(3));
} else {
  // Loaded here and not above, so that the child processes print nothing of the test runner's.
  const { default: t } = await import('tap');
  tests(t);
}
