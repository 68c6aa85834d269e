/** `File`: promises over every backend. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { File, type Io, IoClosedError, IoError, IoUsageError, type OpenOptions } from "../../io.ts";
import { MemoryIo } from "../../testing.ts";
import {
  type BackendOptions,
  type BackendRow,
  BACKENDS,
  filled,
  lacksDirect,
} from "../io/support.ts";
import { inScratch } from "../support/ring.ts";

const RW: OpenOptions = { read: true, write: true, create: true };
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (words: string) => new TextEncoder().encode(words);

for (const backend of BACKENDS) suite(backend);

function suite(backend: BackendRow): void {
  const row = (
    name: string,
    body: (io: Io, directory: string) => Promise<void>,
    options?: BackendOptions,
  ) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, async () => {
      const { io, directory, remove } = backend.open(options);
      try {
        await body(io, directory);
        assert.deepEqual(io.leaks, []);
        assert.equal(io.arenaFreeBytes, io.arenaBytes, "buffers were given back");
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });

  row("whole transfers of any size, at any offset, from any typed array", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    assert.equal(file.path, `${d}/a`);
    for (const length of [0, 1, 4096, 4097, 131_072, 131_073, 1_000_003]) {
      const data = Uint8Array.from({ length }, (_, i) => (i * 7 + length) & 255);
      assert.equal(await file.writeAt(data, 1234), length);
      const got = new Uint8Array(length);
      assert.equal(await file.readAt(got, 1234), length);
      assert.deepEqual(got, data);
    }
    const words = new Uint16Array([1, 2, 3, 4]);
    assert.equal(await file.writeAt(words.subarray(1, 3), 0), 4);
    const view = new DataView(new ArrayBuffer(10), 3, 4);
    assert.equal(await file.readAt(view, 0), 4);
    assert.equal(view.getUint16(2, true), 3);
  });

  row("a read is short only at the end of the file", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    await file.writeAt(filled(200_000, 7), 0);
    const into = new Uint8Array(300_000);
    assert.equal(await file.readAt(into, 0), 200_000);
    assert.deepEqual([into[199_999], into[200_000]], [7, 0]);
    assert.equal(await file.readAt(into, 200_000), 0);
    assert.equal(await file.readAt(into, 199_999), 1);
  });

  row("many operations at once, more than the Io has room for", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    const count = 200;
    await Promise.all(
      Array.from({ length: count }, (_, i) => file.writeAt(filled(10_000, i), i * 10_000)),
    );
    const read = await Promise.all(Array.from({ length: count }, async (_, i) => {
      const into = new Uint8Array(10_000);
      assert.equal(await file.readAt(into, i * 10_000), 10_000);
      return into;
    }));
    read.forEach((got, i) => assert.deepEqual(got, filled(10_000, i)));
  }, { capacity: 4, arenaBytes: 64 * 1024 });

  row("sync, datasync, stat, truncate, dsync, lock, alignment", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    await file.writeAt(bytes("hello world"), 0, { dsync: true });
    await file.sync();
    await file.datasync();
    assert.equal((await file.stat()).size, 11);
    await file.truncate(5);
    const { size, isFile } = await file.stat();
    assert.deepEqual([size, isFile], [5, true]);
    assert.ok(file.alignment().offset >= 0);
    await using other = await File.open(`${d}/a`, RW, io);
    assert.equal(file.lock(), true);
    assert.equal(other.lock(), false);
    if (backend.lacks.includes("allocate")) {
      await assert.rejects(file.allocate(0, 100_000), { code: "EOPNOTSUPP" });
    } else {
      await file.allocate(0, 100_000);
      assert.equal((await file.stat()).size, 100_000);
    }
  });

  row("direct files: continued and ended at their alignment", async (io, d) => {
    await using probe = await File.open(`${d}/a`, RW, io);
    const unit = probe.alignment().offset;
    if (lacksDirect(backend, io, d)) return;
    await using file = await File.open(`${d}/a`, { ...RW, direct: true }, io);
    const data = filled(unit * 100, 9);
    assert.equal(await file.writeAt(data, unit), data.length);
    await probe.truncate(unit * 50 + 10);
    const into = new Uint8Array(data.length);
    assert.equal(await file.readAt(into, unit), unit * 49 + 10);
    await assert.rejects(file.writeAt(bytes("odd"), 0), IoUsageError);
  });

  row("failures reject with code, operation, path and offset", async (io, d) => {
    await assert.rejects(File.open(`${d}/none`, { read: true }, io), {
      name: "IoError",
      code: "ENOENT",
      operation: "open",
    });
    await assert.rejects(File.open(d, { read: true }, io), { code: "EISDIR" });
    await assert.rejects(File.open(`${d}/x`, {}, io), IoUsageError);
    await using reader = await File.open(`${d}/a`, { ...RW, read: false }, io);
    await assert.rejects(reader.readAt(new Uint8Array(10), 5), (error) => {
      assert.ok(error instanceof IoError, String(error));
      assert.deepEqual([error.code, error.operation, error.offset], ["EBADF", "read", 5]);
      assert.ok(error.message.includes(`${d}/a`));
      return true;
    });
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53]) {
      await assert.rejects(reader.writeAt(bytes("a"), bad), IoUsageError);
      await assert.rejects(reader.truncate(bad), IoUsageError);
    }
    await assert.rejects(reader.writeAt("a" as unknown as Uint8Array, 0), IoUsageError);
    const gone = new Uint8Array(new ArrayBuffer(8));
    structuredClone(gone.buffer, { transfer: [gone.buffer] });
    await assert.rejects(reader.writeAt(gone, 0), /transferred away/);
  });

  row("an AbortSignal rejects at once, and nothing is left over", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    const reason = new Error("stop");
    const before = AbortSignal.abort(reason);
    await assert.rejects(file.readAt(new Uint8Array(1), 0, { signal: before }), reason);
    const controller = new AbortController();
    const into = new Uint8Array(1_000_000);
    await file.writeAt(filled(1_000_000, 1), 0);
    const reading = file.readAt(into, 0, { signal: controller.signal });
    controller.abort(reason);
    await assert.rejects(reading, reason);
    // Unused signals change nothing.
    const { signal } = new AbortController();
    assert.equal(await file.readAt(into, 0, { signal }), into.length);
  });

  row("close waits for what is in flight, and refuses the rest", async (io, d) => {
    const file = await File.open(`${d}/a`, RW, io);
    const writing = file.writeAt(filled(500_000, 1), 0);
    const closing = file.close();
    assert.equal(file.closed, true);
    assert.equal(file.close(), closing);
    await assert.rejects(file.readAt(new Uint8Array(1), 0), IoClosedError);
    await assert.rejects(file.stat(), IoClosedError);
    assert.throws(() => file.lock(), IoClosedError);
    assert.equal(await writing, 500_000);
    await closing;
  });

  row("a refused close leaves the file open, to be closed later", async (io, d) => {
    const file = await File.open(`${d}/a`, RW, io);
    const user = io.client("by hand");
    const buffer = user.acquireBuffer()!;
    user.writeAt(file.ioFile, buffer, 0, 4096, 0, 0, 1);
    await assert.rejects(file.close(), /close of .* with write in flight/);
    assert.equal(file.closed, false);
    assert.equal(await file.writeAt(bytes("still open"), 0), 10);
    while (user.inFlight > 0) user.park();
    user.completions.clear();
    await file.close();
    await assert.rejects(file.stat(), IoClosedError);
    assert.throws(() => io.alignment(file.ioFile), /is closed/);
    user.releaseBuffer(buffer);
    user[Symbol.dispose]();
  });

  row("ranges of streams that make no sense are refused at once", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    await file.writeAt(bytes("0123456789"), 0);
    for (const bad of [NaN, -1, 0.5, Infinity, "1" as unknown as number, 2 ** 53]) {
      assert.throws(() => file.readable({ to: bad }), IoUsageError);
      assert.throws(() => file.readable({ from: bad }), IoUsageError);
      assert.throws(() => file.writable(bad), IoUsageError);
    }
    assert.throws(() => file.readable({ from: 5, to: 4 }), IoUsageError);
    for (const [from, to, expected] of [[3, 5, "34"], [4, 4, ""], [8, 100, "89"], [50, 60, ""]]) {
      const range = { from: from as number, to: to as number };
      assert.equal(await new Response(file.readable(range)).text(), expected);
    }
  });

  row("a stream that is cancelled, fails midway, or loses its file", async (io, d) => {
    await using file = await File.open(`${d}/a`, RW, io);
    await file.writeAt(filled(300_000, 4), 0);
    const cancelled = file.readable().getReader();
    assert.equal((await cancelled.read()).value!.length, 65_536);
    await cancelled.cancel();
    assert.equal((await cancelled.read()).done, true);
    assert.equal(file.inFlight, 0);

    await using writes = await File.open(`${d}/b`, { write: true, create: true }, io);
    const failing = writes.readable().getReader();
    await assert.rejects(failing.read(), { code: "EBADF" });
    await assert.rejects(failing.read(), { code: "EBADF" });
    await using reads = await File.open(`${d}/a`, { read: true }, io);
    await assert.rejects(file.readable().pipeTo(reads.writable()), { code: "EBADF" });

    const closed = await File.open(`${d}/a`, { read: true }, io);
    const reader = closed.readable().getReader();
    await reader.read();
    const last = reader.read();
    while (closed.inFlight === 0) await undefined;
    const closing = closed.close();
    assert.equal((await last).value!.length, 65_536);
    await closing;
    await assert.rejects(reader.read(), IoClosedError);
  });

  row("a stream of a direct file", async (io, d) => {
    if (lacksDirect(backend, io, d)) return;
    await using file = await File.open(`${d}/a`, { ...RW, direct: true }, io);
    const data = Uint8Array.from({ length: 40 * 4096 }, (_, i) => i >> 12);
    const source = new Blob([data]).stream();
    await source.pipeTo(file.writable());
    const got = new Uint8Array(await new Response(file.readable()).arrayBuffer());
    assert.deepEqual(got, data);
  });

  row(
    "aborted writes: in flight, queued for room, and what listens to the signal",
    async (io, d) => {
      await using file = await File.open(`${d}/a`, RW, io);
      const reason = new Error("stop");
      const controller = new AbortController();
      const { signal } = controller;
      let listeners = 0;
      const { addEventListener, removeEventListener } = EventTarget.prototype;
      signal.addEventListener = (...all: Parameters<typeof addEventListener>) => {
        listeners++;
        addEventListener.apply(signal, all);
      };
      signal.removeEventListener = (...all: Parameters<typeof removeEventListener>) => {
        listeners--;
        removeEventListener.apply(signal, all);
      };
      assert.equal(await file.writeAt(filled(100, 1), 0, { signal }), 100);
      assert.equal(await file.readAt(new Uint8Array(100), 0, { signal }), 100);
      assert.equal(listeners, 0);
      // Far more than there are buffers for.
      const aborted = Array.from(
        { length: 60 },
        () => file.writeAt(filled(9000, 2), 0, { signal }),
      );
      const others = Array.from({ length: 20 }, (_, i) => file.writeAt(filled(100, 3), 10_000 + i));
      assert.equal(listeners, 60);
      controller.abort(reason);
      for (const one of aborted) await assert.rejects(one, reason);
      assert.deepEqual(await Promise.all(others), others.map(() => 100));
      while (file.inFlight > 0) await file.stat();
      assert.equal(listeners, 0);
    },
    { capacity: 4, arenaBytes: 16 * 1024 },
  );

  row("streams out of a file and into one", async (io, d) => {
    await using from = await File.open(`${d}/from`, RW, io);
    await using to = await File.open(`${d}/to`, RW, io);
    const data = Uint8Array.from({ length: 300_000 }, (_, i) => i & 255);
    await from.writeAt(data, 0);
    await from.readable({ from: 10, to: 250_000 }).pipeTo(to.writable(5));
    const got = new Uint8Array(300_000);
    assert.equal(await to.readAt(got, 5), 249_990);
    assert.deepEqual(got.subarray(0, 249_990), data.subarray(10, 250_000));
  });
}

test("without an Io, files share one that ends with the last of them", () =>
  inScratch(async (directory) => {
    const one = await File.open(`${directory}/a`, RW);
    const two = await File.open(`${directory}/b`, RW);
    assert.equal(one.io, two.io);
    await one.close();
    await two.writeAt(bytes("still there"), 0);
    await two.close();
    assert.throws(() => two.io.poll(), IoClosedError);
    await assert.rejects(File.open(`${directory}/none`, { read: true }), { code: "ENOENT" });
    await using again = await File.open(`${directory}/b`, RW);
    const into = new Uint8Array(11);
    await again.readAt(into, 0);
    assert.equal(text(into), "still there");
  }));

test("short transfers, EINTR and EAGAIN are continued; other errors reject once", async () => {
  const io = MemoryIo.create({ seed: 3 });
  await using file = await File.open("/a", RW, io);
  for (const errno of [4, 11]) {
    io.fail({ operation: "write", nth: 1, errno });
    io.fail({ operation: "read", nth: 1, errno });
    assert.equal(await file.writeAt(filled(50_000, 3), 0), 50_000);
    assert.equal(await file.readAt(new Uint8Array(50_000), 0), 50_000);
  }
  io.fail({ operation: "write", nth: 1, errno: 5 });
  await assert.rejects(file.writeAt(filled(10, 3), 7), { code: "EIO", offset: 7 });
  io.fail({ operation: "fdatasync", nth: 1, errno: 28 });
  await assert.rejects(file.datasync(), { code: "ENOSPC", operation: "fdatasync" });
  await file.datasync();

  const rough = MemoryIo.create({ seed: 4, shortChance: 0.5, interruptChance: 0.2 });
  await using other = await File.open("/b", RW, rough);
  const data = Uint8Array.from({ length: 400_000 }, (_, i) => i * 3 & 255);
  assert.equal(await other.writeAt(data, 1), data.length);
  const into = new Uint8Array(data.length);
  assert.equal(await other.readAt(into, 1), data.length);
  assert.deepEqual(into, data);
});

test("what makes no progress, or is interrupted again and again, is an error in the end", async () => {
  const io = MemoryIo.create();
  await using file = await File.open("/a", RW, io);
  for (
    const [fault, code] of [[{ short: 0 }, "EIO"], [{ errno: 4 }, "EINTR"], [
      { errno: 11 },
      "EAGAIN",
    ]] as const
  ) {
    const always = io.fail({ operation: "write", persistent: true, ...fault });
    await assert.rejects(file.writeAt(filled(100, 1), 7), { code, offset: 7 });
    assert.ok(always.fired > 1 && always.fired <= 200, String(always.fired));
    always.cancel();
    assert.equal(await file.writeAt(filled(100, 1), 7), 100);
  }
});
