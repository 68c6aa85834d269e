/**
 * Everything that parses bytes from disk, alone: slots of META, segment headers, frame headers, records,
 * whole segments, and the texts (SNAPSHOT, CALIBRATION, LOCK). The inputs follow the grammar of
 * docs/FORMAT.md, with any field out of range, and mostly with the checksum that such bytes would have, so
 * that they get past it; the rest is noise. What a parser says must be what the second reader
 * (`tests/format/read_log.ts`) says, which shares no code with it; texts have no second reader, so what is
 * accepted must have the shape that the page gives. Nothing may throw but what the parser promises, nor loop.
 */
import { crc32c } from "../../src/io/crc32c.ts";
import type { IoBuffer, IoFile } from "../../src/io/io.ts";
import { Prng } from "../../src/io/prng.ts";
import type { Task } from "../../src/io/pump.ts";
import { parseCalibration } from "../../src/wal/calibration.ts";
import type { Disk } from "../../src/wal/disk.ts";
import { WalCorruptionError } from "../../src/wal/errors.ts";
import {
  decodeFrameHeader,
  decodeHeader,
  decodeMeta,
  frameSeed,
  META_SLOT_STRIDE_BYTES,
  newFrameHeader,
  uuidText,
} from "../../src/wal/format.ts";
import { readMeta } from "../../src/wal/meta.ts";
import { describeHolder } from "../../src/wal/open.ts";
import { lengthsAddUp, RecordBatch } from "../../src/wal/records.ts";
import { findTail, scanActivated } from "../../src/wal/recovery.ts";
import { parseManifest } from "../../src/wal/snapshot.ts";
import { crc, LogBuilder, UNIT } from "../format/build.ts";
import { Corrupt, frameAt, headerAt, readLog, slotAt } from "../format/read_log.ts";
import { forgeField, FRAME_FIELDS, reseal, resealFrame } from "./_rot.ts";

/** Inputs by parser, and how many of them the parser took for whole. */
export interface ParserCounts {
  inputs: number;
  parsed: Record<Parser, number>;
  accepted: Record<Parser, number>;
}

/** A parser does not say what the page says. */
export class Misread extends Error {
  override readonly name: string = "Misread";
}

function check(holds: boolean, message: () => string): asserts holds {
  if (!holds) throw new Misread(message());
}

const viewOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** Bytes as hexadecimal digits, for a message. */
const hex = (bytes: Uint8Array) =>
  Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");

/** A number that may be found in a field: small, near a limit, or anything. */
function putNumber(rng: Prng, view: DataView, at: number, small: number): void {
  let low = rng.below(small);
  let high = 0;
  switch (rng.below(16)) {
    case 0:
      low = rng.next();
      break;
    case 1:
      [low, high] = [rng.next(), rng.below(0x20_0000)];
      break;
    case 2:
      // The last number that there is, and the next one, which is none.
      [low, high] = rng.oneIn(2) ? [0xffff_ffff, 0x1f_ffff] : [0, 0x20_0000];
      break;
    case 3:
      [low, high] = [rng.next(), rng.next()];
      break;
  }
  view.setUint32(at, low, true);
  view.setUint32(at + 4, high, true);
}

const put32 = (rng: Prng, view: DataView, at: number, small: number) =>
  view.setUint32(at, rng.oneIn(16) ? rng.next() : rng.below(small), true);

function putWord(bytes: Uint8Array, word: string): void {
  for (let i = 0; i < word.length; i++) bytes[i] = word.charCodeAt(i);
}

/** A few bits, somewhere; `false` when it has left everything as it is. */
function noise(rng: Prng, bytes: Uint8Array): boolean {
  if (!rng.oneIn(8)) return false;
  for (let flips = rng.between(1, 3); flips > 0; flips--) {
    bytes[rng.below(bytes.length)] ^= 1 << rng.below(8);
  }
  return true;
}

/** What the second reader gives, `undefined` for what it does not take, or `newer`. */
function judged<T>(read: () => T | undefined): T | undefined | "newer" {
  try {
    return read();
  } catch (error) {
    if (error instanceof Corrupt) return "newer";
    throw error;
  }
}

