/**
 * What the ring needs from the runtime it runs in, as one interface; `bun.ts` and `deno.ts` are its
 * implementations, and this room is the only one that knows which runtime this is.
 *
 * Importing this file does nothing: it opens, reads and asks for nothing until `host()` is called.
 *
 * @module
 */

import { bunHost } from "./bun.ts";
import { denoHost } from "./deno.ts";

export { PermissionError } from "./errors.ts";

/** Types that cross the boundary. A `buffer` is a view over memory that does not move. */
export type Scalar = "u32" | "i32" | "buffer";

/** The signature of one function of a native library. */
export interface Signature {
  readonly arguments: readonly Scalar[];
  readonly result: Scalar;
  /** May block: Deno runs it on another thread and returns a promise. */
  readonly blocking?: boolean;
}

/** A library in this process. */
export interface NativeLibrary {
  /** Its functions by name. Those marked `blocking` return a promise in Deno and block in Bun. */
  // deno-lint-ignore no-explicit-any
  readonly symbols: Record<string, (...args: any[]) => any>;
  /** Unmaps it; none of its functions may be called afterwards. */
  close(): void;
}

/** The functions that a waiter calls. */
export interface WakeFunctions {
  uring_wake_fd(): number;
  uring_wake_waiter(): number;
  uring_wake_wait(waiter: number, timeoutMillis: number): number | Promise<number>;
}

/** Waits for the eventfd of this thread. One per thread, however many rings there are. */
export interface Waiter {
  /**
   * Resolves after the eventfd was signalled, or spuriously. Keeps the process alive meanwhile.
   * At most one wait at a time.
   */
  wait(): Promise<void>;
}

/** What a file begins with and its size in bytes, or why that is not known. */
export type FileStart =
  | { bytes: Uint8Array; size: number }
  | "missing"
  | "directory"
  | "unreadable";

/** One runtime. */
export interface Host {
  readonly name: "bun" | "deno";
  readonly version: string;
  /** As Node names it: `linux`, `darwin`, `win32`. */
  readonly platform: string;
  /** As Node names it: `x64`, `arm64`. */
  readonly arch: string;

  /** Whether this thread is a worker. */
  isWorker(): boolean;
  /** An environment variable; `undefined` when it is unset or may not be read. Never prompts. */
  env(name: string): string | undefined;
  /** The first `bytes` bytes of a file. `unreadable` also when this program may not read it. */
  readStart(path: string, bytes: number): FileStart;
  /** Absolute, with `.` and `..` resolved by name: a relative path starts at the working directory. */
  resolvePath(path: string): string;
  /** Throws `PermissionError` unless this program may read `path` (already resolved). */
  requireRead(path: string): void;
  /** Throws `PermissionError` unless this program may write `path` (already resolved). */
  requireWrite(path: string): void;
  /** Throws `PermissionError` unless this program may ask `what` of the system. */
  requireSystem(what: "statfs" | "hostname"): void;

  /**
   * Loads a library.
   *
   * `buffer` arguments take views over a SharedArrayBuffer, or over an ArrayBuffer that was allocated
   * by itself: the address of a small typed array does not hold (docs/ARCHITECTURE.md, "Memory").
   */
  dlopen(path: string, signatures: Readonly<Record<string, Signature>>): NativeLibrary;
  /** A waiter for this thread. */
  createWaiter(functions: WakeFunctions): Waiter;
  /** Calls back in the next turn of the event loop, after timers and I/O had theirs. */
  turn(callback: () => void): void;
}

let current: Host | undefined;

/** The runtime this is, or `undefined` when it is neither Bun nor Deno. */
export function hostOrUndefined(): Host | undefined {
  return current ??= bunHost() ?? denoHost();
}

/** The runtime this is. Throws when it is neither Bun nor Deno. */
export function host(): Host {
  const found = hostOrUndefined();
  if (found === undefined) {
    throw new Error("@uring/io runs under Bun and Deno, and this is neither");
  }
  return found;
}
