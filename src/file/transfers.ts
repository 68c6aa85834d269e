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
  type IoFile,
  IoFullError,
  type IoStat,
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
const RETRY_MILLIS = 1;
const NOTHING = new Uint8Array(0);

/** What a driver wants to know of the user of an operation. */
export interface Owner {
  readonly file: IoFile;
  /** Alignment that the file needs, 1 without direct I/O. */
  readonly unitBytes: number;
  /** An operation of it has ended. */
  ended(): void;
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
  stat: IoStat | undefined;
  resolve!: (value: never) => void;
  reject!: (error: unknown) => void;
  signal: AbortSignal | undefined;
  onAbort: (() => void) | undefined;
  /** The promise is settled; what is in flight ends by itself. */
  settled = false;
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
  readonly #inFlight: (Operation | undefined)[] = [];
  readonly #freeHandles: number[] = [];
  readonly #unused: Operation[] = [];
  /** Found no room, in order. */
  readonly #waiting: Operation[] = [];
  readonly #small: IoBuffer[] = [];
  readonly #large: IoBuffer[] = [];
  #retry: ReturnType<typeof setTimeout> | undefined;
  #failure: { error: unknown } | undefined;

  constructor(io: Io) {
    this.io = io.client("files");
    this.pump = new Pump(
      this.io,
      HANDLES,
      (handle, res) => this.#completed(this.#inFlight[handle]!, res),
      (error) => this.#abandon(error),
    );
  }

  /** Gives everything back; nothing may be in flight. */
  end(): void {
    for (const buffer of [...this.#small, ...this.#large]) this.io.releaseBuffer(buffer);
    this.io[Symbol.dispose]();
  }

  /** An operation to fill in, for {@linkcode Transfers.start}. */
  operation(kind: number, owner: Owner): Operation {
    const operation = this.#unused.pop() ?? new Operation();
    operation.kind = kind;
    operation.owner = owner;
    operation.done = 0;
    operation.retries = 0;
    operation.settled = false;
    return operation;
  }

  /** Starts it; mistakes of the caller and failures reject. */
  start<T>(operation: Operation, signal?: AbortSignal): Promise<T> {
    const promise = new Promise<T>(executor as never);
    operation.resolve = resolveNext;
    operation.reject = rejectNext;
    if (signal !== undefined) this.#watch(operation, signal);
    if (this.#failure) this.#finish(operation, this.#failure.error);
    else if (operation.settled) this.#finish(operation);
    else if (this.#waiting.length > 0) this.#waiting.push(operation);
    else this.#submit(operation);
    return promise;
  }

  #watch(operation: Operation, signal: AbortSignal): void {
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
  #submit(operation: Operation): void {
    try {
      if (this.#stage(operation)) {
        this.pump.kick();
        return;
      }
    } catch (error) {
      if (!(error instanceof IoFullError)) {
        this.#finish(operation, error);
        return;
      }
    }
    this.#waiting.push(operation);
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.#submitWaiting();
    }, RETRY_MILLIS);
  }

  #submitWaiting(): void {
    // Each that finds no room again goes to the end of the queue, once.
    for (let left = this.#waiting.length; left > 0; left--) {
      const operation = this.#waiting.shift()!;
      if (operation.settled) {
        this.#finish(operation);
        continue;
      }
      const before = this.#waiting.length;
      this.#submit(operation);
      if (this.#waiting.length > before) {
        // In front again: the order stays.
        this.#waiting.unshift(this.#waiting.pop()!);
        return;
      }
    }
  }

