/**
 * `ClientIo`, the `Io` that programs see: clients, handles, buffers and their ownership, argument checks,
 * delivery, leaks. The same for all backends, which do only the operations themselves.
 *
 * @module
 */

import { CompletionArray } from "../abi/completions.ts";
import { RUN_BYTES } from "./arena.ts";
import { ArenaBuffer, type Backend, OpenFile } from "./backend.ts";
import {
  DSYNC,
  type Io,
  type IoAdvice,
  type IoAlignment,
  type IoBuffer,
  IoClosedError,
  type IoDirectoryEntry,
  type IoFile,
  type IoFileSystem,
  IoFullError,
  type IoIdentity,
  type IoLeak,
  type IoLockKind,
  type IoStat,
  type IoStatistics,
  type IoTimer,
  IoUsageError,
  type OpenOptions,
} from "./io.ts";
import { checkOpenOptions } from "./open_options.ts";
import { Kind, KIND_NAMES, type OperationTable } from "./operations.ts";
import { bytesIn } from "./typed_array.ts";

/** The most bytes that one read or write may name: what Linux transfers at most. */
const TRANSFER_BYTES_MAX = 0x7ffff000;
/** The longest path, in bytes of UTF-8. */
const PATH_BYTES_MAX = 4095;
/** Leaks that are remembered; later ones are dropped, so that a leaking program does not grow. */
const LEAKS_MAX = 1024;
/** No operation. */
const NONE = -1;
/** Largest integer of 31 bits. */
const INT31 = 0x7fff_ffff;

const ADVICE: readonly string[] = ["normal", "sequential", "random", "willneed", "dontneed"];

/** One user of a backend: the `Io` that programs see. */
export class ClientIo implements Io {
  /** For this room only. */
  readonly driver: Backend;
  readonly number: number;
  readonly name: string;
  readonly completions: CompletionArray;
  readonly leaks: IoLeak[] = [];

  private readonly _table: OperationTable;
  /** Slots that have ended and wait for the poll of this client. */
  private readonly _ended: Int32Array;
  private _endedCount = 0;
  private _inFlight = 0;
  /** Operations that are kept for this client. */
  private readonly _reserve: number;
  private _disposed = false;
  /** Of the rows in `completions`: kind, and whether somebody took it. */
  private readonly _kinds: Uint8Array;
  private readonly _taken: Uint8Array;
  private _delivered = 0;
  /** Handle to row, by open addressing; made by the first `take` after a poll. */
  private readonly _rows: Int32Array;
  private _rowsMade = false;

  constructor(driver: Backend, name: string, reserve = 0) {
    const { table } = driver;
    const { capacity } = table;
    if (!Number.isSafeInteger(reserve) || reserve < 0 || reserve > capacity) {
      throw new IoUsageError(`operations to reserve are from 0 to ${capacity}, not ${reserve}`);
    }
    if (reserve > table.shared - table.sharedUsed) {
      throw new IoFullError(
        `of ${capacity} operations only ${table.shared - table.sharedUsed} are neither in flight ` +
          `nor reserved, and client ${name} wants to reserve ${reserve}`,
      );
    }
    table.shared -= reserve;
    this._reserve = reserve;
    this.driver = driver;
    this.name = name;
    const unused = driver.clients.indexOf(undefined);
    this.number = unused < 0 ? driver.clients.length : unused;
    driver.clients[this.number] = this;
    this._table = driver.table;
    this.completions = new CompletionArray(capacity);
    this._ended = new Int32Array(capacity);
    this._kinds = new Uint8Array(capacity);
    this._taken = new Uint8Array(capacity);
    let size = 8;
    while (size < capacity * 2) size *= 2;
    this._rows = new Int32Array(size);
  }

