/**
 * Goal: a long command shows how far it is: one bar on a terminal, which is gone at its end, plain lines
 * now and then elsewhere, and nothing at all of what is quick. Nothing of it reaches standard output.
 * Method: standard error is a terminal of its own, and what comes to it is looked at.
 */
import assert from "node:assert/strict";
import { cpSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import {
  commandOf,
  isPlain,
  ROOT,
  scratch,
  skipTerminal,
  skipWithoutRing,
  SMALL,
  start,
  startOnTerminal,
  startUring,
  uring,
} from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();

/** So many, and such small segments, that appending takes a second or two. */
const LINES = 8000;
const LINE_BYTES = 4000;
const MANY = ["--segment-bytes", "131072"];

/** The bars of a terminal, in the order in which they were drawn. */
function barsOf(shown: string, what: string, unit: string): number[] {
  const pattern = RegExp(`${what} \\[=*-*\\] \\d+% \\| (\\d+)/\\d+ ${unit} \\| \\S+ left`, "g");
  return [...shown.matchAll(pattern)].map(([, done]) => Number(done));
}

function assertRising(numbers: readonly number[]): void {
  for (let i = 1; i < numbers.length; i++) assert.ok(numbers[i] >= numbers[i - 1], `${numbers}`);
}

test("a bar on a terminal", { skip: skipTerminal }, async () => {
  const running = startOnTerminal(...commandOf("tests/cli/progress_program.ts", []));
  const { status, out, err } = await running.ended;
  assert.deepEqual([status, out], [0, "done\n"]);
  const bars = barsOf(err, "working", "pieces");
  assert.ok(bars.length > 1, err);
  assertRising(bars);
  assert.ok(!err.includes(" of 10 pieces"), "lines beside the bar");
});

test("plain lines elsewhere", async () => {
  const { status, out, err } = await start(...commandOf("tests/cli/progress_program.ts", [])).ended;
  assert.deepEqual([status, out], [0, "done\n"]);
  assert.match(err, /^(working: \d+ of 10 pieces\n){2,}$/);
});

test(
  "append from a file, and verify of many segments",
  { skip: skip || skipTerminal },
  async () => {
    const log = join(folder, "many");
    const file = join(folder, "lines");
    writeFileSync(file, ("x".repeat(LINE_BYTES) + "\n").repeat(LINES));
    const append = await startOnTerminal(
      ...commandOf("cli.ts", ["append", log, ...MANY]),
      { inputFile: file },
    ).ended;
    assert.deepEqual([append.status, append.out], [0, `${LINES}\n`], append.err);
    const bytes = barsOf(append.err, "uring append", "bytes");
    assert.ok(bytes.length > 1, append.err);
    assertRising(bytes);
    const verify = await startOnTerminal(...commandOf("cli.ts", ["verify", log])).ended;
    assert.deepEqual([verify.status, verify.out], [0, `clean: records 1 to ${LINES}, sealed\n`]);
    // A fast machine has nothing to show of it; two bars by turns would go back and forth.
    assertRising(barsOf(verify.err, "uring verify", "segments"));
    assert.ok(isPlain(verify.err), verify.err);
    const elsewhere = await uring(["verify", log]);
    assert.deepEqual([elsewhere.status, elsewhere.err], [0, ""]);
  },
);

test(
  "what is quick shows nothing on a terminal either",
  { skip: skip || skipTerminal },
  async () => {
    const log = join(folder, "quick");
    const file = join(folder, "few");
    writeFileSync(file, "a\nb\n");
    for (const args of [["append", log, ...SMALL], ["verify", log]]) {
      const running = startOnTerminal(...commandOf("cli.ts", args), { inputFile: file });
      const { status, err } = await running.ended;
      assert.deepEqual([status, err], [0, ""]);
    }
    assert.equal((await startUring(["cat", log], { inputFile: file }).ended).out, "a\nb\n");
  },
);

test("a bar that cannot be had fails nothing", { skip: skip || skipTerminal }, async () => {
  const log = join(folder, "without");
  await uring(["append", log, ...SMALL], "a\n");
  // The same program, without the library that draws bars.
  const copy = join(folder, "copy");
  for (const part of ["cli.ts", "src", "deno.json", "package.json", "node_modules/citty"]) {
    cpSync(join(ROOT, part), join(copy, part), { recursive: true });
  }
  const running = startOnTerminal(...commandOf(join(copy, "cli.ts"), ["verify", log]), {
    env: { URING_LIBRARY: process.env.URING_LIBRARY || join(ROOT, "build/liburing-io.so") },
  });
  const { status, out, err } = await running.ended;
  assert.deepEqual([status, out, err], [0, "clean: records 1 to 1, sealed\n", ""]);
});
