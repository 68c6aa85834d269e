/**
 * The operations of a ring: each `prep…` method checks its arguments and stages one image.
 *
 * @module
 */

import {
  CANCEL_FLAG,
  FILE_NONE,
  OPEN_FLAG,
  OPERATION,
  OPERATIONS,
  PATH_BYTES_MAX,
  RESOLVE_FLAG,
  SQE_FLAG,
  STATX_MASK,
  TIMEOUT_FLAG,
  VALUE_BYTES_MAX,
  VECTORS_MAX,
  XATTR_NAME_BYTES_MAX,
} from "../abi/generated.ts";
import { checkBits, checkFlags, checkNumber, checkValue, U32_MAX } from "./arguments.ts";
import type { RegisteredBuffer, RingVector } from "./buffers.ts";
import type { RingCore } from "./core.ts";
import { RingClosedError, RingPollError } from "./errors.ts";
import type { RingFile } from "./file.ts";
import { SLICE_ALIGNMENT_BYTES } from "./options.ts";
import { checkUserData, operationName, type Queue, TAG } from "./queue.ts";
import { StatxResult } from "./statx.ts";

// Of the operations that must be quick, as plain constants. The methods that prepare them are kept small
// enough for JavaScriptCore to inline, see queue.ts: no default values, no private names, and a constant
// is named once only, because each mention counts like three instructions.
const NOP = OPERATION.nop;
const READ = OPERATION.read;
const WRITE = OPERATION.write;
const READ_FIXED = OPERATION.readFixed;
const WRITE_FIXED = OPERATION.writeFixed;

const RESOLVE_ALL = Object.values(RESOLVE_FLAG).reduce((all, bit) => all | bit, 0);
const STATX_ALL = STATX_MASK.BASIC_STATS | STATX_MASK.BTIME | STATX_MASK.DIOALIGN;
/** Links are made by chains, so that none is left open. */
const NEXT_FLAGS = SQE_FLAG.ASYNC | SQE_FLAG.IO_DRAIN;

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

/**
 * What a ring can do for files, memory and other operations. Part of {@linkcode Ring}, whose rules hold for
 * each method; there are no other instances.
 */
export abstract class RingOperations {
  /** @internal */
  protected readonly _core: RingCore;
  /** The core's own, one look-up nearer. @internal */
  protected readonly _queue: Queue;

  /** @internal */
  protected constructor(core: RingCore) {
    this._core = core;
    this._queue = core.queue;
  }

