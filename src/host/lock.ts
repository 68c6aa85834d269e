/**
 * Locks on files without the native library (`node:fs` has none): flock(2), by Deno's own files, and by
 * libc under Bun. They exclude each other, and those of the library, across processes and in one.
 *
 * @module
 */

/** A file to lock, open already. */
export interface LockTarget {
  /** Of `node:fs`. */
  readonly descriptor: number;
  readonly path: string;
  readonly writable: boolean;
  readonly device: number;
  readonly inode: number;
}

/** A lock that is held until it is released, or the process ends. */
export interface FileLock {
  release(): void;
}

/** Why there is no lock: somebody else holds it, or there are none here. */
export type LockRefusal = "held" | "unsupported" | "moved";

/** LOCK_SH, LOCK_EX, LOCK_NB. */
const SHARED = 1;
const EXCLUSIVE = 2;
const NONBLOCK = 4;
/** EAGAIN of Linux and of macOS. */
const HELD = new Set([11, 35]);

/** libc by its name on glibc, musl and macOS, and where it keeps errno. */
const LIBRARIES: readonly (readonly [name: string, errno: string])[] = [
  ["libc.so.6", "__errno_location"],
  ["libc.musl-x86_64.so.1", "__errno_location"],
  ["libc.musl-aarch64.so.1", "__errno_location"],
  ["libSystem.B.dylib", "__error"],
];

// deno-lint-ignore no-explicit-any
const globals = globalThis as any;

let flock: ((descriptor: number, exclusive: boolean) => number) | "missing" | undefined;

/** flock(2) by libc: 0, or a positive errno. */
function bunFlock(): typeof flock {
  const ffi = globals.process.getBuiltinModule("bun:ffi");
  for (const [name, errno] of LIBRARIES) {
    try {
      const { symbols } = ffi.dlopen(name, {
        flock: { args: ["i32", "i32"], returns: "i32" },
        [errno]: { args: [], returns: "ptr" },
      });
      return (descriptor, exclusive) => {
        const operation = (exclusive ? EXCLUSIVE : SHARED) | NONBLOCK;
        return symbols.flock(descriptor, operation) === 0 ? 0 : ffi.read.i32(symbols[errno](), 0);
      };
    } catch { /* another libc */ }
  }
  return "missing";
}

/**
 * Locks a file without waiting, excluding every other lock or exclusive ones only. Throws what the runtime
 * throws when it fails otherwise.
 */
export function lockFile(target: LockTarget, exclusive: boolean): FileLock | LockRefusal {
  if (globals.Bun !== undefined) return lockInBun(target, exclusive);
  if (globals.Deno !== undefined) return lockInDeno(target, exclusive);
  return "unsupported";
}

function lockInBun({ descriptor, path }: LockTarget, exclusive: boolean): FileLock | LockRefusal {
  flock ??= bunFlock();
  if (typeof flock !== "function") return "unsupported";
  const errno = flock(descriptor, exclusive);
  // Closing the descriptor releases it.
  if (errno === 0) return { release: () => {} };
  if (HELD.has(errno)) return "held";
  throw Object.assign(new Error(`flock of ${path} failed: error ${errno}`), { errno: -errno });
}

/** Deno's numbers are not the kernel's, so a second description of the same file carries the lock. */
function lockInDeno(
  { path, writable, device, inode }: LockTarget,
  exclusive: boolean,
): FileLock | LockRefusal {
  const file = globals.Deno.openSync(path, writable ? { write: true } : { read: true });
  try {
    const status = file.statSync();
    const same = status.dev === device && status.ino === inode;
    if (same && file.tryLockSync(exclusive)) return { release: () => file.close() };
    file.close();
    return same ? "held" : "moved";
  } catch (error) {
    file.close();
    throw error;
  }
}
