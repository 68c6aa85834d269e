/**
 * Which way of writing is quicker here: direct writes, several in flight, or the page cache and fdatasync.
 * Measured on the spare when a log is made, and on request; the result is stored beside the log with the
 * machine that it is for, so that a log does not change its ways from one opening to the next.
 *
 * @module
 */

import { DSYNC, type IoBuffer, IoError, type IoFile } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { type Disk, ENOENT, joinPath } from "./disk.ts";
import { CALIBRATION_NAME, TEMPORARY_SUFFIX } from "./format.ts";

/** No write of a calibration begins later than this after its first one. */
export const CALIBRATION_MICROS_MAX = 20_000;
/** Times that each way and size is measured; fewer where the time is over before. */
const ROUNDS = 5;
/** Bytes in flight together: as much as the log would have, but not more than this. */
const BURST_BYTES_MAX = 2 << 20;
const VERSION = 1;

/** What a calibration is for: on anything else it says nothing. */
export interface Machine {
  /** Number of the device; where the system makes numbers up at every mount, the size of the file system. */
  readonly device: string;
  readonly fileSystem: string;
  readonly kernel: string;
}

/** Time for one durable frame of a size, the median of the rounds. */
export interface Sample {
  readonly frameBytes: number;
  readonly directMicros: number;
  readonly bufferedMicros: number;
}

/** A result. */
export interface Calibration {
  readonly machine: Machine;
  readonly mode: "direct" | "buffered";
  /** The numbers, in words. */
  readonly reason: string;
}

/** Device numbers below this have no major number: they are made up at a mount (tmpfs, btrfs, overlay). */
const ANONYMOUS_DEVICE_MAX = 0x10_0000;

/** Of an open file. */
export function* machineOf(disk: Disk, file: IoFile): Task<Machine> {
  const { device } = yield* disk.stat(file);
  const { type, totalBytes } = disk.io.statFs(file);
  return {
    device: device < ANONYMOUS_DEVICE_MAX ? `${totalBytes} bytes` : String(device),
    fileSystem: type,
    kernel: disk.io.kernel,
  };
}

/** What is stored; `undefined` when nothing is, or nothing that this program understands. */
export function* readCalibration(
  disk: Disk,
  directory: string,
  buffer: IoBuffer,
): Task<Calibration | undefined> {
  let text: string;
  try {
    const file = yield* disk.open(joinPath(directory, CALIBRATION_NAME), { read: true });
    try {
      const got = yield* disk.read(file, buffer, 0, buffer.length, 0);
      text = new TextDecoder().decode(buffer.bytes.slice(0, got));
    } finally {
      yield* disk.close(file);
    }
  } catch (error) {
    if (error instanceof IoError && error.errno === ENOENT) return undefined;
    throw error;
  }
  return parseCalibration(text);
}

/** A stored result, or `undefined` for any other text. */
export function parseCalibration(text: string): Calibration | undefined {
  try {
    const { version, machine, mode, reason } = JSON.parse(text);
    const { device, fileSystem, kernel } = machine;
    const words = [device, fileSystem, kernel, reason].every((word) => typeof word === "string");
    if (version !== VERSION || !words || (mode !== "direct" && mode !== "buffered")) {
      return undefined;
    }
    return { machine: { device, fileSystem, kernel }, mode, reason };
  } catch {
    return undefined;
  }
}

/** Stores a result durably, whole or not at all. */
export function* writeCalibration(
  disk: Disk,
  directory: string,
  calibration: Calibration,
  buffer: IoBuffer,
): Task<void> {
  const path = joinPath(directory, CALIBRATION_NAME);
  const temporary = path + TEMPORARY_SUFFIX;
  const text = JSON.stringify({ version: VERSION, ...calibration }) + "\n";
  const { written } = new TextEncoder().encodeInto(text, buffer.bytes);
  const file = yield* disk.openNew(temporary);
  try {
    yield* disk.write(file, buffer, 0, written, 0, 0);
    yield* disk.fsync(file);
  } finally {
    yield* disk.close(file);
  }
  yield* disk.rename(temporary, path);
  yield* disk.syncDirectory(directory);
}

/** In what `stored` differs from this machine, in words; `undefined` when in nothing. */
export function difference(stored: Machine, here: Machine): string | undefined {
  const kinds = { device: "device", fileSystem: "file system", kernel: "kernel" } as const;
  for (const [name, words] of Object.entries(kinds)) {
    const [before, now] = [stored[name as keyof Machine], here[name as keyof Machine]];
    if (before !== now) return `another ${words} (${before}, and here it is ${now})`;
  }
  return undefined;
}

