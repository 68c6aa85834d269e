/**
 * Following a log, in the writer's process and from another one: order, no gap, nothing that is not
 * durable, and an end without remains.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { Prng } from "../../src/io/prng.ts";
import {
  LsnTooOldError,
  WalClosedError,
  WalCorruptionError,
  WalMissingError,
} from "../../src/wal/errors.ts";
import type { RecordBatch } from "../../src/wal/records.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { appendOneByOne, SMALL } from "./support.ts";

const RUNS = 40;
const FIRST_SEED = Number(process.env.URING_SEED ?? 1);
const machine = (seed = 1) => MemoryIo.create({ seed, arenaBytes: 4 << 20 });
type Batches = AsyncGenerator<RecordBatch, void, undefined>;

/** Takes `count` records, which follow each other from `lsn` on. */
async function take(tail: Batches, lsn: number, count: number): Promise<string[]> {
  const texts: string[] = [];
  while (texts.length < count) {
    const { done, value: batch } = await tail.next();
    assert.ok(!done, `the tail ended after ${texts.length} records`);
    assert.equal(batch.firstLsn, lsn + texts.length);
    for (let i = 0; i < batch.length; i++) texts.push(batch.text(i));
  }
  return texts;
}

const expected = (from: number, count: number) =>
  Array.from({ length: count }, (_, i) => `record ${from + i}`);

test("same process: what is there, then each record when it is durable, over segments", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 5);
  const tail = wal.tail();
  assert.deepEqual(await take(tail, 1, 5), expected(1, 5));
  for (let lsn = 6; lsn <= 80; lsn++) {
    const pending = tail.next();
    assert.equal(wal.append(`record ${lsn}`), lsn);
    const { value } = await pending;
    assert.deepEqual([value!.firstLsn, value!.length, value!.text(0)], [lsn, 1, `record ${lsn}`]);
    assert.ok(wal.durableLsn >= lsn);
  }
  assert.ok(wal.stats().segments > 1);
  await tail.return();
  assert.deepEqual(await tail.next(), { done: true, value: undefined });
  await wal.close();
  io[Symbol.dispose](); // throws when a buffer was kept
});

test("same process: from a record that is yet to come, and only from there", async () => {
  await using wal = await Wal.open("/log", { ...SMALL, io: machine() });
  const tail = wal.tail({ from: 4 });
  const first = tail.next();
  await appendOneByOne(wal, 5);
  assert.equal((await first).value!.text(0), "record 4");
  assert.equal((await tail.next()).value!.text(0), "record 5");
  await tail.return();
});

test("same process: many followers and a slow one", async () => {
  await using wal = await Wal.open("/log", { ...SMALL, io: machine() });
  const follow = async (every: number) => {
    let lsn = 1;
    for await (const batch of wal.tail()) {
      assert.equal(batch.firstLsn, lsn);
      lsn += batch.length;
      if (lsn % every === 0) await new Promise((resolve) => setTimeout(resolve, 1));
      if (lsn > 300) return lsn;
    }
    return 0;
  };
  const followers = [1, 3, 1000].map(follow);
  for (let i = 1; i <= 300; i++) {
    while (wal.tryAppend(`record ${i}`) === undefined) await wal.ready();
    if (i % 7 === 0) await wal.flush();
  }
  assert.deepEqual(await Promise.all(followers), [301, 301, 301]);
});

test("same process: ends quietly when the log closes, whether it waits or not", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 3);
  const waiting = wal.tail({ from: 4 });
  const idle = wal.tail();
  await take(idle, 1, 1);
  const end = waiting.next();
  await wal.close();
  assert.equal((await end).done, true);
  assert.equal((await idle.next()).done, true);
  await assert.rejects(wal.tail().next(), WalClosedError, "begun after the end");
  io[Symbol.dispose]();
});

test("abort: an AbortError, at once, and everything is given back", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 3);
  const view = await WalView.open("/log", io);
  const free = io.arenaFreeBytes;
  for (const log of [wal, view]) {
    const controller = new AbortController();
    const { signal } = controller;
    const waiting = log.tail({ from: 99, signal });
    const unfinished = log.tail({ signal });
    const begun = log.tail({ signal });
    const pending = waiting.next();
    if (log === wal) await take(begun, 1, 1);
    await new Promise((resolve) => setTimeout(resolve, 5));
    controller.abort();
    await assert.rejects(pending, { name: "AbortError" });
    assert.equal((await waiting.next()).done, true, "it is told once");
    if (log === wal) await assert.rejects(begun.next(), { name: "AbortError" });
    await assert.rejects(unfinished.next(), { name: "AbortError" });
    await assert.rejects(log.tail({ signal }).next(), { name: "AbortError" });
    await unfinished.return();
    await begun.return();
    assert.equal(io.arenaFreeBytes, free);
  }
  await view.close();
  await wal.close();
  io[Symbol.dispose]();
});

