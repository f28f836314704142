/**
 * Payload that is read to where it is wanted: which frames are, what becomes of them, and that
 * nobody ever sees anything else.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { DirectPayload } from '../../lib/device/direct-placement.js';
import { type PayloadPlace, RX_DIRECT, RX_HEADERS_SHIFT, type RxBatch } from '../../lib/device/rx-batch.js';
import { RxSlab, SLOT_BYTES, slabBytes } from '../../lib/device/rx-slab.js';
import { errorCode } from '../../lib/errors.js';
import { type NativeHandle, native } from '../../lib/native/native.js';

const addon = native();
const directory = mkdtempSync(join(tmpdir(), 'ft-direct-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

const VNET = 10;
const NEEDS_CSUM = 1;
const ACK = 0x10;

interface Made {
  payload: number;
  /** Bytes of TCP options (default 12: timestamps). */
  options?: number;
  six?: boolean;
  flags?: number;
  /** Bytes behind the packet, as Ethernet pads short ones. */
  padding?: number;
  fragment?: boolean;
  protocol?: number;
  csum?: boolean;
}

/** A frame with its virtio header, its payload counting up. */
function make(made: Made): Buffer {
  const { payload, options = 12, six = false, flags = ACK, padding = 0, fragment = false } = made;
  const { protocol = 6, csum = true } = made;
  const ipAt = VNET + 14;
  const tcpAt = ipAt + (six ? 40 : 20);
  const from = tcpAt + 20 + options;
  const frame = Buffer.alloc(from + payload + padding);
  frame[0] = csum ? NEEDS_CSUM : 0;
  frame.writeUInt16BE(six ? 0x86dd : 0x0800, VNET + 12);
  if (six) {
    frame[ipAt] = 0x60;
    frame.writeUInt16BE(frame.length - padding - tcpAt, ipAt + 4);
    frame[ipAt + 6] = protocol;
  } else {
    frame[ipAt] = 0x45;
    frame.writeUInt16BE(frame.length - padding - ipAt, ipAt + 2);
    if (fragment) frame[ipAt + 6] = 0x20;
    frame[ipAt + 9] = protocol;
  }
  frame[tcpAt + 12] = ((20 + options) / 4) << 4;
  frame[tcpAt + 13] = flags;
  for (let i = 0; i < payload; i++) frame[from + i] = (i * 7 + payload) & 255;
  return frame;
}

const GAP = 24;
const LEAST = 1000;

/**
 * A reader of frames from a fifo, and `reads`, which sends one frame and says whether it was read
 * directly.
 */
function directReader(t: Test) {
  const fd = addon.fifoOpen(join(directory, 'frames'));
  const slab = new RxSlab(new ArrayBuffer(slabBytes(4)));
  const { bytes, meta } = slab.batch;
  const place = new Uint8Array(200_000);
  const next = Int32Array.of(-1, place.length);
  const counts: number[] = [];
  let seen: Buffer | null = null;
  let direct = false;
  const reader: NativeHandle = addon.readerOpen(fd, true, slab.buffer, SLOT_BYTES, meta, (count) => {
    counts.push(count);
    if (count <= 0) return false;
    const [offset, length, flags, sizes] = meta;
    direct = (flags & RX_DIRECT) !== 0;
    const headers = direct ? sizes >>> RX_HEADERS_SHIFT : length;
    const rest = place.subarray(flags & ~7, (flags & ~7) + length - headers);
    seen = Buffer.concat(
      direct ? [bytes.subarray(offset, offset + headers), rest] : [bytes.subarray(offset, offset + length)],
    );
    return false;
  });
  t.teardown(() => addon.readerClose(reader, true));
  addon.readerRun(reader, true);
  addon.readerDirect(reader, place, next, GAP, LEAST, true);

  /** Whether a frame was read directly; it is what was sent in any case. */
  async function reads(made: Made): Promise<boolean> {
    const frame = make(made);
    seen = null;
    slab.batch.bytes.fill(0xee);
    place.fill(0xdd);
    t.equal(addon.send(fd, frame, 0, frame.length, [], new Int32Array(0), 0), frame.length);
    for (let i = 0; i < 200 && seen === null; i++) await sleep(1);
    t.ok(seen !== null && frame.subarray(VNET).equals(seen), `what was sent is what is seen: ${JSON.stringify(made)}`);
    return direct;
  }
  return { reader, place, next, counts, reads };
}

