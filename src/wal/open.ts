/**
 * Opens a log for writing: lock, sync, read, decide, and begin. A crash anywhere in here leaves a log
 * that opens with the same records.
 *
 * @module
 */

import { type Io, type IoBuffer, IoError, type IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import {
  CALIBRATION_MICROS_MAX,
  decide,
  difference,
  inWords,
  machineOf,
  measure,
  readCalibration,
  writeCalibration,
} from "./calibration.ts";
import { type Disk, joinPath } from "./disk.ts";
import { doubtsIn, leavesDoubt, markDoubt, refuseDoubt } from "./doubt.ts";
import { WalCorruptionError, WalLockedError, WalOptionsError } from "./errors.ts";
import {
  COMMIT_UNIT_MAX_BYTES,
  COMMIT_UNIT_MIN_BYTES,
  HEADER_COPIES,
  isTemporary,
  LOCK_NAME,
  type Meta,
  META_NAME,
  PROBE_NAME,
  segmentName,
  TEMPORARY_SUFFIX,
} from "./format.ts";
import { createMeta, MetaFile } from "./meta.ts";
import type { WalSettings } from "./options.ts";
import {
  exists,
  findTail,
  judgeSpare,
  requireSegments,
  scanActivated,
  segmentsOf,
  type Tail,
  type TailState,
} from "./recovery.ts";
import type { SegmentScan } from "./scan.ts";
import { POOL_MAX, type SegmentPlan, Segments } from "./segments.ts";

/** What opening a log found, and did. */
export interface WalRecovery {
  /**
   * `clean`: the log was closed. `torn`: the writer ended in the middle of its work; nothing that can be
   * told from an unfinished write was lost. `ambiguous`: whole frames behind a hole were cut; no mark
   * says that they had been acknowledged.
   */
  readonly tail: TailState;
  /** LSN of the last record, 0 in an empty log. */
  readonly lastLsn: number;
  /** LSN of the oldest record that is kept. */
  readonly firstLsn: number;
  /** LSNs `[droppedFrom, droppedTo)` were cut: written perhaps, acknowledged never for certain. */
  readonly droppedFrom: number;
  readonly droppedTo: number;
  /** Where the bytes that were cut are kept, if there were any of this log. */
  readonly keptAside: string | undefined;
  /** Where the log ended: path and offset. Empty for a new log. */
  readonly file: string;
  readonly offset: number;
  /** The log did not exist before. */
  readonly created: boolean;
}

/** An open log, ready for its writer. */
export interface OpenedLog {
  readonly meta: MetaFile;
  readonly segments: Segments;
  readonly lock: IoFile;
  readonly lastLsn: number;
  readonly chain: number;
  readonly direct: boolean;
  readonly modeReason: string;
  readonly preallocation: Readonly<Preallocation>;
  readonly recovery: WalRecovery;
}

/** Buffers that opening borrows, and the log keeps. */
export interface LogBuffers {
  readonly frames: readonly IoBuffer[];
  readonly header: IoBuffer;
  readonly zero: IoBuffer;
  readonly meta: IoBuffer;
  /** For reading while the log is written to. */
  readonly scratch: IoBuffer;
}

/** The directory that a path lies in. */
export function parentOf(path: string): string {
  const at = path.replace(/\/+$/, "").lastIndexOf("/");
  return at > 0 ? path.slice(0, at) : at === 0 ? "/" : ".";
}

/** Largest unit that the device needs for a write of its own, in both modes. */
function commitUnitOf(io: Io, file: IoFile, directory: string, header: IoBuffer): number {
  const alignment = io.alignment(file);
  const unit = Math.max(
    COMMIT_UNIT_MIN_BYTES,
    alignment.offset,
    alignment.memory,
    alignment.physical,
    io.blockSize,
  );
  const most = Math.min(COMMIT_UNIT_MAX_BYTES, header.length / HEADER_COPIES);
  if (unit <= most && (unit & (unit - 1)) === 0) return unit;
  throw new WalOptionsError(
    `the device under ${directory} needs writes of ${unit} bytes; powers of two up to ${most} are supported`,
  );
}

/** Opens, recovers, and leaves a log to which frames can be written. */
export function* openLog(
  disk: Disk,
  directory: string,
  settings: WalSettings,
  buffers: LogBuffers,
): Task<OpenedLog> {
  const io = disk.io;
  const deadlineMicros = io.now() + settings.lockTimeoutMillis * 1000;
  // Names are durable only when the directory that holds them was synced.
  for (const made of io.createDirectories(directory)) {
    yield* disk.syncDirectory(parentOf(made));
    yield* disk.syncDirectory(made);
  }
  const fresh = !(yield* exists(disk, joinPath(directory, META_NAME)));
  const lock = yield* takeLock(disk, directory, deadlineMicros, buffers.meta, fresh);
  let meta: MetaFile | undefined;
  let segments: Segments | undefined;
  let tailFile: IoFile | undefined;
  try {
    yield* disk.syncDirectory(directory);
    const names = io.listDirectory(directory).map((entry) => entry.name);
    refuseDoubt(io, directory, names);
    const sequences = segmentsOf(names);
    const created = !names.includes(META_NAME);
    if (created && sequences.length > 0) {
      throw new WalCorruptionError(
        joinPath(directory, META_NAME),
        0,
        `the file is missing, and ${segmentName(sequences[0])} is there`,
      );
    }
    const unit = commitUnitOf(io, lock, directory, buffers.header);
    requireFit(settings, directory, unit);
    let { direct, reason, calibrate } = yield* decideMode(disk, lock, settings, directory, buffers);
    const preallocation = yield* judgePreallocation(disk, lock, directory, settings);
    /** Files that count for nothing; removed when the log is known to be sound. */
    const leftovers = [...names.filter(isTemporary), ...doubtsIn(names)];
    if (created) {
      yield* syncAncestors(disk, directory);
      yield* createMeta(disk, directory, firstMeta(io), buffers.meta);
    }
    const opened = yield* MetaFile.open(disk, directory, buffers.meta, deadlineMicros);
    meta = opened.file;
    const known: Meta = { ...meta.meta };
    const plan: SegmentPlan = {
      directory,
      segmentBytes: Math.ceil(settings.segmentBytes / unit) * unit,
      commitUnitBytes: unit,
      windowBytes: settings.maxBytes * settings.maxInFlight,
      direct,
      preallocate: settings.preallocate !== false,
      reserve: settings.preallocate === "reserve" && io.reservedDsync,
      reserved: preallocation.reserved,
    };
    segments = new Segments(disk, meta, plan, buffers.header, buffers.zero, buffers.scratch);
    requireSegments(directory, sequences, known);
    const { damagedOffset } = opened.reading;
    let below = 0;
    for (const sequence of sequences) {
      if (sequence >= known.lowWaterSequence && sequence <= known.activated) continue;
      if (sequence > known.activated) {
        const spare = yield* disk.open(segments.path(sequence), { read: true });
        try {
          const buffer = buffers.frames[0];
          yield* judgeSpare(disk, spare, buffer, known, sequence, directory, damagedOffset);
        } finally {
          yield* disk.close(spare);
        }
      } else if (++below > POOL_MAX) {
        // A removal that failed before is made up for.
        leftovers.push(segmentName(sequence));
        continue;
      }
      segments.offer(sequence);
    }

    let tail: Tail | undefined;
    let keptAside: string | undefined;
    if (known.activated > 0) {
      tailFile = yield* openTail(disk, segments, known, deadlineMicros);
      const { scan, tail: found } = yield* readTail(disk, tailFile, buffers.frames[0], known);
      tail = found;
      if (tail.state === "ambiguous" && settings.onAmbiguousTail === "refuse") {
        throw new WalCorruptionError(
          tail.file,
          tail.offset,
          `records ${tail.droppedFrom} to ${
            tail.droppedTo - 1
          } were perhaps written, and cannot all be read`,
          'onAmbiguousTail: "keep-aside" cuts them and keeps their bytes beside the log',
        );
      }
      yield* removeAll(disk, directory, leftovers);
      if (tail.keepEnd > tail.offset) {
        try {
          keptAside = yield* keepAside(disk, directory, tailFile, tail, known, buffers);
        } catch (error) {
          // The bytes stay where they are: the old tail is not written again.
          if (!isNoSpace(error)) throw error;
        }
      }
      for (let sequence = known.lowWaterSequence; sequence <= known.activated; sequence++) {
        segments.kept.push({ sequence, firstLsn: undefined });
      }
      segments.kept[segments.kept.length - 1].firstLsn = scan.header.firstLsn;
      // A clean end is written on; anything else never again.
      yield* meta.update({ epoch: known.epoch + 1, sealed: false, sealedLsn: tail.lastLsn });
      if (calibrate) {
        ({ direct, reason } = yield* calibrateMode(disk, lock, directory, segments, buffers));
        plan.direct = direct;
        if (tailFile.options.direct !== direct) {
          // Both are locked by the description that writes.
          yield* disk.close(tailFile);
          tailFile = undefined;
          tailFile = yield* segments.openForWriting(known.activated, deadlineMicros);
        }
      }
      const same = tail.state === "clean" && scan.header.commitUnitBytes === unit &&
        scan.header.windowBytes >= plan.windowBytes;
      if (same && (yield* canRefill(segments, tailFile, tail.offset))) {
        segments.resume(tailFile, scan.header, tail.offset);
        tailFile = undefined;
      }
    } else {
      yield* removeAll(disk, directory, leftovers);
      yield* meta.update({ epoch: known.epoch + 1, sealed: false });
      if (calibrate) {
        ({ direct, reason } = yield* calibrateMode(disk, lock, directory, segments, buffers));
        plan.direct = direct;
      }
    }
    const lastLsn = tail?.lastLsn ?? 0;
    const chain = tail?.chain ?? 0;
    if (!segments.active) {
      try {
        yield* segments.prepareSpare(deadlineMicros);
        if (!(yield* segments.activate(lastLsn, chain, nothingInFlight))) throw segments.failure!;
        segments.advance();
      } catch (error) {
        // A full disk is back-pressure on a log that exists: it opens, so that it can be truncated. Not
        // when META failed: what it says is unknown then.
        if (created || !isNoSpace(error) || segments.activating) throw error;
        segments.failure = error as Error;
      }
    }
    if (tailFile) yield* disk.close(tailFile);
    tailFile = undefined;
    return {
      meta,
      segments,
      lock,
      lastLsn,
      chain,
      direct,
      modeReason: reason,
      preallocation,
      recovery: {
        tail: tail?.state ?? "clean",
        lastLsn,
        firstLsn: meta.meta.lowWaterLsn,
        droppedFrom: tail?.droppedFrom ?? 1,
        droppedTo: tail?.droppedTo ?? 1,
        keptAside,
        file: tail?.file ?? "",
        offset: tail?.offset ?? 0,
        created,
      },
    };
  } catch (error) {
    if (tailFile) yield* disk.close(tailFile);
    if (segments) yield* segments.close();
    if (meta) yield* meta.close();
    if (leavesDoubt(io, error)) {
      try {
        yield* markDoubt(disk, directory);
      } catch { /* the first error says it */ }
    }
    yield* disk.close(lock);
    throw error;
  }
}

/** Throws unless frames and segments of these sizes are possible on the device. */
function requireFit(settings: WalSettings, directory: string, unit: number): void {
  if (settings.maxBytes % unit !== 0) {
    throw new WalOptionsError(
      `commit.maxBytes (${settings.maxBytes}) must be a multiple of ${unit} bytes, which the device ` +
        `under ${directory} writes at once`,
    );
  }
  const header = HEADER_COPIES * unit;
  if (settings.segmentBytes < settings.maxBytes + header) {
    throw new WalOptionsError(
      `segmentBytes (${settings.segmentBytes}) must hold a frame of commit.maxBytes ` +
        `(${settings.maxBytes}) behind the header, which takes ${header} bytes on this device: raise ` +
        `it, or lower commit.maxBytes`,
    );
  }
}

function* removeAll(disk: Disk, directory: string, names: readonly string[]): Task<void> {
  for (const name of names) yield* disk.remove(joinPath(directory, name));
}

/**
 * Makes the names on the way to a new log durable: whoever made these directories may have ended before
 * it could do so. As far up as this program may look; those made here were synced before.
 */
export function* syncAncestors(disk: Disk, directory: string): Task<void> {
  try {
    // Ends with the root, or with the first name of a relative path.
    for (let path = directory, parent = parentOf(path); parent !== path;) {
      yield* disk.syncDirectory(parent);
      path = parent;
      parent = parentOf(path);
    }
  } catch (error) {
    // A directory above that this program may not open, a permission of the runtime that it lacks, or a
    // file system without such a sync. A device that fails is none of these.
    const code = (error as { code?: string }).code;
    if (!["EACCES", "EPERM", "EPERMISSION", "EINVAL", "ENOENT"].includes(code ?? "")) throw error;
  }
}

/** Whether what a file has been given stays its own, and why so. */
interface Preallocation {
  reserved: boolean;
  reason: string;
}

/** File systems that overwrite in place. XFS not where a copy shares its blocks (cp --reflink). */
const IN_PLACE = ["ext4", "xfs", "tmpfs"];

/** Overwriting in place has to be asked for on some file systems, and cannot be had on others. */
function* judgePreallocation(
  disk: Disk,
  lock: IoFile,
  directory: string,
  settings: WalSettings,
): Task<Preallocation> {
  if (settings.preallocate === false) return { reserved: false, reason: "not asked for" };
  let type: string;
  try {
    ({ type } = disk.io.statFs(lock));
  } catch (error) {
    // Deno lets `node:fs` ask only with a permission that nothing else here needs.
    if ((error as { code?: string }).code !== "EPERMISSION") throw error;
    return {
      reserved: false,
      reason: `what the file system is, is not known: ${(error as Error).message}`,
    };
  }
  if (IN_PLACE.includes(type)) return { reserved: true, reason: `${type} overwrites in place` };
  if (type !== "btrfs") {
    return { reserved: false, reason: `${type} is not known to overwrite in place` };
  }
  // Every file that the log makes is asked for the same.
  const path = joinPath(directory, PROBE_NAME + TEMPORARY_SUFFIX);
  const file = yield* disk.openNew(path);
  const res = disk.io.noCopyOnWrite(file);
  yield* disk.close(file);
  yield* disk.remove(path);
  return res === 1
    ? { reserved: true, reason: "btrfs overwrites files in place that are marked so (NOCOW)" }
    : { reserved: false, reason: "btrfs copies on write, and does not mark files otherwise here" };
}

/** Fills the holes of a segment; false when there is no space: then another one has to be made. */
function* canRefill(segments: Segments, file: IoFile, from: number): Task<boolean> {
  try {
    yield* segments.refill(file, from);
    return true;
  } catch (error) {
    if (isNoSpace(error)) return false;
    throw error;
  }
}

function isNoSpace(error: unknown): boolean {
  const code = (error as { code?: string }).code;
  return code === "ENOSPC" || code === "EDQUOT";
}

function* nothingInFlight(): Task<void> {}

function firstMeta(io: Io): Meta {
  const uuid = new Uint8Array(16);
  io.random(uuid);
  uuid[6] = uuid[6] & 0x0f | 0x40; // version 4
  uuid[8] = uuid[8] & 0x3f | 0x80;
  return {
    uuid,
    counter: 1,
    epoch: 0,
    activated: 0,
    lowWaterLsn: 1,
    lowWaterSequence: 1,
    sealed: false,
    sealedLsn: 0,
    sealedChain: 0,
    sealedOffset: 0,
  };
}

const LOCK_TEXT_BEGINS = '{"pid":';

/**
 * The lock of the directory; its contents are for the message only. Where there is no log yet (`fresh`), a
 * file of that name that is somebody else's is left alone.
 */
export function* takeLock(
  disk: Disk,
  directory: string,
  deadlineMicros: number,
  buffer: IoBuffer,
  fresh = false,
): Task<IoFile> {
  const path = joinPath(directory, LOCK_NAME);
  const file = yield* disk.open(path, { read: true, write: true, create: true });
  try {
    if (!(yield* disk.lock(file, deadlineMicros))) {
      const got = yield* disk.read(file, buffer, 0, buffer.length, 0);
      throw new WalLockedError(directory, describeHolder(buffer.bytes.slice(0, got)));
    }
    const got = yield* disk.read(file, buffer, 0, buffer.length, 0);
    if (fresh && !isLockText(buffer.bytes.slice(0, got))) {
      throw new WalOptionsError(
        `${path} is there, and is no file of a log: name another directory, or move that file away`,
      );
    }
    const text = new TextEncoder().encode(JSON.stringify(disk.io.identity()) + "\n");
    buffer.bytes.set(text);
    try {
      yield* disk.truncate(file, 0);
      yield* disk.write(file, buffer, 0, text.length, 0, 0);
    } catch { /* on a full disk the lock holds all the same */ }
    return file;
  } catch (error) {
    yield* disk.close(file);
    throw error;
  }
}

/**
 * Whether a lock file has what a log writes there, all of it, a part of it or nothing: of what a crash
 * interrupted any byte can be zero.
 */
function isLockText(bytes: Uint8Array): boolean {
  return bytes.subarray(0, LOCK_TEXT_BEGINS.length).every((byte, i) =>
    byte === 0 || byte === LOCK_TEXT_BEGINS.charCodeAt(i)
  );
}

/** What a lock file says, as words; it may be from anyone. */
export function describeHolder(bytes: Uint8Array): string {
  try {
    const holder = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof holder.pid === "number") return `process ${holder.pid} on ${String(holder.host)}`;
  } catch { /* not ours, or torn */ }
  return "another writer";
}

