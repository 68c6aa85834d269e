/**
 * What the log costs in time where it is not asked for all that it can do.
 *
 * `lag`: milliseconds between two turns of `setImmediate`, p99.9, while records of 256 bytes are
 * appended as fast as half of what fio reaches with the same frame size, depth and DSYNC on the same
 * disk; against the same process idle, in rounds that alternate. The bar is on the difference.
 *
 * `latency`: microseconds from the moment at which a record is due until it is durable, of 1,000 records
 * a second that come whether or not those before are done, p50; against `fs.writeSync` and
 * `fs.fdatasyncSync` of one record in a file that was filled with zeros before. p99 and p99.9 of both
 * stand beside it.
 *
 * @module
 */
import { closeSync, fdatasyncSync, fsyncSync, openSync, rmSync, writeSync } from "node:fs";
import { host } from "../../src/host/host.ts";
import { openIo } from "../../io.ts";
import { Wal } from "../../src/wal/wal.ts";
import { fill, overwriteDurably } from "./fio.ts";
import { Sorted, turnIntervals } from "./lag.ts";
import { median, report } from "./report.ts";
import { makeRecords, RECORD_BYTES, Streamer } from "./stream.ts";
import { MIB, removeLog, tell, type WalBench } from "./wal_case.ts";

export const TIME_CASES: readonly string[] = ["lag", "latency"];

/** The defaults of a log. */
const FRAME_BYTES = MIB / 2;
const IN_FLIGHT = 4;
const MOST_LAG_MILLIS = 3;
/** Of the bandwidth asked for, so much must have been reached. */
const LEAST_OF_LOAD = 0.9;
const PART_OF_FIO = 0.5;
/** Turns between two looks at what can be removed; a power of two. */
const TURNS = 64;
const RECORDS_PER_SECOND = 1000;
const PLAIN_FILE_BYTES = 16 * MIB;
/** Bytes of disk that these cases need. */
export const timeRoom = (segmentBytes: number): number => 14 * segmentBytes + PLAIN_FILE_BYTES;

/** Measures these cases. */
export async function measureTimes(bench: WalBench, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const directory = bench.scratch.join("time");
  {
    using io = openIo();
    await using wal = await Wal.open(directory, {
      io,
      mode: "direct",
      segmentBytes: bench.segmentBytes,
      commit: { maxBytes: FRAME_BYTES, maxInFlight: IN_FLIGHT },
    });
    const streamer = new Streamer(wal, bench.segmentBytes, makeRecords());
    await streamer.warmUp();
    if (names.includes("lag")) await lag(bench, wal, streamer);
    if (names.includes("latency")) await latency(bench, wal, streamer);
  }
  removeLog(directory);
}

async function lag(
  { scratch, rounds, seconds, segmentBytes }: WalBench,
  wal: Wal,
  streamer: Streamer,
): Promise<void> {
  const file = scratch.join("fio-lag");
  const fileBytes = 4 * segmentBytes;
  await fill(file, fileBytes);
  const values: number[] = [];
  const references: number[] = [];
  const reached: number[] = [];
  const bandwidths: number[] = [];
  for (let round = -1; round < rounds; round++) {
    const { bytesPerSecond } = await overwriteDurably(
      file,
      fileBytes,
      FRAME_BYTES,
      IN_FLIGHT,
      Math.min(1, seconds),
    );
    const idle = await turnIntervals(seconds);
    const before = wal.stats().diskBytes;
    const busy = await appendAt(
      wal,
      streamer,
      PART_OF_FIO * bytesPerSecond / RECORD_BYTES,
      seconds,
    );
    await wal.flush();
    const bytes = wal.stats().diskBytes - before;
    if (round < 0) continue;
    values.push(busy.at(0.999));
    references.push(idle.at(0.999));
    reached.push(bytes / seconds);
    bandwidths.push(bytesPerSecond);
  }
  rmSync(file);
  const value = median(values);
  const referenceValue = median(references);
  // Less load than asked for shows nothing.
  const loaded = median(reached) >= LEAST_OF_LOAD * PART_OF_FIO * median(bandwidths);
  report({
    bench: "wal",
    case: "lag",
    runtime: host().name,
    value,
    unit: "ms",
    reference: "the same process idle",
    referenceValue,
    ratio: value / referenceValue,
    bar: `at most ${MOST_LAG_MILLIS} ms more`,
    holds: loaded ? value - referenceValue <= MOST_LAG_MILLIS : null,
    ...(loaded ? {} : { note: "the log did not reach the bandwidth that it was to take" }),
    rounds: values,
    referenceRounds: references,
    bytesPerSecond: median(reached),
    fioBytesPerSecond: median(bandwidths),
  });
}

