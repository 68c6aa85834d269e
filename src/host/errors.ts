/**
 * What the runtime refuses.
 *
 * @module
 */

/** The program may not do this under the permissions it was started with. */
export class PermissionError extends Error {
  override readonly name: string = "PermissionError";
  readonly code: string = "EPERMISSION";
  constructor(
    message: string,
    /** What to add to the command line. */
    readonly flag: string,
    readonly path?: string,
  ) {
    super(message);
  }
}
