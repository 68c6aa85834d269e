/**
 * The files of a log, on a simulated machine: what is let go of, recycled, removed, and kept for those
 * who read.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import type { Io } from "../../src/io/io.ts";
import { MemoryIo } from "../../src/io/memory.ts";
import { Wal } from "../../src/wal/wal.ts";
import { readFile, SMALL } from "./support.ts";

const PATH = "/log";
const FIRST = "0000000000000001.wal";

function segmentFiles(io: Io): string[] {
  return io.listDirectory(PATH).map(({ name }) => name).filter((name) => name.endsWith(".wal"))
    .sort();
}

/** Appends durable records of 1,000 bytes until the log is in its `count`-th segment from here. */
async function fillSegments(wal: Wal, count: number): Promise<void> {
  const until = wal.stats().segments + count;
  // Ends when the segments are there: each record takes a part of one.
  while (wal.stats().segments < until) await wal.durable(wal.append("s".repeat(1000)));
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
