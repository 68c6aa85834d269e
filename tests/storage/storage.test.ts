/**
 * Submit and poll: each promise of `StorageIo` is a test with its name, on every backend. What fails is
 * made to fail on the simulated machine.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CompletionArray,
  File,
  type Io,
  IoUsageError,
  type OpenOptions,
  type UringIo,
} from "../../io.ts";
import {
  BadFdError,
  BufferExhaustedError,
  BusyError,
  ClosedError,
  QueueFullError,
  type StorageIo,
  StorageIoError,
  type StorageOptions,
  SyncStorageIo,
  UringStorageIo,
} from "../../storage.ts";
import { MemoryIo, MemoryStorageIo } from "../../testing.ts";
import { BACKENDS, filled, lacksDirect } from "../io/support.ts";
import { inScratch, isDeno, skipRing } from "../support/ring.ts";
import { storageOn } from "./support.ts";

const RW: OpenOptions = { read: true, write: true, create: true };
const EIO = 5, ENOSPC = 28, ECANCELED = 125;
const bytes = (words: string) => new TextEncoder().encode(words);

/** Polls until nothing is pending; results by token. */
function finish(storage: StorageIo): Map<number, number> {
  const results = new Map<number, number>();
  const out = new CompletionArray(8);
  while (storage.pendingCount > 0) {
    storage.park();
    storage.pollCompletions(out);
    for (let i = 0; i < out.length; i++) {
      assert.ok(!results.has(out.userData[i]), "a token comes back once");
      results.set(out.userData[i], out.res[i]);
    }
    out.clear();
  }
  return results;
}

async function contents(io: Io, path: string): Promise<string> {
  await using file = await File.open(path, { read: true }, io);
  const into = new Uint8Array((await file.stat()).size);
  await file.readAt(into, 0);
  return new TextDecoder().decode(into);
}

