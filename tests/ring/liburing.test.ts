/**
 * The ideas of liburing's own tests of files, each as a test of this ring: read-write, fsync, truncate,
 * link, fixed-link, submit-link-fail, rename, unlink, openat-close. short-read, cq-* and sq-full are in
 * limits.test.ts, file-* and fixed-reuse in registration.test.ts, io-cancel, timeout and link_drain in
 * time.test.ts, openat2 and statx in operations.test.ts.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import {
  ERRNO,
  FSYNC_FLAG,
  OPEN_FLAG,
  type RegisteredBuffer,
  type Ring,
  type RingFile,
  RW_FLAG,
  SQE_FLAG,
  StatxResult,
  SYNC_RANGE_FLAG,
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

const seed = Number(process.env.RING_SEED ?? Math.floor(Math.random() * 2 ** 32));

/** xorshift32. */
function randomFrom(start: number): (below: number) => number {
  let state = start >>> 0 || 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

describe("liburing read-write", { skip: skipRing }, () => {
  const BLOCK = 4096;
  const BLOCKS = 64;
  const ways = ["plain", "fixed", "vectored"] as const;

  /** One block from or to the file, in the given way. */
  function stage(
    ring: Ring,
    way: typeof ways[number],
    write: boolean,
    file: RingFile,
    buffer: RegisteredBuffer,
    at: number,
    userData: number,
    flags: number,
  ): boolean {
    if (way === "vectored") {
      const vectors = [
        { buffer, offset: 0, length: 512 },
        { buffer, offset: 512, length: 1536 },
        { buffer, offset: 2048, length: 2048 },
      ];
      return write
        ? ring.prepWritev(file, vectors, at, userData, flags)
        : ring.prepReadv(file, vectors, at, userData, flags);
    }
    if (way === "fixed") {
      return write
        ? ring.prepWriteFixed(file, buffer, 0, BLOCK, at, userData, flags)
        : ring.prepReadFixed(file, buffer, 0, BLOCK, at, userData, flags);
    }
    return write
      ? ring.prepWrite(file, buffer, 0, BLOCK, at, userData, flags)
      : ring.prepRead(file, buffer, 0, BLOCK, at, userData, flags);
  }

  for (const direct of [false, true]) {
    for (const random of [false, true]) {
      const name = `${direct ? "direct" : "buffered"}, ${random ? "random" : "sequential"}`;
      test(`${name}: by every pair of operations, with and without ASYNC`, (ring, directory) => {
        const next = randomFrom(seed);
        for (const [index, write] of ways.entries()) {
          for (const read of ways) {
            const path = join(directory, `${write}-${read}`);
            const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT | (direct ? OPEN_FLAG.DIRECT : 0);
            const opened = finish(ring, ring.prepOpenat(path, flags, 0o644, 1));
            // tmpfs before 6.6 has no direct I/O.
            if (opened === -ERRNO.EINVAL && direct) return;
            const file = ring.file(opened);
            const order = Array.from({ length: BLOCKS }, (_, i) => i);
            if (random) order.sort(() => next(3) - 1);
            const expected = new Uint8Array(BLOCKS * BLOCK);
            for (let i = 0; i < expected.length; i++) expected[i] = next(256);
            const buffers = Array.from({ length: 16 }, () => ring.buffers.acquire()!);
            const pass = (writing: boolean, way: typeof ways[number]) => {
              for (let from = 0; from < BLOCKS; from += 16) {
                for (let i = 0; i < 16; i++) {
                  const at = order[from + i] * BLOCK;
                  if (writing) buffers[i].bytes.set(expected.subarray(at, at + BLOCK));
                  else buffers[i].bytes.fill(0);
                  ring.nextFlags((i + index) % 2 === 0 ? SQE_FLAG.ASYNC : 0);
                  const rw = writing && i % 3 === 0 ? RW_FLAG.DSYNC : 0;
                  assert.equal(stage(ring, way, writing, file, buffers[i], at, i, rw), true);
                }
                for (const [id, res] of finishAll(ring)) assert.equal(res, BLOCK, `${id}`);
                if (writing) continue;
                for (let i = 0; i < 16; i++) {
                  const at = order[from + i] * BLOCK;
                  const got = buffers[i].bytes.slice(0, BLOCK);
                  const wanted = expected.slice(at, at + BLOCK);
                  assert.ok(equal(got, wanted), `seed ${seed}: ${write}, ${read}, block at ${at}`);
                }
              }
            };
            pass(true, write);
            pass(false, read);
            assert.ok(equal(readFileSync(path), expected), `seed ${seed}: ${write}`);
            for (const buffer of buffers) buffer.release();
            finish(ring, ring.prepClose(file, 1));
          }
        }
      });
    }
  }

  function equal(one: Uint8Array, other: Uint8Array): boolean {
    return one.length === other.length && one.every((byte, i) => byte === other[i]);
  }
});

describe("liburing fsync", { skip: skipRing }, () => {
  test("behind writes that it shall cover, by drain and by a chain", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path);
    const buffers = Array.from({ length: 4 }, (_, i) => filled(ring, `${i}`.repeat(100)));
    const writes = () => {
      for (let i = 0; i < 4; i++) ring.prepWrite(file, buffers[i], 0, 100, 100 * i, i);
    };
    writes();
    ring.nextFlags(SQE_FLAG.IO_DRAIN);
    ring.prepFsync(file, 9, FSYNC_FLAG.DATASYNC);
    const drained = finishAll(ring);
    assert.deepEqual([...drained.keys()].at(-1), 9);
    assert.deepEqual([...drained.values()].sort((a, b) => a - b), [0, 100, 100, 100, 100]);
    for (const hard of [false, true]) {
      ring.beginChain(hard ? 6 : 5, hard);
      writes();
      if (hard) ring.prepSyncFileRange(file, 0, 400, SYNC_RANGE_FLAG.WRITE, 8);
      ring.prepFsync(file, 9);
      const results = finishAll(ring);
      assert.deepEqual([0, 1, 2, 3, 9].map((id) => results.get(id)), [100, 100, 100, 100, 0]);
      assert.deepEqual([...results.keys()].at(-1), 9);
    }
    assert.equal(readFileSync(path, "utf8"), [0, 1, 2, 3].map((i) => `${i}`.repeat(100)).join(""));
  });
});

