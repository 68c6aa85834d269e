/**
 * Reads a log from docs/FORMAT.md alone, and shares no code with the library: `read_log.py` in TypeScript,
 * for tests that ask a hundred thousand times. Works on the files of a directory as bytes.
 */
import { crc } from "./build.ts";

/** What the page says that a directory is. */
export interface Verdict {
  state: "clean" | "torn" | "ambiguous" | "corrupt";
  /** LSN of the last record; of a corrupt log, nothing. */
  last: number;
  /** The place of the end, or of the damage; the name of the file, without the directory. */
  file: string;
  offset: number;
  /** Records by LSN; of a corrupt log those before the damage, as far as it was read. */
  records: Map<number, Uint8Array>;
  /** Of a corrupt log: in words. */
  why?: string;
}

/** Damage, as the page has it. */
export class Corrupt extends Error {
  readonly file: string;
  readonly offset: number;
  readonly why: string;
  constructor(file: string, offset: number, why: string) {
    super(`${file} at ${offset}: ${why}`);
    this.why = why;
    this.file = file;
    this.offset = offset;
  }
}

const SLOT_BYTES = 65_536;
const UNITS = [4096, 8192, 16_384, 32_768, 65_536];
const BIGGEST = 2 ** 53 - 1;

const viewOf = (bytes: Uint8Array) =>
  new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);

/** A number of 64 bits; -1 for one that there cannot be. */
function u64(view: DataView, offset: number): number {
  const value = view.getBigUint64(offset, true);
  return value > BigInt(BIGGEST) ? -1 : Number(value);
}

/** The 128 bytes of a header or a slot of META, when magic and CRC are right. */
function checked(bytes: Uint8Array, magic: string): DataView | undefined {
  if (bytes.length < 128) return undefined;
  for (let i = 0; i < 8; i++) if (bytes[i] !== magic.charCodeAt(i)) return undefined;
  const block = bytes.slice(0, 128);
  const view = viewOf(block);
  const stored = view.getUint32(12, true);
  view.setUint32(12, 0, true);
  return crc(block) === stored ? view : undefined;
}

const uuidOf = (view: DataView) => view.getBigUint64(16, true) << 64n | view.getBigUint64(24, true);

export interface Meta {
  uuid: bigint;
  counter: number;
  epoch: number;
  sealed: boolean;
  activated: number;
  lowLsn: number;
  lowSequence: number;
  sealedLsn: number;
  sealedOffset: number;
  sealedChain: number;
  damaged: number;
}

/** A slot, when it is valid; at `at` in META. */
export function slotAt(bytes: Uint8Array, at = 0): Meta | undefined {
  const view = checked(bytes, "URINGMET");
  if (view === undefined) return undefined;
  if (view.getUint32(8, true) !== 1) throw new Corrupt("META", at, "newer version");
  const numbers = [32, 48, 56, 64, 72, 80].map((offset) => u64(view, offset));
  const [counter, activated, lowLsn, lowSequence, sealedLsn, sealedOffset] = numbers;
  const possible = numbers.every((number) => number >= 0) && lowLsn >= 1 && lowSequence >= 1 &&
    (activated === 0 || lowSequence <= activated) && activated - lowSequence < 2 ** 24;
  if (!possible) return undefined;
  return {
    ...{ uuid: uuidOf(view), counter, epoch: view.getUint32(40, true), damaged: 0 },
    ...{ sealed: view.getUint32(44, true) === 1, activated, lowLsn, lowSequence },
    ...{ sealedLsn, sealedOffset, sealedChain: view.getUint32(88, true) },
  };
}

function readMeta(file: Uint8Array | undefined): Meta {
  if (file === undefined) throw new Corrupt("META", 0, "missing");
  let best: Meta | undefined;
  let damaged = 0;
  for (const at of [0, SLOT_BYTES]) {
    const bytes = file.subarray(at, at + 4096);
    const slot = slotAt(bytes, at);
    if (slot === undefined) {
      if (bytes.some((byte) => byte !== 0)) damaged = at;
    } else if (best === undefined || slot.counter > best.counter) best = slot;
  }
  if (best === undefined) throw new Corrupt("META", damaged, "no valid slot");
  return { ...best, damaged };
}

export interface Header {
  uuid: bigint;
  sequence: number;
  first: number;
  salt: Uint8Array;
  unit: number;
  window: number;
  length: number;
  previousLsn: number;
  previousChain: number;
  epoch: number;
  whole: boolean;
}

