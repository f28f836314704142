/**
 * Received frames as a device delivers them: one batch of frames in one buffer, with four words of
 * description per frame. A batch may be kept, and its payload may be placed elsewhere.
 */

/** Words per frame in {@link RxBatch.meta}. */
export const RX_META_WORDS = 4;
/**
 * Bit of word 2: the checksum need not be verified (it is partial, or the device has verified it).
 */
export const RX_CSUM_OK = 1;
/**
 * Bit of word 2: the payload is in the {@link PayloadPlace}, not behind its headers. The word's
 * other bits are its offset there (a multiple of 8); word 3 holds the length of the headers,
 * shifted left by {@link RX_HEADERS_SHIFT}.
 */
export const RX_DIRECT = 2;
/** See {@link RX_DIRECT}. */
export const RX_HEADERS_SHIFT = 16;

/** A device's direct placement, as the owner of the memory sees it. */
export interface PlacedPayload {
  /**
   * Called before the owner writes to the memory: payload that lies there moves back behind its
   * headers.
   */
  relocate(): void;
}

/**
 * Payload of a received batch that may be in a {@link PayloadPlace}, as the reader of the batch
 * sees it.
 */
export interface DirectFrames extends PlacedPayload {
  /**
   * Offset in the batch where the payload of the current frame belongs; Infinity when it is there
   * already or has been claimed.
   */
  readonly from: number;
  /** The memory that the payload is in. */
  readonly place: PayloadPlace;
  /** The reader turns to frame `frame` of the batch. */
  enter(frame: number): void;
  /**
   * Takes [from, from + length) of the batch where it was placed.
   * @returns its offset in the place's memory, or -1 when it must be copied from the batch
   */
  claim(from: number, length: number): number;
  /** Puts this frame and all behind it together in the batch. */
  gather(): void;
}

/** Memory that payload may be read into, instead of behind its headers. Its owner says where. */
export interface PayloadPlace {
  /** The memory. */
  readonly bytes: Uint8Array;
  /**
   * [where the next payload may be put (a multiple of 8, or -1 for nowhere), where the room ends].
   */
  readonly next: Int32Array;
  /** Smallest frame, in bytes, whose payload is worth placing. */
  readonly minFrameBytes: number;
  /** Bytes that the owner puts before each payload. */
  readonly headerBytes: number;
  /** Offset that a payload must have to be claimed now. */
  readonly claimOffset: number;
  /** Updates `next`. */
  offer(): void;
  /** Payload that may be in the memory now. */
  placed: PlacedPayload | null;
}

/** A device that can keep a batch's frames as they are after the call that delivered them. */
export interface FrameLender {
  /**
   * Keeps the frames of this batch until it has called `giveBack`, which it does before it uses
   * their memory again.
   */
  borrow(giveBack: () => void): void;
}

/**
 * A batch of received frames; valid only during the call that delivers it, or until its lender
 * calls `giveBack`.
 */
export interface RxBatch {
  /** The device, if it can keep the frames. */
  readonly lender?: FrameLender;
  /** The buffer with all frames of the batch. */
  readonly bytes: Uint8Array;
  /** A view of `bytes`. */
  readonly view: DataView;
  /**
   * Per frame: [offset, length, flags (RX_CSUM_OK, RX_DIRECT), gsoSize (payload bytes per original
   * segment, 0 if not merged)].
   */
  readonly meta: Int32Array;
  /** Payload that may be placed elsewhere; absent or null when none is. */
  direct?: DirectFrames | null;
  /** Frames in this batch. */
  count: number;
  /** Whether the device has more frames at hand. */
  more?: boolean;
}
