/**
 * What `Io` and what stands on it cost. Each case against its reference in the same process, in rounds
 * that alternate; medians.
 *
 * `by-hand-read`, `-write`: random 4 KiB blocks, direct, 32 in flight, by handles of `Io`, against the
 * same through `Ring`. `promise-read`, `-write`: the same by promises of `File`. `node-read`, `-write`:
 * these promises against `node:fs/promises`, direct too. `promise-read-1`, `-write-1`: one in flight.
 *
 * `storage-append-coalesced`: appends of 256 bytes to a file in the page cache by `StorageIo`, 32
 * submitted and flushed together, up to 1,024 pending, which share writes, against a loop in C that has
 * one SQE for each, submits 32 together and has as many in flight (bench/append.c).
 * `storage-append-single`: each awaited before the next, against the same in C. That they leave nothing
 * on the heap is looked at by `./dev bench heap`.
 *
 * Single writes depend on workers of the kernel: ext4 ends each direct write in a kworker of the
 * processor that took the interrupt (dio), and does buffered writes in one of io_uring. With other work
 * on few processors they measure when those get their turn; `node:fs/promises` sleeps meanwhile, while
 * ours looks. So `promise-write-1` and `storage-append-single` count on an idle machine only.
 *
 * `positioned-read`: 4 KiB from the page cache, blocking, by `PositionedFile`, against `fs.readSync`.
 * `positioned-batch-32`: 32 blocks at random places, direct, in one batch against one by one.
 *
 * `memory`: operations of the simulated machine, 32 in flight, a second.
 *
 * A machine whose disk does at depth 32 less than four times what it does at depth 1 cannot show what
 * parallel I/O brings: `device-bound`. There `by-hand-*` and `promise-*` are told and not judged.
 */
import { closeSync, constants, openSync, readSync, writeFileSync } from "node:fs";
import { type FileHandle, open as openHandle } from "node:fs/promises";
import process from "node:process";
import { parseArgs } from "node:util";
import { CompletionArray, File, type Io, type IoBuffer, type IoFile, UringIo } from "../io.ts";
import { OPEN_FLAG, type RegisteredBuffer, Ring } from "../ring.ts";
import { type IoFd, PositionedFile, type StorageIo, UringStorageIo } from "../storage.ts";
import { MemoryIo } from "../testing.ts";
import { host } from "../src/host/host.ts";
import { fill, transfer } from "./support/fio.ts";
import { buildReference, cString } from "./support/reference.ts";
import { median, report } from "./support/report.ts";
import { Scratch } from "./support/scratch.ts";

const BLOCK_BYTES = 4096;
const RECORD_BYTES = 256;
/** Appends that are pending together; bench/append.c has the same. */
const WINDOW = 1024;
const DEPTH = 32;
const FILE_BYTES = 512 << 20;
const BLOCKS = FILE_BYTES / BLOCK_BYTES;
/** A power of two. */
const OFFSETS = 1 << 16;
/** Between looks at the clock. */
const APPENDS = 8192;
const READS = 2000;
const SIMULATED = 20_000;
/** At least so many times depth 1 at depth 32, else nothing parallel can be told. */
const PARALLEL = 4;
const O_DIRECT = 0o40000;

const NAMES = [
  ...["by-hand-read", "by-hand-write", "promise-read", "promise-write", "node-read", "node-write"],
  ...["promise-read-1", "promise-write-1", "storage-append-coalesced", "storage-append-single"],
  ...["positioned-read", "positioned-batch-32", "memory"],
];
const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    rounds: { type: "string", default: "9" },
    // Of one side in one round.
    seconds: { type: "string", default: "0.25" },
  },
});
for (const name of options.case) {
  if (!NAMES.includes(name)) throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
}
const wanted = new Set(options.case);
const rounds = Number(options.rounds);
const roundMillis = Number(options.seconds) * 1000;
const runtime = host().name;

/** Operations a second, measured until `endMillis` of `performance.now()`. */
type Side = (endMillis: number) => number | Promise<number>;

