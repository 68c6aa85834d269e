/** What is particular to the backend `sync`; what it shares with the others is in contract.test.ts. */
import assert from "node:assert/strict";
import { mkdirSync, readFileSync, renameSync, rmdirSync } from "node:fs";
import process from "node:process";
import { test } from "node:test";
import { SyncIo } from "../../io.ts";
import { inScratch, isDeno } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";
import { openFile, run, writeBytes } from "./support.ts";

const EINVAL = 22, EISDIR = 21, ESTALE = 116;

test("it says what it is", () => {
  const io = SyncIo.open({ reason: "for a test" });
  assert.deepEqual([io.backend, io.reason], ["sync", "for a test"]);
  assert.equal(io.durability, process.platform === "linux" ? "verified" : "unverified");
  const { pid, startTicks, bootId } = io.identity();
  assert.equal(pid, process.pid);
  if (process.platform === "linux") {
    assert.ok(startTicks > 0 && Number.isSafeInteger(startTicks));
    assert.equal(bootId, readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim());
  }
  io[Symbol.dispose]();
});

test("an open with `direct` fails, and alignment says that there is none", () =>
  inScratch((directory) => {
    using io = SyncIo.open();
    const options = { read: true, write: true, create: true, direct: true };
    assert.equal(run(io, (h) => io.open(`${directory}/a`, options, h)), -EINVAL);
    assert.deepEqual(io.listDirectory(directory), []);
    const file = openFile(io, `${directory}/a`);
    assert.deepEqual(io.alignment(file), { memory: 0, offset: 0, physical: 0 });
  }));

test("an operation is executed at once, and delivered by the next poll only", () =>
  inScratch((directory) => {
    using io = SyncIo.open();
    const file = openFile(io, `${directory}/a`);
    const buffer = io.acquireBuffer()!;
    buffer.bytes.fill(65);
    io.writeAt(file, buffer, 0, 3, 0, 0, 1);
    assert.equal(readFileSync(`${directory}/a`, "utf8"), "AAA");
    assert.deepEqual([io.inFlight, io.completions.length, io.take(1)], [1, 0, undefined]);
    assert.equal(io.poll(), 1);
    assert.equal(io.take(1), 3);
    io.releaseBuffer(buffer);
  }));

test("remove leaves an empty directory alone", () =>
  inScratch((directory) => {
    using io = SyncIo.open();
    mkdirSync(`${directory}/d`);
    assert.equal(run(io, (h) => io.remove(`${directory}/d`, h)), -EISDIR);
    rmdirSync(`${directory}/d`);
  }));

test("a loop over waits and inline operations lets timers and the rest go on", () =>
  inScratch(async (directory) => {
    using io = SyncIo.open();
    const file = openFile(io, `${directory}/a`);
    let turns = 0;
    let over = false;
    const count = () => {
      turns++;
      if (!over) setImmediate(count);
    };
    setImmediate(count);
    const until = performance.now() + 100;
    while (performance.now() < until) {
      io.advise(file, 0, 0, "normal", 1);
      await io.wait();
      io.poll();
      io.completions.clear();
    }
    over = true;
    assert.ok(turns >= 20, `${turns} turns in 100 ms`);
  }));

test("the end of the Io closes files and gives up locks", () =>
  inScratch((directory) => {
    const first = SyncIo.open();
    assert.equal(first.lock(openFile(first, `${directory}/a`)), 0);
    using second = SyncIo.open();
    const file = openFile(second, `${directory}/a`);
    assert.ok(second.lock(file) < 0);
    first[Symbol.dispose]();
    assert.equal(second.lock(file), 0);
  }));

test(
  "a lock by path is of that very file",
  { skip: skipUnless(isDeno, "only Deno locks by path") },
  () =>
    inScratch((directory) => {
      using io = SyncIo.open();
      const file = openFile(io, `${directory}/a`);
      writeBytes(io, openFile(io, `${directory}/b`), "b", 0);
      renameSync(`${directory}/b`, `${directory}/a`);
      assert.equal(io.lock(file), -ESTALE);
    }),
);
