/**
 * Admin commands to a replica. Each replica has an admin socket, a Unix socket in the group's
 * directory. It takes the name of one command and answers with one JSON object: `{"ok":true}` or
 * `{"ok":false,"code":…,"message":…}`. It also answers `GET /metrics` of HTTP (scrape.ts).
 */
import net from 'node:net';
import { errorCode, FtError } from '../../lib/errors.js';
import { askAt, listenAt, onlySameUser } from '../host/unix-socket.js';
import { answerScrape, isHttp } from './scrape.js';

/**
 * All admin commands. `yield-metrics`: from a backup, which serves the metrics from now on.
 * `explain ADDRESS:PORT` and `check PORT` have an argument. Those from `program` on are a deploy's
 * (cli/standby-commands.ts).
 */
export const ADMIN_COMMANDS = [
  'switchover',
  'drain',
  'yield-metrics',
  'explain',
  'program',
  'check',
  'join',
  'keep',
  'leave',
] as const;
/** The name of an admin command. */
export type AdminCommand = (typeof ADMIN_COMMANDS)[number];

/** A command that has been carried out. */
export interface Executed {
  /** What is answered beside `"ok":true`. */
  answer?: object;
  /** What is to be done after the answer. */
  after?(): void;
}

/** What an admin socket needs of its replica. */
export interface CommandHost {
  /** Resolves when the command has been carried out. Rejects with what the client is told. */
  execute(command: AdminCommand, argument: string): Promise<Executed>;
  /** The text for a scrape. */
  metrics(): Promise<string>;
}

const MAX_COMMAND_BYTES = 64;
const MAX_ANSWER_BYTES = 64 * 1024;

/** Where a replica's admin socket is. */
export function adminSocketPath(file: (name: string) => string, pid: number): string {
  return file(`${pid}.control`);
}

/** Serves the admin socket until closed. */
export function serveCommands(path: string, host: CommandHost): Promise<{ close(): void }> {
  const server = net.createServer(
    { allowHalfOpen: true },
    onlySameUser((socket) => {
      let received = '';
      const answer = (value: object): void => void socket.end(JSON.stringify(value));
      socket.on('error', () => undefined);
      socket.on('data', (part: Buffer) => {
        received += part.toString();
        if (isHttp(received)) answerScrape(socket, received, () => host.metrics());
        else if (received.length > MAX_COMMAND_BYTES) socket.destroy();
      });
      socket.on('end', () => {
        if (isHttp(received)) return;
        const [name = '', argument = ''] = received.trim().split(' ');
        const command = ADMIN_COMMANDS.find((one) => one === name);
        if (command === undefined) {
          answer({ ok: false, code: 'ERR_FT_USAGE', message: `Unknown admin command "${name}"` });
          return;
        }
        host.execute(command, argument).then(
          ({ answer: more = {}, after }) => {
            // The client may be gone; the command is carried out all the same.
            if (after !== undefined) socket.once('close', after);
            answer({ ok: true, ...more });
            socket.destroySoon();
          },
          (error: unknown) =>
            answer({
              ok: false,
              code: errorCode(error) ?? 'ERR_FT',
              message: error instanceof Error ? error.message : String(error),
            }),
        );
      });
    }),
  );
  return listenAt(server, path);
}

/**
 * Sends a command and waits until it has been carried out, at most `timeoutMs` milliseconds.
 * @param command a command, with its argument if it has one
 * @returns the answer. Throws FtError with the replica's reason, or ERR_FT_UNRESPONSIVE.
 */
export async function sendCommand(path: string, command: string, timeoutMs: number): Promise<object> {
  const reply = await askAt(path, timeoutMs, MAX_ANSWER_BYTES, command);
  if (typeof reply === 'string')
    throw new FtError(
      'ERR_FT_UNRESPONSIVE',
      `The primary did not answer within ${timeoutMs / 1000} s`,
      'See ft-tcp status',
    );
  const answer = reply.json as { ok?: boolean; code?: string; message?: string };
  if (answer.ok !== true) throw new FtError(answer.code ?? 'ERR_FT', answer.message ?? 'The command was refused');
  return answer;
}
