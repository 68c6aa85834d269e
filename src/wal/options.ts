/**
 * The options of a log, checked by name before anything is touched.
 *
 * @module
 */

import type { Io } from "../io/io.ts";
import { WalOptionsError } from "./errors.ts";
import { COMMIT_UNIT_USUAL_BYTES, FRAME_HEADER_BYTES, RECORD_HEADER_BYTES } from "./format.ts";
import { IN_FLIGHT_MAX } from "./writer.ts";

/** When and how much is committed at once. */
export interface CommitOptions {
  /** Bytes of a frame on disk at most, a multiple of 4,096; 512 KiB, or less where a segment is small. */
  maxBytes?: number;
  /** Microseconds that a record may wait for company while nothing is in flight; 0. */
  maxDelayMicros?: number;
  /** Frames in flight at once; 4. */
  maxInFlight?: number;
}

/**
 * What is kept of the past: the oldest segments are removed, whole ones, as soon as one of the limits is
 * exceeded; never the one that is written to. Looked at when the log is opened, when it goes on in
 * another segment, and at commits after a segment has become too old.
 */
export interface RetentionOptions {
  /** Segments at most, the one that is written to among them; at least 1. */
  maxSegments?: number;
  /** Bytes of their files at most (the spare and what is kept for recycling come on top); at least 1. */
  maxBytes?: number;
  /** Milliseconds that a segment is kept after the next one was begun; at least 1. */
  maxAgeMillis?: number;
}

/** The same, `Infinity` where there is no limit. */
export type RetentionLimits = Readonly<Required<RetentionOptions>>;

/** Options of `Wal.open`. */
export interface WalOptions {
  /** Bytes of a segment file, a multiple of 4,096; 64 MiB. An existing segment keeps its own. */
  segmentBytes?: number;
  /**
   * `direct`: O_DIRECT and RWF_DSYNC, several in flight. `buffered`: the page cache and fdatasync.
   * `auto`: what was quicker here when the log was made, which is measured for at most 20 ms and stored
   * in the log's directory; buffered where direct I/O is not possible, and on another device, file system
   * or kernel than it was measured on. `stats().modeReason` says which it is, and why.
   */
  mode?: "auto" | "direct" | "buffered";
  /** Measures anew which mode is quicker, and stores the result. Only with mode `auto`; default false. */
  recalibrate?: boolean;
  commit?: CommitOptions;
  /** Bytes of a record at most; what a frame holds. */
  maxRecordBytes?: number;
  /**
   * How a fresh segment is made. `true` (default): its blocks are written with zeros, so that commits
   * are overwrites, which small ones gain most from. `"reserve"`: its blocks are reserved and not
   * written, which saves half the writing of a log that fills fresh segments with large frames; where
   * that is not to be had, or not to be trusted, they are zeroed. `false`: the file grows.
   */
  preallocate?: boolean | "reserve";
  /** Default: everything is kept until `truncateBefore`. */
  retention?: RetentionOptions;
  /** What to do with frames behind a hole that were never acknowledged for certain. */
  onAmbiguousTail?: "keep-aside" | "refuse";
  /** The Io to work on; it stays the caller's. Without it the log opens one and closes it. */
  io?: Io;
  /** Milliseconds to wait for the lock, and for the last writes of a killed writer; 5,000. */
  lockTimeoutMillis?: number;
  /** Milliseconds of idleness until a durable mark is written; 10. `Infinity`: never. */
  idleMarkMillis?: number;
  /**
   * Opens the log where no file can be locked (Node.js without the native library, some network file
   * systems), which is refused otherwise; default false. Two writers, or a writer after one that was
   * killed with writes in flight, then destroy what was acknowledged: the program must exclude both.
   */
  unsafeNoLock?: boolean;
  /** Where commits are made: in the thread that opens the log. */
  thread?: "inline";
}

/** The same with defaults filled in; sizes not yet fitted to the device. */
export interface WalSettings {
  segmentBytes: number;
  mode: "auto" | "direct" | "buffered";
  recalibrate: boolean;
  maxBytes: number;
  maxDelayMicros: number;
  maxInFlight: number;
  maxRecordBytes: number | undefined;
  preallocate: boolean | "reserve";
  retention: RetentionLimits | undefined;
  onAmbiguousTail: "keep-aside" | "refuse";
  lockTimeoutMillis: number;
  idleMarkMillis: number;
  unsafeNoLock: boolean;
}

const KNOWN = new Set([
  "segmentBytes",
  "mode",
  "recalibrate",
  "commit",
  "maxRecordBytes",
  "preallocate",
  "retention",
  "onAmbiguousTail",
  "io",
  "lockTimeoutMillis",
  "idleMarkMillis",
  "unsafeNoLock",
  "thread",
]);
const KNOWN_COMMIT = new Set(["maxBytes", "maxDelayMicros", "maxInFlight"]);

const KNOWN_RETENTION = new Set(["maxSegments", "maxBytes", "maxAgeMillis"]);

const UNIT = 4096;
const SEGMENT_BYTES = 64 * 1024 * 1024;
const SEGMENT_BYTES_MAX = 1024 ** 4;
const MAX_BYTES = 512 * 1024;
const MAX_BYTES_MAX = 256 * 1024 * 1024;
/** The window in flight stands in 32 bits. */
const WINDOW_BYTES_MAX = 0xffff_f000;
const LOCK_TIMEOUT_MILLIS = 5000;
const IDLE_MARK_MILLIS = 10;

function integer(name: string, value: unknown, least: number, most: number): number {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < least || value > most) {
    throw new WalOptionsError(
      `${name} must be an integer from ${least} to ${most}, and is ${String(value)}`,
    );
  }
  return value;
}

