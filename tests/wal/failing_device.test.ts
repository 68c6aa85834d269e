/**
 * Disks that fail, simulated: what poisons a log, what is only back-pressure, and what is resumed. The
 * same on real devices is in failing_disk.test.ts.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { type FaultOptions, MemoryIo } from "../../src/io/memory.ts";
import { WalFullError, WalPoisonedError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import { records, SMALL } from "./support.ts";

const PATH = "/log";
const EIO = 5;
const EINTR = 4;
const EAGAIN = 11;
const ENOSPC = 28;

const machine = (seed = 1) => MemoryIo.create({ seed, arenaBytes: 1 << 20 });

/** A log with records 1 to 5, durable. */
async function started(io: MemoryIo, options: WalOptions): Promise<Wal> {
  const wal = await Wal.open(PATH, { ...SMALL, idleMarkMillis: Infinity, ...options, io });
  for (let i = 1; i <= 5; i++) await wal.durable(wal.append(`record ${i}`));
  return wal;
}

/** Appends until a segment is full and the next one is in use, as often as asked. */
async function roll(wal: Wal, segments = 1): Promise<void> {
  const before = wal.stats().segments;
  // Ends with the segment.
  while (wal.stats().segments < before + segments) {
    const lsn = wal.append(`${"x".repeat(7000)} ${wal.appendedLsn + 1}`);
    await wal.durable(lsn);
  }
}

/** The log is poisoned, says so everywhere, and can be closed. */
async function poisoned(wal: Wal, pending: Promise<unknown>, errno: number): Promise<void> {
  const { durableLsn } = wal;
  await assert.rejects(pending, (error: WalPoisonedError) => {
    assert.ok(error instanceof WalPoisonedError, String(error));
    assert.equal((error.cause as { errno: number }).errno, errno);
    assert.match(error.message, /open the log again/);
    return true;
  });
  assert.throws(() => wal.append("more"), WalPoisonedError);
  assert.throws(() => wal.appendBatch(["more"]), WalPoisonedError);
  await assert.rejects(wal.ready(), WalPoisonedError);
  if (wal.appendedLsn > durableLsn) {
    await assert.rejects(wal.durable(wal.appendedLsn), WalPoisonedError);
    assert.throws(() => wal.waitDurable(wal.appendedLsn), WalPoisonedError);
  }
  await assert.rejects(wal.truncateBefore(2), WalPoisonedError);
  assert.equal(await wal.durable(durableLsn), durableLsn, "what was durable is so");
  assert.equal((await records(wal)).size, durableLsn - wal.firstLsn + 1, "and can be read");
  await wal.close();
  assert.equal(wal.durableLsn, durableLsn);
}

const BREAKING: [string, "direct" | "buffered", FaultOptions][] = [
  ["a failed write", "direct", { operation: "write", path: /\.wal$/, errno: EIO }],
  ["a failed write", "buffered", { operation: "write", path: /\.wal$/, errno: EIO }],
  ["a full disk under a frame", "direct", { operation: "write", path: /\.wal$/, errno: ENOSPC }],
  ["a failed sync", "buffered", { operation: "fdatasync", errno: EIO }],
  ["a sync out of space", "buffered", { operation: "fdatasync", errno: ENOSPC }],
];

for (const [what, mode, fault] of BREAKING) {
  test(`${mode}: ${what} poisons the log, and what is reported afterwards is on the disk`, async () => {
    for (let seed = 1; seed <= 20; seed++) {
      const io = machine(seed);
      const wal = await started(io, { mode });
      let events = 0;
      wal.addEventListener("poisoned", () => events++);
      io.fail(fault);
      const pending = [wal.append("a".repeat(6000)), wal.append("b".repeat(6000)), wal.append("c")]
        .map((lsn) => wal.durable(lsn));
      for (const one of pending.slice(1)) one.catch(() => {});
      await poisoned(wal, pending[0], fault.errno!);
      assert.equal(events, 1);
      // The caches hold what the disk does not: nothing was dropped in between.
      const again = await Wal.open(PATH, { ...SMALL, io });
      const { lastLsn } = again.recovery;
      assert.ok(lastLsn >= 5 && lastLsn <= 8);
      const reported = await records(again);
      const after = await Wal.open(PATH, { ...SMALL, io: io.crash(seed, { survival: "none" }) });
      assert.equal(after.recovery.lastLsn, lastLsn, `seed ${seed}: reported, and not on the disk`);
      assert.deepEqual(await records(after), reported);
      await after.close();
    }
  });
}