for (const backend of BACKENDS) {
  const row = (
    name: string,
    body: (storage: StorageIo, directory: string, io: Io) => Promise<void>,
    options: StorageOptions = {},
  ) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, async () => {
      const { io, directory, remove } = backend.open();
      try {
        const storage = storageOn(io, options);
        await body(storage, directory, io);
        storage.close();
        assert.deepEqual(io.leaks, []);
        // Files close in the event loop.
        for (let i = 0; i < 100 && io.arenaFreeBytes < io.arenaBytes; i++) {
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        assert.equal(io.arenaFreeBytes, io.arenaBytes, "buffers were given back");
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });

  row("registerFd: an opaque fd; a full table is QueueFull", async (storage, d, io) => {
    const one = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const two = storage.registerFd(await File.open(`${d}/b`, RW, io));
    assert.notEqual(one, two);
    assert.ok(Number.isSafeInteger(one));
    const third = await File.open(`${d}/c`, RW, io);
    assert.throws(() => storage.registerFd(third), (error) => {
      return error instanceof QueueFullError && error.code === "QueueFull";
    });
    await third.close();
    storage.deregisterFd(one);
    assert.throws(() => storage.registerFd(third), BadFdError);
    const elsewhere = await File.open("/x", RW, MemoryIo.create());
    assert.throws(() => storage.registerFd(elsewhere), BadFdError);
    assert.throws(() => storage.registerFd(3 as unknown as File), BadFdError);
  }, { files: 2 });

  row("deregisterFd closes the file; an unknown fd is BadFd", async (storage, d, io) => {
    const file = await File.open(`${d}/a`, RW, io);
    const fd = storage.registerFd(file);
    storage.deregisterFd(fd);
    assert.equal(file.closed, true);
    await file.close();
    for (const unknown of [fd, 12345, -1, NaN, 0.5]) {
      assert.throws(() => storage.deregisterFd(unknown), (error) => {
        return error instanceof BadFdError && error.code === "BadFd";
      });
      assert.throws(() => storage.submitAppend(unknown, bytes("a")), BadFdError);
    }
    // The number of a file that is gone never reaches the next one.
    const next = storage.registerFd(await File.open(`${d}/b`, RW, io));
    assert.notEqual(next, fd);
    assert.throws(() => storage.submitWrite(fd, bytes("a"), 0), BadFdError);
    assert.equal(storage.pendingCount, 0);
  }, { files: 1 });

  row("deregisterFd with operations in flight is refused", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const token = storage.submitWrite(fd, bytes("abc"), 0);
    assert.throws(() => storage.deregisterFd(fd), (error) => {
      return error instanceof BusyError && error.code === "Busy";
    });
    assert.deepEqual([...finish(storage)], [[token, 3]]);
    storage.deregisterFd(fd);
    assert.equal(await contents(io, `${d}/a`), "abc");
  });

  row("submitDatasync covers writes of the file itself", async (storage, d, io) => {
    const file = await File.open(`${d}/a`, RW, io);
    const fd = storage.registerFd(file);
    const before = io.statistics().operations.fdatasync?.count ?? 0;
    const written = file.writeAt(bytes("by the file"), 0);
    const sync = storage.submitDatasync(fd);
    storage.flush();
    // It is not submitted before that write has ended, blocking or not.
    assert.equal(io.statistics().operations.fdatasync?.count ?? 0, before);
    assert.deepEqual([...finish(storage)], [[sync, 0]]);
    assert.equal(io.statistics().operations.write.count, 1);
    assert.equal(await written, 11);
    const later = file.writeAt(bytes("BY"), 0);
    const waited = storage.submitDatasync(fd);
    const out = new CompletionArray(4);
    while (storage.pollCompletions(out) === 0) await storage.wait();
    assert.deepEqual([out.userData[0], out.res[0]], [waited, 0]);
    await later;
    // A sync from before waits for nothing that comes later.
    const early = storage.submitDatasync(fd);
    const behind = file.writeAt(bytes("!"), 11);
    assert.equal(finish(storage).get(early), 0);
    await behind;
    assert.equal(await contents(io, `${d}/a`), "BY the file!");
  });

  row(
    "appends go behind what the file itself writes, cuts and reserves",
    async (storage, d, io) => {
      const file = await File.open(`${d}/a`, RW, io);
      const fd = storage.registerFd(file);
      const append = (text: string) => {
        const token = storage.submitAppend(fd, bytes(text));
        assert.equal(finish(storage).get(token), text.length);
      };
      append("12345678");
      await file.truncate(3);
      append("abc");
      assert.equal(await contents(io, `${d}/a`), "123abc");
      // Its place is behind the write that was begun before, which may end later.
      const writing = file.writeAt(bytes("zz"), 8);
      append("-");
      await writing;
      assert.equal(await contents(io, `${d}/a`), "123abc\0\0zz-");
      await file.truncate(20);
      append("+");
      assert.equal((await file.stat()).size, 21);
      if (backend.lacks.includes("allocate")) return;
      await file.allocate(0, 30);
      append("end");
      assert.equal((await file.stat()).size, 33);
      await file.allocate(0, 10);
      append("!");
      assert.equal((await file.stat()).size, 34);
    },
  );

  row(
    "registerFd refuses a file twice, and one with operations in flight",
    async (storage, d, io) => {
      const file = await File.open(`${d}/a`, RW, io);
      const writing = file.writeAt(bytes("a"), 0);
      assert.throws(() => storage.registerFd(file), BusyError);
      await writing;
      const fd = storage.registerFd(file);
      assert.throws(() => storage.registerFd(file), /is registered already/);
      storage.deregisterFd(fd);
      const appender = await File.open(`${d}/a`, { write: true, append: true }, io);
      const other = storage.registerFd(appender);
      assert.throws(() => storage.submitWrite(other, bytes("b"), 0), /use submitAppend/);
      storage.submitAppend(other, bytes("b"));
      finish(storage);
      assert.equal(await contents(io, `${d}/a`), "ab");
    },
  );

  row("registerFd takes a descriptor where numbers are the kernel's", async (storage, d, io) => {
    if (io.backend === "memory" || isDeno) {
      assert.throws(() => storage.registerFd(1), /open the file by its path/);
      return;
    }
    const { closeSync, openSync, writeFileSync } = await import("node:fs");
    writeFileSync(`${d}/a`, "first ");
    const descriptor = openSync(`${d}/a`, "r+");
    const fd = storage.registerFd(descriptor);
    closeSync(descriptor);
    const token = storage.submitAppend(fd, bytes("second"));
    const sync = storage.submitDatasync(fd);
    assert.deepEqual([...finish(storage)], [[token, 6], [sync, 0]]);
    assert.equal(await contents(io, `${d}/a`), "first second");
    storage.deregisterFd(fd);
    assert.throws(() => storage.submitAppend(fd, bytes("x")), BadFdError);
    assert.throws(() => storage.registerFd(descriptor), BadFdError);
    const null_ = openSync("/dev/null", "w");
    assert.throws(() => storage.registerFd(null_), BadFdError);
    closeSync(null_);
  });

  row("others that hold all operations of the Io do not stop it", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const greedy = io.client("greedy");
    for (let i = 0; greedy.available > 0; i++) greedy.stat(d, i);
    const tokens = ["one ", "two ", "three"].map((text) => storage.submitAppend(fd, bytes(text)));
    const sync = storage.submitDatasync(fd);
    storage.park();
    assert.deepEqual([...finish(storage).keys()], [...tokens, sync]);
    storage.submitWrite(fd, bytes("ONE"), 0);
    storage.close();
    while (greedy.inFlight > 0) {
      for (let i = greedy.park() - 1; i >= 0; i--) greedy.take(greedy.completions.userData[i]);
    }
    greedy[Symbol.dispose]();
    assert.equal(await contents(io, `${d}/a`), "ONE two three");
  });

  row("submitWrite copies and returns a token", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const data = bytes("first");
    const one = storage.submitWrite(fd, data, 5);
    data.set(bytes("xxxxx"));
    const two = storage.submitWrite(fd, bytes("zero-"), 0);
    const empty = storage.submitWrite(fd, new Uint8Array(0), 1000);
    assert.equal(new Set([one, two, empty]).size, 3);
    for (const token of [one, two, empty]) assert.ok(Number.isSafeInteger(token));
    assert.equal(storage.pendingCount, 3);
    const results = finish(storage);
    assert.deepEqual([results.get(one), results.get(two), results.get(empty)], [5, 5, 0]);
    assert.equal(await contents(io, `${d}/a`), "zero-first");
    for (const bad of [-1, 0.5, NaN, 2 ** 53]) {
      assert.throws(() => storage.submitWrite(fd, data, bad), IoUsageError);
    }
    assert.throws(() => storage.submitWrite(fd, "text" as unknown as Uint8Array, 0), IoUsageError);
    assert.equal(storage.pendingCount, 0);
  });

  row("data larger than one buffer is split, and completes once", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const data = Uint8Array.from({ length: 50_001 }, (_, i) => 33 + i % 90);
    const written = storage.submitWrite(fd, data, 7);
    const results = finish(storage);
    assert.deepEqual([...results], [[written, data.length]]);
    const appended = storage.submitAppend(fd, data);
    assert.deepEqual([...finish(storage)], [[appended, data.length]]);
    const text = new TextDecoder().decode(data);
    assert.equal(await contents(io, `${d}/a`), "\0".repeat(7) + text + text);
  });

  row("submitAppend writes at the end of the file", async (storage, d, io) => {
    const first = await File.open(`${d}/a`, RW, io);
    await first.writeAt(bytes("old|"), 0);
    const fd = storage.registerFd(first);
    const lengths = new Map<number, number>();
    let expected = "old|";
    for (let i = 0; i < 300; i++) {
      const record = `${i}:${"x".repeat(i % 50)}|`;
      expected += record;
      lengths.set(storage.submitAppend(fd, bytes(record)), record.length);
      if (i % 37 === 0) storage.flush();
    }
    assert.deepEqual(finish(storage), lengths);
    assert.equal(await contents(io, `${d}/a`), expected);
    // Behind the end that a write at an offset will make.
    storage.submitWrite(fd, bytes("far"), expected.length + 10);
    storage.submitAppend(fd, bytes("end"));
    finish(storage);
    assert.equal(await contents(io, `${d}/a`), `${expected}${"\0".repeat(10)}farend`);
  });

  row("submitDatasync: covers every write submitted before it", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const order: number[] = [];
    const expected: number[] = [];
    for (let i = 0; i < 5; i++) {
      expected.push(storage.submitWrite(fd, filled(100, i), i * 100));
      expected.push(storage.submitAppend(fd, filled(10, i)));
    }
    const sync = storage.submitDatasync(fd);
    const after = storage.submitWrite(fd, bytes("after"), 0);
    const second = storage.submitDatasync(fd);
    const out = new CompletionArray(64);
    while (storage.pendingCount > 0) {
      await storage.wait();
      storage.pollCompletions(out);
    }
    const results = new Map<number, number>();
    for (let i = 0; i < out.length; i++) {
      order.push(out.userData[i]);
      results.set(out.userData[i], out.res[i]);
    }
    assert.equal(results.get(sync), 0);
    assert.equal(results.get(second), 0);
    for (const token of expected) assert.ok(order.indexOf(token) < order.indexOf(sync));
    assert.ok(order.indexOf(after) < order.indexOf(second));
  });

  row("flush returns how many were handed over since the last one", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    assert.equal(storage.flush(), 0);
    storage.submitWrite(fd, bytes("a"), 0);
    storage.submitAppend(fd, bytes("b"));
    storage.submitAppend(fd, bytes("c"));
    storage.submitDatasync(fd);
    assert.equal(storage.flush(), 4);
    assert.equal(storage.flush(), 0);
    assert.equal(finish(storage).size, 4);
  });

  row("pollCompletions: a column that is too small keeps the rest", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const tokens = Array.from({ length: 10 }, (_, i) => storage.submitWrite(fd, filled(5, i), i));
    storage.flush();
    const out = new CompletionArray(4);
    const seen: number[] = [];
    while (storage.pendingCount > 0) {
      storage.park();
      out.push(0, 0, 0); // a row of the caller's own stays
      const count = storage.pollCompletions(out);
      assert.ok(count <= 3);
      assert.equal(out.length, count + 1);
      assert.equal(out.userData[0], 0);
      for (let i = 1; i < out.length; i++) seen.push(out.userData[i]);
      assert.equal(storage.pendingCount, 10 - seen.length);
      if (out.length === 4) assert.equal(storage.pollCompletions(out), 0);
      out.clear();
    }
    assert.deepEqual(seen.sort((a, b) => a - b), tokens);
  });

  row("pendingCount: submitted, not yet delivered", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    storage.submitWrite(fd, bytes("a"), 0);
    storage.submitWrite(fd, new Uint8Array(0), 0);
    assert.equal(storage.pendingCount, 2);
    storage.flush();
    assert.equal(storage.pendingCount, 2, "executed perhaps, but delivered by a poll only");
    assert.equal(finish(storage).size, 2);
    assert.equal(storage.pendingCount, 0);
  });

  row("more operations than the Io has room for lose no completion", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    const wanted = new Map<number, number>();
    const got = new Map<number, number>();
    const out = new CompletionArray(7);
    const poll = () => {
      storage.pollCompletions(out);
      for (let i = 0; i < out.length; i++) {
        assert.ok(!got.has(out.userData[i]));
        got.set(out.userData[i], out.res[i]);
      }
      out.clear();
    };
    for (let i = 0; i < 2000; i++) {
      for (;;) {
        try {
          if (i % 50 === 0) wanted.set(storage.submitDatasync(fd), 0);
          else wanted.set(storage.submitWrite(fd, filled(10, i), i * 10), 10);
          break;
        } catch (error) {
          assert.ok(error instanceof BufferExhaustedError || error instanceof QueueFullError);
          storage.park();
          poll();
        }
      }
    }
    while (storage.pendingCount > 0) {
      storage.park();
      poll();
    }
    assert.deepEqual([...got].sort(([x], [y]) => x - y), [...wanted]);
  });

  row("a failed submit leaves nothing half-submitted", async (storage, d, io) => {
    const fd = storage.registerFd(await File.open(`${d}/a`, RW, io));
    storage.submitWrite(fd, filled(4096 * 15, 65), 0);
    for (
      const submit of [
        () => storage.submitWrite(fd, filled(4096 * 2, 66), 0),
        () => storage.submitAppend(fd, filled(4096 * 2, 66)),
        () => storage.submitAppend(fd, filled(4096 * 100, 66)),
      ]
    ) {
      assert.throws(submit, (error) => {
        return error instanceof BufferExhaustedError && error.code === "BufferExhausted";
      });
    }
    storage.submitAppend(fd, filled(4096, 67));
    storage.submitDatasync(fd);
    assert.throws(() => storage.submitDatasync(fd), QueueFullError);
    assert.throws(() => storage.submitAppend(fd, bytes("x")), QueueFullError);
    assert.equal(storage.flush(), 3);
    assert.equal(finish(storage).size, 3);
    assert.equal(await contents(io, `${d}/a`), "A".repeat(4096 * 15) + "C".repeat(4096));
  }, { tokens: 3 });

  row("direct files: aligned data only, and whole", async (storage, d, io) => {
    const probe = await File.open(`${d}/a`, RW, io);
    const unit = probe.alignment().offset;
    await probe.close();
    if (lacksDirect(backend, io, d)) return;
    const fd = storage.registerFd(await File.open(`${d}/a`, { ...RW, direct: true }, io));
    assert.throws(() => storage.submitAppend(fd, bytes("odd")), IoUsageError);
    assert.throws(() => storage.submitWrite(fd, filled(unit, 1), 1), IoUsageError);
    storage.submitAppend(fd, filled(4096 * 3, 65));
    storage.submitAppend(fd, filled(4096, 66));
    assert.deepEqual([...finish(storage).values()], [4096 * 3, 4096]);
    assert.equal(await contents(io, `${d}/a`), "A".repeat(4096 * 3) + "B".repeat(4096));
  });

  row("after close everything is Closed", async (storage, d, io) => {
    const file = await File.open(`${d}/a`, RW, io);
    const fd = storage.registerFd(file);
    storage.submitAppend(fd, bytes("kept"));
    storage.close();
    storage.close();
    for (
      const call of [
        () => storage.submitWrite(fd, bytes("a"), 0),
        () => storage.submitAppend(fd, bytes("a")),
        () => storage.submitDatasync(fd),
        () => storage.flush(),
        () => storage.pollCompletions(new CompletionArray(1)),
        () => storage.registerFd(file),
        () => storage.deregisterFd(fd),
        () => storage.park(),
      ]
    ) {
      assert.throws(call, (error) => error instanceof ClosedError && error.code === "Closed");
    }
    await file.close();
    assert.equal(await contents(io, `${d}/a`), "kept");
  });
}

