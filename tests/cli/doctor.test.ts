import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { closedLog } from "./logs.ts";
import { isPlain, scratch, skipWithoutRing, SMALL, uring } from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();

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
  assert.ok(["direct", "buffered"].includes(findings.directory.mode));
  assert.deepEqual(readdirSync(folder), [], "doctor left something behind");
});

test("a directory that cannot be used: status 1", { skip }, async () => {
  const file = join(folder, "file");
  writeFileSync(file, "");
  for (const path of [join(folder, "missing"), file]) {
    const { status, err } = await uring(["doctor", path, "--json"]);
    assert.equal(status, 1);
    assert.ok(err.includes(path), err);
    assert.ok(isPlain(err), err);
  }
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
