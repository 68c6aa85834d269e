/**
 * What happens seldom, each once: batches whose memory is gone, marks that only META has, files of others,
 * failures in the middle of making a segment, on a simulated machine.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { crc32c } from "../../src/io/crc32c.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { Pump } from "../../src/io/pump.ts";
import { Disk } from "../../src/wal/disk.ts";
import {
  WalCorruptionError,
  WalOptionsError,
  WalRecordTooLargeError,
} from "../../src/wal/errors.ts";
import { crashRun, newCrashCounts } from "../../src/testing/wal_model.ts";
import { MetaFile } from "../../src/wal/meta.ts";
import { settingsOf } from "../../src/wal/options.ts";
import { repair } from "../../src/wal/repair.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import {
  appendOneByOne,
  patch,
  readDirectory,
  readFile,
  records,
  SMALL,
  writeFile,
} from "./support.ts";

const PATH = "/log";
const FIRST = `${PATH}/0000000000000001.wal`;
const UNIT = 4096;
const EIO = 5;
const EAGAIN = 11;
const ENOSPC = 28;

const machine = () => MemoryIo.create({ seed: 1, arenaBytes: 2 << 20 });
const names = (io: MemoryIo) => io.listDirectory(PATH).map(({ name }) => name).sort();

/** A view whose memory was transferred away. */
function detached(): Uint8Array {
  const bytes = new Uint8Array(16);
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
  assert.equal(bytes.byteLength, 0);
  return bytes;
}

test("a record whose memory is gone is refused, and leaves the frame as it was", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, idleMarkMillis: 1 });
  const gone = { name: "TypeError", message: /transferred away/ };
  assert.throws(() => wal.append(detached()), gone);
  assert.throws(() => wal.tryAppend(detached()), gone);
  assert.throws(() => wal.appendBatch(["x", detached()]), gone);
  assert.equal(wal.appendedLsn, 0);
  await wal.close();
});

test("an empty view of any kind is an empty record", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io });
  assert.equal(wal.append(new DataView(new ArrayBuffer(0)) as unknown as string), 1);
  assert.equal(wal.appendBatch([new Uint8Array(0), ""]), 3);
  await wal.close();
});

test("a batch of which a part cannot be copied leaves nothing behind", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, idleMarkMillis: 1 });
  // It passes for a record, and its memory goes when it is looked at the last time.
  const bytes = new Uint8Array(16);
  let looks = 0;
  Object.defineProperty(bytes, "byteLength", {
    get() {
      // After the last look at its length, before it is copied.
      if (++looks === 3) structuredClone(bytes.buffer, { transfer: [bytes.buffer] });
      return 16;
    },
  });
  assert.throws(() => wal.appendBatch(["left behind?", bytes]), TypeError);
  assert.equal(wal.appendedLsn, 0);
  // A mark, now or later, and a record of somebody else in the same frame.
  wal.append("one");
  await wal.flush();
  assert.deepEqual([...(await records(wal)).values()], ["one"]);
  await wal.close();
  const again = await Wal.open(PATH, { ...SMALL, io });
  assert.deepEqual([...(await records(again)).values()], ["one"]);
  await again.close();
  const view = await WalView.open(PATH, io);
  assert.equal((await view.verify()).state, "clean");
  await view.close();
});

test("a batch that is too large says so of the batch", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io });
  assert.throws(
    () => wal.appendBatch(Array.from({ length: 9 }, () => "r".repeat(1000))),
    (error: WalRecordTooLargeError) => {
      assert.match(error.message, /a batch of 9 records takes 9036 bytes with their lengths/);
      return error instanceof WalRecordTooLargeError;
    },
  );
  assert.equal(wal.appendedLsn, 0);
  await wal.close();
});

test("what was truncated was durable: without the record before it the log is damaged", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, idleMarkMillis: 3_600_000 });
  await appendOneByOne(wal, 3);
  await wal.truncateBefore(4);
  const next = io.kill();
  // The last frame rots, with no mark of the frames above it.
  await patch(next, FIRST, (bytes) => {
    bytes.fill(0xff, 4 * UNIT, 5 * UNIT);
  });
  await assert.rejects(Wal.open(PATH, { ...SMALL, io: next }), (error: WalCorruptionError) => {
    assert.deepEqual([error.file, error.offset], [FIRST, 4 * UNIT]);
    assert.match(error.reason, /META says that record 3 was durable, and 2 is the last one/);
    return error instanceof WalCorruptionError;
  });
  const view = await WalView.open(PATH, next);
  assert.equal(view.report.state, "corrupt");
  await view.close();
});

