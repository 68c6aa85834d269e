/**
 * Files with promises, over any `Io`.
 *
 * @module
 */

import {
  DSYNC,
  type Io,
  type IoAlignment,
  IoClosedError,
  type IoFile,
  type IoStat,
  IoUsageError,
  type OpenOptions,
} from "../io/io.ts";
import { ioErrorOf } from "../io/io_error.ts";
import { bytesOf, checkOffset } from "./bytes.ts";
import { borrowIo, returnIo } from "./default_io.ts";
import { Kind, type Operation, type Owner, Transfers } from "./transfers.ts";

const EAGAIN = 11;

/** Options of a read. */
export interface FileReadOptions {
  /** Rejects with its reason; what the kernel is doing already is done, and its result dropped. */
  signal?: AbortSignal;
}

/** Options of a write. */
export interface FileWriteOptions {
  /** Rejects with its reason; what the kernel is writing already is written. */
  signal?: AbortSignal;
  /** The bytes are durable when the promise resolves (RWF_DSYNC). */
  dsync?: boolean;
}

/**
 * Who wants to know what is written by a file, beside those who wait for the promises.
 *
 * @internal
 */
export interface FileWatcher {
  /** A write goes out; gives the number that its end comes with. */
  writeStarted(offset: number, length: number): number;
  /** It has ended, and what it has written ends at `reached`, 0 for nothing. */
  writeEnded(stamp: number, reached: number, failed: boolean): void;
  /** The file was cut or extended to `size`; or, when not `exact`, to that at least. */
  resized(size: number, exact: boolean): void;
}

interface Driven {
  readonly transfers: Transfers;
  /** Files that are open on it. */
  files: number;
}

const drivers = new WeakMap<Io, Driven>();

/**
 * An open file. Transfers are whole: short ones are continued, and memory of the caller is copied in
 * pieces through registered buffers. The memory is the caller's again when the promise settles; until
 * then it must not be changed. Operations that are in flight together have no order.
 *
 * A failure rejects with {@linkcode IoError}, a mistake with {@linkcode IoUsageError}.
 *
 * ```ts
 * import { File } from "@uring/io/io";
 *
 * await using file = await File.open("/tmp/file-example", { read: true, write: true, create: true });
 * await file.writeAt(new TextEncoder().encode("hello"), 0, { dsync: true });
 * const bytes = new Uint8Array(5);
 * console.log(await file.readAt(bytes, 0)); // 5
 * ```
 */
export class File implements AsyncDisposable {
  /** The `Io` that it was opened on. */
  readonly io: Io;
  /** For use with `io` directly. It is closed with this. */
  readonly ioFile: IoFile;
  readonly #driven: Driven;
  readonly #borrowed: boolean;
  readonly #owner: Owner;
  #inFlight = 0;
  #watcher: FileWatcher | undefined;
  #closing: Promise<void> | undefined;
  #idle: (() => void) | undefined;

  private constructor(io: Io, driven: Driven, ioFile: IoFile, borrowed: boolean) {
    this.io = io;
    this.ioFile = ioFile;
    this.#driven = driven;
    this.#borrowed = borrowed;
    const unitBytes = ioFile.options.direct ? Math.max(1, io.alignment(ioFile).offset) : 1;
    this.#owner = { file: ioFile, unitBytes, ended: (operation) => this.#ended(operation) };
  }

  /**
   * Opens a file.
   *
   * @param io The `Io` to work on, which must outlive the file; without it all such files of this
   * thread share one, which ends with the last of them.
   * @throws {IoError} when the kernel refuses it; `code` says why.
   * @throws {IoUsageError} when the options make no sense.
   */
  static async open(path: string, options: OpenOptions, io?: Io): Promise<File> {
    const on = io ?? borrowIo();
    let driven: Driven | undefined;
    try {
      driven = driverOf(on);
      let file!: IoFile;
      const { io: client, pump } = driven.transfers;
      const res = await pump.call((handle) => file = client.open(path, options, handle));
      if (res < 0) throw ioErrorOf(res, "open", path);
      return new File(on, driven, file, io === undefined);
    } catch (error) {
      if (driven !== undefined) leave(on, driven);
      if (io === undefined) returnIo();
      throw error;
    }
  }

