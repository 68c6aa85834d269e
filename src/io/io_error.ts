/**
 * From a `res` to an exception, for what stands above `Io`.
 *
 * @module
 */

import { errnoName, errnoText } from "../abi/errno.ts";
import { IoError } from "./io.ts";

/** An `IoError` for a negative `res`. */
export function ioErrorOf(res: number, operation: string, path: string, offset?: number): IoError {
  const code = errnoName(-res);
  const at = offset === undefined ? "" : ` at byte ${offset}`;
  const message = `${operation} of ${path}${at} failed: ${code}, ${errnoText(-res)}`;
  return new IoError(message, code, -res, operation, path, offset);
}