/** How the log is written. */
interface Mode {
  direct: boolean;
  reason: string;
}

/** What options, file system and the stored calibration say; `calibrate`: it has to be measured. */
function* decideMode(
  disk: Disk,
  file: IoFile,
  settings: WalSettings,
  directory: string,
  buffers: LogBuffers,
): Task<Mode & { calibrate: boolean }> {
  const { io } = disk;
  const fixed = (direct: boolean, reason: string) => ({ direct, reason, calibrate: false });
  if (settings.mode === "buffered") return fixed(false, "asked for");
  if (io.alignment(file).offset === 0) {
    if (settings.mode === "auto") {
      return fixed(false, "the file system does not allow direct I/O");
    }
    throw new WalOptionsError(
      `direct I/O is not possible on the file system of ${directory} (${io.statFs(file).type}, ` +
        `${io.backend} backend); use mode "auto" or "buffered"`,
    );
  }
  if (settings.mode === "direct") return fixed(true, "asked for");
  const stored = settings.recalibrate
    ? undefined
    : yield* readCalibration(disk, directory, buffers.scratch);
  if (!stored) return { direct: true, reason: "", calibrate: true };
  const other = difference(stored.machine, yield* machineOf(disk, file));
  if (other === undefined) return fixed(stored.mode === "direct", stored.reason);
  return fixed(
    false,
    `what is quicker was measured on ${other}; open the log once with recalibrate: true`,
  );
}

