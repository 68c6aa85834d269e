/**
 * Decides where the log ends: the recovery table of `docs/FORMAT.md` as code. Reads only; what follows
 * from the decision is done by `open.ts`, and by nobody when a log is only looked at.
 *
 * @module
 */

import type { IoBuffer, IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { type Disk, ENOENT, ioError, joinPath } from "./disk.ts";
import { newerVersion, WalCorruptionError } from "./errors.ts";
import {
  type Crc32c,
  decodeFrameHeader,
  frameSeed,
  HEADER_COPIES,
  type Meta,
  META_NAME,
  newFrameHeader,
  sameLog,
  type SegmentHeader,
  segmentName,
  segmentSequence,
  uuidText,
} from "./format.ts";
import { loadHeader, SegmentScan, Window } from "./scan.ts";

/** How the end of a log was found. */
export type TailState = "clean" | "torn" | "ambiguous";

/** The end of a log. */
export interface Tail {
  state: TailState;
  /** LSN of the last record, 0 in an empty log. */
  lastLsn: number;
  /** Chain of the last frame. */
  chain: number;
  /** Path of the segment with the end, and the offset behind the last frame. */
  file: string;
  offset: number;
  /** Records that were written, perhaps, and are not part of the log: LSNs `[from, to)`. */
  droppedFrom: number;
  droppedTo: number;
  /** Bytes `[offset, keepEnd)` hold remains of frames of this life, to be kept beside the log. */
  keepEnd: number;
}

/** Files of a log's directory, by sequence, rising. */
export function segmentsOf(names: Iterable<string>): number[] {
  const sequences: number[] = [];
  for (const name of names) {
    const sequence = segmentSequence(name);
    if (sequence !== undefined) sequences.push(sequence);
  }
  return sequences.sort((a, b) => a - b);
}

/**
 * The header of an activated segment. It must be there and be of this log: anything else is damage
 * (that a file without a header is a spare holds only beyond the activated segment).
 */
export function* requireHeader(
  disk: Disk,
  file: IoFile,
  buffer: IoBuffer,
  meta: Readonly<Meta>,
  sequence: number,
): Task<SegmentHeader> {
  const copy = yield* loadHeader(disk, file, buffer);
  if ("version" in copy) throw newerVersion(file.path, copy.version);
  if ("damage" in copy) throw new WalCorruptionError(file.path, 0, copy.damage);
  const header = copy.header;
  if (!sameLog(header.uuid, meta.uuid)) throw foreign(file.path, header.uuid);
  if (header.sequence !== sequence) {
    throw new WalCorruptionError(
      file.path,
      0,
      `the header is of segment ${header.sequence}: the file was renamed, or this one is missing`,
    );
  }
  return header;
}

function foreign(path: string, uuid: Uint8Array): WalCorruptionError {
  return new WalCorruptionError(
    path,
    0,
    `the segment belongs to another log (${uuidText(uuid)})`,
    "Put this log's own file in its place, or move the other log's away",
  );
}

/** Every segment from the low-water one to the activated one must be there. */
export function requireSegments(
  directory: string,
  sequences: readonly number[],
  meta: Readonly<Meta>,
): void {
  const present = new Set(sequences);
  for (let sequence = meta.lowWaterSequence; sequence <= meta.activated; sequence++) {
    if (present.has(sequence)) continue;
    const reason = sequence === meta.activated
      ? "the file is missing, and META says that the log goes on in it"
      : "the file is missing, and META says that its records are kept";
    throw new WalCorruptionError(joinPath(directory, segmentName(sequence)), 0, reason);
  }
}

/**
 * Looks at a file beyond the activated segment. A header of this log that META does not know of was
 * written for an activation that did not happen; a frame behind it proves that it did, and that META
 * lost what was durable (at `damagedOffset`, if a slot of it is damaged). Otherwise it is a spare.
 */
export function* judgeSpare(
  disk: Disk,
  file: IoFile,
  buffer: IoBuffer,
  meta: Readonly<Meta>,
  sequence: number,
  directory: string,
  damagedOffset = 0,
): Task<void> {
  const copy = yield* loadHeader(disk, file, buffer);
  if ("version" in copy) throw newerVersion(file.path, copy.version);
  if ("damage" in copy) return;
  const header = copy.header;
  if (!sameLog(header.uuid, meta.uuid)) throw foreign(file.path, header.uuid);
  if (header.sequence !== sequence) return; // an older life of a recycled file
  const first = HEADER_COPIES * header.commitUnitBytes;
  const window = new Window(disk, file, buffer);
  yield* window.load(first, header.commitUnitBytes, first + header.commitUnitBytes);
  if (!window.holds(first, header.commitUnitBytes)) return;
  const crc32c: Crc32c = (bytes, seed) => disk.io.crc32c(bytes, seed);
  const seed = frameSeed(header.salt, first, crc32c);
  if (decodeFrameHeader(window.bytes, window.view, 0, seed, crc32c, newFrameHeader())) {
    throw new WalCorruptionError(
      joinPath(directory, META_NAME),
      damagedOffset,
      `it is older than the log: it knows segments up to ${meta.activated}, and ${file.path} has frames`,
    );
  }
}

/**
 * Finds the end of the log in its activated segment.
 *
 * | what stands at the first place X without a whole frame | and beyond it | the log |
 * |---|---|---|
 * | sealed, and X is where the seal says | - | clean |
 * | sealed, and X is elsewhere | - | corrupt |
 * | a frame that does not fit (good checksum; wrong LSN, chain, epoch, length) | - | corrupt |
 * | anything | a frame whose durable mark covers X | corrupt |
 * | anything | a frame further away than the window | corrupt |
 * | anything | frames inside the window, no mark over X | ambiguous: cut at X |
 * | anything | nothing | torn: cut at X |
 */
export function* findTail(scan: SegmentScan, meta: Readonly<Meta>): Task<Tail> {
  // Ends with the segment.
  while (yield* scan.next());
  const at = scan.offset;
  const expected = scan.nextLsn;
  const tail: Tail = {
    state: "clean",
    lastLsn: expected - 1,
    chain: scan.chain,
    file: scan.path,
    offset: at,
    droppedFrom: expected,
    droppedTo: expected,
    keepEnd: at,
  };
  const damaged = (reason: string) => new WalCorruptionError(scan.path, at, reason);
  if (meta.sealed) {
    if (at !== meta.sealedOffset || expected - 1 !== meta.sealedLsn) {
      throw damaged(
        `the log was closed with record ${meta.sealedLsn} as its last, and ${
          expected - 1
        } is the ` +
          `last one that can be read`,
      );
    }
    if (scan.chain !== meta.sealedChain) {
      throw damaged("the last frame is not the one that was sealed");
    }
    return tail;
  }
  if (expected - 1 < durableOf(meta)) {
    throw damaged(
      `META says that record ${durableOf(meta)} was durable, and ${
        expected - 1
      } is the last one that ` +
        `can be read`,
    );
  }
  const torn = scan.stop === "payload";
  const tornEnd = torn ? Math.min(scan.limit, at + scan.header.windowBytes) : at;
  const tornTo = torn ? expected + scan.frame.recordCount : expected;
  const beyond = scan.stop === "full" ? undefined : yield* scan.lookPast();
  if (beyond === undefined || beyond.frames === 0) {
    return { ...tail, state: "torn", droppedTo: tornTo, keepEnd: tornEnd };
  }
  if (beyond.durableMark >= expected) {
    throw damaged(
      `record ${expected} cannot be read, and a later frame says that it was durable up to ` +
        `record ${beyond.durableMark}`,
    );
  }
  if (beyond.lastOffset - at >= scan.header.windowBytes) {
    throw damaged(
      `record ${expected} cannot be read, and the frame at byte ${beyond.lastOffset} was written ` +
        `after it had been durable`,
    );
  }
  return {
    ...tail,
    state: "ambiguous",
    droppedTo: Math.max(tornTo, beyond.lastLsn + 1),
    keepEnd: Math.max(beyond.end, tornEnd),
  };
}

/** LSN up to which META says that every record was durable: none is removed before it is. */
export function durableOf(meta: Readonly<Meta>): number {
  return Math.max(meta.sealedLsn, meta.lowWaterLsn - 1);
}

/** A scan of the activated segment, ready for {@linkcode findTail}. */
export function* scanActivated(
  disk: Disk,
  file: IoFile,
  buffer: IoBuffer,
  meta: Readonly<Meta>,
): Task<SegmentScan> {
  const header = yield* requireHeader(disk, file, buffer, meta, meta.activated);
  const stat = yield* disk.stat(file);
  if (header.preallocated && stat.size < header.segmentBytes) {
    throw new WalCorruptionError(
      file.path,
      stat.size,
      `the file is cut short: it had ${header.segmentBytes} bytes before its first frame`,
    );
  }
  return new SegmentScan(disk, file, header, stat.size, meta.epoch, buffer);
}

/** Whether a path is there. */
export function* exists(disk: Disk, path: string): Task<boolean> {
  const res = yield (handle) => {
    disk.io.stat(path, handle);
  };
  if (res === -ENOENT) return false;
  if (res < 0) throw ioError(res, "stat", path);
  return true;
}
