/**
 * A device that reads payload to where it is wanted, as native/direct.c does, out of frames whose
 * sums are right.
 */
import { pseudoSum4, pseudoSum6, sum16 } from '../../lib/checksum.js';
import { RX_CSUM_OK, RX_DIRECT, RX_HEADERS_SHIFT } from '../../lib/device/rx-batch.js';

/** Where a process wants payload. */
export interface Wanted {
  bytes: Uint8Array;
  next: Int32Array;
  gap: number;
  least: number;
  /** Where the next payload of this batch goes, or -1. */
  at: number;
  /** There was such a frame since this was last set to false. */
  large: boolean;
}

const ETHERNET = 14;
const MOST_BYTES = 65_664;
const PROTOCOL_TCP = 6;
const FIN_SYN_RST_URG = 0x27;

/**
 * Length of the headers of a plain segment of TCP with data, whose sum is right; 0 for any other
 * frame.
 */
function headersOf(frame: Uint8Array): number {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < ETHERNET + 40) return 0;
  const four = view.getUint16(12) === 0x0800 && frame[ETHERNET] === 0x45 && frame[ETHERNET + 9] === PROTOCOL_TCP;
  const six = view.getUint16(12) === 0x86dd && frame[ETHERNET + 6] === PROTOCOL_TCP;
  const tcpAt = ETHERNET + (four ? 20 : 40);
  if ((!four && !six) || frame.length < tcpAt + 20) return 0;
  if (
    four &&
    ((view.getUint16(ETHERNET + 6) & 0x3fff) !== 0 || view.getUint16(ETHERNET + 2) + ETHERNET !== frame.length)
  )
    return 0;
  if (six && view.getUint16(ETHERNET + 4) + tcpAt !== frame.length) return 0;
  const length = frame.length - tcpAt;
  const seed = four
    ? pseudoSum4(view.getUint32(ETHERNET + 12), view.getUint32(ETHERNET + 16), PROTOCOL_TCP, length)
    : pseudoSum6(frame.subarray(22, 38), frame.subarray(38, 54), PROTOCOL_TCP, length);
  if (sum16(frame, tcpAt, length, seed) !== 0xffff) return 0;
  const headers = tcpAt + (frame[tcpAt + 12] >>> 4) * 4;
  return (frame[tcpAt + 13] & FIN_SYN_RST_URG) === 0 && headers < frame.length ? headers : 0;
}

/**
 * Puts a frame at `offset` of the slab, and its payload to where it is wanted, if that is so.
 * @returns the last two words of its meta; flags of 0: it is whole
 */
export function put(frame: Uint8Array, slab: Uint8Array, offset: number, wanted: Wanted | null): [number, number] {
  const headers = wanted === null ? 0 : headersOf(frame);
  if (wanted === null || headers === 0 || wanted.at < 0) {
    if (wanted !== null && headers > 0 && frame.length >= wanted.least) wanted.large = true;
    slab.set(frame, offset);
    return [0, 0];
  }
  const { at } = wanted;
  wanted.large ||= frame.length >= wanted.least;
  wanted.at += (frame.length - headers + wanted.gap + 7) & ~7;
  if (wanted.at + MOST_BYTES > wanted.next[1]) wanted.at = -1;
  slab.set(frame.subarray(0, headers), offset);
  wanted.bytes.set(frame.subarray(headers), at);
  return [RX_CSUM_OK | RX_DIRECT | at, headers << RX_HEADERS_SHIFT];
}
