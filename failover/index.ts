/**
 * The library: run a program as a replica of a group from your own code. {@link startReplica} finds
 * the process's role, {@link loadProgram} loads a program onto the replica. `ft-tcp run`
 * (`ft-tcp/cli`) is the same with options, events and signals.
 */

export { type Answer, askReplica, askStatus, type ReplicaStatus, serveStatus, statusOf } from './admin/status.js';
export { defaultDirectory, Group, type StartSnapshot } from './host/group-directory.js';
export { programDigest } from './host/program-digest.js';
export type { CommitMode } from './primary/output-gate.js';
export { findProgram, loadProgram } from './replica/load-program.js';
export { patchNet } from './replica/program.js';
export { Replica, type ReplicaEvents, type ReplicaOptions, type TakeoverReport } from './replica/replica.js';
export { type StartEvents, type StartOptions, startReplica } from './replica/start.js';
