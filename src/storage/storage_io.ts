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
import { errnoText } from "../abi/errno.ts";
import { bytesOf, checkOffset } from "../file/bytes.ts";
import { File } from "../file/file.ts";
import {
  type Io,
  type IoBuffer,
  type IoFile,
  IoFullError,
  type IoStat,
  IoUsageError,
} from "../io/io.ts";
import { OpenFile } from "../io/backend.ts";
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
   * Registers an open file. It must not be closed otherwise while it is registered. Its own writes and
   * truncations go on being possible: a `submitDatasync` covers the writes that were begun before, and
   * appends go behind them. What is written by hand, by `io.writeAt(file.ioFile, …)`, is not known here.
   *
   * A number is a descriptor that something else opened, where the runtime's numbers are the kernel's
   * (under Bun, on Linux). It is duplicated: close your own when you like.
   *
   * @throws {QueueFullError} when the table of files is full.
   * @throws {BadFdError} when it is no open file of `io`, registered already, or no descriptor of a file.
   * @throws {BusyError} when operations of the file are in flight.
   * @throws {StorageIoError} when its size cannot be found out.
   */
  registerFd(file: File | number): IoFd;
  /**
   * Closes the file; of a descriptor, the duplicate.
   *
   * @throws {BusyError} when something is pending on it, also by the `File` itself, or by hand.
   */
  deregisterFd(fd: IoFd): void;

  /**
   * Writes `data` at `offset`; the result is its length. The data is copied. Overlapping writes that are
   * pending together have no order. Not on a file that was opened to append.
   *
   * @throws {BufferExhaustedError} when the data does not fit the free buffers.
   * @throws {QueueFullError} when as many tokens are pending as there can be.
   */
  submitWrite(fd: IoFd, data: ArrayBufferView, offset: number): number;
  /**
   * Writes `data` behind the end that everything submitted before will make; the result is its length.
   * Appends that are pending behind one that fails end with -ECANCELED, and the end is where the failed
   * one began. Only on a regular file: of a device nobody says where its data ends.
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
   * @throws {BusyError} when operations by hand are in flight on a file of an `Io` that goes on.
   */
  close(): void;
}

/** Options of every storage. */
export interface StorageOptions {
  /** Files that can be registered together; 64. */
  files?: number;
  /** Operations that can be pending together; 4,096. */
  tokens?: number;
  /** Bytes of a buffer, a multiple of the block size; 64 KiB. */
  bufferBytes?: number;
  /** Buffers; 48. */
  buffers?: number;
}

const FILES = 64;
const FILES_MAX = 4096;
const TOKENS = 4096;
/** Appends of a file that come while one is written share a buffer: so much goes out by the next write. */
const BUFFER_BYTES = 64 * 1024;
const BUFFERS = 48;

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
const EBADF = 9;
const ECANCELED = 125;
/** EINTR, EAGAIN, and writes without progress, before a chunk counts as failed. */
const RETRIES_MAX = 100;
/** Operations that no other user of the `Io` can take, so that this goes on whatever they do. */
const RESERVED = 1;
const NONE = -1;
/** The largest result. */
const RESULT_MAX = 0x7fff_ffff;

class Registered {
  /** A regular file: its size says where it ends. */
  readonly isFile: boolean;
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
  /** Of the writes: those of the `File` itself. */
  foreign = 0;
  /** Chunks of appends: the first is the one to write next, or being written. */
  headChunk = NONE;
  tailChunk = NONE;
  /** Among those with a chunk of appends to hand over. */
  ready = false;
  /** Syncs that wait for writes, oldest first, by token slot. */
  headSync = NONE;
  tailSync = NONE;

  constructor(
    readonly ioFile: IoFile,
    /** Unless it is an adopted descriptor. */
    readonly file: File | undefined,
    readonly fd: number,
    /** Alignment of offsets and lengths, 1 without direct I/O. */
    readonly unitBytes: number,
    { size, isFile }: IoStat,
  ) {
    this.end = this.written = size;
    this.isFile = isFile;
  }
}

/** The policy, over any `Io`. */
export class StoragePolicy implements StorageIo {
  readonly io: Io;
  private readonly _client: Io;
  private readonly _ownsIo: boolean;
  private _closing = false;
  private _closed = false;

