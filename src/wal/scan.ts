/**
 * Reads the frames of one segment, in order, from one offset on, and says why it stopped. Recovery,
 * reading and verification all see a segment through this file.
 *
 * @module
 */

import type { IoBuffer, IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import type { Disk } from "./disk.ts";
import { WalCorruptionError } from "./errors.ts";
import {
  COMMIT_UNIT_MAX_BYTES,
  COMMIT_UNIT_MIN_BYTES,
  type Crc32c,
  decodeFrameHeader,
  decodeHeader,
  FRAME_HEADER_BYTES,
  frameBytes,
  frameChain,
  type FrameHeader,
  frameSeed,
  HEADER_COPIES,
  HEADER_USED_BYTES,
  type HeaderCopy,
  KIND_DATA,
  KIND_MARK,
  newFrameHeader,
  RECORD_HEADER_BYTES,
  type SegmentHeader,
} from "./format.ts";
import { lengthsAddUp } from "./records.ts";

/** Most bytes read ahead at a time: large enough to stream, small enough to open quickly. */
const READ_BYTES = 262_144;
/** Bytes read ahead at first by who waits for a frame; doubles as long as there is more. */
const READ_BYTES_FIRST = COMMIT_UNIT_MAX_BYTES;

/**
 * A part of a file in ordinary memory, read through a borrowed `IoBuffer`. Grows to the largest range
 * asked for, which the format bounds by the segment.
 */
export class Window {
  readonly #disk: Disk;
  #file: IoFile;
  readonly #buffer: IoBuffer;
  bytes: Uint8Array = new Uint8Array(new ArrayBuffer(0));
  view: DataView = new DataView(this.bytes.buffer);
  /** File offset of `bytes[0]`. */
  base = 0;
  /** Bytes that are valid. */
  length = 0;
  /** Times that something was read. */
  loads = 0;
  #ahead = READ_BYTES;

  constructor(disk: Disk, file: IoFile, buffer: IoBuffer) {
    this.#disk = disk;
    this.#file = file;
    this.#buffer = buffer;
  }

  holds(offset: number, length: number): boolean {
    return offset >= this.base && offset + length <= this.base + this.length;
  }

  /** Goes on with another file, in the memory that it has. */
  turnTo(file: IoFile): void {
    this.#file = file;
    this.length = 0;
    this.loads = 0;
    this.#ahead = READ_BYTES;
  }

  /** Forgets what was read; what is read next is little at first. */
  clear(): void {
    this.length = 0;
    this.#ahead = READ_BYTES_FIRST;
  }

  /** Makes `length` bytes from `offset` valid, or as many as lie before `limit` and the end of the file. */
  *load(offset: number, length: number, limit: number): Task<void> {
    if (this.holds(offset, length)) return;
    this.loads++;
    let wanted = Math.max(length, Math.min(this.#ahead, limit - offset));
    this.#ahead = Math.min(READ_BYTES, 2 * this.#ahead);
    // Direct reads end at a unit, also where the file does not.
    wanted = Math.ceil(wanted / COMMIT_UNIT_MAX_BYTES) * COMMIT_UNIT_MAX_BYTES;
    let kept = 0;
    if (wanted > this.bytes.length) {
      const bytes = new Uint8Array(new ArrayBuffer(wanted));
      if (offset >= this.base && offset < this.base + this.length) {
        kept = this.base + this.length - offset;
        bytes.set(this.bytes.subarray(offset - this.base, this.length));
      }
      this.bytes = bytes;
      this.view = new DataView(bytes.buffer);
    } else if (offset >= this.base && offset < this.base + this.length) {
      kept = this.base + this.length - offset;
      this.bytes.copyWithin(0, offset - this.base, this.length);
    }
    // A direct read starts at a unit, also behind a piece that the end of the file cut.
    kept -= kept % COMMIT_UNIT_MIN_BYTES;
    this.base = offset;
    this.length = kept;
    while (this.length < wanted) {
      const piece = Math.min(this.#buffer.length, wanted - this.length);
      const got = yield* this.#disk.read(this.#file, this.#buffer, 0, piece, offset + this.length);
      this.bytes.set(this.#buffer.bytes.subarray(0, got), this.length);
      this.length += got;
      if (got < piece) break;
    }
  }
}

/** Both copies of a header, judged: the valid one, or why there is none. */
export function* loadHeader(disk: Disk, file: IoFile, buffer: IoBuffer): Task<HeaderCopy> {
  const window = new Window(disk, file, buffer);
  yield* window.load(0, COMMIT_UNIT_MAX_BYTES, COMMIT_UNIT_MAX_BYTES);
  const crc32c: Crc32c = (bytes, seed) => disk.io.crc32c(bytes, seed);
  const used = Math.min(window.length, HEADER_USED_BYTES);
  const first = decodeHeader(window.bytes.subarray(0, used), crc32c);
  if (!("damage" in first)) return first;
  const copies = HEADER_COPIES * COMMIT_UNIT_MAX_BYTES;
  yield* window.load(0, copies, copies);
  const bytes = window.bytes.subarray(0, window.length);
  // Where the second copy lies depends on the commit unit, which it names itself.
  for (let unit = COMMIT_UNIT_MIN_BYTES; unit <= COMMIT_UNIT_MAX_BYTES; unit *= 2) {
    if (unit + HEADER_USED_BYTES > bytes.length) break;
    const copy = decodeHeader(bytes.subarray(unit, unit + HEADER_USED_BYTES), crc32c);
    if ("header" in copy && copy.header.commitUnitBytes === unit) return copy;
    if ("version" in copy) return copy;
  }
  return first;
}

/**
 * Whether a file still has the life that `header` began: what was read of it before, then, is of that
 * life too. A writer ends a life by a new header, before anything else.
 */
export function* hasLife(
  disk: Disk,
  file: IoFile,
  buffer: IoBuffer,
  header: Readonly<SegmentHeader>,
): Task<boolean> {
  const crc32c: Crc32c = (bytes, seed) => disk.io.crc32c(bytes, seed);
  for (let copy = 0; copy < HEADER_COPIES; copy++) {
    const offset = copy * header.commitUnitBytes;
    const got = yield* disk.read(file, buffer, 0, header.commitUnitBytes, offset);
    const decoded = decodeHeader(buffer.bytes.subarray(0, got), crc32c);
    if (!("header" in decoded)) continue;
    const { sequence, salt } = decoded.header;
    return sequence === header.sequence && salt.every((byte, i) => byte === header.salt[i]);
  }
  return false;
}

/** Why a scan stopped. */
export type ScanStop =
  /** No room for a further frame. */
  | "full"
  /** What stands here is not a frame of this life: zeros, older bytes, a torn header. */
  | "nothing"
  /** A frame of this life whose records fail their checksum. */
  | "payload";

/** The frames of one segment. The file and the buffer belong to the caller. */
export class SegmentScan {
  readonly #crc32c: Crc32c;
  readonly #window: Window;
  readonly #epochMax: number;
  readonly path: string;
  readonly header: SegmentHeader;
  /** Frames lie below this offset. Rises with a file that grows. */
  limit: number;
  /** The frame of the last successful `next`. */
  readonly frame: FrameHeader = newFrameHeader();
  /** Its offset; behind it, `offset`. */
  frameOffset = 0;
  /** Offset of the next frame. */
  offset: number;
  /** LSN of the next record. */
  nextLsn: number;
  /** Chain of the last frame. */
  chain: number;
  /** Highest durable mark seen. */
  durableMark = 0;
  #epoch: number;
  stop: ScanStop = "nothing";
  readonly #probe: FrameHeader = newFrameHeader();

  /** @param window Of the segment before, whose scan has ended: its memory serves again. */
  constructor(
    disk: Disk,
    file: IoFile,
    header: SegmentHeader,
    fileBytes: number,
    epochMax: number,
    buffer: IoBuffer,
    window?: Window,
  ) {
    this.#crc32c = (bytes, seed) => disk.io.crc32c(bytes, seed);
    window?.turnTo(file);
    this.#window = window ?? new Window(disk, file, buffer);
    this.#epochMax = epochMax;
    this.path = file.path;
    this.header = header;
    this.limit = Math.min(fileBytes, header.segmentBytes);
    this.offset = HEADER_COPIES * header.commitUnitBytes;
    this.nextLsn = header.firstLsn;
    this.chain = header.previousChain;
    this.#epoch = header.epoch;
  }

  /** The bytes of the current frame's records, valid until the next `next`. */
  get payload(): Uint8Array {
    const from = this.frameOffset - this.#window.base + FRAME_HEADER_BYTES;
    return this.#window.bytes.subarray(from, from + this.frame.payloadBytes);
  }

  /** For the scan of the next segment. */
  get window(): Window {
    return this.#window;
  }

  /** Times that something of the file was read. */
  get loads(): number {
    return this.#window.loads;
  }

  /** Forgets what was read ahead, so that the next `next` sees the file as it is now. */
  refresh(fileBytes?: number): void {
    this.#window.clear();
    if (fileBytes !== undefined) this.limit = Math.min(fileBytes, this.header.segmentBytes);
  }

  /** Goes to the next frame: false when there is none, and `stop` says why. */
  *next(): Task<boolean> {
    const unit = this.header.commitUnitBytes;
    const offset = this.offset;
    if (offset + unit > this.limit) {
      this.stop = "full";
      return false;
    }
    const window = this.#window;
    if (!window.holds(offset, unit)) yield* window.load(offset, unit, this.limit);
    if (!window.holds(offset, unit)) {
      this.stop = "nothing";
      return false;
    }
    const frame = this.frame;
    const seed = frameSeed(this.header.salt, offset, this.#crc32c);
    if (
      !decodeFrameHeader(window.bytes, window.view, offset - window.base, seed, this.#crc32c, frame)
    ) {
      this.stop = "nothing";
      return false;
    }
    this.#judge(offset, frame);
    const bytes = frameBytes(frame.payloadBytes, unit);
    if (offset + bytes > this.limit) {
      // It was never written whole: nothing is read, or allocated, for it.
      this.stop = "payload";
      return false;
    }
    if (!window.holds(offset, bytes)) yield* window.load(offset, bytes, this.limit);
    const from = offset - window.base + FRAME_HEADER_BYTES;
    const whole = window.holds(offset, bytes);
    const records = window.bytes.subarray(from, from + frame.payloadBytes);
    if (!whole || this.#crc32c(records, seed) !== frame.payloadCrc) {
      this.stop = "payload";
      return false;
    }
    this.frameOffset = offset;
    this.offset = offset + bytes;
    this.nextLsn += frame.recordCount;
    this.chain = frameChain(frame.headerCrc, frame.previousChain, this.#crc32c);
    this.#epoch = frame.epoch;
    if (frame.durableMark > this.durableMark) this.durableMark = frame.durableMark;
    return true;
  }

  /** A header with a good checksum was written by this log; what it says must fit. */
  #judge(offset: number, frame: FrameHeader): void {
    const damaged = (reason: string) => new WalCorruptionError(this.path, offset, reason);
    if (frame.epoch > this.#epochMax) {
      throw damaged(
        `the frame was written by opening ${frame.epoch}, and META knows of ${this.#epochMax} only`,
      );
    }
    if (frame.firstLsn !== this.nextLsn) {
      throw damaged(`the frame begins with record ${frame.firstLsn} instead of ${this.nextLsn}`);
    }
    if (frame.previousChain !== this.chain) {
      throw damaged("the frame does not follow the one before");
    }
    if (frame.epoch < this.#epoch) throw damaged("the frame is older than the one before");
    if (!(frame.durableMark < frame.firstLsn)) {
      throw damaged("the durable mark lies ahead of the frame");
    }
    const sound = frame.kind === KIND_DATA
      ? frame.recordCount > 0 && frame.payloadBytes >= frame.recordCount * RECORD_HEADER_BYTES
      : frame.kind === KIND_MARK && frame.recordCount === 0 && frame.payloadBytes === 0;
    if (!sound) throw damaged(`a frame of kind ${frame.kind} with impossible numbers`);
    const end = offset + frameBytes(frame.payloadBytes, this.header.commitUnitBytes);
    // (Beyond the end of a file that grows is no damage: its size was not durable yet.)
    if (end > this.header.segmentBytes) {
      throw damaged("the frame reaches beyond the end of the segment");
    }
  }

  /**
   * Looks past the stop for frames of this life, by their headers alone: those that were in flight
   * together with the one that is missing, or a proof that it had been durable.
   */
  *lookPast(): Task<Beyond> {
    const unit = this.header.commitUnitBytes;
    const window = this.#window;
    const probe = this.#probe;
    const beyond: Beyond = {
      frames: 0,
      lastOffset: 0,
      end: this.offset,
      lastLsn: 0,
      durableMark: 0,
    };
    for (let offset = this.offset + unit; offset + unit <= this.limit; offset += unit) {
      if (!window.holds(offset, unit)) yield* window.load(offset, unit, this.limit);
      if (!window.holds(offset, unit)) break;
      const at = offset - window.base;
      const seed = frameSeed(this.header.salt, offset, this.#crc32c);
      if (!decodeFrameHeader(window.bytes, window.view, at, seed, this.#crc32c, probe)) continue;
      beyond.frames++;
      beyond.lastOffset = offset;
      beyond.end = Math.min(this.limit, offset + frameBytes(probe.payloadBytes, unit));
      // Numbers that there cannot be are NaN: such an LSN names no record, and such a mark is beyond all.
      const last = probe.firstLsn + probe.recordCount - 1;
      if (last > beyond.lastLsn) beyond.lastLsn = last;
      const mark = Number.isNaN(probe.durableMark) ? Number.MAX_SAFE_INTEGER : probe.durableMark;
      if (mark > beyond.durableMark) beyond.durableMark = mark;
    }
    return beyond;
  }
}

/** Throws unless the lengths of the records add up to the frame that the scan is at. */
export function requireLengths(scan: SegmentScan): void {
  if (lengthsAddUp(scan.payload, scan.frame.recordCount)) return;
  throw new WalCorruptionError(
    scan.path,
    scan.frameOffset,
    "the lengths of the records do not add up to the frame",
  );
}

/** What lies past the first frame that is missing. */
export interface Beyond {
  frames: number;
  /** Offset of the last of them. */
  lastOffset: number;
  /** Offset behind it. */
  end: number;
  lastLsn: number;
  /** Highest durable mark of them. */
  durableMark: number;
}
