/**
 * The files of a log: the active segment, the spare that comes after it, those that can be recycled,
 * and those that are kept. Everything here is about files that hold no acknowledged records yet, or
 * none any more; the frames are the writer's.
 *
 * @module
 */

import { DSYNC, type Io, type IoBuffer, type IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { joinCrc } from "./crc_join.ts";
import { type Disk, joinPath } from "./disk.ts";
import { WalLockedError } from "./errors.ts";
import {
  encodeHeader,
  HEADER_COPIES,
  type SegmentHeader,
  segmentName,
  TEMPORARY_SUFFIX,
} from "./format.ts";
import type { MetaFile } from "./meta.ts";
import type { RetentionLimits } from "./options.ts";
import { requireHeader } from "./recovery.ts";

/** Files kept for recycling beside the spare; further ones are removed, unless they are pinned. */
export const POOL_MAX = 2;

/** What is the same for every segment of an open log. */
export interface SegmentPlan {
  readonly directory: string;
  readonly segmentBytes: number;
  readonly commitUnitBytes: number;
  readonly windowBytes: number;
  /** Decided before the first file is opened for writing. */
  direct: boolean;
  readonly preallocate: boolean;
  /** Blocks that are reserved need not be zeroed. */
  readonly reserve: boolean;
  /** Blocks that a file has stay its own: overwriting needs no space. */
  readonly reserved: boolean;
}

/** A segment that frames go to. `file` is locked, open for writing, and owned by `Segments`. */
export interface ActiveSegment {
  readonly file: IoFile;
  readonly header: SegmentHeader;
  /** Offset of the next frame. */
  offset: number;
  /** CRC32C of the bytes from `checkedFrom` to `offset`; the writer keeps it up. */
  crc: number;
  /** 0, or where writing went on in a log that was closed before. */
  readonly checkedFrom: number;
}

/** A segment that nothing is written to any more; every record in it is durable. */
export interface ClosedSegment {
  /** Name of the file in the log's directory, and its path. */
  readonly name: string;
  readonly path: string;
  /** The number in its name. */
  readonly sequence: number;
  /** Its records, both inclusive. */
  readonly firstLsn: number;
  readonly lastLsn: number;
  /** Bytes from the start of the file that belong to the log; what is behind them does not count. */
  readonly bytes: number;
  /**
   * CRC32C of these bytes; `undefined` when a part of them, written before the log was opened, could not
   * be read again.
   */
  readonly crc32c: number | undefined;
}

/**
 * Keeps the files of segments while somebody reads them: a reader the one it is in, a snapshot all that
 * it copies. Truncation and retention do not wait for a pin: the records of a pinned segment count as
 * removed as soon as META says so. But its file keeps its name and its bytes until the last pin is off;
 * only then it is recycled or removed.
 */
export interface Pins {
  /**
   * Adds a pin to a segment that is kept now (it stands in `kept`, or its records are not below the
   * low-water LSN): between looking and pinning nothing may have waited.
   */
  pin(sequence: number): void;
  /** Takes one off. In any order, once for each `pin`. */
  unpin(sequence: number): void;
}

/** A segment whose records are kept. */
export interface KeptSegment {
  readonly sequence: number;
  /** LSN of its first record, `undefined` until its header was read; so are the others. */
  firstLsn: number | undefined;
  /** Bytes that the file may take. */
  bytes?: number;
  /** When writing to it began, milliseconds since 1970. */
  activatedMillis?: number;
}

interface Spare {
  readonly sequence: number;
  readonly file: IoFile;
}

/** Bytes that are read at once to checksum what was written before the log was opened. */
const CHECK_BYTES = 65_536;

/** Owns the files of one open log. Borrows three buffers for as long as it is open. */
export class Segments implements Pins {
  readonly plan: SegmentPlan;
  readonly #disk: Disk;
  readonly #io: Io;
  readonly #meta: MetaFile;
  readonly #headerBuffer: IoBuffer;
  readonly #zeroBuffer: IoBuffer;
  /** Of whoever has the turn to let go of segments. */
  readonly #scratch: IoBuffer;
  /** Low-water segment first, active one last. */
  readonly kept: KeptSegment[] = [];
  /**
   * Sequences in the names of files that may be reused when they are not pinned, the next spare's own
   * name first of all.
   */
  readonly #pool: number[] = [];
  /** Of these, since there was a spare last: with those something has failed. */
  readonly #failedOnce = new Set<number>();
  readonly #pins = new Map<number, number>();
  #active: ActiveSegment | undefined;
  #spare: Spare | undefined;
  #activated: { file: IoFile; header: SegmentHeader } | undefined;
  #preparing = false;
  #closed = false;
  #limits: RetentionLimits | undefined;
  #retaining = false;
  #retainAgain = false;
  /** Those who let go of segments take turns. */
  #letting = false;
  readonly #turns: (() => void)[] = [];
  /** Wall clock, in milliseconds, at which a segment will be older than retention allows. */
  retainAtMillis = Infinity;
  /** Why retention could not let go of what it should, when it tried last. */
  retentionFailure: Error | undefined;
  /** Segments that were begun, fresh files that were made, and older ones that were used again. */
  begun = 0;
  /** Segments of an earlier opening whose holes were filled. */
  refilled = 0;
  created = 0;
  recycled = 0;
  /** Why the last attempt at a spare failed, and how many did. */
  failure: Error | undefined;
  failures = 0;
  /** Called when a spare is ready, and when making one failed. */
  onSpare: () => void = () => {};
  /** Called when making a spare failed in the background, with the reason. */
  onFailure: (error: Error) => void = () => {};
  /** Called when META could not be written: what it says is unknown. */
  onMetaFailure: (error: unknown) => void = () => {};
  /** Called when nothing is written to a segment any more. */
  onClosed: (segment: ClosedSegment) => void = () => {};

  constructor(
    disk: Disk,
    meta: MetaFile,
    plan: SegmentPlan,
    headerBuffer: IoBuffer,
    zeroBuffer: IoBuffer,
    scratch: IoBuffer,
  ) {
    this.#disk = disk;
    this.#io = disk.io;
    this.#meta = meta;
    this.plan = plan;
    this.#headerBuffer = headerBuffer;
    this.#zeroBuffer = zeroBuffer;
    this.#scratch = scratch;
    zeroBuffer.bytes.fill(0);
  }

  /** The segment that frames go to; `undefined` until the first one is activated. */
  get active(): ActiveSegment | undefined {
    return this.#active;
  }

  get spareReady(): boolean {
    return this.#spare !== undefined;
  }

  /** The next segment has its header, and META does not name it for certain. */
  get activating(): boolean {
    return this.#activated !== undefined;
  }

  get preparing(): boolean {
    return this.#preparing;
  }

  path(sequence: number): string {
    return joinPath(this.plan.directory, segmentName(sequence));
  }

  /** Takes over a segment that recovery found unfinished in a cleanly closed log. */
  resume(file: IoFile, header: SegmentHeader, offset: number): void {
    this.#active = { file, header, offset, crc: 0, checkedFrom: offset };
  }

  /** Begins the background work, and keeps to `limits` from now on. */
  start(limits: RetentionLimits | undefined): void {
    this.#limits = limits;
    this.makeRoom();
  }

  /** Lets retention free files, if it may, and makes the next spare. */
  makeRoom(): void {
    const limits = this.#limits;
    if (!limits) {
      this.ensureSpare();
      return;
    }
    if (this.#closed) return;
    if (this.#retaining) {
      this.#retainAgain = true;
      return;
    }
    this.#retaining = true;
    this.#retainAgain = false;
    this.retainAtMillis = Infinity;
    const ended = (failure: Error | undefined) => {
      this.#retaining = false;
      this.retentionFailure = failure;
      // A segment was begun meanwhile.
      if (this.#retainAgain && failure === undefined) this.makeRoom();
      else this.ensureSpare();
    };
    this.#disk.pump.spawn(
      this.#retain(limits),
      () => ended(undefined),
      (error) => ended(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** Tells of a file that is no part of the log any more, or not yet. */
  offer(sequence: number): void {
    this.#pool.push(sequence);
  }

  /** Opens a segment for writing and locks its description. */
  *openForWriting(sequence: number, deadlineMicros: number): Task<IoFile> {
    const file = yield* this.#disk.open(this.path(sequence), {
      read: true,
      write: true,
      direct: this.plan.direct,
    });
    let locked: boolean;
    try {
      locked = yield* this.#disk.lock(file, deadlineMicros);
    } catch (error) {
      yield* this.#disk.close(file);
      throw error;
    }
    if (locked) return file;
    yield* this.#disk.close(file);
    throw new WalLockedError(
      this.plan.directory,
      "a writer that was killed and still has writes in flight",
    );
  }

  /** Starts making the next spare in the background, unless there is one. */
  ensureSpare(): void {
    // While one is being activated its name is taken, and META does not say so yet.
    if (this.#spare || this.#activated || this.#preparing || this.#closed) return;
    this.#preparing = true;
    this.#disk.pump.spawn(this.prepareSpare(0), () => {
      this.#preparing = false;
      this.onSpare();
    }, (error) => {
      this.#preparing = false;
      this.failure = error instanceof Error ? error : new Error(String(error));
      this.failures++;
      this.onFailure(this.failure);
      this.onSpare();
    });
  }

  /**
   * Makes the spare: a leftover with the right name, a recycled file, or a fresh one. A failure
   * leaves no half-made file under a segment's name.
   */
  *prepareSpare(deadlineMicros: number): Task<void> {
    const sequence = yield* this.#provideSpare();
    let file: IoFile;
    try {
      file = yield* this.openForWriting(sequence, deadlineMicros);
    } catch (error) {
      this.#giveBack(sequence, error);
      throw error;
    }
    if (this.#closed) {
      yield* this.#disk.close(file);
      return;
    }
    this.#spare = { sequence, file };
    this.#failedOnce.clear();
    this.failure = undefined;
  }

  /**
   * Makes the file of the next spare and gives its path, a temporary one: writes of a process that is
   * killed meanwhile may land late, in a file that the next opening then has removed. {@linkcode putSpare}
   * ends it.
   */
  *lendSpare(): Task<string> {
    const path = this.path(yield* this.#provideSpare());
    const temporary = path + TEMPORARY_SUFFIX;
    yield* this.#disk.rename(path, temporary);
    return temporary;
  }

  /** Takes what {@linkcode lendSpare} gave for the next spare; or removes it, when a write to it failed. */
  *putSpare(temporary: string, whole: boolean): Task<void> {
    const sequence = this.#meta.meta.activated + 1;
    if (!whole) {
      yield* this.#disk.remove(temporary);
      return;
    }
    yield* this.#disk.rename(temporary, this.path(sequence));
    yield* this.#disk.syncDirectory(this.plan.directory);
    this.#pool.push(sequence);
  }

  /** Finds or makes the file of the next spare, under its name; gives its sequence. */
  *#provideSpare(): Task<number> {
    const sequence = this.#meta.meta.activated + 1;
    const path = this.path(sequence);
    let found = false;
    // Bounded by the pool.
    while (!found) {
      const candidate = this.#takeReusable(sequence);
      if (candidate === undefined) break;
      const from = this.path(candidate);
      let renamed = false;
      try {
        if (yield* this.#isReusable(from)) {
          if (candidate !== sequence) {
            yield* this.#disk.rename(from, path);
            renamed = true;
            yield* this.#disk.syncDirectory(this.plan.directory);
            this.recycled++;
          }
          found = true;
        } else {
          yield* this.#disk.remove(from);
        }
      } catch (error) {
        // Before it was renamed it can serve at the next attempt. With a name that could not be synced it
        // never can: who finds it would take the name for durable.
        if (renamed) yield* this.#discard(path);
        else this.#giveBack(candidate, error);
        throw error;
      }
    }
    if (!found) yield* this.#create(path);
    return sequence;
  }

  /** A file with which something failed gets one more chance, unless it is gone; then a fresh one is made. */
  #giveBack(sequence: number, error: unknown): void {
    const gone = (error as { code?: string }).code === "ENOENT";
    if (gone || this.#failedOnce.has(sequence)) return;
    this.#failedOnce.add(sequence);
    this.#pool.push(sequence);
  }

  /** Removes a file if it can be; the next spare is renamed over it otherwise. */
  *#discard(path: string): Task<void> {
    try {
      yield* this.#disk.remove(path);
    } catch { /* said above */ }
  }

  /** Takes a file that nobody reads out of the pool: the one that has the name already, or the oldest. */
  #takeReusable(sequence: number): number | undefined {
    let at = this.#pool.indexOf(sequence);
    if (at < 0) at = this.#pool.findIndex((other) => !this.#pins.has(other));
    return at < 0 ? undefined : this.#pool.splice(at, 1)[0];
  }

  *#isReusable(path: string): Task<boolean> {
    if (!this.plan.preallocate) return false;
    const stat = yield* this.#disk.stat(path);
    if (!stat.isFile || stat.size !== this.plan.segmentBytes) return false;
    // A file with holes (a sparse copy) would allocate while it is written. Where overwriting allocates
    // in any case, or zeros are not stored, the number says nothing.
    return !this.plan.reserved || stat.allocatedBytes >= stat.size;
  }

  /** A fresh file under a temporary name: zeroed, synced, renamed, directory synced. */
  *#create(path: string): Task<void> {
    const temporary = path + TEMPORARY_SUFFIX;
    const size = this.plan.segmentBytes;
    const file = yield* this.#disk.openNew(temporary, this.plan.direct);
    let open = true;
    try {
      this.#io.noCopyOnWrite(file);
      if (this.plan.preallocate) {
        yield* this.#disk.allocate(file, 0, size);
        // Where nothing could be reserved the file is still empty.
        const reserved = this.plan.reserve && (yield* this.#disk.stat(file)).size === size;
        if (!reserved) yield* this.#zero(file, 0, size);
      }
      yield* this.#disk.fsync(file);
      open = false;
      yield* this.#disk.close(file);
      if (this.#closed) {
        yield* this.#disk.remove(temporary);
        return;
      }
      yield* this.#disk.rename(temporary, path);
      yield* this.#disk.syncDirectory(this.plan.directory);
      this.created++;
    } catch (error) {
      if (open) yield* this.#disk.close(file);
      yield* this.#disk.remove(temporary);
      throw error;
    }
  }

  /**
   * Fills the holes of a segment that was closed before, behind its last frame at `from`: a sparse copy
   * has no blocks where zeros were. Frames would find out too late that there is no space.
   */
  *refill(file: IoFile, from: number): Task<void> {
    const { plan } = this;
    if (!plan.preallocate || !plan.reserved) return;
    const stat = yield* this.#disk.stat(file);
    if (stat.allocatedBytes >= stat.size) return;
    yield* this.#disk.allocate(file, from, stat.size - from);
    // Where nothing could be reserved the holes are there still.
    const reserved = plan.reserve && (yield* this.#disk.stat(file)).allocatedBytes >= stat.size;
    if (!reserved) yield* this.#zero(file, from, stat.size);
    yield* this.#disk.fsync(file);
    this.refilled++;
  }

  *#zero(file: IoFile, from: number, size: number): Task<void> {
    const zeros = this.#zeroBuffer;
    const unit = this.plan.direct ? this.plan.commitUnitBytes : 1;
    for (let offset = from; offset < size && !this.#closed;) {
      const length = Math.min(zeros.length, size - offset);
      yield* this.#disk.write(file, zeros, 0, length, offset, 0, unit);
      offset += length;
    }
  }

  /**
   * Gives the spare its header, durably; then, when every frame of the segment before is durable (which
   * `drained` waits for), lets META name it as activated, durably. So the segment that META names is the
   * only one with an unfinished tail. Frames may be submitted to it after {@linkcode advance}.
   *
   * A failure of the header is one of a spare: the file is removed, and `false` is given. A failure of
   * META throws: what it says is unknown then.
   */
  *activate(
    previousLsn: number,
    previousChain: number,
    drained: () => Task<void>,
  ): Task<boolean> {
    const spare = this.#spare!;
    const plan = this.plan;
    const salt = new Uint8Array(8);
    this.#io.random(salt);
    const meta = this.#meta.meta;
    const header: SegmentHeader = {
      uuid: meta.uuid,
      sequence: spare.sequence,
      firstLsn: previousLsn + 1,
      salt,
      commitUnitBytes: plan.commitUnitBytes,
      windowBytes: plan.windowBytes,
      segmentBytes: plan.segmentBytes,
      previousSequence: spare.sequence - 1,
      previousLsn,
      previousChain,
      epoch: meta.epoch,
      activatedMillis: Math.max(0, Math.floor(this.#io.wallClock())),
      preallocated: plan.preallocate,
    };
    encodeHeader(this.#headerBuffer.bytes, header, (data, seed) => this.#io.crc32c(data, seed));
    const bytes = HEADER_COPIES * plan.commitUnitBytes;
    try {
      yield* this.#disk.write(
        spare.file,
        this.#headerBuffer,
        0,
        bytes,
        0,
        DSYNC,
        plan.commitUnitBytes,
      );
      if (plan.direct && !this.#io.reservedDsync) yield* this.#disk.fdatasync(spare.file);
    } catch (error) {
      this.failure = error as Error;
      this.failures++;
      // It is the spare until its name is free: another one would be removed in its place.
      yield* this.#disk.close(spare.file);
      try {
        yield* this.#disk.remove(this.path(spare.sequence));
      } catch { /* the next spare is renamed over it */ }
      this.#spare = undefined;
      return false;
    }
    this.#spare = undefined;
    this.#activated = { file: spare.file, header };
    yield* drained();
    yield* this.#meta.update({ activated: spare.sequence });
    return true;
  }

  /** Makes the activated segment the active one. */
  advance(): void {
    const { file, header } = this.#activated!;
    this.#activated = undefined;
    this.begun++;
    const old = this.#active;
    const bytes = HEADER_COPIES * header.commitUnitBytes;
    const crc = this.#io.crc32cBuffer(this.#headerBuffer, 0, bytes);
    this.#active = { file, header, offset: bytes, crc, checkedFrom: 0 };
    this.kept.push({
      sequence: header.sequence,
      firstLsn: header.firstLsn,
      bytes: header.segmentBytes,
      activatedMillis: header.activatedMillis,
    });
    if (old) {
      this.#disk.pump.spawn(this.#disk.close(old.file), () => {}, () => {});
      this.#tellClosed(old, header.previousLsn);
    }
    this.makeRoom();
  }

  #tellClosed(old: ActiveSegment, lastLsn: number): void {
    const { sequence, firstLsn } = old.header;
    const tell = (crc32c: number | undefined) =>
      this.onClosed({
        name: segmentName(sequence),
        path: this.path(sequence),
        sequence,
        firstLsn,
        lastLsn,
        bytes: old.offset,
        crc32c,
      });
    if (old.checkedFrom === 0) {
      tell(old.crc);
      return;
    }
    const buffer = this.#io.acquireBuffer(CHECK_BYTES);
    if (!buffer) {
      tell(undefined);
      return;
    }
    this.pin(sequence);
    const end = (crc: number | undefined) => {
      this.#io.releaseBuffer(buffer);
      this.unpin(sequence);
      tell(crc === undefined ? undefined : joinCrc(crc, old.crc, old.offset - old.checkedFrom));
    };
    const task = this.#checksum(this.path(sequence), old.checkedFrom, buffer);
    this.#disk.pump.spawn(task, end, () => end(undefined));
  }

  /** CRC32C of the first `length` bytes of a file, or `undefined` when it is shorter. */
  *#checksum(path: string, length: number, buffer: IoBuffer): Task<number | undefined> {
    const file = yield* this.#disk.open(path, { read: true });
    try {
      let crc = 0;
      for (let offset = 0; offset < length;) {
        const piece = Math.min(buffer.length, length - offset);
        const got = yield* this.#disk.read(file, buffer, 0, piece, offset);
        if (got < piece) return undefined;
        crc = this.#io.crc32cBuffer(buffer, 0, piece, crc);
        offset += piece;
      }
      return crc;
    } finally {
      yield* this.#disk.close(file);
    }
  }

  pin(sequence: number): void {
    this.#pins.set(sequence, (this.#pins.get(sequence) ?? 0) + 1);
  }

  unpin(sequence: number): void {
    const count = this.#pins.get(sequence) ?? 0;
    if (count > 1) {
      this.#pins.set(sequence, count - 1);
      return;
    }
    this.#pins.delete(sequence);
    if (this.#pool.includes(sequence)) this.#disk.pump.spawn(this.#trim(), () => {}, () => {});
  }

  /** LSN of the first record of a kept segment; reads its header when it is not known yet. */
  *firstLsnOf(segment: KeptSegment, buffer: IoBuffer): Task<number> {
    if (segment.firstLsn === undefined) yield* this.#describe(segment, buffer);
    return segment.firstLsn!;
  }

  /** Reads the header of a kept segment. */
  *#describe(segment: KeptSegment, buffer: IoBuffer): Task<void> {
    const file = yield* this.#disk.open(this.path(segment.sequence), { read: true });
    try {
      const { meta } = this.#meta;
      const header = yield* requireHeader(this.#disk, file, buffer, meta, segment.sequence);
      segment.firstLsn = header.firstLsn;
      segment.bytes = header.segmentBytes;
      segment.activatedMillis = header.activatedMillis;
    } finally {
      yield* this.#disk.close(file);
    }
  }

  /** The segment that holds `lsn`, or would; by binary search. */
  *segmentOf(lsn: number, buffer: IoBuffer): Task<KeptSegment> {
    // Segments may be let go of while headers are read: what was found is looked at again.
    for (;;) {
      const kept = [...this.kept];
      let low = 0;
      let high = kept.length - 1;
      let gone = false;
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        let first: number;
        try {
          first = yield* this.firstLsnOf(kept[middle], buffer);
        } catch (error) {
          if (this.kept.includes(kept[middle])) throw error;
          gone = true;
          break;
        }
        if (first <= lsn) low = middle;
        else high = middle - 1;
      }
      if (!gone && this.kept.includes(kept[low])) return kept[low];
      if (this.kept.length > 0 && (this.kept[0].firstLsn ?? 0) > lsn) return this.kept[0];
    }
  }

  /** Removes every record before `lsn`, which is durable or the next one. */
  *truncate(lsn: number): Task<void> {
    yield* this.#takeTurn();
    try {
      if (lsn > this.#meta.meta.lowWaterLsn) {
        const segment = yield* this.segmentOf(lsn, this.#scratch);
        yield* this.#release(lsn, segment);
      }
    } finally {
      this.#endTurn();
    }
    this.ensureSpare();
  }

  /**
   * Lets go of the oldest segments, whole ones, as far as the limits want it; never of the one that is
   * written to.
   */
  *#retain(limits: RetentionLimits): Task<void> {
    yield* this.#takeTurn();
    try {
      const kept = [...this.kept];
      const last = kept.length - 1;
      let first = Math.max(0, kept.length - limits.maxSegments);
      if (limits.maxBytes !== Infinity) {
        let bytes = 0;
        for (let i = last; i >= first && !this.#closed; i--) {
          if (kept[i].bytes === undefined) yield* this.#describe(kept[i], this.#scratch);
          bytes += kept[i].bytes!;
          if (bytes > limits.maxBytes && i < last) first = i + 1;
        }
      }
      if (limits.maxAgeMillis !== Infinity) {
        // The last record of a segment is as old as the next segment, or older.
        for (; first < last && !this.#closed; first++) {
          const next = kept[first + 1];
          if (next.activatedMillis === undefined) yield* this.#describe(next, this.#scratch);
          const until = next.activatedMillis! + limits.maxAgeMillis;
          if (until > this.#io.wallClock()) {
            this.retainAtMillis = until;
            break;
          }
        }
      }
      if (first > 0 && !this.#closed) {
        const lsn = yield* this.firstLsnOf(kept[first], this.#scratch);
        yield* this.#release(lsn, kept[first]);
      }
    } finally {
      this.#endTurn();
    }
  }

  *#takeTurn(): Task<void> {
    while (this.#letting) yield { until: (resume) => this.#turns.push(resume) };
    this.#letting = true;
  }

  #endTurn(): void {
    this.#letting = false;
    this.#turns.shift()?.();
  }

  /** Lets go of every segment before this one, after META has said so durably. */
  *#release(lsn: number, segment: KeptSegment): Task<void> {
    const sequence = segment.sequence;
    try {
      yield* this.#meta.update({ lowWaterLsn: lsn, lowWaterSequence: sequence });
    } catch (error) {
      this.onMetaFailure(error);
      throw error;
    }
    while (this.kept.length > 1 && this.kept[0].sequence < sequence) {
      this.#pool.push(this.kept.shift()!.sequence);
    }
    yield* this.#trim();
  }

  /** Removes what the pool need not keep, in rising order, except for what is pinned. */
  *#trim(): Task<void> {
    const most = this.plan.preallocate ? POOL_MAX : 0;
    // Ends with the pool: each turn takes a file out of it. Others may do so meanwhile.
    for (;;) {
      // What has the name of the next spare is about to be one.
      const { activated } = this.#meta.meta;
      const idle = this.#pool.filter((name) => name <= activated && !this.#pins.has(name));
      if (idle.length <= most) return;
      const sequence = idle[most];
      this.#pool.splice(this.#pool.indexOf(sequence), 1);
      // A file that stays behind lies below the low-water mark: the next open removes it.
      try {
        yield* this.#disk.remove(this.path(sequence));
      } catch { /* said above */ }
    }
  }

  /** Ends the background work; a spare that is not whole is removed. */
  *quiesce(): Task<void> {
    this.#closed = true;
    // The background task sees `#closed` at its next step.
    while (this.#preparing) {
      yield {
        until: (resume) => {
          const before = this.onSpare;
          this.onSpare = () => {
            before();
            resume();
          };
        },
      };
    }
    yield* this.#takeTurn();
    this.#endTurn();
  }

  /** Closes every file. The writer has nothing in flight any more. */
  *close(): Task<void> {
    yield* this.quiesce();
    for (const file of [this.#active?.file, this.#spare?.file, this.#activated?.file]) {
      if (file) yield* this.#disk.close(file);
    }
    this.#active = undefined;
    this.#spare = undefined;
    this.#activated = undefined;
  }
}
