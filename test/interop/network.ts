/**
 * The network of a cell: a TAP whose kernel side is the peer's, and what the peer's TCP is allowed
 * to use.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { ip } from '../../failover/lab/network.js';
import { FtError } from '../../lib/errors.js';

export const TAP = 'it0';
export const PORT = 7000;
/** By family: the kernel's address, and the stack's. */
export const ADDRESSES = {
  4: { kernel: '10.79.0.1', stack: '10.79.0.2', prefix: '10.79.0.0/24', bits: 24 },
  6: { kernel: 'fd79::1', stack: 'fd79::2', prefix: 'fd79::/64', bits: 64 },
} as const;

export function makeDevice(mtu: number, offload: boolean): void {
  ip(`tuntap add dev ${TAP} mode tap${offload ? ' vnet_hdr' : ''}`);
  ip(`link set ${TAP} mtu ${mtu} up`);
  for (const family of [4, 6] as const) {
    // IPv6 does not run over less (RFC 8200 section 5); the kernel takes it off the device by
    // itself.
    if (family === 6 && mtu < 1280) continue;
    const { kernel, bits, prefix } = ADDRESSES[family];
    ip(`-${family} addr add ${kernel}/${bits} dev ${TAP}${family === 6 ? ' nodad' : ''}`);
    try {
      ip(`-${family} route replace ${prefix} dev ${TAP} congctl cubic`);
    } catch {
      // A kernel without it keeps its default.
    }
  }
}

export function removeDevice(): void {
  try {
    ip(`link del ${TAP}`);
  } catch {
    // Gone with its last user.
  }
}

/** A setting of this network namespace. @returns what it was. */
export function setting(name: string, value: number | string): string {
  const path = `/proc/sys/net/${name}`;
  try {
    const before = readFileSync(path, 'utf8').trim();
    writeFileSync(path, String(value));
    return before;
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new FtError('EPERM', `net.${name} cannot be set here: ${why}`, 'Run as root, where /proc/sys can be written');
  }
}

/**
 * What the kernel of this namespace has counted, by "Group.Name" as in /proc/net/snmp and netstat.
 */
export function kernelCounters(): Map<string, number> {
  const counters = new Map<string, number>();
  for (const file of ['/proc/net/snmp', '/proc/net/netstat']) {
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    for (let i = 0; i + 1 < lines.length; i += 2) {
      const [group, ...names] = lines[i].split(' ');
      const values = lines[i + 1].split(' ').slice(1);
      names.forEach((name, at) => {
        counters.set(`${group.slice(0, -1)}.${name}`, Number(values[at]));
      });
    }
  }
  return counters;
}
