/**
 * Whether the hot paths leave anything on the JavaScript heap: bytes alive after a collection, before
 * and after ten million operations.
 *
 * `ring`: NOPs and 4 KiB reads from the page cache in turn, submitted and reaped 32 at a time.
 * `io`: 4 KiB reads from the page cache by handles of `Io`, 32 at a time. `storage`: appends of 256 bytes
 * by `StorageIo`, with writes and syncs among them, 32 submitted and polled together.
 * `append`: records of 256 bytes to a log that removes what lies behind it. `read`: the records of a log,
 * again and again, with a view made of each.
 *
 * `collections`, `io-…`, `storage-…` and `append-collections`: whether these allocate at all, by the
 * collector's own log: how often it ran meanwhile, beside how often it runs when each operation makes one
 * small object.
 *
 * `resident`: the most memory that a process had that appends ten million records and reads as many,
 * over that of an empty process of the same runtime.
 */
import { writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import process from "node:process";
import { parseArgs } from "node:util";
import { CompletionArray, File, openIo, UringIo } from "../io.ts";
import { OPEN_FLAG, Ring } from "../ring.ts";
import { UringStorageIo } from "../storage.ts";
import { host } from "../src/host/host.ts";
import { Wal } from "../src/wal/wal.ts";
import { run, runWell, underThisRuntime } from "./support/child.ts";
import {
  appendMany,
  canMeasure,
  COLLECTIONS_OF_A_LOOK,
  fillLog,
  liveBytes,
  readMany,
  withCollector,
} from "./support/heap.ts";
import { report } from "./support/report.ts";
import type { Memory } from "./support/resident.ts";
import { Scratch } from "./support/scratch.ts";

const BATCH = 32;
const BLOCK_BYTES = 4096;
const RECORD_BYTES = 256;
/** Operations between two syncs, and between two truncations; multiples of a batch. */
const SYNC_EVERY = 1024 * BATCH;
const TRUNCATE_EVERY = 8192 * BATCH;
const GROWTH_BYTES_MAX = 1 << 20;
/** Small, so that what a new segment takes is warm too, and leaves its traces often. */
const SEGMENT_BYTES = 4 << 20;
/** The logs of `resident` have segments of the usual length. */
const SCRATCH_BYTES = 16 * (64 << 20);
/** Records that `read` goes through in turn: some segments of them. */
const READ_RECORDS = 100_000;
/** Of resident memory, over the arena and an empty process. */
const RESIDENT_BYTES_MAX = 64 << 20;

/** Around the operations that count, on standard error. */
const MARK = "# the operations that count\n";
/** Objects that are alive at once when each completion makes one. */
const OBJECTS = 64;

/** What each of these cases of collections looks at. */
const COLLECTIONS = {
  "collections": "ring",
  "io-collections": "io",
  "storage-collections": "storage",
  "append-collections": "append",
} as const;
const NAMES = [
  ...["ring", "io", "storage", "append", "read"],
  ...Object.keys(COLLECTIONS),
  "resident",
];
const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    operations: { type: "string", default: "10000000" },
    // Operations before the first look: compilers allocate too, for code that stays.
    "warm-up": { type: "string", default: "3000000" },
    // What `collections` asks of its children.
    marked: { type: "boolean" },
    allocate: { type: "boolean" },
  },
});
const { allocate } = options;
const objects: unknown[] = Array(OBJECTS);
const wholeBatches = (operations: string) => Math.ceil(Number(operations) / BATCH) * BATCH;
const operations = wholeBatches(options.operations);
const warmUp = wholeBatches(options["warm-up"]);
for (const name of options.case) {
  if (!NAMES.includes(name)) throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
}

