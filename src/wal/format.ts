/**
 * The log on disk, version 1: layouts, encoders and decoders. `docs/FORMAT.md` says what each field
 * means and why; the numbers stand here.
 *
 * @module
 */

/** Version of the format that this program writes and reads. */
export const FORMAT_VERSION = 1;

/** Least commit unit; the greatest is what the reserve for headers holds. */
export const COMMIT_UNIT_MIN_BYTES = 4096;
export const COMMIT_UNIT_MAX_BYTES = 65_536;
/** What a segment's options leave room for; the few machines with a larger unit are told at open. */
export const COMMIT_UNIT_USUAL_BYTES = 32_768;

/** Commit units at the start of a segment that hold its header, twice. */
export const HEADER_COPIES = 2;

export const LOCK_NAME = "LOCK";
export const META_NAME = "META";
/** A hint and no part of the log: how writes were quicker when it was measured (calibration.ts). */
export const CALIBRATION_NAME = "CALIBRATION";
export const TEMPORARY_SUFFIX = ".tmp";
/** The manifest of a snapshot (snapshot.ts). */
export const SNAPSHOT_NAME = "SNAPSHOT";
/** A file that shows whether the file system can overwrite in place; there for a moment only. */
export const PROBE_NAME = "PROBE";
const SEGMENT_SUFFIX = ".wal";
const SEGMENT_DIGITS = 16;

/** `0000000000000001.wal`: the name carries the sequence and nothing else. */
export function segmentName(sequence: number): string {
  return String(sequence).padStart(SEGMENT_DIGITS, "0") + SEGMENT_SUFFIX;
}

const TEMPORARY_NAME = new RegExp(
  `^(?:${META_NAME}|${CALIBRATION_NAME}|${SNAPSHOT_NAME}|${PROBE_NAME}|[0-9]{16}\\.wal|` +
    `cut-[0-9]{16}-[0-9]+(?:-[0-9]+)?\\.bin|aside-[0-9]+-.+)\\.tmp$`,
);

/** Whether a file is one that a log began and did not end. Others' files are not the log's to remove. */
export function isTemporary(name: string): boolean {
  return TEMPORARY_NAME.test(name);
}

/** The sequence in a segment's name, or `undefined` for another name. */
export function segmentSequence(name: string): number | undefined {
  if (name.length !== SEGMENT_DIGITS + SEGMENT_SUFFIX.length || !name.endsWith(SEGMENT_SUFFIX)) {
    return undefined;
  }
  const digits = name.slice(0, SEGMENT_DIGITS);
  if (!/^[0-9]+$/.test(digits)) return undefined;
  const sequence = Number(digits);
  return sequence >= 1 && sequence <= Number.MAX_SAFE_INTEGER ? sequence : undefined;
}

/** CRC32C, continuing from `seed`. */
export type Crc32c = (bytes: Uint8Array, seed?: number) => number;

const TWO_32 = 0x1_0000_0000;

/** Writes a safe integer as 64 bits. */
export function setUint64(view: DataView, offset: number, value: number): void {
  view.setUint32(offset, value >>> 0, true);
  view.setUint32(offset + 4, Math.floor(value / TWO_32), true);
}

/** Reads 64 bits; `NaN` beyond the safe integers, so that every comparison with it fails. */
export function getUint64(view: DataView, offset: number): number {
  const high = view.getUint32(offset + 4, true);
  if (high > 0x1f_ffff) return NaN;
  return high * TWO_32 + view.getUint32(offset, true);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false;
  return true;
}

