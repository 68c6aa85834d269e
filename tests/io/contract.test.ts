/**
 * The contract of `Io`, one suite for all backends: each row of its promises is a test with the
 * row's name, run over every row of the table of backends.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  DSYNC,
  File,
  type Io,
  type IoBuffer,
  IoClosedError,
  IoError,
  type IoFile,
  IoFullError,
  type IoStat,
  IoUsageError,
  type OpenOptions,
} from "../../io.ts";
import { Wal } from "../../wal.ts";
import {
  type BackendOptions,
  type BackendRow,
  BACKENDS,
  filled,
  lacksDirect,
  openFile,
  readBytes,
  readText,
  run,
  writeBytes,
} from "./support.ts";
import { isDeno } from "../support/ring.ts";

const ENOENT = 2,
  EBADF = 9,
  EAGAIN = 11,
  EACCES = 13,
  EEXIST = 17,
  ENOTDIR = 20,
  EISDIR = 21,
  EINVAL = 22;
const EOPNOTSUPP = 95;

for (const backend of BACKENDS) suite(backend);

function suite(backend: BackendRow): void {
  const row = (
    name: string,
    body: (io: Io, directory: string) => void | Promise<void>,
    options?: BackendOptions,
  ) =>
    test(`${backend.name}: ${name}`, { skip: backend.skip }, async () => {
      const { io, directory, remove } = backend.open(options);
      try {
        await body(io, directory);
        assert.deepEqual(io.leaks, []);
        io[Symbol.dispose]();
      } finally {
        remove();
      }
    });
  const usage = (body: () => void, message: RegExp) => {
    assert.throws(body, (error) => {
      assert.ok(error instanceof IoUsageError, String(error));
      assert.match(error.message, message);
      return true;
    });
  };

  // Options

  row("options read, write, create, createNew, truncate, append, direct, dsync", (io, d) => {
    const open = (path: string, options: OpenOptions) => {
      let file!: IoFile;
      const res = run(io, (handle) => file = io.open(path, options, handle));
      return { res, file };
    };
    const path = `${d}/a`;
    assert.equal(open(path, { read: true }).res, -ENOENT);
    assert.equal(open(path, { write: true }).res, -ENOENT);
    const made = open(path, { write: true, create: true });
    assert.equal(made.res, 0);
    assert.equal(made.file.path, path);
    assert.equal(writeBytes(io, made.file, "12345678", 0), 8);
    assert.equal(open(path, { write: true, createNew: true }).res, -EEXIST);
    assert.equal(open(`${d}/b`, { write: true, createNew: true }).res, 0);

    // Without read there is no reading, without write no writing.
    const buffer = io.acquireBuffer()!;
    assert.equal(run(io, (h) => io.readAt(made.file, buffer, 0, 1, 0, h)), -EBADF);
    const reader = open(path, { read: true }).file;
    assert.equal(run(io, (h) => io.writeAt(reader, buffer, 0, 1, 0, 0, h)), -EBADF);
    assert.equal(readText(io, reader, 0, 100), "12345678");

    const appender = open(path, { read: true, write: true, append: true }).file;
    assert.equal(writeBytes(io, appender, "9", 0), 1);
    assert.equal(readText(io, appender, 0, 100), "123456789");

    const truncated = open(path, { read: true, write: true, truncate: true });
    assert.equal(truncated.res, 0);
    assert.equal(readText(io, truncated.file, 0, 100), "");

    const durable = open(path, { read: true, write: true, dsync: true }).file;
    assert.equal(writeBytes(io, durable, "durable", 0), 7);
    assert.equal(readText(io, durable, 0, 100), "durable");
    io.releaseBuffer(buffer);
  });

  row("nonsense combinations of options are refused by name, and nothing is opened", (io, d) => {
    usage(() => io.open(`${d}/x`, {}, 1), /`read`, `write`/);
    usage(() => io.open(`${d}/x`, { read: true, create: true }, 1), /`create` needs `write`/);
    usage(() => io.open(`${d}/x`, { readable: true } as OpenOptions, 1), /unknown .*`readable`/);
    assert.equal(io.inFlight, 0);
    assert.deepEqual(io.listDirectory(d), []);
  });

  row("direct: transfers obey the alignment of the file", (io, d) => {
    const alignment = io.alignment(openFile(io, `${d}/a`));
    if (lacksDirect(backend, io, d)) {
      const options = { read: true, write: true, direct: true };
      assert.equal(run(io, (h) => io.open(`${d}/a`, options, h)), -EINVAL);
      return;
    }
    assert.ok(Number.isInteger(Math.log2(alignment.offset)));
    assert.ok(Number.isInteger(Math.log2(alignment.memory)));
    const file = openFile(io, `${d}/a`, { direct: true });
    const unit = io.alignment(file).offset;
    assert.ok(io.blockSize >= unit && io.blockSize % unit === 0 && io.blockSize >= 4096);
    const buffer = io.acquireBuffer(2 * unit)!;
    buffer.bytes.fill(5);
    usage(() => io.writeAt(file, buffer, 0, unit, 1, 0, 1), /offset 1 is not a multiple of/);
    usage(() => io.writeAt(file, buffer, 0, unit - 1, 0, 0, 1), /length .* is not a multiple of/);
    usage(() => io.readAt(file, buffer, 1, unit, 0, 1), /offset in the buffer 1 is not a multiple/);
    assert.equal(run(io, (h) => io.writeAt(file, buffer, 0, 2 * unit, 0, DSYNC, h)), 2 * unit);
    buffer.bytes.fill(0);
    assert.equal(run(io, (h) => io.readAt(file, buffer, 0, 2 * unit, 0, h)), 2 * unit);
    assert.deepEqual(buffer.bytes.slice(0, 2 * unit), filled(2 * unit, 5));
    assert.equal(run(io, (h) => io.readAt(file, buffer, 0, 2 * unit, unit, h)), unit);
    assert.equal(run(io, (h) => io.readAt(file, buffer, 0, unit, 2 * unit, h)), 0);
    io.releaseBuffer(buffer);
  });

  row("direct: an append behind an end that is not aligned is whole or refused", (io, d) => {
    const writer = openFile(io, `${d}/a`);
    if (lacksDirect(backend, io, d)) return;
    assert.equal(writeBytes(io, writer, filled(10, 1), 0), 10);
    const file = openFile(io, `${d}/a`, { append: true, direct: true });
    const res = writeBytes(io, file, filled(4096, 2), 0);
    let stat!: IoStat;
    run(io, (h) => stat = io.stat(file, h));
    if (res === 4096) assert.equal(stat.size, 4106);
    else assert.deepEqual([res, stat.size], [-EINVAL, 10]);
    // The simulated disk is as strict as the strictest.
    if (io.backend === "memory") assert.equal(res, -EINVAL);
    assert.equal(run(io, (h) => io.truncate(writer, 4096, h)), 0);
    assert.equal(writeBytes(io, file, filled(4096, 2), 0), 4096);
    assert.deepEqual(readBytes(io, writer, 4096, 4096), filled(4096, 2));
  });

  // Clients

  row("several clients share one backend, each with completions of its own", async (io, d) => {
    const file = openFile(io, `${d}/a`);
    const clients = ["a", "b", "c"].map((name) => io.client(name));
    const buffers = clients.map((client) => client.acquireBuffer()!);
    // The same handles in every client, some polled by hand, some awaited.
    clients.forEach((client, i) => {
      buffers[i].bytes.fill(i + 1);
      client.writeAt(file, buffers[i], 0, 4096, i * 4096, 0, 7);
      client.fsync(file, 8);
    });
    assert.deepEqual(clients.map((client) => client.inFlight), [2, 2, 2]);
    while (clients[0].inFlight > 0) {
      clients[0].park();
      for (let i = 0; i < clients[0].completions.length; i++) {
        const handle = clients[0].completions.userData[i];
        assert.equal(clients[0].take(handle), handle === 7 ? 4096 : 0);
      }
    }
    // What another client's poll drained is still there.
    for (const client of clients.slice(1)) {
      const seen: [number, number][] = [];
      while (client.inFlight > 0) {
        await client.wait();
        const count = client.poll();
        assert.ok(count > 0);
        const { userData, res } = client.completions;
        for (let i = 0; i < count; i++) seen.push([userData[i], res[i]]);
        client.completions.clear();
      }
      assert.deepEqual(seen.sort(([a], [b]) => a - b), [[7, 4096], [8, 0]]);
    }
    for (let i = 0; i < 3; i++) assert.equal(readBytes(io, file, i * 4096, 1)[0], i + 1);
    clients.forEach((client, i) => {
      client.releaseBuffer(buffers[i]);
      client[Symbol.dispose]();
      assert.throws(() => client.poll(), IoClosedError);
    });
    assert.equal(io.poll(), 0);
  });

  row(
    "two logs, three files and a loop by hand never take each other's completions",
    async (io, d) => {
      const small = { segmentBytes: 262_144, commit: { maxBytes: 32_768, maxInFlight: 2 } };
      const logs = await Promise.all(
        ["one", "two"].map((name) => Wal.open(`${d}/${name}`, { ...small, io })),
      );
      const options = { read: true, write: true, create: true };
      const files = await Promise.all([1, 2, 3].map((i) => File.open(`${d}/${i}`, options, io)));
      const mine = openFile(io, `${d}/mine`);
      const buffer = io.acquireBuffer()!;
      const ROUNDS = 40;
      const appending = logs.map(async (wal, which) => {
        for (let i = 1; i <= ROUNDS; i++) await wal.durable(wal.append(`${which} ${i}`));
      });
      const writing = files.map(async (file, which) => {
        for (let i = 0; i < ROUNDS; i++) {
          assert.equal(await file.writeAt(filled(5000, which + 1), i * 5000), 5000);
          if (i % 8 === 0) await file.datasync();
        }
      });
      // By hand, with handles that the others use as well.
      for (let i = 0; i < ROUNDS; i++) {
        buffer.bytes.fill(i);
        io.writeAt(mine, buffer, 0, 4096, i * 4096, 0, 0);
        io.stat(mine, 1);
        const results = new Map<number, number>();
        while (results.size < 2) {
          await io.wait();
          const count = io.poll();
          for (let row = 0; row < count; row++) {
            const handle = io.completions.userData[row];
            results.set(handle, io.take(handle)!);
          }
        }
        assert.deepEqual([results.get(0), results.get(1)], [4096, 0]);
      }
      await Promise.all([...appending, ...writing]);
      assert.equal(io.inFlight, 0);
      for (const [which, wal] of logs.entries()) {
        const records: string[] = [];
        for await (const batch of wal.read()) {
          for (let i = 0; i < batch.length; i++) records.push(batch.text(i));
        }
        assert.deepEqual(records, Array.from({ length: ROUNDS }, (_, i) => `${which} ${i + 1}`));
        await wal.close();
      }
      for (const [which, file] of files.entries()) {
        const bytes = new Uint8Array(ROUNDS * 5000);
        assert.equal(await file.readAt(bytes, 0), bytes.length);
        assert.deepEqual(bytes, filled(bytes.length, which + 1));
        await file.close();
      }
      for (let i = 0; i < ROUNDS; i++) assert.equal(readBytes(io, mine, i * 4096, 1)[0], i);
      io.releaseBuffer(buffer);
      assert.equal(io.arenaFreeBytes, io.arenaBytes);
    },
  );

  row("a client is given up only with nothing in flight and no buffers", (io, d) => {
    const client = io.client("one");
    const buffer = client.acquireBuffer()!;
    usage(() => client[Symbol.dispose](), /client one holds 1 buffers/);
    client.releaseBuffer(buffer);
    client.stat(d, 1);
    usage(() => client[Symbol.dispose](), /client one has 1 operations in flight/);
    client.park();
    assert.equal(client.take(1), 0);
    client[Symbol.dispose]();
    client[Symbol.dispose]();
    // Clients that come and go do not pile up.
    for (let i = 0; i < 1000; i++) io.client("x")[Symbol.dispose]();
    assert.equal(run(io, (h) => io.stat(d, h)), 0);
  });

  // Handles

  row("the caller's handle, a safe integer, appears in completions", (io, d) => {
    const handles = [0, -1, 1, 2 ** 31, -(2 ** 31), 2 ** 32, 2 ** 40 + 1, Number.MAX_SAFE_INTEGER];
    for (const handle of handles) io.stat(d, handle);
    const seen: number[] = [];
    while (io.inFlight > 0) {
      const count = io.park();
      for (let i = 0; i < count; i++) seen.push(io.completions.userData[i]);
      for (const handle of seen.slice(-count)) assert.equal(io.take(handle), 0);
    }
    assert.deepEqual(seen.sort((a, b) => a - b), handles.sort((a, b) => a - b));
    for (const handle of [NaN, 1.5, Infinity, 2 ** 53, "1" as unknown as number]) {
      usage(() => io.stat(d, handle), /handle is a safe integer/);
    }
  });

  row("a duplicate handle in flight is refused", (io, d) => {
    const file = openFile(io, `${d}/a`);
    io.fsync(file, 5);
    usage(() => io.fdatasync(file, 5), /handle 5 is in flight already: fsync/);
    // Until it was delivered.
    io.park();
    assert.equal(io.take(5), 0);
    io.fdatasync(file, 5);
    io.park();
    assert.equal(io.take(5), 0);
  });

  row("handles come and go for ever, in any order", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const inFlight = new Set<number>();
    let state = 12345;
    const random = (n: number) => (state = (state * 1103515245 + 12345) % 2 ** 31) % n;
    for (let i = 0; i < 3000; i++) {
      const handle = random(64) * (random(2) === 0 ? 1 : 2 ** 33);
      if (inFlight.has(handle)) usage(() => io.fdatasync(file, handle), /in flight already/);
      else if (io.available > 0) {
        io.advise(file, 0, 0, "normal", handle);
        inFlight.add(handle);
      }
      if (random(8) === 0 || io.available === 0) {
        io.park();
        for (let row = 0; row < io.completions.length; row++) {
          assert.ok(inFlight.delete(io.completions.userData[row]));
        }
        io.completions.clear();
      }
      assert.equal(io.inFlight, inFlight.size);
    }
    while (io.inFlight > 0) {
      io.park();
      io.completions.clear();
    }
  }, { capacity: 16 });

  row("take gives the res of a completion of the last poll, once", (io, d) => {
    io.stat(d, 1);
    assert.equal(io.take(1), undefined);
    io.park();
    assert.equal(io.take(2), undefined);
    assert.equal(io.take(1), 0);
    assert.equal(io.take(1), undefined);
    io.stat(`${d}/missing`, 1);
    io.park();
    assert.equal(io.take(1), -ENOENT);
    io.stat(d, 1);
    io.park();
    io.completions.clear();
    assert.equal(io.take(1), undefined);
    assert.equal(io.poll(), 0);
  });

  row("a completion that nobody took by the next poll is reported as a leak", (io, d) => {
    const client = io.client("leaky");
    client.stat(d, 1);
    client.syncDirectory(d, 2);
    while (client.inFlight > 0) {
      client.park();
      client.take(1);
    }
    client.poll();
    assert.deepEqual(client.leaks, [{ handle: 2, operation: "syncDirectory" }]);
    client.poll();
    assert.equal(client.leaks.length, 1);
    client[Symbol.dispose]();
  });

  row("capacity operations are in flight at most, the next one throws", (io, d) => {
    const { capacity } = io;
    assert.equal(capacity, 4);
    assert.equal(io.available, capacity);
    for (let i = 0; i < capacity; i++) io.stat(d, i);
    assert.equal(io.available, 0);
    assert.throws(() => io.stat(d, 99), (error) => {
      return error instanceof IoFullError && error.code === "QueueFull";
    });
    const other = io.client("other");
    assert.throws(() => other.stat(d, 1), IoFullError);
    assert.throws(() => io.open(`${d}/x`, { write: true, create: true }, 99), IoFullError);
    while (io.inFlight > 0) {
      io.park();
      io.completions.clear();
    }
    assert.equal(io.available, capacity);
    other.stat(d, 1);
    other.park();
    assert.equal(other.take(1), 0);
    assert.equal(run(io, (h) => io.stat(`${d}/x`, h)), -ENOENT);
    other[Symbol.dispose]();
  }, { capacity: 4 });

  // Buffers

  row("a buffer in flight is the backend's; use or release names the operation", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const buffer = io.acquireBuffer()!;
    io.writeAt(file, buffer, 0, 10, 0, 0, 41);
    const busy = /in flight: write with handle 41 on .*\/a /;
    usage(() => io.readAt(file, buffer, 0, 10, 0, 42), busy);
    usage(() => io.writeAt(file, buffer, 100, 10, 0, 0, 42), busy);
    usage(() => io.releaseBuffer(buffer), busy);
    assert.equal(io.inFlight, 1);
    io.park();
    assert.equal(io.take(41), 10);
    io.releaseBuffer(buffer);
    usage(() => io.releaseBuffer(buffer), /was released/);
    usage(() => io.readAt(file, buffer, 0, 10, 0, 42), /was released/);
    const foreign = { bytes: new Uint8Array(10), length: 10 };
    usage(() => io.readAt(file, foreign, 0, 10, 0, 42), /no buffer of this Io/);
  });

  row("a leaked buffer is found by the end of the Io", (_io, _d) => {
    const { io, remove } = backend.open();
    io.acquireBuffer();
    assert.throws(() => io[Symbol.dispose](), /1 buffers were not released/);
    io[Symbol.dispose]();
    remove();
  });

  row("acquireBuffer: aligned to blockSize, undefined when exhausted, never growth", (io) => {
    const buffers: IoBuffer[] = [];
    for (;;) {
      const buffer = io.acquireBuffer(10_000);
      if (buffer === undefined) break;
      assert.equal(buffer.length, 12288);
      assert.equal(buffer.bytes.length, buffer.length);
      buffer.bytes.fill(buffers.length);
      buffers.push(buffer);
    }
    assert.equal(buffers.length, Math.floor(io.arenaBytes / 12288));
    buffers.forEach((buffer, i) => assert.deepEqual(buffer.bytes.slice(), filled(12288, i)));
    assert.equal(io.acquireBuffer(io.arenaFreeBytes + 1), undefined);
    // Neighbours that were given back join.
    for (const i of [3, 1, 2]) io.releaseBuffer(buffers[i]);
    const large = io.acquireBuffer(3 * 12288);
    assert.equal(large?.length, 3 * 12288);
    io.releaseBuffer(large!);
    buffers.splice(1, 3);
    for (const buffer of buffers) io.releaseBuffer(buffer);
    assert.equal(io.arenaFreeBytes, io.arenaBytes);
    for (const bytes of [0, -1, 1.5, NaN]) {
      usage(() => io.acquireBuffer(bytes), /at least 1 byte/);
    }
  }, { arenaBytes: 128 * 1024 });

  // Operations

  row("reads and writes at offsets; short at the end of the file, 0 beyond it", (io, d) => {
    const file = openFile(io, `${d}/a`);
    assert.equal(writeBytes(io, file, "hello", 10), 5);
    assert.equal(readText(io, file, 0, 100), `${"\0".repeat(10)}hello`);
    assert.equal(readText(io, file, 12, 2), "ll");
    assert.equal(readText(io, file, 15, 10), "");
    assert.equal(readText(io, file, 1e12, 10), "");
    assert.equal(writeBytes(io, file, "J", 10), 1);
    assert.equal(readText(io, file, 10, 100), "Jello");
    assert.equal(writeBytes(io, file, "", 20), 0);
    // A part of a buffer.
    const buffer = io.acquireBuffer()!;
    buffer.bytes.set(new TextEncoder().encode("abcdef"));
    assert.equal(run(io, (h) => io.writeAt(file, buffer, 2, 3, 0, DSYNC, h)), 3);
    assert.equal(run(io, (h) => io.readAt(file, buffer, 100, 3, 0, h)), 3);
    assert.equal(new TextDecoder().decode(buffer.bytes.slice(100, 103)), "cde");
    io.releaseBuffer(buffer);
  });

  row("a large transfer, many in flight", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const buffers = Array.from({ length: 16 }, () => io.acquireBuffer(65536)!);
    buffers.forEach((buffer, i) => {
      buffer.bytes.fill(i + 1);
      io.writeAt(file, buffer, 0, 65536, i * 65536, 0, i);
    });
    while (io.inFlight > 0) {
      io.park();
      for (let i = 0; i < 16; i++) {
        const res = io.take(i);
        if (res !== undefined) assert.equal(res, 65536);
      }
    }
    buffers.forEach((buffer) => buffer.bytes.fill(0));
    buffers.forEach((buffer, i) => io.readAt(file, buffer, 0, 65536, i * 65536, i));
    while (io.inFlight > 0) {
      io.park();
      io.completions.clear();
    }
    buffers.forEach((buffer, i) => {
      assert.deepEqual(buffer.bytes.slice(), filled(65536, i + 1));
      io.releaseBuffer(buffer);
    });
  });

  row("ranges, offsets and lengths are checked before anything happens", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const buffer = io.acquireBuffer(4096)!;
    for (const bad of [-1, 0.5, NaN, Infinity, 2 ** 53, "1" as unknown as number]) {
      usage(() => io.readAt(file, buffer, 0, 1, bad, 1), /offset must be a safe integer/);
      usage(() => io.writeAt(file, buffer, 0, 1, bad, 0, 1), /offset must be a safe integer/);
      usage(() => io.readAt(file, buffer, 0, bad, 0, 1), /length must be a safe integer/);
      usage(() => io.readAt(file, buffer, bad, 1, 0, 1), /offset in the buffer must be a safe/);
      usage(() => io.truncate(file, bad, 1), /size must be a safe integer/);
      usage(() => io.allocate(file, bad, 1, 1), /offset must be a safe integer/);
      usage(() => io.allocate(file, 0, bad, 1), /length must be a safe integer/);
      usage(() => io.advise(file, bad, 0, "normal", 1), /offset must be a safe integer/);
    }
    const max = Number.MAX_SAFE_INTEGER;
    usage(() => io.readAt(file, buffer, 0, 1, max, 1), /offset \+ length must be a safe/);
    usage(() => io.readAt(file, buffer, 0, 4097, 0, 1), /lie outside the buffer of 4096 bytes/);
    usage(() => io.readAt(file, buffer, 4096, 1, 0, 1), /lie outside the buffer/);
    usage(() => io.readAt(file, buffer, 0, 0x80000000, 0, 1), /length is at most 2147479552/);
    usage(() => io.writeAt(file, buffer, 0, 1, 0, 1, 1), /flags of a write/);
    usage(() => io.advise(file, 0, 0, "soon" as "normal", 1), /advice is one of/);
    assert.equal(io.inFlight, 0);
    assert.equal(io.available, io.capacity);
    io.releaseBuffer(buffer);
  });

  row("paths: empty, with NUL, and too long ones are refused", (io, d) => {
    const open = (path: string) => () => io.open(path, { read: true }, 1);
    usage(open(""), /a path is a string that is not empty/);
    usage(open(undefined as unknown as string), /a path is a string/);
    usage(open("/a\0b"), /no NUL/);
    usage(open(`/${"a/".repeat(2048)}`), /at most 4095 bytes/);
    usage(open(`/${"é/".repeat(1400)}`), /at most 4095 bytes/);
    usage(() => io.rename(`${d}/a`, "", 1), /a path/);
    usage(() => io.stat("", 1), /a path/);
    // A single name that is too long is the file system's to refuse.
    let res = run(io, (h) => io.stat(`${d}/${"n".repeat(256)}`, h));
    assert.equal(res, -36);
    res = run(io, (h) => io.open(`${d}/${"n".repeat(255)}`, { write: true, create: true }, h));
    assert.equal(res, 0);
    // Dots and slashes are resolved by name.
    const file = openFile(io, `${d}/x/..//./a/`);
    assert.equal(file.path, `${d}/a`);
  });

  row("paths are copied at once", (io, d) => {
    // A path is a string and cannot change; its copy must not, whatever is staged after it.
    for (let i = 0; i < 20; i++) {
      io.open(`${d}/file-number-${i}`, { write: true, create: true }, i);
    }
    while (io.inFlight > 0) {
      io.park();
      io.completions.clear();
    }
    const names = io.listDirectory(d).map(({ name }) => name).sort();
    assert.deepEqual(names, Array.from({ length: 20 }, (_, i) => `file-number-${i}`).sort());
  });

  row("stat: of a file and of a path", (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, filled(5000, 1), 0);
    let stat!: IoStat;
    assert.equal(run(io, (h) => stat = io.stat(file, h)), 0);
    assert.equal(stat.size, 5000);
    assert.ok(stat.isFile && !stat.isDirectory);
    const byFile = stat;
    assert.equal(run(io, (h) => stat = io.stat(`${d}/a`, h)), 0);
    assert.equal(stat.size, 5000);
    assert.deepEqual([stat.device, stat.inode], [byFile.device, byFile.inode]);
    assert.ok(Math.abs(stat.modifiedMillis - io.wallClock()) < 60_000);
    assert.equal(run(io, (h) => stat = io.stat(d, h)), 0);
    assert.ok(stat.isDirectory && !stat.isFile);
    assert.equal(run(io, (h) => io.stat(`${d}/missing`, h)), -ENOENT);
    assert.equal(run(io, (h) => io.stat(`${d}/a/b`, h)), -ENOTDIR);
  });

  row("a file is used only while it is open", (io, d) => {
    const buffer = io.acquireBuffer()!;
    const file = io.open(`${d}/a`, { read: true, write: true, create: true }, 1);
    usage(() => io.readAt(file, buffer, 0, 1, 0, 2), /is not open yet/);
    io.park();
    assert.equal(io.take(1), 0);
    io.writeAt(file, buffer, 0, 1, 0, 0, 3);
    io.fsync(file, 4);
    usage(() => io.close(file, 2), /close of .*a with .*(write, fsync|fsync, write).* in flight/);
    while (io.inFlight > 0) {
      io.park();
      io.completions.clear();
    }
    io.close(file, 5);
    usage(() => io.close(file, 6), /is closed/);
    usage(() => io.fsync(file, 6), /is closed/);
    io.park();
    assert.equal(io.take(5), 0);
    usage(() => io.alignment(file), /is closed/);
    const failed = io.open(`${d}/missing`, { read: true }, 1);
    io.park();
    assert.equal(io.take(1), -ENOENT);
    usage(() => io.readAt(failed, buffer, 0, 1, 0, 2), /is closed/);
    const foreign = { path: "/", options: {} };
    usage(() => io.fsync(foreign, 2), /no file of this Io/);
    io.releaseBuffer(buffer);
  });

  row("fsync, fdatasync, syncDirectory", (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, "x", 0);
    assert.equal(run(io, (h) => io.fsync(file, h)), 0);
    assert.equal(run(io, (h) => io.fdatasync(file, h)), 0);
    assert.equal(run(io, (h) => io.syncDirectory(d, h)), 0);
    assert.equal(run(io, (h) => io.syncDirectory(`${d}/a`, h)), -ENOTDIR);
    assert.equal(run(io, (h) => io.syncDirectory(`${d}/missing`, h)), -ENOENT);
    // It holds nothing afterwards.
    for (let i = 0; i < 600; i++) assert.equal(run(io, (h) => io.syncDirectory(d, h)), 0);
  });

  row("truncate: cuts, and extends by zeros", (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, "1234567890", 0);
    assert.equal(run(io, (h) => io.truncate(file, 4, h)), 0);
    assert.equal(readText(io, file, 0, 100), "1234");
    assert.equal(run(io, (h) => io.truncate(file, 8, h)), 0);
    assert.equal(readText(io, file, 0, 100), "1234\0\0\0\0");
    assert.equal(run(io, (h) => io.truncate(file, 0, h)), 0);
    assert.equal(readText(io, file, 0, 100), "");
    const reader = openFile(io, `${d}/a`, { write: false, create: false });
    assert.equal(run(io, (h) => io.truncate(reader, 4, h)), -EINVAL);
  });

  row("allocate: reserves blocks, extends the file, reads as zeros", (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, "data", 0);
    if (backend.lacks.includes("allocate")) {
      assert.equal(run(io, (h) => io.allocate(file, 0, 1 << 20, h)), -EOPNOTSUPP);
      assert.equal(readText(io, file, 0, 100), "data");
      return;
    }
    assert.equal(run(io, (h) => io.allocate(file, 0, 1 << 20, h)), 0);
    let stat!: IoStat;
    run(io, (h) => stat = io.stat(file, h));
    assert.equal(stat.size, 1 << 20);
    assert.ok(stat.allocatedBytes >= 1 << 20);
    assert.deepEqual(readBytes(io, file, 65536, 100), filled(100, 0));
    assert.equal(readText(io, file, 0, 4), "data");
    assert.equal(run(io, (h) => io.allocate(file, 0, 0, h)), -EINVAL);
    const reader = openFile(io, `${d}/a`, { write: false, create: false });
    assert.equal(run(io, (h) => io.allocate(reader, 0, 10, h)), -EBADF);
  });

  row("advise changes nothing that is read", (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, filled(10_000, 3), 0);
    run(io, (h) => io.fsync(file, h));
    for (const advice of ["normal", "sequential", "random", "willneed", "dontneed"] as const) {
      assert.equal(run(io, (h) => io.advise(file, 0, 0, advice, h)), 0, advice);
      assert.equal(run(io, (h) => io.advise(file, 4096, 2 ** 40, advice, h)), 0, advice);
      assert.deepEqual(readBytes(io, file, 0, 10_000), filled(10_000, 3));
    }
  });

  row("rename replaces, link does not, remove removes a file only", (io, d) => {
    writeBytes(io, openFile(io, `${d}/a`), "a", 0);
    writeBytes(io, openFile(io, `${d}/b`), "b", 0);
    const text = (name: string) => {
      const file = openFile(io, `${d}/${name}`, { write: false, create: false });
      return readText(io, file, 0, 10);
    };
    const names = () => io.listDirectory(d).map(({ name }) => name).sort();
    assert.equal(run(io, (h) => io.rename(`${d}/a`, `${d}/b`, h)), 0);
    assert.deepEqual(names(), ["b"]);
    assert.equal(text("b"), "a");
    assert.equal(run(io, (h) => io.rename(`${d}/a`, `${d}/b`, h)), -ENOENT);
    assert.equal(run(io, (h) => io.link(`${d}/b`, `${d}/c`, h)), 0);
    assert.equal(run(io, (h) => io.link(`${d}/b`, `${d}/c`, h)), -EEXIST);
    assert.equal(text("c"), "a");
    // Two names of one file: renaming one to the other does nothing.
    assert.equal(run(io, (h) => io.rename(`${d}/b`, `${d}/c`, h)), 0);
    assert.deepEqual(names(), ["b", "c"]);
    assert.equal(run(io, (h) => io.remove(`${d}/b`, h)), 0);
    assert.equal(run(io, (h) => io.remove(`${d}/b`, h)), -ENOENT);
    assert.equal(text("c"), "a");
    io.createDirectories(`${d}/dir/inner`);
    assert.equal(run(io, (h) => io.remove(`${d}/dir`, h)), -EISDIR);
    assert.equal(run(io, (h) => io.rename(`${d}/c`, `${d}/dir`, h)), -EISDIR);
    assert.equal(run(io, (h) => io.rename(`${d}/dir`, `${d}/c`, h)), -ENOTDIR);
    assert.equal(run(io, (h) => io.rename(`${d}/dir`, `${d}/dir/inner/x`, h)), -EINVAL);
    assert.equal(run(io, (h) => io.link(`${d}/dir`, `${d}/e`, h)), -1);
    assert.equal(run(io, (h) => io.rename(`${d}/dir`, `${d}/moved`, h)), 0);
    assert.deepEqual(io.listDirectory(`${d}/moved`).map(({ name }) => name), ["inner"]);
    // What is open stays readable without a name.
    const open = openFile(io, `${d}/c`);
    assert.equal(run(io, (h) => io.remove(`${d}/c`, h)), 0);
    assert.equal(readText(io, open, 0, 10), "a");
  });

  row("a directory opened as a file is refused", (io, d) => {
    assert.equal(run(io, (h) => io.open(d, { read: true }, h)), -EISDIR);
    assert.equal(run(io, (h) => io.open(d, { write: true }, h)), -EISDIR);
    // It holds nothing afterwards.
    for (let i = 0; i < 600; i++) {
      assert.equal(run(io, (h) => io.open(d, { read: true }, h)), -EISDIR);
    }
  });

  row("lock: exclusive, of the open file description, until it is closed", (io, d) => {
    const one = openFile(io, `${d}/a`);
    const two = openFile(io, `${d}/a`);
    assert.equal(io.lock(one), 0);
    assert.equal(io.lock(one), 0);
    assert.equal(io.lock(two), -EAGAIN);
    assert.equal(run(io, (h) => io.close(one, h)), 0);
    assert.equal(io.lock(two), 0);
  });

  row("lock: shared, which excludes exclusive ones only", (io, d) => {
    const [one, two, three] = [1, 2, 3].map(() => openFile(io, `${d}/a`));
    assert.equal(io.lock(one, "shared"), 0);
    assert.equal(io.lock(two, "shared"), 0);
    assert.equal(io.lock(three), -EAGAIN);
    assert.equal(io.lock(two), -EAGAIN, "while another one shares it");
    assert.equal(run(io, (h) => io.close(one, h)), 0);
    assert.equal(io.lock(two), 0, "now alone, it can have it whole");
    assert.equal(io.lock(three, "shared"), -EAGAIN);
    assert.equal(io.lock(two, "shared"), 0, "and share it again");
    assert.equal(io.lock(three, "shared"), 0);
    assert.throws(() => io.lock(three, "both" as "shared"), { message: /"exclusive" or "shared"/ });
  });

  row("statFs and alignment: of an open file", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const fileSystem = io.statFs(file);
    assert.match(fileSystem.type, /^[a-z0-9]+$/);
    assert.ok(fileSystem.blockBytes > 0);
    assert.ok(fileSystem.totalBytes >= fileSystem.availableBytes);
    assert.ok(fileSystem.availableBytes > 0);
    const { physical } = io.alignment(file);
    assert.ok(physical === 0 || Number.isInteger(Math.log2(physical)));
    assert.ok(io.noCopyOnWrite(file) <= 1);
  });

  row("listDirectory and createDirectories block, and throw errors with code and path", (io, d) => {
    assert.deepEqual(io.createDirectories(`${d}/a/b/c`), [`${d}/a`, `${d}/a/b`, `${d}/a/b/c`]);
    assert.deepEqual(io.createDirectories(`${d}/a/b/c`), []);
    assert.deepEqual(io.createDirectories(`${d}/a/b/d/`), [`${d}/a/b/d`]);
    openFile(io, `${d}/a/f`);
    const entries = io.listDirectory(`${d}/a`).sort((x, y) => x.name < y.name ? -1 : 1);
    assert.deepEqual(entries, [
      { name: "b", isFile: false, isDirectory: true },
      { name: "f", isFile: true, isDirectory: false },
    ]);
    const fails = (body: () => void, code: string, path: string) =>
      assert.throws(body, (error) => {
        assert.ok(error instanceof IoError, String(error));
        assert.deepEqual([error.code, error.path], [code, path]);
        assert.ok(error.message.includes(code) && error.message.includes(path));
        return true;
      });
    fails(() => io.listDirectory(`${d}/none`), "ENOENT", `${d}/none`);
    fails(() => io.listDirectory(`${d}/a/f`), "ENOTDIR", `${d}/a/f`);
    fails(() => io.createDirectories(`${d}/a/f`), "EEXIST", `${d}/a/f`);
    fails(() => io.createDirectories(`${d}/a/f/g`), "ENOTDIR", `${d}/a/f/g`);
  });

  row("listDirectory gives all of many entries", (io, d) => {
    const names = Array.from({ length: 3000 }, (_, i) => `${"long-name-".repeat(4)}${i}`);
    for (const name of names) {
      const file = openFile(io, `${d}/${name}`);
      run(io, (h) => io.close(file, h));
    }
    assert.deepEqual(io.listDirectory(d).map(({ name }) => name).sort(), names.sort());
  });

  // Turns

  row("poll drains without blocking, park blocks for at least one", (io, d) => {
    assert.equal(io.poll(), 0);
    assert.equal(io.park(), 0);
    const file = openFile(io, `${d}/a`);
    for (let i = 0; i < 8; i++) io.fdatasync(file, i);
    assert.equal(io.inFlight, 8);
    let delivered = 0;
    while (io.inFlight > 0) {
      const count = io.park();
      assert.ok(count > 0);
      assert.equal(count, io.completions.length);
      delivered += count;
      io.completions.clear();
    }
    assert.equal(delivered, 8);
    // Polling alone gets there too.
    io.fdatasync(file, 1);
    while (io.poll() === 0);
    assert.equal(io.take(1), 0);
    usage(() => io.park(-1), /microseconds/);
    usage(() => io.park(NaN), /microseconds/);
  });

  row("park gives up after its time", (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, filled(1 << 20, 1), 0);
    io.fsync(file, 1);
    const before = io.now();
    // It may be that quick; it must not be longer.
    const counts = [io.park(0)];
    if (counts[0] === 0) counts.push(io.park(1));
    assert.ok(io.now() - before < 1_000_000);
    while (io.inFlight > 0) counts.push(io.park());
    assert.equal(counts.reduce((sum, count) => sum + count), 1);
    io.completions.clear();
  });

  row(
    "wait resolves when a poll will find a completion, or nothing is in flight",
    async (io, d) => {
      await io.wait();
      const file = openFile(io, `${d}/a`);
      for (let i = 0; i < 100; i++) {
        io.fdatasync(file, 1);
        await io.wait();
        assert.equal(io.poll(), 1);
        assert.equal(io.take(1), 0);
      }
      // What is submitted in the same turn after the wait began goes out with it.
      const waiting = io.wait();
      io.fdatasync(file, 2);
      await waiting;
      assert.equal(io.poll(), 1);
      assert.equal(io.take(2), 0);
      // Several wait at once.
      const clients = [io.client("a"), io.client("b"), io.client("c")];
      clients.forEach((client) => client.fdatasync(file, 1));
      await Promise.all(clients.map((client) => client.wait()));
      for (const client of clients) {
        assert.equal(client.poll(), 1);
        assert.equal(client.take(1), 0);
        client[Symbol.dispose]();
      }
    },
  );

  row("after() calls back in its time, also when that is far away", async (io) => {
    const called: string[] = [];
    // More milliseconds than the event loop's own timers can hold.
    const far = io.after(2 ** 53 - 1, () => called.push("far"));
    const month = io.after(31 * 86_400e6, () => called.push("a month"));
    io.after(0, () => called.push("at once")).cancel();
    await new Promise<void>((resolve) => io.after(100, () => (called.push("first"), resolve())));
    await new Promise<void>((resolve) => io.after(3000, () => (called.push("second"), resolve())));
    far.cancel();
    month.cancel();
    assert.deepEqual(called, ["first", "second"]);
  });

  row("lengths that an array claims and does not have are not believed", (io) => {
    const claim = (bytes: Uint8Array, length: number) =>
      Object.defineProperty(bytes, "length", { value: length });
    class Claims extends Uint8Array {
      override get length(): number {
        return 1 << 30;
      }
    }
    const plain = filled(64, 9);
    const crc = io.crc32c(plain);
    assert.equal(io.crc32c(claim(filled(64, 9), 1 << 30)), crc);
    assert.equal(io.crc32c(claim(filled(64, 9), 0)), crc);
    assert.equal(io.crc32c(new Claims(plain.buffer as ArrayBuffer)), crc);
    const random = claim(new Uint8Array(64), 0);
    io.random(random);
    assert.ok(Array.from({ length: 64 }, (_, i) => random[i]).some((byte) => byte !== 0));
    io.random(new Claims(64));
    for (const bad of [new Proxy(plain, {}), Object.create(Uint8Array.prototype), [], null]) {
      assert.throws(() => io.crc32c(bad as Uint8Array), IoUsageError);
      assert.throws(() => io.random(bad as Uint8Array), IoUsageError);
    }
  });

  row("a File takes as many bytes as there are", async (io, d) => {
    const file = await File.open(`${d}/a`, { read: true, write: true, create: true }, io);
    const claims = Object.defineProperty(filled(100, 9), "length", { value: 1_000_000 });
    assert.equal(await file.writeAt(claims, 0), 100);
    assert.equal((await file.stat()).size, 100);
    await file.close();
  });

  row("statFs is of the open file, whatever its path leads to", (io, d) => {
    const file = openFile(io, `${d}/a`);
    assert.ok(io.statFs(file).totalBytes > 0);
    run(io, (h) => io.rename(`${d}/a`, `${d}/b`, h));
    const answer = () => {
      try {
        return io.statFs(file).totalBytes > 0;
      } catch (error) {
        return (error as IoError).code;
      }
    };
    // `node:fs` has no fstatfs: it says that it cannot.
    const expected = backend.name === "sync" ? "ESTALE" : true;
    assert.equal(answer(), expected);
    const other = openFile(io, `${d}/a`);
    assert.equal(answer(), expected);
    run(io, (h) => io.close(other, h));
    run(io, (h) => io.close(file, h));
  });

  row("latencies are recorded of blocking transfers, too", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const buffer = io.acquireBuffer()!;
    for (let i = 0; i < 3; i++) {
      assert.equal(io.pwrite(file, buffer, 0, 4096, 0), 4096);
      assert.equal(io.pread(file, buffer, 0, 4096, 0), 4096);
    }
    const { read, write } = io.statistics().operations;
    assert.deepEqual([read.count, write.count], [3, 3]);
    assert.ok(read.latency!.maxMicros >= 0 && write.latency!.maxMicros >= 0);
    io.releaseBuffer(buffer);
  }, { latencies: true });

  row("wait lets the event loop go on", async (io, d) => {
    const file = openFile(io, `${d}/a`);
    writeBytes(io, file, filled(4096, 1), 0);
    const clients = [io.client("a"), io.client("b")];
    const buffers = [io, ...clients].map((client) => client.acquireBuffer()!);
    const promised = await File.open(`${d}/a`, { read: true }, io);
    const into = new Uint8Array(4096);
    const byHand = async (client: Io, buffer: IoBuffer) => {
      client.readAt(file, buffer, 0, 4096, 0, 1);
      await client.wait();
      client.poll();
      client.completions.clear();
    };
    const loops: Record<string, () => Promise<unknown>> = {
      "syncs": async () => {
        io.fdatasync(file, 1);
        await io.wait();
        io.poll();
        io.completions.clear();
      },
      // What is in the page cache has ended when it was submitted.
      "reads by hand": () => byHand(io, buffers[0]),
      "reads of a File": () => promised.readAt(into, 0),
      "two clients": () => Promise.all(clients.map((one, i) => byHand(one, buffers[i + 1]))),
      "a client and a File": () =>
        Promise.all([loops["reads by hand"](), promised.readAt(into, 0)]),
    };
    for (const [what, loop] of Object.entries(loops)) {
      let ticks = 0;
      const timer = setInterval(() => ticks++, 1);
      const until = performance.now() + 1000;
      while (ticks < 3 && performance.now() < until) await loop();
      clearInterval(timer);
      assert.ok(ticks >= 3, what);
    }
    await promised.close();
    buffers.forEach((buffer) => io.releaseBuffer(buffer));
    clients.forEach((client) => client[Symbol.dispose]());
  });

  // The rest

  row("after() calls back once, not before its time, and not when it was cancelled", async (io) => {
    const calls: number[] = [];
    const before = io.now();
    io.after(2000, () => calls.push(0)).cancel();
    // The shortest are beyond what the runtimes' own timers can do.
    for (const micros of [3000, 0, 300]) {
      await new Promise<void>((resolve) =>
        io.after(micros, () => {
          calls.push(micros);
          resolve();
        })
      );
      assert.ok(io.now() - before >= micros, `${micros} microseconds`);
    }
    assert.deepEqual(calls, [3000, 0, 300]);
    usage(() => io.after(-1, () => {}), /0 microseconds from now or more, not -1/);
  });

  row("now never goes back, random fills, crc32c is CRC32C", (io) => {
    let before = io.now();
    for (let i = 0; i < 100; i++) {
      const now = io.now();
      assert.ok(now >= before);
      before = now;
      io.poll();
    }
    assert.ok(io.wallClock() > Date.UTC(2025, 0, 1));
    const random = new Uint8Array(100_000);
    io.random(random);
    const counts = new Uint32Array(256);
    for (const byte of random) counts[byte]++;
    assert.ok(Math.min(...counts) > 200);
    const buffer = io.acquireBuffer(8192)!;
    io.random(buffer.bytes);
    buffer.bytes.fill(0, 100, 132);
    assert.equal(io.crc32cBuffer(buffer, 100, 32), 0x8a9136aa);
    assert.equal(io.crc32c(new Uint8Array(32)), 0x8a9136aa);
    assert.equal(io.crc32c(buffer.bytes), io.crc32c(buffer.bytes.slice()));
    assert.equal(
      io.crc32cBuffer(buffer, 10, 5000, 7),
      io.crc32c(buffer.bytes.slice(10, 5010), 7),
    );
    assert.equal(io.crc32cBuffer(buffer, 8192, 0, 7), 7);
    usage(() => io.crc32cBuffer(buffer, 0, 8193), /outside the buffer/);
    io.releaseBuffer(buffer);
    const { pid, host, bootId } = io.identity();
    assert.ok(pid > 0 && host !== "" && bootId !== "");
  });

  row("pread and pwrite work at once, beside what is in flight", (io, d) => {
    const file = openFile(io, `${d}/a`);
    const [one, two] = [io.acquireBuffer()!, io.acquireBuffer()!];
    one.bytes.fill(1);
    two.bytes.fill(2);
    io.writeAt(file, one, 0, 4096, 0, 0, 5);
    // What is in flight keeps its buffer.
    usage(() => io.pwrite(file, one, 0, 4096, 0), /in flight: write with handle 5/);
    assert.equal(io.pwrite(file, two, 0, 4096, 4096), 4096);
    assert.equal(io.pwrite(file, two, 0, 0, 0), 0);
    assert.equal(io.inFlight, 1);
    while (io.take(5) === undefined) io.park();
    two.bytes.fill(0);
    assert.equal(io.pread(file, two, 10, 100, 4000), 100);
    assert.deepEqual(two.bytes.slice(10, 110), Uint8Array.of(...filled(96, 1), ...filled(4, 2)));
    assert.deepEqual(two.bytes.slice(0, 10), filled(10, 0));
    // Short at the end of the file, nothing behind it.
    assert.equal(io.pread(file, two, 0, 4096, 8000), 192);
    assert.equal(io.pread(file, two, 0, 4096, 2 ** 33), 0);
    assert.equal(io.pwrite(file, two, 0, 1, 2 ** 33 + 5), 1);
    assert.equal(io.pread(file, two, 0, 10, 2 ** 33 + 5), 1);
    usage(() => io.pread(file, two, 0, 4097, 0), /outside the buffer/);
    usage(() => io.pread(file, two, 0, 1, -1), /offset must be/);
    const reader = openFile(io, `${d}/a`, { write: false, create: false });
    assert.equal(io.pwrite(reader, two, 0, 1, 0), -EBADF);
    const writer = openFile(io, `${d}/a`, { read: false });
    assert.equal(io.pread(writer, two, 0, 1, 0), -EBADF);
    run(io, (h) => io.close(reader, h));
    usage(() => io.pread(reader, two, 0, 1, 0), /is closed/);
    io.releaseBuffer(one);
    io.releaseBuffer(two);
  });

  row("operations can be reserved for a client, whatever the others do", (io, d) => {
    const kept = io.client("kept", 1);
    assert.deepEqual([kept.available, io.available], [4, 3]);
    for (let i = 0; i < 3; i++) io.stat(d, i);
    assert.throws(() => io.stat(d, 3), IoFullError);
    assert.deepEqual([kept.available, io.available], [1, 0]);
    assert.throws(() => io.client("more", 1), IoFullError);
    kept.stat(d, 1);
    assert.throws(() => kept.stat(d, 2), IoFullError);
    while (kept.take(1) === undefined) kept.park();
    while (io.inFlight > 0) {
      for (let i = io.park() - 1; i >= 0; i--) io.take(io.completions.userData[i]);
    }
    // It may have more than that, and gives everything back.
    for (let i = 0; i < 4; i++) kept.stat(d, i);
    assert.deepEqual([kept.available, io.available], [0, 0]);
    while (kept.inFlight > 0) {
      for (let i = kept.park() - 1; i >= 0; i--) kept.take(kept.completions.userData[i]);
    }
    kept[Symbol.dispose]();
    assert.equal(io.available, 4);
    io.client("all", 4)[Symbol.dispose]();
    usage(() => io.client("x", 5), /from 0 to 4/);
    usage(() => io.client("x", -1), /from 0 to 4/);
  }, { capacity: 4 });

  row("statistics count operations, bytes, errors and depth, over all clients", (io, d) => {
    const before = io.statistics();
    assert.deepEqual([before.queueDepth, before.queueDepthPeak], [0, 0]);
    assert.deepEqual(before.operations, {});
    const client = io.client("other");
    const file = openFile(io, `${d}/a`);
    const buffer = client.acquireBuffer()!;
    run(client, (h) => client.writeAt(file, buffer, 0, 4000, 0, 0, h));
    run(io, (h) => io.fdatasync(file, h));
    run(client, (h) => client.readAt(file, buffer, 0, 4096, 1000, h));
    assert.equal(client.pread(file, buffer, 0, 10, 0), 10);
    assert.equal(run(io, (h) => io.stat(`${d}/missing`, h)), -ENOENT);
    io.fsync(file, 1);
    io.fsync(file, 2);
    const { queueDepth, queueDepthPeak, operations } = io.statistics();
    assert.deepEqual([queueDepth, queueDepthPeak], [2, 2]);
    const counts = { errors: 0, bytes: 0 };
    assert.deepEqual(operations, {
      open: { ...counts, count: 1 },
      read: { ...counts, count: 2, bytes: 3010 },
      write: { ...counts, count: 1, bytes: 4000 },
      fdatasync: { ...counts, count: 1 },
      stat: { ...counts, count: 1, errors: 1 },
    });
    while (io.inFlight > 0) {
      for (let i = io.park() - 1; i >= 0; i--) io.take(io.completions.userData[i]);
    }
    assert.equal(client.statistics().operations.fsync.count, 2);
    client.releaseBuffer(buffer);
    client[Symbol.dispose]();
  });

  row("statistics have latencies when they are asked for", (io, d) => {
    const start = io.now();
    const file = openFile(io, `${d}/a`);
    for (let i = 0; i < 100; i++) run(io, (h) => io.fdatasync(file, h));
    const { open, fdatasync } = io.statistics().operations;
    const elapsed = io.now() - start;
    assert.equal(fdatasync.count, 100);
    const latency = fdatasync.latency!;
    const { p50Micros, p90Micros, p99Micros, p999Micros, maxMicros, meanMicros } = latency;
    const rising = [p50Micros, p90Micros, p99Micros, p999Micros];
    assert.deepEqual(rising, [...rising].sort((a, b) => a - b));
    assert.ok(p50Micros >= 0 && p999Micros <= maxMicros);
    assert.ok(meanMicros * 100 <= elapsed + 100 && maxMicros <= elapsed + 1);
    if (elapsed > 0) assert.ok(meanMicros > 0 && open.latency!.maxMicros > 0);
  }, { latencies: true });

  row("a file that something else opened is adopted by its descriptor", async (io, d) => {
    const path = `${d}/a`;
    if (io.backend === "memory" || isDeno) {
      usage(() => io.adoptFd(0, 1), /open the file by its path/);
      return;
    }
    const { closeSync, openSync, readFileSync } = await import("node:fs");
    const adopt = (descriptor: number) => {
      let file!: IoFile;
      const res = run(io, (h) => file = io.adoptFd(descriptor, h));
      return { res, file };
    };
    const descriptor = openSync(path, "a+");
    const { res, file } = adopt(descriptor);
    assert.equal(res, 0);
    // It is a duplicate: the own one is closed.
    closeSync(descriptor);
    assert.equal(file.path, path);
    const { read, write, append, direct, create } = file.options;
    assert.deepEqual([read, write, append, direct, create], [true, true, true, false, false]);
    assert.equal(writeBytes(io, file, "adopted", 100), 7);
    assert.equal(readFileSync(path, "utf8"), "adopted");
    assert.equal(run(io, (h) => io.close(file, h)), 0);
    const reader = openSync(path, "r");
    assert.equal(writeBytes(io, adopt(reader).file, "x", 0), -EBADF);
    closeSync(reader);
    assert.equal(adopt(reader).res, -EBADF);
    for (const refused of ["/proc/self/mem", "/proc/self/status", "/dev/null"]) {
      const other = openSync(refused, "r");
      assert.equal(adopt(other).res, -EACCES, refused);
      closeSync(other);
    }
    const directory = openSync(d, "r");
    assert.equal(adopt(directory).res, -EISDIR);
    closeSync(directory);
    for (const wrong of [-1, 0.5, NaN, 2 ** 31, "1" as unknown as number]) {
      usage(() => io.adoptFd(wrong, 1), /a descriptor is an integer/);
    }
    assert.equal(io.inFlight, 0);
  });

  row("after its end every call throws", (_io, _d) => {
    const { io, directory, remove } = backend.open();
    const client = io.client("one");
    const file = openFile(io, `${directory}/a`);
    // Something in flight is drained, not lost under the kernel's feet.
    io.fsync(file, 1);
    io[Symbol.dispose]();
    io[Symbol.dispose]();
    for (const one of [io, client]) {
      const calls: (() => unknown)[] = [
        () => one.poll(),
        () => one.park(),
        () => one.acquireBuffer(),
        () => one.open(`${directory}/b`, { read: true }, 2),
        () => one.fsync(file, 2),
        () => one.stat(directory, 2),
        () => one.listDirectory(directory),
        () => one.client("x"),
      ];
      for (const call of calls) assert.throws(call, IoClosedError);
    }
    remove();
  });

  row("a wait ends with its Io", async (_io, _d) => {
    const { io, directory, remove } = backend.open();
    const file = openFile(io, `${directory}/a`);
    io.fsync(file, 1);
    const waiting = io.wait();
    io[Symbol.dispose]();
    // It may find the Io closed, or have been in time.
    await waiting.catch((error) => assert.ok(error instanceof IoClosedError));
    remove();
  });
}