  // Files, by slot; the generation makes an fd of a slot unlike the one before.
  private readonly _files: (Registered | undefined)[];
  private readonly _generations: Float64Array;

  // Chunks, by number, which is that of their buffer.
  private readonly _bufferBytes: number;
  /** Alignment of the buffers. */
  private readonly _blockBytes: number;
  private readonly _buffers: IoBuffer[] = [];
  private readonly _freeChunks: Int32Array;
  private _freeChunkCount: number;
  private readonly _chunkFile: (Registered | undefined)[];
  private readonly _chunkOffset: Float64Array;
  private readonly _chunkLength: Int32Array;
  private readonly _chunkDone: Int32Array;
  private readonly _chunkRetries: Int32Array;
  /** 1: handed to the `Io`. */
  private readonly _chunkOut: Uint8Array;
  /** 1: one of a queue of appends. */
  private readonly _chunkAppends: Uint8Array;
  /** Next in the queue of appends, or among those to hand over. */
  private readonly _chunkNext: Int32Array;
  /** Its tokens, linked, and the bytes in it of the first one, which may have begun in another. */
  private readonly _chunkFirst: Int32Array;
  private readonly _chunkLast: Int32Array;
  private readonly _chunkFirstBytes: Int32Array;

  // Tokens, by slot.
  private readonly _tokens: Float64Array;
  private readonly _tokenFile: (Registered | undefined)[];
  private readonly _tokenRes: Int32Array;
  private readonly _tokenError: Int32Array;
  private readonly _tokenParts: Int32Array;
  private readonly _tokenStart: Float64Array;
  /** Next in a chunk, or among syncs. */
  private readonly _tokenNext: Int32Array;
  /** Of a sync: writes before it that have not ended. Of a write: -1. */
  private readonly _tokenAwaits: Int32Array;
  private readonly _freeTokens: Int32Array;
  private _freeTokenCount: number;
  /** Ended, in order, as a ring. */
  private readonly _ended: Int32Array;
  private _endedFrom = 0;
  private _endedCount = 0;

  // To hand over: chunks and syncs for which the Io had no room.
  private _headReady = NONE;
  private _tailReady = NONE;
  private readonly _readyFiles: Int32Array;
  private _readyFileCount = 0;
  private _headReadySync = NONE;
  private _tailReadySync = NONE;

  private _nextToken = 1;
  /** Called when a write of a file itself has ended; one for each wait under way. */
  private readonly _foreignWaiters: (() => void)[] = [];
  private _sinceFlush = 0;

  /** @param ownsIo The `Io` ends with this. */
  constructor(io: Io, ownsIo: boolean, options: StorageOptions = {}) {
    const files = integer("files", options.files ?? FILES, 1, FILES_MAX);
    const tokens = integer("tokens", options.tokens ?? TOKENS, 1, 1 << 20);
    const buffers = integer("buffers", options.buffers ?? BUFFERS, 1, 1 << 16);
    const bufferBytes = integer("bufferBytes", options.bufferBytes ?? BUFFER_BYTES, 1, 1 << 30);
    this.io = io;
    this._ownsIo = ownsIo;
    this._client = this._openClient();
    this._blockBytes = io.blockSize;
    this._bufferBytes = Math.ceil(bufferBytes / io.blockSize) * io.blockSize;
    for (let i = 0; i < buffers; i++) {
      const buffer = this._client.acquireBuffer(this._bufferBytes);
      if (buffer === undefined) {
        this._release();
        throw new BufferExhaustedError(
          `the arena has no room for ${buffers} buffers of ${this._bufferBytes} bytes: ask for ` +
            "fewer or smaller ones, or open the Io with a larger arena",
        );
      }
      this._buffers.push(buffer);
    }
    this._files = new Array(files).fill(undefined);
    this._readyFiles = new Int32Array(files);
    this._generations = new Float64Array(files).fill(1);
    this._freeChunks = Int32Array.from({ length: buffers }, (_, i) => buffers - 1 - i);
    this._freeChunkCount = buffers;
    this._chunkFile = new Array(buffers).fill(undefined);
    this._chunkOffset = new Float64Array(buffers);
    this._chunkLength = new Int32Array(buffers);
    this._chunkDone = new Int32Array(buffers);
    this._chunkRetries = new Int32Array(buffers);
    this._chunkOut = new Uint8Array(buffers);
    this._chunkAppends = new Uint8Array(buffers);
    this._chunkNext = new Int32Array(buffers);
    this._chunkFirst = new Int32Array(buffers);
    this._chunkLast = new Int32Array(buffers);
    this._chunkFirstBytes = new Int32Array(buffers);
    this._tokens = new Float64Array(tokens);
    this._tokenFile = new Array(tokens).fill(undefined);
    this._tokenRes = new Int32Array(tokens);
    this._tokenError = new Int32Array(tokens);
    this._tokenParts = new Int32Array(tokens);
    this._tokenStart = new Float64Array(tokens);
    this._tokenNext = new Int32Array(tokens);
    this._tokenAwaits = new Int32Array(tokens);
    this._freeTokens = Int32Array.from({ length: tokens }, (_, i) => tokens - 1 - i);
    this._freeTokenCount = tokens;
    this._ended = new Int32Array(tokens);
  }

