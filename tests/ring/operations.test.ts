/**
 * The operations beyond plain reading and writing, each with its results and its errors as the manual
 * pages state them: readv(2), openat2(2), symlink(2), getxattr(2), setxattr(2), sync_file_range(2),
 * madvise(2), splice(2), statx(2). What the ring did is looked at through node:fs, or by Python.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  mkdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import {
  AT_FLAG,
  ERRNO,
  FADVISE_FLAG,
  MADVISE_FLAG,
  OPEN_FLAG,
  type OpenHow,
  RESOLVE_FLAG,
  type Ring,
  RingBusyError,
  type RingFile,
  RW_FLAG,
  StatxResult,
  SYNC_RANGE_FLAG,
  XATTR_FLAG,
} from "../../ring.ts";
import { OPERATIONS } from "../../src/abi/generated.ts";
import {
  fifo,
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

/** What Python prints. */
function python(program: string, ...args: string[]): string {
  const run = spawnSync("python3", ["-c", program, ...args], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
  return run.stdout.trim();
}

describe("ring vectors", { skip: skipRing }, () => {
  test("are written and read in their order, also two of one buffer", (ring, directory) => {
    const path = join(directory, "data");
    const file = openFile(ring, path);
    const one = filled(ring, "abcdefgh");
    const two = filled(ring, "01234567");
    const vectors = [
      { buffer: one, offset: 2, length: 3 },
      { buffer: two, offset: 7, length: 0 },
      { buffer: two, offset: 0, length: 4 },
      { buffer: one, offset: 0, length: 2 },
    ];
    assert.equal(finish(ring, ring.prepWritev(file, vectors, 5, 1, RW_FLAG.DSYNC)), 9);
    assert.equal(readFileSync(path, "utf8"), "\0\0\0\0\0cde0123ab");
    const empty = [vectors[1], vectors[1]];
    assert.equal(finish(ring, ring.prepWritev(file, empty, 0, 1)), 0);
    assert.equal(finish(ring, ring.prepReadv(file, empty, 0, 1)), 0);
    const back = ring.buffers.acquire(3 * ring.buffers.sliceBytes)!;
    const pieces = [3, 1, 5].map((length, i) => ({
      buffer: back,
      offset: 100000 - 50 * i,
      length,
    }));
    assert.equal(finish(ring, ring.prepReadv(file, pieces, 5, 1)), 9);
    const text = pieces.map(({ offset, length }) =>
      new TextDecoder().decode(back.bytes.slice(offset, offset + length))
    );
    assert.deepEqual(text, ["cde", "0", "123ab"]);
    // Short at the end, which lies in the second vector; nothing behind it.
    back.bytes.fill(46);
    assert.equal(finish(ring, ring.prepReadv(file, pieces, 10, 1)), 4);
    assert.equal(textOf(back, 1), ".");
    assert.equal(back.bytes[100000 - 100], 46);
    assert.equal(finish(ring, ring.prepReadv(file, pieces, 14, 1)), 0);
  });

  test("are up to 256, and all in the arena", (ring, directory) => {
    const path = join(directory, "data");
    const file = openFile(ring, path);
    const buffer = ring.buffers.acquire()!;
    for (let i = 0; i < 512; i++) buffer.bytes[i] = i;
    const many = Array.from({ length: 256 }, (_, i) => ({ buffer, offset: 2 * i, length: 1 }));
    assert.equal(finish(ring, ring.prepWritev(file, many, 0, 1)), 256);
    assert.deepEqual([...readFileSync(path)], many.map((_, i) => (2 * i) & 255));
    const one = many[0];
    assert.throws(() => ring.prepWritev(file, [...many, one], 0, 1), /1 to 256 vectors, not 257/);
    assert.throws(() => ring.prepWritev(file, [], 0, 1), /1 to 256 vectors, not 0/);
    assert.throws(() => ring.prepReadv(file, {} as never, 0, 1), /vectors must be an array/);
    const bad = (vector: object) => () => ring.prepReadv(file, [one, { ...one, ...vector }], 0, 1);
    assert.throws(bad({ offset: 65536, length: 1 }), /vectors\[1\]\.offset 65536 and length 1 go/);
    assert.throws(bad({ length: -1 }), /vectors\[1\]\.length must be/);
    assert.throws(bad({ buffer: {} }), /must be a RegisteredBuffer/);
    assert.throws(() => ring.prepReadv(file, [one], 0, 1, RW_FLAG.DSYNC), /flags of readv must/);
    assert.equal(ring.inFlight, 0);
  });

  test("hold their buffers until they have completed", (ring, directory) => {
    const file = openFile(ring, join(directory, "data"));
    const [one, two] = [filled(ring, "1"), filled(ring, "2")];
    const vectors = [{ buffer: one, offset: 0, length: 1 }, { buffer: two, offset: 0, length: 1 }];
    assert.equal(ring.prepWritev(file, vectors, 0, 7), true);
    for (const buffer of [one, two]) {
      assert.throws(() => buffer.release(), /writev \(userData 7\) on it is in flight/);
      assert.throws(() => ring.prepRead(file, buffer, 0, 1, 0, 8), RingBusyError);
      assert.throws(
        () => ring.prepReadv(file, [{ buffer, offset: 0, length: 1 }], 0, 8),
        RingBusyError,
      );
    }
    assert.deepEqual([...finishAll(ring)], [[7, 2]]);
    one.release();
    two.release();
  });

  test("fill the parameter area before the queue, and that is a result", (ring, directory) => {
    const file = openFile(ring, join(directory, "data"));
    const buffers = Array.from({ length: 40 }, () => ring.buffers.acquire()!);
    let staged = 0;
    while (staged < 40) {
      const vectors = Array.from({ length: 256 }, (_, i) => ({
        buffer: buffers[staged],
        offset: i,
        length: 1,
      }));
      if (!ring.prepReadv(file, vectors, 0, staged)) break;
      staged++;
    }
    assert.equal(staged, 65536 / 2048);
    assert.equal(finishAll(ring).size, staged);
    for (const buffer of buffers) buffer.release();
  });
});

describe("ring rw_flags", { skip: skipRing }, () => {
  // What a kernel or file system does not have is EOPNOTSUPP (pwritev2(2)), or EINVAL for a polled
  // operation on a ring that does not poll; ATOMIC needs O_DIRECT. NOWAIT may be EAGAIN.
  const refusals: readonly number[] = [ERRNO.EOPNOTSUPP, ERRNO.EINVAL, ERRNO.EAGAIN];
  const must: readonly string[] = ["DSYNC", "SYNC", "APPEND"];
  test("are taken by every write that may have them, and refused by reads", (ring, directory) => {
    const file = openFile(ring, join(directory, "data"));
    const buffer = filled(ring, "x".repeat(4096));
    const vectors = [{ buffer, offset: 0, length: 4096 }];
    const writes = [
      (flag: number) => ring.prepWrite(file, buffer, 0, 4096, 0, 1, flag),
      (flag: number) => ring.prepWriteFixed(file, buffer, 0, 4096, 0, 1, flag),
      (flag: number) => ring.prepWritev(file, vectors, 0, 1, flag),
    ];
    const reads = [
      (flag: number) => ring.prepRead(file, buffer, 0, 4096, 0, 1, flag),
      (flag: number) => ring.prepReadFixed(file, buffer, 0, 4096, 0, 1, flag),
      (flag: number) => ring.prepReadv(file, vectors, 0, 1, flag),
    ];
    finish(ring, writes[0](0));
    for (const [name, flag] of Object.entries(RW_FLAG)) {
      for (const write of writes) {
        const res = finish(ring, write(flag));
        if (must.includes(name)) assert.equal(res, 4096, name);
        else assert.ok(res === 4096 || refusals.includes(-res), `${name}: ${res}`);
      }
      for (const read of reads) {
        if (["NOWAIT", "HIPRI", "DONTCACHE"].includes(name)) {
          const res = finish(ring, read(flag));
          assert.ok(res === 4096 || refusals.includes(-res), `${name}: ${res}`);
        } else assert.throws(() => read(flag), /flags of read/, name);
      }
    }
    // Three appends: the file was one block long.
    assert.equal(statSync(join(directory, "data")).size, 4 * 4096);
  });
});

describe("ring openat2", { skip: skipRing }, () => {
  const { BENEATH, IN_ROOT, NO_SYMLINKS, NO_XDEV, NO_MAGICLINKS, CACHED } = RESOLVE_FLAG;
  const { RDONLY, CREAT, RDWR } = OPEN_FLAG;

  test("limits how a path is resolved", (ring, directory) => {
    const inside = join(directory, "root");
    mkdirSync(join(inside, "sub"), { recursive: true });
    writeFileSync(join(inside, "file"), "inside");
    writeFileSync(join(directory, "file"), "outside");
    symlinkSync("../file", join(inside, "out"));
    symlinkSync("file", join(inside, "in"));
    symlinkSync("/file", join(inside, "absolute"));
    const root = openFile(ring, inside, RDONLY | OPEN_FLAG.DIRECTORY);
    const buffer = ring.buffers.acquire()!;
    const at = (path: string, resolve: number, how: Partial<OpenHow> = {}): number | string => {
      const res = finish(
        ring,
        ring.prepOpenat2(path, { flags: RDONLY, resolve, directory: root, ...how }, 1),
      );
      if (res < 0) return res;
      const file = ring.file(res);
      const bytes = finish(ring, ring.prepRead(file, buffer, 0, 100, 0, 1));
      finish(ring, ring.prepClose(file, 1));
      return bytes < 0 ? bytes : textOf(buffer, bytes);
    };
    const cases: [string, number, number | string][] = [
      ["file", 0, "inside"],
      ["../file", 0, "outside"],
      ["out", 0, "outside"],
      ["file", BENEATH, "inside"],
      ["sub/../file", BENEATH, "inside"],
      ["in", BENEATH, "inside"],
      // EXDEV: an escape from the root was found.
      ["../file", BENEATH, -ERRNO.EXDEV],
      ["out", BENEATH, -ERRNO.EXDEV],
      ["absolute", BENEATH, -ERRNO.EXDEV],
      [join(inside, "file"), BENEATH, -ERRNO.EXDEV],
      // As if the directory were /.
      ["/file", IN_ROOT, "inside"],
      ["../file", IN_ROOT, "inside"],
      ["absolute", IN_ROOT, "inside"],
      ["in", NO_SYMLINKS, -ERRNO.ELOOP],
      ["file", NO_SYMLINKS, "inside"],
      ["file", NO_XDEV, "inside"],
      ["/proc/version", NO_XDEV, -ERRNO.EXDEV],
      ["-", 0, -ERRNO.ENOENT],
      ["file/below", 0, -ERRNO.ENOTDIR],
    ];
    for (const [path, resolve, expected] of cases) {
      const found = at(path, resolve);
      assert.equal(found, expected, `${path} resolve ${resolve}: ${found}`);
    }
    // Not in the cache: EAGAIN.
    assert.ok(["inside", -ERRNO.EAGAIN].includes(at("file", CACHED)));
    // A mode where nothing is created, and both roots.
    assert.equal(at("file", 0, { mode: 0o644 }), -ERRNO.EINVAL);
    assert.equal(at("file", BENEATH | IN_ROOT), -ERRNO.EINVAL);
    assert.equal(at("new", BENEATH, { flags: RDWR | CREAT, mode: 0o600 }), "");
    assert.equal(statSync(join(inside, "new")).mode & 0o777, 0o600);
    assert.equal(ring.stats().files, 1);
  });

  test("follows no magic link of /proc, and openat neither", (ring) => {
    // /proc/self/exe is one that leads to an ordinary file.
    for (const path of ["/proc/self/exe", "/proc/self/cwd", "/dev/fd/0", "/proc/self/cwd/tests"]) {
      for (const resolve of [0, NO_MAGICLINKS, NO_XDEV]) {
        const res = finish(ring, ring.prepOpenat2(path, { flags: RDONLY, resolve }, 1));
        assert.ok([-ERRNO.ELOOP, -ERRNO.EXDEV].includes(res as never), `${path}: ${res}`);
      }
      assert.equal(finish(ring, ring.prepOpenat(path, RDONLY, 0, 1)), -ERRNO.ELOOP, path);
    }
    assert.equal(ring.stats().files, 0);
  });

  test("keeps its directory from being closed, and names bad arguments", (ring, directory) => {
    const root = openFile(ring, directory, RDONLY | OPEN_FLAG.DIRECTORY);
    assert.equal(
      ring.prepOpenat2("f", { flags: RDWR | CREAT, mode: 0o600, directory: root }, 5),
      true,
    );
    assert.throws(() => ring.prepClose(root, 6), /openat2 \(userData 5\) on it is in flight/);
    assert.ok(finishAll(ring).get(5)! >= 0);
    assert.equal(finish(ring, ring.prepClose(root, 6)), 0);
    const open = (how: unknown) => () => ring.prepOpenat2("f", how as OpenHow, 1);
    assert.throws(open(undefined), /how must be an object/);
    assert.throws(open({ flags: 0x8000_0000 }), /flags of openat2 must/);
    assert.throws(open({ flags: 0, mode: 0o10000 }), /how.mode must/);
    assert.throws(open({ flags: 0, resolve: 64 }), /how.resolve must be of 0x3f, not 64/);
    assert.throws(open({ flags: 0, directory: root }), /is closed/);
    assert.equal(ring.inFlight, 0);
  });
});

describe("ring symbolic links", { skip: skipRing }, () => {
  test("say what they were told to, whether it is there or not", (ring, directory) => {
    const at = (name: string) => join(directory, name);
    assert.equal(finish(ring, ring.prepSymlinkat("nowhere/at all", at("link"), 1)), 0);
    assert.equal(readlinkSync(at("link")), "nowhere/at all");
    assert.equal(finish(ring, ring.prepSymlinkat("x", at("link"), 1)), -ERRNO.EEXIST);
    assert.equal(finish(ring, ring.prepSymlinkat("x", at("-/link"), 1)), -ERRNO.ENOENT);
    assert.equal(
      finish(ring, ring.prepSymlinkat("x", at("n".repeat(256)), 1)),
      -ERRNO.ENAMETOOLONG,
    );
    assert.throws(() => ring.prepSymlinkat("", at("l"), 1), /from is empty/);
    const result = new StatxResult();
    const { SYMLINK_NOFOLLOW } = AT_FLAG;
    assert.equal(finish(ring, ring.prepStatx(at("link"), result, 1, SYMLINK_NOFOLLOW)), 0);
    assert.equal(result.isSymlink, true);
    assert.equal(finish(ring, ring.prepStatx(at("link"), result, 1)), -ERRNO.ENOENT);
  });
});

describe("ring extended attributes", { skip: skipRing }, () => {
  test("are set and read, by path and by file, as Python sees them", (ring, directory) => {
    if (!ring.probe("getxattr")) {
      assert.throws(
        () => ring.prepGetxattr("/", "user.a", ring.buffers.acquire()!, 0, 1, 1),
        /no getxattr in io_uring: Linux 5.19 brought it/,
      );
      return;
    }
    const path = join(directory, "file");
    const file = openFile(ring, path);
    const buffer = filled(ring, "a value\0 of bytes");
    const first = finish(ring, ring.prepSetxattr(path, "user.one", buffer, 2, 15, 1));
    // A file system without them (tmpfs before 6.6).
    if (first === -ERRNO.EOPNOTSUPP) return;
    assert.equal(first, 0);
    const get = "import os,sys; print(os.getxattr(sys.argv[1], sys.argv[2]))";
    assert.equal(python(get, path, "user.one"), "b'value\\x00 of bytes'");
    const set = "import os,sys; os.setxattr(sys.argv[1], 'user.two', b'y'*300)";
    python(set, path);

    buffer.bytes.fill(46);
    assert.equal(finish(ring, ring.prepGetxattr(path, "user.one", buffer, 100, 4096, 1)), 15);
    assert.equal(textOf(buffer, 120), ".".repeat(100) + "value\0 of bytes" + ".".repeat(5));
    assert.equal(finish(ring, ring.prepFgetxattr(file, "user.two", buffer, 0, 300, 1)), 300);
    assert.equal(textOf(buffer, 301), "y".repeat(300) + ".");

    // The size, and too little room, which changes nothing.
    buffer.bytes.fill(46);
    assert.equal(finish(ring, ring.prepFgetxattr(file, "user.two", buffer, 0, 0, 1)), 300);
    assert.equal(
      finish(ring, ring.prepFgetxattr(file, "user.two", buffer, 0, 299, 1)),
      -ERRNO.ERANGE,
    );
    assert.equal(textOf(buffer, 3), "...");
    assert.equal(finish(ring, ring.prepGetxattr(path, "user.-", buffer, 0, 9, 1)), -ERRNO.ENODATA);

    const { CREATE, REPLACE } = XATTR_FLAG;
    const setf = (name: string, flags: number) =>
      finish(ring, ring.prepFsetxattr(file, name, buffer, 0, 3, 1, flags));
    assert.equal(setf("user.one", CREATE), -ERRNO.EEXIST);
    assert.equal(setf("user.three", REPLACE), -ERRNO.ENODATA);
    assert.equal(setf("user.three", CREATE), 0);
    assert.equal(setf("user.one", REPLACE), 0);
    assert.equal(python(get, path, "user.one"), "b'...'");
    assert.equal(setf("nonsense.one", 0), -ERRNO.EOPNOTSUPP);
    const gone = join(directory, "-");
    assert.equal(finish(ring, ring.prepSetxattr(gone, "user.a", buffer, 0, 1, 1)), -ERRNO.ENOENT);
    assert.equal(finish(ring, ring.prepGetxattr(gone, "user.a", buffer, 0, 1, 1)), -ERRNO.ENOENT);
  });

  test("have their limits", (ring, directory) => {
    if (!ring.probe("getxattr")) return;
    const file = openFile(ring, join(directory, "file"));
    const buffer = ring.buffers.acquire()!;
    const get = (name: unknown, offset: number, length: number) => () =>
      ring.prepFgetxattr(file, name as string, buffer, offset, length, 1);
    assert.throws(get("user." + "n".repeat(251), 0, 1), /name is longer than 255 bytes/);
    assert.throws(get("", 0, 1), /name is empty/);
    assert.throws(get("a\0b", 0, 1), /name contains a NUL/);
    assert.throws(get("user.a", 0, 4097), /length must be an integer from 0 to 4096/);
    assert.throws(get("user.a", 65535, 2), /go beyond the 65536 bytes/);
    assert.equal(ring.inFlight, 0);
    assert.equal(get("user." + "n".repeat(250), 0, 1)(), true);
    assert.throws(() => buffer.release(), /fgetxattr \(userData 1\)/);
    finishAll(ring);
    buffer.release();
  });
});

describe("ring advice and write-out", { skip: skipRing }, () => {
  test("sync_file_range takes its flags, and refuses what is no file", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    const buffer = filled(ring, "dirty");
    finish(ring, ring.prepWrite(file, buffer, 0, 5, 0, 1));
    const { WAIT_BEFORE, WRITE, WAIT_AFTER } = SYNC_RANGE_FLAG;
    const flags = [0, WRITE, WAIT_BEFORE, WAIT_AFTER, WAIT_BEFORE | WRITE | WAIT_AFTER];
    for (const flag of flags) {
      assert.equal(finish(ring, ring.prepSyncFileRange(file, 0, 4096, flag, 1)), 0);
      assert.equal(finish(ring, ring.prepSyncFileRange(file, 0, 0, flag, 1)), 0);
    }
    assert.throws(() => ring.prepSyncFileRange(file, 0, 0, 8, 1), /flags of sync_file_range must/);
    const pipe = openFile(ring, fifo(directory, "pipe"), OPEN_FLAG.RDWR);
    assert.equal(finish(ring, ring.prepSyncFileRange(pipe, 0, 0, WRITE, 1)), -ERRNO.ESPIPE);
    assert.equal(finish(ring, ring.prepFsync(pipe, 1)), -ERRNO.EINVAL);
    assert.equal(finish(ring, ring.prepFallocate(pipe, 0, 0, 1, 1)), -ERRNO.ESPIPE);
    const { WILLNEED } = FADVISE_FLAG;
    assert.equal(finish(ring, ring.prepFadvise(pipe, 0, 0, WILLNEED, 1)), -ERRNO.ESPIPE);
  });

  test("B4: after every advice memory and file agree", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path);
    const buffer = ring.buffers.acquire()!;
    let letter = 65;
    for (const [name, advice] of Object.entries(MADVISE_FLAG)) {
      buffer.bytes.fill(letter);
      const res = finish(ring, ring.prepMadvise(buffer, 0, buffer.length, advice, 1));
      // madvise(2): EINVAL where the kernel was built without huge pages or does not know the advice.
      assert.ok(res === 0 || res === -ERRNO.EINVAL, `${name}: ${res}`);
      assert.ok(buffer.bytes.every((byte) => byte === letter), name);
      buffer.bytes.fill(letter + 1, 0, 4096);
      assert.equal(finish(ring, ring.prepWriteFixed(file, buffer, 0, 65536, 0, 1)), 65536);
      assert.deepEqual(readFileSync(path), Buffer.from(buffer.bytes), name);
      letter += 2;
    }
    const advise = (advice: number, offset = 0, length = 4096) => () =>
      ring.prepMadvise(buffer, offset, length, advice, 1);
    // DONTNEED, FREE, REMOVE, DONTFORK, PAGEOUT, COLD: they part memory from what is pinned, or may.
    for (const advice of [4, 8, 9, 10, 20, 21, -1, 0.5]) {
      assert.throws(advise(advice), /advice must be one of 0, 3, 14, 22, 23/);
    }
    assert.throws(advise(0, 1), /must be multiples of 4096, not 1 and 4096/);
    assert.throws(advise(0, 0, 100), /must be multiples of 4096/);
    assert.throws(advise(0, 61440, 8192), /go beyond/);
  });
});