function multiple(name: string, value: number): number {
  if (value % UNIT === 0) return value;
  throw new WalOptionsError(`${name} must be a multiple of ${UNIT}, and is ${value}`);
}

function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T {
  if (allowed.includes(value as T)) return value as T;
  throw new WalOptionsError(
    `${name} must be one of ${allowed.join(", ")}, and is ${String(value)}`,
  );
}

function known(what: string, value: object, names: Set<string>): void {
  for (const name of Object.keys(value)) {
    if (!names.has(name)) {
      throw new WalOptionsError(`${what} has no ${name}; it has ${[...names].join(", ")}`);
    }
  }
}

/** Checks every option and fills in the defaults. */
export function settingsOf(options: WalOptions): WalSettings {
  if (typeof options !== "object" || options === null) {
    throw new WalOptionsError("the options of a log are an object");
  }
  known("the options of a log", options, KNOWN);
  const commit = options.commit ?? {};
  known("commit", commit, KNOWN_COMMIT);
  const segmentBytes = multiple(
    "segmentBytes",
    integer("segmentBytes", options.segmentBytes ?? SEGMENT_BYTES, UNIT, SEGMENT_BYTES_MAX),
  );
  // Small segments alone make small frames.
  const fitting = Math.max(UNIT, Math.min(MAX_BYTES, segmentBytes - 2 * COMMIT_UNIT_USUAL_BYTES));
  const maxBytes = multiple(
    "commit.maxBytes",
    integer("commit.maxBytes", commit.maxBytes ?? fitting, UNIT, MAX_BYTES_MAX),
  );
  if (segmentBytes < maxBytes + 2 * COMMIT_UNIT_USUAL_BYTES) {
    throw new WalOptionsError(
      `segmentBytes (${segmentBytes}) must hold a frame of commit.maxBytes (${maxBytes}) behind ` +
        `the header (${2 * COMMIT_UNIT_USUAL_BYTES}): raise it, or lower commit.maxBytes`,
    );
  }
  const maxInFlight = integer("commit.maxInFlight", commit.maxInFlight ?? 4, 1, IN_FLIGHT_MAX);
  if (maxBytes * maxInFlight > WINDOW_BYTES_MAX) {
    throw new WalOptionsError(
      `commit.maxBytes times commit.maxInFlight (${maxBytes * maxInFlight} bytes) is more than ` +
        `${WINDOW_BYTES_MAX}, which a segment's header can hold: lower one of them`,
    );
  }
  const holds = maxBytes - FRAME_HEADER_BYTES - RECORD_HEADER_BYTES;
  const idle = options.idleMarkMillis ?? IDLE_MARK_MILLIS;
  const preallocate = options.preallocate ?? true;
  if (typeof preallocate !== "boolean" && preallocate !== "reserve") {
    throw new WalOptionsError(
      `preallocate must be true, false or "reserve", and is ${String(preallocate)}`,
    );
  }
  const unsafeNoLock = options.unsafeNoLock ?? false;
  if (typeof unsafeNoLock !== "boolean") {
    throw new WalOptionsError(
      `unsafeNoLock must be true or false, and is ${String(unsafeNoLock)}`,
    );
  }
  // The log of a program lives in the thread that opens it; workers can each have an Io of their own.
  oneOf("thread", options.thread ?? "inline", ["inline"]);
  const mode = oneOf("mode", options.mode ?? "auto", ["auto", "direct", "buffered"]);
  const recalibrate = options.recalibrate ?? false;
  if (typeof recalibrate !== "boolean") {
    throw new WalOptionsError(`recalibrate must be true or false, and is ${String(recalibrate)}`);
  }
  if (recalibrate && mode !== "auto") {
    throw new WalOptionsError(
      `recalibrate measures which mode is quicker, and mode "${mode}" leaves nothing to decide: ` +
        `use mode "auto"`,
    );
  }
  return {
    segmentBytes,
    mode,
    recalibrate,
    maxBytes,
    maxDelayMicros: integer("commit.maxDelayMicros", commit.maxDelayMicros ?? 0, 0, 60_000_000),
    maxInFlight,
    maxRecordBytes: options.maxRecordBytes === undefined
      ? undefined
      : integer("maxRecordBytes", options.maxRecordBytes, 1, holds),
    preallocate,
    retention: retentionOf(options.retention),
    onAmbiguousTail: oneOf("onAmbiguousTail", options.onAmbiguousTail ?? "keep-aside", [
      "keep-aside",
      "refuse",
    ]),
    lockTimeoutMillis: integer(
      "lockTimeoutMillis",
      options.lockTimeoutMillis ?? LOCK_TIMEOUT_MILLIS,
      0,
      86_400_000,
    ),
    idleMarkMillis: idle === Infinity ? Infinity : integer("idleMarkMillis", idle, 1, 3_600_000),
    unsafeNoLock,
  };
}

function retentionOf(retention: RetentionOptions | undefined): RetentionLimits | undefined {
  if (retention === undefined) return undefined;
  if (typeof retention !== "object" || retention === null) {
    throw new WalOptionsError("retention is an object");
  }
  known("retention", retention, KNOWN_RETENTION);
  const limit = (name: keyof RetentionOptions) => {
    const value = retention[name];
    if (value === undefined || value === Infinity) return Infinity;
    return integer(`retention.${name}`, value, 1, Number.MAX_SAFE_INTEGER);
  };
  return {
    maxSegments: limit("maxSegments"),
    maxBytes: limit("maxBytes"),
    maxAgeMillis: limit("maxAgeMillis"),
  };
}
