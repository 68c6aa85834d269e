/**
 * The way of a record from `append` to its acknowledgement: frames in buffers, several durable writes
 * in flight, acknowledged in LSN order.
 *
 * A frame is one of a fixed ring of buffers and goes through these states, always in the same order:
 * filling -> full -> in flight (written) -> acknowledged, which frees it. Four counters that only rise
 * say which frame is where; a frame's place in the ring is its number modulo the size of the ring.
 *
 *     acknowledged <= written <= submitted <= filled      (filled: the number of the frame that fills)
 *
 * Direct mode: each frame is one write with RWF_DSYNC; its completion at full length is its durability.
 * Buffered mode (and direct, on a kernel whose RWF_DSYNC is not to be trusted): frames are written, and
 * one fdatasync at a time covers those whose writes had completed before it was submitted.
 *
 * @module
 */

import { DSYNC, type Io, type IoBuffer, IoError, IoFullError, type IoTimer } from "../io/io.ts";
import { Histogram } from "../io/histogram.ts";
import type { Pump, Task } from "../io/pump.ts";
import { reseedCrc, zerosCrc } from "./crc_join.ts";
import { EAGAIN, EINTR, EIO, ioError, RETRIES_MAX } from "./disk.ts";
import {
  WalClosedError,
  WalFullError,
  WalLockedError,
  WalPoisonedError,
  WalRecordTooLargeError,
} from "./errors.ts";
import {
  type Crc32c,
  encodeFrameHeader,
  FRAME_HEADER_BYTES,
  frameBytes,
  type FrameHeader,
  frameSeed,
  KIND_DATA,
  KIND_MARK,
  newFrameHeader,
  RECORD_HEADER_BYTES,
} from "./format.ts";
import type { Segments } from "./segments.ts";

/** Handle of the one fdatasync in flight; frames' writes use their places in the ring below it. */
export const SYNC_HANDLE = 64;
/** Handles below this are the writer's. */
export const RESERVED_HANDLES = 65;
/** Pause before what the Io had no room for is submitted again. */
const FULL_RETRY_MICROS = 1000;
/** Between two tries at a segment while records wait for one. */
const SPARE_RETRY_MICROS = 100_000;
/** What the shortest commit is taken for grows by this with every frame, until one is as short again. */
const COMMIT_MICROS_DRIFT = 1.001;
/** Halves that were appended quickly, one after the other, before they are joined. */
const QUICK_HALVES_MAX = 8;
/** Largest `maxInFlight`. */
export const IN_FLIGHT_MAX = 63;

interface Deferred<T> {
  promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** One buffer of the ring. The pump's client owns the memory while `inFlight`, else the writer does. */
interface Frame {
  readonly buffer: IoBuffer;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  kind: number;
  /** End of the records so far, from the start of the frame. */
  end: number;
  recordCount: number;
  /** LSN of the last record, once the frame is full. */
  lastLsn: number;
  /** Place and size on disk, once it is in flight. */
  offset: number;
  bytesOnDisk: number;
  bytesWritten: number;
  retries: number;
  written: boolean;
  durableMark: number;
  /** When its first record was appended; -1 while there is none. */
  appendedMicros: number;
  /** When it was submitted. */
  submittedMicros: number;
  /** Who waits for it. */
  deferred: Deferred<number> | undefined;
}

/** What the writer is told at its start. */
export interface WriterStart {
  readonly io: Io;
  readonly pump: Pump;
  readonly segments: Segments;
  /** One more than may be in flight; each of the same size, a multiple of the commit unit. */
  readonly buffers: readonly IoBuffer[];
  readonly maxDelayMicros: number;
  /** A frame is durable when its write completes; else an fdatasync follows. */
  readonly dsync: boolean;
  readonly epoch: number;
  readonly lastLsn: number;
  readonly chain: number;
  /** Milliseconds of idleness after which a durable mark is written; Infinity: never. */
  readonly idleMarkMillis: number;
  /** Called once, when the log is poisoned. */
  readonly onPoison: (error: WalPoisonedError) => void;
}

const encoder = new TextEncoder();

/** Appends, commits and acknowledges. Borrows the buffers until it is closed. */
export class Writer {
  readonly #io: Io;
  readonly #pump: Pump;
  readonly #segments: Segments;
  readonly #frames: Frame[];
  readonly #ringSize: number;
  readonly #inFlightMax: number;
  readonly #frameBytesMax: number;
  readonly #unit: number;
  readonly #dsync: boolean;
  readonly #epoch: number;
  readonly #maxDelayMicros: number;
  readonly #idleMarkMillis: number;
  readonly #onPoison: (error: WalPoisonedError) => void;
  readonly #crc32c: Crc32c;
  readonly #header: FrameHeader = newFrameHeader();

  // The frame that fills; `#limit` is 0 when there is none, so that every append takes the slow way, and
  // less than a whole frame where it may go out early (see `#aimEarly`).
  #fill: Frame;
  /**
   * Its records so far, in private memory, which they leave by one copy when the frame is full: Deno
   * copies to shared memory byte by byte from where it is aligned differently, as records mostly are.
   */
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  #at = FRAME_HEADER_BYTES;
  #limit: number;