test("return ends a tail that waits", async () => {
  const io = machine();
  await using wal = await Wal.open("/log", { ...SMALL, io });
  const view = await WalView.open("/log", io);
  for (const log of [wal, view]) {
    const tail = log.tail();
    const pending = tail.next();
    assert.equal((await tail.return()).done, true);
    assert.equal((await pending).done, true);
  }
  await view.close();
});

test("a poisoned log: what was durable, then why there is no more", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 3);
  const tail = wal.tail();
  io.fail({ operation: "write", path: /\.wal$/, errno: 5 });
  wal.append("lost");
  assert.deepEqual(await take(tail, 1, 3), expected(1, 3));
  await assert.rejects(tail.next(), { code: "WalPoisoned" });
  await wal.close();
});

test("records that were removed: LsnTooOldError", async () => {
  const io = machine();
  await using wal = await Wal.open("/log", { ...SMALL, io, idleMarkMillis: 1 });
  await appendOneByOne(wal, 60);
  const view = await WalView.open("/log", io);
  const tails = [wal.tail(), view.tail()];
  for (const tail of tails) await take(tail, 1, 3);
  // Often enough that every file of then is gone, or has another life.
  for (let round = 0; round < 4; round++) {
    await wal.truncateBefore(wal.durableLsn - 5);
    await appendOneByOne(wal, 60);
  }
  const { firstLsn } = wal;
  for (const tail of tails) {
    await assert.rejects(async () => {
      // Until the end of the segment that it is in, at most.
      for (let lsn = 4; lsn <= 31;) {
        const { value } = await tail.next();
        assert.equal(value!.text(0), `record ${lsn}`);
        lsn += value!.length;
      }
    }, LsnTooOldError);
  }
  for (const log of [wal, view]) {
    await assert.rejects(log.tail({ from: firstLsn - 1 }).next(), LsnTooOldError);
    const tail = log.tail();
    assert.equal((await tail.next()).value!.text(0), `record ${firstLsn}`);
    await tail.return();
  }
  for (const from of [0, -1, 1.5, NaN]) {
    await assert.rejects(wal.tail({ from }).next(), RangeError);
    await assert.rejects(view.tail({ from }).next(), RangeError);
  }
  await view.close();
});

test("from outside: over segments, closings, recycled files, a crash and the opening after it", async () => {
  const io = machine();
  const options = { ...SMALL, io, idleMarkMillis: 1 };
  let wal = await Wal.open("/log", options);
  const outside = io.sibling();
  const view = await WalView.open("/log", outside);
  const tail = view.tail();
  let lsn = 1;
  for (let round = 0; round < 12; round++) {
    await appendOneByOne(wal, 25);
    assert.deepEqual(await take(tail, lsn, 25), expected(lsn, 25));
    lsn += 25;
    if (round % 3 === 1) await wal.truncateBefore(wal.durableLsn - 3);
    if (round % 4 === 3) {
      await wal.close();
      wal = await Wal.open("/log", options);
    }
  }
  await view.close();
  assert.equal((await tail.next()).done, true, "a view that is closed ends its tails");
  await wal.close();
});

test("from outside: the last records of a killed writer come with the next opening", async () => {
  const io = machine();
  const outside = io.sibling();
  const never = { ...SMALL, idleMarkMillis: Infinity, lockTimeoutMillis: 60_000 };
  const wal = await Wal.open("/log", { ...never, io });
  await appendOneByOne(wal, 5);
  const view = await WalView.open("/log", outside);
  const tail = view.tail();
  // Each frame has the mark of the one before; the fifth has none behind it.
  await take(tail, 1, 4);
  const next = tail.next();
  const patience = new Promise((resolve) => setTimeout(resolve, 150, "nothing"));
  assert.equal(await Promise.race([next, patience]), "nothing");
  const again = await Wal.open("/log", { ...never, io: io.kill() });
  assert.equal((await next).value!.text(0), "record 5");
  await appendOneByOne(again, 2);
  assert.equal((await tail.next()).value!.text(0), "record 6");
  await view.close();
  await again.close();
});

test("from outside: damage: the records before it, then file and offset", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 40);
  await wal.close();
  // Frames take a unit each: record 7 stands in the eighth behind the two of the header.
  io.rot("/log/0000000000000001.wal", (7 + 1) * 4096 + 70);
  const view = await WalView.open("/log", io);
  const tail = view.tail();
  await take(tail, 1, 6);
  await assert.rejects(tail.next(), (error: WalCorruptionError) => {
    assert.ok(error instanceof WalCorruptionError, String(error));
    return error.file === "/log/0000000000000001.wal" && error.offset === 8 * 4096;
  });
  await view.close();
});

