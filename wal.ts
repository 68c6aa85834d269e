/**
 * The log: records that are acknowledged when they survive a power cut.
 *
 * @example Append a record, wait until it is durable, read it back
 * ```ts
 * import { Wal } from "@uring/io/wal";
 *
 * await using wal = await Wal.open("/var/tmp/example-log");
 * await wal.durable(wal.append("hello"));
 * for await (const batch of wal.read()) {
 *   for (let i = 0; i < batch.length; i++) console.log(batch.firstLsn + i, batch.text(i));
 * }
 * ```
 *
 * @module
 */

export { Wal, type WalCursor, type WalEventMap, type WalStats } from "./src/wal/wal.ts";
export type { ReadRange } from "./src/wal/wal.ts";
export { DurabilityTracker, TRACKED_MAX, type TrackedAppend } from "./src/wal/tracker.ts";
export type { CommitOptions, RetentionOptions, WalOptions } from "./src/wal/options.ts";
export type { HistogramSummary } from "./src/io/histogram.ts";
export type { ClosedSegment } from "./src/wal/segments.ts";
export type { WalRecovery } from "./src/wal/open.ts";
export { type LsnRange, repair, type RepairOptions, type RepairReport } from "./src/wal/repair.ts";
export type { SnapshotFile, SnapshotManifest } from "./src/wal/snapshot.ts";
export type { TailOptions } from "./src/wal/tail.ts";
export type { TailState } from "./src/wal/recovery.ts";
export type { RecordBatch } from "./src/wal/records.ts";
export { type WalReport, WalView } from "./src/wal/view.ts";
export {
  LsnTooOldError,
  WalClosedError,
  WalCorruptionError,
  WalFullError,
  WalLockedError,
  WalMissingError,
  WalOptionsError,
  WalPoisonedError,
  WalRecordTooLargeError,
} from "./src/wal/errors.ts";
export { IoError } from "./src/io/io.ts";
export { RingUnavailableError, type RingUnavailableReason } from "./src/native/errors.ts";
