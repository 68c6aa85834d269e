/**
 * Reading while the log changes: behind the durable end as it was, beside truncation, beside closing, in
 * events; and looking at a log from outside while it is written, truncated, poisoned.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { LsnTooOldError, WalClosedError } from "../../src/wal/errors.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { appendOneByOne, SMALL } from "./support.ts";

const machine = (seed = 1) => MemoryIo.create({ seed, arenaBytes: 2 << 20 });

for (const mode of ["direct", "buffered"] as const) {
  for (const preallocate of [true, false]) {
    test(`${mode}, preallocate ${preallocate}: a cursor that is kept sees what becomes durable`, async () => {
      await using wal = await Wal.open("/log", { ...SMALL, mode, preallocate, io: machine() });
      using cursor = wal.cursor({ to: 1000 });
      for (let lsn = 1; lsn <= 60; lsn++) {
        assert.equal(cursor.next(), undefined);
        await wal.durable(wal.append(`record ${lsn}`));
        const batch = cursor.next()!;
        assert.deepEqual([batch.firstLsn, batch.length, batch.text(0)], [lsn, 1, `record ${lsn}`]);
      }
    });
  }
}

test("reading beside truncation: no gap, or LsnTooOldError", { timeout: 60_000 }, async () => {
  let tooOld = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const io = machine(seed);
    const wal = await Wal.open("/log", { ...SMALL, io });
    await appendOneByOne(wal, 110);
    await wal.close();
    // Opened anew, so that the first LSNs of the segments have to be looked up.
    await using again = await Wal.open("/log", { ...SMALL, io });
    const from = 40 + seed % 30;
    const truncation = again.truncateBefore(from + seed % 25);
    let lsn = from;
    try {
      for await (const batch of again.read({ from })) {
        assert.equal(batch.firstLsn, lsn, `seed ${seed}`);
        lsn += batch.length;
      }
      assert.equal(lsn, 111);
    } catch (error) {
      if (!(error instanceof LsnTooOldError)) throw error;
      tooOld++;
    }
    await truncation;
  }
  console.log(`# ${tooOld} of 60 were too old`);
});

test("closing a log ends its readers, and gives everything back", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 3);
  const cursor = wal.cursor();
  const batches = wal.read();
  await batches.next();
  await wal.close();
  assert.throws(() => cursor.next(), WalClosedError);
  await assert.rejects(batches.next(), WalClosedError);
  cursor.close();
  io[Symbol.dispose](); // throws when a buffer was kept
});

test("a listener of `poisoned` can read, blocking", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 3);
  io.fail({ operation: "write", path: /\.wal$/, errno: 5 });
  const seen = new Promise<string[]>((resolve) => {
    wal.addEventListener("poisoned", () => {
      using cursor = wal.cursor();
      const texts: string[] = [];
      for (let batch = cursor.next(); batch; batch = cursor.next()) texts.push(batch.text(0));
      resolve(texts);
    });
  });
  await assert.rejects(wal.durable(wal.append("lost")), { code: "WalPoisoned" });
  assert.deepEqual(await seen, ["record 1", "record 2", "record 3"]);
  await wal.close();
});

test("nothing happens after close: no timer, no event, no poison", async () => {
  const io = machine();
  const wal = await Wal.open("/log", {
    ...SMALL,
    io,
    commit: { maxBytes: 8192, maxInFlight: 3, maxDelayMicros: 20_000 },
  });
  let poisoned = 0;
  wal.addEventListener("poisoned", () => poisoned++);
  wal.append("x");
  await wal.close();
  wal.submitPending();
  await wal.flush();
  await new Promise((resolve) => setTimeout(resolve, 60));
  assert.equal(poisoned, 0);
  assert.equal(wal.durableLsn, 1);
});

test("flush does not wait for company, also with every frame in flight", async () => {
  await using wal = await Wal.open("/log", {
    ...SMALL,
    io: machine(),
    commit: { maxBytes: 8192, maxInFlight: 1, maxDelayMicros: 30_000_000 },
  });
  for (let i = 0; i < 10; i++) {
    while (wal.tryAppend("y".repeat(1000)) === undefined) await wal.ready();
  }
  assert.equal(await wal.flush(), 10);
});

test("a view shows only what is on the device, also after a failed sync", async () => {
  for (let seed = 1; seed <= 20; seed++) {
    const io = machine(seed);
    const wal = await Wal.open("/log", { ...SMALL, mode: "buffered", io });
    await appendOneByOne(wal, 3);
    io.fail({ operation: "fdatasync", path: /\.wal$/, errno: 5 });
    await assert.rejects(wal.durable(wal.append("perhaps")));
    await wal.close();
    const view = await WalView.open("/log", io);
    const shown = view.lastLsn;
    await view.close();
    const again = await Wal.open("/log", { ...SMALL, io });
    assert.equal(again.recovery.lastLsn, shown, `seed ${seed}`);
    await again.close();
  }
});

test("a view beside a writer that truncates and recycles: LsnTooOldError, never damage", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...SMALL, io, idleMarkMillis: 1 });
  await appendOneByOne(wal, 60);
  for (let round = 0; round < 20; round++) {
    const view = await WalView.open("/log", io);
    let lsn = view.firstLsn;
    try {
      for await (const batch of view.read()) {
        assert.equal(batch.firstLsn, lsn);
        assert.equal(batch.text(0), `record ${lsn}`);
        lsn += batch.length;
        if (lsn % 7 === 0) {
          await appendOneByOne(wal, 9);
          await wal.truncateBefore(wal.durableLsn - 20);
        }
      }
    } catch (error) {
      assert.ok(error instanceof LsnTooOldError, String((error as Error).stack));
    }
    assert.notEqual((await view.verify()).state, "corrupt");
    await view.close();
  }
  await wal.close();
});

test("an Io whose operations others have all is no failure", { timeout: 20_000 }, async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20, capacity: 4 });
  const wal = await Wal.open("/log", { ...SMALL, io });
  const other = io.client("other");
  const file = other.open("/other", { write: true, create: true }, 0);
  other.park();
  other.completions.clear();
  for (let round = 0; round < 30; round++) {
    while (other.available > 0) other.fsync(file, 100 + other.available);
    for (let i = 0; i < 5; i++) {
      while (wal.tryAppend("z".repeat(1500)) === undefined) await wal.ready();
    }
    const flushed = wal.flush();
    await new Promise((resolve) => setTimeout(resolve, 1));
    while (other.inFlight > 0) {
      other.park();
      other.completions.clear();
    }
    await flushed;
  }
  assert.equal(wal.durableLsn, 150);
  await wal.close();
});

/** Operations of the disk that `body` takes. */
async function cost(io: MemoryIo, body: () => Promise<void> | void): Promise<number> {
  const before = io.operations;
  await body();
  return io.operations - before;
}

