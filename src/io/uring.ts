/**
 * `UringIo`: the `Io` over io_uring. One operation of `Io` is one operation of the ring, but for `open`
 * (openat, then statx: what alignment the file needs) and `syncDirectory` (openat, fsync, close).
 *
 * Submitting stages only; `poll`, `park` and `wait` tick the ring once and hand out what it brings.
 * Reads, writes and polls allocate nothing.
 *
 * @module
 */

import {
  AT_FLAG,
  ERRNO,
  FADVISE_FLAG,
  FSYNC_FLAG,
  LOCK_FLAG,
  OPEN_FLAG,
  OPERATION,
  PATH_BYTES_MAX,
  RW_FLAG,
  STATX_MASK,
} from "../abi/generated.ts";
import { describeDescriptor, foreignNumbers } from "../host/descriptor.ts";
import { type Host, host } from "../host/host.ts";
import { library } from "../native/library.ts";
import { type SystemInfo, systemInfo } from "../native/system.ts";
import { RingError, RingImageError } from "../ring/errors.ts";
import type { RingFile } from "../ring/file.ts";
import type { RingOptions } from "../ring/options.ts";
import { Ring, type RingStats } from "../ring/ring.ts";
import type { RingFeatures } from "../ring/setup.ts";
import { FileSystemResult, StatxResult } from "../ring/statx.ts";
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
  type IoFileSystem,
  type IoIdentity,
  type IoStat,
  IoUsageError,
  type OpenOptions,
} from "./io.ts";
import { ioErrorOf } from "./io_error.ts";
import { adoptedOptions } from "./open_options.ts";
import { Kind } from "./operations.ts";

/** Options of {@linkcode UringIo.open}. */
export interface UringIoOptions {
  /** Memory for buffers, rounded up to 4 KiB. Default 4 MiB. */
  arenaBytes?: number;
  /** Operations in flight, up to 4,096. Default 256. */
  capacity?: number;
  /** Files that can be open together, up to 4,096. Default 256. */
  files?: number;
  /** Records how long operations take, for `statistics()`; costs some 200 ns an operation. Default false. */
  latencies?: boolean;
  /** A thread of the kernel submits; see `RingOptions`. Default false. */
  sqpoll?: RingOptions["sqpoll"];
}

const CAPACITY = 256;
const CAPACITY_MAX = 4096;
const ARENA_BYTES = 4 * 1024 * 1024;
const FILE_MODE = 0o666;
const DIRECTORY_MODE = 0o777;
const U32_MAX = 0xffff_ffff;
const LIST_BYTES = 64 * 1024;
const CRC_NATIVE_BYTES_MIN = 32;
/** The longest time-out of the ring that is not "for ever". */
const TIMEOUT_MICROS_MAX = U32_MAX - 1;
/** What `blocks` of statx counts in. */
const STAT_BLOCK_BYTES = 512;
/** What direct I/O is taken to need where the kernel does not say. */
const ALIGNMENT_UNKNOWN = 4096;
/** `userData` of the ring for an operation that is waited for in place: no slot. */
const IN_PLACE = -1;
/** The same for the close of a file that nobody has any more. */
const LET_GO = -2;
/** Of a mode: what a file is. */
const FILE_TYPE = 0xf000;
const BLOCK_DEVICE = 0x6000;

/** Where an operation of more than one step is. */
const Step = {
  only: 0,
  openFile: 1,
  describeFile: 2,
  refuseFile: 3,
  stat: 4,
  openDirectory: 5,
  syncDirectory: 6,
  closeDirectory: 7,
} as const;

/** Of a directory entry (DT_*). */
const TYPE_UNKNOWN = 0;
const TYPE_DIRECTORY = 4;
const TYPE_FILE = 8;

class UringFile extends OpenFile {
  /** Set when its open has completed. */
  ring: RingFile | undefined;
  reference = -1;
  alignment: IoAlignment | undefined;
  device = "";
  /** What statx said: undefined where it does not know about direct I/O. */
  direct: { memory: number; offset: number } | undefined;
}

class UringBackend extends Backend {
  readonly name = "uring";
  readonly ring: Ring;
  private readonly _host: Host;
  private readonly _step: Uint8Array;
  /** By slot: where statx leaves its result, made when first needed. */
  private readonly _statx: (StatxResult | undefined)[];
  private readonly _stat: (IoStat | undefined)[];
  /** By slot, of an operation in steps: the file that it opened for itself, and how it will end. */
  private readonly _own: (RingFile | undefined)[];
  private readonly _ownRes: Int32Array;
  /** Files that nobody has, whose close could not be staged yet. */
  private readonly _letGo: RingFile[] = [];
  /** By device: physical block, bytes. */
  private readonly _physical = new Map<string, number>();
  private readonly _truncates: boolean;
  private _inPlaceRes: number | undefined;
  private _system: SystemInfo | undefined;

