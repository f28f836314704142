/**
 * Writes numbered records to a log as fast as its reader lets it, until it is killed. Arguments:
 * file, bytes.
 */
import { RecordType } from '../../../failover/log/records.js';
import { Ring } from '../../../failover/log/ring.js';
import { RING_HEADER } from '../../../failover/log/ring-header.js';
import { RingWriter } from '../../../failover/log/ring-writer.js';
import { native } from '../../../lib/native/native.js';

const [file, bytes] = process.argv.slice(2);
const ring = new Ring(native(), native().shmMap(file, RING_HEADER + Number(bytes), false));
const writer = new RingWriter(ring, () => process.exit(3));
writer.attach();
process.stdout.write('ready\n');
let n = 0;
setInterval(() => {
  // Without end as far as this turn goes: the kill comes in the middle of it.
  for (let i = 0; i < 20_000; i++) {
    const length = 8 + ((n * 1103) % 1500);
    if (writer.room < 4096) continue;
    const at = writer.begin(RecordType.Received, n, length);
    ring.bytes.fill(n & 255, at, at + length);
    writer.end();
    writer.publish();
    n++;
  }
}, 0);
