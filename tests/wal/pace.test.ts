/**
 * Goal: what goes into one frame, when many wait for their records one by one, follows from how long
 * they take against the device. Time is the simulator's, and what appending takes is added to it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";

const APPENDERS = 64;
const ROUNDS = 50;
const RECORD = new Uint8Array(1000);
const OPTIONS: WalOptions = { segmentBytes: 1 << 20, commit: { maxBytes: 131_072 } };

/**
 * Lets `APPENDERS` loops append and wait; gives the records of the commits in the second half, but for the last. Appending
 * takes what `appendMicros` says for each append, from 0.
 */
async function pace(
  appendMicros: (append: number) => number,
  options: WalOptions = OPTIONS,
): Promise<number[]> {
  // A device that does one thing after the other.
  let freeMicros = 0;
  const latencyMicros = () => {
    const now = parent.now();
    freeMicros = Math.max(freeMicros, now) + 100;
    return freeMicros - now;
  };
  const parent: Io = MemoryIo.create({ seed: 1, arenaBytes: 8 << 20, latencyMicros });
  let spentMicros = 0;
  let appends = 0;
  const client = parent.client.bind(parent);
  parent.client = (name) => {
    const own = client(name);
    const now = own.now.bind(own);
    own.now = () => now() + spentMicros;
    // Time jumps when the program waits, which is behind everything that it had to do in this turn.
    const wait = own.wait.bind(own);
    own.wait = async () => {
      await new Promise((resolve) => setImmediate(resolve));
      await wait();
    };
    return own;
  };
  await using wal = await Wal.open("log", { mode: "direct", ...options, io: parent });
  const sizes: number[] = [];
  let seen = 0;
  const loop = async () => {
    for (let round = 0; round < ROUNDS; round++) {
      spentMicros += appendMicros(appends++);
      const durable = await wal.durable(wal.append(RECORD));
      if (durable > seen) {
        if (round >= ROUNDS / 2) sizes.push(durable - seen);
        seen = durable;
      }
    }
  };
  await Promise.all(Array.from({ length: APPENDERS }, loop));
  assert.equal(wal.durableLsn, APPENDERS * ROUNDS);
  assert.equal(seen, APPENDERS * ROUNDS);
  return sizes.slice(0, -1);
}

test("appenders that take no time share one commit", async () => {
  assert.deepEqual(new Set(await pace(() => 0)), new Set([APPENDERS]));
});

test("appenders that take as long as the device go in two halves, one while the other is written", async () => {
  const sizes = await pace(() => 10);
  const most = Math.max(...sizes);
  assert.ok(most >= APPENDERS / 2 - 1 && most <= APPENDERS / 2 + 1, `${most} records in a commit`);
});

test("not where the log was told to wait for company", async () => {
  const commit = { ...OPTIONS.commit, maxDelayMicros: 100 };
  assert.deepEqual(new Set(await pace(() => 10, { ...OPTIONS, commit })), new Set([APPENDERS]));
});

test("not where one commit waits for the other", async () => {
  const sizes = await pace(() => 10, { ...OPTIONS, mode: "buffered" });
  assert.deepEqual(new Set(sizes), new Set([APPENDERS]));
});

test("one pause of the program is no reason", async () => {
  const pause = APPENDERS * (ROUNDS / 2 + 2) + 5;
  const sizes = await pace((append) => append === pause ? 1000 : 0);
  assert.deepEqual(new Set(sizes), new Set([APPENDERS]));
});

test("halves share a frame again when appending has become quick", async () => {
  const sizes = await pace((append) => append < APPENDERS * ROUNDS / 4 ? 10 : 0);
  assert.deepEqual(new Set(sizes), new Set([APPENDERS]));
});

test("a text that fits into the rest of a frame goes there, whatever its length might be", async () => {
  for (const first of [1, 60_000]) {
    const io = MemoryIo.create({ seed: 1, arenaBytes: 8 << 20 });
    const wal = await Wal.open("log", { ...OPTIONS, mode: "direct", idleMarkMillis: Infinity, io });
    await wal.durable(wal.append(new Uint8Array(first)));
    const { frames } = wal.stats();
    wal.append(new Uint8Array(10_000));
    wal.append("x".repeat(60_000));
    await wal.flush();
    assert.equal(wal.stats().frames - frames, 1);
    await wal.close();
  }
});

test("a text larger than half of what was in flight, where a full frame is durable at once", async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 8 << 20, latencyMicros: 0 });
  await using wal = await Wal.open("log", { ...OPTIONS, mode: "direct", io });
  const lengths = Array.from({ length: 16 }, (_, i) => i % 2 === 0 ? 120_000 : 80_000);
  for (const length of lengths) {
    while (wal.tryAppend("x".repeat(length)) === undefined) await wal.ready();
  }
  await wal.flush();
  const read: number[] = [];
  for await (const batch of wal.read()) {
    for (let i = 0; i < batch.length; i++) read.push(batch.text(i).length);
  }
  assert.deepEqual(read, lengths);
});