  private _openClient(): Io {
    try {
      return this.io.client("storage", RESERVED);
    } catch (error) {
      if (!(error instanceof IoFullError)) throw error;
      throw new QueueFullError(`no operation of the Io is free to be reserved: ${error.message}`);
    }
  }

  get pendingCount(): number {
    return this._tokens.length - this._freeTokenCount;
  }

  // Files

  registerFd(file: File | number): IoFd {
    this._check();
    const slot = this._files.indexOf(undefined);
    if (slot < 0) {
      throw new QueueFullError(`${this._files.length} files are registered, which is the limit`);
    }
    if (typeof file === "number") return this._register(slot, this._adopt(file), undefined);
    if (!(file instanceof File)) {
      throw new BadFdError(
        `a file or a descriptor is registered, not ${file === null ? file : typeof file}`,
      );
    }
    try {
      this._client.alignment(file.ioFile);
    } catch (error) {
      if (!(error instanceof IoUsageError)) throw error;
      throw new BadFdError(`this file cannot be registered: ${error.message}`);
    }
    if (file.closed) throw new BadFdError(`${file.path} is closed`);
    if (file.watched) throw new BadFdError(`${file.path} is registered already`);
    if (file.inFlight > 0) {
      throw new BusyError(
        `${file.inFlight} operations are in flight on ${file.path}: await them first`,
      );
    }
    return this._register(slot, file.ioFile, file);
  }

  private _register(slot: number, ioFile: IoFile, file: File | undefined): IoFd {
    const client = this._client;
    const unitBytes = ioFile.options.direct ? Math.max(1, client.alignment(ioFile).offset) : 1;
    const fd = this._generations[slot] * FILES_MAX + slot;
    try {
      const memory = unitBytes > 1 ? client.alignment(ioFile).memory : 1;
      if (this._blockBytes % memory !== 0) {
        throw new IoUsageError(
          `direct I/O on ${ioFile.path} needs memory in multiples of ${memory}, and the buffers were ` +
            "acquired before it was opened: open the storage behind it",
        );
      }
      if (this._bufferBytes % unitBytes !== 0) {
        throw new IoUsageError(
          `direct I/O on ${ioFile.path} needs buffers in multiples of ${unitBytes} bytes: open the ` +
            "storage with such `bufferBytes`",
        );
      }
      const registered = new Registered(ioFile, file, fd, unitBytes, this._statOf(ioFile));
      this._files[slot] = registered;
      file?.watch({
        writeStarted: (offset, length) => this._foreignStarted(registered, offset, length),
        writeEnded: (stamp, reached, failed) =>
          this._foreignEnded(registered, stamp, reached, failed),
        resized: (size, exact) => this._resized(registered, size, exact),
      });
      return fd as IoFd;
    } catch (error) {
      if (file === undefined) this._run((handle) => client.close(ioFile, handle));
      throw error;
    }
  }

  /** The duplicate of a descriptor. */
  private _adopt(descriptor: number): IoFile {
    let file!: IoFile;
    let res: number;
    try {
      res = this._run((handle) => file = this._client.adoptFd(descriptor, handle));
    } catch (error) {
      if (!(error instanceof IoUsageError)) throw error;
      throw new BadFdError(error.message);
    }
    if (res === 0) return file;
    const why = res === -EBADF ? "there is no such descriptor" : errnoText(-res);
    throw new BadFdError(`descriptor ${descriptor} cannot be registered: ${why}`);
  }

