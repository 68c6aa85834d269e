/**
 * The operations of all files of one `Io`: transfers in pieces through its registered buffers, continued
 * where they were short, and promises for their ends. One driver an `Io`, from its first open file to
 * its last.
 *
 * @module
 */

import {
  type Io,
  type IoBuffer,
  IoClosedError,
  type IoFile,
  IoFullError,
  type IoStat,
  type IoTimer,
  IoUsageError,
} from "../io/io.ts";
import { ioErrorOf } from "../io/io_error.ts";
import { Pump } from "../io/pump.ts";

/** What an operation does. */
export const Kind = {
  read: 0,
  write: 1,
  fsync: 2,
  fdatasync: 3,
  stat: 4,
  truncate: 5,
  allocate: 6,
} as const;
const NAMES = ["read", "write", "fsync", "fdatasync", "stat", "truncate", "allocate"];

const EINTR = 4;
const EIO = 5;
const EAGAIN = 11;
/** EINTR, EAGAIN, and transfers without progress, before an operation counts as failed. */
const RETRIES_MAX = 100;
/** The largest piece of a transfer. */
const LARGE_BYTES = 128 * 1024;
/** Buffers kept for the next transfers. */
const SMALL_KEPT_MAX = 64;
const LARGE_KEPT_MAX = 4;
/** Handles of operations in flight; those of opens and closes lie above. */
const HANDLES = 4096;
/** Until an operation is tried again for which others have taken all room of the `Io`. */
const RETRY_MICROS = 1000;
const NOTHING = new Uint8Array(0);

/** What a driver wants to know of the user of an operation. */
export interface Owner {
  readonly file: IoFile;
  /** Alignment that the file needs, 1 without direct I/O. */
  readonly unitBytes: number;
  /** An operation of it has ended, and is used again after this. */
  ended(operation: Operation): void;
}

/** An operation; they are used again and again. */
export class Operation {
  kind = 0;
  owner!: Owner;
  bytes: Uint8Array = NOTHING;
  length = 0;
  done = 0;
  /** Or the size, for a truncation. */
  offset = 0;
  flags = 0;
  retries = 0;
  handle = -1;
  buffer: IoBuffer | undefined;
  /** The block size when the buffer was acquired. */
  blockBytes = 0;
  stat: IoStat | undefined;
  resolve!: (value: never) => void;
  reject!: (error: unknown) => void;
  signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  /** The promise is settled; what is in flight ends by itself. */
  settled = false;
  /** It was done as a whole. */
  succeeded = false;
  /** What the watcher of the file calls it. */
  stamp = 0;
}

// One executor for all promises: nothing but the promise is made for an operation.
let resolveNext!: (value: never) => void;
let rejectNext!: (error: unknown) => void;
const executor = (resolve: (value: never) => void, reject: (error: unknown) => void): void => {
  resolveNext = resolve;
  rejectNext = reject;
};

/** The driver of one `Io`. */
export class Transfers {
  readonly io: Io;
  readonly pump: Pump;
  private readonly _inFlight: (Operation | undefined)[] = [];
  private readonly _freeHandles: number[] = [];
  private readonly _unused: Operation[] = [];
  /** Found no room, in order. */
  private readonly _waiting: Operation[] = [];
  private readonly _small: IoBuffer[] = [];
  private readonly _large: IoBuffer[] = [];
  /** Buffers that operations have: each of them comes back. */
  private _held = 0;
  /** Block size of those that are kept. */
  private _blockBytes = 0;
  private _retry: IoTimer | undefined;
  private _failure: { error: unknown } | undefined;

  constructor(io: Io) {
    // One operation is theirs, so that they go on whatever other users do.
    this.io = io.client("files", Math.min(1, io.available));
    this.pump = new Pump(
      this.io,
      HANDLES,
      (handle, res) => this._completed(this._inFlight[handle]!, res),
      (error) => this._abandon(error),
    );
  }

  /** Gives everything back; nothing may be in flight. */
  end(): void {
    this._retry?.cancel();
    try {
      this.trim();
      this.io[Symbol.dispose]();
    } catch (error) {
      // With the Io went everything.
      if (!(error instanceof IoClosedError)) throw error;
    }
  }

  /** Gives back the buffers that are kept for later. */
  trim(): void {
    for (const buffer of this._small.splice(0)) this.io.releaseBuffer(buffer);
    for (const buffer of this._large.splice(0)) this.io.releaseBuffer(buffer);
  }

  /** Blocks until an operation has ended, or the time is over. */
  park(timeoutMicros: number): void {
    if (this._waiting.length > 0) this._submitWaiting();
    if (this._waiting.length > 0 && this.io.inFlight === 0) {
      throw new IoFullError(
        "a blocking wait for a file would never end: others have all operations of this Io in flight",
      );
    }
    this.pump.park(timeoutMicros);
  }

