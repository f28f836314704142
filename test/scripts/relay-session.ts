/**
 * A stack with one relay, for packet scripts: both of its ends are the script's peer. It speaks as
 * much of the control server's protocol (test/dut) as such scripts need.
 */
import { ManualClock, SeededRandom } from '../../lib/index.js';
import { mib, Stack, type TcpConnection, type TcpUser } from '../../stack/index.js';
import type { Deferred, Relay, RelayStart } from '../../stack/relay/relay.js';
import { pairs } from '../dut/arguments.js';
import { Backup } from '../dut/backup.js';
import { Wire } from '../dut/wire.js';

const ADDRESS = '10.0.0.1/24';
const PEER = '10.0.0.2';
const MTU = 1500;

interface Ports {
  listen: number;
  from: number;
  to: number;
  late: boolean;
}

/** A client whose server has not answered. */
class Waiting implements TcpUser, Deferred {
  queued = false;

  constructor(
    readonly stack: Stack,
    readonly client: TcpConnection,
    readonly server: TcpConnection,
  ) {
    client.user = this;
    server.user = this;
  }

  onProgress(): void {
    this.stack.relays.defer(this);
  }

  advance(): void {
    const { client, server, stack } = this;
    if (client.removed !== server.removed) stack.tcp.abort(client.removed ? server : client);
    else if (server.established && server.user === this) stack.relays.pair(client, server, { client: 1, server: 1 });
  }
}

/** One relay in virtual time. */
export class RelaySession {
  readonly #clock = new ManualClock(0);
  readonly #backup = new Backup();
  readonly #wire = new Wire(MTU, () => this.#clock.now());
  #stack = this.#makeStack();
  #ports: Ports | null = null;
  #emit = '';

  constructor(readonly answer: (line: string) => void) {}

  /** Handles one line. */
  line(text: string): void {
    const [id = '', verb = '', ...args] = text.split(' ');
    const ok = (...values: (string | number)[]): void => this.answer([id, 'ok', ...values].join(' '));
    switch (verb) {
      case 'relay':
        this.#ports = { listen: Number(args[0]), from: Number(args[1]), to: Number(args[2]), late: args[3] === 'late' };
        this.#listen();
        ok();
        break;
      case 'inject':
        this.#stack.poll();
        this.#wire.inject(Buffer.from(args[0] ?? '', 'hex'));
        ok();
        break;
      case 'advance':
        this.#advance(Number(args[0]));
        ok();
        break;
      case 'emit':
        this.#emit = id;
        break;
      case 'stats':
        ok(...pairs(mib(this.#stack)), `relays=${this.#stack.relays.counters.relays}`);
        break;
      case 'takeover':
        this.#takeOver();
        ok();
        break;
      case 'close':
        this.#abortAll();
        ok();
        break;
      case 'config':
      case 'setopt':
        ok();
        break;
      default:
        this.answer(`${id} err EINVAL`);
    }
    this.#settle();
  }

  #abortAll(): void {
    const all: TcpConnection[] = [];
    this.#stack.tcp.table.forEach((conn) => {
      all.push(conn);
    });
    for (const conn of all) this.#stack.tcp.abort(conn);
  }

  #makeStack(): Stack {
    const secret = new Uint8Array(16).fill(7);
    const stack = new Stack({ clock: this.#clock, random: new SeededRandom('relay'), secret });
    stack.addInterface(this.#wire, { name: 'relay', addresses: [ADDRESS] });
    return stack;
  }

  #listen(): void {
    const { listen, late } = this.#ports!;
    const begin = (conn: TcpConnection): void => this.#begin(conn);
    this.#stack.tcp.listen(0, listen, 16, begin, late ? { onSyn: begin } : {});
  }

  #begin(client: TcpConnection): void {
    if (client.user !== null) return;
    const { from, to } = this.#ports!;
    const stack = this.#stack;
    new Waiting(stack, client, stack.tcp.connect(stack.book.parse(PEER)!, to, 0, from));
  }

  #advance(us: number): void {
    const end = this.#clock.now() + us;
    for (let next = this.#stack.nextDeadline(); next <= end; next = this.#stack.nextDeadline()) {
      this.#clock.advance(Math.max(0, next - this.#clock.now()));
      this.#stack.poll();
      this.#settle();
    }
    this.#clock.advance(end - this.#clock.now());
    this.#stack.poll();
  }

  #settle(): void {
    this.#stack.flush();
    this.#backup.commit(this.#stack);
    for (let next = this.#wire.sent[0]; next !== undefined && this.#emit !== ''; next = this.#wire.sent[0]) {
      const id = this.#emit;
      this.#emit = '';
      this.#wire.sent.shift();
      this.answer(`${id} ok ${Math.round(next.atUs)} ${next.packet.toString('hex')}`);
    }
  }

  /** Another stack continues from the checkpoints of the connections, and their pairs. */
  #takeOver(): void {
    const old = this.#stack;
    const pairs: { client: number; server: number; start: RelayStart | null }[] = [];
    old.relays.forEach((relay: Relay) => {
      const { client, server } = relay;
      pairs.push({ client: client.id, server: server.id, start: { client: unread(client), server: unread(server) } });
    });
    old.tcp.table.forEach(({ user }) => {
      if (user instanceof Waiting && !pairs.some(({ client }) => client === user.client.id))
        pairs.push({ client: user.client.id, server: user.server.id, start: null });
    });
    this.#stack = this.#makeStack();
    if (this.#ports !== null) this.#listen();
    const made = this.#backup.takeOver(this.#stack);
    for (const { client, server, start } of pairs) {
      const [ours, theirs] = [made.get(client), made.get(server)];
      // The other one has ended: what is left is delivered.
      if (ours === undefined || theirs === undefined) continue;
      if (start === null) new Waiting(this.#stack, ours, theirs);
      else this.#stack.relays.pair(ours, theirs, start);
    }
  }
}

/** The first byte that the relay has not passed on. */
function unread(conn: TcpConnection): number {
  return conn.rcvNxt - (conn.peerFin ? 1 : 0) - conn.receiveQueue.bytes;
}
