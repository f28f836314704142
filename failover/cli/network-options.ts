/** Options of the stack's network that several commands have. */
import type { OptionSpec } from './options.js';
import { ADDRESS, FILE, INTERFACE_ADDRESS, integer, MAC, PUBLISHED, text } from './value-types.js';

/** Heading of these options in --help. */
export const NETWORK = 'Network';

/** The stack's address where none is given. */
export const DEFAULT_ADDRESS = '10.77.0.2/24';

/** The device where none is given. */
export const DEFAULT_TAP = 'ft0';

const INTERFACE_NAME = text('NAME', "an interface's name, as ft0");

/** `--tap`. */
export const TAP_OPTION = {
  value: INTERFACE_NAME,
  defaultText: 'ft0',
  meaning: 'TAP device. It must exist, be up and have several queues.',
  section: NETWORK,
  since: '0.1',
  example: '--tap ft0',
} as const satisfies OptionSpec;

/** `--create`. */
export const CREATE_OPTION = {
  meaning: 'Make the device when it does not exist, and set it up. Needs CAP_NET_ADMIN and ip.',
  section: NETWORK,
  since: '0.2',
} as const satisfies OptionSpec;

/** `--publish`. */
export const PUBLISH_OPTION = {
  value: PUBLISHED,
  multiple: true,
  meaning:
    "A TCP port of this machine's own addresses leads to the stack. Makes the device, the addresses and the rules, which " +
    'go with the last replica (docs/guides/serving.md). Needs CAP_NET_ADMIN, ip and nft.',
  section: NETWORK,
  since: '0.2',
  example: '--publish 80 --publish 192.0.2.1:8443:443',
} as const satisfies OptionSpec;

/** `--ip`. */
export const IP_OPTION = {
  value: INTERFACE_ADDRESS,
  defaultText: DEFAULT_ADDRESS,
  multiple: true,
  meaning: "The stack's IPv4 or IPv6 address.",
  section: NETWORK,
  since: '0.1',
  example: '--ip 10.77.0.2/24 --ip fd77::2/64',
} as const satisfies OptionSpec;

/** `--gateway`. */
export const GATEWAY_OPTION = {
  value: ADDRESS,
  multiple: true,
  meaning: 'Default router, one per address family.',
  section: NETWORK,
  since: '0.1',
  example: '--gateway 10.77.0.1',
} as const satisfies OptionSpec;

/** `--mac`. */
export const MAC_OPTION = {
  value: MAC,
  defaultText: 'chosen at random',
  meaning: "The stack's Ethernet address.",
  section: NETWORK,
  since: '0.1',
  example: '--mac 02:00:00:00:00:02',
} as const satisfies OptionSpec;

/** `--no-offload`. */
export const NO_OFFLOAD_OPTION = {
  meaning: 'Do not use checksum and segmentation offload of the device.',
  section: NETWORK,
  since: '0.1',
} as const satisfies OptionSpec;

/** Longer than a scheduler's slice, polling would not pay. Microseconds. */
const MAX_BUSY_POLL_US = 1000;

/** `--busy-poll`. */
export const BUSY_POLL_OPTION = {
  value: integer({ min: 0, max: MAX_BUSY_POLL_US, unit: 'µs', placeholder: 'US' }),
  defaultText: '50 µs; 0 with one CPU',
  meaning: 'How long the event loop polls before it sleeps.',
  section: 'Performance',
  since: '0.2',
  example: '--busy-poll 0',
} as const satisfies OptionSpec;

/** `--no-send-thread`. */
export const NO_SEND_THREAD_OPTION = {
  meaning: 'The event loop sends all frames itself, as it does with one CPU.',
  section: 'Performance',
  since: '0.2',
} as const satisfies OptionSpec;

/** `--pcap`. */
export const PCAP_OPTION = {
  value: FILE,
  meaning: 'Capture all frames to this file. A backup writes FILE.PID.',
  section: NETWORK,
  since: '0.1',
  example: '--pcap /tmp/web.pcap',
} as const satisfies OptionSpec;

/** `--tun`. */
export const TUN_OPTION = {
  value: INTERFACE_NAME,
  meaning: 'TUN device, instead of a TAP device.',
  section: NETWORK,
  since: '0.2',
  example: '--tun tun0',
} as const satisfies OptionSpec;