  /** Hands it to the `Io`; false when there is no buffer for it. */
  #stage(operation: Operation): boolean {
    const { io } = this;
    const { kind, owner: { file }, offset, length } = operation;
    if (kind <= Kind.write && operation.buffer === undefined) {
      operation.buffer = this.#takeBuffer(length - operation.done);
      if (operation.buffer === undefined) return false;
    }
    if (io.available === 0) return false;
    const handle = this.#freeHandles.pop() ?? this.#inFlight.length;
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
      this.#freeHandles.push(handle);
      if (handle === this.#inFlight.length) this.#inFlight.push(undefined);
      throw error;
    }
    operation.handle = handle;
    this.#inFlight[handle] = operation;
    return true;
  }

  #completed(operation: Operation, res: number): void {
    const { handle } = operation;
    this.#inFlight[handle] = undefined;
    this.#freeHandles.push(handle);
    if (operation.settled || this.#advance(operation, res)) this.#finish(operation);
    else this.#submit(operation);
    if (this.#waiting.length > 0) this.#submitWaiting();
  }

  /** Whether that was the end of it: then its promise is settled. */
  #advance(operation: Operation, res: number): boolean {
    const { kind, owner } = operation;
    if (res === -EINTR || res === -EAGAIN) return this.#again(operation, res);
    if (res < 0) return this.#fail(operation, res);
    if (kind > Kind.write) {
      operation.resolve((kind === Kind.stat ? operation.stat : undefined) as never);
      return operation.settled = true;
    }
    if (kind === Kind.read) {
      if (res > 0) {
        const { bytes } = operation.buffer!;
        operation.bytes.set(res === bytes.length ? bytes : bytes.subarray(0, res), operation.done);
      }
      operation.done += res;
      // A direct read that does not end at a block has met the end of the file, and cannot go on.
      const atEnd = res === 0 || res % owner.unitBytes !== 0;
      if (!atEnd && operation.done < operation.length) return false;
    } else {
      const progress = res - res % owner.unitBytes;
      if (progress === 0 && operation.length > 0) return this.#again(operation, -EIO);
      operation.done += progress;
      if (operation.done < operation.length) return false;
    }
    operation.resolve(operation.done as never);
    return operation.settled = true;
  }

  #again(operation: Operation, res: number): boolean {
    return ++operation.retries > RETRIES_MAX && this.#fail(operation, res);
  }

  #fail(operation: Operation, res: number): true {
    const { kind, owner, offset, done } = operation;
    const at = kind <= Kind.write ? offset + done : undefined;
    operation.reject(ioErrorOf(res, NAMES[kind], owner.file.path, at));
    return operation.settled = true;
  }

  /** It is over: what it holds is given back. */
  #finish(operation: Operation, error?: unknown): void {
    if (!operation.settled) operation.reject(error);
    const { owner, buffer, signal, onAbort } = operation;
    if (buffer !== undefined) this.#giveBuffer(buffer);
    if (onAbort !== undefined) signal!.removeEventListener("abort", onAbort);
    operation.bytes = NOTHING;
    operation.buffer =
      operation.stat =
      operation.signal =
      operation.onAbort =
        undefined;
    this.#unused.push(operation);
    owner.ended();
  }

  #takeBuffer(bytes: number): IoBuffer | undefined {
    const { blockSize } = this.io;
    if (bytes > blockSize) {
      const large = this.#large.pop() ?? this.io.acquireBuffer(LARGE_BYTES);
      if (large !== undefined) return large;
    }
    const small = this.#small.pop() ?? this.io.acquireBuffer(blockSize);
    if (small !== undefined) return small;
    const any = this.#large.pop();
    if (any !== undefined || this.io.inFlight > 0) return any;
    throw new IoUsageError(
      "no buffer is free: the arena of this Io is used up by others; open a larger one",
    );
  }

  #giveBuffer(buffer: IoBuffer): void {
    const large = buffer.length === LARGE_BYTES;
    const kept = large ? this.#large : this.#small;
    if (kept.length < (large ? LARGE_KEPT_MAX : SMALL_KEPT_MAX)) kept.push(buffer);
    else this.io.releaseBuffer(buffer);
  }

  /** The backend itself failed: nothing completes any more. */
  #abandon(error: unknown): void {
    this.#failure = { error };
    const all = [...this.#inFlight.filter((one) => one !== undefined), ...this.#waiting.splice(0)];
    this.#inFlight.length = 0;
    for (const operation of all) {
      // Its buffer may still be in flight.
      operation!.buffer = undefined;
      this.#finish(operation!, error);
    }
  }
}
