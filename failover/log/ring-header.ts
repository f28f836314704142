/**
 * The header of the shared log: 64 words (Int32, in the machine's byte order) at the start of the
 * mapped file. `HEADER_WORDS` is the only declaration of them: `Word`, the reference page
 * (docs/reference/log-format.md) and the tests are made from it.
 *
 * Memory model. A word moves between processes in one of two ways. "release": `Ring.store`, a
 * release store; the reader uses `Ring.load`, an acquire load, and then sees everything that the
 * writer stored before. "plain": an ordinary store, which is visible to others with the next
 * release store of the same process; the column `ordering` names that store. No word has two
 * concurrent writers, except those whose row says so.
 */

/** Bytes of the header page; the data area follows. */
export const RING_HEADER = 4096;
/** Words in the header. */
export const HEADER_WORD_COUNT = 64;
/** Byte offset of the shared secrets in the header page. */
export const SECRET_OFFSET = 256;
/** Bytes of the shared secrets. */
export const SECRET_LENGTH = 48;
/**
 * Byte offset of the clock offsets (group-clock.ts): two float64, monotonic microseconds and wall
 * milliseconds.
 */
export const CLOCK_OFFSETS_OFFSET = 320;
/** Value of the word `magic`. */
export const MAGIC = 0x46544c47;

/** What a number in the header means. */
export type WordUnit =
  | 'constant'
  | 'position' // 8-byte units of log, modulo 2^32; compared by difference
  | '8-byte units'
  | 'count'
  | 'flag' // 0 or 1
  | 'pid'
  | 'file descriptor'
  | 's' // CLOCK_MONOTONIC
  | 'ms' // CLOCK_MONOTONIC modulo 2^32
  | 'enum';

/** One word of the header. */
export interface HeaderWord {
  readonly name: string;
  /** Index of the word; its byte offset is four times that. */
  readonly word: number;
  readonly type: 'int32' | 'uint32';
  readonly unit: WordUnit;
  /**
   * Processes that store it. Reader: the backup, or with --cluster the agent on the primary's
   * machine.
   */
  readonly writtenBy: string;
  readonly readBy: string;
  /** How it is stored, and what must be visible before it. */
  readonly ordering: string;
  readonly meaning: string;
}

/**
 * The header's words, sorted by number. Numbers are part of the log's format and are never reused.
 */
