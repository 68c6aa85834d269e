/**
 * A log that acknowledges a record only when it survives a power cut.
 *
 * @module
 */

import type { Io } from "../io/io.ts";
import type { ClosedSegment } from "./segments.ts";
import { openIo } from "../io/open_io.ts";
import type { HistogramSummary } from "../io/histogram.ts";
import { Pump, type Task } from "../io/pump.ts";
import { Disk } from "./disk.ts";
import { leavesDoubt, markDoubt } from "./doubt.ts";
import {
  LsnTooOldError,
  WalClosedError,
  WalFullError,
  WalOptionsError,
  WalPoisonedError,
  WalRecordTooLargeError,
} from "./errors.ts";
import { COMMIT_UNIT_USUAL_BYTES, HEADER_COPIES } from "./format.ts";
import { type LogBuffers, type OpenedLog, openLog, type WalRecovery } from "./open.ts";
import { settingsOf, type WalOptions, type WalSettings } from "./options.ts";
import { checkLsn, LogReader, READER_BUFFER_BYTES, type ReadSource } from "./reader.ts";
import type { RecordBatch } from "./records.ts";
import { type SnapshotManifest, takeSnapshot } from "./snapshot.ts";
import { Tail, type TailFeed, type TailOptions } from "./tail.ts";
import { RESERVED_HANDLES, Writer } from "./writer.ts";

/** Bytes beside the frames that a log needs of the arena: zeros, headers, META. */
const RESERVE_BYTES = 262_144;
const META_BUFFER_BYTES = 4096;
const HEADER_BUFFER_BYTES = HEADER_COPIES * COMMIT_UNIT_USUAL_BYTES;
const ZERO_BUFFER_BYTES = 131_072;
/** Zeros that are written at once where the arena has plenty of room: beyond it no disk gets faster. */
const ZERO_BUFFER_LARGE_BYTES = 1 << 20;
const SCRATCH_BUFFER_BYTES = 16_384;
/** What a snapshot copies through, where the arena has as much. */
const SNAPSHOT_BUFFER_BYTES = 1 << 20;

/** Numbers of a log since it was opened. */
export interface WalStats {
  /** Records that were appended, and their bytes without any overhead. */
  readonly records: number;
  readonly bytes: number;
  /** Appended and not durable yet. */
  readonly pendingRecords: number;
  readonly pendingBytes: number;
  /** Frames written, among them marks without records, and bytes written for them. */
  readonly frames: number;
  readonly marks: number;
  readonly diskBytes: number;
  /** Bytes written in all: also headers, META, and the zeros of fresh segments. */
  readonly writtenBytes: number;
  /** `writtenBytes` for each byte of the records; 0 before the first one. */
  readonly writeAmplification: number;
  /** fdatasync calls (buffered mode). */
  readonly syncs: number;
  /** Writes and syncs of frames that were handed to the device. */
  readonly operations: number;
  /** The segment that is written to (0: none yet), and where in it the next frame goes. */
  readonly segment: number;
  readonly offset: number;
  readonly framesInFlight: number;
  /** Of commits: microseconds from the append of their first record until they were durable. */
  readonly latencyMicros: HistogramSummary;
  /** Of commits: their records, and their bytes on disk. */
  readonly commitRecords: HistogramSummary;
  readonly commitBytes: HistogramSummary;
  /** How it writes, and why so. */
  readonly mode: "direct" | "buffered";
  readonly modeReason: string;
  readonly backend: "uring" | "sync" | "memory";
  /** Whether its buffers are pinned for the kernel, which saves it work with every write. */
  readonly registered: boolean;
  /** As {@linkcode Wal.durability}. */
  readonly durability: "verified" | "unverified";
  /**
   * `reserved`: segments have their space before they are written, so that a full disk is back-pressure
   * on an undamaged log. `none`: a write in the middle of a segment can find no space, and poisons.
   */
  readonly preallocation: "reserved" | "none";
  readonly preallocationReason: string;
  /** Segments that are kept, and those that were begun since the log was opened. */
  readonly segments: number;
  readonly segmentsBegun: number;
  /** Files for them that were made, and older ones that were used again. */
  readonly segmentsCreated: number;
  readonly segmentsRecycled: number;
  /** Files from before whose holes were filled when the log was opened: sparse copies. */
  readonly segmentsRefilled: number;
  /** Whether there is a segment to write to. Not while the disk has been full since the log was opened. */
  readonly segmentReady: boolean;
  /** Whether the next one is ready too. */
  readonly spareReady: boolean;
  /** How often no spare could be made, and why, when the last attempt failed. */
  readonly spareFailures: number;
  readonly spareFailure: string | undefined;
  /** Why retention could not remove what it should, when it tried last. */
  readonly retentionFailure: string | undefined;
}

