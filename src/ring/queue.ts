/**
 * The hot core of a ring: staging, slots, tick and reap. Everything here is numbers in typed arrays; no
 * operation allocates. Arguments were checked by `Ring`, and are checked again by the shim, which trusts
 * nothing of this.
 *
 * The way of one operation: `stage` takes a slot and writes an image; `tick` hands the images to the
 * kernel and brings completions into the columns; `reap` gives them to the caller and frees the slots.
 * A slot stays taken until its completion was reaped, so that what was not reaped never exceeds the
 * slots and the messages that there is room for, and every array here has the length it was made with.
 *
 * @module
 */

import { CompletionArray } from "../abi/completions.ts";
import { errnoName, errnoText } from "../abi/errno.ts";
import {
  BAD_REASON_NAMES,
  COLUMN,
  ERRNO,
  MESSAGES_MAX,
  OPERATION,
  OPERATIONS,
  SQE_FLAG,
} from "../abi/generated.ts";
import type { BufferSet, RegisteredBuffer } from "./buffers.ts";
import { RingClosedError, RingError, RingImageError } from "./errors.ts";
import * as layout from "./layout.ts";
import type { RingFile } from "./file.ts";
import { traceCompletion, type TraceSink, traceSubmission } from "./trace.ts";

// Constants of this module: V8 sees through these, and not through imported ones, which it loads each time.
const IMAGE_WORDS = layout.IMAGE_WORDS;
const FILE = layout.WORD_FILE;
const OFFSET = layout.WORD_OFFSET;
const OFFSET_HIGH = layout.WORD_OFFSET_HIGH;
const ADDR = layout.WORD_ADDR;
const LENGTH = layout.WORD_LENGTH;
const OP_FLAGS = layout.WORD_OP_FLAGS;
const SLOT = layout.WORD_SLOT;
const GENERATION = layout.WORD_GENERATION;
const CONSUMED = layout.CONTROL_CONSUMED;

/** `tag` of an operation that holds no buffer. */
const TAG_NONE = 0;
/** `tag` of an operation whose completion the ring itself acts upon; else buffer index plus 1. */
const TAG_SPECIAL = 0xff_ffff;
const TAG_BITS = 24;

/** A tick that has no time-out. */
export const WAIT_FOR_EVER = 0xffff_ffff;
/** Ticks that follow each other while the kernel asks to come again (EAGAIN, EBUSY). */
const AGAIN_MAX = 1000;

/** The tags for other files. Here they stay constants of this module. */
export const TAG: { readonly NONE: number; readonly SPECIAL: number } = {
  NONE: TAG_NONE,
  SPECIAL: TAG_SPECIAL,
};

/** Words of one slot in the table of slots. */
const SLOT_WORDS = 4;
// The first word is operation and tag.
/** File reference. */
const SLOT_FILE = 1;
const SLOT_GENERATION = 2;
/** The next free slot, where this one is free. */
const SLOT_NEXT = 3;
const NO_SLOT = -1;

/** Memory that TypeScript and the shim share. */
export interface SharedMemory {
  readonly staging: SharedArrayBuffer;
  readonly columns: SharedArrayBuffer;
  readonly control: Uint32Array;
}

/** What the queue leaves to the ring that has it. */
export interface QueueOwner {
  /** Throws the error that says what is wrong with these arguments of a transfer. */
  refuse(
    operation: number,
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    flags: number,
  ): never;
  /** A special operation completed, or (`res` undefined) was dropped without being submitted. */
  finish(operation: number, slot: number, res: number | undefined): void;
  /** All that was staged is the kernel's: the incoming part of the parameter area is free again. */
  drained(): void;
  /** Completions arrived by a tick. */
  arrived(): void;
}

/** Names an operation by its number. */
export function operationName(operation: number): string {
  return OPERATIONS[operation]?.name ?? `operation ${operation}`;
}

/**
 * The queues of one ring. Its private members are not `#private`: JavaScriptCore takes half as long
 * again for an operation with those.
 */
export class Queue {
  /** Rows reaped last. */
  readonly completions: CompletionArray;
  /** Images that are not the kernel's yet. */
  staged = 0;
  /** SQEs handed over since open. */
  submissions = 0;
  /** Completions reaped since open. */
  delivered = 0;
  /** Most slots that were taken at once. */
  peak = 0;
  /** Completions that belonged to no operation in flight. */
  stale = 0;
  trace: TraceSink | undefined;

