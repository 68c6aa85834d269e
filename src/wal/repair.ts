/**
 * Repair: what can be kept of a log that is refused as corrupt, and making it a log again.
 *
 * A log has no holes, so of a damaged one either the records before the first damage can be kept, or
 * those behind the last one. Which of them is for a person to say; until then nothing is changed. What
 * does not stay is put aside under other names, `aside-N-NAME`, and never removed; the log goes on
 * without it.
 *
 * Keeping what is *before*: the segment with the damage is replaced by a copy that ends before it, the
 * segments behind it are renamed, and META is written anew, sealed at that end. Keeping what is *after*:
 * the segments up to the damaged one are renamed, and META's low-water mark is raised. META comes last,
 * and everything before it is durable then: a crash in between leaves a log that is corrupt still and
 * repairs to the same records, or one that is repaired already.
 *
 * @module
 */

import type { Io, IoBuffer, IoFile } from "../io/io.ts";
import { openIo } from "../io/open_io.ts";
import { Pump, type Task } from "../io/pump.ts";
import { Disk, joinPath } from "./disk.ts";
import {
  newerVersion,
  WalCorruptionError,
  WalLockedError,
  WalMissingError,
  WalOptionsError,
} from "./errors.ts";
import {
  type Crc32c,
  decodeFrameHeader,
  decodeMeta,
  frameSeed,
  HEADER_COPIES,
  LOCK_NAME,
  type Meta,
  META_NAME,
  META_SLOT_BYTES,
  META_SLOT_STRIDE_BYTES,
  META_SLOTS,
  newFrameHeader,
  sameLog,
  type SegmentHeader,
  segmentName,
  SNAPSHOT_NAME,
  TEMPORARY_SUFFIX,
} from "./format.ts";
import { createMeta, readMeta } from "./meta.ts";
import { describeHolder, takeLock } from "./open.ts";
import { checkLink, READER_BUFFER_BYTES, type SegmentEnd } from "./reader.ts";
import { exists, findTail, requireHeader, segmentsOf, type TailState } from "./recovery.ts";
import { loadHeader, requireLengths, SegmentScan, Window } from "./scan.ts";
import { settle } from "./view.ts";

const KNOWN = new Set(["keep", "io", "lockTimeoutMillis", "onProgress"]);
const LOCK_TIMEOUT_MILLIS = 5000;

/** Options of {@linkcode repair}. */
export interface RepairOptions {
  /**
   * What to keep: the records before the first damage, or those behind the last one. Without it nothing
   * is changed, and the report says what each would keep.
   */
  keep?: "before" | "after";
  /** The Io to work on; it stays the caller's. Without it one is opened, and closed. */
  io?: Io;
  /** Milliseconds to wait for another writer to end; 5,000. */
  lockTimeoutMillis?: number;
  /** Hears of each segment that was read. A repair reads them twice: before it, and when it is done. */
  onProgress?: (done: number, segments: number) => void;
}

/** Records from `first` to `last`. */
export interface LsnRange {
  readonly first: number;
  readonly last: number;
}

/** What a repair found, and did. */
export interface RepairReport {
  /** Of the log as it was found. Only a `corrupt` one needs a repair; opening sees to the others. */
  readonly state: TailState | "corrupt";
  /** Every place of damage, in the order of the log. Empty unless it is corrupt. */
  readonly damage: readonly WalCorruptionError[];
  /** The records that the log knows of, readable or not. */
  readonly first: number;
  readonly last: number;
  /** What `keep` would keep; `undefined` where it would keep nothing. */
  readonly before: LsnRange | undefined;
  readonly after: LsnRange | undefined;
  /** What was kept; `undefined` when nothing was changed. */
  readonly kept: "before" | "after" | undefined;
  /** Paths of the files that were put aside. */
  readonly aside: readonly string[];
}

