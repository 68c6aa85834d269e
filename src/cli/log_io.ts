/**
 * The Io that a command works on.
 *
 * @module
 */

import type { Io } from "../io/io.ts";
import { openIo, type OpenIoOptions } from "../io/open_io.ts";
import { RingUnavailableError } from "../native/errors.ts";
import { library } from "../native/library.ts";
import { systemInfo } from "../native/system.ts";

/**
 * Frames of a mebibyte stream best; five of them, what a log needs beside them, and room to zero fresh
 * segments by large writes fit in this. With it, 8 MiB of locked memory are enough.
 */
const STREAM_ARENA_BYTES = 7 << 20;
/** Below this limit a larger arena could not be pinned beside what else the user runs. */
const STREAM_MEMLOCK_BYTES = 8 << 20;
const STREAM_FRAME_BYTES = 1 << 20;
/** What fits the arena of 4 MiB that an ordinary user's limit always allows. */
const SMALL_FRAME_BYTES = 512 << 10;

/** An Io that keeps what it is given. Throws what is in the way of one that was asked for by name. */
export function openLogIo(options: OpenIoOptions = {}): Io {
  const io = openIo(options);
  if (io.backend !== "memory") return io;
  io[Symbol.dispose]();
  throw new Error("the backend `memory` keeps nothing: unset URING_BACKEND");
}

/** An Io to write a log with, and the bytes of a frame that suit it. */
export function openWritingIo(): { io: Io; frameBytes: number } {
  if (mayPin(STREAM_MEMLOCK_BYTES)) {
    try {
      const io = openLogIo({ arenaBytes: STREAM_ARENA_BYTES });
      if (io.backend === "uring") return { io, frameBytes: STREAM_FRAME_BYTES };
      // Less memory may be all that the ring lacks.
      io[Symbol.dispose]();
    } catch (error) {
      if (!(error instanceof RingUnavailableError) || error.reason !== "memlock") throw error;
    }
  }
  return { io: openLogIo(), frameBytes: SMALL_FRAME_BYTES };
}

function mayPin(bytes: number): boolean {
  try {
    return systemInfo(library().functions).memlockBytes >= bytes;
  } catch (error) {
    if (!(error instanceof RingUnavailableError)) throw error;
    return false;
  }
}
