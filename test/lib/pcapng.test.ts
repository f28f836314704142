import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { PcapngWriter } from '../../lib/device/pcapng.js';

const directory = mkdtempSync(join(tmpdir(), 'ft-pcapng-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));

/** The blocks of a file: type and body. Every length stands at both ends. */
function blocks(file: string): { type: number; body: Buffer }[] {
  const bytes = readFileSync(file);
  const out: { type: number; body: Buffer }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const total = bytes.readUInt32LE(at + 4);
    if (total % 4 !== 0 || bytes.readUInt32LE(at + total - 4) !== total) throw new Error(`block at ${at}`);
    out.push({ type: bytes.readUInt32LE(at), body: bytes.subarray(at + 8, at + total - 4) });
    at += total;
  }
  return out;
}

t.test('two interfaces, both directions, times, cut frames', async (t) => {
  const file = join(directory, 'a.pcapng');
  const writer = new PcapngWriter(file, 64);
  t.equal(writer.addInterface('eth7', 'ethernet'), 0);
  t.equal(writer.addInterface('tun', 'ip'), 1);
  const frame = Uint8Array.from({ length: 101 }, (_, i) => i);
  const wall = 1_700_000_000_123.456;
  for (const [length, outgoing, port] of [
    [5, false, 0],
    [101, true, 1],
  ] as const) {
    const kept = writer.begin(wall, length, outgoing, port);
    writer.add(frame, 0, kept);
    writer.end();
  }
  writer.flush();
  const [section, one, two, first, second] = blocks(file);
  t.equal(section.type, 0x0a0d0d0a);
  t.equal(section.body.readUInt32LE(0), 0x1a2b3c4d);
  t.same([one.body.readUInt16LE(0), two.body.readUInt16LE(0)], [1, 101]);
  t.match(one.body.toString('latin1'), /eth7/);
  const time = (BigInt(first.body.readUInt32LE(4)) << 32n) | BigInt(first.body.readUInt32LE(8));
  t.ok(Math.abs(Number(time) / 1e6 - wall) < 0.001, `${time}`);
  t.same([first.body.readUInt32LE(0), first.body.readUInt32LE(12), first.body.readUInt32LE(16)], [0, 5, 5]);
  t.same([...first.body.subarray(20, 28)], [0, 1, 2, 3, 4, 0, 0, 0], 'padded');
  t.same([second.body.readUInt32LE(0), second.body.readUInt32LE(12), second.body.readUInt32LE(16)], [1, 64, 101]);
  t.same([first.body.readUInt32LE(32), second.body.readUInt32LE(20 + 64 + 4)], [1, 2], 'in and out');
  writer.close();
  t.equal(writer.begin(wall, 10), 0, 'closed');
  t.throws(() => new PcapngWriter(join(directory, 'no/such/place')), { code: 'ENOENT' });
});