const offsets = Float64Array.from(
  { length: OFFSETS },
  () => Math.floor(Math.random() * BLOCKS) * BLOCK_BYTES,
);

using scratch = new Scratch(options.dir, 2 * FILE_BYTES);
if (NAMES.slice(0, 8).some((name) => wanted.has(name)) || wanted.has("positioned-batch-32")) {
  const path = scratch.join("blocks");
  await fill(path, FILE_BYTES);
  for (const kind of ["read", "write"] as const) await blocks(path, kind);
  if (wanted.has("positioned-batch-32")) await positionedBatch(path);
}
await appends();
if (wanted.has("positioned-read")) await positionedRead();
if (wanted.has("memory")) await memory();
process.exitCode ??= 0;

// Random blocks

async function blocks(path: string, kind: "read" | "write"): Promise<void> {
  const deep = [`by-hand-${kind}`, `promise-${kind}`, `node-${kind}`].some((name) =>
    wanted.has(name)
  );
  const shallow = wanted.has(`promise-${kind}-1`);
  if (!deep && !shallow) return;
  const { note, ...fio } = await parallel(path, kind);
  const further = { ...fio, note, untold: note !== undefined };
  const writes = kind === "write";
  using ring = Ring.open({ bufferBytes: BLOCK_BYTES });
  using io = UringIo.open();
  await using file = await File.open(path, { read: true, write: true, direct: true }, io);
  const theirs = await openHandle(path, constants.O_RDWR | O_DIRECT);
  const memory = await alignedBlocks(theirs, DEPTH);
  const ours = Array.from({ length: DEPTH }, () => new Uint8Array(new ArrayBuffer(BLOCK_BYTES)));
  const buffers = Array.from({ length: DEPTH }, () => io.acquireBuffer(BLOCK_BYTES)!);
  const promises = (depth: number): Side => (end) =>
    byPromises(
      depth,
      end,
      (i, offset) => writes ? file.writeAt(ours[i], offset) : file.readAt(ours[i], offset),
    );
  const node = (depth: number): Side => (end) =>
    byPromises(depth, end, async (i, offset) => {
      if (writes) return (await theirs.write(memory[i], 0, BLOCK_BYTES, offset)).bytesWritten;
      return (await theirs.read(memory[i], 0, BLOCK_BYTES, offset)).bytesRead;
    });
  try {
    if (deep) {
      const [bare, hand, promise, other] = await measure([
        ringSide(ring, path, writes),
        (end) => byHand(io, file.ioFile, buffers, writes, end),
        promises(DEPTH),
        node(DEPTH),
      ]);
      const reference = "Ring by hand";
      tell(`by-hand-${kind}`, "ops/s", hand, reference, bare, 0.95, further);
      tell(`promise-${kind}`, "ops/s", promise, reference, bare, 0.7, further);
      const bar = note === undefined ? 3 : 1;
      tell(`node-${kind}`, "ops/s", promise, "node:fs/promises", other, bar, { ...fio, note });
    }
    if (shallow) {
      const [promise, other] = await measure([promises(1), node(1)]);
      tell(`promise-${kind}-1`, "ops/s", promise, "node:fs/promises", other, 1, further);
    }
  } finally {
    await theirs.close();
    for (const buffer of buffers) io.releaseBuffer(buffer);
  }
}

/** What the disk gains by depth. */
async function parallel(path: string, kind: "read" | "write") {
  const write = kind === "write";
  const at = async (depth: number) => {
    const pattern = { write, random: true, blockBytes: BLOCK_BYTES, depth };
    return (await transfer(path, FILE_BYTES, pattern, 1)).operationsPerSecond;
  };
  const [fioDepth1, fioDepth32] = [await at(1), await at(DEPTH)];
  const note = fioDepth32 < PARALLEL * fioDepth1 ? "device-bound" : undefined;
  return { fioDepth1, fioDepth32, note };
}