t.test('the addon reads payload to its place', async (t) => {
  const { place, next, reads } = directReader(t);
  t.equal(await reads({ payload: 5000 }), false, 'nowhere to put it');
  next[0] = 64;
  t.equal(await reads({ payload: 5000 }), true);
  t.equal(place[64], (0 * 7 + 5000) & 255);
  t.equal(await reads({ payload: 200 }), true, 'a small one, too, where large ones come');
  t.equal(await reads({ payload: 0 }), false, 'no payload');
  t.equal(await reads({ payload: 5000, options: 0 }), false, 'other headers than the last ones');
  t.equal(await reads({ payload: 5000, options: 0 }), true, 'as before');
  t.equal(await reads({ payload: 5000, six: true }), false);
  t.equal(await reads({ payload: 5000, six: true }), true, 'IPv6');
  t.equal(await reads({ payload: 5000, options: 40, six: true }), false);
  t.equal(await reads({ payload: 5000, options: 40, six: true }), true, 'with all the options that there may be');
  t.equal(await reads({ payload: 5000 }), false);
  for (const made of [
    { csum: false },
    { flags: ACK | 1 },
    { flags: ACK | 4 },
    { flags: ACK | 0x20 },
    { flags: 2 },
    { fragment: true },
    { padding: 4 },
    { protocol: 17 },
  ]) {
    t.equal(await reads({ payload: 5000, ...made }), false, JSON.stringify(made));
  }
  t.equal(await reads({ payload: 5000, csum: false }), false, 'what the device does not vouch for is whole');
  t.equal(await reads({ payload: 5000 }), true);
  for (const [at, end] of [
    [68, place.length],
    [place.length - 4096, place.length],
    [64, 4096],
    [64, place.length + 8],
    [64, -1],
    [-8, place.length],
  ]) {
    next[0] = at;
    next[1] = end;
    t.equal(await reads({ payload: 5000 }), false, `${at} to ${end}`);
  }
});

t.test('the addon asks for a place, and refuses one that cannot be', async (t) => {
  const { reader, place, next, counts, reads } = directReader(t);
  await reads({ payload: 5000 });
  next[0] = 64;
  t.equal(await reads({ payload: 5000 }), true);
  next[0] = -1;
  counts.length = 0;
  t.equal(await reads({ payload: 5000 }), false);
  t.ok(counts.includes(0), 'it asks where large payload is wanted');
  counts.length = 0;
  await reads({ payload: 100 });
  counts.length = 0;
  await reads({ payload: 100 });
  t.notOk(counts.includes(0), 'and does not where there is none');

  const refused = (...args: [Uint8Array, Int32Array, number, number, boolean]): string | undefined => {
    try {
      addon.readerDirect(reader, ...args);
    } catch (error) {
      return errorCode(error);
    }
    return undefined;
  };
  t.equal(refused(place, new Int32Array(1), GAP, LEAST, true), 'ERR_OUT_OF_RANGE');
  t.equal(refused(place, next, GAP, 114, true), 'ERR_OUT_OF_RANGE', 'a frame that might end within its headers');
  t.equal(refused(place, next, place.length + 1, LEAST, true), 'ERR_OUT_OF_RANGE');
  t.equal(refused(place, next as unknown as Int32Array, -1, LEAST, true), 'ERR_OUT_OF_RANGE');
  t.equal(refused([] as unknown as Uint8Array, next, GAP, LEAST, true), 'ERR_INVALID_ARG_TYPE');
  next[0] = 64;
  t.equal(await reads({ payload: 5000 }), true, 'what was refused has changed nothing');
});