describe("ring splice", { skip: skipRing }, () => {
  test("moves bytes between a file and a pipe, in both directions", (ring, directory) => {
    writeFileSync(join(directory, "from"), "0123456789");
    const from = openFile(ring, join(directory, "from"));
    const to = openFile(ring, join(directory, "to"));
    const pipe = openFile(ring, fifo(directory, "pipe"), OPEN_FLAG.RDWR | OPEN_FLAG.NONBLOCK);
    const move = (a: RingFile, at: number, b: RingFile, there: number, length: number) =>
      finish(ring, ring.prepSplice(a, at, b, there, length, 1));
    assert.equal(move(from, 2, pipe, -1, 5), 5);
    assert.equal(move(pipe, -1, to, 1, 100), 5);
    assert.equal(readFileSync(join(directory, "to"), "utf8"), "\u000023456");
    assert.equal(move(from, 10, pipe, -1, 5), 0);
    // splice(2): EINVAL without a pipe, ESPIPE for an offset of a pipe.
    assert.equal(move(from, 0, to, 0, 5), -ERRNO.EINVAL);
    assert.equal(move(pipe, 0, to, 0, 5), -ERRNO.ESPIPE);
    assert.equal(move(from, 0, pipe, 0, 5), -ERRNO.ESPIPE);
    const reader = openFile(ring, join(directory, "from"), OPEN_FLAG.RDONLY);
    assert.equal(move(from, 0, pipe, -1, 5), 5);
    assert.equal(move(pipe, -1, reader, 0, 5), -ERRNO.EBADF);
  });

  test("keeps both files from being closed, and names bad arguments", (ring, directory) => {
    const file = openFile(ring, join(directory, "from"));
    const pipe = openFile(ring, fifo(directory, "pipe"), OPEN_FLAG.RDWR);
    assert.equal(ring.prepSplice(file, 0, pipe, -1, 1, 3), true);
    for (const one of [file, pipe]) {
      assert.throws(() => ring.prepClose(one, 4), /splice \(userData 3\) on it is in flight/);
    }
    assert.equal(finishAll(ring).get(3), 0);
    assert.throws(() => ring.prepSplice(file, -2, pipe, -1, 1, 3), /fromOffset must be/);
    assert.throws(() => ring.prepSplice(file, 0, pipe, 0.5, 1, 3), /toOffset must be/);
    assert.throws(() => ring.prepSplice(file, 0, pipe, -1, 1, 3, 8), /flags of splice must/);
    assert.equal(finish(ring, ring.prepClose(file, 4)), 0);
    assert.throws(() => ring.prepSplice(file, 0, pipe, -1, 1, 3), /is closed/);
    assert.throws(() => ring.prepSplice(pipe, -1, file, 0, 1, 3), /is closed/);
  });
});

