/**
 * A process of a simulated machine: what its operations do, when they complete, and when it is killed.
 *
 * @module
 */

import { ERRNO } from "../abi/generated.ts";
import { directoryOf } from "../host/path.ts";
import { type ArenaBuffer, Backend, OpenFile } from "./backend.ts";
import type { ClientIo } from "./client.ts";
import { crc32c } from "./crc32c.ts";
import {
  DSYNC,
  type IoAdvice,
  type IoAlignment,
  type IoDirectoryEntry,
  type IoFileSystem,
  IoFullError,
  type IoIdentity,
  type IoStat,
  type IoTimer,
  IoUsageError,
  type OpenOptions,
} from "./io.ts";
import { ioErrorOf } from "./io_error.ts";
import type { CopyNode, FileNode, MemoryDisk } from "./memory_disk.ts";
import { type Machine, Timer } from "./memory_machine.ts";
import { type FaultOptions, MemoryCrashError } from "./memory_options.ts";
import { Kind, KIND_NAMES } from "./operations.ts";
import type { Prng } from "./prng.ts";
import { BLOCK_BYTES } from "./sparse_bytes.ts";
import { turn } from "./timer.ts";

/** Virtual time between two tries for a lock: those who hold it get on meanwhile. */
const LOCK_TRY_MICROS = 5_000;
/** Turns of `wait` between two turns of the event loop, so that timers of the program run. */
const WAITS_PER_TURN = 64;
/** Errors that a file system finds before anything is written. */
const CLEAN_ERRORS: readonly number[] = [
  ERRNO.EINTR,
  ERRNO.EAGAIN,
  ERRNO.EBADF,
  ERRNO.EINVAL,
  ERRNO.ENOMEM,
  ERRNO.EFBIG,
  ERRNO.ENOSPC,
  ERRNO.EDQUOT,
  ERRNO.ECANCELED,
];
/**
 * What goes on after its process is gone: transfers and syncs, which the device has. The rest is done by
 * threads of the process, which the kernel waits for before its locks are free.
 */
const LANDS_LATE: readonly number[] = [Kind.read, Kind.write, Kind.fsync, Kind.fdatasync];

export class MemoryFile extends OpenFile {
  /** Set when its open has completed. */
  node: FileNode | undefined;
  /** Operations of a killed process that have not landed yet. */
  landing = 0;
}

/** One process of a machine. */
export class MemoryBackend extends Backend {
  readonly name = "memory";
  readonly machine: Machine;
  readonly process: number;
  readonly startMicros: number;
  /** Made with the first buffer: of a thousand machines that a sweep looks at, few write. */
  #memory: SharedArrayBuffer | undefined;
  readonly randomBytes: Prng;
  /** Files with a description. */
  readonly open = new Set<MemoryFile>();
  killed = false;
  /** The slot of the operation that a call waits for, or -1. */
  #inPlace = -1;

  // Arguments, by slot.
  readonly #offset: Float64Array;
  readonly #length: Float64Array;
  readonly #bufferOffset: Int32Array;
  readonly #flags: Uint8Array;
  /** Newest effect of the disk at the submission: what a sync covers. */
  readonly #sequence: Float64Array;
  readonly #path: string[];
  readonly #otherPath: string[];
  readonly #stat: (IoStat | undefined)[];
  readonly #fault: (FaultOptions | undefined)[];
  /** Slots whose operation had its effect, or never will, when the process was killed. */
  readonly #over = new Set<number>();

  constructor(machine: Machine) {
    const { settings } = machine;
    super(settings.capacity, settings.arenaBytes, settings.latencies);
    const { capacity } = settings;
    this.machine = machine;
    this.process = machine.processes.length;
    machine.processes.push(this);
    this.startMicros = machine.clockMicros;
    this.blockSize = settings.blockSize;
    this.kernel = settings.kernel;
    this.randomBytes = machine.random.split();
    this.#offset = new Float64Array(capacity);
    this.#length = new Float64Array(capacity);
    this.#bufferOffset = new Int32Array(capacity);
    this.#flags = new Uint8Array(capacity);
    this.#sequence = new Float64Array(capacity);
    this.#path = new Array(capacity).fill("");
    this.#otherPath = new Array(capacity).fill("");
    this.#stat = new Array(capacity).fill(undefined);
    this.#fault = new Array(capacity).fill(undefined);
  }

