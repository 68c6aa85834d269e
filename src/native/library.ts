/**
 * Finds, verifies and loads the native library, once a thread, at the first use.
 *
 * @module
 */

import { ABI_BYTES, abiDifference } from "../abi/check.ts";
import { EXPORTS } from "../abi/generated.ts";
import { PermissionError } from "../host/errors.ts";
import { type Host, hostOrUndefined, type NativeLibrary, type Signature } from "../host/host.ts";
import { ELF_HEADER_BYTES, elfProblem } from "./elf.ts";
import { RingUnavailableError } from "./errors.ts";
import { type Functions, guard } from "./guard.ts";
import { INSTALLED, LIBRARY_VARIABLE, locate, type Location } from "./locate.ts";

export type { Functions };

/** The library of this thread. */
export interface Library extends Location {
  readonly host: Host;
  /** Guarded: the library's own are known to nobody else. */
  readonly functions: Functions;
}

const REBUILD = "Rebuild it with: ./dev setup";
/** For those who have the package only, without what builds the library. */
const ELSEWHERE =
  "An installed package comes without it: run ./dev setup in a checkout of @uring/io of the same " +
  `version, and name its build/liburing-io.so by the environment variable ${LIBRARY_VARIABLE}; or go ` +
  "on without it, by the backend sync of openIo";

let loaded: Library | undefined;

/**
 * The library, loaded at the first call of each thread.
 * @throws {RingUnavailableError} with reason `platform` or `library`.
 */
export function library(): Library {
  return loaded ??= load();
}

function load(): Library {
  const host = hostOrUndefined();
  if (host === undefined) {
    throw new RingUnavailableError(
      "platform",
      "ERUNTIME",
      "this runtime is neither Bun nor Deno",
      "Use Bun 1.4.5 or Deno 2.9.6 or later",
    );
  }
  if (host.platform !== "linux" || !["x64", "arm64"].includes(host.arch)) {
    throw new RingUnavailableError(
      "platform",
      "EPLATFORM",
      `io_uring is Linux's, and this is ${host.platform}`,
      "Use Linux on x64 or arm64, or another backend of openIo",
    );
  }
  const location = locate(host);
  if (location === undefined) {
    throw new RingUnavailableError(
      "library",
      "ENOLIBRARY",
      "no native library comes with this copy of @uring/io",
      `Name one by the environment variable ${LIBRARY_VARIABLE}`,
    );
  }
  verifyFile(host, location);
  verifyAbi(host, location);
  const { symbols } = open(
    host,
    location,
    Object.fromEntries(EXPORTS.map((one) => [one.name, one])),
  );
  const raw = Object.fromEntries(EXPORTS.map(({ name }) => [name, symbols[name]]));
  return Object.freeze({ ...location, host, functions: guard(raw as Functions) });
}

function verifyFile(host: Host, location: Location): void {
  const start = host.readStart(location.path, ELF_HEADER_BYTES);
  if (start === "missing") {
    const wayOut = location.source.includes(LIBRARY_VARIABLE)
      ? `Name an existing file by it, or unset it`
      : location.source === INSTALLED
      ? ELSEWHERE
      : "Build it with: ./dev setup";
    throw unusable(location, "ENOENT", "there is no such file", wayOut);
  }
  if (start === "directory") throw unusable(location, "EISDIR", "it is a directory", REBUILD);
  // A program without permission to read the file may yet load it; loading then finds what is wrong.
  if (start === "unreadable") return;
  const problem = elfProblem(start.bytes, start.size, host.arch);
  if (problem !== undefined) throw unusable(location, "ENOEXEC", problem, REBUILD);
}

/** By itself first: another version may lack functions that this one has. */
function verifyAbi(host: Host, location: Location): void {
  const only = EXPORTS.find((one) => one.name === "uring_abi")!;
  const native = open(host, location, { uring_abi: only });
  const filled = new Uint8Array(new ArrayBuffer(ABI_BYTES));
  native.symbols.uring_abi(filled, ABI_BYTES);
  native.close();
  const difference = abiDifference(filled);
  if (difference !== undefined) throw unusable(location, "EABI", difference, REBUILD);
}

function open(
  host: Host,
  location: Location,
  signatures: Readonly<Record<string, Signature>>,
): NativeLibrary {
  try {
    return host.dlopen(location.path, signatures);
  } catch (error) {
    if (error instanceof PermissionError) {
      throw new RingUnavailableError(
        "library",
        error.code,
        `the library ${location.path} may not be loaded`,
        `Start Deno with ${error.flag}`,
        { cause: error },
      );
    }
    const words = error instanceof Error ? error.message : String(error);
    throw unusable(location, "ELIBRARY", `it cannot be loaded (${words})`, REBUILD, error);
  }
}

function unusable(
  location: Location,
  code: string,
  problem: string,
  wayOut: string,
  cause?: unknown,
): RingUnavailableError {
  return new RingUnavailableError(
    "library",
    code,
    `the library ${location.path} (named by ${location.source}) cannot be used: ${problem}`,
    wayOut,
    cause === undefined ? undefined : { cause },
  );
}
