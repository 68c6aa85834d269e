/**
 * Whether the hot paths leave anything on the JavaScript heap: bytes alive after a collection, before
 * and after ten million operations.
 *
 * `ring`: NOPs and 4 KiB reads from the page cache in turn, submitted and reaped 32 at a time.
 * `append`: records of 256 bytes to a log that removes what lies behind it.
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { parseArgs } from "node:util";
import { openIo } from "../io.ts";
import { OPEN_FLAG, Ring } from "../ring.ts";
import { host } from "../src/host/host.ts";
import { Wal } from "../src/wal/wal.ts";
import { run } from "./support/child.ts";
import { canMeasure, liveBytes, withCollector } from "./support/heap.ts";
import { report } from "./support/report.ts";
import { Scratch } from "./support/scratch.ts";
import { Streamer } from "./support/stream.ts";

const BATCH = 32;
const BLOCK_BYTES = 4096;
const GROWTH_BYTES_MAX = 1 << 20;
/** Small, so that what a new segment takes is warm too, and leaves its traces often. */
const SEGMENT_BYTES = 4 << 20;
const SCRATCH_BYTES = 20 * SEGMENT_BYTES;

const NAMES = ["ring", "append"];
const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    operations: { type: "string", default: "10000000" },
    // Operations before the first look: compilers allocate too, for code that stays.
    "warm-up": { type: "string", default: "3000000" },
  },
});
const wholeBatches = (operations: string) => Math.ceil(Number(operations) / BATCH) * BATCH;
const operations = wholeBatches(options.operations);
const warmUp = wholeBatches(options["warm-up"]);
for (const name of options.case) {
  if (!NAMES.includes(name)) throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
}

if (canMeasure) {
  using scratch = new Scratch(options.dir, SCRATCH_BYTES);
  if (options.case.includes("ring")) await ring(scratch.join("block"));
  if (options.case.includes("append")) await append(scratch.join("log"));
  process.exitCode ??= 0;
} else {
  const command = withCollector(fileURLToPath(import.meta.url));
  process.exitCode = (await run([...command, ...process.argv.slice(2)], "inherit")).status;
}

async function ring(path: string): Promise<void> {
  writeFileSync(path, new Uint8Array(BLOCK_BYTES));
  using ring = Ring.open({ bufferBytes: BLOCK_BYTES });
  ring.prepOpenat(path, OPEN_FLAG.RDONLY, 0, 0);
  ring.submitAndWait(1);
  ring.reap();
  const file = ring.file(ring.completions.res[0]);
  const buffers = Array.from({ length: BATCH }, () => ring.buffers.acquire()!);
  const go = (count: number) => {
    for (let done = 0, reads = false; done < count; done += BATCH, reads = !reads) {
      for (let i = 0; i < BATCH; i++) {
        if (reads) ring.prepReadFixed(file, buffers[i], 0, BLOCK_BYTES, 0, i);
        else ring.prepNop(i);
      }
      ring.submitAndWait(BATCH);
      const { res, userData } = ring.completions;
      if (ring.reap() !== BATCH) throw new Error("not all of a batch completed");
      let sum = 0;
      for (let i = 0; i < BATCH; i++) {
        sum += userData[i];
        if (res[i] !== (reads ? BLOCK_BYTES : 0)) throw new Error(`an operation gave ${res[i]}`);
      }
      if (sum !== BATCH * (BATCH - 1) / 2) throw new Error("a completion is not of its batch");
    }
    return Promise.resolve();
  };
  await measure("ring", go);
}

async function append(directory: string): Promise<void> {
  using io = openIo();
  await using wal = await Wal.open(directory, { io, segmentBytes: SEGMENT_BYTES });
  const streamer = new Streamer(wal, SEGMENT_BYTES);
  await streamer.warmUp();
  await measure("append", async (count) => {
    await streamer.append(count);
  });
}

async function measure(name: string, go: (count: number) => Promise<void>): Promise<void> {
  await go(warmUp);
  const before = await liveBytes();
  await go(operations);
  const after = await liveBytes();
  const growth = after - before;
  report({
    bench: "heap",
    case: name,
    runtime: host().name,
    value: growth,
    unit: "bytes more",
    reference: "alive before",
    referenceValue: before,
    ratio: growth / before,
    bar: `growth at most ${GROWTH_BYTES_MAX} bytes`,
    holds: growth <= GROWTH_BYTES_MAX,
    operations,
  });
}
