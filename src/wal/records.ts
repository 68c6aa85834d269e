/**
 * The records of one frame, as a reader sees them.
 *
 * @module
 */

import { RECORD_HEADER_BYTES } from "./format.ts";

// A byte order mark is part of the record.
const decoder = new TextDecoder("utf-8", { ignoreBOM: true });

/** Whether the lengths before the records of a frame add up to its payload. */
export function lengthsAddUp(payload: Uint8Array, recordCount: number): boolean {
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  let at = 0;
  for (let i = 0; i < recordCount; i++) {
    if (at + RECORD_HEADER_BYTES > payload.length) return false;
    at += RECORD_HEADER_BYTES + view.getUint32(at, true);
  }
  return at === payload.length;
}

/**
 * Consecutive records: `firstLsn` and the ones after it, `length` in all.
 *
 * Ownership: the bytes belong to the reader and hold until its next batch; copy what is to be kept
 * (`bytes(i).slice()`).
 */
export class RecordBatch {
  // Not `#private`: each record passes through here.
  /** LSN of record 0 of this batch. */
  firstLsn = 0;
  /** Records. */
  length = 0;
  private _payload: Uint8Array = new Uint8Array(0);
  private _view: DataView = new DataView(new ArrayBuffer(0));
  /** Where each record begins in the payload, and where one more would. */
  private _starts = new Int32Array(256);

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
    if (recordCount >= this._starts.length) this._starts = new Int32Array(recordCount + 1);
    if (this._view.buffer !== payload.buffer) this._view = new DataView(payload.buffer);
    const starts = this._starts;
    const view = this._view;
    const base = payload.byteOffset;
    const end = payload.length;
    let start = RECORD_HEADER_BYTES;
    for (let i = 0; i < recordCount; i++) {
      if (start > end) return false;
      starts[i] = start;
      start += view.getUint32(base + start - RECORD_HEADER_BYTES, true) + RECORD_HEADER_BYTES;
    }
    if (start - RECORD_HEADER_BYTES !== end) return false;
    starts[recordCount] = start;
    if (skip > 0) starts.copyWithin(0, skip, until + 1);
    this._payload = payload;
    this.firstLsn = firstLsn + skip;
    this.length = until - skip;
    return true;
  }

  private _check(index: number): void {
    if (index >>> 0 !== index || index >= this.length) {
      throw new RangeError(`record ${index} of a batch of ${this.length}`);
    }
  }

  /** Bytes of a record, as a view that holds until the next batch. */
  bytes(index: number): Uint8Array {
    this._check(index);
    const starts = this._starts;
    return this._payload.subarray(starts[index], starts[index + 1] - RECORD_HEADER_BYTES);
  }

  /** Length of a record in bytes. */
  byteLength(index: number): number {
    this._check(index);
    return this._starts[index + 1] - this._starts[index] - RECORD_HEADER_BYTES;
  }

  /** A record as text; bytes that are not UTF-8 become U+FFFD. */
  text(index: number): string {
    return decoder.decode(this.bytes(index));
  }
}
