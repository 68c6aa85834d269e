/**
 * What the parts of a ring have in common: its memory, queue, files and buffers, what becomes of operations
 * when they end, and the errors.
 *
 * @module
 */

import { errnoName, errnoText } from "../abi/errno.ts";
import { OPERATION, OPERATIONS, RESULT_BYTES, SETUP_FLAG } from "../abi/generated.ts";
import { library } from "../native/library.ts";
import type { SystemInfo } from "../native/system.ts";
import { checkFlags, checkNumber } from "./arguments.ts";
import { BufferSet, type RegisteredBuffer, type RingVector } from "./buffers.ts";
import { RingBusyError, RingClosedError, RingError, RingUnsupportedError } from "./errors.ts";
import { FileTable, RingFile } from "./file.ts";
import type { ResolvedOptions } from "./options.ts";
import { ParameterArea } from "./parameters.ts";
import { operationName, Queue, type QueueOwner } from "./queue.ts";
import { type RingFeatures, setUp } from "./setup.ts";
import type { StatxResult } from "./statx.ts";
import { RingWait } from "./wait.ts";

/** What the least kernel has is not asked for. */
const SINCE_LEAST = OPERATIONS[OPERATION.nop].since;

/** What an operation in flight leaves for its completion. */
type Special = StatxResult | RingFile | string | readonly RingVector[];

/** An open ring. `Ring` and what it is made of share one. */
export class RingCore implements QueueOwner {
  /** The ring as the shim knows it. */
  readonly number: number;
  readonly entries: number;
  readonly slots: number;
  readonly features: RingFeatures;
  readonly control: Uint32Array;
  readonly arena: Uint8Array;
  readonly parameters: ParameterArea;
  readonly files: FileTable;
  readonly buffers: BufferSet;
  readonly queue: Queue;
  readonly wait: RingWait;
  /** Whether completions are polled from the device, and only reads and writes can be prepared. */
  readonly polls: boolean;
  /** Bytes that `registerBuffers` registered. */
  registeredBytes = 0;
  /** By slot: a path, a result, a file, or vectors. */
  readonly special: (Special | undefined)[] = [];
  #probe: readonly boolean[] | undefined;

  /**
   * Opens a ring, with checked options.
   *
   * @param attach The ring whose threads it shares.
   * @throws {RingUnavailableError} when the kernel refuses.
   */
  constructor(
    options: ResolvedOptions,
    attach: RingCore | undefined,
    system: () => SystemInfo,
  ) {
    const made = setUp(options, attach?.number ?? 0, system);
    const { number, features, memory } = made;
    const { functions } = library();
    this.number = number;
    this.entries = options.entries;
    this.slots = options.slots;
    this.features = features;
    this.control = new Uint32Array(memory.control.buffer);
    this.arena = new Uint8Array(memory.arena.buffer, made.arenaOffset, options.arenaBytes);
    this.parameters = new ParameterArea(memory.parameters);
    this.files = new FileTable(this, options.files);
    this.polls = (features.setupFlags & SETUP_FLAG.IOPOLL) !== 0;
    const whole = features.registered && options.bufferSlices === 0;
    this.buffers = new BufferSet(this.arena, options.bufferBytes, whole, {
      operationOfSlot: (slot) => operationName(this.queue.operationOfSlot(slot)),
      userDataOfSlot: (slot) => this.queue.userDataOfSlot(slot),
      unregister: (buffer) => this.unregisterBuffer(buffer),
    });
    this.queue = new Queue(
      number,
      functions.uring_tick,
      options.entries,
      features.completionEntries,
      options.slots,
      { staging: memory.staging.buffer, columns: memory.columns.buffer, control: this.control },
      this,
      this,
      this.buffers,
    );
    this.wait = new RingWait(this.queue, this.polls, (on, alarmMicros) => {
      const result = functions.uring_wake_arm(number, on ? 1 : 0, alarmMicros);
      this.check(result, "arming the eventfd");
    });
  }

  /** As `Ring.close`. */
  close(deadlineMillis: number): number {
    if (this.queue.closed) return 0;
    const left = library().functions.uring_close(this.number, deadlineMillis);
    this.queue.close();
    this.files.close();
    this.wait.end();
    this.check(left, "closing the ring");
    return left;
  }

  /** Takes the registration of one buffer back. */
  unregisterBuffer(buffer: RegisteredBuffer): void {
    const { offset, length } = buffer;
    // The kernel forgets a ring's registrations with the ring.
    if (!this.queue.closed) {
      const result = library().functions.uring_update_buffer(this.number, offset, length, 0);
      this.check(result, `unregistering buffer ${buffer.index}`);
    }
    buffer.registered = false;
    this.registeredBytes -= length;
  }