test("storages of their own: sync, uring with and without SQPOLL, memory", () =>
  inScratch(async (directory) => {
    const opened = [SyncStorageIo.open(), MemoryStorageIo.open()] as StorageIo[];
    if (skipRing === false) {
      opened.push(UringStorageIo.open(), UringStorageIo.open({ sqpoll: true }));
    }
    for (const [i, storage] of opened.entries()) {
      const path = storage.io.backend === "memory" ? "/a" : `${directory}/${i}`;
      const fd = storage.registerFd(await File.open(path, RW, storage.io));
      storage.submitAppend(fd, bytes("hello"));
      storage.submitDatasync(fd);
      assert.deepEqual([...finish(storage).values()].sort(), [0, 5]);
      storage.close();
    }
    const { io } = SyncStorageIo.open();
    assert.throws(() => UringStorageIo.open({ io }), /for the backend uring, not sync/);
  }));

test(
  "flush wakes a thread of SQPOLL that has gone to sleep",
  { skip: skipRing },
  () =>
    inScratch(async (directory) => {
      using storage = UringStorageIo.open({ sqpoll: { idleMillis: 1 } });
      const fd = storage.registerFd(await File.open(`${directory}/a`, RW, storage.io));
      for (let round = 0; round < 10; round++) {
        // Long enough for it to sleep; were it awake, nothing would be different.
        await new Promise((resolve) => setTimeout(resolve, 10));
        const token = storage.submitAppend(fd, bytes("text"));
        assert.equal(storage.flush(), 1);
        await storage.wait();
        assert.deepEqual([...finish(storage)], [[token, 4]]);
      }
      assert.equal(await contents(storage.io, `${directory}/a`), "text".repeat(10));
    }),
);

