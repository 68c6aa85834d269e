/**
 * What the tests of `Io` share: the table of backends, and the shortest way from an operation to its
 * `res`.
 */
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { type Io, type IoFile, type OpenOptions, SyncIo, UringIo } from "../../io.ts";
import { MemoryIo, type MemoryIoOptions } from "../../testing.ts";
import { isDeno, skipRing } from "../support/ring.ts";
import { skipUnless } from "../support/skip.ts";

/** What a contract test may ask of a backend. */
export interface BackendOptions {
  capacity?: number;
  arenaBytes?: number;
  latencies?: boolean;
}

/**
 * What a backend may be without:
 * - `allocate`: reserving blocks; it gives -EOPNOTSUPP.
 * - `direct`: files that bypass the page cache; an open with it gives -EINVAL.
 * - `advice`: `advise` is taken, and does nothing: no page is dropped from the cache.
 * - `short writes`: a write that meets a full disk or a limit says only that it failed, not how much
 *   of it was written before.
 * - `lock by description`: a lock follows the open file, whatever its path leads to by then.
 */
export type Lack = "allocate" | "direct" | "advice" | "short writes" | "lock by description";

/** One row of the table of backends. */
export interface BackendRow {
  readonly name: string;
  /** Why it cannot be tested here. */
  readonly skip: string | false;
  /** What it cannot do by its nature. */
  readonly lacks: readonly Lack[];
  /** Opens it, and gives a directory that exists and is empty. */
  open(options?: BackendOptions): { io: Io; directory: string; remove(): void };
}

/**
 * `node:fs` has neither fallocate nor advice, and direct files want memory that is aligned. Deno locks by
 * path only, and its `writeSync` goes on behind a short write until it fails.
 */
export const SYNC_LACKS: readonly Lack[] = [
  "allocate",
  "direct",
  "advice",
  ...(isDeno ? ["lock by description", "short writes"] as const : []),
];

/** Every backend that there is. What one lacks stands in its row. */
export const BACKENDS: readonly BackendRow[] = [
  {
    name: "memory",
    skip: false,
    lacks: [],
    open: (options) => memoryRow({ ...options }),
  },
  {
    name: "memory, at once and in order",
    skip: false,
    lacks: [],
    open: (options) => memoryRow({ ...options, latencyMicros: 0, reorder: false }),
  },
  {
    name: "uring",
    skip: skipRing,
    lacks: [],
    open: (options) => diskRow(UringIo.open(options)),
  },
  {
    name: "sync",
    skip: false,
    lacks: SYNC_LACKS,
    open: (options) => diskRow(SyncIo.open(options)),
  },
];

/** Where scratch directories are made. */
export const SCRATCH: string = process.env.URING_SCRATCH ?? tmpdir();
/** The same on a file system in memory, where there is one: thousands of small files cost little. */
export const SCRATCH_IN_MEMORY: string = existsSync("/dev/shm") ? "/dev/shm" : SCRATCH;

function diskRow(io: Io) {
  const directory = mkdtempSync(join(SCRATCH, "uring-io-"));
  return { io, directory, remove: () => rmSync(directory, { recursive: true, force: true }) };
}

function memoryRow(options: MemoryIoOptions) {
  const io = MemoryIo.create(options);
  io.createDirectories("/scratch");
  return { io, directory: "/scratch", remove: () => {} };
}

/** Whether there are no direct files: by the row of the backend, else by the file system, by its name. */
export function lacksDirect(backend: BackendRow, io: Io, directory: string): boolean {
  const probe = openFile(io, `${directory}/probe`);
  const { memory, offset } = io.alignment(probe);
  const { type } = io.statFs(probe);
  run(io, (h) => io.close(probe, h));
  run(io, (h) => io.remove(`${directory}/probe`, h));
  if (!backend.lacks.includes("direct")) {
    return skipUnless(offset > 0, `direct files: ${type} has none`) !== false;
  }
  if (memory !== 0 || offset !== 0) throw new Error(`${backend.name} has direct files after all`);
  return true;
}

let nextHandle = 1_000_000;

/** Starts one operation, blocks until it has ended, and returns its `res`. */
export function run(io: Io, start: (handle: number) => void): number {
  const handle = nextHandle++;
  start(handle);
  for (;;) {
    io.park();
    const res = io.take(handle);
    // Rows of other operations are the test's own business.
    io.completions.clear();
    if (res !== undefined) return res;
    if (io.inFlight === 0) throw new Error(`operation ${handle} has not completed`);
  }
}

/** Opens a file that can be read and written, made when it is missing. */
export function openFile(io: Io, path: string, options: OpenOptions = {}): IoFile {
  let file!: IoFile;
  const res = run(io, (handle) => {
    file = io.open(path, { read: true, write: true, create: true, ...options }, handle);
  });
  if (res !== 0) throw new Error(`open of ${path} gave ${res}`);
  return file;
}

/** Writes bytes through a buffer of its own; returns the `res`. */
export function writeBytes(
  io: Io,
  file: IoFile,
  bytes: Uint8Array | string,
  offset: number,
  flags = 0,
): number {
  const data = typeof bytes === "string" ? new TextEncoder().encode(bytes) : bytes;
  const buffer = io.acquireBuffer(Math.max(1, data.length))!;
  buffer.bytes.set(data);
  const res = run(io, (handle) => io.writeAt(file, buffer, 0, data.length, offset, flags, handle));
  io.releaseBuffer(buffer);
  return res;
}

/** Reads bytes through a buffer of its own; a negative `res` is thrown. */
export function readBytes(io: Io, file: IoFile, offset: number, length: number): Uint8Array {
  const buffer = io.acquireBuffer(Math.max(1, length))!;
  const res = run(io, (handle) => io.readAt(file, buffer, 0, length, offset, handle));
  const bytes = buffer.bytes.slice(0, Math.max(0, res));
  io.releaseBuffer(buffer);
  if (res < 0) throw new Error(`read gave ${res}`);
  return bytes;
}

/** `readBytes`, as text. */
export function readText(io: Io, file: IoFile, offset: number, length: number): string {
  return new TextDecoder().decode(readBytes(io, file, offset, length));
}

/** `length` bytes of one value. */
export function filled(length: number, value: number): Uint8Array {
  return new Uint8Array(length).fill(value);
}
