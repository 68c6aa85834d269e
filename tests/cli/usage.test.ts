import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { isPlain, ROOT, scratch, uring } from "./support.ts";

const folder = scratch();

const MISTAKES: [string, string[], RegExp][] = [
  ["no command", [], /name a command: append, cat, tail, verify, repair, doctor/],
  ["an unknown command", ["apend"], /no command apend/],
  ["an option before the command", ["--json", "cat"], /no command --json/],
  ["no directory", ["append"], /DIR/],
  ["an empty directory", ["verify", ""], /empty/],
  ["an argument too many", ["cat", "a", "b"], /b is one argument too many/],
  ["an unknown option", ["append", "x", "--ack"], /no option --ack/],
  ["an unknown short option", ["cat", "x", "-q"], /no option -q/],
  ["an option of another command", ["cat", "x", "--acks"], /no option --acks/],
  ["a value that is missing", ["cat", "x", "--from"], /--from needs a value/],
  ["an empty value", ["cat", "x", "--from="], /--from needs a value/],
  ["an LSN of 0", ["cat", "x", "--from", "0"], /--from is an integer from 1/],
  ["an LSN that is no number", ["cat", "x", "--to", "1e3"], /--to is an integer/],
  ["a negative LSN", ["cat", "x", "--from", "-1"], /--from is an integer/],
  ["half a byte", ["append", "x", "--segment-bytes", "70000.5"], /--segment-bytes is an integer/],
  ["odd bytes", ["append", "x", "--segment-bytes", "70001"], /a multiple of 4096/],
  ["tiny segments", ["append", "x", "--segment-bytes", "4096"], /from 69632/],
  ["an unknown mode", ["append", "x", "--mode", "fast"], /direct, buffered/],
  ["a flag with a value", ["append", "x", "--acks=banana"], /--acks takes no value/],
  ["a flag with a value behind it", ["cat", "x", "--json=x"], /--json takes no value/],
  ["a flag that is said to be false", ["verify", "x", "--json=false"], /--json takes no value/],
  ["a mode that is fixed, and measured", [
    ...["append", "x", "--mode", "direct", "--recalibrate"],
  ], /--recalibrate measures for --mode auto/],
  ["a time that is none", ["append", "x", "--lock-timeout", "soon"], /--lock-timeout is a number/],
  ["a negated value", ["append", "x", "--no-mode"], /--mode/],
];

for (const [what, args, said] of MISTAKES) {
  test(`${what} is a mistake in usage`, async () => {
    const { status, out, err } = await uring(args, "", { cwd: folder });
    assert.equal(status, 2, err);
    assert.equal(out, "");
    assert.match(err, said);
    assert.match(err, /Try: uring( \w+)? --help\n$/);
    assert.ok(isPlain(err), err);
    assert.ok(!existsSync(join(folder, "x")), "something was made");
  });
}

test("--version prints the version of the package", async () => {
  const { status, out } = await uring(["--version"]);
  assert.equal(status, 0);
  const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
  assert.equal(out, version + "\n");
});

test("--help names every command, and each command's options", async () => {
  const all = await uring(["--help"]);
  assert.equal(all.status, 0);
  for (const name of ["append", "cat", "tail", "verify", "repair", "doctor"]) {
    assert.match(all.out, RegExp(`${name} `));
  }
  const { status, out } = await uring(["append", "--help"]);
  assert.equal(status, 0);
  for (const name of ["acks", "segment-bytes", "mode", "recalibrate", "lock-timeout", "json"]) {
    assert.ok(out.includes(`--${name}`), name);
  }
  // deno-lint-ignore no-control-regex
  assert.ok(!/\x1b/.test(all.out + out), "colours in what is no terminal");
});
