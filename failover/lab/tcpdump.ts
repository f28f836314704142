/** Captures by tcpdump: starts it, and reads the frames of its file. */
import { type ChildProcess, spawn } from 'node:child_process';
import type { Readable } from 'node:stream';
import { FtError } from '../../lib/errors.js';

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MAGIC_US = 0xa1b2c3d4;

/**
 * Starts tcpdump; it captures when this resolves. Rejects with FtError ERR_FT_CAPTURE and tcpdump's
 * message.
 */
export function tcpdump(args: string[]): Promise<ChildProcess & { stdout: Readable; stderr: Readable }> {
  // Without -Z it drops the privilege to write to the file.
  const child = spawn('tcpdump', ['-n', '-Z', 'root', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  return new Promise((done, fail) => {
    let stderr = '';
    child.stderr.on('data', (part: Buffer) => {
      stderr += part.toString();
      if (stderr.includes('listening on')) done(child);
    });
    child.once('error', fail);
    child.once('exit', () => fail(new FtError('ERR_FT_CAPTURE', `tcpdump: ${stderr.trim()}`, 'Choose another file')));
  });
}

/** A captured frame; the end may be cut off. */
export interface Captured {
  /** Wall-clock microseconds. */
  atUs: number;
  frame: Buffer;
}

/**
 * The frames of a file of the classic format with microseconds, in either byte order. An incomplete
 * last record is left out.
 * @throws FtError ERR_FT_CAPTURE for another file
 */
export function* captured(bytes: Buffer): Generator<Captured> {
  const little = bytes.length >= FILE_HEADER && bytes.readUInt32LE(0) === MAGIC_US;
  if (!little && (bytes.length < FILE_HEADER || bytes.readUInt32BE(0) !== MAGIC_US))
    throw new FtError('ERR_FT_CAPTURE', 'The file is not a capture', 'Use a file that tcpdump wrote');
  const word = (at: number): number => (little ? bytes.readUInt32LE(at) : bytes.readUInt32BE(at));
  for (let at = FILE_HEADER; at + RECORD_HEADER <= bytes.length; ) {
    const next = at + RECORD_HEADER + word(at + 8);
    if (next > bytes.length) return;
    yield { atUs: word(at) * 1e6 + word(at + 4), frame: bytes.subarray(at + RECORD_HEADER, next) };
    at = next;
  }
}
