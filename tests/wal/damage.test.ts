/**
 * Damage, by the table "Where the log ends" of docs/FORMAT.md: each row, and what stands beside it.
 * Frames of one record each take one commit unit of 4,096 bytes here, so record n of a new log stands
 * at (n + 1) * 4096, and the offsets below are worked out from the page, not taken from the code. After
 * each refusal the directory must be what it was.
 */

import { strict as assert } from "node:assert";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { WalCorruptionError } from "../../src/wal/errors.ts";
import type { WalOptions } from "../../src/wal/options.ts";
import { Wal } from "../../src/wal/wal.ts";
import {
  appendOneByOne,
  patch,
  readDirectory,
  readFile,
  records,
  removeFile,
  SMALL,
  writeFile,
} from "./support.ts";

const FIRST = "/log/0000000000000001.wal";
const SECOND = "/log/0000000000000002.wal";
const at = (lsn: number) => (lsn + 1) * 4096;

function machine(): MemoryIo {
  return MemoryIo.create({ seed: 1, arenaBytes: 2 << 20 });
}

const options = (io: MemoryIo): WalOptions => ({ ...SMALL, io, idleMarkMillis: Infinity });

/** A log of `count` records that was not closed: the machine was cut off when all were durable. */
async function cutOff(count: number): Promise<MemoryIo> {
  const io = machine();
  const wal = await Wal.open("/log", options(io));
  await appendOneByOne(wal, count);
  return io.crash(1);
}

/** A log of `count` records that was closed. */
async function closed(count: number): Promise<MemoryIo> {
  const io = machine();
  const wal = await Wal.open("/log", options(io));
  await appendOneByOne(wal, count);
  await wal.close();
  return io;
}

const flip = (offset: number) => (bytes: Uint8Array) => {
  bytes[offset] ^= 0x10;
};

async function refused(io: MemoryIo, file: string, offset: number, reason: RegExp): Promise<void> {
  const before = await readDirectory(io, "/log");
  before.delete("LOCK");
  await assert.rejects(Wal.open("/log", options(io)), (error: WalCorruptionError) => {
    assert.ok(error instanceof WalCorruptionError, String(error.stack));
    assert.equal(error.file, file);
    assert.equal(error.offset, offset);
    assert.match(error.message, reason);
    return true;
  });
  const after = await readDirectory(io, "/log");
  after.delete("LOCK");
  assert.deepEqual(after, before, "a refusal changes nothing");
}

async function opens(io: MemoryIo, tail: string, last: number, dropped = 0): Promise<Wal> {
  const wal = await Wal.open("/log", options(io));
  const { recovery } = wal;
  assert.equal(recovery.tail, tail);
  assert.equal(recovery.lastLsn, last);
  assert.equal(recovery.droppedTo - recovery.droppedFrom, dropped);
  const read = await records(wal);
  assert.equal(read.size, last);
  for (let lsn = 1; lsn <= last; lsn++) assert.equal(read.get(lsn), `record ${lsn}`);
  return wal;
}

test("a log that was cut off and is whole is torn, with nothing dropped; then its old tail stays", async () => {
  const io = await cutOff(5);
  const before = await readFile(io, FIRST);
  const wal = await opens(io, "torn", 5);
  await appendOneByOne(wal, 3);
  await wal.close();
  assert.deepEqual(await readFile(io, FIRST), before, "appends went to a new segment");
  await (await opens(io, "clean", 8)).close();
});

test("a closed log is clean, and goes on in the same segment", async () => {
  const io = await closed(5);
  const wal = await opens(io, "clean", 5);
  await appendOneByOne(wal, 2);
  assert.equal(wal.stats().segments, 1);
  await wal.close();
  await (await opens(io, "clean", 7)).close();
});

test("not sealed: the last frame damaged, nothing beyond: torn, cut and kept aside", async () => {
  for (const [where, dropped] of [[70, 1], [20, 0], [0, 0]]) {
    const io = await cutOff(5);
    await patch(io, FIRST, flip(at(5) + where));
    const wal = await opens(io, "torn", 4, dropped);
    assert.equal(wal.recovery.offset, at(5));
    if (dropped > 0) {
      const kept = await readFile(io, wal.recovery.keptAside!);
      assert.deepEqual(kept.subarray(0, 4096), (await readFile(io, FIRST)).subarray(at(5), at(6)));
    }
    await appendOneByOne(wal, 1);
    await wal.close();
    await (await opens(io, "clean", 5)).close();
  }
});

