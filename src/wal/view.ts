/**
 * A log looked at from outside: read-only, deciding as recovery would, changing nothing, beside a
 * writer if need be. `uring cat` and `uring verify` see logs through this file.
 *
 * Beside a writer the end is the highest durable mark that stands in a frame which can be read: what is
 * shown is durable, and lags the writer by the idle mark at most.
 *
 * @module
 */

import { type Io, type IoBuffer, IoError, type IoFile } from "../io/io.ts";
import { Pump, type Task } from "../io/pump.ts";
import { Disk, EAGAIN, joinPath } from "./disk.ts";
import { refuseDoubt } from "./doubt.ts";
import { LsnTooOldError, WalCorruptionError, WalMissingError } from "./errors.ts";
import { LOCK_NAME, type Meta, META_NAME, META_SLOT_BYTES, segmentName } from "./format.ts";
import { type MetaReading, readMeta } from "./meta.ts";
import { checkLink, checkLsn, LogReader, READER_BUFFER_BYTES, type ReadSource } from "./reader.ts";
import type { RecordBatch } from "./records.ts";
import {
  durableOf,
  exists,
  findTail,
  judgeSpare,
  requireHeader,
  requireSegments,
  scanActivated,
  segmentsOf,
  type Tail,
  type TailState,
} from "./recovery.ts";
import { requireLengths, SegmentScan } from "./scan.ts";
import { checkManifest } from "./snapshot.ts";
import { openFollower, Tail as Following, type TailOptions } from "./tail.ts";

/** Looks at a log that is being written until what it sees fits together. */
const ATTEMPTS_MAX = 20;
const ATTEMPT_PAUSE_MILLIS = 5;

/** What a look at a log found. */
export interface WalReport {
  /** `corrupt`: `error`, `file` and `offset` say where; the records before it can be read. */
  readonly state: TailState | "corrupt";
  /** The log was closed, and ends where its seal says. */
  readonly sealed: boolean;
  /** Another process writes to it now; `last` is what it has marked durable. */
  readonly live: boolean;
  /** LSN of the oldest and of the last record; `last` is `first - 1` in an empty log. */
  readonly first: number;
  readonly last: number;
  /** Records that recovery would cut. */
  readonly dropped: number;
  /** The place of the end, or of the damage. */
  readonly file: string;
  readonly offset: number;
  readonly error: WalCorruptionError | undefined;
}

/** A log open for looking. Borrows nothing while it is idle; close it. */
export class WalView implements AsyncDisposable {
  readonly #pump: Pump;
  readonly #disk: Disk;
  readonly #io: Io;
  readonly #directory: string;
  readonly #meta: Meta;
  readonly #sequences: readonly number[];
  readonly #firstLsns = new Map<number, number>();
  readonly #live: boolean;
  readonly #tail: Tail | undefined;
  readonly #damage: WalCorruptionError | undefined;
  readonly #lastLsn: number;
  readonly #tails = new Set<Following>();

  private constructor(
    pump: Pump,
    disk: Disk,
    directory: string,
    meta: Meta,
    live: boolean,
    tail: Tail | undefined,
    lastLsn: number,
    damage: WalCorruptionError | undefined,
  ) {
    this.#pump = pump;
    this.#disk = disk;
    this.#io = pump.io;
    this.#directory = directory;
    this.#meta = meta;
    this.#live = live;
    this.#tail = tail;
    this.#lastLsn = lastLsn;
    this.#damage = damage;
    const sequences: number[] = [];
    for (let sequence = meta.lowWaterSequence; sequence <= meta.activated; sequence++) {
      sequences.push(sequence);
    }
    this.#sequences = sequences;
  }

