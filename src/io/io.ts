/**
 * The one seam of this library: `Io`, an interface with several backends. Everything above it (files,
 * storage, the log) is written once, against this file; everything below it is one backend.
 *
 * Operations are submitted with a handle, the caller's own safe integer, and end as a row of
 * `completions`: the handle and `res`, a negative errno on failure. A kernel failure is a value here,
 * never an exception; exceptions are for misuse (a bad argument, a handle twice in flight, a buffer
 * in flight, a closed Io), thrown before anything is changed.
 *
 * @module
 */

import type { CompletionArray } from "../abi/completions.ts";

/** `flags` of {@linkcode Io.writeAt}: the write is durable when it completes (RWF_DSYNC). */
export const DSYNC = 2;

/** How a file is opened. Nonsense combinations are refused by name with {@linkcode IoUsageError}. */
export interface OpenOptions {
  /** Reads are allowed. */
  read?: boolean;
  /** Writes are allowed. */
  write?: boolean;
  /** Creates the file when it is missing. Needs `write`. */
  create?: boolean;
  /** Creates the file, and fails with -EEXIST when it is there. Needs `write`. */
  createNew?: boolean;
  /** Cuts the file to zero bytes. Needs `write`. */
  truncate?: boolean;
  /** Every write goes to the end of the file. Needs `write`; not with `truncate`. */
  append?: boolean;
  /** Bypasses the page cache; offset, length and memory must obey {@linkcode Io.alignment}. */
  direct?: boolean;
  /** Every write is durable when it completes (O_DSYNC). Needs `write`. */
  dsync?: boolean;
}

/**
 * A slice of the arena (or of ordinary memory in backends without one).
 *
 * Ownership: the caller owns it from `acquireBuffer` to `releaseBuffer`, except while an operation on
 * it is in flight: then the backend owns it, and using or releasing it throws {@linkcode IoUsageError}
 * naming that operation. `bytes` starts at a multiple of `blockSize`.
 */
export interface IoBuffer {
  /** The memory, `length` bytes. The same view for the life of the buffer. */
  readonly bytes: Uint8Array;
  readonly length: number;
}

/**
 * An open file of one `Io`. `Io.open` returns it at once; it may be used when the completion of that
 * open came with a `res` of 0.
 */
export interface IoFile {
  readonly path: string;
  readonly options: Readonly<OpenOptions>;
}

/** What {@linkcode Io.stat} fills in; valid when its completion came with a `res` of 0. */
export interface IoStat {
  /** Bytes. */
  size: number;
  /** Bytes allocated on the device (0 where the backend does not know). */
  allocatedBytes: number;
  isFile: boolean;
  isDirectory: boolean;
  /** Identity of the file on this machine. */
  device: number;
  inode: number;
  /** Last change of the contents, milliseconds since 1970. */
  modifiedMillis: number;
}

/** Of the file system under a file. */
export interface IoFileSystem {
  /** `ext4`, `xfs`, `btrfs`, `tmpfs`, `zfs`, `overlay`, …, or `0x…` where it has no known name. */
  readonly type: string;
  readonly blockBytes: number;
  readonly totalBytes: number;
  readonly availableBytes: number;
}

/** Alignment that direct I/O on a file needs, in bytes. */
export interface IoAlignment {
  /** Of memory addresses. 0: direct I/O is not possible on this file. */
  readonly memory: number;
  /** Of file offsets and lengths. 0: direct I/O is not possible on this file. */
  readonly offset: number;
  /** Physical block of the device, 0 where unknown. */
  readonly physical: number;
}

/** An entry of {@linkcode Io.listDirectory}. */
export interface IoDirectoryEntry {
  readonly name: string;
  readonly isFile: boolean;
  readonly isDirectory: boolean;
}

/** Who runs this Io, for the message of a lock that is held. */
export interface IoIdentity {
  readonly pid: number;
  /** Start of the process in clock ticks since boot: tells a reused pid apart. 0 where unknown. */
  readonly startTicks: number;
  /** Identity of this boot of the machine, empty where unknown. */
  readonly bootId: string;
  readonly host: string;
}

/** What {@linkcode Io.after} gives. */
export interface IoTimer {
  /** Then it does not call back; after it did, this does nothing. */
  cancel(): void;
}

/** `advice` of {@linkcode Io.advise}. */
export type IoAdvice = "normal" | "sequential" | "random" | "willneed" | "dontneed";

/** An operation that ended without anybody taking its completion, or never ended. */
export interface IoLeak {
  readonly handle: number;
  readonly operation: string;
}

/** How long operations took, from the call that submitted them to the poll that delivered them, within 3 %. */
export interface IoLatency {
  readonly meanMicros: number;
  readonly p50Micros: number;
  readonly p90Micros: number;
  readonly p99Micros: number;
  readonly p999Micros: number;
  readonly maxMicros: number;
}

