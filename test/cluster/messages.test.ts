import t from 'tap';
import {
  CHANNEL_VERSION,
  decodeJson,
  decodePublish,
  encodeHeader,
  encodePublish,
  FRAME_HEADER_BYTES,
  FrameReader,
  MAX_BODY_BYTES,
  MessageType,
} from '../../failover/cluster/transport/messages.js';

function frame(type: MessageType, body: string): Buffer {
  return Buffer.concat([encodeHeader(type, body.length), Buffer.from(body)]);
}

t.test('frames are the same wherever the stream is split', async (t) => {
  const sent = ['', 'a', 'x'.repeat(3000), '{"role":"joining"}'];
  const stream = Buffer.concat(sent.map((body) => frame(MessageType.Status, body)));
  for (let step = 1; step < 60; step += 7) {
    const got: string[] = [];
    const reader = new FrameReader((type, body) => {
      t.equal(type, MessageType.Status);
      got.push(body.toString());
    });
    for (let at = 0; at < stream.length; at += step) reader.push(stream.subarray(at, at + step));
    t.same(got, sent);
    t.equal(reader.fault, null);
  }
});

t.test('an invalid frame ends the stream, and nothing is thrown', async (t) => {
  const faults: [Buffer, string][] = [
    [encodeHeader(MessageType.Data, MAX_BODY_BYTES + 1), 'length'],
    [Buffer.from([0, 0, 0, 0, 1, CHANNEL_VERSION + 1, 0, 0]), 'version'],
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'version'],
  ];
  for (const [bytes, fault] of faults) {
    let frames = 0;
    const reader = new FrameReader(() => frames++);
    reader.push(frame(MessageType.Status, '{}'));
    reader.push(bytes);
    reader.push(frame(MessageType.Status, '{}'));
    t.equal(reader.fault, fault);
    t.equal(frames, 1);
  }
  for (let n = 0; n < 300; n++) {
    const reader = new FrameReader(() => undefined);
    reader.push(Buffer.from(Array.from({ length: 40 }, (_, i) => (n * 31 + i * i * 7) & 0xff)));
  }
});

t.test('bodies', async (t) => {
  const publish = {
    head: 7,
    eventEnd: 0xffff_fffe,
    heartbeat: 3,
    logEpoch: 2,
    flags: 3,
    monoUs: 123_456_789.5,
    wallMs: 1.6e12,
  };
  t.same(decodePublish(encodePublish(publish)), publish);
  t.equal(decodePublish(encodePublish(publish).subarray(1)), undefined);
  t.equal(decodeJson(Buffer.from('[')), undefined);
  t.equal(decodeJson(Buffer.from('7')), undefined);
  t.same(decodeJson(Buffer.from('{"a":1}')), { a: 1 });
  t.equal(FRAME_HEADER_BYTES, 8);
});
