/**
 * A process whose memory is looked at: `empty`, or `log DIRECTORY OPERATIONS`, which appends so many
 * records and reads as many. Prints the memory that it had, and the arena, in bytes.
 *
 * Nothing is imported before it is known which: an empty process has nothing but its runtime.
 *
 * @module
 */
import { readFileSync } from "node:fs";
import process from "node:process";

/** As long as the segments of a log usually are. */
const SEGMENT_BYTES = 64 << 20;
/** Records that are read in turn: some segments of them. */
const READ_RECORDS = 1_000_000;

const [what, directory, operations] = process.argv.slice(2);
const arenaBytes = what === "log" ? await appendAndRead(directory, Number(operations)) : 0;
console.log(JSON.stringify({ ...memory(), arenaBytes }));

async function appendAndRead(directory: string, operations: number): Promise<number> {
  const { openIo } = await import("../../io.ts");
  const { Wal } = await import("../../src/wal/wal.ts");
  const { appendMany, fillLog, readMany } = await import("./heap.ts");
  using io = openIo();
  {
    await using wal = await Wal.open(`${directory}-appended`, { io });
    await appendMany(wal, SEGMENT_BYTES, operations);
  }
  await using wal = await Wal.open(`${directory}-read`, { io });
  await fillLog(wal, Math.min(operations, READ_RECORDS));
  // A view of a record would be the program's own memory.
  await readMany(wal, operations, false);
  return io.arenaBytes;
}

/** Resident memory, in bytes. */
export interface Memory {
  /** At its highest. */
  readonly peakBytes: number;
  /** Now, and what of it is pages of files, as the code of the runtime is. */
  readonly residentBytes: number;
  readonly fileBytes: number;
}

function memory(): Memory {
  const status = readFileSync("/proc/self/status", "utf8");
  const bytes = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, "m").exec(status)![1]) * 1024;
  return { peakBytes: bytes("VmHWM"), residentBytes: bytes("VmRSS"), fileBytes: bytes("RssFile") };
}
