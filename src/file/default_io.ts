/**
 * The `Io` of files that were opened without one: one a thread, from the first of them to the last.
 *
 * @module
 */

import type { Io } from "../io/io.ts";
import { openIo } from "../io/open_io.ts";

let shared: Io | undefined;
let users = 0;

/** Opens it unless it is there. Give it back by {@linkcode returnIo}. */
export function borrowIo(): Io {
  shared ??= openIo();
  users++;
  return shared;
}

/** The last one to give it back ends it. */
export function returnIo(): void {
  if (--users > 0) return;
  const io = shared;
  shared = undefined;
  io?.[Symbol.dispose]();
}
