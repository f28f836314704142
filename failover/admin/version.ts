/** The version of this ft-tcp, as its package says. */
import { readFileSync } from '../../lib/own-node.js';

const PACKAGE = new URL('../../../package.json', import.meta.url);

/** For example `0.2.0`. */
export const VERSION = (JSON.parse(readFileSync(PACKAGE, 'utf8')) as { version: string }).version;