  // --- Data ------------------------------------------------------------------------------------

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
    this._core.checkFile(file);
    if (!Array.isArray(vectors)) throw new TypeError("vectors must be an array");
    if (vectors.length < 1 || vectors.length > VECTORS_MAX) {
      throw new RangeError(`there must be 1 to ${VECTORS_MAX} vectors, not ${vectors.length}`);
    }
    for (let i = 0; i < vectors.length; i++) {
      const { buffer, offset, length } = vectors[i];
      this.#checkRange(operation, buffer, offset, length, `vectors[${i}].`);
    }
    checkNumber("fileOffset", fileOffset);
    checkFlags(operation, flags);
    const start = this._core.parameters.end;
    const list = this._core.parameters.room(8 * vectors.length);
    if (list === undefined) return this.#noRoom();
    for (let i = 0; i < vectors.length; i++) {
      list.setUint32(8 * i, vectors[i].buffer.offset + vectors[i].offset, true);
      list.setUint32(8 * i + 4, vectors[i].length, true);
    }
    const { reference } = file;
    const count = vectors.length;
    this._core.checkSupported(operation);
    // Not by #stage: a ring that polls has this one.
    const queue = this._queue;
    if (
      !queue.stage(operation, reference, fileOffset, start, count, flags, userData, TAG.SPECIAL)
    ) return false;
    this._core.parameters.end = start + 8 * count;
    this._core.special[this._queue.lastSlot] = [...vectors];
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
    if (buffer?.owner !== this._core.buffers) throw this._core.badBuffer(buffer);
    checkNumber(`${prefix}offset`, offset);
    checkNumber(`${prefix}length`, length);
    if (offset + length > buffer.length) {
      throw new RangeError(
        `${prefix}offset ${offset} and length ${length} go beyond the ${buffer.length} bytes of the buffer`,
      );
    }
    if (this._queue.isHeld(buffer.index)) {
      throw this._core.buffers.busy(buffer, `used by ${operationName(operation)}`);
    }
  }

  /**
   * A transfer of one buffer as above in numbers only, for code that keeps track of its memory by itself: nothing
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

  // --- Files -----------------------------------------------------------------------------------

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
    this._core.checkFile(file);
    checkFlags(OPERATION.fsync, flags);
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
    this._core.checkFile(file);
    checkNumber("offset", offset);
    checkNumber("length", length, U32_MAX);
    const operation = OPERATION.syncFileRange;
    checkFlags(operation, flags);
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
    this._core.checkFile(file);
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
    this._core.checkFile(file);
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
    checkFlags(OPERATION.openat, flags);
    checkNumber("mode", mode, 0o7777);
    this._core.files.checkRoom(1);
    if (!this.#stagePath(OPERATION.openat, path, flags, userData, TAG.SPECIAL)) return false;
    // openat2 refuses a mode where nothing can be created.
    this._queue.more(0, 0, 0, (flags & OPEN_FLAG.CREAT) !== 0 ? mode : 0);
    this._core.special[this._queue.lastSlot] = path;
    this._core.files.taken++;
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
    checkFlags(operation, flags);
    checkNumber("how.mode", mode, 0o7777);
    checkBits("how.resolve", resolve, RESOLVE_ALL);
    if (directory !== undefined) this._core.checkFile(directory);
    this._core.files.checkRoom(1);
    const reference = directory?.reference ?? FILE_NONE;
    const staged = this.#withParameters((start) => {
      if (!this.#putPath("path", path)) return false;
      const length = this._core.parameters.end - start;
      return this.#stage(
        operation,
        reference,
        resolve,
        start,
        length,
        flags,
        userData,
        TAG.SPECIAL,
      );
    });
    if (!staged) return false;
    this._queue.more(0, 0, 0, mode);
    this._core.special[this._queue.lastSlot] = path;
    this._core.files.taken++;
    return true;
  }

  /**
   * Closes a file; `res` is 0. From now on no operation on it can be prepared.
   *
   * @throws {RingBusyError} when an operation on it is in flight; the error names it.
   */
  prepClose(file: RingFile, userData: number): boolean {
    this._core.checkFile(file);
    const busy = this._queue.findFile(file.reference);
    if (busy >= 0) throw this._core.fileBusy(file, busy);
    const { reference } = file;
    if (!this.#stage(OPERATION.close, reference, 0, 0, 0, 0, userData, TAG.SPECIAL)) return false;
    this._core.special[this._queue.lastSlot] = file;
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
    checkFlags(OPERATION.statx, flags);
    checkResult(result);
    checkNumber("mask", mask, U32_MAX);
    if (!this.#stagePath(OPERATION.statx, path, flags, userData, TAG.SPECIAL)) return false;
    this._queue.more(0, 0, 0, mask);
    this._core.special[this._queue.lastSlot] = result;
    return true;
  }

  /** As {@linkcode Ring.prepStatx}, about an open file. */
  prepFstatx(
    file: RingFile,
    result: StatxResult,
    userData: number,
    mask: number = STATX_ALL,
  ): boolean {
    this._core.checkFile(file);
    checkResult(result);
    checkNumber("mask", mask, U32_MAX);
    if (!this.#stage(OPERATION.fstatx, file.reference, 0, 0, 0, 0, userData, TAG.SPECIAL)) {
      return false;
    }
    this._queue.more(0, 0, 0, mask);
    this._core.special[this._queue.lastSlot] = result;
    return true;
  }

  /**
   * Gives a file another name; `res` is 0. Replaces what has that name.
   *
   * @param flags `RENAME_FLAG` NOREPLACE or EXCHANGE.
   */
  prepRenameat(from: string, to: string, userData: number, flags: number = 0): boolean {
    checkFlags(OPERATION.renameat, flags);
    return this.#stageTwoPaths(OPERATION.renameat, from, to, flags, userData);
  }

  /** Removes a name; `res` is 0. `flags`: `AT_FLAG.REMOVEDIR` for an empty directory. */
  prepUnlinkat(path: string, userData: number, flags: number = 0): boolean {
    checkFlags(OPERATION.unlinkat, flags);
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
    if (!byPath) this._core.checkFile(target as RingFile);
    this.#checkRange(operation, buffer, bufferOffset, length, "buffer ");
    checkNumber("length", length, VALUE_BYTES_MAX);
    checkFlags(operation, flags);
    const reference = byPath ? 0 : (target as RingFile).reference;
    const value = buffer.offset + bufferOffset;
    const tag = buffer.index + 1;
    return this.#withParameters((start) => {
      if (byPath && !this.#putPath("path", target as string)) return false;
      const middle = this._core.parameters.end;
      if (!this.#putPath("name", name, XATTR_NAME_BYTES_MAX)) return false;
      const [path, bytes] = byPath ? [start, middle - start] : [0, 0];
      if (!this.#stage(operation, reference, value, path, bytes, flags, userData, tag)) {
        return false;
      }
      this._queue.more(0, middle, this._core.parameters.end - middle, length);
      this._queue.hold(buffer.index);
      return true;
    });
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
    this._core.checkFile(file);
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
    this._core.checkFile(from);
    this._core.checkFile(to);
    if (fromOffset !== -1) checkNumber("fromOffset", fromOffset);
    if (toOffset !== -1) checkNumber("toOffset", toOffset);
    checkNumber("length", length, U32_MAX);
    const operation = OPERATION.splice;
    checkFlags(operation, flags);
    const queue = this._queue;
    if (
      !this.#stage(operation, to.reference, toOffset, fromOffset, length, flags, userData, TAG.NONE)
    ) return false;
    queue.more(Math.floor(fromOffset / 0x1_0000_0000), 0, 0, from.reference);
    if (toOffset === -1) queue.noOffset();
    queue.holdSecond(from.reference);
    return true;
  }

  // --- Waiting and ending ----------------------------------------------------------------------

  /**
   * Completes once when a file (a pipe, a FIFO, a terminal) has one of these events; `res` is what it has.
   * Once: there is no multishot here.
   *
   * @param events `POLL_FLAG`s. ERR and HUP need not be asked for.
   */
  prepPollAdd(file: RingFile, events: number, userData: number): boolean {
    this._core.checkFile(file);
    const operation = OPERATION.pollAdd;
    checkFlags(operation, events, "events");
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
    this._core.checkOpen();
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
    this._core.checkOpen();
    this._queue.receives = true;
    return this._core.number;
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
    this._core.checkFile(file);
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
    checkNumber("count", count, this._core.entries);
    if (count < 2) throw new RangeError(`count must be at least 2, not ${count}`);
    const { parameters } = this._core;
    const start = parameters.end;
    if (!this._queue.beginChain(count, hard)) return false;
    parameters.chainStart = start;
    return true;
  }

  /**
   * Takes a chain back that cannot be completed, with what was prepared of it, because a path or a list of
   * vectors found no room, or for any other reason: as if nothing had been prepared since
   * {@linkcode Ring.beginChain}. Operations that were staged before it stay. Submit those, and begin anew.
   *
   * @returns how many operations were taken back; 0 also when no chain lacks any.
   */
  abandonChain(): number {
    const open = this._queue.lacking > 0;
    const count = this._queue.abandonChain();
    if (open) this._core.parameters.end = this._core.parameters.chainStart;
    return count;
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

  // --- Staging of all but the hottest ----------------------------------------------------------

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
    if (OPERATIONS[operation].probed) this._core.checkSupported(operation);
    // The kernel would refuse it, and a close would have to be done again.
    if (this._core.polls && operation !== OPERATION.msgRing) {
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
    return this.#withParameters((start) => {
      if (!this.#putPath("path", path)) return false;
      const length = this._core.parameters.end - start;
      return this.#stage(operation, 0, 0, start, length, flags, userData, tag);
    });
  }

  #stageTwoPaths(
    operation: number,
    from: string,
    to: string,
    flags: number,
    userData: number,
  ): boolean {
    return this.#withParameters((start) => {
      if (!this.#putPath("from", from)) return false;
      const middle = this._core.parameters.end;
      if (!this.#putPath("to", to)) return false;
      const length = middle - start;
      if (!this.#stage(operation, 0, 0, start, length, flags, userData, TAG.NONE)) return false;
      this._queue.more(0, middle, this._core.parameters.end - middle, 0);
      return true;
    });
  }

  /** Gives up what was appended to the parameter area unless the operation was staged. */
  #withParameters(stage: (start: number) => boolean): boolean {
    const { parameters } = this._core;
    const start = parameters.end;
    let staged = false;
    try {
      staged = stage(start);
    } finally {
      if (!staged) parameters.end = start;
    }
    return staged;
  }

  /** Appends a path, or a name, to the parameter area; `false` when there is no room. */
  #putPath(name: string, path: string, bytesMax: number = PATH_BYTES_MAX): boolean {
    return this._core.parameters.putPath(name, path, bytesMax) || this.#noRoom();
  }

  /** The parameter area has no room for what an operation needs there. */
  #noRoom(): boolean {
    this._core.checkOpen();
    return false;
  }
}

function checkResult(result: unknown): void {
  if (!(result instanceof StatxResult)) throw new TypeError("result must be a StatxResult");
}
