/**
 * Bun: `bun:ffi`, and an eventfd read by a stream in the event loop's own polling.
 *
 * @module
 */

import type {
  FileStart,
  Host,
  NativeLibrary,
  Scalar,
  Signature,
  Waiter,
  WakeFunctions,
} from "./host.ts";
import { checked } from "./wake.ts";
import { resolveFrom } from "./path.ts";

/** How long the stream over the eventfd stays open for the next wait, and with it the process. */
const LINGER_MILLIS = 5;

// deno-lint-ignore no-explicit-any
const runtime = (): any => (globalThis as any).Bun;

/** `node:` and `bun:` modules are asked for when they are needed, so that importing loads nothing. */
// deno-lint-ignore no-explicit-any
const builtin = (name: string): any => (globalThis as any).process.getBuiltinModule(name);

class BunHost implements Host {
  readonly name = "bun";
  readonly version: string = runtime().version;
  // deno-lint-ignore no-explicit-any
  readonly platform: string = (globalThis as any).process.platform;
  // deno-lint-ignore no-explicit-any
  readonly arch: string = (globalThis as any).process.arch;

  isWorker(): boolean {
    return !runtime().isMainThread;
  }

  env(name: string): string | undefined {
    return runtime().env[name];
  }

  readStart(path: string, bytes: number): FileStart {
    const fs = builtin("node:fs");
    let descriptor: number | undefined;
    try {
      descriptor = fs.openSync(path, "r");
      const status = fs.fstatSync(descriptor);
      if (status.isDirectory()) return "directory";
      const start = new Uint8Array(bytes);
      const length = fs.readSync(descriptor, start, 0, bytes, 0);
      return { bytes: start.subarray(0, length), size: status.size };
    } catch (error) {
      const code = (error as { code?: string }).code;
      return code === "ENOENT" || code === "ENOTDIR" ? "missing" : "unreadable";
    } finally {
      if (descriptor !== undefined) fs.closeSync(descriptor);
    }
  }

  resolvePath(path: string): string {
    // deno-lint-ignore no-explicit-any
    return resolveFrom(path.startsWith("/") ? "" : (globalThis as any).process.cwd(), path);
  }

  // Bun knows no permissions.
  requireRead(_path: string): void {}
  requireWrite(_path: string): void {}
  requireSystem(_what: string): void {}

  dlopen(path: string, signatures: Readonly<Record<string, Signature>>): NativeLibrary {
    const declared: Record<string, { args: readonly Scalar[]; returns: Scalar }> = {};
    for (const [name, signature] of Object.entries(signatures)) {
      declared[name] = { args: signature.arguments, returns: signature.result };
    }
    const library = builtin("bun:ffi").dlopen(path, declared);
    return { symbols: library.symbols, close: () => library.close() };
  }

  createWaiter(functions: WakeFunctions): Waiter {
    return new StreamWaiter(checked(functions.uring_wake_fd()));
  }

  turn(callback: () => void): void {
    setImmediate(callback);
  }
}

/**
 * Reads the eventfd by a stream. An open stream polls, and keeps the process alive, whether or not
 * anybody reads from it; a new one costs 30 µs more in each wait. So it stays open between waits that
 * follow each other, and is cancelled when none came for `LINGER_MILLIS`.
 */
class StreamWaiter implements Waiter {
  readonly #descriptor: number;
  #reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
  #linger: ReturnType<typeof setTimeout> | undefined;
  #waiting = false;

  constructor(descriptor: number) {
    this.#descriptor = descriptor;
  }

  async wait(): Promise<void> {
    this.#waiting = true;
    try {
      this.#reader ??= runtime().file(this.#descriptor).stream().getReader();
      const { done } = await this.#reader!.read();
      if (done) this.#reader = undefined;
    } finally {
      this.#waiting = false;
      if (this.#linger === undefined) {
        this.#linger = setTimeout(() => this.#cancelWhenIdle(), LINGER_MILLIS);
      } else {
        this.#linger.refresh();
      }
    }
  }

  #cancelWhenIdle(): void {
    if (this.#waiting) return; // the end of that wait sets the timer again
    const reader = this.#reader;
    this.#reader = undefined;
    // The descriptor stays open: it belongs to the shim.
    void reader?.cancel();
  }
}

/** The host of this process when it is Bun. */
export function bunHost(): Host | undefined {
  return runtime() === undefined ? undefined : new BunHost();
}
