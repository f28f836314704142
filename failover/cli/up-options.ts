/** Reads the command line of `ft-tcp up`. */
import { readGroupConfig } from './group-config.js';
import { parseOptions, programIndex, usageError } from './options.js';
import { type RunArguments, runArguments } from './run-options.js';
import { OWN_OPTIONS, UP, UP_OPTIONS } from './up-table.js';

/** The arguments of `ft-tcp up`. */
export interface UpArguments {
  /** What each replica gets: the command line of `ft-tcp run`. */
  readonly words: readonly string[];
  /** The same, read. */
  readonly run: RunArguments;
  readonly replicas: number;
  readonly restartLimit: number;
}

/** Throws FtError ERR_FT_USAGE, ERR_FT_CONFIG. */
export function upArguments(argv: string[]): UpArguments {
  const words = expand(argv);
  const split = programIndex(UP_OPTIONS, words);
  const options = words.slice(0, split).filter((word) => word !== '--');
  const values = parseOptions(UP, options);
  const program = words.slice(split);
  if (program.length === 0)
    throw usageError('up', 'No program given; expected ft-tcp up [options] app.js [args], or ft-tcp up -c FILE');
  const forReplicas = [...withoutOwn(options), '--', ...program];
  const { replicas, 'restart-limit': restartLimit } = values;
  return { words: forReplicas, run: runArguments(forReplicas), replicas, restartLimit };
}

/** A file stands for a whole command line. */
function expand(argv: string[]): string[] {
  const long = argv.map((word, i) => (word === '-c' && i < programIndex(UP_OPTIONS, argv) ? '--config' : word));
  const split = programIndex(UP_OPTIONS, long);
  const { config } = parseOptions(
    UP,
    long.slice(0, split).filter((word) => word !== '--'),
  );
  if (config === undefined) return argv;
  const given = long.slice(0, split).filter((word) => word.startsWith('--') && word !== '--');
  if (given.length > 1 || split < long.length)
    throw usageError('up', '--config FILE has the program and all options: give nothing else');
  return readGroupConfig(config);
}

/** Without the options that only the supervisor has. */
function withoutOwn(options: readonly string[]): string[] {
  const isOwn = (word: string | undefined): boolean => OWN_OPTIONS.some((name) => word === `--${name}`);
  return options.filter(
    (word, i) => !isOwn(word) && !isOwn(options[i - 1]) && !OWN_OPTIONS.some((name) => word.startsWith(`--${name}=`)),
  );
}
