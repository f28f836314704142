/**
 * The originals of the functions that the runtime patches, taken when this module is loaded. The
 * replica uses them where it needs Node's own while an event runs.
 */
import childProcess from 'node:child_process';
import crypto from 'node:crypto';
import fs from 'node:fs';

/** Any function, as patched code hands it on. */
export type AnyFunction = (...args: unknown[]) => unknown;

/** Node's own functions, by module. */
export const originals = {
  /** This process; to the program it is the first primary's. */
  pid: process.pid,
  Date: globalThis.Date,
  setTimeout: globalThis.setTimeout,
  clearTimeout: globalThis.clearTimeout,
  setInterval: globalThis.setInterval,
  clearInterval: globalThis.clearInterval,
  setImmediate: globalThis.setImmediate,
  clearImmediate: globalThis.clearImmediate,
  random: Math.random,
  performanceNow: globalThis.performance.now.bind(globalThis.performance),
  eventLoopUtilization: globalThis.performance.eventLoopUtilization.bind(globalThis.performance),
  cpuUsage: process.cpuUsage.bind(process),
  residentBytes: process.memoryUsage.rss.bind(process.memoryUsage),
  hrtime: process.hrtime,
  uptime: process.uptime,
  getActiveResourcesInfo: process.getActiveResourcesInfo.bind(process),
  crypto: { ...crypto },
  fs: { ...fs },
  fsPromises: { ...fs.promises },
  childProcess: { ...childProcess },
} as const;