  readonly slots: number;
  private readonly _number: number;
  private readonly _tick: (
    ring: number,
    staged: number,
    wait: number,
    timeoutMicros: number,
  ) => number;
  private readonly _owner: QueueOwner;
  /** Entries of the completion queue. */
  private readonly _room: number;
  /** The ring, as its files know it. */
  private readonly _ring: unknown;
  private readonly _buffers: BufferSet;
  /** By first slice of a buffer: the slot that holds it. */
  private readonly _bufferSlots: Int32Array;

  // All numbers are signed words: unsigned ones beyond 2^31 are floating-point numbers to compilers.
  private readonly _images: Int32Array;
  private readonly _columns: Int32Array;
  private readonly _control: Uint32Array;

  /** Images that may be staged; 0 once closed, so that staging needs no check of its own. */
  private _limit: number;
  private _closed = false;
  private readonly _table: Int32Array;
  /** By slot: the reference of a second file, where its operation has one. */
  private readonly _second: Int32Array;
  private readonly _userData: Float64Array;
  private _firstFree = 0;
  /** Operations handed over and not reaped. */
  private _outstanding = 0;

  /** Completions in the columns that were not reaped. */
  private _fresh = 0;
  /** Completions that a later tick would have overwritten in the columns: slot, generation, res, flags. */
  private readonly _backlog: Int32Array;
  private _backlogLength = 0;
  /** Whether other rings were told how to send here, so that there is something to look for without
   * operations. */
  receives = false;

  /** Not 0 when the next image has sqe flags: `_flags` of its own, or those of a chain. */
  private _next = 0;
  private _flags = 0;
  /** Images that the chain begun last still needs. */
  private _chain = 0;
  private _chainFlag = 0;
  /** Images that were staged before it. */
  private _chainStart = 0;

  constructor(
    number: number,
    tick: (ring: number, staged: number, wait: number, timeoutMicros: number) => number,
    entries: number,
    room: number,
    slots: number,
    memory: SharedMemory,
    owner: QueueOwner,
    ring: unknown,
    buffers: BufferSet,
  ) {
    this._number = number;
    this._tick = tick;
    this._owner = owner;
    this._ring = ring;
    this._buffers = buffers;
    this._bufferSlots = buffers.inFlight;
    this._limit = entries;
    this._room = room;
    this.slots = slots;
    this._images = new Int32Array(memory.staging);
    this._columns = new Int32Array(memory.columns);
    this._control = memory.control;
    this.completions = new CompletionArray(slots + MESSAGES_MAX);
    this._control[layout.CONTROL_MESSAGE_ROOM] = MESSAGES_MAX;
    this._table = new Int32Array(SLOT_WORDS * slots);
    for (let slot = 0; slot < slots; slot++) {
      this._table[SLOT_WORDS * slot + SLOT_NEXT] = slot + 1 < slots ? slot + 1 : NO_SLOT;
    }
    this._second = new Int32Array(slots);
    this._userData = new Float64Array(slots);
    this._backlog = new Int32Array(4 * (slots + MESSAGES_MAX));
  }

  /** Operations that were prepared and not reaped. */
  get taken(): number {
    return this._outstanding + this.staged;
  }

  /** Operations that may be prepared now. */
  get available(): number {
    return Math.min(this._limit - this.staged, this.slots - this.taken);
  }

  /** What a tick can hand over now: nothing of a chain that is not complete. */
  get submittable(): number {
    return this._chain > 0 ? 0 : this.staged;
  }

  /** Operations that the chain begun last still needs. */
  get lacking(): number {
    return this._chain;
  }

  /** Completions that a reap would give without a tick. */
  get unreaped(): number {
    return this._fresh + this._backlogLength;
  }

  get closed(): boolean {
    return this._closed;
  }

  /** The slot that the operation staged last has. */
  get lastSlot(): number {
    return this._images[(this.staged - 1) * IMAGE_WORDS + SLOT];
  }

  // --- Staging ------------------------------------------------------------------------------

