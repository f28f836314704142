/**
 * One connection of the control server: a new stack, a clock that stands still, and the commands.
 * A call that cannot be answered yet waits. After each event the oldest ones are tried first.
 */
import { errorCode, ManualClock, SeededRandom } from '../../lib/index.js';
import { LINUX_LISTEN, mib, Stack, tcpInfo } from '../../stack/index.js';
import { ARGUMENTS, hex, MAX_BYTES, need, pairs, parseName, text } from './arguments.js';
import { Backup } from './backup.js';
import { bad, CONGESTION, configure, defaultSettings, whole } from './settings.js';
import { getOption, setOption } from './socket-options.js';
import { formatFor, type Name, Options, posix, type Socket, TcpSocket, UdpEndpoint } from './sockets.js';
import { Wire } from './wire.js';

const MAX_SOCKETS = 4096;
const MAX_WAITING_CALLS = 4096;

/** Why a call waits: called again until it gives an answer. */
type Attempt = () => string | undefined;

interface Waiting {
  id: string;
  attempt: Attempt;
  /** When the call gives up by itself, with this answer. */
  deadlineUs: number;
  late: string;
}

const NEVER = Number.POSITIVE_INFINITY;

export class Session {
  readonly #settings = defaultSettings();
  readonly #clock = new ManualClock(0);
  readonly #sockets = new Map<number, Socket>();
  /** Closed, and still waiting for acknowledgements. */
  readonly #lingering = new Set<Socket>();
  #stack: Stack | null = null;
  #wire: Wire | null = null;
  #waiting: Waiting[] = [];
  #nextFd = 3;
  #backup: Backup | null = null;

  constructor(readonly answer: (line: string) => void) {}

  /** Handles one line. */
  line(text: string): void {
    const [id, verb, ...args] = text.split(' ');
    if (id === undefined || !/^\d{1,15}$/.test(id)) {
      this.answer('0 err EINVAL');
      return;
    }
    try {
      if (verb === undefined || args.includes('')) throw bad('malformed line');
      this.#call(id, verb, args);
    } catch (error) {
      this.answer(`${id} err ${errorCode(error) ?? 'EINVAL'}`);
    }
    this.#settle();
  }

  // --- Driving ---

  get #live(): { stack: Stack; wire: Wire } {
    if (this.#stack === null || this.#wire === null) {
      this.#wire = new Wire(this.#settings.mtu, () => this.#clock.now());
      this.#stack = this.#makeStack(this.#wire);
      this.#backup = this.#settings.backup ? new Backup() : null;
    }
    return { stack: this.#stack, wire: this.#wire };
  }