  constructor(ring: Ring, capacity: number, latencies: boolean) {
    super(capacity, ring.arena.length, latencies);
    this.ring = ring;
    this._host = host();
    this._step = new Uint8Array(capacity);
    this._statx = new Array(capacity).fill(undefined);
    this._stat = new Array(capacity).fill(undefined);
    this._own = new Array(capacity).fill(undefined);
    this._ownRes = new Int32Array(capacity);
    this._truncates = ring.probe("ftruncate");
    const { kernelMajor, kernelMinor, pageBytes } = this._system = systemInfo(library().functions);
    // Linux commit d279c80e0bac lost the sync of direct writes into unwritten extents; 6.17 has it again.
    this.blockSize = Math.max(this.blockSize, pageBytes);
    this.kernel = `${kernelMajor}.${kernelMinor}`;
    this.registered = ring.features.registered;
    this.reservedDsync = kernelMajor !== 6 || (kernelMinor !== 15 && kernelMinor !== 16);
  }

  view(offset: number, length: number): Uint8Array {
    return this.ring.arena.subarray(offset, offset + length);
  }

  admitPath(path: string, access: "read" | "write" | "both"): string {
    const resolved = this._host.resolvePath(path);
    if (access !== "write") this._host.requireRead(resolved);
    if (access !== "read") this._host.requireWrite(resolved);
    return resolved;
  }

  makeFile(path: string, options: Readonly<Required<OpenOptions>>): OpenFile {
    return new UringFile(this, path, options);
  }

  // Submissions. Each stages one operation of the ring, with the slot as its userData.

  startRead(
    slot: number,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    this._data(OPERATION.read, slot, file, buffer.offset + bufferOffset, length, offset, 0);
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
    const rwFlags = flags === DSYNC ? RW_FLAG.DSYNC : 0;
    this._data(OPERATION.write, slot, file, buffer.offset + bufferOffset, length, offset, rwFlags);
  }

  /** Stages a transfer. The hot path: no closures, nothing is allocated. */
  private _data(
    operation: number,
    slot: number,
    file: OpenFile,
    address: number,
    length: number,
    offset: number,
    rwFlags: number,
  ): void {
    const { ring } = this;
    const { reference } = file as UringFile;
    this._step[slot] = Step.only;
    if (ring.prepDataRaw(operation, reference, address, length, offset, slot, rwFlags)) return;
    // Nothing could be staged: what is staged goes out first.
    this._submit();
    if (ring.prepDataRaw(operation, reference, address, length, offset, slot, rwFlags)) return;
    this._end(slot, -ERRNO.EAGAIN);
  }

  startOpen(slot: number, file: OpenFile): void {
    const { options, path } = file;
    const flags =
      (options.read && options.write
        ? OPEN_FLAG.RDWR
        : options.write
        ? OPEN_FLAG.WRONLY
        : OPEN_FLAG.RDONLY) |
      (options.create || options.createNew ? OPEN_FLAG.CREAT : 0) |
      (options.createNew ? OPEN_FLAG.EXCL : 0) |
      (options.truncate ? OPEN_FLAG.TRUNC : 0) |
      (options.append ? OPEN_FLAG.APPEND : 0) |
      (options.direct ? OPEN_FLAG.DIRECT : 0) |
      (options.dsync ? OPEN_FLAG.DSYNC : 0);
    this._stage(slot, Step.openFile, () => this.ring.prepOpenat(path, flags, FILE_MODE, slot));
  }

  admitDescriptor(): void {
    const foreign = foreignNumbers();
    if (foreign === undefined) return;
    throw new IoUsageError(`a descriptor cannot be adopted: ${foreign}; open the file by its path`);
  }

  makeAdopted(descriptor: number): OpenFile {
    const known = describeDescriptor(descriptor);
    return new UringFile(this, known?.path ?? `descriptor ${descriptor}`, adoptedOptions(known));
  }