t.test('without headers of its own, or of Ethernet', async (t) => {
  for (const [vnet, ethernet, wanted] of [
    [false, true, false],
    [true, false, true],
  ]) {
    const fd = addon.fifoOpen(join(directory, `plain-${String(vnet)}`));
    const slab = new RxSlab(new ArrayBuffer(slabBytes(1)));
    const { meta } = slab.batch;
    const flags: number[] = [];
    const next = Int32Array.of(0, 100_000);
    const reader = addon.readerOpen(fd, vnet, slab.buffer, SLOT_BYTES, meta, (count) => {
      if (count > 0) flags.push(meta[2] & RX_DIRECT);
      return false;
    });
    addon.readerDirect(reader, new Uint8Array(100_000), next, 24, 1000, ethernet);
    addon.readerRun(reader, true);
    const whole = make({ payload: 3000 });
    const head = whole.subarray(0, vnet ? VNET : 0);
    const frame = Buffer.concat([head, whole.subarray(VNET + (ethernet ? 0 : 14))]);
    addon.send(fd, frame, 0, frame.length, [], new Int32Array(0), 0);
    for (let i = 0; i < 200 && flags.length === 0; i++) await sleep(1);
    t.same(flags, [wanted ? RX_DIRECT : 0]);
    addon.readerClose(reader, true);
  }
});

const HEADERS = 66;
const LENGTHS = [900, 40, 1200];

/** A batch of three frames: two of them have their payload in `place`, as an addon has left it. */
function batchOf(): {
  direct: DirectPayload;
  batch: RxBatch;
  place: PayloadPlace & { claimOffset: number };
  text: (i: number) => string;
} {
  const slab = new RxSlab(new ArrayBuffer(slabBytes(4)));
  const { batch } = slab;
  const place = {
    bytes: new Uint8Array(100_000),
    next: Int32Array.of(0, 100_000),
    headerBytes: 24,
    claimOffset: 24,
    minFrameBytes: 1000,
    placed: null,
    offer: () => undefined,
  };
  let at = 24;
  for (const [i, length] of LENGTHS.entries()) {
    const offset = i * SLOT_BYTES;
    const elsewhere = i !== 1;
    const payload = Buffer.alloc(length, `<${i}>`);
    (elsewhere ? place.bytes : batch.bytes).set(payload, elsewhere ? at : offset + HEADERS);
    batch.meta.set(
      [offset, HEADERS + length, elsewhere ? RX_DIRECT | 1 | at : 1, elsewhere ? HEADERS << RX_HEADERS_SHIFT : 0],
      i * 4,
    );
    if (elsewhere) at += (length + place.headerBytes + 7) & ~7;
  }
  batch.count = LENGTHS.length;
  const store = (words: Int32Array, index: number, value: number): void => {
    words[index] = value;
  };
  const text = (i: number): string =>
    Buffer.from(batch.bytes.buffer, i * SLOT_BYTES + HEADERS, LENGTHS[i]).toString('latin1');
  return { direct: new DirectPayload(batch, place, store), batch, place, text };
}

const expected = LENGTHS.map((length, i) => Buffer.alloc(length, `<${i}>`).toString('latin1'));
const flagsOf = ({ meta }: RxBatch): number[] => LENGTHS.map((_, i) => meta[i * 4 + 2] & RX_DIRECT);