  // The hot path is cut into pieces that JavaScriptCore inlines (its limit is a cost of 170) and V8 too (460
  // bytes of bytecode each, 920 in all): inlined into the caller's loop, staging costs half. Nothing in
  // them calls what is not inlined, but where it throws. BUN_JSC_reportCompileTimes=1 and
  // --v8-flags=--trace-turbo-inlining show it.

  /** Throws when a transfer between a file and a buffer cannot be staged. */
  check(
    operation: number,
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    flags: number,
  ): void {
    // Masked with 31 bits, a number stays itself when it is an integer of those.
    if (
      file?.owner !== this._ring || buffer?.owner !== this._buffers ||
      (bufferOffset & 0x7fff_ffff) !== bufferOffset || (length & 0x7fff_ffff) !== length ||
      bufferOffset + length > buffer.length ||
      ((fileOffset & 0x7fff_ffff) !== fileOffset && !isOffset(fileOffset)) ||
      (flags !== 0 && !flagsAllowed(operation, flags)) ||
      this._bufferSlots[buffer.index] !== -1
    ) this._owner.refuse(operation, file, buffer, bufferOffset, length, fileOffset, flags);
  }

  /** Stages a transfer that was checked; `false` when there is no room. */
  transfer(
    operation: number,
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    userData: number,
    flags: number,
  ): boolean {
    const at = this._place(operation, userData);
    if (at < 0) return false;
    const index = buffer.index;
    this._bufferSlots[index] = this._firstFree;
    this._take(at, operation, file.reference, userData, index + 1);
    fill(this._images, at, fileOffset, buffer.offset + bufferOffset, length, flags);
    return true;
  }

  /** Stages an operation from numbers; `false` when there is no room. */
  stage(
    operation: number,
    reference: number,
    offset: number,
    address: number,
    length: number,
    opFlags: number,
    userData: number,
    tag: number,
  ): boolean {
    const at = this._place(operation, userData);
    if (at < 0) return false;
    this._take(at, operation, reference, userData, tag);
    fill(this._images, at, offset, address, length, opFlags);
    return true;
  }

  /** Stages an operation without any fields. */
  stageBare(operation: number, userData: number): boolean {
    const at = this._place(operation, userData);
    if (at < 0) return false;
    this._take(at, operation, 0, userData, TAG_NONE);
    return true;
  }

  /** The image to fill, by its first word; below 0 when there is no room. Takes nothing yet. */
  private _place(operation: number, userData: number): number {
    if ((userData | 0) !== userData) checkUserData(userData);
    if (this.staged >= this._limit || this._firstFree < 0) return this._full();
    const images = this._images;
    const at = this.staged * IMAGE_WORDS;
    const head = this._next === 0 ? operation : this._head(operation);
    // The same operation stood here before: it left every other field zero.
    if (images[at] !== head) clearImage(images, at, head);
    return at;
  }

  /** Gives the image at `at` a slot, and counts it as staged. */
  private _take(
    at: number,
    operation: number,
    reference: number,
    userData: number,
    tag: number,
  ): void {
    const images = this._images;
    const table = this._table;
    const slot = this._firstFree;
    const row = slot * SLOT_WORDS;
    this._firstFree = table[row + SLOT_NEXT];
    this._userData[slot] = userData;
    table[row] = (operation << TAG_BITS) | tag;
    table[row + SLOT_FILE] = reference;
    images[at + FILE] = reference;
    images[at + SLOT] = slot;
    images[at + GENERATION] = table[row + SLOT_GENERATION];
    this.staged++;
  }

  /** Fields that few operations have, of the image staged last. An operation sets all or none of them. */
  more(addressHigh: number, address2: number, length2: number, extra: number): void {
    const at = (this.staged - 1) * IMAGE_WORDS;
    const images = this._images;
    images[at + layout.WORD_ADDR_HIGH] = addressHigh;
    images[at + layout.WORD_ADDR2] = address2;
    images[at + layout.WORD_LENGTH2] = length2;
    images[at + layout.WORD_EXTRA] = extra;
  }

  /** The operation staged last holds this buffer, whose tag it was given, or which `release` frees. */
  hold(bufferIndex: number): void {
    this._bufferSlots[bufferIndex] = this.lastSlot;
  }

  /** Whether a buffer is free to be used. */
  isHeld(bufferIndex: number): boolean {
    return this._bufferSlots[bufferIndex] !== NO_SLOT;
  }