  startAdopt(slot: number, _file: OpenFile, descriptor: number): void {
    try {
      const adopted = this.ring.adoptFd(descriptor);
      this._own[slot] = adopted;
      const result = this._result(slot);
      this._stage(slot, Step.describeFile, () => this.ring.prepFstatx(adopted, result, slot));
    } catch (error) {
      if (!(error instanceof RingError)) throw error;
      this._end(slot, -error.errno);
    }
  }

  startClose(slot: number, file: OpenFile): void {
    const { ring } = file as UringFile;
    this._stage(slot, Step.only, () => this.ring.prepClose(ring!, slot));
  }

  startSync(slot: number, file: OpenFile, dataOnly: boolean): void {
    const { ring } = file as UringFile;
    const flags = dataOnly ? FSYNC_FLAG.DATASYNC : 0;
    this._stage(slot, Step.only, () => this.ring.prepFsync(ring!, slot, flags));
  }

  startStat(slot: number, target: OpenFile | string, stat: IoStat): void {
    const result = this._result(slot);
    this._stat[slot] = stat;
    this._stage(
      slot,
      Step.stat,
      () =>
        typeof target === "string"
          ? this.ring.prepStatx(target, result, slot)
          : this.ring.prepFstatx((target as UringFile).ring!, result, slot),
    );
  }

  startTruncate(slot: number, file: OpenFile, size: number): void {
    const { ring } = file as UringFile;
    // Before Linux 6.9 the ring cannot: a plain call, which takes no longer.
    if (!this._truncates) this.finish(slot, this.ring.ftruncate(ring!, size));
    else this._stage(slot, Step.only, () => this.ring.prepFtruncate(ring!, size, slot));
  }

  startAllocate(slot: number, file: OpenFile, offset: number, length: number): void {
    const { ring } = file as UringFile;
    if (length === 0) this.finish(slot, -ERRNO.EINVAL);
    else {this._stage(slot, Step.only, () =>
        this.ring.prepFallocate(ring!, 0, offset, length, slot));}
  }

  startAdvise(
    slot: number,
    file: OpenFile,
    offset: number,
    length: number,
    advice: IoAdvice,
  ): void {
    const { ring } = file as UringFile;
    const name = advice.toUpperCase() as Uppercase<IoAdvice>;
    // The kernel takes 32 bits of length, and 0 for all up to the end.
    const range = length > U32_MAX ? 0 : length;
    this._stage(
      slot,
      Step.only,
      () => this.ring.prepFadvise(ring!, offset, range, FADVISE_FLAG[name], slot),
    );
  }

  startRename(slot: number, from: string, to: string): void {
    this._stage(slot, Step.only, () => this.ring.prepRenameat(from, to, slot));
  }

  startLink(slot: number, from: string, to: string): void {
    this._stage(slot, Step.only, () => this.ring.prepLinkat(from, to, slot));
  }

  startRemove(slot: number, path: string): void {
    this._stage(slot, Step.only, () => this.ring.prepUnlinkat(path, slot));
  }

  startSyncDirectory(slot: number, path: string): void {
    const flags = OPEN_FLAG.RDONLY | OPEN_FLAG.DIRECTORY;
    this._stage(slot, Step.openDirectory, () => this.ring.prepOpenat(path, flags, 0, slot));
  }

  private _result(slot: number): StatxResult {
    return this._statx[slot] ??= new StatxResult();
  }

  /** Stages a step of an operation; when that cannot be, the operation ends. */
  private _stage(slot: number, step: number, prep: () => boolean): void {
    this._step[slot] = step;
    try {
      if (!prep()) this._again(slot, prep);
    } catch (error) {
      // No file slot is left, or the like: a failure of this operation.
      if (!(error instanceof RingError)) throw error;
      this._end(slot, -error.errno);
    }
  }

  /** Nothing could be staged: what is staged goes out first. */
  private _again(slot: number, prep: () => boolean): void {
    this._submit();
    if (!prep()) this._end(slot, -ERRNO.EAGAIN);
  }

  // Completions

  /** The operation ends, and what it holds for itself goes. */
  private _end(slot: number, res: number): void {
    const own = this._own[slot];
    this._stat[slot] = undefined;
    this._own[slot] = undefined;
    // The next step of an operation that opened it could not be staged.
    if (own?.isOpen) this._letGo.push(own);
    this._step[slot] = Step.only;
    this.finish(slot, res);
  }

  private _closeLetGo(): void {
    while (this._letGo.length > 0) {
      if (!this.ring.prepClose(this._letGo.at(-1)!, LET_GO)) return;
      this._letGo.pop();
    }
  }

