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

const OPERATIONS = "500000";

for (const name of ["ring", "append"]) {
  test(`heap after ${OPERATIONS} operations: ${name}`, { skip: skipRing }, async () => {
    const scratch = process.env.URING_SCRATCH;
    const { status, stdout, stderr } = await run([
      ...underThisRuntime(join(ROOT, "bench/heap.ts")),
      ...["--json", "--case", name, "--operations", OPERATIONS, "--warm-up", OPERATIONS],
      ...(scratch === undefined ? [] : ["--dir", scratch]),
    ]);
    assert.equal(status, 0, stderr);
    const result = JSON.parse(stdout) as Result;
    assert.equal(result.case, name);
    assert.equal(result.holds, true, `the heap grew by ${result.value} bytes`);
  });
}
