/**
 * A writer that appends as fast as the log takes it, and removes behind itself what it has written, so
 * that the files of the log go round.
 *
 * @module
 */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import type { Wal } from "../../src/wal/wal.ts";

export const RECORD_BYTES = 256;
/** Different records, so that no copy is of one cache line only. A power of two. */
const RECORDS = 1024;
/** Records between two looks at the clock, at the most. */
const STRIDE = 4096;
/** Attempts for each segment: one soon after its start frees the one before, in time to be needed again. */
const TRUNCATIONS_PER_SEGMENT = 4;
/** Segments until no file is made any more: active, kept, spare, and one to be recycled. */
const WARM_UP_SEGMENTS = 10;

/** What was appended, and is durable, in some span of time. */
export interface Streamed {
  readonly seconds: number;
  readonly records: number;
  readonly diskBytes: number;
  readonly cpuMicros: number;
}

/** The records that are appended, in turn. */
export function makeRecords(): Uint8Array[] {
  return Array.from({ length: RECORDS }, (_, i) => {
    const record = new Uint8Array(RECORD_BYTES);
    for (let at = 0; at < RECORD_BYTES; at++) record[at] = 32 + (i * 31 + at * 7) % 95;
    return record;
  });
}

/** The same as text. */
export function makeTexts(): string[] {
  const decoder = new TextDecoder();
  return makeRecords().map((record) => decoder.decode(record));
}

/** Streams to one open log, which stays the caller's. */
export class Streamer {
  readonly #wal: Wal;
  readonly #segmentBytes: number;
  readonly #records: readonly (Uint8Array | string)[];
  #nextRecord = 0;
  #truncating = false;
  #failure: unknown;
  /** Bytes on disk at which the records before are removed. */
  #truncateAt = 0;

  /**
   * @param segmentBytes Of the log; Infinity: nothing is removed.
   * @param records As {@linkcode makeRecords} or {@linkcode makeTexts} make them.
   */
  constructor(wal: Wal, segmentBytes: number, records: readonly (Uint8Array | string)[]) {
    this.#wal = wal;
    this.#segmentBytes = segmentBytes;
    this.#records = records;
    if (segmentBytes === Infinity) this.#truncateAt = Infinity;
  }

  /** Until every file that comes next was used before. */
  async warmUp(): Promise<void> {
    const wal = this.#wal;
    const end = wal.stats().diskBytes + WARM_UP_SEGMENTS * this.#segmentBytes;
    await this.#stream(() => wal.stats().diskBytes < end);
  }

  /** For so long, and until all of it is durable. */
  run(seconds: number): Promise<Streamed> {
    const end = performance.now() + seconds * 1000;
    return this.#stream(() => performance.now() < end);
  }

  /** So many records, and until all of them are durable. */
  append(records: number): Promise<Streamed> {
    const end = this.#wal.appendedLsn + records;
    return this.#stream(() => this.#wal.appendedLsn < end);
  }

  async #stream(more: () => boolean): Promise<Streamed> {
    const wal = this.#wal;
    const records = this.#records;
    const before = wal.stats();
    const lsnBefore = wal.durableLsn;
    const cpuBefore = process.cpuUsage();
    const start = performance.now();
    let next = this.#nextRecord;
    while (more()) {
      let room = true;
      for (let i = 0; i < STRIDE; i++) {
        if (wal.tryAppend(records[next & (RECORDS - 1)]) === undefined) {
          room = false;
          break;
        }
        next++;
      }
      if (!room) await wal.ready();
      this.truncateBehind();
    }
    this.#nextRecord = next;
    await wal.flush();
    const seconds = (performance.now() - start) / 1000;
    const { user, system } = process.cpuUsage(cpuBefore);
    if (this.#failure !== undefined) throw this.#failure;
    return {
      seconds,
      records: wal.durableLsn - lsnBefore,
      diskBytes: wal.stats().diskBytes - before.diskBytes,
      cpuMicros: user + system,
    };
  }

  /** Removes what lies behind, as often as a segment's files need it to go round; throws what failed. */
  truncateBehind(): void {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#truncating) return;
    const { diskBytes, segments } = this.#wal.stats();
    if (segments < 2 || diskBytes < this.#truncateAt) return;
    this.#truncateAt = diskBytes + this.#segmentBytes / TRUNCATIONS_PER_SEGMENT;
    this.#truncating = true;
    this.#wal.truncateBefore(Math.max(1, this.#wal.durableLsn)).then(
      () => this.#truncating = false,
      (error) => this.#failure ??= error,
    );
  }
}

/** The files of a log's segments, by inode. */
export function segmentFiles(directory: string): Set<number> {
  const files = new Set<number>();
  for (const name of readdirSync(directory)) {
    if (!name.includes(".wal")) continue;
    try {
      files.add(statSync(join(directory, name)).ino);
    } catch {
      // Renamed between the two looks: it is found under its new name at the next one.
    }
  }
  return files;
}

/** The number of the newest segment. */
export function newestSegment(directory: string): number {
  return Math.max(
    ...readdirSync(directory).map((name) => /^(\d+)\.wal$/.exec(name)?.[1] ?? 0).map(Number),
  );
}