describe("liburing truncate", { skip: skipRing }, () => {
  test("grows with zeros and shrinks, and needs a file to write to", (ring, directory) => {
    if (!ring.probe("ftruncate")) return;
    const path = join(directory, "file");
    writeFileSync(path, "0123456789");
    const file = openFile(ring, path);
    const size = (to: number) => finish(ring, ring.prepFtruncate(file, to, 1));
    assert.equal(size(4), 0);
    assert.equal(size(6), 0);
    assert.equal(readFileSync(path, "utf8"), "0123\0\0");
    assert.equal(size(Number.MAX_SAFE_INTEGER), -ERRNO.EFBIG);
    const reader = openFile(ring, path, OPEN_FLAG.RDONLY);
    const refused = finish(ring, ring.prepFtruncate(reader, 0, 1));
    // ftruncate(2): EBADF or EINVAL, not open for writing.
    assert.ok([-ERRNO.EBADF, -ERRNO.EINVAL].includes(refused as never), `${refused}`);
    const folder = openFile(ring, directory, OPEN_FLAG.RDONLY | OPEN_FLAG.DIRECTORY);
    assert.ok(finish(ring, ring.prepFtruncate(folder, 0, 1)) < 0);
    // Behind a write, in a chain.
    const buffer = filled(ring, "abcdef");
    ring.beginChain(2);
    ring.prepWrite(file, buffer, 0, 6, 0, 1);
    ring.prepFtruncate(file, 3, 2);
    finishAll(ring);
    assert.equal(readFileSync(path, "utf8"), "abc");
  });
});

