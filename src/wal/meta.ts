/**
 * The META file: two slots written in turn. What it says is durable before anything relies on it.
 *
 * @module
 */

import { DSYNC, type IoBuffer, type IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { type Disk, joinPath } from "./disk.ts";
import { newerVersion, WalCorruptionError, WalLockedError } from "./errors.ts";
import {
  decodeMeta,
  encodeMeta,
  type Meta,
  META_FILE_BYTES,
  META_NAME,
  META_SLOT_BYTES,
  META_SLOT_STRIDE_BYTES,
  META_SLOTS,
  TEMPORARY_SUFFIX,
} from "./format.ts";

/** What the slots of a META file say. */
export interface MetaReading {
  meta: Meta;
  /** Offset of a slot that is neither valid nor empty: a torn write, or damage. */
  damagedOffset: number | undefined;
}

/** Reads both slots; `buffer` is borrowed. Throws when neither of them is valid. */
export function* readMeta(disk: Disk, file: IoFile, buffer: IoBuffer): Task<MetaReading> {
  let best: Meta | undefined;
  let damagedOffset: number | undefined;
  let damage = "it is empty";
  for (let slot = 0; slot < META_SLOTS; slot++) {
    const offset = slot * META_SLOT_STRIDE_BYTES;
    const got = yield* disk.read(file, buffer, 0, META_SLOT_BYTES, offset);
    const bytes = buffer.bytes.subarray(0, got);
    const decoded = decodeMeta(bytes, (data, seed) => disk.io.crc32c(data, seed));
    if ("version" in decoded) {
      throw newerVersion(file.path, decoded.version, offset);
    }
    if ("damage" in decoded) {
      if (bytes.some((byte) => byte !== 0)) {
        damagedOffset = offset;
        damage = decoded.damage;
      }
    } else if (!best || decoded.meta.counter > best.counter) {
      best = decoded.meta;
    }
  }
  if (!best) throw new WalCorruptionError(file.path, damagedOffset ?? 0, damage);
  return { meta: best, damagedOffset };
}

/** Writes `first` into a new META under a temporary name, and gives it its own durably. */
export function* createMeta(
  disk: Disk,
  directory: string,
  first: Meta,
  buffer: IoBuffer,
): Task<void> {
  const path = joinPath(directory, META_NAME);
  const temporary = path + TEMPORARY_SUFFIX;
  const file = yield* disk.openNew(temporary);
  try {
    disk.io.noCopyOnWrite(file);
    yield* disk.truncate(file, META_FILE_BYTES);
    encodeMeta(buffer.bytes, first, (data, seed) => disk.io.crc32c(data, seed));
    const offset = first.counter % META_SLOTS * META_SLOT_STRIDE_BYTES;
    yield* disk.write(file, buffer, 0, META_SLOT_BYTES, offset, 0);
    yield* disk.fsync(file);
  } finally {
    yield* disk.close(file);
  }
  yield* disk.rename(temporary, path);
  yield* disk.syncDirectory(directory);
}

/** META, open for writing. Owns its file and borrows `buffer` for as long as it is open. */
export class MetaFile {
  readonly #disk: Disk;
  readonly #file: IoFile;
  readonly #buffer: IoBuffer;
  #meta: Meta;
  #busy = false;
  /** Why a write failed: what META says is unknown since then, and it is not written again. */
  #failure: { error: unknown } | undefined;
  /** Updates take their turn; each waits for the one before. Few: one a kind of change. */
  readonly #turns: (() => void)[] = [];

  private constructor(disk: Disk, file: IoFile, buffer: IoBuffer, meta: Meta) {
    this.#disk = disk;
    this.#file = file;
    this.#buffer = buffer;
    this.#meta = meta;
  }

  /** Opens, locks the description that is written, syncs, and reads from the device. */
  static *open(
    disk: Disk,
    directory: string,
    buffer: IoBuffer,
    deadlineMicros: number,
  ): Task<{ file: MetaFile; reading: MetaReading }> {
    const path = joinPath(directory, META_NAME);
    const file = yield* disk.open(path, { read: true, write: true });
    try {
      if (!(yield* disk.lock(file, deadlineMicros))) {
        throw new WalLockedError(
          directory,
          "a writer that was killed and still has writes in flight",
        );
      }
      yield* disk.fsync(file);
      yield* disk.dropCache(file);
      const reading = yield* readMeta(disk, file, buffer);
      return { file: new MetaFile(disk, file, buffer, reading.meta), reading };
    } catch (error) {
      yield* disk.close(file);
      throw error;
    }
  }

  get path(): string {
    return this.#file.path;
  }

  /** What is durable. */
  get meta(): Readonly<Meta> {
    return this.#meta;
  }

  /** Makes `changes` durable, after the updates before it. */
  *update(changes: Partial<Meta>): Task<void> {
    while (this.#busy) yield { until: (resume) => this.#turns.push(resume) };
    this.#busy = true;
    try {
      if (this.#failure) throw this.#failure.error;
      const next: Meta = { ...this.#meta, ...changes, counter: this.#meta.counter + 1 };
      encodeMeta(this.#buffer.bytes, next, (data, seed) => this.#disk.io.crc32c(data, seed));
      const offset = next.counter % META_SLOTS * META_SLOT_STRIDE_BYTES;
      yield* this.#disk.write(this.#file, this.#buffer, 0, META_SLOT_BYTES, offset, DSYNC);
      this.#meta = next;
    } catch (error) {
      this.#failure ??= { error };
      throw error;
    } finally {
      this.#busy = false;
      this.#turns.shift()?.();
    }
  }

  /** Closes the file, behind the updates that are under way. */
  *close(): Task<void> {
    while (this.#busy) yield { until: (resume) => this.#turns.push(resume) };
    yield* this.#disk.close(this.#file);
  }
}