test("a META that cannot be written poisons the log", async () => {
  for (const what of ["truncation", "segment"]) {
    const io = machine();
    const wal = await started(io, { mode: "direct" });
    io.fail({ operation: "write", path: /META$/, errno: EIO });
    if (what === "truncation") {
      await assert.rejects(wal.truncateBefore(3), { code: "EIO" });
      assert.throws(() => wal.append("more"), WalPoisonedError);
    } else {
      await assert.rejects(roll(wal), WalPoisonedError);
    }
    const { durableLsn } = wal;
    await wal.close();
    const again = await Wal.open(PATH, { ...SMALL, io });
    assert.ok(again.recovery.lastLsn >= durableLsn);
    await again.close();
  }
});

test("META, the seal: closing says that it failed, and the records are there", async () => {
  const io = machine();
  const wal = await started(io, { mode: "direct" });
  io.fail({ operation: "write", path: /META$/, errno: EIO });
  await assert.rejects(wal.close(), { code: "EIO" });
  const again = await Wal.open(PATH, { ...SMALL, io });
  assert.equal(again.recovery.lastLsn, 5);
  await again.close();
});

const BACK_PRESSURE: [string, FaultOptions][] = [
  ["a spare that cannot be made", { operation: "open", path: /\.tmp$/, errno: ENOSPC }],
  ["a spare without space", { operation: "allocate", errno: ENOSPC }],
  ["a spare that cannot be zeroed", { operation: "write", path: /\.tmp$/, errno: EIO }],
  ["a spare that cannot be synced", { operation: "fsync", path: /\.tmp$/, errno: EIO }],
  ["a spare that cannot be renamed", { operation: "rename", errno: EIO }],
  ["a directory that cannot be synced", { operation: "syncDirectory", errno: EIO }],
];

for (const mode of ["direct", "buffered"] as const) {
  for (const [what, fault] of BACK_PRESSURE) {
    test(`${mode}: ${what} is back-pressure, and the log goes on when it can be`, async () => {
      const io = machine();
      const wal = await started(io, { mode });
      let events = 0;
      wal.addEventListener("poisoned", () => events++);
      // The spare that is there is used first.
      const lasting = io.fail({ ...fault, persistent: true });
      const full = await fill(wal);
      assert.ok(full instanceof WalFullError, String(full));
      assert.equal((full.cause as { errno: number }).errno, fault.errno);
      assert.match(full.message, /undamaged/);
      const waiting = wal.durable(wal.appendedLsn);
      lasting.cancel();
      await wal.ready();
      await waiting;
      const lsn = wal.append("goes on");
      await wal.durable(lsn);
      assert.equal(events, 0);
      await wal.close();
      const again = await Wal.open(PATH, { ...SMALL, io });
      assert.deepEqual([again.recovery.lastLsn, again.recovery.tail], [lsn, "clean"]);
      const names = io.listDirectory(PATH).map(({ name }) => name);
      assert.ok(!names.some((name) => name.endsWith(".tmp") && name.startsWith("META")));
      await again.close();
    });
  }
}

test("a spare that fails leaves no file behind", async () => {
  for (const [what, fault] of BACK_PRESSURE) {
    const io = machine();
    const wal = await started(io, {});
    io.fail({ ...fault, persistent: true });
    // Ends with the first segment: the spare that is there is used, and the next one fails.
    while (wal.stats().spareFailures === 0) await wal.durable(wal.append("x".repeat(7000)));
    await wal.close();
    const names = io.listDirectory(PATH).map(({ name }) => name);
    assert.deepEqual(names.filter((name) => name.endsWith(".tmp")), [], what);
  }
});