const uuidNumber = (uuid: Uint8Array) =>
  viewOf(uuid).getBigUint64(0, true) << 64n | viewOf(uuid).getBigUint64(8, true);

/** The checksums that the library uses under test; those of the second reader are its own. */
const sum = (bytes: Uint8Array, seed = 0) => crc32c(bytes, seed);

const slot = new Uint8Array(new ArrayBuffer(128));
const slotView = viewOf(slot);

function metaOnce(rng: Prng): boolean {
  rng.fill(slot.subarray(16, 32));
  putWord(slot, "URINGMET");
  slotView.setUint32(8, rng.oneIn(32) ? rng.below(4) : 1, true);
  for (const at of [32, 48, 56, 64, 72, 80]) putNumber(rng, slotView, at, 4);
  for (const at of [40, 44, 88]) put32(rng, slotView, at, 3);
  slot.fill(0, 92);
  // Most numbers that are possible stand close together.
  if (rng.oneIn(2)) slot.copyWithin(64, 48, 56);
  const length = rng.oneIn(64) ? rng.below(128) : 128;
  const late = rng.oneIn(2) && noise(rng, slot);
  reseal(slot);
  if (!late) noise(rng, slot);
  const bytes = slot.subarray(0, length);
  const said = decodeMeta(bytes, sum);
  const expected = judged(() => slotAt(bytes));
  if (expected === undefined || expected === "newer") {
    const same = expected === "newer" ? "version" in said : "damage" in said;
    check(same, () => `META ${hex(bytes)}: ${JSON.stringify(said)}, and it is ${expected}`);
    return false;
  }
  check("meta" in said, () => `META ${hex(bytes)} is a slot: ${JSON.stringify(said)}`);
  const { meta } = said;
  check(
    meta.counter === expected.counter && meta.epoch === expected.epoch &&
      meta.sealed === expected.sealed && meta.activated === expected.activated &&
      meta.lowWaterLsn === expected.lowLsn && meta.lowWaterSequence === expected.lowSequence &&
      meta.sealedLsn === expected.sealedLsn && meta.sealedOffset === expected.sealedOffset &&
      meta.sealedChain === expected.sealedChain && uuidNumber(meta.uuid) === expected.uuid,
    () => `META ${hex(bytes)} is not ${JSON.stringify(meta)}`,
  );
  return true;
}

const head = new Uint8Array(new ArrayBuffer(128));
const headView = viewOf(head);

function headerOnce(rng: Prng): boolean {
  rng.fill(head.subarray(16, 32));
  rng.fill(head.subarray(48, 56));
  putWord(head, "URINGWAL");
  headView.setUint32(8, rng.oneIn(32) ? rng.below(4) : 1, true);
  for (const at of [32, 40, 72, 80, 96]) putNumber(rng, headView, at, 4);
  const unit = rng.oneIn(16) ? rng.next() : 1 << rng.between(10, 18);
  headView.setUint32(56, unit, true);
  put32(rng, headView, 60, 1 << 20);
  putNumber(rng, headView, 64, 4);
  if (!rng.oneIn(8)) {
    headView.setUint32(64, Math.min(unit * rng.below(16), 0xffff_ffff), true);
    headView.setUint32(68, 0, true);
  }
  for (const at of [88, 92, 104]) put32(rng, headView, at, 3);
  head.fill(0, 108);
  const length = rng.oneIn(64) ? rng.below(128) : 128;
  const late = rng.oneIn(2) && noise(rng, head);
  reseal(head);
  if (!late) noise(rng, head);
  const bytes = head.subarray(0, length);
  const said = decodeHeader(bytes, sum);
  const expected = judged(() => headerAt(bytes, ""));
  if (expected === undefined || expected === "newer") {
    const same = expected === "newer" ? "version" in said : "damage" in said;
    check(same, () => `header ${hex(bytes)}: ${JSON.stringify(said)}, and it is ${expected}`);
    return false;
  }
  check("header" in said, () => `header ${hex(bytes)} is one: ${JSON.stringify(said)}`);
  const { header } = said;
  // A number that is none is no good for any comparison; the second reader says -1.
  const number = (value: number) => Number.isNaN(value) ? -1 : value;
  check(
    uuidNumber(header.uuid) === expected.uuid && header.sequence === expected.sequence &&
      header.firstLsn === expected.first && hex(header.salt) === hex(expected.salt) &&
      header.commitUnitBytes === expected.unit && header.windowBytes === expected.window &&
      header.segmentBytes === expected.length &&
      number(header.previousLsn) === expected.previousLsn &&
      header.previousChain === expected.previousChain && header.epoch === expected.epoch &&
      header.preallocated === expected.whole,
    () => `header ${hex(bytes)} is not ${JSON.stringify(header)}`,
  );
  return true;
}

