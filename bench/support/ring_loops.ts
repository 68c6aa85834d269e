/**
 * What TypeScript and the shim cost over C: NOPs, and 4 KiB reads from the page cache, so many submitted
 * and awaited together, through `Ring` and through the same loop in C (bench/ring.c), in one process,
 * rounds alternating. The reference has the same set-up flags, a registered file and a registered
 * buffer.
 *
 * @module
 */
import { writeFileSync } from "node:fs";
import { OPEN_FLAG, type RegisteredBuffer, Ring, type RingFile } from "../../ring.ts";
import { host } from "../../src/host/host.ts";
import { cString } from "./reference.ts";
import { median, report } from "./report.ts";
import type { RingReference } from "./ring_reference.ts";

const BLOCK_BYTES = 4096;
const READS = 32;
/** Operations of one round: a few milliseconds, short beside what else a machine does meanwhile. */
const ROUND_OPERATIONS = 9600;
/** Compilers need their time. */
const WARM_UP_ROUNDS = 40;
export const LOOP_ROUNDS = 301;

/** A case: how many together, and what it may take, 1 for C, by runtime; no bar where it is missing. */
interface Loop {
  readonly batch: number;
  readonly reads: boolean;
  readonly most?: { readonly bun: number; readonly deno: number };
}

const NOP_MOST = { bun: 1.4, deno: 1.5 };

/** By name. A bar on one operation a call would be one on the call into the kernel. */
export const LOOPS: Readonly<Record<string, Loop>> = {
  "nop-1": { batch: 1, reads: false },
  "nop-8": { batch: 8, reads: false },
  "nop-32": { batch: 32, reads: false, most: NOP_MOST },
  "nop-128": { batch: 128, reads: false, most: NOP_MOST },
  "read-fixed": { batch: READS, reads: true, most: { bun: 1.12, deno: 1.15 } },
};

/** NOPs through the ring; returns how many had the expected result. */
function nops(ring: Ring, batches: number, batch: number): number {
  let good = 0;
  const { res } = ring.completions;
  for (let i = 0; i < batches; i++) {
    for (let j = 0; j < batch; j++) ring.prepNop(j);
    ring.submitAndWait(batch);
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
  batch: number,
): number {
  let good = 0;
  const { res } = ring.completions;
  for (let i = 0; i < batches; i++) {
    for (let j = 0; j < batch; j++) {
      ring.prepReadFixed(file, buffers[j], 0, BLOCK_BYTES, j * BLOCK_BYTES, j);
    }
    ring.submitAndWait(batch);
    const count = ring.reap();
    for (let j = 0; j < count; j++) if (res[j] === BLOCK_BYTES) good++;
  }
  return good;
}

/** Nanoseconds an operation. */
function time(run: (batches: number, batch: number) => number, batch: number): number {
  const batches = Math.ceil(ROUND_OPERATIONS / batch);
  const start = performance.now();
  const good = run(batches, batch);
  const millis = performance.now() - start;
  const operations = batches * batch;
  if (good !== operations) {
    throw new Error(`${operations - good} of ${operations} operations failed`);
  }
  return (millis * 1e6) / operations;
}

/**
 * Measures these cases.
 *
 * @param path Of a file to make.
 * @param bench The benchmark that they are part of.
 */
export function measureLoops(
  names: readonly string[],
  path: string,
  rounds: number,
  reference: RingReference,
  bench = "ring",
): void {
  writeFileSync(path, new Uint8Array(READS * BLOCK_BYTES));
  const opened = reference.reference_open(cString(path));
  if (opened < 0) throw new Error(`the reference did not open: errno ${-opened}`);
  using ring = Ring.open({ bufferBytes: BLOCK_BYTES });
  ring.prepOpenat(path, OPEN_FLAG.RDONLY, 0, 0);
  ring.submitAndWait(1);
  ring.reap();
  const file = ring.file(ring.completions.res[0]);
  const buffers = Array.from({ length: READS }, () => ring.buffers.acquire()!);
  for (const name of names) {
    const loop = LOOPS[name];
    const ours = loop.reads
      ? (batches: number, batch: number) => reads(ring, file, buffers, batches, batch)
      : (batches: number, batch: number) => nops(ring, batches, batch);
    const theirs = loop.reads ? reference.reference_read_fixed : reference.reference_nop;
    measure(bench, name, loop, rounds, ours, theirs);
  }
  reference.reference_close();
}

function measure(
  bench: string,
  name: string,
  { batch, most }: Loop,
  rounds: number,
  ours: (batches: number, batch: number) => number,
  theirs: (batches: number, batch: number) => number,
): void {
  const values: number[] = [];
  const references: number[] = [];
  for (let round = -Math.min(WARM_UP_ROUNDS, rounds); round < rounds; round++) {
    const value = time(ours, batch);
    const referenceValue = time(theirs, batch);
    if (round < 0) continue;
    values.push(value);
    references.push(referenceValue);
  }
  const value = median(values);
  const referenceValue = median(references);
  const ratio = value / referenceValue;
  const bar = most?.[host().name];
  report({
    bench,
    case: name,
    runtime: host().name,
    value,
    unit: "ns/op",
    reference: "the same loop in C",
    referenceValue,
    ratio,
    bar: bar === undefined ? "none" : `at most ${bar.toFixed(2)}`,
    holds: bar === undefined ? null : ratio <= bar,
    ...(bar === undefined ? { note: "reported only" } : {}),
  });
}