/** `8-4-4-4-12` hexadecimal digits. */
export function uuidText(uuid: Uint8Array): string {
  const hex = Array.from(uuid, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${
    hex.slice(20)
  }`;
}

// --- META -----------------------------------------------------------------------------------

/** Two slots, written in turn, so that one of them is always whole. */
export const META_SLOTS = 2;
/** A slot lies alone in this many bytes, more than any device writes at once. */
export const META_SLOT_STRIDE_BYTES = 65536;
/** Bytes of META that a slot's write covers. */
export const META_SLOT_BYTES = 4096;
export const META_FILE_BYTES = META_SLOTS * META_SLOT_STRIDE_BYTES;

/** Segments of one log, far more than a directory holds: who counts through them comes to an end. */
const SEGMENTS_MAX = 1 << 24;

const META_MAGIC = "URINGMET";
const META_CRC = 12;
const META_USED_BYTES = 128;

/** What the log knows of itself beside its records; durable before anything that relies on it. */
export interface Meta {
  uuid: Uint8Array;
  /** Rises with each write; the valid slot with the higher one counts. */
  counter: number;
  /** Times that the log was opened for writing. Frames carry it. */
  epoch: number;
  /** The segment that frames may be in flight to; durable before the first of them is submitted. */
  activated: number;
  /** The oldest record that is kept, and the segment that holds it. */
  lowWaterLsn: number;
  lowWaterSequence: number;
  /** Set by a clean close: the log ends exactly at `sealedLsn`. */
  sealed: boolean;
  /** Also without a seal: every record up to here was durable when this was written. */
  sealedLsn: number;
  /** With a seal: chain of the last frame, and the offset behind it in the activated segment. */
  sealedChain: number;
  sealedOffset: number;
}

/** Fills the first bytes of `slot` (at least {@linkcode META_SLOT_BYTES}). */
export function encodeMeta(slot: Uint8Array, meta: Meta, crc32c: Crc32c): void {
  slot.fill(0, 0, META_SLOT_BYTES);
  for (let i = 0; i < META_MAGIC.length; i++) slot[i] = META_MAGIC.charCodeAt(i);
  const view = viewOf(slot);
  view.setUint32(8, FORMAT_VERSION, true);
  slot.set(meta.uuid, 16);
  setUint64(view, 32, meta.counter);
  view.setUint32(40, meta.epoch, true);
  view.setUint32(44, meta.sealed ? 1 : 0, true);
  setUint64(view, 48, meta.activated);
  setUint64(view, 56, meta.lowWaterLsn);
  setUint64(view, 64, meta.lowWaterSequence);
  setUint64(view, 72, meta.sealedLsn);
  setUint64(view, 80, meta.sealedOffset);
  view.setUint32(88, meta.sealedChain, true);
  view.setUint32(META_CRC, crc32c(slot.subarray(0, META_USED_BYTES)), true);
}

/** A slot of META, a newer version, or why it is neither. */
export type MetaSlot = { meta: Meta } | { version: number } | { damage: string };

export function decodeMeta(slot: Uint8Array, crc32c: Crc32c): MetaSlot {
  if (slot.length < META_USED_BYTES) return { damage: "the slot is cut short" };
  const used = slot.slice(0, META_USED_BYTES);
  const view = viewOf(used);
  for (let i = 0; i < META_MAGIC.length; i++) {
    if (used[i] !== META_MAGIC.charCodeAt(i)) return { damage: "the slot does not begin as one" };
  }
  const crc = view.getUint32(META_CRC, true);
  view.setUint32(META_CRC, 0, true);
  if (crc32c(used) !== crc) return { damage: "the checksum of the slot is wrong" };
  const version = view.getUint32(8, true);
  if (version !== FORMAT_VERSION) return { version };
  const meta: Meta = {
    uuid: used.slice(16, 32),
    counter: getUint64(view, 32),
    epoch: view.getUint32(40, true),
    sealed: view.getUint32(44, true) === 1,
    activated: getUint64(view, 48),
    lowWaterLsn: getUint64(view, 56),
    lowWaterSequence: getUint64(view, 64),
    sealedLsn: getUint64(view, 72),
    sealedOffset: getUint64(view, 80),
    sealedChain: view.getUint32(88, true),
  };
  const sound = meta.counter >= 0 && meta.activated >= 0 && meta.lowWaterLsn >= 1 &&
    meta.lowWaterSequence >= 1 &&
    (meta.activated === 0 || meta.lowWaterSequence <= meta.activated) &&
    meta.activated - meta.lowWaterSequence < SEGMENTS_MAX && meta.sealedLsn >= 0 &&
    meta.sealedOffset >= 0;
  if (!sound) return { damage: "the slot has a good checksum and impossible numbers" };
  return { meta };
}

// --- Segment header -------------------------------------------------------------------------

const HEADER_MAGIC = "URINGWAL";
const HEADER_CRC = 12;
/** Bytes of a header that carry something; the rest of its commit unit is zero. */
export const HEADER_USED_BYTES = 128;

/** The first two commit units of a segment, written when it is activated. */
export interface SegmentHeader {
  uuid: Uint8Array;
  sequence: number;
  /** LSN of the first record that may stand in this segment. */
  firstLsn: number;
  /** Renewed at each activation: what an older life of the file left does not pass its checksums. */
  salt: Uint8Array;
  commitUnitBytes: number;
  /** Frames that far behind an unfinished one cannot have been submitted. */
  windowBytes: number;
  segmentBytes: number;
  /** The segment before; sequence 0: there is none. */
  previousSequence: number;
  previousLsn: number;
  previousChain: number;
  epoch: number;
  activatedMillis: number;
  /** The file had its whole length before it was activated. */
  preallocated: boolean;
}

/** Fills the first {@linkcode HEADER_COPIES} commit units of `bytes`. */
export function encodeHeader(bytes: Uint8Array, header: SegmentHeader, crc32c: Crc32c): void {
  const unit = header.commitUnitBytes;
  bytes.fill(0, 0, HEADER_COPIES * unit);
  for (let i = 0; i < HEADER_MAGIC.length; i++) bytes[i] = HEADER_MAGIC.charCodeAt(i);
  const view = viewOf(bytes);
  view.setUint32(8, FORMAT_VERSION, true);
  bytes.set(header.uuid, 16);
  setUint64(view, 32, header.sequence);
  setUint64(view, 40, header.firstLsn);
  bytes.set(header.salt, 48);
  view.setUint32(56, unit, true);
  view.setUint32(60, header.windowBytes, true);
  setUint64(view, 64, header.segmentBytes);
  setUint64(view, 72, header.previousSequence);
  setUint64(view, 80, header.previousLsn);
  view.setUint32(88, header.previousChain, true);
  view.setUint32(92, header.epoch, true);
  setUint64(view, 96, header.activatedMillis);
  view.setUint32(104, header.preallocated ? 1 : 0, true);
  view.setUint32(HEADER_CRC, crc32c(bytes.subarray(0, HEADER_USED_BYTES)), true);
  for (let copy = 1; copy < HEADER_COPIES; copy++) {
    bytes.copyWithin(copy * unit, 0, HEADER_USED_BYTES);
  }
}

/** A copy of a header, a newer version, or why it is neither. */
export type HeaderCopy = { header: SegmentHeader } | { version: number } | { damage: string };

/** Decodes one copy; whose it is (log, sequence) is for the caller to judge. */
export function decodeHeader(bytes: Uint8Array, crc32c: Crc32c): HeaderCopy {
  if (bytes.length < HEADER_USED_BYTES) return { damage: "the header is cut short" };
  const used = bytes.slice(0, HEADER_USED_BYTES);
  const view = viewOf(used);
  for (let i = 0; i < HEADER_MAGIC.length; i++) {
    if (used[i] !== HEADER_MAGIC.charCodeAt(i)) {
      return { damage: "it does not begin with a segment header" };
    }
  }
  const crc = view.getUint32(HEADER_CRC, true);
  view.setUint32(HEADER_CRC, 0, true);
  if (crc32c(used) !== crc) return { damage: "the checksum of the header is wrong" };
  const version = view.getUint32(8, true);
  if (version !== FORMAT_VERSION) return { version };
  const header: SegmentHeader = {
    uuid: used.slice(16, 32),
    sequence: getUint64(view, 32),
    firstLsn: getUint64(view, 40),
    salt: used.slice(48, 56),
    commitUnitBytes: view.getUint32(56, true),
    windowBytes: view.getUint32(60, true),
    segmentBytes: getUint64(view, 64),
    previousSequence: getUint64(view, 72),
    previousLsn: getUint64(view, 80),
    previousChain: view.getUint32(88, true),
    epoch: view.getUint32(92, true),
    activatedMillis: getUint64(view, 96),
    preallocated: view.getUint32(104, true) === 1,
  };
  const unit = header.commitUnitBytes;
  const sound = unit >= COMMIT_UNIT_MIN_BYTES && unit <= COMMIT_UNIT_MAX_BYTES &&
    (unit & (unit - 1)) === 0 && header.segmentBytes % unit === 0 &&
    header.segmentBytes > HEADER_COPIES * unit && header.firstLsn >= 1 && header.sequence >= 1;
  if (!sound) return { damage: "the header has a good checksum and impossible numbers" };
  return { header };
}

/** Whether two headers are of the same log. */
export function sameLog(a: Uint8Array, b: Uint8Array): boolean {
  return equalBytes(a, b);
}

// --- Frame ----------------------------------------------------------------------------------

/** Bytes of a frame's header; the records follow it. */
export const FRAME_HEADER_BYTES = 64;
/** Bytes before each record: its length. */
export const RECORD_HEADER_BYTES = 4;

const FRAME_MAGIC = 0x31_46_52_55; // "URF1"

/** Records of one commit. */
export const KIND_DATA = 0;
/** No records: written when the log is idle, so that the last records are under a durable mark. */
export const KIND_MARK = 1;

/** The header of one frame, as numbers. Reused by scans: copy what is to be kept. */
export interface FrameHeader {
  headerCrc: number;
  payloadCrc: number;
  payloadBytes: number;
  recordCount: number;
  kind: number;
  firstLsn: number;
  /** Every record up to this LSN was durable when this frame was written. */
  durableMark: number;
  epoch: number;
  /** Chain of the frame before. */
  previousChain: number;
  writtenMillis: number;
}

/** Bytes of a frame on disk: whole commit units. */
export function frameBytes(payloadBytes: number, commitUnitBytes: number): number {
  const bytes = FRAME_HEADER_BYTES + payloadBytes;
  return bytes + (commitUnitBytes - bytes % commitUnitBytes) % commitUnitBytes;
}

const seedBytes = new Uint8Array(new ArrayBuffer(16));
const seedView = new DataView(seedBytes.buffer);

/** The seed of both checksums of a frame: a block of another life, or at another place, fails them. */
export function frameSeed(salt: Uint8Array, offset: number, crc32c: Crc32c): number {
  seedBytes.set(salt, 0);
  setUint64(seedView, 8, offset);
  return crc32c(seedBytes);
}

/**
 * Writes a frame header at the start of `view` and gives its chain. `payloadCrc` was computed with the
 * same `seed`.
 */
export function encodeFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  frame: Readonly<FrameHeader>,
  seed: number,
  crc32c: Crc32c,
): number {
  view.setUint32(0, FRAME_MAGIC, true);
  view.setUint32(8, frame.payloadCrc, true);
  view.setUint32(12, frame.payloadBytes, true);
  view.setUint32(16, frame.recordCount, true);
  view.setUint32(20, frame.kind, true);
  setUint64(view, 24, frame.firstLsn);
  setUint64(view, 32, frame.durableMark);
  view.setUint32(40, frame.epoch, true);
  view.setUint32(44, 0, true);
  view.setUint32(48, frame.previousChain, true);
  view.setUint32(52, 0, true);
  setUint64(view, 56, frame.writtenMillis);
  const headerCrc = crc32c(bytes.subarray(8, FRAME_HEADER_BYTES), seed);
  view.setUint32(4, headerCrc, true);
  return frameChain(headerCrc, frame.previousChain, crc32c);
}

const chainBytes = new Uint8Array(new ArrayBuffer(8));
const chainView = new DataView(chainBytes.buffer);

/** The chain over a frame: its header's checksum (which covers the payload's) behind the chain before. */
export function frameChain(headerCrc: number, previousChain: number, crc32c: Crc32c): number {
  chainView.setUint32(0, headerCrc, true);
  chainView.setUint32(4, previousChain, true);
  return crc32c(chainBytes);
}

/**
 * Reads a frame header at `at` into `into`: true when magic and checksum are of this life and place.
 * The payload is not looked at.
 */
export function decodeFrameHeader(
  bytes: Uint8Array,
  view: DataView,
  at: number,
  seed: number,
  crc32c: Crc32c,
  into: FrameHeader,
): boolean {
  if (view.getUint32(at, true) !== FRAME_MAGIC) return false;
  const headerCrc = view.getUint32(at + 4, true);
  if (crc32c(bytes.subarray(at + 8, at + FRAME_HEADER_BYTES), seed) !== headerCrc) return false;
  into.headerCrc = headerCrc;
  into.payloadCrc = view.getUint32(at + 8, true);
  into.payloadBytes = view.getUint32(at + 12, true);
  into.recordCount = view.getUint32(at + 16, true);
  into.kind = view.getUint32(at + 20, true);
  into.firstLsn = getUint64(view, at + 24);
  into.durableMark = getUint64(view, at + 32);
  into.epoch = view.getUint32(at + 40, true);
  into.previousChain = view.getUint32(at + 48, true);
  into.writtenMillis = getUint64(view, at + 56);
  return true;
}

export function isFrameMagic(view: DataView, at: number): boolean {
  return view.getUint32(at, true) === FRAME_MAGIC;
}

/** A frame header of zeros, to decode into. */
export function newFrameHeader(): FrameHeader {
  return {
    headerCrc: 0,
    payloadCrc: 0,
    payloadBytes: 0,
    recordCount: 0,
    kind: 0,
    firstLsn: 0,
    durableMark: 0,
    epoch: 0,
    previousChain: 0,
    writtenMillis: 0,
  };
}
