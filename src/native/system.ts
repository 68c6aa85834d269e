/**
 * What the machine and this process are like, as far as it matters to a ring. It stands in /proc and
 * /sys, which Deno lets no program read, so the shim reads it.
 *
 * @module
 */

import { SYSTEM_INFO } from "../abi/generated.ts";
import type { Functions } from "./library.ts";

/** Of the kernel, this process and its limits. */
export interface SystemInfo {
  /** As the kernel names its release: `6.18.44`. */
  readonly release: string;
  readonly kernelMajor: number;
  readonly kernelMinor: number;
  readonly pageBytes: number;
  /** The sysctl `kernel.io_uring_disabled`: 0, 1 or 2; `undefined` where there is none. */
  readonly ioUringDisabled: number | undefined;
  /** Bytes that this process may lock in memory; `Infinity` when there is no limit. */
  readonly memlockBytes: number;
  /** Descriptors that this process may have; `Infinity` when there is no limit. */
  readonly filesMax: number;
  readonly uid: number;
  readonly pid: number;
  readonly tid: number;
  /** Whether a seccomp filter watches the calls of this process. */
  readonly seccomp: boolean;
  /** When this process started, in clock ticks since boot: with the pid, its identity. */
  readonly startTicks: number;
  readonly bootId: string;
  readonly host: string;
  /** Whether CRC32C is computed by an instruction of the processor. */
  readonly crc32cHardware: boolean;
}

/** Asks the shim. */
export function systemInfo(functions: Functions): SystemInfo {
  const bytes = new Uint8Array(new SharedArrayBuffer(SYSTEM_INFO.bytes));
  functions.uring_system(bytes, bytes.length);
  const view = new DataView(bytes.buffer);
  const number = (at: number) => view.getUint32(at, true);
  const wide = (at: number) => number(at) + number(at + 4) * 0x1_0000_0000;
  const limit = (at: number) =>
    number(at) === 0xffff_ffff && number(at + 4) === 0xffff_ffff ? Infinity : wide(at);
  const text = (at: number, length: number) => {
    const field = bytes.slice(at, at + length);
    const end = field.indexOf(0);
    return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
  };
  const disabled = number(SYSTEM_INFO.ioUringDisabled);
  return {
    release: text(SYSTEM_INFO.release, SYSTEM_INFO.releaseBytes),
    kernelMajor: number(SYSTEM_INFO.kernelMajor),
    kernelMinor: number(SYSTEM_INFO.kernelMinor),
    pageBytes: number(SYSTEM_INFO.pageBytes),
    ioUringDisabled: disabled === 0xffff_ffff ? undefined : disabled,
    memlockBytes: limit(SYSTEM_INFO.memlockBytes),
    filesMax: limit(SYSTEM_INFO.nofile),
    uid: number(SYSTEM_INFO.uid),
    pid: number(SYSTEM_INFO.pid),
    tid: number(SYSTEM_INFO.tid),
    seccomp: number(SYSTEM_INFO.seccomp) !== 0,
    startTicks: wide(SYSTEM_INFO.startTicks),
    bootId: text(SYSTEM_INFO.bootId, SYSTEM_INFO.bootIdBytes),
    host: text(SYSTEM_INFO.host, SYSTEM_INFO.hostBytes),
    crc32cHardware: number(SYSTEM_INFO.crc32cHardware) !== 0,
  };
}