test("files of others in the directory stay as they are", async () => {
  const io = machine();
  io.createDirectories(PATH);
  const theirs = new TextEncoder().encode("theirs");
  for (const name of ["download.tmp", "notes.wal.tmp", "1.wal.tmp", "README"]) {
    await writeFile(io, `${PATH}/${name}`, theirs);
  }
  for (const name of ["META.tmp", "0000000000000001.wal.tmp", "CALIBRATION.tmp"]) {
    await writeFile(io, `${PATH}/${name}`, theirs);
  }
  const wal = await Wal.open(PATH, { ...SMALL, io });
  await wal.close();
  const files = await readDirectory(io, PATH);
  for (const name of ["download.tmp", "notes.wal.tmp", "1.wal.tmp", "README"]) {
    assert.deepEqual(files.get(name), theirs, name);
  }
  assert.deepEqual([...files.keys()].filter((name) => /^(META|0|CALIB).*tmp$/.test(name)), []);
});

test("a file LOCK of something else is no place for a log, and stays", async () => {
  const io = machine();
  io.createDirectories(PATH);
  const theirs = new TextEncoder().encode("the lock of something else\n");
  await writeFile(io, `${PATH}/LOCK`, theirs);
  await assert.rejects(Wal.open(PATH, { ...SMALL, io }), (error: WalOptionsError) => {
    assert.match(error.message, /\/log\/LOCK is there, and is no file of a log/);
    return error instanceof WalOptionsError;
  });
  assert.deepEqual(names(io), ["LOCK"]);
  assert.deepEqual(await readFile(io, `${PATH}/LOCK`), theirs);
});

test("the lock file of a log may hold anything: it is for messages", async () => {
  const io = machine();
  await (await Wal.open(PATH, { ...SMALL, io })).close();
  await writeFile(io, `${PATH}/LOCK`, new TextEncoder().encode("rotten"));
  const wal = await Wal.open(PATH, { ...SMALL, io });
  assert.equal(wal.recovery.tail, "clean");
  await wal.close();
});

test("options that are not possible here begin no log", async () => {
  const io = MemoryIo.create({ seed: 1, alignment: { memory: 0, offset: 0, physical: 512 } });
  await assert.rejects(Wal.open(PATH, { ...SMALL, io, mode: "direct" }), { code: "WalOptions" });
  assert.deepEqual(names(io), ["LOCK"]);
});

test("a corrupt log keeps every file that an opening would have removed", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io });
  await appendOneByOne(wal, 3);
  await wal.close();
  await writeFile(io, `${PATH}/0000000000000002.wal.tmp`, new Uint8Array(100));
  await patch(io, FIRST, (bytes) => {
    bytes[2 * UNIT + 70] ^= 1;
  });
  const before = names(io);
  await assert.rejects(Wal.open(PATH, { ...SMALL, io }), { code: "WalCorruption" });
  assert.deepEqual(names(io), before);
});

test("who looks at a log is not taken for its writer", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, idleMarkMillis: 3_600_000 });
  await appendOneByOne(wal, 2);
  const next = io.kill();
  // Another process looks at the same moment.
  const other = next.sibling().client("looks");
  const disk = new Disk(new Pump(other));
  const file = await disk.pump.run(disk.open(`${PATH}/LOCK`, { read: true }));
  assert.equal(other.lock(file, "shared"), 0);
  const view = await WalView.open(PATH, next);
  assert.deepEqual([view.report.live, view.report.state, view.lastLsn], [false, "torn", 2]);
  await view.close();
  // (Neither is one that looks for what can be repaired.)
  const report = await repair(PATH, { io: next, lockTimeoutMillis: 0 });
  assert.equal(report.state, "torn");
  await disk.pump.run(disk.close(file));
  other[Symbol.dispose]();
});

test("a view of a damaged log keeps its last LSN, and refuses what is no LSN", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io });
  await appendOneByOne(wal, 4);
  await wal.close();
  await patch(io, FIRST, (bytes) => {
    bytes[4 * UNIT + 70] ^= 1;
  });
  const view = await WalView.open(PATH, io);
  const { lastLsn } = view;
  const seen: number[] = [];
  await assert.rejects(async () => {
    for await (const batch of view.read()) seen.push(batch.firstLsn);
  }, { code: "WalCorruption" });
  assert.deepEqual(seen, [1, 2]);
  assert.equal(view.lastLsn, lastLsn);
  for (const range of [{ from: 0 }, { from: NaN }, { from: 1.5 }, { from: -1 }, { to: NaN }]) {
    await assert.rejects(view.read(range).next(), RangeError, JSON.stringify(range));
  }
  await view.close();
});

