/**
 * What a ring does by calls of the library, beside its queue: files, buffers, restrictions and workers are
 * registered, operations cancelled, and files asked and changed on the spot.
 *
 * @module
 */

import { errnoName, errnoText } from "../abi/errno.ts";
import {
  CANCEL_TARGET,
  ERRNO,
  FILE_NONE,
  FILE_SYSTEM_INFO,
  FILE_UPDATE,
  OPERATIONS,
} from "../abi/generated.ts";
import { library } from "../native/library.ts";
import { checkNumber, U32_MAX } from "./arguments.ts";
import type { RegisteredBuffer } from "./buffers.ts";
import { RingCore } from "./core.ts";
import { RingClosedError, RingError, RingUnsupportedError } from "./errors.ts";
import type { RingFile } from "./file.ts";
import { RingOperations } from "./operations.ts";
import { checkUserData } from "./queue.ts";
import type { FileSystemResult } from "./statx.ts";

/** A cancellation that is waited for takes so long at most. */
const CANCEL_MILLIS = 1000;

/** Worker threads of the kernel (io-wq), for what cannot be done without blocking. */
export interface WorkerLimits {
  /** For files and block devices. */
  readonly bounded: number;
  /** For what may never end: pipes, sockets, terminals. */
  readonly unbounded: number;
}

/**
 * What a ring registers with the kernel, and what it does without preparing an operation. Part of
 * {@linkcode Ring}; there are no other instances.
 */
export abstract class RingRegistrations extends RingOperations {
  // --- Files -----------------------------------------------------------------------------------

  /**
   * The file that an openat gave, by its `res`.
   * @throws {TypeError} when there is no such file, with the name of the errno when it is negative.
   */
  file(reference: number): RingFile {
    const file = this._core.files.find(reference);
    if (file !== undefined) return file;
    if (this._queue.closed) throw new RingClosedError();
    throw new TypeError(
      reference < 0
        ? `the open failed: ${errnoName(-reference)} (${errnoText(-reference)})`
        : `there is no file with the reference ${reference}`,
    );
  }

  /**
   * Lets the ring use a file that something else opened, by its descriptor, which is duplicated: close
   * your own when you like. Only where the runtime's numbers are the kernel's (Bun's are, Deno's are
   * not). Regular files, directories, block devices, pipes, sockets, terminals and the harmless devices
   * (/dev/null, zero, full, random, urandom) are taken; what is of /proc and /sys, rings and other devices
   * are refused.
   *
   * @throws {RingError} EBADF when there is no such descriptor, EACCES when it is refused, ENFILE when
   * all file slots are taken.
   */
  adoptFd(descriptor: number): RingFile {
    this._core.checkOpen();
    checkNumber("descriptor", descriptor, 0x7fff_ffff);
    this._core.files.checkRoom(1);
    const reference = library().functions.uring_adopt(this._core.number, descriptor);
    this.#checkTaken(reference, `adopting descriptor ${descriptor}`);
    this._core.files.taken++;
    return this._core.files.add(reference, "");
  }

