/**
 * Versions of Node.js. ft-tcp replaces parts of net, http, tls and others, which differ from one to
 * the next.
 */
import { FtError } from '../../lib/errors.js';

/** Major versions of Node.js that the tests run on. */
export const SUPPORTED_NODE_MAJORS: readonly number[] = [20, 22, 24, 26];

/** As prose: `20, 22, 24 and 26`. */
export function supportedNodeVersions(): string {
  return `${SUPPORTED_NODE_MAJORS.slice(0, -1).join(', ')} and ${SUPPORTED_NODE_MAJORS.at(-1)}`;
}

/** Whether ft-tcp supports this version, as `20.11.1`. */
export function isSupportedNode(version: string): boolean {
  return SUPPORTED_NODE_MAJORS.includes(Number.parseInt(version, 10));
}

/** Throws FtError ERR_FT_NODE_VERSION when this version, as `20.11.1`, is not supported. */
export function requireSupportedNode(version: string): void {
  if (isSupportedNode(version)) return;
  throw new FtError(
    'ERR_FT_NODE_VERSION',
    `Node.js ${version} is not supported`,
    `Use one of ${supportedNodeVersions()}`,
  );
}