test("not sealed: damage under a durable mark of a later frame: corrupt", async () => {
  for (let lsn = 1; lsn <= 4; lsn++) {
    for (const where of [0, 4, 20, 64, 70]) {
      const io = await cutOff(5);
      await patch(io, FIRST, flip(at(lsn) + where));
      // Record n is durable before n + 1 is written here, so the frame after the damage has the mark.
      await refused(io, FIRST, at(lsn), /cannot be read/);
    }
  }
});

test("sealed: any damaged frame is corrupt, the last one too", async () => {
  for (let lsn = 1; lsn <= 5; lsn++) {
    const io = await closed(5);
    await patch(io, FIRST, flip(at(lsn) + 66));
    await refused(io, FIRST, at(lsn), /closed with record 5/);
  }
});

test("a mark after the last record: damage below it is corrupt", async () => {
  const io = machine();
  const wal = await Wal.open("/log", { ...options(io), idleMarkMillis: 1 });
  await appendOneByOne(wal, 3);
  while (wal.stats().marks === 0) await new Promise((resolve) => setTimeout(resolve, 2));
  await new Promise((resolve) => setTimeout(resolve, 20));
  const off = io.crash(1);
  await patch(off, FIRST, flip(at(3) + 66));
  await refused(off, FIRST, at(3), /durable up to record 3/);
});

test("frames behind a hole, none of them with a mark over it: ambiguous, kept aside; or refused", async () => {
  const make = async () => {
    const io = machine();
    const wal = await Wal.open("/log", options(io));
    await appendOneByOne(wal, 2);
    // Three frames go out together: their marks are all 2.
    for (let i = 3; i <= 5; i++) {
      wal.append(`record ${i} ${"x".repeat(8000)}`);
      wal.submitPending();
    }
    await wal.flush();
    return io.crash(1);
  };
  const io = await make();
  await patch(io, FIRST, flip(at(3) + 66)); // record 3 takes two units
  await assert.rejects(
    Wal.open("/log", { ...options(io), onAmbiguousTail: "refuse" }),
    (error: WalCorruptionError) => error.offset === at(3) && /onAmbiguousTail/.test(error.message),
  );
  const whole = await readFile(io, FIRST);
  const wal = await opens(io, "ambiguous", 2, 3);
  assert.equal(wal.recovery.droppedFrom, 3);
  const kept = await readFile(io, wal.recovery.keptAside!);
  assert.deepEqual(kept, whole.subarray(at(3), at(3) + kept.length));
  assert.ok(kept.length >= 3 * 8192);
  await appendOneByOne(wal, 1);
  await wal.close();
  await (await opens(io, "clean", 3)).close();
});

test("a frame further behind the hole than the window: corrupt", async () => {
  // Taken from another history of the same log: a frame whose mark was not over the hole. The window
  // is maxInFlight * maxBytes = 24,576 bytes, six units.
  const io = machine();
  const wal = await Wal.open("/log", options(io));
  await appendOneByOne(wal, 12);
  const off = io.crash(1);
  await patch(off, FIRST, (bytes) => {
    bytes.fill(0, at(3), at(12)); // leaves 12, nine units behind 3
  });
  await refused(off, FIRST, at(3), /cannot be read/);
});

/** Changes the header of the frame of record `lsn`, under a checksum of its own. */
function rewrite(
  io: MemoryIo,
  bytes: Uint8Array,
  lsn: number,
  change: (header: DataView) => void,
): void {
  const header = new DataView(bytes.buffer, bytes.byteOffset + at(lsn), 64);
  change(header);
  const place = new Uint8Array(16);
  place.set(bytes.subarray(48, 56));
  new DataView(place.buffer).setBigUint64(8, BigInt(at(lsn)), true);
  const covered = bytes.subarray(at(lsn) + 8, at(lsn) + 64);
  header.setUint32(4, io.crc32c(covered, io.crc32c(place)), true);
}