  /** The absolute path that it was opened by. */
  get path(): string {
    return this.ioFile.path;
  }

  /**
   * Operations that have not ended. One that was aborted counts until the kernel is done with it, after its
   * promise has settled.
   */
  get inFlight(): number {
    return this.#inFlight;
  }

  /**
   * Tells somebody of every write from now on; `undefined` ends that.
   *
   * @internal
   */
  watch(watcher: FileWatcher | undefined): void {
    this.#watcher = watcher;
  }

  /** @internal */
  get watched(): boolean {
    return this.#watcher !== undefined;
  }

  /**
   * Blocks until an operation of the files of this `Io` has ended, or the time is over.
   *
   * @internal
   */
  park(timeoutMicros: number): void {
    this.#driven.transfers.park(timeoutMicros);
  }

  /**
   * Blocks until nothing of it is in flight, and gives back what its `Io` keeps for files: for the end of
   * that `Io`.
   *
   * @internal
   */
  settle(): void {
    while (this.#inFlight > 0) this.park(Infinity);
    this.#driven.transfers.trim();
  }

  /** Whether `close` was called, and not refused. */
  get closed(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Reads into `bytes`; resolves with how many there were: fewer than it holds only at the end of the
   * file.
   */
  readAt(
    bytes: ArrayBufferView,
    offset: number,
    options?: FileReadOptions,
  ): Promise<number> {
    try {
      const operation = this.#transfer(Kind.read, bytes, offset);
      operation.flags = 0;
      return this.#start(operation, options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Writes all of `bytes`; resolves with how many. */
  writeAt(
    bytes: ArrayBufferView,
    offset: number,
    options?: FileWriteOptions,
  ): Promise<number> {
    try {
      const operation = this.#transfer(Kind.write, bytes, offset);
      operation.flags = options?.dsync ? DSYNC : 0;
      return this.#start(operation, options?.signal);
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** fsync: covers the writes whose promises have resolved. */
  sync(): Promise<void> {
    return this.#plain(Kind.fsync, 0, 0);
  }

  /** fdatasync: covers the writes whose promises have resolved. */
  datasync(): Promise<void> {
    return this.#plain(Kind.fdatasync, 0, 0);
  }

  /** What the file is now. */
  stat(): Promise<IoStat> {
    return this.#plain(Kind.stat, 0, 0);
  }

  /** Cuts the file, or extends it by zeros. */
  truncate(size: number): Promise<void> {
    return this.#plain(Kind.truncate, size, 0);
  }

  /** Reserves blocks and extends the file; rejects with EOPNOTSUPP where that is not to be had. */
  allocate(offset: number, length: number): Promise<void> {
    return this.#plain(Kind.allocate, offset, length);
  }

  /** Locks the file exclusively until it is closed: false when another one holds it. Never waits. */
  lock(): boolean {
    this.#check();
    const res = this.io.lock(this.ioFile);
    if (res === 0 || res === -EAGAIN) return res === 0;
    throw ioErrorOf(res, "lock", this.path);
  }

  /** What direct I/O on it needs. */
  alignment(): IoAlignment {
    this.#check();
    return this.io.alignment(this.ioFile);
  }

  /**
   * Closes the file when its operations have ended; new ones are refused at once. Rejects with
   * {@linkcode IoUsageError} while operations by hand are in flight on `ioFile`: then it stays open, and can
   * be closed again.
   */
  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The bytes `[from, to)`, up to the end of the file; reads as it is read from. */
  readable(range: { from?: number; to?: number } = {}): ReadableStream<Uint8Array> {
    const { from = 0, to = Number.MAX_SAFE_INTEGER } = range;
    checkOffset(from, 0);
    checkOffset(to, 0);
    if (to < from) {
      throw new IoUsageError(`a range ends behind its start, not at ${to} from ${from}`);
    }
    let offset = from;
    return new ReadableStream({
      pull: async (controller) => {
        const bytes = new Uint8Array(
          new ArrayBuffer(Math.min(STREAM_BYTES, Math.max(0, to - offset))),
        );
        const got = bytes.length === 0 ? 0 : await this.readAt(bytes, offset);
        offset += got;
        if (got > 0) controller.enqueue(got === bytes.length ? bytes : bytes.subarray(0, got));
        if (got < STREAM_BYTES) controller.close();
      },
    }, { highWaterMark: 0 });
  }

  /** Writes what comes, from `at` on; its end makes everything durable. The file stays open. */
  writable(at = 0): WritableStream<Uint8Array> {
    checkOffset(at, 0);
    let offset = at;
    return new WritableStream({
      write: async (chunk) => {
        offset += await this.writeAt(chunk, offset);
      },
      close: () => this.datasync(),
    });
  }

  #transfer(kind: number, view: ArrayBufferView, offset: number): Operation {
    this.#check();
    const bytes = bytesOf(view);
    checkOffset(offset, bytes.length);
    const operation = this.#driven.transfers.operation(kind, this.#owner);
    operation.bytes = bytes;
    operation.length = bytes.length;
    operation.offset = offset;
    return operation;
  }

  #plain<T>(kind: number, offset: number, length: number): Promise<T> {
    try {
      this.#check();
    } catch (error) {
      return Promise.reject(error);
    }
    const operation = this.#driven.transfers.operation(kind, this.#owner);
    operation.offset = offset;
    operation.length = length;
    return this.#start(operation);
  }

  #start<T>(operation: Operation, signal?: AbortSignal): Promise<T> {
    this.#inFlight++;
    if (this.#watcher !== undefined && operation.kind === Kind.write) {
      operation.stamp = this.#watcher.writeStarted(operation.offset, operation.length);
    }
    return this.#driven.transfers.start(operation, signal);
  }

  #ended(operation: Operation): void {
    if (this.#watcher !== undefined) this.#tell(this.#watcher, operation);
    if (--this.#inFlight === 0) this.#idle?.();
  }

  #tell(watcher: FileWatcher, operation: Operation): void {
    const { kind, offset, length, done, succeeded } = operation;
    if (kind === Kind.write) {
      watcher.writeEnded(operation.stamp, done > 0 ? offset + done : 0, !succeeded);
    } else if (kind === Kind.truncate && succeeded) watcher.resized(offset, true);
    else if (kind === Kind.allocate && succeeded) watcher.resized(offset + length, false);
  }

  async #close(): Promise<void> {
    if (this.#inFlight > 0) await new Promise<void>((resolve) => this.#idle = resolve);
    const { io: client, pump } = this.#driven.transfers;
    let res: number;
    try {
      res = await pump.call((handle) => client.close(this.ioFile, handle));
    } catch (error) {
      if (error instanceof IoUsageError && this.#isOpen()) {
        this.#closing = this.#idle = undefined;
        throw error;
      }
      this.#left();
      throw error;
    }
    this.#left();
    if (res < 0) throw ioErrorOf(res, "close", this.path);
  }

  #isOpen(): boolean {
    try {
      this.io.alignment(this.ioFile);
      return true;
    } catch {
      return false;
    }
  }

  #left(): void {
    try {
      leave(this.io, this.#driven);
    } finally {
      if (this.#borrowed) returnIo();
    }
  }

  #check(): void {
    if (this.#closing !== undefined) throw new IoClosedError(`${this.path} is closed`);
  }
}

const STREAM_BYTES = 65536;

function driverOf(io: Io): Driven {
  let driven = drivers.get(io);
  if (driven === undefined) {
    driven = { transfers: new Transfers(io), files: 0 };
    drivers.set(io, driven);
  }
  driven.files++;
  return driven;
}

function leave(io: Io, driven: Driven): void {
  if (--driven.files > 0) return;
  drivers.delete(io);
  // Of a backend that failed nothing is to be given back, and what failed is told already.
  if (!driven.transfers.pump.failed) driven.transfers.end();
}
