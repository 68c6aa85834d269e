/**
 * Streaming durable appends, against fio that overwrites durably with the same block size and depth, on
 * the same file system, in rounds that alternate.
 *
 * The log's side: records of 256 bytes in frames of 64 KiB, 256 KiB and 1 MiB, four in flight, direct,
 * in segments of 64 MiB that were all used before (the writer removes what lies behind it, and its
 * files go round). What counts is bytes of frames on disk a second, until the last one is durable.
 *
 * `strings-1m`: records a second of the same from strings, against those of `stream-1m` in the same run.
 *
 * `append-cli`: records a second of `uring append` from a file of lines, its start and its end
 * included, against the records a second of `stream-1m` in the same run. Its log keeps everything, so
 * its segments are all fresh: their blocks are reserved, and written once.
 *
 * `fresh-1m`: the same stream into a log that keeps everything, against fio that fills as many bytes of
 * a new file with zeros, and then overwrites them durably.
 *
 * @module
 */
import { closeSync, existsSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { host } from "../../src/host/host.ts";
import { type Io, openIo } from "../../io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { runWell, underThisRuntime } from "./child.ts";
import { fill, fillAndOverwrite, type FioResult, overwriteDurably } from "./fio.ts";
import { median } from "./report.ts";
import {
  makeRecords,
  makeTexts,
  newestSegment,
  RECORD_BYTES,
  segmentFiles,
  type Streamed,
  Streamer,
} from "./stream.ts";
import { MIB, removeLog, tell, type WalBench } from "./wal_case.ts";

export const SEGMENT_BYTES = 64 * MIB;
const IN_FLIGHT = 4;
/** As much as the files of the log that go round. */
const FIO_FILE_BYTES = 4 * SEGMENT_BYTES;
const LEAST_OF_FIO = 0.9;
const LEAST_OF_FRESH = 0.9;
const LEAST_OF_STREAM = 0.5;
const LEAST_OF_STRINGS = { bun: 0.5, deno: 0.4 } as const;

/** Frames of 1 MiB, five of them, need more than the usual arena. */
const FRAMES = [
  { name: "stream-64k", frameBytes: 64 << 10, arenaBytes: 4 * MIB },
  { name: "stream-256k", frameBytes: 256 << 10, arenaBytes: 4 * MIB },
  { name: "stream-1m", frameBytes: MIB, arenaBytes: 8 * MIB },
] as const;
type FrameCase = (typeof FRAMES)[number];
const LARGEST = FRAMES[2];
const STRINGS = "strings-1m";
const FRESH = "fresh-1m";
const APPEND_CLI = "append-cli";
export const STREAM_CASES: readonly string[] = [
  ...FRAMES.map(({ name }) => name),
  ...[STRINGS, FRESH, APPEND_CLI],
];

const cli = join(import.meta.dirname!, "../../cli.ts");

/** Bytes of disk that these cases need. */
export function streamRoom(names: readonly string[], inputBytes: number): number {
  if (names.length === 0) return 0;
  // What the fastest disks take in two rounds of one side.
  const fresh = names.includes(FRESH) ? 16_384 * MIB : 0;
  return 2 * FIO_FILE_BYTES + 4 * SEGMENT_BYTES + fresh +
    (names.includes(APPEND_CLI) ? 2.5 * inputBytes : 0);
}

/** Measures these cases; `append-cli` takes a file of `inputBytes`. */
export async function measureStreams(
  bench: WalBench,
  names: readonly string[],
  inputBytes: number,
): Promise<void> {
  const inRounds = names.filter((name) => name !== FRESH);
  if (inRounds.length > 0) {
    await fill(bench.scratch.join("fio"), FIO_FILE_BYTES);
    for (const one of FRAMES) {
      const beside = one === LARGEST
        ? [STRINGS, APPEND_CLI].filter((name) => names.includes(name))
        : [];
      if (names.includes(one.name) || beside.length > 0) {
        await stream(bench, one, names.includes(one.name), beside, inputBytes);
      }
    }
    rmSync(bench.scratch.join("fio"));
  }
  if (names.includes(FRESH)) await fresh(bench);
}

/** Measures one frame size and, when they are in `beside`, strings and the command line beside it. */
async function stream(
  { scratch, rounds, seconds, segmentsMin }: WalBench,
  one: FrameCase,
  withFio: boolean,
  beside: readonly string[],
  inputBytes: number,
): Promise<void> {
  const withCli = beside.includes(APPEND_CLI);
  const withStrings = beside.includes(STRINGS);
  const input = withCli ? writeInput(scratch.join("lines"), inputBytes) : "";
  const directory = scratch.join(one.name);
  const io = openIo({ arenaBytes: one.arenaBytes });
  const streamed: Streamed[] = [];
  const texts: Streamed[] = [];
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
      const streamer = new Streamer(wal, SEGMENT_BYTES, makeRecords());
      await streamer.warmUp();
      const texter = new Streamer(wal, SEGMENT_BYTES, makeTexts());
      const files = segmentFiles(directory);
      const first = newestSegment(directory);
      // A fast round could miss the number of segments on a slow disk: then there are more rounds.
      for (let round = 0; round < rounds || segments < segmentsMin; round++) {
        streamed.push(await streamer.run(seconds));
        if (withStrings) texts.push(await texter.run(seconds));
        segments = newestSegment(directory) - first;
        const made = [...segmentFiles(directory)].filter((file) => !files.has(file)).length;
        if (made > 0) throw new Error(`${made} segments were made anew while it was measured`);
        if (withFio) {
          references.push(
            await overwriteDurably(
              scratch.join("fio"),
              FIO_FILE_BYTES,
              one.frameBytes,
              IN_FLIGHT,
              seconds,
            ),
          );
        }
        if (withCli) {
          appended.push(await appendByCommand(scratch.join("append"), input, inputBytes));
        }
      }
      // The last records are those that are looked at.
      await streamer.append(makeRecords().length);
      lastLsn = wal.durableLsn;
    } finally {
      await wal.close();
    }
    await checkEnd(directory, io, one, lastLsn);
  } finally {
    io[Symbol.dispose]();
  }
  removeLog(directory);
  const recordsPerSecond = streamed.map(({ records, seconds }) => records / seconds);
  if (withFio) reportStream(one, streamed, references, median(recordsPerSecond), segments);
  if (withStrings) {
    const rates = texts.map(({ records, seconds }) => records / seconds);
    const least = LEAST_OF_STRINGS[host().name];
    tell(STRINGS, "records/s", rates, "stream-1m", recordsPerSecond, { least });
  }
  if (withCli) {
    const bar = { least: LEAST_OF_STREAM };
    tell(APPEND_CLI, "records/s", appended, "stream-1m", recordsPerSecond, bar, { inputBytes });
  }
}