export const HEADER_WORDS = [
  {
    name: 'magic',
    word: 0,
    type: 'int32',
    unit: 'constant',
    writtenBy: 'creator',
    readBy: 'all',
    ordering: 'release, last of the formatting: a log with the magic number has a complete header',
    meaning: 'marks a formatted log: 0x46544c47',
  },
  {
    name: 'version',
    word: 1,
    type: 'int32',
    unit: 'count',
    writtenBy: 'creator',
    readBy: 'all',
    ordering: 'plain, before `magic`',
    meaning: 'version of the format',
  },
  {
    name: 'units',
    word: 2,
    type: 'int32',
    unit: '8-byte units',
    writtenBy: 'creator',
    readBy: 'all',
    ordering: 'plain, before `magic`',
    meaning: 'size of the data area, a power of two',
  },
  {
    name: 'epoch',
    word: 3,
    type: 'int32',
    unit: 'count',
    writtenBy: 'primary, agent',
    readBy: 'primary, agent, status',
    ordering: 'plain, before the `head` that publishes the first record of the epoch',
    meaning: 'counts primaries (a term, 16 bits); records carry it',
  },
  {
    name: 'head',
    word: 4,
    type: 'uint32',
    unit: 'position',
    writtenBy: 'primary, agent',
    readBy: 'backup, agent',
    ordering: 'release, after the bytes of all records before it',
    meaning: 'published end of the log',
  },
  {
    name: 'tail',
    word: 5,
    type: 'uint32',
    unit: 'position',
    writtenBy: 'reader; primary when a reader joins',
    readBy: 'primary',
    ordering: 'release, after `readerBorrowed` and after the last read of what may be overwritten',
    meaning: 'end of what the reader has applied',
  },
  {
    name: 'writerPid',
    word: 6,
    type: 'int32',
    unit: 'pid',
    writtenBy: 'primary',
    readBy: 'backup, status',
    ordering: 'plain, before the first `head` of this primary',
    meaning: 'process that writes the log',
  },
  {
    name: 'readerPid',
    word: 7,
    type: 'int32',
    unit: 'pid',
    writtenBy: 'reader; primary (0 when none)',
    readBy: 'primary, status',
    ordering: 'plain, before `readerState`',
    meaning: 'process that reads the log',
  },
  {
    name: 'readerState',
    word: 8,
    type: 'int32',
    unit: 'enum',
    writtenBy: 'backup (Joining), primary (None, Live, Refused)',
    readBy: 'primary, backup',
    ordering: 'release, after `readerPid` (Joining) or after `startAt`, `tail` and the state transfer (Live)',
    meaning: 'ReaderState: 0 none, 1 joining, 2 live, 3 refused',
  },
  {
    name: 'heartbeat',
    word: 9,
    type: 'uint32',
    unit: 'count',
    writtenBy: 'primary',
    readBy: 'backup, agent',
    ordering: 'plain; no data depends on it',
    meaning: "turns of the primary's event loop",
  },
  {
    name: 'readerSleeping',
    word: 10,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'reader (1), primary (0)',
    readBy: 'primary',
    ordering: 'release; both sides also poll, so a wake-up that is lost costs one poll interval',
    meaning: 'the reader waits for the doorbell',
  },
  {
    name: 'truncated',
    word: 11,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'primary, agent',
    readBy: 'backup, agent, status',
    ordering: 'release, before bytes of the beginning are overwritten',
    meaning: 'the log has lost its beginning, or never had it',
  },
  {
    name: 'startAt',
    word: 12,
    type: 'uint32',
    unit: 'position',
    writtenBy: 'primary, agent',
    readBy: 'reader',
    ordering: 'plain, before `readerState` Live or `snapshotsCompleted`',
    meaning: 'where a reader that joins begins',
  },
  {
    name: 'readerFault',
    word: 13,
    type: 'int32',
    unit: 'enum',
    writtenBy: 'backup (Diverged, Leaving), primary',
    readBy: 'primary, backup, agent',
    ordering: 'release, before `readerState` Refused; Leaving before `shutdown` is loaded',
    meaning: 'ReaderFault: 0 none, 1 diverged, 2 too slow (for an agent: the log has a gap), 3 leaving',
  },
  {
    name: 'ready',
    word: 14,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'primary, agent',
    readBy: 'backup, agent',
    ordering: 'release, after the record `Started` is published: the heartbeat counts from here on',
    meaning: "the program's start-up is complete; 0 again while a takeover in state mode loads one",
  },
  {
    name: 'tapFd',
    word: 15,
    type: 'int32',
    unit: 'file descriptor',
    writtenBy: 'primary',
    readBy: 'backup',
    ordering: 'plain, before `readerState` Live',
    meaning: "the primary's device queue in its own process; 0 for none",
  },
  {
    name: 'eventEnd',
    word: 16,
    type: 'uint32',
    unit: 'position',
    writtenBy: 'primary, agent',
    readBy: 'backup, agent',
    ordering: 'release, after `head`: a writer that dies in between leaves no reader beyond `head`',
    meaning: 'published end of finished events; the running event lies between it and `head`',
  },
  {
    name: 'writerWaiting',
    word: 17,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'primary (1), reader (0)',
    readBy: 'reader',
    ordering: 'release, after `waitPosition`',
    meaning: 'output waits for the commit position; the reader rings the doorbell',
  },
  {
    name: 'readerReady',
    word: 18,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'backup or agent (1); primary (0)',
    readBy: 'primary, agent',
    ordering: 'release, after the `tail` (`commitPosition`) that output then waits for',
    meaning: 'the reader has reached the end of the log once; output may wait for it',
  },
  {
    name: 'shutdown',
    word: 19,
    type: 'int32',
    unit: 'enum',
    writtenBy: 'primary; agent of a follower',
    readBy: 'backup, agent, resume',
    ordering: 'release, after the records `Sent` are published (Switchover)',
    meaning: 'ShutdownKind: 0 none, 1 switchover, 2 end of the group',
  },
  {
    name: 'draining',
    word: 20,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'primary, agent',
    readBy: 'agent, next primary',
    ordering: 'release; no data depends on it',
    meaning: 'no new connections; the group ends with the last one',
  },
  {
    name: 'heartbeatSeconds',
    word: 21,
    type: 'int32',
    unit: 's',
    writtenBy: 'primary',
    readBy: 'resume',
    ordering: 'plain; read after the primary has ended',
    meaning: "time of the last turn of the primary's event loop",
  },
  {
    name: 'commitPosition',
    word: 22,
    type: 'uint32',
    unit: 'position',
    writtenBy: 'agent',
    readBy: 'primary',
    ordering: 'release, before `readerReady`',
    meaning: 'enough other machines hold the log to here; output may depend on it',
  },
  {
    name: 'leaseUntilMs',
    word: 23,
    type: 'uint32',
    unit: 'ms',
    writtenBy: 'agent',
    readBy: 'primary, its sender thread',
    ordering: 'release; no data depends on it',
    meaning: "end of the lease by the group's clock and CLOCK_BOOTTIME: no frame leaves after it",
  },
  {
    name: 'leaderLost',
    word: 24,
    type: 'int32',
    unit: 'enum',
    writtenBy: 'agent of a follower',
    readBy: 'backup',
    ordering: 'release, after the last `head`, `eventEnd` and `shutdown`',
    meaning: 'LeaderLost: 0 no, 1 the leader ended, 2 it hung; this replica takes over',
  },
  {
    name: 'snapshotsRequested',
    word: 25,
    type: 'uint32',
    unit: 'count',
    writtenBy: 'agent',
    readBy: 'primary',
    ordering: 'release; no data depends on it',
    meaning: 'state transfers that were asked for',
  },
  {
    name: 'snapshotsCompleted',
    word: 26,
    type: 'uint32',
    unit: 'count',
    writtenBy: 'primary',
    readBy: 'agent',
    ordering: 'release, after `startAt` and the `head` behind the state transfer',
    meaning: 'state transfers that are in the log, the last one from `startAt` on',
  },
  {
    name: 'mayServeAlone',
    word: 27,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'agent (1), primary (0)',
    readBy: 'primary',
    ordering: "release, after the group's state has been changed",
    meaning: "the group's state says that no other machine has the log; output may leave again",
  },
  {
    name: 'announceCount',
    word: 28,
    type: 'uint32',
    unit: 'count',
    writtenBy: 'agent',
    readBy: 'primary',
    ordering: 'release; no data depends on it',
    meaning: "requests to announce the group's addresses to neighbours",
  },
  {
    name: 'joinedLate',
    word: 29,
    type: 'int32',
    unit: 'flag',
    writtenBy: 'agent',
    readBy: 'primary',
    ordering: 'plain, before `readerReady`',
    meaning: 'a backup that protects has not seen the beginning of the log',
  },
  {
    name: 'waitPosition',
    word: 30,
    type: 'uint32',
    unit: 'position',
    writtenBy: 'primary',
    readBy: 'reader',
    ordering: 'plain, before `writerWaiting`',
    meaning: 'commit position that the first waiting output needs',
  },
  {
    name: 'replayFailures',
    word: 31,
    type: 'int32',
    unit: 'count',
    writtenBy: 'backup; primary (0 when a reader joins)',
    readBy: 'primary',
    ordering: 'release; no data depends on it',
    meaning: 'connections whose history the backup could not replay',
  },
  {
    name: 'readerBorrowed',
    word: 32,
    type: 'uint32',
    unit: '8-byte units',
    writtenBy: 'backup; primary (0 when a reader joins)',
    readBy: 'primary',
    ordering: 'release, before `tail`; the primary loads it after `tail`',
    meaning: 'log before `tail` that the backup still borrows (borrowed-log.ts)',
  },
  {
    name: 'borrowSupportPid',
    word: 33,
    type: 'int32',
    unit: 'pid',
    writtenBy: 'primary, agent',
    readBy: 'backup',
    ordering: 'plain, together with `writerPid`',
    meaning: 'a writer that respects `readerBorrowed`; writers of log version 3 do not',
  },
  {
    name: 'addressClaims',
    word: 34,
    type: 'int32',
    unit: 'count',
    writtenBy: 'primary',
    readBy: 'agent',
    ordering: 'release; no data depends on it',
    meaning: 'claims of our addresses by other hosts, one a second at most: the lease is to be renewed',
  },
  {
    name: 'addressClaimsAnswered',
    word: 35,
    type: 'int32',
    unit: 'count',
    writtenBy: 'agent',
    readBy: 'primary',
    ordering: 'release, after `leaseUntilMs`',
    meaning: '`addressClaims` + 1 when the lease was renewed last; 0: the agent does not answer',
  },
  {
    name: 'lockFd',
    word: 36,
    type: 'int32',
    unit: 'file descriptor',
    writtenBy: 'primary',
    readBy: 'backup',
    ordering: 'plain, before `readerState`',
    meaning: "descriptor that holds the primary's lock, for a backup to copy; 0: none",
  },
  {
    name: 'writerStartTime',
    word: 37,
    type: 'int32',
    unit: 'count',
    writtenBy: 'primary, agent (0)',
    readBy: 'backup',
    ordering: 'plain, together with `writerPid`',
    meaning: 'when that process started (proc(5), starttime, modulo 2^31); 0: not known',
  },
  {
    name: 'writerPidNamespace',
    word: 38,
    type: 'int32',
    unit: 'count',
    writtenBy: 'primary, agent (0)',
    readBy: 'backup',
    ordering: 'plain, together with `writerPid`',
    meaning: 'number of the pid namespace that `writerPid` belongs to, modulo 2^31; 0: not known',
  },
  {
    name: 'readerHeartbeat',
    word: 39,
    type: 'int32',
    unit: 'count',
    writtenBy: 'backup that is a warm standby; primary (0 when a reader joins)',
    readBy: 'primary',
    ordering: 'plain; no data depends on it',
    meaning: "turns of a warm standby's event loop; 0: no such standby follows",
  },
] as const satisfies readonly HeaderWord[];

