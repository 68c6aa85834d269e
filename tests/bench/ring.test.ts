/**
 * `./dev bench ring` runs, and says what it found as one object a line. One short round of each kind of
 * case: what it finds then means nothing, so only that it is whole is looked at.
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

const BENCH = join(ROOT, "bench/ring.ts");
const NOP_BENCH = join(ROOT, "bench/nop.ts");

function there(program: string): boolean {
  try {
    execFileSync(program, ["--version"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

const skipCompiler = skipRing ||
  skipUnless(there("gcc") && existsSync("/usr/include/stdio.h"), "no C compiler: ./dev setup full");
const skipFio = skipRing || skipUnless(there("fio"), "no fio: ./dev setup full");

async function bench(cases: readonly string[]): Promise<Result[]> {
  const scratch = process.env.URING_SCRATCH;
  const { status, stdout, stderr } = await run([
    ...underThisRuntime(BENCH),
    ...["--json", "--rounds", "1", "--seconds", "0.05", "--file-mib", "16"],
    ...cases.flatMap((name) => ["--case", name]),
    ...(scratch === undefined ? [] : ["--dir", scratch]),
  ]);
  // 1: a bar was missed, as one short round may.
  assert.ok(status === 0 || status === 1, stderr);
  assert.equal(stderr, "");
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

function check(results: readonly Result[], cases: readonly string[]): void {
  assert.deepEqual(results.map((result) => result.case), cases);
  for (const result of results) {
    assert.equal(result.bench, "ring");
    assert.equal(result.runtime, process.versions.bun === undefined ? "deno" : "bun");
    assert.ok(result.value > 0, `${result.case}: ${result.value}`);
    assert.ok(result.referenceValue > 0, `${result.case}: ${result.referenceValue}`);
    assert.ok(Math.abs(result.ratio - result.value / result.referenceValue) < 1e-9);
    assert.equal(typeof result.unit, "string");
    assert.equal(typeof result.reference, "string");
    assert.equal(typeof result.bar, "string");
    assert.ok(
      result.holds === null ? result.note !== undefined : typeof result.holds === "boolean",
    );
  }
}

test("beside the loop in C, and beside a wait that blocks", { skip: skipCompiler }, async () => {
  const cases = ["nop-8", "nop-32", "read-fixed", "wake-50us", "wake-5ms"];
  check(await bench(cases), cases);
});

test("beside fio", { skip: skipFio }, async () => {
  const cases = ["iops-rand-read-8", "seq-write-128k"];
  check(await bench(cases), cases);
});

test("a case that there is not", { skip: skipRing }, async () => {
  const { status, stderr } = await run([...underThisRuntime(BENCH), "--case", "nop-2"]);
  assert.notEqual(status, 0);
  assert.match(stderr, /there is no case nop-2: nop-1, /);
});

test("what ./dev bench nop says", { skip: skipCompiler }, async () => {
  const { status, stdout, stderr } = await run([
    ...underThisRuntime(NOP_BENCH),
    ...["--json", "--rounds", "1"],
  ]);
  assert.ok(status === 0 || status === 1, stderr);
  const results = stdout.trimEnd().split("\n").map((line) => JSON.parse(line) as Result);
  assert.deepEqual(results.map((result) => `${result.bench} ${result.case}`), [
    "nop nop-32",
    "nop read-fixed",
  ]);
  for (const { ratio, bar } of results) assert.ok(ratio > 0 && /^at most 1\.\d\d$/.test(bar));
});