  private _statOf(file: IoFile): IoStat {
    let stat!: IoStat;
    const res = this._run((handle) => stat = this._client.stat(file, handle));
    if (res < 0) throw new StorageIoError(`stat of ${file.path}`, -res);
    return stat;
  }

  /** One operation, waited for; what else ends meanwhile is not lost. */
  private _run(start: (handle: number) => void): number {
    const client = this._client;
    while (client.available === 0) {
      client.park();
      this._take(NONE);
    }
    const handle = this._buffers.length + this._tokens.length;
    start(handle);
    for (;;) {
      client.park();
      const res = this._take(handle);
      if (res !== undefined) return res;
    }
  }

  deregisterFd(fd: IoFd): void {
    this._check();
    const registered = this._file(fd);
    if (registered.pending > 0) {
      throw new BusyError(
        `${registered.pending} operations are pending on ${registered.ioFile.path}: poll them first`,
      );
    }
    this._checkIdle(registered);
    this._forget(registered);
  }

  /** Nothing that is not a token is in flight on it, which would keep it from being closed. */
  private _checkIdle({ ioFile, file }: Registered): void {
    const byHand = ioFile instanceof OpenFile ? ioFile.inFlight : 0;
    if (byHand === 0 && (file?.inFlight ?? 0) === 0) return;
    throw new BusyError(
      `operations of the file itself, or by hand, are in flight on ${ioFile.path}: await them first`,
    );
  }

  private _forget(registered: Registered): void {
    const slot = registered.fd % FILES_MAX;
    // Its slot may be another file's before the next turn.
    if (registered.ready) {
      const at = this._readyFiles.indexOf(slot);
      this._readyFiles[at] = this._readyFiles[--this._readyFileCount];
    }
    this._files[slot] = undefined;
    this._generations[slot]++;
    const { file, ioFile } = registered;
    // What was written is written; a close that fails changes nothing about it.
    if (file === undefined) this._run((handle) => this._client.close(ioFile, handle));
    else {
      file.watch(undefined);
      // The Io may end with this, and closing goes on in the event loop.
      if (this._closing) file.settle();
      file.close().catch(() => {});
    }
  }

  private _file(fd: IoFd): Registered {
    const registered = this._files[fd % FILES_MAX];
    if (registered === undefined || registered.fd !== fd) {
      throw new BadFdError(`no file is registered as ${String(fd)}`);
    }
    return registered;
  }

  // Submissions. Everything is checked before anything is changed.

  submitWrite(fd: IoFd, data: ArrayBufferView, offset: number): number {
    this._check();
    const file = this._file(fd);
    const bytes = bytesOf(data);
    const { length } = bytes;
    checkOffset(offset, length);
    checkLength(length);
    if (file.ioFile.options.append) {
      throw new IoUsageError(
        `${file.ioFile.path} was opened to append, where a write has no offset: use submitAppend`,
      );
    }
    this._checkAligned(file, offset, length);
    const chunks = Math.ceil(length / this._bufferBytes);
    this._checkRoom(chunks, length);
    const token = this._takeToken(file, length, offset);
    if (length === 0) return this._submitted(token, true);
    file.writes++;
    this._tokenParts[token] = chunks;
    for (let at = 0; at < length; at += this._bufferBytes) {
      const size = Math.min(this._bufferBytes, length - at);
      const chunk = this._takeChunk(file, token, bytes, at, size, offset + at);
      this._chunkAppends[chunk] = 0;
      this._ready(chunk);
    }
    file.placed = Math.max(file.placed, offset + length);
    file.end = Math.max(file.end, offset + length);
    return this._submitted(token, false);
  }