type WordNumbers = { readonly [W in (typeof HEADER_WORDS)[number] as W['name']]: W['word'] };

/** Indices of the header's words, by name. */
export const Word = Object.fromEntries(HEADER_WORDS.map(({ name, word }) => [name, word])) as WordNumbers;

/** Values of the word `readerState`. */
export const ReaderState = { None: 0, Joining: 1, Live: 2, Refused: 3 } as const;

/** Values of the word `readerFault`: why a reader stopped. */
export const ReaderFault = {
  None: 0,
  /** The backup's program did something else than the primary's. */
  Diverged: 1,
  /** The backup did not keep up with the log. */
  TooSlow: 2,
  /** With an agent as the reader: the log has a gap, and all followers join anew; as TooSlow. */
  Gap: 2,
  /** The backup's process ends on purpose. */
  Leaving: 3,
} as const;

/** Values of the word `shutdown`: how a primary ends that was told to. */
export const ShutdownKind = {
  None: 0,
  /** The log says how far each connection has sent; the backup takes over. */
  Switchover: 1,
  /** No replica takes over. */
  GroupEnd: 2,
} as const;
/** A value of the word `shutdown`. */
export type ShutdownKind = (typeof ShutdownKind)[keyof typeof ShutdownKind];

/** Values of the word `leaderLost`. */
export const LeaderLost = { No: 0, Ended: 1, Hung: 2 } as const;