/**
 * Looks at the log in `directory` and, with `keep`, repairs it. The log must not be open. LSNs of records
 * that are lost at the end are given to other records later.
 *
 * @throws {WalMissingError} there is no log
 * @throws {WalLockedError} another process has the log open
 * @throws {WalCorruptionError} nothing can be kept, or its format is newer; nothing was changed
 * @throws {IoError} the kernel refused something
 *
 * @example
 * ```ts
 * import { repair, Wal } from "@uring/io/wal";
 *
 * {
 *   await using wal = await Wal.open("/var/tmp/example-log");
 *   await wal.durable(wal.append("hello"));
 * }
 * const { state, damage } = await repair("/var/tmp/example-log");
 * console.log(state, damage.length); // clean 0
 * ```
 */
export async function repair(
  directory: string,
  options: RepairOptions = {},
): Promise<RepairReport> {
  for (const name of Object.keys(options)) {
    if (!KNOWN.has(name)) {
      throw new WalOptionsError(`repair has no ${name}; it has ${[...KNOWN].join(", ")}`);
    }
  }
  const { keep, lockTimeoutMillis = LOCK_TIMEOUT_MILLIS } = options;
  if (keep !== undefined && keep !== "before" && keep !== "after") {
    throw new WalOptionsError(`keep must be "before" or "after", and is ${String(keep)}`);
  }
  if (!(Number.isSafeInteger(lockTimeoutMillis) && lockTimeoutMillis >= 0)) {
    throw new WalOptionsError(`lockTimeoutMillis must be a whole number, not ${lockTimeoutMillis}`);
  }
  const ownIo = options.io ? undefined : openIo();
  const client = (options.io ?? ownIo!).client(`repair of ${directory}`);
  const buffer = client.acquireBuffer(READER_BUFFER_BYTES);
  try {
    if (!buffer) throw new RangeError(`repairing needs ${READER_BUFFER_BYTES} bytes of the arena`);
    const disk = new Disk(new Pump(client));
    const deadlineMicros = client.now() + 1000 * lockTimeoutMillis;
    return await disk.pump.run(
      repairLocked(disk, directory, keep, deadlineMicros, buffer, options.onProgress),
    );
  } finally {
    if (buffer) client.releaseBuffer(buffer);
    client[Symbol.dispose]();
    ownIo?.[Symbol.dispose]();
  }
}

function* repairLocked(
  disk: Disk,
  directory: string,
  keep: "before" | "after" | undefined,
  deadlineMicros: number,
  buffer: IoBuffer,
  onProgress: RepairOptions["onProgress"],
): Task<RepairReport> {
  const names = listLog(disk, directory);
  const lock = yield* lockLog(disk, directory, keep !== undefined, deadlineMicros, buffer);
  try {
    yield* settleAll(disk, directory, names, keep !== undefined, deadlineMicros);
    const found = yield* analyse(disk, directory, buffer, onProgress);
    const report = reportOf(found);
    if (keep === undefined || found.damage.length === 0) return report;
    if (!report[keep]) throw nothingToKeep(found, keep);
    const aside = keep === "before"
      ? yield* keepBefore(disk, directory, found, buffer)
      : yield* keepAfter(disk, directory, found, buffer);
    const [left] = (yield* analyse(disk, directory, buffer, onProgress)).damage;
    if (left) throw left;
    return { ...report, kept: keep, aside };
  } finally {
    if (lock) yield* disk.close(lock);
  }
}

function nothingToKeep(found: Found, keep: "before" | "after"): WalCorruptionError {
  const [{ file, offset, reason }] = found.damage;
  return new WalCorruptionError(
    file,
    offset,
    `${reason}; no record ${keep} the damage can be kept`,
  );
}

/** The names in a directory that is a log, or was. */
function listLog(disk: Disk, directory: string): string[] {
  let names: string[];
  try {
    names = disk.io.listDirectory(directory).map((entry) => entry.name);
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === "ENOENT") throw new WalMissingError(directory, "does not exist");
    if (code === "ENOTDIR") throw new WalMissingError(directory, "is not a directory");
    throw error;
  }
  if (names.includes(META_NAME) || segmentsOf(names).length > 0) return names;
  throw new WalMissingError(directory, names.length === 0 ? "is empty" : "has no META file");
}

