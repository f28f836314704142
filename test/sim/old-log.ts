/**
 * The log as the version before wrote it: what a process publishes gets that version's number, and
 * loses what that version did not know. So a group is upgraded in the simulation: the primary is
 * old, its successors are new, and the log has records of both.
 */

import { LOG_VERSION, OLDEST_VERSION, OpenedBody, RECORD_HEADER, RecordType } from '../../failover/log/records.js';
import { RING_HEADER, Word } from '../../failover/log/ring-header.js';
import { crc32c } from '../../lib/crc32c.js';

/** Record types that the version before had. */
const KNOWN: readonly number[] = Object.values(RecordType).filter((type) => type < RecordType.TransferBegin);

/** Rewrites records between two positions of a log. @returns a complaint, or '' */
export function rewrite(memory: ArrayBuffer, from: number, to: number): string {
  const words = new Int32Array(memory, 0, 64);
  const bytes = new Uint8Array(memory, RING_HEADER);
  const view = new DataView(memory, RING_HEADER);
  words[Word.version] = OLDEST_VERSION;
  for (let units = from >>> 0; units !== to >>> 0; ) {
    const at = (units * 8) % bytes.length;
    const length = view.getUint32(at, true);
    const type = view.getUint8(at + 4);
    if (type !== RecordType.Pad) {
      if (!KNOWN.includes(type)) return `version ${OLDEST_VERSION} has no records of type ${type}`;
      if (view.getUint8(at + 5) !== LOG_VERSION) return 'a record was published twice';
      if (type === RecordType.Opened) OpenedBody.follow.set(view, at + RECORD_HEADER, 0);
      view.setUint8(at + 5, OLDEST_VERSION);
      const seed = (view.getUint32(at + 4, true) ^ view.getUint32(at + 12, true)) >>> 0;
      view.setUint32(at + 8, crc32c(bytes.subarray(at + RECORD_HEADER, at + length), seed), true);
    }
    units = (units + length / 8) >>> 0;
  }
  return '';
}
