/**
 * Repair: what it says can be kept is what is kept, nothing else is lost from the disk, the result opens
 * and goes on, and a crash in the middle of it changes nothing of this.
 *
 * Frames of one record take one commit unit of 4,096 bytes here, so a segment of 131,072 bytes holds 30
 * of them behind the two units of its header: record n is number (n - 1) % 30 of segment
 * floor((n - 1) / 30) + 1.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { Prng } from "../../src/io/prng.ts";
import { WalCorruptionError, WalLockedError, WalMissingError } from "../../src/wal/errors.ts";
import { repair, type RepairReport } from "../../src/wal/repair.ts";
import { WalView } from "../../src/wal/view.ts";
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

const FIRST_SEED = Number(process.env.URING_SEED ?? 1);
const RANDOM_LOGS = 40;
const segment = (sequence: number) => `/log/${String(sequence).padStart(16, "0")}.wal`;
const FIRST = segment(1);
const at = (lsn: number) => (2 + (lsn - 1) % 30) * 4096;

type Damage = (io: MemoryIo) => Promise<void> | void;

/** A log of `count` records, truncated before `first`. */
async function logOf(count: number, closed: boolean, seed = 1, first = 1): Promise<MemoryIo> {
  const io = MemoryIo.create({ seed, arenaBytes: 2 << 20 });
  const wal = await Wal.open("/log", { ...SMALL, io, idleMarkMillis: Infinity });
  await appendOneByOne(wal, count);
  await wal.truncateBefore(first);
  if (!closed) return io.crash(seed);
  await wal.close();
  return io;
}

/** Every file, without LOCK, which says who came last. */
async function files(io: MemoryIo): Promise<Map<string, Uint8Array>> {
  const all = await readDirectory(io, "/log");
  all.delete("LOCK");
  return all;
}

/** Whether the bytes of each file of `before` are in some file of `after`. */
function nothingLost(
  before: Map<string, Uint8Array>,
  after: Map<string, Uint8Array>,
  what: string,
): void {
  const hashes = new Set([...after.values()].map((bytes) => hashOf(bytes)));
  for (const [name, bytes] of before) {
    if (name.endsWith(".tmp")) continue;
    assert.ok(hashes.has(hashOf(bytes)), `${what}: the bytes of ${name} are gone`);
  }
}

const hashOf = (bytes: Uint8Array) => {
  let hash = 0;
  for (let i = 0; i < bytes.length; i++) hash = (Math.imul(hash, 31) + bytes[i]) | 0;
  return `${bytes.length} ${hash}`;
};

/** The log opens with these records, takes others, and is found again with them. */
async function goesOn(io: MemoryIo, first: number, last: number, what: string): Promise<void> {
  for (let opening = 1; opening <= 2; opening++) {
    const wal = await Wal.open("/log", { ...SMALL, io });
    const end = last + 40 * (opening - 1);
    assert.deepEqual([wal.firstLsn, wal.recovery.lastLsn], [first, end], what);
    const read = await records(wal);
    assert.equal(read.size, end - first + 1, what);
    for (let lsn = first; lsn <= end; lsn++) assert.equal(read.get(lsn), `record ${lsn}`, what);
    await appendOneByOne(wal, 40);
    await wal.close();
  }
  const view = await WalView.open("/log", io);
  const report = await view.verify();
  assert.deepEqual([report.state, report.last], ["clean", last + 80], what);
  await view.close();
}

interface Case {
  what: string;
  damage: Damage;
  /** Records that are kept of 1 to 100, in four segments. */
  before?: [number, number];
  after?: [number, number];
  /** File and offset of the first damage. */
  file: string;
  offset: number;
  /** Of a log that was not closed. */
  open?: boolean;
}

