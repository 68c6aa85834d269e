/**
 * What a log promises its user, over every backend: LSNs, acknowledgements, limits, reading,
 * truncation, closing. Crashes are in crash.test.ts, damage in damage.test.ts.
 */

import { strict as assert } from "node:assert";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { SyncIo } from "../../src/io/sync.ts";
import { UringIo } from "../../src/io/uring.ts";
import {
  LsnTooOldError,
  WalClosedError,
  WalLockedError,
  WalOptionsError,
  WalRecordTooLargeError,
} from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";

const SMALL: WalOptions = {
  segmentBytes: 131_072,
  commit: { maxBytes: 8192, maxInFlight: 3 },
  lockTimeoutMillis: 0,
};

async function texts(wal: Wal, range = {}): Promise<string[]> {
  const out: string[] = [];
  for await (const batch of wal.read(range)) {
    for (let i = 0; i < batch.length; i++) out.push(`${batch.firstLsn + i}:${batch.text(i)}`);
  }
  return out;
}

const ARENA_BYTES = 2 << 20;

/** Where a log can be: an Io, the directory in it for the tests, and the modes it can be written in. */
interface Place {
  root: string;
  machine: () => Io;
  modes: readonly ("direct" | "buffered")[];
}

const DISK = mkdtempSync(join(tmpdir(), "uring-log-"));
const PLACES: Record<string, Place> = {
  memory: {
    root: "",
    machine: () => MemoryIo.create({ seed: 1, arenaBytes: ARENA_BYTES }),
    modes: ["direct", "buffered"],
  },
  uring: {
    root: `${DISK}/uring`,
    machine: () => UringIo.open({ arenaBytes: ARENA_BYTES }),
    modes: ["direct", "buffered"],
  },
  sync: {
    root: `${DISK}/sync`,
    machine: () => SyncIo.open({ arenaBytes: ARENA_BYTES }),
    // `node:fs` has no aligned memory to give, so this backend has no direct I/O.
    modes: ["buffered"],
  },
};
after(() => rmSync(DISK, { recursive: true, force: true }));

let directories = 0;

for (const [backend, place] of Object.entries(PLACES)) {
  describe(backend, () => suite(place));
}

