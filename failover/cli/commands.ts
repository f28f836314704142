/** All commands: each one's table, and the code that runs it, which is loaded when it is needed. */
import { DEMO, demoOptions } from './demo-options.js';
import { DEPLOY, RESTART, ROLLBACK } from './deploy-options.js';
import { DOCTOR } from './doctor-options.js';
import { GATEWAY_COMMAND, GATEWAY_CONNECTIONS, GATEWAY_RELOAD } from './gateway-options.js';
import { DRAIN, EXPLAIN, HISTORY, STATUS, SWITCHOVER } from './group-options.js';
import { CLEANUP, LIST } from './groups-options.js';
import { NET_DOWN, NET_SHOW, NET_UP } from './net-options.js';
import type { CommandSpec } from './options.js';
import { RUN } from './run-options.js';
import { SERVE } from './serve-options.js';
import { UP } from './up-table.js';

/** One command of the command line. */
export interface Command {
  readonly spec: CommandSpec;
  /** @returns the exit code. Throws FtError. */
  run(argv: string[]): Promise<number>;
}

/** In the order of --help. */
export const COMMANDS: readonly Command[] = [
  { spec: RUN, run: async (argv) => await (await import('./run.js')).runCommand(argv) },
  { spec: UP, run: async (argv) => await (await import('./up.js')).upCommand(argv) },
  { spec: GATEWAY_COMMAND, run: async (argv) => await (await import('./gateway.js')).gatewayCommand(argv) },
  { spec: GATEWAY_CONNECTIONS, run: async (argv) => await (await import('./gateway.js')).gatewayConnections(argv) },
  { spec: GATEWAY_RELOAD, run: async (argv) => await (await import('./gateway.js')).gatewayReload(argv) },
  { spec: NET_UP, run: async (argv) => await (await import('./net.js')).netUpCommand(argv) },
  { spec: NET_DOWN, run: async (argv) => await (await import('./net.js')).netDownCommand(argv) },
  { spec: NET_SHOW, run: async (argv) => await (await import('./net.js')).netShowCommand(argv) },
  { spec: SERVE, run: async (argv) => await (await import('./serve.js')).serveCommand(argv) },
  { spec: STATUS, run: async (argv) => await (await import('./status.js')).statusCommand(argv) },
  { spec: EXPLAIN, run: async (argv) => await (await import('./history.js')).explainCommand(argv) },
  { spec: HISTORY, run: async (argv) => await (await import('./history.js')).historyCommand(argv) },
  { spec: SWITCHOVER, run: async (argv) => await (await import('./admin.js')).adminCommand('switchover', argv) },
  { spec: DEPLOY, run: async (argv) => await (await import('./deploy.js')).deployCommand(argv) },
  { spec: RESTART, run: async (argv) => await (await import('./deploy.js')).restartCommand(argv) },
  { spec: ROLLBACK, run: async (argv) => await (await import('./deploy.js')).rollbackCommand(argv) },
  { spec: DRAIN, run: async (argv) => await (await import('./admin.js')).adminCommand('drain', argv) },
  { spec: LIST, run: async (argv) => await (await import('./groups.js')).listCommand(argv) },
  { spec: CLEANUP, run: async (argv) => await (await import('./groups.js')).cleanupCommand(argv) },
  {
    spec: DEMO,
    run: async (argv) => {
      const options = demoOptions(argv);
      return await (await import('../demo/demo.js')).runDemo(options, argv);
    },
  },
  { spec: DOCTOR, run: async (argv) => await (await import('./doctor.js')).doctorCommand(argv) },
];
