/**
 * A dumbbell in virtual time: each flow has a sender and a receiver (stacks of ours) and a delay of
 * its own; all share one bottleneck. Loss and reordering meet data only, after the queue is chosen:
 * acknowledgements always come through.
 */
import { ManualClock } from '../../lib/clock.js';
import { Bottleneck } from '../../lib/device/emulation/bottleneck.js';
import { type Fate, MemoryLink } from '../../lib/device/emulation/memory.js';
import { SeededRandom } from '../../lib/random.js';
import { AppEndpoint } from '../../stack/app-endpoint.js';
import type { StreamEndpoint, StreamEvents } from '../../stack/core/endpoint.js';
import { Stack } from '../../stack/stack.js';
import { StackHost } from '../../stack/stack-host.js';
import type { CongestionFactory } from '../../stack/tcp/congestion/controller.js';
import type { TcpConnection } from '../../stack/tcp/connection.js';

/**
 * Bytes of an Ethernet frame with a full segment, and of its payload: 20 of IP, 20 of TCP, 12 of
 * timestamps.
 */
export const FRAME = 1514;
export const MSS = 1448;

export interface FlowOptions {
  /** Round trip without queueing, in milliseconds. */
  rttMs: number;
  congestion: CongestionFactory;
  /** When it begins, in milliseconds (default 0). */
  startMs?: number;
  /** Spread sending over the round trip. */
  pacing?: boolean;
  /** Part of the data segments that are lost. */
  loss?: number;
  /** Part of the data segments that come an eighth of the round trip late. */
  reorder?: number;
}

export interface NetworkOptions {
  seed: string;
  /** Bits per second of the bottleneck. */
  rate: number;
  /** Bytes of its queue. */
  queueBytes: number;
  flows: FlowOptions[];
}

const CHUNK = new Uint8Array(256 * 1024);
const PORT = 5001;

/** A bulk transfer that never ends: the sender always has data. */
export class Flow {
  /** Payload bytes that the receiver has got in order. */
  received = 0;
  /** Longest time between two arrivals of data in order. */
  longestStallUs = 0;
  timeouts = 0;
  /** Timeouts although the segment sent again had not been lost. */
  spuriousTimeouts = 0;
  retransmissions = 0;
  /** Segments sent again although no copy of theirs had been lost. */
  needless = 0;
  /** The most often that one segment was lost. */
  worstLosses = 0;
  /**
   * Longest retransmission timeout without backoff, and longest smoothed round trip, that the
   * sender ever had.
   */
  rtoMaxUs = 0;
  srttMaxUs = 0;
  /** Called at each acknowledgement, for traces. */
  onTurn: ((conn: TcpConnection) => void) | null = null;
  readonly link: MemoryLink;
  readonly hosts: [StackHost, StackHost];
  /** When something is to be done next. */
  dueUs: number;
  #conn: TcpConnection | null = null;
  #lastDataUs = -1;
  #highest = -1;
  /** Sequence numbers whose last copy was lost, with the number of copies lost. */
  readonly #lost = new Map<number, number>();

  constructor(
    readonly network: Network,
    readonly index: number,
    readonly options: FlowOptions,
  ) {
    const { clock } = network;
    const { seed, rate, queueBytes } = network.options;
    const delayUs = (options.rttMs * 1000) / 2;
    const own = `${seed} flow ${index}`;
    // Twice what path and queue hold, so that the peer's window is never what limits.
    const most = Math.max(4 << 20, 3 * ((rate / 8) * (options.rttMs / 1000) + queueBytes));
    this.link = new MemoryLink({
      clock,
      random: new SeededRandom(own),
      offload: 'checksum',
      maxInFlight: 1 << 20,
      watch: (from, frame, fate) => {
        if (from === this.link.a) this.#watch(frame, fate);
      },
      forward: {
        bottleneck: network.bottleneck,
        delayUs,
        ...(options.loss === undefined ? {} : { loss: options.loss }),
        ...(options.reorder === undefined ? {} : { reorder: options.reorder, reorderUs: (options.rttMs * 1000) / 8 }),
      },
      backward: { delayUs },
    });
    const make = (n: 1 | 2): StackHost => {
      const stack = new Stack({
        clock,
        random: new SeededRandom(`${own} ${n}`),
        tcp: {
          congestion: options.congestion,
          receiveBuffer: Math.min(most, 1 << 29),
          pacing: options.pacing ?? false,
        },
      });
      const device = n === 1 ? this.link.a : this.link.b;
      stack.addInterface(device, { addresses: [`10.0.${index}.${n}/24`], mac: `02:00:00:00:0${index}:0${n}` });
      return new StackHost(stack, null);
    };
    this.hosts = [make(1), make(2)];
    this.dueUs = clock.now() + (options.startMs ?? 0) * 1000;
    this.#sendBuffer = most;
  }

  readonly #sendBuffer: number;
  #receiver: TcpConnection | null = null;

