/**
 * The JavaScript heap after a collection, and what is done to a log while it is looked at.
 *
 * @module
 */
import process from "node:process";
import type { Wal } from "../../src/wal/wal.ts";
import { underThisRuntime } from "./child.ts";
import { makeRecords, RECORD_BYTES, Streamer } from "./stream.ts";

/** Appends between two looks at what can be removed; a multiple of a batch. */
const STRIDE = 4096;

/** Collections that {@linkcode liveBytes} asks for. */
export const COLLECTIONS_OF_A_LOOK = 3;
const bun = process.versions.bun !== undefined;

/** The command that runs a program so that it can measure its heap: V8 collects only when it is told so. */
export function withCollector(file: string, further = ""): string[] {
  return underThisRuntime(file, bun ? "" : `--expose-gc${further}`);
}

/** Whether this process can measure its heap. */
// deno-lint-ignore no-explicit-any
export const canMeasure: boolean = bun || typeof (globalThis as any).gc === "function";

/** Bytes that are alive, with what they hold outside of the heap. */
export async function liveBytes(): Promise<number> {
  for (let i = 0; i < COLLECTIONS_OF_A_LOOK; i++) {
    collect();
    // What a collection leaves to finalizers is gone after a turn.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  if (bun) {
    const { heapStats } = await import("bun:jsc");
    const { heapSize, extraMemorySize } = heapStats();
    return heapSize + extraMemorySize;
  }
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}

function collect(): void {
  // deno-lint-ignore no-explicit-any
  const global = globalThis as any;
  if (bun) global.Bun.gc(true);
  else global.gc();
}

/**
 * Appends so many records, until all of them are durable, to a log with segments of `segmentBytes` that
 * removes what lies behind it. `each` hears of every one.
 */
export async function appendMany(
  wal: Wal,
  segmentBytes: number,
  count: number,
  each?: (lsn: number) => void,
): Promise<void> {
  const records = makeRecords();
  const streamer = new Streamer(wal, segmentBytes, records);
  for (let done = 0; done < count;) {
    const lsn = wal.tryAppend(records[done & (records.length - 1)]);
    if (lsn === undefined) {
      await wal.ready();
      continue;
    }
    if (each !== undefined) each(lsn);
    if (++done % STRIDE === 0) streamer.truncateBehind();
  }
  await wal.flush();
}

/** Appends so many records, and keeps them. */
export async function fillLog(wal: Wal, count: number): Promise<void> {
  const records = makeRecords();
  for (let done = 0; done < count;) {
    if (wal.tryAppend(records[done & (records.length - 1)]) === undefined) await wal.ready();
    else done++;
  }
  await wal.flush();
}

/** Reads so many records, from the oldest on and then again, and looks at each, or at its length. */
export async function readMany(wal: Wal, count: number, views: boolean): Promise<void> {
  for (let done = 0; done < count;) {
    const before = done;
    for await (const batch of wal.read()) {
      for (let i = 0; i < batch.length; i++) {
        const wrong = views ? batch.bytes(i)[0] < 32 : batch.byteLength(i) !== RECORD_BYTES;
        if (wrong) throw new Error(`record ${batch.firstLsn + i} is not as appended`);
      }
      done += batch.length;
      if (done >= count) break;
    }
    if (done === before) throw new Error("the log is empty");
  }
}
