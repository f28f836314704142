/**
 * The native addon apart from devices (tap-device.test.ts, direct.test.ts, sender.test.ts) and the
 * event loop (native-loop.test.ts).
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { statSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { type NativeHandle, native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';
import { chacha20, codeOf, crcByTable, numbers, play, scratch, sumOfWords } from './support/native-lab.js';

const addon = native();
const at = scratch(t);

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
  // Between two readings of Date.now, which cuts off what is below a millisecond.
  const earliest = Date.now();
  const realtime = addon.realtimeMs();
  t.ok(earliest <= Math.ceil(realtime) && realtime < Date.now() + 1, 'the clock of Date.now');
});

t.test('the system clock and randomness', async (t) => {
  const [firstUs, firstMs] = [addon.monotonicUs(), Date.now()];
  const [nowUs, wallMs] = [systemClock.now(), systemClock.wall()];
  t.ok(firstUs <= nowUs && nowUs <= addon.monotonicUs(), 'monotonic microseconds');
  t.ok(firstMs <= Math.ceil(wallMs) && wallMs < Date.now() + 1, 'milliseconds of the wall');
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
    codeOf(() => addon.lockFile(at(''))),
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
  t.equal(a.drawn, b.drawn);
  t.equal(a.uuid, b.uuid);
  t.not(a.drawn, c.drawn, 'another key');
  t.not(a.free, b.free, 'not while it is off');
  t.not(a.other, b.other, 'not on other threads');
  t.equal(a.count, 1 + 63 + 1 + 500 + 16, 'the position counts bytes');
  t.equal(a.after, a.count);
  t.equal(
    createHash('sha256').update(Buffer.from(a.drawn, 'hex')).digest('hex'),
    createHash('sha256')
      .update(chacha20(1, 7, 9).subarray(0, 565))
      .digest('hex'),
    'ChaCha20 with a 64-bit nonce',
  );
});
