/**
 * Failures in words: what happened, to which file, at which offset, and what to do.
 *
 * @module
 */

import { IoError } from "../io/io.ts";

const WAYS_OUT: Record<string, string> = {
  EACCES: "Check who owns the directory and its files, and their modes",
  EPERM: "Check who owns the directory and its files, and their modes",
  ENOSPC: "Free space on that disk, then run it again",
  EDQUOT: "Free space within the quota, then run it again",
  EROFS: "The file system is mounted read-only: mount it for writing, or use another",
  ENOTDIR: "A part of the path is a file: name a directory",
  ENOENT: "Check the path: a part of it is missing",
  EISDIR: "A directory stands where a file belongs: move it away, or name another path",
  EEXIST: "It is a file: name a directory",
  ENAMETOOLONG: "Name a shorter path",
  ELOOP: "Check the symbolic links in the path",
  EMFILE: "Raise the limit of open files (ulimit -n)",
  ENFILE: "The machine has too many files open",
  ENOMEM: "Free memory, or raise the limit of locked memory (ulimit -l)",
  EIO: "The device failed: look into the kernel's log (dmesg)",
  EFBIG: "Raise the limit of file sizes (ulimit -f)",
};

/** What the library says to programs, and what it means for somebody at the command line. */
const COMMAND_WORDS: readonly (readonly [RegExp, string])[] = [
  [/Free space, or call truncateBefore;/, "Free space on that disk, then run it again;"],
  [/use mode "auto"/, "use --mode auto"],
  [/, or open with a smaller arena/, ""],
  [/, or another backend of openIo/, ""],
  [/ or "buffered"$/, " or --mode buffered"],
  [/open the log once with recalibrate: true/, "run `uring append --recalibrate` once"],
  [
    /Where you know that there is none, open the log with unsafeNoLock: true/,
    "Put the log on a file system that has locks, or let io_uring be used (`uring doctor`)",
  ],
  [
    /Lower commit\.maxBytes or commit\.maxInFlight, or open an Io with a larger arenaBytes and pass it as io/,
    "Raise the limit of locked memory (ulimit -l)",
  ],
  [
    /: close other readers, or open an Io with a larger arena$/,
    ": raise the limit of locked memory",
  ],
  [/raise it, or lower commit\.maxBytes/, "raise --segment-bytes"],
  [/^segmentBytes \(/, "--segment-bytes ("],
  [/\bcommit\.maxBytes\b/, "the largest frame"],
];

/** Whether a log is buffered only because nobody has measured what is quicker here. */
export const isMeasuredElsewhere = (modeReason: string): boolean =>
  modeReason.includes("recalibrate: true");

/** A message of the library in words of the command line. */
export function forCommandLine(message: string): string {
  return COMMAND_WORDS.reduce((text, [said, meant]) => text.replace(said, meant), message);
}

/** One or two sentences, never a stack. */
export function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const message = forCommandLine(error.message);
  const wayOut = error instanceof IoError ? wayOutOf(error.code) : undefined;
  return wayOut === undefined ? message : `${message.replace(/\.$/, "")}. ${wayOut}`;
}

/** What to do about a failure of the kernel, where something can be done. */
export function wayOutOf(code: string): string | undefined {
  return WAYS_OUT[code];
}
