/**
 * Streaming durable appends, against fio that overwrites durably with the same block size and depth, on
 * the same file system, in rounds that alternate.
 *
 * The log's side: records of 256 bytes in frames of 64 KiB, 256 KiB and 1 MiB, four in flight, direct,
 * in segments of 64 MiB that were all used before (the writer removes what lies behind it, and its
 * files go round). What counts is bytes of frames on disk a second, until the last one is durable.
 *
 * `append-cli`: records a second of `uring append` from a file of lines, its start and its end
 * included, against the records a second of `stream-1m` in the same run. Its log keeps everything, so
 * its segments are all fresh: zeroed first, then written.
 *
 * `read`: records a second by `wal.read()` from the page cache, as views. `read-c`: the same beside a scan
 * of the same files in C that checks nothing (bench/scan.c). `open-100`: opening a log of a hundred
 * segments beside one of two.
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { host } from "../src/host/host.ts";
import { type Io, openIo } from "../io.ts";
import { Wal } from "../src/wal/wal.ts";
import { runWell, underThisRuntime } from "./support/child.ts";
import { fill, type FioResult, overwriteDurably } from "./support/fio.ts";
import { median, report } from "./support/report.ts";
import { Scratch } from "./support/scratch.ts";
import {
  makeRecords,
  newestSegment,
  RECORD_BYTES,
  segmentFiles,
  type Streamed,
  Streamer,
} from "./support/stream.ts";
import { measureReading, READ_CASES, readingBytes } from "./support/wal_read.ts";

const MIB = 1 << 20;
const SEGMENT_BYTES = 64 * MIB;
/** Segments that the log must go through while it is measured. */
const SEGMENTS_MIN = 20;
const IN_FLIGHT = 4;
/** As much as the files of the log that go round. */
const FIO_FILE_BYTES = 4 * SEGMENT_BYTES;
const LEAST_OF_FIO = 0.8;
const LEAST_OF_STREAM = 0.5;
/** Rounds of the reference that differ by more say that others use the disk too. */
const STEADY = 1.5;

/** Frames of 1 MiB, five of them, need more than the usual arena. */
const CASES = [
  { name: "stream-64k", frameBytes: 64 << 10, arenaBytes: 4 * MIB },
  { name: "stream-256k", frameBytes: 256 << 10, arenaBytes: 4 * MIB },
  { name: "stream-1m", frameBytes: MIB, arenaBytes: 8 * MIB },
] as const;
type StreamCase = (typeof CASES)[number];
const APPEND_CLI = "append-cli";
const NAMES = [...CASES.map(({ name }) => name), APPEND_CLI, ...READ_CASES];

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    rounds: { type: "string", default: "5" },
    seconds: { type: "string", default: "2" },
    "input-mib": { type: "string", default: "2048" },
    // Of the records that are read back.
    "read-mib": { type: "string", default: "512" },
  },
});
const wanted = new Set(options.case);
for (const name of wanted) {
  if (!NAMES.includes(name)) throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
}
const rounds = Number(options.rounds);
const seconds = Number(options.seconds);
const inputBytes = Number(options["input-mib"]) * MIB;
const readBytes = Number(options["read-mib"]) * MIB;
const runtime = host().name;
const cli = join(import.meta.dirname!, "../cli.ts");

const reading = READ_CASES.filter((name) => wanted.has(name));
const streaming = wanted.size > reading.length;

using scratch = new Scratch(
  options.dir,
  (streaming ? 2 * FIO_FILE_BYTES + 4 * SEGMENT_BYTES : 0) +
    (wanted.has(APPEND_CLI) ? 2.5 * inputBytes : 0) +
    (reading.length > 0 ? readingBytes(readBytes) : 0),
);
const fioFile = scratch.join("fio");
if (streaming) await fill(fioFile, FIO_FILE_BYTES);
for (const one of CASES) {
  const withCli = one.name === "stream-1m" && wanted.has(APPEND_CLI);
  if (wanted.has(one.name) || withCli) await stream(one, wanted.has(one.name), withCli);
}

if (reading.length > 0) await measureReading(reading, scratch.path, rounds, readBytes);

