/**
 * Logs that version 1 of the format left behind, in tests/format/golden, must be readable for ever.
 * What is in them stands here, and is built again, byte for byte, from docs/FORMAT.md alone
 * (tests/format/build.ts); only what is random or a time is taken from the files. Then the library and
 * the independent reader must find what this meaning says.
 */

import { strict as assert } from "node:assert";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { type FrameMeaning, LogBuilder, type MetaMeaning, UNIT } from "../format/build.ts";
import { compare } from "./judges.ts";

const SEGMENT_BYTES = 20 * UNIT;
const WINDOW = 3 * 8192;
const nameOf = (sequence: number) => `${String(sequence).padStart(16, "0")}.wal`;

type Frame = Omit<FrameMeaning, "millis">;
interface Life {
  first: number;
  frames: Frame[];
}

interface Meaning {
  /** Slots of META, the older one first. */
  meta: MetaMeaning[];
  /** Segments by their sequence. */
  lives: Record<number, Life>;
  /** Which lives a file has had, the last one last; default: the one of its name. */
  files?: Record<number, number[]>;
  /** Files of zeros. */
  spares?: number[];
  damage?: (files: Map<string, Uint8Array>) => void;
  state: string;
  records: string[];
  /** Of the end, or of the damage: the sequence of the segment, and the offset in units. */
  end: [sequence: number, unit: number];
  dropped?: number;
}

/** One frame each, when the one before was durable. */
const single = (text: string, from: number, to: number, epoch = 1): Frame[] =>
  Array.from({ length: to - from + 1 }, (_, i) => ({
    records: [`${text} ${from + i}`],
    mark: from + i - 1,
    epoch,
  }));
const texts = (text: string, from: number, to: number) =>
  single(text, from, to).map(({ records }) => records[0] as string);
const NOTHING = { sealed: false, sealedLsn: 0, sealedOffset: 0, lowLsn: 1, lowSequence: 1 };
/** META of a new log: made (counter 1), opened (2), the first segment activated (3). */
const NEW: MetaMeaning[] = [
  { ...NOTHING, counter: 2, epoch: 1, activated: 0 },
  { ...NOTHING, counter: 3, epoch: 1, activated: 1 },
];

const MEANINGS: Record<string, Meaning> = {
  clean: {
    meta: [
      NEW[1],
      { ...NEW[1], counter: 4, sealed: true, sealedLsn: 5, sealedOffset: 5 * UNIT },
    ],
    lives: {
      1: {
        first: 1,
        frames: [
          ...single("record", 1, 2),
          { records: ["", "four", Uint8Array.of(0, 255, 10)], mark: 2, epoch: 1 },
        ],
      },
    },
    spares: [2],
    state: "clean",
    records: ["record 1", "record 2", "", "four", "\0\ufffd\n"],
    end: [1, 5],
  },
  torn: {
    meta: NEW,
    lives: {
      1: {
        first: 1,
        frames: [
          ...single("record", 1, 3),
          { records: ["torn ".repeat(1000) + "end"], mark: 3, epoch: 1 },
        ],
      },
    },
    spares: [2],
    // Its second unit was not written.
    damage: (files) => files.get(nameOf(1))!.fill(0, 6 * UNIT, 7 * UNIT),
    state: "torn",
    records: texts("record", 1, 3),
    end: [1, 5],
    dropped: 1,
  },
  ambiguous: {
    meta: NEW,
    lives: {
      1: {
        first: 1,
        // Three were in flight together.
        frames: single("record", 1, 5).map((frame, i) => i < 2 ? frame : { ...frame, mark: 2 }),
      },
    },
    spares: [2],
    damage: (files) => files.get(nameOf(1))!.fill(0, 4 * UNIT, 5 * UNIT),
    state: "ambiguous",
    records: texts("record", 1, 2),
    end: [1, 4],
    dropped: 3,
  },
  corrupt: {
    meta: NEW,
    lives: { 1: { first: 1, frames: single("record", 1, 5) } },
    spares: [2],
    damage: (files) => files.get(nameOf(1))![4 * UNIT + 70] ^= 4,
    state: "corrupt",
    records: texts("record", 1, 2),
    end: [1, 4],
  },
  recycled: {
    meta: [
      { ...NOTHING, counter: 8, epoch: 1, activated: 5, lowLsn: 39, lowSequence: 3 },
      {
        ...{ counter: 9, epoch: 1, activated: 5, lowLsn: 39, lowSequence: 3 },
        ...{ sealed: true, sealedLsn: 76, sealedOffset: 6 * UNIT },
      },
    ],
    lives: {
      1: { first: 1, frames: single("old", 1, 18) },
      2: { first: 19, frames: single("old", 19, 36) },
      3: { first: 37, frames: [...single("old", 37, 40), ...single("new", 41, 54)] },
      4: { first: 55, frames: single("new", 55, 72) },
      5: { first: 73, frames: single("new", 73, 76) },
    },
    files: { 5: [1, 5], 6: [2] },
    state: "clean",
    records: [...texts("old", 39, 40), ...texts("new", 41, 76)],
    end: [5, 6],
  },
  low_water: {
    meta: [
      {
        ...{ counter: 6, epoch: 1, activated: 2, lowLsn: 5, lowSequence: 1 },
        ...{ sealed: true, sealedLsn: 20, sealedOffset: 4 * UNIT },
      },
      // The seal is off; what it said is kept.
      {
        ...{ counter: 7, epoch: 2, activated: 2, lowLsn: 5, lowSequence: 1 },
        ...{ sealed: false, sealedLsn: 20, sealedOffset: 4 * UNIT },
      },
    ],
    lives: {
      1: { first: 1, frames: single("record", 1, 18) },
      2: {
        first: 19,
        frames: [
          ...single("record", 19, 20),
          { records: ["after"], mark: 20, epoch: 2 },
          { records: [], mark: 21, epoch: 2 },
        ],
      },
    },
    spares: [3],
    state: "torn",
    records: [...texts("record", 5, 20), "after"],
    end: [2, 6],
  },
};