describe("ring statx", { skip: skipRing }, () => {
  test("tells what the C library's statx tells", (ring, directory) => {
    const path = join(directory, "file");
    writeFileSync(path, "x".repeat(12345));
    // struct statx in bytes, by ctypes.
    const program = "import ctypes,sys,struct\n" +
      "b=ctypes.create_string_buffer(256)\n" +
      "r=ctypes.CDLL(None,use_errno=True).statx(-100,sys.argv[1].encode(),0,0x2fff,b)\n" +
      "assert r==0\n" +
      "print(*struct.unpack_from('<I',b,4),*struct.unpack_from('<IIIH',b,16)," +
      "*struct.unpack_from('<QQQ',b,32),*struct.unpack_from('<II',b,152))";
    const [blksize, nlink, uid, gid, mode, ino, size, blocks, memAlign, offsetAlign] = python(
      program,
      path,
    ).split(" ").map(Number);
    const byPath = new StatxResult();
    assert.equal(finish(ring, ring.prepStatx(path, byPath, 1, AT_FLAG.STATX_FORCE_SYNC)), 0);
    const byFile = new StatxResult();
    assert.equal(finish(ring, ring.prepFstatx(openFile(ring, path), byFile, 1)), 0);
    for (const result of [byPath, byFile]) {
      assert.deepEqual(
        [result.blksize, result.nlink, result.uid, result.gid, result.mode, result.ino],
        [blksize, nlink, uid, gid, mode, ino],
      );
      assert.deepEqual(
        [result.size, result.blocks, result.dioMemAlign, result.dioOffsetAlign],
        [size, blocks, memAlign, offsetAlign],
      );
    }
  });
});