t.test('claimed where it is, one after the other', async (t) => {
  const { direct, batch, place } = batchOf();
  t.equal(direct.begin(3), 2);
  direct.enter(0);
  const textAt = (at: number, i: number): string => Buffer.from(place.bytes.buffer, at, LENGTHS[i]).toString('latin1');
  t.equal(textAt(direct.claim(HEADERS, LENGTHS[0]), 0), expected[0]);
  direct.relocate();
  direct.enter(1);
  t.equal(direct.from, Number.POSITIVE_INFINITY, 'the second is whole');
  direct.enter(2);
  place.claimOffset = 24 + ((LENGTHS[0] + 24 + 7) & ~7);
  t.equal(textAt(direct.claim(2 * SLOT_BYTES + HEADERS, LENGTHS[2]), 2), expected[2]);
  direct.end();
  t.same(flagsOf(batch), [RX_DIRECT, 0, RX_DIRECT], 'who comes after us finds them where they are');
});

t.test('gathered before anything else is put there', async (t) => {
  const cases: [string, (made: ReturnType<typeof batchOf>) => void][] = [
    ['something is written before the batch is looked at', ({ direct }) => direct.relocate()],
    [
      'something is written for the first frame',
      ({ direct }) => {
        direct.enter(0);
        direct.relocate();
      },
    ],
    [
      'only a part of it is wanted',
      ({ direct }) => {
        direct.enter(0);
        t.equal(direct.claim(HEADERS + 10, LENGTHS[0] - 10), -1);
      },
    ],
    [
      'less of it is wanted',
      ({ direct }) => {
        direct.enter(0);
        t.equal(direct.claim(HEADERS, LENGTHS[0] - 1), -1);
      },
    ],
    [
      'its place is not the next one',
      ({ direct, place }) => {
        direct.enter(0);
        place.claimOffset = 32;
        t.equal(direct.claim(HEADERS, LENGTHS[0]), -1);
      },
    ],
    [
      'nobody wanted the first',
      ({ direct }) => {
        direct.enter(0);
        direct.enter(1);
      },
    ],
  ];
  for (const [why, act] of cases) {
    const made = batchOf();
    made.direct.begin(3);
    act(made);
    made.place.bytes.fill(0);
    t.same(
      LENGTHS.map((_, i) => made.text(i)),
      expected,
      why,
    );
    t.same(flagsOf(made.batch), [0, 0, 0]);
    for (let i = 0; i < 3; i++) made.direct.enter(i);
    t.equal(made.direct.from, Number.POSITIVE_INFINITY, 'and are as any other frame from then on');
    made.direct.end();
  }
  const made = batchOf();
  made.direct.begin(3);
  made.direct.enter(0);
  made.direct.claim(HEADERS, LENGTHS[0]);
  made.direct.relocate();
  made.direct.relocate();
  made.place.bytes.fill(0, 24 + LENGTHS[0]);
  t.equal(made.text(2), expected[2], 'something is written between the first and the third');
  const last = batchOf();
  last.direct.begin(3);
  for (let i = 0; i < 3; i++) last.direct.enter(i);
  last.direct.end();
  t.same(
    LENGTHS.map((_, i) => last.text(i)),
    expected,
    'nobody wanted any',
  );
});

t.test('who finds the frames of a dead process puts them together', async (t) => {
  const { batch, place, text } = batchOf();
  const heir = new RxSlab(batch.bytes.buffer as ArrayBuffer);
  t.equal(heir.recover().count, 0, 'not without their payload');
  t.equal(heir.recover(place.bytes).count, 3);
  t.same(
    LENGTHS.map((_, i) => text(i)),
    expected,
  );
  t.same(flagsOf(heir.batch), [0, 0, 0]);
  for (const [word, value] of [
    [2, RX_DIRECT | 99_992],
    [2, RX_DIRECT | 0x80000000],
    [3, 2000 << RX_HEADERS_SHIFT],
  ]) {
    const bad = batchOf();
    bad.batch.meta[word] = value;
    t.equal(
      new RxSlab(bad.batch.bytes.buffer as ArrayBuffer).recover(bad.place.bytes).count,
      0,
      'bad words end the batch',
    );
  }
});
