/** Nothing leaves before the log has what it depends on. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH, Word } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { CommitGate, GatedDevice } from '../../failover/primary/output-gate.js';
import { type DeviceHandler, type FrameDevice, TxFrame } from '../../lib/device/device.js';
import { native } from '../../lib/native/native.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-gate-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

class Sink implements FrameDevice {
  readonly link = 'ethernet' as const;
  readonly mtu = 1500;
  readonly capabilities = { checksum: false, tso4: false, tso6: false };
  sent = 0;
  handler: DeviceHandler | undefined;
  onSend: () => void = () => undefined;
  start(handler: DeviceHandler): void {
    this.handler = handler;
  }
  send(): boolean {
    this.sent++;
    this.onSend();
    return true;
  }
  pause(): void {}
  resume(): void {}
  close(): void {}
}

function ring(name: string): Ring {
  const made = new Ring(native(), native().shmMap(join(directory, name), RING_HEADER + 65_536, true));
  made.format(new Uint8Array(SECRET_LENGTH));
  return made;
}

function append(writer: RingWriter): void {
  writer.begin(RecordType.Acked, 1, 40);
  writer.end();
}

t.test('written: published first, then sent', async (t) => {
  const log = ring('written');
  const writer = new RingWriter(log, () => undefined);
  writer.attach();
  const gate = new CommitGate('written');
  gate.writer = writer;
  const sink = new Sink();
  const device = new GatedDevice(sink, gate, () => 7);
  append(writer);
  const before = log.words[Word.head];
  let headAtSend = before;
  sink.onSend = () => {
    headAtSend = log.words[Word.head];
  };
  t.equal(device.send(new TxFrame()), true);
  t.not(headAtSend, before, 'the record was out when the frame left');
  t.equal(device.firstSentUs, 7);
  append(writer);
  device.start({ onFrames: () => append(writer), onWritable: () => undefined });
  sink.handler!.onFrames({
    bytes: new Uint8Array(1),
    view: new DataView(new ArrayBuffer(1)),
    meta: new Int32Array(4),
    count: 0,
  });
  const from = new RingReader(log);
  let count = 0;
  while (from.next()) count++;
  t.equal(count, 3, 'what a batch of frames brought is published with it');
});

t.test('acked: waits for the backup, and not without one', async (t) => {
  const log = ring('acked');
  const writer = new RingWriter(log, () => undefined);
  const gate = new CommitGate('acked');
  gate.writer = writer;
  const sink = new Sink();
  const device = new GatedDevice(sink, gate, () => 1);
  append(writer);
  t.equal(device.send(new TxFrame()), true, 'nobody to wait for');
  writer.attach();
  const from = new RingReader(log);
  append(writer);
  t.equal(device.send(new TxFrame()), true, 'nor for one that has yet to catch up');
  log.words[Word.readerReady] = 1;
  t.equal(device.send(new TxFrame()), false);
  t.equal(sink.sent, 2);
  t.equal(gate.reached(gate.end), false);
  gate.wait(gate.end);
  t.equal(log.words[Word.writerWaiting], 1, 'and asks to be woken');
  t.equal(gate.counters.held, 1);
  while (from.next());
  t.equal(device.send(new TxFrame()), false, 'read is not processed');
  from.release();
  t.equal(device.send(new TxFrame()), true);
  gate.shut = true;
  t.equal(device.send(new TxFrame()), false, 'a gate that is shut stays shut');
  t.equal(sink.sent, 3);
});