  get backend(): "uring" | "sync" | "memory" {
    return this.driver.name;
  }
  get reason(): string {
    return this.driver.reason;
  }
  get durability(): "verified" | "unverified" {
    return this.driver.durability;
  }
  get reservedDsync(): boolean {
    return this.driver.reservedDsync;
  }
  get dropsCache(): boolean {
    return this.driver.dropsCache;
  }
  get registered(): boolean {
    return this.driver.registered;
  }
  get kernel(): string {
    return this.driver.kernel;
  }
  get blockSize(): number {
    return this.driver.blockSize;
  }
  get arenaBytes(): number {
    return this.driver.arena.bytes;
  }
  get arenaFreeBytes(): number {
    return this.driver.arena.largestFreeBytes;
  }
  get capacity(): number {
    return this._table.capacity;
  }
  get available(): number {
    const { shared, sharedUsed } = this._table;
    return shared - sharedUsed + Math.max(0, this._reserve - this._inFlight);
  }
  get inFlight(): number {
    return this._inFlight;
  }
  /** Completions that the next poll will deliver. */
  get ready(): number {
    return this._endedCount;
  }

  client(name: string, reserve = 0): Io {
    this._check();
    return new ClientIo(this.driver, name, reserve);
  }

  now(): number {
    return this.driver.now();
  }
  wallClock(): number {
    return this.driver.wallClock();
  }
  after(micros: number, callback: () => void): IoTimer {
    if (typeof micros !== "number" || !(micros >= 0 && micros <= Number.MAX_SAFE_INTEGER)) {
      throw new IoUsageError(
        `a timer is set for 0 microseconds from now or more, not ${String(micros)}`,
      );
    }
    if (typeof callback !== "function") {
      throw new IoUsageError(`a timer calls a function back, not ${String(callback)}`);
    }
    return this.driver.after(micros, callback);
  }
  random(bytes: Uint8Array): void {
    this._check();
    this.driver.random(bytes, checkBytes(bytes));
  }
  crc32c(bytes: Uint8Array, seed = 0): number {
    const length = checkBytes(bytes);
    checkSeed(seed);
    return this.driver.crc32c(bytes, length, seed);
  }
  crc32cBuffer(buffer: IoBuffer, offset: number, length: number, seed = 0): number {
    const owned = this._buffer(buffer);
    checkRange(owned, offset, length);
    checkSeed(seed);
    return this.driver.crc32cBuffer(owned, offset, length, seed);
  }

  acquireBuffer(bytes: number = this.driver.blockSize): IoBuffer | undefined {
    this._check();
    if (!Number.isSafeInteger(bytes) || bytes < 1) {
      throw new IoUsageError(`a buffer has at least 1 byte, not ${bytes}`);
    }
    const { driver } = this;
    const length = Math.ceil(bytes / RUN_BYTES) * RUN_BYTES;
    const offset = driver.arena.take(length, driver.blockSize);
    if (offset < 0) return undefined;
    const buffer = new ArenaBuffer(driver, this.number, driver.view(offset, length), offset);
    driver.buffers.add(buffer);
    return buffer;
  }

  releaseBuffer(buffer: IoBuffer): void {
    if (!this.driver.alive) return;
    this._check();
    const owned = this._buffer(buffer);
    this._checkIdle(owned);
    owned.released = true;
    this.driver.buffers.delete(owned);
    this.driver.arena.give(owned.offset, owned.length);
  }

  open(path: string, options: OpenOptions, handle: number): IoFile {
    this._check();
    const checked = checkOpenOptions(options);
    const admitted = this._path(
      path,
      checked.read ? checked.write ? "both" : "read" : "write",
    );
    this._checkHandle(handle);
    const file = this.driver.makeFile(admitted, checked);
    const slot = this._take(Kind.open, handle, file, undefined);
    this.driver.startOpen(slot, file);
    return file;
  }

