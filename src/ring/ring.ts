/**
 * `Ring`: io_uring, one submission and completion queue pair of the kernel.
 *
 * @module
 */

import type { CompletionArray } from "../abi/completions.ts";
import { errnoName, errnoText } from "../abi/errno.ts";
import {
  CANCEL_FLAG,
  CANCEL_TARGET,
  ERRNO,
  FEATURE_FLAG,
  FILE_NONE,
  FILE_SLOT_BITS,
  FILE_SYSTEM_INFO,
  FILE_UPDATE,
  HUGE_PAGE_BYTES,
  OPEN_FLAG,
  OPEN_PARAMETERS,
  OPERATION,
  OPERATIONS,
  PATH_BYTES_MAX,
  RESOLVE_FLAG,
  RESULT_BYTES,
  SETUP_FLAG,
  SQE_FLAG,
  STATX_MASK,
  TIMEOUT_FLAG,
  VALUE_BYTES_MAX,
  VECTORS_MAX,
  XATTR_NAME_BYTES_MAX,
} from "../abi/generated.ts";
import { type Functions, library } from "../native/library.ts";
import { type SystemInfo, systemInfo } from "../native/system.ts";
import { BufferSet, type RegisteredBuffer } from "./buffers.ts";
import {
  RingBusyError,
  RingClosedError,
  RingError,
  RingPollError,
  RingUnsupportedError,
} from "./errors.ts";
import { RingFile } from "./file.ts";
import {
  CONTROL_ENTERS,
  CONTROL_IN_FLIGHT,
  CONTROL_OVERFLOWS,
  CONTROL_STALE,
  IMAGE_WORDS,
} from "./layout.ts";
import {
  type ResolvedOptions,
  resolveOptions,
  type RingOptions,
  SLICE_ALIGNMENT_BYTES,
} from "./options.ts";
import { checkUserData, flagsAllowed, operationName, Queue, TAG, WAIT_FOR_EVER } from "./queue.ts";
import { type FileSystemResult, StatxResult } from "./statx.ts";
import type { TraceSink } from "./trace.ts";
import { kernelIsOld, oldKernel, unavailable } from "./unavailable.ts";
import { Dispatcher, Latency, type Waitable } from "./waiter.ts";

/** Bytes of paths that can be staged together. */
const PATHS_BYTES = 64 << 10;
/** A cancellation that is waited for takes so long at most. */
const CANCEL_MILLIS = 1000;
/** A close waits so long for the last completions. */
const CLOSE_DEADLINE_MILLIS = 1000;
/** What `length` of an fsync can hold; a longer range is a whole-file sync. */
const U32_MAX = 0xffff_ffff;
const FILE_SLOT_MASK = (1 << FILE_SLOT_BITS) - 1;

// Of the operations that must be quick, as plain constants. The methods that prepare them are kept small
// enough for JavaScriptCore to inline, see queue.ts: no default values, no private names, and a constant
// is named once only, because each mention counts like three instructions.
const NOP = OPERATION.nop;
const READ = OPERATION.read;
const WRITE = OPERATION.write;
const READ_FIXED = OPERATION.readFixed;
const WRITE_FIXED = OPERATION.writeFixed;

/** What the kernel gave a ring. */
export interface RingFeatures {
  /** IORING_SETUP_* that the ring was made with. */
  readonly setupFlags: number;
  /** Their names. */
  readonly setup: readonly string[];
  /** IORING_FEAT_* of this kernel, `FEATURE_FLAG`. */
  readonly features: number;
  /** Their names. */
  readonly featureNames: readonly string[];
  /** Entries of the kernel's submission queue. */
  readonly entries: number;
  /** Entries of the kernel's completion queue. */
  readonly completionEntries: number;
  /** The rung of set-up flags that the kernel took: 0 is the best. */
  readonly rung: number;
  /** Whether the arena is registered (pinned); with `sparseBuffers`, whether parts of it can be. */
  readonly registered: boolean;
  /** Why it is not, an errno's name; empty when it is. */
  readonly registerError: string;
  /**
   * Whether the ring itself is registered with its thread, which saves the look-up of its descriptor in
   * each call. A thread has sixteen places for that; further rings do without.
   */
  readonly ringRegistered: boolean;
}

/** Worker threads of the kernel (io-wq), for what cannot be done without blocking. */
export interface WorkerLimits {
  /** For files and block devices. */
  readonly bounded: number;
  /** For what may never end: pipes, sockets, terminals. */
  readonly unbounded: number;
}

/** Counts since open. */
export interface RingStats {
  /** SQEs that the kernel took. */
  readonly submissions: number;
  /** Calls of io_uring_enter. */
  readonly enters: number;
  /** Completions that were reaped. */
  readonly completions: number;
  /** Times that the completion queue overflowed. Nothing is lost by it. */
  readonly overflows: number;
  /** Most operations that were prepared and not reaped at once. */
  readonly peakInFlight: number;
  /** Completions that belonged to no operation in flight, and were not delivered. */
  readonly stale: number;
  /** Operations that the kernel has now. */
  readonly inFlight: number;
  /** Files that are open now. */
  readonly files: number;
  /** As in {@linkcode RingFeatures}. */
  readonly registered: boolean;
  /** Bytes of the arena that are registered (pinned) now. */
  readonly registeredBytes: number;
  /** As in {@linkcode RingFeatures}. */
  readonly rung: number;
}

/** One piece of memory of a `prepReadv` or `prepWritev`. */
export interface RingVector {
  /** A registered buffer of the ring. */
  readonly buffer: RegisteredBuffer;
  /** Where in the buffer, bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** What `prepOpenat2` opens with. */
export interface OpenHow {
  /** `OPEN_FLAG`s. */
  readonly flags: number;
  /** Permissions of a file that is created; must be 0 where none can be. Default 0. */
  readonly mode?: number;
  /** `RESOLVE_FLAG`s. NO_MAGICLINKS is always among them. Default 0. */
  readonly resolve?: number;
  /** An open directory at which a relative path begins; the working directory by default. */
  readonly directory?: RingFile;
}

/** Memory that the kernel may still write to: of open rings, and of such as did not close in time. */
const keptAlive = new Map<number, readonly unknown[]>();
const leaked: unknown[] = [];

let dispatcher: Dispatcher | undefined;

/** Operations are waited for by one dispatcher a thread. */
function threadDispatcher(): Dispatcher {
  if (dispatcher === undefined) {
    const { host, functions } = library();
    dispatcher = new Dispatcher(host, functions);
  }
  return dispatcher;
}

/**
 * io_uring: operations are prepared, submitted in one call, and end as rows of `completions`.
 *
 * - Each `prep…` method takes the caller's `userData`, a safe integer, which comes back with the
 *   completion. It returns `false`, and changes nothing, when no operation can be staged: submit and
 *   reap, then prepare it again. Mistakes throw TypeError or RangeError that name the argument.
 * - A failure in the kernel is no exception but a negative `res`: `-28` is ENOSPC (see `errnoName`).
 * - A ring belongs to the thread that opened it. It keeps no process alive unless something waits.
 * - Operations in flight together have no order; `beginChain` links them.
 *
 * Under Deno, opening a ring needs `--allow-ffi`, and what it opens is not held to the permissions to
 * read and write: whoever has a ring can open any file that the user can.
 *
 * @example Write a file durably, then read it back
 * ```ts
 * import { OPEN_FLAG, Ring } from "@uring/io/ring";
 *
 * using ring = Ring.open();
 * const run = (prepared: boolean): number => {
 *   if (!prepared) throw new Error("the queue is full");
 *   ring.submitAndWait(1);
 *   ring.reap();
 *   return ring.completions.res[0];
 * };
 *
 * const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT;
 * const file = ring.file(run(ring.prepOpenat("/tmp/ring-example", flags, 0o644, 1)));
 * const buffer = ring.buffers.acquire()!;
 * const { written } = new TextEncoder().encodeInto("hello\n", buffer.bytes);
 * console.log(run(ring.prepWriteFixed(file, buffer, 0, written, 0, 2))); // 6
 * console.log(run(ring.prepFsync(file, 3))); // 0
 * console.log(run(ring.prepReadFixed(file, buffer, 0, 4096, 0, 4))); // 6
 * buffer.release();
 * ```
 */
export class Ring {
  /** The completions reaped last; the same object for the life of the ring. */
  readonly completions: CompletionArray;
  /** The arena in slices. */
  readonly buffers: BufferSet;
  /** The whole arena. What is cut from it belongs to the holder of that buffer. */
  readonly arena: Uint8Array;
  /** What the kernel gave this ring. */
  readonly features: RingFeatures;
  /** Most operations that can be staged for one submit. */
  readonly entries: number;
  /** Most operations that can be prepared and not reaped. */
  readonly slots: number;

  readonly #ring: number;
  readonly #functions: Functions;
  private readonly _queue: Queue;
  readonly #control: Uint32Array;
  readonly #arenaMemory: SharedArrayBuffer;

  /** Incoming part of the parameter area, and where it is free. */
  readonly #paths: Uint8Array;
  readonly #results: DataView;
  #pathsEnd = 0;

  readonly #polls: boolean;
  /** Bytes that `registerBuffers` registered. */
  #registeredBytes = 0;
  readonly #filesMax: number;
  readonly #files: (RingFile | undefined)[] = [];
  #filesTaken = 0;
  /** What an operation in flight leaves for its completion, by slot: a path, a result, a file. */
  readonly #special: (StatxResult | RingFile | string | readonly RingVector[] | undefined)[] = [];

  #probe: readonly boolean[] | undefined;
  readonly #latency = new Latency();
  #wait: Promise<void> | undefined;
  #waiting = false;
  #looking = false;
  readonly #waitable: Waitable;