test("a frame with a good checksum that does not fit: corrupt, whatever does not", async () => {
  const changes: [RegExp, (header: DataView) => void][] = [
    [/begins with record 7 instead of 5/, (header) => header.setBigUint64(24, 7n, true)],
    [/does not follow the one before/, (header) => header.setUint32(48, 1, true)],
    [/durable mark lies ahead/, (header) => header.setBigUint64(32, 5n, true)],
    [/older than the one before/, (header) => header.setUint32(40, 0, true)],
    [/by opening 9/, (header) => header.setUint32(40, 9, true)],
  ];
  for (const [reason, change] of changes) {
    const io = await cutOff(5);
    await patch(io, FIRST, (bytes) => rewrite(io, bytes, 5, change));
    await refused(io, FIRST, at(5), reason);
  }
});

test("the window itself: five units behind the hole ambiguous, six corrupt, whatever the marks say", async () => {
  for (const [lsn, units] of [[8, 5], [9, 6]]) {
    const io = machine();
    const wal = await Wal.open("/log", options(io));
    await appendOneByOne(wal, lsn);
    const off = io.crash(1);
    await patch(off, FIRST, (bytes) => {
      bytes.fill(0, at(3), at(lsn));
      // The mark of the frame that is left was not over the hole.
      rewrite(off, bytes, lsn, (view) => view.setBigUint64(32, 2n, true));
    });
    if (units < 6) await (await opens(off, "ambiguous", 2, lsn - 2)).close();
    else await refused(off, FIRST, at(3), /was written after it had been durable/);
  }
});

test("either copy of the header is enough; without both it is corrupt", async () => {
  for (const sealed of [true, false]) {
    const make = () => sealed ? closed(3) : cutOff(3);
    for (const offset of [3, 50, 4096 + 3, 4096 + 100]) {
      const io = await make();
      await patch(io, FIRST, flip(offset));
      await (await opens(io, sealed ? "clean" : "torn", 3)).close();
    }
    const io = await make();
    await patch(io, FIRST, flip(40));
    await patch(io, FIRST, flip(4096 + 40));
    await refused(io, FIRST, 0, /header/);
  }
});

test("META: the older slot may be lost; the newer one, both, or the file: corrupt", async () => {
  // Three writes so far: made (slot 1), opened (slot 0), segment 1 activated (slot 1).
  const io = await cutOff(3);
  await patch(io, "/log/META", flip(40));
  await (await opens(io, "torn", 3)).close();
  const newer = await cutOff(3);
  await patch(newer, "/log/META", flip(65_536 + 40));
  await refused(newer, "/log/META", 65_536, /older than the log/);
  await patch(newer, "/log/META", (bytes) => bytes.fill(0xff));
  await refused(newer, "/log/META", 65_536, /begin|checksum/);
  await removeFile(newer, "/log/META");
  await refused(newer, "/log/META", 0, /missing/);
});

test("META rolled back to what it was before an opening: corrupt, not a shorter log", async () => {
  const io = await closed(3);
  const older = await readFile(io, "/log/META");
  const wal = await opens(io, "clean", 3);
  await appendOneByOne(wal, 2);
  const off = io.crash(1);
  await writeFile(off, "/log/META", older);
  await refused(off, FIRST, at(4), /META knows of 1/);
});

test("META rolled back over a change of segments: corrupt, not a shorter log", async () => {
  const io = machine();
  const wal = await Wal.open("/log", options(io));
  await appendOneByOne(wal, 5);
  const older = await readFile(io, "/log/META");
  await appendOneByOne(wal, 60);
  assert.ok(wal.stats().segments > 1);
  const off = io.crash(1);
  await writeFile(off, "/log/META", older);
  await refused(off, "/log/META", 0, /older than the log/);
});

test("a segment missing: the last one, one in the middle", async () => {
  for (const missing of [SECOND, FIRST]) {
    const io = machine();
    const wal = await Wal.open("/log", options(io));
    await appendOneByOne(wal, 40);
    assert.equal(wal.stats().segments, 2);
    await wal.close();
    await removeFile(io, missing);
    await refused(io, missing, 0, /missing/);
  }
});

