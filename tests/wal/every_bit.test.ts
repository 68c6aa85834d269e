/**
 * Every bit of a small log flipped, and every length that a file of it can be cut to: each outcome is the
 * row of the table "Where the log ends" (docs/FORMAT.md) that the layout names. Logs and expectations
 * come from tests/format/build.ts, which knows the page and shares no code with the library.
 *
 * The log has one segment: a header, twice, and four frames. Frame 3 takes two units; frames 3 and 4 were
 * in flight together. Where there is a mark it follows them. META was written three times: made, opened, and segment 1 activated; a closed log
 * has a fourth with the seal.
 */

import { strict as assert } from "node:assert";
import process from "node:process";
import { test } from "node:test";
import { MemoryIo } from "../../src/io/memory.ts";
import { WalCorruptionError } from "../../src/wal/errors.ts";
import { WalView } from "../../src/wal/view.ts";
import { Wal } from "../../src/wal/wal.ts";
import { LogBuilder, type MetaMeaning, type Place, UNIT } from "../format/build.ts";

const EVERY = process.env.URING_TEST_FULL !== undefined;
const SEGMENT = "/log/0000000000000001.wal";
const META = "/log/META";
const SLOT_BYTES = 65_536;
const SEGMENT_BYTES = 8 * UNIT;
const WINDOW = 4 * UNIT;
const LAST = 5;

interface Log {
  image: Map<string, Uint8Array>;
  frames: Place[];
  sealed: boolean;
  whole: boolean;
}

/** `marked`: a mark follows the last record, and the segment is full then. */
function build(sealed: boolean, whole: boolean, marked = false): Log {
  const builder = new LogBuilder(Uint8Array.from({ length: 16 }, (_, i) => 0x10 + i));
  const bytes = new Uint8Array(SEGMENT_BYTES);
  const common = { epoch: 1, millis: 1_767_225_600_000 };
  const frames = builder.life(bytes, {
    ...{ sequence: 1, first: 1, window: WINDOW, length: SEGMENT_BYTES, whole, ...common },
    salt: Uint8Array.of(8, 7, 6, 5, 4, 3, 2, 1),
    frames: [
      { records: ["one"], mark: 0, ...common },
      { records: ["two", ""], mark: 1, ...common },
      { records: ["4".repeat(UNIT)], mark: 3, ...common },
      { records: ["five"], mark: 3, ...common },
      ...(marked ? [{ records: [], mark: LAST, ...common }] : []),
    ],
  });
  const none = { sealed: false, lowLsn: 1, lowSequence: 1, sealedLsn: 0, sealedOffset: 0 };
  const slots: MetaMeaning[] = [
    { ...none, counter: 2, epoch: 1, activated: 0 },
    { ...none, counter: 3, epoch: 1, activated: 1 },
  ];
  if (sealed) {
    slots.push({
      ...{ ...slots[1], counter: 4, sealed: true },
      ...{ sealedLsn: LAST, sealedOffset: endOf(frames) },
    });
  }
  const used = whole ? SEGMENT_BYTES : endOf(frames);
  const image = new Map([[SEGMENT, bytes.slice(0, used)], [META, builder.meta(slots)]]);
  return { image, frames, sealed, whole };
}

function endOf(frames: readonly Place[]): number {
  const { offset, length } = frames.at(-1)!;
  return offset + length;
}

/** What a look at a log must find. */
interface Outcome {
  state: "clean" | "torn" | "ambiguous" | "corrupt";
  last: number;
  file: string;
  offset: number;
}

const untouched = ({ sealed, frames }: Log): Outcome => ({
  state: sealed ? "clean" : "torn",
  last: LAST,
  file: SEGMENT,
  offset: endOf(frames),
});