/** One copy of a header. */
export function headerAt(bytes: Uint8Array, name: string): Header | undefined {
  const view = checked(bytes, "URINGWAL");
  if (view === undefined) return undefined;
  if (view.getUint32(8, true) !== 1) throw new Corrupt(name, 0, "newer version");
  const header = {
    uuid: uuidOf(view),
    sequence: u64(view, 32),
    first: u64(view, 40),
    salt: new Uint8Array(view.buffer, 48, 8),
    unit: view.getUint32(56, true),
    window: view.getUint32(60, true),
    length: u64(view, 64),
    previousLsn: u64(view, 80),
    previousChain: view.getUint32(88, true),
    epoch: view.getUint32(92, true),
    whole: view.getUint32(104, true) === 1,
  };
  const possible = UNITS.includes(header.unit) && header.length % header.unit === 0 &&
    header.length > 2 * header.unit && header.first >= 1 && header.sequence >= 1;
  return possible ? header : undefined;
}

/** The copy that counts: the first one, if it is one. */
function headerOf(bytes: Uint8Array, name: string): Header | undefined {
  const first = headerAt(bytes, name);
  if (first !== undefined) return first;
  for (const unit of UNITS) {
    const copy = headerAt(bytes.subarray(unit), name);
    if (copy?.unit === unit) return copy;
  }
  return undefined;
}

export interface Frame {
  head: number;
  body: number;
  size: number;
  count: number;
  kind: number;
  first: number;
  mark: number;
  epoch: number;
  before: number;
  seed: number;
}

/** The header of a frame of this life, if one begins here. */
export function frameAt(bytes: Uint8Array, offset: number, header: Header): Frame | undefined {
  if (offset + 64 > bytes.length) return undefined;
  const view = new DataView(bytes.buffer, bytes.byteOffset + offset, 64);
  if (view.getUint32(0, true) !== 0x31465255) return undefined;
  const place = new Uint8Array(16);
  place.set(header.salt);
  viewOf(place).setBigUint64(8, BigInt(offset), true);
  const seed = crc(place);
  const head = view.getUint32(4, true);
  if (crc(bytes.subarray(offset + 8, offset + 64), seed) !== head) return undefined;
  return {
    ...{ head, body: view.getUint32(8, true), size: view.getUint32(12, true), seed },
    ...{ count: view.getUint32(16, true), kind: view.getUint32(20, true) },
    ...{ first: u64(view, 24), mark: u64(view, 32), epoch: view.getUint32(40, true) },
    before: view.getUint32(48, true),
  };
}

interface End {
  name: string;
  header: Header;
  bytes: Uint8Array;
  next: number;
  chain: number;
  at: number;
}

const nameOf = (sequence: number) => `${String(sequence).padStart(16, "0")}.wal`;

function readSegment(
  files: Map<string, Uint8Array>,
  meta: Meta,
  sequence: number,
  previous: End | undefined,
  records: Map<number, Uint8Array>,
): End {
  const name = nameOf(sequence);
  const file = files.get(name);
  if (file === undefined) throw new Corrupt(name, 0, "missing");
  const header = headerOf(file, name);
  if (header === undefined) throw new Corrupt(name, 0, "no header");
  if (header.uuid !== meta.uuid) throw new Corrupt(name, 0, "another log");
  if (header.sequence !== sequence) throw new Corrupt(name, 0, "another segment");
  if (previous !== undefined) {
    if (previous.next < header.first) throw new Corrupt(previous.name, previous.at, "ends early");
    const follows = header.first === previous.next && header.previousLsn === previous.next - 1 &&
      header.previousChain === previous.chain;
    if (!follows) throw new Corrupt(name, 0, "does not follow");
  }
  if (header.whole && file.length < header.length) {
    throw new Corrupt(name, file.length, "cut short");
  }
  const bytes = file.subarray(0, header.length);
  let [next, chain, epoch, at] = [
    header.first,
    header.previousChain,
    header.epoch,
    2 * header.unit,
  ];
  while (at + header.unit <= bytes.length) {
    const frame = frameAt(bytes, at, header);
    if (frame === undefined) break;
    const length = Math.ceil((64 + frame.size) / header.unit) * header.unit;
    const numbers = frame.kind === 0
      ? frame.count > 0 && frame.size >= 4 * frame.count
      : frame.kind === 1 && frame.count === 0 && frame.size === 0;
    const fits = frame.first === next && frame.before === chain && frame.epoch >= epoch &&
      frame.epoch <= meta.epoch && frame.mark >= 0 && frame.mark < frame.first && numbers &&
      at + length <= header.length;
    if (!fits) throw new Corrupt(name, at, "a frame that does not fit");
    if (at + length > bytes.length) break;
    const payload = bytes.subarray(at + 64, at + 64 + frame.size);
    if (crc(payload, frame.seed) !== frame.body) break;
    let from = 0;
    for (let i = 0; i < frame.count; i++) {
      if (from + 4 > payload.length) throw new Corrupt(name, at, "lengths do not add up");
      const size = viewOf(payload).getUint32(from, true);
      if (next + i >= meta.lowLsn) {
        records.set(next + i, payload.subarray(from + 4, from + 4 + size));
      }
      from += 4 + size;
    }
    if (from !== payload.length) throw new Corrupt(name, at, "lengths do not add up");
    const link = new Uint8Array(8);
    viewOf(link).setUint32(0, frame.head, true);
    viewOf(link).setUint32(4, chain, true);
    chain = crc(link);
    next += frame.count;
    epoch = frame.epoch;
    at += length;
  }
  return { name, header, bytes, next, chain, at };
}

