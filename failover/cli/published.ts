/** `--publish`: the network of a replica whose ports are this machine's. */
import { errorCode } from '../../lib/errors.js';
import type { Group } from '../host/group-directory.js';
import { type NetworkWish, type RaisedNetwork, raiseNetwork } from '../operate/publish/network.js';
import type { RunArguments } from './run-options.js';

/** The network while this process uses it. */
export interface PublishedNetwork {
  /** No other host is on the device. */
  readonly isPrivate: boolean;
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
  const { network: wish, options, supervisor } = args;
  if (wish === undefined) return [args, null];
  const raised = raiseNetwork({
    ...wish,
    group: args.group,
    directory: args.directory,
    isMadeBefore: supervisor !== undefined,
  });
  const { device, addresses, gateways, isPrivate } = raised;
  const network = { tap: device, addresses: [...addresses], gateway: options.gateway ?? [...gateways] };
  return [
    { ...args, options: { ...options, ...network } },
    { isPrivate, release: () => release(raised, group) },
  ];
}

function release(raised: RaisedNetwork, group: Group): void {
  try {
    // A group that could be resumed has a log: its network waits with it.
    raised.release(!hasLog(group));
  } catch (error) {
    process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: the network was not removed: ${messageOf(error)}\n`);
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

/** The network as a supervisor uses it: from its start to its end. */
export class SupervisedNetwork {
  readonly #raised: RaisedNetwork;

  /** Makes it. Throws as {@link publish} does. */
  constructor(
    readonly wish: NetworkWish,
    readonly group: Group,
  ) {
    this.#raised = raiseNetwork(wish);
  }

  /** Makes again what others have removed, as loading a firewall anew does. */
  repair(): void {
    try {
      raiseNetwork(this.wish).release(false);
    } catch (error) {
      process.stderr.write(`ft-tcp: ${errorCode(error) ?? 'ERR_FT'}: ${messageOf(error)}\n`);
    }
  }

  /** Removes it, when the group has ended. */
  release(): void {
    release(this.#raised, this.group);
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
