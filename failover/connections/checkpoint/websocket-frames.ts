/**
 * Where messages end in what a WebSocket client sends (RFC 6455 section 5). Bytes of a message that
 * is not complete are kept: the next program gets them again.
 */

const OPCODE_MASK = 0x0f;
const FIN = 0x80;
const LENGTH_MASK = 0x7f;
const MASKED = 0x80;
const MASK_BYTES = 4;
/** From this opcode on frames are control frames, which may stand in the middle of a message. */
const FIRST_CONTROL = 8;
const CLOSE = 8;
/** Lengths that say how the real one is written. */
const LENGTH_16 = 126;
const LENGTH_64 = 127;

/** Follows the messages of one direction of a connection. */
export class WebSocketFrames {
  /** The client has begun to close. */
  isClosing = false;
  #kept: Buffer = Buffer.alloc(0);
  /** The head of the frame at hand, as far as it has come. */
  #partHead: Buffer = Buffer.alloc(0);
  /** Bytes of the frame at hand that have not come yet. */
  #missing = 0;
  /** What was not kept, as it was too long. */
  #skipped = 0;
  /** The frames at hand do not end a message. */
  #isFragmented = false;
  /** Opcode and FIN of the frame at hand. */
  #first = 0;
  /** Where in what is kept the next frame begins. */
  #next = 0;
  readonly #limit: number;

  /** @param limit bytes of a message that are kept, at most */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Bytes of a message that is not complete; null: it is too long to be kept. */
  get pending(): Buffer | null {
    return this.#skipped > 0 ? null : this.#kept;
  }

  /** @returns whether `pending` may have changed */
  add(part: Buffer): boolean {
    const before = this.#kept.length + this.#skipped;
    let rest = part;
    while (rest.length > 0) rest = this.#missing > 0 ? this.#body(rest) : this.#head(rest);
    return this.isClosing || before > 0 || this.#kept.length + this.#skipped > 0;
  }

  #keep(bytes: Buffer): void {
    if (this.#skipped > 0 || this.#kept.length + bytes.length > this.#limit) this.#skipped += bytes.length;
    else this.#kept = this.#kept.length === 0 ? Buffer.from(bytes) : Buffer.concat([this.#kept, bytes]);
  }

  #body(bytes: Buffer): Buffer {
    const taken = bytes.subarray(0, this.#missing);
    this.#missing -= taken.length;
    this.#keep(taken);
    if (this.#missing === 0) this.#ended();
    return bytes.subarray(taken.length);
  }

  /** The head of a frame: it has 2 to 14 bytes, and may come byte by byte. */
  #head(bytes: Buffer): Buffer {
    const have = this.#partHead;
    const head = Buffer.concat([have, bytes.subarray(0, 14 - have.length)]);
    const size = headSize(head);
    const taken = Math.min(bytes.length, (size || 14) - have.length);
    this.#keep(bytes.subarray(0, taken));
    this.#partHead = Buffer.concat([have, bytes.subarray(0, taken)]);
    if (size > 0 && this.#partHead.length === size) this.#begun(this.#partHead);
    return bytes.subarray(taken);
  }

  #begun(head: Buffer): void {
    this.#first = head[0];
    this.#partHead = Buffer.alloc(0);
    if ((head[0] & OPCODE_MASK) === CLOSE) this.isClosing = true;
    this.#missing = payloadLength(head);
    if (this.#missing === 0) this.#ended();
  }

  /** A frame is complete. */
  #ended(): void {
    const isControl = (this.#first & OPCODE_MASK) >= FIRST_CONTROL;
    if (!isControl) this.#isFragmented = (this.#first & FIN) === 0;
    if (this.#isFragmented) {
      // A control frame between the frames of a message has been delivered.
      if (isControl && this.#skipped === 0) this.#kept = this.#kept.subarray(0, this.#next);
      this.#next = this.#kept.length;
      return;
    }
    this.#kept = Buffer.alloc(0);
    this.#skipped = this.#next = 0;
  }
}

/** @returns bytes of a frame's head; 0: it has not come far enough to say */
function headSize(head: Buffer): number {
  if (head.length < 2) return 0;
  const length = head[1] & LENGTH_MASK;
  const mask = (head[1] & MASKED) === 0 ? 0 : MASK_BYTES;
  return 2 + (length === LENGTH_16 ? 2 : length === LENGTH_64 ? 8 : 0) + mask;
}

function payloadLength(head: Buffer): number {
  const length = head[1] & LENGTH_MASK;
  if (length === LENGTH_16) return head.readUInt16BE(2);
  return length === LENGTH_64 ? Number(head.readBigUInt64BE(2)) : length;
}