  submitAppend(fd: IoFd, data: ArrayBufferView): number {
    this._check();
    const file = this._file(fd);
    const bytes = bytesOf(data);
    const { length } = bytes;
    if (!file.isFile) {
      throw new IoUsageError(
        `${file.ioFile.path} is no regular file, and has no end to append to: use submitWrite`,
      );
    }
    checkOffset(file.end, length);
    checkLength(length);
    this._checkAligned(file, file.end, length);
    const tail = file.tailChunk;
    const joins = tail !== NONE && this._chunkOut[tail] === 0 &&
      this._chunkLength[tail] + length <= this._bufferBytes &&
      this._chunkOffset[tail] + this._chunkLength[tail] === file.end;
    const chunks = joins ? 0 : Math.ceil(length / this._bufferBytes);
    this._checkRoom(chunks, length);
    const token = this._takeToken(file, length, file.end);
    if (length === 0) return this._submitted(token, true);
    file.writes++;
    if (joins) {
      this._tokenParts[token] = 1;
      this._buffers[tail].bytes.set(bytes, this._chunkLength[tail]);
      this._chunkLength[tail] += length;
      this._tokenNext[this._chunkLast[tail]] = token;
      this._chunkLast[tail] = token;
    } else {
      this._tokenParts[token] = chunks;
      for (let at = 0; at < length; at += this._bufferBytes) {
        const size = Math.min(this._bufferBytes, length - at);
        const chunk = this._takeChunk(file, token, bytes, at, size, file.end + at);
        this._chunkAppends[chunk] = 1;
        if (file.tailChunk === NONE) {
          file.headChunk = chunk;
          this._readyAppends(file);
        } else this._chunkNext[file.tailChunk] = chunk;
        file.tailChunk = chunk;
      }
    }
    file.end += length;
    return this._submitted(token, false);
  }

  submitDatasync(fd: IoFd): number {
    this._check();
    const file = this._file(fd);
    this._checkRoom(0, 0);
    const token = this._takeToken(file, 0, 0);
    this._tokenAwaits[token] = file.writes;
    if (file.writes === 0) this._readySync(token);
    else {
      if (file.tailSync === NONE) file.headSync = token;
      else this._tokenNext[file.tailSync] = token;
      file.tailSync = token;
    }
    return this._submitted(token, false);
  }

  private _checkAligned(file: Registered, offset: number, length: number): void {
    const { unitBytes } = file;
    if (offset % unitBytes === 0 && length % unitBytes === 0) return;
    throw new IoUsageError(
      `${length} bytes at ${offset} are not in multiples of ${unitBytes}, which direct I/O on ` +
        `${file.ioFile.path} needs`,
    );
  }

  private _checkRoom(chunks: number, length: number): void {
    if (this._freeTokenCount === 0) {
      throw new QueueFullError(`${this._tokens.length} operations are pending, which is the limit`);
    }
    if (chunks > this._freeChunkCount) {
      throw new BufferExhaustedError(
        `${length} bytes need ${chunks} buffers of ${this._bufferBytes} bytes, and of ` +
          `${this._buffers.length} are ${this._freeChunkCount} free: poll first`,
      );
    }
  }

  private _takeToken(file: Registered, length: number, start: number): number {
    const token = this._freeTokens[--this._freeTokenCount];
    this._tokens[token] = this._nextToken++;
    this._tokenFile[token] = file;
    this._tokenRes[token] = length;
    this._tokenError[token] = 0;
    this._tokenParts[token] = 0;
    this._tokenStart[token] = start;
    this._tokenNext[token] = NONE;
    this._tokenAwaits[token] = NONE;
    file.pending++;
    return token;
  }

  private _takeChunk(
    file: Registered,
    token: number,
    bytes: Uint8Array,
    at: number,
    size: number,
    offset: number,
  ): number {
    const chunk = this._freeChunks[--this._freeChunkCount];
    const part = size === bytes.length ? bytes : bytes.subarray(at, at + size);
    this._buffers[chunk].bytes.set(part);
    this._chunkFile[chunk] = file;
    this._chunkOffset[chunk] = offset;
    this._chunkLength[chunk] = size;
    this._chunkDone[chunk] = 0;
    this._chunkRetries[chunk] = 0;
    this._chunkOut[chunk] = 0;
    this._chunkNext[chunk] = NONE;
    this._chunkFirst[chunk] = this._chunkLast[chunk] = token;
    this._chunkFirstBytes[chunk] = size;
    return chunk;
  }

  private _submitted(token: number, over: boolean): number {
    const number = this._tokens[token];
    this._sinceFlush++;
    if (over) this._end(token);
    return number;
  }

  // Handing over

  private _ready(chunk: number): void {
    this._chunkNext[chunk] = NONE;
    if (this._tailReady === NONE) this._headReady = chunk;
    else this._chunkNext[this._tailReady] = chunk;
    this._tailReady = chunk;
  }

