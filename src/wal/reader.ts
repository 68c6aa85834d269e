/**
 * Reads records from any LSN on, segment after segment, and never one that is not durable.
 *
 * @module
 */

import type { IoBuffer, IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { type Disk, joinPath } from "./disk.ts";
import { LsnTooOldError, WalClosedError, WalCorruptionError } from "./errors.ts";
import { type Meta, type SegmentHeader, segmentName } from "./format.ts";
import { RecordBatch } from "./records.ts";
import { requireHeader } from "./recovery.ts";
import { hasLife, SegmentScan, type Window } from "./scan.ts";

/** Bytes of the arena that a reader borrows. */
export const READER_BUFFER_BYTES = 131_072;

/** Throws a `RangeError` for what is no LSN. */
export function checkLsn(what: string, lsn: number, least: number): void {
  if (typeof lsn !== "number" || !Number.isSafeInteger(lsn) || lsn < least) {
    throw new RangeError(
      `${what} must be an LSN (a safe integer of at least ${least}), and is ${lsn}`,
    );
  }
}

/** What a reader needs to know of the log that it reads; a live log and a closed one both give it. */
export interface ReadSource {
  readonly disk: Disk;
  readonly directory: string;
  readonly meta: Readonly<Meta>;
  /** LSN of the oldest record that is kept. */
  readonly firstLsn: number;
  /** LSN of the last record that may be delivered. */
  readonly lastLsn: number;
  /** Sequence of the segment that holds `lsn`. */
  sequenceOf(lsn: number, buffer: IoBuffer): Task<number>;
  /** Sequence of the segment after this one, `undefined` when it is the active one. */
  nextSequence(sequence: number): number | undefined;
  pin(sequence: number): void;
  unpin(sequence: number): void;
  /** Whether another process may recycle segments meanwhile. */
  readonly foreignWriter: boolean;
}

/** A position in a log. Owns its file and, between `next` and `close`, its buffer. */
export class LogReader {
  readonly #source: ReadSource;
  readonly #disk: Disk;
  readonly #buffer: IoBuffer;
  readonly #batch = new RecordBatch();
  #from: number;
  readonly #to: number;
  #file: IoFile | undefined;
  #sequence = 0;
  #scan: SegmentScan | undefined;
  /** Of all its segments, one after the other. */
  #window: Window | undefined;
  /** The scan of the segment that was left, until the next one is entered. */
  #before: SegmentScan | undefined;
  /** `loads` of the scan when the file was last known to have the life of its header. */
  #checkedLoads = 0;
  /** No more batches; the file and the buffer may still be held. */
  #ended = false;
  #closed = false;

  /** Takes over `buffer` until {@linkcode close}. */
  constructor(source: ReadSource, from: number, to: number, buffer: IoBuffer) {
    this.#source = source;
    this.#disk = source.disk;
    this.#buffer = buffer;
    this.#from = from;
    this.#to = to;
  }

  /** LSN of the next record that will be delivered. */
  get position(): number {
    return this.#from;
  }

  /** The next records, or `undefined` at the end of the range. */
  *next(): Task<RecordBatch | undefined> {
    // Each turn delivers, or goes one frame or one segment on.
    for (;;) {
      if (this.#ended) throw new WalClosedError("the log, or this reader, was closed");
      const last = Math.min(this.#to - 1, this.#source.lastLsn);
      if (this.#from > last) return undefined;
      if (!this.#scan) yield* this.#enter();
      const scan = this.#scan!;
      if (!(yield* scan.next())) {
        // What was read ahead may be older than what has become durable since.
        scan.refresh((yield* this.#disk.stat(this.#file!)).size);
        if (yield* scan.next()) {
          // it was
        } else if (yield* this.#leave(scan)) continue;
        else {
          throw new WalCorruptionError(
            scan.path,
            scan.offset,
            `record ${scan.nextLsn} cannot be read: ${
              scan.stop === "payload"
                ? "the checksum of its frame is wrong"
                : "no frame begins where it must"
            }`,
          );
        }
      }
      const { firstLsn, recordCount } = scan.frame;
      const skip = Math.max(0, this.#from - firstLsn);
      const until = Math.min(recordCount, last + 1 - firstLsn);
      if (firstLsn > this.#from) throw new LsnTooOldError(this.#from, this.#source.firstLsn);
      if (until <= skip) continue;
      if (!this.#batch.load(scan.payload, recordCount, firstLsn, skip, until)) {
        throw new WalCorruptionError(
          scan.path,
          scan.frameOffset,
          "the lengths of the records do not add up to the frame",
        );
      }
      if (this.#source.foreignWriter) yield* this.#checkLife(scan);
      this.#from = firstLsn + until;
      return this.#batch;
    }
  }

  /** Opens the segment that holds the next record. */
  *#enter(sequence?: number): Task<void> {
    const source = this.#source;
    if (this.#from < source.firstLsn) throw new LsnTooOldError(this.#from, source.firstLsn);
    const next = sequence ?? (yield* source.sequenceOf(this.#from, this.#buffer));
    // Records may have been removed while it was looked for.
    if (this.#from < source.firstLsn) throw new LsnTooOldError(this.#from, source.firstLsn);
    const path = joinPath(source.directory, segmentName(next));
    source.pin(next);
    let file: IoFile;
    try {
      file = yield* this.#disk.open(path, { read: true });
    } catch (error) {
      source.unpin(next);
      // Removed since it was looked for.
      if (this.#from < source.firstLsn) throw new LsnTooOldError(this.#from, source.firstLsn);
      throw error;
    }
    this.#file = file;
    this.#sequence = next;
    try {
      const header = yield* requireHeader(this.#disk, file, this.#buffer, source.meta, next);
      const before = this.#before;
      if (before && before.header.sequence + 1 === next) checkLink(before, header, path);
      const stat = yield* this.#disk.stat(file);
      const epoch = source.foreignWriter ? Number.MAX_SAFE_INTEGER : source.meta.epoch;
      const disk = this.#disk;
      const window = this.#window;
      this.#scan = new SegmentScan(disk, file, header, stat.size, epoch, this.#buffer, window);
      this.#window = this.#scan.window;
      this.#checkedLoads = 0;
      this.#before = undefined;
    } catch (error) {
      yield* this.#exit();
      throw error;
    }
  }

  /** Closes the segment that is open. */
  *#exit(): Task<void> {
    const file = this.#file;
    if (!file) return;
    this.#file = undefined;
    this.#scan = undefined;
    yield* this.#disk.close(file);
    this.#source.unpin(this.#sequence);
  }

  /** At the end of a segment: goes on in the next one, if there is one; else gives false. */
  *#leave(scan: SegmentScan): Task<boolean> {
    const source = this.#source;
    const next = source.nextSequence(this.#sequence);
    if (next === undefined) return false;
    // Before anything waits: a segment without records can be let go of while none of these is removed.
    source.pin(next);
    try {
      yield* this.#exit();
      this.#before = scan;
      yield* this.#enter(next);
    } finally {
      source.unpin(next);
    }
    return true;
  }

  /** Another process may have recycled the file while it was read: then the batch is not delivered. */
  *#checkLife(scan: SegmentScan): Task<void> {
    // The bytes of the batch were copied by the last load, or by one before it.
    if (scan.loads === this.#checkedLoads) return;
    if (!(yield* hasLife(this.#disk, this.#file!, this.#buffer, scan.header))) {
      // The oldest one that there can be: META may not say yet how much was removed.
      throw new LsnTooOldError(this.#from, Math.max(this.#source.firstLsn, scan.nextLsn));
    }
    this.#checkedLoads = scan.loads;
  }

  /** Ends it: an operation under way goes on, and nothing follows it. */
  end(): void {
    this.#ended = true;
  }

  /** Closes the file and gives the buffer back. Nothing of it is in flight. */
  *close(): Task<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#ended = true;
    yield* this.#exit();
    this.#disk.io.releaseBuffer(this.#buffer);
  }
}

/** Where the frames of a segment end. */
export type SegmentEnd = Pick<SegmentScan, "path" | "offset" | "nextLsn" | "chain">;

/** A segment's header names the end of the one before; where they disagree, one of them is damaged. */
export function checkLink(before: SegmentEnd, header: SegmentHeader, path: string): void {
  if (before.nextLsn < header.firstLsn) {
    throw new WalCorruptionError(
      before.path,
      before.offset,
      `record ${before.nextLsn} cannot be read, and the next segment goes on with ${header.firstLsn}`,
    );
  }
  const follows = before.nextLsn === header.firstLsn &&
    header.previousLsn === before.nextLsn - 1 && header.previousChain === before.chain;
  if (!follows) {
    throw new WalCorruptionError(
      path,
      0,
      `the segment goes on with record ${header.firstLsn}, and does not follow the one before, ` +
        `which ends with ${before.nextLsn - 1}`,
    );
  }
}