/** Direct where it takes less time, over all sizes together: each counts by its ratio. */
export function decide(samples: readonly Sample[]): "direct" | "buffered" {
  const score = samples.reduce(
    (sum, { directMicros, bufferedMicros }) => sum + Math.log(bufferedMicros / directMicros),
    0,
  );
  return samples.length > 0 && score >= 0 ? "direct" : "buffered";
}

/** Numbers as words. */
export function inWords(samples: readonly Sample[]): string {
  return samples.map(({ frameBytes, directMicros, bufferedMicros }) =>
    `a frame of ${frameBytes} bytes takes ${directMicros.toFixed(0)} µs direct, ` +
    `${bufferedMicros.toFixed(0)} µs buffered`
  ).join("; ");
}

/**
 * Writes zeros to the file at `path`, in both ways by turns, in frames of one commit unit and of
 * `frameBytes`. Sizes for which the time did not suffice are missing in what it gives. Borrows `buffers`.
 */
export function* measure(
  disk: Disk,
  path: string,
  fileBytes: number,
  unitBytes: number,
  frameBytes: number,
  buffers: readonly IoBuffer[],
): Task<Sample[]> {
  const { io } = disk;
  const inFlight = Math.max(1, buffers.length - 1);
  const direct = yield* disk.open(path, { write: true, direct: true });
  try {
    const buffered = yield* disk.open(path, { write: true });
    try {
      for (const { bytes } of buffers) bytes.fill(0);
      const sizes = frameBytes > unitBytes ? [unitBytes, frameBytes] : [unitBytes];
      const times = sizes.map(() => ({ direct: [] as number[], buffered: [] as number[] }));
      const ways = [{ name: "direct", file: direct }, {
        name: "buffered",
        file: buffered,
      }] as const;
      const deadline = io.now() + CALIBRATION_MICROS_MAX;
      let offset = 0;
      measuring: for (let round = 0; round < ROUNDS; round++) {
        for (let i = 0; i < sizes.length; i++) {
          const size = sizes[i];
          const room = Math.max(1, Math.floor(Math.min(BURST_BYTES_MAX, fileBytes) / size));
          const count = Math.min(inFlight, room);
          for (const { name, file } of round % 2 === 0 ? ways : ways.toReversed()) {
            if (offset + count * size > fileBytes) offset = 0;
            const before = io.now();
            if (before >= deadline) break measuring;
            yield* burst(disk, file, buffers, size, count, offset, unitBytes);
            times[i][name].push((io.now() - before) / count);
            offset += count * size;
          }
        }
      }
      const samples: Sample[] = [];
      sizes.forEach((size, i) => {
        const { direct, buffered } = times[i];
        if (direct.length === 0 || buffered.length === 0) return;
        samples.push({
          frameBytes: size,
          directMicros: median(direct),
          bufferedMicros: median(buffered),
        });
      });
      return samples;
    } finally {
      yield* disk.close(buffered);
    }
  } finally {
    yield* disk.close(direct);
  }
}

/** As the log would write `count` frames at once, until all of them are durable. */
function* burst(
  disk: Disk,
  file: IoFile,
  buffers: readonly IoBuffer[],
  size: number,
  count: number,
  offset: number,
  unitBytes: number,
): Task<void> {
  const dsync = file.options.direct && disk.io.reservedDsync;
  let left = count;
  let failure: { error: unknown } | undefined;
  let resume: (() => void) | undefined;
  const ended = () => {
    if (--left === 0) resume?.();
  };
  const unit = file.options.direct ? unitBytes : 1;
  for (let i = 0; i < count; i++) {
    const write = disk.write(
      file,
      buffers[i],
      0,
      size,
      offset + i * size,
      dsync ? DSYNC : 0,
      unit,
    );
    disk.pump.spawn(write, ended, (error) => {
      failure = { error };
      ended();
    });
  }
  if (left > 0) yield { until: (go) => resume = go };
  if (failure) throw failure.error;
  if (!dsync) yield* disk.fdatasync(file);
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const value = sorted.length % 2 === 1
    ? sorted[middle]
    : (sorted[middle - 1] + sorted[middle]) / 2;
  // A clock may stand still for as long as a write takes.
  return Math.max(value, Number.EPSILON);
}
