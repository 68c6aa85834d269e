/**
 * Submit and poll: writes, appends and syncs of registered files, as tokens. One policy over every
 * backend of `Io`.
 *
 * How it works. Data is copied at once into buffers of the `Io` that belong to the policy. A buffer with
 * data in it is a chunk: one write of the `Io`. A write at an offset is one chunk, or several, which go
 * out together. The chunks of appends to one file form a queue, of which one is written at a time, so
 * that a failed append has nothing behind it; appends that come meanwhile share the last chunk. A sync
 * is submitted when every write that was submitted before it has ended. Everything lies in columns that
 * are made once: submitting and polling allocate nothing.
 *
 * @module
 */

import { CompletionArray } from "../abi/completions.ts";
import { bytesOf, checkOffset } from "../file/bytes.ts";
import type { File } from "../file/file.ts";
import { type Io, type IoBuffer, IoFullError, IoUsageError } from "../io/io.ts";
import {
  BadFdError,
  BufferExhaustedError,
  BusyError,
  ClosedError,
  QueueFullError,
  StorageIoError,
} from "./errors.ts";

/** A registered file: a number that is never used for another file. */
export type IoFd = number & { readonly __ioFd?: never };

/** Submit and poll. A token is a safe integer, and comes back once, with the result. */
export interface StorageIo extends Disposable {
  /** What it works on; files are opened on it, by `File.open(path, options, storage.io)`. */
  readonly io: Io;
  /** Submitted, and not yet delivered by a poll. */
  readonly pendingCount: number;

  /**
   * Registers an open file. It must not be closed otherwise while it is registered.
   *
   * @throws {QueueFullError} when the table of files is full.
   * @throws {BadFdError} when it is no open file of `io`.
   * @throws {StorageIoError} when its size cannot be found out.
   */
  registerFd(file: File): IoFd;
  /**
   * Closes the file.
   *
   * @throws {BusyError} when something is pending on it.
   */
  deregisterFd(fd: IoFd): void;

  /**
   * Writes `data` at `offset`; the result is its length. The data is copied. Overlapping writes that are
   * pending together have no order.
   *
   * @throws {BufferExhaustedError} when the data does not fit the free buffers.
   * @throws {QueueFullError} when as many tokens are pending as there can be.
   */
  submitWrite(fd: IoFd, data: ArrayBufferView, offset: number): number;
  /**
   * Writes `data` behind the end that everything submitted before will make; the result is its length.
   * Appends that are pending behind one that fails end with -ECANCELED, and the end is where the failed
   * one began.
   */
  submitAppend(fd: IoFd, data: ArrayBufferView): number;
  /** Makes everything durable that was submitted before on this fd; the result is 0. */
  submitDatasync(fd: IoFd): number;

  /** Hands over what was submitted; returns how many tokens were submitted since the last flush. */
  flush(): number;
  /**
   * Appends a row for each operation that has ended: its token in `userData`, and in `res` the bytes, 0
   * for a sync, or a negative errno. Returns how many; what finds no room comes with the next poll.
   * Flushes, and never blocks.
   */
  pollCompletions(out: CompletionArray): number;
  /** Blocks until a poll will find something, nothing is pending, or the time is over. */
  park(timeoutMicros?: number): void;
  /** The same without blocking the event loop. */
  wait(): Promise<void>;
  /**
   * Blocks until what is pending has ended, closes the registered files, and gives everything back.
   *
   * @throws {BusyError} when other users hold all operations of the `Io`.
   */
  close(): void;
}

/** Options of every storage. */
export interface StorageOptions {
  /** Files that can be registered together; 64. */
  files?: number;
  /** Operations that can be pending together; 4,096. */
  tokens?: number;
  /** Bytes of a buffer, a multiple of the block size; 16 KiB. */
  bufferBytes?: number;
  /** Buffers; 128. */
  buffers?: number;
}

const FILES = 64;
const FILES_MAX = 4096;
const TOKENS = 4096;
const BUFFER_BYTES = 16 * 1024;
const BUFFERS = 128;

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const EBADF = 9;
const ECANCELED = 125;
/** EINTR, EAGAIN, and writes without progress, before a chunk counts as failed. */
const RETRIES_MAX = 100;
/** Until it is tried again while other users of the `Io` have taken all of its operations. */
const RETRY_MILLIS = 1;
const NONE = -1;