const place = new Uint8Array(new ArrayBuffer(256));
const placeView = viewOf(place);
const salt = new Uint8Array(new ArrayBuffer(8));
const frame = newFrameHeader();
const seedBytes = new Uint8Array(new ArrayBuffer(16));
const seedView = viewOf(seedBytes);

function frameOnce(rng: Prng): boolean {
  const at = rng.below(256 - 64);
  rng.fill(salt);
  place.fill(0);
  placeView.setUint32(at, rng.oneIn(32) ? rng.next() : 0x31465255, true);
  for (const field of [8, 48]) placeView.setUint32(at + field, rng.next(), true);
  for (const field of [12, 16, 20, 40, 44, 52]) put32(rng, placeView, at + field, 3);
  for (const field of [24, 32, 56]) putNumber(rng, placeView, at + field, 4);
  seedBytes.set(salt);
  seedView.setUint32(8, at, true);
  seedView.setUint32(12, 0, true);
  placeView.setUint32(at + 4, crc(place.subarray(at + 8, at + 64), crc(seedBytes)), true);
  noise(rng, place);
  const accepted = decodeFrameHeader(place, placeView, at, frameSeed(salt, at, sum), sum, frame);
  const expected = frameAt(place, at, { salt } as Parameters<typeof frameAt>[2]);
  check(
    accepted === (expected !== undefined),
    () => `frame ${hex(place)} at ${at}, salt ${hex(salt)}: ${accepted}`,
  );
  if (expected === undefined) return false;
  const number = (value: number) => Number.isNaN(value) ? -1 : value;
  check(
    frame.headerCrc === expected.head && frame.payloadCrc === expected.body &&
      frame.payloadBytes === expected.size && frame.recordCount === expected.count &&
      frame.kind === expected.kind && number(frame.firstLsn) === expected.first &&
      number(frame.durableMark) === expected.mark && frame.epoch === expected.epoch &&
      frame.previousChain === expected.before,
    () => `frame ${hex(place)} at ${at} is not ${JSON.stringify(frame)}`,
  );
  return true;
}

const heap = new Uint8Array(new ArrayBuffer(1024));
const heapView = viewOf(heap);
const batch = new RecordBatch();

function recordsOnce(rng: Prng): boolean {
  const from = rng.below(64);
  const count = rng.below(12);
  let end = from;
  for (let i = 0; i < count; i++) {
    const length = rng.oneIn(64) ? rng.next() : rng.below(24);
    heapView.setUint32(end, length, true);
    end += 4 + Math.min(length, 64);
  }
  if (rng.oneIn(16)) end += rng.below(8) - 4;
  end = Math.max(from, end);
  const claimed = rng.oneIn(16) ? Math.max(0, count + rng.below(3) - 1) : count;
  const payload = heap.subarray(from, end);
  // The records as the page lays them out.
  const places: [number, number][] = [];
  let at = 0;
  let whole = true;
  for (let i = 0; i < claimed && whole; i++) {
    if (at + 4 > payload.length) whole = false;
    else {
      const length = heapView.getUint32(from + at, true);
      places.push([at + 4, length]);
      at += 4 + length;
    }
  }
  whole &&= at === payload.length;
  const skip = rng.below(claimed + 1);
  const until = rng.between(skip, claimed);
  const where = () => `${claimed} records of ${hex(payload)}`;
  check(lengthsAddUp(payload, claimed) === whole, () => `${where()}: add up ${!whole}`);
  check(batch.load(payload, claimed, 7, skip, until) === whole, () => `${where()}: load`);
  if (!whole) return false;
  check(batch.length === until - skip && batch.firstLsn === 7 + skip, () => `${where()}: range`);
  for (let i = 0; i < batch.length; i++) {
    const [start, length] = places[skip + i];
    const bytes = batch.bytes(i);
    check(
      bytes.byteOffset === from + start && bytes.length === length &&
        batch.byteLength(i) === length,
      () => `${where()}: record ${skip + i}`,
    );
  }
  return true;
}

