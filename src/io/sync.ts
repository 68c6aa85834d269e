/**
 * `SyncIo`: the `Io` over the runtime's own `node:fs`, for every place without io_uring. An operation is
 * executed by the call that submits it, blocking, and its completion is delivered by the next poll.
 *
 * It lacks, compared with `UringIo`: direct I/O (an open with `direct` ends with -EINVAL, and the
 * alignment is 0), `allocate` (-EOPNOTSUPP), and `advise`, which does nothing. Locks are there where the
 * runtime or libc has them (`src/host/lock.ts`), else `lock` gives -EOPNOTSUPP. Under Deno a write that
 * meets a full disk, a quota or a limit ends with that error also when a part of it was written: its
 * `writeSync` goes on behind a short write, and does not say how far it came.
 *
 * @module
 */

import type * as NodeFs from "node:fs";
import type * as NodeOs from "node:os";
import { ERRNO } from "../abi/generated.ts";
import { describeDescriptor, duplicateDescriptor, foreignNumbers } from "../host/descriptor.ts";
import { hostOrUndefined } from "../host/host.ts";
import { type FileLock, lockFile } from "../host/lock.ts";
import { resolveFrom } from "../host/path.ts";
import { RUN_BYTES } from "./arena.ts";
import { type ArenaBuffer, Backend, OpenFile } from "./backend.ts";
import { ClientIo } from "./client.ts";
import { crc32c } from "./crc32c.ts";
import { fileSystemName } from "./file_systems.ts";
import {
  DSYNC,
  type IoAdvice,
  type IoAlignment,
  type IoDirectoryEntry,
  IoError,
  type IoFileSystem,
  type IoIdentity,
  type IoStat,
  IoUsageError,
  type OpenOptions,
} from "./io.ts";
import { ioErrorOf } from "./io_error.ts";
import { adoptedOptions } from "./open_options.ts";

/** Options of {@linkcode SyncIo.open}. */
export interface SyncIoOptions {
  /** Memory for buffers, rounded up to 4 KiB. Default 4 MiB. */
  arenaBytes?: number;
  /** Operations between two polls, up to 4,096. Default 256. */
  capacity?: number;
  /** Records how long operations take, for `statistics()`. Default false. */
  latencies?: boolean;
  /** Completes the text of `io.reason`. */
  reason?: string;
}

const CAPACITY = 256;
const CAPACITY_MAX = 4096;
const ARENA_BYTES = 4 * 1024 * 1024;
const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;
const STAT_BLOCK_BYTES = 512;
/** Not among the constants of `node:fs`; libuv and Rust add it by themselves, and so should all. */
const O_CLOEXEC_LINUX = 0o2000000;
/** Numbers below it mean the same on Linux and on the BSDs. */
const ERRNO_COMMON_MAX = 34;
const NO_DIRECT: IoAlignment = { memory: 0, offset: 0, physical: 0 };

// deno-lint-ignore no-explicit-any
const globals = globalThis as any;

/** Asked for when it is needed, so that importing loads nothing. */
const builtin = <T>(name: string): T => globals.process.getBuiltinModule(name);

class SyncFile extends OpenFile {
  descriptor = -1;
  lock: FileLock | undefined;
  /** Of the lock. */
  exclusive = false;
}

class SyncBackend extends Backend {
  readonly name = "sync";
  readonly #fs: typeof NodeFs = builtin("node:fs");
  readonly #memory: Uint8Array;
  readonly #open = new Set<SyncFile>();
  readonly #linux: boolean = globals.process.platform === "linux";
  #identity: IoIdentity | undefined;

  constructor(capacity: number, arenaBytes: number, latencies: boolean) {
    super(capacity, arenaBytes, latencies);
    // Memory that cannot be detached.
    this.#memory = new Uint8Array(new SharedArrayBuffer(arenaBytes));
    // Elsewhere fdatasync need not reach the medium.
    this.durability = this.#linux ? "verified" : "unverified";
    this.dropsCache = false;
  }

