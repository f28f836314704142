/**
 * Admin commands to a replica. Each replica has an admin socket, a Unix socket in the group's
 * directory. It takes the name of one command and answers with one JSON object: `{"ok":true}` or
 * `{"ok":false,"code":…,"message":…}`. It also answers `GET /metrics` of HTTP (scrape.ts).
 */
import net from 'node:net';
import { errorCode, FtError } from '../../lib/errors.js';
import { askAt, listenAt, onlySameUser } from '../host/unix-socket.js';
import { answerScrape, isHttp } from './scrape.js';

/** All admin commands. `yield-metrics`: from a backup, which serves the metrics from now on. */
export const ADMIN_COMMANDS = ['switchover', 'drain', 'yield-metrics'] as const;
/** The name of an admin command. */
export type AdminCommand = (typeof ADMIN_COMMANDS)[number];

const MAX_COMMAND_BYTES = 64;
const MAX_ANSWER_BYTES = 64 * 1024;

/** Where a replica's admin socket is. */
export function adminSocketPath(file: (name: string) => string, pid: number): string {
  return file(`${pid}.control`);
}

/**
 * Serves the admin socket until closed.
 * @param execute resolves when the command has been carried out, with what is to be done after the
 * answer
 * @param metrics the text for a scrape
 */
export function serveCommands(
  path: string,
  execute: (command: AdminCommand) => Promise<() => void>,
  metrics: () => Promise<string>,
): Promise<{ close(): void }> {
  const server = net.createServer(
    { allowHalfOpen: true },
    onlySameUser((socket) => {
      let received = '';
      const answer = (value: object): void => void socket.end(JSON.stringify(value));
      socket.on('error', () => undefined);
      socket.on('data', (part: Buffer) => {
        received += part.toString();
        if (isHttp(received)) answerScrape(socket, received, metrics);
        else if (received.length > MAX_COMMAND_BYTES) socket.destroy();
      });
      socket.on('end', () => {
        if (isHttp(received)) return;
        const name = received.trim();
        const command = ADMIN_COMMANDS.find((one) => one === name);
        if (command === undefined) {
          answer({ ok: false, code: 'ERR_FT_USAGE', message: `Unknown admin command "${name}"` });
          return;
        }
        execute(command).then(
          (after) => {
            // The client may be gone; the command is carried out all the same.
            socket.once('close', after);
            answer({ ok: true });
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
 * Throws FtError with the replica's reason, or ERR_FT_UNRESPONSIVE.
 */
export async function sendCommand(path: string, command: AdminCommand, timeoutMs: number): Promise<void> {
  const reply = await askAt(path, timeoutMs, MAX_ANSWER_BYTES, command);
  if (typeof reply === 'string')
    throw new FtError(
      'ERR_FT_UNRESPONSIVE',
      `The primary did not answer within ${timeoutMs / 1000} s`,
      'See ft-tcp status',
    );
  const answer = reply.json as { ok?: boolean; code?: string; message?: string };
  if (answer.ok !== true) throw new FtError(answer.code ?? 'ERR_FT', answer.message ?? 'The command was refused');
}
