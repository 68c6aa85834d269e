/**
 * Goal: whatever becomes of standard output, `uring append` says what failed, keeps what it stored, and
 * tells the last acknowledgement to whoever still reads. A reader that went away is no failure; a disk
 * that is full is one.
 */
import assert from "node:assert/strict";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { hasCommand } from "../support/program.ts";
import { skipUnless } from "../support/skip.ts";
import { commandOf, isPlain, scratch, skipWithoutRing, SMALL, start, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
const skipFull = skip || skipUnless(existsSync("/dev/full"), "no /dev/full");
let logs = 0;
const newLog = () => join(folder, `log-${++logs}`);

/** Runs `uring` with its standard output where a shell's redirection says. */
function redirected(where: string, args: readonly string[], input: string) {
  const [program, all] = commandOf("cli.ts", args);
  const running = start("bash", ["-c", `exec "$@" ${where}`, "bash", program, ...all]);
  running.child.stdin!.end(input);
  return running.ended;
}

for (const options of [["--acks"], ["--acks", "--json"], []]) {
  test(`a full disk behind standard output: ${options.join(" ") || "at the end"}`, {
    skip: skipFull,
  }, async () => {
    const log = newLog();
    const { status, err } = await redirected(
      ">/dev/full",
      ["append", log, ...options, ...SMALL],
      "a\nb\n",
    );
    assert.equal(status, 1, err);
    assert.match(err, /^uring append: standard output: .*ENOSPC/);
    assert.match(err, /the log is durable up to record 2\n$/);
    assert.ok(isPlain(err), err);
    assert.equal((await uring(["cat", log])).out, "a\nb\n");
  });
}

for (const options of [["--acks"], []]) {
  const how = options.join(" ") || "at the end";
  test(`what failed is said though nobody reads the output: ${how}`, { skip }, async () => {
    const log = newLog();
    const file = join(folder, "long");
    writeFileSync(file, "first\n" + "x".repeat(3 << 20) + "\n");
    // The reader is gone before anything is written.
    const args = ["append", log, ...options, ...SMALL];
    const [program, all] = commandOf("cli.ts", args);
    const script = '{ sleep 0.2; "$@" <"$0"; echo "status $?" >&2; } | true';
    const { err } = await start("bash", ["-c", script, file, program, ...all]).ended;
    assert.match(err, /standard input: line 2, which begins at byte 6, is longer/);
    assert.match(err, /the log is durable up to record 1\n/);
    assert.match(err, /status 1\n$/);
    assert.ok(isPlain(err), err);
  });
}

test("a reader that went away, and nothing else: quiet, status 141", { skip }, async () => {
  const [program, all] = commandOf("cli.ts", ["append", newLog(), ...SMALL]);
  const script = '{ sleep 0.2; echo a | "$@"; echo "status $?" >&2; } | true';
  const { err } = await start("bash", ["-c", script, "bash", program, ...all]).ended;
  assert.equal(err, "status 141\n");
});

/** Starts a program, reads nothing of it for a while, and then everything. */
const SLOW_READER = [
  "import fcntl, os, subprocess, sys, time",
  "r, w = os.pipe()",
  "if sys.argv[1] == 'refusing': fcntl.fcntl(w, fcntl.F_SETFL, os.O_NONBLOCK)",
  "child = subprocess.Popen(sys.argv[2:], stdout=w)",
  "os.close(w)",
  "time.sleep(0.5)",
  "while data := os.read(r, 65536): os.write(1, data)",
  "sys.exit(child.wait())",
].join("\n");

for (const pipe of ["waiting", "refusing"]) {
  test(`a slow reader behind a pipe that is ${pipe}: the last line is told, each is whole`, {
    skip: skipUnless(hasCommand("python3"), "no python3"),
  }, async () => {
    const count = 60_000;
    const [program, args] = commandOf("tests/cli/live_lines_program.ts", [String(count)]);
    const running = start("python3", ["-c", SLOW_READER, pipe, program, ...args]);
    const { status, out, err } = await running.ended;
    assert.equal(status, 0, err);
    const lines = out.trimEnd().split("\n").map(Number);
    for (let i = 1; i < lines.length; i++) assert.ok(lines[i] > lines[i - 1], `line ${i + 1}`);
    assert.equal(lines.at(-1), count);
  });
}

test("records to a pipe that refuses: each of them once", {
  skip: skip || skipUnless(hasCommand("python3"), "no python3"),
}, async () => {
  const log = newLog();
  const lines = Array.from({ length: 30_000 }, (_, i) => `record ${i}`).join("\n") + "\n";
  await uring(["append", log, ...SMALL], lines);
  const [program, args] = commandOf("cli.ts", ["cat", log]);
  const running = start("python3", ["-c", SLOW_READER, "refusing", program, ...args]);
  const { status, out, err } = await running.ended;
  assert.equal(status, 0, err);
  assert.ok(out === lines, `${out.length} characters instead of ${lines.length}`);
});