  /** Submits without waiting; returns how many completions can be reaped. */
  private _submit(): number {
    if (this._letGo.length > 0) this._closeLetGo();
    try {
      return this.ring.submitAndWait(0);
    } catch (error) {
      this._refused(error);
      return 0;
    }
  }

  /** The shim refused an image, and dropped all that was staged: their operations end. */
  private _refused(error: unknown): void {
    if (!(error instanceof RingImageError)) throw error;
    error.dropped.forEach((slot, index) => {
      const res = index === error.index ? -ERRNO.EINVAL : -ERRNO.ECANCELED;
      if (slot === IN_PLACE) this._inPlaceRes = res;
      else if (slot !== LET_GO) this._end(slot, res);
    });
  }

  /** Hands out what the ring has completed; returns how many completions there were. */
  private _reap(): number {
    const count = this.ring.reap();
    const { userData, res } = this.ring.completions;
    const step = this._step;
    for (let i = 0; i < count; i++) {
      const slot = userData[i];
      if (slot === IN_PLACE) this._inPlaceRes = res[i];
      else if (slot === LET_GO) continue;
      else if (step[slot] === Step.only) this.finish(slot, res[i]);
      else this._advance(slot, res[i]);
    }
    return count;
  }

  /** The next step of an operation that has several. */
  private _advance(slot: number, res: number): void {
    const { ring } = this;
    switch (this._step[slot]) {
      case Step.openFile: {
        if (res < 0) return this._end(slot, res);
        const opened = ring.file(res);
        this._own[slot] = opened;
        const result = this._result(slot);
        return this._stage(slot, Step.describeFile, () => ring.prepFstatx(opened, result, slot));
      }
      case Step.describeFile: {
        const result = this._result(slot);
        // A read-only open of a directory succeeds, and nothing could be done with it.
        const adopted = this.table.kind[slot] === Kind.adopt;
        const refused = res < 0
          ? res
          : result.isDirectory
          ? -ERRNO.EISDIR
          : adopted && !result.isFile && (result.mode & FILE_TYPE) !== BLOCK_DEVICE
          ? -ERRNO.EACCES
          : 0;
        const opened = this._own[slot]!;
        if (refused < 0) {
          this._ownRes[slot] = refused;
          return this._stage(slot, Step.refuseFile, () => ring.prepClose(opened, slot));
        }
        const file = this.fileOf[slot] as UringFile;
        file.ring = opened;
        this._own[slot] = undefined;
        file.reference = opened.reference;
        file.device = `${result.devMajor}:${result.devMinor}`;
        if (result.mask & STATX_MASK.DIOALIGN) {
          file.direct = { memory: result.dioMemAlign, offset: result.dioOffsetAlign };
        }
        if (file.options.direct) {
          const { memory, offset } = this.alignment(file);
          this.blockSize = Math.max(this.blockSize, memory, offset);
        }
        return this._end(slot, 0);
      }
      case Step.stat:
        if (res === 0) fillStat(this._stat[slot]!, this._result(slot));
        return this._end(slot, res);
      case Step.openDirectory: {
        if (res < 0) return this._end(slot, res);
        const opened = ring.file(res);
        this._own[slot] = opened;
        return this._stage(slot, Step.syncDirectory, () => ring.prepFsync(opened, slot));
      }
      case Step.syncDirectory: {
        const opened = this._own[slot]!;
        this._ownRes[slot] = res;
        return this._stage(slot, Step.closeDirectory, () => ring.prepClose(opened, slot));
      }
      default:
        // The close is done; what counts is how the operation went.
        this._end(slot, this._ownRes[slot]);
    }
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
    const { reference } = file as UringFile;
    return this.ring.transferNow(writes, reference, buffer.offset + bufferOffset, length, offset);
  }

  lock(file: OpenFile, exclusive: boolean): number {
    const kind = exclusive ? LOCK_FLAG.EXCLUSIVE : LOCK_FLAG.SHARED;
    return this.ring.flock((file as UringFile).ring!, kind | LOCK_FLAG.NONBLOCK);
  }

  statFs(file: OpenFile): IoFileSystem {
    const result = new FileSystemResult();
    const res = this.ring.fstatfs((file as UringFile).ring!, result);
    if (res < 0) throw ioErrorOf(res, "statFs", file.path);
    return {
      type: fileSystemName(result.type),
      blockBytes: result.blockBytes,
      totalBytes: result.blocks * result.blockBytes,
      availableBytes: result.blocksAvailable * result.blockBytes,
    };
  }