/** Keeps writers out. Who only looks leaves no trace in the directory. */
function* lockLog(
  disk: Disk,
  directory: string,
  changing: boolean,
  deadlineMicros: number,
  buffer: IoBuffer,
): Task<IoFile | undefined> {
  if (changing) return yield* takeLock(disk, directory, deadlineMicros, buffer);
  const path = joinPath(directory, LOCK_NAME);
  if (!(yield* exists(disk, path))) return undefined;
  const file = yield* disk.open(path, { read: true });
  try {
    if (yield* disk.lock(file, deadlineMicros, "shared")) return file;
    const got = yield* disk.read(file, buffer, 0, META_SLOT_BYTES, 0);
    throw new WalLockedError(directory, describeHolder(buffer.bytes.slice(0, got)));
  } catch (error) {
    yield* disk.close(file);
    throw error;
  }
}

/**
 * What is read from here on is what the device has. With `changing`, the last writes of a killed writer
 * have ended then, too: the kernel holds its locks of META and of segments until they have.
 */
function* settleAll(
  disk: Disk,
  directory: string,
  names: readonly string[],
  changing: boolean,
  deadlineMicros: number,
): Task<void> {
  const files = segmentsOf(names).map((sequence) => segmentName(sequence));
  if (names.includes(META_NAME)) files.push(META_NAME);
  for (const name of files) {
    const file = yield* disk.open(joinPath(directory, name), { read: true, write: changing });
    try {
      if (changing && !(yield* disk.lock(file, deadlineMicros))) {
        throw new WalLockedError(
          directory,
          "a writer that was killed and still has writes in flight",
        );
      }
      yield* settle(disk, file);
    } finally {
      yield* disk.close(file);
    }
  }
}

// --- Looking --------------------------------------------------------------------------------

/** One segment from the low-water one to the activated one. */
interface Part {
  readonly sequence: number;
  readonly path: string;
  readonly header: SegmentHeader | undefined;
  /** Behind its last whole frame. Meaningless without a header. */
  readonly end: SegmentEnd;
  /** Highest epoch of its frames and its header. */
  readonly epoch: number;
  damage: WalCorruptionError | undefined;
  /** Highest LSN of frames behind the damage. */
  lastSeen: number;
  /** The damage is that it does not follow the segment before: none of its frames counts. */
  detached: boolean;
}

interface Found {
  /** META as it should be for these segments: as it is, or rebuilt from their headers. */
  readonly meta: Meta;
  readonly parts: readonly Part[];
  /** The end of the log, when its last segment is not damaged. */
  readonly tail: { state: TailState; lastLsn: number } | undefined;
  readonly damage: readonly WalCorruptionError[];
  /** Highest LSN that anything speaks of. */
  readonly lastLsn: number;
}

