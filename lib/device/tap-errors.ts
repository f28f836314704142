/** Options and errors of TAP and TUN devices, in words that say what to do. */
import { getSystemErrorName } from 'node:util';
import { errorCode, FtError } from '../errors.js';
import type { TapRequest } from '../native/native.js';

/** Largest number of frames in one batch. */
export const MAX_SLOTS = 64;
const EBADFD = 77;

/** The name of a negative errno. Node does not know the one of a device without an interface. */
export function errnoName(errno: number): string {
  return errno === -EBADFD ? 'EBADFD' : getSystemErrorName(errno);
}

/** Checks options before the kernel sees them. @throws FtError EINVAL, ERR_OUT_OF_RANGE */
export function checkOptions(request: TapRequest, slots: number): void {
  const bytes = Buffer.byteLength(request.name);
  if (bytes < 1 || bytes > 15 || /[\s/:\0]/.test(request.name) || request.name === '.' || request.name === '..') {
    throw new FtError(
      'EINVAL',
      `'${request.name}' is not a name for a network interface`,
      'Choose 1 to 15 bytes without spaces, slashes and colons, such as ft0.',
    );
  }
  if (!Number.isInteger(slots) || slots < 1 || slots > MAX_SLOTS) {
    throw new FtError('ERR_OUT_OF_RANGE', `slots must be a whole number from 1 to ${MAX_SLOTS}`);
  }
  if (request.detached && !request.multiQueue) {
    throw new FtError('EINVAL', 'A device with a single queue cannot be opened detached', 'Add multiQueue: true.');
  }
}

/** An error of the addon as an FtError with the system's code. */
export function explain(error: unknown, message: string, hint = ''): FtError {
  if (error instanceof FtError) return error;
  const text = error instanceof Error ? error.message : String(error);
  return new FtError(errorCode(error) ?? 'ERR_FT_DEVICE', `${message} (${text})`, hint);
}

/** The same for an error of opening a device. */
export function explainOpen(error: unknown, request: TapRequest): FtError {
  const hints: Record<string, string> = {
    EPERM:
      'Creating a network interface needs CAP_NET_ADMIN: run as root, or inside `unshare -Urn` (a network of your own), or ' +
      'have root create it for you: ip tuntap add dev ' +
      `${request.name} mode ${request.mode} user $USER${request.multiQueue ? ' multi_queue' : ''}${request.offload ? ' vnet_hdr' : ''}.`,
    EACCES: 'The device file may not be opened: run as root, or have root run: chmod 666 /dev/net/tun.',
    EBUSY: request.multiQueue
      ? 'Another process holds the interface with a single queue: stop it, or open it with multiQueue: true there too.'
      : 'Another process holds the interface: stop it, choose another name, or open it with multiQueue: true in both.',
    ENOENT: 'There is no /dev/net/tun: load the module (modprobe tun), or give the container --device /dev/net/tun.',
    ENODEV: 'The kernel has no driver for /dev/net/tun: load the module (modprobe tun).',
    EINVAL:
      `Is ${request.name} an interface of another kind? Its type (${request.mode}) and number of queues ` +
      `(multiQueue: ${request.multiQueue}) must be as it was created; ip -d link show ${request.name} tells.`,
    E2BIG: 'All queues of the interface are in use.',
  };
  const code = errorCode(error) ?? '';
  return explain(error, `Cannot open the ${request.mode} device '${request.name}'`, hints[code] ?? '');
}
