/**
 * What a network card does for a stack with offload, in software: completing checksums and cutting
 * a TCP super-segment into the segments it stands for. Frames here are whole copies; the stack
 * itself never needs this.
 */
import { finish, fold, sum16 } from '../checksum.js';
import { TCP_CWR, TCP_FIN, TCP_PSH } from '../packet/tcp.js';

const PROTOCOL_TCP = 6;

/**
 * Completes a checksum whose field holds the folded pseudo-header sum. Offsets are from the frame's
 * start.
 */
export function completeChecksum(frame: Uint8Array, csumStart: number, csumOffset: number): void {
  const sum = finish(sum16(frame, csumStart, frame.length - csumStart, 0));
  frame[csumStart + csumOffset] = sum >>> 8;
  frame[csumStart + csumOffset + 1] = sum & 255;
}

/**
 * Cuts a TCP super-segment over IPv4 or IPv6 (without extension headers). Each part gets its own IP
 * id, lengths, sequence number and checksums; FIN and PSH stay with the last part, CWR with the
 * first (as RFC 3168 section 6.1.2 needs it).
 * @param ipAt where the IP header begins.
 * @param gsoSize bytes of payload in each part.
 */
export function segmentTcp(frame: Uint8Array, ipAt: number, gsoSize: number): Uint8Array[] {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const v6 = frame[ipAt] >>> 4 === 6;
  const ipHeader = v6 ? 40 : (frame[ipAt] & 15) * 4;
  const tcpAt = ipAt + ipHeader;
  const payloadAt = tcpAt + (frame[tcpAt + 12] >>> 4) * 4;
  const payload = frame.length - payloadAt;
  const [id, seq, flags] = [view.getUint16(ipAt + 4), view.getUint32(tcpAt + 4), frame[tcpAt + 13]];
  const parts: Uint8Array[] = [];
  for (let at = 0; at < payload; at += gsoSize) {
    const length = Math.min(gsoSize, payload - at);
    const last = at + length === payload;
    const part = new Uint8Array(payloadAt + length);
    part.set(frame.subarray(0, payloadAt));
    part.set(frame.subarray(payloadAt + at, payloadAt + at + length), payloadAt);
    const out = new DataView(part.buffer);
    if (v6) out.setUint16(ipAt + 4, part.length - ipAt - ipHeader);
    else {
      out.setUint16(ipAt + 2, part.length - ipAt);
      out.setUint16(ipAt + 4, (id + parts.length) & 0xffff);
      out.setUint16(ipAt + 10, 0);
      out.setUint16(ipAt + 10, finish(sum16(part, ipAt, ipHeader, 0)));
    }
    out.setUint32(tcpAt + 4, (seq + at) >>> 0);
    let kept = flags;
    if (!last) kept &= ~(TCP_FIN | TCP_PSH);
    // With accurate ECN the bit is part of a number that all parts have; the bit above is only set
    // there.
    if (at > 0 && (part[tcpAt + 12] & 1) === 0) kept &= ~TCP_CWR;
    part[tcpAt + 13] = kept;
    // The addresses stand next to each other, at the end of the fixed header.
    const addresses = v6 ? sum16(part, ipAt + 8, 32, 0) : sum16(part, ipAt + 12, 8, 0);
    const pseudo = addresses + PROTOCOL_TCP + part.length - tcpAt;
    out.setUint16(tcpAt + 16, fold(pseudo));
    completeChecksum(part, tcpAt, 16);
    parts.push(part);
  }
  return parts;
}
