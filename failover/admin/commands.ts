/**
 * Orders to a replica: a Unix socket in the group's directory takes one word and answers with one JSON object,
 * `{"ok":true}` or `{"ok":false,"code":…,"message":…}`.
 */
import net from 'node:net';
import { errorCode, FtError } from '../../lib/errors.js';
import { askAt, listenAt } from '../host/unix-socket.js';

export const ADMIN_COMMANDS = ['switchover', 'drain'] as const;
export type AdminCommand = (typeof ADMIN_COMMANDS)[number];

/** An order is one short word. */
const MAX_ORDER = 64;
const MAX_ANSWER = 64 * 1024;

/** Where a replica takes orders. */
export function controlPath(file: (name: string) => string, pid: number): string {
  return file(`${pid}.control`);
}

/** Takes orders until closed. `obey` resolves when the order has been carried out, with what to do after the answer. */
export function serveControl(
  path: string,
  obey: (order: AdminCommand) => Promise<() => void>,
): Promise<{ close(): void }> {
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    let text = '';
    const answer = (value: object): void => void socket.end(JSON.stringify(value));
    socket.on('error', () => undefined);
    socket.on('data', (part: Buffer) => {
      text += part.toString();
      if (text.length > MAX_ORDER) socket.destroy();
    });
    socket.on('end', () => {
      const order = ADMIN_COMMANDS.find((one) => one === text.trim());
      if (order === undefined) {
        answer({ ok: false, code: 'ERR_FT_USAGE', message: `"${text.trim()}" is no order` });
        return;
      }
      obey(order).then(
        (after) => {
          // Whoever asked may be gone; what was ordered happens all the same.
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
  });
  return listenAt(server, path);
}

/** Gives an order and waits until it has been carried out. Throws FtError with the replica's reason, or ERR_FT_SILENT. */
export async function sendCommand(path: string, order: AdminCommand, timeoutMs: number): Promise<void> {
  const reply = await askAt(path, timeoutMs, MAX_ANSWER, order);
  if (typeof reply === 'string') throw new FtError('ERR_FT_SILENT', 'The primary did not answer', 'See ft-tcp status');
  const answer = reply.json as { ok?: boolean; code?: string; message?: string };
  if (answer.ok !== true)
    throw new FtError(answer.code ?? 'ERR_FT', answer.message ?? 'The order was refused', 'See ft-tcp status');
}
