/**
 * What the functions of waking return.
 *
 * @module
 */

import { errnoName } from "../abi/errno.ts";

/** Throws for a negative errno. */
export function checked(result: number): number {
  if (result < 0) throw new Error(`waiting for completions failed: ${errnoName(-result)}`);
  return result;
}