/** Appends until nothing goes on any more; gives the error. */
async function fill(wal: Wal): Promise<unknown> {
  // Ends when the segments are used up: nothing is truncated.
  for (let idle = 0; idle < 200;) {
    try {
      wal.append("y".repeat(7000));
      idle = 0;
      await Promise.race([wal.flush(), new Promise((resolve) => setTimeout(resolve, 1))]);
    } catch (error) {
      if ((error as { cause?: unknown }).cause !== undefined || ++idle === 200) return error;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }
  return undefined;
}

test("a header that cannot be written costs a spare, and nothing else", async () => {
  const io = machine();
  const wal = await started(io, { mode: "direct" });
  // 131,072 bytes a segment: the next header is the next write at its start.
  const fault = io.fail({ operation: "write", path: `${PATH}/0000000000000002.wal`, errno: EIO });
  await roll(wal, 2);
  assert.equal(fault.fired, 1);
  const { appendedLsn } = wal;
  await wal.close();
  const again = await Wal.open(PATH, { ...SMALL, io });
  assert.deepEqual([again.recovery.lastLsn, again.recovery.tail], [appendedLsn, "clean"]);
  await again.close();
});

test("a full disk: the log says so with the errno, and goes on after a truncation", async () => {
  // Room for META and five segments.
  const io = MemoryIo.create({ seed: 3, arenaBytes: 1 << 20, diskBytes: 900_000 });
  const wal = await started(io, {});
  const full = await fill(wal) as WalFullError;
  assert.ok(full instanceof WalFullError, String(full));
  assert.equal((full.cause as { errno: number }).errno, ENOSPC);
  const { appendedLsn, durableLsn } = wal;
  const pending = wal.durable(appendedLsn);
  await wal.truncateBefore(durableLsn - 5);
  assert.ok(await pending >= appendedLsn, "an accepted record becomes durable when there is space");
  await wal.durable(wal.append("goes on"));
  await wal.close();
  const again = await Wal.open(PATH, { ...SMALL, io });
  assert.deepEqual([again.recovery.lastLsn, again.recovery.tail], [appendedLsn + 1, "clean"]);
  await again.close();
});

/** Appends until the log refuses; the way it does so has the cause. */
async function fillAll(wal: Wal): Promise<void> {
  try {
    for (let i = 0; i < 10_000; i++) {
      wal.append("x".repeat(3000));
      if (i % 3 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
    }
  } catch (error) {
    assert.equal(((error as Error).cause as { code?: string } | undefined)?.code, "ENOSPC");
    // What frees space is to be had: then everything accepted becomes durable.
    await wal.truncateBefore(wal.durableLsn + 1);
    await wal.flush();
    await wal.close();
    throw error;
  }
  throw new Error("the disk was not full");
}

test("a full disk: closing fails with the cause, and what was acknowledged is there", async () => {
  const io = MemoryIo.create({ seed: 3, arenaBytes: 1 << 20, diskBytes: 900_000 });
  const wal = await started(io, {});
  await fill(wal);
  const { durableLsn, appendedLsn } = wal;
  assert.ok(appendedLsn > durableLsn);
  await assert.rejects(wal.close(), /ENOSPC/);
  // Opening a log that was not closed needs a segment, and finds none: it opens, so that it can be freed.
  const full = await Wal.open(PATH, { ...SMALL, io });
  assert.equal(full.stats().segmentReady, false);
  assert.ok(full.recovery.lastLsn >= durableLsn);
  assert.equal((await records(full)).get(5), "record 5");
  await assert.rejects(full.close().then(() => Wal.open(PATH, { ...SMALL, io })).then(fillAll), {
    code: "WalFull",
  });
  const larger = MemoryIo.fromImage(io.image(), { arenaBytes: 1 << 20 });
  const again = await Wal.open(PATH, { ...SMALL, io: larger });
  assert.ok(again.recovery.lastLsn >= durableLsn);
  assert.ok(again.firstLsn > durableLsn, "truncated while the disk was full");
  await again.close();
});

for (const mode of ["direct", "buffered"] as const) {
  test(`${mode}: short writes, EINTR and EAGAIN are resumed`, async () => {
    for (let nth = 1; nth <= 6; nth++) {
      const io = machine(nth);
      const wal = await started(io, { mode });
      const faults = [
        io.fail({ operation: "write", path: /\.wal$/, nth, short: 5000 }),
        io.fail({ operation: "write", path: /\.wal$/, nth: nth + 1, errno: EINTR }),
        io.fail({ operation: "write", path: /\.wal$/, nth: nth + 2, errno: EAGAIN }),
      ];
      if (mode === "buffered") faults.push(io.fail({ operation: "fdatasync", errno: EINTR }));
      await roll(wal);
      for (const fault of faults) assert.equal(fault.fired, 1);
      const { appendedLsn } = wal;
      await wal.close();
      const after = io.crash(nth, { survival: "none" });
      const again = await Wal.open(PATH, { ...SMALL, io: after });
      assert.deepEqual([again.recovery.lastLsn, again.recovery.tail], [appendedLsn, "clean"]);
      assert.equal((await records(again)).size, appendedLsn);
      await again.close();
    }
  });

  test(`${mode}: what is interrupted is not taken for done`, async () => {
    for (const errno of [EINTR, ...(mode === "direct" ? [EAGAIN] : [])]) {
      const io = machine();
      const wal = await started(io, { mode });
      const operation = mode === "direct" ? "write" : "fdatasync";
      const fault = io.fail({ operation, path: /\.wal$/, errno });
      const lsn = await wal.durable(wal.append("interrupted"));
      assert.equal(fault.fired, 1);
      const again = await Wal.open(PATH, { ...SMALL, io: io.crash(1, { survival: "none" }) });
      assert.equal(again.recovery.lastLsn, lsn);
      await again.close();
    }
  });

  test(`${mode}: a write that never gets on ends as poison`, async () => {
    const io = machine();
    const wal = await started(io, { mode });
    io.fail({ operation: "write", path: /\.wal$/, errno: EAGAIN, persistent: true });
    await poisoned(wal, wal.durable(wal.append("never")), EAGAIN);
  });
}

test("a read that fails is an error, and never the end of the log", async () => {
  const io = machine();
  const wal = await started(io, {});
  await roll(wal, 2);
  const { appendedLsn } = wal;
  await wal.close();
  const before = io.image();
  for (let nth = 1;; nth++) {
    const fault = io.fail({ operation: "read", nth, errno: EIO });
    const outcome = await Wal.open(PATH, { ...SMALL, io }).catch((error) => error);
    fault.cancel();
    if (fault.fired === 0) {
      assert.equal((outcome as Wal).recovery.lastLsn, appendedLsn);
      await (outcome as Wal).close();
      assert.ok(nth > 5, "openings read");
      break;
    }
    assert.equal((outcome as { code: string }).code, "EIO", `read ${nth}: ${outcome}`);
    const after = io.image();
    for (const [path, bytes] of before) {
      if (!path.endsWith("LOCK")) assert.deepEqual(after.get(path), bytes, path);
    }
  }
});

/** One life of a log: several segments, a truncation, a closing, and an opening. */
async function life(io: MemoryIo, mode: "direct" | "buffered"): Promise<number> {
  let acknowledged = 0;
  let wal: Wal | undefined;
  try {
    for (let opening = 0; opening < 2; opening++) {
      wal = await Wal.open(PATH, { ...SMALL, mode, io, idleMarkMillis: Infinity });
      for (let i = 0; i < 20; i++) {
        const lsn = wal.append(`${wal.appendedLsn + 1} ${"z".repeat(7000)}`);
        // A spare may be missing for good: what counts is what was acknowledged.
        await Promise.race([wal.durable(lsn), new Promise((resolve) => setTimeout(resolve, 20))]);
        acknowledged = wal.durableLsn;
      }
      if (opening === 0) await wal.truncateBefore(Math.max(1, Math.min(3, wal.durableLsn)));
      await wal.close();
      acknowledged = Math.max(acknowledged, wal.durableLsn);
    }
  } catch (error) {
    assert.ok(
      ["EIO", "WalPoisoned", "WalFull"].includes((error as { code: string }).code),
      String((error as Error).stack),
    );
    await wal?.close().catch(() => {});
  }
  return acknowledged;
}

for (const mode of ["direct", "buffered"] as const) {
  test(`${mode}: an error at each operation in turn, once and from then on`, async () => {
    for (const persistent of [false, true]) {
      // A step that grows, so that both the start and the rest are met.
      let nth = 1;
      for (;; nth += 1 + Math.floor(nth / 12)) {
        const io = machine(nth);
        const fault = io.fail({ nth, errno: EIO, persistent });
        const acknowledged = await life(io, mode);
        fault.cancel();
        if (fault.fired === 0) break;
        const after = io.crash(nth);
        const wal = await Wal.open(PATH, { ...SMALL, io: after });
        assert.ok(
          wal.recovery.lastLsn >= acknowledged,
          `error at operation ${nth}: ${acknowledged} were acknowledged, ${wal.recovery.lastLsn} are there`,
        );
        for (const [lsn, text] of await records(wal)) {
          assert.equal(text, `${lsn} ${"z".repeat(7000)}`);
        }
        await wal.close();
      }
      assert.ok(nth > 100, `${nth} operations`);
    }
  });
}
