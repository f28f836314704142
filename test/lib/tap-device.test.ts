/**
 * TAP and TUN devices against the kernel's own stack, in a private network namespace: the file runs itself again under
 * `unshare -n` (as root) or `unshare -Urn`. The kernel has 10.77.0.1, we are 10.77.0.2. It is also the child processes of its
 * own tests, by role.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync, writeSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { type DeviceHandler, TX_HEADROOM, TxFrame } from '../../lib/device/device.js';
import { RX_CSUM_OK, RX_META_WORDS, type RxBatch } from '../../lib/device/rx-batch.js';
import { TapDevice, type TapOptions } from '../../lib/device/tap.js';
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';

const self = fileURLToPath(import.meta.url);
const OUR_MAC = [0x02, 0, 0, 0, 0, 2];
const ETHERNET = 14;
const TCP_CSUM_OFFSET = 16;
const UDP_CSUM_OFFSET = 6;

const roles: Record<string, (...args: string[]) => void> = {
  /** Opens a device, reports what it sees, and holds it. */
  hold(options: string) {
    let frames = 0;
    const device = TapDevice.open(JSON.parse(options) as TapOptions);
    device.start({
      onFrames: (batch) => {
        for (const frame of split(batch)) if (isUdp(frame)) frames++;
      },
      onWritable: () => {},
    });
    process.stdin.on('data', () => writeSync(1, `${frames}\n`));
    writeSync(1, 'ready\n');
  },
  /** Tries to open a device and prints the error. */
  open(options: string) {
    try {
      TapDevice.open(JSON.parse(options) as TapOptions);
      writeSync(1, 'opened\n');
    } catch (error) {
      writeSync(1, `${errorCode(error)} ${error instanceof FtError ? error.hint : 'not an FtError'}\n`);
    }
    process.exit();
  },
};

interface Frame {
  bytes: Buffer;
  checksumOk: boolean;
  gsoSize: number;
}

/** Copies the frames out of a batch, which is only valid during the call. */
function split(batch: RxBatch): Frame[] {
  return Array.from({ length: batch.count }, (_, i) => {
    const [offset, length, flags, gsoSize] = batch.meta.subarray(i * RX_META_WORDS, (i + 1) * RX_META_WORDS);
    return {
      bytes: Buffer.from(batch.bytes.subarray(offset!, offset! + length!)),
      checksumOk: (flags! & RX_CSUM_OK) !== 0,
      gsoSize: gsoSize!,
    };
  });
}

function isIpv4(frame: Frame, protocol: number): boolean {
  return frame.bytes.readUInt16BE(12) === 0x0800 && frame.bytes[ETHERNET + 9] === protocol;
}

function isUdp(frame: Frame): boolean {
  return isIpv4(frame, 17);
}

/** Collects frames, and waits for one that fits. */
class Collector implements DeviceHandler {
  readonly frames: Frame[] = [];
  batches = 0;
  #wake = (): void => {};

  onFrames(batch: RxBatch): void {
    this.batches++;
    this.frames.push(...split(batch));
    this.#wake();
  }

  onWritable(): void {}

  async next(fits: (frame: Frame) => boolean): Promise<Frame> {
    const late = Date.now() + 5000;
    for (;;) {
      const at = this.frames.findIndex(fits);
      if (at >= 0) return this.frames.splice(at, 1)[0];
      const left = late - Date.now();
      if (left <= 0) throw new Error('no such frame arrived');
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, left);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
  }
}

function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** Gives the kernel its address on the device, and ours to reach there. */
function configure(name: string, mode: 'tap' | 'tun' = 'tap'): void {
  // No router solicitations and the like between our frames.
  ip('link', 'set', name, 'addrgenmode', 'none');
  ip('address', 'add', '10.77.0.1/24', 'dev', name);
  ip('link', 'set', name, 'up');
  // BBR, the default of some kernels, sends single segments where the first round trip was slow, as on a busy machine.
  ip('route', 'replace', '10.77.0.0/24', 'dev', name, 'src', '10.77.0.1', 'congctl', 'cubic');
  if (mode === 'tap') {
    ip('neighbour', 'add', '10.77.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', name, 'nud', 'permanent');
  }
}

