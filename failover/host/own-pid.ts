/** This process's own number, taken before the program's world can show it the primary's. */
export const ownPid = process.pid;
