/**
 * SYN cookies (RFC 4987 section 3.6): under a flood, the state of a half-open connection goes into
 * the sequence number and the timestamp of the SYN-ACK, and comes back with the last segment of the
 * handshake.
 *
 *  - Sequence number: 5 bits of a 64 s counter, 3 bits of the peer's MSS, and 24 bits of a keyed
 *    hash over both, the four-tuple and the peer's sequence number.
 *  - Timestamp: its lowest 5 bits are the peer's window scale (15 for none) and whether SACK is
 *    permitted.
 */
import type { SipHash } from '../../../lib/random.js';
import type { TupleBytes } from '../four-tuple.js';

const MSS = [536, 1024, 1220, 1360, 1400, 1440, 1460, 8940];
const PERIOD_US = 64_000_000;
/** Cookies of this period and of the one before it are valid. */
const PERIODS = 2;
/** How long the ACK of a cookie may take, in microseconds. */
export const COOKIE_LIFE_US = PERIODS * PERIOD_US;
const OPTION_BITS = 31;
const NO_SCALE = 15;
const scratch = new Uint8Array(56);
const scratchView = new DataView(scratch.buffer);

function hashOf(hash: SipHash, tuple: TupleBytes, irs: number, low: number): number {
  const { length } = tuple;
  scratch.set(tuple.bytes.subarray(0, length));
  scratchView.setUint32(length, irs);
  scratchView.setUint32(length + 4, low);
  // Separates this use of the key from the initial sequence numbers.
  scratch[length + 8] = 0xc0;
  return hash.hash(scratch, length + 9) & 0xffffff;
}

/** The cookie for a SYN, as a sequence number. @param mss what the SYN offered, 0 for none */
export function makeCookie(hash: SipHash, tuple: TupleBytes, irs: number, nowUs: number, mss: number): number {
  let index = 0;
  for (let i = 0; i < MSS.length; i++) if (MSS[i] <= mss) index = i;
  const period = Math.floor(nowUs / PERIOD_US);
  const low = (period % 32) * 8 + index;
  return ((low << 24) | hashOf(hash, tuple, irs, period * 8 + index)) >>> 0;
}

/** @returns the largest MSS in the table that the peer's SYN allowed; 0: it is no cookie of ours */
export function checkCookie(hash: SipHash, tuple: TupleBytes, irs: number, nowUs: number, cookie: number): number {
  const index = (cookie >>> 24) & 7;
  const now = Math.floor(nowUs / PERIOD_US);
  for (let period = now; period > now - PERIODS && period >= 0; period--) {
    if (period % 32 !== cookie >>> 27) continue;
    if (hashOf(hash, tuple, irs, period * 8 + index) === (cookie & 0xffffff)) return MSS[index];
  }
  return 0;
}

/** A timestamp not after `timestamp` that carries the options; `scale` is -1 for none. */
export function cookieTimestamp(timestamp: number, scale: number, sack: boolean): number {
  const bits = (scale < 0 ? NO_SCALE : scale) * 2 + (sack ? 1 : 0);
  const with5 = ((timestamp & ~OPTION_BITS) | bits) >>> 0;
  return ((with5 - timestamp) | 0) > 0 ? (with5 - OPTION_BITS - 1) >>> 0 : with5;
}

/** The options in an echoed timestamp; without one (-1) no options were agreed on. */
export function cookieOptions(echo: number): { scale: number; sack: boolean } {
  if (echo < 0) return { scale: -1, sack: false };
  const bits = echo & OPTION_BITS;
  const scale = bits >>> 1;
  return { scale: scale === NO_SCALE ? -1 : scale, sack: (bits & 1) === 1 };
}
