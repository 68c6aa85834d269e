/**
 * Goal: `uring append` stores exactly the lines of its input, acknowledges what is durable and nothing
 * else, and ends with the status and the words that it promises.
 * Method: the command in a process of its own, fed through a pipe or from a file; the log is read back
 * through the library.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { test } from "node:test";
import { Wal } from "../../wal.ts";
import {
  commandOf,
  isPlain,
  type Running,
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

async function recordsOf(log: string): Promise<string[]> {
  await using wal = await Wal.open(log, SMALL_WAL);
  const records: string[] = [];
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) {
      records.push(Buffer.from(batch.bytes(i)).toString("latin1"));
    }
  }
  return records;
}

const INPUTS: [string, string, string[]][] = [
  ["nothing", "", []],
  ["one line", "a\n", ["a"]],
  ["a line without an end", "a\nb", ["a", "b"]],
  ["empty lines", "\n\na\n\n", ["", "", "a", ""]],
  ["CR and NUL", "a\r\n\0\n\r\n\0\0b\r", ["a\r", "\0", "\r", "\0\0b\r"]],
  ["bytes that are no UTF-8", "\xff\xfe\n\x80\n", ["\xff\xfe", "\x80"]],
];

for (const [what, input, records] of INPUTS) {
  for (const from of ["a pipe", "a file"]) {
    test(`${what} from ${from}`, { skip }, async () => {
      const log = newLog();
      const bytes = Buffer.from(input, "latin1");
      const file = join(folder, `input-${logs}`);
      writeFileSync(file, bytes);
      const { status, out, err } = await (from === "a file"
        ? uring(["append", log, ...SMALL], "", { inputFile: file })
        : uring(["append", log, ...SMALL], bytes));
      assert.equal(status, 0, err);
      assert.equal(err, "");
      assert.equal(out, `${records.length}\n`);
      assert.deepEqual(await recordsOf(log), records);
    });
  }
}

test("a file goes on from where its description stands", { skip }, async () => {
  const log = newLog();
  const file = join(folder, "half-read");
  writeFileSync(file, "one\ntwo\nthree\n");
  const [program, args] = commandOf("cli.ts", ["append", log, ...SMALL]);
  const script = 'exec < "$0"; read -r first; exec "$@"';
  const { status, stdout } = spawnSync("bash", ["-c", script, file, program, ...args]);
  assert.equal(status, 0);
  assert.equal(String(stdout), "2\n");
  assert.deepEqual(await recordsOf(log), ["two", "three"]);
});

test("many lines over many segments, twice", { skip }, async () => {
  const log = newLog();
  const lines = Array.from({ length: 20_000 }, (_, i) => `${i} ${"x".repeat(i % 97)}`);
  const file = join(folder, "many");
  writeFileSync(file, lines.join("\n") + "\n");
  const first = await uring(["append", log, ...SMALL], "", { inputFile: file });
  assert.equal(first.out, "20000\n", first.err);
  const second = await uring(["append", log, "--acks", ...SMALL], lines.join("\n"));
  assert.equal(second.status, 0, second.err);
  assert.match(second.out, /(^|\n)40000\n$/);
  assert.deepEqual(await recordsOf(log), [...lines, ...lines]);
  assert.ok(readdirSync(log).filter((name) => name.endsWith(".wal")).length > 4);
});

test(
  "--acks: a strictly rising LSN a line, each of them durable, and nothing else",
  { skip },
  async () => {
    const log = newLog();
    const { status, out, err } = await uring(
      ["append", log, "--acks", ...SMALL],
      "line\n".repeat(50_000),
    );
    assert.equal(status, 0, err);
    assert.equal(err, "");
    assert.match(out, /^([1-9][0-9]*\n)+$/);
    const lsns = out.trim().split("\n").map(Number);
    assert.equal(lsns.at(-1), 50_000);
    for (let i = 1; i < lsns.length; i++) assert.ok(lsns[i] > lsns[i - 1], `line ${i + 1}`);
  },
);

/** Waits for an acknowledgement while the input stays open. */
async function acknowledged(running: Running, line: string): Promise<void> {
  await running.until(RegExp(`(^|\n)${line}\n`));
}