if (canMeasure) {
  using scratch = new Scratch(options.dir, SCRATCH_BYTES);
  if (options.case.includes("ring")) await ring(scratch.join("block"));
  if (options.case.includes("io")) await byHandles(scratch.join("cached"));
  if (options.case.includes("storage")) await storage(scratch.join("appends"));
  if (options.case.includes("append")) await append(scratch.join("log"));
  if (options.case.includes("read")) await read(scratch.join("read"));
  for (const [name, what] of Object.entries(COLLECTIONS)) {
    if (options.case.includes(name)) await collections(name, what);
  }
  if (options.case.includes("resident")) await resident(scratch.join("resident"));
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
        if (allocate) objects[i & (OBJECTS - 1)] = { result: res[i] };
        if (res[i] !== (reads ? BLOCK_BYTES : 0)) throw new Error(`an operation gave ${res[i]}`);
      }
      if (sum !== BATCH * (BATCH - 1) / 2) throw new Error("a completion is not of its batch");
    }
    return Promise.resolve();
  };
  await measure("ring", go);
}

async function byHandles(path: string): Promise<void> {
  writeFileSync(path, new Uint8Array(BLOCK_BYTES));
  using io = UringIo.open();
  const file = io.open(path, { read: true }, 0);
  io.park();
  if (io.take(0) !== 0) throw new Error("the file did not open");
  const buffers = Array.from({ length: BATCH }, () => io.acquireBuffer(BLOCK_BYTES)!);
  await measure("io", (count) => {
    for (let done = 0; done < count; done += BATCH) {
      for (let i = 0; i < BATCH; i++) io.readAt(file, buffers[i], 0, BLOCK_BYTES, 0, i);
      for (let i = 0; i < BATCH;) {
        const got = io.park();
        for (let row = 0; row < got; row++) {
          const handle = io.completions.userData[row];
          if (allocate) objects[handle & (OBJECTS - 1)] = { handle };
          if (io.take(handle) !== BLOCK_BYTES) throw new Error("a read failed");
        }
        i += got;
      }
    }
    return Promise.resolve();
  });
  for (const buffer of buffers) io.releaseBuffer(buffer);
}

async function storage(path: string): Promise<void> {
  using storage = UringStorageIo.open();
  const out = new CompletionArray(BATCH);
  const record = new Uint8Array(RECORD_BYTES);
  const options = { read: true, write: true, create: true, truncate: true };
  const file = await File.open(path, options, storage.io);
  const fd = storage.registerFd(file);
  await measure("storage", async (count) => {
    for (let done = 0; done < count; done += BATCH) {
      for (let i = 1; i < BATCH; i++) storage.submitAppend(fd, record);
      if (done % SYNC_EVERY === 0) storage.submitDatasync(fd);
      else storage.submitWrite(fd, record, 0);
      while (storage.pendingCount > 0) {
        storage.park();
        storage.pollCompletions(out);
        for (let row = 0; row < out.length; row++) {
          if (allocate) objects[row & (OBJECTS - 1)] = { result: out.res[row] };
          if (out.res[row] !== RECORD_BYTES && out.res[row] !== 0) throw new Error("one failed");
        }
        out.clear();
      }
      // The file does not grow for ever.
      if (done % TRUNCATE_EVERY === 0) await file.truncate(0);
    }
  });
}

async function append(directory: string): Promise<void> {
  using io = openIo();
  await using wal = await Wal.open(directory, { io, segmentBytes: SEGMENT_BYTES });
  const each = (lsn: number) => {
    if (allocate) objects[lsn & (OBJECTS - 1)] = { lsn };
  };
  await measure("append", (count) => appendMany(wal, SEGMENT_BYTES, count, each));
}

async function read(directory: string): Promise<void> {
  using io = openIo();
  await using wal = await Wal.open(directory, { io, segmentBytes: SEGMENT_BYTES });
  await fillLog(wal, READ_RECORDS);
  await measure("read", (count) => readMany(wal, count, true));
}