/**
 * Measures on the spare, and stores the result, so that the next opening does not measure. What fails on
 * the way makes the log buffered; a device that cannot make a spare fails the opening, as it would later.
 */
function* calibrateMode(
  disk: Disk,
  lock: IoFile,
  directory: string,
  segments: Segments,
  buffers: LogBuffers,
): Task<Mode> {
  const { commitUnitBytes, segmentBytes } = segments.plan;
  const { frames, scratch } = buffers;
  const machine = yield* machineOf(disk, lock);
  let path: string;
  try {
    path = yield* segments.lendSpare();
  } catch (error) {
    if (!isNoSpace(error)) throw error;
    return { direct: false, reason: "there is no space to measure what is quicker" };
  }
  let mode: "direct" | "buffered" = "buffered";
  let reason: string;
  let whole = true;
  try {
    const frameBytes = frames[0].length;
    const samples = yield* measure(disk, path, segmentBytes, commitUnitBytes, frameBytes, frames);
    mode = decide(samples);
    reason = samples.length > 0
      ? `measured: ${inWords(samples)}`
      : `${CALIBRATION_MICROS_MAX / 1000} ms did not suffice to measure what is quicker`;
  } catch (error) {
    if (!(error instanceof IoError)) throw error;
    reason = `what is quicker could not be measured: ${error.message}`;
    whole = false;
  }
  yield* segments.putSpare(path, whole);
  try {
    yield* writeCalibration(disk, directory, { machine, mode, reason }, scratch);
  } catch (error) {
    if (!(error instanceof IoError)) throw error;
    reason += `; the result could not be stored: ${error.message}`;
  }
  return { direct: mode === "direct", reason };
}

