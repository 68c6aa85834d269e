/**
 * `./dev bench peers` in its shortest form: SQLite beside the log, and the records of both are read back.
 * The packages and programs that it brings are measured where it was run before.
 */
import { strict as assert } from "node:assert";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { isPrepared, type ToolName } from "../../bench/peers/tools.ts";
import { run, underThisRuntime } from "../../bench/support/child.ts";
import type { Result } from "../../bench/support/report.ts";
import { ROOT, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const CASES: Readonly<Record<string, ToolName | undefined>> = {
  sqlite: undefined,
  lmdb: "npm",
  raftwal: "go",
  okaywal: "cargo",
};

for (const [name, tool] of Object.entries(CASES)) {
  const skip = skipRing ||
    skipUnless(
      tool === undefined || isPrepared(tool),
      `${name} was not brought: ./dev bench peers brings it`,
    );
  test(`${name} beside the log, by 32 records`, { skip }, async () => {
    const scratch = process.env.URING_SCRATCH;
    const { stdout, stderr } = await run([
      ...underThisRuntime(join(ROOT, "bench/peers.ts")),
      ...["--json", "--offline", "--case", `${name}-32`, "--rounds", "1", "--seconds", "0.02"],
      ...(scratch === undefined ? [] : ["--dir", scratch]),
    ]);
    assert.notEqual(stdout, "", stderr);
    const result = JSON.parse(stdout) as Result;
    // Which one is faster is not asked here; what was not read back fails or skips the case.
    assert.equal(result.case, `${name}-32`);
    assert.doesNotMatch(result.note ?? "", /skipped/);
    assert.ok(Number(result.readBack) >= 32 && Number(result.referenceReadBack) >= 32, stdout);
  });
}