function linkState(name: string): { up: boolean; changes: number; mac: number[] } {
  const [link] = JSON.parse(ip('-j', '-s', '-s', 'link', 'show', name)) as [
    { flags: string[]; address?: string; stats64: { tx: { carrier_changes: number } } },
  ];
  return {
    up: link.flags.includes('LOWER_UP'),
    changes: link.stats64.tx.carrier_changes,
    mac: (link.address ?? '').split(':').map((part) => Number.parseInt(part, 16)),
  };
}

function sum(bytes: Uint8Array, seed = 0): number {
  return native().checksum(bytes, 0, bytes.length, seed);
}

interface Packet {
  mac?: number[];
  protocol: number;
  /** The header behind IP's, with a checksum field of 0. */
  transport: Buffer;
  payload: Uint8Array;
  /** Where the checksum is in it; undefined: it has none of its own kind (ICMP is filled in). */
  checksumAt: number;
  offload: boolean;
}

/** Builds an outgoing frame; without `mac` it begins with the IP header. */
function build({ mac, protocol, transport, payload, checksumAt, offload }: Packet): TxFrame {
  const frame = new TxFrame();
  const header = Buffer.alloc((mac ? ETHERNET : 0) + 20 + transport.length);
  const at = mac ? ETHERNET : 0;
  if (mac) {
    header.set(mac, 0);
    header.set(OUR_MAC, 6);
    header.writeUInt16BE(0x0800, 12);
  }
  header[at] = 0x45;
  header.writeUInt16BE(20 + transport.length + payload.length, at + 2);
  header.writeUInt16BE(1, at + 4);
  header[at + 8] = 64;
  header[at + 9] = protocol;
  header.set([10, 77, 0, 2, 10, 77, 0, 1], at + 12);
  header.writeUInt16BE(~sum(header.subarray(at, at + 20)) & 0xffff, at + 10);
  const pseudo =
    protocol === 1 ? 0 : sum(header.subarray(at + 12, at + 20), protocol + transport.length + payload.length);
  if (offload) transport.writeUInt16BE(pseudo, checksumAt);
  else transport.writeUInt16BE(~sum(Buffer.concat([transport, payload]), pseudo) & 0xffff, checksumAt);
  header.set(transport, at + 20);
  frame.header.set(header, TX_HEADROOM);
  frame.headerLength = header.length;
  // In three pieces, out of the middle of larger buffers.
  const cuts = [0, payload.length >> 2, payload.length >> 1, payload.length];
  for (let i = 0; i < 3 && payload.length > 0; i++) {
    const piece = payload.subarray(cuts[i], cuts[i + 1]);
    const around = new Uint8Array(piece.length + 10).fill(0xee);
    around.set(piece, 5);
    frame.addPiece(around, 5, piece.length);
  }
  if (offload) {
    frame.csumStart = at + 20;
    frame.csumOffset = checksumAt;
  }
  return frame;
}

function udpHeader(from: number, to: number, length: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  header.writeUInt16BE(8 + length, 4);
  return header;
}

function tcpHeader(port: number, seq: number, ack: number, flags: number): Buffer {
  const header = Buffer.alloc(20);
  header.writeUInt16BE(4000, 0);
  header.writeUInt16BE(port, 2);
  header.writeUInt32BE(seq >>> 0, 4);
  header.writeUInt32BE(ack >>> 0, 8);
  header[12] = 5 << 4;
  header[13] = flags;
  header.writeUInt16BE(65_535, 14);
  return header;
}

async function udpSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '10.77.0.1');
  await once(socket, 'listening');
  return socket;
}

function sendUdp(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(text, 9, '10.77.0.2', (error) => (error ? reject(error) : resolve()));
  });
}

async function received(socket: Socket): Promise<string> {
  const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
  return message.toString();
}

