/**
 * What an emulated path does to frames: loss, duplication, reordering, corruption, delay, and a
 * bottleneck with a bounded queue. Draws come from a seed, so the same frames meet the same.
 */
import type { Random } from '../../random.js';
import { Bottleneck } from './bottleneck.js';

/** Impairments of one direction. Probabilities are 0 to 1; an absent one does not happen. */
export interface Impairment {
  loss?: number;
  duplicate?: number;
  /** Part of the frames that come `reorderUs` later than they should. */
  reorder?: number;
  reorderUs?: number;
  /** Part of the frames in which one bit changes. */
  corrupt?: number;
  /** One-way delay in microseconds. */
  delayUs?: number;
  /** Evenly distributed on top of the delay. */
  jitterUs?: number;
  /** Bits per second of the bottleneck; absent: no bottleneck. */
  bandwidth?: number;
  /** Bytes that wait before the bottleneck; more are dropped (default 256 KiB). */
  queueBytes?: number;
  /** A bottleneck that other links use too, instead of one of its own. */
  bottleneck?: Bottleneck;
}

/** Counts what frames have met. */
export interface ImpairmentCounters {
  lost: number;
  duplicated: number;
  reordered: number;
  corrupted: number;
  /** Dropped because a queue was full. */
  overflowed: number;
}

const DEFAULT_QUEUE_BYTES = 262_144;

/** One direction of a path. */
export class ImpairedDirection {
  readonly #impairment: Impairment;
  readonly #random: Random;
  readonly #counters: ImpairmentCounters;
  readonly #bottleneck: Bottleneck | undefined;

  /** @param counters counts what happens; several directions may share one object */
  constructor(impairment: Impairment, random: Random, counters: ImpairmentCounters) {
    this.#impairment = impairment;
    this.#random = random;
    this.#counters = counters;
    const { bandwidth, queueBytes = DEFAULT_QUEUE_BYTES, bottleneck } = impairment;
    this.#bottleneck = bottleneck ?? (bandwidth === undefined ? undefined : new Bottleneck(bandwidth, queueBytes));
  }

  #chance(part: number | undefined): boolean {
    return part !== undefined && part > 0 && this.#random.float() < part;
  }

  /** Bytes that wait before the bottleneck. */
  queuedBytes(nowUs: number): number {
    return this.#bottleneck?.queuedBytes(nowUs) ?? 0;
  }

  /** The first draw for a frame. */
  isLost(): boolean {
    const isLost = this.#chance(this.#impairment.loss);
    if (isLost) this.#counters.lost++;
    return isLost;
  }

  /**
   * When a frame that comes now has passed the bottleneck, in microseconds; -1: its queue is full.
   * @param isFull the path holds as many frames as it may
   */
  departure(nowUs: number, length: number, isFull: boolean): number {
    const atUs = this.#bottleneck?.departure(nowUs, length) ?? nowUs;
    if (atUs >= 0 && !isFull) return atUs;
    this.#counters.overflowed++;
    return -1;
  }

  /** When a frame arrives that has passed the bottleneck at `atUs`. */
  arrival(atUs: number): number {
    const { delayUs = 0, jitterUs = 0, reorder, reorderUs = 1000 } = this.#impairment;
    const arrivalUs = atUs + delayUs + Math.floor(this.#random.float() * jitterUs);
    if (!this.#chance(reorder)) return arrivalUs;
    this.#counters.reordered++;
    return arrivalUs + reorderUs;
  }

  /** May change one bit of a frame. @returns whether it has */
  corrupt(frame: Uint8Array): boolean {
    if (!this.#chance(this.#impairment.corrupt)) return false;
    this.#counters.corrupted++;
    const bit = this.#random.u32() % (frame.length * 8);
    frame[bit >> 3] ^= 1 << (bit & 7);
    return true;
  }

  /** The last draw for a frame: whether it arrives twice. */
  isDuplicated(): boolean {
    const isDuplicated = this.#chance(this.#impairment.duplicate);
    if (isDuplicated) this.#counters.duplicated++;
    return isDuplicated;
  }
}
