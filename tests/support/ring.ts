/**
 * What the tests of the ring share: whether there is io_uring here, a scratch directory, and the
 * shortest way from an operation to its `res`.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { OPEN_FLAG, type RegisteredBuffer, Ring, type RingFile } from "../../ring.ts";
import { type RingOptions, RingUnavailableError } from "../../ring.ts";
import { skipUnless } from "./skip.ts";

export const isDeno = "Deno" in globalThis;
export const ROOT: string = join(import.meta.dirname!, "../..");

/** Why there is no ring here, or `undefined`. Anything but a refusal of the machine is a failure. */
function missing(): string | undefined {
  try {
    Ring.open({ entries: 1, arenaBytes: 4096, bufferBytes: 4096 }).close();
    return undefined;
  } catch (error) {
    if (error instanceof RingUnavailableError && error.reason !== "library") return error.message;
    throw error;
  }
}

const reason = missing();
/** For the `skip` of a test that needs io_uring. */
export const skipRing: string | false = skipUnless(reason === undefined, `${reason}`);

/** Runs `body` with a directory of its own, which is gone afterwards. */
export async function inScratch<T>(body: (directory: string) => T | Promise<T>): Promise<T> {
  const directory = mkdtempSync(join(process.env.URING_SCRATCH ?? tmpdir(), "uring-test-"));
  try {
    return await body(directory);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Opens a ring for `body`, and closes it. */
export async function withRing<T>(
  options: RingOptions,
  body: (ring: Ring) => T | Promise<T>,
): Promise<T> {
  const ring = Ring.open(options);
  try {
    return await body(ring);
  } finally {
    ring.close();
  }
}

/** Submits the one operation that was prepared, and returns its `res`. */
export function finish(ring: Ring, prepared: boolean): number {
  if (!prepared) throw new Error("the operation was not staged");
  ring.submitAndWait(ring.inFlight);
  if (ring.reap() !== 1) throw new Error(`${ring.completions.length} completions instead of one`);
  return ring.completions.res[0];
}

/** Submits all that was prepared, and returns `res` by userData. */
export function finishAll(ring: Ring): Map<number, number> {
  const results = new Map<number, number>();
  while (ring.inFlight > 0) {
    ring.submitAndWait(ring.inFlight);
    const count = ring.reap();
    for (let i = 0; i < count; i++) {
      results.set(ring.completions.userData[i], ring.completions.res[i]);
    }
  }
  return results;
}

/** Opens a file, to read and write and made where it is missing unless `flags` say something else. */
export function openFile(
  ring: Ring,
  path: string,
  flags: number = OPEN_FLAG.RDWR | OPEN_FLAG.CREAT,
): RingFile {
  return ring.file(finish(ring, ring.prepOpenat(path, flags, 0o644, 1)));
}

/** The kernel's number of the descriptor that this process has for a path: Deno's own are others. */
export function descriptorOf(path: string): number {
  for (const name of readdirSync("/proc/self/fd")) {
    try {
      if (readlinkSync(`/proc/self/fd/${name}`) === path) return Number(name);
    } catch {
      // The one that the directory was read by.
    }
  }
  throw new Error(`no descriptor is open for ${path}`);
}

/** Makes a FIFO, which is a pipe with a name; the result is its path. */
export function fifo(directory: string, name: string): string {
  const path = join(directory, name);
  const made = spawnSync("mkfifo", [path], { encoding: "utf8" });
  if (made.status !== 0) throw new Error(`mkfifo: ${made.error ?? made.stderr}`);
  return path;
}

/** A buffer with these bytes in front. */
export function filled(ring: Ring, text: string): RegisteredBuffer {
  const buffer = ring.buffers.acquire();
  if (buffer === undefined) throw new Error("no buffer is free");
  new TextEncoder().encodeInto(text, buffer.bytes);
  return buffer;
}

/** The first `length` bytes of a buffer as text. */
export function textOf(buffer: RegisteredBuffer, length: number): string {
  return new TextDecoder().decode(buffer.bytes.slice(0, length));
}
