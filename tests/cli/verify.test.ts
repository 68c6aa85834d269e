/**
 * Goal: `uring verify` names the state of a log as recovery would, in promised fields, and changes
 * nothing.
 */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, readdirSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Wal } from "../../wal.ts";
import { closedLog, flip, offsetOf, segmentOf, unclosedLog, unclosedLogInFlight } from "./logs.ts";
import { hashOf, isPlain, scratch, skipWithoutRing, SMALL, SMALL_WAL, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
let logs = 0;
const newLog = () => join(folder, `log-${++logs}`);
const FIELDS = ["state", "sealed", "live", "first", "last", "dropped", "file", "offset", "error"];

/** Runs `verify --json` on a log, which stays as it is. */
async function verify(log: string) {
  const before = hashOf(log);
  const { status, out, err } = await uring(["verify", log, "--json"]);
  assert.equal(hashOf(log), before, "verify changed the log");
  assert.match(out, /^\{.*\}\n$/, err);
  const report = JSON.parse(out);
  assert.deepEqual(Object.keys(report), FIELDS);
  assert.ok(isPlain(err), err);
  return { status, err, report };
}

test("a closed log", { skip }, async () => {
  const log = newLog();
  await closedLog(log, ["a", "b", "c"]);
  const { status, err, report } = await verify(log);
  assert.equal(status, 0);
  assert.equal(err, "");
  const { file, offset, ...rest } = report;
  assert.deepEqual(rest, {
    state: "clean",
    sealed: true,
    live: false,
    first: 1,
    last: 3,
    dropped: 0,
    error: null,
  });
  assert.equal(file, segmentOf(log));
  assert.ok(offset > 0 && offset % 4096 === 0);
  assert.equal((await uring(["verify", log])).out, "clean: records 1 to 3, sealed\n");
});

test("many segments", { skip }, async () => {
  const log = newLog();
  await uring(["append", log, ...SMALL], `${"x".repeat(100)}\n`.repeat(20_000));
  assert.ok(readdirSync(log).filter((name) => name.endsWith(".wal")).length > 4);
  const { status, report } = await verify(log);
  assert.equal(status, 0);
  assert.deepEqual([report.state, report.first, report.last], ["clean", 1, 20_000]);
});

test("an empty log, and one that was cut at its start", { skip }, async () => {
  const log = newLog();
  await closedLog(log, []);
  const empty = await verify(log);
  assert.equal(empty.status, 0);
  assert.deepEqual([empty.report.state, empty.report.first, empty.report.last], ["clean", 1, 0]);
  {
    await using wal = await Wal.open(log, SMALL_WAL);
    for (const record of ["a", "b", "c"]) await wal.durable(wal.append(record));
    await wal.truncateBefore(3);
  }
  const { report } = await verify(log);
  assert.deepEqual([report.state, report.first, report.last], ["clean", 3, 3]);
});

test("a log that was not closed", { skip }, async () => {
  const log = newLog();
  await unclosedLog(log, ["a", "b"]);
  const { status, err, report } = await verify(log);
  assert.equal(status, 0);
  assert.match(err, /warning: the log was not closed/);
  assert.deepEqual([report.state, report.sealed, report.last], ["torn", false, 2]);
  assert.equal(report.dropped, 0);
});

test("a torn end", { skip }, async () => {
  const log = newLog();
  await unclosedLog(log, ["first", "second", "third"]);
  const segment = segmentOf(log);
  flip(segment, offsetOf(segment, "third"));
  const { status, err, report } = await verify(log);
  assert.equal(status, 0);
  assert.deepEqual([report.state, report.last, report.dropped], ["torn", 2, 1]);
  assert.equal(report.file, segment);
  assert.match(err, /warning/);
});

test("an ambiguous end", { skip }, async () => {
  const log = newLog();
  await unclosedLogInFlight(log, ["first", "second", "third"]);
  const segment = segmentOf(log);
  flip(segment, offsetOf(segment, "second"));
  const { status, err, report } = await verify(log);
  assert.equal(status, 0);
  assert.deepEqual([report.state, report.last, report.dropped], ["ambiguous", 1, 2]);
  assert.match(err, /warning/);
});

test("opening for writing decides as verify did", { skip }, async () => {
  const log = newLog();
  await unclosedLogInFlight(log, ["first", "second", "third"]);
  const segment = segmentOf(log);
  flip(segment, offsetOf(segment, "second"));
  const { report } = await verify(log);
  const { status, out, err } = await uring(["append", log, ...SMALL], "other\n");
  assert.equal(status, 0, err);
  assert.equal(out, `${report.last + 1}\n`);
  assert.match(err, /ambiguous: 2 records behind 1, .*kept in .*\.bin/);
  assert.equal((await uring(["cat", log])).out, "first\nother\n");
});

const DAMAGES: [string, (log: string, segment: string) => void][] = [
  [
    "a flipped bit before valid records",
    (_, segment) => flip(segment, offsetOf(segment, "second")),
  ],
  ["a flipped bit in the last record of a closed log", (_, segment) => {
    flip(segment, offsetOf(segment, "third"));
  }],
  ["a segment cut short", (_, segment) => truncateSync(segment, 20_480)],
  ["a missing segment", (_, segment) => rmSync(segment)],
  ["a missing META", (log) => rmSync(join(log, "META"))],
  ["META of zeros", (log) => writeFileSync(join(log, "META"), new Uint8Array(131_072))],
  ["a segment of zeros", (_, segment) => writeFileSync(segment, new Uint8Array(262_144))],
];

for (const [what, damage] of DAMAGES) {
  test(`${what} is corruption, with file and offset`, { skip }, async () => {
    const log = newLog();
    await closedLog(log, ["first", "second", "third"]);
    damage(log, segmentOf(log));
    const { status, err, report } = await verify(log);
    assert.equal(status, 1);
    assert.equal(report.state, "corrupt");
    assert.equal(report.sealed, false);
    assert.ok(report.file.startsWith(log), report.file);
    assert.equal(typeof report.offset, "number");
    assert.ok(err.includes(report.error), err);
    assert.ok(err.includes(report.file), err);
    const before = hashOf(log, ["LOCK"]);
    const append = await uring(["append", log, ...SMALL], "more\n");
    assert.equal(append.status, 1, "a damaged log was written to");
    assert.ok(isPlain(append.err), append.err);
    assert.equal(hashOf(log, ["LOCK"]), before, "a refused open changed the log");
  });
}

test("a segment of another log", { skip }, async () => {
  const log = newLog();
  const other = newLog();
  await closedLog(log, ["a"]);
  await closedLog(other, ["b"]);
  copyFileSync(segmentOf(other), segmentOf(log));
  const { status, report } = await verify(log);
  assert.equal(status, 1);
  assert.match(report.error, /another log/);
});

const NO_LOGS: [string, (path: string) => void][] = [
  ["missing", () => {}],
  ["empty", (path) => mkdirSync(path)],
  ["a directory of other files", (path) => {
    mkdirSync(path);
    writeFileSync(join(path, "letter"), "dear");
  }],
  ["a file", (path) => writeFileSync(path, "no directory")],
];

for (const [what, make] of NO_LOGS) {
  for (const name of ["verify", "cat"]) {
    test(`${name} of what is ${what}: no log here`, { skip }, async () => {
      const path = newLog();
      make(path);
      const { status, out, err } = await uring([name, path, "--json"]);
      assert.equal(status, 1);
      assert.equal(out, "");
      assert.match(err, /no log here/);
      assert.ok(err.includes(path), err);
      assert.ok(isPlain(err), err);
    });
  }
}

test("beside a writer: clean up to its mark, and it goes on", { skip }, async () => {
  const log = newLog();
  await using wal = await Wal.open(log, SMALL_WAL);
  for (let i = 0; i < 100; i++) await wal.durable(wal.append(`record ${i}`));
  const { status, out, err } = await uring(["verify", log, "--json"]);
  assert.equal(status, 0, err);
  const report = JSON.parse(out);
  assert.equal(report.state, "clean");
  assert.deepEqual([report.sealed, report.live], [false, true]);
  assert.ok(report.last <= 100);
  assert.match(err, /another process is writing/);
  await wal.durable(wal.append("more"));
});
