/**
 * Durable storage I/O for Bun and Deno. This entry has the log; `./io` and `./ring` have what it stands on.
 *
 * @example Append a record, and wait until it survives a power cut
 * ```ts
 * import { Wal } from "@uring/io";
 *
 * await using wal = await Wal.open("/var/tmp/example-log");
 * console.log(await wal.durable(wal.append("hello")));
 * ```
 *
 * @module
 */

export * from "./wal.ts";