const CASES: Case[] = [
  {
    what: "a bit in the first segment",
    damage: (io) => io.rot(FIRST, at(7) + 70),
    before: [1, 6],
    after: [31, 100],
    file: FIRST,
    offset: at(7),
  },
  {
    what: "the first record of a segment",
    damage: (io) => io.rot(segment(2), at(31) + 70),
    before: [1, 30],
    after: [61, 100],
    file: segment(2),
    offset: at(31),
  },
  {
    what: "the first record of the log",
    damage: (io) => io.rot(FIRST, at(1) + 70),
    after: [31, 100],
    file: FIRST,
    offset: at(1),
  },
  {
    what: "a bit in the last segment of a closed log",
    damage: (io) => io.rot(segment(4), at(95) + 70),
    before: [1, 94],
    file: segment(4),
    offset: at(95),
  },
  {
    what: "a bit under a mark in the last segment of a log that was not closed",
    damage: (io) => io.rot(segment(4), at(95) + 70),
    before: [1, 94],
    file: segment(4),
    offset: at(95),
    open: true,
  },
  {
    what: "a missing segment in the middle",
    damage: (io) => removeFile(io, segment(3)),
    before: [1, 60],
    after: [91, 100],
    file: segment(3),
    offset: 0,
  },
  {
    what: "a missing last segment",
    damage: (io) => removeFile(io, segment(4)),
    before: [1, 90],
    file: segment(4),
    offset: 0,
  },
  {
    what: "both headers of a segment",
    damage: (io) => {
      io.rot(segment(2), 40);
      io.rot(segment(2), 4096 + 40);
    },
    before: [1, 30],
    after: [61, 100],
    file: segment(2),
    offset: 0,
  },
  {
    what: "a segment cut short",
    damage: (io) => patch(io, segment(3), (bytes) => bytes.slice(0, at(70) + 100)),
    before: [1, 69],
    after: [91, 100],
    file: segment(3),
    offset: at(70) + 100,
  },
  {
    what: "damage in two segments",
    damage: (io) => {
      io.rot(FIRST, at(20) + 70);
      io.rot(segment(3), at(80) + 70);
    },
    before: [1, 19],
    after: [91, 100],
    file: FIRST,
    offset: at(20),
  },
  {
    what: "META of zeros",
    damage: (io) => patch(io, "/log/META", (bytes) => bytes.fill(0)),
    before: [1, 100],
    after: [1, 100],
    file: "/log/META",
    offset: 0,
  },
  {
    what: "a missing META",
    damage: (io) => removeFile(io, "/log/META"),
    before: [1, 100],
    after: [1, 100],
    file: "/log/META",
    offset: 0,
    open: true,
  },
  {
    what: "a missing META, and a bit in the third segment",
    damage: async (io) => {
      await removeFile(io, "/log/META");
      io.rot(segment(3), at(65) + 70);
    },
    before: [1, 64],
    after: [91, 100],
    file: "/log/META",
    offset: 0,
  },
];

for (const { what, damage, before, after, file, offset, open } of CASES) {
  test(what, async () => {
    for (const keep of ["before", "after"] as const) {
      const io = await logOf(100, !open);
      await damage(io);
      const found = await files(io);
      const names = io.listDirectory("/log").length;
      const report = await repair("/log", { io });
      assert.equal(report.state, "corrupt");
      assert.deepEqual([report.damage[0].file, report.damage[0].offset], [file, offset]);
      const range = (of?: [number, number]) => of && { first: of[0], last: of[1] };
      assert.deepEqual([report.before, report.after], [range(before), range(after)]);
      assert.deepEqual([report.kept, report.aside], [undefined, []]);
      assert.ok(report.first === 1 && report.last >= (before?.[1] ?? 0) && report.last <= 100);
      assert.deepEqual(await files(io), found, "looking changes nothing");
      assert.equal(io.listDirectory("/log").length, names);
      const kept = keep === "before" ? before : after;
      if (!kept) {
        await assert.rejects(repair("/log", { io, keep }), WalCorruptionError);
        assert.deepEqual(await files(io), found, "a refusal changes nothing");
        continue;
      }
      const done = await repair("/log", { io, keep });
      assert.equal(done.kept, keep);
      for (const path of done.aside) assert.ok((await readFile(io, path)).length > 0);
      nothingLost(found, await files(io), what);
      const again = await repair("/log", { io, keep });
      assert.notEqual(again.state, "corrupt", "nothing to repair any more");
      assert.deepEqual(again.aside, []);
      await goesOn(io, kept[0], kept[1], `${what}, ${keep}`);
      nothingLost(
        new Map([...found].filter(([name]) => done.aside.some((path) => path.endsWith(name)))),
        await files(io),
        `${what}, afterwards`,
      );
    }
  });
}

test("a log that is not corrupt: nothing to repair, nothing changed", async () => {
  for (const closed of [true, false]) {
    const io = await logOf(40, closed, 1, 5);
    const before = await files(io);
    const report = await repair("/log", { io, keep: "before" });
    assert.equal(report.state, closed ? "clean" : "torn");
    assert.deepEqual([report.first, report.last, report.kept], [5, 40, undefined]);
    assert.deepEqual(report.before, { first: 5, last: 40 });
    assert.deepEqual(await files(io), before);
  }
});

