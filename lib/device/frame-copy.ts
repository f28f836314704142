/**
 * Outgoing frames that must be kept or read as a whole: copies, and checksums that no device
 * completes.
 */
import { finish, fold, sum16 } from '../checksum.js';
import { TX_HEADROOM, type TxFrame } from './device.js';

/** A copy of a frame from its link header on, without the headroom. */
export function copyFrame(frame: TxFrame): Uint8Array {
  const copy = new Uint8Array(frame.headerLength + frame.payloadLength);
  copy.set(frame.header.subarray(TX_HEADROOM, TX_HEADROOM + frame.headerLength), 0);
  let at = frame.headerLength;
  for (let i = 0; i < frame.pieceCount; i++) {
    const from = frame.spans[2 * i];
    const length = frame.spans[2 * i + 1];
    copy.set(frame.pieces[i].subarray(from, from + length), at);
    at += length;
  }
  return copy;
}

/**
 * Adds the frame's payload to a folded sum; a piece that begins at an odd offset counts with its
 * bytes swapped (RFC 1071).
 */
export function payloadSum(frame: TxFrame, sum: number): number {
  let odd = false;
  for (let i = 0; i < frame.pieceCount; i++) {
    const length = frame.spans[2 * i + 1];
    const part = sum16(frame.pieces[i], frame.spans[2 * i], length, 0);
    sum += odd ? ((part & 0xff) << 8) | (part >>> 8) : part;
    if ((length & 1) !== 0) odd = !odd;
  }
  return fold(sum);
}

/** Fills in a checksum that was left to the device. */
export function completeChecksum(frame: TxFrame): void {
  if (frame.csumStart < 0) return;
  const at = TX_HEADROOM + frame.csumStart;
  const sum = payloadSum(frame, sum16(frame.header, at, TX_HEADROOM + frame.headerLength - at, 0));
  frame.view.setUint16(at + frame.csumOffset, finish(sum));
  frame.csumStart = -1;
}
