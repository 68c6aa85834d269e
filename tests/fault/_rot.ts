/**
 * Bytes on disk that are not what was written there: bits flipped, files cut, blocks zeroed, swapped,
 * repeated, written elsewhere, taken from an older life of the segment, from another log or from an earlier
 * moment, and whole fields forged with good checksums. Each time the library must find what docs/FORMAT.md
 * says, as `tests/format/read_log.ts` reads it, and deliver no record that was not written.
 */
import { MemoryIo } from "../../src/io/memory.ts";
import { Prng } from "../../src/io/prng.ts";
import { WalCorruptionError, WalMissingError } from "../../src/wal/errors.ts";
import { WalView } from "../../src/wal/view.ts";
import { crc, LogBuilder, type MetaMeaning, type Place, UNIT } from "../format/build.ts";
import { readLog, type Verdict } from "../format/read_log.ts";

type Files = Map<string, Uint8Array>;

/** What was done, and how often the log was then what. */
export interface RotCounts {
  damages: number;
  kinds: Record<string, number>;
  states: Record<string, number>;
  records: number;
}

/** Something was found that the page does not say. */
export class Rotten extends Error {
  override readonly name: string = "Rotten";
}

const SEGMENT_BYTES = 8 * UNIT;
const WINDOW = 4 * UNIT;
const SLOT_BYTES = 65_536;
const MILLIS = 1_767_225_600_000;
const names = [1, 2, 3, 4].map((n) => `${String(n).padStart(16, "0")}.wal`);

/** A log, where its frames are, and what can be put in place of its bytes. */
export interface Specimen {
  name: string;
  files: Files;
  /** By segment in use. */
  frames: Map<string, Place[]>;
  records: Map<number, Uint8Array>;
  /** Files that stood here before, or stand in another log: same names and lengths. */
  others: Files[];
}

/** Three segments, of which the last one ends as `end` says, and a recycled spare. */
function build(end: "closed" | "open" | "growing", fill: number): Specimen {
  const uuid = Uint8Array.from({ length: 16 }, (_, i) => fill + i);
  const files: Files = new Map();
  const older: Files = new Map();
  const frames = new Map<string, Place[]>();
  const records = new Map<number, Uint8Array>();
  const rng = new Prng(fill);
  const builder = new LogBuilder(uuid);
  const life = (
    sequence: number,
    first: number,
    epoch: number,
    salt: number,
    sizes: number[][],
    marks: number[],
    whole = true,
  ) => ({
    ...{ sequence, first, epoch, whole, window: WINDOW, length: SEGMENT_BYTES, millis: MILLIS },
    salt: Uint8Array.from({ length: 8 }, (_, i) => salt * 16 + i + fill),
    frames: sizes.map((lengths, i) => ({
      records: lengths.map((length) => Uint8Array.from({ length }, () => rng.below(256))),
      ...{ mark: marks[i], epoch, millis: MILLIS + i },
    })),
  });
  const write = (name: string, into: Files, lived: ReturnType<typeof life>, from?: Uint8Array) => {
    const bytes = from?.slice() ?? new Uint8Array(SEGMENT_BYTES);
    const places = builder.life(bytes, lived);
    into.set(name, bytes);
    if (into !== files) return places;
    frames.set(name, places);
    let lsn = lived.first;
    for (const frame of lived.frames) for (const one of frame.records) records.set(lsn++, one);
    return places;
  };
  // The older life of a file: frames at the very same places, of another epoch and salt.
  const past = new LogBuilder(uuid);
  for (const [index, name] of names.entries()) {
    const bytes = new Uint8Array(SEGMENT_BYTES);
    const first = 1 + 10 * index;
    past.chain(first - 1, 7);
    past.life(bytes, life(index + 1, first, 1, 9, [[5], [40, 0], [4090], [12]], [0, 1, 2, 3]));
    older.set(name, bytes);
  }
  write(names[0], files, life(1, 1, 2, 1, [[9], [30, 0], [4100, 3], [7]], [0, 1, 3, 3]));
  const second = life(2, 7, 2, 2, [[11], [], [2000, 2000, 60], [1]], [6, 7, 7, 10]);
  write(names[1], files, second, older.get(names[1]));
  // The last two were in flight together.
  const third = life(
    3,
    12,
    3,
    3,
    [[5, 5], [300], [4200], [8]],
    [11, 13, 14, 14],
    end !== "growing",
  );
  const places = write(names[2], files, third, end === "growing" ? undefined : older.get(names[2]));
  const last = places.at(-1)!;
  if (end === "growing") {
    files.set(names[2], files.get(names[2])!.slice(0, last.offset + last.length));
  }
  // Recycled: its header is of the segment that it was.
  files.set(names[3], older.get(names[0])!);
  const lsn = last.firstLsn + last.count - 1;
  const base = { epoch: 3, lowLsn: 1, lowSequence: 1, sealed: false, sealedOffset: 0 };
  const slots: MetaMeaning[] = [
    { ...base, counter: 8, activated: 2, sealedLsn: 6 },
    { ...base, counter: 9, activated: 3, sealedLsn: 11 },
  ];
  if (end === "closed") {
    const seal = { sealed: true, sealedLsn: lsn, sealedOffset: last.offset + last.length };
    slots.push({ ...base, counter: 10, activated: 3, ...seal });
  }
  files.set("META", builder.meta(slots));
  older.set("META", builder.meta(slots.slice(0, 2)));
  return { name: end, files, frames, records, others: [older] };
}