/** A range of LSNs: `from` inclusive, `to` exclusive. */
export interface ReadRange {
  /** Default: the oldest record that is kept. */
  from?: number;
  /** Default: behind the record that is durable now. */
  to?: number;
}

/** Records read synchronously, batch by batch. */
export interface WalCursor extends Disposable {
  /** The next batch, or `undefined` at the end of the range. Its views hold until the next call. */
  next(): RecordBatch | undefined;
  close(): void;
}

/** Bytes of a record that is neither text nor an `Uint8Array`. */
function asRecord(record: unknown): Uint8Array | string {
  if (typeof record === "string") return record;
  let bytes: Uint8Array;
  if (record instanceof Uint8Array) bytes = record;
  else if (ArrayBuffer.isView(record)) {
    bytes = new Uint8Array(record.buffer, record.byteOffset, record.byteLength);
  } else throw new TypeError("a record is a string or an Uint8Array");
  if (bytes.byteLength === 0) checkThere(bytes);
  return bytes;
}

const NOTHING = new Uint8Array(0);

/** A view whose memory is gone has no bytes either, and is no empty record. */
function checkThere(bytes: Uint8Array): void {
  try {
    NOTHING.set(bytes);
  } catch (cause) {
    throw new TypeError("the memory of a record was transferred away, or was made smaller", {
      cause,
    });
  }
}

/** What a log tells of by events; `detail` of each is the value. */
export interface WalEventMap {
  /** Nothing is written to a segment any more: its name, records, bytes and CRC32C, to be shipped elsewhere. */
  segmentClosed: CustomEvent<ClosedSegment>;
  /** The next segment could not be made; the log is undamaged, and tries again. */
  spareFailed: CustomEvent<Error>;
  /** A write or sync failed: nothing is appended or acknowledged any more. */
  poisoned: CustomEvent<WalPoisonedError>;
}

/**
 * An open log. One writer at a time has a directory; records are numbered by LSN from 1, without
 * holes. An LSN is *appended* when `append` returned it, and *durable* when `durableLsn` has reached it.
 *
 * @example
 * ```ts
 * import { Wal } from "@uring/io/wal";
 *
 * await using wal = await Wal.open("/var/tmp/example-log");
 * const lsn = wal.append("hello");
 * await wal.durable(lsn); // survives a power cut from here on
 * for await (const batch of wal.read()) {
 *   for (let i = 0; i < batch.length; i++) console.log(batch.firstLsn + i, batch.text(i));
 * }
 * ```
 *
 * Events (`addEventListener`): `segmentClosed`, `spareFailed` and `poisoned`, see {@linkcode WalEventMap}.
 * They come from a microtask of their own, so that a listener may call the log.
 */
export class Wal extends EventTarget implements AsyncDisposable {
  readonly #directory: string;
  readonly #io: Io;
  /** The Io to dispose of with the log, when the log opened it. */
  readonly #ownIo: Io | undefined;
  readonly #pump: Pump;
  readonly #disk: Disk;
  readonly #buffers: LogBuffers;
  readonly #log: OpenedLog;
  readonly #writer: Writer;
  readonly #maxRecordBytes: number;
  readonly #source: ReadSource;
  readonly #readers = new Set<LogReader>();
  /** Tails that wait, and what wakes them. */
  readonly #followers = new Map<LogReader, () => void>();
  /** Snapshots under way. */
  readonly #snapshots = new Set<Promise<unknown>>();
  /** Settles when every truncation so far has ended. */
  #truncating: Promise<void> = Promise.resolve();
  #closing: Promise<void> | undefined;
  #closed = false;

