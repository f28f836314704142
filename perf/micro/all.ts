/**
 * Micro-benchmarks: `npm run bench [-- --json]`. About a minute. They compare versions of the same
 * operation on one machine; across machines only the ratios mean something.
 */
import { sum16 } from '../../lib/checksum.js';
import { ManualClock } from '../../lib/clock.js';
import { MemoryLink } from '../../lib/device/emulation/memory.js';
import { native } from '../../lib/native/native.js';
import { Ipv4View } from '../../lib/packet/ipv4.js';
import { TcpView } from '../../lib/packet/tcp.js';
import { SeededRandom } from '../../lib/random.js';
import { TimerNode, TimerWheel } from '../../lib/timer-wheel.js';
import { type Row, run } from './bench.js';
import { logOperations } from './log.js';
import { sampleOperations } from './samples.js';
import { segmentOperations } from './segments.js';

function parseOperations(): Record<string, () => void> {
  const frame = Buffer.from(
    '45000034000040004006000000000000' +
      '0a0000010a000002' +
      '9c400050' +
      '0000000100000002' +
      '801001f600000000' +
      '0101080a0000000100000002',
    'hex',
  );
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  // Over the header as it stands, so that the checksum fits.
  frame.writeUInt16BE(0, 10);
  frame.writeUInt16BE(~sum16(frame, 0, 20, 0) & 0xffff, 10);
  const ip = new Ipv4View();
  const tcp = new TcpView();
  return {
    'parse: IPv4 and TCP with timestamps': () => {
      ip.parse(frame, view, 0, frame.length);
      tcp.parse(frame, view, 20, frame.length - 20);
    },
  };
}

function checksumOperations(): Record<string, () => void> {
  const bytes = new Uint8Array(65_536);
  new SeededRandom(1).fill(bytes);
  const addon = native();
  return {
    'checksum: 40 bytes, JavaScript': () => sum16(bytes, 0, 40, 0),
    'checksum: 1460 bytes, JavaScript': () => sum16(bytes, 0, 1460, 0),
    'checksum: 1460 bytes, native': () => addon.checksum(bytes, 0, 1460, 0),
    'checksum: 64 KiB, native': () => addon.checksum(bytes, 0, 65_536, 0),
    'crc32c: 64 KiB, native': () => addon.crc32c(bytes, 0, 65_536, 0),
  };
}

function timerOperations(): Record<string, () => void> {
  const wheel = new TimerWheel(0);
  const nodes = Array.from({ length: 10_000 }, () => new TimerNode(() => undefined));
  for (const [i, node] of nodes.entries()) wheel.schedule(node, 1_000_000 + i * 997);
  let n = 0;
  let now = 0;
  return {
    'timer: set, among 10,000': () => {
      const node = nodes[n++ % nodes.length];
      wheel.schedule(node, 1_000_000 + ((n * 7919) % 60_000_000));
    },
    'timer: set and cancel': () => {
      const node = nodes[n++ % nodes.length];
      wheel.schedule(node, now + 200_000);
      wheel.cancel(node);
    },
    'timer: a millisecond passes': () => {
      now += 1000;
      wheel.advance(now);
    },
  };
}

function linkOperations(): Record<string, () => void> {
  const clock = new ManualClock();
  const link = new MemoryLink({ clock, random: new SeededRandom(2) });
  link.b.start({ onFrames: () => undefined, onWritable: () => undefined });
  const frame = new Uint8Array(1514);
  return {
    'memory link: a frame there': () => {
      link.a.inject(frame);
      link.run();
    },
  };
}

const json = process.argv.includes('--json');
const show = (row: Row): void => {
  if (json) return;
  const rate = Math.round(row.hz).toLocaleString('en').padStart(14);
  process.stdout.write(
    `${row.name.padEnd(44)} ${rate} ops/s ±${row.rme.toFixed(1)} %  ${row.bytesPerOp.toFixed(1).padStart(8)} B/op\n`,
  );
};
const rows = run(
  {
    ...parseOperations(),
    ...checksumOperations(),
    ...timerOperations(),
    ...linkOperations(),
    ...logOperations(),
    ...sampleOperations(),
    ...segmentOperations(),
  },
  show,
);
if (json) process.stdout.write(`${JSON.stringify({ node: process.version, rows })}\n`);
