/**
 * Frames of a live session, changed: fields at random, cut, lengthened, with right or wrong
 * checksums.
 */
import { finish, fold, pseudoSum4, sum16 } from '../../../lib/checksum.js';
import type { SeededRandom } from '../../../lib/random.js';

const ETH = 14;
const INTERESTING = [0, 1, 2, 3, 4, 5, 7, 8, 15, 16, 20, 40, 64, 127, 128, 254, 255];

/**
 * Makes the checksums right again, as far as the lengths in the frame allow, so that the mutation
 * is looked at.
 */
export function repair(frame: Uint8Array): void {
  if (frame.length >= ETH + 40 && frame[12] === 0x86 && frame[13] === 0xdd) repair6(frame);
  if (frame.length < ETH + 20 || frame[12] !== 8 || frame[13] !== 0) return;
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const header = Math.min((frame[ETH] & 15) * 4, frame.length - ETH);
  if (header < 20) return;
  view.setUint16(ETH + 10, 0);
  view.setUint16(ETH + 10, finish(sum16(frame, ETH, header, 0)));
  const end = Math.min(frame.length, ETH + view.getUint16(ETH + 2));
  const at = ETH + header;
  const length = end - at;
  const protocol = frame[ETH + 9];
  const field = protocol === 6 ? 16 : protocol === 17 ? 6 : protocol === 1 ? 2 : -1;
  if (field < 0 || length < field + 2) return;
  const pseudo =
    protocol === 1 ? 0 : fold(pseudoSum4(view.getUint32(ETH + 12), view.getUint32(ETH + 16), protocol, length));
  view.setUint16(at + field, 0);
  view.setUint16(at + field, finish(sum16(frame, at, length, pseudo)));
}

/** The same for IPv6 without extension headers. */
function repair6(frame: Uint8Array): void {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const protocol = frame[ETH + 6];
  const field = protocol === 6 ? 16 : protocol === 17 ? 6 : protocol === 58 ? 2 : -1;
  const at = ETH + 40;
  const length = Math.min(frame.length, at + view.getUint16(ETH + 4)) - at;
  if (field < 0 || length < field + 2) return;
  view.setUint16(at + field, 0);
  const pseudo = sum16(frame, ETH + 8, 32, 0) + protocol + length;
  view.setUint16(at + field, finish(sum16(frame, at, length, fold(pseudo))));
}

/** Changes a copy of a frame in one to four ways. */
export function mutate(base: Uint8Array, random: SeededRandom): Uint8Array {
  let frame = base.slice();
  const view = (): DataView => new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const ways = 1 + (random.u32() % 4);
  for (let i = 0; i < ways; i++) {
    if (frame.length === 0) break;
    // Headers are where it matters.
    const at = random.u32() % Math.min(frame.length, random.u32() % 4 === 0 ? frame.length : 80);
    switch (random.u32() % 9) {
      case 0:
        frame[at] ^= 1 << (random.u32() & 7);
        break;
      case 1:
        frame[at] = random.u32() & 255;
        break;
      case 2:
        frame[at] = INTERESTING[random.u32() % INTERESTING.length];
        break;
      case 3:
        if (at + 4 <= frame.length) view().setUint32(at, random.u32());
        break;
      case 4:
        frame = frame.slice(0, random.u32() % (frame.length + 1));
        break;
      case 5: {
        const longer = new Uint8Array(frame.length + (random.u32() % 64));
        random.fill(longer);
        longer.set(frame);
        frame = longer;
        break;
      }
      case 6:
        // TCP flags, and the lengths that everything else hangs on.
        if (frame.length > ETH + 33) frame[ETH + 33] = random.u32() & 255;
        break;
      case 7:
        if (frame.length > ETH + 32) frame[ETH + 32] = (random.u32() & 15) << 4;
        break;
      case 8: {
        // Sequence or acknowledgement number near the right one.
        const where = ETH + 24 + (random.u32() & 1) * 4;
        if (frame.length >= where + 4) {
          const near = (random.u32() % 4) as 0 | 1 | 2 | 3;
          const step = [1, 1460, 65_536, 0x7fffffff][near] * ((random.u32() % 5) - 2);
          view().setUint32(where, (view().getUint32(where) + step) >>> 0);
        }
        break;
      }
    }
  }
  if (random.u32() % 10 < 7) repair(frame);
  return frame;
}
