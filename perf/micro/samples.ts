/** A sample: what the runtime adds to a call of Node whose value it logs. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ConnectionHistories } from '../../failover/log/connection-history.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { Recorder } from '../../failover/primary/recorder.js';
import { EventTime } from '../../failover/runtime/core/event-time.js';
import { Runtime } from '../../failover/runtime/runtime.js';
import type { Sample } from '../../failover/runtime/samples/samples.js';
import { native } from '../../lib/native/native.js';
import { systemClock } from '../../lib/native/system.js';
import { AddressBook } from '../../stack/core/address-book.js';

const RING_BYTES = 16 * 1024 * 1024;

/** The operations by name; Node's own part of the call costs nothing here. */
export function sampleOperations(): Record<string, () => void> {
  const directory = mkdtempSync(join(tmpdir(), 'ft-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const ring = new Ring(native(), native().shmMap(join(directory, 'log'), RING_HEADER + RING_BYTES, true));
  ring.format(new Uint8Array(SECRET_LENGTH));
  const writer = new RingWriter(ring, () => undefined);
  writer.attach();
  const reader = new RingReader(ring);
  const runtime = new Runtime({
    secret: new Uint8Array(32),
    live: true,
    native: native(),
    request: () => undefined,
    samples: {
      record: (sample) => recorder.sample(sample, false),
      next: () => 'unlogged',
      differs: () => undefined,
    },
  });
  const recorder = new Recorder({
    writer,
    time: new EventTime(systemClock, runtime),
    book: new AddressBook(16),
    histories: new ConnectionHistories(0, () => false),
    follow: () => 0,
    onRemoved: () => undefined,
  });
  const memory = { rss: 5e7, heapTotal: 1e7, heapUsed: 8e6, external: 2e6, arrayBuffers: 1e5 };
  const record: Sample = { name: 'process.memoryUsage', numbers: Object.keys(memory), take: () => memory };
  const text: Sample = { name: 'fs.readdirSync', take: () => ['one.txt', 'two.txt', 'three.txt'] };
  let taken = 0;
  const take = (sample: Sample): void => {
    runtime.beginEvent(1, 1, 1);
    runtime.samples.take(sample, take as () => unknown);
    if (++taken % 1024 !== 0) return;
    writer.publish();
    while (reader.next());
    reader.release();
  };
  return {
    'sample: a record of five numbers': () => take(record),
    'sample: a list of three names': () => take(text),
  };
}