  /** An operation to fill in, for {@linkcode Transfers.start}. */
  operation(kind: number, owner: Owner): Operation {
    const operation = this._unused.pop() ?? new Operation();
    operation.kind = kind;
    operation.owner = owner;
    operation.done = 0;
    operation.retries = 0;
    operation.settled = false;
    operation.succeeded = false;
    return operation;
  }

  /** Starts it; mistakes of the caller and failures reject. */
  start<T>(operation: Operation, signal?: AbortSignal): Promise<T> {
    const promise = new Promise<T>(executor as never);
    operation.resolve = resolveNext;
    operation.reject = rejectNext;
    if (signal !== undefined) this._watch(operation, signal);
    if (this._failure) this._finish(operation, this._failure.error);
    else if (operation.settled) this._finish(operation);
    else if (this._waiting.length > 0) this._waiting.push(operation);
    else this._submit(operation);
    return promise;
  }

  private _watch(operation: Operation, signal: AbortSignal): void {
    if (signal.aborted) {
      operation.settled = true;
      operation.reject(signal.reason);
      return;
    }
    operation.signal = signal;
    operation.onAbort = () => {
      operation.settled = true;
      operation.reject(signal.reason);
    };
    signal.addEventListener("abort", operation.onAbort, { once: true });
  }

  /** Submits its next piece, or lets it wait for room. */
  private _submit(operation: Operation): void {
    try {
      if (this._stage(operation)) {
        this.pump.kick();
        return;
      }
    } catch (error) {
      if (!(error instanceof IoFullError)) {
        this._finish(operation, error);
        return;
      }
    }
    this._waiting.push(operation);
    this._retry ??= this.io.after(RETRY_MICROS, () => {
      this._retry = undefined;
      this._submitWaiting();
    });
  }

  private _submitWaiting(): void {
    // Each that finds no room again goes to the end of the queue, once.
    for (let left = this._waiting.length; left > 0; left--) {
      const operation = this._waiting.shift()!;
      if (operation.settled) {
        this._finish(operation);
        continue;
      }
      const before = this._waiting.length;
      this._submit(operation);
      if (this._waiting.length > before) {
        // In front again: the order stays.
        this._waiting.unshift(this._waiting.pop()!);
        return;
      }
    }
    this._retry?.cancel();
    this._retry = undefined;
  }

  /** Hands it to the `Io`; false when there is no buffer for it. */
  private _stage(operation: Operation): boolean {
    const { io } = this;
    const { kind, owner: { file }, offset, length } = operation;
    if (kind <= Kind.write && operation.buffer === undefined) {
      operation.buffer = this._takeBuffer(length - operation.done);
      operation.blockBytes = this._blockBytes;
      if (operation.buffer === undefined) return false;
    }
    if (io.available === 0) return false;
    const handle = this._freeHandles.pop() ?? this._inFlight.length;
    if (handle >= HANDLES) return false;
    try {
      switch (kind) {
        case Kind.read: {
          const { buffer, done } = operation;
          const piece = Math.min(buffer!.length, length - done);
          io.readAt(file, buffer!, 0, piece, offset + done, handle);
          break;
        }
        case Kind.write: {
          const { buffer, bytes, done } = operation;
          const piece = Math.min(buffer!.length, length - done);
          if (bytes.length < done + piece) throw memoryGone("written from");
          buffer!.bytes.set(piece === bytes.length ? bytes : bytes.subarray(done, done + piece));
          io.writeAt(file, buffer!, 0, piece, offset + done, operation.flags, handle);
          break;
        }
        case Kind.fsync:
          io.fsync(file, handle);
          break;
        case Kind.fdatasync:
          io.fdatasync(file, handle);
          break;
        case Kind.stat:
          operation.stat = io.stat(file, handle);
          break;
        case Kind.truncate:
          io.truncate(file, offset, handle);
          break;
        default:
          io.allocate(file, offset, length, handle);
      }
    } catch (error) {
      this._freeHandles.push(handle);
      if (handle === this._inFlight.length) this._inFlight.push(undefined);
      throw error;
    }
    operation.handle = handle;
    this._inFlight[handle] = operation;
    return true;
  }

  private _completed(operation: Operation, res: number): void {
    const { handle } = operation;
    this._inFlight[handle] = undefined;
    this._freeHandles.push(handle);
    if (operation.settled) {
      // Aborted meanwhile: what the kernel did is done, and whoever watches the file wants to know.
      if (operation.kind === Kind.write && res > 0) operation.done += res;
      this._finish(operation);
    } else if (this._advance(operation, res)) this._finish(operation);
    else this._submit(operation);
    if (this._waiting.length > 0) this._submitWaiting();
  }

