/**
 * io_uring from TypeScript: `Ring`, its buffers and files, and the kernel's flags.
 *
 * Docs: docs/RING.md. The errors that have a `code` are named with the methods that throw them.
 *
 * @module
 */

export { CompletionArray } from "./src/abi/completions.ts";
export { errnoName, errnoText } from "./src/abi/errno.ts";
export {
  AT_FLAG,
  CQE_FLAG,
  ERRNO,
  FADVISE_FLAG,
  FALLOCATE_FLAG,
  FEATURE_FLAG,
  FSYNC_FLAG,
  LOCK_FLAG,
  MADVISE_FLAG,
  OPEN_FLAG,
  POLL_FLAG,
  RENAME_FLAG,
  RESOLVE_FLAG,
  RW_FLAG,
  SETUP_FLAG,
  SPLICE_FLAG,
  SQE_FLAG,
  STATX_MASK,
  SYNC_RANGE_FLAG,
  TIMEOUT_FLAG,
  XATTR_FLAG,
} from "./src/abi/generated.ts";
export { RingUnavailableError, type RingUnavailableReason } from "./src/native/errors.ts";
export { BufferSet, RegisteredBuffer, type RingVector } from "./src/ring/buffers.ts";
export {
  RingBusyError,
  RingClosedError,
  RingError,
  RingImageError,
  RingPollError,
  RingUnsupportedError,
} from "./src/ring/errors.ts";
export { RingFile } from "./src/ring/file.ts";
export type { OpenHow, RingOperations } from "./src/ring/operations.ts";
export type { RingOptions } from "./src/ring/options.ts";
export type { RingRegistrations, WorkerLimits } from "./src/ring/registrations.ts";
export { Ring, type RingStats } from "./src/ring/ring.ts";
export type { RingFeatures } from "./src/ring/setup.ts";
export { FileSystemResult, StatxResult } from "./src/ring/statx.ts";
export type { TraceSink } from "./src/ring/trace.ts";
