/**
 * Blocking reads and writes at positions: whole, or an error; one by one, or many in one submission.
 *
 * @module
 */

import { bytesOf, checkOffset } from "../file/bytes.ts";
import { borrowIo, returnIo } from "../file/default_io.ts";
import {
  type Io,
  type IoBuffer,
  IoClosedError,
  IoError,
  type IoFile,
  IoUsageError,
  type OpenOptions,
} from "../io/io.ts";
import { ioErrorOf } from "../io/io_error.ts";

/** One of a batch. */
export interface PositionedEntry {
  readonly offset: number;
  readonly bytes: ArrayBufferView;
}

/**
 * A read or write that failed: `code` is `UnexpectedEof` where the file ended before the bytes, else the
 * name of the errno.
 */
export class PositionedError extends IoError {
  override readonly name: string = "PositionedError";
  constructor(
    cause: IoError,
    /** Of the entry in its batch; 0 for a single one. */
    readonly index: number,
  ) {
    super(cause.message, cause.code, cause.errno, cause.operation, cause.path, cause.offset);
  }
}

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
/** EINTR, EAGAIN, and writes without progress, before an entry counts as failed. */
const RETRIES_MAX = 100;
const LARGE_BYTES = 128 * 1024;
/** Buffers that a batch may hold, and that are kept between batches. */
const BUFFERS_MAX = 64;
const BUFFERS_KEPT = 32;
const OPEN_HANDLE = BUFFERS_MAX;

/** An entry on its way. */
interface Lane {
  readonly buffer: IoBuffer;
  index: number;
  done: number;
  retries: number;
}

/**
 * An open file with blocking reads and writes, whole or an error. Short transfers are continued. Memory
 * may be any typed array; it is copied through registered buffers. Over `node:fs` where there is no ring.
 *
 * ```ts
 * import { PositionedFile } from "@uring/io/storage";
 *
 * const options = { read: true, write: true, create: true };
 * using file = PositionedFile.open("/tmp/positioned-example", options);
 * file.pwriteAt(0, new TextEncoder().encode("hello world"));
 * const [a, b] = [new Uint8Array(5), new Uint8Array(5)];
 * file.preadBatch([{ offset: 0, bytes: a }, { offset: 6, bytes: b }]);
 * console.log(new TextDecoder().decode(b)); // world
 * ```
 */
export class PositionedFile implements Disposable {
  /** The `Io` that it was opened on. */
  readonly io: Io;
  private readonly _client: Io;
  private readonly _borrowed: boolean;
  private readonly _file: IoFile;
  private readonly _unitBytes: number;
  private readonly _kept: IoBuffer[] = [];
  private readonly _lanes: (Lane | undefined)[] = new Array(BUFFERS_MAX).fill(undefined);
  /** Of the single reads and writes. */
  private _one: IoBuffer | undefined;
  private _closed = false;

  private constructor(io: Io, client: Io, file: IoFile, borrowed: boolean) {
    this.io = io;
    this._client = client;
    this._file = file;
    this._borrowed = borrowed;
    this._unitBytes = file.options.direct ? Math.max(1, client.alignment(file).offset) : 1;
  }

  /**
   * Opens a file, blocking.
   *
   * @param io The `Io` to work on, which must outlive the file; without it all such files of this
   * thread share one.
   * @throws {IoError} when the kernel refuses it; `code` says why.
   * @throws {IoUsageError} when the options make no sense.
   */
  static open(path: string, options: OpenOptions, io?: Io): PositionedFile {
    const on = io ?? borrowIo();
    let client: Io | undefined;
    try {
      client = on.client(`positioned ${path}`);
      let file!: IoFile;
      const user = client;
      const res = retried(user, (handle) => file = user.open(path, options, handle));
      if (res < 0) throw ioErrorOf(res, "open", path);
      return new PositionedFile(on, client, file, io === undefined);
    } catch (error) {
      client?.[Symbol.dispose]();
      if (io === undefined) returnIo();
      throw error;
    }
  }

  /** The absolute path that it was opened by. */
  get path(): string {
    return this._file.path;
  }

  /** Fills `bytes` from `offset` on. @throws {PositionedError} at the end of the file, or when it fails. */
  preadAt(offset: number, bytes: ArrayBufferView): void {
    this._check();
    const into = bytesOf(bytes);
    const { length } = into;
    checkOffset(offset, length);
    const buffer = this._buffer(length);
    // The plain case, with little around it: one call, and all of it is there.
    if (length <= buffer.length && length > 0) {
      if (this._client.pread(this._file, buffer, 0, length, offset) === length) {
        into.set(length === buffer.length ? buffer.bytes : buffer.bytes.subarray(0, length));
        return;
      }
    }
    this._single(offset, into, buffer, false);
  }

  /** Writes all of `bytes` at `offset`. @throws {PositionedError} when it fails. */
  pwriteAt(offset: number, bytes: ArrayBufferView): void {
    this._check();
    const from = bytesOf(bytes);
    checkOffset(offset, from.length);
    this._single(offset, from, this._buffer(from.length), true);
  }

