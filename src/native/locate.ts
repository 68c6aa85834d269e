/**
 * Where the native library is.
 *
 * @module
 */

import type { Host } from "../host/host.ts";

/** A library that was found, and why this one. */
export interface Location {
  readonly path: string;
  /** In words, for messages: where the path comes from. */
  readonly source: string;
}

/** Names the library in the environment; it goes before everything else. */
export const LIBRARY_VARIABLE = "URING_LIBRARY";
/** Where it would be in an installed package, which cannot build it. */
export const INSTALLED = "the installed package";
const LIBRARY_NAME = "liburing-io.so";

/**
 * The library to load: what `URING_LIBRARY` names, else the build output of this checkout.
 * `undefined` when neither can be; whether the file is there is not asked here.
 */
export function locate(host: Host): Location | undefined {
  const named = host.env(LIBRARY_VARIABLE);
  if (named !== undefined && named !== "") {
    // Without a slash the loader would search the system's directories.
    const path = named.includes("/") ? named : `./${named}`;
    return { path, source: `the environment variable ${LIBRARY_VARIABLE}` };
  }
  // A module that came over the network has no build output beside it.
  if (!import.meta.url.startsWith("file:")) return undefined;
  const url = new URL(`../../build/${LIBRARY_NAME}`, import.meta.url);
  const path = decodeURIComponent(url.pathname);
  const installed = path.includes("/node_modules/");
  return { path, source: installed ? INSTALLED : "this checkout's build output" };
}
