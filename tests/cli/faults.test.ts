/**
 * Goal: where the machine refuses something, the commands say what and what to do, end with status 1,
 * and leave what was stored as it was.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { after, test } from "node:test";
import { asUser } from "../support/program.ts";
import { skipUnless } from "../support/skip.ts";
import { closedLog } from "./logs.ts";
import {
  commandOf,
  hashOf,
  isPlain,
  ROOT,
  scratch,
  skipWithoutRing,
  SMALL,
  start,
  startUring,
  uring,
} from "./support.ts";

const folder = scratch();
const skip = await skipWithoutRing();
const isRoot = process.getuid?.() === 0;
chmodSync(folder, 0o777); // for the tests as another user

test(
  "io_uring blocked by a filter: the commands go on without it, and say why",
  { skip },
  async () => {
    const log = join(folder, "blocked");
    await closedLog(log, ["a"]);
    const blocked = (args: string[], env: Record<string, string> = {}) => {
      const [program, all] = commandOf("cli.ts", args);
      const filter = join(ROOT, "tests/support/seccomp.py");
      const running = start("python3", [filter, "1", program, ...all], { env });
      running.child.stdin!.end("b\n");
      return running.ended;
    };
    const before = hashOf(log);
    const byName = await blocked(["append", log], { URING_BACKEND: "uring" });
    assert.equal(byName.status, 1);
    assert.equal(byName.out, "");
    assert.match(byName.err, /io_uring is not available \(blocked\).*seccomp profile that allows/);
    assert.equal(hashOf(log), before);

    const appended = await blocked(["append", log, ...SMALL]);
    assert.equal(appended.status, 0, appended.err);
    assert.equal(appended.out, "2\n");
    assert.match(appended.err, /warning: writing by node:fs.*not available \(blocked\)/);
    assert.ok(isPlain(appended.err), appended.err);
    const cat = await blocked(["cat", log]);
    assert.deepEqual([cat.status, cat.out], [0, "a\nb\n"], cat.err);
    const verify = JSON.parse((await blocked(["verify", log, "--json"])).out);
    assert.deepEqual([verify.state, verify.last], ["clean", 2]);
    // What it wrote is a log like any other.
    assert.equal((await uring(["cat", log])).out, "a\nb\n");

    const doctor = await blocked(["doctor", folder, "--json"]);
    assert.equal(doctor.status, 0, doctor.err);
    const { uring: found, kernel, backend, backendReason, directory } = JSON.parse(doctor.out);
    assert.deepEqual([found.available, found.reason, backend], [false, "blocked", "sync"]);
    assert.match(backendReason, /\(blocked\)/);
    assert.match(found.wayOut, /seccomp/);
    assert.equal(directory.mode, "buffered");
    assert.ok(kernel);
    assert.match((await blocked(["doctor", folder])).out, /not available \(blocked\)/);
  },
);

/** Runs `uring` behind a launcher, as an ordinary user who may write to `home`. */
function asOther(launcherOf: readonly string[], home: string, args: string[], input = "") {
  const [program, all] = commandOf("cli.ts", args);
  const [launcher, ...rest] = launcherOf;
  const env = { HOME: home, DENO_DIR: join(home, "deno") };
  const running = start(launcher, [...rest, program, ...all], { env });
  running.child.stdin!.end(input);
  return running.ended;
}

for (const memlockBytes of [8 << 20, 64 << 10]) {
  test(`an ordinary user with ${memlockBytes} bytes of memlock appends and reads`, {
    skip: skip || skipUnless(isRoot, "becoming another user needs root"),
  }, async () => {
    const home = join(folder, `home-${memlockBytes}`);
    mkdirSync(home);
    chmodSync(home, 0o777);
    const as = (args: string[], input = "") => asOther(asUser(memlockBytes), home, args, input);
    const log = join(home, "log");
    const { status, out, err } = await as(["append", log, ...SMALL], "a\nb\n");
    assert.equal(status, 0, err);
    assert.equal(out, "2\n");
    assert.equal((await as(["cat", log])).out, "a\nb\n");
    const found = JSON.parse((await as(["doctor", home, "--json"])).out);
    assert.equal(found.memlockBytes, memlockBytes);
  });
}

