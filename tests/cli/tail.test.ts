/**
 * Goal: `uring tail` prints what is in a log and then what comes to it, each record once, whoever
 * writes it; and ends with the status that its end deserves.
 */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Wal } from "../../wal.ts";
import { closedLog, flip, offsetOf, segmentOf } from "./logs.ts";
import {
  commandOf,
  hashOf,
  isPlain,
  scratch,
  skipWithoutRing,
  SMALL,
  SMALL_WAL,
  start,
  startUring,
  uring,
} from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
let logs = 0;
const newLog = () => join(folder, `log-${++logs}`);
const TIMEOUT = { skip, timeout: 60_000 };

test(
  "what is there, what another process appends, over its closings; SIGINT is 0",
  TIMEOUT,
  async () => {
    const log = newLog();
    await closedLog(log, ["a", "b"]);
    const tail = startUring(["tail", log]);
    await tail.until(/^a\nb\n$/);
    assert.equal((await uring(["append", log, ...SMALL], "c\nd\n")).status, 0);
    await tail.until(/^a\nb\nc\nd\n$/);
    const writer = startUring(["append", log, ...SMALL]);
    writer.child.stdin!.write("e\n");
    // While the writer lives the mark of an idle log says that it is durable.
    await tail.until(/^a\nb\nc\nd\ne\n$/);
    writer.child.kill("SIGKILL");
    await writer.ended;
    assert.equal((await uring(["append", log, ...SMALL], "f\n")).status, 0);
    await tail.until(/e\nf\n$/);
    process.kill(tail.child.pid!, "SIGINT"); // see append.test.ts
    const { status, out, err } = await tail.ended;
    assert.deepEqual([status, out, err], [0, "a\nb\nc\nd\ne\nf\n", ""]);
  },
);

test("--from and --json; SIGTERM is 143; it changes nothing", TIMEOUT, async () => {
  const log = newLog();
  await closedLog(log, ["a", "b", "c"]);
  const before = hashOf(log);
  const tail = startUring(["tail", log, "--from", "2", "--json"]);
  await tail.until(/"c"\}\n$/);
  process.kill(tail.child.pid!, "SIGTERM"); // see append.test.ts
  const { status, out } = await tail.ended;
  assert.equal(status, 143);
  assert.equal(out, '{"lsn":2,"text":"b"}\n{"lsn":3,"text":"c"}\n');
  assert.equal(hashOf(log), before);
});

test("from a record that is yet to come", TIMEOUT, async () => {
  const log = newLog();
  await using wal = await Wal.open(log, SMALL_WAL);
  await wal.durable(wal.append("a"));
  const tail = startUring(["tail", log, "--from=3"]);
  await wal.durable(wal.append("b"));
  await wal.durable(wal.append("c"));
  await tail.until(/^c\n$/);
  process.kill(tail.child.pid!, "SIGINT"); // see append.test.ts
  assert.equal((await tail.ended).status, 0);
});

test("no log, removed records, damage: status 1, in words", TIMEOUT, async () => {
  const none = newLog();
  mkdirSync(none);
  const log = newLog();
  await closedLog(log, ["first", "second", "third"]);
  const cut = newLog();
  await closedLog(cut, ["a", "b", "c"]);
  {
    await using wal = await Wal.open(cut, SMALL_WAL);
    await wal.truncateBefore(3);
  }
  flip(segmentOf(log), offsetOf(segmentOf(log), "second"));
  const cases: [string[], RegExp, string][] = [
    [[none], /no log here/, ""],
    [[cut, "--from", "1"], /record 1 was removed; the oldest one is 3/, ""],
    [[log], /byte [0-9]+/, "first\n"],
  ];
  for (const [args, said, shown] of cases) {
    const { status, out, err } = await uring(["tail", ...args]);
    assert.equal(status, 1, err);
    assert.equal(out, shown);
    assert.match(err, said);
    assert.ok(err.includes(args[0]) || /removed/.test(err), err);
    assert.ok(isPlain(err), err);
  }
});

test("whoever has read enough ends it quietly", TIMEOUT, async () => {
  const log = newLog();
  await uring(["append", log, ...SMALL], "0123456789\n".repeat(100_000));
  const running = startUring(["tail", log]);
  await running.until(/0123456789\n/);
  running.child.stdout!.destroy();
  const { status, err } = await running.ended;
  assert.deepEqual([status, err], [141, ""]);
});

/** Lets a program fill a socket until its write waits there, and goes without reading. */
const FULL_SOCKET = [
  "import array, fcntl, socket, subprocess, sys, termios, time",
  "mine, its = socket.socketpair()",
  "child = subprocess.Popen(sys.argv[1:], stdout=its)",
  "its.close()",
  "mine.recv(1)",
  "held, before = array.array('i', [0]), -1",
  "while held[0] != before:",
  "    before = held[0]",
  "    time.sleep(0.2)",
  "    fcntl.ioctl(mine, termios.FIONREAD, held)",
  "mine.close()",
  "sys.exit(child.wait())",
].join("\n");

test("a reader that leaves a full socket ends it as quietly", TIMEOUT, async () => {
  const log = newLog();
  await uring(["append", log, ...SMALL], "0123456789\n".repeat(100_000));
  for (const command of ["tail", "cat"]) {
    const [program, args] = commandOf("cli.ts", [command, log]);
    const { status, err } = await start("python3", ["-c", FULL_SOCKET, program, ...args]).ended;
    assert.deepEqual([status, err], [141, ""], command);
  }
});
