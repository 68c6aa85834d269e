/**
 * Goal: `uring cat` gives back exactly what is in a log, says what was cut, and stops in words where a
 * log is damaged, behind the records before the damage.
 */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Wal } from "../../wal.ts";
import { closedLog, flip, offsetOf, segmentOf, unclosedLog, unclosedLogInFlight } from "./logs.ts";
import {
  hashOf,
  isPlain,
  scratch,
  skipWithoutRing,
  SMALL,
  SMALL_WAL,
  startUring,
  uring,
} from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
let logs = 0;
const newLog = () => join(folder, `log-${++logs}`);

test("every byte of every record, each followed by a line feed", { skip }, async () => {
  const log = newLog();
  const input = Buffer.from("a\n\nb\r\n\0\xff\xfe\n\xef\xbb\xbfmark\n", "latin1");
  await uring(["append", log, ...SMALL], input);
  const { status, stdout, err } = await uring(["cat", log]);
  assert.equal(status, 0);
  assert.equal(err, "");
  assert.equal(Buffer.from(stdout).compare(input), 0);
});

test("--json: text, or base64 where it is no UTF-8", { skip }, async () => {
  const log = newLog();
  const input = Buffer.from('a "quoted"\\\n\n\0\n\xff\xfe\n\xef\xbb\xbfmark\n', "latin1");
  await uring(["append", log, ...SMALL], input);
  const { status, out } = await uring(["cat", log, "--json"]);
  assert.equal(status, 0);
  const objects = out.trimEnd().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(objects, [
    { lsn: 1, text: 'a "quoted"\\' },
    { lsn: 2, text: "" },
    { lsn: 3, text: "\0" },
    { lsn: 4, base64: "//4=" },
    { lsn: 5, text: "\ufeffmark" },
  ]);
});

test("large records and many", { skip }, async () => {
  const log = newLog();
  const lines = [
    ...Array.from({ length: 30_000 }, (_, i) => `${i} ${"y".repeat(i % 61)}`),
    "z".repeat(190_000),
    ...Array.from({ length: 20 }, (_, i) => String(i).repeat(90_000 / String(i).length)),
  ];
  const input = lines.join("\n") + "\n";
  assert.equal((await uring(["append", log, ...SMALL], input)).status, 0);
  const { status, out } = await uring(["cat", log]);
  assert.equal(status, 0);
  assert.ok(out === input);
  // Beyond what is collected for one write.
  const wide = newLog();
  const record = "w".repeat(1_040_000);
  assert.equal((await uring(["append", wide], `a\n${record}\nb\n`)).status, 0);
  assert.ok((await uring(["cat", wide])).out === `a\n${record}\nb\n`);
});

test("--from and --to", { skip }, async () => {
  const log = newLog();
  await closedLog(log, ["a", "b", "c", "d"]);
  const show = async (...args: string[]) => (await uring(["cat", log, ...args])).out;
  assert.equal(await show("--from", "2"), "b\nc\nd\n");
  assert.equal(await show("--to", "3"), "a\nb\n");
  assert.equal(await show("--from=2", "--to=4"), "b\nc\n");
  assert.equal(await show("--from", "4", "--to", "4"), "");
  assert.equal(await show("--from", "99"), "");
  assert.equal(await show("--to", "99"), "a\nb\nc\nd\n");
});

test("records that were removed", { skip }, async () => {
  const log = newLog();
  await closedLog(log, ["a", "b", "c"]);
  {
    await using wal = await Wal.open(log, SMALL_WAL);
    await wal.truncateBefore(3);
  }
  assert.equal((await uring(["cat", log])).out, "c\n");
  const { status, out, err } = await uring(["cat", log, "--from", "1"]);
  assert.equal(status, 1);
  assert.equal(out, "");
  assert.match(err, /record 1 was removed; the oldest one is 3/);
});

