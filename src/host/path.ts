/**
 * Paths by name only: nothing here touches a file.
 *
 * @module
 */

/** `path` made absolute from `directory`, without `.`, `..`, and doubled or trailing slashes. */
export function resolveFrom(directory: string, path: string): string {
  const parts: string[] = [];
  for (const part of (path.startsWith("/") ? path : `${directory}/${path}`).split("/")) {
    if (part === "" || part === ".") continue;
    if (part === "..") parts.pop();
    else parts.push(part);
  }
  return `/${parts.join("/")}`;
}

/** The directory that an absolute path lies in. */
export function directoryOf(path: string): string {
  const at = path.lastIndexOf("/");
  return at <= 0 ? "/" : path.slice(0, at);
}