function* analyse(
  disk: Disk,
  directory: string,
  buffer: IoBuffer,
  onProgress: RepairOptions["onProgress"],
): Task<Found> {
  const names = listLog(disk, directory);
  const reading = yield* metaOf(disk, directory, buffer);
  let metaDamage = reading.damage;
  const headers = yield* headersOf(disk, directory, names, reading.meta, buffer);
  const uuid = reading.meta?.uuid ?? headers.get(Math.max(...headers.keys()))?.uuid;
  // Nothing says whose files these are.
  if (!uuid) throw metaDamage!;
  let activated = reading.meta?.activated ?? 0;
  for (const [sequence, header] of headers) {
    if (!(sequence > activated)) continue;
    const path = joinPath(directory, segmentName(sequence));
    if (reading.meta ? yield* beginsWithFrame(disk, path, header, buffer) : true) {
      activated = sequence;
      metaDamage ??= older(directory, `it does not know of ${path}, which has frames`);
    }
  }
  const low = reading.meta?.lowWaterSequence ?? lowestOf(names, headers, activated);
  const parts: Part[] = [];
  for (let sequence = low; sequence <= activated && activated > 0; sequence++) {
    parts.push(yield* partOf(disk, directory, uuid, sequence, buffer));
    onProgress?.(parts.length, activated - low + 1);
  }
  link(parts);
  const epoch = Math.max(reading.meta?.epoch ?? 0, ...parts.map((part) => part.epoch));
  if (reading.meta && epoch > reading.meta.epoch) {
    metaDamage ??= older(
      directory,
      `it knows of ${reading.meta.epoch} openings, and there are frames of opening ${epoch}`,
    );
  }
  const meta: Meta = reading.meta && !metaDamage ? reading.meta : {
    uuid,
    counter: reading.meta?.counter ?? 0,
    epoch,
    activated,
    lowWaterLsn: reading.meta?.lowWaterLsn ?? parts[0]?.header?.firstLsn ?? 1,
    lowWaterSequence: low,
    sealed: false,
    sealedLsn: 0,
    sealedChain: 0,
    sealedOffset: 0,
  };
  let tail: Found["tail"] = { state: "clean", lastLsn: meta.lowWaterLsn - 1 };
  if (parts.length > 0) tail = yield* tailOf(disk, parts[parts.length - 1], meta, buffer);
  const lastLsn = Math.max(
    meta.sealedLsn,
    tail?.lastLsn ?? 0,
    ...parts.map(({ header, end, lastSeen }) =>
      header ? Math.max(lastSeen, Math.max(header.firstLsn, end.nextLsn) - 1) : 0
    ),
  );
  const damage = parts.flatMap((part) => part.damage ? [part.damage] : []);
  if (metaDamage) damage.unshift(metaDamage);
  return { meta, parts, tail, damage, lastLsn };
}

function older(directory: string, why: string): WalCorruptionError {
  return new WalCorruptionError(
    joinPath(directory, META_NAME),
    0,
    `it is older than the log: ${why}`,
  );
}

/** META, or why there is none that counts. */
function* metaOf(
  disk: Disk,
  directory: string,
  buffer: IoBuffer,
): Task<{ meta?: Meta; damage?: WalCorruptionError }> {
  const path = joinPath(directory, META_NAME);
  if (!(yield* exists(disk, path))) {
    return { damage: new WalCorruptionError(path, 0, "the file is missing") };
  }
  const file = yield* disk.open(path, { read: true });
  try {
    for (let slot = 0; slot < META_SLOTS; slot++) {
      const offset = slot * META_SLOT_STRIDE_BYTES;
      const got = yield* disk.read(file, buffer, 0, META_SLOT_BYTES, offset);
      const bytes = buffer.bytes.subarray(0, got);
      const decoded = decodeMeta(bytes, (data, seed) => disk.io.crc32c(data, seed));
      if ("version" in decoded) throw newerVersion(path, decoded.version);
    }
    try {
      return { meta: (yield* readMeta(disk, file, buffer)).meta };
    } catch (error) {
      if (!(error instanceof WalCorruptionError)) throw error;
      return { damage: error };
    }
  } finally {
    yield* disk.close(file);
  }
}

/** Headers of this log that stand in the files named after them. */
function* headersOf(
  disk: Disk,
  directory: string,
  names: readonly string[],
  meta: Meta | undefined,
  buffer: IoBuffer,
): Task<Map<number, SegmentHeader>> {
  const headers = new Map<number, SegmentHeader>();
  let uuid = meta?.uuid;
  // Where META is lost, the highest segment says which log this is.
  for (const sequence of segmentsOf(names).reverse()) {
    const path = joinPath(directory, segmentName(sequence));
    const file = yield* disk.open(path, { read: true });
    try {
      const copy = yield* loadHeader(disk, file, buffer);
      if ("version" in copy) throw newerVersion(path, copy.version);
      if ("damage" in copy || copy.header.sequence !== sequence) continue;
      uuid ??= copy.header.uuid;
      if (sameLog(copy.header.uuid, uuid)) headers.set(sequence, copy.header);
    } finally {
      yield* disk.close(file);
    }
  }
  return headers;
}

