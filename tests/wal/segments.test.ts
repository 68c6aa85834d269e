/**
 * The files of a log, on a simulated machine: what is let go of, recycled, removed, and kept for those
 * who read.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { crc32c } from "../../src/io/crc32c.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { Pump } from "../../src/io/pump.ts";
import { joinCrc, reseedCrc, zerosCrc } from "../../src/wal/crc_join.ts";
import { Disk } from "../../src/wal/disk.ts";
import { WalCorruptionError, WalFullError, WalOptionsError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { type ClosedSegment, POOL_MAX } from "../../src/wal/segments.ts";
import { Wal } from "../../src/wal/wal.ts";
import { readFile, records, SMALL, writeFile } from "./support.ts";

const PATH = "/log";
const BLOCK = 4096;
const FIRST = "0000000000000001.wal";

function segmentFiles(io: Io): string[] {
  return io.listDirectory(PATH).map(({ name }) => name).filter((name) => name.endsWith(".wal"))
    .sort();
}

/** Appends durable records of 1,000 bytes until the log is in its `count`-th segment from here. */
async function fillSegments(wal: Wal, count: number): Promise<void> {
  const until = wal.stats().segmentsBegun + count;
  // Ends when the segments are there: each record takes a part of one.
  while (wal.stats().segmentsBegun < until) await wal.durable(wal.append("s".repeat(1000)));
}

/** Lets the event loop turn until it is so. */
async function untilTrue(holds: () => boolean): Promise<void> {
  // Everything here happens in few turns; a test that waits for nothing ends with its runner's time.
  while (!holds()) await new Promise((resolve) => setTimeout(resolve, 0));
}

test("a pinned file keeps its name and its bytes, and goes when the last pin is off", async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20 });
  const wal = await Wal.open(PATH, { ...SMALL, io });
  await fillSegments(wal, 2);
  const before = await readFile(io, `${PATH}/${FIRST}`);
  const cursors = [wal.cursor({ to: 2 }), wal.cursor({ to: 2 })];
  for (const cursor of cursors) assert.equal(cursor.next()!.length, 1);
  // Each round lets go of segments, and recycles what it may for the next ones.
  for (let round = 0; round < 4; round++) {
    await fillSegments(wal, 3);
    await wal.truncateBefore(wal.durableLsn);
    assert.deepEqual(await readFile(io, `${PATH}/${FIRST}`), before, `round ${round}`);
  }
  cursors[0].close();
  await fillSegments(wal, 3);
  assert.deepEqual(await readFile(io, `${PATH}/${FIRST}`), before, "one pin is left");
  cursors[1].close();
  await fillSegments(wal, 3);
  await wal.truncateBefore(wal.durableLsn);
  assert.ok(!segmentFiles(io).includes(FIRST), "the last pin is off");
  await wal.close();
  io[Symbol.dispose]();
});

test("a segment without records that is let go of under a reader is no error to it", async () => {
  // What ends first is up to the machine: one seed in twelve removed the file before it was opened.
  for (let seed = 1; seed <= 80; seed++) {
    const io = MemoryIo.create({ seed, arenaBytes: 2 << 20 });
    // A larger window begins a segment of its own.
    const open = (maxInFlight: number) =>
      Wal.open(PATH, { ...SMALL, preallocate: false, commit: { maxBytes: 8192, maxInFlight }, io });
    let wal = await open(2);
    await wal.durable(wal.append("in the first"));
    await wal.close();
    wal = await open(3);
    await wal.close();
    wal = await open(4);
    await wal.durable(wal.append("in the third"));
    const reader = wal.read();
    assert.equal((await reader.next()).value!.text(0), "in the first");
    const truncated = wal.truncateBefore(2);
    for (let turn = 0; turn < seed % 12; turn++) await undefined;
    try {
      assert.equal((await reader.next()).value!.text(0), "in the third");
    } catch (error) {
      throw new Error(`seed ${seed}`, { cause: error });
    }
    await truncated;
    await reader.return(undefined);
    await wal.close();
    io[Symbol.dispose]();
  }
});

