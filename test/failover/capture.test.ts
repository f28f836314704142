/** The reader of captures that all harnesses share. */
import t from 'tap';
import { captured } from '../../failover/lab/tcpdump.js';

function file(little: boolean, frames: string[]): Buffer {
  const out = Buffer.alloc(24 + frames.reduce((sum, text) => sum + 16 + text.length, 0));
  const put = (at: number, value: number): void =>
    void (little ? out.writeUInt32LE(value, at) : out.writeUInt32BE(value, at));
  put(0, 0xa1b2c3d4);
  let at = 24;
  for (const [n, text] of frames.entries()) {
    put(at, n + 1);
    put(at + 4, 7);
    put(at + 8, text.length);
    out.write(text, at + 16, 'latin1');
    at += 16 + text.length;
  }
  return out;
}

t.test('the frames of a capture, in either byte order; one that is cut off is left out', async (t) => {
  for (const little of [true, false]) {
    const bytes = file(little, ['one', 'three', '']);
    const read = (part: Buffer): unknown[] => [...captured(part)].map(({ atUs, frame }) => [atUs, String(frame)]);
    t.same(read(bytes), [
      [1_000_007, 'one'],
      [2_000_007, 'three'],
      [3_000_007, ''],
    ]);
    t.same(read(bytes.subarray(0, 24 + 19 + 18)), [[1_000_007, 'one']]);
    t.same(read(bytes.subarray(0, 24)), []);
  }
  for (const nothing of [Buffer.alloc(0), Buffer.alloc(30), Buffer.from('a text that is longer than a header')])
    t.throws(() => [...captured(nothing)], { code: 'ERR_FT_CAPTURE' });
});
