/**
 * Checks of arguments. Each throws a TypeError or RangeError that names the argument.
 *
 * @module
 */

import { OPERATIONS } from "../abi/generated.ts";
import { flagsAllowed } from "./queue.ts";

/** The largest number that a field of 32 bits holds. */
export const U32_MAX = 0xffff_ffff;

/** Of a number that is an integer from 0 to `max`. */
export function checkNumber(
  name: string,
  value: number,
  max: number = Number.MAX_SAFE_INTEGER,
): void {
  if (typeof value !== "number") {
    throw new TypeError(`${name} must be a number, not ${typeof value}`);
  }
  if (!Number.isInteger(value) || value < 0 || value > max) {
    throw new RangeError(`${name} must be an integer from 0 to ${max}, not ${value}`);
  }
}

/** Of an operation whose flags are one of some values. */
export function checkValue(name: string, operation: number, value: number): void {
  if (!flagsAllowed(operation, value)) {
    const { opValues } = OPERATIONS[operation];
    throw new RangeError(`${name} must be one of ${opValues.join(", ")}, not ${String(value)}`);
  }
}

/** Of a set of bits, all of them among `allowed`. */
export function checkBits(name: string, bits: number, allowed: number): void {
  if (bits !== bits >>> 0 || (bits & ~allowed) !== 0) {
    throw new RangeError(`${name} must be of 0x${allowed.toString(16)}, not ${String(bits)}`);
  }
}

/** Of the flags of an operation, as its row says. */
export function checkFlags(operation: number, flags: number, what: string = "flags"): void {
  const row = OPERATIONS[operation];
  if (!flagsAllowed(operation, flags)) {
    throw new RangeError(
      `${what} of ${row.name} must be of 0x${row.opFlags.toString(16)}, not ${flags}`,
    );
  }
}
