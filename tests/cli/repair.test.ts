/**
 * Goal: `uring repair` says what of a damaged log can be kept and what is lost by it, changes nothing
 * until it is told what to keep, and then leaves a log that works.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Wal } from "../../wal.ts";
import { closedLog, flip, offsetOf, segmentOf } from "./logs.ts";
import { hashOf, isPlain, scratch, skipWithoutRing, SMALL, SMALL_WAL, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
let logs = 0;
const newLog = () => join(folder, `log-${++logs}`);

test("a damaged log: what can be kept, nothing changed; then it is kept", { skip }, async () => {
  const log = newLog();
  await closedLog(log, ["first", "second", "third"]);
  const segment = segmentOf(log);
  flip(segment, offsetOf(segment, "third"));
  const before = hashOf(log);
  const look = await uring(["repair", log]);
  assert.equal(look.status, 1);
  assert.equal(
    look.out,
    "corrupt: records 1 to 3\n" +
      "--keep before  keeps records 1 to 2, loses record 3\n" +
      "--keep after   keeps nothing\n",
  );
  assert.ok(look.err.includes(segment) && /byte [0-9]+/.test(look.err), look.err);
  assert.match(look.err, /nothing was changed.*--keep/);
  assert.ok(isPlain(look.err), look.err);
  assert.equal(hashOf(log), before);
  const after = await uring(["repair", log, "--keep", "after"]);
  assert.equal(after.status, 1);
  assert.match(after.err, /no record after the damage can be kept/);
  assert.equal(hashOf(log, ["LOCK"]), hashOf(log, ["LOCK"]));
  const kept = await uring(["repair", log, "--keep", "before", "--json"]);
  assert.equal(kept.status, 0, kept.err);
  const report = JSON.parse(kept.out);
  assert.deepEqual(Object.keys(report), [
    ...["state", "first", "last", "damage", "before", "after", "kept", "aside"],
  ]);
  assert.equal(report.kept, "before");
  for (const path of report.aside) assert.ok(existsSync(path), path);
  assert.equal(report.aside.length, 2, "META and the segment");
  assert.equal((await uring(["cat", log])).out, "first\nsecond\n");
  assert.equal((await uring(["verify", log])).status, 0);
  assert.equal((await uring(["append", log, ...SMALL], "fourth\n")).out, "3\n");
  const again = await uring(["repair", log]);
  assert.deepEqual([again.status, again.out], [0, "clean: records 1 to 3, nothing to repair\n"]);
});

test("what is behind the damage", { skip }, async () => {
  const log = newLog();
  const lines = Array.from({ length: 10_000 }, (_, i) => `${i} ${"x".repeat(60)}`);
  await uring(["append", log, ...SMALL], lines.join("\n"));
  flip(segmentOf(log), 20_000);
  const look = JSON.parse((await uring(["repair", log, "--json"])).out);
  assert.equal(look.kept, null);
  assert.equal(look.after.last, 10_000);
  const { status, out } = await uring(["repair", log, "--keep=after"]);
  assert.equal(status, 0);
  assert.match(out, RegExp(`keeps records ${look.after.first} to 10000, loses records 1 to `));
  assert.match(out, /put aside: .*aside-1-0000000000000001\.wal/);
  assert.equal(
    (await uring(["cat", log])).out,
    lines.slice(look.after.first - 1).join("\n") + "\n",
  );
});

test("a log in use, and none", { skip }, async () => {
  const log = newLog();
  {
    await using wal = await Wal.open(log, SMALL_WAL);
    await wal.durable(wal.append("a"));
    const { status, err } = await uring(["repair", log, "--lock-timeout", "0"]);
    assert.equal(status, 1);
    assert.match(err, /is locked by process [0-9]+/);
  }
  const none = newLog();
  mkdirSync(none);
  for (const path of [none, newLog()]) {
    const { status, out, err } = await uring(["repair", path]);
    assert.deepEqual([status, out], [1, ""]);
    assert.match(err, /no log here/);
    assert.ok(isPlain(err), err);
  }
});