  #makeStack(wire: Wire): Stack {
    const { seed, tcp, forwarding, addresses, gateways } = this.#settings;
    const random = new SeededRandom(seed);
    // Replicas share the key of initial sequence numbers.
    const secret = new Uint8Array(16);
    random.fill(secret);
    const stack = new Stack({ clock: this.#clock, random, secret, tcp, forwarding });
    stack.addInterface(wire, { name: 'dut', addresses, gateway: gateways });
    return stack;
  }

  /** The primary is gone: all that its backup has goes into a new stack; descriptors stay. */
  #takeOver(): void {
    const { wire } = this.#live;
    const backup = this.#backup;
    if (backup === null) throw posix('EOPNOTSUPP');
    const stack = this.#makeStack(wire);
    const sockets = [...this.#sockets.values(), ...this.#lingering];
    for (const socket of sockets) {
      socket.move(stack);
      if (socket instanceof TcpSocket && socket.listener !== null) {
        const { backlog } = socket.listener;
        socket.listener = null;
        this.#listen(socket, backlog);
      }
    }
    const made = backup.takeOver(stack);
    for (const socket of sockets) {
      if (!(socket instanceof TcpSocket)) continue;
      // One that ended before it was accepted is known here only.
      const waiting = socket.acceptable.map((conn) => made.get(conn.id) ?? conn);
      socket.acceptable.splice(0, waiting.length, ...waiting.filter((conn) => conn.removed || made.has(conn.id)));
      const conn = socket.conn === null ? undefined : made.get(socket.conn.id);
      if (conn === undefined) continue;
      socket.conn = conn;
      conn.user = socket;
      if (socket.options.congestion !== '') conn.congestion = CONGESTION[socket.options.congestion];
    }
    this.#stack = stack;
  }

  /** Sends what is to be sent and answers what can be answered, until nothing changes any more. */
  #settle(): void {
    const stack = this.#stack;
    if (stack === null) return;
    stack.flush();
    for (let again = true; again; ) {
      again = false;
      // Nothing is given out that the backup does not know of.
      this.#backup?.commit(stack);
      for (const call of [...this.#waiting]) {
        if (!this.#waiting.includes(call)) continue;
        const reply = this.#try(call);
        if (reply === undefined) continue;
        this.#waiting.splice(this.#waiting.indexOf(call), 1);
        this.answer(`${call.id} ${reply}`);
        again = true;
      }
      stack.flush();
    }
    this.#backup?.commit(stack);
  }

  #try(call: Waiting): string | undefined {
    try {
      return call.attempt() ?? (this.#clock.now() >= call.deadlineUs ? call.late : undefined);
    } catch (error) {
      return `err ${errorCode(error) ?? 'EINVAL'}`;
    }
  }

  /** Answers at once or when it can be. */
  #wait(id: string, attempt: Attempt, nonblocking: boolean, deadlineUs = NEVER, late = ''): void {
    const reply = attempt();
    if (reply !== undefined) this.answer(`${id} ${reply}`);
    else if (nonblocking) throw posix('EAGAIN');
    else if (this.#waiting.length >= MAX_WAITING_CALLS) throw posix('ENOBUFS');
    else this.#waiting.push({ id, attempt, deadlineUs, late });
  }

  /** Lets time pass; what is due on the way happens at its own time. */
  #advance(us: number): void {
    const { stack } = this.#live;
    const end = this.#clock.now() + us;
    for (;;) {
      const calls = Math.min(NEVER, ...this.#waiting.map((call) => call.deadlineUs));
      const next = Math.min(stack.nextDeadline(), calls);
      if (next > end) break;
      this.#clock.advance(next - this.#clock.now());
      stack.poll();
      this.#settle();
    }
    this.#clock.advance(end - this.#clock.now());
    stack.poll();
  }

  // --- Verbs ---

  #call(id: string, verb: string, args: string[]): void {
    const ok = (...values: (string | number)[]): void => this.answer([id, 'ok', ...values].join(' '));
    if (verb === 'config') {
      if (this.#stack !== null) throw bad('config comes before everything else');
      configure(this.#settings, need(args, 0), args.slice(1));
      ok();
      return;
    }
    if (!Object.hasOwn(ARGUMENTS, verb)) throw bad(`unknown verb ${verb}`);
    const [least, most] = ARGUMENTS[verb];
    if (args.length < least || args.length > most) throw bad('wrong number of arguments');
    switch (verb) {
      case 'now':
        void this.#live;
        ok(Math.round(this.#clock.now()));
        return;
      case 'advance':
        this.#advance(whole(args[0], 0, Number.MAX_SAFE_INTEGER));
        ok(Math.round(this.#clock.now()));
        return;
      case 'inject': {
        const packet = hex(need(args, 0));
        this.#live.stack.poll();
        this.#live.wire.inject(packet);
        ok();
        return;
      }
      case 'emit':
        this.#wait(id, () => this.#emitted(), false);
        return;
      case 'stats':
        ok(...pairs(mib(this.#live.stack)));
        return;
      case 'takeover':
        this.#takeOver();
        ok();
        return;
      case 'socket':
        ok(this.#open(need(args, 0), need(args, 1)));
        return;
      default:
        this.#socketCall(id, verb, args, ok);
    }
  }

  #emitted(): string | undefined {
    const next = this.#live.wire.sent.shift();
    return next === undefined ? undefined : `ok ${Math.round(next.atUs)} ${next.packet.toString('hex')}`;
  }

  #open(kind: string, family: string): number {
    if ((kind !== 'tcp' && kind !== 'udp') || (family !== '4' && family !== '6')) throw bad('socket tcp|udp 4|6');
    if (this.#sockets.size >= MAX_SOCKETS) throw posix('EMFILE');
    const { stack } = this.#live;
    const fd = this.#nextFd++;
    const options = new Options(this.#settings);
    const six = family === '6' ? 6 : 4;
    this.#sockets.set(
      fd,
      kind === 'tcp' ? new TcpSocket(fd, six, stack, options) : new UdpEndpoint(fd, six, stack, options),
    );
    return fd;
  }

  #socketCall(id: string, verb: string, args: string[], ok: (...values: (string | number)[]) => void): void {
    const text = need(args, 0);
    if (!/^\d{1,9}$/.test(text)) throw bad('a descriptor is a number');
    const socket = this.#sockets.get(Number(text));
    if (socket === undefined) throw posix('EBADF');
    const tcp = (): TcpSocket => {
      if (!(socket instanceof TcpSocket)) throw posix('EOPNOTSUPP');
      return socket;
    };
    switch (verb) {
      case 'bind':
        this.#bind(socket, parseName(socket, args[1], args[2]));
        ok();
        return;
      case 'listen':
        this.#listen(tcp(), whole(args[1], 0, 65_535));
        ok();
        return;
      case 'accept':
        this.#accept(id, tcp());
        return;
      case 'connect':
        this.#connect(id, socket, parseName(socket, args[1], args[2]));
        return;
      case 'send':
        this.#send(id, socket, hex(need(args, 1)), (args[2] ?? '').split(','));
        return;
      case 'sendto': {
        const payload = hex(need(args, 3));
        if (!(socket instanceof UdpEndpoint)) throw posix('EISCONN');
        ok(socket.sendTo(parseName(socket, args[1], args[2]), payload));
        return;
      }
      case 'recv':
        this.#recv(id, socket, whole(args[1], 0, MAX_BYTES));
        return;
      case 'recvfrom':
        this.#recvFrom(id, socket, whole(args[1], 0, MAX_BYTES));
        return;
      case 'shutdown': {
        const how = need(args, 1);
        if (how !== 'rd' && how !== 'wr' && how !== 'rdwr') throw bad('rd, wr or rdwr');
        tcp().shutdown(how);
        ok();
        return;
      }
      case 'close':
        this.#close(id, socket);
        return;
      case 'nonblock':
        socket.nonblocking = whole(args[1], 0, 1) === 1;
        ok();
        return;
      case 'setopt':
        if (args.length < 3) throw bad('a value is missing');
        setOption(socket, need(args, 1), args.slice(2));
        ok();
        return;
      case 'getopt':
        ok(getOption(socket, need(args, 1)));
        return;
      case 'poll':
        ok(socket.letters);
        return;
      default:
        this.#info(tcp(), ok);
    }
  }

  #bind(socket: Socket, name: Name): void {
    if (socket.local !== null) throw posix('EINVAL');
    const { stack } = socket;
    if (socket instanceof UdpEndpoint) {
      socket.bind(name);
      return;
    }
    const any = stack.book.isUnspecified(name.address);
    if (!any && !stack.isLocal(name.address)) throw posix('EADDRNOTAVAIL');
    const taken = [...this.#sockets.values()].some((other) => {
      if (other === socket || other.kind !== 'tcp' || other.local?.port !== name.port || name.port === 0) return false;
      // As on Linux, SO_REUSEADDR lets a port be shared as long as nobody listens on it.
      if (other.options.reuse && socket.options.reuse && (other as TcpSocket).listener === null) return false;
      return any || stack.book.isUnspecified(other.local.address) || other.local.address === name.address;
    });
    if (taken) throw posix('EADDRINUSE');
    socket.local = name;
  }

  #listen(socket: TcpSocket, backlog: number): void {
    if (socket.conn !== null) throw posix('EINVAL');
    if (socket.listener !== null) return;
    const { stack, options } = socket;
    const { address, port } = socket.local ?? { address: socket.any, port: 0 };
    const listener = stack.tcp.listen(address, port, Math.max(1, backlog), (conn) => socket.acceptable.push(conn), {
      ...socket.settings(CONGESTION[options.congestion]),
      only6: options.only6,
    });
    listener.waiting = () => socket.acceptable.length;
    listener.fastOpen = options.fastOpen;
    socket.listener = listener;
    socket.local = { address, port: listener.port };
  }

  #accept(id: string, socket: TcpSocket): void {
    if (socket.listener === null) throw posix('EINVAL');
    this.#wait(
      id,
      () => {
        if (socket.listener?.closed === true) throw posix('EBADF');
        const conn = socket.acceptable.shift();
        if (conn === undefined) return undefined;
        const fd = this.#nextFd++;
        const made = new TcpSocket(fd, socket.family, socket.stack, socket.options.copy());
        this.#sockets.set(fd, made);
        made.attach(conn);
        made.onProgress(conn);
        return `ok ${fd} ${formatFor(socket.stack, socket.family, conn.remoteAddress)} ${conn.remotePort}`;
      },
      socket.nonblocking,
    );
  }

  #connect(id: string, socket: Socket, name: Name): void {
    if (name.port === 0 && socket.kind === 'tcp') throw posix('EADDRNOTAVAIL');
    if (socket instanceof UdpEndpoint) {
      if (socket.socket === null) socket.bind({ address: socket.any, port: 0 });
      socket.remote = name;
      this.answer(`${id} ok`);
      return;
    }
    if (!(socket instanceof TcpSocket)) throw posix('EOPNOTSUPP');
    if (socket.listener !== null) throw posix('EISCONN');
    if (socket.conn !== null) throw posix(socket.connecting ? 'EALREADY' : 'EISCONN');
    if (socket.deferred !== null) throw posix('EALREADY');
    if (socket.options.fastOpenConnect) {
      // The first data opens it.
      socket.deferred = name;
      this.answer(`${id} ok`);
      return;
    }
    this.#dial(socket, name);
    if (socket.nonblocking) throw posix('EINPROGRESS');
    this.#wait(id, () => this.#dialled(socket), false);
  }

  #dialled(socket: TcpSocket): string | undefined {
    if (!this.#sockets.has(socket.fd)) throw posix('EBADF');
    if (socket.connecting) return undefined;
    const error = socket.takeError();
    if (error === null) return 'ok';
    // It may be tried again.
    socket.conn = null;
    socket.told = false;
    throw posix(error);
  }

  /** Begins to connect; with data, if it is to go with the SYN. */
  #dial(socket: TcpSocket, name: Name, data?: Buffer): void {
    const { stack, local, options } = socket;
    const from = local === null || stack.book.isUnspecified(local.address) ? 0 : local.address;
    const settings = {
      ...socket.settings(CONGESTION[options.congestion]),
      ...(data === undefined ? {} : { fastOpenData: data }),
    };
    const conn = stack.tcp.connect(name.address, name.port, from, local?.port ?? 0, settings);
    socket.connecting = true;
    socket.attach(conn);
  }

  #send(id: string, socket: Socket, bytes: Buffer, flags: string[]): void {
    if (socket instanceof UdpEndpoint) {
      if (socket.remote === null) throw posix('EDESTADDRREQ');
      this.answer(`${id} ok ${socket.sendTo(socket.remote, bytes)}`);
      return;
    }
    if (!(socket instanceof TcpSocket)) throw posix('EOPNOTSUPP');
    for (const flag of flags)
      if (!['', 'more', 'oob', 'nosignal', 'dontwait'].includes(flag)) throw bad(`unknown flag ${flag}`);
    if (socket.deferred !== null) {
      const name = socket.deferred;
      socket.deferred = null;
      this.#dial(socket, name, Buffer.from(bytes));
      this.answer(`${id} ok ${bytes.length}`);
      return;
    }
    let sent = 0;
    const nonblocking = socket.nonblocking || flags.includes('dontwait');
    this.#wait(
      id,
      () => {
        if (!this.#sockets.has(socket.fd)) throw posix('EBADF');
        // What was taken before an error counts; the error is the next call's.
        let n: number;
        try {
          n = socket.send(bytes.subarray(sent), flags);
        } catch (error) {
          if (sent === 0) throw error;
          return `ok ${sent}`;
        }
        if (n > 0) sent += n;
        if (n < 0 || sent === bytes.length) return `ok ${sent}`;
        return nonblocking && sent > 0 ? `ok ${sent}` : undefined;
      },
      nonblocking,
    );
  }

  #recv(id: string, socket: Socket, most: number): void {
    const attempt = (): string | undefined => {
      if (!this.#sockets.has(socket.fd)) throw posix('EBADF');
      if (socket instanceof UdpEndpoint) {
        const error = socket.takeError();
        if (error !== null) throw posix(error);
        const next = socket.queue.shift();
        return next === undefined ? undefined : `ok ${text(next.payload.subarray(0, most))}`;
      }
      const bytes = socket instanceof TcpSocket ? socket.recv(most) : undefined;
      return bytes === undefined ? undefined : `ok ${text(bytes)}`;
    };
    this.#wait(id, attempt, socket.nonblocking);
  }

  #recvFrom(id: string, socket: Socket, most: number): void {
    const attempt = (): string | undefined => {
      if (!this.#sockets.has(socket.fd)) throw posix('EBADF');
      if (socket instanceof UdpEndpoint) {
        const error = socket.takeError();
        if (error !== null) throw posix(error);
        const next = socket.queue.shift();
        if (next === undefined) return undefined;
        return `ok ${next.from} ${next.port} ${text(next.payload.subarray(0, most))}`;
      }
      if (!(socket instanceof TcpSocket)) throw posix('EOPNOTSUPP');
      const bytes = socket.recv(most);
      if (bytes === undefined || socket.remote === null) return undefined;
      const { address, port } = socket.remote;
      return `ok ${formatFor(socket.stack, socket.family, address)} ${port} ${text(bytes)}`;
    };
    this.#wait(id, attempt, socket.nonblocking);
  }

  #close(id: string, socket: Socket): void {
    this.#sockets.delete(socket.fd);
    if (socket instanceof UdpEndpoint) socket.socket?.close();
    if (!(socket instanceof TcpSocket) || !socket.close() || socket.nonblocking) {
      this.answer(`${id} ok`);
      return;
    }
    const deadline = this.#clock.now() + socket.options.linger.seconds * 1e6;
    this.#lingering.add(socket);
    const done = (): string | undefined => {
      const { conn } = socket;
      if (conn !== null && !conn.removed && conn.sndUna < conn.sndLimit && this.#clock.now() < deadline)
        return undefined;
      this.#lingering.delete(socket);
      return 'ok';
    };
    this.#wait(id, done, false, deadline, 'ok');
  }

  #info(socket: TcpSocket, ok: (...values: (string | number)[]) => void): void {
    const { conn, listener } = socket;
    if (conn !== null) ok(...pairs(tcpInfo(conn)));
    else if (listener !== null) {
      ok(...pairs({ tcpi_state: LINUX_LISTEN, tcpi_unacked: socket.acceptable.length, tcpi_sacked: listener.backlog }));
    } else ok('tcpi_state=7');
  }
}