  alignment(file: OpenFile): IoAlignment {
    const open = file as UringFile;
    if (open.alignment !== undefined) return open.alignment;
    let physical = this._physical.get(open.device);
    if (physical === undefined) {
      physical = Math.max(0, this.ring.physicalBlockBytes(open.ring!));
      this._physical.set(open.device, physical);
    }
    return open.alignment = { ...(open.direct ?? this._askAlignment(open, physical)), physical };
  }

  /** Where statx says nothing about direct I/O, an open with it tells at least whether there is any. */
  private _askAlignment(file: UringFile, physical: number): { memory: number; offset: number } {
    if (!file.options.direct) {
      const flags = OPEN_FLAG.RDONLY | OPEN_FLAG.DIRECT;
      const res = this._inPlace(() => this.ring.prepOpenat(file.path, flags, 0, IN_PLACE));
      if (res === -ERRNO.EINVAL) return { memory: 0, offset: 0 };
      if (res >= 0) {
        const opened = this.ring.file(res);
        this._inPlace(() => this.ring.prepClose(opened, IN_PLACE));
      }
    }
    return { memory: ALIGNMENT_UNKNOWN, offset: Math.max(ALIGNMENT_UNKNOWN, physical) };
  }

  noCopyOnWrite(file: OpenFile): number {
    return this.ring.nocow((file as UringFile).ring!);
  }

  identity(): IoIdentity {
    const { pid, startTicks, bootId, host: name } = this._system ??= systemInfo(
      library().functions,
    );
    return { pid, startTicks, bootId, host: name };
  }

  listDirectory(path: string): IoDirectoryEntry[] {
    const name = new Uint8Array(new SharedArrayBuffer(PATH_BYTES_MAX));
    const { written } = new TextEncoder().encodeInto(path, name);
    const out = new Uint8Array(new SharedArrayBuffer(LIST_BYTES));
    const view = new DataView(out.buffer);
    const decoder = new TextDecoder();
    const { functions } = library();
    const entries: IoDirectoryEntry[] = [];
    // Each call goes on where the one before ended, in the same open directory; 0 bytes are the end.
    for (;;) {
      const got = functions.uring_list_directory(name, written, out, LIST_BYTES, entries.length);
      if (got < 0) throw ioErrorOf(got, "listDirectory", path);
      if (got === 0) return entries;
      for (let at = 0; at < got;) {
        const length = view.getUint16(at + 2, true);
        const entry = decoder.decode(out.slice(at + 4, at + 4 + length));
        entries.push(this._entry(path, entry, out[at]));
        at += 4 + length;
      }
    }
  }

  /** Some file systems do not say the type with the name: then it is asked for. */
  private _entry(directory: string, name: string, type: number): IoDirectoryEntry {
    if (type !== TYPE_UNKNOWN) {
      return { name, isFile: type === TYPE_FILE, isDirectory: type === TYPE_DIRECTORY };
    }
    const result = new StatxResult();
    const path = `${directory}/${name}`;
    this._inPlace(() => this.ring.prepStatx(path, result, IN_PLACE, AT_FLAG.SYMLINK_NOFOLLOW));
    return { name, isFile: result.isFile, isDirectory: result.isDirectory };
  }

  makeDirectory(path: string): number {
    this._host.requireWrite(path);
    return this._inPlace(() => this.ring.prepMkdirat(path, DIRECTORY_MODE, IN_PLACE));
  }

  isDirectory(path: string): number {
    const result = new StatxResult();
    const res = this._inPlace(() => this.ring.prepStatx(path, result, IN_PLACE));
    return res < 0 ? res : result.isDirectory ? 1 : 0;
  }

  /** Runs one operation of the ring, blocking; completions of others wait for their polls. */
  private _inPlace(prep: () => boolean): number {
    this._inPlaceRes = undefined;
    try {
      if (!prep()) {
        this._submit();
        if (!prep()) return -ERRNO.EAGAIN;
      }
    } catch (error) {
      if (!(error instanceof RingError)) throw error;
      return -error.errno;
    }
    while (this._inPlaceRes === undefined) this._await(Infinity);
    return this._inPlaceRes;
  }

  crc32c(bytes: Uint8Array, length: number, seed: number): number {
    // A crossing costs about as much as the table does for so few bytes.
    if (length < CRC_NATIVE_BYTES_MIN) return crc32c(bytes, seed, 0, length);
    return library().functions.uring_crc32c(seed, bytes, length) >>> 0;
  }
  crc32cBuffer(buffer: ArenaBuffer, offset: number, length: number, seed: number): number {
    return this.ring.crc32cArena(seed, buffer.offset + offset, length);
  }

