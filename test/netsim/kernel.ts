/**
 * `node dist/test/netsim/kernel.js`: some cells of the grid in real time with the kernel's own TCP
 * (CUBIC) at both ends, over two TAPs and the same kind of bottleneck. Its figures are kept in
 * test/netsim/kernel.txt, for the picture.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import net from 'node:net';
import { fileURLToPath } from 'node:url';
import { enterLab, labDirectory, runInLab } from '../../failover/lab/namespace.js';
import { ip } from '../../failover/lab/network.js';
import type { Clock } from '../../lib/clock.js';
import { TX_HEADROOM, TxFrame } from '../../lib/device/device.js';
import { RX_META_WORDS, type RxBatch } from '../../lib/device/rx-batch.js';
import { TapDevice } from '../../lib/device/tap.js';
import { systemClock } from '../../lib/native/system.js';
import { SeededRandom } from '../../lib/random.js';
import { Path, type PathImpairment } from '../interop/impair.js';
import { type Cell, cellKey, queueBytes } from './grid.js';
import { payloadRate } from './theory.js';

const SELF = fileURLToPath(import.meta.url);
const KERNEL_FILE = new URL('../../../test/netsim/kernel.txt', import.meta.url);
const PORT = 5000;
const [NEAR, FAR] = ['10.81.0.1', '10.81.0.2'];
/** Goodput is counted after that, and for this time; at least this number of round trips each. */
const WARM_MS = 5000;
const MEASURE_MS = 15_000;
const ROUNDS = 100;
const ETHERNET = 14;
const TICK_MS = 1;

function cells(): Cell[] {
  const out: Cell[] = [];
  for (const [mbit, rttMs] of [
    [10, 50],
    [10, 200],
    [100, 10],
    [100, 100],
  ] as const)
    for (const loss of [0, 0.001, 0.01, 0.03])
      out.push({ congestion: 'cubic', mbit, rttMs, loss, reorder: 0, buffer: 1 });
  return out;
}

/** What comes out of one device goes over the path into the other. */
class Way {
  readonly #path: Path;
  readonly #frame = new TxFrame();

  constructor(
    readonly clock: Clock,
    readonly to: TapDevice,
    seed: string,
    impairment: PathImpairment,
  ) {
    this.#path = new Path(clock, new SeededRandom(seed), impairment, ETHERNET);
  }

  take(batch: RxBatch): void {
    for (let i = 0; i < batch.count; i++) {
      const at = batch.meta[i * RX_META_WORDS];
      this.#path.take(batch.bytes.slice(at, at + batch.meta[i * RX_META_WORDS + 1]), 0);
    }
  }

  run(): void {
    const now = this.clock.now();
    const frame = this.#frame;
    for (let next = this.#path.peek(now); next !== undefined; next = this.#path.peek(now)) {
      frame.reset();
      frame.header.set(next.frame.subarray(0, ETHERNET), TX_HEADROOM);
      frame.headerLength = ETHERNET;
      frame.addPiece(next.frame, ETHERNET, next.frame.length - ETHERNET);
      if (!this.to.send(frame)) return;
      this.#path.shift();
    }
  }
}

/** A process in a network namespace of its own that sends to each client. */
function sender(): Promise<ChildProcess> {
  const child = spawn('unshare', ['--net', process.execPath, SELF, 'send'], { stdio: ['pipe', 'pipe', 'inherit'] });
  return new Promise((done, fail) => {
    child.stdout.once('data', () => done(child));
    child.once('exit', (code) => fail(new Error(`the sender ended with ${code}`)));
  });
}

function send(): void {
  ip('link set lo up');
  process.stdin.resume().on('end', () => process.exit(0));
  const chunk = Buffer.alloc(65_536);
  const server = net.createServer((socket) => {
    socket.on('error', () => undefined);
    const fill = (): void => {
      while (!socket.destroyed && socket.write(chunk));
    };
    socket.on('drain', fill);
    fill();
  });
  server.listen(PORT, () => process.stdout.write('ready\n'));
}

/** @returns bytes per second. */
function receive(warmMs: number, measureMs: number): Promise<number> {
  return new Promise((done, fail) => {
    const socket = net.connect(PORT, FAR);
    let bytes = 0;
    socket.on('data', (chunk) => {
      bytes += chunk.length;
    });
    socket.once('error', fail);
    setTimeout(() => {
      const [before, began] = [bytes, performance.now()];
      setTimeout(() => {
        const seconds = (performance.now() - began) / 1000;
        socket.resetAndDestroy();
        done((bytes - before) / seconds);
      }, measureMs);
    }, warmMs);
  });
}

async function measure(cell: Cell): Promise<number> {
  const child = await sender();
  for (const name of ['ka', 'kb']) ip(`tuntap add dev ${name} mode tap`);
  const [a, b] = [TapDevice.open({ name: 'ka', offload: false }), TapDevice.open({ name: 'kb', offload: false })];
  try {
    const { pid } = child;
    ip(`link set kb netns ${pid}`);
    ip(`addr add ${NEAR}/24 dev ka`);
    ip('link set ka up');
    ip(`addr add ${FAR}/24 dev kb`, pid);
    ip('link set kb up', pid);
    ip('route replace 10.81.0.0/24 dev kb congctl cubic', pid);
    const key = cellKey(cell);
    const delayUs = cell.rttMs * 500;
    const out = new Way(systemClock, b, `${key} back`, { delayUs });
    const back = new Way(systemClock, a, key, {
      delayUs,
      loss: cell.loss,
      bandwidth: cell.mbit * 1e6,
      queueBytes: queueBytes(cell),
    });
    a.start({ onFrames: (batch) => out.take(batch), onWritable: () => undefined });
    b.start({ onFrames: (batch) => back.take(batch), onWritable: () => undefined });
    const timer = setInterval(() => {
      out.run();
      back.run();
    }, TICK_MS);
    const rate = await receive(Math.max(WARM_MS, ROUNDS * cell.rttMs), Math.max(MEASURE_MS, ROUNDS * cell.rttMs));
    clearInterval(timer);
    return (rate * 8) / payloadRate(cell.mbit * 1e6);
  } finally {
    a.close();
    b.close();
    child.stdin?.end();
    try {
      ip('link del ka');
    } catch {
      // Gone with its descriptor.
    }
  }
}

async function inside(): Promise<void> {
  enterLab();
  ip('link set lo up');
  const lines: string[] = [];
  for (const cell of cells()) {
    const goodput = await measure(cell);
    lines.push(`${cellKey(cell)}: ${goodput.toFixed(3)}`);
    process.stdout.write(`${lines.at(-1)}\n`);
  }
  writeFileSync(KERNEL_FILE, `${lines.join('\n')}\n`);
}

if (process.argv[1] === SELF) {
  if (process.argv[2] === 'send') send();
  else if (labDirectory() === undefined) process.exit(await runInLab(SELF, process.argv.slice(2)));
  else {
    await inside();
    process.exit(0);
  }
}
