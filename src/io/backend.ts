/**
 * What all backends are made of: files, buffers, slots, and the operations that each of them does in its
 * own way. The other half, which programs see, is `client.ts`.
 *
 * The way of an operation: a method of `ClientIo` checks everything, takes a slot and marks file and
 * buffer; the backend starts it, and ends it with `finish(slot, res)`, perhaps much later; the row
 * waits in the client's queue until that client polls, which fills `completions`, gives the marks and
 * the slot back. An operation counts as in flight until that poll.
 *
 * @module
 */

import { ERRNO } from "../abi/generated.ts";
import { directoryOf } from "../host/path.ts";
import { Arena, RUN_BYTES } from "./arena.ts";
import type { ClientIo } from "./client.ts";
import {
  type IoAdvice,
  type IoAlignment,
  type IoBuffer,
  IoClosedError,
  type IoDirectoryEntry,
  type IoFile,
  type IoFileSystem,
  type IoIdentity,
  type IoStat,
  type IoTimer,
  type OpenOptions,
} from "./io.ts";
import { ioErrorOf } from "./io_error.ts";
import { OperationTable } from "./operations.ts";
import { Statistics } from "./statistics.ts";
import { LoopTimer, turn } from "./timer.ts";

/** No operation. */
const NONE = -1;
/** What `crypto` fills at once. */
const RANDOM_BYTES_MAX = 65536;
/** How long the event loop may be kept from everything else by waits. */
const PAUSE_AFTER_MILLIS = 0.5;

/** A buffer of a backend's arena. Made and owned by its `Backend`. */
export class ArenaBuffer implements IoBuffer {
  readonly bytes: Uint8Array;
  readonly length: number;
  /** Offset in the arena. */
  readonly offset: number;
  readonly backend: Backend;
  /** Number of the client that acquired it. */
  readonly client: number;
  /** The slot of the operation that owns it now, or -1. */
  slot = NONE;
  released = false;

  constructor(backend: Backend, client: number, bytes: Uint8Array, offset: number) {
    this.backend = backend;
    this.client = client;
    this.bytes = bytes;
    this.length = bytes.length;
    this.offset = offset;
  }
}

/** An open file; backends derive it to keep what they need. */
export class OpenFile implements IoFile {
  readonly path: string;
  readonly options: Readonly<Required<OpenOptions>>;
  readonly backend: Backend;
  /** Operations in flight on it. */
  inFlight = 0;
  state: "opening" | "open" | "closing" | "closed" = "opening";

  constructor(backend: Backend, path: string, options: Readonly<Required<OpenOptions>>) {
    this.backend = backend;
    this.path = path;
    this.options = options;
  }
}

/**
 * One backend: the driver of the operations, and what its clients have in common. `start…` methods
 * are called with arguments that were checked, and must not throw; what they cannot do ends with
 * `finish(slot, -errno)`. They may call `finish` at once: it is delivered at the next poll.
 */
export abstract class Backend {
  abstract readonly name: "uring" | "sync" | "memory";
  reason = "";
  durability: "verified" | "unverified" = "verified";
  reservedDsync = true;
  dropsCache = true;
  registered = false;
  kernel = "";
  blockSize = RUN_BYTES;

  readonly table: OperationTable;
  readonly arena: Arena;
  /** By number; numbers of clients that were given up are used again. */
  readonly clients: (ClientIo | undefined)[] = [];
  readonly buffers: Set<ArenaBuffer> = new Set();
  /** By slot: what the operation is about. */
  readonly fileOf: (OpenFile | undefined)[];
  readonly bufferOf: (ArenaBuffer | undefined)[];
  readonly statistics: Statistics = new Statistics();
  disposed = false;
  /** When the event loop is known to have had a turn. */
  private _turnedMillis = performance.now();
  private _pause: Promise<void> | undefined;

  constructor(capacity: number, arenaBytes: number, latencies: boolean) {
    this.table = new OperationTable(capacity);
    if (latencies) this.statistics.recordLatencies(capacity);
    this.arena = new Arena(arenaBytes);
    this.fileOf = new Array(capacity).fill(undefined);
    this.bufferOf = new Array(capacity).fill(undefined);
  }

  /** Throws when the backend does not work any more. Called first by every method of a client. */
  check(): void {
    if (this.disposed) throw new IoClosedError("this Io was disposed of");
  }

  /** Whether giving things back is still of use to anyone; else it quietly does nothing. */
  get alive(): boolean {
    return true;
  }

  /** The memory of a run of the arena. */
  abstract view(offset: number, length: number): Uint8Array;

  /** Called last before an operation is taken on; may throw, and nothing has happened then. */
  admitOperation(): void {}

  /** The path as this backend wants it; throws when the program may not use it so. */
  abstract admitPath(path: string, access: "read" | "write" | "both"): string;
  abstract makeFile(path: string, options: Readonly<Required<OpenOptions>>): OpenFile;
  /** Alignment of direct I/O, for the check of arguments: `offset` 0 where it is not known. */
  abstract alignment(file: OpenFile): IoAlignment;

