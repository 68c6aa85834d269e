/**
 * Reads what device mapper's log-writes recorded of a disk: each write, flush and mark, in the order in
 * which a disk with a volatile cache has to have them (a write stands in the log at the next flush after
 * it had ended, or at its own end when it was forced out).
 *
 * Layout (Documentation/admin-guide/device-mapper/log-writes.rst and its header), little-endian: a super
 * block in the first sector: magic u64, version u64, entries u64, sector bytes u32. Then for each entry one
 * sector: sector u64, sectors u64, flags u64, data bytes u64, and after it the data; of a mark, its text
 * stands in the entry's own sector.
 */
import { closeSync, openSync, readSync } from "node:fs";

const MAGIC = 0x6a736677736872n;
const VERSION = 1n;
/** Sectors are counted in these, whatever the device's own are. */
const UNIT_BYTES = 512;
const ENTRY_BYTES = 32;

const FLUSH = 1;
const FUA = 2;
const DISCARD = 4;
const MARK = 8;

export interface DeviceEntry {
  index: number;
  kind: "write" | "discard" | "mark";
  /** The disk was told to make durable what it had (flush), or this very write (forced). */
  flush: boolean;
  forced: boolean;
  /** Of a write and a discard: where on the disk, in bytes. */
  offset: number;
  bytes: number;
  /** Of a write: where its data stands in the log. */
  dataOffset: number;
  /** Of a mark. */
  text: string;
}

/** Each entry of a log, in order. Ends before an entry that is not there wholly: the power went. */
export function* deviceLog(path: string): Generator<DeviceEntry> {
  const file = openSync(path, "r");
  try {
    const read = (offset: number, bytes: number): DataView<ArrayBuffer> | undefined => {
      const view = new DataView(new ArrayBuffer(bytes));
      return readSync(file, view, 0, bytes, offset) === bytes ? view : undefined;
    };
    const head = read(0, UNIT_BYTES)!;
    if (head.getBigUint64(0, true) !== MAGIC || head.getBigUint64(8, true) !== VERSION) {
      throw new Error(`${path} is no log of dm-log-writes`);
    }
    const entries = Number(head.getBigUint64(16, true));
    const sectorBytes = head.getUint32(24, true);
    let offset = sectorBytes;
    for (let index = 0; index < entries; index++) {
      const entry = read(offset, sectorBytes);
      if (!entry) return;
      const flags = Number(entry.getBigUint64(16, true));
      const dataBytes = Number(entry.getBigUint64(24, true));
      const kind = flags & MARK ? "mark" : flags & DISCARD ? "discard" : "write";
      const text = kind === "mark"
        ? new TextDecoder().decode(new Uint8Array(entry.buffer, ENTRY_BYTES, dataBytes))
        : "";
      offset += sectorBytes;
      const bytes = Number(entry.getBigUint64(8, true)) * sectorBytes;
      yield {
        index,
        kind,
        flush: (flags & FLUSH) !== 0,
        forced: (flags & FUA) !== 0,
        offset: Number(entry.getBigUint64(0, true)) * sectorBytes,
        bytes,
        dataOffset: offset,
        text: text.replace(/\0.*$/s, ""),
      };
      if (kind === "write") offset += bytes;
    }
  } finally {
    closeSync(file);
  }
}
