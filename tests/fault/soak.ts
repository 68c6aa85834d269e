/**
 * `./dev fault soak`: mixed load on one log for a long time: appends from strings and bytes in bursts and
 * trickles, readers, tailers that come and go, retention, truncation, snapshots, reopenings. Memory,
 * descriptors and the latency of a commit are printed over time, and must not grow. 30 s, with `--full`
 * thirty minutes, or `--seconds`.
 */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { openIo } from "../../src/io/open_io.ts";
import { Prng } from "../../src/io/prng.ts";
import { LsnTooOldError, WalClosedError } from "../../src/wal/errors.ts";
import type { RecordBatch } from "../../src/wal/records.ts";
import { Wal } from "../../src/wal/wal.ts";
import { campaignOf, RUNTIME } from "./_arguments.ts";
import { Broken } from "./_history.ts";
import { recordOf, same } from "./_records.ts";

const SECONDS = 30;
const SECONDS_FULL = 1800;
const LINES = 20;
const TAILERS = 3;
/** What memory may grow by between the first quarter of the run and the last: noise of a collector. */
const GROWTH_BYTES_MAX = 48 << 20;
/** Descriptors come and go with readers, and in Deno with threads. */
const DESCRIPTORS_MORE_MAX = 4;
/** The same for the latency of a commit, as a factor; a disk swings by as much by itself. */
const LATENCY_FACTOR_MAX = 10;
const RUN = 1;

const campaign = campaignOf("soak");
const { seed } = campaign;
const seconds = campaign.full ? SECONDS_FULL : SECONDS;
const begun = performance.now();
const until = campaign.until === Infinity ? begun + 1000 * seconds : campaign.until;
const rng = new Prng(seed);
const folder = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-soak-"));
const directory = join(folder, "log");
const io = openIo({ arenaBytes: 16 << 20 });
const OPTIONS = {
  io,
  segmentBytes: 4 << 20,
  commit: { maxBytes: 128 << 10 },
  retention: { maxSegments: 8 },
};
const counts = {
  records: 0,
  read: 0,
  tailed: 0,
  snapshots: 0,
  reopened: 0,
  truncated: 0,
  tooOld: 0,
};

/** Text for some records and bytes for the others, so that both ways are gone. */
function recordFor(lsn: number): Uint8Array | string {
  const bytes = recordOf(seed, RUN, lsn);
  return lsn % 3 === 0 ? Buffer.from(bytes).toString("latin1").replace(/[^ -~]/g, "?") : bytes;
}
const encoder = new TextEncoder();
const bytesFor = (lsn: number): Uint8Array => {
  const record = recordFor(lsn);
  return typeof record === "string" ? encoder.encode(record) : record;
};

function compare(batch: RecordBatch, expected: number): number {
  if (batch.firstLsn !== expected) throw new Broken(`${batch.firstLsn} came, not ${expected}`);
  for (let i = 0; i < batch.length; i++) {
    // All of them would be a load of its own.
    if ((expected + i) % 17 === 0 && !same(batch.bytes(i), bytesFor(expected + i))) {
      throw new Broken(`record ${expected + i} is not what was appended`);
    }
  }
  return expected + batch.length;
}

/** Follows the log for a while, from somewhere; whatever it delivers is durable. */
async function tailer(wal: Wal, from: number, millis: number): Promise<void> {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), millis);
  let lsn = from;
  try {
    for await (const batch of wal.tail({ from, signal: stop.signal })) {
      lsn = compare(batch, lsn);
      if (lsn - 1 > wal.durableLsn) throw new Broken(`${lsn - 1} was delivered, not durable`);
      counts.tailed += batch.length;
    }
  } catch (error) {
    if (error instanceof LsnTooOldError) counts.tooOld++;
    else if (!(error instanceof WalClosedError) && !stop.signal.aborted) throw error;
  } finally {
    clearTimeout(timer);
  }
}

async function reader(wal: Wal): Promise<void> {
  const from = rng.between(wal.firstLsn, wal.durableLsn + 1);
  let lsn = from;
  try {
    for await (const batch of wal.read({ from, to: Math.min(wal.durableLsn + 1, from + 20_000) })) {
      lsn = compare(batch, lsn);
      counts.read += batch.length;
    }
  } catch (error) {
    if (error instanceof LsnTooOldError) counts.tooOld++;
    else throw error;
  }
}

