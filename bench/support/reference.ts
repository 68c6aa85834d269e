/**
 * Reference loops in C, built by the benchmark that uses them and called in its process.
 *
 * @module
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { host, type Signature } from "../../src/host/host.ts";

const ROOT = join(import.meta.dirname!, "../..");
const ARCHIVE_DIRECTORIES = [
  "/usr/lib/x86_64-linux-gnu",
  "/usr/lib/aarch64-linux-gnu",
  "/usr/lib64",
  "/usr/lib",
];

/**
 * Compiles `bench/NAME.c` with -O2 against the archive of liburing that the shim is linked with, and
 * gives its functions.
 */
export function buildReference<Name extends string>(
  name: string,
  signatures: Readonly<Record<Name, Signature>>,
): Record<Name, (...args: (number | Uint8Array | Float64Array)[]) => number> {
  // Of this process: the same benchmark may run twice at a time.
  const target = join(ROOT, `build/bench-${name}.${process.pid}.so`);
  const archive = ARCHIVE_DIRECTORIES.map((directory) => `${directory}/liburing.a`).find(
    existsSync,
  );
  if (archive === undefined) throw new Error("liburing.a is missing: run ./dev setup");
  mkdirSync(join(ROOT, "build"), { recursive: true });
  execFileSync("gcc", [
    ...["-O2", "-shared", "-fPIC", "-pthread", "-Wall", "-o", target],
    ...[join(ROOT, `bench/${name}.c`), archive],
  ]);
  try {
    return host().dlopen(target, signatures).symbols as never;
  } finally {
    rmSync(target);
  }
}

/** A string for C, in memory that does not move. */
export function cString(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  const memory = new Uint8Array(new ArrayBuffer(bytes.length));
  memory.set(bytes);
  return memory;
}
