/**
 * Writes a log from docs/FORMAT.md alone, and shares no code with the library: what tests compare golden
 * files with, and what they damage where they know what each bit means.
 */

export const UNIT = 4096;
const META_BYTES = 131_072;
const SLOT_BYTES = 65_536;

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? n >>> 1 ^ 0x82f63b78 : n >>> 1;
  return n >>> 0;
});

/** `crc(bytes, seed)` of the page. */
export function crc(bytes: Uint8Array, seed = 0): number {
  let value = ~seed;
  for (let i = 0; i < bytes.length; i++) value = value >>> 8 ^ TABLE[(value ^ bytes[i]) & 0xff];
  return ~value >>> 0;
}

/** A frame: its records, or none in a mark. */
export interface FrameMeaning {
  records: readonly (string | Uint8Array)[];
  /** LSN up to which every record was durable. */
  mark: number;
  epoch: number;
  millis: number;
}

/** One life of a segment. */
export interface LifeMeaning {
  sequence: number;
  first: number;
  salt: Uint8Array;
  window: number;
  length: number;
  epoch: number;
  millis: number;
  /** The file had its whole length before it was activated. */
  whole: boolean;
  frames: readonly FrameMeaning[];
}

export interface MetaMeaning {
  counter: number;
  epoch: number;
  sealed: boolean;
  activated: number;
  lowLsn: number;
  lowSequence: number;
  sealedLsn: number;
  sealedOffset: number;
}

/** Where something of a log stands. */
export interface Place {
  offset: number;
  /** Bytes of the header and the records: a bit of them counts. */
  used: number;
  /** Whole units. */
  length: number;
  firstLsn: number;
  count: number;
  mark: number;
}

/** Builds the segments of one log in the order of their activation, and META. */
export class LogBuilder {
  readonly uuid: Uint8Array;
  /** Chain behind the frame that ends with an LSN. */
  readonly #chains = new Map<number, number>([[0, 0]]);

  constructor(uuid: Uint8Array) {
    this.uuid = uuid;
  }

  /** Says what the chain behind a record was, whose segment is gone. */
  chain(lsn: number, chain: number): void {
    this.#chains.set(lsn, chain);
  }

  /** Writes a life over the bytes of a file; says where its frames are. */
  life(file: Uint8Array, life: LifeMeaning): Place[] {
    const header = file.subarray(0, 2 * UNIT).fill(0);
    const view = new DataView(file.buffer, file.byteOffset);
    const previous = life.sequence - 1;
    let chain = this.#chains.get(life.first - 1)!;
    header.set(new TextEncoder().encode("URINGWAL"));
    view.setUint32(8, 1, true);
    header.set(this.uuid, 16);
    u64(view, 32, life.sequence);
    u64(view, 40, life.first);
    header.set(life.salt, 48);
    view.setUint32(56, UNIT, true);
    view.setUint32(60, life.window, true);
    u64(view, 64, life.length);
    u64(view, 72, previous);
    u64(view, 80, life.first - 1);
    view.setUint32(88, previous === 0 ? 0 : chain, true);
    view.setUint32(92, life.epoch, true);
    u64(view, 96, life.millis);
    view.setUint32(104, life.whole ? 1 : 0, true);
    view.setUint32(12, crc(header.subarray(0, 128)), true);
    header.copyWithin(UNIT, 0, 128);
    const places: Place[] = [];
    let offset = 2 * UNIT;
    let lsn = life.first;
    for (const frame of life.frames) {
      const records = frame.records.map((record) =>
        typeof record === "string" ? new TextEncoder().encode(record) : record
      );
      const size = records.reduce((sum, { length }) => sum + 4 + length, 0);
      const length = Math.ceil((64 + size) / UNIT) * UNIT;
      const bytes = file.subarray(offset, offset + length).fill(0);
      const at = new DataView(bytes.buffer, bytes.byteOffset);
      let end = 64;
      for (const record of records) {
        at.setUint32(end, record.length, true);
        bytes.set(record, end + 4);
        end += 4 + record.length;
      }
      const place = new Uint8Array(16);
      place.set(life.salt);
      u64(new DataView(place.buffer), 8, offset);
      const seed = crc(place);
      at.setUint32(0, 0x31465255, true);
      at.setUint32(8, crc(bytes.subarray(64, 64 + size), seed), true);
      at.setUint32(12, size, true);
      at.setUint32(16, records.length, true);
      at.setUint32(20, records.length === 0 ? 1 : 0, true);
      u64(at, 24, lsn);
      u64(at, 32, frame.mark);
      at.setUint32(40, frame.epoch, true);
      at.setUint32(48, chain, true);
      u64(at, 56, frame.millis);
      at.setUint32(4, crc(bytes.subarray(8, 64), seed), true);
      const link = new Uint8Array(8);
      link.set(bytes.subarray(4, 8));
      new DataView(link.buffer).setUint32(4, chain, true);
      chain = crc(link);
      places.push({
        ...{ offset, used: 64 + size, length, firstLsn: lsn },
        ...{ count: records.length, mark: frame.mark },
      });
      offset += length;
      lsn += records.length;
      this.#chains.set(lsn - 1, chain);
    }
    return places;
  }

  meta(slots: readonly MetaMeaning[]): Uint8Array {
    const file = new Uint8Array(META_BYTES);
    for (const slot of slots) {
      const at = slot.counter % 2 * SLOT_BYTES;
      const bytes = file.subarray(at, at + 128).fill(0);
      const view = new DataView(file.buffer, at);
      bytes.set(new TextEncoder().encode("URINGMET"));
      view.setUint32(8, 1, true);
      bytes.set(this.uuid, 16);
      u64(view, 32, slot.counter);
      view.setUint32(40, slot.epoch, true);
      view.setUint32(44, slot.sealed ? 1 : 0, true);
      u64(view, 48, slot.activated);
      u64(view, 56, slot.lowLsn);
      u64(view, 64, slot.lowSequence);
      u64(view, 72, slot.sealedLsn);
      u64(view, 80, slot.sealedOffset);
      view.setUint32(88, slot.sealedOffset === 0 ? 0 : this.#chains.get(slot.sealedLsn)!, true);
      view.setUint32(12, crc(bytes), true);
    }
    return file;
  }
}

function u64(view: DataView, offset: number, value: number): void {
  view.setBigUint64(offset, BigInt(value), true);
}