/**
 * The activated segment, under the lock of the description that was written: when that is ours, the
 * last write of a killed writer has ended. Synced, and then read from the device.
 */
function* openTail(
  disk: Disk,
  segments: Segments,
  meta: Readonly<Meta>,
  deadlineMicros: number,
): Task<IoFile> {
  const file = yield* segments.openForWriting(meta.activated, deadlineMicros);
  try {
    yield* disk.fsync(file);
    yield* disk.dropCache(file);
    return file;
  } catch (error) {
    yield* disk.close(file);
    throw error;
  }
}

/**
 * The frames of the activated segment, and its end. Of a file for direct I/O they are read by another
 * description: nothing of it is cached any more, so that it is the device that is read, and the kernel reads
 * ahead while frames are checked.
 */
function* readTail(
  disk: Disk,
  file: IoFile,
  buffer: IoBuffer,
  meta: Readonly<Meta>,
): Task<{ scan: SegmentScan; tail: Tail }> {
  const { direct } = file.options;
  const reading = direct ? yield* disk.open(file.path, { read: true }) : file;
  try {
    if (direct) yield* disk.advise(reading, "sequential");
    const scan = yield* scanActivated(disk, reading, buffer, meta);
    return { scan, tail: yield* findTail(scan, meta) };
  } finally {
    if (direct) yield* disk.close(reading);
  }
}

