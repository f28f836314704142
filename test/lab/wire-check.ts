/**
 * The wire's invariants (test/sim/wire.ts), checked on what a real client saw: a capture at its
 * side of the TAP.
 */
import type { ChildProcess } from 'node:child_process';
import { readFileSync, rmSync } from 'node:fs';
import { STACK_ADDRESS, TAP } from '../../failover/lab/network.js';
import { captured, tcpdump } from '../../failover/lab/tcpdump.js';
import { Wire } from '../sim/wire.js';

/** Larger captures are not made: what is looked at are conversations, not streams. */
const MOST_MB = 200;

export class WireCheck {
  private constructor(
    readonly file: string,
    readonly child: ChildProcess,
  ) {}

  static async start(file: string): Promise<WireCheck> {
    const limits = ['-s', '0', '-C', String(MOST_MB), '-W', '1'];
    const words = ['-i', TAP, '-U', '--immediate-mode', '-B', '65536', ...limits, '-w', file, 'tcp'];
    return new WireCheck(file, await tcpdump(words));
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

/** Reads a capture. */
export function judge(bytes: Buffer): { frames: number; violations: string[] } {
  const server = Buffer.from(STACK_ADDRESS.split('.').map(Number));
  let nowUs = 0;
  const wire = new Wire(
    () => nowUs,
    () => false,
    null,
    true,
  );
  try {
    for (const { atUs, frame } of captured(bytes)) {
      nowUs = atUs;
      if (frame.length >= 34) wire.frame(frame, frame.subarray(26, 30).equals(server));
    }
  } catch (error) {
    return { frames: wire.frames, violations: [String(error)] };
  }
  // The client is the kernel's: what it does is its own.
  return { frames: wire.frames, violations: wire.violations.filter((text) => !text.includes(' client:')) };
}