test("META rolled back: the records that it does not know of are kept", async () => {
  const io = await logOf(20, true);
  const old = await readFile(io, "/log/META");
  const wal = await Wal.open("/log", { ...SMALL, io, idleMarkMillis: Infinity });
  await appendOneByOne(wal, 30);
  const off = io.crash(1);
  await writeFile(off, "/log/META", old);
  await assert.rejects(Wal.open("/log", { ...SMALL, io: off }), WalCorruptionError);
  const report = await repair("/log", { io: off });
  assert.match(report.damage[0].reason, /older than the log/);
  assert.deepEqual(report.before, { first: 1, last: 50 });
  await repair("/log", { io: off, keep: "before" });
  await goesOn(off, 1, 50, "META rolled back");
});

test("truncated records stay removed", async () => {
  const io = await logOf(100, true, 1, 40);
  io.rot(segment(3), at(70) + 70);
  const report = await repair("/log", { io, keep: "before" });
  assert.deepEqual([report.first, report.before], [40, { first: 40, last: 69 }]);
  await goesOn(io, 40, 69, "truncated");
});

test("no log, a log that is open, a newer format, nothing to keep", async () => {
  const io = MemoryIo.create({ seed: 1, arenaBytes: 4 << 20 });
  await assert.rejects(repair("/nothing", { io }), WalMissingError);
  const wal = await Wal.open("/log", { ...SMALL, io });
  await appendOneByOne(wal, 3);
  for (const keep of [undefined, "before"] as const) {
    await assert.rejects(repair("/log", { io, keep, lockTimeoutMillis: 0 }), WalLockedError);
  }
  await wal.close();
  const whole = await files(io);
  const { crc32c } = await import("../../src/io/crc32c.ts");
  for (const [path, copies] of [["/log/META", [0, 65_536]], [FIRST, [0, 4096]]] as const) {
    await patch(io, path, (bytes) => {
      const view = new DataView(bytes.buffer);
      for (const offset of copies) {
        if (view.getUint32(offset, true) === 0) continue;
        view.setUint32(offset + 8, 2, true);
        const used = bytes.slice(offset, offset + 128).fill(0, 12, 16);
        view.setUint32(offset + 12, crc32c(used), true);
      }
    });
    for (const keep of [undefined, "before", "after"] as const) {
      await assert.rejects(repair("/log", { io, keep }), /version 2 is newer/);
    }
    await writeFile(io, path, whole.get(path.slice(5))!);
  }
  await patch(io, FIRST, (bytes) => bytes.fill(7));
  const report = await repair("/log", { io });
  assert.deepEqual([report.before, report.after], [undefined, undefined]);
  await patch(io, "/log/META", (bytes) => bytes.fill(7));
  await assert.rejects(repair("/log", { io, keep: "before" }), WalCorruptionError);
});

/** A log with a history: openings, truncations, recycled files, clean and unclean ends. */
async function randomLog(rng: Prng): Promise<{ image: Map<string, Uint8Array>; texts: string[] }> {
  let io = MemoryIo.create({ seed: rng.next(), arenaBytes: 2 << 20 });
  const texts = [""];
  for (let life = rng.between(1, 3); life > 0; life--) {
    const preallocate = !rng.oneIn(3);
    const wal = await Wal.open("/log", { ...SMALL, io, preallocate, lockTimeoutMillis: 60_000 });
    texts.length = wal.recovery.lastLsn + 1;
    for (let step = rng.between(5, 60); step > 0; step--) {
      for (let count = rng.between(1, 4); count > 0; count--) {
        const text = `${texts.length} ${"x".repeat(rng.below(3000))}`;
        while (wal.tryAppend(text) === undefined) await wal.ready();
        texts.push(text);
      }
      if (rng.oneIn(2)) await wal.flush();
      if (rng.oneIn(30)) await wal.truncateBefore(rng.between(wal.firstLsn, wal.durableLsn + 1));
    }
    if (rng.oneIn(2)) await wal.close();
    else {
      await wal.flush();
      io = io.crash(rng.next());
    }
  }
  return { image: io.image(), texts };
}

