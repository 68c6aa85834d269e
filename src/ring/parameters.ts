/**
 * The parameter area of a ring: paths, names and vectors that go to the shim with the images, and results
 * that come back with completions.
 *
 * @module
 */

import { RESULT_BYTES } from "../abi/generated.ts";

/** Bytes of the incoming part: paths, names and vectors that can be staged together. */
export const INCOMING_BYTES: number = 64 << 10;

const encoder = new TextEncoder();

/** Bytes of the area of a ring with so many slots. */
export function parameterBytes(slots: number): number {
  return INCOMING_BYTES + slots * RESULT_BYTES;
}

/** The area of one ring. What is appended stays until all that was staged is the kernel's. */
export class ParameterArea {
  /** Where the incoming part is free, bytes. Set it back to give up what was appended last. */
  end = 0;
  /** What it was when the last chain began. */
  chainStart = 0;
  /** `RESULT_BYTES` for each slot. */
  readonly results: DataView;
  readonly #paths: Uint8Array;

  constructor(memory: Uint8Array) {
    this.#paths = memory.subarray(0, INCOMING_BYTES);
    this.results = new DataView(memory.buffer, INCOMING_BYTES);
  }

  /** A view that begins at `end`, unless there are fewer than `bytes` left. Appends nothing. */
  room(bytes: number): DataView | undefined {
    if (this.#paths.length - this.end < bytes) return undefined;
    return new DataView(this.#paths.buffer, this.#paths.byteOffset + this.end);
  }

  /**
   * Appends a path, or a name; `false`, and nothing is appended, when there is no room.
   *
   * @param name What it is called in errors.
   * @param bytesMax A longer one throws RangeError.
   */
  putPath(name: string, path: string, bytesMax: number): boolean {
    if (typeof path !== "string") throw new TypeError(`${name} must be a string`);
    if (path === "") throw new TypeError(`${name} is empty`);
    if (path.includes("\0")) throw new TypeError(`${name} contains a NUL`);
    const start = this.end;
    const room = Math.min(this.#paths.length - start, bytesMax + 1);
    const target = this.#paths.subarray(start, start + room);
    const { read, written } = encoder.encodeInto(path, target);
    if (written > bytesMax || (read < path.length && room > bytesMax)) {
      throw new RangeError(`${name} is longer than ${bytesMax} bytes`);
    }
    if (read < path.length) return false;
    this.end = start + written;
    return true;
  }
}
