/** What the writer of late writes and its test share. */
import type { WalOptions } from "../../src/wal/options.ts";

export const FRAME_BYTES = 1 << 20;
const FRAME_OVERHEAD_BYTES = 4096;

export const LATE_OPTIONS: WalOptions = {
  mode: "direct",
  segmentBytes: 16 << 20,
  commit: { maxBytes: FRAME_BYTES, maxInFlight: 4 },
  idleMarkMillis: 3_600_000,
};

/** A record that fills a frame. */
export function lateRecord(lsn: number): Uint8Array {
  return new Uint8Array(lsn === 1 ? 10 : FRAME_BYTES - FRAME_OVERHEAD_BYTES).fill(lsn);
}
