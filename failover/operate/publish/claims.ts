/**
 * Which processes use the network of a group. Each claims a name of the network namespace, which
 * the kernel frees when the process ends, even by SIGKILL. Who changes a network holds one lock.
 */
import { randomBytes } from 'node:crypto';
import { FtError } from '../../../lib/errors.js';
import { native } from '../../../lib/native/native.js';
import { readFileSync } from '../../../lib/own-node.js';
import type { Network } from './rules.js';

const LOCK = 'ft-tcp/net';
const POLL_MS = 10;
/** Another process changes the network for at most this time. */
const LOCK_MS = 15_000;

/** The group whose network it is. */
export type Owner = Pick<Network, 'group' | 'place'>;

function prefix({ group, place }: Owner): string {
  return `${LOCK}/${place}/${group}/`;
}

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** Calls `change` while no other process changes networks. Throws FtError EBUSY. */
export function whileLocked<T>(change: () => T): T {
  const addon = native();
  let fd = addon.lockName(LOCK);
  for (let waited = 0; fd < 0; waited += POLL_MS) {
    if (waited >= LOCK_MS) throw new FtError('EBUSY', 'Another process changes the network', 'Try again');
    Atomics.wait(sleeper, 0, 0, POLL_MS);
    fd = addon.lockName(LOCK);
  }
  try {
    return change();
  } finally {
    addon.closeFd(fd);
  }
}

/** Claims the network for this process. @returns what frees it */
export function claim(owner: Owner): () => void {
  const addon = native();
  const fd = addon.lockName(`${prefix(owner)}${process.pid}.${randomBytes(4).toString('hex')}`);
  return () => addon.closeFd(fd);
}

/** The processes that use the network; numbers of their own pid namespaces. */
export function usersOf(owner: Owner): number[] {
  const start = ` @${prefix(owner)}`;
  return readFileSync('/proc/self/net/unix', 'utf8')
    .split('\n')
    .filter((line) => line.includes(start))
    .map((line) => Number.parseInt(line.slice(line.indexOf(start) + start.length), 10));
}