  /**
   * Fills every entry, as many at once as there is room for. An entry that makes no sense refuses the
   * batch before anything is submitted; a failure is thrown when all have ended, the first by index.
   */
  preadBatch(entries: readonly PositionedEntry[]): void {
    this._check();
    this._batch(checked(entries, this._unitBytes), false);
  }

  /** Writes every entry; otherwise like {@linkcode PositionedFile.preadBatch}. Entries have no order. */
  pwriteBatch(entries: readonly PositionedEntry[]): void {
    this._check();
    this._batch(checked(entries, this._unitBytes), true);
  }

  /** Makes durable what was written. @throws {IoError} */
  datasync(): void {
    this._check();
    const res = retried(this._client, (handle) => this._client.fdatasync(this._file, handle));
    if (res < 0) throw ioErrorOf(res, "fdatasync", this.path);
  }

  /**
   * Closes the file. Throws {@linkcode IoError} when that fails; it is closed then, too. Not after
   * `IoFullError`, while others have all operations of the `Io` in flight: close it again.
   */
  close(): void {
    if (this._closed) return;
    this._client.close(this._file, OPEN_HANDLE);
    this._closed = true;
    const res = awaited(this._client, OPEN_HANDLE);
    for (const buffer of this._kept.splice(0)) this._client.releaseBuffer(buffer);
    if (this._one !== undefined) this._client.releaseBuffer(this._one);
    this._client[Symbol.dispose]();
    if (this._borrowed) returnIo();
    if (res < 0) throw ioErrorOf(res, "close", this.path);
  }

  [Symbol.dispose](): void {
    this.close();
  }

  /** All of one entry, piece after piece, by blocking calls. */
  private _single(offset: number, bytes: Uint8Array, buffer: IoBuffer, writes: boolean): void {
    const client = this._client;
    const lane: Lane = { buffer, index: 0, done: 0, retries: 0 };
    const entry = { offset, bytes };
    do {
      const piece = Math.min(buffer.length, bytes.length - lane.done);
      const at = offset + lane.done;
      if (writes) buffer.bytes.set(bytes.subarray(lane.done, lane.done + piece));
      const res = writes
        ? client.pwrite(this._file, buffer, 0, piece, at)
        : client.pread(this._file, buffer, 0, piece, at);
      const error = this._advance(lane, entry, writes, res);
      if (error !== undefined) throw new PositionedError(error, 0);
    } while (lane.done < bytes.length);
  }

  /** Of the single reads and writes: kept, and a larger one when they need it. */
  private _buffer(bytes: number): IoBuffer {
    let buffer = this._one;
    if (buffer !== undefined && (bytes <= buffer.length || buffer.length >= LARGE_BYTES)) {
      return buffer;
    }
    const client = this._client;
    const larger = client.acquireBuffer(bytes <= client.blockSize ? client.blockSize : LARGE_BYTES);
    if (larger !== undefined) {
      if (buffer !== undefined) client.releaseBuffer(buffer);
      return this._one = larger;
    }
    buffer ??= this._one = this._kept.pop() ?? client.acquireBuffer(client.blockSize);
    if (buffer !== undefined) return buffer;
    throw new IoUsageError(
      "no buffer of this Io is free: other users have taken all of them; open one with a larger arena",
    );
  }

  private _batch(entries: readonly { offset: number; bytes: Uint8Array }[], writes: boolean): void {
    const client = this._client;
    let next = 0;
    let busy = 0;
    let failed: PositionedError | undefined;
    let misuse: { error: unknown } | undefined;
    const fail = (error: IoError, index: number) => {
      if (failed === undefined || index < failed.index) failed = new PositionedError(error, index);
    };
    while (next < entries.length || busy > 0) {
      while (next < entries.length && client.available > 0 && misuse === undefined) {
        const at = this._lanes.indexOf(undefined);
        const { length } = entries[next].bytes;
        const buffer = at < 0 ? undefined : this._takeBuffer(length);
        if (buffer === undefined) break;
        const lane: Lane = { buffer, index: next++, done: 0, retries: 0 };
        this._lanes[at] = lane;
        busy++;
        try {
          this._submit(at, lane, entries[lane.index], writes);
        } catch (error) {
          misuse = { error };
          busy -= this._leave(at);
        }
      }
      if (busy === 0) {
        // An entry that failed says more than what the others lacked.
        if (misuse !== undefined || failed !== undefined || next >= entries.length) break;
        throw new IoUsageError(
          "no buffer or operation of this Io is free: other users have taken all of them",
        );
      }
      client.park();
      const { completions } = client;
      for (let row = 0; row < completions.length; row++) {
        const at = completions.userData[row];
        const lane = this._lanes[at]!;
        const entry = entries[lane.index];
        const res = completions.res[row];
        const error = this._advance(lane, entry, writes, res);
        if (error !== undefined) fail(error, lane.index);
        if (error === undefined && lane.done < entry.bytes.length) {
          try {
            this._submit(at, lane, entry, writes);
            continue;
          } catch (error) {
            misuse ??= { error };
          }
        }
        busy -= this._leave(at);
      }
      completions.clear();
    }
    if (failed !== undefined) throw failed;
    if (misuse !== undefined) throw misuse.error;
  }

