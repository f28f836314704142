/** `ft-tcp up`: a group in the foreground, under a supervisor. */
import { fileURLToPath } from 'node:url';
import { FtError } from '../../lib/errors.js';
import { native } from '../../lib/native/native.js';
import { EventLog, eventText } from '../admin/event-log.js';
import { History } from '../admin/history.js';
import { askReplicas } from '../admin/replicas.js';
import { endSignals } from '../host/end-signals.js';
import { Group } from '../host/group-directory.js';
import { requireSupportedNode } from '../host/node-version.js';
import { ServiceManager } from '../host/service-manager.js';
import { readInterfaces, servingAddresses } from '../operate/publish/devices.js';
import { Supervisor } from '../operate/supervisor/supervisor.js';
import { findProgram } from '../replica/load-program.js';
import { SupervisedNetwork } from './published.js';
import { type UpArguments, upArguments } from './up-options.js';

const CLI = fileURLToPath(new URL('../../../bin/ft-tcp.js', import.meta.url));
/** For a sign of life, a replica has to answer within this time. */
const ANSWER_MS = 1000;

/**
 * Runs until all replicas have ended. Throws FtError ERR_FT_USAGE, ERR_FT_CONFIG, ERR_FT_PROGRAM,
 * EBUSY for a second supervisor.
 * @returns the exit code
 */
export async function upCommand(argv: string[]): Promise<number> {
  requireSupportedNode(process.versions.node);
  const args = upArguments(argv);
  const { run } = args;
  findProgram(run.program);
  const addon = native();
  const manager = new ServiceManager(addon, process.env, process.pid);
  const group = new Group(addon, run.directory, run.group);
  if (!group.lockSupervisor())
    throw new FtError(
      'EBUSY',
      `Another ft-tcp up supervises the group ${run.group}`,
      'End it first, or choose another name with --group',
    );
  process.title = `ft-tcp up ${run.group}`;
  return await supervise(args, group, manager);
}

async function supervise(args: UpArguments, group: Group, manager: ServiceManager): Promise<number> {
  const { run, words, replicas, restartLimit } = args;
  const history = new History((name) => group.file(name));
  const log = new EventLog(
    { group: group.name },
    { target: run.events, history: (event, record) => history.add(event, record, null) },
  );
  let network: SupervisedNetwork | null = null;
  return await new Promise((done, fail) => {
    const finished = (code: number): void => {
      network?.release();
      done(code);
    };
    const supervisor: Supervisor = new Supervisor(
      {
        replicas,
        restartLimit,
        command: [process.execPath, ...process.execArgv, CLI, 'run', '--supervisor', String(process.pid), ...words],
        env: process.env,
        hasEnded: () => group.hasEnded,
        nowMs: () => performance.now(),
      },
      {
        serving: () => {
          log.write('serving', { at: servingAt(args) });
          manager.ready(statusOf(supervisor));
          watch(supervisor, group, manager);
        },
        restarting: (replicaPid, how, delayMs) => {
          log.write('replica-restarting', { replicaPid, how, delayMs });
          network?.repair();
        },
        givenUp: (replicaPid, how, failures) => log.write('replica-given-up', { replicaPid, how, failures }),
        changed: () => supervisor.isServing && manager.status(statusOf(supervisor)),
        finished,
      },
      output(),
    );
    for (const signal of endSignals())
      process.on(signal, () => {
        manager.stopping();
        supervisor.end('SIGTERM');
      });
    supervisor.start(() => {
      if (run.network === undefined) return;
      try {
        network = new SupervisedNetwork({ ...run.network, group: run.group, directory: run.directory }, group);
      } catch (error) {
        fail(error);
        supervisor.abort();
      }
    });
  });
}

/** Where clients find the group. */
function servingAt({ run }: UpArguments): string[] {
  const { network, options } = run;
  if (network === undefined) return options.addresses.map((cidr) => cidr.replace(/\/\d+$/, ''));
  const all = servingAddresses(readInterfaces());
  const text = (address: string, port: number): string => `${address.includes(':') ? `[${address}]` : address}:${port}`;
  return network.ports.flatMap(({ address, port }) =>
    (address === null ? all : [address]).map((one) => text(one, port)),
  );
}

/** One line for the service manager. */
function statusOf({ primary, children, isProtected }: Supervisor): string {
  const backups = children.filter((child) => child !== primary).map(({ pid }) => pid);
  const who = [`primary ${primary?.pid ?? 'none'}`, ...(backups.length === 0 ? [] : [`backup ${backups.join(', ')}`])];
  return `${who.join(', ')}, ${isProtected ? 'protected' : 'NOT protected'}`;
}

/** Signs of life, as long as a replica answers or is being started. */
function watch(supervisor: Supervisor, group: Group, manager: ServiceManager): void {
  const { watchdogMs } = manager;
  if (watchdogMs === null) return;
  const sign = async (): Promise<void> => {
    const { replicas } = await askReplicas(group, { timeoutMs: Math.min(ANSWER_MS, watchdogMs) });
    if (replicas.length > 0 || supervisor.isStarting) manager.alive();
  };
  void sign();
  setInterval(() => void sign(), watchdogMs).unref();
}

/** Lines of the replicas: for people on a terminal, and as they are elsewhere. */
function output(): ConstructorParameters<typeof Supervisor>[2] {
  const isTerminal = process.stderr.isTTY === true;
  return {
    event: (_child, event, line) => process.stderr.write(`${isTerminal ? eventText(event) : line}\n`),
    line: (child, stream, line) => process[stream].write(isTerminal ? `${child.pid} | ${line}\n` : `${line}\n`),
  };
}