/**
 * A writer in one process, a follower in another, and a power cut or a kill at a random moment: what
 * was delivered is a run without gaps (but for records that had been removed), is what was appended, and
 * is in the log afterwards.
 */
test("from outside: what was delivered survives every crash", { timeout: 120_000 }, async () => {
  console.log(`# seeds from ${FIRST_SEED}`);
  const counts = { delivered: 0, kills: 0, closings: 0, tooOld: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RUNS; seed++) {
    const rng = new Prng(seed);
    const io = MemoryIo.create({ seed, arenaBytes: 4 << 20 });
    const mode = rng.oneIn(2) ? "direct" : "buffered";
    const options = {
      ...SMALL,
      mode,
      preallocate: !rng.oneIn(3),
      idleMarkMillis: 1,
      lockTimeoutMillis: 60_000,
    } as const;
    let process = io.sibling();
    let wal = await Wal.open("/log", { ...options, io: process });
    /** By LSN; index 0 is unused. */
    const appended = [""];
    const got = new Map<number, string>();
    let last = 0;
    const outside = io.sibling();
    const view = await WalView.open("/log", outside);
    const follow = async () => {
      for (let next: number | undefined;;) {
        try {
          for await (const batch of view.tail(next === undefined ? {} : { from: next })) {
            assert.equal(batch.firstLsn, next ?? batch.firstLsn, `seed ${seed}`);
            next = batch.firstLsn + batch.length;
            last = next - 1;
            for (let i = 0; i < batch.length; i++) got.set(batch.firstLsn + i, batch.text(i));
          }
          return "closed";
        } catch (error) {
          if (!(error instanceof LsnTooOldError)) return error;
          counts.tooOld++;
          next = undefined;
        }
      }
    };
    const following = follow();
    for (let step = rng.between(1, 40); step > 0; step--) {
      for (let count = rng.between(1, 12); count > 0; count--) {
        const text = `seed ${seed} record ${appended.length} ${"x".repeat(rng.below(3000))}`;
        if (wal.tryAppend(text) === undefined) await wal.ready();
        else appended.push(text);
      }
      const then = rng.below(3);
      if (then === 0) await wal.flush();
      else if (then === 1) await new Promise((resolve) => setTimeout(resolve, rng.below(3)));
      else wal.submitPending();
      if (rng.oneIn(12)) await wal.truncateBefore(rng.between(wal.firstLsn, wal.durableLsn + 1));
      const end = rng.below(30);
      if (end > 3) continue;
      if (end < 2) {
        counts.kills++;
        process = process.kill();
      } else {
        counts.closings++;
        await wal.close();
      }
      wal = await Wal.open("/log", { ...options, io: process });
      appended.length = wal.recovery.lastLsn + 1;
    }
    // What is written and not synced can be seen, and must not be delivered.
    if (rng.oneIn(2)) {
      io.fail({ operation: "fdatasync", path: /\.wal$/, errno: 5, persistent: true });
      for (let i = 0; i < 5; i++) {
        try {
          if (wal.tryAppend(`unsynced ${i}`) !== undefined) appended.push(`unsynced ${i}`);
          wal.submitPending();
        } catch { /* poisoned */ }
        await new Promise((resolve) => setTimeout(resolve, 2));
      }
    }
    const off = io.crash(rng.next());
    const end = await following;
    assert.equal((end as { code?: string }).code, "Crashed", `seed ${seed}: ${end}`);
    counts.delivered += got.size;
    for (const [lsn, text] of got) {
      assert.equal(text, appended[lsn], `seed ${seed}: record ${lsn} as it was delivered`);
    }
    const again = await Wal.open("/log", { ...SMALL, io: off });
    assert.ok(
      again.recovery.lastLsn >= last,
      `seed ${seed}: ${last} was delivered, and ${again.recovery.lastLsn} are there`,
    );
    for await (const batch of again.read()) {
      for (let i = 0; i < batch.length; i++) {
        const lsn = batch.firstLsn + i;
        assert.equal(batch.text(i), appended[lsn], `seed ${seed}: record ${lsn} in the log`);
      }
    }
    await again.close();
  }
  console.log(`# ${JSON.stringify(counts)}`);
  assert.ok(counts.delivered > RUNS && counts.kills > 0 && counts.closings > 0);
});

test("from outside: no log", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  const view = await WalView.open("/log", io);
  const other = io.sibling();
  await wal.close();
  const { openFollower } = await import("../../src/wal/tail.ts");
  await assert.rejects(openFollower("/nothing", other, undefined), WalMissingError);
  await view.close();
});
