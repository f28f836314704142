/**
 * Questions to a running gateway. Each replica has a Unix socket in the group's directory,
 * PID.gateway. It takes one word and answers with one JSON object. An error is
 * `{"ok":false,"code":…,"message":…}`.
 */
import net from 'node:net';
import { errorCode, FtError } from '../../lib/errors.js';
import { askAt, listenAt, onlySameUser } from '../host/unix-socket.js';
import type { Gateway, RelayReport } from './gateway.js';

/** What can be asked: a report; whether the file is valid; that the file be read again. */
export const QUESTIONS = ['report', 'check', 'reload'] as const;
/** One of them. */
export type Question = (typeof QUESTIONS)[number];

/** Relays in one report. */
const MAX_RELAYS = 10_000;
const MAX_QUESTION_BYTES = 64;
const MAX_ANSWER_BYTES = 8 * 1024 * 1024;
const TIMEOUT_MS = 5000;

/** The state of one server. */
export interface ServerReport {
  name: string;
  up: boolean;
  weight: number;
  backup: boolean;
  active: number;
  connections: number;
  connectFailures: number;
  healthFailures: number;
}

/** The state of one service. */
export interface ServiceReport {
  name: string;
  listen: string;
  /** Relays, clients that are being connected, and clients that wait for a server. */
  relays: number;
  connecting: number;
  waiting: number;
  counters: Record<string, number>;
  servers: ServerReport[];
}

/** What `ft-tcp gateway connections --json` prints. */
export interface GatewayReport {
  ok: true;
  role: 'primary' | 'backup';
  services: ServiceReport[];
  /** Relays at present. */
  relays: number;
  /** The first 10,000 of them. */
  connections: RelayReport[];
}

/** The report of a gateway now. */
export function reportOf(gateway: Gateway, role: GatewayReport['role'], relays: number): GatewayReport {
  return {
    ok: true,
    role,
    services: gateway.services.map((service) => ({
      name: service.settings.name,
      listen: service.listenText,
      relays: service.relays.size,
      connecting: service.sessions.size - service.waiting.size,
      waiting: service.waiting.size,
      counters: { ...service.counters },
      servers: service.servers.map(({ name, up, settings, active, counters }) => ({
        ...{ name, up, active, weight: settings.weight, backup: settings.backup },
        ...counters,
      })),
    })),
    relays,
    connections: gateway.relays(MAX_RELAYS),
  };
}

/** Where a replica's socket is. */
export function gatewaySocketPath(file: (name: string) => string, pid: number): string {
  return file(`${pid}.gateway`);
}

/** Serves the socket until closed. @param answer throws what the asker is told */
export function serveGateway(path: string, answer: (question: Question) => object): Promise<{ close(): void }> {
  const server = net.createServer(
    { allowHalfOpen: true },
    onlySameUser((socket) => {
      let received = '';
      socket.on('error', () => undefined);
      socket.on('data', (part: Buffer) => {
        received += part.toString();
        if (received.length > MAX_QUESTION_BYTES) socket.destroy();
      });
      socket.on('end', () => socket.end(JSON.stringify(answerTo(received.trim(), answer))));
    }),
  );
  return listenAt(server, path);
}

function answerTo(word: string, answer: (question: Question) => object): object {
  const question = QUESTIONS.find((one) => one === word);
  if (question === undefined) return { ok: false, code: 'ERR_FT_USAGE', message: `Unknown question "${word}"` };
  try {
    return answer(question);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { ok: false, code: errorCode(error) ?? 'ERR_FT', message };
  }
}

/**
 * Asks one replica. Throws FtError with the replica's reason, or ERR_FT_UNRESPONSIVE.
 * @returns null when the process is gone
 */
export async function askGateway(path: string, question: Question): Promise<object | null> {
  const reply = await askAt(path, TIMEOUT_MS, MAX_ANSWER_BYTES, question);
  if (reply === 'gone') return null;
  if (reply === 'unresponsive')
    throw new FtError(
      'ERR_FT_UNRESPONSIVE',
      `${path} did not answer within ${TIMEOUT_MS / 1000} s`,
      'See ft-tcp status',
    );
  const answer = reply.json as { ok?: boolean; code?: string; message?: string };
  if (answer.ok !== true) throw new FtError(answer.code ?? 'ERR_FT', answer.message ?? 'The question was refused');
  return answer;
}
