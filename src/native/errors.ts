/**
 * Why there is no ring.
 *
 * @module
 */

/**
 * Why no ring can be had:
 * - `platform`: not Linux on x86-64 or arm64, or neither Bun nor Deno;
 * - `library`: the native library is missing, not permitted, damaged, or of another version;
 * - `blocked`: a seccomp filter (Docker's and containerd's default, for example) refuses io_uring;
 * - `disabled`: the sysctl `kernel.io_uring_disabled` refuses it;
 * - `memlock`: too little memory may be locked (`ulimit -l`);
 * - `kernel`: the kernel is older than 5.15, was built without io_uring, or lacks a resource.
 */
export type RingUnavailableReason =
  | "platform"
  | "library"
  | "blocked"
  | "disabled"
  | "memlock"
  | "kernel";

/** No ring can be had here. A result to decide by, not a bug: `openIo` falls back on it. */
export class RingUnavailableError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingUnavailableError";
  /** @internal */
  constructor(
    /** Which of the reasons. */
    readonly reason: RingUnavailableReason,
    /** The errno's name where the kernel refused (`EPERM`, `ENOMEM`, …), else a name of our own. */
    readonly code: string,
    /** What happened, one sentence. */
    readonly detail: string,
    /** What a person can do about it, one sentence. */
    readonly wayOut: string,
    options?: ErrorOptions,
  ) {
    super(`io_uring is not available (${reason}): ${detail}. ${wayOut}`, options);
  }
}