/** The logs that are damaged. */
export function specimens(): Specimen[] {
  const all = (["closed", "open", "growing"] as const).map((end) => build(end, 0x10));
  const foreign = build("open", 0x60);
  for (const one of all) one.others.push(foreign.files);
  return all;
}

async function look(files: Files): Promise<Verdict> {
  const image: Files = new Map([...files].map(([name, bytes]) => [`/log/${name}`, bytes]));
  const io = MemoryIo.fromImage(image, { arenaBytes: 1 << 18, latencyMicros: 0 });
  const records = new Map<number, Uint8Array>();
  const corrupt = ({ file, offset }: { file: string; offset: number }): Verdict => ({
    ...{ state: "corrupt", last: 0, file: file.slice("/log/".length), offset, records },
  });
  let view: WalView;
  try {
    view = await WalView.open("/log", io);
  } catch (error) {
    if (error instanceof WalMissingError) return corrupt({ file: "/log/META", offset: 0 });
    if (!(error instanceof WalCorruptionError)) throw error;
    return corrupt(error);
  }
  const { state, last, file, offset } = await view.verify();
  let damage: WalCorruptionError | undefined;
  try {
    for await (const batch of view.read()) {
      for (let i = 0; i < batch.length; i++) {
        records.set(batch.firstLsn + i, batch.bytes(i).slice());
      }
    }
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    damage = error;
  }
  await view.close();
  if (damage !== undefined && state !== "corrupt") {
    throw new Rotten(`it is ${state}, and reading says ${damage.message}`);
  }
  return { state, last, file: file.slice("/log/".length), offset, records };
}

const same = (a: Uint8Array, b: Uint8Array | undefined) =>
  b !== undefined && a.length === b.length && a.every((byte, i) => byte === b[i]);

/** The library and the page must agree; `forged` bytes may hold records that nobody wrote. */
export async function judge(specimen: Specimen, files: Files, forged: boolean): Promise<Verdict> {
  const expected = readLog(files);
  const found = await look(files);
  const place = (one: Verdict) => `${one.state} in ${one.file} at ${one.offset}`;
  const alike = [expected, ...(expected.state === "corrupt" ? [readLog(files, true)] : [])];
  // One number that was forged contradicts several things.
  const refused = forged && found.state === "corrupt" && expected.state === "corrupt";
  if (!refused && !alike.some((one) => place(one) === place(found))) {
    throw new Rotten(`found ${place(found)}, and the page says ${place(expected)}`);
  }
  if (found.state !== "corrupt" && found.last !== expected.last) {
    throw new Rotten(`the last record is ${found.last} instead of ${expected.last}`);
  }
  for (const [lsn, bytes] of found.records) {
    // Records that stand before the damage may be shown.
    const known = same(bytes, specimen.records.get(lsn)) ||
      (forged && same(bytes, expected.records.get(lsn)));
    if (!known) throw new Rotten(`record ${lsn} is not what was written`);
  }
  if (found.state !== "corrupt") {
    for (const lsn of expected.records.keys()) {
      if (!found.records.has(lsn)) throw new Rotten(`record ${lsn} was not delivered`);
    }
  }
  return found;
}

