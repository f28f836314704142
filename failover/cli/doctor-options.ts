/** The options of `ft-tcp doctor`. */
import { IP_OPTION, PUBLISH_OPTION, TAP_OPTION } from './network-options.js';
import type { CommandSpec, OptionTable } from './options.js';

const OPTIONS = {
  tap: { ...TAP_OPTION, defaultText: 'none', meaning: 'Check this TAP device, as ft-tcp run would use it.' },
  ip: { ...IP_OPTION, defaultText: 'none', meaning: 'Check this address on the device.' },
  publish: {
    ...PUBLISH_OPTION,
    defaultText: 'none',
    meaning: 'Check what stands in the way of publishing this port.',
  },
  json: { meaning: 'Print one JSON object.', since: '0.1' },
} as const satisfies OptionTable;

/** The table of `ft-tcp doctor`. */
export const DOCTOR: CommandSpec<typeof OPTIONS> = {
  name: 'doctor',
  summary: 'check this machine, and list what to install',
  usage: 'ft-tcp doctor [--tap NAME [--ip ADDRESS/LENGTH]] [--publish PORT] [--json]',
  description: [
    'Checks kernel features, permissions, Node.js and programs, and lists what to install or allow.',
    'With --tap also a device, and with --ip whether an address can work on it.',
  ],
  options: OPTIONS,
  exitCodes: { 0: 'ft-tcp runs here', 3: 'something that ft-tcp needs is missing' },
  examples: ['ft-tcp doctor', 'ft-tcp doctor --tap ft0 --ip 10.77.0.2/24', 'ft-tcp doctor --publish 80'],
};