test("lengths of records that do not add up are damage that repair finds", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io });
  await appendOneByOne(wal, 3, "r");
  await wal.close();
  // As a program with a mistake would have written it: every checksum is good.
  await patch(io, FIRST, (bytes) => {
    const view = new DataView(bytes.buffer);
    const at = 4 * UNIT;
    const seed = new Uint8Array(16);
    seed.set(bytes.subarray(48, 56));
    new DataView(seed.buffer).setUint32(8, at, true);
    const seeded = crc32c(seed);
    view.setUint32(at + 64, 1, true);
    const size = view.getUint32(at + 12, true);
    view.setUint32(at + 8, crc32c(bytes.subarray(at + 64, at + 64 + size), seeded), true);
    view.setUint32(at + 4, crc32c(bytes.subarray(at + 8, at + 64), seeded), true);
  });
  const { state, damage, before } = await repair(PATH, { io });
  assert.equal(state, "corrupt");
  assert.deepEqual([damage[0].file, damage[0].offset], [FIRST, 4 * UNIT]);
  assert.match(damage[0].reason, /do not add up/);
  assert.equal(before?.last, 2);
});

test("repair refuses options that it does not have", async () => {
  await assert.rejects(repair(PATH, { kep: "before" } as object), { code: "WalOptions" });
});

test("a window that its field cannot hold is refused", () => {
  const commit = { maxBytes: 256 << 20, maxInFlight: 16 };
  assert.throws(() => settingsOf({ segmentBytes: 1 << 30, commit }), { code: "WalOptions" });
  const settings = settingsOf({ segmentBytes: 1 << 30, commit: { ...commit, maxInFlight: 15 } });
  assert.equal(settings.maxInFlight, 15);
});

test("a sync that the kernel puts off is asked for again", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, mode: "buffered" });
  io.fail({ operation: "fdatasync", path: /\.wal$/, errno: EAGAIN });
  await wal.durable(wal.append("one"));
  assert.equal(wal.poisoned, undefined);
  await wal.close();
});

test("a recycled file is found again when making the spare of it failed", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, mode: "direct" });
  const fill = async (count: number) => {
    const until = wal.stats().segmentsBegun + count;
    while (wal.stats().segmentsBegun < until) await wal.durable(wal.append("s".repeat(4000)));
  };
  for (const operation of ["rename", "stat", "open", "lock"] as const) {
    await fill(4);
    await wal.truncateBefore(wal.durableLsn);
    // The spare that is being made is ready then.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    // No other file can be made.
    const full = io.fail({ operation: "open", path: /\.tmp$/, errno: ENOSPC, persistent: true });
    const created = wal.stats().segmentsCreated;
    const fault = io.fail({ operation, path: /\.wal$/, errno: EIO });
    await fill(2);
    // The file whose turn failed is the next spare, by now.
    for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setTimeout(resolve, 0));
    assert.equal(wal.stats().spareReady, true, operation);
    assert.equal(fault.fired, 1, operation);
    assert.equal(wal.stats().segmentsCreated, created, operation);
    fault.cancel();
    full.cancel();
  }
  await wal.close();
});

test("a file that can never be used again is left, and a fresh one is made", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, mode: "direct" });
  const until = (count: number) => {
    // Each record takes a part of a segment; a failure of the spare is told at once.
    for (let tries = 0; wal.stats().segmentsBegun < count && tries < 400; tries++) {
      try {
        wal.waitDurable(wal.append("s".repeat(4000)));
      } catch (error) {
        if ((error as { code?: string }).code !== "WalFull") throw error;
      }
    }
    assert.ok(wal.stats().segmentsBegun >= count, `${wal.stats().segmentsBegun} segments`);
  };
  until(4);
  await wal.truncateBefore(wal.durableLsn);
  const begun = wal.stats().segmentsBegun;
  const fault = io.fail({ operation: "stat", path: /\.wal$/, errno: EIO, persistent: true });
  until(begun + 5);
  assert.ok(fault.fired > 0);
  fault.cancel();
  await wal.close();
});

/**
 * Of the simulated crashes: a killed process still writes to META.tmp, which the next one must not make its
 * META of; a lock file of which a crash has left holes; a recycled file whose new name could not be synced,
 * and is not there after the crash; `ready` that found the Io broken, and then waited for ever.
 */
