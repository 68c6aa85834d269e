/**
 * What may be asked of an open, checked by name before anything is opened.
 *
 * @module
 */

import { IoUsageError, type OpenOptions } from "./io.ts";

const MEMBERS = [
  "read",
  "write",
  "create",
  "createNew",
  "truncate",
  "append",
  "direct",
  "dsync",
] as const satisfies readonly (keyof OpenOptions)[];
const NEED_WRITE = ["create", "createNew", "truncate", "append", "dsync"] as const;

/**
 * A frozen copy of `options` with every member set. Throws {@linkcode IoUsageError} that names the
 * nonsense: unknown or non-boolean members; neither read nor write; create, createNew, truncate,
 * append or dsync without write; append or createNew with truncate.
 */
export function checkOpenOptions(options: OpenOptions): Readonly<Required<OpenOptions>> {
  if (typeof options !== "object" || options === null) {
    throw new IoUsageError(`open options must be an object, not ${String(options)}`);
  }
  for (const name of Object.keys(options)) {
    if (!(MEMBERS as readonly string[]).includes(name)) {
      throw new IoUsageError(
        `unknown open option \`${name}\`: there are ${MEMBERS.join(", ")}`,
      );
    }
    const value: unknown = options[name as keyof OpenOptions];
    if (value !== undefined && typeof value !== "boolean") {
      throw new IoUsageError(`open option \`${name}\` must be true or false, not ${String(value)}`);
    }
  }
  const checked: Required<OpenOptions> = {
    read: options.read ?? false,
    write: options.write ?? false,
    create: options.create ?? false,
    createNew: options.createNew ?? false,
    truncate: options.truncate ?? false,
    append: options.append ?? false,
    direct: options.direct ?? false,
    dsync: options.dsync ?? false,
  };
  if (!checked.read && !checked.write) {
    throw new IoUsageError("open options need `read`, `write` or both");
  }
  for (const name of NEED_WRITE) {
    if (checked[name] && !checked.write) {
      throw new IoUsageError(`open option \`${name}\` needs \`write\``);
    }
  }
  if (checked.append && checked.truncate) {
    throw new IoUsageError("open options `append` and `truncate` exclude each other");
  }
  if (checked.createNew && checked.truncate) {
    throw new IoUsageError("open options `createNew` and `truncate` exclude each other");
  }
  return Object.freeze(checked);
}

/** The options of a file that something else opened, as far as they are known. */
export function adoptedOptions(
  known:
    | Readonly<Record<"read" | "write" | "append" | "direct" | "dsync", boolean>>
    | undefined,
): Readonly<Required<OpenOptions>> {
  return Object.freeze({
    read: known?.read ?? false,
    write: known?.write ?? false,
    create: false,
    createNew: false,
    truncate: false,
    append: known?.append ?? false,
    direct: known?.direct ?? false,
    dsync: known?.dsync ?? false,
  });
}