test("opening costs the last segment, and a position a search over segments, not the log", async () => {
  const costs: { open: number; look: number; seek: number[]; all: number }[] = [];
  // Frames take a unit each, 30 of them fill a segment.
  for (const segments of [4, 64]) {
    const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20 });
    const wal = await Wal.open("/log", { ...SMALL, io });
    const last = segments * 30 - 15;
    await appendOneByOne(wal, last);
    await wal.close();
    let again: Wal | undefined;
    const open = await cost(io, async () => {
      again = await Wal.open("/log", { ...SMALL, io, preallocate: false });
    });
    // Nothing of the background is counted.
    while (!again!.stats().spareReady) await new Promise((resolve) => setTimeout(resolve, 1));
    const seek: number[] = [];
    for (const from of [1, last / 2 | 0, last - 40, last]) {
      seek.push(
        await cost(io, () => {
          using cursor = again!.cursor({ from });
          assert.equal(cursor.next()!.firstLsn, from);
        }),
      );
    }
    const all = await cost(io, () => {
      using cursor = again!.cursor();
      let read = 0;
      for (let batch = cursor.next(); batch; batch = cursor.next()) read += batch.length;
      assert.equal(read, last);
    });
    await again!.close();
    const look = await cost(io, async () => await (await WalView.open("/log", io)).close());
    costs.push({ open, look, seek, all });
  }
  console.log(`# ${JSON.stringify(costs)}`);
  const [few, many] = costs;
  assert.ok(many.open <= few.open + 4, "opening");
  assert.ok(many.look <= few.look + 4, "looking");
  // A header for each of log2(64) steps takes an open, two reads at most, a close; then one segment.
  for (const operations of many.seek) assert.ok(operations <= 6 * 5 + 12, `${operations} to seek`);
  assert.ok(many.all > 10 * few.all, "(reading all of it does cost the log)");
});

test("from the first and the last record of each segment, by whom ever", async () => {
  // Frames take a unit each, 30 of them fill a segment.
  const io = MemoryIo.create({ seed: 1, arenaBytes: 2 << 20 });
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 130);
  const view = await WalView.open("/log", io);
  const edges = [1, 2, 29, 30, 31, 32, 59, 60, 61, 62, 90, 91, 119, 120, 121, 122];
  for (const from of edges) {
    using cursor = wal.cursor({ from });
    assert.equal(cursor.next()!.firstLsn, from, `the log, from ${from}`);
    for await (const batch of view.read({ from })) {
      assert.equal(batch.firstLsn, from, `a look, from ${from}`);
      break;
    }
    for await (const batch of view.tail({ from })) {
      assert.equal(batch.firstLsn, from, `a tail, from ${from}`);
      break;
    }
  }
  await view.close();
  await wal.close();
});
