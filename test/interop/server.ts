/**
 * The stack's process in a cell: our stack on a TAP device, serving transfers on one port and
 * opening them on request. Commands come over IPC, one object each, and are answered by number.
 */
import net from 'node:net';
import { setChecksumKernel } from '../../lib/checksum.js';
import type { FrameDevice } from '../../lib/device/device.js';
import { TapDevice } from '../../lib/device/tap.js';
import { native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';
import { SeededRandom } from '../../lib/random.js';
import { connect, createServer } from '../../stack/sockets/index.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import type { TcpOptions } from '../../stack/tcp/options.js';
import { ImpairedDevice, type PathCounters, type PathImpairment } from './impair.js';
import { type Direction, request, type Side, serve } from './transfer.js';

interface StartCommand {
  op: 'start';
  tap: string;
  addresses: string[];
  offload: boolean;
  /** Both ways; nothing in it: the device as it is. */
  impairment: PathImpairment;
  seed: string;
  port: number;
  ecn: TcpOptions['ecn'];
}

export type Command =
  | StartCommand
  /** The next transfer that this side has served. */
  | { op: 'served' }
  | { op: 'open'; address: string; port: number; direction: Direction; bytes: number }
  /** Passes a port on to the same port of the kernel's loopback. */
  | { op: 'relay'; port: number }
  | { op: 'state' }
  | { op: 'stop' };

/** What was agreed on in a handshake, as the stack sees it. */
export interface Agreed {
  sack: boolean;
  timestamps: boolean;
  /** Scale of the window that the kernel offers, and of ours. */
  scales: [number, number];
  mss: number;
  ecn: 'noecn' | 'ecn' | 'accecn';
}

export interface StackState {
  connections: number;
  timeWaits: number;
  tcp: Record<string, number>;
  badChecksum: number;
  drops: number;
  path: { inbound: PathCounters; outbound: PathCounters } | null;
}

export interface Outcome {
  side: Side;
  agreed: Agreed | null;
}

class Running {
  readonly host: StackHost;
  readonly stack: Stack;
  readonly impaired: ImpairedDevice | null = null;
  readonly #outcomes: Promise<Outcome>[] = [];
  readonly #waiting: ((outcome: Promise<Outcome>) => void)[] = [];

  constructor(command: StartCommand) {
    const tap = TapDevice.open({ name: command.tap, offload: command.offload });
    let device: FrameDevice = tap;
    if (Object.keys(command.impairment).length > 0) {
      const random = new SeededRandom(command.seed);
      const { impairment } = command;
      device = this.impaired = new ImpairedDevice(tap, {
        clock: systemClock,
        random,
        inbound: impairment,
        outbound: impairment,
      });
    }
    this.stack = new Stack({ clock: systemClock, random: systemRandom, tcp: { ecn: command.ecn } });
    this.stack.addInterface(device, { addresses: command.addresses });
    this.host = new StackHost(this.stack, native());
    createServer(this.host, { allowHalfOpen: true }, (socket) => {
      const agreed = this.#agreed(socket.remotePort ?? 0);
      const outcome = serve(socket).then((side) => ({ side, agreed }));
      outcome.catch(() => undefined);
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) waiting(outcome);
      else this.#outcomes.push(outcome);
    }).listen(command.port);
  }

  served(): Promise<Outcome> {
    const ready = this.#outcomes.shift();
    if (ready !== undefined) return ready;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  async open(address: string, port: number, direction: Direction, bytes: number): Promise<Outcome> {
    const socket = connect(this.host, { host: address, port, allowHalfOpen: true });
    let agreed: Agreed | null = null;
    socket.once('connect', () => {
      agreed = this.#agreed(port);
    });
    const side = await request(socket, direction, bytes);
    return { side, agreed };
  }

  /** Of the connection to the peer's port. */
  #agreed(remotePort: number): Agreed | null {
    let found: Agreed | null = null;
    this.stack.tcp.table.forEach((conn) => {
      if (conn.remotePort !== remotePort) return;
      found = {
        sack: conn.sackOk,
        timestamps: conn.tsOk,
        scales: [conn.sndScale, conn.rcvScale],
        mss: conn.sndMss,
        ecn: conn.accEcn ? 'accecn' : conn.ecnOk ? 'ecn' : 'noecn',
      };
    });
    return found;
  }

  relay(port: number): void {
    createServer(this.host, { allowHalfOpen: true }, (socket) => {
      const inner = net.connect({ host: '127.0.0.1', port, allowHalfOpen: true });
      socket.on('error', () => inner.destroy());
      inner.on('error', () => socket.destroy());
      socket.pipe(inner);
      inner.pipe(socket);
    }).listen(port);
  }

  state(): StackState {
    const { stack } = this;
    const numbers = Object.entries(stack.tcp.counters as unknown as Record<string, number>);
    return {
      connections: stack.tcp.table.size,
      timeWaits: stack.tcp.timeWaits.size,
      tcp: Object.fromEntries(numbers.filter(([, value]) => value !== 0)),
      badChecksum: stack.counters.badChecksum,
      drops: stack.interfaces.reduce((sum, one) => sum + one.drops.reduce((a, b) => a + b, 0), 0),
      path: this.impaired?.counters ?? null,
    };
  }
}

let running: Running | null = null;

async function perform(command: Command): Promise<unknown> {
  if (command.op === 'start') {
    running = new Running(command);
    return null;
  }
  if (running === null) throw new Error('no stack has been started');
  switch (command.op) {
    case 'served':
      return running.served();
    case 'open':
      return running.open(command.address, command.port, command.direction, command.bytes);
    case 'relay':
      running.relay(command.port);
      return null;
    case 'state':
      return running.state();
    default: {
      const state = running.state();
      running.host.close();
      running = null;
      return state;
    }
  }
}

if (process.send !== undefined) {
  const addon = native();
  setChecksumKernel((bytes, offset, length, seed) => addon.checksum(bytes, offset, length, seed));
  const answer = (id: number, more: object): void => void process.send?.({ id, ...more });
  process.on('message', (message: { id: number; command: Command }) => {
    perform(message.command).then(
      (value) => answer(message.id, { value }),
      (error: unknown) => answer(message.id, { error: error instanceof Error ? error.message : String(error) }),
    );
  });
  process.on('disconnect', () => process.exit(0));
}
