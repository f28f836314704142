/**
 * Command lines of the development commands (`npm run sim`, `lab`, `perf`, …). Each has `--help`; a
 * mistake names the option, its value and what is allowed, and ends the process with code 2.
 */
import { type ParseArgsConfig, parseArgs } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;
type Values<T extends Options> = ReturnType<typeof parseArgs<{ options: T; args: string[] }>>['values'];

/** Ends the process: the command line is wrong. */
export function refuse(message: string): never {
  process.stderr.write(`${message}; see --help\n`);
  process.exit(2);
}

/**
 * Reads the options of this process. `--help` prints `usage` and ends the process; an unknown
 * option ends it with code 2.
 * @param usage what the command does, and a line for each option
 */
export function readCommandLine<T extends Options>(usage: string, options: T): Values<T> {
  const args = process.argv.slice(2);
  if (args.includes('--help')) {
    process.stdout.write(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ args, options }).values;
  } catch (error) {
    refuse(error instanceof Error ? error.message.replace(/\.$/, '') : String(error));
  }
}

/** The value of an option that is a whole number from `min` to `max`. */
export function wholeNumber(option: string, text: string, min: number, max: number): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isInteger(value) || value < min || value > max)
    refuse(`${option} ${text}: expected an integer from ${min} to ${max}`);
  return value;
}

/** The value of an option that is a number above 0. */
export function positiveNumber(option: string, text: string): number {
  const value = Number(text);
  if (!(value > 0 && Number.isFinite(value))) refuse(`${option} ${text}: expected a number above 0`);
  return value;
}

/** The value of an option that is one of a few words. */
export function oneOf<T extends string>(option: string, text: string, allowed: readonly T[]): T {
  const found = allowed.find((word) => word === text);
  return found ?? refuse(`${option} ${text}: expected one of ${allowed.join(', ')}`);
}