  adoptFd(descriptor: number, handle: number): IoFile {
    this._check();
    this.driver.admitDescriptor();
    if (!Number.isSafeInteger(descriptor) || descriptor < 0 || descriptor > INT31) {
      throw new IoUsageError(`a descriptor is an integer, 0 or more, not ${String(descriptor)}`);
    }
    this._checkHandle(handle);
    const file = this.driver.makeAdopted(descriptor);
    this.driver.startAdopt(this._take(Kind.adopt, handle, file, undefined), file, descriptor);
    return file;
  }

  close(file: IoFile, handle: number): void {
    const open = this._file(file);
    this._checkHandle(handle);
    if (open.inFlight > 0) {
      throw new IoUsageError(
        `close of ${open.path} with ${this._operationsOn(open)} in flight: wait for them first`,
      );
    }
    open.state = "closing";
    const slot = this._take(Kind.close, handle, open, undefined);
    this.driver.startClose(slot, open);
  }

  readAt(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    handle: number,
  ): void {
    const open = this._file(file);
    const owned = this._buffer(buffer);
    this._checkTransfer(open, owned, bufferOffset, length, offset);
    this._checkHandle(handle);
    const slot = this._take(Kind.read, handle, open, owned);
    this.driver.startRead(slot, open, owned, bufferOffset, length, offset);
  }

  writeAt(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
    flags: number,
    handle: number,
  ): void {
    const open = this._file(file);
    const owned = this._buffer(buffer);
    this._checkTransfer(open, owned, bufferOffset, length, offset);
    if (flags !== 0 && flags !== DSYNC) {
      throw new IoUsageError(`flags of a write are 0 or DSYNC (${DSYNC}), not ${flags}`);
    }
    this._checkHandle(handle);
    const slot = this._take(Kind.write, handle, open, owned);
    this.driver.startWrite(slot, open, owned, bufferOffset, length, offset, flags);
  }

  fsync(file: IoFile, handle: number): void {
    const open = this._file(file);
    this._checkHandle(handle);
    this.driver.startSync(this._take(Kind.fsync, handle, open, undefined), open, false);
  }

  fdatasync(file: IoFile, handle: number): void {
    const open = this._file(file);
    this._checkHandle(handle);
    this.driver.startSync(this._take(Kind.fdatasync, handle, open, undefined), open, true);
  }

  stat(target: IoFile | string, handle: number): IoStat {
    const stat: IoStat = {
      size: 0,
      allocatedBytes: 0,
      isFile: false,
      isDirectory: false,
      device: 0,
      inode: 0,
      modifiedMillis: 0,
    };
    if (typeof target === "string") {
      this._check();
      const path = this._path(target, "read");
      this._checkHandle(handle);
      this.driver.startStat(this._take(Kind.stat, handle, undefined, undefined), path, stat);
    } else {
      const open = this._file(target);
      this._checkHandle(handle);
      this.driver.startStat(this._take(Kind.stat, handle, open, undefined), open, stat);
    }
    return stat;
  }

  truncate(file: IoFile, size: number, handle: number): void {
    const open = this._file(file);
    checkOffset("size", size);
    this._checkHandle(handle);
    this.driver.startTruncate(this._take(Kind.truncate, handle, open, undefined), open, size);
  }

  allocate(file: IoFile, offset: number, length: number, handle: number): void {
    const open = this._file(file);
    checkOffset("offset", offset);
    checkOffset("length", length);
    checkOffset("offset + length", offset + length);
    this._checkHandle(handle);
    const slot = this._take(Kind.allocate, handle, open, undefined);
    this.driver.startAllocate(slot, open, offset, length);
  }

  advise(file: IoFile, offset: number, length: number, advice: IoAdvice, handle: number): void {
    const open = this._file(file);
    checkOffset("offset", offset);
    checkOffset("length", length);
    if (!ADVICE.includes(advice)) {
      throw new IoUsageError(`advice is one of ${ADVICE.join(", ")}, not ${String(advice)}`);
    }
    this._checkHandle(handle);
    const slot = this._take(Kind.advise, handle, open, undefined);
    this.driver.startAdvise(slot, open, offset, length, advice);
  }

