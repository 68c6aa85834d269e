/**
 * Goal: `./dev demo` does its job on a file of any kind, tells when it cannot, and leaves nothing behind.
 */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { commandOf, scratch, skipWithoutRing, start } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();

/** Scratch files of the demo: in a folder of this test alone, since another runtime runs it too. */
const temporary = join(folder, "temporary");
mkdirSync(temporary);

function demo(...args: string[]) {
  const running = start(...commandOf("tools/demo.ts", args), { env: { TMPDIR: temporary } });
  running.child.stdin!.end();
  return running.ended;
}

test(
  "a small file, without a line feed at its end, with empty lines, CR and NUL",
  { skip },
  async () => {
    const file = join(folder, "small");
    writeFileSync(file, "first\n\n\0second\r\n" + "x".repeat(3000) + "\nlast");
    const { status, out, err } = await demo(file, "--seed", "1");
    assert.equal(status, 0, err);
    assert.match(out, /repeated [0-9,]+ times with a line number in front/);
    assert.match(out, /seed +1:/);
    assert.match(out, /kill -9 +[0-9,]+ lines were acknowledged/);
    assert.match(out, /backend uring, (direct|buffered) writes/);
    assert.match(out, /the whole log is the file, byte for byte/);
    assert.match(out, /lines\/s/);
    assert.deepEqual(readdirSync(temporary), []);
  },
);

test("a file that is large enough is taken as it is", { skip }, async () => {
  const file = join(folder, "large");
  const lines = Array.from({ length: 110_000 }, (_, i) => `${i}`.padEnd(100, "."));
  writeFileSync(file, lines.join("\n"));
  const { status, out, err } = await demo(file);
  assert.equal(status, 0, err);
  assert.match(out, /110,000 lines, 11\.1 MB\n/);
});

test("files that cannot be used", async () => {
  const empty = join(folder, "empty");
  writeFileSync(empty, "");
  for (const file of [empty, join(folder, "missing"), folder]) {
    const { status, err } = await demo(file);
    assert.equal(status, 1);
    assert.match(err, /^demo: /);
    assert.ok(err.includes(file), err);
  }
});

test("mistakes in usage", async () => {
  for (const args of [["a", "b"], ["--seed", "x"], ["--speed"]]) {
    const { status, err } = await demo(...args);
    assert.equal(status, 2);
    assert.match(err, /usage: .\/dev demo/);
  }
});
