/**
 * What the tests of TAP and TUN devices share: a collector of frames, packets, the kernel's end,
 * and a private network namespace.
 */
import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Test } from 'tap';
import { type DeviceHandler, TX_HEADROOM, TxFrame } from '../../../lib/device/device.js';
import { RX_CSUM_OK, RX_META_WORDS, type RxBatch } from '../../../lib/device/rx-batch.js';
import { TapDevice, type TapOptions } from '../../../lib/device/tap.js';
import { FtError } from '../../../lib/errors.js';
import { native } from '../../../lib/native/native.js';

/** The program of the child processes. */
export const ROLES = fileURLToPath(new URL('./tap-roles.js', import.meta.url));
/** Our MAC address on the device. */
const OUR_MAC = [0x02, 0, 0, 0, 0, 2];
/** Bytes of Ethernet header. */
export const ETHERNET = 14;
/** Where the checksum is in a TCP header. */
export const TCP_CSUM_OFFSET = 16;
/** Where the checksum is in a UDP header. */
export const UDP_CSUM_OFFSET = 6;

/** A received frame. */
interface Frame {
  bytes: Buffer;
  checksumOk: boolean;
  gsoSize: number;
}

/** Copies the frames out of a batch, which is only valid during the call. */
export function split(batch: RxBatch): Frame[] {
  return Array.from({ length: batch.count }, (_, i) => {
    const [offset, length, flags, gsoSize] = batch.meta.subarray(i * RX_META_WORDS, (i + 1) * RX_META_WORDS);
    return {
      bytes: Buffer.from(batch.bytes.subarray(offset, offset + length)),
      checksumOk: (flags & RX_CSUM_OK) !== 0,
      gsoSize: gsoSize,
    };
  });
}

/** Whether it is an IPv4 packet of the protocol, over Ethernet. */
export function isIpv4(frame: Frame, protocol: number): boolean {
  return frame.bytes.readUInt16BE(12) === 0x0800 && frame.bytes[ETHERNET + 9] === protocol;
}

/** Whether it is a UDP datagram. */
export function isUdp(frame: Frame): boolean {
  return isIpv4(frame, 17);
}

/** Collects frames, and waits for one that fits. */
export class Collector implements DeviceHandler {
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

/** Runs `ip` of iproute2. @returns what it prints */
export function ip(...args: string[]): string {
  return execFileSync('ip', args, { encoding: 'utf8' });
}

/** Gives the kernel its address on the device, and ours to reach there. */
export function configure(name: string, mode: 'tap' | 'tun' = 'tap'): void {
  // No router solicitations and the like between our frames.
  ip('link', 'set', name, 'addrgenmode', 'none');
  ip('address', 'add', '10.77.0.1/24', 'dev', name);
  ip('link', 'set', name, 'up');
  // BBR, the default of some kernels, sends single segments where the first round trip was slow, as
  // on a busy machine.
  ip('route', 'replace', '10.77.0.0/24', 'dev', name, 'src', '10.77.0.1', 'congctl', 'cubic');
  if (mode === 'tap') {
    ip('neighbour', 'add', '10.77.0.2', 'lladdr', '02:00:00:00:00:02', 'dev', name, 'nud', 'permanent');
  }
}

/** State of an interface, as `ip` prints it. */
export function linkState(name: string): { up: boolean; changes: number; mac: number[] } {
  const [link] = JSON.parse(ip('-j', '-s', '-s', 'link', 'show', name)) as [
    { flags: string[]; address?: string; stats64: { tx: { carrier_changes: number } } },
  ];
  return {
    up: link.flags.includes('LOWER_UP'),
    changes: link.stats64.tx.carrier_changes,
    mac: (link.address ?? '').split(':').map((part) => Number.parseInt(part, 16)),
  };
}

/** Sum of 16-bit words, folded. */
export function sum(bytes: Uint8Array, seed = 0): number {
  return native().checksum(bytes, 0, bytes.length, seed);
}

/** A packet to build. */
export interface Packet {
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
export function build({ mac, protocol, transport, payload, checksumAt, offload }: Packet): TxFrame {
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

/** A UDP header without checksum. */
export function udpHeader(from: number, to: number, length: number): Buffer {
  const header = Buffer.alloc(8);
  header.writeUInt16BE(from, 0);
  header.writeUInt16BE(to, 2);
  header.writeUInt16BE(8 + length, 4);
  return header;
}

/** A TCP header without checksum. */
export function tcpHeader(port: number, seq: number, ack: number, flags: number): Buffer {
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

/** A UDP socket of the kernel's. */
export async function udpSocket(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '10.77.0.1');
  await once(socket, 'listening');
  return socket;
}

/** Sends a datagram to our address. */
export function sendUdp(socket: Socket, text: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.send(text, 9, '10.77.0.2', (error) => (error ? reject(error) : resolve()));
  });
}

/** The next datagram. */
export async function received(socket: Socket): Promise<string> {
  const [message] = (await once(socket, 'message', { signal: AbortSignal.timeout(5000) })) as [Buffer];
  return message.toString();
}

/** Starts a child process in a role of tap-roles.ts. */
export function play(role: string, options: TapOptions): { child: ChildProcess; line(): Promise<string> } {
  const child = spawn(process.execPath, [ROLES, role, JSON.stringify(options)], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, line: async () => ((await lines.next()).value as string | undefined) ?? '(ended)' };
}

/** Opens a device. @returns the error, undefined when it could be opened */
export function refusal(options: TapOptions): FtError | undefined {
  try {
    TapDevice.open(options).close();
  } catch (error) {
    if (error instanceof FtError) return error;
    throw error;
  }
  return undefined;
}

/** How to enter a private network namespace here, or undefined. */
function entrance(): { kind: 'root' | 'user'; args: string[] } | undefined {
  const ways = [
    { kind: 'root' as const, args: ['-n'] },
    { kind: 'user' as const, args: ['-Urn'] },
  ];
  return ways.find(({ args }) => spawnSync('unshare', [...args, 'ip', 'link', 'set', 'lo', 'up']).status === 0);
}

/**
 * Runs a test file again under `unshare -n` (as root) or `unshare -Urn`, and its tests there. The
 * kernel has 10.77.0.1, we are 10.77.0.2.
 * @param url the file's import.meta.url
 */
export async function inNamespace(url: string, tests: (t: Test) => void): Promise<void> {
  const inside = process.env['FT_TEST_NAMESPACE'] !== undefined;
  if (!inside && existsSync('/dev/net/tun')) {
    const way = entrance();
    if (way !== undefined) {
      const result = spawnSync('unshare', [...way.args, process.execPath, ...process.execArgv, fileURLToPath(url)], {
        stdio: 'inherit',
        env: { ...process.env, FT_TEST_NAMESPACE: way.kind },
      });
      process.exitCode = result.status ?? 1;
      return;
    }
  }
  // Loaded here and not above: the outer process must print nothing of the test runner's.
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
