/**
 * Descriptors that something else opened: what the kernel says about them, and duplicates.
 *
 * @module
 */

import type * as NodeFs from "node:fs";

/** What an open descriptor is. */
export interface Descriptor {
  /** Its path when it was opened, or what the kernel calls it. */
  readonly path: string;
  readonly read: boolean;
  readonly write: boolean;
  readonly append: boolean;
  readonly direct: boolean;
  readonly dsync: boolean;
}

const O_ACCMODE = 0o3;
const O_WRONLY = 0o1;
const O_RDWR = 0o2;
const O_APPEND = 0o2000;
const O_DSYNC = 0o10000;
/** As the machine numbers it. */
const O_DIRECT: Readonly<Record<string, number>> = { x64: 0o40000, arm64: 0o200000 };
const F_DUPFD_CLOEXEC = 1030;
const LIBRARIES = ["libc.so.6", "libc.musl-x86_64.so.1", "libc.musl-aarch64.so.1"];

// deno-lint-ignore no-explicit-any
const globals = globalThis as any;

let duplicate: ((descriptor: number) => number) | undefined;

/** Why numbers of this runtime do not name descriptors of the kernel; `undefined` where they do. */
export function foreignNumbers(): string | undefined {
  if (globals.Deno !== undefined) return "Deno's numbers are not the kernel's";
  if (globals.process?.platform !== "linux") return "descriptors are looked up in Linux' /proc";
  return undefined;
}

/** What a descriptor is, or `undefined` when there is none of this number. Where numbers are the kernel's. */
export function describeDescriptor(descriptor: number): Descriptor | undefined {
  const fs: typeof NodeFs = globals.process.getBuiltinModule("node:fs");
  let said: string;
  let path: string;
  try {
    path = fs.readlinkSync(`/proc/self/fd/${descriptor}`);
    said = fs.readFileSync(`/proc/self/fdinfo/${descriptor}`, "utf8");
  } catch {
    return undefined;
  }
  const flags = parseInt(/^flags:\s*([0-7]+)/m.exec(said)?.[1] ?? "0", 8);
  const mode = flags & O_ACCMODE;
  return {
    path,
    read: mode !== O_WRONLY,
    write: mode === O_WRONLY || mode === O_RDWR,
    append: (flags & O_APPEND) !== 0,
    direct: (flags & (O_DIRECT[globals.process.arch] ?? 0)) !== 0,
    dsync: (flags & O_DSYNC) !== 0,
  };
}

/** A second descriptor for the same description, closed on exec; -1 where there is no libc to ask. */
export function duplicateDescriptor(descriptor: number): number {
  duplicate ??= findDuplicate();
  return duplicate(descriptor);
}

function findDuplicate(): (descriptor: number) => number {
  if (globals.Bun === undefined) return () => -1;
  const ffi = globals.process.getBuiltinModule("bun:ffi");
  for (const name of LIBRARIES) {
    try {
      const { symbols } = ffi.dlopen(name, {
        fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
      });
      return (descriptor) => symbols.fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    } catch { /* another libc */ }
  }
  return () => -1;
}
