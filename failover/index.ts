/**
 * `ft-tcp`: run a program as a replica of a group from your own code. Most users want the command line (`ft-tcp run`);
 * {@link runCommand} is the same as a function.
 */

export { type Answer, askReplica, askStatus, type ReplicaStatus, serveStatus, statusOf } from './admin/status.js';
export { runCommand } from './cli/run.js';
export { type RunArguments, runArguments } from './cli/run-options.js';
export { defaultDirectory, Group, type StartSnapshot } from './host/group-directory.js';
export type { CommitMode } from './primary/output-gate.js';
export { loadProgram, patchNet } from './replica/program.js';
export { Replica, type ReplicaEvents, type ReplicaOptions, type TakeoverReport } from './replica/replica.js';
