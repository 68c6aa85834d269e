/**
 * Following a log: what `Wal.tail` and `WalView.tail` have in common, and where a tail beside a writer
 * of another process gets its records from.
 *
 * In the writer's process a tail is woken by each acknowledgement. In another one it looks at META and
 * at the end of the activated segment, again and again: `POLL_MILLIS_MIN` after records came, twice as
 * long after each look in vain, up to `POLL_MILLIS_MAX`. (inotify would say that a file was written, and
 * not that it is durable: the mark that says so is found by reading.) It takes no lock and writes
 * nothing. It delivers what a mark says to be durable: the durable mark of a later frame, the header of
 * the activated segment, or META. After a crash of the writer the last records have none; they come when
 * the log is opened again, or never, when that cuts them.
 *
 * @module
 */

import { type Io, type IoBuffer, IoError, type IoFile, type IoTimer } from "../io/io.ts";
import { Pump, type Task } from "../io/pump.ts";
import { Disk, joinPath } from "./disk.ts";
import { LsnTooOldError, WalCorruptionError, WalMissingError } from "./errors.ts";
import { type Meta, META_NAME, sameLog, segmentName } from "./format.ts";
import { readMeta } from "./meta.ts";
import { checkLsn, LogReader, READER_BUFFER_BYTES, type ReadSource } from "./reader.ts";
import type { RecordBatch } from "./records.ts";
import { requireHeader } from "./recovery.ts";
import { hasLife, SegmentScan } from "./scan.ts";

/** Between two looks at a log that another process writes, at least and at most. */
export const POLL_MILLIS_MIN = 1;
export const POLL_MILLIS_MAX = 50;
/** Looks that find the log changing under them, before what they find counts as what is there. */
const LOOKS_MAX = 20;

/** Options of a tail. */
export interface TailOptions {
  /** First record; default: the oldest that is kept. Beyond the end: it waits until that one comes. */
  from?: number;
  /** Ends the tail with the signal's reason, which is an `AbortError` unless it was given another. */
  signal?: AbortSignal;
}

/** Where a {@linkcode Tail} gets its records from. */
export interface TailFeed {
  /** The next batch, `undefined` when there is none now. Throws when there will be none any more. */
  next(): Promise<RecordBatch | undefined>;
  /** There will be none any more, and that is no failure. */
  readonly over: boolean;
  /** Calls `wake` when there may be another batch, or an end; at once when there may be already. */
  arm(wake: () => void): void;
  /** Forgets the `wake` that was given last. */
  disarm(): void;
  /** Gives everything back. Nothing of it is under way. */
  close(): Promise<void>;
}

type Result = IteratorResult<RecordBatch, void>;
const DONE: Result = { done: true, value: undefined };

/**
 * Batches as they become durable, without end. The views of a batch hold until the next one is asked
 * for. Holds a buffer of the arena, a file and a pin on its segment from the first `next` until its end:
 * `return` (which leaving a `for await` calls), an abort, an error, or the end of the log.
 */
export class Tail implements AsyncGenerator<RecordBatch, void, undefined> {
  readonly #open: () => TailFeed | Promise<TailFeed>;
  readonly #signal: AbortSignal | undefined;
  readonly #onEnd: (tail: Tail) => void;
  readonly #onAbort = () => {
    this.#aborted = true;
    this.#stop();
  };
  #feed: TailFeed | undefined;
  #begun = false;
  #aborted = false;
  #stopped = false;
  #ended = false;
  /** Ends with the last of the calls under way; each waits for the one before. */
  #turn: Promise<unknown> = Promise.resolve();
  #pulling = 0;
  #wake: (() => void) | undefined;

  /** @param onEnd Called once, when it ends, if it was begun. */
  constructor(
    open: () => TailFeed | Promise<TailFeed>,
    signal: AbortSignal | undefined,
    onEnd: (tail: Tail) => void = () => {},
  ) {
    this.#open = open;
    this.#signal = signal;
    this.#onEnd = onEnd;
  }

  next(): Promise<Result> {
    if (!this.#begun) this.#begin();
    this.#pulling++;
    const pull = this.#turn.then(() => this.#pull());
    const over = () => {
      this.#pulling--;
    };
    this.#turn = pull.then(over, over);
    return pull;
  }

  /** Ends it, also while a `next` waits, which then gives the end. */
  async return(): Promise<Result> {
    this.#begun = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#stop();
    await this.#turn;
    return DONE;
  }

  async throw(error?: unknown): Promise<Result> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }

  #begin(): void {
    this.#begun = true;
    if (this.#signal?.aborted) this.#onAbort();
    else this.#signal?.addEventListener("abort", this.#onAbort, { once: true });
  }

  #stop(): void {
    this.#stopped = true;
    this.#wake?.();
    // Where nobody waits for a batch, what it holds is given back now.
    if (this.#pulling === 0) this.#turn = this.#turn.then(() => this.#finish());
  }

  async #pull(): Promise<Result> {
    try {
      if (!this.#stopped) {
        this.#feed ??= await this.#open();
        const batch = await this.#batch(this.#feed);
        if (batch) return { done: false, value: batch };
      }
      if (this.#aborted) {
        this.#aborted = false; // it is told once
        throw this.#signal!.reason;
      }
    } catch (error) {
      this.#stopped = true;
      await this.#finish();
      throw error;
    }
    this.#stopped = true;
    await this.#finish();
    return DONE;
  }

  /** Waits for a batch; `undefined` when it was stopped, or the log is over. */
  async #batch(feed: TailFeed): Promise<RecordBatch | undefined> {
    while (!this.#stopped) {
      const batch = await feed.next();
      if (this.#stopped) return undefined;
      if (batch || feed.over) return batch;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        feed.arm(resolve);
      });
      this.#wake = undefined;
      feed.disarm();
    }
    return undefined;
  }

  async #finish(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    this.#signal?.removeEventListener("abort", this.#onAbort);
    const feed = this.#feed;
    this.#feed = undefined;
    await feed?.close();
    this.#onEnd(this);
  }
}

