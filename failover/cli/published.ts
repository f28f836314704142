/** `--publish`: the network of a replica whose ports are this machine's. */
import { errorCode } from '../../lib/errors.js';
import type { Group } from '../host/group-directory.js';
import { type RaisedNetwork, raiseNetwork } from '../publish/network.js';
import type { RunArguments } from './run-options.js';

/** The network while this process uses it. */
export interface PublishedNetwork {
  /** Removes it, if this is the last process of a group that has ended. Never throws. */
  release(): void;
}

/**
 * Makes the network that the arguments ask for, or finds it.
 * @returns the arguments with its device and addresses, and null where no port is published
 *
 * Throws FtError EADDRINUSE, EBUSY, EPERM, ERR_FT_TOOLS and others of `raiseNetwork`.
 */
export function publish(args: RunArguments, group: Group): [RunArguments, PublishedNetwork | null] {
  const { network: wish, options } = args;
  if (wish === undefined) return [args, null];
  const raised = raiseNetwork({ ...wish, group: args.group, directory: args.directory });
  const { device, addresses, gateways } = raised;
  const network = { tap: device, addresses: [...addresses], gateway: options.gateway ?? [...gateways] };
  return [{ ...args, options: { ...options, ...network } }, { release: () => release(raised, group) }];
}

function release(raised: RaisedNetwork, group: Group): void {
  try {
    // A group that could be resumed has a log: its network waits with it.
    raised.release(!hasLog(group));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: the network was not removed: ${message}\n`);
  }
}

function hasLog(group: Group): boolean {
  try {
    return group.files().includes('log');
  } catch {
    // The directory is gone.
    return false;
  }
}
