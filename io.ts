/**
 * One interface for storage, and its backends: io_uring, `node:fs` where that cannot be had, and a
 * simulated machine in memory. Submit operations with handles of your own, poll, and take what has completed.
 *
 * @example Write a file durably
 * ```ts
 * import { DSYNC, openIo } from "@uring/io/io";
 *
 * using io = openIo();
 * const run = (handle: number): number => {
 *   let res = io.take(handle);
 *   while (res === undefined) {
 *     io.park();
 *     res = io.take(handle);
 *   }
 *   return res;
 * };
 *
 * const file = io.open("/tmp/io-example", { write: true, create: true }, 1);
 * console.log(run(1)); // 0
 * const buffer = io.acquireBuffer()!;
 * const { written } = new TextEncoder().encodeInto("hello\n", buffer.bytes);
 * io.writeAt(file, buffer, 0, written, 0, DSYNC, 2);
 * console.log(run(2)); // 6
 * io.close(file, 3);
 * console.log(run(3)); // 0
 * io.releaseBuffer(buffer);
 * ```
 *
 * @module
 */

export { CompletionArray } from "./src/abi/completions.ts";
export { errnoName, errnoText } from "./src/abi/errno.ts";
export { File, type FileReadOptions, type FileWriteOptions } from "./src/file/file.ts";
export {
  DSYNC,
  type Io,
  type IoAdvice,
  type IoAlignment,
  type IoBuffer,
  IoClosedError,
  type IoDirectoryEntry,
  IoError,
  type IoFile,
  type IoFileSystem,
  IoFullError,
  type IoIdentity,
  type IoLatency,
  type IoLeak,
  type IoLockKind,
  type IoOperationStatistics,
  type IoStat,
  type IoStatistics,
  type IoTimer,
  IoUsageError,
  type OpenOptions,
} from "./src/io/io.ts";
export { MemoryCrashError, MemoryIo, type MemoryIoOptions } from "./src/io/memory.ts";
export { openIo, type OpenIoOptions } from "./src/io/open_io.ts";
export { SyncIo, type SyncIoOptions } from "./src/io/sync.ts";
export { UringIo, type UringIoOptions } from "./src/io/uring.ts";
export { RingUnavailableError, type RingUnavailableReason } from "./src/native/errors.ts";
