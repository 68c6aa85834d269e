/**
 * Errors of the kernel, each provoked, come back as a negative errno in `res`, and leave no file, buffer or
 * slot taken. The ideas are those of liburing's tests fallocate and msg-ring, and of the manual pages.
 */
import assert from "node:assert/strict";
import { chmodSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { errnoName, OPEN_FLAG, Ring, type RingFile, StatxResult } from "../../ring.ts";
import { hasCommand, runProgram } from "../support/program.ts";
import {
  fifo,
  filled,
  finish,
  inScratch,
  openFile,
  ROOT,
  skipRing,
  withRing,
} from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

const { RDONLY, WRONLY, RDWR, CREAT, EXCL, DIRECTORY, NOFOLLOW, NONBLOCK } = OPEN_FLAG;
const skipLimit = skipUnless(hasCommand("prlimit"), "prlimit is not installed") || skipRing;
const isRoot = process.getuid?.() === 0;

interface World {
  ring: Ring;
  directory: string;
  path: string;
  file: RingFile;
}
type Row = [operation: string, setUp: string, errno: string, run: (world: World) => number];

const open = (ring: Ring, path: string, flags: number, mode = 0) =>
  finish(ring, ring.prepOpenat(path, flags, mode, 1));
const link = (directory: string, name: string, target: string): string => {
  const path = join(directory, name);
  symlinkSync(target, path);
  return path;
};
/** Reads, or writes, with a buffer that is given back. */
function move(ring: Ring, file: RingFile, writes: boolean): number {
  const buffer = filled(ring, "text");
  const prep = writes ? ring.prepWrite : ring.prepRead;
  const res = finish(ring, prep.call(ring, file, buffer, 0, 4, 0, 1));
  buffer.release();
  return res;
}
/** The first directory of a file system that is mounted read-only, and can be entered. */
const readOnly = readFileSync("/proc/self/mounts", "utf8").split("\n").map((line) =>
  line.split(" ")
)
  .find(([, at, , options]) => {
    if (at === undefined || !/(^|,)ro(,|$)/.test(options)) return false;
    try {
      return statSync(`${at}/.`).isDirectory();
    } catch {
      return false;
    }
  })?.[1];
const otherFileSystem = (directory: string) =>
  ["/dev/shm", "/dev", "/"].find((at) => statSync(at).dev !== statSync(directory).dev)!;

const ROWS: Row[] = [
  ["openat", "nothing there", "ENOENT", ({ ring, path }) => open(ring, `${path}-not`, RDONLY)],
  [
    "openat",
    "EXCL, and it is there",
    "EEXIST",
    ({ ring, path }) => open(ring, path, CREAT | EXCL | RDWR, 0o600),
  ],
  [
    "openat",
    "a directory to write",
    "EISDIR",
    ({ ring, directory }) => open(ring, directory, RDWR),
  ],
  [
    "openat",
    "a file as a directory",
    "ENOTDIR",
    ({ ring, path }) => open(ring, path, DIRECTORY | RDONLY),
  ],
  [
    "openat",
    "links that lead to themselves",
    "ELOOP",
    ({ ring, directory }) => open(ring, link(directory, "loop", "loop"), RDONLY),
  ],
  [
    "openat",
    "NOFOLLOW, and a link",
    "ELOOP",
    ({ ring, directory, path }) => open(ring, link(directory, "link", path), NOFOLLOW | RDONLY),
  ],
  [
    "openat",
    "a name too long",
    "ENAMETOOLONG",
    ({ ring, directory }) => open(ring, join(directory, "a".repeat(256)), RDONLY),
  ],
  [
    "openat",
    "a FIFO that nobody reads",
    "ENXIO",
    ({ ring, directory }) => open(ring, fifo(directory, "fifo"), WRONLY | NONBLOCK),
  ],
  ["openat", "of /proc", "EACCES", ({ ring }) => open(ring, "/proc/self/status", RDONLY)],
  [
    "read",
    "a file opened to write",
    "EBADF",
    ({ ring, path }) => move(ring, openFile(ring, path, WRONLY), false),
  ],
  [
    "write",
    "a file opened to read",
    "EBADF",
    ({ ring, path }) => move(ring, openFile(ring, path, RDONLY), true),
  ],
  [
    "write",
    "a device that is full",
    "ENOSPC",
    ({ ring }) => move(ring, openFile(ring, "/dev/full", WRONLY), true),
  ],
  [
    "fallocate",
    "a file opened to read",
    "EBADF",
    ({ ring, path }) =>
      finish(ring, ring.prepFallocate(openFile(ring, path, RDONLY), 0, 0, 4096, 1)),
  ],
  [
    "fallocate",
    "no length",
    "EINVAL",
    ({ ring, file }) => finish(ring, ring.prepFallocate(file, 0, 0, 0, 1)),
  ],
  [
    "fallocate",
    "beyond any file",
    "EFBIG",
    ({ ring, file }) =>
      finish(ring, ring.prepFallocate(file, 0, Number.MAX_SAFE_INTEGER - 8191, 4096 * 4096, 1)),
  ],
  [
    "fadvise",
    "a FIFO",
    "ESPIPE",
    ({ ring, directory }) =>
      finish(ring, ring.prepFadvise(openFile(ring, fifo(directory, "advice"), RDWR), 0, 0, 0, 1)),
  ],
  [
    "fsync",
    "a FIFO",
    "EINVAL",
    ({ ring, directory }) =>
      finish(ring, ring.prepFsync(openFile(ring, fifo(directory, "sync"), RDWR), 1)),
  ],
  [
    "linkat",
    "a directory",
    "EPERM",
    ({ ring, directory }) => finish(ring, ring.prepLinkat(directory, `${directory}-2`, 1)),
  ],
  [
    "linkat",
    "another file system",
    "EXDEV",
    ({ ring, directory, path }) =>
      finish(ring, ring.prepLinkat(path, join(otherFileSystem(directory), "uring-none"), 1)),
  ],
  [
    "renameat",
    "into itself",
    "EINVAL",
    ({ ring, directory }) =>
      finish(ring, ring.prepRenameat(directory, join(directory, "below"), 1)),
  ],
  [
    "unlinkat",
    "a directory that is not empty",
    "ENOTEMPTY",
    ({ ring, directory }) => finish(ring, ring.prepUnlinkat(directory, 1, 0x200)),
  ],
  [
    "unlinkat",
    "a directory as a file",
    "EISDIR",
    ({ ring, directory }) => finish(ring, ring.prepUnlinkat(directory, 1)),
  ],
  [
    "mkdirat",
    "it is there",
    "EEXIST",
    ({ ring, directory }) => finish(ring, ring.prepMkdirat(directory, 0o700, 1)),
  ],
  [
    "statx",
    "below a file",
    "ENOTDIR",
    ({ ring, path }) => finish(ring, ring.prepStatx(`${path}/below`, new StatxResult(), 1)),
  ],
];
if (readOnly !== undefined) {
  ROWS.push([
    "mkdirat",
    "a read-only file system",
    "EROFS",
    ({ ring }) => finish(ring, ring.prepMkdirat(join(readOnly, "uring-none"), 0o700, 1)),
  ]);
}
if (!isRoot) {
  ROWS.push(["openat", "a file without rights", "EACCES", ({ ring, directory }) => {
    const path = join(directory, "mine");
    writeFileSync(path, "");
    chmodSync(path, 0o000);
    return open(ring, path, RDWR);
  }]);
}

describe("ring errors", { skip: skipRing }, () => {
  for (const [operation, setUp, errno, run] of ROWS) {
    it(`${operation}, ${setUp}: ${errno}`, () =>
      inScratch((directory) =>
        withRing({ arenaBytes: 65536, bufferBytes: 4096 }, (ring) => {
          const path = join(directory, "file");
          const file = openFile(ring, path);
          const res = run({ ring, directory, path, file });
          assert.equal(res < 0 ? errnoName(-res) : res, errno);
          assert.equal(ring.inFlight, 0);
          assert.equal(finish(ring, ring.prepFsync(file, 1)), 0);
          assert.equal(finish(ring, ring.prepClose(file, 1)), 0);
        })
      ));
  }

  it("fallocate beyond the limit of a file's size, alone and before an fsync", {
    skip: skipLimit,
  }, () =>
    inScratch(async (directory) => {
      const launcher = ["prlimit", `--fsize=${1 << 30}:${1 << 30}`];
      const program = join(ROOT, "tests/ring/fsize_program.ts");
      const run = await runProgram(program, [join(directory, "file")], { launcher });
      const EFBIG = 27;
      assert.deepEqual(JSON.parse(run.stdout), {
        beyond: -EFBIG,
        across: -EFBIG,
        within: 0,
        chain: [-EFBIG, 0],
      }, run.stderr);
    }));

  it("a message to a ring that is not enabled: EBADFD, and then it arrives", () =>
    withRing({ arenaBytes: 65536, bufferBytes: 4096 }, (ring) => {
      using target = Ring.open({ disabled: true, arenaBytes: 4096, bufferBytes: 4096 });
      const send = () => finish(ring, ring.prepMsgRing(target.address, 5, 6, 1));
      assert.equal(errnoName(-send()), "EBADFD");
      target.enable();
      assert.equal(send(), 0);
      assert.equal(target.reap(), 1);
      assert.deepEqual([target.completions.userData[0], target.completions.res[0]], [5, 6]);
    }));
});
