/** Positioned, blocking: each promise of `PositionedFile` is a test with its name, on every backend. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Io,
  IoClosedError,
  IoError,
  IoFullError,
  IoUsageError,
  type OpenOptions,
} from "../../io.ts";
import { PositionedError, PositionedFile } from "../../storage.ts";
import { MemoryIo } from "../../testing.ts";
import { type BackendOptions, BACKENDS, filled } from "../io/support.ts";
import { inScratch } from "../support/ring.ts";
import { runProgram } from "../support/program.ts";
import { ROOT } from "../support/ring.ts";

const RW: OpenOptions = { read: true, write: true, create: true };

for (const backend of BACKENDS) {
  const row = (
    name: string,
    body: (io: Io, directory: string) => void,
    options?: BackendOptions,
  ) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, () => {
      const { io, directory, remove } = backend.open(options);
      try {
        body(io, directory);
        assert.deepEqual(io.leaks, []);
        assert.equal(io.arenaFreeBytes, io.arenaBytes, "buffers were given back");
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });

  row("preadAt, pwriteAt: whole or error, any typed array", (io, d) => {
    using file = PositionedFile.open(`${d}/a`, RW, io);
    for (const length of [0, 1, 4096, 4097, 131_072, 500_001]) {
      const data = Uint8Array.from({ length }, (_, i) => (i + length) & 255);
      file.pwriteAt(77, data);
      const into = new Uint8Array(length);
      file.preadAt(77, into);
      assert.deepEqual(into, data);
    }
    file.pwriteAt(0, new Float64Array([1.5, 2.5]));
    const numbers = new Float64Array(2);
    file.preadAt(0, numbers);
    assert.deepEqual([...numbers], [1.5, 2.5]);
    file.datasync();
    for (const bad of [-1, 0.5, NaN, 2 ** 53]) {
      assert.throws(() => file.preadAt(bad, new Uint8Array(1)), IoUsageError);
      assert.throws(() => file.pwriteAt(bad, new Uint8Array(1)), IoUsageError);
    }
  });

  row("a short transfer is an error at the end of the file", (io, d) => {
    using file = PositionedFile.open(`${d}/a`, RW, io);
    file.pwriteAt(0, filled(100, 1));
    for (const [offset, length] of [[50, 51], [100, 1], [0, 200_000], [1e9, 1]]) {
      assert.throws(() => file.preadAt(offset, new Uint8Array(length)), (error) => {
        assert.ok(error instanceof PositionedError, String(error));
        assert.deepEqual([error.code, error.operation], ["UnexpectedEof", "read"]);
        assert.equal(error.offset, Math.max(offset, 100));
        return true;
      });
    }
    file.preadAt(0, new Uint8Array(100));
  });

  row("preadBatch, pwriteBatch: more entries than there is room for are fed in turns", (io, d) => {
    using file = PositionedFile.open(`${d}/a`, RW, io);
    const entries = Array.from({ length: 500 }, (_, i) => ({
      offset: (499 - i) * 3000,
      bytes: filled(i % 7 === 0 ? 3000 : 10, i & 255),
    }));
    file.pwriteBatch(entries);
    const read = entries.map(({ offset, bytes }) => ({
      offset,
      bytes: new Uint8Array(bytes.length),
    }));
    file.preadBatch(read);
    read.forEach(({ bytes }, i) => assert.deepEqual(bytes, entries[i].bytes));
    file.pwriteBatch([]);
    // Entries larger than a buffer.
    const large = [0, 1].map((i) => ({ offset: i * 300_000, bytes: filled(300_000, i + 1) }));
    file.pwriteBatch(large);
    const into = new Uint8Array(300_000);
    file.preadBatch([{ offset: 300_000, bytes: into }]);
    assert.deepEqual(into, large[1].bytes);
  }, { capacity: 4, arenaBytes: 256 * 1024 });

  row("an invalid entry refuses the batch before anything is submitted", (io, d) => {
    using file = PositionedFile.open(`${d}/a`, RW, io);
    const good = { offset: 0, bytes: filled(10, 1) };
    for (const bad of [{ offset: -1, bytes: good.bytes }, { offset: 0, bytes: "a" }, {}]) {
      assert.throws(() => file.pwriteBatch([good, good, bad as typeof good]), (error) => {
        assert.ok(error instanceof IoUsageError, String(error));
        assert.equal((error as { index?: number }).index, 2);
        return true;
      });
    }
    assert.throws(() => file.preadAt(0, new Uint8Array(1)), { code: "UnexpectedEof" });
  });

  row("the first failure is reported with its index after all have ended", (io, d) => {
    using file = PositionedFile.open(`${d}/a`, RW, io);
    file.pwriteAt(0, filled(1000, 9));
    const entries = [0, 100, 2000, 200, 3000].map((offset) => ({
      offset,
      bytes: new Uint8Array(100),
    }));
    assert.throws(() => file.preadBatch(entries), (error) => {
      assert.ok(error instanceof PositionedError, String(error));
      assert.deepEqual([error.index, error.code, error.offset], [2, "UnexpectedEof", 2000]);
      return true;
    });
    for (const i of [0, 1, 3]) assert.deepEqual(entries[i].bytes, filled(100, 9));
    using reader = PositionedFile.open(`${d}/a`, { read: true }, io);
    assert.throws(() => reader.pwriteBatch(entries), { index: 0, code: "EBADF" });
  });

  row("direct files, and errors of open and use", (io, d) => {
    assert.throws(() => PositionedFile.open(`${d}/none`, { read: true }, io), (error) => {
      return error instanceof IoError && error.code === "ENOENT";
    });
    assert.throws(() => PositionedFile.open(`${d}/none`, {}, io), IoUsageError);
    const file = PositionedFile.open(`${d}/a`, RW, io);
    file.close();
    file.close();
    assert.throws(() => file.preadAt(0, new Uint8Array(1)), IoClosedError);
    let direct: PositionedFile;
    try {
      direct = PositionedFile.open(`${d}/a`, { ...RW, direct: true }, io);
    } catch (error) {
      assert.equal((error as IoError).code, "EINVAL"); // no direct I/O here
      return;
    }
    direct.pwriteAt(4096, filled(8192, 5));
    const into = new Uint8Array(4096);
    direct.preadAt(8192, into);
    assert.deepEqual(into, filled(4096, 5));
    assert.throws(() => direct.preadAt(12288, into), { code: "UnexpectedEof" });
    assert.throws(() => direct.preadAt(1, into), IoUsageError);
    assert.throws(() => direct.pwriteBatch([{ offset: 1, bytes: into }]), IoUsageError);
    direct.close();
  });
}

test("short transfers, EINTR and EAGAIN are continued; no progress is an error", () => {
  const io = MemoryIo.create({ seed: 8, shortChance: 0.5, interruptChance: 0.2 });
  using file = PositionedFile.open("/a", RW, io);
  const entries = Array.from({ length: 100 }, (_, i) => ({
    offset: i * 5000,
    bytes: filled(5000, i),
  }));
  file.pwriteBatch(entries);
  const into = new Uint8Array(500_000);
  file.preadAt(0, into);
  entries.forEach(({ offset, bytes }) =>
    assert.deepEqual(into.subarray(offset, offset + 5000), bytes)
  );
  io.fail({ operation: "write", nth: 1, errno: 28 });
  assert.throws(() => file.pwriteAt(10, filled(10, 1)), { code: "ENOSPC", offset: 10, index: 0 });
});

test("a file that found no room to be closed can be closed again", () => {
  const io = MemoryIo.create({ capacity: 1 });
  const file = PositionedFile.open("/a", RW, io);
  file.pwriteAt(0, filled(10, 1));
  const other = io.client("other");
  other.stat("/a", 1);
  assert.throws(() => file.close(), IoFullError);
  other.park();
  file.close();
  assert.throws(() => file.preadAt(0, new Uint8Array(1)), IoClosedError);
  assert.equal(io.arenaFreeBytes, io.arenaBytes, "buffers were given back");
  other[Symbol.dispose]();
  io[Symbol.dispose]();
});

test("falls back to node:fs where there is no ring", () =>
  inScratch(async (directory) => {
    const program = `${ROOT}/tests/storage/positioned_program.ts`;
    const env = { URING_LIBRARY: "/nowhere" };
    const { stdout, stderr } = await runProgram(program, [`${directory}/a`], { env });
    assert.equal(stdout.trim(), "sync hello", stderr);
  }));

test("interrupted opens and syncs are tried again; without progress they fail in the end", () => {
  const io = MemoryIo.create();
  const options = { read: true, write: true, create: true };
  for (const errno of [4, 11]) {
    io.fail({ operation: "open", errno });
    io.fail({ operation: "fdatasync", errno });
    using file = PositionedFile.open("/a", options, io);
    file.datasync();
    file.pwriteAt(0, new Uint8Array(10));
  }
  using file = PositionedFile.open("/a", options, io);
  for (const [fault, code] of [[{ short: 0 }, "EIO"], [{ errno: 4 }, "EINTR"]] as const) {
    const always = io.fail({ operation: "write", persistent: true, ...fault });
    assert.throws(() => file.pwriteAt(5, new Uint8Array(10)), { code, offset: 5, index: 0 });
    const batch = [{ offset: 0, bytes: new Uint8Array(10) }, {
      offset: 9,
      bytes: new Uint8Array(9),
    }];
    assert.throws(() => file.pwriteBatch(batch), { code, index: 0 });
    always.cancel();
  }
  const always = io.fail({ operation: "fdatasync", persistent: true, errno: 4 });
  assert.throws(() => file.datasync(), { code: "EINTR" });
  always.cancel();
});

test("of a batch whose buffers run out, the entry that failed is told", () => {
  const io = MemoryIo.create({ arenaBytes: 3 * 4096 });
  using file = PositionedFile.open("/a", { read: true, write: true, create: true }, io);
  file.pwriteAt(0, new Uint8Array(10));
  io.fail({ operation: "write", errno: 5 });
  const other = io.client("other");
  let taken: ReturnType<typeof other.acquireBuffer>;
  // Others take what the batch gives back.
  const give = io.driver.arena.give.bind(io.driver.arena);
  io.driver.arena.give = (offset, bytes) => {
    give(offset, bytes);
    taken ??= other.acquireBuffer(8192);
  };
  const entries = [0, 1, 2].map((i) => ({ offset: i * 8192, bytes: new Uint8Array(8192) }));
  assert.throws(() => file.pwriteBatch(entries), { code: "EIO" });
  if (taken !== undefined) other.releaseBuffer(taken);
});
