/**
 * What TypeScript and the shim cost over C: NOPs, and 4 KiB reads from the page cache, 32 submitted and
 * awaited together, through `Ring` and through the same loop in C (bench/nop.c), in one process, rounds
 * alternating. The reference is built from the same liburing archive with -O2, and has the same set-up
 * flags, a registered file and a registered buffer.
 */
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { host } from "../src/host/host.ts";
import { OPEN_FLAG, type RegisteredBuffer, Ring, type RingFile } from "../ring.ts";
import { buildReference, cString } from "./support/reference.ts";
import { median, report } from "./support/report.ts";

const ROOT = join(import.meta.dirname!, "..");
const BATCH = 32;
const BLOCK = 4096;
const ROUNDS = 301;
/** Batches of one round: some milliseconds, short beside what else a machine does meanwhile. */
const ROUND_BATCHES = 300;

/** NOPs through the ring; returns how many had the expected result. */
function nops(ring: Ring, batches: number): number {
  let good = 0;
  const { res } = ring.completions;
  for (let i = 0; i < batches; i++) {
    for (let j = 0; j < BATCH; j++) ring.prepNop(j);
    ring.submitAndWait(BATCH);
    const count = ring.reap();
    for (let j = 0; j < count; j++) if (res[j] === 0) good++;
  }
  return good;
}

/** Reads through the ring; returns how many had the expected result. */
function reads(
  ring: Ring,
  file: RingFile,
  buffers: readonly RegisteredBuffer[],
  batches: number,
): number {
  let good = 0;
  const { res } = ring.completions;
  for (let i = 0; i < batches; i++) {
    for (let j = 0; j < BATCH; j++) {
      ring.prepReadFixed(file, buffers[j], 0, BLOCK, j * BLOCK, j);
    }
    ring.submitAndWait(BATCH);
    const count = ring.reap();
    for (let j = 0; j < count; j++) if (res[j] === BLOCK) good++;
  }
  return good;
}

/** Nanoseconds an operation. */
function time(run: (batches: number) => number): number {
  const start = performance.now();
  const good = run(ROUND_BATCHES);
  const millis = performance.now() - start;
  const operations = ROUND_BATCHES * BATCH;
  if (good !== operations) {
    throw new Error(`${operations - good} of ${operations} operations failed`);
  }
  return (millis * 1e6) / operations;
}

const runtime = host();
const path = join(ROOT, `build/bench-nop.${process.pid}.data`);
const reference = buildReference("nop", {
  reference_open: { arguments: ["buffer"], result: "i32" },
  reference_nop: { arguments: ["u32"], result: "i32" },
  reference_read_fixed: { arguments: ["u32"], result: "i32" },
  reference_close: { arguments: [], result: "i32" },
});
writeFileSync(path, new Uint8Array(BATCH * BLOCK));
let missed = false;
try {
  const opened = reference.reference_open(cString(path));
  if (opened < 0) throw new Error(`the reference did not open: errno ${-opened}`);
  using ring = Ring.open({ bufferBytes: BLOCK });
  ring.prepOpenat(path, OPEN_FLAG.RDONLY, 0, 0);
  ring.submitAndWait(1);
  ring.reap();
  const file = ring.file(ring.completions.res[0]);
  const buffers = Array.from({ length: BATCH }, () => ring.buffers.acquire()!);

  measure(
    "nop-32",
    { bun: 1.4, deno: 1.5 }[runtime.name],
    (batches) => nops(ring, batches),
    reference.reference_nop,
  );
  measure(
    "read-fixed",
    { bun: 1.12, deno: 1.15 }[runtime.name],
    (batches) => reads(ring, file, buffers, batches),
    reference.reference_read_fixed,
  );
  reference.reference_close();
} finally {
  rmSync(path, { force: true });
}
if (missed) process.exitCode = 1;

function measure(
  name: string,
  bar: number,
  ours: (batches: number) => number,
  theirs: (batches: number) => number,
): void {
  // Compilers need their time.
  for (let i = 0; i < 40; i++) {
    time(ours);
    time(theirs);
  }
  const values: number[] = [];
  const references: number[] = [];
  for (let i = 0; i < ROUNDS; i++) {
    values.push(time(ours));
    references.push(time(theirs));
  }
  const value = median(values);
  const referenceValue = median(references);
  const ratio = value / referenceValue;
  missed ||= ratio > bar;
  report({
    bench: "nop",
    case: name,
    runtime: runtime.name,
    value,
    unit: "ns/op",
    reference: "the same loop in C",
    referenceValue,
    ratio,
    bar: `at most ${bar}`,
    holds: ratio <= bar,
  });
}