  #filled = 0;
  #submitted = 0;
  #acknowledged = 0;

  /** Bytes of the frames in flight, and the most of them since nothing was. */
  #flyingBytes = 0;
  #flyingBytesMost = 0;
  /** Shortest time from a submission to its acknowledgement, of late. */
  #commitMicros = Infinity;
  /** When the frame that fills may go out early: since when. */
  #aimedMicros = 0;
  /** It would have paid the last time, too: one pause of the program is no reason. */
  #paidBefore = false;
  /** Two halves take turns; and in how many commits since it last paid appending was quick. */
  #halves = false;
  #quickHalves = 0;

  #appendedLsn: number;
  #durableLsn: number;
  /** Highest durable mark that stands in a durable frame. */
  #markedLsn: number;
  #submittedLsn: number;
  #chain: number;

  /** An append has nothing to see to: the frame that fills has its time, and will be sent. */
  #attended = false;
  #flushScheduled = false;
  #rolling = false;
  #activating = false;
  /** Goes on with a change of segments that waits for the last frames of the old one. */
  #drainedResume: (() => void) | undefined;
  #syncInFlight = false;
  #syncCovers = 0;
  #syncRetries = 0;
  #markTimer: IoTimer | undefined;
  #retryTimer: IoTimer | undefined;
  #delayTimer: IoTimer | undefined;
  /** Records up to here do not wait for company. */
  #flushLsn = 0;
  /** Handles of what the Io had no room for; at most one a frame, and the sync. */
  readonly #unsent: number[] = [];
  #sendTimer: IoTimer | undefined;
  /** Operations of the reserved handles that are in flight. */
  #busy = 0;
  #idle: (() => void) | undefined;
  #poison: WalPoisonedError | undefined;
  #closed = false;
  #room: Deferred<void> | undefined;
  /** Called when the durable LSN has risen, and when it never will again; for those who follow. */
  onAdvance: (() => void) | undefined;
  #settled: Deferred<void> | undefined;

  /** Frames, payload bytes and bytes on disk so far. */
  readonly counters = {
    ...{ frames: 0, marks: 0, payloadBytes: 0, diskBytes: 0, syncs: 0 },
    /** Writes and syncs that were submitted. */
    operations: 0,
  };

  /** Microseconds from the first append of a commit to its acknowledgement; records and bytes of commits. */
  readonly latency = new Histogram();
  readonly commitRecords = new Histogram();
  readonly commitBytes = new Histogram();

  readonly #scheduled = () => {
    this.#flushScheduled = false;
    this.#attended = false;
    this.#flushFilling();
  };