function play(role: string, options: TapOptions): { child: ChildProcess; line(): Promise<string> } {
  const child = spawn(process.execPath, [self, role, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, line: async () => ((await lines.next()).value as string | undefined) ?? '(ended)' };
}

/** Opens, and says how that failed. */
function refusal(options: TapOptions): FtError | undefined {
  try {
    TapDevice.open(options).close();
  } catch (error) {
    if (error instanceof FtError) return error;
    throw error;
  }
  return undefined;
}

function tests(t: Test): void {
  for (const offload of [true, false]) {
    t.test(`frames cross ${offload ? 'with' : 'without'} offloads`, async (t) => {
      const device = TapDevice.open({ name: 'ftt%d', offload });
      t.match(device.name, /^ftt\d$/);
      t.equal(device.link, 'ethernet');
      t.equal(device.mtu, 1500);
      // Without offload the addon does that work.
      t.same(device.capabilities, { checksum: true, tso4: true, tso6: true });
      configure(device.name);
      const mac = linkState(device.name).mac;
      const collector = new Collector();
      device.start(collector);
      t.throws(() => device.start(collector), { code: 'ERR_FT_STATE' });
      const socket = await udpSocket();

      await sendUdp(socket, 'from the kernel');
      const frame = await collector.next(isUdp);
      t.equal(frame.bytes.subarray(ETHERNET + 28).toString(), 'from the kernel');
      t.equal(frame.checksumOk, offload);
      t.equal(frame.gsoSize, 0);

      for (const length of [0, 1, 100, 1472]) {
        const payload = Buffer.alloc(length, 'x');
        const transport = udpHeader(9, socket.address().port, length);
        const message = received(socket);
        t.equal(
          device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload })),
          true,
        );
        t.equal(await message, payload.toString());
      }

      const echo = Buffer.from([8, 0, 0, 0, 0x12, 0x34, 0, 1]);
      device.send(
        build({ mac, protocol: 1, transport: echo, payload: Buffer.from('ping'), checksumAt: 2, offload: false }),
      );
      const reply = await collector.next((frame) => isIpv4(frame, 1));
      t.equal(reply.bytes[ETHERNET + 20], 0, 'an echo reply');
      t.equal(reply.bytes.subarray(ETHERNET + 28).toString(), 'ping');

      device.pause();
      const before = device.counters.rxBatches;
      for (let i = 0; i < 5; i++) await sendUdp(socket, `held ${i}`);
      await sleep(20);
      t.equal(collector.frames.filter(isUdp).length, 0, 'paused');
      device.resume();
      await collector.next((frame) => frame.bytes.includes('held 4'));
      t.equal(device.counters.rxBatches, before + 1, 'what has waited comes in one batch');
      t.equal(collector.frames.filter(isUdp).length, 4);

      const { txFrames, txBytes, txErrors, rxFrames } = device.counters;
      t.same({ txFrames, txErrors }, { txFrames: 5, txErrors: 0 });
      t.equal(txBytes, 4 * 42 + 1573 + 46, 'bytes on the wire, without the header for the driver');
      t.ok(rxFrames >= 7);

      ip('link', 'set', device.name, 'down');
      const lost = build({
        mac,
        protocol: 17,
        transport: udpHeader(9, 9, 0),
        payload: Buffer.alloc(0),
        checksumAt: 6,
        offload,
      });
      t.equal(device.send(lost), true, 'a frame into a dead link is taken');
      t.equal(device.counters.txErrors, 1);
      t.same([...device.txErrorCodes], [['EIO', 1]]);
      device.close();
      device.close();
      t.equal(device.send(lost), true);
      t.throws(() => device.attach(), { code: 'ERR_FT_CLOSED' });
      socket.close();
    });
  }

  for (const sender of [undefined, { lookUs: 50 }]) {
    t.test(`super-segments in both directions, ${sender ? 'with' : 'without'} a sender`, async (t) => {
      const device = TapDevice.open({ name: 'ftgso', sender });
      t.teardown(() => device.close());
      configure(device.name);
      const mac = linkState(device.name).mac;
      const collector = new Collector();
      device.start(collector);
      let arrived = Buffer.alloc(0);
      const server = createServer((socket) => {
        socket.on('error', () => {});
        socket.on('data', (data) => {
          arrived = Buffer.concat([arrived, data]);
          if (arrived.length === 60_000) socket.write(Buffer.alloc(60_000, 'k'));
        });
      });
      server.listen(0, '10.77.0.1');
      await once(server, 'listening');
      const port = (server.address() as { port: number }).port;
      const tcp = (seq: number, ack: number, flags: number, payload: Uint8Array): TxFrame =>
        build({
          mac,
          protocol: 6,
          transport: tcpHeader(port, seq, ack, flags),
          payload,
          checksumAt: TCP_CSUM_OFFSET,
          offload: true,
        });
      const none = Buffer.alloc(0);
      device.send(tcp(1000, 0, 0x02, none));
      const synAck = await collector.next((frame) => isIpv4(frame, 6));
      t.equal(synAck.bytes[ETHERNET + 33], 0x12);
      const theirs = synAck.bytes.readUInt32BE(ETHERNET + 24) + 1;
      device.send(tcp(1001, theirs, 0x10, none));
      const payload = Buffer.from(Uint8Array.from({ length: 60_000 }, (_, i) => (i * 13) & 255));
      const big = tcp(1001, theirs, 0x18, payload);
      big.gsoVersion = 4;
      big.gsoSize = 1460;
      t.equal(device.send(big), true);
      const answer = await collector.next((frame) => isIpv4(frame, 6) && frame.gsoSize > 0);
      t.ok(arrived.equals(payload), 'the kernel has all 60000 bytes of one frame');
      t.ok(answer.gsoSize > 500 && answer.gsoSize <= 1460, `merged from segments of ${answer.gsoSize} bytes`);
      t.ok(answer.bytes.length > ETHERNET + 40 + answer.gsoSize, 'of more than one');
      t.ok(answer.checksumOk);
      t.equal(
        answer.bytes.readUInt16BE(ETHERNET + 2),
        answer.bytes.length - ETHERNET,
        'the IP length covers the whole',
      );
      server.close();
      device.send(tcp(61_001, theirs, 0x04, none));
      device.close();
    });
  }

  t.test('a sender keeps the order of small frames, which it writes, and large ones, which it does not', async (t) => {
    const device = TapDevice.open({ name: 'ftorder', sender: { lookUs: 20 } });
    t.teardown(() => device.close());
    configure(device.name);
    ip('link', 'set', 'ftorder', 'mtu', '65000');
    const { mac } = linkState(device.name);
    device.start(new Collector());
    const socket = await udpSocket();
    const to = socket.address().port;
    const ROUND = 10;
    const order: number[] = [];
    let full = (): void => undefined;
    socket.on('message', (message) => {
      order.push(message.readUInt32BE(0));
      if (order.length % ROUND === 0) full();
    });
    let number = 0;
    for (let round = 0; round < 50; round++) {
      const all = new Promise<void>((resolve) => {
        full = resolve;
      });
      for (let i = 0; i < ROUND; i++) {
        const payload = Buffer.alloc(i % 5 === 3 ? 20_000 : 10 + 100 * i, number & 255);
        payload.writeUInt32BE(number++, 0);
        const transport = udpHeader(9, to, payload.length);
        t.equal(
          device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload: true })),
          true,
        );
      }
      await all;
    }
    t.same(
      order,
      Array.from({ length: number }, (_, i) => i),
    );
    t.equal(device.counters.txFrames, number);
    t.equal(device.counters.txErrors, 0);
    // What the kernel refuses is counted, though the frame had been taken.
    ip('link', 'set', 'ftorder', 'down');
    const payload = Buffer.from('nobody');
    const transport = udpHeader(9, to, payload.length);
    device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload: true }));
    device.finishSending();
    t.equal(device.counters.txErrors, 1);
    device.close();
    t.same([...device.txErrorCodes], [['EIO', 1]]);
    socket.close();
  });

  t.test('what was sent does not leave when its lease is over', async (t) => {
    const device = TapDevice.open({ name: 'ftlease', sender: { lookUs: 0 } });
    t.teardown(() => device.close());
    configure(device.name);
    const { mac } = linkState(device.name);
    device.start(new Collector());
    const socket = await udpSocket();
    const words = new Int32Array(2);
    const speakFor = (ms: number): void => {
      words[1] = Math.floor(native().monotonicUs() / 1000 + ms) | 0;
    };
    device.obeyLease(words, 1, new Float64Array(1));
    const send = (text: string): void => {
      const payload = Buffer.from(text);
      const transport = udpHeader(9, socket.address().port, payload.length);
      device.send(build({ mac, protocol: 17, transport, payload, checksumAt: UDP_CSUM_OFFSET, offload: true }));
      device.finishSending();
    };
    const message = received(socket);
    speakFor(-1);
    send('too late');
    speakFor(60_000);
    send('in time');
    t.equal(await message, 'in time');
    t.same([...device.txErrorCodes], [['ESTALE', 1]]);
    device.close();
    socket.close();
  });

  t.test('a TUN device carries IP packets', async (t) => {
    const device = TapDevice.open({ name: 'fttun', mode: 'tun' });
    t.teardown(() => device.close());
    t.equal(device.link, 'ip');
    configure(device.name, 'tun');
    const collector = new Collector();
    device.start(collector);
    const socket = await udpSocket();
    await sendUdp(socket, 'bare');
    const packet = await collector.next((frame) => frame.bytes[0] === 0x45 && frame.bytes[9] === 17);
    t.equal(packet.bytes.subarray(28).toString(), 'bare');
    const transport = udpHeader(9, socket.address().port, 4);
    const message = received(socket);
    device.send(
      build({ protocol: 17, transport, payload: Buffer.from('back'), checksumAt: UDP_CSUM_OFFSET, offload: true }),
    );
    t.equal(await message, 'back');
    socket.close();
    device.close();
  });

  t.test('a detached queue in another process keeps the carrier and takes over', async (t) => {
    const options: TapOptions = { name: 'ftmq', multiQueue: true };
    const primary = play('hold', options);
    t.equal(await primary.line(), 'ready');
    configure('ftmq');
    const backup = TapDevice.open({ ...options, detached: true });
    t.equal(backup.attached, false);
    const collector = new Collector();
    backup.start(collector);
    const before = linkState('ftmq');
    t.ok(before.up);
    const socket = await udpSocket();
    for (let i = 0; i < 20; i++) await sendUdp(socket, `${i}`);
    await sleep(20);
    primary.child.stdin!.write('?');
    t.equal(await primary.line(), '20', 'all frames went to the attached queue');
    t.equal(collector.frames.length, 0, 'and none to the detached one');

    primary.child.kill('SIGKILL');
    await once(primary.child, 'exit');
    t.same(linkState('ftmq'), before, 'carrier up, and not one change');
    backup.attach();
    backup.attach();
    await sendUdp(socket, 'after takeover');
    const frame = await collector.next(isUdp);
    t.equal(frame.bytes.subarray(ETHERNET + 28).toString(), 'after takeover');
    const message = received(socket);
    const transport = udpHeader(9, socket.address().port, 2);
    backup.send(
      build({ mac: before.mac, protocol: 17, transport, payload: Buffer.from('ok'), checksumAt: 6, offload: true }),
    );
    t.equal(await message, 'ok');

    backup.detach();
    backup.detach();
    t.ok(linkState('ftmq').up, 'a detached queue alone keeps the carrier');
    await sendUdp(socket, 'nobody listens');
    await sleep(20);
    t.equal(collector.frames.filter(isUdp).length, 0);
    backup.attach();
    await sendUdp(socket, 'again');
    await collector.next((frame) => frame.bytes.includes('again'));

    const extra = refusal({ name: 'ftmq' });
    t.match(extra, { code: 'EINVAL', hint: /multiQueue/ }, 'a single-queue open of a multi-queue device');
    socket.close();
    backup.close();
    t.throws(() => linkState('ftmq'), 'the interface went with its last queue');
  });

  t.test('an interface that is deleted says so', async (t) => {
    const failed = new Promise<FtError>((resolve) => {
      const device = TapDevice.open({
        name: 'ftgone',
        onError: (error) => {
          device.close();
          resolve(error);
        },
      });
      configure(device.name);
      device.start(new Collector());
    });
    ip('link', 'delete', 'ftgone');
    t.match(await failed, { code: 'EBADFD', message: /ftgone/ });
  });

  t.test('refusals have stable codes and say what to do', async (t) => {
    const device = TapDevice.open({ name: 'ftsingle' });
    t.match(refusal({ name: 'ftsingle' }), { code: 'EBUSY', hint: /multiQueue/ });
    t.match(refusal({ name: 'ftsingle', mode: 'tun' }), { code: 'EINVAL', hint: /another kind/ });
    t.match(refusal({ name: 'lo' }), { code: 'EINVAL' }, 'not a TAP at all');
    t.match(refusal({ name: 'much too long a name' }), { code: 'EINVAL', hint: /15 bytes/ });
    t.match(refusal({ name: '' }), { code: 'EINVAL' });
    t.match(refusal({ name: 'ftx', detached: true }), { code: 'EINVAL', hint: /multiQueue/ });
    t.match(refusal({ name: 'ftx', slots: 0 }), { code: 'ERR_OUT_OF_RANGE' });
    try {
      device.detach();
      t.fail('a single queue cannot be detached');
    } catch (error) {
      t.match(error, { code: 'EINVAL', hint: /multiQueue/ });
    }
    device.close();
    t.equal(refusal({ name: 'ftsingle' }), undefined, 'closing frees it');

    const hidden = spawnSync(
      'unshare',
      [
        '-m',
        'sh',
        '-c',
        'mount -t tmpfs none /dev/net && exec "$0" "$@"',
        process.execPath,
        self,
        'open',
        '{"name":"ftx"}',
      ],
      { encoding: 'utf8' },
    );
    t.match(hidden.stdout, /^ENOENT .*modprobe tun/, hidden.stderr);
    if (process.env['FT_TEST_NAMESPACE'] === 'root') {
      // Without the test runner's hooks, which would want to write into the checkout.
      const user = { uid: 65_534, gid: 65_534, env: {} };
      const denied = spawnSync(process.execPath, [self, 'open', '{"name":"ftx"}'], { encoding: 'utf8', ...user });
      if (denied.stdout === '') t.comment('an unprivileged user cannot read this checkout, so this was not tried');
      else t.match(denied.stdout, /^(EACCES .*chmod 666|EPERM .*unshare -Urn)/, denied.stderr);
    }
    const capless = spawnSync('unshare', ['-Ur', process.execPath, self, 'open', '{"name":"ftx"}'], {
      encoding: 'utf8',
    });
    if (capless.status === 0)
      t.match(capless.stdout, /^EPERM .*unshare -Urn/, 'in a user namespace without its network');
  });

  t.test('a stopped holder of a single queue still fences', async (t) => {
    const holder = play('hold', { name: 'ftfence' });
    t.equal(await holder.line(), 'ready');
    holder.child.kill('SIGSTOP');
    t.equal(refusal({ name: 'ftfence' })?.code, 'EBUSY');
    holder.child.kill('SIGKILL');
    await once(holder.child, 'exit');
    t.equal(refusal({ name: 'ftfence' }), undefined);
  });
}