function reportStream(
  one: FrameCase,
  streamed: readonly Streamed[],
  references: readonly FioResult[],
  recordsPerSecond: number,
  segments: number,
): void {
  const ours = streamed.map(({ diskBytes, seconds }) => diskBytes / seconds);
  const theirs = references.map(({ bytesPerSecond }) => bytesPerSecond);
  const bar = { least: LEAST_OF_FIO };
  tell(one.name, "bytes/s", ours, "fio, direct, dsync, overwriting", theirs, bar, {
    recordsPerSecond,
    cpuNanosPerRecord: median(
      streamed.map(({ cpuMicros, records }) => cpuMicros * 1000 / records),
    ),
    referenceCpuNanosPerRecord: median(
      references.map(({ cpuNanosPerByte }) => cpuNanosPerByte * RECORD_BYTES),
    ),
    segments,
  });
}

/** What was measured is there: the log opens as closed, and its last records are what was appended. */
async function checkEnd(
  directory: string,
  io: Io,
  one: FrameCase,
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
  const expected = new Map(records.map((record) => [record.join(), record]));
  const from = Math.max(wal.firstLsn, lastLsn - records.length + 1);
  for await (const batch of wal.read({ from })) {
    for (let i = 0; i < batch.length; i++) expected.delete(batch.bytes(i).join());
  }
  if (expected.size > 0) {
    throw new Error(`${expected.size} of the last ${records.length} records are not in the log`);
  }
}

/** A log that keeps everything, and fio that zeroes and overwrites a new file as long. */
async function fresh({ scratch, rounds, seconds }: WalBench): Promise<void> {
  const values: number[] = [];
  const references: number[] = [];
  for (let round = 0; round < rounds; round++) {
    const directory = scratch.join(FRESH);
    using io = openIo({ arenaBytes: LARGEST.arenaBytes });
    const wal = await Wal.open(directory, {
      io,
      mode: "direct",
      segmentBytes: SEGMENT_BYTES,
      commit: { maxBytes: LARGEST.frameBytes, maxInFlight: IN_FLIGHT },
    });
    // It begins with one empty segment, and ends with one spare: as many are zeroed as are written.
    const streamer = new Streamer(wal, Infinity, makeRecords());
    const { diskBytes, seconds: taken } = await streamer.run(seconds);
    await wal.close();
    values.push(diskBytes / taken);
    removeLog(directory);
    const file = scratch.join("fio-fresh");
    const bytes = Math.ceil(diskBytes / SEGMENT_BYTES) * SEGMENT_BYTES;
    references.push(await fillAndOverwrite(file, bytes, LARGEST.frameBytes, IN_FLIGHT));
    rmSync(file);
  }
  const reference = "fio that zero-fills and overwrites";
  tell(FRESH, "bytes/s", values, reference, references, { least: LEAST_OF_FRESH });
}

/** A file of lines of 256 bytes and an LF. */
function writeInput(path: string, inputBytes: number): string {
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
async function appendByCommand(
  directory: string,
  input: string,
  inputBytes: number,
): Promise<number> {
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