/** Measures one frame size and, when `withCli`, the command line beside it. */
async function stream(one: StreamCase, withFio: boolean, withCli: boolean): Promise<void> {
  const input = withCli ? writeInput() : "";
  const directory = scratch.join(one.name);
  const io = openIo({ arenaBytes: one.arenaBytes });
  const streamed: Streamed[] = [];
  const references: FioResult[] = [];
  const appended: number[] = [];
  let segments = 0;
  let lastLsn = 0;
  try {
    const wal = await Wal.open(directory, {
      io,
      mode: "direct",
      segmentBytes: SEGMENT_BYTES,
      commit: { maxBytes: one.frameBytes, maxInFlight: IN_FLIGHT },
    });
    try {
      const streamer = new Streamer(wal, SEGMENT_BYTES);
      await streamer.warmUp();
      const files = segmentFiles(directory);
      const first = newestSegment(directory);
      // A fast round could miss the number of segments on a slow disk: then there are more rounds.
      for (let round = 0; round < rounds || segments < SEGMENTS_MIN; round++) {
        streamed.push(await streamer.run(seconds));
        segments = newestSegment(directory) - first;
        const fresh = [...segmentFiles(directory)].filter((file) => !files.has(file)).length;
        if (fresh > 0) throw new Error(`${fresh} segments were made anew while it was measured`);
        if (withFio) {
          references.push(
            await overwriteDurably(fioFile, FIO_FILE_BYTES, one.frameBytes, IN_FLIGHT, seconds),
          );
        }
        if (withCli) appended.push(await appendByCommand(input));
      }
      lastLsn = wal.durableLsn;
    } finally {
      await wal.close();
    }
    await checkEnd(directory, io, one, lastLsn);
  } finally {
    io[Symbol.dispose]();
  }
  const recordsPerSecond = median(streamed.map(({ records, seconds }) => records / seconds));
  if (withFio) reportStream(one, streamed, references, recordsPerSecond, segments);
  if (!withCli) return;
  const value = median(appended);
  const ratio = value / recordsPerSecond;
  report({
    bench: "wal",
    case: APPEND_CLI,
    runtime,
    value,
    unit: "records/s",
    reference: "stream-1m",
    referenceValue: recordsPerSecond,
    ratio,
    bar: `at least ${LEAST_OF_STREAM}`,
    holds: ratio >= LEAST_OF_STREAM,
    rounds: appended,
    inputBytes,
  });
}

function reportStream(
  one: StreamCase,
  streamed: readonly Streamed[],
  references: readonly FioResult[],
  recordsPerSecond: number,
  segments: number,
): void {
  const ours = streamed.map(({ diskBytes, seconds }) => diskBytes / seconds);
  const theirs = references.map(({ bytesPerSecond }) => bytesPerSecond);
  const value = median(ours);
  const referenceValue = median(theirs);
  const ratio = value / referenceValue;
  report({
    bench: "wal",
    case: one.name,
    runtime,
    value,
    unit: "bytes/s",
    reference: "fio, direct, dsync, overwriting",
    referenceValue,
    ratio,
    bar: `at least ${LEAST_OF_FIO.toFixed(2)}`,
    holds: ratio >= LEAST_OF_FIO,
    recordsPerSecond,
    cpuNanosPerRecord: median(
      streamed.map(({ cpuMicros, records }) => cpuMicros * 1000 / records),
    ),
    referenceCpuNanosPerRecord: median(
      references.map(({ cpuNanosPerByte }) => cpuNanosPerByte * RECORD_BYTES),
    ),
    segments,
    rounds: ours,
    referenceRounds: theirs,
    ...(Math.max(...theirs) > STEADY * Math.min(...theirs)
      ? { note: "unsteady: the rounds of the reference differ much" }
      : {}),
  });
}

/** What was measured is there: the log opens as closed, and its last records are what was appended. */
async function checkEnd(
  directory: string,
  io: Io,
  one: StreamCase,
  lastLsn: number,
): Promise<void> {
  await using wal = await Wal.open(directory, {
    io,
    segmentBytes: SEGMENT_BYTES,
    commit: { maxBytes: one.frameBytes, maxInFlight: IN_FLIGHT },
  });
  const { tail } = wal.recovery;
  if (tail !== "clean" || wal.durableLsn !== lastLsn) {
    throw new Error(`the log ends ${tail} at ${wal.durableLsn}, and it was closed at ${lastLsn}`);
  }
  const records = makeRecords();
  for await (const batch of wal.read({ from: Math.max(wal.firstLsn, lastLsn - records.length) })) {
    for (let i = 0; i < batch.length; i++) {
      const expected = records[(batch.firstLsn + i - 1) % records.length];
      if (batch.bytes(i).some((byte, at) => byte !== expected[at])) {
        throw new Error(`record ${batch.firstLsn + i} is not what was appended`);
      }
    }
  }
}

/** A file of lines of 256 bytes and an LF. */
function writeInput(): string {
  const path = scratch.join("lines");
  if (existsSync(path)) return path;
  const lines = makeRecords();
  const block = new Uint8Array(lines.length * (RECORD_BYTES + 1)).fill(10);
  lines.forEach((line, i) => block.set(line, i * (RECORD_BYTES + 1)));
  const file = openSync(path, "w");
  for (let bytes = 0; bytes < inputBytes; bytes += block.length) writeSync(file, block);
  // Clean pages: nothing is written back while it is measured.
  fsyncSync(file);
  closeSync(file);
  return path;
}

/** Records a second of one run of `uring append`, from its start to its end. */
async function appendByCommand(input: string): Promise<number> {
  const directory = scratch.join("append");
  const start = performance.now();
  const { stdout } = await runWell([
    // Not every runtime can hand a file on as a descriptor.
    ...["sh", "-c", `exec "$@" <"$0"`, input],
    ...underThisRuntime(cli),
    ...["append", directory],
  ]);
  const records = Number(stdout.trim());
  const seconds = (performance.now() - start) / 1000;
  const expected = Math.ceil(inputBytes / (1024 * (RECORD_BYTES + 1))) * 1024;
  if (records !== expected) {
    throw new Error(`uring append stored ${records} of ${expected} records`);
  }
  rmSync(directory, { recursive: true });
  return records / seconds;
}

// A reader of the exit status learns whether every bar was held.
process.exitCode ??= 0;