/** A task that has ended. */
function ended<T>(value: T): Task<T> {
  const task = { next: () => ({ done: true, value }), [Symbol.iterator]: () => task };
  return task as unknown as Task<T>;
}

/** Reads whole files from memory; nothing is ever waited for. */
class BytesDisk {
  readonly io = { crc32c: sum };

  read(file: IoFile, buffer: IoBuffer, into: number, length: number, offset: number) {
    const { bytes } = file as unknown as { bytes: Uint8Array };
    const piece = bytes.subarray(offset, offset + length);
    buffer.bytes.set(piece, into);
    return ended(piece.length);
  }

  stat(file: IoFile) {
    return ended({ size: (file as unknown as { bytes: Uint8Array }).bytes.length });
  }
}

const disk = new BytesDisk() as unknown as Disk;
const buffer = { bytes: new Uint8Array(new ArrayBuffer(65_536)), length: 65_536 } as IoBuffer;

function now<T>(task: Task<T>): T {
  const { done, value } = task.next();
  check(done === true, () => "a parser waits for something");
  return value;
}

const SEGMENT_NAME = "0000000000000001.wal";
const SEGMENT_BYTES = 8 * UNIT;
const UUID = Uint8Array.from({ length: 16 }, (_, i) => i + 1);
const MILLIS = 1_767_225_600_000;

/** A log of one segment, with some fields of its frames forged, and sealed or not. */
function segmentOnce(rng: Prng): boolean {
  const builder = new LogBuilder(UUID);
  const bytes = new Uint8Array(SEGMENT_BYTES);
  rng.fill(salt);
  const epoch = rng.between(1, 3);
  let lsn = 1;
  const frames = Array.from({ length: rng.below(5) }, () => {
    const records = Array.from({ length: rng.below(4) }, () => new Uint8Array(rng.below(1200)));
    const mark = rng.below(lsn);
    lsn += records.length;
    return { records, mark, epoch, millis: MILLIS };
  });
  const places = builder.life(bytes, {
    ...{ sequence: 1, first: 1, salt, window: UNIT * rng.between(1, 5), epoch: 1 },
    ...{ length: SEGMENT_BYTES, millis: MILLIS, whole: true, frames },
  });
  const last = places.at(-1);
  const sealed = last !== undefined && rng.oneIn(3);
  const seal = sealed
    ? { sealed, sealedLsn: lsn - 1, sealedOffset: last.offset + last.length }
    : { sealed, sealedLsn: rng.oneIn(4) ? rng.below(lsn) : 0, sealedOffset: 0 };
  const meta = builder.meta([
    { counter: 4, epoch, activated: 1, lowLsn: 1, lowSequence: 1, ...seal },
  ]);
  for (let forged = rng.below(3); forged > 0 && last !== undefined; forged--) {
    const { offset } = places[rng.below(places.length)];
    if (rng.oneIn(4)) {
      bytes.fill(0, offset, offset + rng.between(1, UNIT));
      continue;
    }
    const [at, length] = FRAME_FIELDS[rng.below(FRAME_FIELDS.length)];
    forgeField(rng, viewOf(bytes), offset + at, length);
    // (A frame whose records would lie beyond the file has no checksum of them.)
    const size = viewOf(bytes).getUint32(offset + 12, true);
    resealFrame(bytes, offset, rng.oneIn(2) && offset + 64 + size <= bytes.length);
  }
  const verdict = readLog(new Map([["META", meta], [SEGMENT_NAME, bytes]]));
  let found: { state: string; last: number; offset: number };
  const file = (path: string, bytes: Uint8Array) => ({ path, bytes }) as unknown as IoFile;
  try {
    const reading = now(readMeta(disk, file("META", meta), buffer));
    const scan = now(scanActivated(disk, file(SEGMENT_NAME, bytes), buffer, reading.meta));
    const tail = now(findTail(scan, reading.meta));
    found = { state: tail.state, last: tail.lastLsn, offset: tail.offset };
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    found = { state: "corrupt", last: 0, offset: error.offset };
  }
  const both = found.state === "corrupt" && verdict.state === "corrupt";
  check(
    both || lengthsWrong(verdict) || found.state === verdict.state &&
        found.last === verdict.last && found.offset === verdict.offset,
    () => `a segment is ${JSON.stringify(found)}, and the page says ${JSON.stringify(verdict)}`,
  );
  return found.state !== "corrupt";
}