describe("ring rows", { skip: skipRing }, () => {
  test("are all probed, and one that a kernel lacks is refused by name", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    const buffer = ring.buffers.acquire()!;
    // As if the kernel had none of those that may be missing.
    const lacking = ring as unknown as { probe(name: string): boolean };
    const calls: Record<string, () => unknown> = {
      ftruncate: () => ring.prepFtruncate(file, 0, 1),
      getxattr: () => ring.prepGetxattr("/", "user.a", buffer, 0, 1, 1),
      setxattr: () => ring.prepSetxattr("/", "user.a", buffer, 0, 1, 1),
      fgetxattr: () => ring.prepFgetxattr(file, "user.a", buffer, 0, 1, 1),
      fsetxattr: () => ring.prepFsetxattr(file, "user.a", buffer, 0, 1, 1),
      msg_ring: () => ring.prepMsgRing(ring.address, 0, 0, 1),
      cancel_file: () => ring.prepCancelFile(file, 1),
      cancel_any: () => ring.prepCancelAny(1),
      readv: () => ring.prepReadv(file, [{ buffer, offset: 0, length: 1 }], 0, 1),
      writev: () => ring.prepWritev(file, [{ buffer, offset: 0, length: 1 }], 0, 1),
    };
    const rows = OPERATIONS.filter((row) => row.probed);
    assert.deepEqual(rows.map((row) => row.name).sort(), Object.keys(calls).sort());
    for (const row of rows) {
      if (!lacking.probe(row.name)) {
        assert.throws(calls[row.name], new RegExp(`no ${row.name}.* in io_uring: Linux \\d`));
      } else {
        assert.equal(calls[row.name](), true, row.name);
        finishAll(ring);
      }
    }
  });
});