  rename(from: string, to: string, handle: number): void {
    this._check();
    const source = this._path(from, "both");
    const target = this._path(to, "both");
    this._checkHandle(handle);
    const slot = this._take(Kind.rename, handle, undefined, undefined);
    this.driver.startRename(slot, source, target);
  }

  link(from: string, to: string, handle: number): void {
    this._check();
    const source = this._path(from, "both");
    const target = this._path(to, "both");
    this._checkHandle(handle);
    const slot = this._take(Kind.link, handle, undefined, undefined);
    this.driver.startLink(slot, source, target);
  }

  remove(path: string, handle: number): void {
    this._check();
    const admitted = this._path(path, "write");
    this._checkHandle(handle);
    this.driver.startRemove(this._take(Kind.remove, handle, undefined, undefined), admitted);
  }

  syncDirectory(path: string, handle: number): void {
    this._check();
    const admitted = this._path(path, "read");
    this._checkHandle(handle);
    const slot = this._take(Kind.syncDirectory, handle, undefined, undefined);
    this.driver.startSyncDirectory(slot, admitted);
  }

  lock(file: IoFile, kind: IoLockKind = "exclusive"): number {
    if (kind !== "exclusive" && kind !== "shared") {
      throw new TypeError(`a lock is "exclusive" or "shared", not ${JSON.stringify(kind)}`);
    }
    return this.driver.lock(this._file(file), kind === "exclusive");
  }
  statFs(file: IoFile): IoFileSystem {
    return this.driver.statFs(this._file(file));
  }
  alignment(file: IoFile): IoAlignment {
    return this.driver.alignment(this._file(file));
  }
  noCopyOnWrite(file: IoFile): number {
    return this.driver.noCopyOnWrite(this._file(file));
  }
  pread(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    const open = this._file(file);
    const owned = this._buffer(buffer);
    this._checkTransfer(open, owned, bufferOffset, length, offset);
    return this._transferNow(Kind.read, open, owned, bufferOffset, length, offset);
  }
  pwrite(
    file: IoFile,
    buffer: IoBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    const open = this._file(file);
    const owned = this._buffer(buffer);
    this._checkTransfer(open, owned, bufferOffset, length, offset);
    return this._transferNow(Kind.write, open, owned, bufferOffset, length, offset);
  }

  private _transferNow(
    kind: number,
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): number {
    const { driver } = this;
    const { statistics } = driver;
    const writes = kind === Kind.write;
    const timed = statistics.submittedMicros !== undefined;
    const startMicros = timed ? driver.now() : 0;
    const res = driver.transferNow(writes, this, file, buffer, bufferOffset, length, offset);
    if (timed) statistics.took(kind, driver.now() - startMicros);
    statistics.ended(kind, res);
    return res;
  }
  statistics(): IoStatistics {
    const { used, peak } = this._table;
    return this.driver.statistics.report(used, peak);
  }
  identity(): IoIdentity {
    this._check();
    return this.driver.identity();
  }
  listDirectory(path: string): IoDirectoryEntry[] {
    this._check();
    return this.driver.listDirectory(this._path(path, "read"));
  }
  createDirectories(path: string): string[] {
    this._check();
    // What is made is read and synced afterwards: without that permission nothing shall be made.
    return this.driver.createDirectories(this._path(path, "both"));
  }

  poll(): number {
    this._check();
    this.driver.drain();
    return this._deliver();
  }

  park(timeoutMicros = Infinity): number {
    this._check();
    if (typeof timeoutMicros !== "number" || !(timeoutMicros >= 0)) {
      throw new IoUsageError(`park takes microseconds, 0 or more, not ${String(timeoutMicros)}`);
    }
    if (this._endedCount === 0 && this._inFlight > 0) this.driver.block(this, timeoutMicros);
    else this.driver.drain();
    return this._deliver();
  }