  view(offset: number, length: number): Uint8Array {
    return this.#memory.subarray(offset, offset + length);
  }

  admitPath(path: string, access: "read" | "write" | "both"): string {
    const host = hostOrUndefined();
    if (host === undefined) {
      return resolveFrom(path.startsWith("/") ? "" : globals.process.cwd(), path);
    }
    const resolved = host.resolvePath(path);
    if (access !== "write") host.requireRead(resolved);
    if (access !== "read") host.requireWrite(resolved);
    return resolved;
  }

  makeFile(path: string, options: Readonly<Required<OpenOptions>>): OpenFile {
    return new SyncFile(this, path, options);
  }

  alignment(_file: OpenFile): IoAlignment {
    return NO_DIRECT;
  }

  // Operations

  startRead(
    slot: number,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    this.finish(slot, this.#read(file as SyncFile, buffer, bufferOffset, length, offset));
  }

  #read(
    { descriptor, options }: SyncFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    // Of nothing at all, node:fs does not ask the kernel.
    if (!options.read) return -ERRNO.EBADF;
    try {
      return this.#fs.readSync(descriptor, buffer.bytes, bufferOffset, length, offset);
    } catch (error) {
      return -errnoOf(error);
    }
  }

  startWrite(
    slot: number,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
  ): void {
    this.finish(slot, this.#write(file as SyncFile, buffer, bufferOffset, length, offset, flags));
  }

  #write(
    { descriptor, options }: SyncFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
  ): number {
    if (!options.write) return -ERRNO.EBADF;
    try {
      // A position would win over O_APPEND outside Linux.
      const at = options.append ? null : offset;
      const res = this.#fs.writeSync(descriptor, buffer.bytes, bufferOffset, length, at);
      if (flags === DSYNC || options.dsync) this.#fs.fdatasyncSync(descriptor);
      return res;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  startSync(slot: number, file: OpenFile, dataOnly: boolean): void {
    const { descriptor } = file as SyncFile;
    this.#run(slot, () => {
      if (dataOnly) this.#fs.fdatasyncSync(descriptor);
      else this.#fs.fsyncSync(descriptor);
    });
  }

