/**
 * Following what was appended, over every backend: tracker, gate, and the numbers of `stats()`.
 */

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { SyncIo } from "../../src/io/sync.ts";
import { UringIo } from "../../src/io/uring.ts";
import { WalPoisonedError } from "../../src/wal/errors.ts";
import { DurabilityTracker } from "../../src/wal/tracker.ts";
import { Wal } from "../../src/wal/wal.ts";
import { SMALL } from "./support.ts";

const ARENA_BYTES = 2 << 20;
const DISK = mkdtempSync(join(tmpdir(), "uring-tracking-"));
after(() => rmSync(DISK, { recursive: true, force: true }));

const BACKENDS: Record<string, { root: string; open: () => Io }> = {
  memory: { root: "", open: () => MemoryIo.create({ seed: 1, arenaBytes: ARENA_BYTES }) },
  uring: { root: `${DISK}/uring`, open: () => UringIo.open({ arenaBytes: ARENA_BYTES }) },
  sync: { root: `${DISK}/sync`, open: () => SyncIo.open({ arenaBytes: ARENA_BYTES }) },
};

for (const [name, { root, open }] of Object.entries(BACKENDS)) {
  test(`${name}: tracker: track, poll, completed, all, clear`, async () => {
    using io = open();
    await using wal = await Wal.open(`${root}/tracker`, { ...SMALL, io });
    const tracker = new DurabilityTracker(wal);
    assert.deepEqual(await tracker.all(), []);
    tracker.track(0);
    const lsns = Array.from({ length: 50 }, (_, i) => wal.append(`tracked ${i}`));
    for (const lsn of lsns.reverse()) tracker.track(lsn);
    assert.equal(tracker.completed, 1, "0 is durable; nothing else had a turn");
    for (const lsn of [51, -1, 1.5, NaN]) tracker.track(lsn);
    const rows = await tracker.all();
    assert.deepEqual(rows.map(({ lsn }) => lsn), [0, ...lsns, 51, -1, 1.5, NaN]);
    for (const { lsn, done, error } of rows) {
      assert.ok(done);
      if (lsn >= 0 && lsn <= 50 && Number.isInteger(lsn)) assert.equal(error, undefined);
      else assert.ok(error instanceof RangeError, String(lsn));
    }
    assert.equal(tracker.completed, 51);
    tracker.clear();
    assert.deepEqual([tracker.completed, tracker.poll().length], [0, 0]);
    // A loop that never waits comes to an end, too.
    tracker.track(wal.append("polled"));
    // Ends with the write: each turn sends and drains.
    while (!tracker.poll()[0].done);
    assert.equal(tracker.completed, 1);
  });

  test(`${name}: gate gives its value when the record is durable, and not before`, async () => {
    using io = open();
    await using wal = await Wal.open(`${root}/gate`, { ...SMALL, io });
    const lsn = wal.append("order");
    const reply = wal.gate(lsn, { accepted: true });
    assert.equal(wal.durableLsn, 0);
    assert.deepEqual(await reply, { accepted: true });
    assert.ok(wal.durableLsn >= lsn);
    assert.equal(await wal.gate(lsn, Promise.resolve("later")), "later");
    await assert.rejects(wal.gate(lsn, Promise.reject(new Error("of the value"))), /of the value/);
    await assert.rejects(wal.gate(lsn + 1, "never"), RangeError);
    await assert.rejects(wal.gate(-1, "never"), RangeError);
  });

  test(`${name}: stats: bytes, commits, amplification, how it writes`, async () => {
    using io = open();
    await using wal = await Wal.open(`${root}/stats`, { ...SMALL, io, mode: "buffered" });
    const empty = wal.stats();
    assert.deepEqual([empty.records, empty.bytes, empty.latencyMicros.count], [0, 0, 0]);
    assert.equal(empty.writeAmplification, 0);
    for (let i = 0; i < 3; i++) wal.append("x".repeat(1000));
    const pending = wal.stats();
    assert.deepEqual([pending.records, pending.bytes], [3, 3000]);
    assert.deepEqual([pending.pendingRecords, pending.pendingBytes], [3, 3000]);
    await wal.flush();
    wal.append("€");
    await wal.flush();
    const stats = wal.stats();
    assert.deepEqual([stats.records, stats.bytes], [4, 3003]);
    assert.deepEqual([stats.pendingRecords, stats.pendingBytes], [0, 0]);
    assert.deepEqual([stats.frames, stats.diskBytes], [2, 8192]);
    assert.deepEqual([stats.commitRecords.count, stats.commitRecords.most], [2, 3]);
    assert.deepEqual([stats.commitBytes.least, stats.commitBytes.most], [4096, 4096]);
    assert.equal(stats.latencyMicros.count, 2);
    assert.ok(stats.latencyMicros.p50 <= stats.latencyMicros.most);
    // Two headers of a unit, and the zeros of the first segment at least.
    assert.ok(stats.writtenBytes >= 8192 + 2 * 4096 + SMALL.segmentBytes!);
    assert.equal(stats.writeAmplification, stats.writtenBytes / 3003);
    assert.deepEqual([stats.mode, stats.modeReason], ["buffered", "asked for"]);
    assert.deepEqual([stats.backend, stats.durability], [name, "verified"]);
    assert.equal(stats.registered, name === "uring");
    assert.deepEqual([stats.segments, stats.segmentsBegun, stats.segmentReady], [1, 1, true]);
    assert.deepEqual([stats.spareFailures, stats.spareFailure], [0, undefined]);
  });
}