/** Frame `index` is no frame any more; those behind it are as they were. */
function withoutFrame(log: Log, index: number): Outcome {
  const { offset, firstLsn } = log.frames[index];
  const found = { last: firstLsn - 1, file: SEGMENT, offset };
  if (log.sealed) return { ...found, state: "corrupt" };
  const beyond = log.frames.slice(index + 1);
  if (beyond.some(({ mark }) => mark >= firstLsn)) return { ...found, state: "corrupt" };
  if (beyond.some((frame) => frame.offset - offset >= WINDOW)) {
    return { ...found, state: "corrupt" };
  }
  return { ...found, state: beyond.length > 0 ? "ambiguous" : "torn" };
}

/** The slot of META that counts is gone: what the one before it says. */
function olderMeta(log: Log): Outcome {
  // Before the seal: the same records, and a log that was not closed.
  if (log.sealed) return { ...untouched(log), state: "torn" };
  // Before segment 1 was activated: it has frames, so META lost what was durable.
  return { state: "corrupt", last: 0, file: META, offset: SLOT_BYTES };
}

const newestSlot = ({ sealed }: Log) => sealed ? 0 : SLOT_BYTES;

/** After the flip of one bit. */
function flipped(log: Log, file: string, offset: number): Outcome {
  if (file === META) {
    const slot = offset - offset % SLOT_BYTES;
    return offset % SLOT_BYTES < 128 && slot === newestSlot(log) ? olderMeta(log) : untouched(log);
  }
  // One copy of the header is enough.
  if (offset < 2 * UNIT) return untouched(log);
  const index = log.frames.findIndex((frame) =>
    offset >= frame.offset && offset < frame.offset + frame.used
  );
  return index < 0 ? untouched(log) : withoutFrame(log, index);
}

/** After a cut to `length` bytes. */
function cut(log: Log, file: string, length: number): Outcome {
  if (file === META) {
    const whole = (slot: number) => length >= slot + 128;
    if (whole(newestSlot(log))) return untouched(log);
    if (whole(SLOT_BYTES - newestSlot(log))) {
      const outcome = olderMeta(log);
      // The slot that is gone is no damaged one unless something is left of it.
      const left = length > newestSlot(log);
      return outcome.file === META && !left ? { ...outcome, offset: 0 } : outcome;
    }
    return { state: "corrupt", last: 0, file: META, offset: 0 };
  }
  if (length < 128) return { state: "corrupt", last: 0, file, offset: 0 };
  if (log.whole && length < SEGMENT_BYTES) {
    return { state: "corrupt", last: 0, file, offset: length };
  }
  const index = log.frames.findIndex((frame) => frame.offset + frame.length > length);
  if (index < 0) return untouched(log);
  const { firstLsn, offset } = log.frames[index];
  return { state: log.sealed ? "corrupt" : "torn", last: firstLsn - 1, file, offset };
}

async function look(io: MemoryIo): Promise<Outcome> {
  let view: WalView;
  try {
    view = await WalView.open("/log", io);
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    return { state: "corrupt", last: 0, file: error.file, offset: error.offset };
  }
  const { state, last, file, offset } = await view.verify();
  await view.close();
  return { state, last, file, offset };
}

/** Opening decides alike. */
async function open(image: Map<string, Uint8Array>): Promise<Outcome> {
  const io = MemoryIo.fromImage(image, { arenaBytes: 1 << 20 });
  try {
    const wal = await Wal.open("/log", {
      ...{ io, segmentBytes: 81_920, commit: { maxBytes: UNIT, maxInFlight: 2 } },
    });
    const { tail, lastLsn, file, offset } = wal.recovery;
    let last = 0;
    for await (const batch of wal.read()) last = batch.firstLsn + batch.length - 1;
    assert.equal(last, lastLsn);
    await wal.close();
    return { state: tail, last, file, offset };
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    return { state: "corrupt", last: -1, file: error.file, offset: error.offset };
  }
}

function check(found: Outcome, expected: Outcome, what: string): void {
  const { state, last, file, offset } = found;
  // A refusal says nothing of records.
  const records = last < 0 || expected.file === META ? expected.last : last;
  const same = state === expected.state && records === expected.last && file === expected.file &&
    offset === expected.offset;
  if (!same) assert.deepEqual(found, expected, what);
}