  // Turns

  drain(): void {
    if (this.ring.inFlight === 0 && this._letGo.length === 0) return;
    // Goes on only when completions have staged next steps.
    while (this._submit() > 0) {
      this._reap();
      if (this.ring.staged === 0) return;
    }
  }

  block(client: ClientIo, timeoutMicros: number): void {
    // The clock costs as much as a read from the page cache takes in TypeScript.
    if (timeoutMicros === Infinity) {
      while (client.ready === 0) this._await(Infinity);
      return;
    }
    const deadline = this.now() + timeoutMicros;
    let left = timeoutMicros;
    while (client.ready === 0) {
      this._await(left);
      left = deadline - this.now();
      if (left <= 0) return;
    }
  }

  /** Submits, blocks for one completion of anybody or until the time is over, and hands out. */
  private _await(timeoutMicros: number): void {
    let ready: number;
    try {
      ready = timeoutMicros === Infinity
        ? this.ring.submitAndWait(1)
        : this.ring.submitAndWait(1, Math.min(TIMEOUT_MICROS_MAX, Math.ceil(timeoutMicros)));
    } catch (error) {
      this._refused(error);
      return;
    }
    if (ready > 0) this._reap();
  }

  async wakeup(client: ClientIo): Promise<void> {
    let atOnce = false;
    while (client.ready === 0 && client.inFlight > 0 && !this.disposed) {
      // What needs no device, as a read from the page cache, has ended when it was submitted.
      if (this.ring.staged > 0 && this._submit() > 0) {
        this._reap();
        atOnce = true;
        continue;
      }
      try {
        await this.ring.wait();
      } catch (error) {
        this._refused(error);
        continue;
      }
      if (this.disposed) return;
      atOnce = false;
      // Found by a look, in a turn of the event loop.
      if (this._reap() > 0) this.turned();
    }
    if (atOnce) await this.pause();
  }

  free(): void {
    this.ring.close();
  }
}

/**
 * An `Io` over io_uring.
 *
 * It belongs to the thread that opened it. It keeps no process alive unless something waits. Under
 * Deno, paths are held to the permissions to read and write.
 *
 * ```ts
 * using io = UringIo.open();
 * const file = io.open("/tmp/a", { write: true, create: true }, 1);
 * io.park();
 * io.take(1); // 0
 * ```
 */
export class UringIo extends ClientIo {
  private readonly _ring: Ring;

  private constructor(ring: Ring, capacity: number, latencies: boolean) {
    super(new UringBackend(ring, capacity, latencies), "main");
    this._ring = ring;
  }

  /**
   * Opens a ring of its own.
   *
   * @throws {RingUnavailableError} when no ring can be had here; its `reason` says why.
   */
  static open(options: UringIoOptions = {}): UringIo {
    const { capacity = CAPACITY, arenaBytes = ARENA_BYTES, files, sqpoll, latencies } = options;
    if (!Number.isSafeInteger(capacity) || capacity < 1 || capacity > CAPACITY_MAX) {
      throw new IoUsageError(`capacity is from 1 to ${CAPACITY_MAX}, not ${capacity}`);
    }
    if (!Number.isSafeInteger(arenaBytes) || arenaBytes < 1) {
      throw new IoUsageError(`arenaBytes is at least 1, not ${arenaBytes}`);
    }
    const ring = Ring.open({
      entries: capacity,
      // An operation has one SQE at a time; beside them there is one that is run in place.
      completionEntries: 2 * capacity,
      arenaBytes: Math.ceil(arenaBytes / RUN_BYTES) * RUN_BYTES,
      bufferBytes: RUN_BYTES,
      files,
      sqpoll,
    });
    return new UringIo(ring, capacity, latencies === true);
  }

  /** What the kernel gave the ring. */
  get features(): RingFeatures {
    return this._ring.features;
  }

  /** Counts of the ring since open. */
  ringStats(): RingStats {
    return this._ring.stats();
  }
}

function fillStat(stat: IoStat, from: StatxResult): void {
  stat.size = from.size;
  stat.allocatedBytes = from.blocks * STAT_BLOCK_BYTES;
  stat.isFile = from.isFile;
  stat.isDirectory = from.isDirectory;
  stat.device = from.devMajor * 0x10_0000 + from.devMinor;
  stat.inode = from.ino;
  stat.modifiedMillis = from.mtimeMillis;
}
