/**
 * Reading a log back: records of 256 bytes in frames of 512 KiB.
 *
 * `read`: records a second by `wal.read()` from the page cache, where they lie, of each its length looked
 * at; the bar is a number of its own. Beside it, without a bar: the same with a view made of each
 * (`bytes(i)`), of which the first byte is looked at. `read-c`: against a bare scan of the same files in C
 * (bench/walk.c), which reads them by 1 MiB, and checks the frames without looking at single records.
 *
 * `scan`: bytes a second of `Wal.open` of a closed log of one segment, which recovery reads as a whole,
 * against a plain read of as many bytes of the same file in blocks of 1 MiB, past the page cache as well.
 *
 * `open-100`: milliseconds of `Wal.open` of a log of 100 segments against those of one of 2.
 *
 * @module
 */
import { host } from "../../src/host/host.ts";
import { locate } from "../../src/native/locate.ts";
import { type Io, openIo } from "../../io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { buildReference, cString } from "./reference.ts";
import { median, report } from "./report.ts";
import { makeRecords, RECORD_BYTES, Streamer } from "./stream.ts";
import { MIB, removeLog, segmentPaths, tell, type WalBench } from "./wal_case.ts";

export const READ_CASES: readonly string[] = ["read", "read-c", "scan", "open-100"];

const LEAST_RECORDS = 10e6;
const LEAST_OF_C = 0.5;
const LEAST_OF_READ = 0.8;
const MOST_OF_TWO = 1.5;
const SEGMENT_BYTES = 64 * MIB;
const FRAME_BYTES = MIB / 2;
/** Of `open-100`: small, so that what is measured is their number. */
const SMALL_SEGMENT_BYTES = MIB;
const SMALL_FRAME_BYTES = 64 << 10;
/** How full the last segment is: as much in both logs. */
const SMALL_FILL = 0.5;
/** Opens of one log in one round, of which the median counts. */
const OPENS = 5;

/** Bytes of disk that these cases need. */
export function readRoom(names: readonly string[], logBytes: number): number {
  return names.length === 0 ? 0 : 2 * logBytes + 2 * SEGMENT_BYTES + 256 * MIB;
}

/** Measures these cases with logs of `logBytes`. */
export async function measureReads(
  bench: WalBench,
  names: readonly string[],
  logBytes: number,
): Promise<void> {
  if (names.includes("read") || names.includes("read-c")) await read(bench, names, logBytes);
  if (names.includes("scan")) await scan(bench, logBytes);
  if (names.includes("open-100")) await openMany(bench);
}

function loadWalk() {
  const walk = buildReference("walk", {
    walk_open: { arguments: ["buffer"], result: "i32" },
    walk_records: { arguments: ["buffer"], result: "i32" },
    walk_read: { arguments: ["buffer", "u32", "u32"], result: "i32" },
    walk_close: { arguments: [], result: "i32" },
  });
  const opened = walk.walk_open(cString(locate(host())!.path));
  if (opened < 0) throw new Error(`the reference did not open: errno ${-opened}`);
  return walk;
}

/** Appends so many bytes of frames to a new log, and closes it. */
async function write(
  directory: string,
  io: Io,
  bytes: number,
  segmentBytes: number,
  maxBytes: number,
): Promise<number> {
  await using wal = await Wal.open(directory, {
    io,
    mode: "direct",
    segmentBytes,
    commit: { maxBytes },
  });
  const streamer = new Streamer(wal, Infinity, makeRecords());
  await streamer.append(Math.floor(bytes / (RECORD_BYTES + 4)));
  return wal.durableLsn;
}

async function read(bench: WalBench, names: readonly string[], logBytes: number): Promise<void> {
  const directory = bench.scratch.join("read");
  using io = openIo({ arenaBytes: 8 * MIB });
  const records = await write(directory, io, logBytes, SEGMENT_BYTES, FRAME_BYTES);
  const walk = loadWalk();
  const paths = segmentPaths(directory).map(cString);
  const values: number[] = [];
  const references: number[] = [];
  const views: number[] = [];
  {
    const options = { io, mode: "direct", commit: { maxBytes: FRAME_BYTES } } as const;
    await using wal = await Wal.open(directory, options);
    const ours = async (views: boolean) => {
      const { count, bytes } = await readAll(wal, views);
      if (count !== records || bytes !== records * RECORD_BYTES) {
        throw new Error(`${count} of ${records} records were read, ${bytes} bytes`);
      }
      return count;
    };
    const theirs = () => {
      let count = 0;
      for (const path of paths) count += walk.walk_records(path);
      if (count !== records) throw new Error(`C read ${count} of ${records} records`);
      return count;
    };
    // The first turns bring the files into the page cache, and what is compiled late is compiled.
    theirs();
    for (let i = 0; i < 2; i++) await ours(i > 0);
    for (let round = 0; round < bench.rounds; round++) {
      values.push(await rateOf(bench.seconds, () => ours(false)));
      references.push(await rateOf(bench.seconds, theirs));
      views.push(await rateOf(bench.seconds, () => ours(true)));
    }
  }
  walk.walk_close();
  removeLog(directory);
  if (names.includes("read")) {
    const value = median(values);
    report({
      bench: "wal",
      case: "read",
      runtime: host().name,
      value,
      unit: "records/s",
      reference: "a number",
      referenceValue: LEAST_RECORDS,
      ratio: value / LEAST_RECORDS,
      bar: "at least 1.00",
      holds: value >= LEAST_RECORDS,
      viewsPerSecond: median(views),
      rounds: values,
    });
  }
  if (names.includes("read-c")) {
    const reference = "a bare scan in C";
    tell("read-c", "records/s", values, reference, references, { least: LEAST_OF_C });
  }
}

