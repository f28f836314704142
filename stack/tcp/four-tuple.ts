/** The addresses and ports of a connection, and hashes over them. */
import { type AddressBook, isV6 } from '../core/address-book.js';

/** The two ends of a connection; addresses are numbers of the address book. */
export interface FourTuple {
  localAddress: number;
  localPort: number;
  remoteAddress: number;
  remotePort: number;
}

/**
 * A four-tuple as the bytes that keyed hashes are made of (RFC 6528, RFC 6056); one object for all
 * of them.
 */
export class TupleBytes {
  /** The bytes; `length` of them count. */
  readonly bytes = new Uint8Array(40);
  length = 12;
  readonly #view = new DataView(this.bytes.buffer);

  constructor(readonly book: AddressBook) {}

  take(localAddress: number, localPort: number, remoteAddress: number, remotePort: number): void {
    const view = this.#view;
    let at = 8;
    if (isV6(localAddress)) {
      this.book.write(localAddress, this.bytes, 0);
      this.book.write(remoteAddress, this.bytes, 16);
      at = 32;
    } else {
      view.setUint32(0, localAddress);
      view.setUint32(4, remoteAddress);
    }
    view.setUint16(at, localPort);
    view.setUint16(at + 2, remotePort);
    this.length = at + 4;
  }
}

/** A hash for tables, without a key and without our own address: a stack has few addresses. */
export function tupleHash(remoteAddress: number, remotePort: number, localPort: number): number {
  let h = Math.imul(remoteAddress ^ 0x9e3779b9, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13) ^ ((remotePort << 16) | localPort), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}