test("however many files are pinned, all of them stay", async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20 });
  const wal = await Wal.open(PATH, { ...SMALL, io });
  const cursors = [];
  for (let i = 0; i < POOL_MAX + 3; i++) {
    const lsn = await wal.durable(wal.append("first of its segment, or the only one"));
    const cursor = wal.cursor({ from: lsn, to: lsn + 1 });
    assert.equal(cursor.next()!.firstLsn, lsn);
    cursors.push(cursor);
    await fillSegments(wal, 1);
  }
  const pinned = segmentFiles(io).slice(0, cursors.length);
  const before = await Promise.all(pinned.map((name) => readFile(io, `${PATH}/${name}`)));
  for (let round = 0; round < 2; round++) {
    await wal.truncateBefore(wal.durableLsn);
    await fillSegments(wal, 3);
  }
  const after = await Promise.all(pinned.map((name) => readFile(io, `${PATH}/${name}`)));
  assert.deepEqual(after, before);
  for (const cursor of cursors) cursor.close();
  await wal.truncateBefore(wal.durableLsn);
  await wal.close();
  const left = segmentFiles(io).filter((name) => pinned.includes(name));
  assert.ok(left.length <= POOL_MAX, `${left.length} files are left`);
  io[Symbol.dispose]();
});

test("what a reader held back is removed before another writer can have the log", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const latencyMicros = (draw: () => number) => draw() < 0.3 ? 5000 : 10;
    const io = MemoryIo.create({ seed, arenaBytes: 2 << 20, history: true, latencyMicros });
    const wal = await Wal.open(PATH, { ...SMALL, preallocate: false, io });
    await fillSegments(wal, 2);
    assert.equal(wal.cursor({ to: 2 }).next()!.length, 1);
    await wal.truncateBefore(wal.durableLsn);
    await wal.close();
    const last = (what: RegExp) => io.history.findLastIndex((line) => what.test(line));
    const removed = last(/remove .*0001\.wal /);
    assert.ok(removed >= 0 && removed < last(/close .*LOCK/), `seed ${seed}`);
    io[Symbol.dispose]();
  }
});

/** CRC32C bit by bit, as the polynomial says. */
function crc32cByBit(bytes: Uint8Array): number {
  let crc = ~0;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ ((crc & 1) === 1 ? 0x82f63b78 : 0);
  }
  return ~crc >>> 0;
}

test("checksums of parts give the checksum of the whole", () => {
  const bytes = new Uint8Array(5000);
  for (let i = 0; i < bytes.length; i++) bytes[i] = i * 7 + (i >> 3);
  const whole = crc32c(bytes);
  assert.equal(whole, crc32cByBit(bytes));
  for (const at of [0, 1, 7, 64, 1000, 4095, 4096, 4999, 5000]) {
    const first = crc32c(bytes.subarray(0, at));
    const rest = bytes.subarray(at);
    assert.equal(joinCrc(first, crc32c(rest), rest.length), whole, `joined at ${at}`);
    const seeded = crc32c(rest, 0xdeadbeef);
    assert.equal(reseedCrc(seeded, 0xdeadbeef, first, rest.length), whole, `seeded at ${at}`);
    assert.equal(zerosCrc(whole, at), crc32c(new Uint8Array(at), whole), `${at} zeros`);
  }
  // x^(2^35) is no power that a short piece needs.
  assert.equal(zerosCrc(zerosCrc(5, 2 ** 40), 77), zerosCrc(5, 2 ** 40 + 77));
});

for (const mode of ["direct", "buffered"] as const) {
  test(`${mode}: segmentClosed tells name, records, bytes and checksum of every segment`, async () => {
    const io = MemoryIo.create({ seed: 4, arenaBytes: 2 << 20 });
    const closed: ClosedSegment[] = [];
    let next = 1;
    // In the second round the first segment was begun before the log was opened.
    for (let round = 0; round < 2; round++) {
      const wal = await Wal.open(PATH, { ...SMALL, mode, io });
      wal.addEventListener("segmentClosed", (event) => {
        closed.push((event as CustomEvent<ClosedSegment>).detail);
      });
      // A short frame comes into the memory of a long one before it.
      for (const bytes of [7000, 6000, 5000, 7500, 10, 20, 30, 4100, 5]) {
        await wal.durable(wal.append("m".repeat(bytes)));
      }
      await fillSegments(wal, 3);
      await wal.durable(wal.append("the last one"));
      await wal.close();
      assert.equal(closed.length, round === 0 ? 3 : 6);
      for (; next <= closed.length; next++) {
        const { name, path, sequence, firstLsn, lastLsn, bytes, crc32c } = closed[next - 1];
        assert.equal(sequence, next);
        assert.equal(name, segmentFiles(io)[next - 1]);
        assert.equal(path, `${PATH}/${name}`);
        assert.equal(firstLsn, (closed[next - 2]?.lastLsn ?? 0) + 1);
        assert.ok(lastLsn > firstLsn);
        const file = await readFile(io, path);
        assert.ok(file.subarray(bytes).every((byte) => byte === 0), "nothing behind its end");
        assert.equal(crc32c, crc32cByBit(file.subarray(0, bytes)), name);
      }
    }
    io[Symbol.dispose]();
  });
}