function* beginsWithFrame(
  disk: Disk,
  path: string,
  header: SegmentHeader,
  buffer: IoBuffer,
): Task<boolean> {
  const file = yield* disk.open(path, { read: true });
  try {
    const offset = HEADER_COPIES * header.commitUnitBytes;
    const window = new Window(disk, file, buffer);
    yield* window.load(offset, header.commitUnitBytes, offset + header.commitUnitBytes);
    if (!window.holds(offset, header.commitUnitBytes)) return false;
    const crc32c: Crc32c = (bytes, seed) => disk.io.crc32c(bytes, seed);
    const seed = frameSeed(header.salt, offset, crc32c);
    return decodeFrameHeader(window.bytes, window.view, 0, seed, crc32c, newFrameHeader());
  } finally {
    yield* disk.close(file);
  }
}

/** Without META: the files that follow each other up to the activated one, from the first with a header. */
function lowestOf(
  names: readonly string[],
  headers: ReadonlyMap<number, SegmentHeader>,
  activated: number,
): number {
  const present = new Set(segmentsOf(names));
  let low = activated;
  while (present.has(low - 1)) low--;
  while (low < activated && !headers.has(low)) low++;
  return low;
}

/** Reads a segment as far as its frames go. */
function* partOf(
  disk: Disk,
  directory: string,
  uuid: Uint8Array,
  sequence: number,
  buffer: IoBuffer,
): Task<Part> {
  const path = joinPath(directory, segmentName(sequence));
  const nothing = { path, offset: 0, nextLsn: 0, chain: 0 };
  const part = {
    ...{ sequence, path, header: undefined, end: nothing, epoch: 0 },
    ...{ lastSeen: 0, detached: false },
  };
  if (!(yield* exists(disk, path))) {
    return { ...part, damage: new WalCorruptionError(path, 0, "the file is missing") };
  }
  const file = yield* disk.open(path, { read: true });
  try {
    let header: SegmentHeader;
    try {
      header = yield* requireHeader(disk, file, buffer, { uuid } as Meta, sequence);
    } catch (error) {
      if (!(error instanceof WalCorruptionError)) throw error;
      return { ...part, damage: error };
    }
    const { size } = yield* disk.stat(file);
    const scan = new SegmentScan(disk, file, header, size, Number.MAX_SAFE_INTEGER, buffer);
    let { epoch } = header;
    let damage: WalCorruptionError | undefined;
    const endOf = () => ({ path, offset: scan.offset, nextLsn: scan.nextLsn, chain: scan.chain });
    let end = endOf();
    try {
      while (yield* scan.next()) {
        requireLengths(scan);
        epoch = Math.max(epoch, scan.frame.epoch);
        end = endOf();
      }
    } catch (error) {
      if (!(error instanceof WalCorruptionError)) throw error;
      damage = error;
    }
    if (!damage && header.preallocated && size < header.segmentBytes) {
      const reason =
        `the file is cut short: it had ${header.segmentBytes} bytes before its first ` +
        "frame";
      damage = new WalCorruptionError(path, size, reason);
    }
    return { ...part, header, epoch, damage, end };
  } finally {
    yield* disk.close(file);
  }
}

/** Compares each header with the end of the segment before. */
function link(parts: readonly Part[]): void {
  for (let i = 1; i < parts.length; i++) {
    const before = parts[i - 1];
    const part = parts[i];
    if (!before.header || !part.header || before.damage) continue;
    try {
      checkLink(before.end, part.header, part.path);
    } catch (error) {
      const damage = error as WalCorruptionError;
      if (damage.file === before.path) before.damage = damage;
      else {
        part.damage = damage;
        part.detached = true;
      }
    }
  }
}