async function resident(directory: string): Promise<void> {
  const peakOf = async (...rest: string[]) => {
    const file = join(import.meta.dirname!, "support/resident.ts");
    const { stdout } = await runWell([...underThisRuntime(file), ...rest]);
    return JSON.parse(stdout) as Memory & { arenaBytes: number };
  };
  const empty = await peakOf("empty");
  const log = await peakOf("log", directory, String(operations));
  const { arenaBytes } = log;
  const value = log.peakBytes - empty.peakBytes;
  const most = arenaBytes + RESIDENT_BYTES_MAX;
  report({
    bench: "heap",
    case: "resident",
    runtime: host().name,
    value,
    unit: "bytes more",
    reference: "an empty process",
    referenceValue: empty.peakBytes,
    ratio: value / empty.peakBytes,
    bar: `at most ${most} bytes more, of which the arena has ${arenaBytes}`,
    holds: value <= most,
    operations,
    // Of what is there at the end: the runtime's own code is read as it is used, and counts too.
    moreAtEnd: log.residentBytes - empty.residentBytes,
    moreOfFilesAtEnd: log.fileBytes - empty.fileBytes,
  });
}

async function measure(name: string, go: (count: number) => Promise<void>): Promise<void> {
  await go(warmUp);
  const before = await liveBytes();
  if (options.marked) mark();
  await go(operations);
  if (options.marked) mark();
  const after = await liveBytes();
  // V8 writes its log to the same place from a buffer of its own, in pieces: nothing may come between them.
  if (options.marked) return;
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

function mark(): void {
  writeSync(2, MARK);
}

async function collections(name: string, what: string): Promise<void> {
  // What the event loop makes while the device is waited for is collected too.
  const waits = what === "storage" || what === "append";
  const value = await collectionsOf(what, []);
  const referenceValue = await collectionsOf(what, ["--allocate"]);
  report({
    bench: "heap",
    case: name,
    runtime: host().name,
    value,
    unit: "collections",
    reference: "one object each",
    referenceValue,
    ratio: value / referenceValue,
    bar: waits ? "fewer than with objects" : "none, and some with objects",
    holds: waits ? value < referenceValue : value === 0 && referenceValue > 0,
    operations,
  });
}

/** How often the collector ran during the operations of a case, in a process of its own. */
async function collectionsOf(what: string, further: readonly string[]): Promise<number> {
  const { stdout, stderr } = await run([
    ...(process.versions.bun === undefined ? [] : ["env", "BUN_JSC_logGC=1"]),
    ...withCollector(fileURLToPath(import.meta.url), ",--trace-gc"),
    ...["--case", what, "--marked", ...further],
    ...["--operations", options.operations, "--warm-up", options["warm-up"]],
    ...(options.dir === undefined ? [] : ["--dir", options.dir]),
  ]);
  if (stderr.split(MARK).length !== 3) throw new Error(`the operations failed: ${stderr}`);
  return process.versions.bun === undefined
    ? collectionsOfV8(stdout)
    : collectionsOfJavaScriptCore(stderr.split(MARK)[1]);
}

/** By lines between two marks. */
function collectionsOfJavaScriptCore(log: string): number {
  return log.match(/^\[GC<.*: START/gm)?.length ?? 0;
}

/**
 * V8 keeps its log in a buffer, so that marks of our own stand anywhere in it. The collections that were
 * asked for, before and after the operations, are in it too.
 */
function collectionsOfV8(log: string): number {
  // What a long one says of its steps goes over several lines.
  const lines = log.replace(/\n(?!\[\d+:)/g, " ").match(/^\[\d+:.* ms: [A-Z].*$/gm) ?? [];
  const asked = lines.flatMap((line, i) => / testing;/.test(line) ? [i] : []);
  if (asked.length !== 2 * COLLECTIONS_OF_A_LOOK) throw new Error(`not understood: ${log}`);
  return asked[COLLECTIONS_OF_A_LOOK] - asked[COLLECTIONS_OF_A_LOOK - 1] - 1;
}