test("a spare that cannot be made: at opening an error, later back-pressure, a number, an event", async () => {
  const io = MemoryIo.create({ seed: 5, arenaBytes: 2 << 20 });
  io.fail({ operation: "fsync", path: /0001\.wal\.tmp$/, errno: 5 });
  await assert.rejects(Wal.open(PATH, { ...SMALL, io }), { code: "EIO" });
  const wal = await Wal.open(PATH, { ...SMALL, io });
  const events: Error[] = [];
  wal.addEventListener("spareFailed", (event) => events.push((event as CustomEvent).detail));
  const fault = io.fail({ operation: "fsync", path: /\.tmp$/, errno: 5, persistent: true });
  let full: Error | undefined;
  for (let i = 0; i < 1000 && !full; i++) {
    if (wal.tryAppend("f".repeat(4000)) !== undefined) continue;
    try {
      wal.waitDurable(wal.appendedLsn);
    } catch (error) {
      full = error as Error;
    }
  }
  assert.ok(full instanceof WalFullError, String(full));
  assert.equal((full.cause as { code: string }).code, "EIO");
  await Promise.resolve();
  assert.ok(
    events.length > 0 && events.every((event) => (event as { code?: string }).code === "EIO"),
  );
  assert.ok(wal.stats().spareFailures >= events.length);
  assert.equal(wal.poisoned, undefined);
  fault.cancel();
  await wal.ready();
  await wal.durable(wal.append("it goes on"));
  await wal.close();
  io[Symbol.dispose]();
});

test("retention by segments: the oldest go, whole ones, and are recycled", async () => {
  const io = MemoryIo.create({ seed: 6, arenaBytes: 2 << 20 });
  const wal = await Wal.open(PATH, { ...SMALL, io, retention: { maxSegments: 3 } });
  const closed: ClosedSegment[] = [];
  wal.addEventListener("segmentClosed", (event) => closed.push((event as CustomEvent).detail));
  for (let i = 0; closed.length < 12; i++) {
    await wal.durable(wal.append("r".repeat(1000)));
    // While one is let go of there is one more.
    assert.ok(wal.stats().segments <= 4);
    assert.ok(segmentFiles(io).length <= 4 + 1 + POOL_MAX, segmentFiles(io).join());
  }
  await untilTrue(() => wal.stats().segments === 3);
  assert.equal(wal.firstLsn, closed.at(-2)!.firstLsn, "whole segments");
  assert.ok(wal.stats().segmentsRecycled >= 6, `${wal.stats().segmentsRecycled} recycled`);
  await wal.close();
  // A smaller limit holds from the opening on.
  const again = await Wal.open(PATH, { ...SMALL, io, retention: { maxSegments: 1 } });
  await untilTrue(() => again.stats().segments === 1);
  assert.equal(again.firstLsn, closed.at(-1)!.lastLsn + 1);
  await again.close();
  io[Symbol.dispose]();
});

test("retention by size counts whole files, also of segments from before", async () => {
  const io = MemoryIo.create({ seed: 7, arenaBytes: 2 << 20 });
  const before = await Wal.open(PATH, { ...SMALL, io });
  await fillSegments(before, 5);
  const { lastLsn } = { lastLsn: before.durableLsn };
  await before.close();
  const bytes = SMALL.segmentBytes!;
  const wal = await Wal.open(PATH, { ...SMALL, io, retention: { maxBytes: 3 * bytes + 1 } });
  await untilTrue(() => wal.stats().segments === 3);
  await fillSegments(wal, 0);
  assert.ok(wal.firstLsn > 1 && wal.firstLsn < lastLsn);
  await wal.close();
  const tiny = await Wal.open(PATH, { ...SMALL, io, retention: { maxBytes: 1 } });
  await untilTrue(() => tiny.stats().segments === 1);
  assert.equal(tiny.durableLsn, lastLsn, "what is written to is never removed");
  await tiny.close();
  io[Symbol.dispose]();
});