/** Copies what is cut to a file beside the log, durably; the same name at a second recovery. */
function* keepAside(
  disk: Disk,
  directory: string,
  file: IoFile,
  tail: Tail,
  meta: Readonly<Meta>,
  buffers: LogBuffers,
): Task<string> {
  const name = `cut-${segmentName(meta.activated).replace(".wal", "")}-${tail.offset}`;
  let path = joinPath(directory, `${name}.bin`);
  // The same end, cut by an opening that came to no end, or another one that was cut there before.
  for (let number = 2; yield* exists(disk, path); number++) {
    if (yield* keptAlready(disk, path, file, tail, buffers)) return path;
    path = joinPath(directory, `${name}-${number}.bin`);
  }
  const temporary = path + TEMPORARY_SUFFIX;
  const copy = yield* disk.openNew(temporary);
  let open = true;
  try {
    const buffer = buffers.frames[0];
    for (let offset = tail.offset; offset < tail.keepEnd;) {
      const length = Math.min(buffer.length, tail.keepEnd - offset);
      // Whole units, as direct reads must be, also where the end of the file lies inside one.
      const whole = Math.ceil(length / COMMIT_UNIT_MIN_BYTES) * COMMIT_UNIT_MIN_BYTES;
      const got = Math.min(length, yield* disk.read(file, buffer, 0, whole, offset));
      if (got === 0) break;
      yield* disk.write(copy, buffer, 0, got, offset - tail.offset, 0);
      offset += got;
    }
    yield* disk.fsync(copy);
    open = false;
    yield* disk.close(copy);
    yield* disk.rename(temporary, path);
    yield* disk.syncDirectory(directory);
    return path;
  } catch (error) {
    if (open) yield* disk.close(copy);
    yield* disk.remove(temporary);
    throw error;
  }
}

/** Whether the file at `path` holds just what is to be cut. */
function* keptAlready(
  disk: Disk,
  path: string,
  file: IoFile,
  tail: Tail,
  buffers: LogBuffers,
): Task<boolean> {
  const kept = yield* disk.open(path, { read: true });
  try {
    const [ours, theirs] = [buffers.frames[0], buffers.scratch];
    const piece = Math.min(ours.length, theirs.length);
    for (let offset = tail.offset; offset < tail.keepEnd;) {
      const length = Math.min(piece, tail.keepEnd - offset);
      const whole = Math.ceil(length / COMMIT_UNIT_MIN_BYTES) * COMMIT_UNIT_MIN_BYTES;
      const got = Math.min(length, yield* disk.read(file, ours, 0, whole, offset));
      const before = yield* disk.read(kept, theirs, 0, piece, offset - tail.offset);
      const last = offset + got === tail.keepEnd || got === 0;
      if (last ? before !== got : before < got) return false;
      for (let i = 0; i < got; i++) if (ours.bytes[i] !== theirs.bytes[i]) return false;
      if (got === 0) break;
      offset += got;
    }
    return true;
  } finally {
    yield* disk.close(kept);
  }
}
