/**
 * The array that every layer delivers completions in.
 *
 * @module
 */

/**
 * Completions in columns. One array is reused at every reap, so delivering allocates nothing.
 *
 * `Ring` puts the caller's `userData` in the first column, `Io` its operation handles, `StorageIo`
 * its tokens. Only the first `length` rows are valid; a reap overwrites them.
 *
 * @example
 * ```ts
 * import { CompletionArray } from "@uring/io/ring";
 *
 * const completions = new CompletionArray(64);
 * completions.push(7, 4096, 0);
 * for (let i = 0; i < completions.length; i++) {
 *   console.log(completions.userData[i], completions.res[i]); // 7 4096
 * }
 * completions.clear();
 * ```
 */
export class CompletionArray {
  /** Rows that the columns can hold; fixed. */
  readonly capacity: number;
  /** The caller's numbers, safe integers. */
  readonly userData: Float64Array;
  /** Results: a count, a file reference, 0, or a negative errno. */
  readonly res: Int32Array;
  /** IORING_CQE_F_* of the kernel; 0 in backends without a kernel ring. */
  readonly flags: Uint32Array;
  /** Valid rows, from 0. */
  length: number = 0;

  /**
   * Makes empty columns.
   * @param capacity Rows, from 1 to 2^24.
   */
  constructor(capacity: number) {
    if (!Number.isInteger(capacity) || capacity < 1 || capacity > 1 << 24) {
      throw new RangeError(`capacity must be an integer from 1 to 16777216, not ${capacity}`);
    }
    this.capacity = capacity;
    this.userData = new Float64Array(capacity);
    this.res = new Int32Array(capacity);
    this.flags = new Uint32Array(capacity);
  }

  /** Appends a row; `false` when the columns are full. */
  push(userData: number, res: number, flags: number): boolean {
    const at = this.length;
    if (at >= this.capacity) return false;
    this.userData[at] = userData;
    this.res[at] = res;
    this.flags[at] = flags;
    this.length = at + 1;
    return true;
  }

  /** Forgets all rows. */
  clear(): void {
    this.length = 0;
  }
}