/** Judges the end of the log, as recovery would. */
function* tailOf(
  disk: Disk,
  part: Part,
  meta: Meta,
  buffer: IoBuffer,
): Task<Found["tail"]> {
  if (part.damage || !part.header) return undefined;
  const file = yield* disk.open(part.path, { read: true });
  try {
    const { size } = yield* disk.stat(file);
    const epochMax = Number.MAX_SAFE_INTEGER;
    const scan = new SegmentScan(disk, file, part.header, size, epochMax, buffer);
    try {
      return yield* findTail(scan, meta);
    } catch (error) {
      if (!(error instanceof WalCorruptionError)) throw error;
      part.damage = error;
      part.lastSeen = (yield* scan.lookPast()).lastLsn;
      return undefined;
    }
  } finally {
    yield* disk.close(file);
  }
}

// --- Deciding -------------------------------------------------------------------------------

/** The last segment of the log that is kept, when what is before the damage is; -1: there is none. */
function lastBefore({ parts }: Found): number {
  const damaged = parts.findIndex((part) => part.damage);
  if (damaged < 0) return parts.length - 1;
  const { header, detached, end } = parts[damaged];
  // A segment without a whole record adds nothing: the log ends with the one before.
  return header && !detached && end.nextLsn > header.firstLsn ? damaged : damaged - 1;
}

/** The first segment that is kept, when what is behind the damage is; `parts.length`: there is none. */
function firstAfter({ parts }: Found): number {
  let first = parts.length;
  while (first > 0 && !parts[first - 1].damage) first--;
  return first;
}

function reportOf(found: Found): RepairReport {
  const { meta, parts, tail, damage, lastLsn } = found;
  const first = meta.lowWaterLsn;
  const range = (from: number, to: number) => to >= from ? { first: from, last: to } : undefined;
  const common = { damage, first, last: lastLsn, kept: undefined, aside: [] };
  if (damage.length === 0) {
    const all = range(first, tail!.lastLsn);
    return { ...common, state: tail!.state, before: all, after: all };
  }
  const whole = parts.every((part) => !part.damage);
  const end = parts[lastBefore(found)]?.end;
  const begin = parts[firstAfter(found)]?.header;
  return {
    ...common,
    state: "corrupt",
    before: range(first, whole ? tail!.lastLsn : end ? end.nextLsn - 1 : 0),
    after: begin && range(Math.max(first, begin.firstLsn), tail!.lastLsn),
  };
}

// --- Doing ----------------------------------------------------------------------------------

/** Makes names for files that are put aside: a number of this repair, and the name of the file. */
class Aside {
  readonly #disk: Disk;
  readonly #directory: string;
  readonly #number: number;
  readonly paths: string[] = [];

  constructor(disk: Disk, directory: string) {
    this.#disk = disk;
    this.#directory = directory;
    const names = disk.io.listDirectory(directory).map((entry) => entry.name);
    let number = 1;
    while (names.some((name) => name.startsWith(`aside-${number}-`))) number++;
    this.#number = number;
  }

  #path(name: string): string {
    const path = joinPath(this.#directory, `aside-${this.#number}-${name}`);
    this.paths.push(path);
    return path;
  }