test("an ordinary user who may lock no memory at all", {
  skip: skip || skipUnless(isRoot, "becoming another user needs root"),
}, async () => {
  const home = join(folder, "home-0");
  mkdirSync(home);
  chmodSync(home, 0o777);
  const as = (args: string[], input = "") => asOther(asUser(0), home, args, input);
  const log = join(home, "log");
  for (const [input, last] of [["a\nb\n", 2], ["c\n", 3]] as const) {
    const { status, out, err } = await as(["append", log, ...SMALL], input);
    assert.equal(status, 0, err);
    assert.equal(out, `${last}\n`);
    // Either way of going on is fine; whoever is slower by it is told.
    const said = /^(uring append: warning: writing by node:fs, .*memlock.*\n)?$/;
    assert.match(err, said);
    assert.ok(isPlain(err), err);
  }
  assert.equal((await as(["cat", log])).out, "a\nb\nc\n");
  const doctor = await as(["doctor", home, "--json"]);
  assert.equal(doctor.status, 0, doctor.err);
  const { memlockBytes, memlockLimited, backend, uring: found } = JSON.parse(doctor.out);
  assert.deepEqual([memlockBytes, memlockLimited], [0, true]);
  assert.equal(backend, found.available ? "uring" : "sync");
  if (!found.available) assert.match(found.wayOut, /^Raise the limit \(ulimit -l[^)]*\)$/);
  assert.match((await as(["doctor", home])).out, /memlock +0 bytes\n/);
});

/** Without any right of root's, so that permissions hold. */
const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

function nobodyMay(): boolean {
  const [program, ...args] = [...NOBODY, ...commandOf("cli.ts", ["--version"]).flat()];
  return isRoot && spawnSync(program, args, { env: { HOME: folder } }).status === 0;
}

test("a directory, and a log, without permission", {
  skip: skip || skipUnless(nobodyMay(), "no other user can run this checkout"),
}, async () => {
  const closed = join(folder, "closed");
  mkdirSync(closed, { mode: 0o755 });
  const log = join(closed, "log");
  await closedLog(log, ["a"]);
  const before = hashOf(log);
  for (const path of [join(closed, "new"), log]) {
    const { status, out, err } = await asOther(NOBODY, folder, ["append", path], "b\n");
    assert.equal(status, 1);
    assert.equal(out, "");
    assert.ok(err.includes(path), err);
    assert.match(err, /EACCES.*Check who owns/);
    assert.ok(isPlain(err), err);
  }
  // Reading is allowed.
  assert.equal((await asOther(NOBODY, folder, ["cat", log])).out, "a\n");
  chmodSync(log, 0o700);
  for (const command of ["cat", "verify", "doctor"]) {
    const { status, err } = await asOther(NOBODY, folder, [command, log]);
    assert.equal(status, 1);
    assert.ok(err.includes(log) && /EACCES.*Check who owns/.test(err), err);
  }
  chmodSync(log, 0o755);
  assert.equal(hashOf(log), before);
});

/** A small file system of its own, or why there is none. */
function smallDisk(): { path: string; missing: string } {
  const path = mkdtempSync(join(tmpdir(), "uring-cli-disk-"));
  const { status } = spawnSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tmpfs", path]);
  after(() => {
    if (status === 0) spawnSync("umount", ["--lazy", path]);
    rmdirSync(path);
  });
  if (status !== 0) return { path, missing: "mounting a tmpfs needs root" };
  return { path, missing: "" };
}

const disk = smallDisk();

for (const from of ["a pipe", "a file"]) {
  test(`a full disk, from ${from}: what was acknowledged is there`, {
    skip: skip || skipUnless(disk.missing === "", disk.missing),
  }, async () => {
    const log = join(disk.path, "log");
    const lines = Array.from({ length: 20_000 }, (_, i) => `${i} ${"x".repeat(100)}`);
    const args = ["append", log, "--acks", ...SMALL];
    const input = lines.join("\n") + "\n";
    const file = join(folder, "lines");
    writeFileSync(file, input);
    const { status, out, err } =
      await (from === "a file" ? startUring(args, { inputFile: file }).ended : uring(args, input));
    assert.equal(status, 1, err);
    assert.match(err, /ENOSPC/);
    assert.match(err, /Free space/);
    assert.ok(isPlain(err), err);
    const acknowledged = Number(out.trim().split("\n").at(-1));
    assert.ok(acknowledged > 0 && acknowledged < lines.length, out);
    assert.match(err, RegExp(`the log is durable up to record ${acknowledged}\n`));
    const cat = await uring(["cat", log]);
    assert.equal(cat.status, 0, cat.err);
    const shown = cat.out.trimEnd().split("\n");
    assert.ok(shown.length >= acknowledged);
    assert.deepEqual(shown, lines.slice(0, shown.length));
    // An open of the full disk finds no room either, and says so.
    const again = await uring(["append", log, ...SMALL, "--lock-timeout", "1"], "more\n");
    assert.equal(again.status, 1, "there is no room");
    assert.match(again.err, /ENOSPC/);
    assert.equal((await uring(["cat", log])).out, cat.out);
    rmSync(log, { recursive: true });
  });
}

test("a disk that is full from the start", {
  skip: skip || skipUnless(disk.missing === "", disk.missing),
}, async () => {
  const log = join(disk.path, "large");
  const { status, out, err } = await uring(["append", log], "a\n"); // 64 MiB on 1 MiB
  assert.equal(status, 1);
  assert.equal(out, "");
  assert.match(err, /ENOSPC/);
  assert.ok(err.includes(log), err);
  assert.match(err, /Free space/);
  assert.ok(isPlain(err), err);
});