/**
 * Follows the log in `directory`, whoever writes it, from outside. The Io is borrowed.
 *
 * @throws {WalMissingError} there is no log
 * @throws {LsnTooOldError} `from` was removed
 */
export async function openFollower(
  directory: string,
  io: Io,
  from: number | undefined,
): Promise<TailFeed> {
  if (from !== undefined) checkLsn("from", from, 1);
  const client = io.client(`tail of ${directory}`);
  const buffer = client.acquireBuffer(READER_BUFFER_BYTES);
  if (!buffer) {
    client[Symbol.dispose]();
    throw new RangeError(`following a log needs ${READER_BUFFER_BYTES} bytes of the arena`);
  }
  const marks = new Marks(new Disk(new Pump(client)), directory, buffer);
  try {
    await marks.disk.pump.run(marks.look());
    const first = from ?? marks.firstLsn;
    if (first < marks.firstLsn) throw new LsnTooOldError(first, marks.firstLsn);
    return new Follower(marks, new LogReader(marks, first, Number.MAX_SAFE_INTEGER, buffer));
  } catch (error) {
    await marks.disk.pump.run(marks.close());
    client.releaseBuffer(buffer);
    client[Symbol.dispose]();
    throw error;
  }
}

/** The feed of a tail beside another process. Owns its client of the Io. */
class Follower implements TailFeed {
  readonly #marks: Marks;
  readonly #reader: LogReader;
  readonly #pump: Pump;
  readonly over = false;
  #pauseMillis = POLL_MILLIS_MIN;
  #timer: IoTimer | undefined;

  constructor(marks: Marks, reader: LogReader) {
    this.#marks = marks;
    this.#reader = reader;
    this.#pump = marks.disk.pump;
  }

  async next(): Promise<RecordBatch | undefined> {
    const reader = this.#reader;
    const marks = this.#marks;
    for (let looks = 1;; looks++) {
      try {
        let batch = await this.#pump.run(reader.next());
        if (!batch) {
          await this.#pump.run(marks.look());
          batch = await this.#pump.run(reader.next());
          if (!batch && marks.damage) throw marks.damage;
        }
        if (batch) this.#pauseMillis = POLL_MILLIS_MIN;
        return batch;
      } catch (error) {
        if (!mayChange(error)) throw error;
        // What was read of a segment that the writer has let go of meanwhile means nothing.
        await this.#pump.run(marks.look());
        if (marks.firstLsn > reader.position) {
          throw new LsnTooOldError(reader.position, marks.firstLsn);
        }
        if (looks >= LOOKS_MAX) throw error;
        await this.#pump.run(pause());
      }
    }
  }

  arm(wake: () => void): void {
    this.#timer = this.#pump.io.after(1000 * this.#pauseMillis, wake);
    this.#pauseMillis = Math.min(2 * this.#pauseMillis, POLL_MILLIS_MAX);
  }

  disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  async close(): Promise<void> {
    this.disarm();
    await this.#pump.run(this.#marks.close());
    await this.#pump.run(this.#reader.close());
    this.#pump.io[Symbol.dispose]();
  }
}

function* pause(): Task<void> {
  yield { sleepMillis: POLL_MILLIS_MIN };
}

/** Whether a writer that removes and recycles segments can be the cause of an error. */
function mayChange(error: unknown): boolean {
  return error instanceof WalCorruptionError || error instanceof LsnTooOldError ||
    (error instanceof IoError && error.code === "ENOENT");
}

