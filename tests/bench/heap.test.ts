/**
 * The hot paths leave nothing on the heap: the short form of `./dev bench heap`, in a process of its
 * own, since Deno collects on demand only when it was started so.
 */
import { strict as assert } from "node:assert";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { run, underThisRuntime } from "../../bench/support/child.ts";
import type { Result } from "../../bench/support/report.ts";
import { ROOT, skipRing } from "../support/ring.ts";

const WARM_UP = "500000";
/** For `…collections` as many as make the collectors run several times when there is something to do. */
const CASES: Record<string, { operations: string; warmUp?: string }> = {
  ring: { operations: "500000" },
  io: { operations: "300000" },
  storage: { operations: "300000" },
  append: { operations: "500000" },
  read: { operations: "500000", warmUp: "1000000" },
  collections: { operations: "1000000" },
  "io-collections": { operations: "1000000" },
  "storage-collections": { operations: "100000", warmUp: "100000" },
  "append-collections": { operations: "100000", warmUp: "100000" },
  resident: { operations: "100000", warmUp: "100000" },
};
/** What these find depends on who else uses the machine: short runs are looked at for being whole. */
const UNSTEADY = ["storage-collections", "append-collections", "resident"];

for (const [name, { operations, warmUp = WARM_UP }] of Object.entries(CASES)) {
  test(`heap after ${operations} operations: ${name}`, { skip: skipRing }, async () => {
    const scratch = process.env.URING_SCRATCH;
    const { status, stdout, stderr } = await run([
      ...underThisRuntime(join(ROOT, "bench/heap.ts")),
      ...["--json", "--case", name, "--operations", operations, "--warm-up", warmUp],
      ...(scratch === undefined ? [] : ["--dir", scratch]),
    ]);
    assert.ok(status === 0 || (status === 1 && stdout !== ""), stderr);
    const result = JSON.parse(stdout) as Result;
    assert.equal(result.case, name);
    if (UNSTEADY.includes(name)) assert.equal(typeof result.holds, "boolean");
    else assert.equal(result.holds, true, `${result.value} ${result.unit}`);
    if (name === "resident") assert.ok(result.value > 0 && result.referenceValue > 0, stdout);
  });
}