  /** The first chunk of its appends is to be written. */
  private _readyAppends(file: Registered): void {
    if (file.ready) return;
    file.ready = true;
    this._readyFiles[this._readyFileCount++] = file.fd % FILES_MAX;
  }

  private _readySync(token: number): void {
    this._tokenNext[token] = NONE;
    if (this._tailReadySync === NONE) this._headReadySync = token;
    else this._tokenNext[this._tailReadySync] = token;
    this._tailReadySync = token;
  }

  /** Gives the `Io` what it has room for. */
  private _handOver(): void {
    while (this._headReady !== NONE) {
      const chunk = this._headReady;
      const next = this._chunkNext[chunk];
      if (!this._write(chunk)) return;
      this._headReady = next;
      if (next === NONE) this._tailReady = NONE;
    }
    while (this._readyFileCount > 0) {
      const file = this._files[this._readyFiles[this._readyFileCount - 1]];
      if (file!.headChunk !== NONE && !this._write(file!.headChunk)) return;
      file!.ready = false;
      this._readyFileCount--;
    }
    while (this._headReadySync !== NONE) {
      const token = this._headReadySync;
      const next = this._tokenNext[token];
      if (!this._sync(token)) return;
      this._headReadySync = next;
      if (next === NONE) this._tailReadySync = NONE;
    }
  }

  /** Whether the `Io` took it. */
  private _write(chunk: number): boolean {
    if (this._client.available === 0) return false;
    const file = this._chunkFile[chunk]!;
    const done = this._chunkDone[chunk];
    try {
      this._client.writeAt(
        file.ioFile,
        this._buffers[chunk],
        done,
        this._chunkLength[chunk] - done,
        this._chunkOffset[chunk] + done,
        0,
        chunk,
      );
      this._chunkOut[chunk] = 1;
    } catch (error) {
      if (error instanceof IoFullError) return false;
      if (!(error instanceof IoUsageError)) throw error;
      // The file was closed under this.
      this._chunkOut[chunk] = 1;
      this._chunkOver(chunk, -EBADF);
    }
    return true;
  }

  private _sync(token: number): boolean {
    if (this._client.available === 0) return false;
    try {
      const { ioFile } = this._tokenFile[token]!;
      this._client.fdatasync(ioFile, this._buffers.length + token);
    } catch (error) {
      if (error instanceof IoFullError) return false;
      if (!(error instanceof IoUsageError)) throw error;
      this._tokenError[token] = -EBADF;
      this._end(token);
    }
    return true;
  }

  // Ends

  /** The rows of the last poll of the client; gives the `res` of one handle, if it is among them. */
  private _take(wanted: number): number | undefined {
    const { completions } = this._client;
    let found: number | undefined;
    for (let row = 0; row < completions.length; row++) {
      const handle = completions.userData[row];
      const res = completions.res[row];
      if (handle === wanted) found = res;
      else if (handle < this._buffers.length) this._chunkEnded(handle, res);
      else this._syncEnded(handle - this._buffers.length, res);
    }
    completions.clear();
    return found;
  }

  private _chunkEnded(chunk: number, res: number): void {
    const file = this._chunkFile[chunk]!;
    const progress = res > 0 ? res - res % file.unitBytes : 0;
    this._chunkDone[chunk] += progress;
    const over = this._chunkDone[chunk] >= this._chunkLength[chunk];
    const again = !over && (progress > 0 || res === 0 || res === -EINTR || res === -EAGAIN);
    if (again && (progress > 0 || ++this._chunkRetries[chunk] <= RETRIES_MAX)) {
      this._chunkOut[chunk] = 0;
      if (this._chunkAppends[chunk] === 0) this._ready(chunk);
      else this._readyAppends(file);
      return;
    }
    this._chunkOver(chunk, over ? 0 : res < 0 ? res : -EIO);
  }

