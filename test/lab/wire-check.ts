/** The wire's invariants (test/sim/wire.ts), checked on what a real client saw: a capture at its side of the TAP. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { Wire } from '../sim/wire.js';

const FILE_HEADER = 24;
const RECORD_HEADER = 16;
const MAGIC_US = 0xa1b2c3d4;
/** Larger captures are not made: what is looked at are conversations, not streams. */
const MOST_MB = 200;

export class WireCheck {
  private constructor(
    readonly file: string,
    readonly child: ChildProcess,
  ) {}

  static start(file: string): Promise<WireCheck> {
    const args = [
      '-i',
      TAP,
      '-n',
      '-U',
      '--immediate-mode',
      '-B',
      '65536',
      '-s',
      '0',
      '-C',
      String(MOST_MB),
      '-W',
      '1',
      '-w',
      file,
      '-Z',
      'root',
      'tcp',
    ];
    const child = spawn('tcpdump', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    return new Promise((done, fail) => {
      child.stderr.on('data', (text: Buffer) => text.includes('listening on') && done(new WireCheck(file, child)));
      child.once('exit', () => fail(new Error('tcpdump has ended')));
    });
  }

  /** What the servers did wrong; and how many frames were looked at. */
  async stop(): Promise<{ frames: number; violations: string[]; whole: boolean }> {
    // The kernel hands captured frames over in blocks.
    await new Promise((done) => setTimeout(done, 200));
    let said = '';
    this.child.stderr?.on('data', (text: Buffer) => {
      said += text.toString();
    });
    const ended = new Promise((done) => this.child.once('close', done));
    this.child.kill('SIGINT');
    await ended;
    // Who has not seen all cannot judge.
    const whole = /^0 packets dropped by kernel/m.test(said);
    const outcome = whole ? judge(readFileSync(this.file)) : { frames: 0, violations: [] };
    rmSync(this.file);
    return { ...outcome, whole };
  }
}

/** Reads a capture of the classic format, microseconds, little-endian. */
export function judge(bytes: Buffer): { frames: number; violations: string[] } {
  const server = Buffer.from(STACK_ADDRESS.split('.').map(Number));
  let nowUs = 0;
  const wire = new Wire(
    () => nowUs,
    () => false,
    null,
    true,
  );
  if (bytes.length < FILE_HEADER || bytes.readUInt32LE(0) !== MAGIC_US)
    return { frames: 0, violations: ['no capture'] };
  for (let at = FILE_HEADER; at + RECORD_HEADER <= bytes.length; ) {
    const length = bytes.readUInt32LE(at + 8);
    nowUs = bytes.readUInt32LE(at) * 1e6 + bytes.readUInt32LE(at + 4);
    const frame = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length);
    at += RECORD_HEADER + length;
    if (frame.length < 34 || frame.length < length) continue;
    wire.frame(frame, frame.subarray(26, 30).equals(server));
  }
  // The client is the kernel's: what it does is its own.
  return { frames: wire.frames, violations: wire.violations.filter((text) => !text.includes(' client:')) };
}