class Registered {
  end: number;
  /** End of what is known to be written. */
  written: number;
  /** End of writes at offsets, pending ones too. */
  placed = 0;
  /** A write has failed since nothing was pending. */
  failed = false;
  /** Tokens of writes, and of everything, that have not ended. */
  writes = 0;
  pending = 0;
  /** Chunks of appends: the first is the one to write next, or being written. */
  headChunk = NONE;
  tailChunk = NONE;
  /** Syncs that wait for writes, oldest first, by token slot. */
  headSync = NONE;
  tailSync = NONE;

  constructor(
    readonly file: File,
    readonly fd: number,
    /** Alignment of offsets and lengths, 1 without direct I/O. */
    readonly unitBytes: number,
    size: number,
  ) {
    this.end = this.written = size;
  }
}

/** The policy, over any `Io`. */
export class StoragePolicy implements StorageIo {
  readonly io: Io;
  readonly #client: Io;
  readonly #ownsIo: boolean;
  #closed = false;

  // Files, by slot; the generation makes an fd of a slot unlike the one before.
  readonly #files: (Registered | undefined)[];
  readonly #generations: Float64Array;

  // Chunks, by number, which is that of their buffer.
  readonly #bufferBytes: number;
  readonly #buffers: IoBuffer[] = [];
  readonly #freeChunks: Int32Array;
  #freeChunkCount: number;
  readonly #chunkFile: (Registered | undefined)[];
  readonly #chunkOffset: Float64Array;
  readonly #chunkLength: Int32Array;
  readonly #chunkDone: Int32Array;
  readonly #chunkRetries: Int32Array;
  /** 1: handed to the `Io`. */
  readonly #chunkOut: Uint8Array;
  /** 1: one of a queue of appends. */
  readonly #chunkAppends: Uint8Array;
  /** Next in the queue of appends, or among those to hand over. */
  readonly #chunkNext: Int32Array;
  /** Its tokens, linked, and the bytes in it of the first one, which may have begun in another. */
  readonly #chunkFirst: Int32Array;
  readonly #chunkLast: Int32Array;
  readonly #chunkFirstBytes: Int32Array;

  // Tokens, by slot.
  readonly #tokens: Float64Array;
  readonly #tokenFile: (Registered | undefined)[];
  readonly #tokenRes: Int32Array;
  readonly #tokenError: Int32Array;
  readonly #tokenParts: Int32Array;
  readonly #tokenStart: Float64Array;
  /** Next in a chunk, or among syncs. */
  readonly #tokenNext: Int32Array;
  /** Of a sync: writes before it that have not ended. Of a write: -1. */
  readonly #tokenAwaits: Int32Array;
  readonly #freeTokens: Int32Array;
  #freeTokenCount: number;
  /** Ended, in order, as a ring. */
  readonly #ended: Int32Array;
  #endedFrom = 0;
  #endedCount = 0;

  // To hand over: chunks and syncs for which the Io had no room.
  #headReady = NONE;
  #tailReady = NONE;
  #headReadySync = NONE;
  #tailReadySync = NONE;

  #nextToken = 1;
  #sinceFlush = 0;

