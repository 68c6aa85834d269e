/**
 * For tests of programs that store things: a simulated machine, with power cuts, killed processes and
 * failing disks.
 *
 * @example Cut the power while a file is written
 * ```ts
 * import { MemoryIo } from "@uring/io/testing";
 *
 * const io = MemoryIo.create({ seed: 7 });
 * const file = io.open("/a", { write: true, create: true }, 1);
 * io.park();
 * console.log(io.take(1)); // 0
 * const buffer = io.acquireBuffer()!;
 * io.writeAt(file, buffer, 0, 4096, 0, 0, 2);
 * for (let seed = 1; seed <= 3; seed++) {
 *   console.log(io.crash(seed).image()); // "/a" with some of its bytes, or no file at all
 * }
 * ```
 *
 * @module
 */

export {
  type CrashOptions,
  type Fault,
  type FaultOperation,
  type FaultOptions,
  MemoryCrashError,
  MemoryIo,
  type MemoryIoOptions,
} from "./src/io/memory.ts";
export { MemoryStorageIo, type MemoryStorageOptions } from "./src/storage/backends.ts";
