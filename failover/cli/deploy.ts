/** `ft-tcp deploy`, `ft-tcp restart` and `ft-tcp rollback`: options to calls, reports to text. */
import { resolve } from 'node:path';
import { errorCode, FtError } from '../../lib/errors.js';
import { ExitCode } from '../admin/error-codes.js';
import type { Group } from '../host/group-directory.js';
import { Deployment, type DeployOptions } from '../operate/deploy/deployment.js';
import { type DeployReport, reportText } from '../operate/deploy/report.js';
import { findProgram } from '../replica/load-program.js';
import { DEPLOY, RESTART, ROLLBACK } from './deploy-options.js';
import { findGroup } from './group-options.js';
import { parseOptions, programIndex, usageError } from './options.js';

interface CommonValues {
  readonly group: string;
  readonly dir: string | undefined;
  readonly timeout: number;
  readonly log: string | undefined;
  readonly json: boolean;
}

/** Throws FtError ERR_FT_USAGE, and what {@link Deployment.run} throws. @returns the exit code */
export async function deployCommand(argv: string[]): Promise<number> {
  const split = programIndex(DEPLOY.options, argv);
  const values = parseOptions(
    DEPLOY,
    argv.slice(0, split).filter((word) => word !== '--'),
  );
  const program = argv[split];
  if (program === undefined) throw usageError('deploy', 'No program given; expected ft-tcp deploy [options] new.js');
  const cwd = values.cwd === undefined ? {} : { cwd: resolve(values.cwd) };
  return await told(values, (group) => {
    // An older directory of the same name may be gone by the time it is loaded.
    const target = { program: findProgram(program), args: argv.slice(split + 1), ...cwd };
    return new Deployment(group, { ...optionsOf(values, group), ...movesOf(values), target }).run();
  });
}

/** As {@link deployCommand}, with the program that runs. */
export async function restartCommand(argv: string[]): Promise<number> {
  const values = parseOptions(RESTART, argv);
  return await told(values, (group) =>
    new Deployment(group, { ...optionsOf(values, group), ...movesOf(values) }).run(),
  );
}

/** Throws FtError ERR_FT_NO_PREVIOUS, and what a deploy throws. @returns the exit code */
export async function rollbackCommand(argv: string[]): Promise<number> {
  const values = parseOptions(ROLLBACK, argv);
  const options = { check: undefined, rollbackMs: 0 };
  await told(values, (group) => new Deployment(group, { ...optionsOf(values, group), ...options }).rollBack());
  return ExitCode.Ok;
}

function movesOf(values: { check: DeployOptions['check']; 'rollback-within': number }) {
  return { check: values.check, rollbackMs: values['rollback-within'] * 1000 };
}

function optionsOf({ timeout, log, json }: CommonValues, group: Group) {
  return {
    cli: resolve(process.argv[1]),
    timeoutMs: timeout * 1000,
    log: log === undefined ? group.file('deploy.log') : resolve(log),
    progress: (text: string) => void (json || process.stderr.write(`${text}\n`)),
  };
}

/** Runs a deploy, and prints what has become of it. */
async function told(values: CommonValues, run: (group: Group) => Promise<DeployReport>): Promise<number> {
  try {
    const group = findGroup(values);
    if (group === null)
      throw new FtError('ERR_FT_NO_PRIMARY', `There is no group ${values.group}`, 'See ft-tcp list; check --dir');
    const report = await run(group);
    process.stdout.write(values.json ? `${JSON.stringify(report)}\n` : reportText(report));
    return report.outcome === 'deployed' ? ExitCode.Ok : ExitCode.RolledBack;
  } catch (error) {
    if (values.json) {
      const failure = { outcome: 'failed', code: errorCode(error) ?? 'ERR_FT', message: String(error) };
      process.stdout.write(`${JSON.stringify(failure)}\n`);
    }
    throw error;
  }
}
