/**
 * `Ring`: io_uring, one submission and completion queue pair of the kernel. Here it is opened, driven and
 * closed; what it can do stands in operations.ts and registrations.ts.
 *
 * @module
 */

import type { CompletionArray } from "../abi/completions.ts";
import { OPERATIONS } from "../abi/generated.ts";
import { library } from "../native/library.ts";
import { type SystemInfo, systemInfo } from "../native/system.ts";
import { checkNumber, U32_MAX } from "./arguments.ts";
import type { BufferSet } from "./buffers.ts";
import { RingCore } from "./core.ts";
import { RingClosedError } from "./errors.ts";
import { CONTROL_ENTERS, CONTROL_IN_FLIGHT, CONTROL_OVERFLOWS, CONTROL_STALE } from "./layout.ts";
import { resolveOptions, type RingOptions } from "./options.ts";
import { WAIT_FOR_EVER } from "./queue.ts";
import { RingRegistrations } from "./registrations.ts";
import type { RingFeatures } from "./setup.ts";
import type { TraceSink } from "./trace.ts";
import { kernelIsOld, oldKernel } from "./unavailable.ts";

/** A close waits so long for the last completions. */
const CLOSE_DEADLINE_MILLIS = 1000;
const RESOLVED = Promise.resolve();

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
export class Ring extends RingRegistrations {
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

  private constructor(core: RingCore) {
    super(core);
    this.completions = core.queue.completions;
    this.buffers = core.buffers;
    this.arena = core.arena;
    this.features = core.features;
    this.entries = core.entries;
    this.slots = core.slots;
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
      attach._core.checkOpen();
    }
    const { functions } = library();
    let system: SystemInfo | undefined;
    const systemOnce = () => system ??= systemInfo(functions);
    if (kernelIsOld(systemOnce())) throw oldKernel(systemOnce());
    return new Ring(new RingCore(resolved, attach?._core, systemOnce));
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
    return this._core.wait.begin();
  }

  // --- Looking ---------------------------------------------------------------------------------

  /** Whether this kernel has an operation, by its name (`ftruncate`). All that there are without one. */
  probe(): ReadonlyMap<string, boolean>;
  /** Whether this kernel has one operation. */
  probe(name: string): boolean;
  probe(name?: string): boolean | ReadonlyMap<string, boolean> {
    const rows = this._core.probeRows();
    if (name === undefined) return new Map(OPERATIONS.map((row, i) => [row.name, rows[i]]));
    const index = OPERATIONS.findIndex((row) => row.name === name);
    if (index < 0) throw new TypeError(`there is no operation "${name}"`);
    return rows[index];
  }

  /** Counts since open; costs no call of the kernel. */
  stats(): RingStats {
    return {
      submissions: this._queue.submissions,
      enters: this._core.control[CONTROL_ENTERS],
      completions: this._queue.delivered,
      overflows: this._core.control[CONTROL_OVERFLOWS],
      peakInFlight: this._queue.peak,
      stale: this._queue.stale + this._core.control[CONTROL_STALE],
      inFlight: this._core.control[CONTROL_IN_FLIGHT],
      files: this._core.files.taken,
      registered: this.features.registered,
      registeredBytes: this.buffers.registered ? this.arena.length : this._core.registeredBytes,
      rung: this.features.rung,
    };
  }

  /** Gives one line for each SQE handed over and each CQE reaped; `undefined` ends it. */
  trace(sink: TraceSink | undefined): void {
    this._queue.trace = sink;
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
    return this._core.close(deadlineMillis);
  }

  /** The same as `close()`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