/** Of one kind of operation, since the backend was opened. */
export interface IoOperationStatistics {
  readonly count: number;
  /** Of these, how many ended with a negative `res`. */
  readonly errors: number;
  /** Moved by reads and writes. */
  readonly bytes: number;
  /** With the option `latencies` only. */
  readonly latency?: IoLatency;
}

/** What {@linkcode Io.statistics} gives: a copy, over all clients of the backend. */
export interface IoStatistics {
  /** Operations in flight, or ended and not delivered, now. */
  readonly queueDepth: number;
  /** The most that there were. */
  readonly queueDepthPeak: number;
  /** By operation (`read`, `fdatasync`, …); those that were never done are missing. */
  readonly operations: Readonly<Record<string, IoOperationStatistics>>;
}

/** What a lock excludes: every other one, or exclusive ones only. */
export type IoLockKind = "exclusive" | "shared";

/**
 * I/O against one backend, seen by one client.
 *
 * Limits: at most `capacity` operations in flight over all clients of a backend; the next one throws
 * {@linkcode IoFullError}. Buffers: `acquireBuffer` gives `undefined` when the arena is used up.
 *
 * Order: operations in flight together have no order. A sync covers the writes that had completed
 * before it was submitted, and no others.
 */
export interface Io {
  readonly backend: "uring" | "sync" | "memory";
  /** Why this backend and not a better one; empty when it is the best. */
  readonly reason: string;
  /** Whether a sync of this backend is known to reach the medium. */
  readonly durability: "verified" | "unverified";
  /**
   * Whether a write with {@linkcode DSYNC} into blocks that were reserved and never written is durable
   * when it completes. Not with direct I/O on Linux 6.15 and 6.16, which lost it.
   */
  readonly reservedDsync: boolean;
  /**
   * `advise(…, "dontneed")` makes the next read come from the device. Where it does not (`node:fs`), what a
   * failed sync left in the page cache cannot be told from what is durable until the machine is restarted.
   */
  readonly dropsCache: boolean;
  /** Whether the memory of buffers is pinned for the kernel, which saves it work with every transfer. */
  readonly registered: boolean;
  /** Release of the kernel as `6.18`, empty where it is not known. */
  readonly kernel: string;
  /** The largest alignment needed so far, and of every buffer: a power of two, at least 4,096. */
  readonly blockSize: number;
  /** Bytes of memory for buffers in all, and of the largest run that is free now. */
  readonly arenaBytes: number;
  readonly arenaFreeBytes: number;
  /** Operations that may be in flight together, and how many more this client may start now. */
  readonly capacity: number;
  readonly available: number;
  /** Operations of this client that have not been delivered by a poll. */
  readonly inFlight: number;
  /**
   * Completions of the last poll: `userData` has the handles. Overwritten by the next poll, which reports
   * the rows that nobody took as leaks: {@linkcode Io.take} takes one, and who reads them row by row says
   * so by `completions.clear()`.
   */
  readonly completions: CompletionArray;
  /** Operations that nobody took, found at later polls. */
  readonly leaks: readonly IoLeak[];

  /**
   * Another user of the same backend, with handles and completions of its own.
   *
   * @param reserve Operations out of `capacity` that are kept for it, whatever the others do. Default 0.
   * @throws {IoFullError} when the others have too many in flight or reserved.
   */
  client(name: string, reserve?: number): Io;

  /** Microseconds of a clock that never goes back. */
  now(): number;
  /** Milliseconds since 1970. */
  wallClock(): number;
  /**
   * Calls back once, in a turn of its own, `micros` after now by the clock of `now()`. Keeps the process
   * alive until then. On a simulated machine the time is virtual: it passes with the operations, and
   * jumps where the program rests; a
   * machine that crashes calls back at once, and a process that was killed calls nobody.
   */
  after(micros: number, callback: () => void): IoTimer;
  /** Fills `bytes` with random numbers. */
  random(bytes: Uint8Array): void;
  /** CRC32C (Castagnoli) of `bytes`, continuing from `seed`. */
  crc32c(bytes: Uint8Array, seed?: number): number;
  /** The same over a range of a buffer, without making a view. */
  crc32cBuffer(buffer: IoBuffer, offset: number, length: number, seed?: number): number;

  /** A buffer of at least `bytes` (default `blockSize`), or `undefined` when there is no room. */
  acquireBuffer(bytes?: number): IoBuffer | undefined;
  releaseBuffer(buffer: IoBuffer): void;