  abstract startOpen(slot: number, file: OpenFile): void;
  /** Throws {@linkcode IoUsageError} where descriptors of the program cannot be adopted. */
  abstract admitDescriptor(): void;
  /** Makes the file of a descriptor; `start` may end with an error. */
  abstract makeAdopted(descriptor: number): OpenFile;
  abstract startAdopt(slot: number, file: OpenFile, descriptor: number): void;
  abstract startClose(slot: number, file: OpenFile): void;
  abstract startRead(
    slot: number,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void;
  abstract startWrite(
    slot: number,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
  ): void;
  abstract startSync(slot: number, file: OpenFile, dataOnly: boolean): void;
  abstract startStat(slot: number, target: OpenFile | string, stat: IoStat): void;
  abstract startTruncate(slot: number, file: OpenFile, size: number): void;
  abstract startAllocate(slot: number, file: OpenFile, offset: number, length: number): void;
  abstract startAdvise(
    slot: number,
    file: OpenFile,
    offset: number,
    length: number,
    advice: IoAdvice,
  ): void;
  abstract startRename(slot: number, from: string, to: string): void;
  abstract startLink(slot: number, from: string, to: string): void;
  abstract startRemove(slot: number, path: string): void;
  abstract startSyncDirectory(slot: number, path: string): void;

  /** pread(2) and pwrite(2), with arguments that were checked; gives the `res`. */
  abstract transferNow(
    writes: boolean,
    client: ClientIo,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number;
  abstract lock(file: OpenFile, exclusive: boolean): number;
  abstract statFs(file: OpenFile): IoFileSystem;
  abstract noCopyOnWrite(file: OpenFile): number;
  abstract identity(): IoIdentity;
  abstract listDirectory(path: string): IoDirectoryEntry[];
  /** 0, or a negative errno. */
  abstract makeDirectory(path: string): number;
  /** 1 when it is, 0 when it is something else, or a negative errno. */
  abstract isDirectory(path: string): number;

  /** Makes what is missing; returns what it made, outermost first. */
  createDirectories(path: string): string[] {
    const missing: string[] = [];
    const made: string[] = [];
    const fail = (res: number) => ioErrorOf(res, "createDirectories", path);
    let directory = path;
    // Ends with the root, which exists.
    for (;;) {
      const res = this.makeDirectory(directory);
      if (res === 0) made.push(directory);
      else if (res === -ERRNO.EEXIST) {
        const is = this.isDirectory(directory);
        if (is < 0) throw fail(is);
        if (is === 0) throw fail(directory === path ? -ERRNO.EEXIST : -ERRNO.ENOTDIR);
      } else if (res !== -ERRNO.ENOENT || directory === "/") throw fail(res);
      if (res !== -ERRNO.ENOENT) break;
      missing.push(directory);
      directory = directoryOf(directory);
    }
    for (const one of missing.reverse()) {
      const res = this.makeDirectory(one);
      if (res === 0) made.push(one);
      // Somebody else made it meanwhile.
      else if (res !== -ERRNO.EEXIST) throw fail(res);
    }
    return made;
  }

  now(): number {
    return performance.now() * 1000;
  }
  wallClock(): number {
    return Date.now();
  }
  /** `length` is what the array really has, here and below. */
  random(bytes: Uint8Array, length: number): void {
    // Shared memory is refused, and so is much at once.
    for (let at = 0; at < length; at += RANDOM_BYTES_MAX) {
      const part = new Uint8Array(Math.min(RANDOM_BYTES_MAX, length - at));
      bytes.set(crypto.getRandomValues(part), at);
    }
  }
  abstract crc32c(bytes: Uint8Array, length: number, seed: number): number;
  abstract crc32cBuffer(buffer: ArenaBuffer, offset: number, length: number, seed: number): number;

  /** As {@linkcode Io.after}. */
  after(micros: number, callback: () => void): IoTimer {
    return new LoopTimer(micros, callback);
  }

  /** Submits what is staged, and finishes what has ended, without blocking. */
  abstract drain(): void;
  /**
   * Submits what is staged and blocks until `client.ready > 0` or the time is over; something of it is
   * in flight.
   */
  abstract block(client: ClientIo, timeoutMicros: number): void;
  /** Resolves when `client.ready > 0`, without blocking the event loop. */
  abstract wakeup(client: ClientIo): Promise<void>;
  /**
   * A wait finds completions there already: what it still waits for, so that a loop over waits does not
   * keep the event loop from everything else.
   */
  pause(): Promise<void> | undefined {
    if (this._pause !== undefined) return this._pause;
    if (performance.now() - this._turnedMillis < PAUSE_AFTER_MILLIS) return undefined;
    return this._pause = new Promise((resolve) =>
      turn(() => {
        this._pause = undefined;
        this.turned();
        resolve();
      })
    );
  }
  /** The event loop had a turn. */
  protected turned(): void {
    this._turnedMillis = performance.now();
  }
  /** Cancels and drains what is in flight, and frees everything. */
  abstract free(): void;

  /** An operation has ended. */
  finish(slot: number, res: number): void {
    this.table.res[slot] = res;
    this.clients[this.table.client[slot]]!.enqueue(slot);
  }
}