/** Lengths of records are looked at by who reads them, not by who looks for the end. */
const lengthsWrong = ({ why }: { why?: string }) => why === "lengths do not add up";

const encoder = new TextEncoder();

/** A value that JSON can hold. */
function anyJson(rng: Prng, depth = 0): unknown {
  switch (rng.below(depth > 2 ? 7 : 9)) {
    case 0:
      return null;
    case 1:
      return rng.oneIn(2);
    case 2:
      return rng.below(100);
    case 3:
      return rng.oneIn(2) ? -rng.below(5) : rng.next() * 2 ** 31;
    case 4:
      return rng.next() / 7;
    case 5:
      return "";
    case 6:
      return ["META", SEGMENT_NAME, "../META", "direct", "buffered", "\u0000", "x"][rng.below(7)];
    case 7:
      return Array.from({ length: rng.below(4) }, () => anyJson(rng, depth + 1));
    default:
      return { name: anyJson(rng, depth + 1), bytes: anyJson(rng, depth + 1) };
  }
}

/** Members replaced, left out or added, each now and then. */
function forgeMembers(rng: Prng, value: Record<string, unknown>): unknown {
  if (rng.oneIn(64)) return anyJson(rng);
  const forged: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(value)) {
    if (rng.oneIn(24)) continue;
    if (rng.oneIn(16)) forged[name] = anyJson(rng);
    else if (Array.isArray(member)) {
      forged[name] = member.map((one) => forgeMembers(rng, one as Record<string, unknown>));
    } else if (typeof member === "object" && member !== null) {
      forged[name] = forgeMembers(rng, member as Record<string, unknown>);
    } else forged[name] = member;
  }
  if (rng.oneIn(32)) forged.__proto__ = anyJson(rng);
  return forged;
}

/** The text, cut or with a character changed now and then. */
function forgeText(rng: Prng, text: string): string {
  if (!rng.oneIn(8)) return text;
  const at = rng.below(text.length + 1);
  if (rng.oneIn(2)) return text.slice(0, at);
  return text.slice(0, at) + String.fromCharCode(rng.below(128)) + text.slice(at + rng.below(2));
}

const whole = (value: unknown, least = 0) =>
  Number.isSafeInteger(value) && (value as number) >= least;

function manifestOnce(rng: Prng): boolean {
  const value = forgeMembers(rng, {
    ...{ version: 1, uuid: uuidText(UUID), first: 1, last: rng.below(3), counter: 3 },
    takenMillis: MILLIS,
    files: [
      { name: "META", bytes: 131_072, crc32c: rng.next() },
      { name: SEGMENT_NAME, bytes: SEGMENT_BYTES, crc32c: rng.next() },
    ],
  });
  const line = encoder.encode(forgeText(rng, JSON.stringify(value)) + "\n");
  const digits = crc(line.subarray(0, line.indexOf(10) + 1)).toString(16).padStart(8, "0");
  const bytes = new Uint8Array(line.length + 9);
  bytes.set(line);
  bytes.set(encoder.encode(digits + "\n"), line.length);
  noise(rng, bytes);
  try {
    const manifest = parseManifest("SNAPSHOT", bytes, sum);
    check(
      manifest.version === 1 && whole(manifest.first, 1) && whole(manifest.last) &&
        manifest.last >= manifest.first - 1 && whole(manifest.counter) &&
        manifest.files.every(({ name, bytes, crc32c }) =>
          (name === "META" || /^[0-9]{16}\.wal$/.test(name)) && whole(bytes) && whole(crc32c)
        ),
      () => `a manifest: ${JSON.stringify(manifest)}`,
    );
    return true;
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    return false;
  }
}