/** Memory that this file takes for direct I/O, found by trying. */
async function alignedBlocks(file: FileHandle, count: number): Promise<Uint8Array[]> {
  const memory = new Uint8Array(new ArrayBuffer((count + 1) * BLOCK_BYTES));
  for (let skip = 0; skip < BLOCK_BYTES; skip += 8) {
    const block = (i: number) => {
      const from = skip + i * BLOCK_BYTES;
      return memory.subarray(from, from + BLOCK_BYTES);
    };
    try {
      await file.read(block(0), 0, BLOCK_BYTES, 0);
      return Array.from({ length: count }, (_, i) => block(i));
    } catch { /* not aligned */ }
  }
  throw new Error("no memory was found that this disk takes for direct I/O");
}

function ringSide(ring: Ring, path: string, writes: boolean): Side {
  ring.prepOpenat(path, OPEN_FLAG.RDWR | OPEN_FLAG.DIRECT, 0, 0);
  ring.submitAndWait(1);
  ring.reap();
  const file = ring.file(ring.completions.res[0]);
  const buffers: RegisteredBuffer[] = Array.from(
    { length: DEPTH },
    () => ring.buffers.acquire()!,
  );
  const { userData, res } = ring.completions;
  const prepare = (i: number, at: number) => {
    const offset = offsets[at & (OFFSETS - 1)];
    if (writes) ring.prepWriteFixed(file, buffers[i], 0, BLOCK_BYTES, offset, i);
    else ring.prepReadFixed(file, buffers[i], 0, BLOCK_BYTES, offset, i);
  };
  return (end) => {
    const start = performance.now();
    let submitted = 0;
    let done = 0;
    while (submitted < DEPTH) prepare(submitted, submitted++);
    let more = true;
    while (done < submitted) {
      ring.submitAndWait(1);
      const count = ring.reap();
      more &&= performance.now() < end;
      for (let row = 0; row < count; row++) {
        if (res[row] !== BLOCK_BYTES) throw new Error(`an operation gave ${res[row]}`);
        done++;
        if (more) prepare(userData[row], submitted++);
      }
    }
    return done / (performance.now() - start) * 1000;
  };
}

function byHand(
  io: Io,
  file: IoFile,
  buffers: readonly IoBuffer[],
  writes: boolean,
  end: number,
): number {
  const prepare = (i: number, at: number) => {
    const offset = offsets[at & (OFFSETS - 1)];
    if (writes) io.writeAt(file, buffers[i], 0, BLOCK_BYTES, offset, 0, i);
    else io.readAt(file, buffers[i], 0, BLOCK_BYTES, offset, i);
  };
  const { completions } = io;
  const { userData, res } = completions;
  const start = performance.now();
  let submitted = 0;
  let done = 0;
  while (submitted < DEPTH) prepare(submitted, submitted++);
  let more = true;
  while (done < submitted) {
    const count = io.park();
    more &&= performance.now() < end;
    for (let row = 0; row < count; row++) {
      if (res[row] !== BLOCK_BYTES) throw new Error(`an operation gave ${res[row]}`);
      done++;
      if (more) prepare(userData[row], submitted++);
    }
    completions.clear();
  }
  return done / (performance.now() - start) * 1000;
}

/** `depth` loops, each of which awaits one operation after the other. */
async function byPromises(
  depth: number,
  end: number,
  run: (loop: number, offset: number) => Promise<number>,
): Promise<number> {
  const start = performance.now();
  let at = 0;
  const loop = async (i: number) => {
    do {
      const res = await run(i, offsets[at++ & (OFFSETS - 1)]);
      if (res !== BLOCK_BYTES) throw new Error(`an operation gave ${res}`);
    } while (performance.now() < end);
  };
  await Promise.all(Array.from({ length: depth }, (_, i) => loop(i)));
  return at / (performance.now() - start) * 1000;
}

// Appends