for (const seed of [1_020_299_687, 20_268_203, 40_016_871, 1_446_201_694]) {
  test(`crash run ${seed}`, async () => {
    await crashRun(seed, newCrashCounts());
  });
}

test("META: its name is synced before anything else, and it is read from the device", async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20, history: true });
  /** The operations since the last call, without their times and numbers. */
  let seen = 0;
  const since = () => {
    const lines = io.history.slice(seen);
    seen += lines.length;
    return lines.map((line) => line.split(" ").slice(2).join(" ").replace(/[ \-\d]+$/, ""));
  };
  await (await Wal.open(PATH, { ...SMALL, io })).close();
  const making = since();
  const renamed = making.indexOf(`rename ${PATH}/META.tmp ${PATH}/META`);
  assert.ok(renamed >= 0, making.join("\n"));
  assert.equal(making[renamed + 1], `syncDirectory ${PATH}`);
  await (await Wal.open(PATH, { ...SMALL, io })).close();
  const words = since().filter((line) => line.endsWith("/META")).map((line) => line.split(" ")[0]);
  const before = words.slice(0, words.indexOf("read"));
  assert.deepEqual(before.filter((word) => word !== "stat"), ["open", "fsync", "advise"]);
});

test("META that a killed writer still writes to is not opened", async () => {
  const io = machine();
  await (await Wal.open(PATH, { ...SMALL, io })).close();
  const disk = new Disk(new Pump(io.client("killed")));
  const file = await disk.pump.run(disk.open(`${PATH}/META`, { read: true, write: true }));
  assert.ok(await disk.pump.run(disk.lock(file, 0)));
  await assert.rejects(Wal.open(PATH, { ...SMALL, io, lockTimeoutMillis: 1 }), {
    code: "WalLocked",
  });
  await disk.pump.run(disk.close(file));
  await (await Wal.open(PATH, { ...SMALL, io, lockTimeoutMillis: 1 })).close();
});

test("META is not written again when a write of it has failed", async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20, history: true });
  await (await Wal.open(PATH, { ...SMALL, io })).close();
  const client = io.client("test");
  const disk = new Disk(new Pump(client));
  const buffer = client.acquireBuffer(65_536)!;
  const { file } = await disk.pump.run(MetaFile.open(disk, PATH, buffer, 0));
  const writes = () => io.history.filter((line) => / write .*META /.test(line)).length;
  const before = writes();
  io.fail({ operation: "write", path: /META$/, errno: EIO });
  // All of them under way at once, and one more afterwards.
  const updates = [2, 3, 4].map((lowWaterLsn) => disk.pump.run(file.update({ lowWaterLsn })));
  for (const { status } of await Promise.allSettled(updates)) assert.equal(status, "rejected");
  await assert.rejects(disk.pump.run(file.update({ lowWaterLsn: 5 })), { code: "EIO" });
  assert.equal(writes(), before + 1);
  await disk.pump.run(file.close());
  client.releaseBuffer(buffer);
  client[Symbol.dispose]();
});

test("stats say where the log is, and how many operations that took", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io, mode: "direct", idleMarkMillis: Infinity });
  const before = wal.stats();
  assert.deepEqual([before.segment, before.offset, before.operations], [1, 2 * UNIT, 0]);
  await appendOneByOne(wal, 3);
  const { segment, offset, operations } = wal.stats();
  assert.deepEqual([segment, offset, operations], [1, 5 * UNIT, 3]);
  await wal.close();
});

test("commits are made in the thread that opens the log, and nowhere else", () => {
  assert.ok(settingsOf({ thread: "inline" }));
  assert.throws(() => settingsOf({ thread: "worker" as "inline" }), {
    code: "WalOptions",
    message: /thread must be one of inline, and is worker/,
  });
});

test("repair tells of each segment that it has read, before it and afterwards", async () => {
  const io = machine();
  const wal = await Wal.open(PATH, { ...SMALL, io });
  while (wal.stats().segmentsBegun < 3) await wal.durable(wal.append("s".repeat(4000)));
  await wal.close();
  await patch(io, FIRST, (bytes) => {
    bytes[3 * UNIT + 70] ^= 1;
  });
  const told: string[] = [];
  const onProgress = (done: number, segments: number) => void told.push(`${done}/${segments}`);
  const { kept } = await repair(PATH, { io, keep: "after", onProgress });
  assert.equal(kept, "after");
  assert.deepEqual(told, ["1/3", "2/3", "3/3", "1/2", "2/2"]);
});
