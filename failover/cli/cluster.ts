/**
 * `ft-tcp run --cluster` and `ft-tcp gateway --cluster`: the agent of one machine. It starts the
 * replica's process and stays with it.
 */
import { errorCode, FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { EventLog } from '../admin/event-log.js';
import type { EventData, EventName } from '../admin/events.js';
import { History } from '../admin/history.js';
import type { AgentEvents } from '../cluster/agent/events.js';
import { readClusterConfig } from '../cluster/config/config.js';
import { ClusterMachine } from '../cluster/machine.js';
import { endSignals } from '../host/end-signals.js';
import { Group } from '../host/group-directory.js';
import type { RunArguments } from './run-options.js';

/** What the agent takes of the command line. */
type AgentArguments = Pick<RunArguments, 'cluster' | 'node' | 'group' | 'directory' | 'options' | 'graceMs' | 'events'>;

/** A replica that is asked to end gets this long, beside the time for its connections. */
const LEAVE_TIMEOUT_MS = 6000;

/**
 * Runs until this machine's part has ended. Throws FtError ERR_FT_CONFIG, or EBUSY for a second
 * agent.
 * @param argv the command and its arguments, which the replica's process gets too
 * @returns the exit code.
 */
export async function clusterCommand(args: AgentArguments, argv: string[]): Promise<number> {
  const { cluster, node } = args;
  if (cluster === undefined) throw new FtError('ERR_FT_USAGE', 'No configuration file given', 'Give --cluster FILE');
  const config = readClusterConfig(cluster, node);
  let finish = (_code: number): void => undefined;
  const finished = new Promise<number>((done) => {
    finish = done;
  });
  const group = new Group(native(), args.directory, args.group);
  const history = new History((name) => group.file(name));
  const log = new EventLog(
    { group: args.group, node: config.self.name },
    { target: args.events, history: (event, record) => history.add(event, record, null) },
  );
  const machine = new ClusterMachine(
    {
      config,
      group: args.group,
      directory: args.directory,
      argv,
      hangTimeoutMs: args.options.hangTimeoutMs,
      busyPollUs: args.options.busyPollUs ?? 0,
    },
    {
      report: (event, details) => log.write(event, details),
      finished: (code) => finish(code),
      failed: (error) => {
        printError(error);
        finish(1);
      },
    },
  );
  await machine.open();
  leaveOnSignal(machine, LEAVE_TIMEOUT_MS + args.graceMs, finish);
  const code = await finished;
  await machine.close(code === 0);
  return code;
}

/** Events of an agent that the table of events does not have, or has with other fields. */
type Mismatch = {
  [N in keyof AgentEvents]: N extends EventName ? (AgentEvents[N] extends EventData<N> ? never : N) : N;
}[keyof AgentEvents];
type AssertNone<T extends never> = T;
/** Compiles only if the table of events has all events of an agent. */
export type EventCheck = AssertNone<Mismatch>;

function printError(error: unknown): void {
  const text = error instanceof FtError ? error.message : error instanceof Error ? error.stack : String(error);
  process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: ${text}\n`);
}

/** The first signal asks the machine to leave the group, the second one ends the agent at once. */
function leaveOnSignal(machine: ClusterMachine, timeoutMs: number, finish: (code: number) => void): void {
  let isLeaving = false;
  for (const signal of endSignals()) {
    process.on(signal, () => {
      if (isLeaving) finish(1);
      isLeaving = true;
      machine.agent.leave();
      setTimeout(() => finish(1), timeoutMs).unref();
    });
  }
}