/** How far a log is known to be durable, by what its writer left in META and in frames. */
class Marks implements ReadSource {
  readonly disk: Disk;
  readonly directory: string;
  readonly foreignWriter = true;
  /** Borrowed; shared with the reader, since one of both runs at a time. */
  readonly #buffer: IoBuffer;
  #meta: Meta | undefined;
  #file: IoFile | undefined;
  /** The frames of the activated segment, up to where they end now. */
  #scan: SegmentScan | undefined;
  readonly #firstLsns = new Map<number, number>();
  /** Every record up to here is durable. */
  lastLsn = 0;
  /** A frame that does not fit, behind everything that is known to be durable. */
  damage: WalCorruptionError | undefined;

  constructor(disk: Disk, directory: string, buffer: IoBuffer) {
    this.disk = disk;
    this.directory = directory;
    this.#buffer = buffer;
  }

  get meta(): Readonly<Meta> {
    return this.#meta!;
  }

  get firstLsn(): number {
    return this.#meta!.lowWaterLsn;
  }

  /** Reads META, and the frames that have come to the activated segment. */
  *look(): Task<void> {
    this.damage = undefined;
    for (let looks = 1;; looks++) {
      yield* this.#lookAtMeta();
      try {
        if (yield* this.#lookAtFrames()) return;
      } catch (error) {
        yield* this.close();
        if (!mayChange(error) || looks >= LOOKS_MAX) throw error;
      }
      // The segment was recycled under this look: META says by now where the log goes on.
      yield* pause();
    }
  }

  *#lookAtMeta(): Task<void> {
    const path = joinPath(this.directory, META_NAME);
    let file: IoFile;
    try {
      file = yield* this.disk.open(path, { read: true });
    } catch (error) {
      const { code } = error as { code?: string };
      if (code !== "ENOENT" && code !== "ENOTDIR") throw error;
      throw new WalMissingError(this.directory, `has no ${META_NAME} file`);
    }
    try {
      const { meta } = yield* readMeta(this.disk, file, this.#buffer);
      if (this.#meta && !sameLog(this.#meta.uuid, meta.uuid)) {
        throw new WalMissingError(this.directory, "has another log than before");
      }
      this.#meta = meta;
    } finally {
      yield* this.disk.close(file);
    }
    this.lastLsn = Math.max(this.lastLsn, this.meta.sealedLsn);
    for (const sequence of this.#firstLsns.keys()) {
      if (sequence < this.meta.lowWaterSequence) this.#firstLsns.delete(sequence);
    }
  }

  /** Gives false when the segment was recycled meanwhile. */
  *#lookAtFrames(): Task<boolean> {
    const { activated } = this.meta;
    if (this.#scan && this.#scan.header.sequence !== activated) yield* this.close();
    if (activated === 0) return true;
    if (this.#scan) {
      this.#scan.refresh((yield* this.disk.stat(this.#file!)).size);
    } else {
      const path = joinPath(this.directory, segmentName(activated));
      const file = this.#file = yield* this.disk.open(path, { read: true });
      const header = yield* requireHeader(this.disk, file, this.#buffer, this.meta, activated);
      const { size } = yield* this.disk.stat(file);
      const epochMax = Number.MAX_SAFE_INTEGER;
      this.#scan = new SegmentScan(this.disk, file, header, size, epochMax, this.#buffer);
    }
    const scan = this.#scan;
    let damage: WalCorruptionError | undefined;
    try {
      // Ends with the frames that are there; the writer's may go on meanwhile.
      while (yield* scan.next());
    } catch (error) {
      if (!(error instanceof WalCorruptionError)) throw error;
      damage = error;
    }
    if (!(yield* hasLife(this.disk, this.#file!, this.#buffer, scan.header))) {
      yield* this.close();
      return false;
    }
    this.damage = damage;
    // The header of the activated segment is a mark, too.
    this.lastLsn = Math.max(this.lastLsn, scan.header.firstLsn - 1, scan.durableMark);
    return true;
  }

  *sequenceOf(lsn: number, buffer: IoBuffer): Task<number> {
    let low = this.meta.lowWaterSequence;
    let high = this.meta.activated;
    while (low < high) {
      const middle = Math.floor((low + high + 1) / 2);
      if ((yield* this.#firstLsnOf(middle, buffer)) <= lsn) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  *#firstLsnOf(sequence: number, buffer: IoBuffer): Task<number> {
    const known = this.#firstLsns.get(sequence);
    if (known !== undefined) return known;
    const path = joinPath(this.directory, segmentName(sequence));
    const file = yield* this.disk.open(path, { read: true });
    try {
      const header = yield* requireHeader(this.disk, file, buffer, this.meta, sequence);
      this.#firstLsns.set(sequence, header.firstLsn);
      return header.firstLsn;
    } finally {
      yield* this.disk.close(file);
    }
  }

  nextSequence(sequence: number): number | undefined {
    return sequence < this.meta.activated ? sequence + 1 : undefined;
  }

  pin(): void {}
  unpin(): void {}

  /** Lets go of the activated segment. */
  *close(): Task<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#scan = undefined;
    if (file) yield* this.disk.close(file);
  }
}
