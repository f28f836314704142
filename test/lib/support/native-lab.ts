/**
 * What the tests of the native addon share: child processes, reference implementations, a scratch
 * directory.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { errorCode } from '../../../lib/errors.js';

const ROLES = fileURLToPath(new URL('./native-roles.js', import.meta.url));

/** A child process in a role. */
export interface Role {
  child: ChildProcessWithoutNullStreams;
  /** The next line that it prints. */
  line(): Promise<string>;
}

/** Starts a child process in a role of native-roles.ts. */
export function play(role: string, ...args: string[]): Role {
  const child = spawn(process.execPath, [ROLES, role, ...args]);
  child.stderr.resume();
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return { child, line: async () => ((await lines.next()).value as string | undefined) ?? '(ended)' };
}

/** CRC-32C, written independently of the C code. */
export function crcByTable(bytes: Uint8Array): number {
  const table = Uint32Array.from({ length: 256 }, (_, i) => {
    let crc = i;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1;
    return crc;
  });
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (crc >>> 8) ^ table[(crc ^ byte) & 255];
  return ~crc >>> 0;
}

/** Sum of 16-bit words plus `seed`, folded. */
export function sumOfWords(bytes: Uint8Array, seed: number): number {
  let sum = seed;
  for (let i = 0; i < bytes.length; i += 2) sum += (bytes[i] << 8) | (bytes[i + 1] ?? 0);
  while (sum > 0xffff) sum = Math.floor(sum / 65536) + (sum % 65536);
  return sum;
}

/** Repeatable numbers, so that a failure can be seen again. */
export function* numbers(seed: number): Generator<number, never> {
  for (let x = seed; ; ) {
    x = (Math.imul(x, 1664525) + 1013904223) >>> 0;
    yield x >>> 8;
  }
}

/** The code of the error that a call throws; undefined when it does not. */
export function codeOf(call: () => unknown): string | undefined {
  try {
    call();
  } catch (error) {
    return errorCode(error);
  }
  return undefined;
}

/**
 * 640 bytes of ChaCha20's key stream, written independently of the C code (BigInt-free, straight
 * from the definition).
 */
export function chacha20(keyByte: number, nonceLo: number, nonceHi: number): Uint8Array {
  const keyWord = Math.imul(keyByte, 0x01010101);
  const out = new Uint8Array(640);
  const view = new DataView(out.buffer);
  for (let block = 0; block < 10; block++) {
    const start = Uint32Array.of(
      0x61707865,
      0x3320646e,
      0x79622d32,
      0x6b206574,
      ...Array(8).fill(keyWord),
      block,
      0,
      nonceLo,
      nonceHi,
    );
    const x = start.slice();
    const mix = (a: number, b: number, c: number, d: number): void => {
      for (const [p, q, r, by] of [
        [a, b, d, 16],
        [c, d, b, 12],
        [a, b, d, 8],
        [c, d, b, 7],
      ] as const) {
        x[p] += x[q];
        const word = x[r] ^ x[p];
        x[r] = (word << by) | (word >>> (32 - by));
      }
    };
    for (let round = 0; round < 10; round++) {
      for (let i = 0; i < 4; i++) mix(i, 4 + i, 8 + i, 12 + i);
      for (let i = 0; i < 4; i++) mix(i, 4 + ((i + 1) & 3), 8 + ((i + 2) & 3), 12 + ((i + 3) & 3));
    }
    for (let i = 0; i < 16; i++) view.setUint32(block * 64 + i * 4, x[i] + start[i], true);
  }
  return out;
}

/** A directory that a test file's end removes. @returns the path of a name in it */
export function scratch(t: { teardown(fn: () => void): void }): (name: string) => string {
  const directory = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'ft-native-'));
  t.teardown(() => rmSync(directory, { recursive: true, force: true }));
  return (name) => join(directory, name);
}
