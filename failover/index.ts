/**
 * `ft-tcp`: run a program as a replica of a group from your own code. Most users want the command line (`ft-tcp run`);
 * {@link runCommand} is the same as a function.
 */

export { runCommand } from './cli/run.js';
export { type RunArguments, runArguments } from './cli/run-arguments.js';
export type { CommitMode } from './gate.js';
export { defaultDirectory, Group, type StartSnapshot } from './group.js';
export { loadProgram, patchNet } from './program.js';
export { Replica, type ReplicaEvents, type ReplicaOptions, type TakeoverReport } from './replica.js';
export { type Answer, askReplica, askStatus, type ReplicaStatus, serveStatus, statusOf } from './status.js';