/**
 * Fields that can be forged: where a CRC says that they are right. (Not META's low-water mark: what a log is
 * whose oldest records are another segment's the page does not say.)
 */
export const META_FIELDS: readonly [number, 4 | 8][] = [
  [8, 4],
  [32, 8],
  [40, 4],
  [44, 4],
  [48, 8],
  [72, 8],
  [80, 8],
  [88, 4],
];
export const HEADER_FIELDS: readonly [number, 4 | 8][] = [
  [8, 4],
  [16, 8],
  [32, 8],
  [40, 8],
  [48, 8],
  [56, 4],
  [60, 4],
  [64, 8],
  [72, 8],
  [80, 8],
  [88, 4],
  [92, 4],
  [96, 8],
  [104, 4],
];
export const FRAME_FIELDS: readonly [number, 4 | 8][] = [
  [12, 4],
  [16, 4],
  [20, 4],
  [24, 8],
  [32, 8],
  [40, 4],
  [44, 4],
  [48, 4],
  [52, 4],
  [56, 8],
];

/** Near what it was, near zero, or anything. */
export function forgeField(rng: Prng, view: DataView, at: number, bytes: 4 | 8): void {
  const near = BigInt(rng.below(5) - 2);
  const old = bytes === 8 ? view.getBigUint64(at, true) : BigInt(view.getUint32(at, true));
  const any = BigInt(rng.next()) << 32n | BigInt(rng.next());
  const values = [old + near, near, any, 1n << BigInt(rng.below(64)), (1n << 53n) + near, old ^ 1n];
  const value = BigInt.asUintN(8 * bytes, values[rng.below(values.length)]);
  if (bytes === 8) view.setBigUint64(at, value, true);
  else view.setUint32(at, Number(value), true);
}

const viewOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Gives a header or a slot of META the checksum that its bytes would have. */
export function reseal(bytes: Uint8Array): void {
  viewOf(bytes).setUint32(12, 0, true);
  viewOf(bytes).setUint32(12, crc(bytes.subarray(0, 128)), true);
}

/** Gives a frame the checksums that its bytes would have. */
export function resealFrame(file: Uint8Array, offset: number, payload: boolean): void {
  const place = new Uint8Array(16);
  place.set(file.subarray(48, 56));
  viewOf(place).setBigUint64(8, BigInt(offset), true);
  const seed = crc(place);
  const frame = file.subarray(offset);
  const view = viewOf(frame);
  if (payload) {
    view.setUint32(8, crc(frame.subarray(64, 64 + view.getUint32(12, true)), seed), true);
  }
  view.setUint32(4, crc(frame.subarray(8, 64), seed), true);
}