  /** A buffer that a special operation held is the caller's again. */
  letGo(bufferIndex: number): void {
    this._bufferSlots[bufferIndex] = NO_SLOT;
  }

  /** The operation staged last is on this file too. */
  holdSecond(reference: number): void {
    this._second[this.lastSlot] = reference;
  }

  /** The offset of the operation staged last is -1: none. */
  noOffset(): void {
    this._images[(this.staged - 1) * IMAGE_WORDS + OFFSET_HIGH] = -1;
  }

  private _full(): number {
    this._checkOpen();
    return -1;
  }

  private _checkOpen(): void {
    if (this._closed) throw new RingClosedError();
  }

  /** First word of the next image, with its sqe flags. */
  private _head(operation: number): number {
    let flags = this._flags;
    if (this._chain > 1) flags |= this._chainFlag;
    const bad = flags & ~(OPERATIONS[operation]?.sqeFlags ?? flags);
    if (bad !== 0) throw this._flagsError(operation, bad);
    if (this._chain > 0) {
      this._checkLink(operation);
      this._chain--;
    }
    this._flags = 0;
    this._next = this._chain;
    return operation | (flags << layout.FLAGS_SHIFT);
  }

  /** IOSQE_* of the operation that is staged next. */
  setFlags(flags: number): void {
    this._checkOpen();
    this._flags = flags;
    this._next = flags | this._chain;
  }

  /** Links the next `count` operations; `false`, and nothing is begun, when not all of them fit. */
  beginChain(count: number, hard: boolean): boolean {
    this._checkOpen();
    if (this._chain > 0) throw this._chainError();
    if (count > this.available) return false;
    this._chain = count;
    this._chainStart = this.staged;
    this._chainFlag = hard ? SQE_FLAG.IO_HARDLINK : SQE_FLAG.IO_LINK;
    this._next = 1;
    return true;
  }

  /** Takes back what is staged of a chain that is not complete; gives how many operations that were. */
  abandonChain(): number {
    this._checkOpen();
    if (this._chain === 0) return 0;
    const count = this.staged - this._chainStart;
    // The last first, so that slots are taken again in the same order.
    while (this.staged > this._chainStart) {
      this.staged--;
      this._release(this._images[this.staged * IMAGE_WORDS + SLOT], undefined);
    }
    this._chain = 0;
    this.setFlags(0);
    return count;
  }

  /**
   * Throws when a soft chain would not do what it promises: go on only after success. A link timeout that
   * limits the operation before is no going on.
   */
  private _checkLink(operation: number): void {
    if (this._chainFlag !== SQE_FLAG.IO_LINK || operation === OPERATION.linkTimeout) return;
    for (let at = this.staged - 1; at >= 0; at--) {
      const head = this._images[at * IMAGE_WORDS];
      if (((head >>> layout.FLAGS_SHIFT) & SQE_FLAG.IO_LINK) === 0) return;
      const before = head & 0xff;
      if (before === OPERATION.linkTimeout) continue;
      if (OPERATIONS[before].breaks) return;
      throw new TypeError(
        `${operationName(operation)} cannot follow ${
          operationName(before)
        } in this chain: the kernel ` +
          `goes on when ${
            operationName(before)
          } fails. Wait for its completion, or begin a hard chain`,
      );
    }
  }

  private _flagsError(operation: number, bad: number): TypeError {
    const names = Object.entries(SQE_FLAG).filter(([, bit]) => (bad & bit) !== 0)
      .map(([name]) => name).join(" and ");
    return new TypeError(`${operationName(operation)} cannot have ${names}`);
  }

  /** Whether the next operation is linked to the one before it. */
  get linked(): boolean {
    if (this.staged === 0) return false;
    const flags = this._images[(this.staged - 1) * IMAGE_WORDS] >>> layout.FLAGS_SHIFT;
    return (flags & (SQE_FLAG.IO_LINK | SQE_FLAG.IO_HARDLINK)) !== 0;
  }

  private _chainError(): TypeError {
    return new TypeError(
      `the chain begun by beginChain lacks ${this._chain} operations: prepare them, or call abandonChain`,
    );
  }

  // --- Tick ---------------------------------------------------------------------------------

