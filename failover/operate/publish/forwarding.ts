/**
 * Forwarding of the host, which published ports need. When it was off, it is turned on, and the
 * table `ft-tcp` drops what was not forwarded before. Its notes have the former values, which come
 * back when the last network goes. Interfaces that are made later are left to who makes them.
 */
import { errorCode, FtError } from '../../../lib/errors.js';
import { existsSync, readdirSync, readFileSync, writeFileSync } from '../../../lib/own-node.js';
import { note, notesOf } from './rules.js';
import { nftApply, nftList, runTool } from './tools.js';

/** The table of all groups. */
export const FORWARDING_TABLE = 'ft-tcp';

const SYSCTL = '/proc/sys/';
const FAMILIES = [
  { family: 'ipv4', all: 'net/ipv4/ip_forward', each: 'net/ipv4/conf' },
  { family: 'ipv6', all: 'net/ipv6/conf/all/forwarding', each: 'net/ipv6/conf' },
] as const;
/** Where router advertisements count only on a host (1), or on a router, too (2). */
const ON_HOSTS = '1';
const ALWAYS = '2';

/** The value of a sysctl; null: there is none. */
export function readSysctl(name: string): string | null {
  try {
    return readFileSync(SYSCTL + name, 'utf8').trim();
  } catch {
    return null;
  }
}

/** Sets a sysctl. Throws FtError EPERM, ERR_FT_PUBLISH. */
export function writeSysctl(name: string, value: string): void {
  try {
    writeFileSync(SYSCTL + name, value);
  } catch (error) {
    const setting = name.replaceAll('/', '.');
    const denied = ['EPERM', 'EACCES'].includes(errorCode(error) ?? '');
    throw new FtError(
      denied ? 'EPERM' : 'ERR_FT_PUBLISH',
      `${setting} cannot be set (${errorCode(error) ?? String(error)})`,
      `As root of the machine: sysctl -w ${setting}=${value}`,
    );
  }
}

/** Families without forwarding. */
function familiesOff(): (typeof FAMILIES)[number][] {
  return FAMILIES.filter(({ all }) => readSysctl(all) === '0');
}

function interfaces(directory: string): string[] {
  try {
    return readdirSync(SYSCTL + directory).filter((name) => !['all', 'default', 'lo'].includes(name));
  } catch {
    return [];
  }
}

/** What a family's forwarding changes, with the values now. */
function valuesBefore({ all, each, family }: (typeof FAMILIES)[number]): [string, string][] {
  const values: [string, string][] = [[all, '0']];
  for (const name of interfaces(each)) {
    const forwarding = `${each}/${name}/forwarding`;
    if (readSysctl(forwarding) === '1') values.push([forwarding, '1']);
    const advertisements = `${each}/${name}/accept_ra`;
    if (family === 'ipv6' && readSysctl(advertisements) === ON_HOSTS) values.push([advertisements, ON_HOSTS]);
  }
  return values;
}

/** Interfaces that forwarded nothing. Frames between ports of a bridge pass the same hook. */
function closedInterfaces({ each }: (typeof FAMILIES)[number]): string[] {
  return interfaces(each).filter(
    (name) => readSysctl(`${each}/${name}/forwarding`) === '0' && !existsSync(`/sys/class/net/${name}/bridge`),
  );
}

/** @param own devices of networks, which have rules of their own */
function tableText(own: readonly string[]): string {
  const lines = [`table inet ${FORWARDING_TABLE} {`];
  const off = familiesOff();
  for (const family of off) {
    const names = closedInterfaces(family).filter((name) => !own.includes(name));
    const elements = names.length === 0 ? [] : [`    elements = { ${names.map((name) => `"${name}"`).join(', ')} }`];
    lines.push(`  set closed-${family.family} {`, '    type ifname', ...elements, '  }');
  }
  lines.push('  chain about {');
  for (const [name, value] of off.flatMap(valuesBefore)) lines.push(note(name, value));
  lines.push('  }', '  chain forward {', '    type filter hook forward priority -2; policy accept;');
  for (const { family } of off)
    lines.push(`    meta nfproto ${family} iifname @closed-${family} oifname @closed-${family} drop`);
  return [...lines, '  }', '}', ''].join('\n');
}

/** Turns forwarding on where it is off. Throws FtError EPERM, ERR_FT_PUBLISH. */
export function openForwarding(own: readonly string[], hasTable: boolean): void {
  const off = familiesOff();
  if (off.length === 0) return;
  // The former values are known from the first time.
  if (!hasTable) nftApply(tableText(own));
  for (const family of off) {
    const before = valuesBefore(family);
    for (const [name, value] of before)
      if (name.endsWith('/accept_ra') && value === ON_HOSTS) writeSysctl(name, ALWAYS);
    writeSysctl(family.all, '1');
  }
}

/** Puts the former values back, where forwarding was turned on here. */
export function closeForwarding(): void {
  const notes = [...notesOf(nftList('table', 'inet', FORWARDING_TABLE))].filter(([name]) => name.startsWith('net/'));
  // Forwarding of all interfaces sets that of each.
  notes.sort(([, [one = '']], [, [other = '']]) => Number(one) - Number(other));
  for (const [name, [value = '']] of notes) if (readSysctl(name) !== null) writeSysctl(name, value);
  runTool('nft', ['delete', 'table', 'inet', FORWARDING_TABLE]);
}