test("what was read is acknowledged while the input pauses", { skip }, async () => {
  const log = newLog();
  const running = startUring(["append", log, "--acks", "--json", ...SMALL]);
  running.child.stdin!.write("a\nb");
  await acknowledged(running, '\\{"durable":1\\}');
  running.child.stdin!.write("b\n");
  await acknowledged(running, '\\{"durable":2\\}');
  running.child.stdin!.end("c");
  const { status, out } = await running.ended;
  assert.equal(status, 0);
  assert.equal(out, '{"durable":1}\n{"durable":2}\n{"durable":3}\n');
  assert.deepEqual(await recordsOf(log), ["a", "bb", "c"]);
});

test(
  "--acks with nothing new says nothing; --json says the durable LSN as an object",
  { skip },
  async () => {
    const log = newLog();
    assert.equal((await uring(["append", log, "--json", ...SMALL], "a\n")).out, '{"durable":1}\n');
    assert.equal((await uring(["append", log, "--acks", ...SMALL])).out, "");
    assert.equal((await uring(["append", log, ...SMALL])).out, "1\n");
  },
);

test("every acknowledged line outlives a SIGKILL", { skip }, async () => {
  const log = newLog();
  const running = startUring(["append", log, "--acks", ...SMALL]);
  const line = (i: number) => `line ${i}`;
  for (let i = 1; i <= 5000; i++) running.child.stdin!.write(line(i) + "\n");
  await running.until(/\n/);
  running.child.kill("SIGKILL");
  const { out, signal } = await running.ended;
  assert.equal(signal, "SIGKILL");
  const last = Number(out.slice(0, out.lastIndexOf("\n")).split("\n").at(-1));
  const records = await recordsOf(log);
  assert.ok(records.length >= last, `${last} were acknowledged, ${records.length} are there`);
  assert.deepEqual(records, records.map((_, i) => line(i + 1)));
});

test(
  "a writer that was killed is reported by the next one, and what it lost is not",
  { skip },
  async () => {
    const log = newLog();
    const running = startUring(["append", log, "--acks", ...SMALL]);
    running.child.stdin!.write("a\n");
    await acknowledged(running, "1");
    running.child.kill("SIGKILL");
    await running.ended;
    const { status, out } = await uring(["append", log, ...SMALL], "b\n");
    assert.equal(status, 0);
    assert.equal(out, "2\n");
    assert.deepEqual(await recordsOf(log), ["a", "b"]);
  },
);

for (const [signal, status] of [["SIGTERM", 143], ["SIGINT", 130]] as const) {
  test(
    `${signal} stores what was read whole, closes, and ends with ${status}`,
    { skip },
    async () => {
      const log = newLog();
      const running = startUring(["append", log, "--acks", ...SMALL]);
      running.child.stdin!.write("a\nb\nhalf");
      await running.until(/2\n/);
      process.kill(running.child.pid!, signal); // after `child.kill` Deno reports that signal, whatever the end
      const ended = await running.ended;
      assert.equal(ended.status, status, ended.err);
      assert.match(ended.err, /4 bytes of a line without an end were not stored/);
      const report = await uring(["verify", log, "--json"]);
      assert.deepEqual(
        (({ state, sealed, last }) => ({ state, sealed, last }))(JSON.parse(report.out)),
        { state: "clean", sealed: true, last: 2 },
      );
    },
  );
}

test(
  "a line that is too long: the lines before it are stored, its place is named",
  { skip },
  async () => {
    const log = newLog();
    const file = join(folder, "long");
    for (const end of ["\nlast\n", ""]) {
      writeFileSync(file, "first\nsecond\n" + "x".repeat(3 << 20) + end);
      const before = logs;
      for (const input of [file, undefined]) {
        const own = input === undefined ? newLog() : log + `-${before}-${end.length}`;
        const { status, out, err } = input === undefined
          ? await uring(["append", own, ...SMALL], readFileSync(file))
          : await uring(["append", own, ...SMALL], "", { inputFile: input });
        assert.equal(status, 1);
        assert.match(err, /standard input: line 3, which begins at byte 13, is longer/);
        assert.ok(isPlain(err), err);
        assert.equal(out, "2\n");
        assert.deepEqual(await recordsOf(own), ["first", "second"]);
      }
    }
  },
);