  async wait(): Promise<void> {
    this._check();
    // What the caller still submits in this turn goes out together.
    await undefined;
    if (this._inFlight === 0) return;
    if (this._endedCount > 0) return this.driver.pause();
    this._check();
    await this.driver.wakeup(this);
  }

  take(handle: number): number | undefined {
    const { completions } = this;
    if (completions.length === 0) return undefined;
    const rows = this._rows;
    const mask = rows.length - 1;
    if (!this._rowsMade) {
      this._rowsMade = true;
      rows.fill(NONE);
      for (let row = 0; row < completions.length; row++) {
        let i = hashOf(completions.userData[row]) & mask;
        while (rows[i] >= 0) i = (i + 1) & mask;
        rows[i] = row;
      }
    }
    for (let i = hashOf(handle) & mask; rows[i] >= 0; i = (i + 1) & mask) {
      const row = rows[i];
      if (completions.userData[row] !== handle) continue;
      if (this._taken[row] !== 0) return undefined;
      this._taken[row] = 1;
      return completions.res[row];
    }
    return undefined;
  }

  [Symbol.dispose](): void {
    if (this._disposed) return;
    const { driver } = this;
    if (!driver.alive || driver.disposed) {
      this._disposed = true;
      return;
    }
    if (this.number > 0) {
      if (this._inFlight > 0) {
        throw new IoUsageError(
          `client ${this.name} has ${this._inFlight} operations in flight: poll them first`,
        );
      }
      const held = [...driver.buffers].filter((buffer) => buffer.client === this.number).length;
      if (held > 0) {
        throw new IoUsageError(`client ${this.name} holds ${held} buffers: release them first`);
      }
      this._disposed = true;
      driver.clients[this.number] = undefined;
      this._table.shared += this._reserve;
      return;
    }
    this._disposed = true;
    const held = driver.buffers.size;
    try {
      driver.free();
    } finally {
      driver.disposed = true;
      driver.buffers.clear();
    }
    if (held > 0) {
      throw new IoUsageError(`${held} buffers were not released before the Io was disposed of`);
    }
  }

  /** For backends: an operation of this client has ended. */
  enqueue(slot: number): void {
    this._ended[this._endedCount++] = slot;
  }

  private _deliver(): number {
    const { completions } = this;
    if (completions.length > 0) this._findLeaks();
    const count = this._endedCount;
    this._endedCount = 0;
    this._delivered = count;
    this._rowsMade = false;
    const { handle, kind, res } = this._table;
    const { statistics } = this.driver;
    if (statistics.submittedMicros !== undefined && count > 0) this._recordLatencies();
    for (let row = 0; row < count; row++) {
      const slot = this._ended[row];
      completions.userData[row] = handle[slot];
      completions.res[row] = res[slot];
      this._kinds[row] = kind[slot];
      this._taken[row] = 0;
      statistics.ended(kind[slot], res[slot]);
      this._settle(slot);
    }
    completions.length = count;
    return count;
  }

  private _recordLatencies(): void {
    const { statistics } = this.driver;
    const { kind } = this._table;
    const now = this.driver.now();
    for (let row = 0; row < this._delivered; row++) {
      const slot = this._ended[row];
      statistics.took(kind[slot], now - statistics.submittedMicros![slot]);
    }
  }

  /** The caller knows of the end of an operation: what it had marked is free again. */
  private _settle(slot: number): void {
    const { fileOf, bufferOf } = this.driver;
    const file = fileOf[slot];
    if (file !== undefined) {
      fileOf[slot] = undefined;
      file.inFlight--;
      const kind = this._table.kind[slot];
      if (kind === Kind.open || kind === Kind.adopt) {
        file.state = this._table.res[slot] < 0 ? "closed" : "open";
      } else if (kind === Kind.close) file.state = "closed";
    }
    const buffer = bufferOf[slot];
    if (buffer !== undefined) {
      bufferOf[slot] = undefined;
      buffer.slot = NONE;
    }
    if (--this._inFlight >= this._reserve) this._table.sharedUsed--;
    this._table.give(slot);
  }

