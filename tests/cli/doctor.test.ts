import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { skipUnless } from "../support/skip.ts";
import { closedLog } from "./logs.ts";
import { isPlain, scratch, skipWithoutRing, SMALL, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
const found = skip === false ? JSON.parse((await uring(["doctor", folder, "--json"])).out) : {};
const skipDirect = skipUnless(
  found.directory?.alignment?.offset > 0,
  "no direct I/O in the temporary directory",
);

test("says what there is, in lines and as JSON", { skip }, async () => {
  const { status, out, err } = await uring(["doctor", folder]);
  assert.equal(status, 0, err);
  for (
    const what of ["kernel", "io_uring", "memlock", "direct I/O", "mode", "CRC32C", "durability"]
  ) {
    assert.ok(out.includes(what), what);
  }
  const json = await uring(["doctor", folder, "--json"]);
  assert.equal(json.status, 0);
  const findings = JSON.parse(json.out);
  assert.match(findings.kernel, /^\d+\.\d+/);
  assert.equal(findings.uring.available, true);
  assert.equal(findings.backend, "uring");
  assert.equal(findings.directory.path, folder);
  const { alignment, mode, calibration } = findings.directory;
  assert.equal(mode, alignment.offset > 0 ? "measured" : "buffered");
  assert.equal(calibration, null);
  assert.deepEqual(readdirSync(folder), [], "doctor left something behind");
});

test("a directory that cannot be used: status 1", { skip }, async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  for (const path of [join(folder, "missing"), file]) {
    const { status, err } = await uring(["doctor", path, "--json"]);
    assert.equal(status, 1);
    assert.ok(err.includes(path), err);
    assert.match(err, /failed: (ENOENT|ENOTDIR), .*\. (Name|A part).* a directory/);
    assert.ok(!err.includes(".uring-doctor"), err);
    assert.ok(isPlain(err), err);
  }
});

/** Makes a calibration one of another kernel. */
function fromElsewhere(log: string): void {
  const path = join(log, "CALIBRATION");
  const stored = JSON.parse(readFileSync(path, "utf8"));
  stored.machine.kernel = "5.15.0-other";
  writeFileSync(path, JSON.stringify(stored));
}

test("what was measured for a log, here and elsewhere", { skip: skip || skipDirect }, async () => {
  const log = join(folder, "measured");
  assert.equal((await uring(["append", log, ...SMALL], "a\n")).err, "");
  const here = await uring(["doctor", log]);
  assert.match(here.out, /mode of a log +(direct|buffered): measured: a frame of /);
  fromElsewhere(log);
  const elsewhere = await uring(["doctor", log]);
  assert.equal(elsewhere.status, 0);
  assert.match(
    elsewhere.out,
    /mode of a log +buffered until .*--recalibrate.* another kernel \(5\.15\.0-other, and here it is /,
  );
  const { mode, calibration } = JSON.parse((await uring(["doctor", log, "--json"])).out).directory;
  assert.equal(mode, "buffered");
  assert.match(calibration.differs, /another kernel/);
  // The writer says the same, goes on, and measures when it is told to.
  for (const options of [[], ["--mode", "auto"]]) {
    const { status, err } = await uring(["append", log, ...SMALL, ...options], "b\n");
    assert.equal(status, 0);
    assert.match(err, /^uring append: warning: .*another kernel .*--recalibrate.*\n$/);
    assert.ok(!err.includes("recalibrate: true"), err);
  }
  const fixed = await uring(["append", log, ...SMALL, "--mode", "buffered"], "c\n");
  assert.deepEqual([fixed.status, fixed.err], [0, ""]);
  for (const options of [["--recalibrate"], []]) {
    const { status, err } = await uring(["append", log, ...SMALL, ...options], "d\n");
    assert.deepEqual([status, err], [0, ""]);
  }
  assert.match((await uring(["doctor", log])).out, /mode of a log +(direct|buffered): measured: /);
  assert.equal((await uring(["cat", log])).out, "a\nb\nb\nc\nd\nd\n");
});

const libraries: [string, string, RegExp][] = [
  ["missing", join(folder, "none.so"), /there is no such file/],
  ["a text", join(folder, "text.so"), /it is no ELF file/],
];
for (const [what, path, said] of libraries) {
  test(
    `a library that is ${what}: the commands go on without it, and say which and what to do`,
    { skip },
    async () => {
      writeFileSync(join(folder, "text.so"), "not a library, and long enough to be one".repeat(4));
      const log = join(folder, `log-${what}`);
      await closedLog(log, ["a"]);
      const options = { env: { URING_LIBRARY: path } };
      const doctor = await uring(["doctor", folder], "", options);
      const append = await uring(["append", log, ...SMALL], "b\n", options);
      for (const [outcome, text] of [[doctor, doctor.out], [append, append.err]] as const) {
        assert.equal(outcome.status, 0, outcome.err);
        assert.match(text, said);
        assert.ok(text.includes(path) && text.includes("URING_LIBRARY"), text);
        assert.ok(isPlain(text), text);
      }
      assert.equal(append.out, "2\n");
      for (const args of [["cat", log], ["verify", log]]) {
        assert.equal((await uring(args, "", options)).status, 0);
      }
      assert.equal((await uring(["cat", log])).out, "a\nb\n");
      const byName = await uring(["cat", log], "", {
        env: { URING_LIBRARY: path, URING_BACKEND: "uring" },
      });
      assert.equal(byName.status, 1);
      assert.match(byName.err, said);
    },
  );
}

test("a backend that keeps nothing is refused", { skip }, async () => {
  const options = { env: { URING_BACKEND: "memory" } };
  const { status, out, err } = await uring(["append", join(folder, "memory")], "a\n", options);
  assert.equal(status, 1);
  assert.equal(out, "");
  assert.match(err, /unset URING_BACKEND/);
});