  /**
   * Hands over what is staged, waits for `wait` completions, and brings completions into the columns.
   * @returns how many of what was staged the kernel took
   */
  tick(staged: number, wait: number, timeoutMicros: number): number {
    this._checkOpen();
    if (this._chain > 0 && staged > 0) throw this._chainError();
    if (this._fresh !== 0) this._absorb();
    const result = this._tick(this._number, staged, wait, timeoutMicros);
    if (result < 0) this._refused(result, staged);
    let consumed = 0;
    if (staged !== 0) {
      const taken = this._outstanding + this.staged;
      if (taken > this.peak) this.peak = taken;
      consumed = this._control[CONSUMED];
      this._outstanding += consumed;
      this.submissions += consumed;
      if (this.trace !== undefined) this._traceStaged(consumed);
      if (consumed === staged) {
        this.staged = 0;
        this._owner.drained();
      } else {
        this._keepRest(consumed);
      }
    }
    if (result < 0) throw tickError(-result);
    this._fresh = result;
    if (result !== 0) this._owner.arrived();
    return consumed;
  }

  /** Submits, and waits until `count` completions can be reaped, or the time is over. */
  tickAndWait(count: number, timeoutMicros: number): number {
    const start = timeoutMicros === WAIT_FOR_EVER ? 0 : performance.now();
    const wait = Math.min(count, this.taken) - this.unreaped;
    const consumed = this.tick(this.staged, wait > 0 ? wait : 0, timeoutMicros);
    if (this._control[layout.CONTROL_AGAIN] === 0 && wait <= this._room) return consumed;
    return consumed + this._goOn(Math.min(count, this.taken), start, timeoutMicros);
  }

  /**
   * The kernel was short of something, and took nothing or a part: what it has in flight frees it. Or there
   * are more completions to wait for than their queue has room for.
   */
  private _goOn(count: number, start: number, timeoutMicros: number): number {
    let consumed = 0;
    let refused = 0;
    while (this.unreaped < count && refused < AGAIN_MAX) {
      let left = WAIT_FOR_EVER;
      if (timeoutMicros !== WAIT_FOR_EVER) {
        left = Math.floor(timeoutMicros - (performance.now() - start) * 1000);
        if (left <= 0) break;
      }
      const inFlight = this._outstanding - this.unreaped;
      const wait = this.staged > 0
        ? Math.min(1, inFlight)
        : Math.min(count - this.unreaped, inFlight);
      if (this.staged === 0 && wait === 0) break;
      const before = this.unreaped;
      const taken = this.tick(this.staged, wait, left);
      consumed += taken;
      refused = taken === 0 && this.unreaped === before ? refused + 1 : 0;
    }
    return consumed;
  }

  /** Moves what the kernel did not take to the front, in its order. */
  private _keepRest(consumed: number): void {
    this._images.copyWithin(0, consumed * IMAGE_WORDS, this.staged * IMAGE_WORDS);
    this.staged -= consumed;
  }

  /** The next tick overwrites the columns: keeps what was not reaped from them. */
  private _absorb(): void {
    const backlog = this._backlog;
    const columns = this._columns;
    const slots = this.slots;
    let at = 4 * this._backlogLength;
    for (let i = 0; i < this._fresh; i++) {
      backlog[at++] = columns[COLUMN.slot * slots + i];
      backlog[at++] = columns[COLUMN.generation * slots + i];
      backlog[at++] = columns[COLUMN.res * slots + i];
      backlog[at++] = columns[COLUMN.flags * slots + i];
    }
    this._backlogLength += this._fresh;
    this._fresh = 0;
    let messages = 0;
    for (let row = 0; row < this._backlogLength; row++) if (backlog[4 * row] < 0) messages++;
    this._control[layout.CONTROL_MESSAGE_ROOM] = MESSAGES_MAX - messages;
  }

  private _refused(result: number, staged: number): void {
    const index = this._control[layout.CONTROL_BAD_INDEX];
    if (-result === ERRNO.EINVAL && index < staged) throw this._dropStaged(index, staged);
  }

