/** Timers of Node as they are when this module is loaded: the replica's own, not the program's. */
export const { clearTimeout, setTimeout } = globalThis;