/** One random damage of an image. */
function damageAtRandom(image: Map<string, Uint8Array>, rng: Prng): void {
  const paths = [...image.keys()].filter((path) => /META$|\.wal$/.test(path));
  const path = paths[rng.below(paths.length)];
  const bytes = image.get(path)!.slice();
  // Mostly where there is something.
  const offset = path.endsWith("META")
    ? rng.below(2) * 65_536 + rng.below(92)
    : rng.below(rng.oneIn(2) ? 16_384 : bytes.length);
  switch (rng.below(6)) {
    case 0:
      image.delete(path);
      return;
    case 1:
      image.set(path, bytes.slice(0, offset));
      return;
    case 2:
      bytes.fill(rng.below(2) * 0xa5, offset - offset % 4096, offset - offset % 4096 + 4096);
      break;
    default:
      if (offset < bytes.length) bytes[offset] ^= 1 << rng.below(8);
  }
  image.set(path, bytes);
}

test("random logs with random damage", { timeout: 120_000 }, async () => {
  console.log(`# seeds from ${FIRST_SEED}`);
  const counts = { whole: 0, before: 0, after: 0, nothing: 0 };
  for (let seed = FIRST_SEED; seed < FIRST_SEED + RANDOM_LOGS; seed++) {
    const rng = new Prng(seed);
    const { image, texts } = await randomLog(rng);
    for (let count = rng.between(1, 3); count > 0; count--) damageAtRandom(image, rng);
    const machine = () => MemoryIo.fromImage(image, { arenaBytes: 2 << 20 });
    const io = machine();
    const state = await WalView.open("/log", io).then(async (view) => {
      const { state } = await view.verify();
      await view.close();
      return state;
    }, (error) => error.code === "WalCorruption" ? "corrupt" : String(error));
    let report: RepairReport;
    try {
      report = await repair("/log", { io });
    } catch (error) {
      assert.ok(error instanceof WalCorruptionError, `seed ${seed}: ${error}`);
      assert.equal(state, "corrupt", `seed ${seed}`);
      counts.nothing++;
      continue;
    }
    assert.equal(report.state, state, `seed ${seed}: repair and verify`);
    if (state !== "corrupt") {
      counts.whole++;
      continue;
    }
    for (const keep of ["before", "after"] as const) {
      const range = report[keep];
      if (!range) continue;
      counts[keep]++;
      const what = `seed ${seed}, ${keep}: ${report.damage.map(({ message }) => message)}`;
      const own = machine();
      const found = await files(own);
      await repair("/log", { io: own, keep });
      nothingLost(found, await files(own), what);
      const wal = await Wal.open("/log", { ...SMALL, io: own });
      assert.deepEqual([wal.firstLsn, wal.recovery.lastLsn], [range.first, range.last], what);
      const read = await records(wal);
      assert.equal(read.size, range.last - range.first + 1, what);
      for (const [lsn, text] of read) assert.equal(text, texts[lsn], `${what}: record ${lsn}`);
      await wal.durable(wal.append("further"));
      await wal.close();
    }
  }
  console.log(`# ${JSON.stringify(counts)}`);
  assert.ok(counts.whole > 0 && counts.before > 0 && counts.after > 0);
});

/**
 * A power cut or a kill at a random step of a repair, again and again until one comes to its end: then the
 * same records are there as without any, and every byte that was there before is.
 */
test("a crash at any step of a repair", { timeout: 60_000 }, async () => {
  console.log(`# seeds from ${FIRST_SEED}`);
  let crashes = 0;
  for (let seed = FIRST_SEED; seed < FIRST_SEED + 80; seed++) {
    const rng = new Prng(seed);
    const { damage, before, after, open, what } = CASES[rng.below(CASES.length)];
    const keep = rng.oneIn(2) ? "before" : "after";
    const kept = keep === "before" ? before : after;
    if (!kept) continue;
    let io = await logOf(100, !open, seed);
    await damage(io);
    const found = await files(io);
    io = io.crash(rng.next(), { survival: "all", crashAfter: rng.between(1, 400) });
    for (let attempt = 0;; attempt++) {
      try {
        await repair("/log", { io, keep, lockTimeoutMillis: 60_000 });
        break;
      } catch (error) {
        if (!io.crashed) throw new Error(`seed ${seed}: ${what}: ${error}`, { cause: error });
        crashes++;
        const crashAfter = attempt < 3 ? rng.between(1, 600) : Infinity;
        io = io.crash(rng.next(), { crashAfter });
      }
    }
    io = io.crash(rng.next(), { crashAfter: Infinity });
    nothingLost(found, await files(io), `seed ${seed}: ${what}, ${keep}`);
    await goesOn(io, kept[0], kept[1], `seed ${seed}: ${what}, ${keep}`);
  }
  console.log(`# ${crashes} crashes`);
  assert.ok(crashes > 20);
});