  /** Takes back everything that is staged, because the image at `index` was refused. */
  private _dropStaged(index: number, staged: number): RingImageError {
    const images = this._images;
    const reason = BAD_REASON_NAMES[this._control[layout.CONTROL_BAD_REASON]] ?? "unknown";
    const operation = operationName(images[index * IMAGE_WORDS] & 0xff);
    const dropped: number[] = [];
    for (let i = 0; i < staged; i++) {
      const slot = images[i * IMAGE_WORDS + SLOT];
      dropped.push(this._userData[slot]);
      this._release(slot, undefined);
    }
    this.staged = 0;
    this._owner.drained();
    return new RingImageError(
      `the shim refused ${operation} (userData ${
        dropped[index]
      }), number ${index} of ${staged} staged: ` +
        `${reason}. None of them was submitted, all were dropped`,
      operation,
      reason,
      index,
      dropped,
    );
  }

  // --- Reap ---------------------------------------------------------------------------------

  /** Fills `completions` with what has completed, and frees the slots. */
  reap(): number {
    if (this._fresh === 0 && this._backlogLength === 0) {
      if (this._outstanding === 0 && !this._closed && !this.receives) {
        this.completions.length = 0;
        return 0;
      }
      this.tick(0, 0, 0);
    }
    const out = this.completions;
    out.length = 0;
    if (this._backlogLength !== 0) this._reapBacklog();
    const count = this._fresh;
    this._fresh = 0;
    const outUserData = out.userData;
    const outRes = out.res;
    const outFlags = out.flags;
    const columns = this._columns;
    const slots = this.slots;
    const table = this._table;
    const userData = this._userData;
    let length = out.length;
    let messages = 0;
    let free = this._firstFree;
    let generations = COLUMN.generation * slots;
    let results = COLUMN.res * slots;
    let flags = COLUMN.flags * slots;
    for (let i = COLUMN.slot * slots, end = i + count; i < end; i++) {
      const slot = columns[i];
      if (slot < 0) {
        // From another ring: no slot, but a userData.
        outUserData[length] = messageOf(slot, columns[generations++]);
        outRes[length] = columns[results++];
        outFlags[length] = columns[flags++];
        length++;
        messages++;
        continue;
      }
      const row = slot * SLOT_WORDS;
      const generation = table[row + SLOT_GENERATION];
      if (generation !== columns[generations++]) {
        this.stale++;
        results++;
        flags++;
        continue;
      }
      const res = columns[results++];
      outUserData[length] = userData[slot];
      outRes[length] = res;
      outFlags[length] = columns[flags++];
      length++;
      table[row + SLOT_GENERATION] = (generation + 1) | 0;
      table[row + SLOT_NEXT] = free;
      free = slot;
      const info = table[row];
      const tag = info & TAG_SPECIAL;
      if (tag !== TAG_NONE) {
        if (tag === TAG_SPECIAL) this._owner.finish(info >>> TAG_BITS, slot, res);
        else this._bufferSlots[tag - 1] = NO_SLOT;
      }
    }
    this._firstFree = free;
    this._outstanding -= length - messages;
    out.length = length;
    this.delivered += length;
    if (this.trace !== undefined) this._traceReaped();
    return length;
  }

  private _reapBacklog(): void {
    const backlog = this._backlog;
    for (let at = 0; at < 4 * this._backlogLength; at += 4) {
      const slot = backlog[at];
      if (slot < 0) {
        this.completions.push(messageOf(slot, backlog[at + 1]), backlog[at + 2], backlog[at + 3]);
        // Counted out below with what was operations.
        this._outstanding++;
        continue;
      }
      if (this._table[slot * SLOT_WORDS + SLOT_GENERATION] !== backlog[at + 1]) {
        this.stale++;
        continue;
      }
      this.completions.push(this._userData[slot], backlog[at + 2], backlog[at + 3]);
      this._release(slot, backlog[at + 2]);
    }
    this._backlogLength = 0;
    this._control[layout.CONTROL_MESSAGE_ROOM] = MESSAGES_MAX;
  }

  /** Frees a slot and what it holds. */
  private _release(slot: number, res: number | undefined): void {
    const table = this._table;
    const row = slot * SLOT_WORDS;
    table[row + SLOT_GENERATION]++;
    table[row + SLOT_NEXT] = this._firstFree;
    this._firstFree = slot;
    const info = table[row];
    const tag = info & TAG_SPECIAL;
    if (tag === TAG_SPECIAL) this._owner.finish(info >>> TAG_BITS, slot, res);
    else if (tag !== TAG_NONE) this._bufferSlots[tag - 1] = NO_SLOT;
  }

  // --- Looking -------------------------------------------------------------------------------