/** One random damage; says what it was. */
export function damage(specimen: Specimen, rng: Prng): { files: Files; what: string } {
  const files: Files = new Map(specimen.files);
  const all = [...files.keys()];
  const own = (name: string) => {
    const bytes = files.get(name)!.slice();
    files.set(name, bytes);
    return bytes;
  };
  const inUse = [...specimen.frames.keys()];
  const name = rng.oneIn(4) ? all[rng.below(all.length)] : inUse[rng.below(inUse.length)];
  const unitOf = (bytes: Uint8Array) => rng.below(Math.max(1, Math.floor(bytes.length / UNIT)));
  const block = (bytes: Uint8Array, unit: number) => bytes.slice(UNIT * unit, UNIT * (unit + 1));
  switch (rng.below(12)) {
    case 0: {
      const bytes = own(name);
      // Where something counts, as a rule.
      const places = specimen.frames.get(name);
      const place = places?.[rng.below(places.length)];
      const offset = place === undefined || rng.oneIn(3)
        ? rng.below(bytes.length)
        : place.offset + rng.below(place.used);
      const bit = rng.below(8);
      bytes[offset] ^= 1 << bit;
      return { files, what: `bit: ${bit} of byte ${offset} of ${name}` };
    }
    case 1: {
      const length = rng.oneIn(2)
        ? rng.below(files.get(name)!.length)
        : UNIT * unitOf(files.get(name)!);
      files.set(name, files.get(name)!.slice(0, length));
      return { files, what: `cut: ${name} to ${length} bytes` };
    }
    case 2: {
      const bytes = own(name);
      const from = unitOf(bytes);
      const to = Math.min(bytes.length, UNIT * (from + 1 + rng.below(3)));
      bytes.fill(rng.oneIn(3) ? 0xff : 0, UNIT * from, to);
      return { files, what: `zeroed: ${UNIT * from} to ${to} of ${name}` };
    }
    case 3: {
      const bytes = own(name);
      const [a, b] = [unitOf(bytes), unitOf(bytes)];
      const [one, other] = [block(bytes, a), block(bytes, b)];
      bytes.set(one.subarray(0, other.length), UNIT * b);
      bytes.set(other.subarray(0, one.length), UNIT * a);
      return { files, what: `swapped: units ${a} and ${b} of ${name}` };
    }
    case 4: {
      const bytes = own(name);
      const [a, b] = [unitOf(bytes), unitOf(bytes)];
      bytes.copyWithin(UNIT * b, UNIT * a, Math.min(bytes.length, UNIT * (a + 1)));
      return { files, what: `repeated: unit ${a} at ${b} of ${name}` };
    }
    case 5: {
      // A write that went to another file.
      const bytes = own(name);
      const from = inUse[rng.below(inUse.length)];
      const source = specimen.files.get(from)!;
      const [a, b] = [unitOf(source), unitOf(bytes)];
      const piece = block(source, a);
      bytes.set(piece.subarray(0, Math.max(0, bytes.length - UNIT * b)), UNIT * b);
      return { files, what: `misdirected: unit ${a} of ${from} to ${b} of ${name}` };
    }
    case 6:
    case 7: {
      // Of an older life, or of another log: one unit, some, or the file from somewhere on.
      const bytes = own(name);
      const index = rng.below(specimen.others.length);
      const other = specimen.others[index].get(name)!;
      const from = unitOf(bytes);
      const to = rng.oneIn(3) ? bytes.length : UNIT * (from + 1 + rng.below(2));
      bytes.set(other.subarray(UNIT * from, Math.min(to, bytes.length)), UNIT * from);
      return { files, what: `stale: ${UNIT * from} to ${to} of ${name}, from ${index}` };
    }
    case 8: {
      const [a, b] = [all[rng.below(all.length)], all[rng.below(all.length)]];
      if (a === b) {
        files.delete(a);
        return { files, what: `missing: ${a}` };
      }
      const [one, other] = [files.get(a)!, files.get(b)!];
      files.set(a, other);
      if (rng.oneIn(2)) files.set(b, one);
      return { files, what: `renamed: ${b} as ${a}` };
    }
    case 9: {
      const bytes = own("META");
      const slot = bytes.subarray(rng.below(2) * SLOT_BYTES).subarray(0, 128);
      const [at, length] = META_FIELDS[rng.below(META_FIELDS.length)];
      forgeField(rng, viewOf(slot), at, length);
      reseal(slot);
      return { files, what: `forged: field ${at} of META` };
    }
    case 10: {
      const bytes = own(name === "META" ? inUse[0] : name);
      const [at, length] = HEADER_FIELDS[rng.below(HEADER_FIELDS.length)];
      const copies = rng.oneIn(2) ? [0, UNIT] : [rng.below(2) * UNIT];
      forgeField(rng, viewOf(bytes), at, length);
      const field = bytes.slice(at, at + length);
      if (!copies.includes(0)) {
        bytes.set(specimen.files.get(name)?.subarray(at, at + length) ?? field, at);
      }
      for (const copy of copies) {
        bytes.set(field, copy + at);
        reseal(bytes.subarray(copy, copy + 128));
      }
      return {
        files,
        what: `forged: field ${at} of the header of ${name}, ${copies.length} copies`,
      };
    }
    default: {
      const segment = inUse[rng.below(inUse.length)];
      const bytes = own(segment);
      const places = specimen.frames.get(segment)!;
      const place = places[rng.below(places.length)];
      const [at, length] = FRAME_FIELDS[rng.below(FRAME_FIELDS.length)];
      forgeField(rng, viewOf(bytes), place.offset + at, length);
      resealFrame(bytes, place.offset, rng.oneIn(2));
      return { files, what: `forged: field ${at} of the frame at ${place.offset} of ${segment}` };
    }
  }
}

