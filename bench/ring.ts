/**
 * The ring against what a program in C would reach.
 *
 * - `nop-N`, `read-fixed`: the cost of TypeScript and the shim, beside the same loop in C in this
 *   process (`support/ring_loops.ts`).
 * - `iops-rand-…`, `cpu-rand-…`, `seq-…`: transfers past the page cache, beside fio
 *   (`support/ring_device.ts`).
 * - `wake-…`: how long it takes from a completion to the program that awaits it, beside a wait that
 *   blocks (`support/ring_wake.ts`).
 * - `heap`, `collections`: whether operations leave something on the heap, or allocate at all
 *   (`heap.ts`, of which this runs two cases).
 *
 * `--rounds` and `--seconds` are those of each case (seconds: of one round of one side); without them
 * each has its own.
 */
import { join } from "node:path";
import process from "node:process";
import { parseArgs } from "node:util";
import { run, underThisRuntime } from "./support/child.ts";
import { DEVICE_CASES, DEVICE_ROUNDS, measureDevice } from "./support/ring_device.ts";
import { LOOP_ROUNDS, LOOPS, measureLoops } from "./support/ring_loops.ts";
import { loadRingReference } from "./support/ring_reference.ts";
import { measureWakes, WAKE_ROUNDS, WAKES } from "./support/ring_wake.ts";
import { Scratch } from "./support/scratch.ts";

const MIB = 1 << 20;
/** As `heap.ts` names them, by their names here. */
const HEAP_CASES: Readonly<Record<string, string>> = { heap: "ring", collections: "collections" };
const NAMES = [
  ...Object.keys(LOOPS),
  ...DEVICE_CASES,
  ...Object.keys(WAKES),
  ...Object.keys(HEAP_CASES),
];

const { values: options } = parseArgs({
  options: {
    json: { type: "boolean" },
    dir: { type: "string" },
    case: { type: "string", multiple: true, default: NAMES },
    rounds: { type: "string" },
    seconds: { type: "string", default: "1" },
    // Of the file that is read and written; a power of two.
    "file-mib": { type: "string", default: "512" },
  },
});
for (const name of options.case) {
  if (!NAMES.includes(name)) throw new Error(`there is no case ${name}: ${NAMES.join(", ")}`);
}
const rounds = (usual: number) => options.rounds === undefined ? usual : Number(options.rounds);
const seconds = Number(options.seconds);
const fileBytes = Number(options["file-mib"]) * MIB;
if (fileBytes < MIB || fileBytes > 1024 * MIB || (fileBytes & fileBytes - 1) !== 0) {
  throw new Error(`--file-mib is a power of two up to 1024, not ${options["file-mib"]}`);
}
const wanted = (names: readonly string[]) => names.filter((name) => options.case.includes(name));

{
  const loops = wanted(Object.keys(LOOPS));
  const device = wanted(DEVICE_CASES);
  const wakes = wanted(Object.keys(WAKES));
  using scratch = new Scratch(options.dir, device.length > 0 ? fileBytes + MIB : MIB);
  if (loops.length > 0) {
    measureLoops(loops, scratch.join("blocks"), rounds(LOOP_ROUNDS), loadRingReference());
  }
  if (device.length > 0) {
    const target = { path: scratch.join("file"), bytes: fileBytes };
    await measureDevice(device, target, rounds(DEVICE_ROUNDS), seconds);
  }
  if (wakes.length > 0) {
    const reference = loadRingReference();
    await measureWakes(wakes, scratch.join("pipe"), rounds(WAKE_ROUNDS), seconds, reference);
  }
}
for (const name of wanted(Object.keys(HEAP_CASES))) {
  const { status } = await run([
    ...underThisRuntime(join(import.meta.dirname!, "heap.ts")),
    ...["--case", HEAP_CASES[name]],
    ...(options.json ? ["--json"] : []),
    ...(options.dir === undefined ? [] : ["--dir", options.dir]),
  ], "inherit");
  if (status !== 0) process.exitCode = 1;
}

// A reader of the exit status learns whether every bar was held.
process.exitCode ??= 0;
