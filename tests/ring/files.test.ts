/**
 * Operations on files, each with its results and its errors as the manual pages state them: open(2),
 * read(2), write(2), fsync(2), fallocate(2), ftruncate(2), statx(2), rename(2), unlink(2), mkdir(2),
 * link(2), posix_fadvise(2). What the ring did is looked at through node:fs.
 */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import {
  AT_FLAG,
  ERRNO,
  FADVISE_FLAG,
  FALLOCATE_FLAG,
  FSYNC_FLAG,
  OPEN_FLAG,
  RENAME_FLAG,
  type Ring,
  RingBusyError,
  RW_FLAG,
  StatxResult,
} from "../../ring.ts";
import {
  filled,
  finish,
  finishAll,
  inScratch,
  openFile,
  skipRing,
  textOf,
  withRing,
} from "../support/ring.ts";

const test = (name: string, body: (ring: Ring, directory: string) => void | Promise<void>) =>
  it(name, () => inScratch((directory) => withRing({}, (ring) => body(ring, directory))));

describe("ring data", { skip: skipRing }, () => {
  test("writes, syncs and reads back, by both kinds of both", (ring, directory) => {
    const path = join(directory, "data");
    const file = openFile(ring, path);
    const out = filled(ring, "hello, ring");
    assert.equal(finish(ring, ring.prepWrite(file, out, 0, 11, 0, 1)), 11);
    assert.equal(finish(ring, ring.prepWriteFixed(file, out, 7, 4, 11, 2)), 4);
    assert.equal(finish(ring, ring.prepFsync(file, 3)), 0);
    assert.equal(readFileSync(path, "utf8"), "hello, ringring");
    const back = ring.buffers.acquire()!;
    assert.equal(finish(ring, ring.prepRead(file, back, 0, 100, 0, 4)), 15);
    assert.equal(textOf(back, 15), "hello, ringring");
    assert.equal(finish(ring, ring.prepReadFixed(file, back, 50, 4, 7, 5)), 4);
    assert.equal(new TextDecoder().decode(back.bytes.slice(50, 54)), "ring");
  });

  test("reads short at the end of the file, and 0 behind it", (ring, directory) => {
    writeFileSync(join(directory, "data"), "0123456789");
    const file = openFile(ring, join(directory, "data"));
    const buffer = ring.buffers.acquire()!;
    assert.equal(finish(ring, ring.prepRead(file, buffer, 0, 100, 8, 1)), 2);
    assert.equal(finish(ring, ring.prepRead(file, buffer, 0, 100, 10, 1)), 0);
    assert.equal(finish(ring, ring.prepRead(file, buffer, 0, 0, 0, 1)), 0);
  });

  test("writes beyond 4 GiB where it is told to", (ring, directory) => {
    const path = join(directory, "large");
    const file = openFile(ring, path);
    const offset = 5 * 2 ** 32 + 12345;
    const buffer = filled(ring, "far");
    assert.equal(finish(ring, ring.prepWrite(file, buffer, 0, 3, offset, 1)), 3);
    assert.equal(statSync(path).size, offset + 3);
    buffer.bytes.fill(0, 0, 3);
    assert.equal(finish(ring, ring.prepRead(file, buffer, 0, 10, offset, 1)), 3);
    assert.equal(textOf(buffer, 3), "far");
  });

  test("takes rw_flags, and refuses those that a row does not have", (ring, directory) => {
    const file = openFile(ring, join(directory, "data"));
    const buffer = filled(ring, "durable");
    assert.equal(finish(ring, ring.prepWrite(file, buffer, 0, 7, 0, 1, RW_FLAG.DSYNC)), 7);
    assert.equal(finish(ring, ring.prepWriteFixed(file, buffer, 0, 7, 0, 1, RW_FLAG.SYNC)), 7);
    // RWF_APPEND ignores the offset.
    assert.equal(finish(ring, ring.prepWrite(file, buffer, 0, 7, 0, 1, RW_FLAG.APPEND)), 7);
    assert.equal(statSync(join(directory, "data")).size, 14);
    assert.throws(
      () => ring.prepRead(file, buffer, 0, 7, 0, 1, RW_FLAG.DSYNC),
      /flags of read must/,
    );
    assert.throws(() => ring.prepWrite(file, buffer, 0, 7, 0, 1, 0x100), /flags of write must/);
    assert.equal(ring.inFlight, 0);
  });

  test("does O_DIRECT from an aligned slice, and reports a crooked offset", (ring, directory) => {
    const path = join(directory, "direct");
    const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT | OPEN_FLAG.DIRECT;
    const opened = finish(ring, ring.prepOpenat(path, flags, 0o644, 1));
    // tmpfs before 6.6 has no direct I/O.
    if (opened === -ERRNO.EINVAL) return;
    const file = ring.file(opened);
    const buffer = ring.buffers.acquire()!;
    buffer.bytes.fill(7);
    assert.equal(finish(ring, ring.prepWriteFixed(file, buffer, 0, 8192, 0, 2)), 8192);
    assert.equal(finish(ring, ring.prepReadFixed(file, buffer, 8192, 4096, 4096, 3)), 4096);
    assert.equal(finish(ring, ring.prepReadFixed(file, buffer, 1, 4096, 1, 4)), -ERRNO.EINVAL);
  });

  test("reports errors of the kernel as res", (ring, directory) => {
    const path = join(directory, "data");
    writeFileSync(path, "x");
    const buffer = ring.buffers.acquire()!;
    const reader = openFile(ring, path, OPEN_FLAG.RDONLY);
    assert.equal(finish(ring, ring.prepWrite(reader, buffer, 0, 1, 0, 1)), -ERRNO.EBADF);
    const writer = openFile(ring, path, OPEN_FLAG.WRONLY);
    assert.equal(finish(ring, ring.prepRead(writer, buffer, 0, 1, 0, 1)), -ERRNO.EBADF);
    const folder = openFile(ring, directory, OPEN_FLAG.RDONLY | OPEN_FLAG.DIRECTORY);
    assert.equal(finish(ring, ring.prepRead(folder, buffer, 0, 1, 0, 1)), -ERRNO.EISDIR);
    assert.equal(finish(ring, ring.prepFsync(folder, 1)), 0);
  });

  test("names the argument that is wrong, and stages nothing", (ring, directory) => {
    const file = openFile(ring, join(directory, "data"));
    const buffer = ring.buffers.acquire()!;
    const size = buffer.length;
    const call = (at: unknown, length: unknown, offset: unknown) =>
      ring.prepRead(file, buffer, at as number, length as number, offset as number, 1);
    assert.throws(() => call(-1, 1, 0), /bufferOffset must be/);
    assert.throws(() => call(0.5, 1, 0), /bufferOffset must be/);
    assert.throws(() => call("0", 1, 0), TypeError);
    assert.throws(() => call(0, -1, 0), /length must be/);
    assert.throws(() => call(0, size + 1, 0), /go beyond the 65536 bytes/);
    assert.throws(() => call(1, size, 0), /go beyond/);
    assert.throws(() => call(0, 2 ** 32, 0), /go beyond/);
    assert.throws(() => call(0, 1, -1), /fileOffset must be/);
    assert.throws(() => call(0, 1, 2 ** 53), /fileOffset must be/);
    assert.throws(() => call(0, 1, NaN), /fileOffset must be/);
    assert.throws(() => call(0, 1, 1n), TypeError);
    assert.throws(() => ring.prepRead({} as never, buffer, 0, 1, 0, 1), /file must be a RingFile/);
    assert.throws(() => ring.prepRead(file, {} as never, 0, 1, 0, 1), /must be a RegisteredBuffer/);
    assert.throws(() => ring.prepRead(file, buffer, 0, 1, 0, 0.5), /userData must be/);
    assert.equal(ring.inFlight, 0);
    buffer.release();
    assert.throws(() => ring.prepRead(file, buffer, 0, 1, 0, 1), /was released/);
  });

  test("refuses files and buffers of another ring", (ring, directory) =>
    withRing({}, (other) => {
      const file = openFile(ring, join(directory, "data"));
      const buffer = ring.buffers.acquire()!;
      const otherBuffer = other.buffers.acquire()!;
      assert.throws(() => other.prepRead(file, otherBuffer, 0, 1, 0, 1), /belongs to another ring/);
      assert.throws(() => ring.prepRead(file, otherBuffer, 0, 1, 0, 1), /belongs to another ring/);
      assert.throws(() => other.buffers.release(buffer), TypeError);
    }));
});