/** An empty count. */
export function newRotCounts(): RotCounts {
  return { damages: 0, kinds: {}, states: {}, records: 0 };
}

/** Judges one damaged log, and counts it. An error says what was done. */
export async function rotOnce(
  specimen: Specimen,
  { files, what }: { files: Files; what: string },
  counts: RotCounts,
): Promise<void> {
  const kind = what.slice(0, what.indexOf(":"));
  try {
    const { state, records } = await judge(specimen, files, kind === "forged");
    counts.states[state] = (counts.states[state] ?? 0) + 1;
    counts.records += records.size;
  } catch (error) {
    (error as Error).message = `${specimen.name}, ${what}: ${(error as Error).message}`;
    throw error;
  }
  counts.damages++;
  counts.kinds[kind] = (counts.kinds[kind] ?? 0) + 1;
}

/** Damages of random kinds, each from a seed of its own: `seed`, `seed + 1`, … */
export async function rotCampaign(
  seed: number,
  damages: number,
  until: number,
  counts: RotCounts = newRotCounts(),
): Promise<RotCounts> {
  const all = specimens();
  for (let i = 0; i < damages && performance.now() < until; i++) {
    const rng = new Prng(seed + i);
    const specimen = all[rng.below(all.length)];
    try {
      await rotOnce(specimen, damage(specimen, rng), counts);
    } catch (error) {
      (error as Error).message = `seed ${seed + i}: ${(error as Error).message}`;
      throw error;
    }
  }
  return counts;
}

/** Every bit of every file in use, of which each runtime takes its own half. */
export async function everyBit(half: 0 | 1, until: number, counts: RotCounts): Promise<boolean> {
  for (const specimen of specimens()) {
    for (const name of ["META", ...specimen.frames.keys()]) {
      const whole = specimen.files.get(name)!;
      for (let offset = 0; offset < whole.length; offset++) {
        // Between the slots of META nothing is read.
        if (name === "META" && offset % SLOT_BYTES >= UNIT) continue;
        for (let bit = half; bit < 8; bit += 2) {
          if (performance.now() > until) return false;
          const bytes = whole.slice();
          bytes[offset] ^= 1 << bit;
          const files = new Map(specimen.files).set(name, bytes);
          await rotOnce(
            specimen,
            { files, what: `bit: ${bit} of byte ${offset} of ${name}` },
            counts,
          );
        }
      }
    }
  }
  return true;
}

/** Every length of every file in use, of which each runtime takes its own half. */
export async function everyLength(half: 0 | 1, until: number, counts: RotCounts): Promise<boolean> {
  for (const specimen of specimens()) {
    for (const name of ["META", ...specimen.frames.keys()]) {
      const whole = specimen.files.get(name)!;
      for (let length = half; length < whole.length; length += 2) {
        if (performance.now() > until) return false;
        const files = new Map(specimen.files).set(name, whole.slice(0, length));
        await rotOnce(specimen, { files, what: `cut: ${name} to ${length} bytes` }, counts);
      }
    }
  }
  return true;
}