test("two waits at once for a write of the file itself both come to an end", async () => {
  const io = MemoryIo.create({ seed: 3 });
  using storage = MemoryStorageIo.open({ io });
  const file = await File.open("/a", RW, io);
  const fd = storage.registerFd(file);
  const written = file.writeAt(bytes("by itself"), 0);
  const token = storage.submitDatasync(fd);
  await Promise.all([storage.wait(), storage.wait()]);
  assert.deepEqual([...finish(storage)], [[token, 0]]);
  assert.equal(await written, 9);
});

test("Io: a file whose size cannot be found out is not registered", async () => {
  const io = MemoryIo.create();
  using storage = MemoryStorageIo.open({ io });
  const file = await File.open("/a", RW, io);
  io.fail({ operation: "stat", errno: EIO });
  assert.throws(() => storage.registerFd(file), (error) => {
    assert.ok(error instanceof StorageIoError, String(error));
    assert.deepEqual([error.code, error.errno], ["Io", EIO]);
    return true;
  });
  storage.deregisterFd(storage.registerFd(file));
});

// Failures, on the simulated machine.

async function failing(): Promise<{ io: MemoryIo; storage: StorageIo; fd: number }> {
  const io = MemoryIo.create({ seed: 5 });
  const storage = MemoryStorageIo.open({ io, buffers: 16, bufferBytes: 4096 });
  return { io, storage, fd: storage.registerFd(await File.open("/a", RW, io)) };
}