  operationOfSlot(slot: number): number {
    return this._table[slot * SLOT_WORDS] >>> TAG_BITS;
  }

  userDataOfSlot(slot: number): number {
    return this._userData[slot];
  }

  generationOfSlot(slot: number): number {
    return this._table[slot * SLOT_WORDS + SLOT_GENERATION];
  }

  /** A taken slot for which `matches` holds, -1 when there is none. Walks all slots. */
  find(matches: (slot: number) => boolean): number {
    const free = new Uint8Array(this.slots);
    for (let slot = this._firstFree; slot >= 0;) {
      free[slot] = 1;
      slot = this._table[slot * SLOT_WORDS + SLOT_NEXT];
    }
    for (let slot = 0; slot < this.slots; slot++) {
      if (free[slot] === 0 && matches(slot)) return slot;
    }
    return NO_SLOT;
  }

  /** A taken slot whose operation is on this file, -1 when there is none. */
  findFile(reference: number): number {
    return this.find((slot) => {
      const { file, second } = OPERATIONS[this.operationOfSlot(slot)];
      return (file === "fixed" || file === "real" || file === "directory") &&
          this._table[slot * SLOT_WORDS + SLOT_FILE] === reference ||
        second !== "none" && this._second[slot] === reference;
    });
  }

  /** A taken slot with this userData, -1 when there is none. */
  findUserData(userData: number): number {
    return this.find((slot) => this._userData[slot] === userData);
  }

  // --- The end ---------------------------------------------------------------------------------

  /** Refuses everything from now on. What was staged or not reaped is forgotten. */
  close(): void {
    this._closed = true;
    this._limit = 0;
    this.staged = 0;
    this._fresh = 0;
    this._backlogLength = 0;
    this.completions.length = 0;
  }

  // --- Trace -----------------------------------------------------------------------------------

  private _traceStaged(consumed: number): void {
    for (let i = 0; i < consumed; i++) {
      const slot = this._images[i * IMAGE_WORDS + SLOT];
      this.trace!(traceSubmission(this._images, i * IMAGE_WORDS, this._userData[slot]));
    }
  }

  private _traceReaped(): void {
    const { userData, res, flags, length } = this.completions;
    for (let i = 0; i < length; i++) this.trace!(traceCompletion(userData[i], res[i], flags[i]));
  }
}

/** Empties an image but for its first word. A loop: `fill` would be a call. */
function clearImage(images: Int32Array, at: number, head: number): void {
  for (let word = at + IMAGE_WORDS - 1; word > at; word--) images[word] = 0;
  images[at] = head;
}

/** Writes the fields of a transfer. */
function fill(
  images: Int32Array,
  at: number,
  offset: number,
  address: number,
  length: number,
  opFlags: number,
): void {
  images[at + OFFSET] = offset; // modulo 2^32
  images[at + OFFSET_HIGH] = highWord(offset);
  images[at + ADDR] = address;
  images[at + LENGTH] = length;
  images[at + OP_FLAGS] = opFlags;
}

function highWord(value: number): number {
  return value > 0xffff_ffff ? value / 0x1_0000_0000 : 0;
}

/** What a u64 of the kernel can be here: a safe integer that is not negative. */
function isOffset(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0;
}

/** Whether the row of an operation has all these flags. */
export function flagsAllowed(operation: number, flags: number): boolean {
  const { opFlags, opValues } = OPERATIONS[operation];
  if (opValues.length > 0) return opValues.includes(flags);
  return flags === flags >>> 0 && (flags & ~opFlags) === 0;
}

/** userData of a message: 31 bits of its slot word, and its generation word above them. */
function messageOf(slot: number, generation: number): number {
  return generation * 0x8000_0000 + (slot & 0x7fff_ffff);
}

function tickError(errno: number): RingError {
  const name = errnoName(errno);
  if (errno === ERRNO.EBADFD) {
    return new RingError(
      `the ring was opened disabled: call enable() first (${name})`,
      name,
      errno,
    );
  }
  return new RingError(`the tick of the ring failed: ${name} (${errnoText(errno)})`, name, errno);
}

export function checkUserData(userData: number): void {
  if (!Number.isSafeInteger(userData)) {
    throw new TypeError(`userData must be a safe integer, not ${String(userData)}`);
  }
}