  /** Whether that was the end of it: then its promise is settled. */
  private _advance(operation: Operation, res: number): boolean {
    const { kind, owner } = operation;
    if (res === -EINTR || res === -EAGAIN) return this._again(operation, res);
    if (res < 0) return this._fail(operation, res);
    if (kind > Kind.write) {
      return this._resolve(operation, kind === Kind.stat ? operation.stat : undefined);
    }
    if (kind === Kind.read) {
      if (res > 0) {
        const { bytes } = operation.buffer!;
        if (operation.bytes.length < operation.done + res) {
          operation.reject(memoryGone("read into"));
          return operation.settled = true;
        }
        operation.bytes.set(res === bytes.length ? bytes : bytes.subarray(0, res), operation.done);
      }
      operation.done += res;
      // A direct read that does not end at a block has met the end of the file, and cannot go on.
      const atEnd = res === 0 || res % owner.unitBytes !== 0;
      if (!atEnd && operation.done < operation.length) return false;
    } else {
      const progress = res - res % owner.unitBytes;
      if (progress === 0 && operation.length > 0) return this._again(operation, -EIO);
      operation.done += progress;
      if (operation.done < operation.length) return false;
    }
    return this._resolve(operation, operation.done);
  }

  private _resolve(operation: Operation, value: unknown): true {
    operation.resolve(value as never);
    operation.succeeded = true;
    return operation.settled = true;
  }

  private _again(operation: Operation, res: number): boolean {
    return ++operation.retries > RETRIES_MAX && this._fail(operation, res);
  }

  private _fail(operation: Operation, res: number): true {
    const { kind, owner, offset, done } = operation;
    const at = kind <= Kind.write ? offset + done : undefined;
    operation.reject(ioErrorOf(res, NAMES[kind], owner.file.path, at));
    return operation.settled = true;
  }

  /** It is over: what it holds is given back. */
  private _finish(operation: Operation, error?: unknown): void {
    if (!operation.settled) operation.reject(error);
    const { owner, buffer, signal, onAbort } = operation;
    if (buffer !== undefined) this._giveBuffer(buffer, operation.blockBytes);
    if (onAbort !== undefined) signal!.removeEventListener("abort", onAbort);
    owner.ended(operation);
    operation.bytes = NOTHING;
    operation.buffer =
      operation.stat =
      operation.signal =
      operation.onAbort =
        undefined;
    this._unused.push(operation);
  }

  private _takeBuffer(bytes: number): IoBuffer | undefined {
    const buffer = this._findBuffer(bytes);
    if (buffer !== undefined) {
      this._held++;
      return buffer;
    }
    if (this._held > 0) return undefined;
    throw new IoUsageError(
      "no buffer is free: the arena of this Io is used up by others; open a larger one",
    );
  }

  private _findBuffer(bytes: number): IoBuffer | undefined {
    const { blockSize } = this.io;
    if (blockSize !== this._blockBytes) {
      // A file was opened that needs larger ones, and at other places, than are kept.
      this.trim();
      this._blockBytes = blockSize;
    }
    if (bytes > blockSize) {
      const large = this._large.pop() ?? this.io.acquireBuffer(LARGE_BYTES);
      if (large !== undefined) return large;
    }
    return this._small.pop() ?? this.io.acquireBuffer(blockSize) ?? this._large.pop();
  }

  private _giveBuffer(buffer: IoBuffer, blockBytes: number): void {
    this._held--;
    const large = buffer.length === LARGE_BYTES;
    const kept = large ? this._large : this._small;
    const room = kept.length < (large ? LARGE_KEPT_MAX : SMALL_KEPT_MAX);
    if (room && blockBytes === this._blockBytes) kept.push(buffer);
    else this.io.releaseBuffer(buffer);
  }

  /** The backend itself failed: nothing completes any more. */
  private _abandon(error: unknown): void {
    this._failure = { error };
    const all = [...this._inFlight.filter((one) => one !== undefined), ...this._waiting.splice(0)];
    this._inFlight.length = 0;
    for (const operation of all) {
      // Its buffer may still be in flight.
      if (operation!.buffer !== undefined) this._held--;
      operation!.buffer = undefined;
      this._finish(operation!, error);
    }
  }
}

/** A buffer of the caller was transferred away, or made smaller, before its operation had ended. */
function memoryGone(what: string): IoUsageError {
  return new IoUsageError(
    `the memory that is ${what} was transferred away or made smaller before the promise had settled`,
  );
}
