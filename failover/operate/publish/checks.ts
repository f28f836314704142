/** What stands in the way of published ports: for `ft-tcp doctor` and `ft-tcp net show`. */
import { FtError } from '../../../lib/errors.js';
import { accessSync, constants } from '../../../lib/own-node.js';
import type { Problem } from '../../host/device-check.js';
import { findTool, installHint } from '../../lab/required-tools.js';
import { readSysctl } from './forwarding.js';
import { findNetworks } from './network.js';
import type { PublishedPort } from './ports.js';
import { requireFreePorts } from './ports-taken.js';
import { TABLE_PREFIX } from './rules.js';
import { nftList } from './tools.js';

/** One thing that was looked at; null: nothing is in the way. */
export interface PublishCheck {
  readonly name: string;
  readonly problem: Problem | null;
  /** What was found, where there is no problem. */
  readonly found: string;
}

/** The problem that a call reports; null: it reports none. */
function problemOf(call: () => void): Problem | null {
  try {
    call();
    return null;
  } catch (error) {
    if (!(error instanceof FtError)) throw error;
    const { code, hint } = error;
    return { code, problem: error.message.slice(0, error.message.length - hint.length).replace(/\. $/, ''), hint };
  }
}

function forwardingProblem(): Problem | null {
  for (const name of ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding']) {
    if (readSysctl(name) !== '0') continue;
    try {
      accessSync(`/proc/sys/${name}`, constants.W_OK);
    } catch {
      const setting = name.replaceAll('/', '.');
      return {
        code: 'EPERM',
        problem: `${setting} is 0, and cannot be set from here`,
        hint: `As root: sysctl -w ${setting}=1`,
      };
    }
  }
  return null;
}

/** Chains of others that drop what is forwarded, unless a rule of theirs accepts it. */
export function firewallProblems(): Problem[] {
  return nftList('chains').flatMap(({ chain }): Problem[] => {
    const [family, table, name] = [chain?.['family'], chain?.['table'], chain?.['name']].map(String);
    if (chain?.['hook'] !== 'forward' || chain['policy'] !== 'drop' || table?.startsWith(TABLE_PREFIX)) return [];
    if (!['inet', 'ip', 'ip6'].includes(family ?? '')) return [];
    const rule = 'ct status dnat accept';
    return [
      {
        code: 'EACCES',
        problem: `the firewall's chain ${family} ${table} ${name} drops what is forwarded, unless a rule of it accepts it`,
        hint: `Let it accept published ports: nft insert rule ${family} ${table} ${name} ${rule}, and the answers: ct state established accept`,
      },
    ];
  });
}

/** All checks, for these ports. */
export function publishChecks(ports: readonly PublishedPort[]): PublishCheck[] {
  const nft = findTool('nft');
  const missing = {
    code: 'ERR_FT_TOOLS',
    problem: 'nft is not installed',
    hint: `Install it: ${installHint(['nft'])}`,
  };
  const checks: PublishCheck[] = [{ name: 'nft', problem: nft === null ? missing : null, found: nft ?? '' }];
  if (nft === null) return checks;
  const right = problemOf(() => void nftList('tables'));
  checks.push({ name: 'right to change rules', problem: right, found: 'CAP_NET_ADMIN' });
  const isOn = readSysctl('net/ipv4/ip_forward') === '1';
  checks.push({
    name: 'forwarding',
    problem: forwardingProblem(),
    found: isOn ? 'on' : 'off; --publish turns it on, for published ports only',
  });
  if (right !== null) return checks;
  const [firewall = null] = firewallProblems();
  checks.push({ name: 'firewall', problem: firewall, found: 'lets published ports through' });
  const taken = problemOf(() => requireFreePorts({ ports }, findNetworks()));
  checks.push({ name: 'ports', problem: taken, found: 'free' });
  return checks;
}