test("retention by age: a segment goes when the next one is older than the limit", async () => {
  const io = MemoryIo.create({ seed: 8, arenaBytes: 2 << 20 });
  const sleep = (millis: number) =>
    new Promise<void>((resolve) => io.after(millis * 1000, resolve));
  const wal = await Wal.open(PATH, { ...SMALL, io, retention: { maxAgeMillis: 60_000 } });
  await fillSegments(wal, 2);
  await sleep(50_000);
  await fillSegments(wal, 2);
  assert.equal(wal.stats().segments, 5, "none is too old");
  await sleep(20_000);
  // Nothing happens to a log that rests; its next commit looks.
  assert.equal(wal.stats().segments, 5);
  await wal.durable(wal.append("later"));
  await untilTrue(() => wal.stats().segments === 3);
  await sleep(60_000);
  await wal.close();
  const again = await Wal.open(PATH, { ...SMALL, io, retention: { maxAgeMillis: 60_000 } });
  await untilTrue(() => again.stats().segments === 1);
  await again.close();
  io[Symbol.dispose]();
});

test("retention: what cannot be read again is told, and nothing is removed", async () => {
  const io = MemoryIo.create({ seed: 9, arenaBytes: 2 << 20 });
  const before = await Wal.open(PATH, { ...SMALL, io });
  await fillSegments(before, 4);
  await before.close();
  const fault = io.fail({ operation: "read", path: /0003\.wal$/, errno: 5, persistent: true });
  const wal = await Wal.open(PATH, { ...SMALL, io, retention: { maxSegments: 3 } });
  await untilTrue(() => wal.stats().retentionFailure !== undefined);
  assert.match(wal.stats().retentionFailure!, /0000000000000003\.wal.* failed: EIO/);
  assert.equal(wal.firstLsn, 1);
  assert.equal(wal.poisoned, undefined);
  fault.cancel();
  await fillSegments(wal, 1).catch(() => {});
  await wal.durable(wal.append("x"));
  await untilTrue(() => wal.stats().segments === 3);
  await wal.close();
  io[Symbol.dispose]();
});

test("pages of 64 KiB: units as large, a whole life of a log, either copy of a header", async () => {
  const blockSize = 65_536;
  const io = MemoryIo.create({ seed: 12, arenaBytes: 8 << 20, blockSize });
  const options = { segmentBytes: 8 * blockSize, commit: { maxBytes: 2 * blockSize }, io };
  await assert.rejects(
    Wal.open(PATH, { segmentBytes: 2 * blockSize, commit: { maxBytes: blockSize }, io }),
    (error: Error) => error instanceof WalOptionsError && /takes 131072 bytes/.test(error.message),
  );
  const wal = await Wal.open(PATH, options);
  for (let i = 1; i <= 20; i++) await wal.durable(wal.append(`record ${i}`));
  assert.equal(wal.stats().diskBytes, 20 * blockSize);
  await wal.truncateBefore(8);
  const crashed = io.crash(3);
  const again = await Wal.open(PATH, { ...options, io: crashed });
  assert.equal(again.recovery.lastLsn, 20);
  assert.equal((await records(again)).get(20), "record 20");
  const { file } = again.recovery;
  await again.close();
  for (const copy of [0, 1]) {
    const bytes = await readFile(crashed, file);
    bytes[copy * blockSize + 20] ^= 1;
    await writeFile(crashed, file, bytes);
    const last = await Wal.open(PATH, { ...options, io: crashed });
    if (copy === 0) assert.equal((await records(last)).size, 13);
    else await assert.rejects(records(last), WalCorruptionError);
    await last.close();
  }
  crashed[Symbol.dispose]();
});

/** Makes every block of zeros a hole, as a sparse copy does. */
async function makeSparse(io: Io, path: string): Promise<void> {
  const bytes = await readFile(io, path);
  const client = io.client("sparse");
  const disk = new Disk(new Pump(client));
  const buffer = client.acquireBuffer(BLOCK)!;
  await disk.pump.run((function* () {
    const file = yield* disk.open(path, { write: true, create: true, truncate: true });
    yield* disk.truncate(file, bytes.length);
    for (let at = 0; at < bytes.length; at += BLOCK) {
      const block = bytes.subarray(at, at + BLOCK);
      if (block.every((byte) => byte === 0)) continue;
      buffer.bytes.set(block);
      yield* disk.write(file, buffer, 0, block.length, at, 0);
    }
    yield* disk.fsync(file);
    yield* disk.close(file);
  })());
  client.releaseBuffer(buffer);
  client[Symbol.dispose]();
}

async function allocatedBytes(io: Io, path: string): Promise<number> {
  const client = io.client("stat");
  const disk = new Disk(new Pump(client));
  const stat = await disk.pump.run(disk.stat(path));
  client[Symbol.dispose]();
  return stat.allocatedBytes;
}