describe("ring buffers", { skip: skipRing }, () => {
  test("are cut from the arena, joined on request, and never grow", (ring) => {
    const { buffers } = ring;
    assert.equal(buffers.count, 64);
    const one = buffers.acquire()!;
    assert.equal(one.length, 65536);
    assert.equal(one.offset % 4096, 0);
    const three = buffers.acquire(65536 * 2 + 1)!;
    assert.equal(three.length, 65536 * 3);
    assert.equal(three.offset, one.offset + one.length);
    assert.equal(buffers.free, 60);
    assert.equal(buffers.acquire(65536 * 61), undefined);
    const rest = buffers.acquire(65536 * 60)!;
    assert.equal(buffers.acquire(), undefined);
    three.release();
    assert.equal(buffers.free, 3);
    assert.throws(() => three.release(), /released before/);
    assert.equal(buffers.acquire(65536 * 3)!.index, three.index);
    rest.release();
    one.release();
    for (const bytes of [0, -1, 0.5, NaN]) assert.throws(() => buffers.acquire(bytes), RangeError);
  });

  test(
    "in flight cannot be used or released, and the error names the operation",
    (ring, directory) => {
      const file = openFile(ring, join(directory, "data"));
      const buffer = filled(ring, "x");
      assert.equal(ring.prepWrite(file, buffer, 0, 1, 0, 17), true);
      for (
        const use of [
          () => ring.prepReadFixed(file, buffer, 0, 1, 0, 18),
          () => buffer.release(),
        ]
      ) {
        assert.throws(use, (error: RingBusyError) => {
          assert.ok(error instanceof RingBusyError);
          assert.match(error.message, /write \(userData 17\) on it is in flight/);
          assert.equal(error.operation, "write");
          assert.equal(error.userData, 17);
          return true;
        });
      }
      ring.submitAndWait(1);
      // Completed, and not yet reaped: the caller has not been told.
      assert.throws(() => buffer.release(), RingBusyError);
      ring.reap();
      buffer.release();
    },
  );
});

