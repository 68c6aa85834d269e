/**
 * The arena, cut into slices that are handed out as registered buffers.
 *
 * @module
 */

import { RingBusyError } from "./errors.ts";

/**
 * One or more slices of the arena, which the kernel has pinned.
 *
 * Ownership: the caller's, from `acquire` to `release`, except while an operation on it is in flight.
 * Then the kernel may read or write it at any time, and neither a second operation nor a release is
 * possible; that ends when the completion was reaped.
 */
export class RegisteredBuffer {
  /** The memory. Do not write it while an operation on it is in flight. */
  readonly bytes: Uint8Array;
  /** Number of its first slice. */
  readonly index: number;
  /** Where it begins in the arena, in bytes; a multiple of 4,096. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
  /**
   * Whether its memory is registered with the kernel (pinned): always, never where the kernel refused the
   * arena, or as `ring.registerBuffers` says. Read it; it is the ring's to change.
   */
  registered: boolean;
  /** The set it is from, until released. @internal */
  owner: BufferSet | undefined;

  /** @internal */
  constructor(owner: BufferSet, bytes: Uint8Array, index: number, offset: number) {
    this.owner = owner;
    this.bytes = bytes;
    this.index = index;
    this.offset = offset;
    this.length = bytes.length;
    this.registered = owner.registered;
  }

  /**
   * Gives it back. What `ring.registerBuffers` registered is so no longer.
   * @throws {RingBusyError} when an operation on it is in flight; the error names it.
   */
  release(): void {
    if (this.owner === undefined) throw new TypeError("the buffer was released before");
    this.owner.release(this);
  }
}

/** One piece of memory of a `prepReadv` or `prepWritev`. */
export interface RingVector {
  /** A registered buffer of the ring. */
  readonly buffer: RegisteredBuffer;
  /** Where in the buffer, bytes. */
  readonly offset: number;
  /** Bytes. */
  readonly length: number;
}

/** What a set needs of its ring. @internal */
export interface SlotNames {
  operationOfSlot(slot: number): string;
  userDataOfSlot(slot: number): number;
  /** Takes back what `ring.registerBuffers` did. */
  unregister(buffer: RegisteredBuffer): void;
}

/** The buffers of a ring. */
export class BufferSet {
  /** Bytes of one slice. */
  readonly sliceBytes: number;
  /** Slices in all. */
  readonly count: number;
  /** Whether the whole arena is registered. @internal */
  readonly registered: boolean;
  /** By first slice: the slot of the operation in flight, -1 for none. @internal */
  readonly inFlight: Int32Array;
  readonly #arena: Uint8Array;
  readonly #slots: SlotNames;
  /** By slice: 1 when handed out. */
  readonly #taken: Uint8Array;
  /** Views of single slices, made once. */
  readonly #views: (Uint8Array | undefined)[] = [];
  #free: number;

  /** @internal */
  constructor(arena: Uint8Array, sliceBytes: number, registered: boolean, slots: SlotNames) {
    this.#arena = arena;
    this.#slots = slots;
    this.sliceBytes = sliceBytes;
    this.registered = registered;
    this.count = Math.floor(arena.length / sliceBytes);
    this.inFlight = new Int32Array(this.count).fill(-1);
    this.#taken = new Uint8Array(this.count);
    this.#free = this.count;
  }

  /** Slices that are not handed out. */
  get free(): number {
    return this.#free;
  }

  /**
   * Hands out a buffer.
   *
   * @param bytes At least so many, in adjacent slices; one slice by default.
   * @returns `undefined` when there are not so many free slices side by side.
   */
  acquire(bytes: number = this.sliceBytes): RegisteredBuffer | undefined {
    if (!Number.isSafeInteger(bytes) || bytes < 1) {
      throw new RangeError(`bytes must be a positive integer, not ${bytes}`);
    }
    const wanted = Math.ceil(bytes / this.sliceBytes);
    if (wanted > this.#free) return undefined;
    let run = 0;
    for (let i = 0; i < this.count; i++) {
      run = this.#taken[i] === 0 ? run + 1 : 0;
      if (run < wanted) continue;
      const index = i + 1 - wanted;
      this.#taken.fill(1, index, i + 1);
      this.#free -= wanted;
      const offset = index * this.sliceBytes;
      return new RegisteredBuffer(this, this.#view(index, offset, wanted), index, offset);
    }
    return undefined;
  }

  #view(index: number, offset: number, slices: number): Uint8Array {
    if (slices > 1) return this.#arena.subarray(offset, offset + slices * this.sliceBytes);
    return this.#views[index] ??= this.#arena.subarray(offset, offset + this.sliceBytes);
  }

  /**
   * Takes a buffer back; the same as its own `release()`.
   * @throws {RingBusyError} when an operation on it is in flight.
   */
  release(buffer: RegisteredBuffer): void {
    if (buffer.owner !== this) {
      throw new TypeError("the buffer was released before, or is another ring's");
    }
    this.checkIdle(buffer, "released");
    if (buffer.registered !== this.registered) this.#slots.unregister(buffer);
    buffer.owner = undefined;
    const slices = buffer.length / this.sliceBytes;
    this.#taken.fill(0, buffer.index, buffer.index + slices);
    this.#free += slices;
  }

  /** Throws when an operation on the buffer is in flight. @internal */
  checkIdle(buffer: RegisteredBuffer, what: string): void {
    if (this.inFlight[buffer.index] !== -1) throw this.busy(buffer, what);
  }

  /** @internal */
  busy(buffer: RegisteredBuffer, what: string): RingBusyError {
    const slot = this.inFlight[buffer.index];
    const operation = this.#slots.operationOfSlot(slot);
    const userData = this.#slots.userDataOfSlot(slot);
    return new RingBusyError(
      `buffer ${buffer.index} cannot be ${what}: ${operation} (userData ${userData}) on it is in flight`,
      operation,
      userData,
    );
  }
}