for (const mode of ["direct", "buffered"] as const) {
  test(`${mode}: holes of a sparse copy are filled at opening, before a frame needs them`, async () => {
    const io = MemoryIo.create({ seed: 13, arenaBytes: 2 << 20 });
    const bytes = SMALL.segmentBytes!;
    const wal = await Wal.open(PATH, { ...SMALL, mode, io });
    for (let i = 1; i <= 3; i++) await wal.durable(wal.append(`record ${i}`));
    await untilTrue(() => wal.stats().spareReady);
    assert.deepEqual([wal.stats().preallocation, wal.stats().segmentsRefilled], ["reserved", 0]);
    await wal.close();
    assert.equal(segmentFiles(io).length, 2);
    for (const name of segmentFiles(io)) {
      await makeSparse(io, `${PATH}/${name}`);
      assert.ok(await allocatedBytes(io, `${PATH}/${name}`) < bytes);
    }
    const again = await Wal.open(PATH, { ...SMALL, mode, io });
    assert.equal(again.stats().segmentsRefilled, 1);
    assert.equal([...(await records(again)).values()].join(), "record 1,record 2,record 3");
    await untilTrue(() => again.stats().spareReady);
    for (const name of segmentFiles(io)) {
      assert.equal(await allocatedBytes(io, `${PATH}/${name}`), bytes, name);
    }
    // A disk that is full now says so, and nothing is poisoned.
    const fault = io.fail({ operation: "allocate", errno: 28, persistent: true });
    while (again.tryAppend("x".repeat(4000)) !== undefined) {
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    await untilTrue(() => again.stats().spareFailures > 0);
    assert.equal(again.poisoned, undefined);
    fault.cancel();
    await again.ready();
    await again.close();
    io[Symbol.dispose]();
  });
}

test("no space to fill the holes: the log opens all the same, and waits for space", async () => {
  const io = MemoryIo.create({ seed: 14, arenaBytes: 2 << 20 });
  const wal = await Wal.open(PATH, { ...SMALL, mode: "direct", io });
  await wal.durable(wal.append("kept"));
  await wal.close();
  for (const name of segmentFiles(io)) await makeSparse(io, `${PATH}/${name}`);
  const fault = io.fail({ operation: "allocate", errno: 28, persistent: true });
  const full = await Wal.open(PATH, { ...SMALL, mode: "direct", io });
  assert.deepEqual([full.stats().segmentReady, full.stats().segmentsRefilled], [false, 0]);
  assert.deepEqual([...(await records(full)).values()], ["kept"]);
  fault.cancel();
  await full.durable(full.append("later"));
  assert.deepEqual([...(await records(full)).values()], ["kept", "later"]);
  await full.close();
  io[Symbol.dispose]();
});

test("holes are filled by zeros where nothing can be reserved", async () => {
  const io = MemoryIo.create({ seed: 16, arenaBytes: 2 << 20 });
  const options: WalOptions = { ...SMALL, mode: "direct", preallocate: "reserve", io };
  const wal = await Wal.open(PATH, options);
  await wal.durable(wal.append("kept"));
  await wal.close();
  await makeSparse(io, `${PATH}/${FIRST}`);
  const EOPNOTSUPP = 95;
  io.fail({ operation: "allocate", errno: EOPNOTSUPP, persistent: true });
  const again = await Wal.open(PATH, options);
  assert.equal(again.stats().segmentsRefilled, 1);
  assert.equal(await allocatedBytes(io, `${PATH}/${FIRST}`), SMALL.segmentBytes);
  assert.deepEqual([...(await records(again)).values()], ["kept"]);
  await again.close();
  io[Symbol.dispose]();
});

test("what preallocation promises depends on the file system, and on what was asked for", async () => {
  const rows = [
    ["ext4", true, "reserved", /overwrites in place/],
    ["xfs", "reserve", "reserved", /overwrites in place/],
    ["btrfs", true, "reserved", /NOCOW/],
    ["zfs", true, "none", /zfs is not known/],
    ["bcachefs", true, "none", /bcachefs is not known/],
    ["ext4", false, "none", /not asked for/],
  ] as const;
  for (const [fileSystem, preallocate, claim, reason] of rows) {
    const io = MemoryIo.create({ seed: 15, arenaBytes: 2 << 20, fileSystem });
    const wal = await Wal.open(PATH, { ...SMALL, io, preallocate });
    const { preallocation, preallocationReason } = wal.stats();
    assert.equal(preallocation, claim, fileSystem);
    assert.match(preallocationReason, reason);
    assert.ok(!io.listDirectory(PATH).some(({ name }) => name.startsWith("PROBE")));
    await wal.close();
    io[Symbol.dispose]();
  }
});
