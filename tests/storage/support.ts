/** The storages of each backend of `Io`. */
import type { Io } from "../../io.ts";
import {
  MemoryStorageIo,
  type StorageIo,
  type StorageOptions,
  SyncStorageIo,
  UringStorageIo,
} from "../../storage.ts";

/** A storage on an `Io` of the table of backends. */
export function storageOn(io: Io, options: StorageOptions = {}): StorageIo {
  const all = { buffers: 16, bufferBytes: 4096, ...options, io };
  switch (io.backend) {
    case "memory":
      return MemoryStorageIo.open(all);
    case "sync":
      return SyncStorageIo.open(all);
    default:
      return UringStorageIo.open(all);
  }
}