  private constructor(options: ResolvedOptions, functions: Functions, system: () => SystemInfo) {
    const shared = (bytes: number) => new Uint8Array(new SharedArrayBuffer(bytes));
    const staging = shared(options.entries * IMAGE_WORDS * 4);
    const parameterArea = shared(PATHS_BYTES + options.slots * RESULT_BYTES);
    const columns = shared(options.slots * 16);
    const control = shared(64);
    const slack = options.arenaBytes < HUGE_PAGE_BYTES ? SLICE_ALIGNMENT_BYTES : HUGE_PAGE_BYTES;
    const arena = shared(options.arenaBytes + slack);
    const parameters = new DataView(new SharedArrayBuffer(OPEN_PARAMETERS.bytes));
    const put = (at: number, value: number) => parameters.setUint32(at, value, true);
    const got = (at: number) => parameters.getUint32(at, true);
    put(OPEN_PARAMETERS.entries, options.entries);
    put(OPEN_PARAMETERS.slots, options.slots);
    put(OPEN_PARAMETERS.files, options.files);
    put(OPEN_PARAMETERS.arenaBytes, options.arenaBytes);
    put(OPEN_PARAMETERS.stagingBytes, staging.length);
    put(OPEN_PARAMETERS.parameterBytes, PATHS_BYTES);
    put(OPEN_PARAMETERS.setupFlags, options.setupFlags);
    put(OPEN_PARAMETERS.sqpollIdleMillis, options.sqpollIdleMillis);
    put(OPEN_PARAMETERS.sqpollCpu, options.sqpollCpu);
    put(OPEN_PARAMETERS.inWorker, library().host.isWorker() ? 1 : 0);
    put(OPEN_PARAMETERS.rung, options.firstRung);
    put(OPEN_PARAMETERS.completionEntries, options.completionEntries);
    put(OPEN_PARAMETERS.attach, options.attach === undefined ? 0 : options.attach.#ring);
    put(OPEN_PARAMETERS.bufferSlices, options.bufferSlices);
    put(OPEN_PARAMETERS.arenaSlack, slack);
    const ring = functions.uring_open(parameters, staging, parameterArea, columns, control, arena);
    if (ring < 0) throw unavailable(-ring, got(OPEN_PARAMETERS.failedStep), system(), options);
    // The kernel and the shim know addresses in these: they live as long as the ring.
    keptAlive.set(ring, [staging, parameterArea, columns, control, arena]);

    this.#ring = ring;
    this.#functions = functions;
    this.entries = options.entries;
    this.slots = options.slots;
    this.#filesMax = options.files;
    this.#paths = parameterArea.subarray(0, PATHS_BYTES);
    this.#results = new DataView(parameterArea.buffer, PATHS_BYTES);
    this.#control = new Uint32Array(control.buffer);
    this.#arenaMemory = arena.buffer;
    this.arena = new Uint8Array(arena.buffer, got(OPEN_PARAMETERS.arenaOffset), options.arenaBytes);
    const registered = got(OPEN_PARAMETERS.registered) === 1;
    const setupFlags = got(OPEN_PARAMETERS.gotSetupFlags);
    const registerErrno = got(OPEN_PARAMETERS.registerErrno);
    const features = got(OPEN_PARAMETERS.features);
    this.features = {
      setupFlags,
      setup: namesOf(SETUP_FLAG, setupFlags),
      features,
      featureNames: namesOf(FEATURE_FLAG, features),
      entries: got(OPEN_PARAMETERS.gotEntries),
      completionEntries: got(OPEN_PARAMETERS.gotCompletionEntries),
      rung: got(OPEN_PARAMETERS.gotRung),
      registered,
      registerError: registered || registerErrno === 0 ? "" : errnoName(registerErrno),
      ringRegistered: got(OPEN_PARAMETERS.ringRegistered) === 1,
    };
    this.#polls = (setupFlags & SETUP_FLAG.IOPOLL) !== 0;
    this.#waitable = {
      look: () => this.#look(),
      arm: (on, alarmMicros) => this.#arm(on, alarmMicros),
      isSilent: () => this.#polls || this._queue.submittable > 0,
    };
    const whole = registered && options.bufferSlices === 0;
    this.buffers = new BufferSet(this.arena, options.bufferBytes, whole, {
      operationOfSlot: (slot) => operationName(this._queue.operationOfSlot(slot)),
      userDataOfSlot: (slot) => this._queue.userDataOfSlot(slot),
      unregister: (buffer) => this.#unregisterBuffer(buffer),
    });
    this._queue = new Queue(
      ring,
      functions.uring_tick,
      options.entries,
      this.features.completionEntries,
      options.slots,
      { staging: staging.buffer, columns: columns.buffer, control: this.#control },
      {
        refuse: (...args) => this.#refuse(...args),
        finish: (operation, slot, res) => this.#finish(operation, slot, res),
        drained: () => {
          this.#pathsEnd = 0;
        },
        arrived: () => this.#endWait(),
      },
      this,
      this.buffers,
    );
    this.completions = this._queue.completions;
  }

  /**
   * Opens a ring. Loads the native library when this is the first of the thread.
   *
   * @throws {RingUnavailableError} when no ring can be had here; its `reason` says why.
   * @throws {TypeError} when an option is unknown or of the wrong type.
   * @throws {RangeError} when an option is out of its range.
   */
  static open(options: RingOptions = {}): Ring {
    const resolved = resolveOptions(options);
    const { attach } = resolved;
    if (attach !== undefined) {
      if (!(attach instanceof Ring)) throw new TypeError("attach must be a Ring");
      attach.#checkOpen();
    }
    const { functions } = library();
    let system: SystemInfo | undefined;
    const systemOnce = () => system ??= systemInfo(functions);
    if (kernelIsOld(systemOnce())) throw oldKernel(systemOnce());
    return new Ring(resolved, functions, systemOnce);
  }

  /** Whether the ring can be used. */
  get isOpen(): boolean {
    return !this._queue.closed;
  }

  /** Operations that were prepared and not reaped: staged, in flight, or completed. */
  get inFlight(): number {
    return this._queue.taken;
  }

  /** Operations that are staged and not submitted. */
  get staged(): number {
    return this._queue.staged;
  }

  /** Operations that can be prepared now. */
  get available(): number {
    return this._queue.available;
  }

  // --- Submit and reap ------------------------------------------------------------------------

  /**
   * Hands what is staged to the kernel, in one call, without waiting.
   *
   * @returns how many operations it took. The rest, when the kernel was short of something, stays
   * staged for the next submit.
   * @throws {RingImageError} when the shim refused an operation; then all that was staged is dropped.
   */
  submit(): number {
    return this._queue.tick(this._queue.staged, 0, 0);
  }

  /**
   * Hands what is staged to the kernel and blocks until completions can be reaped, in one call.
   *
   * @param count Completions to wait for; never more than there are operations, so it cannot hang
   * on what was never submitted.
   * @param timeoutMicros How long to wait at most; without end by default.
   * @returns completions that can be reaped now; fewer than `count` after a time-out, or when the kernel
   * did not take what is staged a thousand times in a row.
   * @throws {RingImageError} as {@linkcode Ring.submit}.
   */
  submitAndWait(count: number, timeoutMicros: number = WAIT_FOR_EVER): number {
    checkNumber("count", count, this.slots);
    if (timeoutMicros !== WAIT_FOR_EVER) checkNumber("timeoutMicros", timeoutMicros, U32_MAX);
    this._queue.tickAndWait(count, timeoutMicros);
    return this._queue.unreaped;
  }

  /**
   * Fills `completions` with what has completed, overwriting the last ones, and never waits. What a
   * submit has already brought costs no call; else the kernel is asked.
   *
   * @returns `completions.length`
   */
  reap(): number {
    return this._queue.reap();
  }

  /**
   * Submits what is staged, and waits, without blocking the event loop, until there are completions;
   * then reaps them.
   *
   * @returns `completions.length`; 0 when nothing is in flight, or the ring was closed meanwhile.
   */
  async drain(): Promise<number> {
    for (;;) {
      await this.wait();
      if (this._queue.closed) return 0;
      const count = this._queue.reap();
      if (count > 0 || this._queue.taken === 0) return count;
    }
  }

  /**
   * Calls back after each {@linkcode Ring.drain}, with `completions.length`, until nothing is in flight:
   * what the callback prepares counts, too. It is not called for an empty drain.
   *
   * @returns resolves when nothing is in flight, or the ring was closed; rejects with what the callback
   * throws.
   */
  async drainEach(callback: (count: number) => void): Promise<void> {
    while (this._queue.taken > 0 && !this._queue.closed) {
      const count = await this.drain();
      if (count > 0) callback(count);
    }
  }

  /**
   * Submits what is staged. Resolves, without blocking the event loop, when a reap will give
   * completions, or nothing is in flight, or the ring was closed. Keeps the process alive meanwhile.
   */
  wait(): Promise<void> {
    try {
      if (this._queue.staged > 0) this.submit();
      else if (this._queue.closed) throw new RingClosedError();
    } catch (error) {
      return Promise.reject(error);
    }
    if (this._queue.unreaped > 0 || this._queue.taken === 0) return RESOLVED;
    if (this.#wait === undefined) {
      this.#waiting = true;
      this.#wait = threadDispatcher().wait(this.#waitable, this.#latency).finally(() => {
        this.#waiting = false;
        this.#wait = undefined;
      });
    }
    return this.#wait;
  }