/** Every record once, where it lies or by a view of its own. */
async function readAll(wal: Wal, views: boolean): Promise<{ count: number; bytes: number }> {
  let count = 0;
  let bytes = 0;
  for await (const batch of wal.read()) {
    const { length } = batch;
    if (views) {
      for (let i = 0; i < length; i++) {
        const record = batch.bytes(i);
        if (record[0] >= 32) bytes += record.length;
      }
    } else {
      for (let i = 0; i < length; i++) bytes += batch.byteLength(i);
    }
    count += length;
  }
  return { count, bytes };
}

/** What `run` gives, a second; so long at least. */
async function rateOf(seconds: number, run: () => number | Promise<number>): Promise<number> {
  const start = performance.now();
  let done = 0;
  do done += await run(); while (performance.now() - start < seconds * 1000);
  return done / (performance.now() - start) * 1000;
}

async function scan(bench: WalBench, logBytes: number): Promise<void> {
  const directory = bench.scratch.join("scan");
  using io = openIo({ arenaBytes: 8 * MIB });
  // As it was written: an opening that has to choose would measure.
  const mode = "direct";
  const options = { io, mode, segmentBytes: logBytes, commit: { maxBytes: FRAME_BYTES } } as const;
  // A little less than it holds, so that there is one segment.
  const lastLsn = await write(directory, io, 0.95 * logBytes, logBytes, FRAME_BYTES);
  const walk = loadWalk();
  const values: number[] = [];
  const references: number[] = [];
  for (let round = -1; round < bench.rounds; round++) {
    const start = performance.now();
    const wal = await Wal.open(directory, options);
    const ours = performance.now() - start;
    const { offset, file, tail } = wal.recovery;
    if (tail !== "clean" || wal.durableLsn !== lastLsn) {
      throw new Error(`the log ends ${tail} at ${wal.durableLsn}, and it was closed at ${lastLsn}`);
    }
    await wal.close();
    const path = cString(file);
    const startTheirs = performance.now();
    const blocks = Math.ceil(offset / MIB);
    const got = walk.walk_read(path, blocks, 1);
    const theirs = performance.now() - startTheirs;
    if (got !== blocks) throw new Error(`C read ${got} of ${blocks} MiB of ${file}`);
    if (round < 0) continue;
    values.push(offset / ours * 1000);
    references.push(blocks * MIB / theirs * 1000);
  }
  walk.walk_close();
  removeLog(directory);
  const reference = "a plain read of the file";
  tell("scan", "bytes/s", values, reference, references, { least: LEAST_OF_READ });
}

async function openMany({ scratch, rounds }: WalBench): Promise<void> {
  using io = openIo();
  const directories: string[] = [];
  for (const segments of [100, 2]) {
    const directory = scratch.join(`open-${segments}`);
    const frames = Math.floor(SMALL_SEGMENT_BYTES / SMALL_FRAME_BYTES) - 1;
    const perSegment = frames * Math.floor((SMALL_FRAME_BYTES - 64) / (RECORD_BYTES + 4));
    const records = Math.floor((segments - 1 + SMALL_FILL) * perSegment);
    const wal = await Wal.open(directory, smallOptions(io));
    const record = makeRecords()[0];
    for (let i = 0; i < records; i++) {
      if (wal.tryAppend(record) !== undefined) continue;
      await wal.ready();
      i--;
    }
    await wal.flush();
    const made = wal.stats().segments;
    await wal.close();
    if (made !== segments) throw new Error(`the log has ${made} segments instead of ${segments}`);
    directories.push(directory);
  }
  const times: [number[], number[]] = [[], []];
  for (let round = -1; round < rounds; round++) {
    const opens: [number[], number[]] = [[], []];
    for (let i = 0; i < OPENS; i++) {
      for (const side of [0, 1] as const) {
        const start = performance.now();
        const wal = await Wal.open(directories[side], smallOptions(io));
        opens[side].push(performance.now() - start);
        await wal.close();
      }
    }
    if (round < 0) continue;
    for (const side of [0, 1] as const) times[side].push(median(opens[side]));
  }
  for (const directory of directories) removeLog(directory);
  tell("open-100", "ms", times[0], "2 segments", times[1], { most: MOST_OF_TWO });
}

function smallOptions(io: Io) {
  return {
    io,
    mode: "direct",
    segmentBytes: SMALL_SEGMENT_BYTES,
    commit: { maxBytes: SMALL_FRAME_BYTES },
  } as const;
}
