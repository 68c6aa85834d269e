/**
 * What a simulated machine can be asked for: its options, failures, and how a power cut goes.
 *
 * @module
 */

import { type IoAlignment, IoUsageError } from "./io.ts";
import type { Survival } from "./memory_disk.ts";
import type { OperationName } from "./operations.ts";

/** Options of {@linkcode MemoryIo.create}. */
export interface MemoryIoOptions {
  /** Of everything that is random. Default 1. */
  seed?: number;
  /** Memory for buffers. Default 16 MiB. */
  arenaBytes?: number;
  /** Operations in flight. Default 256. */
  capacity?: number;
  /**
   * How long an operation takes; or the least and the most, between which all are as likely, and one in
   * 64 takes eight times as long; or a distribution, of numbers from 0 to 1 that are drawn for it. 0: it
   * completes at the next poll. Default `[20, 120]`.
   */
  latencyMicros?:
    | number
    | readonly [min: number, max: number]
    | ((draw: () => number) => number);
  /** Operations in flight may overtake each other. Default true. */
  reorder?: boolean;
  /** Time that a poll takes. Default 1. */
  pollMicros?: number;
  /** Alignment of buffers. Default 4,096. */
  blockSize?: number;
  /** What the disk writes as a whole, and a crash never tears. Default 512. */
  sectorBytes?: number;
  /** Size of the disk. Default 1 TiB. */
  diskBytes?: number;
  /** What files may take of it, after which writes fail with EDQUOT. Default: all. */
  quotaBytes?: number;
  /** What direct I/O needs; an `offset` of 0 means that there is none. Default 512, 512, 4,096. */
  alignment?: IoAlignment;
  /** Type of the file system. Default `ext4`. */
  fileSystem?: string;
  /** Release of the kernel. Default `6.18`. */
  kernel?: string;
  /** Probability, from 0 to 1, that a read or write transfers less than asked. Default 0. */
  shortChance?: number;
  /** Probability that a read or write fails with EINTR or EAGAIN. Default 0. */
  interruptChance?: number;
  /** Cuts the power after so many steps, before the next one, see {@linkcode MemoryIo.steps}. Default: never. */
  crashAfter?: number;
  /** Records how long operations take, in virtual time, for `statistics()`. Default false. */
  latencies?: boolean;
  /** Keeps a line for each operation in {@linkcode MemoryIo.history}. Default false. */
  history?: boolean;
}

/** Operations that can be made to fail. */
export type FaultOperation = OperationName | "lock" | "listDirectory" | "createDirectories";

/** What {@linkcode MemoryIo.fail} makes happen. Exactly one of `errno`, `short`, `misdirect`, `torn`, `lost`. */
export interface FaultOptions {
  /** Default: any operation. */
  operation?: FaultOperation;
  /** The n-th operation from now that matches, from 1. Default 1. */
  nth?: number;
  /** Default: any path. A rename or link matches by either of its paths. */
  path?: string | RegExp;
  /** All that match after the n-th too. Default false. */
  persistent?: boolean;
  /** The operation fails with it, positive. */
  errno?: number;
  /** A read or write transfers at most so many bytes. */
  short?: number;
  /** A write lands so many bytes away from where it should. */
  misdirect?: number;
  /** Of a write that reports success each sector is old or new. */
  torn?: boolean;
  /** A write or sync reports success, and does nothing. */
  lost?: boolean;
}

/** A fault that was asked for. */
export interface Fault {
  /** Operations that it has hit. */
  readonly fired: number;
  /** Operations that matched so far. */
  readonly matched: number;
  /** It does not happen any more. */
  cancel(): void;
}

/** How {@linkcode MemoryIo.crash} goes, and options of the machine after it. */
export interface CrashOptions extends MemoryIoOptions {
  /** What is not synced survives at random (default), not at all, or as far as it can. */
  survival?: Survival;
}

/** The simulated machine has crashed, or the process was killed: nothing works any more. */
export class MemoryCrashError extends Error {
  override readonly name: string = "MemoryCrashError";
  readonly code: string = "Crashed";
}
/** Options with nothing left out. */
export type Settings = Required<MemoryIoOptions>;

/** Checks options, and fills in what is left out. */
export function settle(options: MemoryIoOptions): Settings {
  const settings: Settings = {
    seed: 1,
    arenaBytes: 16 * 1024 * 1024,
    capacity: 256,
    latencyMicros: [20, 120],
    reorder: true,
    pollMicros: 1,
    blockSize: 4096,
    sectorBytes: 512,
    diskBytes: 2 ** 40,
    quotaBytes: Infinity,
    alignment: { memory: 512, offset: 512, physical: 4096 },
    fileSystem: "ext4",
    kernel: "6.18",
    shortChance: 0,
    interruptChance: 0,
    crashAfter: Infinity,
    latencies: false,
    history: false,
    ...options,
  };
  const powerOfTwo = (name: "blockSize" | "sectorBytes", least: number) => {
    const value = settings[name];
    if (!Number.isInteger(Math.log2(value)) || value < least) {
      throw new IoUsageError(`${name} must be a power of two, at least ${least}, not ${value}`);
    }
  };
  powerOfTwo("blockSize", 4096);
  powerOfTwo("sectorBytes", 1);
  if (!Number.isSafeInteger(settings.capacity) || settings.capacity < 1) {
    throw new IoUsageError(`capacity must be at least 1, not ${settings.capacity}`);
  }
  if (!Number.isSafeInteger(settings.seed)) {
    throw new IoUsageError(`seed must be a safe integer, not ${settings.seed}`);
  }
  return settings;
}