  /** For the dispatcher: whether a wait is over. */
  #look(): boolean {
    const queue = this._queue;
    if (queue.closed || queue.unreaped > 0 || queue.taken === 0) return true;
    this.#looking = true;
    try {
      queue.tick(queue.submittable, 0, 0);
    } finally {
      this.#looking = false;
    }
    return queue.unreaped > 0;
  }

  #arm(on: boolean, alarmMicros: number): void {
    const result = this.#functions.uring_wake_arm(this.#ring, on ? 1 : 0, alarmMicros);
    this.#check(result, "arming the eventfd");
  }

  /** Completions were brought by hand while somebody waits: nothing would wake that waiter. */
  #endWait(): void {
    if (this.#waiting && !this.#looking) threadDispatcher().forget(this.#waitable);
  }

  // --- Operations: data -----------------------------------------------------------------------

  /** A no-operation; `res` is 0. */
  prepNop(userData: number): boolean {
    return this._queue.stageBare(NOP, userData);
  }

  /**
   * Reads into a buffer; `res` is the bytes read, 0 at the end of the file. May be short. Where the
   * arena is registered the kernel need not pin it anew (READ_FIXED), by either name.
   *
   * @param bufferOffset Where in the buffer, bytes.
   * @param length Bytes.
   * @param fileOffset Where in the file, bytes.
   * @param flags `RW_FLAG` HIPRI, NOWAIT, DONTCACHE (Linux 6.14; -EOPNOTSUPP where it is not known).
   * @throws {RingBusyError} when another operation on the buffer is in flight.
   */
  prepRead(
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    userData: number,
    flags?: number,
  ): boolean {
    const queue = this._queue;
    const operation = READ;
    const rw = flags ?? 0;
    queue.check(operation, file, buffer, bufferOffset, length, fileOffset, rw);
    return queue.transfer(
      operation,
      file,
      buffer,
      bufferOffset,
      length,
      fileOffset,
      userData,
      rw,
    );
  }

  /**
   * Writes from a buffer; `res` is the bytes written. May be short.
   *
   * @param flags `RW_FLAG` DSYNC, SYNC, HIPRI, NOWAIT, APPEND, ATOMIC (Linux 6.11), DONTCACHE (6.14). With
   * DSYNC it is durable when it has completed in full. One that this kernel or file does not have is
   * -EOPNOTSUPP or -EINVAL.
   * @throws {RingBusyError} when another operation on the buffer is in flight.
   */
  prepWrite(
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    userData: number,
    flags?: number,
  ): boolean {
    const queue = this._queue;
    const operation = WRITE;
    const rw = flags ?? 0;
    queue.check(operation, file, buffer, bufferOffset, length, fileOffset, rw);
    return queue.transfer(
      operation,
      file,
      buffer,
      bufferOffset,
      length,
      fileOffset,
      userData,
      rw,
    );
  }

  /** As {@linkcode Ring.prepRead}, by the name that liburing gives it for registered memory. */
  prepReadFixed(
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    userData: number,
    flags?: number,
  ): boolean {
    const queue = this._queue;
    const operation = READ_FIXED;
    const rw = flags ?? 0;
    queue.check(operation, file, buffer, bufferOffset, length, fileOffset, rw);
    return queue.transfer(
      operation,
      file,
      buffer,
      bufferOffset,
      length,
      fileOffset,
      userData,
      rw,
    );
  }

  /** As {@linkcode Ring.prepWrite}, by the name that liburing gives it for registered memory. */
  prepWriteFixed(
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    userData: number,
    flags?: number,
  ): boolean {
    const queue = this._queue;
    const operation = WRITE_FIXED;
    const rw = flags ?? 0;
    queue.check(operation, file, buffer, bufferOffset, length, fileOffset, rw);
    return queue.transfer(
      operation,
      file,
      buffer,
      bufferOffset,
      length,
      fileOffset,
      userData,
      rw,
    );
  }

  /**
   * Reads into several buffers, one behind the other; `res` is the bytes read in all. May be short.
   *
   * @param vectors At most 256. They are taken as they are now; two may lie in one buffer.
   * @param fileOffset Where in the file, bytes.
   * @param flags As {@linkcode Ring.prepRead}.
   * @throws {RingBusyError} when another operation on one of the buffers is in flight.
   * @throws {RingUnsupportedError} in a worker before Linux 6.15, which brought it for pinned memory:
   * other memory can go with the worker while the kernel writes to it.
   */
  prepReadv(
    file: RingFile,
    vectors: readonly RingVector[],
    fileOffset: number,
    userData: number,
    flags: number = 0,
  ): boolean {
    return this.#stageVectors(OPERATION.readv, file, vectors, fileOffset, flags, userData);
  }

  /**
   * Writes from several buffers, one behind the other; `res` is the bytes written in all. May be short.
   * Otherwise as {@linkcode Ring.prepReadv}.
   *
   * @param flags As {@linkcode Ring.prepWrite}.
   */
  prepWritev(
    file: RingFile,
    vectors: readonly RingVector[],
    fileOffset: number,
    userData: number,
    flags: number = 0,
  ): boolean {
    return this.#stageVectors(OPERATION.writev, file, vectors, fileOffset, flags, userData);
  }

  #stageVectors(
    operation: number,
    file: RingFile,
    vectors: readonly RingVector[],
    fileOffset: number,
    flags: number,
    userData: number,
  ): boolean {
    this.#checkFile(file);
    if (!Array.isArray(vectors)) throw new TypeError("vectors must be an array");
    if (vectors.length < 1 || vectors.length > VECTORS_MAX) {
      throw new RangeError(`there must be 1 to ${VECTORS_MAX} vectors, not ${vectors.length}`);
    }
    for (let i = 0; i < vectors.length; i++) {
      const { buffer, offset, length } = vectors[i];
      this.#checkRange(operation, buffer, offset, length, `vectors[${i}].`);
    }
    checkNumber("fileOffset", fileOffset);
    this.#checkFlags(operation, flags);
    const start = this.#pathsEnd;
    if (this.#paths.length - start < 8 * vectors.length) return this.#noRoom();
    const list = new DataView(this.#paths.buffer, this.#paths.byteOffset + start);
    for (let i = 0; i < vectors.length; i++) {
      list.setUint32(8 * i, vectors[i].buffer.offset + vectors[i].offset, true);
      list.setUint32(8 * i + 4, vectors[i].length, true);
    }
    const { reference } = file;
    const count = vectors.length;
    this.#checkSupported(operation);
    // Not by #stage: a ring that polls has this one.
    const queue = this._queue;
    if (
      !queue.stage(operation, reference, fileOffset, start, count, flags, userData, TAG.SPECIAL)
    ) return false;
    this.#pathsEnd = start + 8 * count;
    this.#special[this._queue.lastSlot] = [...vectors];
    for (const { buffer } of vectors) this._queue.hold(buffer.index);
    return true;
  }

  /** Throws when an operation cannot use this part of a buffer. */
  #checkRange(
    operation: number,
    buffer: RegisteredBuffer,
    offset: number,
    length: number,
    prefix: string,
  ): void {
    if (buffer?.owner !== this.buffers) throw this.#badBuffer(buffer);
    checkNumber(`${prefix}offset`, offset);
    checkNumber(`${prefix}length`, length);
    if (offset + length > buffer.length) {
      throw new RangeError(
        `${prefix}offset ${offset} and length ${length} go beyond the ${buffer.length} bytes of the buffer`,
      );
    }
    if (this._queue.isHeld(buffer.index)) {
      throw this.buffers.busy(buffer, `used by ${operationName(operation)}`);
    }
  }

  /** Throws the error that says what is wrong with these arguments. */
  #refuse(
    operation: number,
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    flags: number,
  ): never {
    this.#checkFile(file);
    if (buffer?.owner !== this.buffers) throw this.#badBuffer(buffer);
    checkNumber("bufferOffset", bufferOffset);
    checkNumber("length", length);
    if (bufferOffset + length > buffer.length) {
      throw new RangeError(
        `bufferOffset ${bufferOffset} and length ${length} go beyond the ${buffer.length} bytes of the buffer`,
      );
    }
    checkNumber("fileOffset", fileOffset);
    this.#checkFlags(operation, flags);
    throw this.buffers.busy(buffer, `used by ${operationName(operation)}`);
  }

  /**
   * Any of the four above in numbers only, for code that keeps track of its memory by itself: nothing
   * here knows that the range of the arena is in flight. The shim checks every number.
   *
   * @param reference Of a file, `RingFile.reference`.
   * @param address Where in the arena, bytes.
   * @internal
   */
  prepDataRaw(
    operation: number,
    reference: number,
    address: number,
    length: number,
    fileOffset: number,
    userData: number,
    flags: number,
  ): boolean {
    return this._queue.stage(
      operation,
      reference,
      fileOffset,
      address,
      length,
      flags,
      userData,
      TAG.NONE,
    );
  }

  // --- Operations: files -----------------------------------------------------------------------

  /**
   * Makes what was written durable; `res` is 0. Covers the writes that had completed before it was
   * submitted, and no others.
   *
   * @param flags `FSYNC_FLAG.DATASYNC`: without what is not needed to read the data back (fdatasync).
   * @param offset Start of a range, bytes; with `length` 0 the whole file.
   * @param length Bytes of the range.
   */
  prepFsync(
    file: RingFile,
    userData: number,
    flags: number = 0,
    offset: number = 0,
    length: number = 0,
  ): boolean {
    this.#checkFile(file);
    this.#checkFlags(OPERATION.fsync, flags);
    checkNumber("offset", offset);
    checkNumber("length", length, U32_MAX);
    const { reference } = file;
    return this.#stage(OPERATION.fsync, reference, offset, 0, length, flags, userData, TAG.NONE);
  }

  /**
   * Starts or awaits the write-out of a range of the page cache; `res` is 0. It makes nothing durable: the
   * file's size and blocks, and the cache of the device, are not part of it. Use it to spread the work of a
   * later fsync.
   *
   * @param flags `SYNC_RANGE_FLAG`s.
   * @param offset Bytes.
   * @param length Bytes; 0 is up to the end.
   */
  prepSyncFileRange(
    file: RingFile,
    offset: number,
    length: number,
    flags: number,
    userData: number,
  ): boolean {
    this.#checkFile(file);
    checkNumber("offset", offset);
    checkNumber("length", length, U32_MAX);
    const operation = OPERATION.syncFileRange;
    this.#checkFlags(operation, flags);
    return this.#stage(operation, file.reference, offset, 0, length, flags, userData, TAG.NONE);
  }

  /**
   * Reserves, zeroes or frees blocks of a file; `res` is 0.
   *
   * @param mode `FALLOCATE_FLAG`s; 0 reserves, and extends the file.
   * @param offset Bytes.
   * @param length Bytes, above 0.
   */
  prepFallocate(
    file: RingFile,
    mode: number,
    offset: number,
    length: number,
    userData: number,
  ): boolean {
    this.#checkFile(file);
    checkNumber("mode", mode, U32_MAX);
    checkNumber("offset", offset);
    checkNumber("length", length);
    // The kernel has the mode where others have their length, and the length where they have addr.
    const { reference } = file;
    if (!this.#stage(OPERATION.fallocate, reference, offset, length, mode, 0, userData, TAG.NONE)) {
      return false;
    }
    this._queue.more(Math.floor(length / 0x1_0000_0000), 0, 0, 0);
    return true;
  }

  /**
   * Sets the size of a file; `res` is 0.
   *
   * @param size Bytes.
   * @throws {RingUnsupportedError} before Linux 6.9; `ring.ftruncate` works everywhere, and blocks.
   */
  prepFtruncate(file: RingFile, size: number, userData: number): boolean {
    this.#checkFile(file);
    checkNumber("size", size);
    return this.#stage(OPERATION.ftruncate, file.reference, size, 0, 0, 0, userData, TAG.NONE);
  }

  /**
   * Opens a file; `res` is its reference, for {@linkcode Ring.file}. It is always close-on-exec. Magic links
   * of /proc (as /proc/self/fd/1, /dev/stdin) are not followed: -ELOOP.
   *
   * @param path Relative ones start at the working directory. At most 4,095 bytes; no NUL.
   * @param flags `OPEN_FLAG`s.
   * @param mode Permissions of a file that is created.
   * @throws {RingError} ENFILE when all file slots are taken.
   */
  prepOpenat(path: string, flags: number, mode: number, userData: number): boolean {
    this.#checkFlags(OPERATION.openat, flags);
    checkNumber("mode", mode, 0o7777);
    if (this.#filesTaken >= this.#filesMax) throw this.#filesFull();
    if (!this.#stagePath(OPERATION.openat, path, flags, userData, TAG.SPECIAL)) return false;
    // openat2 refuses a mode where nothing can be created.
    this._queue.more(0, 0, 0, (flags & OPEN_FLAG.CREAT) !== 0 ? mode : 0);
    this.#special[this._queue.lastSlot] = path;
    this.#filesTaken++;
    return true;
  }

  /**
   * Opens a file as openat2 does, with limits on how its path is resolved; otherwise as
   * {@linkcode Ring.prepOpenat}.
   *
   * @throws {RingError} ENFILE when all file slots are taken.
   */
  prepOpenat2(path: string, how: OpenHow, userData: number): boolean {
    if (typeof how !== "object" || how === null) throw new TypeError("how must be an object");
    const { flags, mode = 0, resolve = 0, directory } = how;
    const operation = OPERATION.openat2;
    this.#checkFlags(operation, flags);
    checkNumber("how.mode", mode, 0o7777);
    checkBits("how.resolve", resolve, RESOLVE_ALL);
    if (directory !== undefined) this.#checkFile(directory);
    if (this.#filesTaken >= this.#filesMax) throw this.#filesFull();
    const start = this.#pathsEnd;
    if (!this.#putPath("path", path)) return false;
    const reference = directory?.reference ?? FILE_NONE;
    const length = this.#pathsEnd - start;
    if (
      !this.#stage(operation, reference, resolve, start, length, flags, userData, TAG.SPECIAL)
    ) {
      this.#pathsEnd = start;
      return false;
    }
    this._queue.more(0, 0, 0, mode);
    this.#special[this._queue.lastSlot] = path;
    this.#filesTaken++;
    return true;
  }

  /**
   * Closes a file; `res` is 0. From now on no operation on it can be prepared.
   *
   * @throws {RingBusyError} when an operation on it is in flight; the error names it.
   */
  prepClose(file: RingFile, userData: number): boolean {
    this.#checkFile(file);
    const busy = this._queue.findFile(file.reference);
    if (busy >= 0) throw this.#fileBusy(file, busy);
    const { reference } = file;
    if (!this.#stage(OPERATION.close, reference, 0, 0, 0, 0, userData, TAG.SPECIAL)) return false;
    this.#special[this._queue.lastSlot] = file;
    file.owner = undefined;
    return true;
  }

  /**
   * Tells about a path; `res` is 0.
   *
   * @param result Filled in when the completion is reaped.
   * @param flags `AT_FLAG` SYMLINK_NOFOLLOW, NO_AUTOMOUNT, STATX_FORCE_SYNC, STATX_DONT_SYNC.
   * @param mask `STATX_MASK`s; all that there are by default.
   */
  prepStatx(
    path: string,
    result: StatxResult,
    userData: number,
    flags: number = 0,
    mask: number = STATX_ALL,
  ): boolean {
    this.#checkFlags(OPERATION.statx, flags);
    checkResult(result);
    checkNumber("mask", mask, U32_MAX);
    if (!this.#stagePath(OPERATION.statx, path, flags, userData, TAG.SPECIAL)) return false;
    this._queue.more(0, 0, 0, mask);
    this.#special[this._queue.lastSlot] = result;
    return true;
  }

  /** As {@linkcode Ring.prepStatx}, about an open file. */
  prepFstatx(
    file: RingFile,
    result: StatxResult,
    userData: number,
    mask: number = STATX_ALL,
  ): boolean {
    this.#checkFile(file);
    checkResult(result);
    checkNumber("mask", mask, U32_MAX);
    if (!this.#stage(OPERATION.fstatx, file.reference, 0, 0, 0, 0, userData, TAG.SPECIAL)) {
      return false;
    }
    this._queue.more(0, 0, 0, mask);
    this.#special[this._queue.lastSlot] = result;
    return true;
  }

  /**
   * Gives a file another name; `res` is 0. Replaces what has that name.
   *
   * @param flags `RENAME_FLAG` NOREPLACE or EXCHANGE.
   */
  prepRenameat(from: string, to: string, userData: number, flags: number = 0): boolean {
    this.#checkFlags(OPERATION.renameat, flags);
    return this.#stageTwoPaths(OPERATION.renameat, from, to, flags, userData);
  }

  /** Removes a name; `res` is 0. `flags`: `AT_FLAG.REMOVEDIR` for an empty directory. */
  prepUnlinkat(path: string, userData: number, flags: number = 0): boolean {
    this.#checkFlags(OPERATION.unlinkat, flags);
    return this.#stagePath(OPERATION.unlinkat, path, flags, userData, TAG.NONE);
  }

  /** Makes a directory; `res` is 0. */
  prepMkdirat(path: string, mode: number, userData: number): boolean {
    checkNumber("mode", mode, 0o7777);
    if (!this.#stagePath(OPERATION.mkdirat, path, 0, userData, TAG.NONE)) return false;
    this._queue.more(0, 0, 0, mode);
    return true;
  }

  /** Gives a file a second name; `res` is 0, or -EEXIST. */
  prepLinkat(from: string, to: string, userData: number): boolean {
    return this.#stageTwoPaths(OPERATION.linkat, from, to, 0, userData);
  }

  /**
   * Makes a symbolic link; `res` is 0, or -EEXIST.
   *
   * @param target What it says, whether that exists or not.
   * @param path Its own place.
   */
  prepSymlinkat(target: string, path: string, userData: number): boolean {
    return this.#stageTwoPaths(OPERATION.symlinkat, target, path, 0, userData);
  }

  /**
   * Reads an extended attribute of a path into a buffer; `res` is its bytes, -ENODATA when there is none,
   * -ERANGE when it is longer. With a `length` of 0 nothing is read, and `res` is the size of the value.
   *
   * @param name At most 255 bytes, as "user.checksum".
   * @param bufferOffset Where in the buffer the value goes, bytes.
   * @param length Room for it, at most 4,096 bytes.
   * @throws {RingUnsupportedError} before Linux 5.19.
   */
  prepGetxattr(
    path: string,
    name: string,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    userData: number,
  ): boolean {
    return this.#stageXattr(
      OPERATION.getxattr,
      path,
      name,
      buffer,
      bufferOffset,
      length,
      0,
      userData,
    );
  }

  /**
   * Sets an extended attribute of a path; `res` is 0. Otherwise as {@linkcode Ring.prepGetxattr}.
   *
   * @param flags `XATTR_FLAG` CREATE (else -EEXIST) or REPLACE (else -ENODATA).
   */
  prepSetxattr(
    path: string,
    name: string,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    userData: number,
    flags: number = 0,
  ): boolean {
    const operation = OPERATION.setxattr;
    return this.#stageXattr(operation, path, name, buffer, bufferOffset, length, flags, userData);
  }

  /** As {@linkcode Ring.prepGetxattr}, of an open file. */
  prepFgetxattr(
    file: RingFile,
    name: string,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    userData: number,
  ): boolean {
    const operation = OPERATION.fgetxattr;
    return this.#stageXattr(operation, file, name, buffer, bufferOffset, length, 0, userData);
  }

  /** As {@linkcode Ring.prepSetxattr}, of an open file. */
  prepFsetxattr(
    file: RingFile,
    name: string,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    userData: number,
    flags: number = 0,
  ): boolean {
    const operation = OPERATION.fsetxattr;
    return this.#stageXattr(operation, file, name, buffer, bufferOffset, length, flags, userData);
  }

  #stageXattr(
    operation: number,
    target: string | RingFile,
    name: string,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    flags: number,
    userData: number,
  ): boolean {
    const byPath = OPERATIONS[operation].file === "none";
    if (!byPath) this.#checkFile(target as RingFile);
    this.#checkRange(operation, buffer, bufferOffset, length, "buffer ");
    checkNumber("length", length, VALUE_BYTES_MAX);
    this.#checkFlags(operation, flags);
    const start = this.#pathsEnd;
    if (byPath && !this.#putPath("path", target as string)) return false;
    const middle = this.#pathsEnd;
    const reference = byPath ? 0 : (target as RingFile).reference;
    const [path, bytes] = byPath ? [start, middle - start] : [0, 0];
    const value = buffer.offset + bufferOffset;
    if (
      this.#putPath("name", name, XATTR_NAME_BYTES_MAX) &&
      this.#stage(operation, reference, value, path, bytes, flags, userData, buffer.index + 1)
    ) {
      this._queue.more(0, middle, this.#pathsEnd - middle, length);
      this._queue.hold(buffer.index);
      return true;
    }
    this.#pathsEnd = start;
    return false;
  }

  /**
   * Says how a range of a file will be used; `res` is 0.
   *
   * @param offset Bytes.
   * @param length Bytes; 0 is up to the end.
   * @param advice A `FADVISE_FLAG`.
   */
  prepFadvise(
    file: RingFile,
    offset: number,
    length: number,
    advice: number,
    userData: number,
  ): boolean {
    this.#checkFile(file);
    checkNumber("offset", offset);
    checkNumber("length", length, U32_MAX);
    checkValue("advice", OPERATION.fadvise, advice);
    const { reference } = file;
    return this.#stage(OPERATION.fadvise, reference, offset, 0, length, advice, userData, TAG.NONE);
  }

  /**
   * Says how a part of the arena will be used; `res` is 0.
   *
   * @param bufferOffset Where in the buffer, a multiple of 4,096.
   * @param length Bytes, a multiple of 4,096.
   * @param advice `MADVISE_FLAG` NORMAL, WILLNEED, HUGEPAGE, POPULATE_READ or POPULATE_WRITE. There are no
   * others: they would part the program's memory from what the kernel has pinned.
   */
  prepMadvise(
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    advice: number,
    userData: number,
  ): boolean {
    const operation = OPERATION.madvise;
    this.#checkRange(operation, buffer, bufferOffset, length, "buffer ");
    if (bufferOffset % SLICE_ALIGNMENT_BYTES !== 0 || length % SLICE_ALIGNMENT_BYTES !== 0) {
      throw new RangeError(
        `bufferOffset and length must be multiples of 4096, not ${bufferOffset} and ${length}`,
      );
    }
    checkValue("advice", operation, advice);
    const address = buffer.offset + bufferOffset;
    const tag = buffer.index + 1;
    if (!this.#stage(operation, 0, 0, address, length, advice, userData, tag)) return false;
    this._queue.hold(buffer.index);
    return true;
  }

  /**
   * Moves bytes between two files, one of which must be a pipe, without copying them through memory; `res`
   * is the bytes moved, 0 at the end of `from`, -EINVAL when neither is a pipe. A pipe comes in by
   * {@linkcode Ring.adoptFd}, or is a FIFO that was opened.
   *
   * @param fromOffset Where in `from`, bytes; -1 for a pipe, or for the file's own position.
   * @param toOffset Where in `to`, as above.
   * @param length Bytes at most.
   * @param flags `SPLICE_FLAG`s.
   */
  prepSplice(
    from: RingFile,
    fromOffset: number,
    to: RingFile,
    toOffset: number,
    length: number,
    userData: number,
    flags: number = 0,
  ): boolean {
    this.#checkFile(from);
    this.#checkFile(to);
    if (fromOffset !== -1) checkNumber("fromOffset", fromOffset);
    if (toOffset !== -1) checkNumber("toOffset", toOffset);
    checkNumber("length", length, U32_MAX);
    const operation = OPERATION.splice;
    this.#checkFlags(operation, flags);
    const queue = this._queue;
    if (
      !this.#stage(operation, to.reference, toOffset, fromOffset, length, flags, userData, TAG.NONE)
    ) return false;
    queue.more(Math.floor(fromOffset / 0x1_0000_0000), 0, 0, from.reference);
    if (toOffset === -1) queue.noOffset();
    queue.holdSecond(from.reference);
    return true;
  }

  // --- Operations: waiting and ending ---------------------------------------------------------------

  /**
   * Completes once when a file (a pipe, a FIFO, a terminal) has one of these events; `res` is what it has.
   * Once: there is no multishot here.
   *
   * @param events `POLL_FLAG`s. ERR and HUP need not be asked for.
   */
  prepPollAdd(file: RingFile, events: number, userData: number): boolean {
    this.#checkFile(file);
    const operation = OPERATION.pollAdd;
    this.#checkFlags(operation, events, "events");
    return this.#stage(operation, file.reference, 0, 0, 0, events, userData, TAG.NONE);
  }

  /**
   * Ends the poll with `target` as its userData, which completes with -ECANCELED. `res` is 0, -ENOENT when it
   * was not found, or -EALREADY when it is about to complete.
   *
   * @returns `false` also when no operation has that userData.
   */
  prepPollRemove(target: number, userData: number): boolean {
    return this.#stageTarget(OPERATION.pollRemove, target, 0, 0, 0, userData);
  }

  /**
   * Completes after some time; `res` is then -ETIME. While it is in flight, a wait for completions lasts no
   * longer.
   *
   * @param micros Microseconds from now, or with `TIMEOUT_FLAG.ABS` on the clock: since boot without suspend,
   * with BOOTTIME since boot, with REALTIME since 1970.
   * @param count Complete with 0 already when so many other operations have completed; 0 never.
   * @param flags `TIMEOUT_FLAG` ABS, BOOTTIME, REALTIME, and ETIME_SUCCESS: in a chain, expiry is no failure.
   */
  prepTimeout(micros: number, count: number, userData: number, flags: number = 0): boolean {
    checkNumber("micros", micros);
    checkNumber("count", count, U32_MAX);
    const operation = OPERATION.timeout;
    checkBits("flags", flags, OPERATIONS[operation].opFlags);
    const seconds = Math.floor(micros / 1e6);
    if (!this.#stage(operation, 0, seconds, 0, count, flags, userData, TAG.NONE)) return false;
    this._queue.more(0, 0, 0, (micros % 1e6) * 1000);
    return true;
  }

  /**
   * Ends the timeout with `target` as its userData, which completes with -ECANCELED. `res` is 0, -ENOENT when
   * it was not found, or -EBUSY when it expires right now.
   *
   * @returns `false` also when no operation has that userData.
   */
  prepTimeoutRemove(target: number, userData: number): boolean {
    return this.#stageTarget(OPERATION.timeoutRemove, target, 0, 0, 0, userData);
  }

  /**
   * Gives the timeout or link timeout with `target` as its userData another time; `res` as above.
   *
   * @param micros As {@linkcode Ring.prepTimeout}.
   * @param flags `TIMEOUT_FLAG.ABS`.
   * @returns `false` also when no operation has that userData.
   */
  prepTimeoutUpdate(target: number, micros: number, userData: number, flags: number = 0): boolean {
    checkNumber("micros", micros);
    checkBits("flags", flags, TIMEOUT_FLAG.ABS);
    const slot = this._queue.findUserData(target);
    const link = slot >= 0 && this._queue.operationOfSlot(slot) === OPERATION.linkTimeout;
    const all = link ? flags | TIMEOUT_FLAG.LINK_UPDATE : flags;
    const nanoseconds = (micros % 1e6) * 1000;
    const seconds = Math.floor(micros / 1e6);
    return this.#stageTarget(OPERATION.timeoutUpdate, target, seconds, nanoseconds, all, userData);
  }

  /**
   * Limits the operation prepared before it, in one chain with it: `beginChain(2)`, the operation, this. When
   * the time is over the operation is canceled, and `res` is -ETIME, or -EALREADY when it could not be; when
   * the operation ends before, `res` is -ECANCELED.
   *
   * @param micros As {@linkcode Ring.prepTimeout}.
   * @param flags As {@linkcode Ring.prepTimeout}.
   * @throws {TypeError} when no operation stands before it in a chain.
   */
  prepLinkTimeout(micros: number, userData: number, flags: number = 0): boolean {
    checkNumber("micros", micros);
    const operation = OPERATION.linkTimeout;
    checkBits("flags", flags, OPERATIONS[operation].opFlags);
    this.#checkOpen();
    if (!this._queue.linked) {
      throw new TypeError("a link timeout stands in a chain, behind the operation that it limits");
    }
    const seconds = Math.floor(micros / 1e6);
    if (!this.#stage(operation, 0, seconds, 0, 0, flags, userData, TAG.NONE)) return false;
    this._queue.more(0, 0, 0, (micros % 1e6) * 1000);
    return true;
  }

  /**
   * Sends a completion to another ring of this process, in whichever thread: there it has `value` as its
   * userData, `result` as its res, and `CQE_FLAG.MESSAGE` among its flags. Here `res` is 0, or -EBADFD when
   * that ring is closed.
   *
   * @param address The other ring's {@linkcode Ring.address}.
   * @param value A safe integer.
   * @param result Any 32-bit integer.
   * @throws {RingUnsupportedError} before Linux 5.18.
   * @throws {RingImageError} at the submit, when no ring has that address any more.
   */
  prepMsgRing(address: number, value: number, result: number, userData: number): boolean {
    checkNumber("address", address, 0x7fff_ffff);
    if (!Number.isSafeInteger(value)) {
      throw new TypeError(`value must be a safe integer, not ${String(value)}`);
    }
    if ((result | 0) !== result) {
      throw new RangeError(`result must be a 32-bit integer, not ${String(result)}`);
    }
    const high = Math.floor(value / 0x8000_0000);
    const low = value - high * 0x8000_0000;
    if (!this.#stage(OPERATION.msgRing, address, 0, low, result, 0, userData, TAG.NONE)) {
      return false;
    }
    this._queue.more(high, 0, 0, 0);
    return true;
  }

  /**
   * What other rings, also of other threads, send messages to by {@linkcode Ring.prepMsgRing}. From the
   * first time that it is read, a reap looks for messages also when nothing is in flight.
   *
   * A message ends a wait like any completion, but a wait counts on operations only: hold a timeout in flight
   * to wait for messages. At most 64 messages are kept until they are reaped; further ones, and what has
   * completed after them, wait in the kernel.
   */
  get address(): number {
    this.#checkOpen();
    this._queue.receives = true;
    return this.#ring;
  }

  /**
   * Asks to cancel the operation with `target` as its userData. `res` is 0, -ENOENT when it was not
   * found, or -EALREADY when it runs and may still complete. Its own completion comes in any case, and
   * only that gives its buffer back.
   *
   * @returns `false` also when no operation has that userData.
   */
  prepCancel(target: number, userData: number): boolean {
    return this.#stageTarget(OPERATION.cancel, target, 0, 0, 0, userData);
  }

  /**
   * Asks to cancel all operations on a file; `res` is how many were found. Their own completions come in any
   * case.
   *
   * @throws {RingUnsupportedError} before Linux 5.19.
   */
  prepCancelFile(file: RingFile, userData: number): boolean {
    this.#checkFile(file);
    const { reference } = file;
    const flags = CANCEL_FLAG.ALL;
    return this.#stage(OPERATION.cancelFile, reference, 0, 0, 0, flags, userData, TAG.NONE);
  }

  /**
   * Asks to cancel everything that is in flight; `res` is how many operations were found. Otherwise as
   * {@linkcode Ring.prepCancelFile}.
   */
  prepCancelAny(userData: number): boolean {
    return this.#stage(OPERATION.cancelAny, 0, 0, 0, 0, 0, userData, TAG.NONE);
  }

  /** Stages an operation upon another one, which is known by its userData. */
  #stageTarget(
    operation: number,
    target: number,
    offset: number,
    extra: number,
    flags: number,
    userData: number,
  ): boolean {
    checkUserData(target);
    const slot = this._queue.findUserData(target);
    if (slot < 0) {
      if (this._queue.closed) throw new RingClosedError();
      return false;
    }
    const generation = this._queue.generationOfSlot(slot);
    if (!this.#stage(operation, 0, offset, slot, 0, flags, userData, TAG.NONE)) return false;
    this._queue.more(generation, 0, 0, extra);
    return true;
  }

  /**
   * Links the next `count` operations: each starts when the one before it has succeeded, and after a
   * failure or a short transfer the rest ends with -ECANCELED. They must be prepared before the next
   * submit.
   *
   * Nothing can follow an operation whose failure the kernel lets pass: fsync, sync_file_range, fallocate,
   * ftruncate, statx, madvise, attributes, and those that change names. Behind such a one the next would start
   * although it failed, so preparing it throws TypeError; it can be the last, and a link timeout can follow.
   *
   * @param hard Go on after failures (IOSQE_IO_HARDLINK). Then a sync at the end says nothing about
   * the writes before it.
   * @returns `false`, and begins nothing, when not all of them fit.
   */
  beginChain(count: number, hard: boolean = false): boolean {
    checkNumber("count", count, this.entries);
    if (count < 2) throw new RangeError(`count must be at least 2, not ${count}`);
    return this._queue.beginChain(count, hard);
  }

  /**
   * Sets flags of the operation that is prepared next, and of that one only.
   *
   * @param flags `SQE_FLAG` ASYNC (do not try without a worker thread of the kernel) and IO_DRAIN
   * (after all before it, and before all after it: stalls the whole ring).
   */
  nextFlags(flags: number): void {
    if ((flags & ~NEXT_FLAGS) !== 0 || flags !== flags >>> 0) {
      throw new RangeError(`flags must be of SQE_FLAG ASYNC and IO_DRAIN, not ${flags}`);
    }
    this._queue.setFlags(flags);
  }

  // --- Staging of all but the hottest --------------------------------------------------------------

  #stage(
    operation: number,
    reference: number,
    offset: number,
    address: number,
    length: number,
    flags: number,
    userData: number,
    tag: number,
  ): boolean {
    if (OPERATIONS[operation].probed) this.#checkSupported(operation);
    // The kernel would refuse it, and a close would have to be done again.
    if (this.#polls && operation !== OPERATION.msgRing) {
      throw new RingPollError(operationName(operation));
    }
    return this._queue.stage(operation, reference, offset, address, length, flags, userData, tag);
  }

  #stagePath(
    operation: number,
    path: string,
    flags: number,
    userData: number,
    tag: number,
  ): boolean {
    const start = this.#pathsEnd;
    if (!this.#putPath("path", path)) return false;
    const length = this.#pathsEnd - start;
    if (this.#stage(operation, 0, 0, start, length, flags, userData, tag)) return true;
    this.#pathsEnd = start;
    return false;
  }

  #stageTwoPaths(
    operation: number,
    from: string,
    to: string,
    flags: number,
    userData: number,
  ): boolean {
    const start = this.#pathsEnd;
    if (!this.#putPath("from", from)) return false;
    const middle = this.#pathsEnd;
    if (
      this.#putPath("to", to) &&
      this.#stage(operation, 0, 0, start, middle - start, flags, userData, TAG.NONE)
    ) {
      this._queue.more(0, middle, this.#pathsEnd - middle, 0);
      return true;
    }
    this.#pathsEnd = start;
    return false;
  }

  /** Appends a path, or a name, to the incoming part of the parameter area; `false` when it is full. */
  #putPath(name: string, path: string, bytesMax: number = PATH_BYTES_MAX): boolean {
    if (typeof path !== "string") throw new TypeError(`${name} must be a string`);
    if (path === "") throw new TypeError(`${name} is empty`);
    if (path.includes("\0")) throw new TypeError(`${name} contains a NUL`);
    const start = this.#pathsEnd;
    const room = Math.min(this.#paths.length - start, bytesMax + 1);
    const target = this.#paths.subarray(start, start + room);
    const { read, written } = encoder.encodeInto(path, target);
    if (written > bytesMax || (read < path.length && room > bytesMax)) {
      throw new RangeError(`${name} is longer than ${bytesMax} bytes`);
    }
    if (read < path.length) return this.#noRoom();
    this.#pathsEnd = start + written;
    return true;
  }

  /** A special operation completed (`res`), or was dropped without being submitted (`undefined`). */
  #finish(operation: number, slot: number, res: number | undefined): void {
    const special = this.#special[slot];
    this.#special[slot] = undefined;
    switch (operation) {
      case OPERATION.openat:
      case OPERATION.openat2:
        if (res === undefined || res < 0) this.#filesTaken--;
        else this.#addFile(res, special as string);
        break;
      case OPERATION.close: {
        const file = special as RingFile;
        if (res === undefined) file.owner = this;
        else this.#removeFile(file);
        break;
      }
      case OPERATION.readv:
      case OPERATION.writev:
        for (const { buffer } of special as readonly RingVector[]) this._queue.letGo(buffer.index);
        break;
      case OPERATION.statx:
      case OPERATION.fstatx:
        if (res === 0) (special as StatxResult).fill(this.#results, slot * RESULT_BYTES);
        break;
    }
  }

  // --- Files -----------------------------------------------------------------------------------

  /**
   * The file that an openat gave, by its `res`.
   * @throws {TypeError} when there is no such file, with the name of the errno when it is negative.
   */
  file(reference: number): RingFile {
    const file = this.#files[reference & FILE_SLOT_MASK];
    if (reference >= 0 && file?.reference === reference) return file;
    if (this._queue.closed) throw new RingClosedError();
    throw new TypeError(
      reference < 0
        ? `the open failed: ${errnoName(-reference)} (${errnoText(-reference)})`
        : `there is no file with the reference ${reference}`,
    );
  }

  #addFile(reference: number, path: string): RingFile {
    return this.#files[reference & FILE_SLOT_MASK] = new RingFile(this, reference, path);
  }

  #removeFile(file: RingFile): void {
    const at = file.reference & FILE_SLOT_MASK;
    if (this.#files[at] === file) this.#files[at] = undefined;
    this.#filesTaken--;
  }

  /**
   * Lets the ring use a file that something else opened, by its descriptor, which is duplicated: close
   * your own when you like. Only where the runtime's numbers are the kernel's (Bun's are, Deno's are
   * not). Descriptors of /proc, /sys, of memory devices and of rings are refused.
   *
   * @throws {RingError} EBADF when there is no such descriptor, EACCES when it is refused, ENFILE when
   * all file slots are taken.
   */
  adoptFd(descriptor: number): RingFile {
    this.#checkOpen();
    checkNumber("descriptor", descriptor, 0x7fff_ffff);
    if (this.#filesTaken >= this.#filesMax) throw this.#filesFull();
    const reference = this.#functions.uring_adopt(this.#ring, descriptor);
    this.#check(reference, `adopting descriptor ${descriptor}`);
    this.#filesTaken++;
    return this.#addFile(reference, "");
  }

  /**
   * Lets this ring use a file of another ring of the same thread, as one opening of it in both: they have
   * its position and its locks in common, and each closes its own.
   *
   * @throws {RingError} ENFILE when all file slots are taken.
   */
  adoptFile(file: RingFile): RingFile {
    this.#checkOpen();
    const other = file?.owner;
    if (!(other instanceof Ring)) throw this.#badFile(file);
    if (this.#filesTaken >= this.#filesMax) throw this.#filesFull();
    const { uring_adopt_file } = this.#functions;
    const reference = uring_adopt_file(this.#ring, other.#ring, file.reference);
    this.#check(reference, `adopting ${file.path || "a file"} of another ring`);
    this.#filesTaken++;
    return this.#addFile(reference, file.path);
  }

  // --- Registrations ---------------------------------------------------------------------------

  // The kernel's table of files is made when the ring is opened, with `files` empty places, and a file slot
  // is a place in it; what opens a file fills one, what closes it empties it. These fill and empty many at
  // once. The table of buffers has one place with the whole arena, or with `sparseBuffers` one for each
  // slice: memory outside the arena is never registered.

  /**
   * Adopts several descriptors, all or none: one call, each in a free place of the file table.
   *
   * @throws {RingError} as {@linkcode Ring.adoptFd}; then none of them was adopted.
   */
  registerFiles(descriptors: readonly number[]): RingFile[] {
    this.#checkOpen();
    if (this.#filesTaken + descriptors.length > this.#filesMax) throw this.#filesFull();
    const references = this.#updateFiles(descriptors.map(() => FILE_NONE), descriptors);
    this.#filesTaken += references.length;
    return references.map((reference) => this.#addFile(reference, ""));
  }

  /**
   * Puts other files into the places of `files`, all or none: each is closed, and its place gets a
   * duplicate of the descriptor with the same index. It is a file of its own: the old one cannot be used
   * any more, and whatever was prepared for it can never reach the new one.
   *
   * @throws {RingBusyError} when an operation on one of them is in flight; the error names it.
   * @throws {RingError} as {@linkcode Ring.adoptFd}; then nothing has changed.
   */
  updateFiles(files: readonly RingFile[], descriptors: readonly number[]): RingFile[] {
    this.#checkIdle(files);
    if (descriptors.length !== files.length) {
      throw new RangeError(
        `there are ${files.length} files and ${descriptors.length} descriptors: one for each`,
      );
    }
    const references = this.#updateFiles(files.map(({ reference }) => reference), descriptors);
    for (const file of files) file.owner = undefined;
    return references.map((reference) => this.#addFile(reference, ""));
  }

  /**
   * Closes files, all or none, in one call and without an operation: also while the queue is full, and on
   * a ring with `iopoll`, which has no close.
   *
   * @throws {RingBusyError} when an operation on one of them is in flight; the error names it.
   */
  unregisterFiles(files: readonly RingFile[]): void {
    this.#checkIdle(files);
    this.#updateFiles(files.map(({ reference }) => reference), files.map(() => -1));
    for (const file of files) {
      file.owner = undefined;
      this.#removeFile(file);
    }
  }

  #checkIdle(files: readonly RingFile[]): void {
    this.#checkOpen();
    for (const file of files) {
      this.#checkFile(file);
      const busy = this._queue.findFile(file.reference);
      if (busy >= 0) throw this.#fileBusy(file, busy);
    }
    if (new Set(files).size < files.length) throw new TypeError("a file is named twice");
  }

  /** The references of what is in these places now. */
  #updateFiles(references: readonly number[], descriptors: readonly number[]): number[] {
    const count = references.length;
    if (count === 0) return [];
    const words = FILE_UPDATE.bytes / 4;
    const updates = new Int32Array(new SharedArrayBuffer(count * FILE_UPDATE.bytes));
    for (let i = 0; i < count; i++) {
      if (descriptors[i] !== -1 || references[i] === FILE_NONE) {
        checkNumber(`descriptors[${i}]`, descriptors[i], 0x7fff_ffff);
      }
      updates[words * i + FILE_UPDATE.file / 4] = references[i];
      updates[words * i + FILE_UPDATE.descriptor / 4] = descriptors[i];
    }
    const bytes = new Uint8Array(updates.buffer);
    this.#check(
      this.#functions.uring_update_files(this.#ring, bytes, bytes.length),
      `changing ${count} files of the ring`,
    );
    return references.map((_, i) => updates[words * i + FILE_UPDATE.file / 4]);
  }

  /**
   * Registers (pins) buffers of a ring that was opened with `sparseBuffers`. Until they are unregistered or
   * released, operations on them need not pin them anew. One that is registered stays so.
   *
   * Other buffers can be used all the same on the main thread; in a worker, whose memory can go away at any
   * time, the shim refuses them (`unpinned`).
   *
   * @throws {RingError} ENOMEM when no more memory may be locked; those before it are registered.
   */
  registerBuffers(buffers: readonly RegisteredBuffer[]): void {
    this.#checkBuffers(buffers);
    for (const buffer of buffers) {
      if (buffer.registered) continue;
      const { offset, length } = buffer;
      const result = this.#functions.uring_update_buffer(this.#ring, offset, length, 1);
      this.#check(result, `registering the ${length} bytes of buffer ${buffer.index}`);
      buffer.registered = true;
      this.#registeredBytes += length;
    }
  }

  /**
   * Takes registrations of {@linkcode Ring.registerBuffers} back.
   *
   * @throws {RingBusyError} when an operation on one of them is in flight; then none was taken back.
   */
  unregisterBuffers(buffers: readonly RegisteredBuffer[]): void {
    this.#checkBuffers(buffers);
    for (const buffer of buffers) if (buffer.registered) this.#unregisterBuffer(buffer);
  }

  #checkBuffers(buffers: readonly RegisteredBuffer[]): void {
    this.#checkOpen();
    if (this.buffers.registered) {
      throw new TypeError("the whole arena is registered: open the ring with sparseBuffers");
    }
    for (const buffer of buffers) {
      if (buffer?.owner !== this.buffers) throw this.#badBuffer(buffer);
      this.buffers.checkIdle(buffer, "registered or unregistered");
    }
  }

  #unregisterBuffer(buffer: RegisteredBuffer): void {
    const { offset, length } = buffer;
    // The kernel forgets a ring's registrations with the ring.
    if (!this._queue.closed) {
      const result = this.#functions.uring_update_buffer(this.#ring, offset, length, 0);
      this.#check(result, `unregistering buffer ${buffer.index}`);
    }
    buffer.registered = false;
    this.#registeredBytes -= length;
  }

  /**
   * Starts a ring that was opened with `disabled`.
   *
   * @param operations The only ones that it may ever do, by their names in `ring.probe()`: everything else
   * ends with -EACCES, whoever prepares it. That cannot be undone. The kernel knows its own operations and
   * not ours, so what it does by the same one is allowed with it, as `read` with `read_fixed`, `statx` with
   * `fstatx`, `openat` with `openat2`. `close` and `cancel`, which give back what the ring has, are always
   * allowed. Without a list everything is.
   * @throws {RingError} EBADFD, or EACCES, when the ring was not opened disabled or was started before.
   */
  enable(operations?: readonly string[]): void {
    this.#checkOpen();
    const rows = new Uint8Array(new SharedArrayBuffer(OPERATIONS.length));
    for (const name of operations ?? []) {
      const index = OPERATIONS.findIndex((row) => row.name === name);
      if (index < 0) throw new TypeError(`there is no operation "${name}"`);
      rows[index] = 1;
    }
    const bytes = operations === undefined ? 0 : rows.length;
    this.#check(this.#functions.uring_enable(this.#ring, rows, bytes), "enabling the ring");
  }

  /**
   * Limits the kernel's worker threads for the rings of this thread: they are the thread's, not the ring's.
   *
   * @param limits What is left out stays as it is.
   * @returns what the limits were.
   */
  limitWorkers(limits: Partial<WorkerLimits> = {}): WorkerLimits {
    this.#checkOpen();
    const words = new Uint32Array(new SharedArrayBuffer(8));
    for (const [i, name] of (["bounded", "unbounded"] as const).entries()) {
      const limit = limits[name];
      if (limit === undefined) continue;
      checkNumber(name, limit, 0x7fff_ffff);
      if (limit === 0) throw new RangeError(`${name} must be at least 1`);
      words[i] = limit;
    }
    const bytes = new Uint8Array(words.buffer);
    this.#check(this.#functions.uring_workers(this.#ring, bytes, 8), "limiting worker threads");
    return { bounded: words[0], unbounded: words[1] };
  }

  /**
   * Cancels operations that were submitted, and blocks until they have ended or the time is over. Their
   * completions come all the same, -ECANCELED or what they achieved, and only those give their buffers
   * back: reap them.
   *
   * @param target The `userData` of one operation, a file for all operations on it, or `"all"`.
   * @param timeoutMillis How long to wait at most.
   * @returns 0, or a negative errno: -ENOENT when there was nothing to cancel, -ETIME after a time-out.
   * @throws {RingUnsupportedError} before Linux 6.0.
   */
  cancelSync(target: number | RingFile | "all", timeoutMillis: number = CANCEL_MILLIS): number {
    this.#checkOpen();
    checkNumber("timeoutMillis", timeoutMillis, U32_MAX);
    let what: number = CANCEL_TARGET.ANY;
    let which = 0;
    let generation = 0;
    if (typeof target === "number") {
      checkUserData(target);
      const slot = this._queue.findUserData(target);
      if (slot < 0) return -ERRNO.ENOENT;
      what = CANCEL_TARGET.OPERATION;
      which = slot;
      generation = this._queue.generationOfSlot(slot);
    } else if (target !== "all") {
      this.#checkFile(target);
      what = CANCEL_TARGET.FILE;
      which = target.reference;
    }
    const { uring_cancel_sync } = this.#functions;
    const res = uring_cancel_sync(this.#ring, what, which, generation >>> 0, timeoutMillis);
    if (res === -ERRNO.EINVAL) throw new RingUnsupportedError("synchronous cancel", "6.0");
    if (res !== -ERRNO.ENOENT && res !== -ERRNO.ETIME) this.#check(res, "cancelling");
    return res;
  }

  /**
   * Locks or unlocks a whole file. Never waits. The lock is of this opening of the file, and ends with it.
   *
   * @returns 0, or a negative errno: -EAGAIN when it is held by another.
   */
  flock(file: RingFile, flags: number): number {
    this.#checkFile(file);
    checkNumber("flags", flags, 15);
    return this.#functions.uring_flock(this.#ring, file.reference, flags);
  }

  /** Tells about the file system of a file. Blocks. @returns 0, or a negative errno. */
  fstatfs(file: RingFile, result: FileSystemResult): number {
    this.#checkFile(file);
    const bytes = new Uint8Array(new SharedArrayBuffer(FILE_SYSTEM_INFO.bytes));
    const res = this.#functions.uring_fstatfs(this.#ring, file.reference, bytes, bytes.length);
    if (res === 0) result.fill(new DataView(bytes.buffer));
    return res;
  }

  /** Sets the size of a file, on any kernel. Blocks. @returns 0, or a negative errno. */
  ftruncate(file: RingFile, size: number): number {
    this.#checkFile(file);
    checkNumber("size", size);
    const high = Math.floor(size / 0x1_0000_0000);
    return this.#functions.uring_ftruncate(this.#ring, file.reference, size >>> 0, high);
  }

  /**
   * Turns copy-on-write off for an empty file (FS_NOCOW_FL), so that overwriting it does not allocate.
   * @returns 1 when it is off, 0 where there is no such thing, or a negative errno.
   */
  nocow(file: RingFile): number {
    this.#checkFile(file);
    return this.#functions.uring_nocow(this.#ring, file.reference);
  }

  /** Physical block of the device under a file, bytes; 0 when unknown, or a negative errno. */
  physicalBlockBytes(file: RingFile): number {
    this.#checkFile(file);
    return this.#functions.uring_physical_block_bytes(this.#ring, file.reference);
  }

  // --- Looking ---------------------------------------------------------------------------------

  /** Whether this kernel has an operation, by its name (`ftruncate`). All that there are without one. */
  probe(): ReadonlyMap<string, boolean>;
  /** Whether this kernel has one operation. */
  probe(name: string): boolean;
  probe(name?: string): boolean | ReadonlyMap<string, boolean> {
    const rows = this.#probeRows();
    if (name === undefined) return new Map(OPERATIONS.map((row, i) => [row.name, rows[i]]));
    const index = OPERATIONS.findIndex((row) => row.name === name);
    if (index < 0) throw new TypeError(`there is no operation "${name}"`);
    return rows[index];
  }

  #probeRows(): readonly boolean[] {
    this.#checkOpen();
    if (this.#probe === undefined) {
      const bytes = new Uint8Array(new SharedArrayBuffer(OPERATIONS.length));
      this.#check(this.#functions.uring_probe(this.#ring, bytes, bytes.length), "the probe");
      this.#probe = Array.from(bytes, (byte) => byte === 1);
    }
    return this.#probe;
  }

  /** Counts since open; costs no call of the kernel. */
  stats(): RingStats {
    return {
      submissions: this._queue.submissions,
      enters: this.#control[CONTROL_ENTERS],
      completions: this._queue.delivered,
      overflows: this.#control[CONTROL_OVERFLOWS],
      peakInFlight: this._queue.peak,
      stale: this._queue.stale + this.#control[CONTROL_STALE],
      inFlight: this.#control[CONTROL_IN_FLIGHT],
      files: this.#filesTaken,
      registered: this.features.registered,
      registeredBytes: this.buffers.registered ? this.arena.length : this.#registeredBytes,
      rung: this.features.rung,
    };
  }

  /** Gives one line for each SQE handed over and each CQE reaped; `undefined` ends it. */
  trace(sink: TraceSink | undefined): void {
    this._queue.trace = sink;
  }

  /**
   * pread(2) or pwrite(2) between a file and the arena, beside the ring; for code that keeps track of its
   * memory by itself. The shim checks every number.
   *
   * @returns the bytes moved, or a negative errno
   * @internal
   */
  transferNow(
    writes: boolean,
    reference: number,
    address: number,
    length: number,
    fileOffset: number,
  ): number {
    const high = fileOffset > U32_MAX ? Math.floor(fileOffset / 0x1_0000_0000) : 0;
    const low = fileOffset >>> 0;
    return writes
      ? this.#functions.uring_pwrite(this.#ring, reference, address, length, low, high)
      : this.#functions.uring_pread(this.#ring, reference, address, length, low, high);
  }

  /**
   * CRC32C of bytes, continuing from `seed`.
   * @internal
   */
  crc32cArena(seed: number, address: number, length: number): number {
    return this.#functions.uring_crc32c_arena(this.#ring, seed, address, length);
  }

  // --- The end ---------------------------------------------------------------------------------

  /**
   * Closes the ring: cancels what is in flight, waits for its last completions, closes the files, and
   * only then lets go of the arena. Completions that were not reaped are lost. Closing twice is no error.
   *
   * @param deadlineMillis How long to wait for the last completions. Past it the memory is kept for the
   * life of the process, because the kernel may still write to it.
   * @returns operations that were still in flight at the deadline.
   */
  close(deadlineMillis: number = CLOSE_DEADLINE_MILLIS): number {
    checkNumber("deadlineMillis", deadlineMillis, U32_MAX);
    if (this._queue.closed) return 0;
    const left = this.#functions.uring_close(this.#ring, deadlineMillis);
    this._queue.close();
    for (const file of this.#files) if (file !== undefined) file.owner = undefined;
    this.#files.length = 0;
    this.#filesTaken = 0;
    if (left !== 0) leaked.push(this.#arenaMemory, keptAlive.get(this.#ring));
    keptAlive.delete(this.#ring);
    if (this.#waiting) threadDispatcher().forget(this.#waitable);
    this.#check(left, "closing the ring");
    return left;
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }

  // --- Checks ------------------------------------------------------------------------------------

  #checkOpen(): void {
    if (this._queue.closed) throw new RingClosedError();
  }

  #checkFile(file: RingFile): void {
    if (file?.owner !== this) throw this.#badFile(file);
  }

  #badFile(file: unknown): Error {
    if (this._queue.closed) return new RingClosedError();
    if (!(file instanceof RingFile)) return new TypeError("file must be a RingFile");
    return new TypeError(
      file.owner === undefined
        ? `file ${file.path || file.reference} is closed`
        : `file ${file.path || file.reference} belongs to another ring`,
    );
  }

  #badBuffer(buffer: RegisteredBuffer): Error {
    if (this._queue.closed) return new RingClosedError();
    if (!(buffer?.bytes instanceof Uint8Array)) {
      return new TypeError("buffer must be a RegisteredBuffer");
    }
    return new TypeError(
      buffer.owner === undefined
        ? `buffer ${buffer.index} was released`
        : `buffer ${buffer.index} belongs to another ring`,
    );
  }

  #fileBusy(file: RingFile, slot: number): RingBusyError {
    const operation = operationName(this._queue.operationOfSlot(slot));
    const userData = this._queue.userDataOfSlot(slot);
    return new RingBusyError(
      `file ${
        file.path || file.reference
      } cannot be closed: ${operation} (userData ${userData}) on it is in flight`,
      operation,
      userData,
    );
  }

  #filesFull(): RingError {
    return new RingError(
      `${this.#filesTaken} of ${this.#filesMax} file slots of the ring are taken: ` +
        `close files, or open it with more`,
      "ENFILE",
      ERRNO.ENFILE,
    );
  }

  /** The parameter area has no room for what an operation needs there. */
  #noRoom(): boolean {
    this.#checkOpen();
    return false;
  }

  #checkFlags(operation: number, flags: number, what: string = "flags"): void {
    const row = OPERATIONS[operation];
    if (!flagsAllowed(operation, flags)) {
      throw new RangeError(
        `${what} of ${row.name} must be of 0x${row.opFlags.toString(16)}, not ${flags}`,
      );
    }
  }

  #checkSupported(operation: number): void {
    if (this.#probeRows()[operation]) return;
    const { name, since, pinnedSince } = OPERATIONS[operation];
    if (since !== SINCE_LEAST) throw new RingUnsupportedError(name, since);
    throw new RingUnsupportedError(name, pinnedSince, " of pinned memory, which a worker needs,");
  }

  #check(result: number, what: string): void {
    if (result >= 0) return;
    const name = errnoName(-result);
    throw new RingError(`${what} failed: ${name} (${errnoText(-result)})`, name, -result);
  }
}

function namesOf(flags: Readonly<Record<string, number>>, value: number): string[] {
  return Object.keys(flags).filter((name) => (value & flags[name]) !== 0);
}

const RESOLVED = Promise.resolve();
const encoder = new TextEncoder();
/** What the least kernel has is not asked for. */
const SINCE_LEAST = OPERATIONS[OPERATION.nop].since;
const RESOLVE_ALL = Object.values(RESOLVE_FLAG).reduce((all, bit) => all | bit, 0);
const STATX_ALL = STATX_MASK.BASIC_STATS | STATX_MASK.BTIME | STATX_MASK.DIOALIGN;
/** Links are made by chains, so that none is left open. */
const NEXT_FLAGS = SQE_FLAG.ASYNC | SQE_FLAG.IO_DRAIN;

function checkNumber(name: string, value: number, max: number = Number.MAX_SAFE_INTEGER): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, not ${typeof value}`);
  }
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${name} must be an integer from 0 to ${max}, not ${value}`);
  }
}

/** Of an operation whose flags are one of some values. */
function checkValue(name: string, operation: number, value: number): void {
  if (!flagsAllowed(operation, value)) {
    const { opValues } = OPERATIONS[operation];
    throw new RangeError(`${name} must be one of ${opValues.join(", ")}, not ${String(value)}`);
  }
}

function checkBits(name: string, bits: number, allowed: number): void {
  if (bits !== bits >>> 0 || (bits & ~allowed) !== 0) {
    throw new RangeError(`${name} must be of 0x${allowed.toString(16)}, not ${String(bits)}`);
  }
}

function checkResult(result: unknown): void {
  if (!(result instanceof StatxResult)) throw new TypeError("result must be a StatxResult");
}
