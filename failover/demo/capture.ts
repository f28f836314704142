/** A capture at the client's side of the TAP, and how many connections it shows. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { FtError } from '../../lib/errors.js';
import { TAP } from '../lab/network.js';

const SNAPLEN = 128;
const FILE_HEADER = 24;
const RECORD_HEADER = 16;
/** Ethernet header, then the least IPv4 header. */
const IP_AT = 14;
const SYN = 0x02;
const ACK = 0x10;

export class Capture {
  private constructor(
    readonly file: string,
    readonly child: ChildProcess,
  ) {}

  static start(file: string): Promise<Capture> {
    const args = ['-i', TAP, '-n', '-U', '-B', '65536', '-s', String(SNAPLEN), '-w', file, '-Z', 'root'];
    const child = spawn('tcpdump', args, { stdio: ['ignore', 'ignore', 'pipe'] });
    return new Promise((done, fail) => {
      let said = '';
      child.stderr.on('data', (part: Buffer) => {
        said += part.toString();
        if (said.includes('listening on')) done(new Capture(file, child));
      });
      child.once('error', (error) => fail(error));
      child.once('exit', () => fail(new FtError('ERR_FT_CAPTURE', `tcpdump: ${said.trim()}`, 'Choose another file')));
    });
  }

  /** Ends the capture. @returns what is in it. */
  async stop(): Promise<{ file: string; frames: number; connections: number }> {
    // The kernel hands captured frames over in blocks, the last one a moment later.
    await new Promise((done) => setTimeout(done, 300));
    const ended = new Promise((done) => this.child.once('exit', done));
    this.child.kill('SIGINT');
    await ended;
    return { file: this.file, ...count(readFileSync(this.file)) };
  }
}

/** Frames, and different connections that were opened (SYN without ACK; a repeated SYN is the same connection). */
export function count(bytes: Buffer): { frames: number; connections: number } {
  const little = bytes.readUInt32LE(0) === 0xa1b2c3d4;
  const opened = new Set<string>();
  let frames = 0;
  for (let at = FILE_HEADER; at + RECORD_HEADER <= bytes.length; frames++) {
    const length = little ? bytes.readUInt32LE(at + 8) : bytes.readUInt32BE(at + 8);
    const frame = bytes.subarray(at + RECORD_HEADER, at + RECORD_HEADER + length);
    at += RECORD_HEADER + length;
    if (frame.length < IP_AT + 40 || frame.readUInt16BE(12) !== 0x0800 || frame[IP_AT + 9] !== 6) continue;
    const tcpAt = IP_AT + (frame[IP_AT]! & 15) * 4;
    if (frame.length < tcpAt + 14 || (frame[tcpAt + 13]! & (SYN | ACK)) !== SYN) continue;
    opened.add(
      frame.subarray(IP_AT + 12, IP_AT + 20).toString('hex') + frame.subarray(tcpAt, tcpAt + 8).toString('hex'),
    );
  }
  return { frames, connections: opened.size };
}