test("a segment cut short", async () => {
  for (const bytes of [0, 100, 4096, 8192, at(3) + 5, at(5), 131_071]) {
    for (const make of [cutOff, closed]) {
      const io = await make(5);
      await patch(io, FIRST, (whole) => whole.slice(0, bytes));
      await refused(io, FIRST, bytes < 128 ? 0 : bytes, /cut short|header/);
    }
  }
});

test("a zeroed segment, and one full of other bytes", async () => {
  for (const byte of [0, 0xa5]) {
    const io = await closed(5);
    await patch(io, FIRST, (whole) => whole.fill(byte));
    await refused(io, FIRST, 0, /header/);
  }
});

test("a segment of another log is refused, in use or as a spare", async () => {
  const other = await closed(3);
  const foreign = await readFile(other, FIRST);
  const io = await closed(3);
  const own = await readFile(io, "/log/META");
  // The two machines are equal to the last random number: give the other log another name.
  const renamed = foreign.slice();
  for (const copy of [0, 4096]) renamed[copy + 16] ^= 1;
  const { crc32c } = await import("../../src/io/crc32c.ts");
  for (const copy of [0, 4096]) {
    const header = renamed.slice(copy, copy + 128).fill(0, 12, 16);
    new DataView(renamed.buffer).setUint32(copy + 12, crc32c(header), true);
  }
  await writeFile(io, FIRST, renamed);
  await refused(io, FIRST, 0, /another log/);
  const spare = await closed(3);
  await writeFile(spare, "/log/META", own);
  await writeFile(spare, "/log/0000000000000009.wal", renamed);
  await refused(spare, "/log/0000000000000009.wal", 0, /another log/);
});

test("a newer format version is refused with what to do", async () => {
  const { crc32c } = await import("../../src/io/crc32c.ts");
  const newer = (offsets: number[]) => (bytes: Uint8Array) => {
    const view = new DataView(bytes.buffer);
    for (const offset of offsets) {
      if (view.getUint32(offset, true) === 0) continue;
      view.setUint32(offset + 8, 2, true);
      const used = bytes.slice(offset, offset + 128).fill(0, 12, 16);
      view.setUint32(offset + 12, crc32c(used), true);
    }
  };
  const io = await closed(3);
  await patch(io, FIRST, newer([0, 4096]));
  await refused(io, FIRST, 0, /version 2 is newer/);
  const meta = await closed(3);
  await patch(meta, "/log/META", newer([0, 65_536]));
  await refused(meta, "/log/META", 0, /version 2 is newer/);
});

test("segments swapped or duplicated under each other's names", async () => {
  const make = async () => {
    const io = machine();
    const wal = await Wal.open("/log", options(io));
    await appendOneByOne(wal, 40);
    await wal.close();
    return io;
  };
  const io = await make();
  const first = await readFile(io, FIRST);
  await writeFile(io, SECOND, first);
  await refused(io, SECOND, 0, /header is of segment 1/);
});

test("blocks swapped inside a segment, or repeated, are never delivered", async () => {
  const io = await closed(6);
  await patch(io, FIRST, (bytes) => {
    const three = bytes.slice(at(3), at(4));
    bytes.copyWithin(at(3), at(4), at(5));
    bytes.set(three, at(4));
  });
  await refused(io, FIRST, at(3), /cannot|closed with/);
  const twice = await cutOff(6);
  await patch(twice, FIRST, (bytes) => {
    bytes.copyWithin(at(7), at(6), at(7));
  });
  await (await opens(twice, "torn", 6)).close();
});

test("damage in a segment before the last one is found by reading, with its place", async () => {
  const io = machine();
  const wal = await Wal.open("/log", options(io));
  await appendOneByOne(wal, 40);
  await wal.close();
  await patch(io, FIRST, flip(at(7) + 66));
  const again = await Wal.open("/log", options(io));
  const seen: number[] = [];
  await assert.rejects(
    async () => {
      for await (const batch of again.read()) seen.push(batch.firstLsn);
    },
    (error: WalCorruptionError) => error.file === FIRST && error.offset === at(7),
  );
  assert.deepEqual(seen, [1, 2, 3, 4, 5, 6]);
  await again.close();
});
