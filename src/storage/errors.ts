/**
 * Why a submission was refused. A refused call has changed nothing.
 *
 * @module
 */

import { errnoName, errnoText } from "../abi/errno.ts";

/** No room for another operation, or for another file: poll, or deregister one. */
export class QueueFullError extends Error {
  override readonly name: string = "QueueFullError";
  readonly code: string = "QueueFull";
}

/** The kernel refused. */
export class StorageIoError extends Error {
  override readonly name: string = "StorageIoError";
  readonly code: string = "Io";
  constructor(
    what: string,
    /** Positive. */
    readonly errno: number,
  ) {
    super(`${what} failed: ${errnoName(errno)}, ${errnoText(errno)}`);
  }
}

/** No file is registered under this fd, or not any more. */
export class BadFdError extends Error {
  override readonly name: string = "BadFdError";
  readonly code: string = "BadFd";
}

/** The storage was closed. */
export class ClosedError extends Error {
  override readonly name: string = "ClosedError";
  readonly code: string = "Closed";
}

/** No buffers are free for the data: poll, and submit again. */
export class BufferExhaustedError extends Error {
  override readonly name: string = "BufferExhaustedError";
  readonly code: string = "BufferExhausted";
}

/** Operations are in flight on the file: poll until they have ended. */
export class BusyError extends Error {
  override readonly name: string = "BusyError";
  readonly code: string = "Busy";
}
