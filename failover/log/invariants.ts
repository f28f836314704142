/**
 * The invariants of output commit: each name with its sentence. All of them always hold, and no
 * code looks here: the mutation check (test/sim/mutation.ts) replaces a part of the replica by one
 * that breaks an invariant (test/sim/mutants.ts), to see that the tests notice. The failure model
 * (docs/internals/failure-model.md) has the same sentences.
 */
export const INVARIANTS = {
  A1: 'No acknowledgement leaves before the bytes that it covers are in the log.',
  A2: "After a takeover the window's right edge is never left of what was advertised.",
  A3: 'What is acknowledged selectively is in the log.',
  D1: 'No data leaves before the events that the program had seen when it wrote it are in the log.',
  D2: 'The new primary knows how far the old one may have sent.',
  F1: 'No FIN leaves before the event in which the program closed is in the log.',
  F2: 'No RST leaves before the end of the connection is in the log.',
  T1: 'After a takeover timestamps continue where they were.',
  H1: 'No SYN-ACK leaves before the connection is in the log.',
  fence: 'A primary that is believed dead is killed, and its end is awaited.',
  threads: 'A primary counts as dead when none of its threads runs or is in a system call.',
  C1: '`acked`: no output leaves that depends on more of the log than the backups have.',
  E1: 'Effects outside of the stack happen on the primary only.',
  E2: 'After a takeover, operations without an outcome in the log are performed (again).',
  E3: "What a program reads at once comes from the log; what it reads beyond the log's end is logged by the successor.",
  P1: "Payload that was placed behind the log's end is relocated before a record is written there.",
  P2: 'Frames that a dead primary had in hand are relocated before its successor writes the log.',
  R1: 'No byte leaves on one connection of a relay before the pair is in the log.',
  R2: 'A backup that joins late is told which connections are pairs.',
  L1: 'Several machines: no frame leaves after the end of the lease.',
  S1: "Several machines: a machine is excluded only after the group's state says that it cannot become the leader.",
} as const;

/** The name of an invariant. */
export type Invariant = keyof typeof INVARIANTS;
