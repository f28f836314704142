import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { type DeviceHandler, type FrameDevice, TX_HEADROOM, TxFrame } from '../../lib/device/device.js';
import { CapturedDevice, PcapWriter } from '../../lib/device/pcap.js';
import type { RxBatch } from '../../lib/device/rx-batch.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-pcap-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

/** The records of a capture: [nanoseconds, original length, bytes]. */
function records(file: string): [number, number, string][] {
  const bytes = readFileSync(file);
  const out: [number, number, string][] = [];
  for (let at = 24; at < bytes.length; ) {
    const kept = bytes.readUInt32LE(at + 8);
    const ns = bytes.readUInt32LE(at) * 1e9 + bytes.readUInt32LE(at + 4);
    out.push([ns, bytes.readUInt32LE(at + 12), bytes.subarray(at + 16, at + 16 + kept).toString('latin1')]);
    at += 16 + kept;
  }
  return out;
}

t.test('format', async (t) => {
  const file = join(directory, 'format.pcap');
  const writer = new PcapWriter(file, 'ethernet', 64);
  t.equal(readFileSync(file).toString('hex'), '4d3cb2a1020004000000000000000000400000000100 0000'.replaceAll(' ', ''));
  const bytes = Buffer.from('x'.repeat(100));
  t.equal(writer.begin(1234.5, 100), 64, 'no more than the snap length');
  writer.add(bytes, 0, 64);
  t.equal(records(file).length, 0, 'not flushed yet');
  writer.close();
  t.same(records(file), [[1_234_500_000, 100, 'x'.repeat(64)]]);
  t.equal(writer.begin(0, 5), 0, 'closed');
  writer.close();
  t.throws(() => new PcapWriter(join(directory, 'no/such/place'), 'ip'), { code: 'ENOENT', message: /--pcap/ });
});

t.test('more than a block', async (t) => {
  const file = join(directory, 'many.pcap');
  const writer = new PcapWriter(file, 'ip');
  const bytes = Buffer.alloc(60_000, 'y');
  for (let i = 0; i < 50; i++) writer.add(bytes, 0, writer.begin(i, bytes.length));
  writer.close();
  const all = records(file);
  t.equal(all.length, 50);
  t.ok(all.every(([ns, length, text], i) => ns === i * 1e6 && length === 60_000 && text.length === 60_000));
});

t.test('both directions of a device', async (t) => {
  const file = join(directory, 'device.pcap');
  let handler: DeviceHandler | undefined;
  let accept = false;
  const inner: FrameDevice = {
    link: 'ethernet',
    mtu: 1500,
    capabilities: { checksum: false, tso4: false, tso6: false },
    start: (h) => {
      handler = h;
    },
    send: () => accept,
    pause: () => undefined,
    resume: () => undefined,
    close: () => undefined,
  };
  const device = new CapturedDevice(inner, new PcapWriter(file, 'ethernet'), () => 7);
  let seen = 0;
  device.start({ onFrames: (batch) => (seen += batch.count), onWritable: () => undefined });
  const bytes = Buffer.from('..first.second');
  const batch: RxBatch = {
    bytes,
    view: new DataView(bytes.buffer, bytes.byteOffset),
    meta: Int32Array.of(2, 5, 0, 0, 8, 6, 0, 0),
    count: 2,
  };
  handler!.onFrames(batch);
  t.equal(seen, 2);
  const frame = new TxFrame();
  frame.header.set(Buffer.from('head'), TX_HEADROOM);
  frame.headerLength = 4;
  frame.addPiece(Buffer.from('-one-'), 1, 3);
  frame.addPiece(Buffer.from('two'), 0, 3);
  t.equal(device.send(frame), false, 'what the device refuses is not captured');
  accept = true;
  t.equal(device.send(frame), true);
  device.close();
  t.same(
    records(file).map(([, length, text]) => [length, text]),
    [
      [5, 'first'],
      [6, 'second'],
      [10, 'headonetwo'],
    ],
  );
  t.ok(existsSync(file));
});