async function appends(): Promise<void> {
  const names = ["storage-append-coalesced", "storage-append-single"].filter((name) =>
    wanted.has(name)
  );
  if (names.length === 0) return;
  const reference = buildReference("append", {
    append_open: { arguments: ["buffer"], result: "i32" },
    append_restart: { arguments: [], result: "i32" },
    append_stream: { arguments: ["buffer", "u32"], result: "i32" },
    append_singles: { arguments: ["buffer", "u32"], result: "i32" },
    append_close: { arguments: [], result: "i32" },
  });
  const record = new Uint8Array(new ArrayBuffer(RECORD_BYTES)).fill(65);
  const opened = reference.append_open(cString(scratch.join("appends-c")));
  if (opened < 0) throw new Error(`the reference did not open: errno ${-opened}`);
  using storage = UringStorageIo.open();
  const out = new CompletionArray(WINDOW);
  const truncated = { read: true, write: true, create: true, truncate: true };
  const path = scratch.join("appends");
  for (const name of names) {
    const single = name === "storage-append-single";
    const run = single ? appendSingles : appendStream;
    const theirs = single ? reference.append_singles : reference.append_stream;
    const [value, referenceValue] = await measure([
      // Each round begins with an empty file.
      async (end) => {
        const fd = storage.registerFd(await File.open(path, truncated, storage.io));
        const rate = rateOf(end, APPENDS, () => run(storage, fd, record, out));
        storage.deregisterFd(fd);
        return rate;
      },
      (end) => {
        reference.append_restart();
        return rateOf(end, APPENDS, () => theirs(record, APPENDS));
      },
    ]);
    const bar = single ? 0.85 : 2.5;
    tell(name, "appends/s", value, "one SQE each, in C", referenceValue, bar, {});
  }
  reference.append_close();
}

/** `APPENDS` of them, up to `WINDOW` pending; gives how many went well. */
function appendStream(
  storage: StorageIo,
  fd: IoFd,
  record: Uint8Array,
  out: CompletionArray,
): number {
  let good = 0;
  for (let submitted = 0; submitted < APPENDS || storage.pendingCount > 0;) {
    for (let i = 0; i < DEPTH && submitted < APPENDS && storage.pendingCount < WINDOW; i++) {
      storage.submitAppend(fd, record);
      submitted++;
    }
    if (storage.pendingCount === WINDOW || submitted === APPENDS) storage.park();
    const count = storage.pollCompletions(out);
    for (let row = 0; row < count; row++) if (out.res[row] === RECORD_BYTES) good++;
    out.clear();
  }
  return good;
}

/** `APPENDS` of them, one after the other. */
function appendSingles(
  storage: StorageIo,
  fd: IoFd,
  record: Uint8Array,
  out: CompletionArray,
): number {
  let good = 0;
  for (let i = 0; i < APPENDS; i++) {
    storage.submitAppend(fd, record);
    storage.park();
    if (storage.pollCompletions(out) === 1 && out.res[0] === RECORD_BYTES) good++;
    out.clear();
  }
  return good;
}

/** Operations a second of `run`, which does `count` and says how many went well. */
function rateOf(end: number, count: number, run: () => number): number {
  const start = performance.now();
  let done = 0;
  do {
    const good = run();
    if (good !== count) throw new Error(`${count - good} of ${count} operations failed`);
    done += count;
  } while (performance.now() < end);
  return done / (performance.now() - start) * 1000;
}

// Positioned

async function positionedRead(): Promise<void> {
  const path = scratch.join("cached");
  const blocks = 256;
  writeFileSync(path, new Uint8Array(blocks * BLOCK_BYTES));
  using io = UringIo.open();
  using file = PositionedFile.open(path, { read: true }, io);
  const descriptor = openSync(path, "r");
  const bytes = new Uint8Array(new ArrayBuffer(BLOCK_BYTES));
  let at = 0;
  const [ours, theirs] = await measure([
    (end) =>
      1e9 / rateOf(end, READS, () => {
        for (let i = 0; i < READS; i++) file.preadAt((at++ % blocks) * BLOCK_BYTES, bytes);
        return READS;
      }),
    (end) =>
      1e9 / rateOf(end, READS, () => {
        let good = 0;
        for (let i = 0; i < READS; i++) {
          const offset = (at++ % blocks) * BLOCK_BYTES;
          if (readSync(descriptor, bytes, 0, BLOCK_BYTES, offset) === BLOCK_BYTES) good++;
        }
        return good;
      }),
  ]);
  closeSync(descriptor);
  tell("positioned-read", "ns/op", ours, "fs.readSync", theirs, 1.3, { most: true });
}

