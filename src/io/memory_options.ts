/**
 * What a simulated machine can be asked for: its options, failures, and how a power cut goes.
 *
 * @module
 */

import { type IoAlignment, IoUsageError } from "./io.ts";
import type { Survival } from "./memory_disk.ts";
import { KIND_NAMES, type OperationName } from "./operations.ts";

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
  /** Time that the program takes until it looks at the clock again: so much later is each `now()`. Default 0. */
  nowMicros?: number;
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

const DEFAULTS: Settings = {
  seed: 1,
  arenaBytes: 16 * 1024 * 1024,
  capacity: 256,
  latencyMicros: [20, 120],
  reorder: true,
  pollMicros: 1,
  nowMicros: 0,
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
};

const SURVIVALS: readonly unknown[] = ["random", "none", "all"];
const ERRNO_MAX = 4095;
const CAPACITY_MAX = 65_536;
const ARENA_BYTES_MAX = 2 ** 32;

/** Takes a value, or says what it should be. */
type Check = (value: unknown) => string | undefined;

const within = (least: number, most: number): Check => (value) =>
  Number.isSafeInteger(value) && (value as number) >= least && (value as number) <= most
    ? undefined
    : `an integer from ${least} to ${most}`;
const orWithoutEnd = (check: Check): Check => (value) =>
  value === Infinity || check(value) === undefined ? undefined : `${check(value)}, or Infinity`;
const chance: Check = (value) =>
  typeof value === "number" && value >= 0 && value <= 1 ? undefined : "a number from 0 to 1";
const time: Check = (value) =>
  typeof value === "number" && value >= 0 && value <= Number.MAX_SAFE_INTEGER
    ? undefined
    : "microseconds, 0 or more";
const yesOrNo: Check = (value) => typeof value === "boolean" ? undefined : "true or false";
const text: Check = (value) =>
  typeof value === "string" && value !== "" ? undefined : "a string that is not empty";
const powerOfTwo = (least: number): Check => (value) =>
  Number.isInteger(Math.log2(value as number)) && (value as number) >= least
    ? undefined
    : `a power of two, at least ${least}`;
const latency: Check = (value) => {
  if (typeof value === "function" || time(value) === undefined) return undefined;
  const range = Array.isArray(value) && value.length === 2 &&
    value.every((one) => time(one) === undefined) && value[0] <= value[1];
  return range ? undefined : "microseconds, a range [least, most] of them, or a function";
};
const alignment: Check = (value) => {
  const { memory, offset, physical } = (value ?? {}) as Record<string, unknown>;
  const known = (one: unknown) => one === 0 || powerOfTwo(1)(one) === undefined;
  return known(memory) && known(offset) && known(physical) && (memory === 0) === (offset === 0)
    ? undefined
    : "{ memory, offset, physical }, each a power of two, or 0 where there is none";
};

const CHECKS: Readonly<Record<keyof Settings, Check>> = {
  seed: within(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  arenaBytes: within(4096, ARENA_BYTES_MAX),
  capacity: within(1, CAPACITY_MAX),
  latencyMicros: latency,
  reorder: yesOrNo,
  pollMicros: time,
  nowMicros: time,
  blockSize: powerOfTwo(4096),
  sectorBytes: powerOfTwo(1),
  diskBytes: within(0, Number.MAX_SAFE_INTEGER),
  quotaBytes: orWithoutEnd(within(0, Number.MAX_SAFE_INTEGER)),
  alignment,
  fileSystem: text,
  kernel: text,
  shortChance: chance,
  interruptChance: chance,
  crashAfter: orWithoutEnd(within(0, Number.MAX_SAFE_INTEGER)),
  latencies: yesOrNo,
  history: yesOrNo,
};

/** Checks members by name; those that are undefined count as left out. */
function checkMembers(
  what: string,
  options: object,
  checks: Readonly<Record<string, Check>>,
): Record<string, unknown> {
  if (typeof options !== "object" || options === null) {
    throw new IoUsageError(`${what}s are an object, not ${String(options)}`);
  }
  const given: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(checks, name)) {
      throw new IoUsageError(
        `there is no ${what} ${name}: there are ${Object.keys(checks).join(", ")}`,
      );
    }
    if (value === undefined) continue;
    const wanted = checks[name](value);
    if (wanted !== undefined) {
      throw new IoUsageError(`${what} ${name} is ${wanted}, not ${shown(value)}`);
    }
    given[name] = value;
  }
  return given;
}

function shown(value: unknown): string {
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

/** Checks options, and fills in what is left out. */
export function settle(options: MemoryIoOptions): Settings {
  return { ...DEFAULTS, ...checkMembers("option", options, CHECKS) };
}

/** Checks how a crash goes. */
export function checkSurvival(survival: unknown): asserts survival is Survival {
  if (SURVIVALS.includes(survival)) return;
  throw new IoUsageError(`survival is one of ${SURVIVALS.join(", ")}, not ${shown(survival)}`);
}

const OPERATIONS: readonly string[] = [
  ...KIND_NAMES,
  "lock",
  "listDirectory",
  "createDirectories",
];
const TRANSFERS: readonly string[] = ["read", "write"];
const SYNCS: readonly string[] = ["fsync", "fdatasync", "syncDirectory"];
const EFFECTS = ["errno", "short", "misdirect", "torn", "lost"] as const;
/** Operations that an effect can hit; `errno` hits all. */
const HIT: Readonly<Record<string, readonly string[]>> = {
  short: TRANSFERS,
  misdirect: ["write"],
  torn: ["write"],
  lost: ["write", ...SYNCS],
};

const FAULT_CHECKS: Readonly<Record<keyof FaultOptions, Check>> = {
  operation: (value) =>
    OPERATIONS.includes(value as string) ? undefined : `one of ${OPERATIONS.join(", ")}`,
  nth: within(1, Number.MAX_SAFE_INTEGER),
  path: (value) =>
    value instanceof RegExp || text(value) === undefined
      ? undefined
      : "a path, or a regular expression for paths",
  persistent: yesOrNo,
  errno: within(1, ERRNO_MAX),
  short: within(0, Number.MAX_SAFE_INTEGER),
  misdirect: within(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER),
  torn: (value) => value === true ? undefined : "true, or left out",
  lost: (value) => value === true ? undefined : "true, or left out",
};

/** Checks what is to fail, and how. */
export function checkFault(options: FaultOptions): FaultOptions {
  const fault = checkMembers("member of a fault", options, FAULT_CHECKS) as FaultOptions;
  const effects = EFFECTS.filter((name) => fault[name] !== undefined);
  if (effects.length !== 1) {
    throw new IoUsageError("a fault has exactly one of errno, short, misdirect, torn and lost");
  }
  const { operation } = fault;
  const hit = HIT[effects[0]];
  if (operation !== undefined && hit !== undefined && !hit.includes(operation)) {
    throw new IoUsageError(
      `${effects[0]} is for ${hit.join(", ")}, and ${operation} is none of these`,
    );
  }
  return fault;
}
