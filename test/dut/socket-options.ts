/** setsockopt and getsockopt by Linux's names and units. */
import { CONGESTION, whole } from './settings.js';
import { posix, type Socket, TcpSocket } from './sockets.js';

interface Option {
  set?(socket: Socket, values: string[]): void;
  get(socket: Socket): string;
  tcp?: boolean;
}

const flag = (values: string[]): boolean => whole(values[0], 0, 2 ** 31 - 1) !== 0;
const bit = (on: boolean): string => (on ? '1' : '0');
const SECOND = 1e6;

function connected(socket: Socket): TcpSocket['conn'] {
  return socket instanceof TcpSocket ? socket.conn : null;
}

const OPTIONS: Record<string, Option> = {
  TCP_NODELAY: {
    tcp: true,
    set: (s, v) => void (s.options.noDelay = flag(v)),
    get: (s) => bit(s.options.noDelay),
  },
  TCP_CORK: { tcp: true, set: (s, v) => void (s.options.cork = flag(v)), get: (s) => bit(s.options.cork) },
  TCP_MAXSEG: {
    tcp: true,
    set: (s, v) => {
      const most = whole(v[0], 88, 32_767);
      s.options.maxSegment = most;
      const conn = connected(s);
      if (conn !== null && !conn.removed) conn.sndMss = Math.min(conn.sndMss, most);
    },
    get: (s) => {
      const conn = connected(s);
      return String(conn !== null ? conn.sndMss : s.options.maxSegment > 0 ? s.options.maxSegment : 536);
    },
  },
  TCP_USER_TIMEOUT: {
    tcp: true,
    set: (s, v) => void (s.options.userTimeoutUs = whole(v[0], 0, 2 ** 31 - 1) * 1000),
    get: (s) => String(s.options.userTimeoutUs / 1000),
  },
  TCP_KEEPIDLE: {
    tcp: true,
    set: (s, v) => void (s.options.keepAliveUs = whole(v[0], 1, 32_767) * SECOND),
    get: (s) => String(s.options.keepAliveUs / SECOND),
  },
  TCP_KEEPINTVL: {
    tcp: true,
    set: (s, v) => void (s.options.keepAliveIntervalUs = whole(v[0], 1, 32_767) * SECOND),
    get: (s) => String(s.options.keepAliveIntervalUs / SECOND),
  },
  TCP_KEEPCNT: {
    tcp: true,
    set: (s, v) => void (s.options.keepAliveCount = whole(v[0], 1, 127)),
    get: (s) => String(s.options.keepAliveCount),
  },
  TCP_SYNCNT: {
    tcp: true,
    set: (s, v) => void (s.options.synRetries = whole(v[0], 1, 255)),
    get: (s) => String(s.options.synRetries > 0 ? s.options.synRetries : s.stack.tcp.options.synRetries),
  },
  TCP_LINGER2: {
    tcp: true,
    set: (s, v) => void (s.options.finWait2Us = whole(v[0], 1, 86_400) * SECOND),
    get: (s) => String((s.options.finWait2Us || s.stack.tcp.options.finWait2Us) / SECOND),
  },
  TCP_CONGESTION: {
    tcp: true,
    set: (s, v) => {
      const name = v[0] ?? '';
      if (!Object.hasOwn(CONGESTION, name)) throw posix('ENOENT');
      s.options.congestion = name;
      const conn = connected(s);
      if (conn === null || conn.removed) return;
      const { cwnd, ssthresh } = conn.cc;
      conn.congestion = CONGESTION[name];
      conn.cc = conn.congestion(conn.sndMss);
      conn.cc.cwnd = cwnd;
      conn.cc.ssthresh = ssthresh;
    },
    get: (s) => {
      const name = connected(s)?.cc.name ?? s.options.congestion;
      if (name === '') return s.stack.tcp.options.congestion(1460).name === 'newreno' ? 'reno' : 'cubic';
      return name === 'newreno' ? 'reno' : name;
    },
  },
  TCP_FASTOPEN: {
    tcp: true,
    set: (s, v) => {
      s.options.fastOpen = whole(v[0], 0, 65_535);
      if (s instanceof TcpSocket && s.listener !== null) s.listener.fastOpen = s.options.fastOpen;
    },
    get: (s) => String(s.options.fastOpen),
  },
  TCP_FASTOPEN_CONNECT: {
    tcp: true,
    set: (s, v) => void (s.options.fastOpenConnect = flag(v)),
    get: (s) => bit(s.options.fastOpenConnect),
  },
  SO_RCVBUF: {
    set: (s, v) => {
      const size = whole(v[0], 1, 2 ** 30);
      s.options.receiveBuffer = Math.max(1152, size);
      const conn = connected(s);
      if (conn !== null) {
        conn.receiveMax = Math.min(s.options.receiveBuffer, 65_535 * 2 ** conn.rcvScale);
        conn.receiveLimit = conn.receiveMax;
      }
    },
    get: (s) => String(s.options.receiveBuffer),
  },
  SO_SNDBUF: {
    set: (s, v) => void (s.options.sendBuffer = Math.max(2304, whole(v[0], 1, 2 ** 30))),
    get: (s) => String(s.options.sendBuffer),
  },
  SO_LINGER: {
    set: (s, v) => {
      const on = whole(v[0], 0, 2 ** 31 - 1) !== 0;
      s.options.linger = { on, seconds: v[1] === undefined ? 0 : whole(v[1], 0, 2 ** 31 - 1) };
    },
    get: (s) => `${bit(s.options.linger.on)} ${s.options.linger.seconds}`,
  },
  SO_KEEPALIVE: {
    set: (s, v) => void (s.options.keepAlive = flag(v)),
    get: (s) => bit(s.options.keepAlive),
  },
  SO_REUSEADDR: { set: (s, v) => void (s.options.reuse = flag(v)), get: (s) => bit(s.options.reuse) },
  IPV6_V6ONLY: { set: (s, v) => void (s.options.only6 = flag(v)), get: (s) => bit(s.options.only6) },
  SO_ERROR: { get: (s) => s.takeError() ?? '0' },
  SO_TYPE: { get: (s) => (s.kind === 'tcp' ? '1' : '2') },
  SO_DOMAIN: { get: (s) => (s.family === 4 ? '2' : '10') },
  SO_PROTOCOL: { get: (s) => (s.kind === 'tcp' ? '6' : '17') },
  SO_ACCEPTCONN: { get: (s) => bit(s instanceof TcpSocket && s.listener !== null) },
  IP_TTL: { set: (s, v) => void (s.options.ttl = whole(v[0], 1, 255)), get: (s) => String(s.options.ttl || 64) },
  IPV6_UNICAST_HOPS: {
    set: (s, v) => void (s.options.ttl = whole(v[0], 1, 255)),
    get: (s) => String(s.options.ttl || 64),
  },
  IP_TOS: { set: (s, v) => void (s.options.tos = whole(v[0], 0, 255)), get: (s) => String(s.options.tos) },
  IPV6_TCLASS: { set: (s, v) => void (s.options.tos = whole(v[0], 0, 255)), get: (s) => String(s.options.tos) },
  IP_MTU: { get: (s) => mtu(s) },
  IPV6_MTU: { get: (s) => mtu(s) },
};

function mtu(socket: Socket): string {
  if (socket.remote === null) throw posix('ENOTCONN');
  return String(socket.stack.mtuFor(socket.remote.address));
}

function find(socket: Socket, name: string): Option {
  const option = Object.hasOwn(OPTIONS, name) ? OPTIONS[name] : undefined;
  if (option === undefined || (option.tcp === true && socket.kind !== 'tcp')) throw posix('ENOPROTOOPT');
  return option;
}

/** @throws FtError ENOPROTOOPT, EINVAL */
export function setOption(socket: Socket, name: string, values: string[]): void {
  const option = find(socket, name);
  if (option.set === undefined) throw posix('ENOPROTOOPT');
  option.set(socket, values);
  if (socket instanceof TcpSocket) socket.apply();
}

/** @throws FtError ENOPROTOOPT */
export function getOption(socket: Socket, name: string): string {
  return find(socket, name).get(socket);
}
