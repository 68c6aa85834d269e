/**
 * Storage for engines: submit writes, appends and syncs, and poll their ends (`StorageIo`); or read and
 * write at positions, blocking, one by one or in batches (`PositionedFile`).
 *
 * @example Append durably
 * ```ts
 * import { CompletionArray, File } from "@uring/io/io";
 * import { SyncStorageIo } from "@uring/io/storage";
 *
 * using storage = SyncStorageIo.open();
 * const options = { read: true, write: true, create: true };
 * const fd = storage.registerFd(await File.open("/tmp/storage-example", options, storage.io));
 * storage.submitAppend(fd, new TextEncoder().encode("hello\n"));
 * storage.submitDatasync(fd);
 * const out = new CompletionArray(16);
 * while (storage.pendingCount > 0) {
 *   storage.park();
 *   storage.pollCompletions(out);
 * }
 * console.log(out.res[0], out.res[1]); // 6 0
 * ```
 *
 * @module
 */

export { CompletionArray } from "./src/abi/completions.ts";
export { File } from "./src/file/file.ts";
export {
  MemoryStorageIo,
  type MemoryStorageOptions,
  SyncStorageIo,
  type SyncStorageOptions,
  UringStorageIo,
  type UringStorageOptions,
} from "./src/storage/backends.ts";
export {
  BadFdError,
  BufferExhaustedError,
  BusyError,
  ClosedError,
  QueueFullError,
  StorageIoError,
} from "./src/storage/errors.ts";
export { type PositionedEntry, PositionedError, PositionedFile } from "./src/storage/positioned.ts";
export {
  type IoFd,
  type StorageIo,
  type StorageOptions,
  StoragePolicy,
} from "./src/storage/storage_io.ts";
