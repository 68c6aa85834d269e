/**
 * A failed open in words that say why, and what to do.
 *
 * @module
 */

import { errnoName, errnoText } from "../abi/errno.ts";
import { ERRNO, FILE_NONE, OPEN_STEP, OPEN_STEP_NAMES } from "../abi/generated.ts";
import { RingUnavailableError, type RingUnavailableReason } from "../native/errors.ts";
import type { SystemInfo } from "../native/system.ts";
import type { ResolvedOptions } from "./options.ts";

const KERNEL_MAJOR_MIN = 5;
const KERNEL_MINOR_MIN = 15;
const UPGRADE = `Use Linux ${KERNEL_MAJOR_MIN}.${KERNEL_MINOR_MIN} or later`;

/** Whether the kernel is one that this project supports. */
export function kernelIsOld(system: SystemInfo): boolean {
  return system.kernelMajor < KERNEL_MAJOR_MIN ||
    (system.kernelMajor === KERNEL_MAJOR_MIN && system.kernelMinor < KERNEL_MINOR_MIN);
}

/** The error for a kernel below the oldest supported one. */
export function oldKernel(system: SystemInfo): RingUnavailableError {
  return new RingUnavailableError("kernel", "EKERNEL", `this is Linux ${system.release}`, UPGRADE);
}

/**
 * The error for an open that failed.
 *
 * @param errno Positive, as the shim returned it.
 * @param step The step of opening that failed, an `OPEN_STEP`.
 */
export function unavailable(
  errno: number,
  step: number,
  system: SystemInfo,
  options: ResolvedOptions,
): RingUnavailableError {
  const code = errnoName(errno);
  const make = (reason: RingUnavailableReason, detail: string, wayOut: string) =>
    new RingUnavailableError(reason, code, detail, wayOut);
  const memlock = () =>
    make(
      "memlock",
      `this process may lock ${bytesInWords(system.memlockBytes)} of memory (${code})`,
      "Raise the limit (ulimit -l, LimitMEMLOCK=, --ulimit memlock=), or open with a smaller arena",
    );
  switch (step) {
    case OPEN_STEP.setup:
      switch (errno) {
        case ERRNO.EPERM:
        case ERRNO.EACCES:
          if ((system.ioUringDisabled ?? 0) !== 0) {
            return make(
              "disabled",
              `the sysctl kernel.io_uring_disabled is ${system.ioUringDisabled}`,
              "Set it to 0 as root: sysctl kernel.io_uring_disabled=0",
            );
          }
          return blocked();
        case ERRNO.ENOSYS:
          if (!system.seccomp) {
            return make("kernel", `Linux ${system.release} was built without io_uring`, UPGRADE);
          }
          return blocked();
        case ERRNO.ENOMEM:
          return memlock();
        case ERRNO.EINVAL:
          if (options.sqpollCpu !== FILE_NONE) {
            return make(
              "kernel",
              `Linux ${system.release} refuses sqpoll on processor ${options.sqpollCpu} (EINVAL)`,
              "Name one that is online, as sqpoll.cpu, or none",
            );
          }
          return make(
            "kernel",
            `Linux ${system.release} refuses every set of set-up flags`,
            UPGRADE,
          );
        case ERRNO.EMFILE:
        case ERRNO.ENFILE:
          return descriptors();
      }
      break;
    case OPEN_STEP.features:
      return make(
        "kernel",
        `Linux ${system.release} lacks a feature that the ring relies on`,
        UPGRADE,
      );
    case OPEN_STEP.buffers:
      if (errno === ERRNO.ENOMEM || errno === ERRNO.EPERM) return memlock();
      break;
    case OPEN_STEP.files:
      if (errno === ERRNO.ENOMEM) return memlock();
      if (errno === ERRNO.EMFILE) return descriptors();
      break;
    case OPEN_STEP.eventfd:
      if (errno === ERRNO.EMFILE || errno === ERRNO.ENFILE) return descriptors();
      break;
  }
  const where = OPEN_STEP_NAMES[step] ?? `step ${step}`;
  return make(
    "kernel",
    `opening failed (${where}): ${code}, ${errnoText(errno)}, on Linux ${system.release}`,
    "See `uring doctor`",
  );

  function blocked(): RingUnavailableError {
    const filter = system.seccomp
      ? "a seccomp filter refuses io_uring_setup"
      : "io_uring_setup is refused, by a security module or a filter";
    return make(
      "blocked",
      `${filter} (${code})`,
      "In Docker or containerd: a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register",
    );
  }

  function descriptors(): RingUnavailableError {
    return make(
      "kernel",
      `there are no descriptors left (${code}); this process may have ${system.filesMax}`,
      "Raise the limit (ulimit -n), or close files",
    );
  }
}

function bytesInWords(bytes: number): string {
  return bytes === Infinity ? "any amount" : `${bytes} bytes`;
}