  /**
   * Looks at the log in `directory`. The Io stays the caller's.
   *
   * @throws {WalMissingError} there is no log
   * @throws {WalCorruptionError} so damaged that nothing can be read; other damage is in `report`
   * @throws {IoError} the kernel refused something
   */
  static async open(directory: string, io: Io): Promise<WalView> {
    const client = io.client(`view of ${directory}`);
    const buffer = client.acquireBuffer(READER_BUFFER_BYTES);
    if (!buffer) {
      client[Symbol.dispose]();
      throw new RangeError(`looking at a log needs ${READER_BUFFER_BYTES} bytes of the arena`);
    }
    try {
      const pump = new Pump(client);
      const disk = new Disk(pump);
      const seen = await pump.run(look(disk, directory, buffer));
      client.releaseBuffer(buffer);
      return new WalView(
        pump,
        disk,
        directory,
        seen.meta,
        seen.live,
        seen.tail,
        seen.lastLsn,
        seen.damage,
      );
    } catch (error) {
      client.releaseBuffer(buffer);
      client[Symbol.dispose]();
      throw error;
    }
  }

  /** LSN of the oldest record that is kept. */
  get firstLsn(): number {
    return this.#meta.lowWaterLsn;
  }

  /** LSN of the last record that can be shown. */
  get lastLsn(): number {
    return this.#lastLsn;
  }

  /** What the end of the log looks like; damage before it shows only in {@linkcode verify}. */
  get report(): WalReport {
    return this.#report(this.#damage, this.#lastLsn);
  }

