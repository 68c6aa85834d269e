/**
 * File operations of the log as tasks: whole transfers, errors as exceptions. Short transfers, EINTR and
 * EAGAIN are continued here, and nowhere else but in the writer's own hot path.
 *
 * @module
 */

import { errnoName, errnoText } from "../abi/errno.ts";
import {
  type Io,
  type IoAdvice,
  type IoBuffer,
  IoError,
  type IoFile,
  type IoLockKind,
  type IoStat,
  type OpenOptions,
} from "../io/io.ts";
import type { Pump, Task } from "../io/pump.ts";
import { WalOptionsError } from "./errors.ts";

export const EINTR = 4;
export const EIO = 5;
export const EAGAIN = 11;
export const ENOENT = 2;
const EOPNOTSUPP = 95;

/** EINTR, EAGAIN, and transfers without progress, before an operation counts as failed. */
export const RETRIES_MAX = 100;
const LOCK_RETRY_MILLIS = 5;
const DIRECT_BLOCK_MIN_BYTES = 512;

/** An `IoError` for a negative `res`. */
export function ioError(res: number, operation: string, path: string, offset?: number): IoError {
  const code = errnoName(-res);
  const at = offset === undefined ? "" : ` at byte ${offset}`;
  return new IoError(
    `${operation} of ${path}${at} failed: ${code}, ${errnoText(-res)}`,
    code,
    -res,
    operation,
    path,
    offset,
  );
}

export function joinPath(directory: string, name: string): string {
  return directory.endsWith("/") ? directory + name : `${directory}/${name}`;
}

/** The operations, over one pump. Files and buffers belong to the caller. */
export class Disk {
  readonly pump: Pump;
  readonly io: Io;

  /** Bytes that `write` wrote. */
  bytesWritten = 0;
  /** Goes on where there are no locks at all. */
  readonly #unsafeNoLock: boolean;

  constructor(pump: Pump, unsafeNoLock = false) {
    this.pump = pump;
    this.io = pump.io;
    this.#unsafeNoLock = unsafeNoLock;
  }

  *open(path: string, options: OpenOptions): Task<IoFile> {
    let file!: IoFile;
    const res = yield (handle) => {
      file = this.io.open(path, options, handle);
    };
    if (res < 0) throw ioError(res, "open", path);
    return file;
  }

  /**
   * A file to be written under a temporary name: always a new one. What has the name may be a killed
   * process's, whose writes are still on their way; they go with it.
   */
  *openNew(path: string, direct = false): Task<IoFile> {
    yield* this.remove(path);
    return yield* this.open(path, { write: true, createNew: true, direct });
  }

  *close(file: IoFile): Task<void> {
    yield (handle) => this.io.close(file, handle);
  }

  *stat(target: IoFile | string): Task<IoStat> {
    let stat!: IoStat;
    const res = yield (handle) => {
      stat = this.io.stat(target, handle);
    };
    if (res < 0) throw ioError(res, "stat", typeof target === "string" ? target : target.path);
    return stat;
  }

  /** Reads until `length` bytes or the end of the file; gives the bytes read. */
  *read(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): Task<number> {
    let done = 0;
    let retries = 0;
    while (done < length) {
      const res = yield (handle) =>
        this.io.readAt(file, buffer, bufferOffset + done, length - done, offset + done, handle);
      if (res === -EINTR || res === -EAGAIN) {
        if (++retries > RETRIES_MAX) throw ioError(res, "read", file.path, offset + done);
        continue;
      }
      if (res < 0) throw ioError(res, "read", file.path, offset + done);
      done += res;
      // A direct read that does not end at a block has met the end of the file, and cannot go on.
      if (res === 0 || (file.options.direct && res % DIRECT_BLOCK_MIN_BYTES !== 0)) break;
    }
    return done;
  }

