/**
 * Files of a ring.
 *
 * @module
 */

import { ERRNO, FILE_SLOT_BITS } from "../abi/generated.ts";
import { RingError } from "./errors.ts";

const FILE_SLOT_MASK = (1 << FILE_SLOT_BITS) - 1;

/**
 * A file that a ring opened or adopted.
 *
 * It belongs to its ring: only that ring can use it, and closes it at the latest when it is closed
 * itself. Got by `ring.file(res)` when an openat has completed, or from `ring.adoptFd`.
 */
export class RingFile {
  /**
   * The ring's own name for the file: slot and generation, never a descriptor. It is the `res` of the
   * openat. A name is not given to another file after this one was closed.
   */
  readonly reference: number;
  /** The path that it was opened by; empty for an adopted one. */
  readonly path: string;
  /** The core of the ring, until a close was prepared. @internal */
  owner: unknown;

  /** @internal */
  constructor(owner: unknown, reference: number, path: string) {
    this.owner = owner;
    this.reference = reference;
    this.path = path;
  }

  /** Whether operations on it can be prepared: no close was prepared, and the ring is open. */
  get isOpen(): boolean {
    return this.owner !== undefined;
  }
}

/** The files that a ring has, by slot. */
export class FileTable {
  /** Slots that are taken: by files, and by opens in flight. */
  taken = 0;
  readonly #owner: unknown;
  readonly #slots: number;
  readonly #files: (RingFile | undefined)[] = [];

  /** @param owner The `owner` of its files. @param slots Most files together. */
  constructor(owner: unknown, slots: number) {
    this.#owner = owner;
    this.#slots = slots;
  }

  /** Throws ENFILE when there are no `count` free slots. */
  checkRoom(count: number): void {
    if (this.taken + count <= this.#slots) return;
    throw new RingError(
      `${this.taken} of ${this.#slots} file slots of the ring are taken: ` +
        `close files, or open it with more`,
      "ENFILE",
      ERRNO.ENFILE,
    );
  }

  /** The file of that name, if there is one. */
  find(reference: number): RingFile | undefined {
    if (reference < 0) return undefined;
    const file = this.#files[reference & FILE_SLOT_MASK];
    return file?.reference === reference ? file : undefined;
  }

  /** A new file. Its slot counts as taken already. */
  add(reference: number, path: string): RingFile {
    return this.#files[reference & FILE_SLOT_MASK] = new RingFile(this.#owner, reference, path);
  }

  /** The slot of a closed file is free. */
  remove(file: RingFile): void {
    const at = file.reference & FILE_SLOT_MASK;
    if (this.#files[at] === file) this.#files[at] = undefined;
    this.taken--;
  }

  /** None can be used any more. */
  close(): void {
    for (const file of this.#files) if (file !== undefined) file.owner = undefined;
    this.#files.length = 0;
    this.taken = 0;
  }
}
