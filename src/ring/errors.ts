/**
 * What a ring throws. A failure of the kernel in an operation is no exception: it is a negative `res`.
 *
 * @module
 */

/** The ring was closed; nothing can be done with it any more. */
export class RingClosedError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingClosedError";
  /** The same for every error of this class. */
  readonly code: string = "Closed";
  /** @internal */
  constructor() {
    super("the ring is closed");
  }
}

/** A buffer or a file is used, released or closed while an operation on it is in flight. */
export class RingBusyError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingBusyError";
  /** The same for every error of this class. */
  readonly code: string = "Busy";
  /** @internal */
  constructor(
    message: string,
    /** The operation in flight. */
    readonly operation: string,
    /** The `userData` it was prepared with. */
    readonly userData: number,
  ) {
    super(message);
  }
}

/** A ring with `iopoll` was asked for what a device cannot be polled for. */
export class RingPollError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingPollError";
  /** The same for every error of this class. */
  readonly code: string = "NotPolled";
  /** @internal */
  constructor(
    /** The operation, as `fsync`. */
    readonly operation: string,
  ) {
    super(
      `a ring with iopoll has no ${operation}: only reads and writes are polled for. ` +
        `Open a second ring without iopoll for it; adoptFile shares a file between them`,
    );
  }
}

/** This kernel lacks an operation. */
export class RingUnsupportedError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingUnsupportedError";
  /** The same for every error of this class. */
  readonly code: string = "Unsupported";
  /** @internal */
  constructor(
    /** The operation, as `ftruncate`. */
    readonly operation: string,
    /** The kernel release that brought it, as `6.9`. */
    readonly since: string,
    /** What about it this kernel lacks; nothing when it is the whole operation. */
    condition: string = "",
  ) {
    super(`this kernel has no ${operation}${condition} in io_uring: Linux ${since} brought it`);
  }
}

/**
 * The shim refused a staged operation. Nothing of what was staged with it was submitted; all of it was
 * dropped, and will give no completions.
 */
export class RingImageError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingImageError";
  /** The same for every error of this class. */
  readonly code: string = "BadImage";
  /** @internal */
  constructor(
    message: string,
    /** The operation that was refused. */
    readonly operation: string,
    /** Which check it failed. */
    readonly reason: string,
    /** Its place among what was staged, from 0. */
    readonly index: number,
    /** The `userData` of everything that was dropped, in order. */
    readonly dropped: readonly number[],
  ) {
    super(message);
  }
}

/** A call that is no operation of the ring failed in the kernel. */
export class RingError extends Error {
  /** The name of the class. */
  override readonly name: string = "RingError";
  /** @internal */
  constructor(
    message: string,
    /** `EBADF`, `ENOMEM`, … */
    readonly code: string,
    /** The positive number of it. */
    readonly errno: number,
  ) {
    super(message);
  }
}