  /**
   * Writes `length` bytes or throws. After a short write it goes on from the last multiple of
   * `unitBytes` (1 where alignment does not matter).
   */
  *write(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
    unitBytes = 1,
  ): Task<void> {
    let done = 0;
    let retries = 0;
    while (done < length) {
      const from = done - done % unitBytes;
      const res = yield (handle) =>
        this.io.writeAt(
          file,
          buffer,
          bufferOffset + from,
          length - from,
          offset + from,
          flags,
          handle,
        );
      const progress = from + res > done;
      if (res === -EINTR || res === -EAGAIN || (res >= 0 && !progress)) {
        if (++retries > RETRIES_MAX) {
          throw ioError(res < 0 ? res : -EIO, "write", file.path, offset + done);
        }
        continue;
      }
      if (res < 0) throw ioError(res, "write", file.path, offset + done);
      this.bytesWritten += res;
      done = from + res;
    }
  }

  /** Starts an operation again while it was interrupted before it did anything. */
  *#resumed(start: (handle: number) => void): Task<number> {
    for (let retries = 0;; retries++) {
      const res = yield start;
      if ((res !== -EINTR && res !== -EAGAIN) || retries >= RETRIES_MAX) return res;
    }
  }

  *fdatasync(file: IoFile): Task<void> {
    const res = yield* this.#resumed((handle) => this.io.fdatasync(file, handle));
    if (res < 0) throw ioError(res, "fdatasync", file.path);
  }

  *fsync(file: IoFile): Task<void> {
    const res = yield* this.#resumed((handle) => this.io.fsync(file, handle));
    if (res < 0) throw ioError(res, "fsync", file.path);
  }

  /** Of the whole file; a file system may take no advice, and nothing depends on it. */
  *advise(file: IoFile, advice: IoAdvice): Task<void> {
    yield (handle) => this.io.advise(file, 0, 0, advice, handle);
  }

  /** What is read next comes from the device, as far as the pages are clean. */
  *dropCache(file: IoFile): Task<void> {
    yield* this.advise(file, "dontneed");
  }

  *truncate(file: IoFile, size: number): Task<void> {
    const res = yield (handle) => this.io.truncate(file, size, handle);
    if (res < 0) throw ioError(res, "truncate", file.path, size);
  }

  /** Reserves blocks where the file system can; -EOPNOTSUPP is not an error. */
  *allocate(file: IoFile, offset: number, length: number): Task<void> {
    const res = yield (handle) => this.io.allocate(file, offset, length, handle);
    if (res < 0 && res !== -95) throw ioError(res, "allocate", file.path, offset);
  }

  *rename(from: string, to: string): Task<void> {
    const res = yield (handle) => this.io.rename(from, to, handle);
    if (res < 0) throw ioError(res, "rename", from);
  }

  *remove(path: string): Task<void> {
    const res = yield (handle) => this.io.remove(path, handle);
    if (res < 0 && res !== -ENOENT) throw ioError(res, "remove", path);
  }

  *syncDirectory(path: string): Task<void> {
    const res = yield* this.#resumed((handle) => this.io.syncDirectory(path, handle));
    if (res < 0) throw ioError(res, "sync of the directory", path);
  }

  /**
   * Locks the description of `file`: true, or false when another one holds it until the deadline. Where
   * there are no locks: true when the program said that it does without, else it throws.
   */
  *lock(
    file: IoFile,
    deadlineMicros: number,
    kind: IoLockKind = "exclusive",
  ): Task<boolean> {
    const patienceMillis = Math.max(0, deadlineMicros - this.io.now()) / 1000;
    // Ends with the deadline, or with as many pauses: a simulated clock may stand still.
    for (let pauses = 0;; pauses++) {
      const res = this.io.lock(file, kind);
      if (res === 0) return true;
      if (res === -EOPNOTSUPP) {
        if (this.#unsafeNoLock) return true;
        throw new WalOptionsError(
          `${file.path} cannot be locked: there are no file locks in this runtime or on this file ` +
            "system, so nothing would keep a second writer out. Where you know that there is none, " +
            "open the log with unsafeNoLock: true",
        );
      }
      if (res !== -EAGAIN) throw ioError(res, "lock", file.path);
      if (pauses * LOCK_RETRY_MILLIS >= patienceMillis || this.io.now() >= deadlineMicros) {
        return false;
      }
      yield { sleepMillis: LOCK_RETRY_MILLIS };
      this.pump.drain();
    }
  }
}
