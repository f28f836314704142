/**
 * A program's context of a connection, as it is saved for a successor (state mode,
 * docs/guides/state-mode.md).
 */
import { serialize } from 'node:v8';
import { FtError } from '../../lib/errors.js';

/** Longest context, bytes. */
const MAX_CONTEXT_BYTES = 65_536;

/**
 * Encodes any value that `structuredClone` takes.
 * @throws FtError ERR_FT_CONTEXT when it is longer than 64 KiB
 */
export function encodeContext(context: unknown): Uint8Array {
  const bytes = serialize(context);
  if (bytes.length > MAX_CONTEXT_BYTES)
    throw new FtError(
      'ERR_FT_CONTEXT',
      `The context of a connection has ${bytes.length} bytes`,
      `Keep it below ${MAX_CONTEXT_BYTES} bytes, and store larger data elsewhere`,
    );
  return bytes;
}