const LOGS: [string, Log][] = [
  ["closed", build(true, true)],
  ["not closed", build(false, true)],
  ["not closed, with a mark", build(false, true, true)],
];
const GROWING: [string, Log] = ["not closed, growing", build(false, false)];

for (const [name, log] of LOGS) {
  test(`${name}: every bit`, { timeout: 600_000 }, async () => {
    const io = MemoryIo.fromImage(log.image, { arenaBytes: 1 << 20 });
    check(await look(io), untouched(log), "as it was");
    const states = new Map<string, number>();
    const flip = async (file: string, offset: number, bit: number) => {
      const what = `bit ${bit} of byte ${offset} of ${file}`;
      const expected = flipped(log, file, offset);
      io.rot(file, offset, bit);
      check(await look(io), expected, what);
      io.rot(file, offset, bit);
      states.set(expected.state, (states.get(expected.state) ?? 0) + 1);
      // A whole opening takes longer; each byte that counts gets one.
      if (bit !== offset % 8 || (!EVERY && offset % 61 !== 0)) return;
      const damaged = new Map(log.image);
      const bytes = damaged.get(file)!.slice();
      bytes[offset] ^= 1 << bit;
      damaged.set(file, bytes);
      check(await open(damaged), expected, `${what}, opened`);
    };
    for (const [file, bytes] of log.image) {
      // Everything that counts, with something around it; of the rest, zeros and long records, a part.
      const counts = (offset: number) =>
        file === META
          ? offset % SLOT_BYTES < 132
          : offset % UNIT < 132 && offset < endOf(log.frames);
      for (let offset = 0; offset < bytes.length; offset++) {
        const all = EVERY ? offset % SLOT_BYTES < 2 * UNIT || file === SEGMENT : counts(offset);
        if (all) { for (let bit = 0; bit < 8; bit++) await flip(file, offset, bit); }
        else if (offset % 509 === 0) await flip(file, offset, offset % 8);
      }
    }
    console.log(`# ${JSON.stringify([...states])}`);
  });

  test(`${name}: the same bit of both headers`, async () => {
    const io = MemoryIo.fromImage(log.image, { arenaBytes: 1 << 20 });
    for (let bit = 0; bit < 128 * 8; bit++) {
      for (const copy of [0, UNIT]) io.rot(SEGMENT, copy + (bit >> 3), bit & 7);
      const { state, file, offset } = await look(io);
      assert.deepEqual([state, file, offset], ["corrupt", SEGMENT, 0], `bit ${bit}`);
      for (const copy of [0, UNIT]) io.rot(SEGMENT, copy + (bit >> 3), bit & 7);
    }
  });
}

for (const [name, log] of [...LOGS.slice(0, 2), GROWING]) {
  test(`${name}: every length`, { timeout: 600_000 }, async () => {
    for (const [file, bytes] of log.image) {
      for (let length = 0; length < bytes.length; length++) {
        // Every length around what begins and ends somewhere; of the others, a part.
        const near = (edge: number, reach: number) => Math.abs(length % edge - reach) <= 3;
        const edge = near(file === META ? SLOT_BYTES : UNIT, 0) || near(UNIT, 64) ||
          near(UNIT, 128) || length % UNIT > UNIT - 4;
        const some = file === META ? length % SLOT_BYTES < 200 && edge : edge;
        if (!(EVERY && file === SEGMENT) && !some && length % 251 !== 0) continue;
        const image = new Map(log.image).set(file, bytes.slice(0, length));
        const io = MemoryIo.fromImage(image, { arenaBytes: 1 << 20 });
        const expected = cut(log, file, length);
        check(await look(io), expected, `${file} cut to ${length} bytes`);
        if (length % 5 === 0) {
          check(await open(image), expected, `${file} cut to ${length} bytes, opened`);
        }
      }
    }
  });
}
