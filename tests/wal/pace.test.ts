/**
 * Goal: what goes into one frame, when many wait for their records one by one, follows from how long
 * they take against the device. Time is the simulator's, and what appending takes is added to it.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { Wal, type WalOptions } from "../../src/wal/wal.ts";

const APPENDERS = 64;
const ROUNDS = 50;
const RECORD = new Uint8Array(1000);
const OPTIONS: WalOptions = { segmentBytes: 1 << 20, commit: { maxBytes: 131_072 } };

/** Lets `APPENDERS` loops append and wait; gives the records of the commits in the second half. */
async function pace(appendMicros: number, options: WalOptions = OPTIONS): Promise<number[]> {
  const parent: Io = MemoryIo.create({ seed: 1, arenaBytes: 8 << 20 });
  let spentMicros = 0;
  const client = parent.client.bind(parent);
  parent.client = (name) => {
    const own = client(name);
    const now = own.now.bind(own);
    own.now = () => now() + spentMicros;
    return own;
  };
  await using wal = await Wal.open("log", { ...options, mode: "direct", io: parent });
  const sizes: number[] = [];
  let seen = 0;
  const loop = async () => {
    for (let round = 0; round < ROUNDS; round++) {
      spentMicros += appendMicros;
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
  return sizes;
}

test("appenders that take no time share one commit", async () => {
  assert.deepEqual(new Set(await pace(0)), new Set([APPENDERS]));
});

test("appenders that take as long as the device go in two halves, one while the other is written", async () => {
  const sizes = await pace(10);
  const most = Math.max(...sizes);
  assert.ok(most >= APPENDERS / 2 - 1 && most <= APPENDERS / 2 + 1, `${most} records in a commit`);
});

test("not where the log was told to wait for company", async () => {
  const commit = { ...OPTIONS.commit, maxDelayMicros: 100 };
  assert.deepEqual(new Set(await pace(10, { ...OPTIONS, commit })), new Set([APPENDERS]));
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
