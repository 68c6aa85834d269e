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
/** For `collections` as many as make the collectors run several times when there is something to do. */
const CASES = {
  ring: "500000",
  io: "300000",
  storage: "300000",
  append: "500000",
  collections: "2000000",
};

for (const [name, operations] of Object.entries(CASES)) {
  test(`heap after ${operations} operations: ${name}`, { skip: skipRing }, async () => {
    const scratch = process.env.URING_SCRATCH;
    const { status, stdout, stderr } = await run([
      ...underThisRuntime(join(ROOT, "bench/heap.ts")),
      ...["--json", "--case", name, "--operations", operations, "--warm-up", WARM_UP],
      ...(scratch === undefined ? [] : ["--dir", scratch]),
    ]);
    assert.equal(status, 0, stderr);
    const result = JSON.parse(stdout) as Result;
    assert.equal(result.case, name);
    assert.equal(result.holds, true, `${result.value} ${result.unit}`);
  });
}
