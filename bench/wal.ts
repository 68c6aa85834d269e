/**
 * The log against what the same machine gives without it, in rounds that alternate.
 *
 * - `stream-…`, `strings-1m`, `fresh-1m`, `append-cli`: how fast a log takes records, beside fio
 *   (`support/wal_stream.ts`).
 * - `read`, `read-c`, `scan`, `open-100`: reading it back, and opening it (`support/wal_read.ts`).
 * - `appenders-K`: many that await every record, beside plain JavaScript (`support/wal_appenders.ts`).
 * - `lag`, `latency`: time, at less than full load (`support/wal_time.ts`).
 * - `rust-B`: batches, beside a program in Rust (`support/wal_rust.ts`, `rust/`).
 */
import process from "node:process";
import { parseArgs } from "node:util";
import { Scratch } from "./support/scratch.ts";
import { APPENDER_CASES, appendersRoom, measureAppenders } from "./support/wal_appenders.ts";
import { MIB, type WalBench } from "./support/wal_case.ts";
import { measureReads, READ_CASES, readRoom } from "./support/wal_read.ts";
import { measureRust, RUST_CASES, rustRoom } from "./support/wal_rust.ts";
import { measureStreams, STREAM_CASES, streamRoom } from "./support/wal_stream.ts";
import { measureTimes, TIME_CASES, timeRoom } from "./support/wal_time.ts";

const NAMES = [...STREAM_CASES, ...READ_CASES, ...APPENDER_CASES, ...TIME_CASES, ...RUST_CASES];

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    rounds: { type: "string", default: "5" },
    // Of one side in one round.
    seconds: { type: "string", default: "2" },
    // That a stream goes through at least.
    segments: { type: "string", default: "20" },
    // Of the lines that `append-cli` takes.
    "input-mib": { type: "string", default: "2048" },
    // Of the logs that are read; small ones have small segments, everywhere but in `stream-…`.
    "log-mib": { type: "string", default: "512" },
  },
});
for (const name of options.case) {
  if (!NAMES.includes(name)) throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
}
const wanted = (names: readonly string[]) => names.filter((name) => options.case.includes(name));
const streams = wanted(STREAM_CASES);
const reads = wanted(READ_CASES);
const appenders = wanted(APPENDER_CASES);
const times = wanted(TIME_CASES);
const rust = wanted(RUST_CASES);
const inputBytes = Number(options["input-mib"]) * MIB;
const logBytes = Number(options["log-mib"]) * MIB;
/** A log of the usual length has them of the usual length. */
const segmentBytes = Math.min(64 * MIB, logBytes / 8);

{
  const room = Math.max(
    streamRoom(streams, inputBytes),
    readRoom(reads, logBytes),
    appenders.length > 0 ? appendersRoom(segmentBytes) : 0,
    times.length > 0 ? timeRoom(segmentBytes) : 0,
    rust.length > 0 ? rustRoom(segmentBytes) : 0,
  );
  using scratch = new Scratch(options.dir, room);
  const bench: WalBench = {
    scratch,
    rounds: Number(options.rounds),
    seconds: Number(options.seconds),
    segmentsMin: Number(options.segments),
    segmentBytes,
  };
  await measureStreams(bench, streams, inputBytes);
  await measureReads(bench, reads, logBytes);
  await measureAppenders(bench, appenders);
  await measureTimes(bench, times);
  await measureRust(bench, rust);
}

// A reader of the exit status learns whether every bar was held.
process.exitCode ??= 0;
