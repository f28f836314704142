/** The log: a record appended, and one appended and read. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RecordType } from '../../failover/log/records.js';
import { Ring } from '../../failover/log/ring.js';
import { RING_HEADER, SECRET_LENGTH } from '../../failover/log/ring-header.js';
import { RingReader } from '../../failover/log/ring-reader.js';
import { RingWriter } from '../../failover/log/ring-writer.js';
import { native } from '../../lib/native/native.js';

const RING_BYTES = 16 * 1024 * 1024;

export function logOperations(): Record<string, () => void> {
  const directory = mkdtempSync(join(tmpdir(), 'ft-bench-'));
  process.on('exit', () => rmSync(directory, { recursive: true, force: true }));
  const ring = new Ring(native(), native().shmMap(join(directory, 'log'), RING_HEADER + RING_BYTES, true));
  ring.format(new Uint8Array(SECRET_LENGTH));
  const writer = new RingWriter(ring, () => undefined);
  writer.attach();
  const reader = new RingReader(ring);
  const payload = new Uint8Array(1448);
  const append = (length: number): void => {
    const at = writer.begin(RecordType.Received, 1, length);
    ring.bytes.set(length === payload.length ? payload : payload.subarray(0, length), at);
    writer.end();
  };
  const follow = (): void => {
    writer.publish();
    while (reader.next());
    reader.release();
  };
  return {
    'log: 40 bytes appended, published and read': () => {
      append(40);
      follow();
    },
    'log: 1448 bytes appended, published and read': () => {
      append(1448);
      follow();
    },
  };
}
