/** `ft-tcp serve`: the classic services on a stack of their own, without failover. */
import { parseArgs } from 'node:util';
import type { FrameDevice } from '../../lib/device/device.js';
import { CapturedDevice, type CaptureWriter, PcapWriter } from '../../lib/device/pcap.js';
import { PcapngWriter } from '../../lib/device/pcapng.js';
import { TapDevice } from '../../lib/device/tap.js';
import { VlanTrunk } from '../../lib/device/vlan.js';
import { FtError } from '../../lib/errors.js';
import { parseCidr4, parseIPv4, parseMac } from '../../lib/ipv4-address.js';
import { parseCidr6, parseIPv6 } from '../../lib/ipv6-address.js';
import { native } from '../../lib/native/native.js';
import { systemClock, systemRandom } from '../../lib/native/system.js';
import { Cubic, NewReno, Stack, StackHost } from '../../stack/index.js';
import { busyPollArgument, senderOptions, severalCpus } from '../host/busy-poll.js';
import { SERVICES, type ServiceName, startService } from './services.js';

export const SERVE_HELP = `Usage: ft-tcp serve [options] [--echo 7] [--discard 9] [--chargen 19] [--daytime 13] [--http 80]

Runs the classic services on the userspace stack, over TCP and UDP, IPv4 and IPv6. For trying the stack with outside tools.

  --tap NAME           a TAP device (default ft0); made if it does not exist and we may
  --tun NAME           a TUN device instead
  --vlan N             only the network of that 802.1Q tag, on a TAP device
  --ip A/LEN           an address (default 10.77.0.2/24); may be repeated, IPv6 too
  --gateway A          router for everything else; one per family
  --mac M              Ethernet address (default: drawn)
  --autoconfigure      IPv6 addresses and routes from router advertisements
  --probe              use IPv6 addresses only when nobody else has them
  --forward            send on what is for others
  --congestion C       cubic (default) or newreno
  --ecn MODE           off, accept (default), ask, or accurate (RFC 9768)
  --no-offload         no checksum and segmentation offload
  --busy-poll US       the event loop looks for so long before it sleeps (default 50; 0 with one CPU)
  --no-send-thread     the event loop sends all frames itself (as it does with one CPU)
  --pcap FILE          capture of all frames; pcapng if it ends in .pcapng
  --echo PORT …        one option per service: echo, discard, chargen, daytime, http; without any, all on their usual ports

One line of JSON on stdout says that it is ready. It ends on SIGINT or SIGTERM.
`;

const USUAL: Record<ServiceName, number> = { echo: 7, discard: 9, chargen: 19, daytime: 13, http: 80 };

function parse(argv: string[]): ReturnType<typeof parseArgs<{ options: typeof OPTIONS }>>['values'] {
  try {
    return parseArgs({ args: argv, options: OPTIONS }).values;
  } catch (error) {
    throw new FtError(
      'ERR_FT_USAGE',
      error instanceof Error ? error.message : String(error),
      'See ft-tcp serve --help',
    );
  }
}

const OPTIONS = {
  tap: { type: 'string' },
  tun: { type: 'string' },
  vlan: { type: 'string' },
  ip: { type: 'string', multiple: true },
  gateway: { type: 'string', multiple: true },
  mac: { type: 'string' },
  'busy-poll': { type: 'string' },
  'no-send-thread': { type: 'boolean' },
  autoconfigure: { type: 'boolean' },
  probe: { type: 'boolean' },
  forward: { type: 'boolean' },
  congestion: { type: 'string' },
  ecn: { type: 'string' },
  'no-offload': { type: 'boolean' },
  pcap: { type: 'string' },
  echo: { type: 'string' },
  discard: { type: 'string' },
  chargen: { type: 'string' },
  daytime: { type: 'string' },
  http: { type: 'string' },
} as const;

function usage(option: string, value: string, like: string): FtError {
  return new FtError('ERR_FT_USAGE', `--${option} ${value} is not right`, `Write it like --${option} ${like}`);
}

function port(option: string, value: string): number {
  const number = Number(value);
  if (!/^\d{1,5}$/.test(value) || number < 1 || number > 65_535) throw usage(option, value, '8007 (1 to 65535)');
  return number;
}

