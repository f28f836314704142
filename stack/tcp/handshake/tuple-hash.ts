/** A four-tuple as the bytes that keyed hashes are made of (RFC 6528, RFC 6056). */
import { type AddressBook, isV6 } from '../../ip/address-book.js';

export class TupleBytes {
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