interface Golden {
  files: Record<string, { bytes: number; parts: Record<string, string> }>;
}

function load(name: string): Map<string, Uint8Array> {
  const path = join(import.meta.dirname!, `../format/golden/${name}.json`);
  const golden: Golden = JSON.parse(readFileSync(path, "utf8"));
  return new Map(
    Object.entries(golden.files).map(([file, { bytes, parts }]) => {
      const whole = new Uint8Array(bytes);
      for (const [offset, hex] of Object.entries(parts)) {
        whole.set(Uint8Array.from(hex.match(/../g)!, (byte) => parseInt(byte, 16)), Number(offset));
      }
      return [file, whole];
    }),
  );
}

/**
 * The files from their meaning; times, salts and the UUID from the golden ones. A life that another one
 * ended cannot be built again, since its salt is gone: its file is right as far as the new life goes.
 */
function build(meaning: Meaning, golden: Map<string, Uint8Array>): Map<string, Uint8Array> {
  const files = new Map<string, Uint8Array>();
  const builder = new LogBuilder(golden.get("META")!.slice(16, 32));
  const fileOf = new Map(
    Object.entries(meaning.files ?? {}).map(([file, lives]) => [lives.at(-1)!, Number(file)]),
  );
  const ended = new Set(Object.values(meaning.files ?? {}).flatMap((lives) => lives.slice(0, -1)));
  for (const [key, { first, frames }] of Object.entries(meaning.lives)) {
    const sequence = Number(key);
    if (ended.has(sequence)) continue;
    const name = nameOf(fileOf.get(sequence) ?? sequence);
    const source = golden.get(name)!;
    const view = new DataView(source.buffer);
    if (ended.has(sequence - 1)) builder.chain(first - 1, view.getUint32(88, true));
    let offset = 2 * UNIT;
    const timed = frames.map((frame) => {
      // Where the frame was lost: that of the next one, which was written in the same turn.
      const millis = Number(
        view.getBigUint64(offset + 56, true) || view.getBigUint64(offset + UNIT + 56, true),
      );
      const size = frame.records.reduce((sum, record) => sum + 4 + record.length, 0);
      offset += Math.ceil((64 + size) / UNIT) * UNIT;
      return { ...frame, millis };
    });
    const bytes = new Uint8Array(SEGMENT_BYTES);
    builder.life(bytes, {
      ...{ sequence, first, window: WINDOW, length: SEGMENT_BYTES, epoch: 1, whole: true },
      ...{ salt: source.slice(48, 56), millis: Number(view.getBigUint64(96, true)), frames: timed },
    });
    files.set(name, bytes);
  }
  for (const spare of meaning.spares ?? []) files.set(nameOf(spare), new Uint8Array(SEGMENT_BYTES));
  files.set("META", builder.meta(meaning.meta));
  meaning.damage?.(files);
  return files;
}

const directory = (files: Map<string, Uint8Array>) =>
  MemoryIo.fromImage([...files].map(([name, bytes]) => [`/log/${name}`, bytes] as const), {
    arenaBytes: 4 << 20,
  });

for (const [name, meaning] of Object.entries(MEANINGS)) {
  test(`${name}: byte for byte, and what it means`, async () => {
    const golden = load(name);
    const built = build(meaning, golden);
    assert.deepEqual([...built.keys()].sort(), [...golden.keys()].sort());
    const recycled = Object.entries(meaning.files ?? {}).filter(([, lives]) => lives.length > 1);
    for (const [file, bytes] of golden) {
      const partly = recycled.some(([sequence]) => file === nameOf(Number(sequence)));
      const length = partly ? meaning.end[1] * UNIT : bytes.length;
      assert.deepEqual(built.get(file)!.subarray(0, length), bytes.subarray(0, length), file);
      assert.equal(partly, bytes.subarray(length).some((byte) => byte !== 0), "an earlier life");
    }
    const io = directory(golden);
    const view = await WalView.open("/log", io);
    const report = await view.verify();
    const [sequence, unit] = meaning.end;
    assert.deepEqual(
      [report.state, report.file, report.offset, report.dropped],
      [meaning.state, `/log/${nameOf(sequence)}`, unit * UNIT, meaning.dropped ?? 0],
    );
    const newest = meaning.meta[1];
    const last = newest.lowLsn + meaning.records.length - 1;
    assert.deepEqual([report.first, report.last], [newest.lowLsn, last]);
    assert.equal(report.sealed, newest.sealed);
    const records: string[] = [];
    try {
      for await (const batch of view.read()) {
        for (let i = 0; i < batch.length; i++) records.push(batch.text(i));
      }
    } catch (error) {
      assert.equal((error as { code?: string }).code, "WalCorruption");
      assert.equal(meaning.state, "corrupt");
    }
    assert.deepEqual(records, meaning.records);
    await view.close();
    await compare([io]);
    if (meaning.state === "corrupt") {
      await assert.rejects(Wal.open("/log", { io }), { code: "WalCorruption" });
      return;
    }
    // And it goes on.
    await using wal = await Wal.open("/log", {
      ...{ io, segmentBytes: SEGMENT_BYTES, commit: { maxBytes: 8192, maxInFlight: 3 } },
    });
    assert.deepEqual([wal.recovery.tail, wal.recovery.lastLsn], [meaning.state, last]);
    assert.equal(await wal.durable(wal.append("further")), last + 1);
  });
}
