/** `ft-tcp history` and `ft-tcp explain`: what happened to a group; what protects a connection. */
import { FtError } from '../../lib/errors.js';
import { adminSocketPath, sendCommand } from '../admin/commands.js';
import { ExitCode } from '../admin/error-codes.js';
import { type EventRecord, eventText } from '../admin/event-log.js';
import { type ExplainAnswer, type Explanation, parsePeer, REASONS } from '../admin/explain.js';
import { History } from '../admin/history.js';
import { askReplicas } from '../admin/replicas.js';
import { EXPLAIN, findGroup, HISTORY } from './group-options.js';
import { parseOptions, programIndex, usageError } from './options.js';

/** Version of what `history --json` and `explain --json` print. */
export const ANSWER_SCHEMA = 1;
const TIMEOUT_MS = 2000;

/** @returns 0, or 1 when there is no such group. Throws FtError ERR_FT_USAGE, ERR_FT_GROUP. */
export async function historyCommand(argv: string[]): Promise<number> {
  const values = parseOptions(HISTORY, argv);
  const group = findGroup(values);
  if (group === null)
    throw new FtError('ERR_FT_GROUP', `There is no group ${values.group}`, 'See ft-tcp list; check --group and --dir');
  const events = new History((name) => group.file(name)).read().slice(-values.last);
  if (values.json) process.stdout.write(`${JSON.stringify({ schema: ANSWER_SCHEMA, group: values.group, events })}\n`);
  else if (events.length === 0) process.stdout.write(`nothing has happened to group ${values.group}\n`);
  else for (const event of events) process.stdout.write(`${historyLine(event)}\n`);
  return ExitCode.Ok;
}

/** The day, then the event as text. */
function historyLine(event: EventRecord): string {
  const day = /^\d{4}-\d\d-\d\d/.exec(String(event['time']))?.[0] ?? '';
  return `${day} ${eventText(event)}`;
}

/**
 * @returns 0 when all connections of the peer are protected, else 1. Throws FtError ERR_FT_USAGE,
 * ERR_FT_NO_PRIMARY, ERR_FT_UNRESPONSIVE.
 */
export async function explainCommand(argv: string[]): Promise<number> {
  const at = programIndex(EXPLAIN.options, argv);
  const text = argv[at];
  const values = parseOptions(EXPLAIN, [...argv.slice(0, at), ...argv.slice(at + 1)]);
  const peer = text === undefined ? undefined : parsePeer(text);
  if (peer === undefined)
    throw usageError(
      'explain',
      `${text ?? 'No connection given'}: expected ADDRESS:PORT of the client, as 10.77.0.1:50123`,
    );
  const group = findGroup(values);
  const { replicas } = group === null ? { replicas: [] } : await askReplicas(group);
  const primary = replicas.find(({ role }) => role === 'primary');
  if (group === null || primary === undefined)
    throw new FtError('ERR_FT_NO_PRIMARY', `No primary of group ${values.group} answers`, 'See ft-tcp status');
  const path = adminSocketPath((name) => group.file(name), primary.pid);
  const answer = (await sendCommand(path, `explain ${text}`, TIMEOUT_MS)) as ExplainAnswer;
  const { connections, total, replayFailures } = answer;
  if (values.json)
    process.stdout.write(`${JSON.stringify({ schema: ANSWER_SCHEMA, connections, total, replayFailures })}\n`);
  else process.stdout.write(explainText(text ?? '', answer));
  return connections.length > 0 && connections.every(({ isProtected }) => isProtected) ? ExitCode.Ok : ExitCode.Failure;
}

/** The answer for people. */
export function explainText(peer: string, { connections, total, replayFailures }: ExplainAnswer): string {
  if (connections.length === 0)
    return `No connection with ${peer}; ${total} others are open. It may have ended, or its address be another one (NAT).\n`;
  const lines = connections.flatMap(explained);
  if (replayFailures > 0)
    lines.push(
      `The backup could not replay the history of ${replayFailures} independent connections. Those with the reason`,
      'history may be among them: see its events replay-failed.',
    );
  return `${lines.join('\n')}\n`;
}

function explained(one: Explanation): string[] {
  const { because, action } = REASONS[one.reason];
  const opened = one.openedBy === 'client' ? 'opened by the client' : 'opened by the program';
  const rtt = one.rttMs === 0 ? '' : `  rtt ${one.rttMs} ms`;
  return [
    `${one.remote} -> ${one.local}  ${one.state}  ${opened}${rtt}  unacknowledged ${one.unacknowledgedBytes} B  unread ${one.unreadBytes} B`,
    `  ${one.isProtected ? 'protected' : 'NOT PROTECTED'} (${one.reason}): ${because}`,
    ...(action === 'Nothing is to be done.' ? [] : [`  ${action}`]),
  ];
}
