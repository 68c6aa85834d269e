/**
 * What a ring is opened with.
 *
 * @module
 */

import {
  ARENA_BYTES_MAX,
  ENTRIES_MAX,
  FILE_NONE,
  FILES_MAX,
  LADDER,
  SETUP_FLAG,
  SLOTS_MAX,
} from "../abi/generated.ts";
import type { Ring } from "./ring.ts";

/** Options of `Ring.open`; each may be left out. */
export interface RingOptions {
  /** Operations that can be staged for one submit, up to 4,096. Default 256. */
  entries?: number;
  /**
   * Entries of the completion queue, from `entries` up to 16,384. Default 512, or twice `entries` when
   * that is more.
   */
  completionEntries?: number;
  /**
   * Operations that can be staged, in flight or not reaped together, up to 16,384. Default as many as the
   * completion queue has entries. With more of them the queue can overflow: then the kernel keeps what has
   * no room, and nothing is lost, but it is slower.
   */
  slots?: number;
  /** Brings `entries`, `completionEntries`, `slots` and `files` down to their limits instead of throwing. */
  clamp?: boolean;
  /** Bytes of the arena, up to 1 GiB; a multiple of `bufferBytes`. Default 4 MiB. */
  arenaBytes?: number;
  /** Bytes of one slice of the arena, a multiple of 4,096. Default 64 KiB. */
  bufferBytes?: number;
  /** Files that can be open together, up to 4,096. Default 256. */
  files?: number;
  /**
   * A thread of the kernel submits, and a submit needs no call while it is awake. It burns a core, and
   * starves on small machines.
   */
  sqpoll?: boolean | {
    /** How long the thread stays awake without work, milliseconds. Default 1,000. */
    idleMillis?: number;
    /** The processor that it runs on; any by default. */
    cpu?: number;
  };
  /**
   * Completions are polled from the device: reads and writes of files with O_DIRECT, on devices that can,
   * and nothing else. Open and sync files by a second ring, and share them: `adoptFile`.
   */
  iopoll?: boolean;
  /**
   * Shares the kernel's threads (the one that polls, with `sqpoll`, and the workers) with another open ring
   * of this thread.
   */
  attach?: Ring;
  /** Nothing can be submitted before `ring.enable()`, which can restrict the ring. */
  disabled?: boolean;
  /**
   * Nothing of the arena is registered (pinned) at first; `ring.registerBuffers` does that for single
   * buffers. For arenas larger than the memory that may be locked. At most 16,384 slices.
   */
  sparseBuffers?: boolean;
  /** The first rung of set-up flags that is tried, for tests. Default 0, the best. */
  firstRung?: number;
}

/** Options with nothing left open. */
export interface ResolvedOptions {
  readonly entries: number;
  readonly completionEntries: number;
  readonly slots: number;
  readonly arenaBytes: number;
  readonly bufferBytes: number;
  readonly files: number;
  readonly setupFlags: number;
  readonly sqpollIdleMillis: number;
  readonly sqpollCpu: number;
  readonly firstRung: number;
  readonly attach: Ring | undefined;
  /** 0 when the arena is registered as a whole. */
  readonly bufferSlices: number;
}

/** Slices begin at multiples of this, so that direct I/O can use them. */
export const SLICE_ALIGNMENT_BYTES = 4096;
const ENTRIES = 256;
const COMPLETION_ENTRIES = 512;
/** Fixed buffers that the kernel takes for one ring. */
const BUFFERS_MAX = 16384;
const ARENA_BYTES = 4 << 20;
const BUFFER_BYTES = 64 << 10;
const FILES = 256;
const SQPOLL_IDLE_MILLIS = 1000;

const KNOWN: readonly string[] = [
  "entries",
  "completionEntries",
  "slots",
  "clamp",
  "arenaBytes",
  "bufferBytes",
  "files",
  "sqpoll",
  "iopoll",
  "attach",
  "disabled",
  "sparseBuffers",
  "firstRung",
];