interface Sample {
  second: number;
  residentMib: number;
  heapMib: number;
  descriptors: number;
  commitMicros: number;
  records: number;
}
const samples: Sample[] = [];
let latencies: number[] = [];
const median = (values: number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

function sample(): void {
  const { rss, heapUsed } = process.memoryUsage();
  samples.push({
    second: Math.round((performance.now() - begun) / 1000),
    residentMib: Math.round(rss / 2 ** 20),
    heapMib: Math.round(heapUsed / 2 ** 20),
    descriptors: readdirSync("/proc/self/fd").length,
    commitMicros: Math.round(median(latencies)),
    records: counts.records,
  });
  latencies = [];
  console.log(JSON.stringify(samples.at(-1)));
}

async function main(): Promise<void> {
  let wal = await Wal.open(directory, OPTIONS);
  let tailers: Promise<void>[] = [];
  let failure: unknown;
  const every = (until - begun) / LINES;
  let next = begun + every;
  while (performance.now() < until && failure === undefined) {
    const burst = rng.oneIn(4) ? rng.between(500, 5000) : rng.between(1, 50);
    for (let i = 0; i < burst; i++) {
      const record = recordFor(wal.appendedLsn + 1);
      while (wal.tryAppend(record) === undefined) await wal.ready();
      counts.records++;
    }
    const asked = performance.now();
    await wal.durable(wal.appendedLsn);
    if (burst <= 50) latencies.push(1000 * (performance.now() - asked));
    if (rng.oneIn(30)) await reader(wal);
    if (rng.oneIn(100)) {
      await wal.truncateBefore(Math.max(wal.firstLsn, wal.durableLsn - rng.below(20_000)));
      counts.truncated++;
    }
    if (rng.oneIn(400)) {
      const target = join(folder, "copy");
      await wal.snapshot(target);
      counts.snapshots++;
      rmSync(target, { recursive: true });
    }
    if (tailers.length < TAILERS && rng.oneIn(20)) {
      const from = rng.between(wal.firstLsn, wal.durableLsn + 1);
      const one = tailer(wal, from, rng.between(10, 2000)).catch((error) => failure = error)
        .then(() => void (tailers = tailers.filter((other) => other !== one)));
      tailers.push(one);
    }
    if (rng.oneIn(600)) {
      await wal.close();
      await Promise.all(tailers);
      wal = await Wal.open(directory, OPTIONS);
      counts.reopened++;
    }
    if (rng.oneIn(10)) await new Promise((resolve) => setTimeout(resolve, rng.below(15)));
    if (performance.now() >= next) {
      sample();
      next += every;
    }
  }
  await wal.close();
  await Promise.all(tailers);
  if (failure !== undefined) throw failure;
  const quarter = (part: number, key: keyof Sample) => {
    const from = Math.floor(samples.length * part / 4);
    return median(samples.slice(from, from + Math.ceil(samples.length / 4)).map((s) => s[key]));
  };
  // The first quarter is warming up.
  const growth = (quarter(3, "residentMib") - quarter(1, "residentMib")) * 2 ** 20;
  if (growth > GROWTH_BYTES_MAX) throw new Broken(`memory grew by ${growth} bytes`);
  const more = Math.max(...samples.slice(-5).map((s) => s.descriptors)) -
    Math.max(...samples.slice(0, 10).map((s) => s.descriptors));
  if (more > DESCRIPTORS_MORE_MAX) throw new Broken(`${more} descriptors more than at first`);
  const factor = quarter(3, "commitMicros") / Math.max(1, quarter(1, "commitMicros"));
  if (factor > LATENCY_FACTOR_MAX) throw new Broken(`commits take ${factor.toFixed(1)} times`);
}

console.log(`soak (${RUNTIME}): seed ${seed}, ${Math.round((until - begun) / 1000)} s`);
let status = 0;
try {
  await main();
  io[Symbol.dispose]();
  console.log(JSON.stringify(counts));
  console.log(`soak (${RUNTIME}): nothing grew, nothing was wrong`);
} catch (error) {
  console.log(JSON.stringify(counts));
  console.log(`FAILED ${(error as Error).stack}`);
  status = 1;
}
rmSync(folder, { recursive: true, force: true });
process.exit(status);
