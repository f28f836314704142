/**
 * The thread that hands frames to a device: every frame once, in order, and none after its lease.
 */
import { readSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { errorCode } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';

const addon = native();

t.test('a sender writes every frame once, in order, whatever the device takes at a time', async (t) => {
  const fifo = addon.fifoOpen(join(t.testdir(), 'device'));
  const stats = new Int32Array(3);
  const sender = addon.senderOpen(fifo, 20, stats, null, 0);
  const header = new Uint8Array(20);
  const view = new DataView(header.buffer);
  // Writes of so much are whole in a FIFO, as they are on a device.
  const source = Uint8Array.from({ length: 4096 }, (_, i) => (i * 7) & 255);
  const sizes: number[] = [];
  const spans = new Int32Array(4);
  const got: Buffer[] = [];
  const drain = (): void => {
    const room = Buffer.alloc(65_536);
    try {
      got.push(room.subarray(0, readSync(fifo, room)));
    } catch (error) {
      if (errorCode(error) !== 'EAGAIN') throw error;
    }
  };
  let busy = 0;
  for (let i = 0; i < 20_000; i++) {
    const size = (i * 7919) % 4000;
    view.setUint32(4, i);
    view.setUint32(8, size);
    spans.set([0, size >> 1, size >> 1, size - (size >> 1)]);
    for (;;) {
      const taken = addon.senderSend(sender, header, 4, 8, [source, source], spans, 2);
      if (taken >= 0) {
        if (taken !== 8 + size) t.fail(`${taken} bytes were taken of ${8 + size}`);
        break;
      }
      if (taken !== -constants.errno.EAGAIN) t.fail(`error ${taken}`);
      busy++;
      drain();
    }
    sizes.push(size);
  }
  let left = true;
  while (left) {
    addon.senderFinish(sender);
    const before = got.length;
    drain();
    left = got.length > before;
  }
  addon.senderClose(sender);
  t.ok(busy > 0, `the ring was full ${busy} times`);
  const bytes = Buffer.concat(got);
  let at = 0;
  for (let i = 0; i < sizes.length; i++) {
    const size = sizes[i];
    const wrong =
      bytes.readUInt32BE(at) !== i ||
      bytes.readUInt32BE(at + 4) !== size ||
      !bytes.subarray(at + 8, at + 8 + size).equals(source.subarray(0, size));
    if (wrong) {
      t.fail(`frame ${i} is not as it was sent`);
      break;
    }
    at += 8 + size;
  }
  t.equal(at, bytes.length);
  t.same([...stats], [0, 0, 0]);
  addon.closeFd(fifo);
});

t.test('a sender falls silent when its lease is over', async (t) => {
  const fifo = addon.fifoOpen(join(t.testdir(), 'device'));
  const stats = new Int32Array(3);
  const sender = addon.senderOpen(fifo, 0, stats, null, 0);
  const words = new Int32Array(4);
  const offset = Float64Array.of(5_000_000);
  const send = (byte: number): void => {
    t.equal(addon.senderSend(sender, Uint8Array.of(byte), 0, 1, [], new Int32Array(0), 0), 1);
    addon.senderFinish(sender);
  };
  const leaseFor = (ms: number): void => {
    words[2] = Math.floor((addon.monotonicUs() + offset[0]) / 1000 + ms) | 0;
  };
  leaseFor(60_000);
  addon.senderLease(sender, words, 2, offset);
  send(1);
  leaseFor(-1);
  send(2);
  send(3);
  leaseFor(60_000);
  send(4);
  // The group's time jumps on.
  offset[0] = 100_000_000;
  send(5);
  t.equal(stats[2], 3);
  const room = Buffer.alloc(10);
  t.equal(readSync(fifo, room), 2);
  t.same([...room.subarray(0, 2)], [1, 4]);
  t.throws(() => addon.senderLease(sender, words, 4, offset));
  addon.senderClose(sender);
  addon.senderClose(sender);
  addon.closeFd(fifo);
});