  // --- For the queue ---------------------------------------------------------------------------

  /** Throws the error that says what is wrong with these arguments. */
  refuse(
    operation: number,
    file: RingFile,
    buffer: RegisteredBuffer,
    bufferOffset: number,
    length: number,
    fileOffset: number,
    flags: number,
  ): never {
    this.checkFile(file);
    if (buffer?.owner !== this.buffers) throw this.badBuffer(buffer);
    checkNumber("bufferOffset", bufferOffset);
    checkNumber("length", length);
    if (bufferOffset + length > buffer.length) {
      throw new RangeError(
        `bufferOffset ${bufferOffset} and length ${length} go beyond the ${buffer.length} bytes of the buffer`,
      );
    }
    checkNumber("fileOffset", fileOffset);
    checkFlags(operation, flags);
    throw this.buffers.busy(buffer, `used by ${operationName(operation)}`);
  }

  /** A special operation completed (`res`), or was dropped without being submitted (`undefined`). */
  finish(operation: number, slot: number, res: number | undefined): void {
    const special = this.special[slot];
    this.special[slot] = undefined;
    switch (operation) {
      case OPERATION.openat:
      case OPERATION.openat2:
        if (res === undefined || res < 0) this.files.taken--;
        else this.files.add(res, special as string);
        break;
      case OPERATION.close: {
        const file = special as RingFile;
        if (res === undefined) file.owner = this;
        else this.files.remove(file);
        break;
      }
      case OPERATION.readv:
      case OPERATION.writev:
        for (const { buffer } of special as readonly RingVector[]) this.queue.letGo(buffer.index);
        break;
      case OPERATION.statx:
      case OPERATION.fstatx:
        if (res === 0) (special as StatxResult).fill(this.parameters.results, slot * RESULT_BYTES);
        break;
    }
  }

  /** Nothing of what is staged needs the incoming parameters any more. */
  drained(): void {
    this.parameters.end = 0;
  }

  arrived(): void {
    this.wait.arrived();
  }

  // --- Checks ----------------------------------------------------------------------------------

  /** Throws when the ring was closed. */
  checkOpen(): void {
    if (this.queue.closed) throw new RingClosedError();
  }

  /** Throws when the ring has no such file. */
  checkFile(file: RingFile): void {
    if (file?.owner !== this) throw this.badFile(file);
  }

  /** Says why a file cannot be used. */
  badFile(file: unknown): Error {
    if (this.queue.closed) return new RingClosedError();
    if (!(file instanceof RingFile)) return new TypeError("file must be a RingFile");
    return new TypeError(
      file.owner === undefined
        ? `file ${file.path || file.reference} is closed`
        : `file ${file.path || file.reference} belongs to another ring`,
    );
  }

  /** Says why a buffer cannot be used. */
  badBuffer(buffer: RegisteredBuffer): Error {
    if (this.queue.closed) return new RingClosedError();
    if (!(buffer?.bytes instanceof Uint8Array)) {
      return new TypeError("buffer must be a RegisteredBuffer");
    }
    return new TypeError(
      buffer.owner === undefined
        ? `buffer ${buffer.index} was released`
        : `buffer ${buffer.index} belongs to another ring`,
    );
  }

  /** Says which operation, by its slot, keeps a file from being closed. */
  fileBusy(file: RingFile, slot: number): RingBusyError {
    const operation = operationName(this.queue.operationOfSlot(slot));
    const userData = this.queue.userDataOfSlot(slot);
    return new RingBusyError(
      `file ${
        file.path || file.reference
      } cannot be closed: ${operation} (userData ${userData}) on it is in flight`,
      operation,
      userData,
    );
  }

  /** Throws when this kernel does not have an operation. */
  checkSupported(operation: number): void {
    if (this.probeRows()[operation]) return;
    const { name, since, pinnedSince } = OPERATIONS[operation];
    if (since !== SINCE_LEAST) throw new RingUnsupportedError(name, since);
    throw new RingUnsupportedError(name, pinnedSince, " of pinned memory, which a worker needs,");
  }

  /** By operation: whether this kernel has it. Asked for once. */
  probeRows(): readonly boolean[] {
    this.checkOpen();
    if (this.#probe === undefined) {
      const bytes = new Uint8Array(new SharedArrayBuffer(OPERATIONS.length));
      this.check(library().functions.uring_probe(this.number, bytes, bytes.length), "the probe");
      this.#probe = Array.from(bytes, (byte) => byte === 1);
    }
    return this.#probe;
  }

  /** Throws when a call of the library gave a negative errno. */
  check(result: number, what: string): void {
    if (result >= 0) return;
    const name = errnoName(-result);
    throw new RingError(`${what} failed: ${name} (${errnoText(-result)})`, name, -result);
  }
}
