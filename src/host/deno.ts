/**
 * Deno: `Deno.dlopen` within the permissions that the program was given, and an eventfd waited for by
 * one call on another thread.
 *
 * @module
 */

import { PermissionError } from "./errors.ts";
import type {
  FileStart,
  Host,
  NativeLibrary,
  Scalar,
  Signature,
  Waiter,
  WakeFunctions,
} from "./host.ts";
import { directoryOf, resolveFrom } from "./path.ts";
import { checked } from "./wake.ts";

/** A wait ends by itself now and then, so that a thread whose owner is gone does not stay for ever. */
const WAIT_MILLIS_MAX = 1000;
/** Directories remembered as permitted; beyond them the memory starts afresh. */
const REMEMBERED_MAX = 256;

const PLATFORMS: Record<string, string> = { windows: "win32" };
const ARCHITECTURES: Record<string, string> = { x86_64: "x64", aarch64: "arm64" };
/** Devices that Deno lets a program use with the plain permissions. */
const HARMLESS_DEVICES = new Set([
  "/dev/null",
  "/dev/zero",
  "/dev/full",
  "/dev/random",
  "/dev/urandom",
]);

// deno-lint-ignore no-explicit-any
const runtime = (): any => (globalThis as any).Deno;

type Access = "read" | "write";

class DenoHost implements Host {
  readonly name = "deno";
  readonly version: string = runtime().version.deno;
  readonly platform: string = PLATFORMS[runtime().build.os] ?? runtime().build.os;
  readonly arch: string = ARCHITECTURES[runtime().build.arch] ?? runtime().build.arch;
  readonly #permitted: Record<Access, Set<string>> = { read: new Set(), write: new Set() };

  isWorker(): boolean {
    // deno-lint-ignore no-explicit-any
    const global = globalThis as any;
    if (global.WorkerGlobalScope !== undefined) return true;
    // A worker of node:worker_threads has the scope of a main thread.
    return global.process?.getBuiltinModule?.("node:worker_threads")?.isMainThread === false;
  }

  env(name: string): string | undefined {
    const state = runtime().permissions.querySync({ name: "env", variable: name }).state;
    return state === "granted" ? runtime().env.get(name) : undefined;
  }

  readStart(path: string, bytes: number): FileStart {
    if (this.#state("read", path) !== "granted") return "unreadable";
    const deno = runtime();
    try {
      // Before it is opened: what Deno thinks of as special needs more than the read permission.
      const status = deno.statSync(path);
      if (status.isDirectory) return "directory";
      using file = deno.openSync(path, { read: true });
      const start = new Uint8Array(bytes);
      return { bytes: start.subarray(0, file.readSync(start) ?? 0), size: status.size };
    } catch (error) {
      return error instanceof deno.errors.NotFound ||
          (error as { code?: string }).code === "ENOTDIR"
        ? "missing"
        : "unreadable";
    }
  }

  resolvePath(path: string): string {
    return resolveFrom(path.startsWith("/") ? "" : runtime().cwd(), path);
  }

  requireRead(path: string): void {
    this.#require("read", path);
  }

  requireWrite(path: string): void {
    this.#require("write", path);
  }

  requireSystem(what: string): void {
    if (runtime().permissions.querySync({ name: "sys", kind: what }).state === "granted") return;
    throw new PermissionError(
      `this program may not ask the system for its ${what}: start Deno with --allow-sys=${what}`,
      `--allow-sys=${what}`,
    );
  }

  #require(access: Access, path: string): void {
    if (isSpecial(path)) {
      this.#requireAll(access, path);
      return;
    }
    const permitted = this.#permitted[access];
    const directory = directoryOf(path);
    if (permitted.has(directory)) return;
    if (this.#state(access, path) !== "granted") {
      throw new PermissionError(
        `this program may not ${access} ${path}: start Deno with --allow-${access}=${path}`,
        `--allow-${access}=${path}`,
        path,
      );
    }
    // A permission is asked for again and again in the same few directories. One that is granted
    // whole is remembered: a revocation after that is not noticed, as with a file that is open.
    const status = runtime().permissions.querySync({ name: access, path: directory });
    if (status.state === "granted" && !status.partial) {
      if (permitted.size >= REMEMBERED_MAX) permitted.clear();
      permitted.add(directory);
    }
  }

  /** /proc, /sys and devices give control over the process and the machine; Deno wants all for them. */
  #requireAll(access: Access, path: string): void {
    for (const name of ["read", "write", "net", "env", "sys", "run", "ffi"]) {
      if (runtime().permissions.querySync({ name }).state !== "granted") {
        throw new PermissionError(
          `this program may not ${access} ${path}: Deno wants --allow-all for it`,
          "--allow-all",
          path,
        );
      }
    }
  }

  #state(access: Access, path: string): string {
    return runtime().permissions.querySync({ name: access, path }).state;
  }

  dlopen(path: string, signatures: Readonly<Record<string, Signature>>): NativeLibrary {
    // Deno would prompt on a terminal; this asks without.
    if (runtime().permissions.querySync({ name: "ffi", path }).state !== "granted") {
      throw new PermissionError(
        `this program may not load ${path}: start Deno with --allow-ffi=${path}`,
        `--allow-ffi=${path}`,
        path,
      );
    }
    const declared: Record<
      string,
      { parameters: readonly Scalar[]; result: Scalar; nonblocking: boolean }
    > = {};
    for (const [name, signature] of Object.entries(signatures)) {
      declared[name] = {
        parameters: signature.arguments,
        result: signature.result,
        nonblocking: signature.blocking === true,
      };
    }
    const library = runtime().dlopen(path, declared);
    return { symbols: library.symbols, close: () => library.close() };
  }

  createWaiter(functions: WakeFunctions): Waiter {
    return new CallWaiter(functions);
  }

  turn(callback: () => void): void {
    setImmediate(callback);
  }
}

function isSpecial(path: string): boolean {
  if (/^\/(proc|sys)(\/|$)/.test(path)) return true;
  return /^\/dev(\/|$)/.test(path) && !path.startsWith("/dev/shm/") && !HARMLESS_DEVICES.has(path);
}

/** Waits in a call on another thread. */
class CallWaiter implements Waiter {
  readonly #functions: WakeFunctions;
  readonly #waiter: number;

  constructor(functions: WakeFunctions) {
    this.#functions = functions;
    this.#waiter = checked(functions.uring_wake_waiter());
  }

  async wait(): Promise<void> {
    checked(await this.#functions.uring_wake_wait(this.#waiter, WAIT_MILLIS_MAX));
  }
}

/** The host of this process when it is Deno. */
export function denoHost(): Host | undefined {
  return runtime() === undefined ? undefined : new DenoHost();
}
