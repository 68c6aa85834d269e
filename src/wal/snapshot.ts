/**
 * Snapshots: a copy of a log's files as they are at one moment, taken while the log is written, and the
 * manifest that says what belongs to it.
 *
 * The segments are pinned, so that none of them is recycled or removed while it is copied. Every frame
 * is read and checked before it is copied: damage fails the snapshot instead of spreading. The last
 * segment is copied up to the frame that was the last durable one, META says that the copy ends there,
 * sealed, and so the copy opens clean, as a log of its own. META comes last: a directory in which a
 * snapshot did not come to its end is no log.
 *
 * @module
 */

import type { IoBuffer, IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { type Disk, joinPath } from "./disk.ts";
import { newerVersion, WalCorruptionError, WalOptionsError } from "./errors.ts";
import {
  type Crc32c,
  encodeMeta,
  type Meta,
  META_FILE_BYTES,
  META_NAME,
  META_SLOT_STRIDE_BYTES,
  META_SLOTS,
  segmentName,
  segmentSequence,
  SNAPSHOT_NAME,
  TEMPORARY_SUFFIX,
  uuidText,
} from "./format.ts";
import { createMeta } from "./meta.ts";
import { parentOf, syncAncestors } from "./open.ts";
import { checkLink } from "./reader.ts";
import { exists, requireHeader } from "./recovery.ts";
import { SegmentScan } from "./scan.ts";

const MANIFEST_VERSION = 1;
const MANIFEST_BYTES_MAX = 1 << 28;
/** Eight digits and a line feed. */
const CRC_LINE_BYTES = 9;
const ZEROS = new Uint8Array(65_536);

/** A file of a snapshot. */
export interface SnapshotFile {
  readonly name: string;
  readonly bytes: number;
  /** CRC32C of all of it. */
  readonly crc32c: number;
}

/** What a snapshot holds. */
export interface SnapshotManifest {
  readonly version: number;
  /** UUID of the log, and so of its copy. */
  readonly uuid: string;
  /** LSN of the oldest and the last record; `last` is `first - 1` when there is none. */
  readonly first: number;
  readonly last: number;
  /** `counter` of META in the snapshot; a higher one says that the copy was opened for writing since. */
  readonly counter: number;
  /** Milliseconds since 1970. */
  readonly takenMillis: number;
  readonly files: readonly SnapshotFile[];
}

/** The log that is copied, as it is at one moment. */
export interface SnapshotSource {
  readonly disk: Disk;
  readonly directory: string;
  readonly meta: Readonly<Meta>;
  /** Sequences of the segments from the low-water one to the one with `lastLsn`; pinned by the caller. */
  readonly sequences: readonly number[];
  /** LSN up to which every record is durable, the last one of a frame. */
  readonly lastLsn: number;
  /** Throws when the copy is not wanted any more. */
  readonly goOn: () => void;
}

/**
 * Copies a log to `target`, a directory that is empty or yet to be made, through the borrowed `buffer`.
 * When it ends everything is durable. When it fails it removes the files that it made.
 *
 * @throws {WalOptionsError} `target` has something in it
 * @throws {WalCorruptionError} the log is damaged
 * @throws {IoError} the kernel refused something
 */
export function* takeSnapshot(
  source: SnapshotSource,
  target: string,
  buffer: IoBuffer,
): Task<SnapshotManifest> {
  const { disk } = source;
  for (const made of disk.io.createDirectories(target)) {
    yield* disk.syncDirectory(parentOf(made));
    yield* disk.syncDirectory(made);
  }
  yield* syncAncestors(disk, target);
  const [first] = disk.io.listDirectory(target);
  if (first) {
    throw new WalOptionsError(
      `${target} has ${first.name} in it: a snapshot needs an empty directory, or one to be made`,
    );
  }
  const made: string[] = [];
  try {
    return yield* copyLog(source, target, buffer, made);
  } catch (error) {
    for (const path of made) {
      try {
        yield* disk.remove(path);
      } catch { /* the error that counts is the first one */ }
    }
    throw error;
  }
}

function* copyLog(
  source: SnapshotSource,
  target: string,
  buffer: IoBuffer,
  made: string[],
): Task<SnapshotManifest> {
  const { disk, sequences, lastLsn } = source;
  const files: SnapshotFile[] = [];
  let before: SegmentScan | undefined;
  for (const sequence of sequences) {
    const name = segmentName(sequence);
    const path = joinPath(source.directory, name);
    const last = sequence === sequences[sequences.length - 1];
    const file = yield* disk.open(path, { read: true });
    try {
      const scan: SegmentScan = yield* scanOf(source, file, sequence, last, before, buffer);
      const copy = joinPath(target, name);
      made.push(copy);
      files.push(yield* copySegment(source, file, scan, copy, name, last, buffer));
      before = scan;
    } finally {
      yield* disk.close(file);
    }
  }
  const meta: Meta = {
    ...source.meta,
    counter: source.meta.counter + 1,
    activated: sequences[sequences.length - 1] ?? 0,
    sealed: sequences.length > 0,
    sealedLsn: lastLsn,
    sealedChain: before?.chain ?? 0,
    sealedOffset: before?.offset ?? 0,
  };
  files.push({
    name: META_NAME,
    bytes: META_FILE_BYTES,
    crc32c: disk.io.crc32c(metaFile(meta, (bytes, seed) => disk.io.crc32c(bytes, seed))),
  });
  const manifest: SnapshotManifest = {
    version: MANIFEST_VERSION,
    uuid: uuidText(meta.uuid),
    first: meta.lowWaterLsn,
    last: lastLsn,
    counter: meta.counter,
    takenMillis: Math.max(0, Math.floor(disk.io.wallClock())),
    files,
  };
  const path = joinPath(target, SNAPSHOT_NAME);
  made.push(path + TEMPORARY_SUFFIX, path);
  yield* writeManifest(disk, path, manifest, buffer);
  yield* disk.syncDirectory(target);
  source.goOn();
  const metaPath = joinPath(target, META_NAME);
  made.push(metaPath + TEMPORARY_SUFFIX, metaPath);
  yield* createMeta(disk, target, meta, buffer);
  return manifest;
}

/** Reads the frames of a segment that are to be copied. Behind them the scan stands. */
function* scanOf(
  source: SnapshotSource,
  file: IoFile,
  sequence: number,
  last: boolean,
  before: SegmentScan | undefined,
  buffer: IoBuffer,
): Task<SegmentScan> {
  const { disk, meta, lastLsn } = source;
  const header = yield* requireHeader(disk, file, buffer, meta, sequence);
  if (before) checkLink(before, header, file.path);
  const { size } = yield* disk.stat(file);
  const scan = new SegmentScan(disk, file, header, size, meta.epoch, buffer);
  while (!(last && scan.nextLsn > lastLsn) && (yield* scan.next())) source.goOn();
  if (last && scan.nextLsn !== lastLsn + 1) {
    throw new WalCorruptionError(
      file.path,
      scan.offset,
      `record ${scan.nextLsn} cannot be read, and ${lastLsn} is durable`,
    );
  }
  return scan;
}

/** Copies the header and the frames; what lies behind them is zero in the copy. Durable when it ends. */
function* copySegment(
  source: SnapshotSource,
  file: IoFile,
  scan: SegmentScan,
  path: string,
  name: string,
  last: boolean,
  buffer: IoBuffer,
): Task<SnapshotFile> {
  const { disk } = source;
  const { preallocated, segmentBytes } = scan.header;
  const bytes = preallocated ? segmentBytes : scan.offset;
  const copy = yield* disk.open(path, { write: true, createNew: true });
  let crc = 0;
  try {
    // The copy may be written on, there where it ends.
    if (last && preallocated) yield* disk.allocate(copy, 0, bytes);
    for (let offset = 0; offset < scan.offset;) {
      source.goOn();
      const length = Math.min(buffer.length, scan.offset - offset);
      const got = yield* disk.read(file, buffer, 0, length, offset);
      if (got < length) {
        throw new WalCorruptionError(file.path, offset + got, "the file became shorter");
      }
      crc = disk.io.crc32cBuffer(buffer, 0, length, crc);
      yield* disk.write(copy, buffer, 0, length, offset, 0);
      offset += length;
    }
    if (bytes > scan.offset) yield* disk.truncate(copy, bytes);
    yield* disk.fsync(copy);
  } finally {
    yield* disk.close(copy);
  }
  for (let rest = bytes - scan.offset; rest > 0; rest -= ZEROS.length) {
    crc = disk.io.crc32c(rest < ZEROS.length ? ZEROS.subarray(0, rest) : ZEROS, crc);
  }
  return { name, bytes, crc32c: crc };
}

/** The bytes that `createMeta` writes. */
function metaFile(meta: Meta, crc32c: (bytes: Uint8Array, seed?: number) => number): Uint8Array {
  const bytes = new Uint8Array(META_FILE_BYTES);
  const offset = meta.counter % META_SLOTS * META_SLOT_STRIDE_BYTES;
  encodeMeta(bytes.subarray(offset), meta, crc32c);
  return bytes;
}

function* writeManifest(
  disk: Disk,
  path: string,
  manifest: SnapshotManifest,
  buffer: IoBuffer,
): Task<void> {
  const encoder = new TextEncoder();
  const line = JSON.stringify(manifest) + "\n";
  const crc = disk.io.crc32c(encoder.encode(line)).toString(16).padStart(8, "0");
  const bytes = encoder.encode(line + crc + "\n");
  const temporary = path + TEMPORARY_SUFFIX;
  const file = yield* disk.open(temporary, { write: true, createNew: true });
  try {
    for (let offset = 0; offset < bytes.length;) {
      const piece = bytes.subarray(offset, offset + buffer.length);
      buffer.bytes.set(piece);
      yield* disk.write(file, buffer, 0, piece.length, offset, 0);
      offset += piece.length;
    }
    yield* disk.fsync(file);
  } finally {
    yield* disk.close(file);
  }
  yield* disk.rename(temporary, path);
}

/**
 * Compares a log with the manifest of the snapshot that it is: `absent` without one, `outdated` when the
 * log was opened for writing since, `whole` when every file is what it was.
 *
 * @throws {WalCorruptionError} a file is not what it was
 */
export function* checkManifest(
  disk: Disk,
  directory: string,
  meta: Readonly<Meta>,
  buffer: IoBuffer,
): Task<"absent" | "outdated" | "whole"> {
  const path = joinPath(directory, SNAPSHOT_NAME);
  if (!(yield* exists(disk, path))) return "absent";
  const manifest = yield* readManifest(disk, path, buffer);
  if (manifest.counter < meta.counter) return "outdated";
  for (const { name, bytes, crc32c } of manifest.files) {
    const file = yield* disk.open(joinPath(directory, name), { read: true });
    try {
      const { size } = yield* disk.stat(file);
      const shorter = Math.min(size, bytes);
      if (size !== bytes) {
        throw new WalCorruptionError(
          file.path,
          shorter,
          `the file has ${size} bytes, and ${bytes} in ${path}`,
        );
      }
      let crc = 0;
      for (let offset = 0; offset < size;) {
        const got = yield* disk.read(file, buffer, 0, buffer.length, offset);
        if (got === 0) break;
        crc = disk.io.crc32cBuffer(buffer, 0, got, crc);
        offset += got;
      }
      if (crc !== crc32c) {
        throw new WalCorruptionError(file.path, 0, `its checksum is not the one in ${path}`);
      }
    } finally {
      yield* disk.close(file);
    }
  }
  return "whole";
}

function* readManifest(disk: Disk, path: string, buffer: IoBuffer): Task<SnapshotManifest> {
  const file = yield* disk.open(path, { read: true });
  let bytes: Uint8Array;
  try {
    const { size } = yield* disk.stat(file);
    if (size > MANIFEST_BYTES_MAX) throw new WalCorruptionError(path, 0, "it is no manifest");
    bytes = new Uint8Array(size);
    for (let offset = 0; offset < size;) {
      const got = yield* disk.read(file, buffer, 0, buffer.length, offset);
      if (got === 0) break;
      bytes.set(buffer.bytes.subarray(0, Math.min(got, size - offset)), offset);
      offset += got;
    }
  } finally {
    yield* disk.close(file);
  }
  return parseManifest(path, bytes, (data, seed) => disk.io.crc32c(data, seed));
}

/**
 * What the bytes of a manifest say. A good checksum says that they are what was written, not that this
 * program wrote them: everything is looked at before it is used.
 *
 * @throws {WalCorruptionError} it is none, or of a newer version
 */
export function parseManifest(path: string, bytes: Uint8Array, crc32c: Crc32c): SnapshotManifest {
  const damaged = (reason: string) => new WalCorruptionError(path, 0, reason);
  const end = bytes.indexOf(10) + 1;
  const sum = new TextDecoder().decode(bytes.subarray(end, end + CRC_LINE_BYTES + 1));
  const good = end > 0 && /^[0-9a-f]{8}\n$/.test(sum) &&
    crc32c(bytes.subarray(0, end)) === Number.parseInt(sum, 16);
  if (!good) throw damaged("the checksum of the manifest is wrong");
  let manifest: SnapshotManifest;
  try {
    manifest = JSON.parse(new TextDecoder().decode(bytes.subarray(0, end)));
  } catch {
    throw damaged("the manifest has a good checksum and is no JSON");
  }
  const version = manifest?.version;
  if (Number.isSafeInteger(version) && version > MANIFEST_VERSION) {
    throw newerVersion(path, version);
  }
  if (!isManifest(manifest)) {
    throw damaged("the manifest has a good checksum and is none that this program writes");
  }
  return manifest;
}

const isCount = (value: unknown) => Number.isSafeInteger(value) && value as number >= 0;

function isManifest(value: SnapshotManifest): boolean {
  return value?.version === MANIFEST_VERSION && typeof value.uuid === "string" &&
    isCount(value.first) && value.first >= 1 && isCount(value.last) &&
    value.last >= value.first - 1 && isCount(value.counter) && isCount(value.takenMillis) &&
    Array.isArray(value.files) &&
    value.files.every((file) =>
      typeof file?.name === "string" && isCount(file.bytes) && isCount(file.crc32c) &&
      (file.name === META_NAME || segmentSequence(file.name) !== undefined)
    );
}