test("the longest line that fits", { skip }, async () => {
  const log = newLog();
  await using wal = await Wal.open(log, SMALL_WAL);
  const longest = wal.maxRecordBytes;
  await wal.close();
  const fits = await uring(
    ["append", log, ...SMALL],
    "y".repeat(longest) + "\n" + "z".repeat(longest),
  );
  assert.equal(fits.status, 0, fits.err);
  assert.equal((await uring(["append", log, ...SMALL], "y".repeat(longest + 1))).status, 1);
  assert.deepEqual((await recordsOf(log)).map((record) => record.length), [longest, longest]);
});

test("a locked log: status 1 and its holder, after the time-out", { skip }, async () => {
  const log = newLog();
  await using wal = await Wal.open(log, SMALL_WAL);
  await wal.durable(wal.append("mine"));
  const started = performance.now();
  const { status, out, err } = await uring(["append", log, "--lock-timeout", "0.3"], "a\n");
  assert.equal(status, 1);
  assert.equal(out, "");
  assert.ok(performance.now() - started >= 300);
  assert.match(err, RegExp(`locked by process ${process.pid} on `));
  assert.ok(isPlain(err), err);
  assert.equal(wal.durableLsn, 1);
});

test("a lock that is freed in time is waited for", { skip }, async () => {
  const log = newLog();
  const first = startUring(["append", log, "--acks", ...SMALL]);
  first.child.stdin!.write("a\n");
  await acknowledged(first, "1");
  const second = startUring(["append", log, "--acks", ...SMALL, "--lock-timeout", "30"]);
  second.child.stdin!.end("b\n");
  setTimeout(() => first.child.stdin!.end(), 300);
  assert.equal((await first.ended).status, 0);
  const { status, out, err } = await second.ended;
  assert.equal(status, 0, err);
  assert.equal(out, "2\n");
});

test("whoever closes our standard output ends us quietly", { skip }, async () => {
  const log = newLog();
  const running = startUring(["append", log, "--acks", ...SMALL]);
  running.child.stdin!.write("a\n");
  await acknowledged(running, "1");
  running.child.stdout!.destroy();
  // The first write finds out; the input stays open.
  const timer = setInterval(() => running.child.stdin!.write("b\n"), 20);
  const { status, err } = await running.ended;
  clearInterval(timer);
  assert.equal(status, 141, err);
  assert.equal(err, "");
  const { out } = await uring(["verify", log, "--json"]);
  assert.equal(JSON.parse(out).state, "clean");
});

test("--mode buffered", { skip }, async () => {
  const log = newLog();
  const { status, out, err } = await uring(
    ["append", log, "--mode", "buffered", ...SMALL],
    "a\nb\n",
  );
  assert.equal(status, 0, err);
  assert.equal(out, "2\n");
  assert.deepEqual(await recordsOf(log), ["a", "b"]);
});

test("a directory that is a file", { skip }, async () => {
  const file = join(folder, "file");
  writeFileSync(file, "precious\n");
  for (const path of [file, join(file, "below")]) {
    const { status, out, err } = await uring(["append", path, ...SMALL], "a\n");
    assert.equal(status, 1);
    assert.equal(out, "");
    assert.ok(err.includes(file), err);
    assert.match(err, /name a directory/);
    assert.ok(isPlain(err), err);
  }
});

test("a directory on a read-only place", { skip }, async () => {
  const { status, err } = await uring(["append", "/proc/uring-log", ...SMALL], "a\n");
  assert.equal(status, 1);
  assert.match(err, /\/proc\/uring-log/);
  assert.ok(isPlain(err), err);
});

test("standard input that is a directory", { skip }, async () => {
  const { status, err } = await uring(["append", newLog(), ...SMALL], "", { inputFile: folder });
  assert.equal(status, 1);
  assert.match(err, /standard input is a directory/);
});
