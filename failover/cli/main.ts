/** The command line: `ft-tcp COMMAND [options]`. The commands are in commands.ts. */
import { errorCode, FtError } from '../../lib/errors.js';
import { EXIT_CODES, ExitCode, exitCodeOf } from '../admin/error-codes.js';
import { VERSION } from '../admin/version.js';
import { COMMANDS, type Command } from './commands.js';
import { helpText, overviewText } from './help.js';
import { nearest } from './nearest.js';
import { programIndex } from './options.js';

const HELP = new Set(['--help', '-h']);

/** Runs one command. @returns the exit code. */
export async function main(argv: string[]): Promise<number> {
  const [name, ...rest] = argv;
  try {
    if (name === undefined || name === 'help' || HELP.has(name)) return showHelp(name, rest.join(' '));
    if (name === '--version' || name === '-v') return print(`${VERSION}\n`);
    // Some commands have two words.
    const two = COMMANDS.find(({ spec }) => spec.name === `${name} ${rest[0]}`);
    const command = two ?? findCommand(name);
    const args = two === undefined ? rest : rest.slice(1);
    if (asksForHelp(command, args)) return print(helpText(command.spec));
    return await command.run(args);
  } catch (error) {
    return report(error);
  }
}

/** Behind the program's name, --help is the program's. */
function asksForHelp({ spec }: Command, args: string[]): boolean {
  const own = spec.name === 'run' || spec.name === 'up' ? args.slice(0, programIndex(spec.options, args)) : args;
  return own.some((word) => HELP.has(word));
}

function showHelp(name: string | undefined, command: string): number {
  if (name === 'help' && command !== '') return print(helpText(findCommand(command).spec));
  const specs = COMMANDS.map(({ spec }) => spec);
  print(overviewText(specs, EXIT_CODES));
  return name === undefined ? ExitCode.Usage : ExitCode.Ok;
}

/** Throws FtError ERR_FT_USAGE. */
function findCommand(name: string): Command {
  const found = COMMANDS.find(({ spec }) => spec.name === name);
  if (found !== undefined) return found;
  const like = nearest(
    name,
    COMMANDS.map(({ spec }) => spec.name),
  );
  const proposal = like === undefined ? '' : `; did you mean "${like}"`;
  throw new FtError('ERR_FT_USAGE', `There is no command "${name}"${proposal}`, 'See ft-tcp --help');
}

function print(text: string): number {
  process.stdout.write(text);
  return ExitCode.Ok;
}

/**
 * Prints the error: one line for an error that is meant for the user, the stack for all others.
 * @returns the exit code
 */
function report(error: unknown): number {
  if (error instanceof FtError) {
    process.stderr.write(`ft-tcp: ${error.code}: ${error.message}\n`);
    return exitCodeOf(error.code);
  }
  const code = errorCode(error);
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`ft-tcp: ${code === undefined ? '' : `${code}: `}${text}\n`);
  return ExitCode.Failure;
}
