/**
 * Datagrams: a program that adds up the numbers of each client, and its clients. A repeated request
 * gets the same answer.
 */

import type { Replica } from '../../failover/replica/replica.js';
import { ReplayedDgram } from '../../failover/runtime/sources/dgram.js';
import type { StackHost } from '../../stack/stack-host.js';
import type { UdpSocket } from '../../stack/udp.js';
import { Client } from './clients.js';
import { PORT } from './programs.js';

/** The program. */
export function adding(replica: Replica): void {
  const sessions = new Map<string, { last: number; sum: number }>();
  const socket = new ReplayedDgram(replica, 'udp4');
  socket.on('message', (message, { address, port }) => {
    const [name, text] = message.toString().split(' ') as [string, string];
    const session = sessions.get(name) ?? { last: 0, sum: 0 };
    sessions.set(name, session);
    const n = Number(text);
    if (n === session.last + 1) {
      session.last = n;
      session.sum += n;
    }
    const answer = (): void => socket.send(`${name} ${n} ${session.sum}`, port, address);
    // A timer is an event of its own, and others may come in between.
    if (n % 3 === 0) replica.timers.set(2, answer);
    else answer();
  });
  socket.bind(PORT);
}

/** A client: sends 1 to `count`, repeats what is not answered, and checks the sums. */
export class Adder extends Client {
  #udp: UdpSocket | null = null;
  #n = 0;
  #askedUs = 0;
  #address = 0;

  constructor(
    host: StackHost,
    readonly number: number,
    readonly count: number,
  ) {
    super(host);
  }

  override open(address: string): this {
    const { stack } = this.host;
    this.#address = stack.book.parse(address)!;
    this.#udp = stack.udp.bind(stack.book.parse('0.0.0.0')!, 5000 + this.number, {
      onMessage: (payload) => this.take(payload),
    });
    this.start();
    return this;
  }

  start(): void {
    this.#n++;
    this.#askedUs = this.now;
    this.#ask(this.#n);
  }

  #ask(n: number): void {
    if (this.done || n !== this.#n) return;
    this.#udp!.send(Buffer.from(`${this.number} ${n}`), this.#address, PORT);
    this.later(200, () => this.#ask(n));
  }

  take(chunk: Buffer): void {
    const [name, n, sum] = chunk.toString().split(' ').map(Number);
    this.seen.received += chunk.length;
    if (this.done || n !== this.#n) return;
    if (name !== this.number || sum !== (n * (n + 1)) / 2) this.fail(`${chunk} is no answer to ${this.#n}`);
    this.longestGapUs = Math.max(this.longestGapUs, this.now - this.#askedUs);
    if (this.#n < this.count) {
      this.later(3, () => this.start());
      return;
    }
    this.done = true;
    this.#udp!.close();
  }
}