/** Checks options and fills in what is left out. Throws TypeError and RangeError that name the option. */
export function resolveOptions(options: RingOptions): ResolvedOptions {
  if (typeof options !== "object" || options === null) {
    throw new TypeError(`options must be an object, not ${String(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (!KNOWN.includes(name)) {
      throw new TypeError(`unknown option "${name}"; there are ${KNOWN.join(", ")}`);
    }
  }
  const clamp = boolean("clamp", options.clamp, false);
  const sized = (
    name: "entries" | "completionEntries" | "slots" | "files",
    fallback: number,
    min: number,
    max: number,
  ) => {
    const value = options[name];
    const fits = clamp && typeof value === "number" && value > max ? max : value;
    return integer(name, fits, fallback, min, max);
  };
  const wanted = typeof options.completionEntries === "number"
    ? options.completionEntries
    : COMPLETION_ENTRIES;
  const entries = sized("entries", Math.max(1, Math.min(ENTRIES, wanted)), 1, ENTRIES_MAX);
  const completionEntries = sized(
    "completionEntries",
    Math.max(COMPLETION_ENTRIES, 2 * entries),
    entries,
    SLOTS_MAX,
  );
  const slots = sized("slots", completionEntries, completionEntries, SLOTS_MAX);
  const bufferBytes = integer(
    "bufferBytes",
    options.bufferBytes,
    BUFFER_BYTES,
    SLICE_ALIGNMENT_BYTES,
    ARENA_BYTES_MAX,
  );
  const arenaBytes = integer(
    "arenaBytes",
    options.arenaBytes,
    Math.max(ARENA_BYTES, bufferBytes),
    bufferBytes,
    ARENA_BYTES_MAX,
  );
  if (bufferBytes % SLICE_ALIGNMENT_BYTES !== 0) {
    throw new RangeError(`bufferBytes must be a multiple of 4096, not ${bufferBytes}`);
  }
  if (arenaBytes % bufferBytes !== 0) {
    throw new RangeError(
      `arenaBytes must be a multiple of bufferBytes (${bufferBytes}), not ${arenaBytes}`,
    );
  }
  const sqpoll = boolean("sqpoll", options.sqpoll, true);
  const detail = typeof options.sqpoll === "object" ? options.sqpoll : {};
  for (const name of Object.keys(detail)) {
    if (name !== "idleMillis" && name !== "cpu") {
      throw new TypeError(`unknown option "sqpoll.${name}"; there are idleMillis, cpu`);
    }
  }
  const slices = arenaBytes / bufferBytes;
  const sparse = boolean("sparseBuffers", options.sparseBuffers, false);
  if (sparse && slices > BUFFERS_MAX) {
    throw new RangeError(
      `with sparseBuffers the arena has at most ${BUFFERS_MAX} slices, not ${slices}: make bufferBytes larger`,
    );
  }
  return {
    entries,
    completionEntries,
    slots,
    arenaBytes,
    bufferBytes,
    files: sized("files", FILES, 1, FILES_MAX),
    setupFlags: (sqpoll ? SETUP_FLAG.SQPOLL : 0) |
      (boolean("iopoll", options.iopoll, false) ? SETUP_FLAG.IOPOLL : 0) |
      (boolean("disabled", options.disabled, false) ? SETUP_FLAG.R_DISABLED : 0) |
      (clamp ? SETUP_FLAG.CLAMP : 0),
    sqpollIdleMillis: integer(
      "sqpoll.idleMillis",
      detail.idleMillis,
      SQPOLL_IDLE_MILLIS,
      1,
      0x7fff_ffff,
    ),
    sqpollCpu: detail.cpu === undefined
      ? FILE_NONE
      : integer("sqpoll.cpu", detail.cpu, 0, 0, 0xffff),
    firstRung: integer("firstRung", options.firstRung, 0, 0, LADDER.length - 1),
    attach: options.attach,
    bufferSlices: sparse ? slices : 0,
  };
}

function integer(
  name: string,
  value: number | undefined,
  fallback: number,
  min: number,
  max: number,
): number {
  if (value === undefined) return fallback;
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, not ${typeof value}`);
  }
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new RangeError(`${name} must be an integer from ${min} to ${max}, not ${value}`);
  }
  return value;
}

function boolean(name: string, value: unknown, orObject: boolean): boolean {
  if (value === undefined) return false;
  if (typeof value === "boolean") return value;
  if (orObject && typeof value === "object" && value !== null) return true;
  throw new TypeError(`${name} must be a boolean${orObject ? " or an object" : ""}`);
}
