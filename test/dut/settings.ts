/** `config`: addresses, seed, MTU, and Linux's sysctls as options of the stack. */
import { FtError, parseCidr4, parseCidr6, parseIPv4, parseIPv6 } from '../../lib/index.js';
import { type CongestionFactory, Cubic, NewReno, TCP_DEFAULTS, type TcpOptions } from '../../stack/index.js';

export interface Settings {
  addresses: string[];
  gateways: string[];
  mtu: number;
  seed: string;
  forwarding: boolean;
  tcp: TcpOptions;
  /** Socket defaults. */
  sendBuffer: number;
  keepAliveUs: number;
  keepAliveIntervalUs: number;
  keepAliveCount: number;
  backup: boolean;
}

export function defaultSettings(): Settings {
  return {
    addresses: [],
    gateways: [],
    mtu: 1500,
    seed: '1',
    forwarding: false,
    tcp: { ...TCP_DEFAULTS },
    sendBuffer: 1024 * 1024,
    keepAliveUs: 7200e6,
    keepAliveIntervalUs: 75e6,
    keepAliveCount: 9,
    backup: false,
  };
}

export const CONGESTION: Record<string, CongestionFactory> = {
  cubic: (mss) => new Cubic(mss),
  reno: (mss) => new NewReno(mss),
  newreno: (mss) => new NewReno(mss),
};

export function bad(why: string): FtError {
  return new FtError('EINVAL', why, 'See the protocol');
}

/** A whole number in a range. @throws FtError EINVAL */
export function whole(text: string | undefined, least: number, most: number): number {
  if (text === undefined || !/^\d{1,15}$/.test(text)) throw bad(`"${text}" is not a number`);
  const value = Number(text);
  if (value < least || value > most) throw bad(`${value} is not from ${least} to ${most}`);
  return value;
}

const flag = (text: string): boolean => whole(text, 0, 1) === 1;
/** The last of "min default max", or the only one. */
const buffer = (values: string[]): number => whole(values.length === 3 ? values[1] : values[0], 1024, 2 ** 30);

const SYSCTLS: Record<string, (settings: Settings, value: string, all: string[]) => void> = {
  tcp_sack: (s, v) => void (s.tcp.sack = flag(v)),
  tcp_timestamps: (s, v) => void (s.tcp.timestamps = whole(v, 0, 2) > 0),
  tcp_window_scaling: (s, v) => void (s.tcp.windowScaling = flag(v)),
  tcp_ecn: (s, v) => void (s.tcp.ecn = (['off', 'ask', 'accept', 'accurate'] as const)[whole(v, 0, 3)]),
  tcp_syn_retries: (s, v) => void (s.tcp.synRetries = whole(v, 1, 127)),
  tcp_synack_retries: (s, v) => void (s.tcp.synAckRetries = whole(v, 0, 255)),
  tcp_retries2: (s, v) => void (s.tcp.dataRetries = whole(v, 1, 255)),
  tcp_fin_timeout: (s, v) => void (s.tcp.finWait2Us = whole(v, 1, 86_400) * 1e6),
  tcp_keepalive_time: (s, v) => void (s.keepAliveUs = whole(v, 1, 32_767) * 1e6),
  tcp_keepalive_intvl: (s, v) => void (s.keepAliveIntervalUs = whole(v, 1, 32_767) * 1e6),
  tcp_keepalive_probes: (s, v) => void (s.keepAliveCount = whole(v, 1, 127)),
  tcp_rmem: (s, _v, all) => void (s.tcp.receiveBuffer = buffer(all)),
  tcp_wmem: (s, _v, all) => void (s.sendBuffer = buffer(all)),
  tcp_syncookies: (s, v) => void (s.tcp.synCookies = whole(v, 0, 2) > 0),
  tcp_max_tw_buckets: (s, v) => void (s.tcp.maxTimeWait = whole(v, 0, 1e6)),
  tcp_challenge_ack_limit: (s, v) => void (s.tcp.challengeAcksPerSecond = whole(v, 0, 2 ** 31 - 1)),
  tcp_slow_start_after_idle: (s, v) => void (s.tcp.slowStartAfterIdle = flag(v)),
  tcp_mtu_probing: (s, v) => void (s.tcp.mtuProbing = whole(v, 0, 2) > 0),
  tcp_fastopen: (s, v) => {
    const bits = whole(v, 0, 0xfff);
    s.tcp.fastOpenClient = (bits & 1) !== 0;
    s.tcp.fastOpenServer = (bits & 2) !== 0;
  },
  ip_forward: (s, v) => void (s.forwarding = flag(v)),
  tcp_congestion_control: (s, v) => {
    const factory = CONGESTION[v];
    if (factory === undefined) throw new FtError('ENOENT', `No congestion control ${v}`, 'Use cubic or reno');
    s.tcp.congestion = factory;
  },
};

/** Takes one `config NAME VALUE`. @throws FtError EINVAL, ENOENT */
export function configure(settings: Settings, name: string, values: string[]): void {
  const value = values[0];
  if (value === undefined) throw bad('a value is missing');
  if (name.startsWith('sysctl.')) {
    // Linux's own paths too: sysctl.net.ipv4.tcp_sack.
    const short = name.slice(7).replace(/^net\.ipv[46]\./, '');
    const set = Object.hasOwn(SYSCTLS, short) ? SYSCTLS[short] : undefined;
    if (set === undefined) throw new FtError('ENOENT', `The stack has no ${name.slice(7)}`, 'See docs');
    set(
      settings,
      value,
      values.flatMap((word) => word.split(',')),
    );
    return;
  }
  if (values.length !== 1) throw bad('one value, please');
  switch (name) {
    case 'ip':
      if (parseCidr4(value) === undefined && parseCidr6(value) === undefined) throw bad(`"${value}" is no address`);
      settings.addresses.push(value);
      return;
    case 'gateway':
      if (parseIPv4(value) === undefined && parseIPv6(value) === undefined) throw bad(`"${value}" is no address`);
      settings.gateways.push(value);
      return;
    case 'mtu':
      settings.mtu = whole(value, 68, 65_535);
      return;
    case 'seed':
      whole(value, 0, Number.MAX_SAFE_INTEGER);
      settings.seed = value;
      return;
    case 'backup':
      settings.backup = flag(value);
      return;
    default:
      throw bad(`unknown setting ${name}`);
  }
}