test("appends behind a failed one end with -ECANCELED, and the end of the file is kept", async () => {
  const { io, storage, fd } = await failing();
  storage.submitAppend(fd, bytes("good|"));
  finish(storage);
  io.fail({ operation: "write", nth: 1, errno: ENOSPC });
  const tokens = [
    storage.submitAppend(fd, filled(4000, 65)),
    storage.submitAppend(fd, filled(4000, 66)),
    storage.submitAppend(fd, filled(9000, 67)),
  ];
  const sync = storage.submitDatasync(fd);
  const results = finish(storage);
  assert.deepEqual(tokens.map((token) => results.get(token)), [-ENOSPC, -ECANCELED, -ECANCELED]);
  assert.equal(results.get(sync), 0);
  storage.submitAppend(fd, bytes("next"));
  finish(storage);
  assert.equal(await contents(io, "/a"), "good|next");
});

test("a failed append in the middle: what went before it in the same write has succeeded", async () => {
  const { io, storage, fd } = await failing();
  io.fail({ operation: "write", nth: 1, short: 7 });
  io.fail({ operation: "write", nth: 2, errno: EIO });
  const tokens = ["aaaa", "bbbb", "cccc"].map((text) => storage.submitAppend(fd, bytes(text)));
  const results = finish(storage);
  assert.deepEqual(tokens.map((token) => results.get(token)), [4, -EIO, -ECANCELED]);
  storage.submitAppend(fd, bytes("BBBB"));
  finish(storage);
  assert.equal(await contents(io, "/a"), "aaaaBBBB");
});