  /** Payload bytes that have come through the bottleneck, in order or not. */
  get arrived(): number {
    return this.received + (this.#receiver?.reassembly.bytes ?? 0);
  }

  /** The sender's connection; null before the flow has begun. */
  get conn(): TcpConnection | null {
    return this.#conn;
  }

  /** Does what is due. */
  run(): void {
    if (this.#conn === null) this.#begin();
    const { link, hosts } = this;
    do {
      link.run();
      for (const host of hosts) while (host.turn());
    } while (link.nextDeadline() <= this.network.clock.now());
    this.#account();
    this.dueUs = Math.max(
      this.network.clock.now() + 0.01,
      Math.min(link.nextDeadline(), hosts[0].stack.nextDeadline(), hosts[1].stack.nextDeadline()),
    );
  }

  #begin(): void {
    const { hosts, index } = this;
    hosts[1].listen({ port: PORT }, { onConnection: (endpoint) => this.#receive(endpoint) });
    const endpoint = hosts[0].connect({ address: `10.0.${index}.2`, port: PORT });
    if (!(endpoint instanceof AppEndpoint)) throw new TypeError('not a connection of this stack');
    this.#conn = endpoint.conn;
    let written = 0;
    const fill = (acked: number): void => {
      for (; written - acked < this.#sendBuffer; written += CHUNK.length) endpoint.write(CHUNK);
      endpoint.wantSpace(acked + CHUNK.length);
    };
    endpoint.events = { ...SILENT, onConnect: () => fill(0), onSpace: fill };
    endpoint.setReading(true);
  }

  #receive(endpoint: StreamEndpoint): void {
    const { clock } = this.network;
    const onData = (chunk: Buffer): void => {
      const now = clock.now();
      if (this.#lastDataUs >= 0) this.longestStallUs = Math.max(this.longestStallUs, now - this.#lastDataUs);
      this.#lastDataUs = now;
      this.received += chunk.length;
    };
    endpoint.events = { ...SILENT, onData };
    if (endpoint instanceof AppEndpoint) this.#receiver = endpoint.conn;
    endpoint.setReading(true);
  }

  #account(): void {
    const conn = this.#conn;
    if (conn === null) return;
    const { rtt } = conn;
    if (rtt.srttUs > 0) {
      const rto = rtt.rtoUs() / 2 ** Math.min(rtt.backoff, 12);
      if (rto > this.rtoMaxUs) this.rtoMaxUs = rto;
      if (rtt.srttUs > this.srttMaxUs) this.srttMaxUs = rtt.srttUs;
    }
    this.onTurn?.(conn);
  }

  /**
   * Follows the data segments on the wire: the simulator knows which were lost, the sender can only
   * guess.
   */
  #watch(frame: Uint8Array, fate: Fate): void {
    // Ethernet 14, IPv4 20 without options; no data, no interest.
    if (frame[12] !== 8 || frame[13] !== 0 || frame[23] !== 6) return;
    const conn = this.#conn;
    const header = 34 + (frame[46] >> 4) * 4;
    if (conn === null || frame.length <= header) return;
    const seq = ((frame[38] << 24) | (frame[39] << 16) | (frame[40] << 8) | frame[41]) >>> 0;
    const losses = this.#lost.get(seq);
    const { counters } = conn.tcp;
    // Retransmissions are those of sequence numbers below the highest; 32 bits are enough for 4 GB
    // per flow.
    const offset = (seq - conn.iss) >>> 0;
    const again = offset <= this.#highest;
    if (again) {
      this.retransmissions++;
      if (losses === undefined) this.needless++;
    } else this.#highest = offset;
    if (counters.rtoTimeouts > this.timeouts && again) {
      this.timeouts = counters.rtoTimeouts;
      if (losses === undefined) this.spuriousTimeouts++;
    }
    if (fate === 'sent') {
      if (losses !== undefined) this.#lost.delete(seq);
      return;
    }
    this.#lost.set(seq, (losses ?? 0) + 1);
    if ((losses ?? 0) + 1 > this.worstLosses) this.worstLosses = (losses ?? 0) + 1;
  }
}

const SILENT: StreamEvents = {
  onConnect: () => undefined,
  onData: () => undefined,
  onEnd: () => undefined,
  onSpace: () => undefined,
  onClose: () => undefined,
};

export class Network {
  readonly clock: ManualClock;
  readonly bottleneck: Bottleneck;
  readonly flows: Flow[];

  constructor(readonly options: NetworkOptions) {
    this.clock = new ManualClock(new SeededRandom(options.seed).u32());
    this.bottleneck = new Bottleneck(options.rate, options.queueBytes);
    this.flows = options.flows.map((flow, index) => new Flow(this, index, flow));
  }

  /**
   * Lets everything happen until the condition holds or the virtual time is over. @returns whether
   * the condition held.
   */
  run(until: () => boolean, limitUs: number): boolean {
    const { clock, flows } = this;
    const end = clock.now() + limitUs;
    for (;;) {
      let next = flows[0];
      for (const flow of flows) if (flow.dueUs < next.dueUs) next = flow;
      if (next.dueUs > end) {
        clock.advance(end - clock.now());
        return until();
      }
      clock.advance(next.dueUs - clock.now());
      next.run();
      if (until()) return true;
    }
  }
}
