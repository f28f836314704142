/** Where messages end in what a WebSocket client sends, however it is cut. */
import t from 'tap';
import { WebSocketFrames } from '../../failover/connections/checkpoint/websocket-frames.js';
import { SeededRandom } from '../../lib/random.js';

const LIMIT = 1000;

/** A masked frame. */
function frame(opcode: number, length: number, isFinal = true): Buffer {
  const first = (isFinal ? 0x80 : 0) | opcode;
  const mask = [1, 2, 3, 4];
  const payload = Buffer.alloc(length, 7);
  if (length < 126) return Buffer.concat([Buffer.from([first, 0x80 | length, ...mask]), payload]);
  if (length < 65_536) {
    const head = Buffer.from([first, 0x80 | 126, 0, 0, ...mask]);
    head.writeUInt16BE(length, 2);
    return Buffer.concat([head, payload]);
  }
  const head = Buffer.from([first, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 0, ...mask]);
  head.writeBigUInt64BE(BigInt(length), 2);
  return Buffer.concat([head, payload]);
}

/** Messages: the first frames of each, and its last one. */
const MESSAGES = [
  [frame(1, 5)],
  [frame(2, 0)],
  [frame(1, 300)],
  [frame(1, 10, false), frame(0, 20, false), frame(0, 3)],
  [frame(9, 4)],
  [frame(2, 70_000)],
  [frame(1, 125)],
];

t.test('each prefix leaves the bytes of its incomplete message, however it was cut', async (t) => {
  const random = new SeededRandom('frames');
  const whole = Buffer.concat(MESSAGES.flat());
  const ends = [0];
  for (const message of MESSAGES) ends.push(ends[ends.length - 1] + Buffer.concat(message).length);
  let wrong = 0;
  for (let round = 0; round < 300; round++) {
    const frames = new WebSocketFrames(LIMIT);
    for (let at = 0; at < whole.length; ) {
      const part = whole.subarray(at, at + 1 + (random.u32() % (round % 3 === 0 ? 3 : 2000)));
      frames.add(part);
      at += part.length;
      const begin = ends.filter((end) => end <= at).at(-1) ?? 0;
      const expected = whole.subarray(begin, at);
      const { pending } = frames;
      const isRight = pending === null ? expected.length > LIMIT : pending.equals(expected);
      if (!isRight) wrong++;
    }
  }
  t.equal(wrong, 0);
});

t.test('a control frame in a message is not kept; a close is told', async (t) => {
  const frames = new WebSocketFrames(LIMIT);
  const first = frame(1, 10, false);
  t.equal(frames.add(first), true);
  frames.add(frame(9, 5).subarray(0, 4));
  t.equal(frames.pending?.length, first.length + 4);
  frames.add(frame(9, 5).subarray(4));
  t.same(frames.pending, first, 'the ping has been delivered');
  frames.add(frame(0, 1));
  t.equal(frames.pending?.length, 0);
  t.equal(frames.add(frame(1, 5)), false, 'nothing to save');
  t.equal(frames.isClosing, false);
  t.equal(frames.add(frame(8, 2)), true);
  t.equal(frames.isClosing, true);
});
