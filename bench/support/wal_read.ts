/**
 * Reading a log back, and opening it.
 *
 * @module
 */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { openIo } from "../../io.ts";
import { host } from "../../src/host/host.ts";
import { Wal } from "../../src/wal/wal.ts";
import { buildReference, cString } from "./reference.ts";
import { median, report } from "./report.ts";
import { makeRecords, RECORD_BYTES } from "./stream.ts";

const MIB = 1 << 20;
const SEGMENT_BYTES_MAX = 64 * MIB;
const LEAST_A_SECOND = 10e6;
const LEAST_OF_SCAN = 0.5;
/** Of the logs that are opened. */
const SMALL_SEGMENT_BYTES = MIB;
const MANY = 100;
const FEW = 2;
const MOST_OF_FEW = 1.5;
/** Compilers need their time. */
const WARM_UP_ROUNDS = 2;

export const READ_CASES: readonly string[] = ["read", "read-c", "open-100"];
/** Room that they need with a log of so many bytes to read. */
export function readingBytes(bytes: number): number {
  return 2 * bytes + 3 * SEGMENT_BYTES_MAX + 2 * MANY * SMALL_SEGMENT_BYTES;
}

/** Measures these cases in a directory. @param bytes Of the records that are read, MiB whole. */
export async function measureReading(
  names: readonly string[],
  directory: string,
  rounds: number,
  bytes: number,
): Promise<void> {
  if (names.includes("read") || names.includes("read-c")) {
    await read(names, directory, rounds, bytes / RECORD_BYTES);
  }
  if (names.includes("open-100")) await open(directory, rounds);
}

async function read(
  names: readonly string[],
  directory: string,
  rounds: number,
  total: number,
): Promise<void> {
  using io = openIo();
  const log = join(directory, "read");
  const segmentBytes = Math.min(SEGMENT_BYTES_MAX, total * RECORD_BYTES);
  await using wal = await Wal.open(log, { io, segmentBytes });
  await append(wal, () => wal.appendedLsn < total);
  const segments = readdirSync(log).filter((name) => /^\d+\.wal$/.test(name))
    .map((name) => join(log, name));
  // Direct writes pass the page cache by.
  for (const path of segments) readFileSync(path);
  const { scan_segment: scan } = names.includes("read-c")
    ? buildReference("scan", { scan_segment: { arguments: ["buffer", "buffer"], result: "i32" } })
    : { scan_segment: undefined };
  const paths = segments.map(cString);
  const out = new Float64Array(new ArrayBuffer(16));

  const ours: number[] = [];
  const theirs: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    let start = performance.now();
    let records = 0;
    let bytes = 0;
    for await (const batch of wal.read()) {
      const { length } = batch;
      for (let i = 0; i < length; i++) bytes += batch.byteLength(i);
      records += length;
    }
    const value = records / (performance.now() - start) * 1000;
    check("the log", records, bytes, total);
    if (round >= 0) ours.push(value);
    if (scan === undefined) continue;
    start = performance.now();
    records = bytes = 0;
    for (const path of paths) {
      const failed = scan(path, out);
      if (failed < 0) throw new Error(`the scan failed: errno ${-failed}`);
      records += out[0];
      bytes += out[1];
    }
    const referenceValue = records / (performance.now() - start) * 1000;
    check("the scan", records, bytes, total);
    if (round >= 0) theirs.push(referenceValue);
  }
  const value = median(ours);
  if (names.includes("read")) {
    reportReading("read", value, "records/s", "10 million", LEAST_A_SECOND, 1, ours, undefined);
  }
  if (names.includes("read-c")) {
    reportReading(
      "read-c",
      value,
      "records/s",
      "a scan in C",
      median(theirs),
      LEAST_OF_SCAN,
      ours,
      theirs,
    );
  }
}

/** Appends records until `more` says no, and makes them durable. */
async function append(wal: Wal, more: () => boolean): Promise<void> {
  const records = makeRecords();
  for (let i = 0; more();) {
    if (wal.tryAppend(records[i % records.length]) === undefined) await wal.ready();
    else i++;
  }
  await wal.flush();
}

function check(side: string, records: number, bytes: number, total: number): void {
  if (records !== total || bytes !== total * RECORD_BYTES) {
    throw new Error(`${side} gave ${records} records of ${bytes} bytes, not ${total}`);
  }
}

function reportReading(
  name: string,
  value: number,
  unit: string,
  reference: string,
  referenceValue: number,
  least: number,
  rounds: readonly number[],
  referenceRounds: readonly number[] | undefined,
): void {
  const ratio = value / referenceValue;
  report({
    bench: "wal",
    case: name,
    runtime: host().name,
    value,
    unit,
    reference,
    referenceValue,
    ratio,
    bar: `at least ${least}`,
    holds: ratio >= least,
    rounds,
    ...(referenceRounds === undefined ? {} : { referenceRounds }),
  });
}

/** Opening takes as long as the last segment needs, however many there are before it. */
async function open(directory: string, rounds: number): Promise<void> {
  using io = openIo();
  const logs = new Map<number, string>();
  for (const segments of [FEW, MANY]) {
    const path = join(directory, `open-${segments}`);
    await using wal = await Wal.open(path, { io, segmentBytes: SMALL_SEGMENT_BYTES });
    await append(wal, () => wal.stats().segments < segments);
    logs.set(segments, path);
  }
  const time = async (segments: number) => {
    const start = performance.now();
    const wal = await Wal.open(logs.get(segments)!, { io, segmentBytes: SMALL_SEGMENT_BYTES });
    const millis = performance.now() - start;
    await wal.close();
    return millis;
  };
  const many: number[] = [];
  const few: number[] = [];
  for (let round = -WARM_UP_ROUNDS; round < rounds; round++) {
    const value = await time(MANY);
    const referenceValue = await time(FEW);
    if (round < 0) continue;
    many.push(value);
    few.push(referenceValue);
  }
  const value = median(many);
  const referenceValue = median(few);
  const ratio = value / referenceValue;
  report({
    bench: "wal",
    case: "open-100",
    runtime: host().name,
    value,
    unit: "ms",
    reference: `a log of ${FEW} segments`,
    referenceValue,
    ratio,
    bar: `at most ${MOST_OF_FEW}`,
    holds: ratio <= MOST_OF_FEW,
    rounds: many,
    referenceRounds: few,
  });
}