  private _findLeaks(): void {
    const { completions } = this;
    for (let row = 0; row < this._delivered && row < completions.length; row++) {
      if (this._taken[row] === 0 && this.leaks.length < LEAKS_MAX) {
        this.leaks.push({
          handle: completions.userData[row],
          operation: KIND_NAMES[this._kinds[row]],
        });
      }
    }
  }

  private _check(): void {
    this.driver.check();
    if (this._disposed) throw new IoClosedError(`client ${this.name} was disposed of`);
  }

  private _file(file: IoFile): OpenFile {
    this._check();
    if (!(file instanceof OpenFile) || file.backend !== this.driver) {
      throw new IoUsageError("this is no file of this Io");
    }
    if (file.state !== "open") {
      throw new IoUsageError(
        file.state === "opening"
          ? `${file.path} is not open yet: its open has not completed`
          : `${file.path} is closed`,
      );
    }
    return file;
  }

  private _buffer(buffer: IoBuffer): ArenaBuffer {
    if (!(buffer instanceof ArenaBuffer) || buffer.backend !== this.driver) {
      throw new IoUsageError("this is no buffer of this Io");
    }
    if (buffer.released) throw new IoUsageError("this buffer was released");
    return buffer;
  }

  private _checkIdle(buffer: ArenaBuffer): void {
    if (buffer.slot === NONE) return;
    const operation = KIND_NAMES[this._table.kind[buffer.slot]];
    throw new IoUsageError(
      `this buffer is in flight: ${operation} with handle ${this._table.handle[buffer.slot]} on ${
        this.driver.fileOf[buffer.slot]?.path
      } owns it until its completion was polled`,
    );
  }

  /** Throws when a transfer cannot be. The plain ones are let through by a few comparisons of numbers. */
  private _checkTransfer(
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    // Masked with 31 bits, a number stays itself when it is an integer of those.
    if (
      (bufferOffset & INT31) !== bufferOffset || (length & INT31) !== length ||
      (offset & INT31) !== offset || bufferOffset + length > buffer.length ||
      buffer.slot !== NONE || length > TRANSFER_BYTES_MAX
    ) this._examineTransfer(buffer, bufferOffset, length, offset);
    if (file.options.direct) this._checkDirect(file, buffer, bufferOffset, length, offset);
  }

  private _examineTransfer(
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    checkRange(buffer, bufferOffset, length);
    checkOffset("offset", offset);
    checkOffset("offset + length", offset + length);
    this._checkIdle(buffer);
  }

  private _checkDirect(
    file: OpenFile,
    buffer: ArenaBuffer,
    bufferOffset: number,
    length: number,
    offset: number,
  ): void {
    const alignment = this.driver.alignment(file);
    if (alignment.offset === 0) return;
    // Alignments are powers of two: the low bits of any safe integer tell.
    const low = alignment.offset - 1;
    if (
      ((offset | length) & low) === 0 &&
      ((buffer.offset + bufferOffset) & (alignment.memory - 1)) === 0
    ) return;
    checkAligned("offset", offset, alignment.offset, file);
    checkAligned("length", length, alignment.offset, file);
    checkAligned("offset in the buffer", bufferOffset, alignment.memory, file);
    throw new IoUsageError(
      `this buffer was acquired before a file needed memory in multiples of ${alignment.memory}, as ` +
        `direct I/O on ${file.path} does: release it, and acquire another`,
    );
  }

  private _path(path: string, access: "read" | "write" | "both"): string {
    checkPath(path);
    return this.driver.admitPath(path, access);
  }