test("an empty log", { skip }, async () => {
  const log = newLog();
  await closedLog(log, []);
  const { status, out, err } = await uring(["cat", log]);
  assert.deepEqual([status, out, err], [0, "", ""]);
});

test("a log that was not closed: everything, and a warning", { skip }, async () => {
  const log = newLog();
  await unclosedLog(log, ["a", "b"]);
  const { status, out, err } = await uring(["cat", log]);
  assert.equal(status, 0, err);
  assert.equal(out, "a\nb\n");
  assert.match(err, /warning: the log was not closed/);
});

test("a torn end: what is before it, and what is cut, with its place", { skip }, async () => {
  const log = newLog();
  await unclosedLog(log, ["first", "second", "third"]);
  const segment = segmentOf(log);
  flip(segment, offsetOf(segment, "third"));
  const before = hashOf(log);
  const { status, out, err } = await uring(["cat", log]);
  assert.equal(status, 0, err);
  assert.equal(out, "first\nsecond\n");
  assert.match(err, /ends with record 2 at byte [0-9]+ of .*\.wal; 1 record behind it/);
  assert.equal(hashOf(log), before);
});

test("an ambiguous end: what is before it, and a warning", { skip }, async () => {
  const log = newLog();
  await unclosedLogInFlight(log, ["first", "second", "third"]);
  const segment = segmentOf(log);
  flip(segment, offsetOf(segment, "second"));
  const { status, out, err } = await uring(["cat", log]);
  assert.equal(status, 0, err);
  assert.equal(out, "first\n");
  assert.match(err, /ends with record 1 at byte [0-9]+ of .*\.wal; 2 records behind it/);
});

test(
  "damage before valid records: those before it, then file and offset, status 1",
  { skip },
  async () => {
    const log = newLog();
    await closedLog(log, ["first", "second", "third"]);
    const segment = segmentOf(log);
    flip(segment, offsetOf(segment, "second"));
    const before = hashOf(log);
    const { status, out, err } = await uring(["cat", log]);
    assert.equal(status, 1);
    assert.equal(out, "first\n");
    assert.ok(err.includes(segment), err);
    assert.match(err, /byte [0-9]+/);
    assert.ok(isPlain(err), err);
    assert.equal(hashOf(log), before);
  },
);

test("a missing segment: the records before it, then its name, status 1", { skip }, async () => {
  const log = newLog();
  const lines = Array.from({ length: 10_000 }, (_, i) => `${i} ${"x".repeat(60)}`);
  await uring(["append", log, ...SMALL], lines.join("\n"));
  const missing = join(log, "0000000000000002.wal");
  rmSync(missing);
  const { status, out, err } = await uring(["cat", log]);
  assert.equal(status, 1);
  assert.ok(out.length > 1000 && lines.join("\n").startsWith(out));
  assert.ok(err.includes(missing) && /the file is missing/.test(err), err);
});

test("beside a writer: what it has marked durable, changing nothing", { skip }, async () => {
  const log = newLog();
  await using wal = await Wal.open(log, SMALL_WAL);
  await wal.durable(wal.append("a"));
  // The mark is written when the log is idle.
  let out = "";
  const deadline = performance.now() + 20_000;
  while (out !== "a\n" && performance.now() < deadline) {
    const outcome = await uring(["cat", log]);
    assert.equal(outcome.status, 0, outcome.err);
    assert.match(outcome.err, /another process is writing/);
    out = outcome.out;
  }
  assert.equal(out, "a\n");
  await wal.durable(wal.append("b"));
});

test("whoever has read enough ends it quietly", { skip }, async () => {
  const log = newLog();
  await uring(["append", log, ...SMALL], "0123456789\n".repeat(100_000));
  const running = startUring(["cat", log]);
  running.child.stdin!.end();
  await running.until(/0123456789\n/);
  running.child.stdout!.destroy();
  const { status, err } = await running.ended;
  assert.equal(status, 141, err);
  assert.equal(err, "");
});