describe("liburing link", { skip: skipRing }, () => {
  test("fixed-link: writes and reads in one chain see each other", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"));
    const out = filled(ring, "chained");
    const back = ring.buffers.acquire()!;
    const vector = ring.buffers.acquire()!;
    ring.beginChain(4);
    ring.prepWriteFixed(file, out, 0, 7, 0, 1, RW_FLAG.DSYNC);
    ring.prepReadFixed(file, back, 0, 7, 0, 2);
    ring.prepReadv(file, [{ buffer: vector, offset: 0, length: 7 }], 0, 3);
    ring.prepFallocate(file, 1, 4096, 4096, 4);
    const results = finishAll(ring);
    assert.deepEqual([1, 2, 3].map((id) => results.get(id)), [7, 7, 7]);
    assert.equal(textOf(back, 7), "chained");
    assert.equal(textOf(vector, 7), "chained");
  });

  test("nothing follows what the kernel lets fail, but a link timeout", (ring, directory) => {
    const [draft, name] = [join(directory, "draft"), join(directory, "name")];
    const file = openFile(ring, draft);
    const buffer = filled(ring, "published");
    ring.beginChain(3);
    ring.prepWrite(file, buffer, 0, 9, 0, 1);
    ring.prepFsync(file, 2);
    const rename = () => ring.prepRenameat(draft, name, 3);
    assert.throws(
      rename,
      /renameat cannot follow fsync in this chain: the kernel goes on when fsync/,
    );
    // Nothing was staged by that; a limit of the sync is no going on.
    assert.equal(ring.staged, 2);
    ring.prepLinkTimeout(600e6, 3);
    assert.deepEqual([...finishAll(ring)].sort(), [[1, 9], [2, 0], [3, -ERRNO.ECANCELED]]);
    ring.beginChain(3);
    ring.prepFsync(file, 1);
    ring.prepLinkTimeout(600e6, 2);
    assert.throws(() => ring.prepNop(3), /nop cannot follow fsync in this chain/);
    ring.prepLinkTimeout(600e6, 3);
    finishAll(ring);
    // A hard chain promises nothing.
    ring.beginChain(3, true);
    ring.prepWrite(file, buffer, 0, 9, 0, 1);
    ring.prepFsync(file, 2);
    rename();
    assert.deepEqual([...finishAll(ring)], [[1, 9], [2, 0], [3, 0]]);
    assert.equal(readFileSync(name, "utf8"), "published");
  });

  test("each operation that may be followed breaks its chain when it fails", (ring, directory) => {
    const file = openFile(ring, join(directory, "file"), OPEN_FLAG.CREAT | OPEN_FLAG.WRONLY);
    const pipe = openFile(ring, fifo(directory, "pipe"), OPEN_FLAG.RDWR);
    const buffer = ring.buffers.acquire()!;
    const result = new StatxResult();
    const missing = join(directory, "-");
    const failures: Record<string, () => boolean> = {
      read: () => ring.prepRead(file, buffer, 0, 1, 0, 1),
      read_fixed: () => ring.prepReadFixed(file, buffer, 0, 1, 0, 1),
      readv: () => ring.prepReadv(file, [{ buffer, offset: 0, length: 1 }], 0, 1),
      openat: () => ring.prepOpenat(missing, 0, 0, 1),
      openat2: () => ring.prepOpenat2(missing, { flags: 0 }, 1),
      splice: () => ring.prepSplice(file, 0, file, 0, 1, 1),
      fadvise: () => ring.prepFadvise(pipe, 0, 0, 3, 1),
      timeout: () => ring.prepTimeout(1, 0, 1),
      fsync: () => ring.prepFsync(pipe, 1),
      sync_file_range: () => ring.prepSyncFileRange(pipe, 0, 0, 2, 1),
      fallocate: () => ring.prepFallocate(file, 0, 0, 0, 1),
      statx: () => ring.prepStatx(missing, result, 1),
      renameat: () => ring.prepRenameat(missing, missing, 1),
      unlinkat: () => ring.prepUnlinkat(missing, 1),
      mkdirat: () => ring.prepMkdirat(directory, 0o755, 1),
      linkat: () => ring.prepLinkat(missing, missing, 1),
      symlinkat: () => ring.prepSymlinkat("x", directory, 1),
    };
    for (const [name, fail] of Object.entries(failures)) {
      const { breaks } = OPERATIONS.find((row) => row.name === name)!;
      ring.beginChain(2);
      assert.equal(fail(), true);
      if (!breaks) {
        assert.throws(() => ring.prepNop(2), /nop cannot follow/, name);
        ring.prepLinkTimeout(600e6, 2);
        assert.ok(finishAll(ring).get(1)! < 0, name);
        continue;
      }
      ring.prepNop(2);
      const results = finishAll(ring);
      assert.ok(results.get(1)! < 0, name);
      assert.equal(results.get(2), -ERRNO.ECANCELED, name);
    }
  });

  test("a short read breaks a chain, and not a hard one", (ring, directory) => {
    const path = join(directory, "file");
    writeFileSync(path, "short");
    const file = openFile(ring, path);
    const buffer = ring.buffers.acquire()!;
    for (const hard of [false, true]) {
      ring.beginChain(3, hard);
      ring.prepRead(file, buffer, 0, 100, 0, 1);
      ring.prepNop(2);
      ring.prepNop(3);
      const results = finishAll(ring);
      const rest = hard ? 0 : -ERRNO.ECANCELED;
      assert.deepEqual([1, 2, 3].map((id) => results.get(id)), [5, rest, rest]);
    }
  });

  test("submit-link-fail: one that fails, at each place of each length", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path, OPEN_FLAG.CREAT | OPEN_FLAG.WRONLY);
    const buffer = ring.buffers.acquire()!;
    // What the kernel refuses when it takes it, and what fails when it runs.
    const failures: ((id: number) => boolean)[] = [
      (id) => ring.prepTimeout(1, 0, id, 4 | 8),
      (id) => ring.prepOpenat(join(directory, "-"), OPEN_FLAG.RDONLY, 0, id),
      (id) => ring.prepRead(file, buffer, 0, 1, 0, id),
    ];
    for (const [kind, fail] of failures.entries()) {
      for (let length = 2; length <= 6; length++) {
        for (let place = 0; place < length; place++) {
          ring.prepNop(100);
          ring.beginChain(length);
          for (let i = 0; i < length; i++) {
            assert.equal(i === place ? fail(i) : ring.prepNop(i), true);
          }
          ring.prepNop(101);
          const results = finishAll(ring);
          assert.equal(results.size, length + 2);
          assert.deepEqual([results.get(100), results.get(101)], [0, 0]);
          assert.ok(results.get(place)! < 0 && results.get(place) !== -ERRNO.ECANCELED);
          for (let i = 0; i < length; i++) {
            if (i === place) continue;
            // What the kernel refuses at submission cancels the whole chain.
            const expected = i > place || kind === 0 ? -ERRNO.ECANCELED : 0;
            assert.equal(results.get(i), expected, `kind ${kind}, ${place} of ${length}: ${i}`);
          }
        }
      }
    }
  });
});