  /** @param ownsIo The `Io` ends with this. */
  constructor(io: Io, ownsIo: boolean, options: StorageOptions = {}) {
    const files = integer("files", options.files ?? FILES, 1, FILES_MAX);
    const tokens = integer("tokens", options.tokens ?? TOKENS, 1, 1 << 20);
    const buffers = integer("buffers", options.buffers ?? BUFFERS, 1, 1 << 16);
    const bufferBytes = integer("bufferBytes", options.bufferBytes ?? BUFFER_BYTES, 1, 1 << 30);
    this.io = io;
    this.#ownsIo = ownsIo;
    this.#client = io.client("storage");
    this.#bufferBytes = Math.ceil(bufferBytes / io.blockSize) * io.blockSize;
    for (let i = 0; i < buffers; i++) {
      const buffer = this.#client.acquireBuffer(this.#bufferBytes);
      if (buffer === undefined) {
        this.#release();
        throw new BufferExhaustedError(
          `the arena has no room for ${buffers} buffers of ${this.#bufferBytes} bytes: ask for ` +
            "fewer or smaller ones, or open the Io with a larger arena",
        );
      }
      this.#buffers.push(buffer);
    }
    this.#files = new Array(files).fill(undefined);
    this.#generations = new Float64Array(files).fill(1);
    this.#freeChunks = Int32Array.from({ length: buffers }, (_, i) => buffers - 1 - i);
    this.#freeChunkCount = buffers;
    this.#chunkFile = new Array(buffers).fill(undefined);
    this.#chunkOffset = new Float64Array(buffers);
    this.#chunkLength = new Int32Array(buffers);
    this.#chunkDone = new Int32Array(buffers);
    this.#chunkRetries = new Int32Array(buffers);
    this.#chunkOut = new Uint8Array(buffers);
    this.#chunkAppends = new Uint8Array(buffers);
    this.#chunkNext = new Int32Array(buffers);
    this.#chunkFirst = new Int32Array(buffers);
    this.#chunkLast = new Int32Array(buffers);
    this.#chunkFirstBytes = new Int32Array(buffers);
    this.#tokens = new Float64Array(tokens);
    this.#tokenFile = new Array(tokens).fill(undefined);
    this.#tokenRes = new Int32Array(tokens);
    this.#tokenError = new Int32Array(tokens);
    this.#tokenParts = new Int32Array(tokens);
    this.#tokenStart = new Float64Array(tokens);
    this.#tokenNext = new Int32Array(tokens);
    this.#tokenAwaits = new Int32Array(tokens);
    this.#freeTokens = Int32Array.from({ length: tokens }, (_, i) => tokens - 1 - i);
    this.#freeTokenCount = tokens;
    this.#ended = new Int32Array(tokens);
  }

  get pendingCount(): number {
    return this.#tokens.length - this.#freeTokenCount;
  }

  // Files

  registerFd(file: File): IoFd {
    this.#check();
    if (typeof file === "number") {
      throw new BadFdError("a number is no file: open it by File.open(path, options, storage.io)");
    }
    const slot = this.#files.indexOf(undefined);
    if (slot < 0) {
      throw new QueueFullError(`${this.#files.length} files are registered, which is the limit`);
    }
    let unitBytes = 1;
    try {
      const { offset } = this.#client.alignment(file.ioFile);
      if (file.ioFile.options.direct) unitBytes = Math.max(1, offset);
    } catch (error) {
      if (!(error instanceof IoUsageError)) throw error;
      throw new BadFdError(`this file cannot be registered: ${error.message}`);
    }
    if (this.#bufferBytes % unitBytes !== 0) {
      throw new IoUsageError(
        `direct I/O on ${file.path} needs buffers in multiples of ${unitBytes} bytes: open the ` +
          "storage with such `bufferBytes`",
      );
    }
    if (this.#client.available === 0) {
      throw new QueueFullError("no operation of the Io is free to ask for the size: poll first");
    }
    const size = this.#sizeOf(file);
    const fd = this.#generations[slot] * FILES_MAX + slot;
    this.#files[slot] = new Registered(file, fd, unitBytes, size);
    return fd as IoFd;
  }

