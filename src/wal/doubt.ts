/**
 * After a failed write or sync the page cache may show what the device does not have. Where the Io cannot
 * drop it (`node:fs` can not), nobody can tell until the machine is started anew: then a file beside the
 * log says so, and the log is not opened over such an Io.
 *
 * The file needs no sync: it counts for as long as the cache does, and both go with the machine.
 *
 * @module
 */

import { type Io, IoError } from "../io/io.ts";
import type { Task } from "../io/pump.ts";
import { type Disk, joinPath } from "./disk.ts";
import { WalPoisonedError } from "./errors.ts";
import { TEMPORARY_SUFFIX } from "./format.ts";

/** Before the identity of the boot of the machine. */
const PREFIX = "DOUBT-";
const UNKNOWN = "unknown";

const nameFor = (io: Io) => PREFIX + (io.identity().bootId || UNKNOWN);

/**
 * Whether an error says that what is cached may not be on the device, and nothing can be done about it. Not of
 * a temporary file, as when a full disk refuses a spare: nothing of it is ever read.
 */
export function leavesDoubt(io: Io, error: unknown): boolean {
  return !io.dropsCache && error instanceof IoError &&
    ["write", "fsync", "fdatasync"].includes(error.operation) &&
    !error.path?.endsWith(TEMPORARY_SUFFIX);
}

/** Says so beside the log. By its first step, which such an Io executes at once. */
export function* markDoubt(disk: Disk, directory: string): Task<void> {
  const path = joinPath(directory, nameFor(disk.io));
  const file = yield* disk.open(path, { write: true, create: true });
  yield* disk.close(file);
}

/** Files of that kind among the names of a directory. */
export function doubtsIn(names: readonly string[]): string[] {
  return names.filter((name) => name.startsWith(PREFIX));
}

/**
 * @throws {WalPoisonedError} something failed since the machine was started, and this Io cannot tell what
 * the device kept
 */
export function refuseDoubt(io: Io, directory: string, names: readonly string[]): void {
  if (io.dropsCache) return;
  const here = nameFor(io);
  const unknown = PREFIX + UNKNOWN;
  const name = doubtsIn(names).find((name) =>
    name === here || name === unknown || here === unknown
  );
  if (name === undefined) return;
  throw new WalPoisonedError(
    `${directory}: a write or sync failed since this machine was started, and what is cached need not ` +
      `be on the device, which the backend "${io.backend}" cannot look past. Open the log over io_uring ` +
      `(uring doctor says what is in its way), or restart the machine and remove ` +
      joinPath(directory, name),
  );
}