/** A frame in a segment that META does not know of proves that META lost what was durable. */
function checkSpares(files: Map<string, Uint8Array>, meta: Meta): void {
  for (const [name, bytes] of [...files].sort(([a], [b]) => a < b ? -1 : 1)) {
    const sequence = /^[0-9]{16}\.wal$/.test(name) ? Number(name.slice(0, 16)) : 0;
    if (sequence <= meta.activated) continue;
    const header = headerOf(bytes, name);
    if (header === undefined) continue;
    if (header.uuid !== meta.uuid) throw new Corrupt(name, 0, "another log");
    if (header.sequence !== sequence) continue;
    if (frameAt(bytes, 2 * header.unit, header)) {
      throw new Corrupt("META", meta.damaged, "older than the log");
    }
  }
}

/**
 * The log in a directory, by the names of its files. Where several things are wrong the page does not say
 * which is found first: `sparesLast` looks at the files beyond the activated segment at the end.
 */
export function readLog(files: Map<string, Uint8Array>, sparesLast = false): Verdict {
  const records = new Map<number, Uint8Array>();
  try {
    const meta = readMeta(files.get("META"));
    for (let sequence = meta.lowSequence; sequence <= meta.activated; sequence++) {
      if (!files.has(nameOf(sequence))) throw new Corrupt(nameOf(sequence), 0, "missing");
    }
    if (!sparesLast) checkSpares(files, meta);
    let end: End | undefined;
    for (let sequence = meta.lowSequence; sequence <= meta.activated; sequence++) {
      end = readSegment(files, meta, sequence, end, records);
    }
    if (end === undefined) {
      return { state: "clean", last: meta.lowLsn - 1, file: "", offset: 0, records };
    }
    const { name, header, bytes, next, chain, at } = end;
    const found = { last: Math.max(next - 1, meta.lowLsn - 1), file: name, offset: at, records };
    if (meta.sealed) {
      if (at !== meta.sealedOffset || next - 1 !== meta.sealedLsn || chain !== meta.sealedChain) {
        throw new Corrupt(name, at, "not where the seal says");
      }
      return { state: "clean", ...found };
    }
    if (next - 1 < Math.max(meta.sealedLsn, meta.lowLsn - 1)) {
      throw new Corrupt(name, at, "ends before what was durable");
    }
    let state: "torn" | "ambiguous" = "torn";
    for (
      let offset = at + header.unit;
      offset + header.unit <= bytes.length;
      offset += header.unit
    ) {
      const frame = frameAt(bytes, offset, header);
      if (frame === undefined) continue;
      if (frame.mark < 0 || frame.mark >= next || offset - at >= header.window) {
        throw new Corrupt(name, at, "damage before durable records");
      }
      state = "ambiguous";
    }
    return { state, ...found };
  } catch (error) {
    if (!(error instanceof Corrupt)) throw error;
    const { file, offset, why } = error;
    return { state: "corrupt", last: 0, file, offset, records, why };
  }
}