describe("ring files", { skip: skipRing }, () => {
  test("openat makes, truncates, and reports what is there and what is not", (ring, directory) => {
    const path = join(directory, "file");
    const { RDWR, RDONLY, CREAT, EXCL, TRUNC, DIRECTORY, NOFOLLOW } = OPEN_FLAG;
    const open = (at: string, flags: number) => finish(ring, ring.prepOpenat(at, flags, 0o640, 1));
    assert.equal(open(path, RDWR), -ERRNO.ENOENT);
    assert.ok(open(path, RDWR | CREAT | EXCL) >= 0);
    assert.equal(statSync(path).mode & 0o777, 0o640 & ~process.umask());
    assert.equal(open(path, RDWR | CREAT | EXCL), -ERRNO.EEXIST);
    writeFileSync(path, "content");
    assert.ok(open(path, RDWR | TRUNC) >= 0);
    assert.equal(statSync(path).size, 0);
    assert.equal(open(join(path, "below"), RDONLY), -ERRNO.ENOTDIR);
    assert.equal(open(path, RDONLY | DIRECTORY), -ERRNO.ENOTDIR);
    assert.equal(open(directory, RDWR), -ERRNO.EISDIR);
    symlinkSync(path, join(directory, "link"));
    assert.equal(open(join(directory, "link"), RDONLY | NOFOLLOW), -ERRNO.ELOOP);
    assert.equal(open(join(directory, "n".repeat(256)), RDWR | CREAT), -ERRNO.ENAMETOOLONG);
    assert.throws(() => ring.file(-ERRNO.ENOENT), /the open failed: ENOENT/);
    assert.throws(() => ring.file(123456), /no file with the reference/);
  });

  test("paths are whole: not empty, without NUL, at most 4,095 bytes, UTF-8", (ring, directory) => {
    const open = (path: unknown) => ring.prepOpenat(path as string, OPEN_FLAG.RDONLY, 0, 1);
    assert.throws(() => open(""), /path is empty/);
    assert.throws(() => open("a\0b"), /path contains a NUL/);
    assert.throws(() => open(undefined), /path must be a string/);
    assert.throws(() => open("x".repeat(4096)), /longer than 4095 bytes/);
    assert.throws(() => open("ä".repeat(2048)), /longer than 4095 bytes/);
    assert.equal(finish(ring, open("x/".repeat(2047) + "x")), -ERRNO.ENOENT);
    const umlaut = join(directory, "Größe-日本");
    openFile(ring, umlaut);
    assert.ok(existsSync(umlaut));
    const length = 4095 - directory.length - 1;
    assert.equal(finish(ring, open(`${directory}/${"y".repeat(length)}`)), -ERRNO.ENAMETOOLONG);
  });

  test("a prep that throws keeps nothing of the parameter area", (ring, directory) => {
    const path = `${directory}/${"a".repeat(200)}`;
    const name = "user.".padEnd(250, "a");
    const buffer = ring.buffers.acquire()!;
    const bad = [
      () => ring.prepUnlinkat(path, NaN),
      () => ring.prepRenameat(path, path, NaN),
      () => ring.prepRenameat(path, "", 1),
      () => ring.prepOpenat(path, 0, 0, NaN),
      () => ring.prepOpenat2(path, { flags: 0 }, NaN),
      () => ring.prepGetxattr(path, name, buffer, 0, 10, NaN),
      () => ring.prepGetxattr(path, "", buffer, 0, 10, 1),
    ];
    for (const prep of bad) for (let i = 0; i < 400; i++) assert.throws(prep, TypeError);
    assert.equal(finish(ring, ring.prepUnlinkat(path, 1)), -ERRNO.ENOENT);
    // Nor do files and buffers.
    assert.equal(ring.stats().files, 0);
    buffer.release();
  });

  test("long paths fill the parameter area before the queue, and that is a result", (ring) => {
    const path = "p".repeat(4000);
    let staged = 0;
    while (ring.prepUnlinkat(path, staged)) staged++;
    assert.equal(staged, Math.floor(65536 / 4000));
    assert.equal(ring.prepRenameat(path, path, staged), false);
    const results = finishAll(ring);
    assert.equal(results.size, staged);
    for (const res of results.values()) assert.equal(res, -ERRNO.ENAMETOOLONG);
    assert.equal(ring.prepUnlinkat(path, 0), true);
  });

  test("close gives the slot back under another reference", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    assert.equal(file.isOpen, true);
    assert.equal(ring.stats().files, 1);
    assert.equal(ring.prepClose(file, 1), true);
    assert.equal(file.isOpen, false);
    const buffer = ring.buffers.acquire()!;
    assert.throws(() => ring.prepRead(file, buffer, 0, 1, 0, 1), /is closed/);
    assert.equal(finishAll(ring).get(1), 0);
    assert.equal(ring.stats().files, 0);
    assert.throws(() => ring.file(file.reference), /no file with the reference/);
    const again = openFile(ring, join(directory, "file"));
    assert.notEqual(again.reference, file.reference);
    assert.throws(() => ring.prepFsync(file, 1), /is closed/);
  });

  test("close is refused while an operation on the file is in flight", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    ring.prepFsync(file, 5);
    assert.throws(() => ring.prepClose(file, 6), (error: RingBusyError) => {
      assert.ok(error instanceof RingBusyError);
      assert.match(error.message, /fsync \(userData 5\) on it is in flight/);
      return true;
    });
    finishAll(ring);
    assert.equal(finish(ring, ring.prepClose(file, 6)), 0);
  });

  it(
    "openat is refused when all file slots are taken",
    { skip: skipRing },
    () =>
      inScratch((directory) =>
        withRing({ files: 2 }, (ring) => {
          const first = openFile(ring, join(directory, "1"));
          // One that fails gives its slot back.
          assert.equal(finish(ring, ring.prepOpenat(join(directory, "-"), 0, 0, 1)), -ERRNO.ENOENT);
          openFile(ring, join(directory, "2"));
          const third = () => ring.prepOpenat(join(directory, "3"), OPEN_FLAG.CREAT, 0o644, 1);
          assert.throws(third, { code: "ENFILE", message: /2 of 2 file slots/ });
          finish(ring, ring.prepClose(first, 1));
          assert.ok(finish(ring, third()) >= 0);
        })
      ),
  );

  test("fsync and fdatasync, also of ranges", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    assert.equal(finish(ring, ring.prepFsync(file, 1)), 0);
    assert.equal(finish(ring, ring.prepFsync(file, 1, FSYNC_FLAG.DATASYNC)), 0);
    assert.equal(finish(ring, ring.prepFsync(file, 1, 0, 4096, 4096)), 0);
    assert.throws(() => ring.prepFsync(file, 1, 2), /flags of fsync must/);
    assert.throws(() => ring.prepFsync(file, 1, 0, -1), /offset must be/);
  });

  test("fallocate reserves, keeps the size, and punches", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path);
    const first = finish(ring, ring.prepFallocate(file, 0, 0, 1 << 20, 1));
    if (first === -ERRNO.EOPNOTSUPP) return;
    assert.equal(first, 0);
    assert.equal(statSync(path).size, 1 << 20);
    assert.ok(statSync(path).blocks * 512 >= 1 << 20);
    const { KEEP_SIZE, PUNCH_HOLE } = FALLOCATE_FLAG;
    assert.equal(finish(ring, ring.prepFallocate(file, KEEP_SIZE, 1 << 20, 1 << 20, 1)), 0);
    assert.equal(statSync(path).size, 1 << 20);
    const before = statSync(path).blocks;
    assert.equal(finish(ring, ring.prepFallocate(file, KEEP_SIZE | PUNCH_HOLE, 0, 1 << 20, 1)), 0);
    assert.ok(statSync(path).blocks < before);
    // fallocate(2): EINVAL for a length of 0, EFBIG beyond the largest file.
    assert.equal(finish(ring, ring.prepFallocate(file, 0, 0, 0, 1)), -ERRNO.EINVAL);
    const huge = finish(ring, ring.prepFallocate(file, 0, 2 ** 52, 2 ** 52, 1));
    assert.ok([-ERRNO.EFBIG, -ERRNO.ENOSPC].includes(huge as never), `${huge}`);
  });

  test("ftruncate by operation and by call", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path);
    assert.equal(ring.ftruncate(file, 5 * 2 ** 32 + 1), 0);
    assert.equal(statSync(path).size, 5 * 2 ** 32 + 1);
    if (ring.probe("ftruncate")) {
      assert.equal(finish(ring, ring.prepFtruncate(file, 3 * 2 ** 32 + 7, 1)), 0);
      assert.equal(statSync(path).size, 3 * 2 ** 32 + 7);
      assert.equal(finish(ring, ring.prepFtruncate(file, 0, 1)), 0);
      assert.equal(statSync(path).size, 0);
    } else {
      assert.throws(() => ring.prepFtruncate(file, 0, 1), /no ftruncate in io_uring: Linux 6.9/);
    }
    assert.throws(() => ring.prepFtruncate(file, -1, 1), /size must be/);
    assert.throws(() => ring.ftruncate(file, 0.5), /size must be/);
  });

  test("statx and fstatx fill in their result", (ring, directory) => {
    const path = join(directory, "file");
    writeFileSync(path, "x".repeat(5000));
    const result = new StatxResult();
    assert.equal(finish(ring, ring.prepStatx(path, result, 1)), 0);
    const expected = statSync(path);
    assert.equal(result.size, 5000);
    assert.equal(result.isFile, true);
    assert.equal(result.isDirectory, false);
    assert.equal(result.mode, expected.mode);
    assert.equal(result.ino, expected.ino);
    assert.equal(result.nlink, 1);
    assert.equal(result.blocks, expected.blocks);
    assert.ok(Math.abs(result.mtimeMillis - expected.mtimeMs) < 1);

    truncateSync(path, 10);
    const file = openFile(ring, path);
    const second = new StatxResult();
    assert.equal(finish(ring, ring.prepFstatx(file, second, 1)), 0);
    assert.equal(second.size, 10);
    assert.equal(result.size, 5000);

    assert.equal(finish(ring, ring.prepStatx(directory, result, 1)), 0);
    assert.equal(result.isDirectory, true);
    symlinkSync("file", join(directory, "link"));
    const noFollow = AT_FLAG.SYMLINK_NOFOLLOW;
    assert.equal(finish(ring, ring.prepStatx(join(directory, "link"), result, 1, noFollow)), 0);
    assert.equal(result.isSymlink, true);
    assert.equal(finish(ring, ring.prepStatx(join(directory, "-"), result, 1)), -ERRNO.ENOENT);
    assert.throws(() => ring.prepStatx(path, {} as never, 1), /must be a StatxResult/);
  });

  test("statx of many paths at once gives each its own result", (ring, directory) => {
    const results = Array.from({ length: 40 }, () => new StatxResult());
    for (let i = 0; i < 40; i++) {
      writeFileSync(join(directory, `${i}`), "x".repeat(i));
      assert.equal(ring.prepStatx(join(directory, `${i}`), results[i], i), true);
    }
    finishAll(ring);
    for (let i = 0; i < 40; i++) assert.equal(results[i].size, i);
  });

  test("rename replaces, or does not, or exchanges", (ring, directory) => {
    const at = (name: string) => join(directory, name);
    writeFileSync(at("a"), "a");
    writeFileSync(at("b"), "b");
    const { NOREPLACE, EXCHANGE } = RENAME_FLAG;
    assert.equal(finish(ring, ring.prepRenameat(at("a"), at("b"), 1, NOREPLACE)), -ERRNO.EEXIST);
    assert.equal(finish(ring, ring.prepRenameat(at("a"), at("b"), 1, EXCHANGE)), 0);
    assert.equal(readFileSync(at("a"), "utf8"), "b");
    assert.equal(finish(ring, ring.prepRenameat(at("a"), at("b"), 1)), 0);
    assert.equal(readFileSync(at("b"), "utf8"), "b");
    assert.equal(existsSync(at("a")), false);
    assert.equal(finish(ring, ring.prepRenameat(at("a"), at("c"), 1)), -ERRNO.ENOENT);
    assert.throws(() => ring.prepRenameat("", at("c"), 1), /from is empty/);
    assert.throws(() => ring.prepRenameat(at("b"), "a\0", 1), /to contains a NUL/);
    assert.throws(() => ring.prepRenameat(at("b"), at("c"), 1, 8), /flags of renameat must/);
  });

  test("mkdir, link and unlink", (ring, directory) => {
    const at = (name: string) => join(directory, name);
    assert.equal(finish(ring, ring.prepMkdirat(at("d"), 0o750, 1)), 0);
    assert.equal(statSync(at("d")).mode & 0o777, 0o750 & ~process.umask());
    assert.equal(finish(ring, ring.prepMkdirat(at("d"), 0o750, 1)), -ERRNO.EEXIST);
    assert.equal(finish(ring, ring.prepMkdirat(at("x/y"), 0o750, 1)), -ERRNO.ENOENT);
    writeFileSync(at("a"), "a");
    assert.equal(finish(ring, ring.prepLinkat(at("a"), at("b"), 1)), 0);
    assert.equal(statSync(at("b")).nlink, 2);
    assert.equal(finish(ring, ring.prepLinkat(at("a"), at("b"), 1)), -ERRNO.EEXIST);
    assert.equal(finish(ring, ring.prepUnlinkat(at("a"), 1)), 0);
    assert.equal(finish(ring, ring.prepUnlinkat(at("a"), 1)), -ERRNO.ENOENT);
    assert.equal(finish(ring, ring.prepUnlinkat(at("d"), 1)), -ERRNO.EISDIR);
    mkdirSync(at("d/e"));
    assert.equal(finish(ring, ring.prepUnlinkat(at("d"), 1, AT_FLAG.REMOVEDIR)), -ERRNO.ENOTEMPTY);
    assert.equal(finish(ring, ring.prepUnlinkat(at("d/e"), 1, AT_FLAG.REMOVEDIR)), 0);
    assert.equal(existsSync(at("d/e")), false);
  });

  test("fadvise takes its advice", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    for (const advice of Object.values(FADVISE_FLAG)) {
      assert.equal(finish(ring, ring.prepFadvise(file, 0, 0, advice, 1)), 0);
    }
    assert.throws(() => ring.prepFadvise(file, 0, 0, 6, 1), /advice must be/);
  });
});

describe("ring links", { skip: skipRing }, () => {
  test("a failure cancels the rest of the chain", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"), OPEN_FLAG.CREAT | OPEN_FLAG.WRONLY);
    const buffer = ring.buffers.acquire()!;
    ring.beginChain(3);
    ring.prepRead(file, buffer, 0, 1, 0, 1); // not open for reading
    ring.prepNop(2);
    ring.prepFsync(file, 3);
    const results = finishAll(ring);
    assert.equal(results.get(1), -ERRNO.EBADF);
    assert.equal(results.get(2), -ERRNO.ECANCELED);
    assert.equal(results.get(3), -ERRNO.ECANCELED);
  });

  test("a chain that holds together runs in its order", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    const out = filled(ring, "linked");
    const back = ring.buffers.acquire()!;
    ring.beginChain(3);
    ring.prepWrite(file, out, 0, 6, 0, 1);
    ring.prepRead(file, back, 0, 6, 0, 2);
    ring.prepFsync(file, 3);
    assert.deepEqual([...finishAll(ring)], [[1, 6], [2, 6], [3, 0]]);
    assert.equal(textOf(back, 6), "linked");
  });
});