test("after a failed write at an offset appends go on at the end that there is", async () => {
  const { io, storage, fd } = await failing();
  storage.submitAppend(fd, bytes("1234"));
  finish(storage);
  io.fail({ operation: "write", nth: 1, errno: EIO });
  const token = storage.submitWrite(fd, filled(100, 65), 100_000);
  assert.equal(finish(storage).get(token), -EIO);
  storage.submitAppend(fd, bytes("5678"));
  finish(storage);
  assert.equal(await contents(io, "/a"), "12345678");
});

test(
  "SQPOLL on request: a flush wakes a kernel thread that sleeps",
  { skip: skipRing },
  () =>
    inScratch(async (directory) => {
      using storage = UringStorageIo.open({ sqpoll: { idleMillis: 1 } });
      assert.ok((storage.io as UringIo).features.setup.includes("SQPOLL"));
      const fd = storage.registerFd(await File.open(`${directory}/a`, RW, storage.io));
      let expected = "";
      for (let i = 0; i < 5; i++) {
        const text = `append ${i};`;
        expected += text;
        const token = storage.submitAppend(fd, bytes(text));
        const sync = storage.submitDatasync(fd);
        storage.flush();
        assert.deepEqual([...finish(storage)], [[token, text.length], [sync, 0]]);
        // Longer than it looks for work before it sleeps.
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
      assert.equal(await contents(storage.io, `${directory}/a`), expected);
      assert.throws(
        () => UringStorageIo.open({ io: storage.io, sqpoll: true }),
        /`sqpoll` is for an Io of its own/,
      );
    }),
);

test("what a sync covers of the file's own writes survives a power cut", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const io = MemoryIo.create({ seed });
    const file = await File.open("/a", RW, io);
    const storage = MemoryStorageIo.open({ io, buffers: 16, bufferBytes: 4096 });
    const fd = storage.registerFd(file);
    io.syncDirectory("/", 1);
    while (io.take(1) === undefined) io.park();
    const writing = file.writeAt(filled(5000, 65), 0);
    storage.submitAppend(fd, filled(5000, 66));
    const sync = storage.submitDatasync(fd);
    assert.equal(finish(storage).get(sync), 0);
    await writing;
    const after = io.ifCrashed(seed, { survival: "none" }).image().get("/a");
    assert.deepEqual(after, Uint8Array.of(...filled(5000, 65), ...filled(5000, 66)));
  }
});

