/** The command line: `ft-tcp run | serve | status | switchover | drain | demo | doctor`. */
import { readFileSync } from 'node:fs';
import { errorCode, FtError } from '../../lib/errors.js';

/** Exit codes, the same for every command. */
export const ExitCode = { ok: 0, failure: 1, usage: 2, environment: 3 } as const;

const HELP = `ft-tcp: TCP connections that outlive the process that serves them

Usage: ft-tcp <command> [options]

  run [options] app.js [args]   run a Node program on the userspace stack; the same words a second time start its backup
  serve [--echo 7] [--http 80]  classic services on the stack, for trying it with outside tools
  status [--group G]            who is primary, who protects it, connections, lag, counters
  switchover [--group G]        the backup goes on in the primary's place: for deploys and maintenance
  drain [--group G]             no new connections; ends the group when the last one is over
  demo [--scenario S]           a lab of its own: a real client, kill -9 of its server, and what the client saw of it
  doctor                        checks this machine, and says what to install

  ft-tcp <command> --help       the options of a command
  ft-tcp --version

Exit codes: 0 ok, 1 failure, 2 wrong usage, 3 something is missing on this machine.
`;

const RUN_HELP = `Usage: ft-tcp run [options] app.js [args]

Runs an ordinary Node program; its http, https and net servers listen on ft-tcp's own TCP/IP stack. The first process of
a group is the primary. The same words started again give the backup, which takes over when the primary dies or hangs.

  --group G            the group's name (default "default")
  --dir DIR            where groups live (default /run/ft-tcp; without root $XDG_RUNTIME_DIR/ft-tcp)
  --tap NAME           the TAP device (default ft0); make it with:
                       ip tuntap add dev ft0 mode tap multi_queue vnet_hdr
  --ip A/LEN           the stack's address (default 10.77.0.2/24); may be repeated, IPv6 too
  --gateway A          router for everything else; may be given once per family
  --mac M              Ethernet address (default: chosen by the group)
  --no-offload         no checksum and segmentation offload
  --hang-timeout MS    a primary whose main loop stands still for so long is killed (default 500)
  --busy-poll US       the event loop looks for so long before it sleeps (default 50; 0 with one CPU)
  --no-send-thread     the event loop sends all frames itself (as it does with one CPU)
  --commit MODE        written: survives the process (default); acked: data waits until the backup has processed the log
  --mode MODE          replay (default): the backup runs the program, too; state: it runs none, and the program that is started when it
                       takes over gets its connections back with what it saved of them (docs/state-mode.md)
  --state-port PORT    the servers at this port in state mode, though the group is not; may be repeated
  --independent        what is said on a connection depends on no other one: replicas that join late repeat each by itself
  --independent-port P the same for the servers at this port; may be repeated
  --history KiB        so much is kept of what an independent connection has been told (default 256; 64 MiB of all)
  --log-size MiB       the shared log, a power of two from 16 to 4096 (default 64)
  --pcap FILE          capture of all frames (a backup writes FILE.PID)
  --resume-within S    a group whose last process died less than S seconds ago is gone on with (default 60; 0: begin anew)
  --solo               no log and no backup
  --cluster FILE       replicas on several machines, which the file describes (docs/cluster.md); output waits for the others
  --node NAME          which of them this is (default: the host name)

Events are written to stderr, one JSON object per line: role, ready, protected, unprotected, takeover,
quarantined, replay-failed, nondeterministic-api, diverged, resume-skipped, program-failed. With --cluster also: leading, following, orphan, looking,
in-sync, silent, speaks, deposed, hang, member-died, member-ended, peer-up, peer-down, coordinator.
`;

const STATUS_HELP = `Usage: ft-tcp status [--group G] [--dir DIR] [--json]

Exit code 0 when the group has a primary, 1 when it has none.
`;

/** Runs one command. @returns the exit code. */
export async function main(argv: string[]): Promise<number> {
  const [command, ...rest] = argv;
  const help = rest.includes('--help') || rest.includes('-h');
  try {
    switch (command) {
      case undefined:
      case 'help':
      case '--help':
      case '-h':
        process.stdout.write(HELP);
        return command === undefined ? ExitCode.usage : ExitCode.ok;
      case '--version':
      case '-v':
        process.stdout.write(`${version()}\n`);
        return ExitCode.ok;
      case 'run': {
        // Behind the program's name --help is the program's.
        if (rest[0] === '--help' || rest[0] === '-h') return say(RUN_HELP);
        const { runCommand } = await import('./run.js');
        return await runCommand(rest);
      }
      case 'serve': {
        const { serveCommand, SERVE_HELP } = await import('./serve.js');
        return help ? say(SERVE_HELP) : await serveCommand(rest);
      }
      case 'status': {
        if (help) return say(STATUS_HELP);
        const { statusCommand } = await import('./status.js');
        return await statusCommand(rest);
      }
      case 'switchover':
      case 'drain': {
        const { adminCommand: orderCommand, SWITCHOVER_HELP, DRAIN_HELP } = await import('./admin.js');
        if (help) return say(command === 'drain' ? DRAIN_HELP : SWITCHOVER_HELP);
        return await orderCommand(command, rest);
      }
      case 'demo': {
        const { demoCommand, DEMO_HELP } = await import('../demo/demo.js');
        return help ? say(DEMO_HELP) : await demoCommand(rest);
      }
      case 'doctor': {
        const { doctorCommand, DOCTOR_HELP } = await import('./doctor.js');
        return help ? say(DOCTOR_HELP) : await doctorCommand(rest);
      }
      default:
        throw new FtError('ERR_FT_USAGE', `There is no command "${command}"`, 'See ft-tcp --help');
    }
  } catch (error) {
    return report(error);
  }
}

function say(text: string): number {
  process.stdout.write(text);
  return ExitCode.ok;
}

function version(): string {
  const text = readFileSync(new URL('../../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

/** Errors of the machine, which no other words on the command line would mend. */
const ENVIRONMENT = new Set(['EACCES', 'EPERM', 'ENODEV', 'ENOSYS', 'EBUSY', 'ERR_FT_NATIVE', 'ERR_FT_TOOLS']);

/** Says what is wrong: one line for errors that are meant for the user, the stack trace for all others. */
function report(error: unknown): number {
  const code = errorCode(error);
  if (error instanceof FtError) {
    process.stderr.write(`ft-tcp: ${error.code}: ${error.message}\n`);
    if (error.code === 'ERR_FT_USAGE') return ExitCode.usage;
    return ENVIRONMENT.has(error.code) ? ExitCode.environment : ExitCode.failure;
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  process.stderr.write(`ft-tcp: ${code === undefined ? '' : `${code}: `}${text}\n`);
  return ExitCode.failure;
}
