/**
 * The events that a replica and an agent report: one JSON object per line (event-log.ts). This
 * table is the only place that declares them. {@link EventWriter} takes its types from it, and
 * docs/reference/events.md is generated from it.
 */

import type { EventField, EventLevel, EventSpec, FieldTypes } from './event-spec.js';

/**
 * Version of the events' format. It grows when a field changes its meaning or goes; new fields do
 * not change it.
 */
export const EVENT_SCHEMA = 1;

/** Fields of every event. */
export const COMMON_EVENT_FIELDS = {
  event: { type: 'string', meaning: "The event's name." },
  schema: { type: 'integer', meaning: `Version of this format: ${EVENT_SCHEMA}.` },
  level: {
    type: 'string',
    meaning: '`info`: nothing is to be done; `warning`: look at it; `error`: connections are lost or in danger.',
  },
  time: { type: 'string', meaning: 'Wall-clock time, UTC (ISO 8601, milliseconds).' },
  pid: { type: 'integer', meaning: 'The process that writes the event.' },
  group: { type: 'string', meaning: "The group's name (`--group`)." },
  host: { type: 'string', meaning: "The machine's host name." },
  node: { type: 'string', optional: true, meaning: "Agents only: the node's name in the cluster file." },
} as const satisfies Record<string, EventField>;

/** What a takeover rests on. */
export const PROOFS = {
  detectedBy: {
    type: 'string',
    meaning:
      'What showed the loss: `futex` (the kernel marked its event loop as dead), `pidfd` (its process had ended), `heartbeat`, `agent`, `lock` (a group is resumed).',
  },
  fencedBy: {
    type: 'string',
    meaning: 'What proved that it sends no more: `threads` (all were exiting), `process` (it had ended), `agent`.',
  },
} as const satisfies Record<string, EventField>;

/** Phases of a takeover. All times are of CLOCK_MONOTONIC. */
const BREAKDOWN = {
  reason: { type: 'string', meaning: '`death`, `hang` or `switchover`.' },
  ...PROOFS,
  atMonotonicUs: { type: 'integer', unit: 'µs', meaning: 'When the loss of the primary was detected.' },
  detectUs: { type: 'integer', unit: 'µs', meaning: 'Always 0: the death itself has no time stamp.' },
  fenceUs: {
    type: 'integer',
    unit: 'µs',
    meaning: 'Until the primary was known to send nothing more, and the lock was held.',
  },
  drainUs: { type: 'integer', unit: 'µs', meaning: 'Until the rest of the log was processed.' },
  attachUs: { type: 'integer', unit: 'µs', meaning: 'Until the network device was attached.' },
  firstByteUs: { type: 'integer', unit: 'µs', meaning: 'Until the first frame was sent.' },
  firstByteAtUs: { type: 'integer', unit: 'µs', meaning: 'When the first frame was sent.' },
  connections: { type: 'integer', meaning: 'Connections that were taken over.' },
  events: { type: 'integer', meaning: 'Log events that were processed during the takeover.' },
} as const satisfies Record<string, EventField>;

const EPOCH = { type: 'integer', meaning: "The group's epoch: it grows with every change of leader." } as const;
const CONNECTION = { type: 'integer', meaning: "The connection's number in the log; 0: none." } as const;
const NODE = { type: 'string', meaning: "The other node's name." } as const;
const MESSAGE = { type: 'string', meaning: 'The error.' } as const;