  /** A chunk has ended, with an error or without: so have its parts of tokens. */
  private _chunkOver(chunk: number, error: number): void {
    const file = this._chunkFile[chunk]!;
    const appends = this._chunkAppends[chunk] === 1;
    const done = this._chunkDone[chunk];
    if (done > 0) file.written = Math.max(file.written, this._chunkOffset[chunk] + done);
    if (error < 0) file.failed = true;
    if (appends) {
      file.headChunk = this._chunkNext[chunk];
      if (file.headChunk === NONE) file.tailChunk = NONE;
    }
    const failed = this._partsOver(chunk, done, error, appends);
    if (appends && error < 0) {
      // Nothing goes behind a hole.
      while (file.headChunk !== NONE) {
        const next = this._chunkNext[file.headChunk];
        this._partsOver(file.headChunk, 0, -ECANCELED, true);
        file.headChunk = next;
      }
      file.tailChunk = NONE;
      file.end = Math.max(failed, file.placed);
      file.written = Math.min(file.written, file.end);
    }
    if (file.headChunk !== NONE && appends) this._readyAppends(file);
    if (file.writes === 0) this._quiet(file);
  }

  /** No write of the file is pending: its end is known. */
  private _quiet(file: Registered): void {
    if (file.failed) file.end = file.written;
    file.failed = false;
    file.placed = 0;
  }

  // What the file does by itself

  /** A write of the file goes out; it has a place among the tokens, so that syncs know what is older. */
  private _foreignStarted(file: Registered, offset: number, length: number): number {
    file.writes++;
    file.foreign++;
    file.placed = Math.max(file.placed, offset + length);
    if (length > 0) file.end = Math.max(file.end, offset + length);
    return this._nextToken++;
  }

  private _foreignEnded(file: Registered, stamp: number, reached: number, failed: boolean): void {
    file.foreign--;
    file.writes--;
    file.written = Math.max(file.written, reached);
    if (failed) file.failed = true;
    this._releaseSyncs(file, stamp);
    if (file.writes === 0) this._quiet(file);
    this._wakeWaiters();
  }

  private _wakeWaiters(): void {
    for (const wake of this._foreignWaiters.splice(0)) wake();
  }

  /** The file was cut or extended. What is pending keeps its place. */
  private _resized(file: Registered, size: number, exact: boolean): void {
    const tail = file.tailChunk;
    const appended = tail === NONE ? 0 : this._chunkOffset[tail] + this._chunkLength[tail];
    file.written = exact ? size : Math.max(file.written, size);
    file.end = Math.max(exact ? size : Math.max(size, file.end), file.placed, appended);
  }

  /** Ends the parts of a chunk, and frees it; gives the offset where the first failed token began. */
  private _partsOver(chunk: number, done: number, error: number, appends: boolean): number {
    let failed = Infinity;
    let at = 0;
    let code = error;
    const last = this._chunkLast[chunk];
    for (let token = this._chunkFirst[chunk];;) {
      const next = this._tokenNext[token];
      const isFirst = token === this._chunkFirst[chunk];
      at += isFirst ? this._chunkFirstBytes[chunk] : this._tokenRes[token];
      if (at > done && code < 0) {
        failed = Math.min(failed, this._tokenStart[token]);
        if (this._tokenError[token] === 0) this._tokenError[token] = code;
        if (appends) code = -ECANCELED;
      }
      if (--this._tokenParts[token] === 0) this._writeEnded(token);
      if (token === last) break;
      token = next;
    }
    this._chunkFile[chunk] = undefined;
    this._freeChunks[this._freeChunkCount++] = chunk;
    return failed;
  }

  private _writeEnded(token: number): void {
    const file = this._tokenFile[token]!;
    file.writes--;
    this._releaseSyncs(file, this._tokens[token]);
    this._end(token);
  }

  /** The write of this number has ended: newer syncs that waited for no other are ready. */
  private _releaseSyncs(file: Registered, number: number): void {
    let sync = file.headSync;
    let previous = NONE;
    while (sync !== NONE) {
      const next = this._tokenNext[sync];
      if (this._tokens[sync] > number && --this._tokenAwaits[sync] === 0) {
        if (previous === NONE) file.headSync = next;
        else this._tokenNext[previous] = next;
        if (file.tailSync === sync) file.tailSync = previous;
        this._readySync(sync);
      } else previous = sync;
      sync = next;
    }
  }

  private _syncEnded(token: number, res: number): void {
    const interrupted = res === -EINTR || res === -EAGAIN;
    // A sync has no parts: its column counts how often it was tried again.
    if (interrupted && ++this._tokenParts[token] <= RETRIES_MAX) {
      this._readySync(token);
      return;
    }
    this._tokenError[token] = Math.min(res, 0);
    this._end(token);
  }

