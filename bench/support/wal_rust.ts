/**
 * `rust-B`: batches of B records of 256 bytes, one frame each, four in flight, in recycled segments,
 * against a program in Rust that does the same with raw io_uring (`bench/rust`: fixed buffers, direct,
 * RWF_DSYNC, CRC32C of each record). Records a second. Without cargo each is a line that says so.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { openIo } from "../../io.ts";
import { host } from "../../src/host/host.ts";
import { Wal } from "../../src/wal/wal.ts";
import { runWell } from "./child.ts";
import { fill } from "./fio.ts";
import { report } from "./report.ts";
import { makeRecords, Streamer } from "./stream.ts";
import { MIB, removeLog, tell, type WalBench } from "./wal_case.ts";

/** Batches, and what must be reached of Rust with them. */
const LEAST: Readonly<Record<number, number>> = { 1: 0.9, 32: 0.9, 256: 0.8, 1000: 0.8, 4096: 0.8 };
export const RUST_CASES: readonly string[] = Object.keys(LEAST).map((batch) => `rust-${batch}`);

const REFERENCE = "Rust with raw io_uring";
const IN_FLIGHT = 4;
/** Holds the largest batch, in one frame. */
const FRAME_BYTES = 1088 << 10;
/** What five such frames and the log's own buffers need. */
const ARENA_BYTES = 8 * MIB;
const RECORDS_PER_TRUNCATION = 4096;

const ROOT = join(import.meta.dirname!, "../..");

/** Bytes of disk that these cases need. */
export const rustRoom = (segmentBytes: number): number => 14 * segmentBytes;

/** Measures these cases. */
export async function measureRust(bench: WalBench, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  const program = await build();
  if (program === undefined) {
    for (const name of names) leftOut(name);
    return;
  }
  const { scratch, segmentBytes } = bench;
  const directory = scratch.join("rust-log");
  const file = scratch.join("rust-file");
  const fileBytes = 4 * segmentBytes;
  await fill(file, fileBytes);
  using io = openIo({ arenaBytes: ARENA_BYTES });
  const wal = await Wal.open(directory, {
    io,
    mode: "direct",
    segmentBytes,
    commit: { maxBytes: FRAME_BYTES, maxInFlight: IN_FLIGHT },
  });
  try {
    const streamer = new Streamer(wal, segmentBytes, makeRecords());
    await streamer.warmUp();
    for (const name of names) {
      const batch = Number(name.slice("rust-".length));
      const values: number[] = [];
      const references: number[] = [];
      for (let round = -1; round < bench.rounds; round++) {
        const value = await batches(wal, streamer, batch, bench.seconds);
        const { stdout } = await runWell([
          ...[program, file, String(fileBytes), String(batch), String(bench.seconds)],
        ]);
        if (round < 0) continue;
        values.push(value);
        references.push(Number(stdout));
      }
      tell(name, "records/s", values, REFERENCE, references, { least: LEAST[batch] });
    }
  } finally {
    await wal.close();
  }
  removeLog(directory);
  rmSync(file);
}

/** A case that cannot be measured here is a line all the same, and no bar is held or missed by it. */
function leftOut(name: string): void {
  report({
    bench: "wal",
    case: name,
    runtime: host().name,
    value: 0,
    unit: "records/s",
    reference: REFERENCE,
    referenceValue: 0,
    ratio: 0,
    bar: `at least ${LEAST[Number(name.slice("rust-".length))].toFixed(2)}`,
    holds: null,
    note: "skipped: no cargo to build bench/rust with (./dev setup full)",
  });
}

/** Path of the program, `undefined` where there is no cargo. */
async function build(): Promise<string | undefined> {
  try {
    execFileSync("cargo", ["--version"], { stdio: "ignore" });
  } catch {
    return undefined;
  }
  const target = join(ROOT, "build/rust");
  await runWell([
    ...["cargo", "build", "--quiet", "--release", "--locked", "--target-dir", target],
    ...["--manifest-path", join(ROOT, "bench/rust/Cargo.toml")],
  ]);
  return join(target, "release/frames");
}

/** Records a second in frames of so many, of which so many may be in flight, all durable at the end. */
async function batches(
  wal: Wal,
  streamer: Streamer,
  batch: number,
  seconds: number,
): Promise<number> {
  const records = makeRecords();
  const mask = records.length - 1;
  const stride = Math.max(1, Math.floor(RECORDS_PER_TRUNCATION / batch));
  /** Last LSN of each batch in flight, from `done` on. */
  const ends = new Float64Array(IN_FLIGHT);
  const before = wal.stats().frames;
  const start = performance.now();
  const end = start + seconds * 1000;
  let begun = 0;
  let done = 0;
  while (performance.now() < end) {
    let lsn = 0;
    for (let i = 0; i < batch; i++) lsn = wal.append(records[i & mask]);
    wal.submitPending();
    ends[begun++ % IN_FLIGHT] = lsn;
    if (begun % stride === 0) streamer.truncateBehind();
    if (begun - done < IN_FLIGHT) continue;
    await wal.durable(ends[done % IN_FLIGHT]);
    const { durableLsn } = wal;
    while (done < begun && ends[done % IN_FLIGHT] <= durableLsn) done++;
  }
  await wal.flush();
  const rate = begun * batch / (performance.now() - start) * 1000;
  // While the log goes on in another segment a batch may share the frame of the next.
  const frames = wal.stats().frames - before;
  if (frames < 0.9 * begun) throw new Error(`${begun} batches became ${frames} frames`);
  return rate;
}