function calibrationOnce(rng: Prng): boolean {
  const value = forgeMembers(rng, {
    version: 1,
    machine: { device: "64768", fileSystem: "ext4", kernel: "6.18.0" },
    mode: rng.oneIn(2) ? "direct" : "buffered",
    reason: "a frame of 4096 bytes takes 80 µs direct, 90 µs buffered",
  });
  const found = parseCalibration(forgeText(rng, JSON.stringify(value)));
  if (found === undefined) return false;
  const { machine, mode, reason } = found;
  const words = [machine.device, machine.fileSystem, machine.kernel, reason];
  check(
    (mode === "direct" || mode === "buffered") && words.every((word) => typeof word === "string"),
    () => `a calibration: ${JSON.stringify(found)}`,
  );
  return true;
}

function holderOnce(rng: Prng): boolean {
  const value = forgeMembers(rng, { pid: rng.next(), startTicks: 1, bootId: "b", host: "here" });
  const bytes = encoder.encode(forgeText(rng, JSON.stringify(value)));
  noise(rng, bytes);
  const words = describeHolder(bytes);
  check(typeof words === "string" && words.length > 0, () => `a holder: ${words}`);
  return words !== "another writer";
}

/** A log of one segment with three frames, and what META says of it: clean, torn, with something removed. */
function smallLog(
  sealed: boolean,
): { meta: Uint8Array; segment: Uint8Array; used: [number, number][] } {
  const builder = new LogBuilder(UUID);
  const segment = new Uint8Array(6 * UNIT);
  const frames = [["one", "two"], [], ["three".repeat(20)]].map((records, i) => ({
    ...{ records, mark: [0, 2, 2][i], epoch: 1, millis: MILLIS },
  }));
  const places = builder.life(segment, {
    ...{ sequence: 1, first: 1, salt: UUID.slice(0, 8), window: 2 * UNIT, epoch: 1 },
    ...{ length: segment.length, millis: MILLIS, whole: true, frames },
  });
  const base = { epoch: 1, activated: 1, lowLsn: 1, lowSequence: 1 };
  const last = places.at(-1)!;
  const seal = { sealed: true, sealedLsn: 3, sealedOffset: last.offset + last.length };
  const open = { sealed: false, sealedLsn: 0, sealedOffset: 0 };
  const meta = builder.meta([
    { ...base, counter: 3, ...open },
    { ...base, counter: 4, ...(sealed ? seal : open) },
  ]);
  const used = places.map(({ offset, used }): [number, number] => [offset, offset + used]);
  return { meta, segment, used: [[0, 128], [UNIT, UNIT + 128], ...used] };
}

/** What the library says of a log of one segment. */
function found(meta: Uint8Array, segment: Uint8Array): string {
  const file = (path: string, bytes: Uint8Array) => ({ path, bytes }) as unknown as IoFile;
  try {
    const reading = now(readMeta(disk, file("META", meta), buffer));
    const scan = now(scanActivated(disk, file(SEGMENT_NAME, segment), buffer, reading.meta));
    const { state, lastLsn, offset } = now(findTail(scan, reading.meta));
    return `${state} up to ${lastLsn} at ${offset}`;
  } catch (error) {
    if (!(error instanceof WalCorruptionError)) throw error;
    return `corrupt in ${error.file} at ${error.offset}`;
  }
}

/** What the page says of it. */
function expected(meta: Uint8Array, segment: Uint8Array): string {
  const { state, last, offset, file } = readLog(
    new Map([["META", meta], [SEGMENT_NAME, segment]]),
  );
  return state === "corrupt"
    ? `corrupt in ${file} at ${offset}`
    : `${state} up to ${last} at ${offset}`;
}

