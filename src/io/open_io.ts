/**
 * Choosing a backend.
 *
 * @module
 */

import { hostOrUndefined } from "../host/host.ts";
import { type Io, IoUsageError } from "./io.ts";
import { MemoryIo, type MemoryIoOptions } from "./memory.ts";
import { SyncIo, type SyncIoOptions } from "./sync.ts";
import { UringIo, type UringIoOptions } from "./uring.ts";

/** Names the backend, whatever the program asks for. */
const BACKEND_VARIABLE = "URING_BACKEND";
const BACKENDS = ["auto", "uring", "sync", "memory"] as const;

/** Options of {@linkcode openIo}. */
export interface OpenIoOptions extends UringIoOptions {
  /**
   * `auto` (default) is `uring` where it can be had, else `sync`, with the `reason`; `sync` is
   * `node:fs`; `memory` is a simulated machine. The environment variable `URING_BACKEND` overrides it.
   */
  backend?: (typeof BACKENDS)[number];
  /** For the backend `memory`. */
  memory?: MemoryIoOptions;
}

/**
 * Opens the `Io` that was asked for; `io.backend` and `io.reason` say which it is, and why.
 *
 * @throws {RingUnavailableError} when io_uring was asked for by name, and cannot be had.
 */
export function openIo(options: OpenIoOptions = {}): Io {
  const { backend: asked = "auto", memory, ...uring } = options;
  const named = hostOrUndefined()?.env(BACKEND_VARIABLE);
  const backend = named === undefined || named === "" ? asked : named;
  switch (backend) {
    case "uring":
      return UringIo.open(uring);
    case "memory":
      return MemoryIo.create({ ...plain(uring), ...memory });
    case "sync":
      return SyncIo.open(plain(uring));
    case "auto":
      if (hostOrUndefined() === undefined) {
        const reason = "io_uring is driven under Bun and Deno, and this is neither";
        return SyncIo.open({ ...plain(uring), reason });
      }
      try {
        return UringIo.open(uring);
      } catch (error) {
        // A mistake in the options is no reason to look for another backend.
        if (!(error instanceof Error) || error.name !== "RingUnavailableError") throw error;
        return SyncIo.open({ ...plain(uring), reason: error.message });
      }
    default: {
      const from = backend === asked ? "backend" : BACKEND_VARIABLE;
      throw new IoUsageError(`${from} is one of ${BACKENDS.join(", ")}, not ${String(backend)}`);
    }
  }
}

/** What every backend understands. */
function plain(options: UringIoOptions): MemoryIoOptions & SyncIoOptions {
  const { arenaBytes, capacity, latencies } = options;
  return {
    ...(latencies === undefined ? {} : { latencies }),
    ...(arenaBytes === undefined ? {} : { arenaBytes }),
    ...(capacity === undefined ? {} : { capacity }),
  };
}
