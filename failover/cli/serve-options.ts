/** The options of `ft-tcp serve`. */
import {
  BUSY_POLL_OPTION,
  DEFAULT_ADDRESS,
  GATEWAY_OPTION,
  IP_OPTION,
  MAC_OPTION,
  NETWORK,
  NO_OFFLOAD_OPTION,
  NO_SEND_THREAD_OPTION,
  PCAP_OPTION,
  TAP_OPTION,
  TUN_OPTION,
} from './network-options.js';
import {
  type CommandSpec,
  type OptionSpec,
  type OptionTable,
  type OptionValues,
  parseOptions,
  usageError,
} from './options.js';
import { SERVICES, type ServiceName } from './services.js';
import { choice, integer, PORT } from './value-types.js';

/** Well-known ports. */
const USUAL_PORTS: Record<ServiceName, number> = { echo: 7, discard: 9, chargen: 19, daytime: 13, http: 80 };
const MAX_VLAN = 4094;

function serviceOption(protocol: string) {
  return {
    value: PORT,
    meaning: `${protocol} at this port.`,
    section: 'Services',
    since: '0.2',
  } as const satisfies OptionSpec;
}

const OPTIONS = {
  echo: { ...serviceOption('Echo (RFC 862)'), example: '--echo 7' },
  discard: { ...serviceOption('Discard (RFC 863)'), example: '--discard 9' },
  chargen: { ...serviceOption('Character generator (RFC 864)'), example: '--chargen 19' },
  daytime: { ...serviceOption('Daytime (RFC 867)'), example: '--daytime 13' },
  http: { ...serviceOption('A small web server'), example: '--http 80' },
  tap: TAP_OPTION,
  tun: TUN_OPTION,
  vlan: {
    value: integer({ min: 0, max: MAX_VLAN }),
    meaning: 'Use only frames with this 802.1Q tag; 0: frames without a tag. Needs a TAP device.',
    section: NETWORK,
    since: '0.2',
    example: '--vlan 100',
  },
  ip: { ...IP_OPTION, defaultText: `${DEFAULT_ADDRESS}; none with --autoconfigure` },
  gateway: GATEWAY_OPTION,
  mac: MAC_OPTION,
  autoconfigure: {
    meaning: 'Take IPv6 addresses and routes from router advertisements (RFC 4862).',
    section: NETWORK,
    since: '0.2',
  },
  probe: {
    meaning: 'Use an IPv6 address only after duplicate address detection.',
    section: NETWORK,
    since: '0.2',
  },
  forward: { meaning: 'Forward packets for other hosts.', section: NETWORK, since: '0.2' },
  'no-offload': NO_OFFLOAD_OPTION,
  pcap: {
    ...PCAP_OPTION,
    meaning: 'Capture all frames to this file, as pcapng when its name ends in .pcapng.',
    example: '--pcap /tmp/serve.pcapng',
  },
  congestion: {
    value: choice('cubic', 'newreno'),
    default: 'cubic',
    meaning: 'Congestion control: CUBIC (RFC 9438) or NewReno (RFC 6582).',
    section: 'TCP',
    since: '0.2',
  },
  ecn: {
    value: choice('off', 'accept', 'ask', 'accurate'),
    default: 'accept',
    meaning:
      'Explicit congestion notification: off, when the peer asks for it, always ask (RFC 3168), or accurate ECN (RFC 9768).',
    section: 'TCP',
    since: '0.2',
  },
  'busy-poll': BUSY_POLL_OPTION,
  'no-send-thread': NO_SEND_THREAD_OPTION,
} as const satisfies OptionTable;

/** The table of `ft-tcp serve`. */
export const SERVE: CommandSpec<typeof OPTIONS> = {
  name: 'serve',
  summary: 'classic services on the stack, to test it with other tools',
  usage: 'ft-tcp serve [options]',
  description: [
    'Runs classic services on the userspace stack, without failover, over TCP and UDP, IPv4 and IPv6.',
    'Without a service option all services run at their well-known ports.',
    'It prints one line of JSON when it is ready, and ends on SIGINT or SIGTERM.',
  ],
  options: OPTIONS,
  examples: ['ft-tcp serve --ip 10.77.0.2/24', 'ft-tcp serve --tun tun0 --http 8080 --ecn accurate'],
};

/** The arguments of `ft-tcp serve`. */
export type ServeOptions = OptionValues<typeof OPTIONS> & { services: [ServiceName, number][] };

/** Reads the command line of `ft-tcp serve`. Throws FtError ERR_FT_USAGE. */
export function serveOptions(argv: string[]): ServeOptions {
  const values = parseOptions(SERVE, argv);
  if (values.tap !== undefined && values.tun !== undefined)
    throw usageError('serve', '--tap and --tun exclude each other');
  const addresses = values.ip.length > 0 || values.autoconfigure ? values.ip : [DEFAULT_ADDRESS];
  const chosen: [ServiceName, number][] = [];
  for (const name of SERVICES) {
    const port = values[name];
    if (port !== undefined) chosen.push([name, port]);
  }
  const services =
    chosen.length > 0 ? chosen : SERVICES.map((name): [ServiceName, number] => [name, USUAL_PORTS[name]]);
  return { ...values, ip: addresses, services };
}