function suite({ root, machine, modes }: Place): void {
  const directory = (name = "log") => `${root}/${++directories}/${name}`;
  for (const mode of modes) {
    test(`${mode}: LSNs from 1, durable in order, read back after reopening`, async () => {
      const path = directory();
      const io = machine();
      {
        await using wal = await Wal.open(path, { ...SMALL, mode, io });
        assert.deepEqual([wal.appendedLsn, wal.durableLsn, wal.firstLsn], [0, 0, 1]);
        assert.equal(wal.recovery.created, true);
        assert.equal(wal.stats().mode, mode);
        assert.equal(wal.append("one"), 1);
        assert.equal(wal.append(new TextEncoder().encode("two")), 2);
        assert.equal(wal.append(""), 3);
        assert.equal(wal.appendedLsn, 3);
        assert.equal(wal.durableLsn, 0, "nothing is durable before a turn");
        assert.equal(await wal.durable(2), 3, "one commit covers all three");
        assert.equal(wal.durableLsn, 3);
        assert.equal(wal.appendBatch(["four", "five"]), 5);
        assert.equal(wal.appendBatch([]), 5);
        await wal.flush();
        assert.deepEqual(await texts(wal), ["1:one", "2:two", "3:", "4:four", "5:five"]);
        assert.deepEqual(await texts(wal, { from: 2, to: 4 }), ["2:two", "3:"]);
        assert.deepEqual(await texts(wal, { from: 6 }), []);
      }
      await using again = await Wal.open(path, { ...SMALL, mode, io });
      assert.equal(again.recovery.tail, "clean");
      assert.equal(again.recovery.lastLsn, 5);
      assert.equal(again.append("six"), 6);
      await again.durable(6);
      assert.deepEqual(await texts(again, { from: 5 }), ["5:five", "6:six"]);
    });

    test(`${mode}: many segments, and a cursor over all of them`, async () => {
      const path = directory();
      const io = machine();
      const wal = await Wal.open(path, { ...SMALL, mode, io });
      const count = 5000;
      for (let i = 1; i <= count; i++) {
        const record = `${i} ${"x".repeat(i % 200)}`;
        while (wal.tryAppend(record) === undefined) await wal.ready();
      }
      await wal.flush();
      assert.ok(wal.stats().segments > 3, `${wal.stats().segments} segments`);
      let lsn = 0;
      {
        using cursor = wal.cursor();
        for (let batch = cursor.next(); batch; batch = cursor.next()) {
          for (let i = 0; i < batch.length; i++) {
            lsn++;
            assert.equal(batch.firstLsn + i, lsn);
            assert.equal(batch.text(i), `${lsn} ${"x".repeat(lsn % 200)}`);
          }
        }
      }
      assert.equal(lsn, count);
      for (const from of [1, 2, 777, 2500, 4999, 5000]) {
        assert.equal(
          (await texts(wal, { from, to: from + 1 }))[0].split(" ")[0],
          `${from}:${from}`,
        );
      }
      await wal.close();
    });

    test(`${mode}: waitDurable blocks until it is so, across segments`, async () => {
      const path = directory();
      const io = machine();
      const wal = await Wal.open(path, { ...SMALL, mode, io });
      for (let i = 1; i <= 300; i++) {
        const lsn = wal.append("y".repeat(1000));
        wal.waitDurable(lsn);
        assert.ok(wal.durableLsn >= lsn);
      }
      assert.throws(() => wal.waitDurable(301), RangeError);
      await wal.close();
    });
  }

  test("durable: 0 resolves, a future or senseless LSN rejects", async () => {
    const path = directory();
    await using wal = await Wal.open(path, { ...SMALL, io: machine() });
    assert.equal(await wal.durable(0), 0);
    for (const lsn of [1, -1, 0.5, NaN, 2 ** 53]) {
      await assert.rejects(wal.durable(lsn), RangeError, String(lsn));
    }
    const lsn = wal.append("x");
    const both = [wal.durable(lsn), wal.durable(lsn)];
    assert.equal(both[0], both[1], "one promise for all who wait for the same commit");
    assert.deepEqual(await Promise.all(both), [1, 1]);
  });

  test("a full log says so, and ready() tells when it is not", async () => {
    const path = directory();
    await using wal = await Wal.open(path, { ...SMALL, io: machine() });
    let lsn = 0;
    let refused = 0;
    for (let i = 0; i < 1000; i++) {
      const got = wal.tryAppend("z".repeat(2000));
      if (got === undefined) {
        refused++;
        await wal.ready();
      } else {
        assert.equal(got, ++lsn);
      }
    }
    assert.ok(refused > 0);
    assert.equal(wal.appendedLsn, lsn);
  });

  test("a lone surrogate becomes U+FFFD; text of every length fits where its bytes fit", async () => {
    const path = directory();
    await using wal = await Wal.open(path, { ...SMALL, io: machine() });
    wal.append("a\ud800b");
    wal.append("\u20ac".repeat(2000));
    const limit = wal.maxRecordBytes;
    wal.append("q".repeat(limit));
    await wal.flush();
    wal.append("e".repeat(limit - 3) + "\u20ac");
    await wal.flush();
    assert.throws(() => wal.append("q".repeat(limit + 1)), WalRecordTooLargeError);
    assert.throws(() => wal.append("\u20ac".repeat(limit / 3 + 1)), WalRecordTooLargeError);
    assert.throws(() => wal.append(new Uint8Array(limit + 1)), WalRecordTooLargeError);
    assert.throws(() => wal.append(5 as unknown as string), TypeError);
    const read = await texts(wal);
    assert.equal(read[0], "1:a\ufffdb");
    assert.equal(read[1], "2:" + "\u20ac".repeat(2000));
    assert.equal(read[2].length, 2 + limit);
    assert.equal(read[3], "4:" + "e".repeat(limit - 3) + "\u20ac");
    assert.equal(read.length, 4);
  });

  test("a batch is one frame: all or nothing, and no larger than one", async () => {
    const path = directory();
    await using wal = await Wal.open(path, { ...SMALL, io: machine() });
    wal.append("first");
    const before = wal.stats().frames;
    wal.appendBatch(Array.from({ length: 8 }, () => "b".repeat(1012)));
    await wal.flush();
    assert.equal(wal.stats().frames - before, 2, "the batch did not fit behind the first record");
    assert.throws(() => wal.appendBatch(Array(9).fill("b".repeat(1012))), WalRecordTooLargeError);
    assert.equal(wal.appendedLsn, 9);
  });

  test("truncateBefore is exact, frees whole segments, recycles them, and survives reopening", async () => {
    const path = directory();
    const io = machine();
    const wal = await Wal.open(path, { ...SMALL, io });
    for (let i = 1; i <= 3000; i++) {
      while (wal.tryAppend(`${i} ${"t".repeat(150)}`) === undefined) await wal.ready();
      if (i % 500 === 0) {
        await wal.flush();
        await wal.truncateBefore(i - 100);
        assert.equal(wal.firstLsn, i - 100);
      }
    }
    await wal.flush();
    assert.ok(wal.stats().segments <= 3, `${wal.stats().segments} segments are kept`);
    const names = io.listDirectory(path).filter((entry) => entry.name.endsWith(".wal"));
    assert.ok(names.length <= 6, `${names.length} files`);
    await assert.rejects(async () => await texts(wal, { from: 2899 }), LsnTooOldError);
    assert.equal((await texts(wal))[0].split(" ")[0], "2900:2900");
    await assert.rejects(wal.truncateBefore(3002), RangeError);
    await assert.rejects(wal.truncateBefore(0), RangeError);
    await wal.truncateBefore(3001);
    assert.deepEqual(await texts(wal), []);
    await wal.truncateBefore(5); // long gone: nothing to do
    await wal.close();
    await using again = await Wal.open(path, { ...SMALL, io });
    assert.equal(again.firstLsn, 3001);
    assert.equal(again.append("next"), 3001);
    await again.flush();
    assert.deepEqual(await texts(again), ["3001:next"]);
  });

  test("a reader keeps its place while segments are truncated behind it", async () => {
    const path = directory();
    const io = machine();
    await using wal = await Wal.open(path, { ...SMALL, io });
    for (let i = 1; i <= 2000; i++) {
      while (wal.tryAppend(`${i} ${"r".repeat(150)}`) === undefined) await wal.ready();
    }
    await wal.flush();
    let seen = 0;
    for await (const batch of wal.read({ to: 200 })) {
      if (seen === 0) await wal.truncateBefore(1500);
      seen += batch.length;
      assert.equal(batch.text(batch.length - 1).split(" ")[0], String(seen));
    }
    assert.equal(seen, 199);
  });

  test("small segments need no other option; a byte order mark is kept", async () => {
    const path = directory();
    const io = MemoryIo.create({ seed: 1, arenaBytes: 4 << 20 });
    await using wal = await Wal.open(path, { segmentBytes: 262_144, io });
    await wal.durable(wal.append("\ufeffmarked"));
    assert.deepEqual(await texts(wal), ["1:\ufeffmarked"]);
  });

  test("the lock: one writer, also in the same process; free after closing", async () => {
    const path = directory();
    const io = machine();
    const wal = await Wal.open(path, { ...SMALL, io });
    await assert.rejects(Wal.open(path, { ...SMALL, io }), (error: WalLockedError) => {
      assert.equal(error.code, "WalLocked");
      assert.match(error.message, /process \d+/);
      return error instanceof WalLockedError;
    });
    await wal.close();
    await using again = await Wal.open(path, { ...SMALL, io });
    assert.equal(again.recovery.tail, "clean");
  });

  test("after close: every call says so", async () => {
    const path = directory();
    const io = machine();
    const wal = await Wal.open(path, { ...SMALL, io });
    const pending = wal.durable(wal.append("kept"));
    await wal.close();
    assert.equal(await pending, 1, "what was appended before is durable");
    await wal.close();
    assert.throws(() => wal.append("x"), WalClosedError);
    assert.throws(() => wal.cursor(), WalClosedError);
    await assert.rejects(wal.ready(), WalClosedError);
    await assert.rejects(wal.truncateBefore(1), WalClosedError);
    assert.equal(await wal.durable(1), 1);
    io[Symbol.dispose]();
  });

  test("an idle log writes one mark, and no more", async () => {
    const path = directory();
    await using wal = await Wal.open(path, { ...SMALL, io: machine(), idleMarkMillis: 1 });
    await wal.durable(wal.append("x"));
    for (let i = 0; i < 200 && wal.stats().marks === 0; i++) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
    assert.equal(wal.stats().marks, 1);
    await wal.durable(wal.append("y"));
    assert.deepEqual(await texts(wal), ["1:x", "2:y"]);
  });

  test("options: nonsense is refused by name, and nothing is made", async () => {
    const path = directory();
    const io = machine();
    const bad: [WalOptions | Record<string, unknown>, RegExp][] = [
      [{ segmentBytes: 1000 }, /segmentBytes/],
      [{ segmentBytes: 131_073 }, /segmentBytes must be a multiple/],
      [{ segmentBytes: 65536 }, /segmentBytes/],
      [{ commit: { maxBytes: 0 } }, /commit\.maxBytes/],
      [{ commit: { maxBytes: NaN } }, /commit\.maxBytes/],
      [{ commit: { maxInFlight: 0 } }, /commit\.maxInFlight/],
      [{ commit: { maxInFlight: 64 } }, /commit\.maxInFlight/],
      [{ commit: { maxDelayMicros: -1 } }, /commit\.maxDelayMicros/],
      [{ commit: { bytes: 5 } }, /commit has no bytes/],
      [{ mode: "fast" }, /mode must be one of/],
      [{ onAmbiguousTail: "drop" }, /onAmbiguousTail/],
      [{ sgmentBytes: 5 }, /no sgmentBytes/],
      [{ maxRecordBytes: 1 << 20 }, /maxRecordBytes/],
      [{ preallocate: 1 }, /preallocate/],
      [{ commit: { maxBytes: 1 << 20 } }, /arena/],
    ];
    for (const [options, message] of bad) {
      await assert.rejects(
        Wal.open(path, { io, ...options } as WalOptions),
        (error: Error) => error instanceof WalOptionsError && message.test(error.message),
        JSON.stringify(options),
      );
    }
    await assert.rejects(Wal.open("", { io }), WalOptionsError);
    await assert.rejects(async () => await io.listDirectory(path), /ENOENT/);
    io[Symbol.dispose]();
  });

  test("two logs on one Io do not disturb each other", async () => {
    const io = machine();
    await using a = await Wal.open(directory("a"), { ...SMALL, io });
    await using b = await Wal.open(directory("b"), { ...SMALL, io });
    for (let i = 1; i <= 500; i++) {
      while (a.tryAppend(`a${i}`) === undefined) await a.ready();
      while (b.tryAppend(`b${i}`) === undefined) await b.ready();
    }
    await Promise.all([a.flush(), b.flush()]);
    assert.equal((await texts(a)).at(-1), "500:a500");
    assert.equal((await texts(b)).at(-1), "500:b500");
  });
}
