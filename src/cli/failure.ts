/**
 * Failures in words: what happened, to which file, at which offset, and what to do.
 *
 * @module
 */

import { RingUnavailableError } from "../native/errors.ts";
import { IoError } from "../io/io.ts";

const WAYS_OUT: Record<string, string> = {
  EACCES: "Check who owns the directory and its files, and their modes",
  EPERM: "Check who owns the directory and its files, and their modes",
  ENOSPC: "Free space on that disk, then run it again",
  EDQUOT: "Free space within the quota, then run it again",
  EROFS: "The file system is mounted read-only: mount it for writing, or use another",
  ENOTDIR: "A part of the path is a file: name a directory",
  EEXIST: "It is a file: name a directory",
  ENAMETOOLONG: "Name a shorter path",
  ELOOP: "Check the symbolic links in the path",
  EMFILE: "Raise the limit of open files (ulimit -n)",
  ENFILE: "The machine has too many files open",
  EIO: "The device failed: look into the kernel's log (dmesg)",
  EFBIG: "Raise the limit of file sizes (ulimit -f)",
};

/** One or two sentences, never a stack. */
export function inWords(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error instanceof RingUnavailableError) return error.message;
  const code = error instanceof IoError ? error.code : undefined;
  const wayOut = code === undefined ? undefined : WAYS_OUT[code];
  return wayOut === undefined ? error.message : `${error.message.replace(/\.$/, "")}. ${wayOut}`;
}