  constructor(start: WriterStart) {
    this.#io = start.io;
    this.#pump = start.pump;
    this.#segments = start.segments;
    this.#unit = start.segments.plan.commitUnitBytes;
    this.#dsync = start.dsync;
    this.#epoch = start.epoch;
    this.#maxDelayMicros = start.maxDelayMicros;
    this.#idleMarkMillis = start.idleMarkMillis;
    this.#onPoison = start.onPoison;
    this.#crc32c = (bytes, seed) => this.#io.crc32c(bytes, seed);
    this.#frames = start.buffers.map((buffer) => ({
      buffer,
      bytes: buffer.bytes,
      view: new DataView(buffer.bytes.buffer, buffer.bytes.byteOffset, buffer.bytes.byteLength),
      kind: KIND_DATA,
      end: FRAME_HEADER_BYTES,
      recordCount: 0,
      lastLsn: 0,
      offset: 0,
      bytesOnDisk: 0,
      bytesWritten: 0,
      retries: 0,
      written: false,
      durableMark: 0,
      appendedMicros: -1,
      submittedMicros: 0,
      deferred: undefined,
    }));
    this.#ringSize = this.#frames.length;
    this.#inFlightMax = this.#ringSize - 1;
    this.#frameBytesMax = start.buffers[0].length;
    this.#appendedLsn = start.lastLsn;
    this.#durableLsn = start.lastLsn;
    this.#submittedLsn = start.lastLsn;
    // What recovery found is under the seal, or under the header of the segment that it began.
    this.#markedLsn = start.lastLsn;
    this.#chain = start.chain;
    this.#fill = this.#frames[0];
    const memory = new ArrayBuffer(this.#frameBytesMax);
    this.#bytes = new Uint8Array(memory);
    this.#view = new DataView(memory);
    this.#limit = this.#frameBytesMax;
    start.segments.onSpare = () => this.#spareChanged();
  }

  get appendedLsn(): number {
    return this.#appendedLsn;
  }
  get durableLsn(): number {
    return this.#durableLsn;
  }
  /** Chain of the last submitted frame. */
  get chain(): number {
    return this.#chain;
  }
  get poison(): WalPoisonedError | undefined {
    return this.#poison;
  }
  get maxRecordBytes(): number {
    return this.#frameBytesMax - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES;
  }
  /** Operations in flight, also those of a poisoned log. */
  get framesBusy(): number {
    return this.#busy;
  }
  /** Bytes of records, without their lengths, that are in frames and not durable; and in all so far. */
  get pendingBytes(): number {
    let bytes = 0;
    // At most a ring of frames.
    for (let number = this.#acknowledged; number < this.#filled; number++) {
      const frame = this.#frames[number % this.#ringSize];
      bytes += frame.end - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES * frame.recordCount;
    }
    return bytes + this.#fillingBytes;
  }
  get appendedBytes(): number {
    let bytes = this.counters.payloadBytes;
    for (let number = this.#submitted; number < this.#filled; number++) {
      const frame = this.#frames[number % this.#ringSize];
      bytes += frame.end - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES * frame.recordCount;
    }
    return bytes + this.#fillingBytes;
  }
  get #fillingBytes(): number {
    if (this.#limit === 0) return 0;
    return this.#at - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES * this.#fill.recordCount;
  }
  /** Calls `resume` once, when no operation is in flight any more. */
  onIdle(resume: () => void): void {
    this.#idle = resume;
  }
  get framesInFlight(): number {
    return this.#submitted - this.#acknowledged;
  }

  // --- Appending ------------------------------------------------------------------------------

  /** Copies the record into the frame that fills; gives its LSN, or 0 when there is no room now. */
  append(record: Uint8Array | string): number {
    if (typeof record === "string") return this.#appendText(record);
    const length = record.byteLength;
    let at = this.#at;
    if (at + RECORD_HEADER_BYTES + length > this.#limit) {
      if (!this.#makeRoom(length)) return 0;
      at = this.#at;
    }
    this.#view.setUint32(at, length, true);
    this.#bytes.set(record, at + RECORD_HEADER_BYTES);
    this.#at = at + RECORD_HEADER_BYTES + length;
    this.#fill.recordCount++;
    if (!this.#attended) this.#attend();
    return ++this.#appendedLsn;
  }

  /**
   * Appends parts of `bytes` that follow each other with one byte between them: the first begins at
   * `from`, part `i` ends before `ends[i]`, for `i` from `first` to `until - 1`. Gives how many were
   * appended, in order; 0 when there is no room now.
   *
   * They go into the frame by one copy, and then each to its place by `copyWithin`: no view for each
   * record.
   */
  appendParts(
    bytes: Uint8Array,
    from: number,
    ends: Int32Array,
    first: number,
    until: number,
  ): number {
    const length = ends[first] - from;
    if (this.#at + RECORD_HEADER_BYTES + length > this.#limit && !this.#makeRoom(length)) return 0;
    const at = this.#at;
    // A part more takes its bytes, its header, and gives the byte between back.
    const room = this.#limit - at - RECORD_HEADER_BYTES + from;
    let last = first;
    for (let high = until - 1; last < high;) {
      const middle = (last + high + 1) >> 1;
      const fits = ends[middle] + (RECORD_HEADER_BYTES - 1) * (middle - first) <= room;
      if (fits) last = middle;
      else high = middle - 1;
    }
    const count = last - first + 1;
    // The last part comes to lie where it stays; each other one moves left, over what has moved.
    let source = at + RECORD_HEADER_BYTES + (RECORD_HEADER_BYTES - 1) * (count - 1);
    const filling = this.#bytes;
    const view = this.#view;
    filling.set(bytes.subarray(from, ends[last]), source);
    let target = at;
    let start = from;
    for (let i = first; i <= last; i++) {
      const size = ends[i] - start;
      filling.copyWithin(target + RECORD_HEADER_BYTES, source, source + size);
      view.setUint32(target, size, true);
      target += RECORD_HEADER_BYTES + size;
      source += size + 1;
      start = ends[i] + 1;
    }
    this.#at = target;
    this.#fill.recordCount += count;
    this.#appendedLsn += count;
    if (!this.#attended) this.#attend();
    return count;
  }

  #appendText(record: string): number {
    // A UTF-16 unit makes at most three bytes; below that there is certainly room.
    if (this.#at + RECORD_HEADER_BYTES + record.length * 3 <= this.#limit) {
      return this.#encodeText(record);
    }
    // Near the end of the frame: encode, and see whether everything went in.
    if (this.#limit > 0) {
      let lsn = this.#encodeText(record);
      if (lsn === 0 && this.#limit < this.#frameBytesMax) {
        this.#passHalf();
        lsn = this.#encodeText(record);
      }
      if (lsn > 0) return lsn;
    }
    if (record.length > this.maxRecordBytes) {
      throw new WalRecordTooLargeError(encoder.encode(record).length, this.maxRecordBytes);
    }
    if (!this.#makeRoom(Math.min(record.length * 3, this.maxRecordBytes))) return 0;
    const lsn = this.#encodeText(record);
    if (lsn > 0) return lsn;
    throw new WalRecordTooLargeError(encoder.encode(record).length, this.maxRecordBytes);
  }

  /** Gives the LSN, or 0 when the text does not fit (nothing was changed then). */
  #encodeText(record: string): number {
    const at = this.#at;
    const from = at + RECORD_HEADER_BYTES;
    if (from > this.#limit) return 0;
    const { read, written } = encoder.encodeInto(record, this.#bytes.subarray(from, this.#limit));
    if (read < record.length) return 0;
    this.#view.setUint32(at, written, true);
    this.#at = from + written;
    this.#fill.recordCount++;
    if (!this.#attended) this.#attend();
    return ++this.#appendedLsn;
  }

  /** All of `records` in one frame, or none: gives the last LSN, or 0 when there is no room now. */
  appendBatch(records: readonly (Uint8Array | string)[]): number {
    const encoded: Uint8Array[] = [];
    let bytes = 0;
    for (const record of records) {
      const data = typeof record === "string" ? encoder.encode(record) : record;
      encoded.push(data);
      bytes += RECORD_HEADER_BYTES + data.byteLength;
    }
    if (bytes > this.#frameBytesMax - FRAME_HEADER_BYTES) {
      throw new WalRecordTooLargeError(
        bytes,
        this.#frameBytesMax - FRAME_HEADER_BYTES,
        `a batch of ${encoded.length} records takes ${bytes} bytes with their lengths`,
      );
    }
    if (this.#at + bytes > this.#limit && !this.#makeRoom(bytes - RECORD_HEADER_BYTES)) return 0;
    // Nothing counts before all of them are copied.
    let at = this.#at;
    for (const data of encoded) {
      this.#view.setUint32(at, data.byteLength, true);
      this.#bytes.set(data, at + RECORD_HEADER_BYTES);
      at += RECORD_HEADER_BYTES + data.byteLength;
    }
    this.#at = at;
    this.#fill.recordCount += encoded.length;
    this.#appendedLsn += encoded.length;
    if (!this.#attended) this.#attend();
    return this.#appendedLsn;
  }

  /** Makes room for a record of `length` bytes in a frame that fills. */
  #makeRoom(length: number): boolean {
    this.#refuse();
    if (length > this.maxRecordBytes) throw new WalRecordTooLargeError(length, this.maxRecordBytes);
    if (this.#limit > 0 && this.#limit < this.#frameBytesMax) {
      this.#passHalf();
      if (this.#at + RECORD_HEADER_BYTES + length <= this.#limit) return true;
    }
    if (this.#limit > 0 && this.#fill.recordCount > 0) this.#closeFilling();
    this.#submitFull();
    if (this.#limit > 0) {
      // What was submitted may be durable by now, and the empty frame due early again.
      this.#limit = this.#frameBytesMax;
      return true;
    }
    if (!this.#segments.spareReady) this.#segments.ensureSpare();
    return false;
  }

  /** Throws why nothing can be appended any more. */
  #refuse(): void {
    if (this.#poison) {
      throw new WalPoisonedError(this.#poison.message, { cause: this.#poison.cause });
    }
    if (this.#closed) throw new WalClosedError("the log was closed");
  }

  /** Why an append found no room. */
  fullError(): WalFullError {
    const failure = this.#segments.failure;
    if (failure && !this.#segments.spareReady) {
      return new WalFullError(
        `the log is full: no new segment can be made (${failure.message}). Free space, or call ` +
          `truncateBefore; the log is undamaged`,
        { cause: failure },
      );
    }
    return new WalFullError(
      `every frame is in flight: await ready(), then append again (commit.maxInFlight is ${this.#inFlightMax})`,
    );
  }

  /** Resolves when an append of a small record finds room; rejects when it never will. */
  ready(): Promise<void> {
    if (this.#poison || this.#closed) {
      try {
        this.#refuse();
      } catch (error) {
        return Promise.reject(error);
      }
    }
    this.#retrySpare();
    if (this.#limit > 0) return Promise.resolve();
    this.#segments.ensureSpare();
    // Where the Io is broken that has ended the log.
    if (this.#poison) return Promise.reject(this.#poison);
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
  }

  // --- Committing -----------------------------------------------------------------------------

  /** The first append to a frame, or since the last flush. */
  #attend(): void {
    this.#attended = true;
    const frame = this.#fill;
    if (frame.appendedMicros < 0) frame.appendedMicros = this.#io.now();
    if (!this.#flushScheduled) this.#schedule();
  }

  /**
   * The frame goes out when the work of this turn is done: appends of the same turn, and of everybody
   * whom the same acknowledgement woke, share it, or two (see `#aimEarly`).
   */
  #schedule(): void {
    this.#flushScheduled = true;
    if (this.#maxDelayMicros === 0) {
      queueMicrotask(this.#scheduled);
      return;
    }
    this.#delayTimer = this.#io.after(this.#maxDelayMicros, this.#scheduled);
  }

  /**
   * Nothing is in flight: those who were acknowledged together will append together, and with one frame
   * for all of them the device would rest while they do, and they while it works. The frame may go out at
   * half of what was in flight, and so each half goes on while the other one is being written. Where one
   * commit waits for the other, as with one fdatasync at a time, there is nothing to gain.
   */
  #aimEarly(now: number): void {
    const half = this.#flyingBytesMost >> 1;
    this.#flyingBytesMost = 0;
    this.#halves = false;
    if (!this.#dsync || this.#maxDelayMicros > 0 || this.#inFlightMax === 1) return;
    if (this.#limit === 0 || this.#at >= half) return;
    this.#limit = Math.min(half, this.#frameBytesMax);
    this.#aimedMicros = now;
  }

  /** The frame that fills has come to where it may go out early: it does, or goes on to its end. */
  #passHalf(): void {
    this.#limit = this.#frameBytesMax;
    const pays = this.#earlyPays();
    if (pays && this.#paidBefore) {
      this.#halves = true;
      this.#quickHalves = 0;
      this.#closeFilling();
      this.#submitFull();
      // What was submitted may be durable by now, and the empty frame due early again.
      if (this.#limit > 0) this.#limit = this.#frameBytesMax;
    }
    this.#paidBefore = pays;
  }

  /**
   * Whether it does go out there. Two writes instead of one cost what the smallest one takes (about half
   * of what commits here take at the least), and save the time of appending, half of which is known by
   * now. Where nobody waits for single records that is short, and one write is better.
   */
  #earlyPays(): boolean {
    const { recordCount } = this.#fill;
    return this.#filled === this.#acknowledged && recordCount > 0 && !this.#rolling &&
      this.#fillingMicros() > this.#commitMicros / 4;
  }

  /** How long the frame has been filling; what came before the acknowledgement waited, and took no time. */
  #fillingMicros(): number {
    return this.#io.now() - Math.max(this.#fill.appendedMicros, this.#aimedMicros);
  }

  /**
   * The other half is being written, and appending this one was quick, for some time now: it waits for
   * the other, and from then on they share one frame again.
   */
  #joinHalves(): boolean {
    if (this.#flushLsn > this.#submittedLsn) return false;
    if (this.#fillingMicros() > this.#commitMicros / 8) this.#quickHalves = 0;
    else this.#quickHalves++;
    if (this.#quickHalves < QUICK_HALVES_MAX) return false;
    this.#halves = false;
    return true;
  }

  /** Submits everything appended so far, as far as frames may be in flight. */
  submitPending(): void {
    this.#flushLsn = this.#appendedLsn;
    this.#flushFilling();
  }

  #flushFilling(): void {
    if (this.#poison || (this.#closed && this.#acknowledged === this.#filled)) return;
    this.#submitFull();
    this.#retrySpare();
    // Behind full frames, or with the device busy, it goes on filling: the next acknowledgement
    // brings it on its way.
    if (
      this.#limit > 0 && this.#fill.recordCount > 0 && this.#submitted === this.#filled &&
      this.#submitted - this.#acknowledged < this.#inFlightMax && !this.#rolling
    ) {
      const joins = this.#halves && this.#submitted > this.#acknowledged && this.#joinHalves();
      if (!joins) {
        this.#closeFilling();
        this.#submitFull();
      }
    }
    this.#pump.drain();
  }

  /** The frame that fills is full; the next free one fills, if there is one. */
  #closeFilling(): void {
    const frame = this.#fill;
    frame.end = this.#at;
    const records = this.#bytes.subarray(FRAME_HEADER_BYTES, this.#at);
    frame.bytes.set(records, FRAME_HEADER_BYTES);
    frame.lastLsn = this.#appendedLsn;
    this.#filled++;
    this.#limit = 0;
    this.#openFilling();
  }

  #openFilling(): void {
    if (this.#limit > 0 || this.#closed || this.#poison) return;
    if (this.#filled - this.#acknowledged >= this.#ringSize) return;
    const frame = this.#frames[this.#filled % this.#ringSize];
    frame.kind = KIND_DATA;
    frame.recordCount = 0;
    frame.appendedMicros = -1;
    frame.deferred = undefined;
    this.#fill = frame;
    this.#attended = false;
    this.#at = FRAME_HEADER_BYTES;
    this.#limit = this.#frameBytesMax;
    const room = this.#room;
    if (room) {
      this.#room = undefined;
      room.resolve();
    }
  }

  /** Submits full frames, in order, while the segment has room and frames may be in flight. */
  #submitFull(): void {
    let submitted = false;
    while (
      this.#submitted < this.#filled && !this.#rolling && !this.#poison &&
      this.#submitted - this.#acknowledged < this.#inFlightMax
    ) {
      const index = this.#submitted % this.#ringSize;
      const frame = this.#frames[index];
      const active = this.#segments.active;
      const bytes = frameBytes(frame.end - FRAME_HEADER_BYTES, this.#unit);
      // (None: there was no space for one when the log was opened.)
      if (!active || active.offset + bytes > active.header.segmentBytes) {
        this.#startRoll();
        break;
      }
      this.#seal(frame, bytes);
      frame.submittedMicros = this.#io.now();
      this.#flyingBytes += frame.end;
      if (this.#flyingBytes > this.#flyingBytesMost) this.#flyingBytesMost = this.#flyingBytes;
      frame.offset = active.offset;
      active.offset += bytes;
      this.#submitted++;
      this.#submit(index, frame);
      submitted = true;
    }
    if (submitted) {
      this.#pump.drain();
      this.#pump.kick();
    }
  }

  /** Header, checksums, padding: from here on nothing in the frame changes. */
  #seal(frame: Frame, bytesOnDisk: number): void {
    const active = this.#segments.active!;
    const payloadBytes = frame.end - FRAME_HEADER_BYTES;
    const seed = frameSeed(active.header.salt, active.offset, this.#crc32c);
    frame.bytes.fill(0, frame.end, bytesOnDisk);
    const header = this.#header;
    header.payloadCrc = this.#io.crc32cBuffer(frame.buffer, FRAME_HEADER_BYTES, payloadBytes, seed);
    header.payloadBytes = payloadBytes;
    header.recordCount = frame.recordCount;
    header.kind = frame.kind;
    header.firstLsn = this.#submittedLsn + 1;
    header.durableMark = this.#durableLsn;
    header.epoch = this.#epoch;
    header.previousChain = this.#chain;
    header.writtenMillis = Math.max(0, Math.floor(this.#io.wallClock()));
    this.#chain = encodeFrameHeader(frame.bytes, frame.view, header, seed, this.#crc32c);
    // Of the whole segment: the records are not looked at a second time.
    const crc = this.#crc32c(frame.bytes.subarray(0, FRAME_HEADER_BYTES), active.crc);
    const records = reseedCrc(header.payloadCrc, seed, crc, payloadBytes);
    active.crc = zerosCrc(records, bytesOnDisk - frame.end);
    if (header.writtenMillis >= this.#segments.retainAtMillis) this.#segments.makeRoom();
    this.#submittedLsn = frame.lastLsn;
    frame.durableMark = header.durableMark;
    frame.bytesOnDisk = bytesOnDisk;
    frame.bytesWritten = 0;
    frame.retries = 0;
    frame.written = false;
    const counters = this.counters;
    counters.frames++;
    counters.payloadBytes += payloadBytes - RECORD_HEADER_BYTES * frame.recordCount;
    counters.diskBytes += bytesOnDisk;
  }

  /** Submits what is left of a frame, from the last unit boundary that was written. */
  #submit(index: number, frame: Frame): void {
    const from = frame.bytesWritten - frame.bytesWritten % this.#unit;
    try {
      this.#io.writeAt(
        this.#segments.active!.file,
        frame.buffer,
        from,
        frame.bytesOnDisk - from,
        frame.offset + from,
        this.#dsync ? DSYNC : 0,
        index,
      );
      this.#busy++;
      this.counters.operations++;
    } catch (error) {
      if (error instanceof IoFullError) this.#sendLater(index);
      else this.fail("a write could not be submitted", error);
    }
  }

  /** Others have all the operations of the Io: what was refused comes again, and nothing has failed. */
  #sendLater(handle: number): void {
    this.#unsent.push(handle);
    this.#sendTimer ??= this.#io.after(FULL_RETRY_MICROS, () => {
      this.#sendTimer = undefined;
      this.#sendAgain();
    });
  }

  #sendAgain(): void {
    if (this.#unsent.length === 0 || this.#poison) return;
    for (const handle of this.#unsent.splice(0)) {
      if (handle === SYNC_HANDLE) this.#sync();
      else this.#submit(handle, this.#frames[handle]);
    }
    this.#pump.drain();
    this.#pump.kick();
  }

  /** A completion of one of the reserved handles. */
  completed(handle: number, res: number): void {
    if (this.#busy > 0) this.#busy--;
    this.#completed(handle, res);
    if (this.#busy === 0 && this.#idle) {
      const idle = this.#idle;
      this.#idle = undefined;
      idle();
    }
  }

  #completed(handle: number, res: number): void {
    if (handle === SYNC_HANDLE) {
      this.#synced(res);
      return;
    }
    const frame = this.#frames[handle];
    const from = frame.bytesWritten - frame.bytesWritten % this.#unit;
    if (res < 0 && res !== -EINTR && res !== -EAGAIN) {
      const path = this.#segments.active!.file.path;
      this.fail("a write failed", ioError(res, "write", path, frame.offset + from));
      return;
    }
    const end = from + Math.max(0, res);
    if (end > frame.bytesWritten) {
      frame.bytesWritten = end;
    } else if (++frame.retries > RETRIES_MAX) {
      const path = this.#segments.active!.file.path;
      const cause = ioError(res < 0 ? res : -EIO, "write", path, frame.offset + from);
      this.fail("a write made no progress", cause);
      return;
    }
    if (this.#poison) return;
    if (frame.bytesWritten < frame.bytesOnDisk) {
      this.#submit(handle, frame);
      this.#pump.kick();
      return;
    }
    frame.written = true;
    if (this.#dsync) {
      let acknowledged = this.#acknowledged;
      while (
        acknowledged < this.#submitted && this.#frames[acknowledged % this.#ringSize].written
      ) acknowledged++;
      this.#acknowledge(acknowledged);
    } else {
      this.#sync();
    }
  }

  /** Buffered mode: one fdatasync for the frames whose writes are complete, in order. */
  #sync(): void {
    if (this.#syncInFlight || this.#poison) return;
    let covers = this.#acknowledged;
    while (covers < this.#submitted && this.#frames[covers % this.#ringSize].written) covers++;
    if (covers === this.#acknowledged) return;
    this.#syncInFlight = true;
    this.#syncCovers = covers;
    this.counters.syncs++;
    try {
      this.#io.fdatasync(this.#segments.active!.file, SYNC_HANDLE);
      this.#busy++;
      this.counters.operations++;
    } catch (error) {
      this.#syncInFlight = false;
      if (error instanceof IoFullError) this.#sendLater(SYNC_HANDLE);
      else this.fail("a sync could not be submitted", error);
      return;
    }
    this.#pump.kick();
  }

  #synced(res: number): void {
    this.#syncInFlight = false;
    if (this.#poison) return;
    if ((res === -EINTR || res === -EAGAIN) && ++this.#syncRetries <= RETRIES_MAX) {
      this.#sync();
      return;
    }
    if (res !== 0) {
      const path = this.#segments.active!.file.path;
      this.fail("a sync failed", ioError(res, "fdatasync", path));
      return;
    }
    this.#syncRetries = 0;
    this.#acknowledge(this.#syncCovers);
    this.#sync();
  }

  /** The frames before number `until` are durable. */
  #acknowledge(until: number): void {
    if (until === this.#acknowledged) return;
    const now = this.#io.now();
    while (this.#acknowledged < until) {
      const frame = this.#frames[this.#acknowledged % this.#ringSize];
      this.#acknowledged++;
      this.#flyingBytes -= frame.end;
      const micros = Math.max(1, now - frame.submittedMicros);
      this.#commitMicros = Math.min(micros, this.#commitMicros * COMMIT_MICROS_DRIFT);
      if (frame.appendedMicros >= 0) {
        this.latency.record(now - frame.appendedMicros);
        this.commitRecords.record(frame.recordCount);
        this.commitBytes.record(frame.bytesOnDisk);
      }
      this.#durableLsn = frame.lastLsn;
      if (frame.durableMark > this.#markedLsn) this.#markedLsn = frame.durableMark;
      const deferred = frame.deferred;
      if (deferred) {
        frame.deferred = undefined;
        deferred.resolve(frame.lastLsn);
      }
    }
    this.#openFilling();
    if (this.#acknowledged === this.#filled) this.#aimEarly(now);
    const drained = this.#drainedResume;
    if (drained && this.#acknowledged === this.#submitted) {
      this.#drainedResume = undefined;
      drained();
    }
    this.#submitFull();
    // Whom this acknowledgement woke may append first: their records share the next frame.
    if (this.#limit > 0 && this.#fill.recordCount > 0) {
      if (this.#flushLsn > this.#submittedLsn) queueMicrotask(this.#scheduled);
      else if (!this.#flushScheduled) this.#schedule();
    }
    this.#considerMark();
    this.#checkSettled();
    if (this.onAdvance !== undefined) this.onAdvance();
  }

  // --- From one segment to the next ---------------------------------------------------------

  /**
   * The next segment's header is made durable while the last frames of this one are in flight. When
   * these are durable META names the next segment, and then its own frames go out.
   */
  #startRoll(): void {
    if (this.#rolling) return;
    this.#rolling = true;
    if (!this.#segments.spareReady) {
      this.#segments.ensureSpare();
      return; // `#spareChanged` goes on
    }
    this.#activateNext();
  }

  #activateNext(): void {
    this.#activating = true;
    const drained = () => this.#drained();
    const task = this.#segments.activate(this.#submittedLsn, this.#chain, drained);
    this.#pump.spawn(task, (activated) => {
      this.#activating = false;
      if (activated) this.#finishRoll();
      else this.#spareChanged(); // back-pressure
    }, (error) => this.fail("META could not be written", error));
  }

  *#drained(): Task<void> {
    while (this.#acknowledged !== this.#submitted || this.#poison) {
      yield { until: (resume) => this.#drainedResume = resume };
    }
  }

  /** Frames wait for a segment that could not be made: perhaps it can be now. */
  #retrySpare(): void {
    if (this.#rolling && !this.#activating && !this.#poison) this.#segments.ensureSpare();
  }

  #spareChanged(): void {
    if (!this.#rolling || this.#activating) return;
    const { failure, spareReady } = this.#segments;
    if (
      failure && !spareReady && !(failure instanceof IoError || failure instanceof WalLockedError)
    ) {
      // Not the disk, but the Io: it was disposed of, or is broken. Nothing will ever go on.
      this.fail("no new segment could be made", failure);
      return;
    }
    if (this.#segments.spareReady) this.#activateNext();
    // A log that is being closed cannot wait for space any longer. A mark is not worth a segment.
    else if (this.#closed && this.#durableLsn < this.#appendedLsn) {
      this.fail("no new segment could be made", this.#segments.failure);
    } else if (this.#closed) {
      this.#filled = this.#submitted;
      this.#rolling = false;
      this.#checkSettled();
    } else {
      // Who waits for a record of this log asks for nothing else: it looks by itself now and then.
      this.#retryTimer ??= this.#io.after(SPARE_RETRY_MICROS, () => {
        this.#retryTimer = undefined;
        this.#retrySpare();
      });
    }
  }

  /** Every frame of the old segment is durable, and META names the new one. */
  #finishRoll(): void {
    this.#segments.advance();
    // The new segment's header names the last record of the old one, which is as good as a mark.
    this.#markedLsn = this.#submittedLsn;
    this.#rolling = false;
    this.#submitFull();
    this.#checkSettled();
    if (this.#limit > 0 && this.#fill.recordCount > 0 && !this.#flushScheduled) this.#schedule();
  }

  // --- Durable marks ----------------------------------------------------------------------------

  #considerMark(): void {
    if (
      this.#idleMarkMillis === Infinity || this.#markTimer !== undefined || this.#closed ||
      this.#markedLsn >= this.#durableLsn || this.#durableLsn !== this.#appendedLsn
    ) return;
    this.#markTimer = this.#io.after(this.#idleMarkMillis * 1000, () => {
      this.#markTimer = undefined;
      if (this.#closed) return;
      if (this.#durableLsn === this.#appendedLsn) this.writeMark();
      else this.#considerMark();
    });
  }

  /** When the log is idle and its last records are under no mark: writes one. */
  writeMark(): void {
    if (
      this.#poison || this.#markedLsn >= this.#durableLsn || this.#rolling ||
      this.#durableLsn !== this.#appendedLsn || this.#limit === 0
    ) return;
    if (this.#at !== FRAME_HEADER_BYTES) throw new Error("a mark has no records");
    this.#fill.kind = KIND_MARK;
    this.counters.marks++;
    this.#closeFilling();
    this.#submitFull();
  }

  // --- Waiting --------------------------------------------------------------------------------

  /** Resolves with an LSN of at least `lsn` when that record survives a power cut. */
  durable(lsn: number): Promise<number> {
    if (lsn <= this.#durableLsn) return Promise.resolve(this.#durableLsn);
    if (this.#poison) return Promise.reject(this.#poison);
    if (lsn > this.#appendedLsn) {
      return Promise.reject(
        new RangeError(`record ${lsn} was not appended yet: the last one is ${this.#appendedLsn}`),
      );
    }
    // At most a ring of frames; usually the last.
    for (let number = this.#acknowledged; number < this.#filled; number++) {
      const frame = this.#frames[number % this.#ringSize];
      if (frame.lastLsn >= lsn) return (frame.deferred ??= Promise.withResolvers<number>()).promise;
    }
    return (this.#fill.deferred ??= Promise.withResolvers<number>()).promise;
  }

  /** Blocks until `lsn` is durable. Throws when it will not be. */
  waitDurable(lsn: number): void {
    if (lsn > this.#appendedLsn) {
      throw new RangeError(
        `record ${lsn} was not appended yet: the last one is ${this.#appendedLsn}`,
      );
    }
    const failures = this.#segments.failures;
    // Ends with the last operation in flight, or with the first attempt at a segment that fails.
    while (this.#durableLsn < lsn) {
      if (this.#poison) this.#refuse();
      if (this.#segments.failures > failures && this.#rolling && !this.#activating) {
        throw this.fullError();
      }
      const before = this.#submitted + this.#acknowledged;
      this.#sendAgain();
      this.#flushFilling();
      if (this.#durableLsn >= lsn) return;
      if (this.#io.inFlight > 0) this.#pump.park();
      else if (this.#submitted + this.#acknowledged === before) {
        if (this.#poison) this.#refuse();
        throw this.fullError();
      }
    }
  }

  // --- The end ------------------------------------------------------------------------------------

  /** What is on the disk is unknown from here on: nothing further is acknowledged or appended. */
  fail(what: string, cause: unknown): void {
    if (this.#poison) return;
    const text = cause instanceof Error ? cause.message : String(cause);
    this.#poison = new WalPoisonedError(
      `${what}: ${text}. Records after ${this.#durableLsn} may be lost; open the log again`,
      { cause },
    );
    this.#limit = 0;
    for (const frame of this.#frames) {
      frame.deferred?.reject(this.#poison);
      frame.deferred = undefined;
    }
    this.#room?.reject(this.#poison);
    this.#room = undefined;
    this.#settled?.reject(this.#poison);
    this.#cancelTimers();
    this.#onPoison(this.#poison);
    if (this.onAdvance !== undefined) this.onAdvance();
  }

  #cancelTimers(): void {
    this.#markTimer?.cancel();
    this.#retryTimer?.cancel();
    this.#delayTimer?.cancel();
    this.#markTimer = undefined;
    this.#retryTimer = undefined;
    this.#delayTimer = undefined;
  }

  /** The Io itself failed: nothing in flight will ever complete. */
  abandon(error: unknown): void {
    this.fail("the Io failed", error);
    this.#busy = 0;
    const idle = this.#idle;
    this.#idle = undefined;
    idle?.();
  }

  /** No further appends. What was appended still becomes durable, and is sent on its way. */
  stop(): void {
    this.#closed = true;
    this.#cancelTimers();
    if (this.#limit > 0 && this.#fill.recordCount > 0) this.#closeFilling();
    this.#limit = 0;
    this.#submitFull();
    if (this.#rolling && !this.#segments.spareReady) this.#segments.ensureSpare();
    const room = this.#room;
    this.#room = undefined;
    room?.reject(new WalClosedError("the log was closed"));
  }

  /** After `stop`: resolves when no frame and no change of segments is under way; rejects on poison. */
  settled(): Promise<void> {
    if (this.#poison) return Promise.reject(this.#poison);
    this.#settled ??= Promise.withResolvers<void>();
    this.#checkSettled();
    return this.#settled.promise;
  }

  #checkSettled(): void {
    if (this.#settled && !this.#rolling && this.#acknowledged === this.#filled) {
      this.#settled.resolve();
    }
  }
}