test("a failed write of the file itself leaves the end where it was", async () => {
  const { io, storage } = await failing();
  const file = await File.open("/b", RW, io);
  const fd = storage.registerFd(file);
  storage.submitAppend(fd, bytes("1234"));
  finish(storage);
  io.fail({ operation: "write", nth: 1, errno: EIO });
  await assert.rejects(file.writeAt(filled(100, 65), 5000), { code: "EIO" });
  storage.submitAppend(fd, bytes("5678"));
  finish(storage);
  assert.equal(await contents(io, "/b"), "12345678");
});

test("short writes, EINTR and EAGAIN are continued; a failed sync says so", async () => {
  const io = MemoryIo.create({ seed: 6, shortChance: 0.5, interruptChance: 0.2 });
  const storage = MemoryStorageIo.open({ io, buffers: 16, bufferBytes: 4096 });
  const fd = storage.registerFd(await File.open("/a", RW, io));
  let expected = "";
  for (let round = 0; round < 20; round++) {
    const text = String.fromCharCode(65 + round).repeat(round * 700 + 1);
    expected += text;
    const token = storage.submitAppend(fd, bytes(text));
    assert.equal(finish(storage).get(token), text.length);
  }
  assert.equal(await contents(io, "/a"), expected);
  io.fail({ operation: "fdatasync", nth: 1, errno: EIO });
  const sync = storage.submitDatasync(fd);
  assert.equal(finish(storage).get(sync), -EIO);
});

for (const backend of BACKENDS) {
  const row = (name: string, body: (io: Io, directory: string) => Promise<void>) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, async () => {
      const { io, directory, remove } = backend.open();
      try {
        await body(io, directory);
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });

  row(
    "a file with operations by hand in flight is not deregistered, nor lost by a close",
    async (io, d) => {
      const storage = storageOn(io);
      const file = await File.open(`${d}/a`, RW, io);
      const fd = storage.registerFd(file);
      const buffer = io.acquireBuffer()!;
      io.writeAt(file.ioFile, buffer, 0, 4096, 0, 0, 1);
      assert.throws(() => storage.deregisterFd(fd), BusyError);
      assert.throws(() => storage.close(), BusyError);
      const reading = file.readAt(new Uint8Array(10), 0);
      assert.throws(() => storage.deregisterFd(fd), BusyError);
      await reading;
      while (io.inFlight > 0) io.park();
      io.completions.clear();
      storage.deregisterFd(fd);
      await file.close();
      assert.throws(() => io.alignment(file.ioFile), /is closed/);
      io.releaseBuffer(buffer);
      storage.close();
    },
  );

  row("what is no file at all is refused by name", (io) => {
    using storage = storageOn(io);
    for (const bad of [null, undefined, {}, "a", true, Symbol("a"), Object.create(null)]) {
      assert.throws(() => storage.registerFd(bad as unknown as File), BadFdError);
    }
    return Promise.resolve();
  });

  row("options of a storage that make no sense are refused, and hold nothing", (io) => {
    const free = io.arenaFreeBytes;
    for (const name of ["files", "tokens", "buffers", "bufferBytes"]) {
      for (const bad of [0, -1, 0.5, NaN, Infinity, "8", 2 ** 40]) {
        assert.throws(() => storageOn(io, { [name]: bad }), IoUsageError, `${name}: ${bad}`);
      }
    }
    assert.throws(() => storageOn(io, { buffers: 1 << 16 }), BufferExhaustedError);
    assert.equal(io.arenaFreeBytes, free);
    assert.equal(io.available, io.capacity);
    return Promise.resolve();
  });

  row("an append of nothing completes with 0, and extends nothing", async (io, d) => {
    using storage = storageOn(io);
    const file = await File.open(`${d}/a`, RW, io);
    const fd = storage.registerFd(file);
    const tokens = [bytes(""), bytes("ab"), bytes(""), bytes("c")]
      .map((data) => storage.submitAppend(fd, data));
    const results = finish(storage);
    assert.deepEqual(tokens.map((token) => results.get(token)), [0, 2, 0, 1]);
    assert.equal((await file.stat()).size, 3);
  });
}