  startOpen(slot: number, file: OpenFile): void {
    const { options, path } = file;
    if (options.direct) return this.finish(slot, -ERRNO.EINVAL);
    const { constants } = this.#fs;
    const flags =
      (options.read && options.write
        ? constants.O_RDWR
        : options.write
        ? constants.O_WRONLY
        : constants.O_RDONLY) |
      (options.create || options.createNew ? constants.O_CREAT : 0) |
      (options.createNew ? constants.O_EXCL : 0) |
      (options.truncate ? constants.O_TRUNC : 0) |
      (options.append ? constants.O_APPEND : 0) |
      (this.#linux ? O_CLOEXEC_LINUX : 0);
    this.#run(slot, () => {
      const descriptor = this.#fs.openSync(path, flags, FILE_MODE);
      // A read-only open of a directory succeeds, and nothing could be done with it.
      if (this.#fs.fstatSync(descriptor).isDirectory()) {
        this.#fs.closeSync(descriptor);
        return -ERRNO.EISDIR;
      }
      const opened = file as SyncFile;
      opened.descriptor = descriptor;
      this.#open.add(opened);
      return 0;
    });
  }

  admitDescriptor(): void {
    const foreign = foreignNumbers();
    if (foreign === undefined) return;
    throw new IoUsageError(`a descriptor cannot be adopted: ${foreign}; open the file by its path`);
  }

  makeAdopted(descriptor: number): OpenFile {
    const known = describeDescriptor(descriptor);
    return new SyncFile(this, known?.path ?? "", adoptedOptions(known));
  }

  startAdopt(slot: number, file: OpenFile, descriptor: number): void {
    this.#run(slot, () => {
      const adopted = file as SyncFile;
      if (adopted.path === "") return -ERRNO.EBADF;
      // What has no path: pipes, sockets, rings, eventfds.
      if (!adopted.path.startsWith("/") || /^\/(proc|sys)\//.test(adopted.path)) {
        return -ERRNO.EACCES;
      }
      const status = this.#fs.fstatSync(descriptor);
      if (status.isDirectory()) return -ERRNO.EISDIR;
      if (!status.isFile() && !status.isBlockDevice()) return -ERRNO.EACCES;
      const copy = duplicateDescriptor(descriptor);
      if (copy < 0) return -ERRNO.EOPNOTSUPP;
      adopted.descriptor = copy;
      this.#open.add(adopted);
      return 0;
    });
  }

  startClose(slot: number, file: OpenFile): void {
    this.#run(slot, () => this.#close(file as SyncFile));
  }

  #close(file: SyncFile): void {
    this.#open.delete(file);
    try {
      this.#fs.closeSync(file.descriptor);
    } finally {
      file.lock?.release();
      file.lock = undefined;
    }
  }

  startStat(slot: number, target: OpenFile | string, stat: IoStat): void {
    this.#run(slot, () => {
      const from = typeof target === "string"
        ? this.#fs.statSync(target)
        : this.#fs.fstatSync((target as SyncFile).descriptor);
      stat.size = from.size;
      // Where there are no blocks to count it is not known.
      stat.allocatedBytes = (from.blocks ?? 0) * STAT_BLOCK_BYTES;
      stat.isFile = from.isFile();
      stat.isDirectory = from.isDirectory();
      stat.device = from.dev;
      stat.inode = from.ino;
      stat.modifiedMillis = from.mtimeMs;
    });
  }

  startTruncate(slot: number, file: OpenFile, size: number): void {
    this.#run(slot, () => this.#fs.ftruncateSync((file as SyncFile).descriptor, size));
  }

  startAllocate(slot: number, _file: OpenFile, _offset: number, _length: number): void {
    this.finish(slot, -ERRNO.EOPNOTSUPP);
  }

  startAdvise(
    slot: number,
    _file: OpenFile,
    _offset: number,
    _length: number,
    _advice: IoAdvice,
  ): void {
    this.finish(slot, 0);
  }

  startRename(slot: number, from: string, to: string): void {
    this.#run(slot, () => this.#fs.renameSync(from, to));
  }

  startLink(slot: number, from: string, to: string): void {
    this.#run(slot, () => this.#fs.linkSync(from, to));
  }

  startRemove(slot: number, path: string): void {
    this.#run(slot, () => {
      if (this.#refusesRemoval(path)) return -ERRNO.EISDIR;
      this.#fs.unlinkSync(path);
    });
  }

  /** Asked before a removal: Deno's unlink would remove an empty directory, too. */
  #refusesRemoval(path: string): boolean {
    const host = hostOrUndefined();
    if (host?.name !== "deno") return false;
    try {
      host.requireRead(path);
    } catch {
      // Not to be looked at: an open to write refuses a directory, and needs no more than the removal.
      return this.#refusesWriting(path);
    }
    return this.#fs.lstatSync(path).isDirectory();
  }

  #refusesWriting(path: string): boolean {
    const { O_WRONLY, O_NONBLOCK, O_NOFOLLOW } = this.#fs.constants;
    try {
      this.#fs.closeSync(this.#fs.openSync(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW));
      return false;
    } catch (error) {
      return errnoOf(error) === ERRNO.EISDIR;
    }
  }

  startSyncDirectory(slot: number, path: string): void {
    this.#run(slot, () => {
      const { O_RDONLY, O_DIRECTORY } = this.#fs.constants;
      const descriptor = this.#fs.openSync(path, O_RDONLY | O_DIRECTORY);
      try {
        this.#fs.fsyncSync(descriptor);
      } finally {
        this.#fs.closeSync(descriptor);
      }
    });
  }

  /** Executes an operation whose `res` is 0 unless it says or throws something else. */
  #run(slot: number, operation: () => number | void): void {
    let res: number;
    try {
      res = operation() ?? 0;
    } catch (error) {
      res = -errnoOf(error);
    }
    this.finish(slot, res);
  }

  // Immediate calls

  transferNow(
    writes: boolean,
    _client: ClientIo,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    return writes
      ? this.#write(file as SyncFile, buffer, bufferOffset, length, offset, 0)
      : this.#read(file as SyncFile, buffer, bufferOffset, length, offset);
  }

  lock(file: OpenFile, exclusive: boolean): number {
    const open = file as SyncFile;
    if (open.lock !== undefined) {
      if (open.exclusive === exclusive) return 0;
      // Deno's lock is another description's, which would exclude this one.
      open.lock.release();
      open.lock = undefined;
    }
    try {
      const { dev, ino } = this.#fs.fstatSync(open.descriptor);
      const { descriptor, path, options } = open;
      const target = { descriptor, path, writable: options.write, device: dev, inode: ino };
      const got = lockFile(target, exclusive);
      if (got === "held") return -ERRNO.EAGAIN;
      if (got === "unsupported") return -ERRNO.EOPNOTSUPP;
      if (got === "moved") return -ERRNO.ESTALE;
      open.lock = got;
      open.exclusive = exclusive;
      return 0;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  statFs(file: OpenFile): IoFileSystem {
    const host = hostOrUndefined();
    host?.requireRead(file.path);
    host?.requireSystem("statfs");
    try {
      const from = this.#fs.statfsSync(file.path);
      // There is no fstatfs: by now the path may lead to another file, on another file system.
      const named = this.#fs.statSync(file.path);
      const { dev, ino } = this.#fs.fstatSync((file as SyncFile).descriptor);
      if (named.dev !== dev || named.ino !== ino) {
        throw ioErrorOf(-ERRNO.ESTALE, "statFs", file.path);
      }
      return {
        type: this.#linux ? fileSystemName(from.type) : `0x${(from.type >>> 0).toString(16)}`,
        blockBytes: from.bsize,
        totalBytes: from.blocks * from.bsize,
        availableBytes: from.bavail * from.bsize,
      };
    } catch (error) {
      if (error instanceof IoError) throw error;
      // Its name is gone.
      const res = errnoOf(error) === ERRNO.ENOENT ? -ERRNO.ESTALE : -errnoOf(error);
      throw ioErrorOf(res, "statFs", file.path);
    }
  }

  noCopyOnWrite(_file: OpenFile): number {
    return 0;
  }

  identity(): IoIdentity {
    return this.#identity ??= {
      pid: globals.process.pid,
      // The 22nd word; the name of the program, in parentheses, may have blanks in it.
      startTicks: Number(this.#readProc("self/stat").split(") ").at(-1)!.split(" ")[19] ?? 0),
      bootId: this.#readProc("sys/kernel/random/boot_id"),
      host: this.#hostName(),
    };
  }

  /** What /proc says, or nothing where this program may not ask. */
  #readProc(name: string): string {
    const path = `/proc/${name}`;
    try {
      hostOrUndefined()?.requireRead(path);
      return this.#fs.readFileSync(path, "utf8").trim();
    } catch {
      return "";
    }
  }

  #hostName(): string {
    try {
      hostOrUndefined()?.requireSystem("hostname");
      return builtin<typeof NodeOs>("node:os").hostname();
    } catch {
      return "";
    }
  }

  listDirectory(path: string): IoDirectoryEntry[] {
    try {
      return this.#fs.readdirSync(path, { withFileTypes: true }).map((entry) => ({
        name: entry.name,
        isFile: entry.isFile(),
        isDirectory: entry.isDirectory(),
      }));
    } catch (error) {
      throw ioError(error, "listDirectory", path);
    }
  }

  makeDirectory(path: string): number {
    hostOrUndefined()?.requireWrite(path);
    try {
      this.#fs.mkdirSync(path, { mode: DIRECTORY_MODE });
      return 0;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  isDirectory(path: string): number {
    try {
      hostOrUndefined()?.requireRead(path);
    } catch {
      // One that may not be looked at is found out by its use.
      return 1;
    }
    try {
      return this.#fs.statSync(path).isDirectory() ? 1 : 0;
    } catch (error) {
      return -errnoOf(error);
    }
  }

  crc32c(bytes: Uint8Array, length: number, seed: number): number {
    return crc32c(bytes, seed, 0, length);
  }
  crc32cBuffer(buffer: ArenaBuffer, offset: number, length: number, seed: number): number {
    return crc32c(buffer.bytes, seed, offset, offset + length);
  }

  // Turns: everything has ended when its submission returns.

  drain(): void {}
  block(_client: ClientIo, _timeoutMicros: number): void {}
  wakeup(_client: ClientIo): Promise<void> {
    return Promise.resolve();
  }

  free(): void {
    for (const file of this.#open) {
      try {
        this.#close(file);
      } catch { /* it is gone all the same */ }
    }
  }
}

/**
 * An `Io` over `node:fs`: works under Bun, Deno and Node.js, and blocks in every operation.
 *
 * It belongs to the thread that opened it, and keeps no process alive. Under Deno, paths are held to the
 * permissions to read and write.
 *
 * ```ts
 * using io = SyncIo.open();
 * const file = io.open("/tmp/a", { write: true, create: true }, 1);
 * io.poll();
 * io.take(1); // 0
 * ```
 */
export class SyncIo extends ClientIo {
  private constructor(capacity: number, arenaBytes: number, latencies: boolean, reason: string) {
    super(new SyncBackend(capacity, arenaBytes, latencies), "main");
    this.driver.reason = reason;
  }

  /** Opens one; nothing of the machine is needed. */
  static open(options: SyncIoOptions = {}): SyncIo {
    const {
      capacity = CAPACITY,
      arenaBytes = ARENA_BYTES,
      latencies = false,
      reason = "asked for by name",
    } = options;
    if (!Number.isSafeInteger(capacity) || capacity < 1 || capacity > CAPACITY_MAX) {
      throw new IoUsageError(`capacity is from 1 to ${CAPACITY_MAX}, not ${capacity}`);
    }
    if (!Number.isSafeInteger(arenaBytes) || arenaBytes < 1) {
      throw new IoUsageError(`arenaBytes is at least 1, not ${arenaBytes}`);
    }
    const bytes = Math.ceil(arenaBytes / RUN_BYTES) * RUN_BYTES;
    return new SyncIo(capacity, bytes, latencies, reason);
  }
}

/** The positive errno, in Linux' numbers, of what `node:fs` throws. */
function errnoOf(error: unknown): number {
  const { code, errno, message = "", name } = error as {
    code?: string;
    errno?: number;
    message?: string;
    name?: string;
  };
  if (code !== undefined && code in ERRNO) return ERRNO[code as keyof typeof ERRNO];
  if (code === "ENOTSUP") return ERRNO.EOPNOTSUPP;
  // Numbers that the call itself cannot take.
  if (code === "ERR_OUT_OF_RANGE") return ERRNO.EFBIG;
  // What Deno refuses by itself.
  if (name === "NotCapable" || name === "PermissionDenied") return ERRNO.EACCES;
  const said = errno ?? Number(/\(os error (\d+)\)/.exec(message)?.[1] ?? NaN);
  const number = Math.abs(said);
  const known = number <= ERRNO_COMMON_MAX || globals.process.platform === "linux";
  return number > 0 && known ? number : ERRNO.EIO;
}

function ioError(error: unknown, operation: string, path: string): IoError {
  return ioErrorOf(-errnoOf(error), operation, path);
}