/**
 * Every bit of META's slots and of the segment, flipped, and every length of both: each time the log is what
 * the page says. Of the bytes that nothing is kept in (the rest of a unit) one bit each. Gives how many
 * there were, and how often the log was found to be what.
 */
export function everyDamage(sealed: boolean): { damages: number; states: Record<string, number> } {
  const { meta, segment, used } = smallLog(sealed);
  const result = { damages: 0, states: {} as Record<string, number> };
  const judge = (what: () => string, meta: Uint8Array, segment: Uint8Array) => {
    const says = found(meta, segment);
    const right = expected(meta, segment);
    check(says === right, () => `${what()}: it is ${says}, and the page says ${right}`);
    result.damages++;
    const state = says.slice(0, says.indexOf(" "));
    result.states[state] = (result.states[state] ?? 0) + 1;
  };
  const flip = (name: string, bytes: Uint8Array, at: number, bit: number) => {
    bytes[at] ^= 1 << bit;
    judge(() => `bit ${bit} of byte ${at} of ${name}`, meta, segment);
    bytes[at] ^= 1 << bit;
  };
  for (let at = 0; at < segment.length; at++) {
    const bits = used.some(([from, to]) => at >= from && at < to) ? 8 : 1;
    for (let bit = 0; bit < bits; bit++) flip(SEGMENT_NAME, segment, at, bits === 8 ? bit : at % 8);
  }
  for (const slot of [0, META_SLOT_STRIDE_BYTES]) {
    for (let at = slot; at < slot + 132; at++) {
      for (let bit = 0; bit < 8; bit++) flip("META", meta, at, bit);
    }
  }
  for (let length = 0; length < segment.length; length++) {
    judge(() => `${SEGMENT_NAME} of ${length} bytes`, meta, segment.subarray(0, length));
  }
  // What lies between the slots, and behind them, is never read.
  for (let length = 0; length <= META_SLOT_STRIDE_BYTES + 256; length++) {
    if (length > 256 && length < META_SLOT_STRIDE_BYTES - 4) continue;
    judge(() => `META of ${length} bytes`, meta.subarray(0, length), segment);
  }
  return result;
}

const PARSERS = {
  meta: metaOnce,
  header: headerOnce,
  frame: frameOnce,
  records: recordsOnce,
  segment: segmentOnce,
  manifest: manifestOnce,
  calibration: calibrationOnce,
  holder: holderOnce,
};
type Parser = keyof typeof PARSERS;

/** Of 64 inputs in a row; a segment costs as much as a hundred others. */
const SHARES: Record<Parser, number> = {
  ...{ meta: 16, header: 16, frame: 16, records: 12 },
  ...{ segment: 1, manifest: 1, calibration: 1, holder: 1 },
};
const ROUND: Parser[] = (Object.keys(PARSERS) as Parser[])
  .flatMap((parser) => Array.from({ length: SHARES[parser] }, () => parser));

/**
 * Rounds of 64 inputs, each round from a seed of its own, until there were `inputs` or the time is over.
 * Throws {@linkcode Misread}, with the seed.
 */
export function parserCampaign(seed: number, inputs: number, until = Infinity): ParserCounts {
  const none = () =>
    Object.fromEntries(Object.keys(PARSERS).map((name) => [name, 0])) as Record<Parser, number>;
  const counts: ParserCounts = { inputs: 0, parsed: none(), accepted: none() };
  for (let round = seed; counts.inputs < inputs && performance.now() < until; round++) {
    const rng = new Prng(round);
    for (const parser of ROUND) {
      let accepted: boolean;
      try {
        accepted = PARSERS[parser](rng);
      } catch (error) {
        (error as Error).message = `seed ${round}, ${parser}: ${(error as Error).message}`;
        throw error;
      }
      counts.inputs++;
      counts.parsed[parser]++;
      if (accepted) counts.accepted[parser]++;
    }
  }
  return counts;
}