  open(path: string, options: OpenOptions, handle: number): IoFile;
  /**
   * Takes on a file that something else opened, by its descriptor, which is duplicated: close your own
   * when you like. Only where the runtime's numbers are the kernel's: under Bun, and on Linux. Ends with
   * -EACCES for what stands in /proc and /sys, for rings, and for anything but files and block devices.
   *
   * @throws {IoUsageError} where numbers mean something else, and on a simulated machine.
   */
  adoptFd(descriptor: number, handle: number): IoFile;
  /** With operations in flight on the file: throws {@linkcode IoUsageError}. */
  close(file: IoFile, handle: number): void;
  /** `res`: bytes read, 0 at the end of the file. May be short. */
  readAt(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    handle: number,
  ): void;
  /** `res`: bytes written. May be short. `flags`: 0 or {@linkcode DSYNC}. */
  writeAt(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
    handle: number,
  ): void;
  fsync(file: IoFile, handle: number): void;
  fdatasync(file: IoFile, handle: number): void;
  stat(target: IoFile | string, handle: number): IoStat;
  truncate(file: IoFile, size: number, handle: number): void;
  /** Reserves blocks; extends the file. Reads of the new part give zeros. */
  allocate(file: IoFile, offset: number, length: number, handle: number): void;
  advise(file: IoFile, offset: number, length: number, advice: IoAdvice, handle: number): void;
  /** Replaces `to` when it is there. */
  rename(from: string, to: string, handle: number): void;
  /** A second name for a file; -EEXIST when `to` is there. */
  link(from: string, to: string, handle: number): void;
  /** Removes a file. */
  remove(path: string, handle: number): void;
  /** fsync of a directory: makes its entries durable. */
  syncDirectory(path: string, handle: number): void;

  // Immediate calls: they do not touch data, and answer at once.

  /**
   * Lock on the open file description, without waiting, which closing it releases: 0, or -EAGAIN when
   * another description has one that excludes it. A shared one excludes exclusive ones only: with it who
   * wants to know whether there is a writer is not taken for one.
   */
  lock(file: IoFile, kind?: IoLockKind): number;
  /** Of an open file. */
  statFs(file: IoFile): IoFileSystem;
  /** Of an open file. */
  alignment(file: IoFile): IoAlignment;
  /** Asks for overwriting in place (btrfs); on an empty file. 1 done, 0 not supported, or -errno. */
  noCopyOnWrite(file: IoFile): number;

  /**
   * Reads at once, blocking, beside the operations in flight: `res` as of {@linkcode Io.readAt}. For one
   * block that is in the page cache it takes half as long as an operation that is waited for.
   */
  pread(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number;
  /** Writes at once, blocking: `res` as of {@linkcode Io.writeAt} without flags. */
  pwrite(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number;

  /** What was done so far, by all clients. */
  statistics(): IoStatistics;

  /** Who runs this Io. */
  identity(): IoIdentity;

  // Start-up only: these block.

  /** Without `.` and `..`, in no order. Throws {@linkcode IoError}. */
  listDirectory(path: string): IoDirectoryEntry[];
  /**
   * Makes a directory and its parents; returns those it made, outermost first. Under Deno it needs the
   * permission to read, too. Throws {@linkcode IoError}.
   */
  createDirectories(path: string): string[];

  /** Submits what is staged and drains completions of all clients, without blocking; returns how many are this client's. */
  poll(): number;
  /** Blocks for at least one completion of this client (at once when one waits or nothing is in flight), then polls. */
  park(timeoutMicros?: number): number;
  /** Submits what is staged; resolves, without blocking the event loop, when a poll will find a completion of this client, or nothing is in flight. */
  wait(): Promise<void>;
  /** The `res` of a completion of the last poll, or `undefined` when there is none for `handle`. */
  take(handle: number): number | undefined;

  /**
   * Of a client: gives it up (its buffers must be released, nothing may be in flight). Of the Io itself:
   * cancels, drains, frees everything, and then throws when buffers were not released.
   */
  [Symbol.dispose](): void;
}

/** A failure of the kernel as an exception: `code`, operation, path, and offset where there is one. */
export class IoError extends Error {
  override readonly name: string = "IoError";
  constructor(
    message: string,
    /** `ENOSPC`, `EIO`, … */
    readonly code: string,
    /** The positive number of it. */
    readonly errno: number,
    readonly operation: string,
    readonly path?: string,
    readonly offset?: number,
  ) {
    super(message);
  }
}

/** A mistake of the caller, found before anything was changed. */
export class IoUsageError extends Error {
  override readonly name: string = "IoUsageError";
  readonly code: string = "IoUsage";
}

/** `capacity` operations are in flight: poll, then submit again. */
export class IoFullError extends Error {
  override readonly name: string = "IoFullError";
  readonly code: string = "QueueFull";
}

/** The Io was disposed of. */
export class IoClosedError extends Error {
  override readonly name: string = "IoClosedError";
  readonly code: string = "Closed";
}