  private _checkHandle(handle: number): void {
    if (!Number.isSafeInteger(handle)) {
      throw new IoUsageError(`an operation handle is a safe integer, not ${String(handle)}`);
    }
    const slot = this._table.find(this.number, handle);
    if (slot >= 0) {
      throw new IoUsageError(
        `handle ${handle} is in flight already: ${KIND_NAMES[this._table.kind[slot]]}`,
      );
    }
    if (this._inFlight >= this._reserve && this._table.sharedUsed >= this._table.shared) {
      throw new IoFullError(
        `${this._table.used} operations are in flight, and the capacity is ` +
          `${this._table.capacity}: poll first`,
      );
    }
    this.driver.admitOperation();
  }

  private _take(
    kind: number,
    handle: number,
    file: OpenFile | undefined,
    buffer: ArenaBuffer | undefined,
  ): number {
    const slot = this._table.take(kind, this.number, handle);
    if (file !== undefined) {
      this.driver.fileOf[slot] = file;
      file.inFlight++;
    }
    if (buffer !== undefined) {
      this.driver.bufferOf[slot] = buffer;
      buffer.slot = slot;
    }
    if (this._inFlight++ >= this._reserve) this._table.sharedUsed++;
    const { submittedMicros } = this.driver.statistics;
    if (submittedMicros !== undefined) submittedMicros[slot] = this.driver.now();
    return slot;
  }

  private _operationsOn(file: OpenFile): string {
    const names: string[] = [];
    this.driver.fileOf.forEach((other, slot) => {
      if (other === file) names.push(KIND_NAMES[this._table.kind[slot]]);
    });
    return names.join(", ");
  }
}

/** A path as the kernel can take it, or {@linkcode IoUsageError}. */
export function checkPath(path: string): void {
  if (typeof path !== "string" || path.length === 0) {
    throw new IoUsageError(`a path is a string that is not empty, not ${String(path)}`);
  }
  if (path.includes("\0")) throw new IoUsageError("a path has no NUL character in it");
  // At most three bytes a UTF-16 code unit: only long ones need to be counted.
  if (path.length * 3 > PATH_BYTES_MAX) {
    const bytes = new TextEncoder().encode(path).length;
    if (bytes > PATH_BYTES_MAX) {
      throw new IoUsageError(`a path has at most ${PATH_BYTES_MAX} bytes, not ${bytes}`);
    }
  }
}

function checkOffset(what: string, value: number): void {
  if (!Number.isSafeInteger(value) || value < 0) {
    throw new IoUsageError(`${what} must be a safe integer, 0 or more, not ${String(value)}`);
  }
}

/** How many there are, whatever the array says of itself. */
function checkBytes(bytes: Uint8Array): number {
  const length = bytesIn(bytes);
  if (length !== undefined) return length;
  throw new IoUsageError(`bytes are a Uint8Array, and no proxy of one, not a ${typeof bytes}`);
}

function checkSeed(seed: number): void {
  if (typeof seed === "number" && seed >>> 0 === seed) return;
  throw new IoUsageError(`a checksum to go on from is an integer of 32 bits, not ${String(seed)}`);
}

function checkRange(buffer: ArenaBuffer, offset: number, length: number): void {
  checkOffset("offset in the buffer", offset);
  checkOffset("length", length);
  if (length > TRANSFER_BYTES_MAX) {
    throw new IoUsageError(`length is at most ${TRANSFER_BYTES_MAX}, not ${length}`);
  }
  if (offset + length > buffer.length) {
    throw new IoUsageError(
      `bytes ${offset} to ${offset + length} lie outside the buffer of ${buffer.length} bytes`,
    );
  }
}

function checkAligned(what: string, value: number, alignment: number, file: OpenFile): void {
  if (value % alignment !== 0) {
    throw new IoUsageError(
      `${what} ${value} is not a multiple of ${alignment}, which direct I/O on ${file.path} needs`,
    );
  }
}

function hashOf(handle: number): number {
  let h = Math.imul(handle | 0, 0x9e3779b1) ^ Math.imul((handle / 4294967296) | 0, 0x85ebca6b);
  h ^= h >>> 15;
  return h;
}
