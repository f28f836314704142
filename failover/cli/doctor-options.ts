/** The options of `ft-tcp doctor`. */
import type { CommandSpec, OptionTable } from './options.js';

const OPTIONS = { json: { meaning: 'Print one JSON object.', since: '0.1' } } as const satisfies OptionTable;

/** The table of `ft-tcp doctor`. */
export const DOCTOR: CommandSpec<typeof OPTIONS> = {
  name: 'doctor',
  summary: 'check this machine, and list what to install',
  usage: 'ft-tcp doctor [--json]',
  description: ['Checks kernel features, permissions, Node.js and programs, and lists what to install or allow.'],
  options: OPTIONS,
  exitCodes: { 0: 'ft-tcp runs here', 3: 'something that ft-tcp needs is missing' },
  examples: ['ft-tcp doctor', 'ft-tcp doctor --json'],
};