/** Appends what is due in each turn of the event loop, as far as there is room. */
function appendAt(
  wal: Wal,
  streamer: Streamer,
  perSecond: number,
  seconds: number,
): Promise<Sorted> {
  const records = makeRecords();
  const mask = records.length - 1;
  let appended = 0;
  let begun = -1;
  let turns = 0;
  return turnIntervals(seconds, (now) => {
    if (begun < 0) begun = now;
    const due = (now - begun) / 1000 * perSecond;
    while (appended < due) {
      if (wal.tryAppend(records[appended & mask]) === undefined) {
        // What the disk does not take is not made up for.
        begun += (due - appended) / perSecond * 1000;
        break;
      }
      appended++;
    }
    if ((++turns & TURNS - 1) === 0) streamer.truncateBehind();
  });
}

async function latency(
  { scratch, rounds, seconds }: WalBench,
  wal: Wal,
  streamer: Streamer,
): Promise<void> {
  const path = scratch.join("plain-latency");
  const file = openSync(path, "w+");
  const zeros = new Uint8Array(MIB);
  for (let at = 0; at < PLAIN_FILE_BYTES; at += zeros.length) writeSync(file, zeros);
  fsyncSync(file);
  let offset = 0;
  const blocking = (record: Uint8Array) => {
    writeSync(file, record, 0, record.length, offset);
    fdatasyncSync(file);
    offset = (offset + record.length) % PLAIN_FILE_BYTES;
  };
  const ours: Sorted[] = [];
  const theirs: Sorted[] = [];
  for (let round = -1; round < rounds; round++) {
    const durably = await openLoop(seconds, (record) => wal.durable(wal.append(record)));
    streamer.truncateBehind();
    const plainly = await openLoop(seconds, blocking);
    if (round < 0) continue;
    ours.push(durably);
    theirs.push(plainly);
  }
  closeSync(file);
  rmSync(path);
  const micros = (sides: readonly Sorted[], part: number) =>
    sides.map((side) => side.at(part) * 1000);
  tell("latency", "µs", micros(ours, 0.5), "write and fdatasync", micros(theirs, 0.5), {}, {
    p99: median(micros(ours, 0.99)),
    p999: median(micros(ours, 0.999)),
    referenceP99: median(micros(theirs, 0.99)),
    referenceP999: median(micros(theirs, 0.999)),
  });
}

/** Milliseconds from when each record was due until it was durable. */
async function openLoop(
  seconds: number,
  append: (record: Uint8Array) => Promise<unknown> | void,
): Promise<Sorted> {
  const records = makeRecords();
  const latencies: number[] = [];
  const waiting: Promise<unknown>[] = [];
  const stepMillis = 1000 / RECORDS_PER_SECOND;
  let due = performance.now();
  await turnIntervals(seconds, () => {
    while (due <= performance.now()) {
      const from = due;
      due += stepMillis;
      const done = append(records[waiting.length & records.length - 1]);
      if (done === undefined) latencies.push(performance.now() - from);
      else waiting.push(done.then(() => latencies.push(performance.now() - from)));
    }
  });
  await Promise.all(waiting);
  return new Sorted(latencies);
}