describe("liburing rename, unlink, openat-close", { skip: skipRing }, () => {
  test("rename and unlink, with the errors of their manual pages", (ring, directory) => {
    const at = (name: string) => join(directory, name);
    const rename = (a: string, b: string, flags = 0) =>
      finish(ring, ring.prepRenameat(at(a), at(b), 1, flags));
    const unlink = (a: string, flags = 0) =>
      finish(ring, ring.prepUnlinkat(`${directory}/${a}`, 1, flags));
    writeFileSync(at("file"), "");
    mkdirSync(at("dir/sub"), { recursive: true });
    mkdirSync(at("empty"));
    const { ENOENT, EISDIR, ENOTDIR, EINVAL, ENOTEMPTY, EEXIST, ENAMETOOLONG } = ERRNO;
    const cases: [number, number[]][] = [
      [rename("-", "x"), [ENOENT]],
      [rename("file", "-/x"), [ENOENT]],
      [rename("file", "dir"), [EISDIR]],
      [rename("dir", "file"), [ENOTDIR]],
      [rename("dir", "dir/sub/x"), [EINVAL]],
      [rename("empty", "dir"), [ENOTEMPTY, EEXIST]],
      [rename("file", "dir", 1), [EEXIST]],
      [rename("file", "-", 2), [ENOENT]],
      [rename("file", "dir", 3), [EINVAL]],
      [rename("file/x", "x"), [ENOTDIR]],
      [rename("n".repeat(256), "x"), [ENAMETOOLONG]],
      [unlink("-"), [ENOENT]],
      [unlink("dir"), [EISDIR]],
      [unlink("file/x"), [ENOTDIR]],
      [unlink("file", 0x200), [ENOTDIR]],
      [unlink("dir", 0x200), [ENOTEMPTY, EEXIST]],
      [unlink("empty/.", 0x200), [EINVAL]],
    ];
    for (const [index, [res, allowed]] of cases.entries()) {
      assert.ok((allowed as number[]).includes(-res), `case ${index}: ${res}`);
    }
    assert.deepEqual([rename("empty", "moved"), unlink("moved", 0x200), unlink("file")], [0, 0, 0]);
    assert.ok(existsSync(at("dir/sub")) && !existsSync(at("file")));
  });

  test("an unlinked file lives on until its slot is closed", (ring, directory) => {
    const path = join(directory, "file");
    const file = openFile(ring, path);
    const buffer = filled(ring, "still here");
    finish(ring, ring.prepWrite(file, buffer, 0, 10, 0, 1));
    assert.equal(finish(ring, ring.prepUnlinkat(path, 1)), 0);
    assert.equal(finish(ring, ring.prepRead(file, buffer, 100, 10, 0, 1)), 10);
    assert.equal(new TextDecoder().decode(buffer.bytes.slice(100, 110)), "still here");
    assert.equal(finish(ring, ring.prepClose(file, 1)), 0);
    assert.equal(finish(ring, ring.prepOpenat(path, OPEN_FLAG.RDONLY, 0, 1)), -ERRNO.ENOENT);
  });

  test("opens and closes many files together, each its own", (ring, directory) => {
    const count = 100;
    for (let round = 0; round < 3; round++) {
      for (let i = 0; i < count; i++) {
        const flags = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT;
        assert.equal(ring.prepOpenat(join(directory, `${i}`), flags, 0o644, i), true);
      }
      const opened = finishAll(ring);
      const files = Array.from({ length: count }, (_, i) => ring.file(opened.get(i)!));
      assert.equal(new Set(files).size, count);
      const buffer = ring.buffers.acquire()!;
      for (let i = 0; i < count; i += 9) {
        buffer.bytes.fill(48 + round, 0, i);
        assert.equal(finish(ring, ring.prepWrite(files[i], buffer, 0, i, 0, 1)), i);
        assert.equal(statSync(join(directory, `${i}`)).size, i);
      }
      buffer.release();
      for (const [i, file] of files.entries()) assert.equal(ring.prepClose(file, i), true);
      for (const res of finishAll(ring).values()) assert.equal(res, 0);
      assert.equal(ring.stats().files, 0);
    }
  });
});