  #report(damage: WalCorruptionError | undefined, last: number): WalReport {
    const tail = this.#tail;
    return {
      state: damage ? "corrupt" : tail?.state ?? "clean",
      sealed: !damage && this.#meta.sealed && !this.#live,
      live: this.#live,
      first: this.firstLsn,
      last: Math.max(last, this.firstLsn - 1),
      dropped: damage || !tail ? 0 : tail.droppedTo - tail.droppedFrom,
      file: damage?.file ?? tail?.file ?? "",
      offset: damage?.offset ?? tail?.offset ?? 0,
      error: damage,
    };
  }

  /**
   * Reads every frame of every segment that is kept, and checks that they follow each other. Of a log
   * that is a snapshot, every file is compared with the manifest too, unless it was written to since.
   * `onProgress` hears of each segment.
   */
  async verify(onProgress?: (done: number, segments: number) => void): Promise<WalReport> {
    // Each further round begins behind segments that a writer has removed meanwhile.
    for (let attempt = 1;; attempt++) {
      const first = this.firstLsn;
      try {
        const report = await this.#verifyOnce(onProgress);
        if (report.state !== "corrupt" || attempt === ATTEMPTS_MAX) return report;
        if (!(await this.#removedUpTo(first))) return report;
      } catch (error) {
        const removed = attempt < ATTEMPTS_MAX && await this.#removedUpTo(first);
        if (!(error instanceof IoError) || error.code !== "ENOENT" || !removed) throw error;
      }
    }
  }

  async #verifyOnce(
    onProgress?: (done: number, segments: number) => void,
  ): Promise<WalReport> {
    const buffer = this.#io.acquireBuffer(READER_BUFFER_BYTES);
    if (!buffer) throw new RangeError(`verifying needs ${READER_BUFFER_BYTES} bytes of the arena`);
    let last = this.firstLsn - 1;
    try {
      let before: SegmentScan | undefined;
      const kept = this.#sequences.filter((sequence) => sequence >= this.#meta.lowWaterSequence);
      for (let i = 0; i < kept.length; i++) {
        const scan: SegmentScan = await this.#pump.run(
          this.#verifySegment(kept[i], before, buffer, (lsn) => last = lsn),
        );
        before = scan;
        onProgress?.(i + 1, kept.length);
      }
      if (!this.#live && !this.#damage) {
        await this.#pump.run(checkManifest(this.#disk, this.#directory, this.#meta, buffer));
      }
    } catch (error) {
      return this.#report(this.#damageIn(error), last);
    } finally {
      this.#io.releaseBuffer(buffer);
    }
    return this.#report(this.#damage, this.#damage ? last : this.#lastLsn);
  }

  *#verifySegment(
    sequence: number,
    before: SegmentScan | undefined,
    buffer: IoBuffer,
    progress: (lastLsn: number) => void,
  ): Task<SegmentScan> {
    const disk = this.#disk;
    const path = joinPath(this.#directory, segmentName(sequence));
    const file = yield* disk.open(path, { read: true });
    try {
      const header = yield* requireHeader(disk, file, buffer, this.#meta, sequence);
      if (before) checkLink(before, header, path);
      const stat = yield* disk.stat(file);
      if (header.preallocated && stat.size < header.segmentBytes) {
        throw new WalCorruptionError(
          path,
          stat.size,
          `the file is cut short: it had ${header.segmentBytes} bytes before its first frame`,
        );
      }
      const epoch = this.#live ? Number.MAX_SAFE_INTEGER : this.#meta.epoch;
      const scan = new SegmentScan(disk, file, header, stat.size, epoch, buffer);
      // Where the end is damaged, the last record is the one before that.
      const last = this.#damage ? Number.MAX_SAFE_INTEGER : this.#lastLsn;
      while (scan.nextLsn <= last || sequence < this.#meta.activated) {
        if (!(yield* scan.next())) break;
        requireLengths(scan);
        progress(Math.min(scan.nextLsn - 1, last));
      }
      if (sequence === this.#meta.activated && scan.nextLsn <= this.#lastLsn) {
        throw new WalCorruptionError(
          path,
          scan.offset,
          `record ${scan.nextLsn} cannot be read, and ${this.#lastLsn} was durable`,
        );
      }
      return scan;
    } finally {
      yield* disk.close(file);
    }
  }

  /** Records of `[from, to)`, as `Wal.read`. Where the log is damaged, the records before it, then the error. */
  async *read(range: { from?: number; to?: number } = {}): AsyncGenerator<RecordBatch> {
    const { from = this.firstLsn } = range;
    checkLsn("from", from, 1);
    if (range.to !== undefined) checkLsn("to", range.to, 1);
    if (from < this.firstLsn) throw new LsnTooOldError(from, this.firstLsn);
    // META says that there is no segment, and there are.
    if (this.#damage && this.#sequences.length === 0) throw this.#damage;
    const buffer = this.#io.acquireBuffer(READER_BUFFER_BYTES);
    if (!buffer) throw new RangeError(`reading needs ${READER_BUFFER_BYTES} bytes of the arena`);
    // With damage at the end the true last record is not known: read until it is met.
    const last = this.#damage === undefined ? this.#lastLsn : Number.MAX_SAFE_INTEGER - 1;
    const to = Math.min(range.to ?? Infinity, last + 1);
    const reader = new LogReader(this.#source(last), from, to, buffer);
    try {
      for (;;) {
        const batch = await this.#pump.run(reader.next());
        if (!batch) return;
        yield batch;
      }
    } catch (error) {
      if (await this.#removedUpTo(reader.position)) {
        throw new LsnTooOldError(reader.position, this.firstLsn);
      }
      const damage = this.#damageIn(error);
      // What recovery says of the damage is more than what a reader runs into at the same place.
      throw this.#damage?.file === damage.file ? this.#damage : damage;
    } finally {
      await this.#pump.run(reader.close());
    }
  }

  /**
   * Records from `from` on (the oldest, if there is none), each when it is known to be durable, without
   * end: whoever writes the log now or later, also after a crash. Records that were appended just before
   * it and have no durable mark come with the next opening of the log, unless that cuts them. The lag
   * behind the writer is its idle mark (10 ms) and up to 50 ms more. Ends quietly when the view is
   * closed, and rejects with the signal's reason (`AbortError`) on abort, with `LsnTooOldError` when its
   * next record was removed, with `WalCorruptionError` behind the last record before damage.
   */
  tail(options: TailOptions = {}): AsyncGenerator<RecordBatch, void, undefined> {
    const open = () => openFollower(this.#directory, this.#io, options.from);
    const tail = new Following(open, options.signal, () => this.#tails.delete(tail));
    this.#tails.add(tail);
    return tail;
  }

  /**
   * Looks at META again: whether a writer has removed the record `lsn` meanwhile. What was read of its
   * file since then means nothing.
   */
  async #removedUpTo(lsn: number): Promise<boolean> {
    const buffer = this.#io.acquireBuffer(META_SLOT_BYTES);
    if (!buffer) return false;
    try {
      const { meta } = await this.#pump.run(lookAtMeta(this.#disk, this.#directory, buffer));
      this.#meta.lowWaterLsn = meta.lowWaterLsn;
      this.#meta.lowWaterSequence = meta.lowWaterSequence;
      return meta.lowWaterLsn > lsn;
    } finally {
      this.#io.releaseBuffer(buffer);
    }
  }

  /** What is damaged, when that is what an error says; throws any other error. */
  #damageIn(error: unknown): WalCorruptionError {
    if (error instanceof WalCorruptionError) return error;
    // A file that is missing was noticed before, perhaps as one of several; a reader runs into it in its own
    // way.
    const missing = error instanceof IoError && error.code === "ENOENT";
    if (missing && this.#damage) return this.#damage;
    throw error;
  }

  #source(lastLsn: number): ReadSource {
    // deno-lint-ignore no-this-alias
    const view = this;
    return {
      disk: this.#disk,
      directory: this.#directory,
      meta: this.#meta,
      foreignWriter: this.#live,
      firstLsn: this.firstLsn,
      lastLsn,
      *sequenceOf(lsn, buffer) {
        const sequences = view.#sequences;
        let low = 0;
        let high = sequences.length - 1;
        while (low < high) {
          const middle = (low + high + 1) >> 1;
          let first: number;
          try {
            first = yield* view.#firstLsnOf(sequences[middle], buffer);
          } catch (error) {
            // Below a damaged segment there may be records yet; the reader comes to it by itself.
            view.#damageIn(error);
            first = Infinity;
          }
          if (first <= lsn) low = middle;
          else high = middle - 1;
        }
        return sequences[low];
      },
      nextSequence: (sequence) => sequence < view.#meta.activated ? sequence + 1 : undefined,
      pin: () => {},
      unpin: () => {},
    };
  }

  *#firstLsnOf(sequence: number, buffer: IoBuffer): Task<number> {
    const known = this.#firstLsns.get(sequence);
    if (known !== undefined) return known;
    const file = yield* this.#disk.open(joinPath(this.#directory, segmentName(sequence)), {
      read: true,
    });
    try {
      const header = yield* requireHeader(this.#disk, file, buffer, this.#meta, sequence);
      this.#firstLsns.set(sequence, header.firstLsn);
      return header.firstLsn;
    } finally {
      yield* this.#disk.close(file);
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#tails].map((tail) => tail.return()));
    this.#io[Symbol.dispose]();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

interface Seen {
  meta: Meta;
  live: boolean;
  tail: Tail | undefined;
  lastLsn: number;
  damage: WalCorruptionError | undefined;
}

function* look(disk: Disk, directory: string, buffer: IoBuffer): Task<Seen> {
  let names: string[];
  try {
    names = disk.io.listDirectory(directory).map((entry) => entry.name);
  } catch (error) {
    if (error instanceof IoError && (error.code === "ENOENT" || error.code === "ENOTDIR")) {
      const detail = error.code === "ENOENT" ? "does not exist" : "is not a directory";
      throw new WalMissingError(directory, detail);
    }
    throw error;
  }
  if (!names.includes(META_NAME)) {
    const sequences = segmentsOf(names);
    if (sequences.length > 0) {
      throw new WalCorruptionError(
        joinPath(directory, META_NAME),
        0,
        `the file is missing, and ${segmentName(sequences[0])} is there`,
      );
    }
    throw new WalMissingError(directory, names.length === 0 ? "is empty" : "has no META file");
  }
  refuseDoubt(disk.io, directory, names);
  let failure: unknown;
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const live = yield* isLocked(disk, directory);
    try {
      const seen = yield* lookOnce(disk, directory, buffer, live);
      if (live && !seen.damage) return seen;
      // A writer that came, or came and went, meanwhile has changed what was seen.
      const same = !live && !(yield* isLocked(disk, directory)) &&
        (yield* lookAtMeta(disk, directory, buffer)).meta.counter === seen.meta.counter;
      if (same || (seen.damage && attempt === ATTEMPTS_MAX - 1)) return seen;
      failure = seen.damage ?? new IoError(
        `${directory} is opened for writing again and again`,
        "EBUSY",
        16,
        "view",
        directory,
      );
    } catch (error) {
      if (!live && !(yield* isLocked(disk, directory))) throw error;
      failure = error;
    }
    yield { sleepMillis: ATTEMPT_PAUSE_MILLIS };
  }
  throw failure;
}

/** Whether a writer has the log now. Shares the lock for a moment: others who look do not count. */
function* isLocked(disk: Disk, directory: string): Task<boolean> {
  const path = joinPath(directory, LOCK_NAME);
  if (!(yield* exists(disk, path))) return false;
  const file = yield* disk.open(path, { read: true });
  try {
    return disk.io.lock(file, "shared") === -EAGAIN;
  } finally {
    yield* disk.close(file);
  }
}

/** META as it is now; `settled` as it is on the device. */
function* lookAtMeta(
  disk: Disk,
  directory: string,
  buffer: IoBuffer,
  settled = false,
): Task<MetaReading> {
  const file = yield* disk.open(joinPath(directory, META_NAME), { read: true });
  try {
    if (settled) yield* settle(disk, file);
    return yield* readMeta(disk, file, buffer);
  } finally {
    yield* disk.close(file);
  }
}

/**
 * Nobody writes: what is read from here on is what the device has. What a killed writer left in the page
 * cache becomes durable, what a failed sync left there goes; contents do not change.
 */
export function* settle(disk: Disk, file: IoFile): Task<void> {
  try {
    yield* disk.fsync(file);
  } catch (error) {
    // A file system that is read-only has nothing to sync.
    const { code } = error as { code?: string };
    if (code !== "EROFS" && code !== "EINVAL" && code !== "EBADF") throw error;
  }
  yield* disk.dropCache(file);
}

function* lookOnce(
  disk: Disk,
  directory: string,
  buffer: IoBuffer,
  live: boolean,
): Task<Seen> {
  const { meta, damagedOffset } = yield* lookAtMeta(disk, directory, buffer, !live);
  const seen: Seen = { meta, live, tail: undefined, lastLsn: 0, damage: undefined };
  let file: IoFile | undefined;
  try {
    const sequences = segmentsOf(disk.io.listDirectory(directory).map((entry) => entry.name));
    requireSegments(directory, sequences, meta);
    if (!live) {
      for (const sequence of sequences) {
        if (sequence <= meta.activated) continue;
        const spare = yield* disk.open(joinPath(directory, segmentName(sequence)), { read: true });
        try {
          yield* judgeSpare(disk, spare, buffer, meta, sequence, directory, damagedOffset);
        } finally {
          yield* disk.close(spare);
        }
      }
    }
    if (meta.activated === 0) return seen;
    file = yield* disk.open(joinPath(directory, segmentName(meta.activated)), { read: true });
    if (!live) yield* settle(disk, file);
    const scan = yield* scanActivated(disk, file, buffer, meta);
    if (!live) {
      seen.tail = yield* findTail(scan, meta);
      seen.lastLsn = seen.tail.lastLsn;
    } else {
      // The header of the segment, and META, are marks too.
      seen.lastLsn = Math.max(scan.header.firstLsn - 1, durableOf(meta));
      while (yield* scan.next()) seen.lastLsn = Math.max(seen.lastLsn, scan.durableMark);
    }
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    seen.damage = error;
  } finally {
    if (file) yield* disk.close(file);
  }
  return seen;
}