  /** The size now: one operation, waited for; what else ends meanwhile is not lost. */
  #sizeOf(file: File): number {
    const handle = this.#buffers.length + this.#tokens.length;
    const stat = this.#client.stat(file.ioFile, handle);
    let res: number | undefined;
    while (res === undefined) {
      this.#client.park();
      res = this.#take(handle);
    }
    if (res < 0) throw new StorageIoError(`stat of ${file.path}`, -res);
    return stat.size;
  }

  deregisterFd(fd: IoFd): void {
    this.#check();
    const registered = this.#file(fd);
    if (registered.pending > 0) {
      throw new BusyError(
        `${registered.pending} operations are pending on ${registered.file.path}: poll them first`,
      );
    }
    this.#forget(registered);
  }

  #forget(registered: Registered): void {
    const slot = registered.fd % FILES_MAX;
    this.#files[slot] = undefined;
    this.#generations[slot]++;
    // What was written is written; a close that fails changes nothing about it.
    registered.file.close().catch(() => {});
  }

  #file(fd: IoFd): Registered {
    const registered = this.#files[fd % FILES_MAX];
    if (registered === undefined || registered.fd !== fd) {
      throw new BadFdError(`no file is registered as ${String(fd)}`);
    }
    return registered;
  }

  // Submissions. Everything is checked before anything is changed.

  submitWrite(fd: IoFd, data: ArrayBufferView, offset: number): number {
    this.#check();
    const file = this.#file(fd);
    const bytes = bytesOf(data);
    const { length } = bytes;
    checkOffset(offset, length);
    this.#checkAligned(file, offset, length);
    const chunks = Math.ceil(length / this.#bufferBytes);
    this.#checkRoom(chunks, length);
    const token = this.#takeToken(file, length, offset);
    if (length === 0) return this.#submitted(token, true);
    file.writes++;
    this.#tokenParts[token] = chunks;
    for (let at = 0; at < length; at += this.#bufferBytes) {
      const size = Math.min(this.#bufferBytes, length - at);
      const chunk = this.#takeChunk(file, token, bytes, at, size, offset + at);
      this.#chunkAppends[chunk] = 0;
      this.#ready(chunk);
    }
    file.placed = Math.max(file.placed, offset + length);
    file.end = Math.max(file.end, offset + length);
    return this.#submitted(token, false);
  }

  submitAppend(fd: IoFd, data: ArrayBufferView): number {
    this.#check();
    const file = this.#file(fd);
    const bytes = bytesOf(data);
    const { length } = bytes;
    checkOffset(file.end, length);
    this.#checkAligned(file, file.end, length);
    const tail = file.tailChunk;
    const joins = tail !== NONE && this.#chunkOut[tail] === 0 &&
      this.#chunkLength[tail] + length <= this.#bufferBytes &&
      this.#chunkOffset[tail] + this.#chunkLength[tail] === file.end;
    const chunks = joins ? 0 : Math.ceil(length / this.#bufferBytes);
    this.#checkRoom(chunks, length);
    const token = this.#takeToken(file, length, file.end);
    if (length === 0) return this.#submitted(token, true);
    file.writes++;
    if (joins) {
      this.#tokenParts[token] = 1;
      this.#buffers[tail].bytes.set(bytes, this.#chunkLength[tail]);
      this.#chunkLength[tail] += length;
      this.#tokenNext[this.#chunkLast[tail]] = token;
      this.#chunkLast[tail] = token;
    } else {
      this.#tokenParts[token] = chunks;
      for (let at = 0; at < length; at += this.#bufferBytes) {
        const size = Math.min(this.#bufferBytes, length - at);
        const chunk = this.#takeChunk(file, token, bytes, at, size, file.end + at);
        this.#chunkAppends[chunk] = 1;
        if (file.tailChunk === NONE) file.headChunk = chunk;
        else this.#chunkNext[file.tailChunk] = chunk;
        file.tailChunk = chunk;
      }
    }
    file.end += length;
    return this.#submitted(token, false);
  }

  submitDatasync(fd: IoFd): number {
    this.#check();
    const file = this.#file(fd);
    this.#checkRoom(0, 0);
    const token = this.#takeToken(file, 0, 0);
    this.#tokenAwaits[token] = file.writes;
    if (file.writes === 0) this.#readySync(token);
    else {
      if (file.tailSync === NONE) file.headSync = token;
      else this.#tokenNext[file.tailSync] = token;
      file.tailSync = token;
    }
    return this.#submitted(token, false);
  }

  #checkAligned(file: Registered, offset: number, length: number): void {
    const { unitBytes } = file;
    if (offset % unitBytes === 0 && length % unitBytes === 0) return;
    throw new IoUsageError(
      `${length} bytes at ${offset} are not in multiples of ${unitBytes}, which direct I/O on ` +
        `${file.file.path} needs`,
    );
  }

  #checkRoom(chunks: number, length: number): void {
    if (this.#freeTokenCount === 0) {
      throw new QueueFullError(`${this.#tokens.length} operations are pending, which is the limit`);
    }
    if (chunks > this.#freeChunkCount) {
      throw new BufferExhaustedError(
        `${length} bytes need ${chunks} buffers of ${this.#bufferBytes} bytes, and of ` +
          `${this.#buffers.length} are ${this.#freeChunkCount} free: poll first`,
      );
    }
  }

  #takeToken(file: Registered, length: number, start: number): number {
    const token = this.#freeTokens[--this.#freeTokenCount];
    this.#tokens[token] = this.#nextToken++;
    this.#tokenFile[token] = file;
    this.#tokenRes[token] = length;
    this.#tokenError[token] = 0;
    this.#tokenParts[token] = 0;
    this.#tokenStart[token] = start;
    this.#tokenNext[token] = NONE;
    this.#tokenAwaits[token] = NONE;
    file.pending++;
    return token;
  }

  #takeChunk(
    file: Registered,
    token: number,
    bytes: Uint8Array,
    at: number,
    size: number,
    offset: number,
  ): number {
    const chunk = this.#freeChunks[--this.#freeChunkCount];
    const part = size === bytes.length ? bytes : bytes.subarray(at, at + size);
    this.#buffers[chunk].bytes.set(part);
    this.#chunkFile[chunk] = file;
    this.#chunkOffset[chunk] = offset;
    this.#chunkLength[chunk] = size;
    this.#chunkDone[chunk] = 0;
    this.#chunkRetries[chunk] = 0;
    this.#chunkOut[chunk] = 0;
    this.#chunkNext[chunk] = NONE;
    this.#chunkFirst[chunk] = this.#chunkLast[chunk] = token;
    this.#chunkFirstBytes[chunk] = size;
    return chunk;
  }

  #submitted(token: number, over: boolean): number {
    const number = this.#tokens[token];
    this.#sinceFlush++;
    if (over) this.#end(token);
    return number;
  }

  // Handing over

  #ready(chunk: number): void {
    this.#chunkNext[chunk] = NONE;
    if (this.#tailReady === NONE) this.#headReady = chunk;
    else this.#chunkNext[this.#tailReady] = chunk;
    this.#tailReady = chunk;
  }

  #readySync(token: number): void {
    this.#tokenNext[token] = NONE;
    if (this.#tailReadySync === NONE) this.#headReadySync = token;
    else this.#tokenNext[this.#tailReadySync] = token;
    this.#tailReadySync = token;
  }

  /** Gives the `Io` what it has room for. */
  #handOver(): void {
    while (this.#headReady !== NONE) {
      const chunk = this.#headReady;
      const next = this.#chunkNext[chunk];
      if (!this.#write(chunk)) return;
      this.#headReady = next;
      if (next === NONE) this.#tailReady = NONE;
    }
    for (let slot = 0; slot < this.#files.length; slot++) {
      const head = this.#files[slot]?.headChunk ?? NONE;
      if (head !== NONE && this.#chunkOut[head] === 0 && !this.#write(head)) return;
    }
    while (this.#headReadySync !== NONE) {
      const token = this.#headReadySync;
      const next = this.#tokenNext[token];
      if (!this.#sync(token)) return;
      this.#headReadySync = next;
      if (next === NONE) this.#tailReadySync = NONE;
    }
  }

  /** Whether the `Io` took it. */
  #write(chunk: number): boolean {
    if (this.#client.available === 0) return false;
    const file = this.#chunkFile[chunk]!;
    const done = this.#chunkDone[chunk];
    try {
      this.#client.writeAt(
        file.file.ioFile,
        this.#buffers[chunk],
        done,
        this.#chunkLength[chunk] - done,
        this.#chunkOffset[chunk] + done,
        0,
        chunk,
      );
      this.#chunkOut[chunk] = 1;
    } catch (error) {
      if (error instanceof IoFullError) return false;
      if (!(error instanceof IoUsageError)) throw error;
      // The file was closed under this.
      this.#chunkOut[chunk] = 1;
      this.#chunkOver(chunk, -EBADF);
    }
    return true;
  }

  #sync(token: number): boolean {
    if (this.#client.available === 0) return false;
    try {
      const { ioFile } = this.#tokenFile[token]!.file;
      this.#client.fdatasync(ioFile, this.#buffers.length + token);
    } catch (error) {
      if (error instanceof IoFullError) return false;
      if (!(error instanceof IoUsageError)) throw error;
      this.#tokenError[token] = -EBADF;
      this.#end(token);
    }
    return true;
  }

  // Ends

  /** The rows of the last poll of the client; gives the `res` of one handle, if it is among them. */
  #take(wanted: number): number | undefined {
    const { completions } = this.#client;
    let found: number | undefined;
    for (let row = 0; row < completions.length; row++) {
      const handle = completions.userData[row];
      const res = completions.res[row];
      if (handle === wanted) found = res;
      else if (handle < this.#buffers.length) this.#chunkEnded(handle, res);
      else this.#syncEnded(handle - this.#buffers.length, res);
    }
    completions.clear();
    return found;
  }

  #chunkEnded(chunk: number, res: number): void {
    const file = this.#chunkFile[chunk]!;
    const progress = res > 0 ? res - res % file.unitBytes : 0;
    this.#chunkDone[chunk] += progress;
    const over = this.#chunkDone[chunk] >= this.#chunkLength[chunk];
    const again = !over && (progress > 0 || res === 0 || res === -EINTR || res === -EAGAIN);
    if (again && (progress > 0 || ++this.#chunkRetries[chunk] <= RETRIES_MAX)) {
      this.#chunkOut[chunk] = 0;
      // One of appends is the first of its queue, and found there.
      if (this.#chunkAppends[chunk] === 0) this.#ready(chunk);
      return;
    }
    this.#chunkOver(chunk, over ? 0 : res < 0 ? res : -EIO);
  }

  /** A chunk has ended, with an error or without: so have its parts of tokens. */
  #chunkOver(chunk: number, error: number): void {
    const file = this.#chunkFile[chunk]!;
    const appends = this.#chunkAppends[chunk] === 1;
    const done = this.#chunkDone[chunk];
    if (done > 0) file.written = Math.max(file.written, this.#chunkOffset[chunk] + done);
    if (error < 0) file.failed = true;
    if (appends) {
      file.headChunk = this.#chunkNext[chunk];
      if (file.headChunk === NONE) file.tailChunk = NONE;
    }
    const failed = this.#partsOver(chunk, done, error, appends);
    if (appends && error < 0) {
      // Nothing goes behind a hole.
      while (file.headChunk !== NONE) {
        const next = this.#chunkNext[file.headChunk];
        this.#partsOver(file.headChunk, 0, -ECANCELED, true);
        file.headChunk = next;
      }
      file.tailChunk = NONE;
      file.end = Math.max(failed, file.placed);
      file.written = Math.min(file.written, file.end);
    }
    if (file.writes === 0) {
      if (file.failed) file.end = file.written;
      file.failed = false;
      file.placed = 0;
    }
  }

  /** Ends the parts of a chunk, and frees it; gives the offset where the first failed token began. */
  #partsOver(chunk: number, done: number, error: number, appends: boolean): number {
    let failed = Infinity;
    let at = 0;
    let code = error;
    const last = this.#chunkLast[chunk];
    for (let token = this.#chunkFirst[chunk];;) {
      const next = this.#tokenNext[token];
      const isFirst = token === this.#chunkFirst[chunk];
      at += isFirst ? this.#chunkFirstBytes[chunk] : this.#tokenRes[token];
      if (at > done && code < 0) {
        failed = Math.min(failed, this.#tokenStart[token]);
        if (this.#tokenError[token] === 0) this.#tokenError[token] = code;
        if (appends) code = -ECANCELED;
      }
      if (--this.#tokenParts[token] === 0) this.#writeEnded(token);
      if (token === last) break;
      token = next;
    }
    this.#chunkFile[chunk] = undefined;
    this.#freeChunks[this.#freeChunkCount++] = chunk;
    return failed;
  }

  #writeEnded(token: number): void {
    const file = this.#tokenFile[token]!;
    file.writes--;
    const number = this.#tokens[token];
    let sync = file.headSync;
    let previous = NONE;
    while (sync !== NONE) {
      const next = this.#tokenNext[sync];
      if (this.#tokens[sync] > number && --this.#tokenAwaits[sync] === 0) {
        if (previous === NONE) file.headSync = next;
        else this.#tokenNext[previous] = next;
        if (file.tailSync === sync) file.tailSync = previous;
        this.#readySync(sync);
      } else previous = sync;
      sync = next;
    }
    this.#end(token);
  }

  #syncEnded(token: number, res: number): void {
    const interrupted = res === -EINTR || res === -EAGAIN;
    // A sync has no parts: its column counts how often it was tried again.
    if (interrupted && ++this.#tokenParts[token] <= RETRIES_MAX) {
      this.#readySync(token);
      return;
    }
    this.#tokenError[token] = Math.min(res, 0);
    this.#end(token);
  }

  #end(token: number): void {
    const { length } = this.#ended;
    this.#ended[(this.#endedFrom + this.#endedCount++) % length] = token;
    this.#tokenFile[token]!.pending--;
  }

  // Turns

  flush(): number {
    this.#check();
    this.#turn();
    const count = this.#sinceFlush;
    this.#sinceFlush = 0;
    return count;
  }

  /** Hands over, and takes what has ended, until neither goes on by itself. */
  #turn(): void {
    this.#handOver();
    while (this.#client.inFlight > 0 && this.#client.poll() > 0) {
      this.#take(NONE);
      this.#handOver();
    }
  }

  pollCompletions(out: CompletionArray): number {
    this.#check();
    if (!(out instanceof CompletionArray)) {
      throw new IoUsageError("completions are polled into a CompletionArray");
    }
    this.#turn();
    let count = 0;
    while (this.#endedCount > 0 && out.length < out.capacity) {
      const token = this.#ended[this.#endedFrom];
      const error = this.#tokenError[token];
      out.push(this.#tokens[token], error < 0 ? error : this.#tokenRes[token], 0);
      this.#endedFrom = (this.#endedFrom + 1) % this.#ended.length;
      this.#endedCount--;
      this.#tokenFile[token] = undefined;
      this.#freeTokens[this.#freeTokenCount++] = token;
      count++;
    }
    return count;
  }

  park(timeoutMicros = Infinity): void {
    this.#check();
    const deadline = this.#client.now() + timeoutMicros;
    this.#turn();
    while (this.#endedCount === 0 && this.pendingCount > 0) {
      const left = deadline - this.#client.now();
      // Others hold all operations of the Io, and cannot give them back while this one blocks.
      if (left <= 0 || this.#client.inFlight === 0) return;
      this.#client.park(left);
      this.#take(NONE);
      this.#turn();
    }
  }

  async wait(): Promise<void> {
    this.#check();
    this.#turn();
    while (this.#endedCount === 0 && this.pendingCount > 0) {
      if (this.#client.inFlight > 0) await this.#client.wait();
      else await new Promise((resolve) => setTimeout(resolve, RETRY_MILLIS));
      if (this.#closed) return;
      this.#turn();
    }
  }

  close(): void {
    if (this.#closed) return;
    // What was polled for or not, it reaches the files.
    this.#turn();
    while (this.pendingCount > this.#endedCount) {
      if (this.#client.inFlight === 0) {
        throw new BusyError(
          "other users of this Io hold all of its operations: let them poll first",
        );
      }
      this.#client.park();
      this.#take(NONE);
      this.#turn();
    }
    this.#closed = true;
    for (const registered of this.#files) if (registered !== undefined) this.#forget(registered);
    this.#release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  #release(): void {
    for (const buffer of this.#buffers) this.#client.releaseBuffer(buffer);
    this.#client[Symbol.dispose]();
    if (this.#ownsIo) this.io[Symbol.dispose]();
  }

  #check(): void {
    if (this.#closed) throw new ClosedError("this storage was closed");
  }
}

function integer(name: string, value: unknown, least: number, most: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) {
    return value as number;
  }
  throw new IoUsageError(`${name} is from ${least} to ${most}, not ${String(value)}`);
}