/** How to enter a private network namespace here, or undefined. */
function entrance(): { kind: 'root' | 'user'; args: string[] } | undefined {
  const ways = [
    { kind: 'root' as const, args: ['-n'] },
    { kind: 'user' as const, args: ['-Urn'] },
  ];
  return ways.find(({ args }) => spawnSync('unshare', [...args, 'ip', 'link', 'set', 'lo', 'up']).status === 0);
}

async function main(): Promise<void> {
  const inside = process.env['FT_TEST_NAMESPACE'] !== undefined;
  if (!inside && existsSync('/dev/net/tun')) {
    const way = entrance();
    if (way !== undefined) {
      const result = spawnSync('unshare', [...way.args, process.execPath, ...process.execArgv, self], {
        stdio: 'inherit',
        env: { ...process.env, FT_TEST_NAMESPACE: way.kind },
      });
      process.exitCode = result.status ?? 1;
      return;
    }
  }
  // Loaded here and not above, so that the other processes print nothing of the test runner's.
  const { default: t } = await import('tap');
  if (inside) {
    ip('link', 'set', 'lo', 'up');
    tests(t);
  } else if (existsSync('/dev/net/tun')) {
    t.fail(
      'TAP tests need a network namespace: run as root or allow user namespaces (unshare -Urn), and install iproute2',
    );
  } else {
    t.plan(0, 'there is no /dev/net/tun here');
  }
}

const role = process.argv[2];
if (role !== undefined && roles[role] !== undefined) roles[role](...process.argv.slice(3));
else await main();