  /** Gives a file another name. */
  *move(name: string): Task<void> {
    const from = joinPath(this.#directory, name);
    if (yield* exists(this.#disk, from)) yield* this.#disk.rename(from, this.#path(name));
  }

  /** Copies a file, durably but for its name. */
  *copy(name: string, buffer: IoBuffer): Task<void> {
    const from = joinPath(this.#directory, name);
    if (!(yield* exists(this.#disk, from))) return;
    const to = this.#path(name);
    const { size } = yield* this.#disk.stat(from);
    yield* copyBytes(this.#disk, from, to + TEMPORARY_SUFFIX, size, size, buffer);
    yield* this.#disk.rename(to + TEMPORARY_SUFFIX, to);
  }
}

/** Copies the first `length` bytes of a file to one of `size` bytes, which is zero behind them. */
function* copyBytes(
  disk: Disk,
  from: string,
  to: string,
  length: number,
  size: number,
  buffer: IoBuffer,
): Task<void> {
  const source = yield* disk.open(from, { read: true });
  try {
    const target = yield* disk.openNew(to);
    try {
      if (size > length) yield* disk.allocate(target, 0, size);
      for (let offset = 0; offset < length;) {
        const piece = Math.min(buffer.length, length - offset);
        const got = yield* disk.read(source, buffer, 0, piece, offset);
        if (got === 0) throw new WalCorruptionError(from, offset, "the file became shorter");
        yield* disk.write(target, buffer, 0, got, offset, 0);
        offset += got;
      }
      if (size > length) yield* disk.truncate(target, size);
      yield* disk.fsync(target);
    } finally {
      yield* disk.close(target);
    }
  } finally {
    yield* disk.close(source);
  }
}

function* keepBefore(
  disk: Disk,
  directory: string,
  found: Found,
  buffer: IoBuffer,
): Task<string[]> {
  const { meta, parts } = found;
  const aside = new Aside(disk, directory);
  yield* aside.copy(META_NAME, buffer);
  yield* aside.move(SNAPSHOT_NAME);
  if (parts.every((part) => !part.damage)) {
    yield* replaceMeta(disk, directory, meta, {}, buffer);
    return aside.paths;
  }
  const last = parts[lastBefore(found)];
  const name = segmentName(last.sequence);
  const header = last.header!;
  yield* aside.copy(name, buffer);
  // The frames behind the damage would be taken for the log's own, beside those that come there.
  const temporary = last.path + TEMPORARY_SUFFIX;
  const size = header.preallocated ? header.segmentBytes : last.end.offset;
  yield* copyBytes(disk, last.path, temporary, last.end.offset, size, buffer);
  yield* disk.syncDirectory(directory);
  yield* disk.rename(temporary, last.path);
  yield* disk.syncDirectory(directory);
  for (const { sequence } of parts.toReversed()) {
    if (sequence > last.sequence) yield* aside.move(segmentName(sequence));
  }
  yield* disk.syncDirectory(directory);
  const changes = {
    activated: last.sequence,
    sealed: true,
    sealedLsn: last.end.nextLsn - 1,
    sealedChain: last.end.chain,
    sealedOffset: last.end.offset,
  };
  yield* replaceMeta(disk, directory, meta, changes, buffer);
  return aside.paths;
}

function* keepAfter(
  disk: Disk,
  directory: string,
  found: Found,
  buffer: IoBuffer,
): Task<string[]> {
  const { meta, parts } = found;
  const aside = new Aside(disk, directory);
  yield* aside.copy(META_NAME, buffer);
  yield* aside.move(SNAPSHOT_NAME);
  const first = firstAfter(found);
  yield* disk.syncDirectory(directory);
  for (const { sequence } of parts.slice(0, first)) yield* aside.move(segmentName(sequence));
  yield* disk.syncDirectory(directory);
  const { sequence, header } = parts[first];
  const changes = {
    lowWaterSequence: sequence,
    lowWaterLsn: Math.max(meta.lowWaterLsn, header!.firstLsn),
  };
  yield* replaceMeta(disk, directory, meta, changes, buffer);
  return aside.paths;
}

/** A META of its own file: nothing of the old one can turn up again. */
function* replaceMeta(
  disk: Disk,
  directory: string,
  meta: Meta,
  changes: Partial<Meta>,
  buffer: IoBuffer,
): Task<void> {
  yield* disk.syncDirectory(directory);
  const next = { ...meta, ...changes, counter: meta.counter + 1 };
  yield* createMeta(disk, directory, next, buffer);
}
