/**
 * The records of one frame, as a reader sees them.
 *
 * @module
 */

import { RECORD_HEADER_BYTES } from "./format.ts";

// A byte order mark is part of the record.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/**
 * Consecutive records: `firstLsn` and the ones after it, `length` in all.
 *
 * Ownership: the bytes belong to the reader and hold until its next batch; copy what is to be kept
 * (`bytes(i).slice()`).
 */
export class RecordBatch {
  /** LSN of record 0 of this batch. */
  firstLsn = 0;
  /** Records. */
  length = 0;
  #payload: Uint8Array = new Uint8Array(0);
  #starts = new Int32Array(256);
  #ends = new Int32Array(256);

  /**
   * Fills the batch from a frame's records: gives false when their lengths do not add up.
   * Records below `skip` and from `until` on (both ordinals in the frame) are left out.
   */
  load(
    payload: Uint8Array,
    recordCount: number,
    firstLsn: number,
    skip: number,
    until: number,
  ): boolean {
    const count = until - skip;
    if (count > this.#starts.length) {
      this.#starts = new Int32Array(count);
      this.#ends = new Int32Array(count);
    }
    const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
    let at = 0;
    for (let i = 0; i < recordCount; i++) {
      if (at + RECORD_HEADER_BYTES > payload.length) return false;
      const start = at + RECORD_HEADER_BYTES;
      at = start + view.getUint32(at, true);
      if (at > payload.length) return false;
      if (i >= skip && i < until) {
        this.#starts[i - skip] = start;
        this.#ends[i - skip] = at;
      }
    }
    if (at !== payload.length) return false;
    this.#payload = payload;
    this.firstLsn = firstLsn + skip;
    this.length = count;
    return true;
  }

  #check(index: number): void {
    if (!(index >= 0 && index < this.length)) {
      throw new RangeError(`record ${index} of a batch of ${this.length}`);
    }
  }

  /** Bytes of a record, as a view that holds until the next batch. */
  bytes(index: number): Uint8Array {
    this.#check(index);
    return this.#payload.subarray(this.#starts[index], this.#ends[index]);
  }

  /** Length of a record in bytes. */
  byteLength(index: number): number {
    this.#check(index);
    return this.#ends[index] - this.#starts[index];
  }

  /** A record as text; bytes that are not UTF-8 become U+FFFD. */
  text(index: number): string {
    return decoder.decode(this.bytes(index));
  }
}
