/**
 * The storage over each backend.
 *
 * @module
 */

import { type Io, IoUsageError } from "../io/io.ts";
import { MemoryIo, type MemoryIoOptions } from "../io/memory.ts";
import { SyncIo } from "../io/sync.ts";
import { UringIo, type UringIoOptions } from "../io/uring.ts";
import { type StorageOptions, StoragePolicy } from "./storage_io.ts";

/** Options of {@linkcode SyncStorageIo.open}. */
export interface SyncStorageOptions extends StorageOptions {
  /** Stays the caller's; without it one is opened, and ends with the storage. */
  io?: Io;
}

/** Options of {@linkcode UringStorageIo.open}. */
export interface UringStorageOptions extends StorageOptions {
  /** Stays the caller's; without it one is opened, and ends with the storage. */
  io?: Io;
  /** A thread of the kernel submits; for an `Io` of its own. */
  sqpoll?: UringIoOptions["sqpoll"];
}

/** Options of {@linkcode MemoryStorageIo.open}. */
export interface MemoryStorageOptions extends StorageOptions {
  /** Stays the caller's; without it one is made. */
  io?: Io;
  /** Of the machine that is made. */
  memory?: MemoryIoOptions;
}

/**
 * Over `node:fs`, on any platform: operations are executed when they are flushed, and delivered by the
 * next poll.
 *
 * ```ts
 * import { CompletionArray, File } from "@uring/io/io";
 * import { SyncStorageIo } from "@uring/io/storage";
 *
 * using storage = SyncStorageIo.open();
 * const options = { read: true, write: true, create: true };
 * const fd = storage.registerFd(await File.open("/tmp/storage-example", options, storage.io));
 * const token = storage.submitAppend(fd, new TextEncoder().encode("hello\n"));
 * storage.submitDatasync(fd);
 * const out = new CompletionArray(16);
 * while (storage.pendingCount > 0) {
 *   storage.park();
 *   storage.pollCompletions(out);
 * }
 * console.log(out.userData[0] === token, out.res[0], out.res[1]); // true 6 0
 * ```
 */
export class SyncStorageIo extends StoragePolicy {
  /** @throws {BufferExhaustedError} when the arena of `io` has no room for the buffers. */
  static open(options: SyncStorageOptions = {}): SyncStorageIo {
    const { io, ...rest } = options;
    return opened(
      io,
      "sync",
      () => SyncIo.open(),
      (on, owns) => new SyncStorageIo(on, owns, rest),
    );
  }
}

/** Over io_uring. */
export class UringStorageIo extends StoragePolicy {
  /**
   * @throws {RingUnavailableError} when no ring can be had here.
   * @throws {BufferExhaustedError} when the arena of `io` has no room for the buffers.
   */
  static open(options: UringStorageOptions = {}): UringStorageIo {
    const { io, sqpoll, ...rest } = options;
    if (io !== undefined && sqpoll !== undefined) {
      throw new IoUsageError("`sqpoll` is for an Io of its own: open yours with it");
    }
    const own = () => UringIo.open(sqpoll === undefined ? {} : { sqpoll });
    return opened(io, "uring", own, (on, owns) => new UringStorageIo(on, owns, rest));
  }
}

/** Over the simulated machine, for tests. */
export class MemoryStorageIo extends StoragePolicy {
  /** @throws {BufferExhaustedError} when the arena of `io` has no room for the buffers. */
  static open(options: MemoryStorageOptions = {}): MemoryStorageIo {
    const { io, memory, ...rest } = options;
    if (io !== undefined && memory !== undefined) {
      throw new IoUsageError("`memory` is for an Io of its own: make yours with it");
    }
    const own = () => MemoryIo.create(memory);
    return opened(io, "memory", own, (on, owns) => new MemoryStorageIo(on, owns, rest));
  }
}

/** Makes a storage on the caller's `Io`, or on one of its own, which ends when that fails. */
function opened<T>(
  io: Io | undefined,
  backend: Io["backend"],
  open: () => Io,
  make: (io: Io, ownsIo: boolean) => T,
): T {
  if (io !== undefined) {
    if (io.backend === backend) return make(io, false);
    throw new IoUsageError(`this storage is for the backend ${backend}, not ${io.backend}`);
  }
  const own = open();
  try {
    return make(own, true);
  } catch (error) {
    own[Symbol.dispose]();
    throw error;
  }
}
