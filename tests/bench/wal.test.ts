/**
 * The cases of `./dev bench wal` that read: one short round, of which only that it is whole is looked at.
 * The scan in C follows docs/FORMAT.md by itself, so that both sides find the same records is looked at,
 * too, by the benchmark.
 */
import { strict as assert } from "node:assert";
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { run, underThisRuntime } from "../../bench/support/child.ts";
import type { Result } from "../../bench/support/report.ts";
import { ROOT, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

function hasCompiler(): boolean {
  try {
    execFileSync("gcc", ["--version"], { stdio: "ignore" });
    return existsSync("/usr/include/stdio.h");
  } catch {
    return false;
  }
}

const skip = skipRing || skipUnless(hasCompiler(), "no C compiler: ./dev setup full");

test("reading a log back, beside a scan in C", { skip }, async () => {
  const scratch = process.env.URING_SCRATCH;
  const { status, stdout, stderr } = await run([
    ...underThisRuntime(join(ROOT, "bench/wal.ts")),
    ...["--json", "--rounds", "1", "--read-mib", "8", "--case", "read", "--case", "read-c"],
    ...(scratch === undefined ? [] : ["--dir", scratch]),
  ]);
  // 1: a bar was missed, as one short round may.
  assert.ok(status === 0 || status === 1, stderr);
  assert.equal(stderr, "");
  const results: Result[] = stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(results.map((result) => result.case), ["read", "read-c"]);
  for (const { bench, value, referenceValue, ratio, holds } of results) {
    assert.equal(bench, "wal");
    assert.ok(value > 0 && referenceValue > 0);
    assert.ok(Math.abs(ratio - value / referenceValue) < 1e-9);
    assert.equal(typeof holds, "boolean");
  }
});