  private _submit(
    at: number,
    lane: Lane,
    entry: { offset: number; bytes: Uint8Array },
    writes: boolean,
  ) {
    const { buffer, done } = lane;
    const { offset, bytes } = entry;
    const piece = Math.min(buffer.length, bytes.length - done);
    if (writes) {
      buffer.bytes.set(piece === bytes.length ? bytes : bytes.subarray(done, done + piece));
      this._client.writeAt(this._file, buffer, 0, piece, offset + done, 0, at);
    } else this._client.readAt(this._file, buffer, 0, piece, offset + done, at);
  }

  /** What a `res` did to an entry; gives the error that it ends with. */
  private _advance(
    lane: Lane,
    { offset, bytes }: { offset: number; bytes: Uint8Array },
    writes: boolean,
    res: number,
  ): IoError | undefined {
    const operation = writes ? "write" : "read";
    const failure = (code: number) => ioErrorOf(code, operation, this.path, offset + lane.done);
    if (bytes.length === 0 && res === 0) return undefined;
    if (res === -EINTR || res === -EAGAIN) {
      return ++lane.retries > RETRIES_MAX ? failure(res) : undefined;
    }
    if (res < 0) return failure(res);
    if (!writes) {
      if (res > 0) bytes.set(lane.buffer.bytes.subarray(0, res), lane.done);
      lane.done += res;
      // A direct read that does not end at a block has met the end of the file.
      const over = res === 0 || res % this._unitBytes !== 0;
      if (!over || lane.done === bytes.length) return undefined;
      const at = offset + lane.done;
      const message = `read of ${this.path}: the file ends at byte ${at}, before byte ${
        offset + bytes.length
      }`;
      return new IoError(message, "UnexpectedEof", 0, operation, this.path, at);
    }
    const progress = res - res % this._unitBytes;
    lane.done += progress;
    if (progress > 0) return undefined;
    return ++lane.retries > RETRIES_MAX ? failure(-EIO) : undefined;
  }

  /** The lane is free again: 1. */
  private _leave(at: number): number {
    this._giveBuffer(this._lanes[at]!.buffer);
    this._lanes[at] = undefined;
    return 1;
  }

  private _takeBuffer(bytes: number): IoBuffer | undefined {
    const { blockSize } = this._client;
    if (bytes > blockSize) {
      const large = this._client.acquireBuffer(Math.min(bytes, LARGE_BYTES));
      if (large !== undefined) return large;
    }
    return this._kept.pop() ?? this._client.acquireBuffer(blockSize);
  }

  private _giveBuffer(buffer: IoBuffer): void {
    const keep = buffer.length === this._client.blockSize && this._kept.length < BUFFERS_KEPT;
    if (keep) this._kept.push(buffer);
    else this._client.releaseBuffer(buffer);
  }

  private _check(): void {
    if (this._closed) throw new IoClosedError(`${this.path} is closed`);
  }
}

/** Blocks for the one operation in flight, and gives its `res`. */
function awaited(client: Io, handle: number): number {
  for (;;) {
    client.park();
    const { completions } = client;
    for (let row = 0; row < completions.length; row++) {
      if (completions.userData[row] !== handle) continue;
      const res = completions.res[row];
      completions.clear();
      return res;
    }
  }
}

/** One operation, waited for, and tried again when it was interrupted. */
function retried(client: Io, start: (handle: number) => void): number {
  for (let retries = 0;; retries++) {
    start(OPEN_HANDLE);
    const res = awaited(client, OPEN_HANDLE);
    if ((res !== -EINTR && res !== -EAGAIN) || retries >= RETRIES_MAX) return res;
  }
}

/** Entries as bytes; throws for the first that makes no sense. */
function checked(
  entries: readonly PositionedEntry[],
  unitBytes: number,
): { offset: number; bytes: Uint8Array }[] {
  if (!Array.isArray(entries)) throw new IoUsageError("a batch is an array of entries");
  return entries.map((entry: PositionedEntry, index) => {
    try {
      const { offset } = entry;
      const bytes = bytesOf(entry.bytes);
      checkOffset(offset, bytes.length);
      if (offset % unitBytes !== 0 || bytes.length % unitBytes !== 0) {
        throw new IoUsageError(
          `${bytes.length} bytes at ${offset} are not in multiples of ${unitBytes}`,
        );
      }
      return { offset, bytes };
    } catch (error) {
      const said = error instanceof Error ? error.message : String(error);
      const refusal = new IoUsageError(`entry ${index} of the batch: ${said}`);
      throw Object.assign(refusal, { index });
    }
  });
}