  private constructor(
    directory: string,
    ownIo: Io | undefined,
    pump: Pump,
    disk: Disk,
    buffers: LogBuffers,
    log: OpenedLog,
    settings: WalSettings,
    onWriter: (writer: Writer) => void,
  ) {
    super();
    this.#directory = directory;
    this.#ownIo = ownIo;
    this.#pump = pump;
    this.#io = pump.io;
    this.#disk = disk;
    this.#buffers = buffers;
    this.#log = log;
    this.#writer = new Writer({
      io: pump.io,
      pump,
      segments: log.segments,
      buffers: buffers.frames,
      maxDelayMicros: settings.maxDelayMicros,
      dsync: log.direct && pump.io.reservedDsync,
      epoch: log.meta.meta.epoch,
      lastLsn: log.lastLsn,
      chain: log.chain,
      idleMarkMillis: settings.idleMarkMillis,
      onPoison: (error) => {
        if (leavesDoubt(this.#io, error.cause)) {
          pump.spawn(markDoubt(disk, directory), () => {}, () => {});
        }
        queueMicrotask(() => this.dispatchEvent(new CustomEvent("poisoned", { detail: error })));
      },
    });
    onWriter(this.#writer);
    this.#maxRecordBytes = settings.maxRecordBytes ?? this.#writer.maxRecordBytes;
    this.#source = this.#readSource();
    // Not from where they happen: completions are being handed out, and a listener may want to wait or
    // read.
    const tell = (type: string, detail: unknown) =>
      queueMicrotask(() => this.dispatchEvent(new CustomEvent(type, { detail })));
    log.segments.onMetaFailure = (error) => this.#writer.fail("META could not be written", error);
    log.segments.onClosed = (segment) => tell("segmentClosed", segment);
    log.segments.onFailure = (error) => tell("spareFailed", error);
    log.segments.start(settings.retention);
  }

  /**
   * Opens the log in `directory`, or creates it (with the directories above it), and recovers it.
   *
   * @throws {WalLockedError} another writer has it
   * @throws {WalCorruptionError} bytes are not what was written; nothing was changed
   * @throws {WalOptionsError} an option makes no sense, or not here; nothing was changed
   * @throws {IoError} the kernel refused something; `code`, path
   */
  static async open(directory: string, options: WalOptions = {}): Promise<Wal> {
    if (typeof directory !== "string" || directory === "") {
      throw new WalOptionsError("the directory of a log is a path");
    }
    const settings = settingsOf(options);
    const ownIo = options.io ? undefined : await openIo();
    const parent = options.io ?? ownIo!;
    let client: Io | undefined;
    let buffers: LogBuffers | undefined;
    try {
      const own = parent.client(`wal ${directory}`);
      client = own;
      buffers = reserve(own, settings);
      let writer: Writer | undefined;
      const pump = new Pump(
        own,
        RESERVED_HANDLES,
        (handle, res) => writer!.completed(handle, res),
        (error) => writer?.abandon(error),
      );
      const disk = new Disk(pump, settings.unsafeNoLock);
      const log = await pump.run(openLog(disk, directory, settings, buffers));
      return new Wal(
        directory,
        ownIo,
        pump,
        disk,
        buffers,
        log,
        settings,
        (made) => writer = made,
      );
    } catch (error) {
      giveBack(client, buffers, ownIo);
      throw error;
    }
  }

