/** A capture at the client's side of the TAP, and how many connections it shows. */
import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { TAP } from '../lab/network.js';
import { captured, tcpdump } from '../lab/tcpdump.js';

const SNAPLEN = 128;
/** Where the IP header begins, behind the Ethernet header. */
const IP_AT = 14;
const SYN = 0x02;
const ACK = 0x10;

/** A running capture by tcpdump. */
export class Capture {
  private constructor(
    readonly file: string,
    readonly child: ChildProcess,
  ) {}

  /** Starts a capture. Rejects with FtError ERR_FT_CAPTURE. */
  static async start(file: string): Promise<Capture> {
    const args = ['-i', TAP, '-U', '-B', '65536', '-s', String(SNAPLEN), '-w', file];
    return new Capture(file, await tcpdump(args));
  }

  /** Ends the capture. @returns what is in it. */
  async stop(): Promise<{ file: string; frames: number; connections: number }> {
    // The kernel delivers captured frames in blocks, the last one a moment later.
    await new Promise((done) => setTimeout(done, 300));
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGINT');
    await ended;
    return { file: this.file, ...count(readFileSync(this.file)) };
  }
}

/**
 * Counts frames, and connections that were opened: a SYN without ACK. A repeated SYN is the same
 * connection.
 */
export function count(bytes: Buffer): { frames: number; connections: number } {
  const opened = new Set<string>();
  let frames = 0;
  for (const { frame } of captured(bytes)) {
    frames++;
    if (frame.length < IP_AT + 40 || frame.readUInt16BE(12) !== 0x0800 || frame[IP_AT + 9] !== 6) continue;
    const tcpAt = IP_AT + (frame.readUInt8(IP_AT) & 15) * 4;
    if (frame.length < tcpAt + 14 || (frame.readUInt8(tcpAt + 13) & (SYN | ACK)) !== SYN) continue;
    opened.add(
      frame.subarray(IP_AT + 12, IP_AT + 20).toString('hex') + frame.subarray(tcpAt, tcpAt + 8).toString('hex'),
    );
  }
  return { frames, connections: opened.size };
}
