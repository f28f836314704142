import t from 'tap';
import { RX_META_WORDS } from '../../lib/device/rx-batch.js';
import { RxSlab, SLOT_BYTES, slabBytes } from '../../lib/device/rx-slab.js';

function slab(lengths: number[], slots = 4): RxSlab {
  const made = new RxSlab(new ArrayBuffer(slabBytes(slots)));
  for (const [i, length] of lengths.entries()) {
    made.batch.meta[i * RX_META_WORDS] = i * SLOT_BYTES + 10;
    made.batch.meta[i * RX_META_WORDS + 1] = length;
    made.batch.bytes[i * SLOT_BYTES + 10] = i + 1;
  }
  return made;
}

t.test('finds what another left, whoever wrote it', async (t) => {
  const owner = slab([60, 1514, 0]);
  const heir = new RxSlab(owner.buffer);
  const batch = heir.recover();
  t.equal(batch.count, 2);
  t.equal(batch.bytes[batch.meta[RX_META_WORDS]], 2);
  t.equal(slab([]).recover().count, 0);
  t.equal(slab([1, 2, 3, 4]).recover().count, 4, 'full');
  t.equal(new RxSlab(new ArrayBuffer(slabBytes(64))).slots, 64);
});

t.test('bad words end the batch', async (t) => {
  const negative = slab([60, -1, 60]);
  t.equal(negative.recover().count, 1);
  const beyond = slab([60, 60, 60]);
  beyond.batch.meta[2 * RX_META_WORDS] = 4 * SLOT_BYTES - 10;
  t.equal(beyond.recover().count, 2);
  const below = slab([60, 60]);
  below.batch.meta[0] = -5;
  t.equal(below.recover().count, 0);
});
