/** This process's number, read before the runtime shows the program the primary's. */
export const ownPid = process.pid;