/** All events by name. */
export const EVENTS = {
  role: {
    source: 'replica',
    isHistory: true,
    when: 'The process knows its role, before the program is loaded.',
    action: 'None.',
    fields: {
      role: { type: 'string', meaning: '`primary` or `backup`.' },
      resumesPid: {
        type: 'integer',
        optional: true,
        meaning: 'Set when the group is resumed: the process that died last.',
      },
    },
  },
  ready: {
    source: 'replica',
    when: 'A primary accepts connections; a backup has caught up with the log.',
    action: 'None. A supervisor may start the next replica.',
    fields: { role: { type: 'string', meaning: '`primary` or `backup`.' } },
  },
  'backup-joining': {
    source: 'replica',
    when: 'On the primary: a backup follows the log, and has not caught up yet. Repeated each second.',
    action: 'None. `protected` follows. When `lagBytes` does not fall, the backup lacks CPU.',
    fields: {
      joinerPid: { type: 'integer', meaning: "The backup's process." },
      lagBytes: { type: 'integer', unit: 'bytes', meaning: 'What it still has to apply.' },
    },
  },
  protected: {
    source: 'replica',
    isHistory: true,
    when: 'On the primary: a backup has caught up, and could take over at once.',
    action: 'None. Connections that are not transferred stay unprotected until they close.',
    fields: { unprotected: { type: 'integer', meaning: 'Older connections that the backup cannot take over.' } },
  },
  unprotected: {
    source: 'replica',
    isHistory: true,
    when: 'On the primary: the backup is lost or was dropped.',
    action: 'Start a backup. See its own standard error for the cause.',
    fields: { reason: { type: 'string', meaning: 'Why there is no backup.' } },
  },
  'server-down': {
    source: 'replica',
    when: 'Gateway: a server has failed its health checks, and gets no new connections.',
    action: 'Look at the server.',
    fields: {
      service: { type: 'string', meaning: "The service's name." },
      server: { type: 'string', meaning: 'Its address and port.' },
    },
  },
  'server-up': {
    source: 'replica',
    when: 'Gateway: a server that was down has passed its health checks.',
    action: 'None.',
    fields: {
      service: { type: 'string', meaning: "The service's name." },
      server: { type: 'string', meaning: 'Its address and port.' },
    },
  },
  takeover: {
    source: 'replica',
    isHistory: true,
    when: 'A backup has become primary, and its first frame was sent.',
    action: 'Start a new backup. Find out why the old primary ended.',
    fields: {
      breakdown: { type: 'object', meaning: 'Cause, phases and sizes of the takeover.', fields: BREAKDOWN },
    },
  },
  quarantined: {
    source: 'replica',
    isHistory: true,
    isError: true,
    when: 'The event in which the primary died threw on the backup, too. Its connection was reset.',
    action: 'Fix the error in the program: this input crashes it.',
    fields: { connection: CONNECTION, error: { type: 'string', meaning: 'What the program threw.' } },
  },
  diverged: {
    source: 'replica',
    isHistory: true,
    isError: true,
    when: 'The program on the backup did something else than on the primary. The backup ends.',
    action:
      'Look for a nondeterministic-api event before it; see docs/guides/databases-and-services.md. Start a backup again.',
    fields: {
      reason: { type: 'string', meaning: 'The first difference.' },
      cause: {
        type: 'string | null',
        meaning: 'The likely cause by name: what the program called that a backup cannot repeat.',
      },
      eventNumber: {
        type: 'integer',
        meaning: 'The event in which it was found; the difference is in it or in the one before.',
      },
      eventKind: { type: 'string', meaning: 'What that event was.' },
      lastEvents: { type: 'string[]', meaning: 'The last events before it, at most 20, the latest one last.' },
      connection: CONNECTION,
      offset: {
        type: 'integer | null',
        meaning: 'Where the outputs to the connection differ first, in bytes; null: not known.',
      },
      here: {
        type: 'string | null',
        meaning:
          'What the program on the backup wrote there, at most 64 bytes, others than printable ASCII as `\\xNN`.',
      },
      primary: { type: 'string | null', meaning: 'What the program on the primary wrote there; null: not known.' },
    },
  },
  'nondeterministic-api': {
    source: 'replica',
    when: 'The program called an API that replay does not cover, for the first time.',
    action: 'Replace the call, or use --mode state; see docs/guides/databases-and-services.md.',
    fields: { api: { type: 'string', meaning: 'The API, for example `dgram.createSocket`.' } },
  },
  'replay-failed': {
    source: 'replica',
    isHistory: true,
    when: 'A backup that joined late could not replay the history of an independent connection.',
    action: 'Check that the server is independent, as it declares. This connection is not protected.',
    fields: { connection: CONNECTION, reason: { type: 'string', meaning: 'The first difference.' } },
  },
  'resume-skipped': {
    source: 'replica',
    isHistory: true,
    when: 'The process starts a new group although files of an old one exist.',
    action: 'None when the group was ended on purpose. Else clients have to connect again.',
    fields: { reason: { type: 'string', meaning: 'Why the old group was not resumed.' } },
  },
  resumed: {
    source: 'replica',
    isHistory: true,
    when: 'The process continues a group whose processes had all died, with its log and environment.',
    action: 'None. To begin anew instead: `ft-tcp drain` before, or `--restart-window 0`.',
    fields: {
      diedPid: { type: 'integer', meaning: 'The process that died last.' },
      deadSeconds: { type: 'integer', unit: 's', meaning: 'How long ago that was.' },
      beginAnew: { type: 'string', meaning: 'The option that begins a new group instead.' },
    },
  },
  'environment-differs': {
    source: 'replica',
    when: 'Environment variables of this process differ from those of the group. The program sees those of the group.',
    action: 'None, when they do not matter. Else end the group (`ft-tcp drain`), and begin anew.',
    fields: { variables: { type: 'string[]', meaning: 'Their names.' } },
  },
  'directory-removed': {
    source: 'replica',
    isError: true,
    when: "On the primary: its group's directory has been removed or replaced. No backup can follow any more.",
    action: 'Find out who removes it (`RuntimeDirectory=` does). Drain the group by SIGTERM, and start it again.',
    fields: { directory: { type: 'string', meaning: 'Its path.' } },
  },
  'group-ended': {
    source: 'replica',
    when: 'The group ended on purpose while this process waited for a place in it. The process ends, too.',
    action: 'None.',
    fields: {},
  },
  ending: {
    source: 'replica',
    isHistory: true,
    when: 'The last replica was told to end by a signal. It closes its connections.',
    action: 'None. It ends when they are closed, or after `--grace`.',
    fields: {
      signal: { type: 'string', meaning: '`SIGTERM`, `SIGINT` or `SIGHUP`.' },
      connections: { type: 'integer', meaning: 'Connections that are open.' },
    },
  },
  'connections-reset': {
    source: 'replica',
    isHistory: true,
    isError: true,
    when: 'Connections were still open when `--grace` was over. They were reset.',
    action: 'A larger `--grace`, when clients should have had more time.',
    fields: { connections: { type: 'integer', meaning: 'How many.' } },
  },
  'left-out': {
    source: 'replica',
    when: 'Events of one name came too fast, or could not be written. Agents report it, too.',
    action: 'Look at what repeats. With `--events`: make room, and see that somebody reads.',
    fields: {
      of: { type: 'string', meaning: 'The name of the events.' },
      count: { type: 'integer', meaning: 'How many were left out since the last line of this kind.' },
    },
  },
  'metrics-unavailable': {
    source: 'replica',
    when: 'Nothing can listen at the address of `--metrics`. The replica tries again, and does everything else.',
    action: 'Choose another address, or end the process that has it. `GET /metrics` on the admin socket works.',
    fields: { address: { type: 'string', meaning: 'The address.' }, message: MESSAGE },
  },
  'program-failed': {
    source: 'replica',
    isHistory: true,
    isError: true,
    when: 'The program threw while it was loaded. The process ends.',
    action: 'Fix the program.',
    fields: { message: MESSAGE },
  },
  'standing-by': {
    source: 'replica',
    when: 'Warm standby: the program is loaded. The replica takes the place of the backup, as soon as it is free.',
    action: 'None. `ready` follows.',
    fields: { ports: { type: 'string', meaning: 'Where it listens by now, as `80 443`.' } },
  },
  'standby-failed': {
    source: 'replica',
    isHistory: true,
    when: 'Warm standby: the program threw, or ended its process, while it stood by. The primary goes on.',
    action: 'Fix the program, and start the standby again.',
    fields: { message: MESSAGE },
  },
  'kernel-socket': {
    source: 'replica',
    when: "The program has a connection or a server that its stack cannot carry: it is the kernel's, recorded.",
    action: 'None. After a takeover connections end with ECONNRESET; see docs/guides/databases-and-services.md.',
    fields: { what: { type: 'string', meaning: 'For example `connection to 127.0.0.1 port 5432`.' } },
  },
  'program-ended': {
    source: 'replica',
    isHistory: true,
    when: 'The program has nothing left to do: no server, connection, timer or operation. All replicas end.',
    action: 'None.',
    fields: { code: { type: 'integer', meaning: 'Exit code of the primary.' } },
  },
  serving: {
    source: 'supervisor',
    when: 'The first replica accepts connections.',
    action: 'None.',
    fields: {
      at: { type: 'string[]', meaning: 'Where: ADDRESS:PORT of each published port, or the addresses of the stack.' },
    },
  },
  'replica-restarting': {
    source: 'supervisor',
    isHistory: true,
    when: 'A replica has ended, and is started again after a time.',
    action: 'See why it ended. The group goes on with the other one, unprotected until the new one is ready.',
    fields: {
      replicaPid: { type: 'integer', meaning: 'The process that ended.' },
      how: { type: 'string', meaning: 'Its exit code, or the signal.' },
      delayMs: { type: 'integer', unit: 'ms', meaning: 'The time until the next start.' },
    },
  },
  'replica-given-up': {
    source: 'supervisor',
    isHistory: true,
    isError: true,
    when: 'Replicas ended too often in a row, or another start would end alike. No more are started in this place.',
    action: 'See why they end. Start `ft-tcp up` again: the group continues from its log.',
    fields: {
      replicaPid: { type: 'integer', meaning: 'The process that ended last.' },
      how: { type: 'string', meaning: 'Its exit code, or the signal.' },
      failures: { type: 'integer', meaning: 'Ends in a row, each soon after its start.' },
    },
  },
  leader: {
    source: 'agent',
    isHistory: true,
    when: "This node's replica is the primary.",
    action: 'None.',
    fields: { epoch: EPOCH, reason: { type: 'string', meaning: '`new-group`, `resume` or `takeover`.' } },
  },
  follower: {
    source: 'agent',
    when: 'This node receives the log of the leader.',
    action: 'None.',
    fields: {
      epoch: EPOCH,
      leader: NODE,
      incremental: { type: 'boolean', meaning: 'It already had the log and needs only what is missing.' },
    },
  },
  disconnected: {
    source: 'agent',
    when: 'This node has the log and has lost its leader. It may become leader.',
    action: 'Look at the leader and the network between the nodes.',
    fields: {
      epoch: EPOCH,
      leader: { type: 'string', meaning: 'The leader that was lost.' },
      reason: { type: 'string', meaning: 'How it was lost.' },
    },
  },
  joining: {
    source: 'agent',
    when: 'This node looks for a leader, or asks it for the log.',
    action: 'None; when it lasts, check that the other nodes run and can be reached.',
    fields: { epoch: EPOCH },
  },
  'in-sync': {
    source: 'agent',
    when: 'On the leader: the set of nodes that may take over has changed.',
    action: 'When a node is missing, look at it.',
    fields: {
      nodes: { type: 'string[]', meaning: 'Nodes that have all of the log, the leader among them.' },
      requiredBackups: { type: 'integer', meaning: 'Backups that must hold the log before output is sent.' },
    },
  },
  'lease-acquired': {
    source: 'agent',
    when: 'On the leader: the primary may send.',
    action: 'None.',
    fields: { epoch: EPOCH },
  },
  'lease-lost': {
    source: 'agent',
    isHistory: true,
    isError: true,
    when: 'On the leader: the lease has run out. The primary sends nothing.',
    action: 'Look at the coordinator and the way to it. Connections wait.',
    fields: { epoch: EPOCH },
  },
  'address-claimed': {
    source: 'agent',
    when: 'On the leader: another host claims an address of the primary, by ARP or neighbour discovery. The lease is renewed before anything is sent.',
    action: 'Unless a takeover has just happened, look for the host that has the address.',
    fields: { epoch: EPOCH },
  },
  'stepped-down': {
    source: 'agent',
    isHistory: true,
    when: 'Another node leads. This node ends its replica and joins again.',
    action: 'None.',
    fields: { epoch: EPOCH },
  },
  'primary-hung': {
    source: 'agent',
    isHistory: true,
    when: "The primary's event loop made no progress for the hang timeout. It is killed.",
    action: 'Look for long synchronous work in the program; see --hang-timeout.',
    fields: { replicaPid: { type: 'integer', meaning: 'The process that is killed.' } },
  },
  'backup-hung': {
    source: 'agent',
    isHistory: true,
    when: 'The backup processed nothing of the log for twice the hang timeout. It is killed.',
    action: 'Look for long synchronous work in the program; see --hang-timeout.',
    fields: { replicaPid: { type: 'integer', meaning: 'The process that is killed.' } },
  },
  'replica-died': {
    source: 'agent',
    isHistory: true,
    when: "The replica's process ended with an error or by a signal.",
    action: "Look at the replica's standard error. The agent starts it again.",
    fields: {
      code: { type: 'integer | null', meaning: 'Exit code; null: ended by a signal.' },
      signal: { type: 'string | null', meaning: 'The signal; null: none.' },
    },
  },
  'replica-exited': {
    source: 'agent',
    when: 'On the leader: the primary has ended.',
    action: 'None when it was planned.',
    fields: {
      code: { type: 'integer | null', meaning: 'Exit code; null: ended by a signal.' },
      shutdown: { type: 'integer', meaning: '0: not planned, 1: switchover, 2: the group has ended.' },
    },
  },
  'peer-up': {
    source: 'agent',
    when: 'The connection to another node is established.',
    action: 'None.',
    fields: { peer: NODE },
  },
  'peer-down': {
    source: 'agent',
    when: 'The connection to another node is lost.',
    action: 'Look at that node and the network, unless it was stopped on purpose.',
    fields: { peer: NODE },
  },
  'fence-delayed': {
    source: 'agent',
    when: 'The group has not been whole since the last fence. The next fence waits, so that nodes do not fence each other in turn.',
    action: 'Find out why the agents cannot hear each other. Once both nodes are in sync, nothing waits.',
    fields: {
      peer: NODE,
      delayMs: { type: 'integer', unit: 'ms', meaning: 'How long the fence waits.' },
      fences: { type: 'integer', meaning: 'Fences since both nodes were in sync.' },
    },
  },
  coordinator: {
    source: 'agent',
    when: 'The coordinator did not answer, or answered with an error (one of 50 is reported).',
    action: 'Look at the coordinator.',
    fields: { message: MESSAGE },
  },
} as const satisfies Record<string, EventSpec>;

/** Name of an event. */
export type EventName = keyof typeof EVENTS;

type FieldValue<F> = F extends { fields: infer N }
  ? FieldValues<N>
  : F extends { type: infer T extends keyof FieldTypes }
    ? FieldTypes[T]
    : never;
type OptionalKeys<F> = { [K in keyof F]: F[K] extends { optional: true } ? K : never }[keyof F];
type FieldValues<F> = { [K in Exclude<keyof F, OptionalKeys<F>>]: FieldValue<F[K]> } & {
  [K in OptionalKeys<F>]?: FieldValue<F[K]>;
};

/** The fields that an event has beside {@link COMMON_EVENT_FIELDS}. */
export type EventData<N extends EventName> = FieldValues<(typeof EVENTS)[N]['fields']>;

/** Writes one event. */
export type EventWriter = <N extends EventName>(event: N, data: EventData<N>) => void;

/** How much an event matters, by its row in the table. */
export function levelOf(event: EventName): EventLevel {
  const { action, isError }: EventSpec = EVENTS[event];
  if (isError === true) return 'error';
  return action.startsWith('None') ? 'info' : 'warning';
}