  override check(): void {
    super.check();
    this.machine.check();
    if (this.killed) throw new MemoryCrashError("the simulated process was killed");
  }

  override get alive(): boolean {
    return !this.killed && this.machine.interrupted === undefined;
  }

  view(offset: number, length: number): Uint8Array {
    return new Uint8Array(this.#memory ??= new SharedArrayBuffer(this.arena.bytes), offset, length);
  }

  override admitOperation(): void {
    this.machine.admit();
  }

  admitPath(path: string): string {
    return normalPath(path);
  }

  makeFile(path: string, options: Readonly<Required<OpenOptions>>): OpenFile {
    return new MemoryFile(this, path, options);
  }

  // Submissions

  startOpen(slot: number, file: OpenFile): void {
    this.#submit(slot, file.path);
  }
  admitDescriptor(): void {
    throw new IoUsageError("a simulated machine has no descriptors: open the file by its path");
  }
  makeAdopted(): OpenFile {
    throw new IoUsageError("a simulated machine has no descriptors");
  }
  startAdopt(slot: number): void {
    this.finish(slot, -ERRNO.EBADF);
  }
  startClose(slot: number, file: OpenFile): void {
    this.#submit(slot, file.path);
  }
  startRead(
    slot: number,
    file: OpenFile,
    _buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#bufferOffset[slot] = bufferOffset;
    this.#submit(slot, file.path);
  }
  startWrite(
    slot: number,
    file: OpenFile,
    _buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
  ): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#bufferOffset[slot] = bufferOffset;
    this.#flags[slot] = flags;
    this.#submit(slot, file.path);
  }
  startSync(slot: number, file: OpenFile): void {
    this.#submit(slot, file.path);
  }
  startStat(slot: number, target: OpenFile | string, stat: IoStat): void {
    this.#stat[slot] = stat;
    this.#submit(slot, typeof target === "string" ? target : target.path);
  }
  startTruncate(slot: number, file: OpenFile, size: number): void {
    this.#offset[slot] = size;
    this.#submit(slot, file.path);
  }
  startAllocate(slot: number, file: OpenFile, offset: number, length: number): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#submit(slot, file.path);
  }
  startAdvise(
    slot: number,
    file: OpenFile,
    offset: number,
    length: number,
    advice: IoAdvice,
  ): void {
    this.#offset[slot] = offset;
    this.#length[slot] = length;
    this.#flags[slot] = advice === "dontneed" ? 1 : 0;
    this.#submit(slot, file.path);
  }
  startRename(slot: number, from: string, to: string): void {
    this.#submit(slot, from, to);
  }
  startLink(slot: number, from: string, to: string): void {
    this.#submit(slot, from, to);
  }
  startRemove(slot: number, path: string): void {
    this.#submit(slot, path);
  }
  startSyncDirectory(slot: number, path: string): void {
    this.#submit(slot, path);
  }

  #submit(slot: number, path: string, other = ""): void {
    const { machine } = this;
    this.#path[slot] = path;
    this.#otherPath[slot] = other;
    this.#sequence[slot] = machine.disk.sequence;
    const { kind } = this.table;
    this.#fault[slot] = machine.faults.length > 0
      ? machine.match(KIND_NAMES[kind[slot]], path, other)
      : undefined;
    const transfers = kind[slot] === Kind.read || kind[slot] === Kind.write;
    if (transfers && this.#fault[slot] === undefined) {
      const { shortChance, interruptChance } = machine.settings;
      if (interruptChance > 0 && machine.random.chance(interruptChance)) {
        this.#fault[slot] = { errno: machine.random.oneIn(2) ? ERRNO.EINTR : ERRNO.EAGAIN };
      } else if (shortChance > 0 && machine.random.chance(shortChance)) {
        // A direct transfer is of whole blocks, and a read of nothing would be the end of the file.
        const { direct } = this.fileOf[slot]!.options;
        const least = direct ? machine.settings.alignment.offset : 1;
        const short = least + machine.random.below(Math.max(1, this.#length[slot]));
        this.#fault[slot] = { short };
      }
    }
    machine.submit(this, slot);
  }

  // Completions

  /** An operation has its effect now. */
  complete(slot: number): void {
    if (this.killed && !this.#over.has(slot) && this.machine.random.oneIn(2)) {
      this.machine.postpone(this, slot);
      return;
    }
    const res = this.#over.has(slot) ? 0 : this.#perform(slot);
    const { machine } = this;
    if (machine.settings.history) {
      const other = this.#otherPath[slot];
      machine.history.push(
        `${machine.clockMicros} ${this.process} ${KIND_NAMES[this.table.kind[slot]]} ` +
          `${this.#path[slot]}${other && ` ${other}`} ${this.#offset[slot]} ${res}`,
      );
    }
    this.#stat[slot] = undefined;
    this.#fault[slot] = undefined;
    if (!this.killed) {
      this.finish(slot, res);
      return;
    }
    const file = this.fileOf[slot] as MemoryFile | undefined;
    if (file !== undefined && --file.landing === 0) this.#closeDescription(file);
  }

  #perform(slot: number): number {
    const fault = this.#fault[slot];
    const file = this.fileOf[slot] as MemoryFile | undefined;
    const { disk } = this.machine;
    switch (this.table.kind[slot]) {
      case Kind.open:
        return fault?.errno ? -fault.errno : this.#open(file!, disk);
      case Kind.close:
        // A close that fails has closed the file all the same.
        this.#closeDescription(file!);
        return -(fault?.errno ?? 0);
      case Kind.read:
        return this.#read(slot, file!, fault);
      case Kind.write:
        return this.#write(slot, file!, fault);
      case Kind.fsync:
      case Kind.fdatasync: {
        const node = file!.node!;
        if (fault?.errno) {
          if (fault.errno !== ERRNO.EINTR && fault.errno !== ERRNO.EAGAIN) {
            disk.loseUnsynced(node, this.#sequence[slot], this.machine.random);
          }
          return -fault.errno;
        }
        if (!fault?.lost) disk.sync(node, this.#sequence[slot]);
        return 0;
      }
      case Kind.stat:
        return fault?.errno ? -fault.errno : this.#fillStat(slot, file);
      case Kind.advise:
        if (fault?.errno) return -fault.errno;
        if (this.#flags[slot] !== 0) {
          disk.dropCache(file!.node!, this.#offset[slot], this.#length[slot]);
        }
        return 0;
      case Kind.syncDirectory:
        if (fault?.errno) return -fault.errno;
        return fault?.lost ? 0 : disk.syncDirectory(this.#path[slot], this.#sequence[slot]);
      default:
        return fault?.errno ? -fault.errno : this.#change(slot, disk, file?.node);
    }
  }

  /** What changes files and names without data: the same for the living and for a crash. */
  #change(slot: number, disk: MemoryDisk, node: FileNode | undefined): number {
    switch (this.table.kind[slot]) {
      case Kind.truncate:
        if (!this.fileOf[slot]!.options.write) return -ERRNO.EINVAL;
        return disk.truncate(node!, this.#offset[slot]);
      case Kind.allocate:
        // In the order of the kernel's own checks.
        if (this.#length[slot] === 0) return -ERRNO.EINVAL;
        if (!this.fileOf[slot]!.options.write) return -ERRNO.EBADF;
        return disk.allocate(node!, this.#offset[slot], this.#length[slot]);
      case Kind.rename:
        return disk.rename(this.#path[slot], this.#otherPath[slot]);
      case Kind.link:
        return disk.link(this.#path[slot], this.#otherPath[slot]);
      case Kind.remove:
        return disk.remove(this.#path[slot]);
      default:
        return 0;
    }
  }

  #open(file: MemoryFile, disk: MemoryDisk): number {
    const { options } = file;
    if (options.direct && this.machine.settings.alignment.offset === 0) return -ERRNO.EINVAL;
    const node = disk.openFile(file.path, options.create, options.createNew);
    if (typeof node === "number") return node;
    if (options.truncate) disk.truncate(node, 0);
    node.opens++;
    file.node = node;
    this.open.add(file);
    if (options.direct) {
      const { memory, offset } = this.machine.settings.alignment;
      this.blockSize = Math.max(this.blockSize, memory, offset);
    }
    return 0;
  }

  #read(slot: number, file: MemoryFile, fault: FaultOptions | undefined): number {
    if (fault?.errno) return -fault.errno;
    if (!file.options.read) return -ERRNO.EBADF;
    return this.machine.disk.read(
      file.node!,
      this.#offset[slot],
      this.bufferOf[slot]!.bytes,
      this.#bufferOffset[slot],
      this.#shortened(slot, file, fault),
      file.options.direct,
    );
  }

  #write(slot: number, file: MemoryFile, fault: FaultOptions | undefined): number {
    const { options } = file;
    const node = file.node!;
    const { disk, random } = this.machine;
    const { bytes } = this.bufferOf[slot]!;
    const from = this.#bufferOffset[slot];
    const length = this.#shortened(slot, file, fault);
    const offset = options.append ? node.size : this.#offset[slot];
    const durable = options.dsync || this.#flags[slot] === DSYNC;
    if (!options.write) return -ERRNO.EBADF;
    // The end of the file decides where an append goes, and that must be aligned, too.
    if (options.direct && offset % this.machine.settings.alignment.offset !== 0) {
      return -ERRNO.EINVAL;
    }
    if (fault === undefined) {
      return disk.write(node, offset, bytes, from, length, options.direct, durable);
    }
    if (fault.errno) {
      if (CLEAN_ERRORS.includes(fault.errno)) return -fault.errno;
      if (options.direct) {
        disk.tearWrite(node, offset, bytes, from, length, true, random);
      } else if (durable) {
        // It is in the cache, and what syncs it failed.
        disk.write(node, offset, bytes, from, length, false, false);
        disk.loseUnsynced(node, disk.sequence, random);
      }
      return -fault.errno;
    }
    if (fault.lost) return length;
    if (fault.torn) {
      // The file has the size that it should have; what did not land reads as before.
      const { content } = node;
      const old = new Uint8Array(length);
      content.read(offset, old, 0, length);
      const res = disk.write(node, offset, bytes, from, length, options.direct, durable);
      if (res > 0) disk.untear(node, offset, old, res, options.direct, durable, random);
      return res;
    }
    const target = Math.max(0, offset + (fault.misdirect ?? 0));
    return disk.write(node, target, bytes, from, length, options.direct, durable);
  }

  /** Length of a transfer; a short direct one still ends at a multiple of the alignment. */
  #shortened(slot: number, file: MemoryFile, fault: FaultOptions | undefined): number {
    const length = this.#length[slot];
    if (fault?.short === undefined || fault.short >= length) return length;
    const unit = file.options.direct ? this.machine.settings.alignment.offset : 1;
    return fault.short - fault.short % unit;
  }

  #fillStat(slot: number, file: MemoryFile | undefined): number {
    const stat = this.#stat[slot]!;
    const node = file !== undefined ? file.node! : this.machine.disk.find(this.#path[slot]);
    if (typeof node === "number") return node;
    const isFile = node.kind === "file";
    stat.size = isFile ? node.size : BLOCK_BYTES;
    stat.allocatedBytes = isFile ? node.blocks * BLOCK_BYTES : BLOCK_BYTES;
    stat.isFile = isFile;
    stat.isDirectory = !isFile;
    stat.device = 1;
    stat.inode = node.number;
    stat.modifiedMillis = node.modifiedMillis;
    return 0;
  }

  #closeDescription(file: MemoryFile): void {
    const { node } = file;
    if (node === undefined || !this.open.delete(file)) return;
    if (node.holder === file) node.holder = undefined;
    node.sharers.delete(file);
    this.machine.disk.closeFile(node);
  }

  // Immediate calls

  /** An operation like any other, for which time goes on until it has ended. */
  transferNow(
    writes: boolean,
    client: ClientIo,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    const { table, machine } = this;
    if (table.used === table.capacity) {
      throw new IoFullError(`${table.capacity} operations are in flight: poll first`);
    }
    machine.admit();
    // NaN is no handle of anybody.
    const slot = table.take(writes ? Kind.write : Kind.read, client.number, NaN);
    this.fileOf[slot] = file;
    this.bufferOf[slot] = buffer;
    file.inFlight++;
    buffer.slot = slot;
    this.#inPlace = slot;
    try {
      if (writes) this.startWrite(slot, file, buffer, bufferOffset, length, offset, 0);
      else this.startRead(slot, file, buffer, bufferOffset, length, offset);
      while (this.#inPlace === slot) machine.runNext();
      return table.res[slot];
    } finally {
      this.#inPlace = -1;
      // A machine that stopped meanwhile keeps it: what is in flight then is a part of the crash.
      if (this.alive) {
        this.fileOf[slot] = this.bufferOf[slot] = undefined;
        file.inFlight--;
        buffer.slot = -1;
        table.give(slot);
      }
    }
  }

  override finish(slot: number, res: number): void {
    if (slot !== this.#inPlace) return super.finish(slot, res);
    this.table.res[slot] = res;
    this.#inPlace = -1;
  }

  lock(file: OpenFile, exclusive: boolean): number {
    const { machine } = this;
    const fault = machine.match("lock", file.path, "");
    if (fault?.errno) return -fault.errno;
    const node = (file as MemoryFile).node!;
    const excluded = () =>
      (node.holder !== undefined && node.holder !== file) ||
      (exclusive && node.sharers.size > (node.sharers.has(file) ? 1 : 0));
    if (excluded()) {
      // The caller will try again, in real time: here others get on as if it had passed.
      machine.clockMicros += LOCK_TRY_MICROS;
      machine.runDue();
      machine.passed();
    }
    if (excluded()) return -ERRNO.EAGAIN;
    node.holder = exclusive ? file : undefined;
    if (exclusive) node.sharers.delete(file);
    else node.sharers.add(file);
    return 0;
  }

  statFs(): IoFileSystem {
    const { disk, settings } = this.machine;
    return {
      type: settings.fileSystem,
      blockBytes: BLOCK_BYTES,
      totalBytes: disk.totalBlocks * BLOCK_BYTES,
      availableBytes: (disk.totalBlocks - disk.usedBlocks) * BLOCK_BYTES,
    };
  }

  alignment(): IoAlignment {
    return this.machine.settings.alignment;
  }

  noCopyOnWrite(file: OpenFile): number {
    if (this.machine.settings.fileSystem !== "btrfs") return 0;
    return (file as MemoryFile).node!.size === 0 ? 1 : -ERRNO.EINVAL;
  }

  identity(): IoIdentity {
    return {
      pid: 1000 + this.process,
      startTicks: Math.floor(this.startMicros / 10_000),
      bootId: `memory-${this.machine.boot}`,
      host: "memory",
    };
  }

  listDirectory(path: string): IoDirectoryEntry[] {
    const fault = this.machine.match("listDirectory", path, "");
    if (fault?.errno) throw ioErrorOf(-fault.errno, "listDirectory", path);
    const node = this.machine.disk.find(path);
    if (typeof node === "number") throw ioErrorOf(node, "listDirectory", path);
    if (node.kind === "file") throw ioErrorOf(-ERRNO.ENOTDIR, "listDirectory", path);
    const entries = [...node.entries].map(([name, { kind }]) => ({
      name,
      isFile: kind === "file",
      isDirectory: kind === "directory",
    }));
    // The order of a directory means nothing: nobody shall come to rely on one.
    return this.machine.random.shuffle(entries);
  }

  override createDirectories(path: string): string[] {
    const fault = this.machine.match("createDirectories", path, "");
    if (fault?.errno) throw ioErrorOf(-fault.errno, "createDirectories", path);
    return super.createDirectories(path);
  }

  makeDirectory(path: string): number {
    const { disk } = this.machine;
    if (typeof disk.find(path) === "object") return -ERRNO.EEXIST;
    const parent = disk.find(directoryOf(path));
    if (typeof parent === "number") return parent;
    this.machine.step();
    return disk.makeDirectory(path);
  }

  isDirectory(path: string): number {
    const node = this.machine.disk.find(path);
    return typeof node === "number" ? node : node.kind === "directory" ? 1 : 0;
  }

  override now(): number {
    const { machine } = this;
    machine.clockMicros += machine.settings.nowMicros;
    return machine.clockMicros;
  }
  override wallClock(): number {
    return this.machine.wallClock();
  }
  override random(bytes: Uint8Array, length: number): void {
    this.randomBytes.fill(bytes, length);
  }
  crc32c(bytes: Uint8Array, length: number, seed: number): number {
    return crc32c(bytes, seed, 0, length);
  }
  crc32cBuffer(buffer: ArenaBuffer, offset: number, length: number, seed: number): number {
    return crc32c(buffer.bytes, seed, offset, offset + length);
  }

  // Turns

  override after(micros: number, callback: () => void): IoTimer {
    const { machine } = this;
    const timer = new Timer(machine, this, machine.clockMicros + micros, callback);
    machine.addTimer(timer);
    return timer;
  }

  drain(): void {
    const { machine } = this;
    machine.clockMicros += machine.settings.pollMicros;
    machine.runDue();
    machine.passed();
  }

  block(client: ClientIo, timeoutMicros: number): void {
    const { machine } = this;
    const deadline = machine.clockMicros + timeoutMicros;
    while (client.ready === 0) {
      if (machine.schedule.dueMicros > deadline) {
        machine.clockMicros = deadline;
        machine.passed();
        return;
      }
      machine.runNext();
    }
    machine.runDue();
  }

  /** Whether the event loop gets its turn is counted, not measured: real time changes nothing here. */
  override pause(): Promise<void> | undefined {
    return undefined;
  }

  async wakeup(client: ClientIo): Promise<void> {
    const { machine } = this;
    if (++machine.waits % WAITS_PER_TURN === 0) {
      await new Promise<void>((resolve) => turn(resolve));
      this.check();
    }
    if (client.inFlight > 0) this.block(client, Infinity);
  }

  free(): void {
    while (this.machine.schedule.owns(this.process)) this.machine.runNext();
    for (const file of [...this.open]) this.#closeDescription(file);
  }

  // Ends

  /** The process ends: its descriptions close, except those that operations in flight hold. */
  kill(): void {
    this.killed = true;
    for (const { owner, slot } of this.machine.schedule.entries()) {
      const file = owner === this.process ? this.fileOf[slot] : undefined;
      if (file instanceof MemoryFile) file.landing++;
      if (owner === this.process && !LANDS_LATE.includes(this.table.kind[slot])) {
        if (this.machine.random.oneIn(2)) this.#perform(slot);
        this.#over.add(slot);
      }
    }
    for (const file of [...this.open]) if (file.landing === 0) this.#closeDescription(file);
  }

  /** A copy of what a write in flight is about to write. */
  dataOf(slot: number): Uint8Array | undefined {
    if (this.table.kind[slot] !== Kind.write) return undefined;
    const from = this.#bufferOffset[slot];
    return this.bufferOf[slot]!.bytes.slice(from, from + this.#length[slot]);
  }

  /** What an operation in flight does to a disk that has crashed meanwhile; it was not acknowledged. */
  interrupt(slot: number, data: Uint8Array | undefined, disk: MemoryDisk, copy: CopyNode): void {
    const fault = this.#fault[slot];
    if (fault?.errno || fault?.lost || this.#over.has(slot)) return;
    const file = this.fileOf[slot] as MemoryFile | undefined;
    const kind = this.table.kind[slot];
    if (kind === Kind.open) {
      if (file!.options.direct && this.machine.settings.alignment.offset === 0) return;
      const { create, createNew, truncate } = file!.options;
      const node = disk.openFile(file!.path, create, createNew);
      if (typeof node === "object" && truncate) disk.truncate(node, 0);
    } else if (kind === Kind.write) {
      if (!file!.options.write) return;
      const node = copy(file!.node!);
      const length = this.#shortened(slot, file!, fault);
      const offset = file!.options.append ? node.size : this.#offset[slot];
      const target = Math.max(0, offset + (fault?.misdirect ?? 0));
      disk.write(node, target, data!, 0, length, file!.options.direct, false);
    } else {
      this.#change(slot, disk, file?.node === undefined ? undefined : copy(file.node));
    }
  }
}
/** Absolute, without `.`, `..`, and doubled or trailing slashes. The working directory is `/`. */
export function normalPath(path: string): string {
  // Most paths are so already.
  if (path.charCodeAt(0) === 47 && !/\/(\.{0,2}\/|\.{0,2}$)/.test(path)) return path;
  const names: string[] = [];
  for (const name of path.split("/")) {
    if (name === "" || name === ".") continue;
    if (name === "..") names.pop();
    else names.push(name);
  }
  return `/${names.join("/")}`;
}