/** Which services on which ports. */
function services(values: ReturnType<typeof parse>): [ServiceName, number][] {
  const chosen: [ServiceName, number][] = [];
  for (const name of SERVICES) {
    const value = values[name];
    if (value !== undefined) chosen.push([name, port(name, value)]);
  }
  return chosen.length > 0 ? chosen : SERVICES.map((name) => [name, USUAL[name]]);
}

function checked(values: ReturnType<typeof parse>): {
  addresses: string[];
  ecn: 'off' | 'accept' | 'ask' | 'accurate';
} {
  if (values.tap !== undefined && values.tun !== undefined)
    throw new FtError('ERR_FT_USAGE', '--tap and --tun exclude each other', 'Give one of them');
  const addresses = values.ip ?? (values.autoconfigure === true ? [] : ['10.77.0.2/24']);
  for (const ip of addresses)
    if (parseCidr4(ip) === undefined && parseCidr6(ip) === undefined)
      throw usage('ip', ip, '10.0.0.2/24 or 2001:db8::2/64');
  for (const gateway of values.gateway ?? [])
    if (parseIPv4(gateway) === undefined && parseIPv6(gateway) === undefined)
      throw usage('gateway', gateway, '10.0.0.1');
  if (values.mac !== undefined && parseMac(values.mac) === undefined)
    throw usage('mac', values.mac, '02:00:00:00:00:02');
  if (values.congestion !== undefined && values.congestion !== 'cubic' && values.congestion !== 'newreno')
    throw usage('congestion', values.congestion, 'cubic (or newreno)');
  const ecn = values.ecn ?? 'accept';
  if (ecn !== 'off' && ecn !== 'accept' && ecn !== 'ask' && ecn !== 'accurate')
    throw usage('ecn', ecn, 'accept (or off, ask, accurate)');
  if (values.vlan !== undefined && !/^\d{1,4}$/.test(values.vlan)) throw usage('vlan', values.vlan, '100');
  return { addresses, ecn };
}

/** Runs until a signal comes. */
export async function serveCommand(argv: string[]): Promise<number> {
  const values = parse(argv);
  const { addresses, ecn } = checked(values);
  const wanted = services(values);
  const busyPollUs = busyPollArgument(values['busy-poll']);
  const name = values.tun ?? values.tap ?? 'ft0';
  const offload = values['no-offload'] !== true && values.vlan === undefined;
  let stop = (): void => undefined;
  let writer: CaptureWriter | null = null;
  const tap = TapDevice.open({
    name,
    mode: values.tun === undefined ? 'tap' : 'tun',
    offload,
    sender: senderOptions(values['no-send-thread'] !== true && severalCpus(), busyPollUs),
    onError: (error) => {
      process.stderr.write(`ft-tcp: ${error.code}: ${error.message}\n`);
      process.exitCode = 1;
      stop();
    },
  });
  let device: FrameDevice = tap;
  if (values.pcap !== undefined) {
    if (values.pcap.endsWith('.pcapng')) {
      const ng = new PcapngWriter(values.pcap);
      ng.addInterface(name, device.link);
      writer = ng;
    } else writer = new PcapWriter(values.pcap, device.link);
    device = new CapturedDevice(device, writer, () => systemClock.wall());
  }
  if (values.vlan !== undefined) device = new VlanTrunk(device).open(Number(values.vlan));
  const stack = new Stack({
    clock: systemClock,
    random: systemRandom,
    forwarding: values.forward === true,
    tcp: { ecn, congestion: values.congestion === 'newreno' ? (mss) => new NewReno(mss) : (mss) => new Cubic(mss) },
  });
  stack.addInterface(device, {
    name,
    addresses,
    gateway: values.gateway ?? [],
    ...(values.mac === undefined ? {} : { mac: values.mac }),
    autoconfigure: values.autoconfigure === true,
    probe: values.probe === true,
  });
  const host = new StackHost(stack, native(), { busyPollUs });
  for (const net of stack.interfaces) net.announce();
  const running = wanted.map(([service, number]) =>
    startService(host, service, number, () => new Date(systemClock.wall())),
  );
  process.stdout.write(
    `${JSON.stringify({ event: 'ready', device: name, addresses, services: Object.fromEntries(wanted) })}\n`,
  );
  await new Promise<void>((resolve) => {
    stop = resolve;
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  for (const service of running) service.close();
  // What was aborted says so.
  host.turn();
  host.close();
  return Number(process.exitCode ?? 0);
}
