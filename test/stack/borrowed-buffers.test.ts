/**
 * Received bytes that stay in the device's memory: who may look at them there, and that nobody sees
 * what comes after.
 */
import t from 'tap';
import { ManualClock } from '../../lib/clock.js';
import type { DeviceHandler, FrameDevice } from '../../lib/device/device.js';
import { MemoryLink } from '../../lib/device/emulation/memory.js';
import type { RxBatch } from '../../lib/device/rx-batch.js';
import { SeededRandom } from '../../lib/random.js';
import { connect, createServer } from '../../stack/sockets/index.js';
import type { FtSocket } from '../../stack/sockets/socket.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import { BorrowedBuffers, owned } from '../../stack/tcp/tcb/borrowed-buffers.js';

/**
 * Receives every frame into the same memory, which holds something else as soon as nobody borrows
 * it.
 */
class OneSlot implements FrameDevice {
  readonly slot = new Uint8Array(70_000);
  readonly #view = new DataView(this.slot.buffer);
  #giveBack: (() => void) | null = null;
  borrowed = 0;
  constructor(readonly inner: FrameDevice) {}
  get link() {
    return this.inner.link;
  }
  get mtu() {
    return this.inner.mtu;
  }
  get capabilities() {
    return this.inner.capabilities;
  }
  start(handler: DeviceHandler): void {
    this.inner.start({
      onFrames: ({ bytes, meta }) => {
        this.reuse();
        const [offset, length, flags, gso] = meta;
        this.slot.set(bytes.subarray(offset, offset + length));
        const batch: RxBatch = {
          lender: this,
          bytes: this.slot,
          view: this.#view,
          meta: Int32Array.of(0, length, flags, gso),
          count: 1,
        };
        handler.onFrames(batch);
        if (this.#giveBack === null) this.slot.fill(0xdd);
      },
      onWritable: () => handler.onWritable(),
    });
  }
  reuse(): void {
    this.#giveBack?.();
    this.#giveBack = null;
    this.slot.fill(0xdd);
  }
  borrow(giveBack: () => void): void {
    this.#giveBack = giveBack;
    this.borrowed++;
  }
  send: FrameDevice['send'] = (frame) => this.inner.send(frame);
  pause = (): void => this.inner.pause();
  resume = (): void => this.inner.resume();
  close = (): void => this.inner.close();
}

function pair() {
  const clock = new ManualClock(1_000_000);
  const random = new SeededRandom('loans');
  // Segments of 4 KB and more, as from an offloading device.
  const link = new MemoryLink({ clock, random, mtu: 9000 });
  const device = new OneSlot(link.b);
  const hosts = [link.a, device].map((one, n) => {
    const stack = new Stack({ clock, random });
    stack.addInterface(one, { addresses: [`10.0.0.${n + 1}/24`] });
    return new StackHost(stack, null);
  });
  const [client, server] = hosts as [StackHost, StackHost];
  /** Everything that happens within a number of milliseconds. */
  const run = async (ms: number): Promise<void> => {
    for (const end = clock.now() + ms * 1000; clock.now() < end; clock.advance(1000)) {
      await new Promise((done) => setImmediate(done));
      for (let busy = true; busy; ) {
        busy = link.run() > 0;
        for (const host of hosts) while (host.turn()) await new Promise((done) => setImmediate(done));
      }
    }
  };
  return { device, client, server, run };
}

const MANY = Uint8Array.from({ length: 300_000 }, (_, n) => (n * 7 + (n >> 9)) & 255);

function sameBytes(parts: Uint8Array[]): boolean {
  return Buffer.concat(parts).equals(MANY);
}

/** What a server's socket gets, in one of the ways of reading. */
async function received(how: (socket: FtSocket, parts: Uint8Array[]) => void, options = {}) {
  const { device, client, server, run } = pair();
  const parts: Uint8Array[] = [];
  createServer(server, options, (socket) => how(socket as FtSocket, parts)).listen(7);
  const socket = connect(client, 7, '10.0.0.2');
  socket.end(MANY);
  await run(2000);
  return { parts, device };
}

t.test('a listener keeps the data that it is given', async (t) => {
  const { parts, device } = await received((socket, parts) => socket.on('data', (part) => parts.push(part)));
  t.ok(sameBytes(parts));
  t.ok(device.borrowed > 20, `${device.borrowed} loans`);
  t.ok(
    parts.every((part) => part.buffer !== device.slot.buffer),
    'its own memory',
  );
});

t.test('a socket that is not read keeps its data', async (t) => {
  const { parts } = await received((socket, parts) => {
    socket.pause();
    setTimeout(() => socket.on('data', (part) => parts.push(part)).resume(), 5);
  });
  t.ok(sameBytes(parts));
});

t.test('onread gets all of it, in its own buffer', async (t) => {
  const buffer = Buffer.alloc(3000);
  const parts: Uint8Array[] = [];
  const { client, server, run, device } = pair();
  createServer(client, (socket) => socket.end(MANY)).listen(7);
  let count = 0;
  const socket = connect(server, {
    port: 7,
    host: '10.0.0.1',
    onread: {
      buffer,
      callback: (length: number, bytes: Uint8Array) => {
        parts.push(Buffer.from(bytes.subarray(0, length)));
        // It may pause, and go on.
        if (++count % 7 !== 0) return true;
        setImmediate(() => socket.resume());
        return false;
      },
    },
  });
  await run(2000);
  t.ok(sameBytes(parts));
  t.ok(device.borrowed > 20);
});

t.test('onread: a large buffer is filled with what is there, as by one read of the kernel', async (t) => {
  for (const [size, made] of [
    [100_000, false],
    [20_000, false],
    [100_000, true],
  ] as const) {
    const lengths: number[] = [];
    const parts: Uint8Array[] = [];
    const { client, server, run } = pair();
    createServer(client, (socket) => socket.end(MANY)).listen(7);
    const own = Buffer.alloc(size);
    const socket = connect(server, {
      port: 7,
      host: '10.0.0.1',
      onread: {
        buffer: made ? () => Buffer.alloc(size) : own,
        callback: (length: number, bytes: Uint8Array) => {
          lengths.push(length);
          parts.push(Buffer.from(bytes.subarray(0, length)));
          if (lengths.length % 5 !== 0) return true;
          setImmediate(() => socket.resume());
          return false;
        },
      },
    });
    await run(2000);
    t.ok(sameBytes(parts));
    t.equal(socket.bytesRead, MANY.length);
    const longest = Math.max(...lengths);
    // Nobody knows how long the next one of its own making will be.
    if (made) t.ok(longest < 9000, `${longest} bytes`);
    else t.ok(longest > 9000 && longest <= size, `${longest} bytes`);
  }
});

t.test('a stream without listeners costs no memory', async (t) => {
  let socket: FtSocket | null = null;
  const { device } = await received((one) => {
    socket = one;
    one.resume();
  });
  t.equal(socket!.bytesRead, MANY.length);
  t.ok(socket!.readableEnded, 'its end is told');
  t.ok(device.borrowed > 20);
});

t.test('a listener that is added later gets the data that comes later', async (t) => {
  const { parts } = await received((socket, parts) => {
    socket.resume();
    setTimeout(() => socket.on('data', (part) => parts.push(part)), 3);
  });
  const got = Buffer.concat(parts);
  t.ok(got.length < MANY.length);
  t.ok(got.equals(MANY.subarray(MANY.length - got.length)), `the last ${got.length} bytes`);
});

t.test('blocks for data from a log are used again, unless the program keeps them', async (t) => {
  const loans = new BorrowedBuffers();
  const log = new Uint8Array(200_000).map((_, n) => n & 255);
  const first = loans.copy(log, 10, 50_000);
  t.equal(Buffer.compare(first, log.subarray(10, 50_010)), 0);
  const kept = owned(first, 0, first.length);
  t.equal(kept.buffer, first.buffer, 'it is given away without a copy');
  loans.recycle(first);
  const second = loans.copy(log, 20, 40_000);
  t.not(second.buffer, kept.buffer);
  loans.recycle(second);
  t.equal(loans.copy(log, 30, 65_536).buffer, second.buffer);
  for (const length of [0, 100, 32_767, 65_537]) {
    const small = loans.copy(log, 40, length);
    t.ok(small instanceof Buffer, `${length} bytes are a Buffer`);
    t.equal(owned(small, 0, length), small);
    loans.recycle(small);
  }
});
