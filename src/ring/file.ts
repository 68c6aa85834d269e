/**
 * Files of a ring.
 *
 * @module
 */

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
  /** The ring, until a close was prepared. @internal */
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