for (
  const [name, open, skip] of [
    ["sync", () => SyncStorageIo.open(), false],
    ["uring", () => UringStorageIo.open(), skipRing],
  ] as const
) {
  test(`${name}: what is no regular file has no end to append to`, { skip }, async () => {
    using storage = open();
    const fd = storage.registerFd(await File.open("/dev/null", { write: true }, storage.io));
    assert.throws(() => storage.submitAppend(fd, bytes("a")), /no regular file/);
    const token = storage.submitWrite(fd, bytes("abc"), 0);
    assert.equal(finish(storage).get(token), 3);
  });
}

test("an Io that a storage opened for itself ends when the storage cannot be", () => {
  const original = MemoryIo.create;
  const made: MemoryIo[] = [];
  MemoryIo.create = (...all) => {
    made.push(original(...all));
    return made.at(-1)!;
  };
  try {
    assert.throws(() => MemoryStorageIo.open({ files: 0 }), IoUsageError);
    assert.throws(() => MemoryStorageIo.open({ buffers: 1 << 16 }), BufferExhaustedError);
    const memory = { capacity: 1 };
    const io = original();
    assert.throws(() => MemoryStorageIo.open({ io, memory }), /`memory` is for an Io of its own/);
  } finally {
    MemoryIo.create = original;
  }
  assert.equal(made.length, 2);
  for (const io of made) assert.throws(() => io.poll(), { code: "Closed" });
});

test("writes without progress, and interrupted ones, fail in the end", async () => {
  const io = MemoryIo.create();
  using storage = storageOn(io);
  const fd = storage.registerFd(await File.open("/a", RW, io));
  for (const [fault, res] of [[{ short: 0 }, -EIO], [{ errno: 4 }, -4]] as const) {
    const always = io.fail({ operation: "write", persistent: true, ...fault });
    const [write, append] = [
      storage.submitWrite(fd, bytes("abc"), 0),
      storage.submitAppend(fd, bytes("d")),
    ];
    const results = finish(storage);
    assert.deepEqual([results.get(write), results.get(append)], [res, res]);
    assert.ok(always.fired <= 400, String(always.fired));
    always.cancel();
    const again = storage.submitAppend(fd, bytes("d"));
    assert.equal(finish(storage).get(again), 1);
  }
});

test("the end of a file is where aborted writes of the file itself have come to", async () => {
  const io = MemoryIo.create({ capacity: 8, arenaBytes: 128 * 1024 });
  using storage = storageOn(io, { buffers: 4 });
  const file = await File.open("/a", RW, io);
  const fd = storage.registerFd(file);
  const controller = new AbortController();
  // The first ones take all buffers; the last one waits for room, and never goes out.
  const first = Array.from({ length: 40 }, () => file.writeAt(filled(4000, 1), 0));
  const never = file.writeAt(filled(100, 2), 1_000_000, { signal: controller.signal });
  controller.abort();
  await assert.rejects(never);
  await Promise.all(first);
  while (file.inFlight > 0) await file.stat();
  const token = storage.submitAppend(fd, bytes("x"));
  assert.equal(finish(storage).get(token), 1);
  assert.equal((await file.stat()).size, 4001);
});

test("more than a result can say is refused", async () => {
  const io = MemoryIo.create();
  using storage = storageOn(io);
  const fd = storage.registerFd(await File.open("/a", RW, io));
  // Memory that nobody touches takes none of the machine.
  const huge = new Uint8Array(new ArrayBuffer(2 ** 31));
  assert.throws(() => storage.submitAppend(fd, huge), IoUsageError);
  assert.throws(() => storage.submitWrite(fd, huge, 0), IoUsageError);
  assert.throws(() => storage.submitWrite(fd, huge.subarray(1), 0), BufferExhaustedError);
  assert.throws(() => storage.submitWrite(fd, bytes("a"), Number.MAX_SAFE_INTEGER), IoUsageError);
  const buffer = io.acquireBuffer()!;
  const file = await File.open("/b", RW, io);
  for (const length of [2 ** 31, 2 ** 32, 0x7fff_f001, 2 ** 32 + 10, 2 ** 53]) {
    assert.throws(() => io.readAt(file.ioFile, buffer, 0, length, 0, 1), IoUsageError);
    assert.throws(() => io.writeAt(file.ioFile, buffer, 0, length, 0, 0, 1), IoUsageError);
    assert.throws(() => io.pread(file.ioFile, buffer, 0, length, 0), IoUsageError);
    assert.throws(() => io.crc32cBuffer(buffer, 0, length), IoUsageError);
  }
  io.releaseBuffer(buffer);
  await file.close();
  assert.equal(storage.pendingCount, 0);
});