test("tracker: what fails is reported for the appends that it is about", async () => {
  const io = MemoryIo.create({ seed: 2, arenaBytes: ARENA_BYTES });
  const wal = await Wal.open("/failing", { ...SMALL, io, idleMarkMillis: Infinity });
  const tracker = new DurabilityTracker(wal);
  tracker.track(wal.append("kept"));
  await wal.flush();
  io.fail({ operation: "write", path: /\.wal$/, errno: 5 });
  tracker.track(wal.append("lost"));
  const gated = wal.gate(2, "never");
  const [kept, lost] = await tracker.all();
  assert.deepEqual(kept, { lsn: 1, done: true, error: undefined });
  assert.ok(lost.done && lost.error instanceof WalPoisonedError);
  assert.equal(tracker.completed, 1);
  assert.equal(wal.poisoned, lost.error);
  await assert.rejects(gated, WalPoisonedError);
  assert.equal(await wal.gate(1, "still"), "still");
  await wal.close();
  io[Symbol.dispose]();
});

test("group commit by time and by size: a record waits for company, a full frame does not", async () => {
  const io = MemoryIo.create({ seed: 3, arenaBytes: ARENA_BYTES });
  const sleep = (micros: number) => new Promise<void>((resolve) => io.after(micros, resolve));
  const commit = { maxBytes: 8192, maxInFlight: 3, maxDelayMicros: 700 };
  const wal = await Wal.open("/group", { ...SMALL, io, mode: "direct", commit });
  const start = io.now();
  for (let i = 0; i < 3; i++) {
    wal.append("company");
    await sleep(100);
  }
  assert.equal(wal.stats().frames, 0, "700 microseconds are not over");
  await wal.durable(3);
  assert.ok(io.now() - start >= 700);
  assert.equal(wal.stats().frames, 1);
  assert.ok(wal.stats().latencyMicros.least >= 700, "from the first of them on");
  wal.append("f".repeat(5000));
  wal.append("g".repeat(5000));
  assert.equal(wal.stats().frames, 2, "the first one is full");
  const before = io.now();
  wal.submitPending();
  await wal.durable(5);
  assert.ok(io.now() - before < 700 + 2000 && wal.stats().frames === 3);
  await wal.close();
  io[Symbol.dispose]();
});

for (const mode of ["direct", "buffered"] as const) {
  test(`${mode}: a failed ${mode === "direct" ? "write" : "sync"} reaches every append that it covers`, async () => {
    const io = MemoryIo.create({ seed: 4, arenaBytes: ARENA_BYTES });
    const wal = await Wal.open("/covers", { ...SMALL, io, mode, idleMarkMillis: Infinity });
    await wal.durable(wal.append("before"));
    const operation = mode === "direct" ? "write" : "fdatasync";
    io.fail({ operation, path: /\.wal$/, errno: 5 });
    const waits = [1, 2, 3].map(() => wal.durable(wal.append("covered")));
    const flushed = wal.flush();
    for (const wait of [...waits, flushed]) {
      await assert.rejects(wait, (error: WalPoisonedError) => {
        assert.equal((error.cause as { code: string }).code, "EIO");
        return error instanceof WalPoisonedError;
      });
    }
    assert.equal(wal.durableLsn, 1);
    assert.throws(() => wal.append("after"), WalPoisonedError);
    await wal.close();
    io[Symbol.dispose]();
  });
}