  private _end(token: number): void {
    const { length } = this._ended;
    this._ended[(this._endedFrom + this._endedCount++) % length] = token;
    this._tokenFile[token]!.pending--;
  }

  // Turns

  flush(): number {
    this._check();
    this._turn();
    const count = this._sinceFlush;
    this._sinceFlush = 0;
    return count;
  }

  /** Hands over, and takes what has ended, until neither goes on by itself. */
  private _turn(): void {
    this._handOver();
    while (this._client.inFlight > 0 && this._client.poll() > 0) {
      this._take(NONE);
      this._handOver();
    }
  }

  pollCompletions(out: CompletionArray): number {
    this._check();
    if (!(out instanceof CompletionArray)) {
      throw new IoUsageError("completions are polled into a CompletionArray");
    }
    this._turn();
    let count = 0;
    while (this._endedCount > 0 && out.length < out.capacity) {
      const token = this._ended[this._endedFrom];
      const error = this._tokenError[token];
      out.push(this._tokens[token], error < 0 ? error : this._tokenRes[token], 0);
      this._endedFrom = (this._endedFrom + 1) % this._ended.length;
      this._endedCount--;
      this._tokenFile[token] = undefined;
      this._freeTokens[this._freeTokenCount++] = token;
      count++;
    }
    return count;
  }

  park(timeoutMicros = Infinity): void {
    this._check();
    const client = this._client;
    const deadline = timeoutMicros === Infinity ? Infinity : client.now() + timeoutMicros;
    this._handOver();
    // Submits and waits in one call where it can.
    while (this._endedCount === 0 && this.pendingCount > 0) {
      const left = deadline === Infinity ? Infinity : deadline - client.now();
      if (left <= 0) break;
      this._block(left);
    }
    this._turn();
  }

  /** Blocks until something has ended here, or in a file that a sync waits for, or the time is over. */
  private _block(timeoutMicros: number): void {
    const client = this._client;
    if (client.inFlight > 0) {
      client.park(timeoutMicros);
      this._take(NONE);
    } else this._foreign()?.park(timeoutMicros);
    this._handOver();
  }

  /** A file that has writes of its own in flight. */
  private _foreign(): File | undefined {
    for (const registered of this._files) {
      if (registered !== undefined && registered.foreign > 0) return registered.file;
    }
    return undefined;
  }

  async wait(): Promise<void> {
    this._check();
    this._turn();
    while (this._endedCount === 0 && this.pendingCount > 0) {
      if (this._client.inFlight > 0) await this._client.wait();
      // Syncs wait for writes of the files themselves, which the event loop brings to their ends.
      else await new Promise<void>((resolve) => this._foreignWaiters.push(resolve));
      if (this._closed) return;
      this._turn();
    }
  }

  close(): void {
    if (this._closed) return;
    // What was polled for or not, it reaches the files.
    this._turn();
    while (this.pendingCount > this._endedCount) this._block(Infinity);
    // Before anything is changed. What the files do by themselves is waited for, and an own Io cancels.
    for (const registered of this._files) {
      if (registered === undefined || this._ownsIo || (registered.file?.inFlight ?? 0) > 0) {
        continue;
      }
      this._checkIdle(registered);
    }
    this._closing = true;
    for (const registered of this._files) if (registered !== undefined) this._forget(registered);
    this._closed = true;
    this._wakeWaiters();
    this._release();
  }

  [Symbol.dispose](): void {
    this.close();
  }

  private _release(): void {
    for (const buffer of this._buffers) this._client.releaseBuffer(buffer);
    this._client[Symbol.dispose]();
    if (this._ownsIo) this.io[Symbol.dispose]();
  }

  private _check(): void {
    if (this._closed) throw new ClosedError("this storage was closed");
  }
}

/** A result is the length, and results have 32 bits. */
function checkLength(length: number): void {
  // Masked with 31 bits a number stays itself when it is an integer of those. V8 takes a comparison of a
  // length with the largest of them for always true.
  if ((length & RESULT_MAX) === length) return;
  throw new IoUsageError(`one submission has at most ${RESULT_MAX} bytes, not ${length}`);
}

function integer(name: string, value: unknown, least: number, most: number): number {
  if (Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most) {
    return value as number;
  }
  throw new IoUsageError(`${name} is from ${least} to ${most}, not ${String(value)}`);
}