  /**
   * Lets this ring use a file of another ring of the same thread, as one opening of it in both: they have
   * its position and its locks in common, and each closes its own.
   *
   * @throws {RingError} ENFILE when all file slots are taken.
   */
  adoptFile(file: RingFile): RingFile {
    this._core.checkOpen();
    const other = file?.owner;
    if (!(other instanceof RingCore)) throw this._core.badFile(file);
    this._core.files.checkRoom(1);
    const { uring_adopt_file } = library().functions;
    const reference = uring_adopt_file(this._core.number, other.number, file.reference);
    this._core.check(reference, `adopting ${file.path || "a file"} of another ring`);
    this._core.files.taken++;
    return this._core.files.add(reference, file.path);
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
    this._core.checkOpen();
    this._core.files.checkRoom(descriptors.length);
    const references = this.#updateFiles(descriptors.map(() => FILE_NONE), descriptors);
    this._core.files.taken += references.length;
    return references.map((reference) => this._core.files.add(reference, ""));
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
    return references.map((reference) => this._core.files.add(reference, ""));
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
      this._core.files.remove(file);
    }
  }

  /** As `check`, and says which descriptors a ring takes. */
  #checkTaken(result: number, what: string): void {
    if (result !== -ERRNO.EACCES) return this._core.check(result, what);
    throw new RingError(
      `${what} failed: EACCES. A ring takes regular files, directories, block devices, pipes, sockets, ` +
        "terminals and /dev/null, zero, full, random and urandom; nothing of /proc and /sys, no rings, " +
        "and no other devices",
      "EACCES",
      ERRNO.EACCES,
    );
  }

  #checkIdle(files: readonly RingFile[]): void {
    this._core.checkOpen();
    for (const file of files) {
      this._core.checkFile(file);
      const busy = this._queue.findFile(file.reference);
      if (busy >= 0) throw this._core.fileBusy(file, busy);
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
    this.#checkTaken(
      library().functions.uring_update_files(this._core.number, bytes, bytes.length),
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
      const result = library().functions.uring_update_buffer(this._core.number, offset, length, 1);
      this._core.check(result, `registering the ${length} bytes of buffer ${buffer.index}`);
      buffer.registered = true;
      this._core.registeredBytes += length;
    }
  }

  /**
   * Takes registrations of {@linkcode Ring.registerBuffers} back.
   *
   * @throws {RingBusyError} when an operation on one of them is in flight; then none was taken back.
   */
  unregisterBuffers(buffers: readonly RegisteredBuffer[]): void {
    this.#checkBuffers(buffers);
    for (const buffer of buffers) if (buffer.registered) this._core.unregisterBuffer(buffer);
  }

  #checkBuffers(buffers: readonly RegisteredBuffer[]): void {
    this._core.checkOpen();
    if (this._core.buffers.registered) {
      throw new TypeError("the whole arena is registered: open the ring with sparseBuffers");
    }
    for (const buffer of buffers) {
      if (buffer?.owner !== this._core.buffers) throw this._core.badBuffer(buffer);
      this._core.buffers.checkIdle(buffer, "registered or unregistered");
    }
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
    this._core.checkOpen();
    const rows = new Uint8Array(new SharedArrayBuffer(OPERATIONS.length));
    for (const name of operations ?? []) {
      const index = OPERATIONS.findIndex((row) => row.name === name);
      if (index < 0) throw new TypeError(`there is no operation "${name}"`);
      rows[index] = 1;
    }
    const bytes = operations === undefined ? 0 : rows.length;
    this._core.check(
      library().functions.uring_enable(this._core.number, rows, bytes),
      "enabling the ring",
    );
  }

  /**
   * Limits the kernel's worker threads for the rings of this thread: they are the thread's, not the ring's.
   *
   * @param limits What is left out stays as it is.
   * @returns what the limits were.
   */
  limitWorkers(limits: Partial<WorkerLimits> = {}): WorkerLimits {
    this._core.checkOpen();
    const words = new Uint32Array(new SharedArrayBuffer(8));
    for (const [i, name] of (["bounded", "unbounded"] as const).entries()) {
      const limit = limits[name];
      if (limit === undefined) continue;
      checkNumber(name, limit, 0x7fff_ffff);
      if (limit === 0) throw new RangeError(`${name} must be at least 1`);
      words[i] = limit;
    }
    const bytes = new Uint8Array(words.buffer);
    this._core.check(
      library().functions.uring_workers(this._core.number, bytes, 8),
      "limiting worker threads",
    );
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
    this._core.checkOpen();
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
      this._core.checkFile(target);
      what = CANCEL_TARGET.FILE;
      which = target.reference;
    }
    const { uring_cancel_sync } = library().functions;
    const res = uring_cancel_sync(this._core.number, what, which, generation >>> 0, timeoutMillis);
    if (res === -ERRNO.EINVAL) throw new RingUnsupportedError("synchronous cancel", "6.0");
    if (res !== -ERRNO.ENOENT && res !== -ERRNO.ETIME) this._core.check(res, "cancelling");
    return res;
  }

  // --- Blocking calls --------------------------------------------------------------------------

  /**
   * Locks or unlocks a whole file. Never waits. The lock is of this opening of the file, and ends with it.
   *
   * @returns 0, or a negative errno: -EAGAIN when it is held by another.
   */
  flock(file: RingFile, flags: number): number {
    this._core.checkFile(file);
    checkNumber("flags", flags, 15);
    return library().functions.uring_flock(this._core.number, file.reference, flags);
  }

  /** Tells about the file system of a file. Blocks. @returns 0, or a negative errno. */
  fstatfs(file: RingFile, result: FileSystemResult): number {
    this._core.checkFile(file);
    const bytes = new Uint8Array(new SharedArrayBuffer(FILE_SYSTEM_INFO.bytes));
    const res = library().functions.uring_fstatfs(
      this._core.number,
      file.reference,
      bytes,
      bytes.length,
    );
    if (res === 0) result.fill(new DataView(bytes.buffer));
    return res;
  }

  /** Sets the size of a file, on any kernel. Blocks. @returns 0, or a negative errno. */
  ftruncate(file: RingFile, size: number): number {
    this._core.checkFile(file);
    checkNumber("size", size);
    const high = Math.floor(size / 0x1_0000_0000);
    return library().functions.uring_ftruncate(
      this._core.number,
      file.reference,
      size >>> 0,
      high,
    );
  }

  /**
   * Turns copy-on-write off for an empty file (FS_NOCOW_FL), so that overwriting it does not allocate.
   * @returns 1 when it is off, 0 where there is no such thing, or a negative errno.
   */
  nocow(file: RingFile): number {
    this._core.checkFile(file);
    return library().functions.uring_nocow(this._core.number, file.reference);
  }

  /** Physical block of the device under a file, bytes; 0 when unknown, or a negative errno. */
  physicalBlockBytes(file: RingFile): number {
    this._core.checkFile(file);
    return library().functions.uring_physical_block_bytes(this._core.number, file.reference);
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
      ? library().functions.uring_pwrite(this._core.number, reference, address, length, low, high)
      : library().functions.uring_pread(this._core.number, reference, address, length, low, high);
  }

  /**
   * CRC32C of bytes, continuing from `seed`.
   * @internal
   */
  crc32cArena(seed: number, address: number, length: number): number {
    return library().functions.uring_crc32c_arena(this._core.number, seed, address, length);
  }
}