async function positionedBatch(path: string): Promise<void> {
  const { note, ...fio } = await parallel(path, "read");
  using io = UringIo.open();
  using file = PositionedFile.open(path, { read: true, direct: true }, io);
  const entries = Array.from(
    { length: DEPTH },
    () => ({ offset: 0, bytes: new Uint8Array(BLOCK_BYTES) }),
  );
  let at = 0;
  const place = () => {
    for (const entry of entries) entry.offset = offsets[at++ & (OFFSETS - 1)];
  };
  const [batched, single] = await measure([
    (end) =>
      rateOf(end, DEPTH, () => {
        place();
        file.preadBatch(entries);
        return DEPTH;
      }),
    (end) =>
      rateOf(end, DEPTH, () => {
        place();
        for (const { offset, bytes } of entries) file.preadAt(offset, bytes);
        return DEPTH;
      }),
  ]);
  const further = { ...fio, note, untold: note !== undefined };
  tell("positioned-batch-32", "ops/s", batched, "one by one", single, 2, further);
}

// Simulation

async function memory(): Promise<void> {
  const io = MemoryIo.create({ seed: 1 });
  const file = io.open("/a", { read: true, write: true, create: true }, 0);
  io.park();
  if (io.take(0) !== 0) throw new Error("the simulated file did not open");
  const buffers = Array.from({ length: DEPTH }, () => io.acquireBuffer(BLOCK_BYTES)!);
  let at = 0;
  const { completions } = io;
  // Three reads for a write, and a sync among every 64.
  const prepare = (i: number) => {
    const offset = offsets[at & (OFFSETS - 1)] & 0xf_ffff;
    if ((at & 63) === 0) io.fdatasync(file, i);
    else if ((at & 3) === 1) io.writeAt(file, buffers[i], 0, RECORD_BYTES, offset, 0, i);
    else io.readAt(file, buffers[i], 0, RECORD_BYTES, offset, i);
    at++;
  };
  for (let i = 0; i < DEPTH; i++) prepare(i);
  const [value] = await measure([(end) =>
    rateOf(end, SIMULATED, () => {
      let done = 0;
      while (done < SIMULATED) {
        const count = io.park();
        for (let row = 0; row < count; row++) {
          if (completions.res[row] < 0) {
            throw new Error(`an operation gave ${completions.res[row]}`);
          }
          if (done++ < SIMULATED) prepare(completions.userData[row]);
          else prepare(completions.userData[row]);
        }
        completions.clear();
      }
      return SIMULATED;
    })]);
  tell("memory", "ops/s", value, "operations a second", 1e6, 1, {});
}

// Telling

/** The median of each side over rounds in which they take turns. */
async function measure(sides: readonly Side[]): Promise<number[]> {
  // Compilers need their time.
  for (const side of sides) await side(performance.now() + roundMillis);
  const values: number[][] = sides.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [i, side] of sides.entries()) {
      values[i].push(await side(performance.now() + roundMillis));
    }
  }
  return values.map(median);
}

function tell(
  name: string,
  unit: string,
  value: number,
  reference: string,
  referenceValue: number,
  bar: number,
  { most = false, untold = false, note, ...further }: {
    /** The ratio is to be at most `bar`. */
    most?: boolean;
    /** This machine cannot tell. */
    untold?: boolean;
    note?: string;
    [further: string]: unknown;
  },
): void {
  if (!wanted.has(name)) return;
  const ratio = value / referenceValue;
  const holds = most ? ratio <= bar : ratio >= bar;
  report({
    bench: "io",
    case: name,
    runtime,
    value,
    unit,
    reference,
    referenceValue,
    ratio,
    bar: `at ${most ? "most" : "least"} ${bar}`,
    holds: untold ? null : holds,
    ...(note === undefined ? {} : { note }),
    ...further,
  });
}
