/**
 * A network device as the stack sees it: batches of frames in, one frame at a time out, no
 * allocation per frame. Implementations: TAP/TUN (tap.ts), in-memory link (memory.ts), and
 * decorators (pcap, impairment).
 */

import type { RxBatch } from './rx-batch.js';

/**
 * Bytes reserved at the front of every outgoing header for the device's own use (the virtio_net_hdr
 * of a TAP).
 */
export const TX_HEADROOM = 12;
/** Most payload pieces that one outgoing frame may be gathered from. */
export const TX_MAX_PIECES = 16;
/**
 * An outgoing frame, owned and reused by the sender: headers in one buffer, payload gathered from
 * pieces of other buffers. The device must have copied or sent everything before `send` returns
 * true, so the object may be reused at once.
 */
export class TxFrame {
  /** Headers from TX_HEADROOM on; the first TX_HEADROOM bytes are the device's. */
  readonly header = new Uint8Array(TX_HEADROOM + 256);
  readonly view = new DataView(this.header.buffer);
  /** Bytes of header after the headroom. */
  headerLength = 0;
  readonly pieces: Uint8Array[] = new Array<Uint8Array>(TX_MAX_PIECES);
  /** Per piece: [offset, length]. */
  readonly spans = new Int32Array(TX_MAX_PIECES * 2);
  pieceCount = 0;
  /** Bytes of payload in all pieces. */
  payloadLength = 0;
  /**
   * Offset (from the frame's first byte) where the checksum starts, or -1 when the checksum is
   * complete.
   */
  csumStart = -1;
  /** Offset of the checksum field from csumStart; the field holds the pseudo-header sum. */
  csumOffset = 0;
  /**
   * 0: one plain frame; 4 or 6: TCP over that IP version, to be cut into segments of gsoSize bytes
   * of payload.
   */
  gsoVersion = 0;
  gsoSize = 0;
  /**
   * The log records that this frame depends on are committed, so it may pass an output gate that is
   * not fully open. The builder of the frame sets it after `reset`; without a gate it means
   * nothing.
   */
  committed = false;

  /** Forgets payload, offload marks and `committed`; the header bytes stay. */
  reset(): void {
    this.committed = false;
    this.headerLength = 0;
    this.pieceCount = 0;
    this.payloadLength = 0;
    this.csumStart = -1;
    this.gsoVersion = 0;
    this.gsoSize = 0;
  }

  /** A copy of all pieces in one. */
  gather(): Uint8Array {
    const whole = new Uint8Array(this.payloadLength);
    let at = 0;
    for (let i = 0; i < this.pieceCount; i++) {
      const from = this.spans[2 * i];
      const length = this.spans[2 * i + 1];
      whole.set(this.pieces[i].subarray(from, from + length), at);
      at += length;
    }
    return whole;
  }

  addPiece(bytes: Uint8Array, offset: number, length: number): void {
    const n = this.pieceCount;
    this.pieces[n] = bytes;
    this.spans[2 * n] = offset;
    this.spans[2 * n + 1] = length;
    this.pieceCount = n + 1;
    this.payloadLength += length;
  }
}

/** Work that a device does for the stack (offloads). */
export interface DeviceCapabilities {
  /** TxFrame.csumStart is understood, and received frames may carry RX_CSUM_OK. */
  readonly checksum: boolean;
  /** Super-segments (TxFrame.gsoVersion) are understood and may be received. */
  readonly tso4: boolean;
  readonly tso6: boolean;
}

/** The receiver of a device's frames: an interface, or a decorator of the device. */
export interface DeviceHandler {
  /** Frames have arrived. */
  onFrames(batch: RxBatch): void;
  /** `send` returned false before, and may be tried again now. */
  onWritable(): void;
}

/** A network device; frames are Ethernet frames or IP packets. */
export interface FrameDevice {
  /** What a frame begins with: an Ethernet header, or the IP header at once. */
  readonly link: 'ethernet' | 'ip';
  /** Largest IP packet in bytes that may be sent without segmentation offload. */
  readonly mtu: number;
  readonly capabilities: DeviceCapabilities;
  /** Begins to deliver frames; once per device. */
  start(handler: DeviceHandler): void;
  /**
   * Sends one frame. True: taken (sent, or counted as dropped by the link). False: the device
   * cannot take it now; nothing was kept, and `onWritable` will follow.
   */
  send(frame: TxFrame): boolean;
  /** Stops reading, as backpressure; frames wait in the kernel or the link (bounded there). */
  pause(): void;
  resume(): void;
  close(): void;
}
