/**
 * `./dev bench wal` runs, and says what it found as one object a line. One short round of the quick
 * cases: what it finds then means nothing, so only that it is whole is looked at.
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

const BENCH = join(ROOT, "bench/wal.ts");

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

const skipRust = skipRing || skipUnless(
  there("cargo") && there("fio"),
  "no cargo, or no fio: ./dev setup full",
);

async function bench(
  cases: readonly string[],
  env: Record<string, string> = {},
): Promise<Result[]> {
  const scratch = process.env.URING_SCRATCH;
  const { status, stdout, stderr } = await run([
    ...Object.keys(env).length > 0
      ? ["env", ...Object.entries(env).map(([name, value]) => `${name}=${value}`)]
      : [],
    ...underThisRuntime(BENCH),
    ...["--json", "--rounds", "1", "--seconds", "0.05", "--log-mib", "16"],
    ...["--input-mib", "16", "--segments", "1"],
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
    assert.equal(result.bench, "wal");
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

test("beside C", { skip: skipCompiler }, async () => {
  const cases = ["read", "read-c", "scan", "open-100"];
  check(await bench(cases), cases);
});

test("beside fio", { skip: skipFio }, async () => {
  const cases = ["fresh-1m", "lag"];
  check(await bench(cases), cases);
});

test("streams, strings and the command line", { skip: skipFio }, async () => {
  const cases = ["stream-64k", "strings-1m", "append-cli"];
  check(await bench(cases), cases);
});

test("beside Rust", { skip: skipRust }, async () => {
  const cases = ["rust-32"];
  check(await bench(cases), cases);
});

test("without cargo: a line that says so, and no bar", { skip: skipRing }, async () => {
  const results = await bench(["rust-1", "rust-256"], { PATH: "/nonexistent" });
  assert.deepEqual(results.map((result) => [result.case, result.holds]), [
    ["rust-1", null],
    ["rust-256", null],
  ]);
  for (const { note } of results) assert.match(note!, /^skipped: no cargo/);
});

test("beside node:fs", { skip: skipRing }, async () => {
  const cases = ["appenders-32", "latency"];
  check(await bench(cases), cases);
});

test("a case that there is not", { skip: skipRing }, async () => {
  const { status, stderr } = await run([...underThisRuntime(BENCH), "--case", "stream-2m"]);
  assert.notEqual(status, 0);
  assert.match(stderr, /there is no case stream-2m: stream-64k, /);
});