  #readSource(): ReadSource {
    const { segments, meta } = this.#log;
    // deno-lint-ignore no-this-alias
    const wal = this;
    return {
      disk: this.#disk,
      directory: this.#directory,
      foreignWriter: false,
      get meta() {
        return meta.meta;
      },
      get firstLsn() {
        return meta.meta.lowWaterLsn;
      },
      get lastLsn() {
        return wal.#writer.durableLsn;
      },
      *sequenceOf(lsn, buffer) {
        return (yield* segments.segmentOf(lsn, buffer)).sequence;
      },
      nextSequence(sequence) {
        return segments.kept.find((segment) => segment.sequence > sequence)?.sequence;
      },
      pin: (sequence) => segments.pin(sequence),
      unpin: (sequence) => segments.unpin(sequence),
    };
  }

  /** Calls `listener` with each event of this kind. */
  override addEventListener<K extends keyof WalEventMap>(
    type: K,
    listener: (event: WalEventMap[K]) => void,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    listener: ((event: Event) => void) | { handleEvent(event: Event): void } | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  override addEventListener(
    type: string,
    // deno-lint-ignore no-explicit-any
    listener: any,
    options?: boolean | AddEventListenerOptions,
  ): void {
    super.addEventListener(type, listener, options);
  }

  /** The directory, as it was given. */
  get directory(): string {
    return this.#directory;
  }
  /** LSN of the last record that was appended; 0: none. */
  get appendedLsn(): number {
    return this.#writer.appendedLsn;
  }
  /** LSN up to which every record survives a power cut; 0: none. */
  get durableLsn(): number {
    return this.#writer.durableLsn;
  }
  /** LSN of the oldest record that is kept. */
  get firstLsn(): number {
    return this.#log.meta.meta.lowWaterLsn;
  }
  /** Why nothing is appended or acknowledged any more, once a write or sync has failed. */
  get poisoned(): WalPoisonedError | undefined {
    return this.#writer.poison;
  }
  /** What opening found. */
  get recovery(): WalRecovery {
    return this.#log.recovery;
  }
  /** Whether a sync is known to reach the medium here. */
  get durability(): "verified" | "unverified" {
    return this.#io.durability;
  }
  /** Largest record in bytes. */
  get maxRecordBytes(): number {
    return this.#maxRecordBytes;
  }

  /**
   * Takes a record (bytes, or text as UTF-8; a lone surrogate becomes U+FFFD) and gives its LSN. The
   * bytes are copied. Never blocks; bytes allocate nothing, and text no more than its encoder gives back. It is durable only when `durable(lsn)` says so.
   *
   * @throws {WalFullError} no room now: `await ready()`, then again
   * @throws {WalRecordTooLargeError}
   * @throws {WalPoisonedError} a write or sync failed; open the log again
   * @throws {WalClosedError}
   */
  append(record: Uint8Array | string): number {
    const lsn = this.tryAppend(record);
    if (lsn !== undefined) return lsn;
    this.#pump.drain();
    const again = this.tryAppend(record);
    if (again !== undefined) return again;
    throw this.#writer.fullError();
  }

  /** As {@linkcode append}, with `undefined` instead of `WalFullError`. */
  tryAppend(record: Uint8Array | string): number | undefined {
    if (typeof record === "string") {
      if (record.length * 3 > this.#maxRecordBytes) this.#checkText(record);
    } else {
      if (!(record instanceof Uint8Array)) record = asRecord(record) as Uint8Array;
      if (record.byteLength > this.#maxRecordBytes) {
        throw new WalRecordTooLargeError(record.byteLength, this.#maxRecordBytes);
      }
      if (record.byteLength === 0) checkThere(record);
    }
    const lsn = this.#writer.append(record);
    return lsn === 0 ? undefined : lsn;
  }

  /**
   * Appends parts of `bytes` that follow each other with one byte between them, such as lines: part `i`,
   * from `first` to `until - 1`, ends before `ends[i]`; the first of them begins at `from`, each other
   * one behind the byte at which the one before ended. Gives how many were appended, which may be fewer,
   * and is 0 when there is no room now.
   *
   * @throws {WalRecordTooLargeError} the first of them is too large
   * @internal
   */
  tryAppendParts(
    bytes: Uint8Array,
    from: number,
    ends: Int32Array,
    first: number,
    until: number,
  ): number {
    if (this.#maxRecordBytes < this.#writer.maxRecordBytes) {
      // Stops before the first one that is too large, and throws when it is the first.
      for (let i = first, start = from; i < until; start = ends[i++] + 1) {
        if (ends[i] - start <= this.#maxRecordBytes) continue;
        if (i === first) throw new WalRecordTooLargeError(ends[i] - start, this.#maxRecordBytes);
        until = i;
      }
    }
    return this.#writer.appendParts(bytes, from, ends, first, until);
  }

  #checkText(record: string): void {
    const bytes = new TextEncoder().encode(record).length;
    if (bytes > this.#maxRecordBytes) {
      throw new WalRecordTooLargeError(bytes, this.#maxRecordBytes);
    }
  }

  /**
   * Appends all of `records` in one frame: after a crash all of them are there, or none. Gives the LSN
   * of the last one (of an empty batch: `appendedLsn`).
   *
   * @throws {WalFullError} no room now: `await ready()`, then again
   * @throws {WalRecordTooLargeError} one of them, or all of them together; nothing was appended
   * @throws {WalPoisonedError} a write or sync failed; open the log again
   * @throws {WalClosedError}
   */
  appendBatch(records: readonly (Uint8Array | string)[]): number {
    const checked = records.map(asRecord);
    for (const record of checked) {
      if (typeof record === "string") this.#checkText(record);
      else if (record.byteLength > this.#maxRecordBytes) {
        throw new WalRecordTooLargeError(record.byteLength, this.#maxRecordBytes);
      }
    }
    if (checked.length === 0) return this.appendedLsn;
    let lsn = this.#writer.appendBatch(checked);
    if (lsn > 0) return lsn;
    this.#pump.drain();
    lsn = this.#writer.appendBatch(checked);
    if (lsn > 0) return lsn;
    throw this.#writer.fullError();
  }

  /** Resolves when an append finds room; rejects when it never will. */
  ready(): Promise<void> {
    return this.#writer.ready();
  }

  /** Hands what was appended to the device now, without waiting for it. */
  submitPending(): void {
    if (!this.#closed) this.#writer.submitPending();
  }

  /**
   * Resolves with the durable LSN, at least `lsn`, when that record survives a power cut. Rejects with
   * a `RangeError` for an LSN that was not appended, and with `WalPoisonedError` when it is unknown.
   */
  durable(lsn: number): Promise<number> {
    try {
      checkLsn("lsn", lsn, 0);
    } catch (error) {
      return Promise.reject(error);
    }
    return this.#writer.durable(lsn);
  }

  /**
   * Resolves with `value` (a promise is waited for, too) when the record at `lsn` survives a power cut:
   * a reply that must not be given before. Rejects as {@linkcode durable} does, or with what `value` does.
   *
   * @example
   * ```ts
   * import { Wal } from "@uring/io/wal";
   *
   * await using wal = await Wal.open("/var/tmp/example-gate");
   * const reply = (order: string) => wal.gate(wal.append(order), `accepted: ${order}`);
   * console.log(await reply("three apples"));
   * ```
   */
  async gate<T>(lsn: number, value: T): Promise<Awaited<T>> {
    const [, given] = await Promise.all([this.durable(lsn), value]);
    return given;
  }

  /** As {@linkcode durable}, blocking. */
  waitDurable(lsn: number): void {
    checkLsn("lsn", lsn, 0);
    this.#writer.waitDurable(lsn);
  }

  /** Resolves when everything appended so far is durable. */
  flush(): Promise<number> {
    const promise = this.#writer.durable(this.appendedLsn);
    if (!this.#closed) this.#writer.submitPending();
    return promise;
  }

  /**
   * Records of `[from, to)` in batches, none of them that is not durable. The views of a batch hold until
   * the next one. Beyond the end there is nothing; before `firstLsn` it throws `LsnTooOldError`.
   */
  async *read(range: ReadRange = {}): AsyncGenerator<RecordBatch, void, undefined> {
    const reader = this.#reader(range);
    try {
      for (;;) {
        const batch = await this.#pump.run(reader.next());
        if (!batch) return;
        yield batch;
      }
    } finally {
      await this.#closeReader(reader);
    }
  }

  async #closeReader(reader: LogReader): Promise<void> {
    // Closing the log has closed its readers.
    if (this.#readers.delete(reader)) await this.#pump.run(reader.close());
  }

  /** As {@linkcode read}, synchronous. Close it. */
  cursor(range: ReadRange = {}): WalCursor {
    const reader = this.#reader(range);
    const close = () => {
      if (this.#readers.delete(reader)) this.#block(reader.close());
    };
    return { next: () => this.#block(reader.next()), close, [Symbol.dispose]: close };
  }

  /**
   * Records from `from` on (the oldest, if there is none), each when it is durable, without end. Ends
   * quietly when the log closes; what it has not delivered by then can be read when it is opened again.
   * Rejects with the signal's reason (`AbortError`) on abort, with `LsnTooOldError` when its next record
   * was removed, and with `WalPoisonedError` behind the last record that a poisoned log made durable.
   * A record beyond the end is waited for. A tail holds one segment back from being recycled, and keeps
   * no process alive.
   *
   * @example
   * ```ts
   * import { Wal } from "@uring/io/wal";
   *
   * await using wal = await Wal.open("/var/tmp/example-log");
   * wal.append("hello");
   * for await (const batch of wal.tail({ from: wal.appendedLsn })) {
   *   console.log(batch.firstLsn, batch.text(0));
   *   break; // it would wait for the next one
   * }
   * ```
   */
  tail(options: TailOptions = {}): AsyncGenerator<RecordBatch, void, undefined> {
    return new Tail(() => this.#follow(options.from), options.signal);
  }

  #follow(from = this.firstLsn): TailFeed {
    const reader = this.#reader({ from, to: Number.MAX_SAFE_INTEGER });
    const writer = this.#writer;
    // deno-lint-ignore no-this-alias
    const wal = this;
    return {
      async next() {
        let batch: RecordBatch | undefined;
        try {
          batch = await wal.#pump.run(reader.next());
        } catch (error) {
          if (!(wal.#closed && error instanceof WalClosedError)) throw error;
        }
        if (batch || wal.#closed || !writer.poison) return batch;
        throw new WalPoisonedError(writer.poison.message, { cause: writer.poison.cause });
      },
      get over() {
        return wal.#closed;
      },
      arm(wake) {
        wal.#followers.set(reader, wake);
        writer.onAdvance = () => wal.#wakeFollowers();
        if (wal.#closed || writer.poison || writer.durableLsn >= reader.position) wake();
      },
      disarm() {
        wal.#followers.delete(reader);
        if (wal.#followers.size === 0) writer.onAdvance = undefined;
      },
      close: () => wal.#closeReader(reader),
    };
  }

  #wakeFollowers(): void {
    for (const wake of this.#followers.values()) wake();
  }

  #reader(range: ReadRange): LogReader {
    if (this.#closed) throw new WalClosedError("the log was closed");
    const from = range.from ?? this.firstLsn;
    const to = range.to ?? this.durableLsn + 1;
    checkLsn("from", from, 1);
    checkLsn("to", to, 0);
    if (from < this.firstLsn) throw new LsnTooOldError(from, this.firstLsn);
    const buffer = this.#io.acquireBuffer(READER_BUFFER_BYTES);
    if (!buffer) throw noReaderBuffer("reading");
    const reader = new LogReader(this.#source, from, to, buffer);
    this.#readers.add(reader);
    return reader;
  }

  /** Runs a task to its end, blocking. */
  #block<T>(task: Task<T>): T {
    let outcome: { value: T } | { error: unknown } | undefined;
    this.#pump.spawn(task, (value) => outcome = { value }, (error) => outcome = { error });
    // Each turn waits for an operation of the task or of another one.
    while (!outcome) {
      if (this.#io.inFlight === 0) throw new Error("nothing in flight, and the task has not ended");
      this.#pump.park();
    }
    if ("error" in outcome) throw outcome.error;
    return outcome.value;
  }

  /**
   * Removes every record before `lsn`, exactly; the files that become free are recycled. Durable when it
   * resolves. `RangeError` beyond the durable end.
   */
  async truncateBefore(lsn: number): Promise<void> {
    checkLsn("lsn", lsn, 1);
    if (this.#closing) throw new WalClosedError("the log was closed");
    const poison = this.#writer.poison;
    if (poison) throw new WalPoisonedError(poison.message, { cause: poison.cause });
    if (lsn > this.durableLsn + 1) {
      throw new RangeError(`record ${lsn} lies beyond the durable end, ${this.durableLsn}`);
    }
    if (lsn <= this.firstLsn) return;
    // One after the other: each changes which segments there are.
    const truncation = this.#truncating.then(() => this.#pump.run(this.#truncate(lsn)));
    this.#truncating = truncation.catch(() => {});
    await truncation;
  }

  *#truncate(lsn: number): Task<void> {
    // The one before may have failed.
    const poison = this.#writer.poison;
    if (poison) throw new WalPoisonedError(poison.message, { cause: poison.cause });
    yield* this.#log.segments.truncate(lsn);
  }

  /**
   * Copies the log, with every record that is durable now, to the directory `target`, which must be empty
   * or is made; appending goes on meanwhile. Durable when it resolves. The copy opens as a log of its own,
   * with the same UUID, and `verify` compares it with its manifest, the file `SNAPSHOT`. Segments that
   * are removed meanwhile are copied all the same.
   *
   * When it fails the log goes on, and the files that were made are removed.
   *
   * @throws {WalOptionsError} `target` is not empty
   * @throws {WalCorruptionError} a record that is kept cannot be read
   * @throws {WalFullError} the arena has no room for a buffer
   * @throws {WalClosedError} the log was closed, perhaps meanwhile
   * @throws {IoError} the kernel refused something
   *
   * @example
   * ```ts
   * import { Wal } from "@uring/io/wal";
   *
   * await using wal = await Wal.open("/var/tmp/example-log");
   * await wal.durable(wal.append("hello"));
   * const { last } = await wal.snapshot(`/var/tmp/example-copy-${Date.now()}`);
   * console.log(last >= 1); // true
   * ```
   */
  async snapshot(target: string): Promise<SnapshotManifest> {
    if (typeof target !== "string" || target === "") {
      throw new WalOptionsError("the target of a snapshot is a path");
    }
    this.#refuseClosed();
    const buffer = this.#io.acquireBuffer(SNAPSHOT_BUFFER_BYTES) ??
      this.#io.acquireBuffer(READER_BUFFER_BYTES);
    if (!buffer) throw noReaderBuffer("a snapshot");
    const { segments, meta } = this.#log;
    const { lowWaterSequence } = meta.meta;
    const sequences = segments.kept.map(({ sequence }) => sequence)
      .filter((sequence) => sequence >= lowWaterSequence);
    const source = {
      disk: this.#disk,
      directory: this.#directory,
      meta: meta.meta,
      sequences,
      lastLsn: this.durableLsn,
      goOn: () => this.#refuseClosed(),
    };
    for (const sequence of sequences) segments.pin(sequence);
    const copying = this.#pump.run(takeSnapshot(source, target, buffer)).finally(() => {
      for (const sequence of sequences) segments.unpin(sequence);
      this.#io.releaseBuffer(buffer);
      this.#snapshots.delete(copying);
    });
    this.#snapshots.add(copying);
    return await copying;
  }

  #refuseClosed(): void {
    if (this.#closing) throw new WalClosedError("the log was closed");
  }

  /** Numbers since the log was opened. */
  stats(): WalStats {
    const writer = this.#writer;
    const { counters } = writer;
    const { segments, direct, modeReason, preallocation } = this.#log;
    const bytes = writer.appendedBytes;
    const writtenBytes = counters.diskBytes + this.#disk.bytesWritten;
    return {
      records: this.appendedLsn - this.#log.lastLsn,
      bytes,
      pendingRecords: this.appendedLsn - this.durableLsn,
      pendingBytes: writer.pendingBytes,
      frames: counters.frames,
      marks: counters.marks,
      diskBytes: counters.diskBytes,
      writtenBytes,
      writeAmplification: bytes === 0 ? 0 : writtenBytes / bytes,
      syncs: counters.syncs,
      operations: counters.operations,
      segment: segments.active?.header.sequence ?? 0,
      offset: segments.active?.offset ?? 0,
      framesInFlight: writer.framesInFlight,
      latencyMicros: writer.latency.summary(),
      commitRecords: writer.commitRecords.summary(),
      commitBytes: writer.commitBytes.summary(),
      mode: direct ? "direct" : "buffered",
      modeReason,
      backend: this.#io.backend,
      registered: this.#io.registered,
      durability: this.durability,
      preallocation: preallocation.reserved ? "reserved" : "none",
      preallocationReason: preallocation.reason,
      segments: segments.kept.length,
      segmentsBegun: segments.begun,
      segmentsCreated: segments.created,
      segmentsRecycled: segments.recycled,
      segmentsRefilled: segments.refilled,
      segmentReady: segments.active !== undefined,
      spareReady: segments.spareReady,
      spareFailures: segments.failures,
      spareFailure: segments.failure?.message,
      retentionFailure: segments.retentionFailure?.message,
    };
  }

  /**
   * Refuses further appends, makes everything appended durable, seals the log, and frees the lock. After
   * poison it frees what there is and does not throw.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    const writer = this.#writer;
    const poisoned = writer.poison !== undefined;
    writer.stop();
    let failure: unknown;
    try {
      if (!writer.poison) {
        await writer.settled();
        // A truncation that nobody waited for ends first; META is its too.
        await this.#truncating;
        await this.#pump.run(this.#seal());
      }
    } catch (error) {
      failure = error;
    }
    this.#closed = true;
    try {
      // What is under way in a poisoned log ends before its files are closed.
      await this.#pump.run(this.#log.segments.quiesce());
      await this.#truncating;
      // They see that the log is closing, and end.
      await Promise.allSettled(this.#snapshots);
      for (const reader of this.#readers) reader.end();
      this.#wakeFollowers();
      await this.#idle();
      for (const reader of this.#readers) await this.#pump.run(reader.close());
      this.#readers.clear();
      // Files that they held back are removed before another writer may have the lock.
      await this.#idle();
      await this.#pump.run(this.#release());
    } catch (error) {
      failure ??= error;
    } finally {
      await this.#idle();
      giveBack(this.#io, this.#buffers, this.#ownIo);
    }
    if (failure !== undefined && !poisoned) throw failure;
  }

  /** Resolves when nothing of the log is in flight. */
  async #idle(): Promise<void> {
    while (this.#io.inFlight > 0 && !this.#pump.failed) {
      await this.#io.wait();
      this.#pump.drain();
    }
  }

  *#seal(): Task<void> {
    const { meta, segments } = this.#log;
    yield* segments.quiesce();
    // A log that found no space for a segment since it was opened ends where recovery found it.
    if (!segments.active) return;
    yield* meta.update({
      sealed: true,
      sealedLsn: this.#writer.durableLsn,
      sealedChain: this.#writer.chain,
      sealedOffset: segments.active!.offset,
    });
  }

  *#release(): Task<void> {
    const { meta, segments, lock } = this.#log;
    yield* this.#drained();
    yield* segments.close();
    yield* meta.close();
    yield* this.#disk.close(lock);
  }

  /** Frames of a poisoned log that are still in flight keep their file open. */
  *#drained(): Task<void> {
    while (this.#writer.framesBusy > 0) yield { until: (resume) => this.#writer.onIdle(resume) };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function noReaderBuffer(what: string): WalFullError {
  return new WalFullError(
    `no ${READER_BUFFER_BYTES} bytes of the arena are free for ${what}: close other readers, or ` +
      `open an Io with a larger arena`,
  );
}

/** The log's part of the arena, all of it at open: a log never runs out later. */
function reserve(io: Io, settings: WalSettings): LogBuffers {
  const needed = settings.maxBytes * (settings.maxInFlight + 1) + RESERVE_BYTES;
  const acquired: (ReturnType<Io["acquireBuffer"]>)[] = [];
  const take = (bytes: number) => {
    const buffer = io.acquireBuffer(bytes);
    if (buffer) {
      acquired.push(buffer);
      return buffer;
    }
    for (const other of acquired) io.releaseBuffer(other!);
    throw new WalOptionsError(
      `the log needs ${needed} bytes of the arena (commit.maxBytes times one more than ` +
        `commit.maxInFlight, and ${RESERVE_BYTES}); the arena has ${io.arenaBytes}, and ` +
        `${io.arenaFreeBytes} in one piece are free. Lower commit.maxBytes or commit.maxInFlight, or ` +
        `open an Io with a larger arenaBytes and pass it as io`,
    );
  };
  const frames = [];
  for (let i = 0; i <= settings.maxInFlight; i++) frames.push(take(settings.maxBytes));
  const buffers = {
    frames,
    meta: take(META_BUFFER_BYTES),
    // Both copies: a unit is as large as a page, which buffers begin at.
    header: take(Math.max(HEADER_BUFFER_BYTES, HEADER_COPIES * io.blockSize)),
    scratch: take(SCRATCH_BUFFER_BYTES),
  };
  // As much is left to readers and to others.
  const plenty = io.arenaFreeBytes >= 2 * ZERO_BUFFER_LARGE_BYTES;
  return { ...buffers, zero: take(plenty ? ZERO_BUFFER_LARGE_BYTES : ZERO_BUFFER_BYTES) };
}

function giveBack(client: Io | undefined, buffers: LogBuffers | undefined, ownIo: Io | undefined) {
  if (client && buffers) {
    const { frames, meta, header, zero, scratch } = buffers;
    for (const buffer of [...frames, meta, header, zero, scratch]) {
      client.releaseBuffer(buffer);
    }
  }
  try {
    client?.[Symbol.dispose]();
  } finally {
    ownIo?.[Symbol.dispose]();
  }
}
